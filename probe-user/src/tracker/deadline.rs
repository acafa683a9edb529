//! Deadlines: when a connection is written, forgotten or given up although no segment comes.
//!
//! Zeek's timers, rule by rule (`AttemptTimer`, `ExpireTimer`, `ConnDeleteTimer`, `InactivityTimer`). Must not know: how
//! time passes, how a record is made.

use crate::record::Written;
use crate::tcp::endpoint::{DID_CLOSE, State};
use crate::tcp::marks::{NEVER, RESP};
use crate::tcp::timers::Timers;
use crate::tcp::track::{Patience, Phase, Track};
use crate::tracker::table::Table;
use crate::tracker::timer_wheel::{Armed, Turn};

/// Up to this many connections every look is made when Zeek would make it. With more, those that cannot end anything
/// are put off: a later look may then come some milliseconds before Zeek's, which adds the gaps between packets.
pub(crate) const FEW: usize = 1024;

/// Connections and their deadlines, for the wheel.
pub(crate) struct Deadlines<'a> {
    pub(crate) table: &'a mut Table,
    pub(crate) timers: &'a Timers,
}

impl Armed for Deadlines<'_> {
    #[inline]
    fn approach(&self, entries: &[u64]) {
        self.table.approach_timers(entries);
    }

    /// Later, when nothing will have to be done about it before the tick ends.
    #[inline]
    fn again(&mut self, entry: Turn) -> u64 {
        let Some(track) = self.table.get_mut(entry.slot).filter(|track| track.armed_ns == entry.due) else {
            return NEVER;
        };
        let due = deadline(track, self.timers);
        if due >= entry.end {
            track.armed_ns = due.min(entry.farthest);
        }
        track.armed_ns
    }
}

/// The next moment at which something may have to be done about it.
#[inline]
pub(crate) fn deadline(track: &Track, timers: &Timers) -> u64 {
    let look = if track.phase == Phase::Idle { NEVER } else { track.check_ns };
    look.min(track.second_ns).min(silent_until(track, timers))
}

/// When silence ends it. Segments out of order do not make it earlier than the start allows, unless it was one of them
/// that lengthened the patience: Zeek then counts anew from there.
#[inline]
fn silent_until(track: &Track, timers: &Timers) -> u64 {
    let patience = match track.patience {
        Patience::Handshake => timers.inactive_handshake,
        Patience::Established => timers.inactive,
        Patience::Interactive => timers.inactive_interactive,
    };
    let from = if track.is_backdated() { track.last_ns } else { track.last_ns.max(track.start_ns) };
    from.saturating_add(patience)
}

/// Runs the deadlines of one connection that have come (Zeek `AttemptTimer`, `ExpireTimer`, `ConnDeleteTimer`,
/// `InactivityTimer`); says why the record is to be written, if it is.
pub(crate) fn expire(track: &mut Track, now: u64, timers: &Timers, many: bool) -> Option<Written> {
    if track.check_ns <= now && track.phase == Phase::Complete {
        return Some(Written::Closed);
    }
    if track.second_ns <= now && track.phase == Phase::Attempt {
        track.second_ns = NEVER;
        track.phase = Phase::Plain;
        let waiting = matches!(track.ends[0].state, State::SynSent | State::SynAckSent);
        if track.is_active && waiting && track.ends[RESP].state == State::Inactive {
            return Some(Written::AttemptTimeout);
        }
    }
    if silent_until(track, timers) <= now {
        return Some(Written::Inactive);
    }
    if matches!(track.phase, Phase::Complete | Phase::Idle) {
        return None;
    }
    let is_silent = track.last_ns.saturating_add(timers.linger) < now;
    let is_due = track.check_ns.min(track.second_ns) <= now;
    if is_silent && is_due && track.is_active && is_over(track) {
        return Some(Written::Closed);
    }
    if many && track.second_ns == NEVER && track.check_ns <= now && !may_be_over(track) {
        track.phase = Phase::Idle;
        track.check_ns = now;
        return None;
    }
    let again = if track.is_active { now.saturating_add(timers.check) } else { NEVER };
    if track.check_ns <= now {
        track.check_ns = again;
    }
    if track.second_ns <= now {
        track.second_ns = again;
    }
    None
}

/// What a look finds finished after some silence: both closed, or one reset, or one never there (Zeek `ExpireTimer`). Apart,
/// as it needs memory that nothing else here does.
#[inline(never)]
fn is_over(track: &Track) -> bool {
    let [orig, resp] = &track.ends;
    let any = |state: State| orig.state == state || resp.state == state;
    let one_closed = orig.has(DID_CLOSE) || resp.has(DID_CLOSE);
    let both_closed = orig.has(DID_CLOSE) && resp.has(DID_CLOSE);
    one_closed && (both_closed || any(State::Reset) || any(State::Inactive))
        || orig.state == State::Inactive && resp.state == State::Inactive
}

/// Whether any later look could find it finished without a further close.
fn may_be_over(track: &Track) -> bool {
    let [orig, resp] = &track.ends;
    orig.has(DID_CLOSE)
        || resp.has(DID_CLOSE)
        || orig.state == State::Inactive && resp.state == State::Inactive
        || !track.is_active
}
