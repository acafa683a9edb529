//! Client and server roles where no SYN was seen: by an earlier record of the same connection, by service ports, by servers that
//! were seen to answer SYNs.
//!
//! Zeek's originator stays what it is, for Zeek's log; where ours is another one, the record says so.

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use probe_ebpf::layout::{Endpoint, SegmentRecord};

use crate::record::{Orientation, Written};
use crate::tcp::endpoint::State;
use crate::tcp::marks::{AFTER_END, ORIG, RESP, REVERSED};
use crate::tcp::track::Track;
use crate::tracker::tombstone::End;

/// See [`Servers`]: so many that most services in use at a time have a place of their own.
const RECENT_BITS: u32 = 9;
const RECENT: usize = 1 << RECENT_BITS;
/// Servers remembered at most.
const MAX_SERVERS: usize = 65_536;

/// Servers that were met last, so that most need not be looked for.
#[derive(Debug)]
pub(crate) struct RecentServers {
    places: Box<[[u64; 3]; RECENT]>,
}

impl Default for RecentServers {
    fn default() -> Self {
        Self { places: Box::new([[0; 3]; RECENT]) }
    }
}

impl RecentServers {
    /// Whether it was not met of late; it has been from now on.
    #[inline]
    pub(crate) fn is_new(&mut self, server: &[u64; 3]) -> bool {
        let hash = server.iter().fold(0, |all: u64, word| (all ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // One of two places, so that two that meet do not push each other out by turns.
        let at = (hash >> (u64::BITS - RECENT_BITS)) as usize;
        let is_recent = self.places[at] == *server || self.places[at ^ 1] == *server;
        if !is_recent {
            self.places[at ^ 1] = std::mem::replace(&mut self.places[at], *server);
        }
        !is_recent
    }
}

/// Servers that were seen to answer a SYN.
#[derive(Debug)]
pub(crate) struct Servers {
    known: HashSet<[u64; 3], FixedState>,
    recent: RecentServers,
}

fn place(end: Endpoint) -> [u64; 3] {
    [end.a, end.b, end.port.into()]
}

/// The server of a connection that was seen to answer a SYN.
#[inline]
pub(crate) fn answering(track: &Track) -> Option<[u64; 3]> {
    let answers = track.orientation == Orientation::Syn && track.ends[RESP].syn_ack > 0;
    answers.then(|| place(responder(track)))
}

/// How client and server of a connection are known, and whether they are the other way round than Zeek has them, where the
/// connection itself says so.
#[inline]
pub(crate) fn own(track: &Track) -> Option<(Orientation, bool)> {
    if track.orientation != Orientation::FirstSender || track.has(REVERSED) {
        return Some((track.orientation, track.has(REVERSED)));
    }
    // Who sends a SYN-ACK is the server, also where that is the first segment seen.
    (track.ends[ORIG].syn_ack > 0 && track.ends[RESP].syn_ack == 0).then_some((Orientation::SynAck, true))
}

impl Servers {
    /// None yet; `seed` keeps senders from aiming for one bucket.
    pub(crate) fn new(seed: u64) -> Self {
        Self { known: HashSet::with_hasher(FixedState::with_seed(seed)), recent: RecentServers::default() }
    }

    /// Learns of a server that answered.
    #[inline]
    pub(crate) fn learn(&mut self, server: [u64; 3]) {
        if self.known.len() < MAX_SERVERS && self.recent.is_new(&server) {
            self.known.insert(server);
        }
    }

    /// As [`own`], and by the servers that are known.
    pub(crate) fn roles(&self, track: &Track) -> (Orientation, bool) {
        if let Some(own) = own(track) {
            return own;
        }
        let known = |end: Endpoint| self.known.contains(&place(end));
        match (known(originator(track)), known(responder(track))) {
            (false, true) => (Orientation::Remembered, false),
            (true, false) => (Orientation::Remembered, true),
            _ => (track.orientation, false),
        }
    }
}

fn originator(track: &Track) -> Endpoint {
    if track.orig_is_hi { track.key.hi() } else { track.key.lo() }
}

fn responder(track: &Track) -> Endpoint {
    if track.orig_is_hi { track.key.lo() } else { track.key.hi() }
}

/// The first segment goes to a service port, and does not come from one: its sender is the client.
pub(crate) fn starts_at_service(track: &Track, record: &SegmentRecord, ports: &[u16]) -> bool {
    let (lo, hi) = (track.key.lo(), track.key.hi());
    let (source, target) = if record.from_hi() { (hi, lo) } else { (lo, hi) };
    let likely = |port: u16| ports.binary_search(&port).is_ok();
    likely(target.port) && !likely(source.port)
}

/// What is remembered of a connection that is written.
pub(crate) fn remembered(track: &Track, written: Written) -> Option<End> {
    let ended = track.ends.iter().any(|end| matches!(end.state, State::Closed | State::Reset));
    let silent = !ended && written == Written::Inactive && track.ends[ORIG].state == State::Established;
    (ended || silent).then(|| End {
        last_ns: track.previous_ns(),
        // Of a guess nothing is asked.
        client_is_hi: track.orig_is_hi != track.has(REVERSED),
        roles_known: track.orientation != Orientation::FirstSender,
        silent,
    })
}

/// A connection that began without SYN is what is left of an earlier one.
pub(crate) fn continues(track: &mut Track, end: End) {
    if !end.silent {
        track.marks |= AFTER_END;
    }
    if end.roles_known {
        track.orientation = track.orientation.min(Orientation::Remembered);
        if end.client_is_hi != track.orig_is_hi {
            track.marks |= REVERSED;
        }
    }
    let idle_ns = track.start_ns.saturating_sub(end.last_ns);
    track.rare_mut().odd.get_or_insert_default().idle_before_ns = idle_ns;
}
