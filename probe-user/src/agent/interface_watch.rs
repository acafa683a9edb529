//! Interface watch: notices interfaces that go down, are renamed, or go away, which takes the program with it silently; attaches
//! again to what comes back under the same name, and keeps the times between.
//!
//! The kernel is asked once a second: an interface is said to have been away since it was last seen there, which is never less
//! than it was.

use std::time::{Duration, Instant, SystemTime};

use crate::{
    agent::session::Session,
    source::live::{attach::Attachment, netdev},
};
use crate::{
    error::RunError,
    output,
    report::{Gap, WatchGaps},
};

/// How often the kernel is asked.
const PERIOD: Duration = Duration::from_secs(1);
/// How long none may be there before watching ends.
const WITHOUT_ANY: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Up,
    Down,
    /// The interface is not in this network namespace any more.
    Gone,
    /// The interface is there, and the program is not on it, be it that another is.
    Bare,
}

struct Watched {
    /// As asked for: what comes back is looked for by it.
    name: String,
    /// What it is called by now.
    known_as: String,
    index: u32,
    /// Id of the program on it, where it can be asked for.
    program: Option<u32>,
    state: State,
    /// When it was last there, nanoseconds since the Unix epoch.
    seen_ns: u64,
    /// Why it could not be attached again, as it was said.
    refused: String,
    gaps: WatchGaps,
}

/// The watched interfaces, and how they were when they were last looked at.
pub(crate) struct Interfaces {
    watched: Vec<Watched>,
    looked: Instant,
    /// Since when none is there.
    none_since: Option<Instant>,
}

impl Interfaces {
    pub(crate) fn new(attachments: &[Attachment], now_ns: u64) -> Self {
        let watched = attachments.iter().map(|attachment| Watched {
            name: attachment.device.name.clone(),
            known_as: attachment.device.name.clone(),
            index: attachment.device.index,
            program: attachment.program_id,
            state: State::Up,
            seen_ns: now_ns,
            refused: String::new(),
            gaps: WatchGaps::default(),
        });
        Self { watched: watched.collect(), looked: Instant::now(), none_since: None }
    }

    /// Says what has changed, and attaches again what is back. To be called often; asks the kernel once a second.
    ///
    /// # Errors
    /// [`RunError::InterfacesGone`] when the last one is gone, and none came back.
    pub(crate) fn look(&mut self, session: &mut Session) -> Result<(), RunError> {
        if self.looked.elapsed() < PERIOD {
            return Ok(());
        }
        self.looked = Instant::now();
        for (place, watched) in self.watched.iter_mut().enumerate() {
            if !watched.look(place, session) && session.attaches_again() {
                watched.look_for_return(place, session);
            }
        }
        if self.watched.iter().any(|watched| !watched.is_away()) {
            self.none_since = None;
            return Ok(());
        }
        let since = *self.none_since.get_or_insert_with(Instant::now);
        if session.attaches_again() && since.elapsed() < WITHOUT_ANY {
            return Ok(());
        }
        let names: Vec<_> = self.watched.iter().map(|watched| watched.name.as_str()).collect();
        let verb = if names.len() == 1 { "is" } else { "are" };
        Err(RunError::InterfacesGone(format!("{} {verb}", names.join(", "))))
    }

    /// Says what has changed since the last look, when watching ends.
    pub(crate) fn look_last(&mut self, session: &mut Session) {
        for (place, watched) in self.watched.iter_mut().enumerate() {
            watched.look(place, session);
        }
    }

    /// How many are away.
    pub(crate) fn gone(&self) -> u64 {
        self.watched.iter().filter(|watched| watched.is_away()).count() as u64
    }

    /// When each of them was away, in their order; what is away now is until `end_ns`.
    pub(crate) fn into_gaps(self, end_ns: u64) -> Vec<WatchGaps> {
        let closed = |mut watched: Watched| {
            if watched.is_away() {
                watched.gaps.push(Gap { from_ns: watched.seen_ns, until_ns: end_ns.max(watched.seen_ns) });
            }
            watched.gaps
        };
        self.watched.into_iter().map(closed).collect()
    }
}

impl Watched {
    fn is_away(&self) -> bool {
        matches!(self.state, State::Gone | State::Bare)
    }

    /// False while it is away.
    fn look(&mut self, place: usize, session: &mut Session) -> bool {
        let now_ns = session.now_ns();
        if self.is_away() {
            return false;
        }
        // A kernel that does not answer now will answer in a second.
        let Ok(seen) = netdev::seen(self.index) else { return true };
        let state = match &seen {
            None => State::Gone,
            Some(seen) if !seen.has_program(self.program) => State::Bare,
            Some(seen) if seen.up => State::Up,
            Some(_) => State::Down,
        };
        if let Some(seen) = seen.filter(|seen| seen.name != self.known_as) {
            let was = std::mem::replace(&mut self.known_as, seen.name);
            output::say(&format!(
                "rstprobe: {was}: the interface was renamed to {} and is watched on; it is called {} here",
                self.known_as, self.name
            ));
        }
        if let Some(line) = self.change(state, now_ns, session.attaches_again()) {
            output::say(&line);
        }
        if self.is_away() {
            session.release(place, self.seen_ns);
        } else {
            self.seen_ns = now_ns;
        }
        !self.is_away()
    }

