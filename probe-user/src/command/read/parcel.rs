//! Parcel: a batch of segments on its way through reading, with what is to be said around it.

use crate::{
    source::capture::{self, Decoded, Remark},
    tracker::{Arrival, Batch, Between, Extra, Header, ResetText, Tracker},
};

/// What decoding hands over at a time.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    pub(super) batch: Batch,
    /// Time of the first frame of all, if that is in it.
    pub(super) begin_ns: Option<u64>,
    /// Frames of all captures up to its end.
    pub(super) frames: u64,
    /// To be said once its segments have been taken.
    pub(super) notices: Vec<String>,
}

impl Parcel {
    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.batch.clear();
        self.notices.clear();
        self.begin_ns = None;
    }
}

/// Adds what the frame of the last segment said beyond it, and the frame after it that has none.
pub(super) fn note(batch: &mut Batch, remark: Option<Remark>, other_ns: Option<u64>) {
    match remark {
        Some(Remark::Icmp { quote, time_ns }) => return batch.add(Between::Refused(quote, time_ns)),
        Some(Remark::Reset { key, from_hi, option, text, time_ns }) => {
            batch.add(Between::Said(Box::new(ResetText { key, from_hi, option, text, time_ns })));
        }
        None => {}
    }
    if let Some(time_ns) = other_ns {
        batch.add(Between::Time(time_ns));
    }
}

/// Tells the tracker what a frame said beyond its segment.
pub(super) fn hear(tracker: &mut Tracker, remark: Remark) {
    match remark {
        Remark::Icmp { quote, time_ns } => {
            tracker.unreachable(&quote, time_ns);
        }
        Remark::Reset { key, from_hi, option, text, time_ns } => {
            tracker.reset_said(&key, from_hi, option, &text, time_ns);
        }
    }
}

/// A decoded segment in the tracker's words.
pub(super) fn arrival(decoded: Decoded) -> Arrival {
    let Decoded { segment, bad_checksum, payload_cut, header } = decoded;
    let header = match header {
        capture::Header::Whole => Header::Whole,
        capture::Header::Cut => Header::Cut,
        capture::Header::Contradictory => Header::Contradictory,
    };
    Arrival { segment, extra: Extra { bad_checksum, payload_cut, header } }
}
