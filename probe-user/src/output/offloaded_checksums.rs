//! Offloaded checksums: says when wrong checksums are those that the capturing host leaves to its NIC.

use crate::tracker::{OffloadCounts, TrackerStats};

/// Segments that all have wrong checksums, in both directions, and are no accident.
const ENOUGH: u64 = 8;

/// What people should know, with the option that helps; `None` when all is well. `good` and `bad` count segments.
pub(crate) fn notice(good: u64, bad: u64, stats: &TrackerStats) -> Option<String> {
    let OffloadCounts { connections, segments } = stats.offload;
    let what = if connections > 0 {
        format!(
            "in {connections} of {} connections the TCP checksums of one direction are wrong and those of the other right \
             ({segments} segments)",
            stats.written
        )
    } else if bad >= ENOUGH && bad > good {
        format!("{bad} of {} TCP checksums are wrong", good + bad)
    } else {
        return None;
    };
    Some(format!(
        "rstprobe: {what}: the capture was probably taken on a host that leaves checksums to its NIC. These segments are \
         left out, and what ended such connections is uncertain; read it again with --no-checksums"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offloading_host_is_told_from_damage() {
        let damaged = TrackerStats { written: 9, ..TrackerStats::default() };
        assert_eq!([notice(100, 3, &damaged), notice(0, 3, &damaged), notice(0, 0, &damaged)], [None, None, None]);
        let of = OffloadCounts { connections: 2, segments: 40 };
        let offload = notice(100, 41, &TrackerStats { offload: of, ..damaged }).expect("a notice");
        assert!(offload.contains("in 2 of 9 connections") && offload.contains("(40 segments)"), "{offload}");
        let both = notice(1, 99, &damaged).expect("a notice");
        assert!(both.contains("99 of 100") && both.ends_with("--no-checksums"), "{both}");
    }
}
