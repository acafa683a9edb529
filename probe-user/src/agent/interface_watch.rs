//! Interface watch: notices interfaces that go down or away, which takes the program with it silently.

use std::time::{Duration, Instant};

use crate::source::live::{LiveError, attach::Attachment, netdev};
use crate::{error::RunError, output};

/// How often the kernel is asked.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Up,
    Down,
    Gone,
}

struct Watched {
    name: String,
    index: u32,
    state: State,
}

/// The watched interfaces, and how they were when they were last looked at.
pub(crate) struct Interfaces {
    watched: Vec<Watched>,
    looked: Instant,
}

impl Interfaces {
    pub(crate) fn new(attachments: &[Attachment]) -> Self {
        let watched = attachments.iter().map(|attachment| Watched {
            name: attachment.device.name.clone(),
            index: attachment.device.index,
            state: State::Up,
        });
        Self { watched: watched.collect(), looked: Instant::now() }
    }

    /// Says what has changed. To be called often; asks the kernel once a second.
    ///
    /// # Errors
    /// [`RunError::InterfacesGone`] when the last one is gone.
    pub(crate) fn look(&mut self) -> Result<(), RunError> {
        if self.looked.elapsed() < PERIOD {
            return Ok(());
        }
        self.looked = Instant::now();
        // A kernel that does not answer now will answer in a second.
        let Ok(states) = self.states() else { return Ok(()) };
        for (watched, now) in self.watched.iter_mut().zip(states) {
            if let Some(line) = watched.change(now) {
                output::say(&line);
            }
        }
        if self.watched.iter().any(|watched| watched.state != State::Gone) {
            return Ok(());
        }
        let names: Vec<_> = self.watched.iter().map(|watched| watched.name.as_str()).collect();
        let verb = if names.len() == 1 { "is" } else { "are" };
        Err(RunError::InterfacesGone(format!("{} {verb}", names.join(", "))))
    }

    fn states(&self) -> Result<Vec<State>, LiveError> {
        let state = |watched: &Watched| {
            Ok(match netdev::is_up(watched.index)? {
                Some(true) => State::Up,
                Some(false) => State::Down,
                None => State::Gone,
            })
        };
        self.watched.iter().map(state).collect()
    }

    /// How many are gone.
    pub(crate) fn gone(&self) -> u64 {
        self.watched.iter().filter(|watched| watched.state == State::Gone).count() as u64
    }
}

impl Watched {
    /// What is to be said when it is in state `now`; nothing when it was before. What is gone does not come back: its
    /// program went with it.
    fn change(&mut self, now: State) -> Option<String> {
        if now == self.state || self.state == State::Gone {
            return None;
        }
        self.state = now;
        let what = match now {
            State::Up => "is up again",
            State::Down => "is down",
            State::Gone => "was removed; nothing more is seen there",
        };
        Some(format!("rstprobe: {}: the interface {what}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_said_once_and_gone_is_for_good() {
        let mut eth1 = Watched { name: "eth1".to_string(), index: 7, state: State::Up };
        assert_eq!(eth1.change(State::Up), None);
        assert_eq!(eth1.change(State::Down).as_deref(), Some("rstprobe: eth1: the interface is down"));
        assert_eq!(eth1.change(State::Down), None);
        assert_eq!(eth1.change(State::Up).as_deref(), Some("rstprobe: eth1: the interface is up again"));
        let gone = "rstprobe: eth1: the interface was removed; nothing more is seen there";
        assert_eq!(eth1.change(State::Gone).as_deref(), Some(gone));
        assert_eq!(eth1.change(State::Up), None);
    }
}
