//! The zoo: real programs (curl, nginx, haproxy, node, Redis, PostgreSQL, ...) end connections in ways whose truth is known
//! by construction, and the probe is asked from four places.
//!
//! * [`network`]: client, router, ten milliseconds, server.
//! * [`situation`]: what a situation is, and what can be true of a connection.
//! * [`table`]: all of them.
//! * [`play`]: plays them, with captures and live probes at both ends.
//! * [`packets`]: what passed of each connection, without the probe's parser: whether a situation was staged at all.
//! * [`judge`]: truth against verdict.
//! * [`kernel_words`]: resets with a process, and words of the kernel without an RST.
//! * [`report`]: how it is shown, and when it is good enough.

pub mod judge;
pub mod kernel_words;
pub mod network;
pub mod packets;
pub mod play;
pub mod report;
pub mod situation;
pub mod table;

use situation::{FIRST_PORT, PORTS};

/// Ports of all situations end below this one.
const PORTS_END: u16 = FIRST_PORT + 1000;

/// Whether `port` is one that a situation has.
pub fn is_ours(port: u16) -> bool {
    (FIRST_PORT..PORTS_END).contains(&port)
}

/// First port of situation number `index`.
///
/// # Panics
/// When there are more situations than ports, which is a mistake in this package.
pub fn port_of(index: usize) -> u16 {
    let port = FIRST_PORT + u16::try_from(index).expect("fewer situations than ports") * PORTS;
    assert!(is_ours(port), "fewer situations than ports");
    port
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use probe_user::record::{Cause, Impact, ResetBy};

    use super::*;

    #[test]
    fn names_are_unique_and_each_situation_has_ports_and_truths() {
        let all = table::all();
        let names: BTreeSet<_> = all.iter().map(|situation| situation.name).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|situation| !situation.truths.is_empty() && !situation.client.is_empty()));
        assert!(is_ours(port_of(all.len() - 1)));
        assert!(all.len() >= 100 && all.iter().filter(|situation| situation.core).count() >= 40);
    }

    #[test]
    fn truths_speak_the_words_of_the_probe() {
        let is_known = |word: &str, all: &[&str]| all.contains(&word);
        let causes: Vec<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        let impacts: Vec<_> = Impact::ALL.iter().map(|impact| impact.as_str()).collect();
        let who: Vec<_> = ResetBy::ALL.iter().map(|by| by.as_str()).collect();
        for situation in table::all() {
            for truth in situation.truths {
                assert!(truth.causes.iter().all(|word| is_known(word, &causes)), "{}", situation.name);
                assert!(truth.impacts.iter().all(|word| is_known(word, &impacts)), "{}", situation.name);
                assert!(truth.by.iter().all(|word| is_known(word, &who)), "{}", situation.name);
            }
        }
    }
}