    fn look_for_return(&mut self, place: usize, session: &mut Session) {
        match session.attach_again(place, &self.name) {
            Ok(false) => {}
            Err(error) => {
                let error = error.to_string();
                if error != self.refused {
                    output::say(&format!("rstprobe: {}: back, and cannot be attached yet: {error}", self.name));
                    self.refused = error;
                }
            }
            Ok(true) => {
                let now_ns = session.now_ns();
                if let Some(attachment) = session.attachments().get(place) {
                    (self.index, self.program) = (attachment.device.index, attachment.program_id);
                    self.state = if attachment.device.up { State::Up } else { State::Down };
                }
                output::say(&self.returned(now_ns));
            }
        }
    }

    /// It is attached again: what is to be said.
    fn returned(&mut self, now_ns: u64) -> String {
        let gap = Gap { from_ns: self.seen_ns, until_ns: now_ns.max(self.seen_ns) };
        self.gaps.push(gap);
        self.seen_ns = now_ns;
        self.known_as.clone_from(&self.name);
        self.refused.clear();
        format!(
            "rstprobe: {}: attached again at {}; nothing was seen there for {:.1} s at most, since {}",
            self.name,
            shown(now_ns),
            gap.seconds(),
            shown(gap.from_ns)
        )
    }

    /// What is to be said when it is in state `now`; nothing when it was before.
    fn change(&mut self, now: State, now_ns: u64, attaches_again: bool) -> Option<String> {
        if now == self.state {
            return None;
        }
        self.state = now;
        let (seen, noticed) = (shown(self.seen_ns), shown(now_ns));
        let then = if attaches_again {
            format!("nothing is seen there until it can be attached again to what is called {}", self.name)
        } else {
            "nothing more is seen there: sockets (--datapath afxdp) are not attached again".to_owned()
        };
        let what = match now {
            State::Up => "is up again".to_owned(),
            State::Down => "is down".to_owned(),
            State::Gone => {
                format!("was removed, or moved to another network namespace, between {seen} and {noticed}; {then}")
            }
            State::Bare => format!("lost its program between {seen} and {noticed}; {then}"),
        };
        Some(format!("rstprobe: {}: the interface {what}", self.name))
    }
}

fn shown(ns: u64) -> String {
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + Duration::from_nanos(ns)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn eth1() -> Watched {
        Watched {
            name: "eth1".to_string(),
            known_as: "eth1".to_string(),
            index: 7,
            program: Some(3),
            state: State::Up,
            seen_ns: SECOND,
            refused: String::new(),
            gaps: WatchGaps::default(),
        }
    }

    #[test]
    fn every_change_is_said_once() {
        let mut eth1 = eth1();
        assert_eq!(eth1.change(State::Up, 0, true), None);
        assert_eq!(eth1.change(State::Down, 0, true).as_deref(), Some("rstprobe: eth1: the interface is down"));
        assert_eq!(eth1.change(State::Down, 0, true), None);
        assert_eq!(eth1.change(State::Up, 0, true).as_deref(), Some("rstprobe: eth1: the interface is up again"));
        let gone = eth1.change(State::Gone, 2 * SECOND, true).expect("a change");
        let expected = "rstprobe: eth1: the interface was removed, or moved to another network namespace, between \
                        1970-01-01T00:00:01.000Z and 1970-01-01T00:00:02.000Z; nothing is seen there until";
        assert!(gone.starts_with(expected), "{gone}");
        assert_eq!(eth1.change(State::Gone, 3 * SECOND, true), None);
    }

    #[test]
    fn a_gap_is_told_from_when_it_was_last_there() {
        let mut eth1 = eth1();
        eth1.change(State::Bare, 2 * SECOND, true).expect("a change");
        let said = eth1.returned(4 * SECOND + SECOND / 5);
        let expected =
            "rstprobe: eth1: attached again at 1970-01-01T00:00:04.200Z; nothing was seen there for 3.2 s at most";
        assert!(said.starts_with(expected), "{said}");
        eth1.change(State::Gone, 6 * SECOND, true).expect("a change");
        let interfaces = Interfaces { watched: vec![eth1], looked: Instant::now(), none_since: None };
        let gap = |from_ns, until_ns| Gap { from_ns, until_ns };
        // Up to the end, where it is still away then.
        let all = [gap(SECOND, 4 * SECOND + SECOND / 5), gap(4 * SECOND + SECOND / 5, 9 * SECOND)];
        assert_eq!(interfaces.into_gaps(9 * SECOND), [all.into_iter().collect()]);
    }
}
