//! Evidence from captures: collects frames as they were captured, with the interface that the file names.
//!
//! Must not know: how captures are read, how connections are tracked or shown.

use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use probe_ebpf::layout::{FIN, RST, SYN};

use crate::{
    error::RunError,
    output::evidence_writer::{Evidence, EvidenceAccounting, Opened},
    printable,
};
use crate::{
    evidence::{self, Direction, Interface},
    plan::EvidencePlan,
    record::Connection,
    source::capture::{CapturedOn, Decoded, Frame, Header},
    tracker::Tracker,
};

/// Interfaces that are told apart: more than a merge of captures has. Each is kept with its name and that of its capture,
/// at several places.
const MAX_INTERFACES: usize = 1 << 12;

/// Evidence of one capture after the other.
pub(crate) struct CaptureEvidence {
    evidence: Evidence,
    /// As they are described in the evidence, but for their index there, which is this.
    interfaces: HashMap<Interface, u32, foldhash::fast::RandomState>,
    /// Frames of further ones.
    of_others: u64,
    /// Indices of the current capture's, by section and number.
    places: HashMap<(u32, u32), u32, foldhash::fast::RandomState>,
    /// The current capture, as it was named.
    capture: PathBuf,
}

impl CaptureEvidence {
    /// Opens the first file.
    ///
    /// # Errors
    /// There is nowhere to write to, or it would be over one of `captures`.
    pub(crate) fn open(plan: &EvidencePlan, captures: &[PathBuf]) -> Result<OpenedBeside, RunError> {
        Opened::beside(plan, captures).map(OpenedBeside)
    }

    /// From now on only connections count that start in a period, as those do that are shown.
    pub(crate) fn restrict(&mut self, period: [Option<u64>; 2]) {
        self.evidence.restrict(period);
    }

    /// The frames that follow are of this capture.
    pub(crate) fn begin(&mut self, capture: &Path) {
        self.places.clear();
        self.capture = capture.to_path_buf();
    }

    /// Takes the frame of a segment.
    pub(crate) fn frame(&mut self, decoded: &Decoded, frame: &Frame<'_>, on: &CapturedOn<'_>) {
        let Some(interface) = self.interface(on) else {
            self.of_others += 1;
            return;
        };
        let mut segment = decoded.segment;
        if decoded.bad_checksum || decoded.header != Header::Whole {
            // Its receiver drops it: it neither opens nor ends anything.
            segment.record.flags &= !(SYN | FIN | RST);
        }
        let wire_len = u32::try_from(frame.wire_len).unwrap_or(u32::MAX);
        let frame = evidence::Frame { interface, direction: Direction::Unknown, wire_len, bytes: frame.bytes };
        self.evidence.frame(&segment, &frame);
    }

    /// Takes what has ended out of the tracker, hands over its frames, and appends it to `closed`.
    pub(crate) fn ended(&mut self, tracker: &mut Tracker, closed: &mut Vec<Connection>) {
        if tracker.closed_len() > 0 {
            let mut ended = tracker.take_closed();
            self.evidence.ended(&ended);
            closed.append(&mut ended);
        }
    }

    /// Waits until everything is written.
    pub(crate) fn close(self) -> (EvidenceAccounting, Result<(), RunError>) {
        let (mut accounting, written) = self.evidence.close();
        accounting.collected.no_memory += self.of_others;
        (accounting, written)
    }

    /// Its index in the evidence; `None` when there are too many of them.
    fn interface(&mut self, on: &CapturedOn<'_>) -> Option<u32> {
        let key = (on.section, on.number);
        if let Some(&index) = self.places.get(&key) {
            return Some(index);
        }
        // Sections that follow each other usually are of the same interfaces.
        let described = describe(&self.capture, on);
        let next = self.interfaces.len();
        let index = match self.interfaces.get(&described) {
            Some(&index) => index,
            None if next >= MAX_INTERFACES => return None,
            None => {
                self.evidence.add(Interface { index: next as u32, ..described.clone() });
                self.interfaces.insert(described, next as u32);
                next as u32
            }
        };
        if self.places.len() >= MAX_INTERFACES {
            self.places.clear();
        }
        self.places.insert(key, index);
        Some(index)
    }
}

/// The first file is open.
pub(crate) struct OpenedBeside(Opened);

impl OpenedBeside {
    /// Starts to write.
    ///
    /// # Errors
    /// As [`Opened::start`].
    pub(crate) fn start(self) -> Result<CaptureEvidence, RunError> {
        Ok(CaptureEvidence {
            evidence: self.0.start()?.of_captures(),
            interfaces: HashMap::default(),
            of_others: 0,
            places: HashMap::default(),
            capture: PathBuf::new(),
        })
    }
}

/// By its own name, or that of the capture and its number.
fn describe(capture: &Path, on: &CapturedOn<'_>) -> Interface {
    let file = capture.file_name().map_or_else(|| "-".into(), |name| name.to_string_lossy());
    let number = if on.name.is_none() { format!(" {}", on.number) } else { String::new() };
    Interface {
        index: 0,
        name: on.name.map_or_else(|| file.into_owned(), str::to_owned),
        description: format!("interface{number} of {}", printable::path(capture)),
        link_type: on.link_number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_without_a_name_has_that_of_its_capture() {
        let on = CapturedOn { section: 1, number: 2, name: None, link_number: 113 };
        let interface = describe(Path::new("some/where/a.pcap"), &on);
        assert_eq!((&*interface.name, interface.link_type), ("a.pcap", 113));
        assert_eq!(interface.description, "interface 2 of some/where/a.pcap");
        let named = describe(Path::new("-"), &CapturedOn { name: Some("eth0"), ..on });
        assert_eq!((&*named.name, &*named.description), ("eth0", "interface of -"));
    }
}
