//! Capture quality: copies, bytes that nobody saw, connections of which one direction is missing.

use serde::Serialize;

use crate::aggregate::CaptureLoss;
use crate::tracker::{CopyCounts, SAMPLED_ONE_IN};

/// Shares from which on people are told, percent.
const TELL_COPIES: u64 = 1;
const TELL_LOSS: u64 = 1;
/// Copies in a sample that are no accident.
const ENOUGH: u64 = 4;

/// What the numbers rest on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quality {
    /// What came twice.
    pub copies: CopyCounts,
    /// Connections seen from SYN to both FINs, and what was acknowledged of their bytes and never seen.
    pub whole: CaptureLoss,
    /// Data segments were deliberately not recorded, so that missing bytes say nothing of the capture.
    pub shed: bool,
    /// Segments that were left out for a wrong checksum: what they carried is in the capture, and was not taken.
    pub wrong_checksums: u64,
}

#[derive(Serialize)]
pub(super) struct QualityJson {
    control_segments: u64,
    control_copies: u64,
    /// Data segments of a sample, and how many of them were copies.
    data_sampled: u64,
    data_copies: u64,
    /// What the sample is of: one in so many of those with an IPv4 identification.
    data_sampled_one_in: u32,
    /// Copies / sampled: an estimate of the share of all; null without any.
    data_copies_share: Option<f64>,
    /// Copies of either kind whose TTL is not that of the first.
    copies_other_ttl: u64,
    /// Connections seen from SYN to both FINs; of these, with bytes that were acknowledged and never seen; and where
    /// acknowledgements jump by more than a window holds, whose bytes are in neither sum.
    whole_connections: u64,
    gapped_connections: u64,
    implausible_connections: u64,
    /// Connections of which one direction was seen only although the other must have spoken.
    one_sided_connections: u64,
    bytes: u64,
    missing_bytes: u64,
    /// Missing bytes / bytes; null without bytes, or where data was deliberately not recorded.
    capture_loss: Option<f64>,
}

impl From<&Quality> for QualityJson {
    fn from(quality: &Quality) -> Self {
        let Quality { copies, whole, .. } = *quality;
        let CopyCounts { control_segments, control_copies, data_sampled, data_copies, other_ttl } = copies;
        Self {
            control_segments,
            control_copies,
            data_sampled,
            data_copies,
            data_sampled_one_in: SAMPLED_ONE_IN,
            data_copies_share: quality.data_copies(),
            copies_other_ttl: other_ttl,
            whole_connections: whole.connections,
            gapped_connections: whole.gapped,
            implausible_connections: whole.implausible,
            one_sided_connections: whole.one_sided,
            bytes: whole.all,
            missing_bytes: whole.missing,
            capture_loss: quality.capture_loss(),
        }
    }
}

impl Quality {
    /// Share of the bytes that were acknowledged and never seen. The idea is Zeek's (policy/misc/capture-loss.zeek, which
    /// counts acknowledgements above a gap); bytes are what both data paths know.
    pub fn capture_loss(&self) -> Option<f64> {
        (self.whole.all > 0 && !self.shed).then(|| self.whole.missing as f64 / self.whole.all as f64)
    }

    /// Share of the sampled data segments that were copies: an estimate of the share among all with an IPv4 identification.
    pub fn data_copies(&self) -> Option<f64> {
        let CopyCounts { data_sampled, data_copies, .. } = self.copies;
        (data_sampled > 0).then(|| data_copies as f64 / data_sampled as f64)
    }

    /// What people should know; nothing when all is well.
    pub fn notices(&self) -> Vec<String> {
        let mut notices: Vec<String> = self.copies_notice().into_iter().collect();
        let CaptureLoss { connections, gapped, implausible, all, missing, .. } = self.whole;
        if let Some(loss) = self.capture_loss()
            && (missing * 100 >= all * TELL_LOSS || gapped * 100 >= connections * TELL_LOSS)
            && gapped > 0
        {
            // Each of them has a segment of which nothing was taken.
            let why = if self.wrong_checksums >= gapped {
                format!(
                    "{} segments with wrong checksums were left out, perhaps these; read it again with --no-checksums",
                    self.wrong_checksums
                )
            } else {
                "the capture loses packets before rstprobe".to_owned()
            };
            notices.push(format!(
                "in {gapped} of {connections} whole connections bytes were acknowledged that were never seen ({:.1} % of \
                 the bytes): {why}",
                loss * 100.0
            ));
        }
        if implausible > 0 && !self.shed {
            notices.push(format!(
                "in {implausible} of {connections} whole connections an acknowledgement or sequence number jumps: more bytes lie \
                 between than a window can hold (1 GiB) and than were seen; they are not counted as lost"
            ));
        }
        notices
    }

