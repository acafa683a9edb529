//! Checksum offload: recognises captures on a host that leaves checksums to its NIC (all of one direction are wrong).

use crate::tcp::marks::{ORIG, RESP};
use crate::tcp::track::Track;

/// Wrong checksums of a direction that are no accident.
const ENOUGH: u64 = 2;

/// Connections of which one direction has wrong TCP checksums and the other right ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OffloadCounts {
    /// Connections.
    pub connections: u64,
    /// Their segments with wrong checksums, which were dropped.
    pub segments: u64,
}

impl OffloadCounts {
    /// Adds a connection that is about to be written.
    #[inline]
    pub(crate) fn add(&mut self, track: &Track) {
        if track.rare().is_some() {
            let segments = offloaded(track, ORIG).max(offloaded(track, RESP));
            self.connections += u64::from(segments > 0);
            self.segments += segments;
        }
    }
}

/// Segments of side `side` that its host seems to have sent without checksum, 0 unless it looks like that.
fn offloaded(track: &Track, side: usize) -> u64 {
    let bad = |side: usize| track.odd(side).map_or(0, |odd| u64::from(odd.bad_checksums));
    let good = |side: usize| u64::from(track.ends[side].packets);
    let is_offloaded = bad(side) >= ENOUGH && bad(side) > good(side) && bad(1 - side) == 0 && good(1 - side) > 0;
    if is_offloaded { bad(side) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::{Extra, Tracker, TrackerConfig, tests::Dialogue};

    /// Segments of a talk, the checksums of which are wrong as `is_bad` says by sender and number.
    fn counted(is_bad: impl Fn(bool, usize) -> bool) -> OffloadCounts {
        let dialogue = Dialogue::new().play("ShADadA");
        let mut tracker = Tracker::new(TrackerConfig::default());
        let first = dialogue.segments[0].record.from_hi();
        for (nth, segment) in dialogue.segments.iter().enumerate() {
            let bad_checksum = is_bad(segment.record.from_hi() == first, nth);
            tracker.observe(segment, Extra { bad_checksum, ..Extra::default() });
        }
        tracker.finish(dialogue.now);
        tracker.stats().offload
    }

    #[test]
    fn one_direction_alone_is_offloaded() {
        // Its SYN is in a record of its own: nothing was believed of it, and the answer begins anew.
        assert_eq!(counted(|is_client, _| is_client), OffloadCounts { connections: 1, segments: 3 });
        assert_eq!(counted(|is_client, _| !is_client), OffloadCounts { connections: 1, segments: 3 });
    }

    #[test]
    fn damage_is_not() {
        let none = OffloadCounts::default();
        assert_eq!([counted(|_, _| false), counted(|_, _| true), counted(|_, nth| nth == 3)], [none; 3]);
        assert_eq!(counted(|is_client, nth| is_client && nth < 2), none);
    }
}
