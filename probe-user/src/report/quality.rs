//! How good the capture is: copies, bytes that nobody saw, connections of which one direction is missing.

use serde::Serialize;

/// Shares from which on people are told, percent.
const TELL_COPIES: u64 = 1;
const TELL_LOSS: u64 = 1;

/// What the numbers rest on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quality {
    /// SYN, FIN and RST segments that reached the tracker.
    pub control_segments: u64,
    /// Of these, copies of one seen just before (mirrored twice).
    pub control_copies: u64,
    /// Payload bytes of connections seen from SYN to both FINs, by sequence numbers.
    pub bytes: u64,
    /// Of these, bytes that were acknowledged and never seen.
    pub missing_bytes: u64,
    /// Data segments were deliberately not recorded, so that missing bytes say nothing of the capture.
    pub shed: bool,
}

#[derive(Serialize)]
pub(super) struct QualityJson {
    control_segments: u64,
    control_copies: u64,
    bytes: u64,
    missing_bytes: u64,
    /// Missing bytes / bytes; null without bytes, or where data was deliberately not recorded.
    capture_loss: Option<f64>,
}

impl From<&Quality> for QualityJson {
    fn from(quality: &Quality) -> Self {
        let Quality { control_segments, control_copies, bytes, missing_bytes, .. } = *quality;
        Self { control_segments, control_copies, bytes, missing_bytes, capture_loss: quality.capture_loss() }
    }
}

impl Quality {
    /// Share of the bytes that were acknowledged and never seen. The idea is Zeek's (policy/misc/capture-loss.zeek, which
    /// counts acknowledgements above a gap); bytes are what both data paths know.
    pub fn capture_loss(&self) -> Option<f64> {
        (self.bytes > 0 && !self.shed).then(|| self.missing_bytes as f64 / self.bytes as f64)
    }

    /// What people should know; nothing when all is well.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = vec![];
        let Self { control_segments, control_copies, bytes, missing_bytes, .. } = *self;
        if control_copies > 0 && control_copies * 100 >= control_segments * TELL_COPIES {
            notices.push(format!(
                "{control_copies} of {control_segments} SYN, FIN and RST came twice, equal in every field: is the traffic \
                 mirrored twice (both ports of a link, ingress and egress)? They are counted as sent twice"
            ));
        }
        if let Some(loss) = self.capture_loss()
            && missing_bytes * 100 >= bytes * TELL_LOSS
        {
            notices.push(format!(
                "{:.1} % of the bytes of whole connections were acknowledged but never seen: the capture loses packets \
                 before rstprobe",
                loss * 100.0
            ));
        }
        notices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_not_worth_a_word_and_much_is() {
        let few = Quality { control_segments: 1000, control_copies: 1, bytes: 1000, missing_bytes: 9, shed: false };
        assert_eq!(few.notices(), Vec::<String>::new());
        assert_eq!(few.capture_loss(), Some(0.009));
        let many = Quality { control_copies: 500, missing_bytes: 250, ..few };
        assert_eq!(many.notices().len(), 2);
        assert!(many.notices()[1].starts_with("25.0 %"));
        assert_eq!(Quality { shed: true, ..many }.notices().len(), 1);
        assert_eq!(Quality::default().capture_loss(), None);
    }
}