    fn copies_notice(&self) -> Option<String> {
        let CopyCounts { control_segments, control_copies, data_sampled, data_copies, other_ttl } = self.copies;
        let many = |copies: u64, of: u64| copies > 0 && copies * 100 >= of * TELL_COPIES;
        let control = many(control_copies, control_segments)
            .then(|| format!("{control_copies} of {control_segments} SYN, FIN and RST"));
        let share = self.data_copies().filter(|_| data_copies >= ENOUGH && many(data_copies, data_sampled));
        let data = share.map(|share| {
            let percent = share * 100.0;
            format!("about {percent:.1} % of the data segments ({data_copies} of {data_sampled} sampled)")
        });
        let what: Vec<String> = control.into_iter().chain(data).collect();
        let why = match (control_copies + data_copies).checked_sub(other_ttl) {
            Some(same) if other_ttl <= same => "mirrored twice (both ports of a link, ingress and egress)",
            _ => "mirrored before and after a router (the TTL differs)",
        };
        (!what.is_empty()).then(|| {
            let what = what.join(" and ");
            format!("{what} came twice, equal in every field: is the traffic {why}? They are counted as sent twice")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_not_worth_a_word_and_much_is() {
        let copies = CopyCounts { control_segments: 1000, control_copies: 1, ..CopyCounts::default() };
        let whole = CaptureLoss { connections: 200, gapped: 1, implausible: 0, one_sided: 0, all: 1000, missing: 9 };
        let few = Quality { copies, whole, ..Quality::default() };
        assert_eq!(few.notices(), Vec::<String>::new());
        assert_eq!((few.capture_loss(), few.data_copies()), (Some(0.009), None));
        let copies = CopyCounts { control_copies: 500, ..copies };
        let many = Quality { copies, whole: CaptureLoss { gapped: 2, missing: 250, ..whole }, ..few };
        assert_eq!(many.notices().len(), 2);
        assert!(many.notices()[1].starts_with("in 2 of 200 whole connections bytes were acknowledged"));
        assert!(many.notices()[1].contains("(25.0 % of the bytes)"));
        let jumped = Quality { whole: CaptureLoss { implausible: 3, ..whole }, ..few };
        assert!(jumped.notices()[0].starts_with("in 3 of 200 whole connections an ack"));
        assert_eq!(Quality { shed: true, ..many }.notices().len(), 1);
        let [_, damaged] = Quality { wrong_checksums: 2, ..many }.notices().try_into().expect("two");
        assert!(damaged.ends_with(
            "2 segments with wrong checksums were left out, perhaps these; read it again with --no-checksums"
        ));
        assert_eq!(Quality::default().capture_loss(), None);
    }

    #[test]
    fn copies_of_data_are_an_estimate_that_names_its_sample() {
        let of = |data_sampled, data_copies, other_ttl| {
            let copies = CopyCounts { data_sampled, data_copies, other_ttl, ..CopyCounts::default() };
            Quality { copies, ..Quality::default() }
        };
        assert_eq!(of(6, 3, 0).notices(), Vec::<String>::new(), "by accident");
        let twice = of(200, 100, 0);
        assert_eq!(twice.data_copies(), Some(0.5));
        let [notice] = twice.notices().try_into().expect("one");
        assert!(notice.starts_with("about 50.0 % of the data segments (100 of 200 sampled) came twice"), "{notice}");
        assert!(notice.contains("mirrored twice"), "{notice}");
        let [notice] = of(200, 100, 99).notices().try_into().expect("one");
        assert!(notice.contains("before and after a router"), "{notice}");
    }
}
