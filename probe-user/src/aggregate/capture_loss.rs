//! Capture loss: bytes that were acknowledged, and those of them that were never seen.

use crate::record::{Basis, Closing, Connection, Side};

/// More than any window holds (RFC 7323 2.3): a sender never has so much unacknowledged.
const LARGEST_WINDOW: u64 = 1 << 30;

/// Payload bytes of connections seen from SYN to both FINs, where every segment is counted: what the other side has
/// acknowledged and nobody saw is missing from the capture.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CaptureLoss {
    /// Connections of any kind of which one direction was seen only.
    pub one_sided: u64,
    /// Such connections.
    pub connections: u64,
    /// Of these, connections with missing bytes, those of `implausible` aside.
    pub gapped: u64,
    /// Of these, connections of which a direction lacks more than a window holds, and more than was seen of it: there an
    /// acknowledgement or a sequence number jumped. The bytes of such a direction are in neither sum below.
    pub implausible: u64,
    /// Bytes by sequence numbers.
    pub all: u64,
    /// Of these, never seen.
    pub missing: u64,
}

impl CaptureLoss {
    /// Adds those of a connection.
    #[inline]
    pub fn add(&mut self, connection: &Connection) {
        self.one_sided += u64::from(connection.lacks_a_direction());
        let whole = connection.is_established() && connection.closing == Closing::TwoFins;
        if !whole || connection.basis != Basis::AllSegments {
            return;
        }
        let sides = [&connection.from_orig, &connection.from_resp];
        let mut lacks = false;
        for side in sides.into_iter().filter(|side| is_plausible(side)) {
            self.all += side.bytes;
            self.missing += missing(side);
            lacks |= missing(side) > 0;
        }
        let is_implausible = !sides.into_iter().all(is_plausible);
        self.connections += 1;
        self.implausible += u64::from(is_implausible);
        self.gapped += u64::from(lacks && !is_implausible);
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            one_sided: self.one_sided + other.one_sided,
            connections: self.connections + other.connections,
            gapped: self.gapped + other.gapped,
            implausible: self.implausible + other.implausible,
            all: self.all + other.all,
            missing: self.missing + other.missing,
        }
    }
}

fn missing(side: &Side) -> u64 {
    side.bytes.saturating_sub(side.payload_bytes)
}

fn is_plausible(side: &Side) -> bool {
    missing(side) <= LARGEST_WINDOW.max(side.payload_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{aggregate::tests::connection, record::Opening};

    /// Sums over connections with these bytes, all and seen, of the client.
    fn of(sides: &[(u64, u64)]) -> CaptureLoss {
        let mut sum = CaptureLoss::default();
        for &(bytes, payload_bytes) in sides {
            let client = Side { bytes, payload_bytes, packets: 1, ..Side::default() };
            let server = Side { packets: 1, ..Side::default() };
            sum.add(&connection("10.0.0.2:80", Opening::Completed, Closing::TwoFins, client, server));
        }
        sum
    }

    #[test]
    fn a_side_that_must_have_spoken_and_was_not_seen_is_missing() {
        let (none, syn_ack) = (Side::default(), Side { syn_ack: 1, packets: 2, ..Side::default() });
        let data = Side { payload_bytes: 10, packets: 2, ..Side::default() };
        let syn = Side { syn: 1, packets: 1, ..Side::default() };
        let count = |opening, client: Side, server: Side| {
            let mut sum = CaptureLoss::default();
            sum.add(&connection("10.0.0.2:80", opening, Closing::RstOnly, client, server));
            sum.one_sided
        };
        assert_eq!((count(Opening::NotSeen, none, syn_ack), count(Opening::NotSeen, data, none)), (1, 1));
        assert_eq!((count(Opening::Unanswered, syn, none), count(Opening::Completed, data, syn_ack)), (0, 0));
        assert_eq!(count(Opening::OneSided, syn, none), 1);
        assert_eq!(count(Opening::NotSeen, Side { packets: 1, ..data }, none), 0, "one segment alone");
    }

    #[test]
    fn a_jump_is_no_loss() {
        let seen = CaptureLoss { connections: 1, all: 100, ..CaptureLoss::default() };
        assert_eq!(of(&[(100, 100)]), seen);
        let lost = CaptureLoss { connections: 1, gapped: 1, all: 100, missing: 40, ..CaptureLoss::default() };
        assert_eq!(of(&[(100, 60)]), lost);
        let jumped = of(&[(3 << 30, 60)]);
        assert_eq!(jumped, CaptureLoss { connections: 1, implausible: 1, ..CaptureLoss::default() });
        let much = of(&[(10 << 30, 6 << 30)]);
        assert_eq!((much.gapped, much.missing), (1, 4 << 30), "a long transfer may lose more than a window in all");
        assert_eq!(of(&[(100, 100), (100, 60)]).and(jumped), of(&[(3 << 30, 60), (100, 60), (100, 100)]));
    }
}
