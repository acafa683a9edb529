//! Processes that reset tracked connections, and resets that a listener's kernel sent, which name no peer.
//!
//! Beside the connections and not in them: few have any. At most [`MOST`] are kept.

use std::collections::{BTreeMap, VecDeque};

use probe_ebpf::layout::{Endpoint, FlowKey};

/// Connections of a partition of which a process is kept at once, and RSTs that a listener may have sent.
const MOST: usize = 1 << 10;
/// RSTs are remembered for so long: longer than two drains.
const RETENTION_NS: u64 = 2_000_000_000;
/// A reset that left its host longer than this before or after its kernel spoke of it is another one. The kernel speaks
/// before a reply (`tcp_v4_send_reset`) and after an abort (`tcp_send_active_reset`); between lie a queue, a preemption, or
/// the search for the neighbour's address.
pub(crate) const RESET_LEAVES_WITHIN_NS: u64 = 1_000_000_000;
/// A listener's reset leaves its host within this time after its kernel spoke of it.
const LISTENER_NS: u64 = 20_000_000;

/// A process of the host that watches itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// Its number in the host's first pid namespace.
    pub pid: u32,
    /// Name of the thread (`comm`), 15 bytes at most.
    pub name: String,
    /// Its control group: the service or container that it belongs to; `None` in the root, and when it has ended.
    pub cgroup: Option<String>,
}

/// By number of connection: who reset it.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    of: BTreeMap<u64, Process>,
}

impl Processes {
    /// The process that reset the connection of this number.
    #[inline]
    pub(crate) fn of(&self, id: u64) -> Option<&Process> {
        if self.of.is_empty() { None } else { self.of.get(&id) }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// The same of one that has been written.
    pub(crate) fn take(&mut self, id: u64) -> Option<Process> {
        self.of.remove(&id)
    }

    pub(crate) fn add(&mut self, id: u64, process: &Process) {
        if self.of.len() < MOST {
            self.of.insert(id, process.clone());
        }
    }
}

/// RSTs of connections on which the kernel has said nothing yet.
#[derive(Debug, Default)]
pub(crate) struct UnexplainedResets {
    /// When, of which port, whose.
    seen: VecDeque<(u64, u16, FlowKey, bool)>,
}

impl UnexplainedResets {
    /// An RST was seen that this host's kernel may have sent.
    pub(crate) fn saw_rst(&mut self, time_ns: u64, port: u16, key: FlowKey, from_hi: bool) {
        // Its kernel would have spoken by now, or a drain later.
        while self.seen.front().is_some_and(|entry| entry.0 + RETENTION_NS < time_ns) || self.seen.len() >= MOST {
            self.seen.pop_front();
        }
        self.seen.push_back((time_ns, port, key, from_hi));
    }

    /// The RST that a listener on `port` sent at `time_ns`: the nearest one of its port. The kernel names no peer there
    /// (`tcp_v4_send_reset` of a segment that met a listening socket).
    pub(crate) fn of_listener(&mut self, port: u16, time_ns: u64) -> Option<(FlowKey, bool)> {
        let distance = |entry: &(u64, u16, FlowKey, bool)| entry.0.abs_diff(time_ns);
        let candidates = self.seen.iter().enumerate().filter(|(_, entry)| entry.1 == port);
        let (at, _) =
            candidates.min_by_key(|(_, entry)| distance(entry)).filter(|(_, entry)| distance(entry) <= LISTENER_NS)?;
        self.seen.remove(at).map(|(_, _, key, from_hi)| (key, from_hi))
    }
}

/// The unspecified address, of either family: whom a listener talks to.
pub(crate) fn is_nobody(end: Endpoint) -> bool {
    let (octets, v4) = (end.octets(), Endpoint::v4(0, 0).octets());
    octets == [0; 16] || octets == v4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listeners_reset_is_the_nearest_of_its_port() {
        let mut processes = UnexplainedResets::default();
        let key = |number: u64| FlowKey { words: [number, 0, 0, 0, 0] };
        for (time_ns, port, number) in [(1_000_000, 80, 1), (5_000_000, 80, 2), (5_100_000, 81, 3)] {
            processes.saw_rst(time_ns, port, key(number), true);
        }
        assert_eq!(processes.of_listener(80, 4_900_000), Some((key(2), true)));
        assert_eq!(processes.of_listener(80, 4_900_000), Some((key(1), true)), "each once");
        assert_eq!(processes.of_listener(80, 4_900_000), None);
        assert_eq!(processes.of_listener(81, 90_000_000), None, "too long ago");
    }
}
