//! The room rules: which part of the code may use what. The table is the rule; the rest reads it.
//!
//! Tests may use anything.

use super::{Finding, paths, source::Source};

struct Room {
    /// Files and folders, without `.rs`.
    places: &'static [&'static str],
    banned: &'static [&'static str],
    /// What the ban keeps.
    keeps: &'static str,
}

const CLOCK: [&str; 2] = ["std::time::Instant", "std::time::SystemTime"];

const ROOMS: &[Room] = &[
    Room {
        places: &[
            "probe-ebpf/src/bench_flows",
            "probe-ebpf/src/flood",
            "probe-ebpf/src/layout",
            "probe-ebpf/src/parse",
            "probe-ebpf/src/record",
            "probe-ebpf/src/frame_snapshot",
            "probe-ebpf/src/tunnel",
            "probe-ebpf/src/xsk_redirect",
        ],
        banned: &["alloc", "std", "aya", "aya_ebpf", "aya_log_ebpf", "core::time"],
        keeps: "layout, parse and record are core only, the same code in kernel and user space",
    },
    Room {
        places: &["probe-user/src/source"],
        banned: &["crate::tracker", "crate::verdict", "crate::record", "crate::aggregate", "crate::report", "clap"],
        keeps: "a source delivers segments and knows nothing of what becomes of them",
    },
    Room {
        places: &[
            "probe-user/src/source",
            "probe-user/src/record",
            "probe-user/src/tcp",
            "probe-user/src/tracker",
            "probe-user/src/verdict",
        ],
        banned: &["println!", "print!", "eprintln!", "eprint!"],
        keeps: "printing is for sinks",
    },
    Room {
        places: &["probe-user/src/record", "probe-user/src/tcp", "probe-user/src/tracker", "probe-user/src/verdict"],
        banned: &["tokio", "aya", "log", "tracing", "std::fs", "std::io", "clap", "libc"],
        keeps: "the tracker is pure: segments in, verdicts out",
    },
    Room {
        places: &["probe-user/src/record", "probe-user/src/tcp", "probe-user/src/tracker", "probe-user/src/verdict"],
        banned: &["std::collections::HashMap", "std::collections::HashSet", "std::hash::RandomState"],
        keeps: "a hasher seeded at random makes output depend on the run",
    },
    Room {
        places: &[
            "probe-user/src/aggregate",
            "probe-user/src/evidence",
            "probe-user/src/explain",
            "probe-user/src/filter",
            "probe-user/src/findings",
            "probe-user/src/query",
            "probe-user/src/report",
            "probe-user/src/zone",
        ],
        banned: &["std::fs", "std::io", "tokio", "aya", "clap"],
        keeps: "aggregates, filters and reports are pure: data in, data out",
    },
    Room {
        places: &[
            "probe-user/src/record",
            "probe-user/src/tcp",
            "probe-user/src/tracker",
            "probe-user/src/verdict",
            "probe-user/src/aggregate",
            "probe-user/src/evidence",
            "probe-user/src/explain",
            "probe-user/src/filter",
            "probe-user/src/findings",
            "probe-user/src/query",
            "probe-user/src/report",
            "probe-user/src/zone",
        ],
        banned: &CLOCK,
        keeps: "time is an argument, so that a replay follows the capture's time",
    },
    Room {
        places: &["probe-user/src/cli", "probe-user/src/plan"],
        banned: &["std::fs", "aya", "std::net::TcpStream", "std::net::TcpListener", "tokio"],
        keeps: "cli and plan say what is wanted and open nothing",
    },
    Room {
        places: &["probe-user/src/sandbox"],
        banned: &[
            "crate::agent",
            "crate::cli",
            "crate::command",
            "crate::error",
            "crate::output",
            "crate::plan",
            "crate::record",
            "crate::source",
            "crate::tracker",
            "aya",
            "clap",
        ],
        keeps: "the sandbox knows what a process may do, not what it does",
    },
    Room { places: &["probe-user/src/plan"], banned: &["clap"], keeps: "the command line ends in cli" },
];

/// What the file uses against the rules of its room.
pub(super) fn check(source: &Source<'_>) -> Vec<Finding> {
    let rooms: Vec<&Room> =
        ROOMS.iter().filter(|room| room.places.iter().any(|place| is_in(source.path, place))).collect();
    if rooms.is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for named in paths::named(source).into_iter().filter(|named| !source.is_test(named.line)) {
        for room in &rooms {
            if let Some(banned) = room.banned.iter().find(|banned| covers(banned, &named.path)) {
                let why = format!("`{banned}` is not for this room: {}", room.keeps);
                findings.push(Finding { path: source.path.to_owned(), line: named.line + 1, why });
            }
        }
    }
    findings.dedup();
    findings
}

fn is_in(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// A ban covers the path itself, everything within it, and a `*` just above it.
fn covers(banned: &str, path: &str) -> bool {
    if let Some(folder) = path.strip_suffix("::*") {
        return banned == folder
            || covers(banned, folder)
            || banned.rsplit_once("::").is_some_and(|(up, _)| up == folder);
    }
    path.strip_prefix(banned).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Source::new(path, text)).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn the_tracker_has_no_clock_and_no_files() {
        let text =
            "use std::{\n    fs::File,\n    net::IpAddr,\n};\nuse std::time;\nfn f() { time::Instant::now(); }\n";
        assert_eq!(lines("probe-user/src/tracker/tracking.rs", text), [2, 6]);
        assert_eq!(lines("probe-user/src/run.rs", text), [0; 0]);
    }

    #[test]
    fn the_tracker_has_no_hash_order() {
        let path = "probe-user/src/tracker/mod.rs";
        assert_eq!(lines(path, "use std::collections::HashMap;\n"), [1]);
        assert_eq!(lines(path, "use std::collections::*;\n"), [1]);
        assert_eq!(lines(path, "use std::collections::BTreeMap;\nuse hashbrown::HashMap;\n"), [0; 0]);
    }

    #[test]
    fn parsing_is_core_only() {
        let text = "use core::fmt;\nuse std::vec::Vec;\nuse aya_ebpf::bindings;\n";
        assert_eq!(lines("probe-ebpf/src/parse.rs", text), [2, 3]);
        assert_eq!(lines("probe-ebpf/src/program/entry.rs", text), [0; 0]);
    }

    #[test]
    fn a_source_knows_nothing_of_reports() {
        let path = "probe-user/src/source/pcap.rs";
        assert_eq!(lines(path, "use super::super::report::Row;\nuse super::Segment;\n"), [1]);
        assert_eq!(lines(path, "fn f() { println!(\"x\"); }\n"), [1]);
    }

    #[test]
    fn tests_may_use_anything() {
        let text = "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        assert_eq!(lines("probe-user/src/report/html.rs", text), [0; 0]);
        assert_eq!(lines("probe-user/src/report/tests.rs", "use std::fs;\n"), [0; 0]);
    }

    #[test]
    fn a_ban_covers_what_is_within() {
        assert!(covers("std::fs", "std::fs::File") && covers("std::fs", "std::*"));
        assert!(!covers("std::fs", "std::fsx") && !covers("aya", "aya_ebpf::x") && !covers("std::fs", "std"));
    }
}
