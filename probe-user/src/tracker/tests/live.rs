//! The live path against the capture path: the same segments through slots and epochs, as the kernel program and the
//! agent handle them, must give the same records.

use std::collections::HashMap;
use std::path::Path;

use probe_ebpf::tunnel::NONE;

use crate::source::Domain;
use crate::source::capture::{CaptureFile, Decoder};
use crate::tracker::tests::*;
use crate::tracker::tests::{epochs, epochs::Spread};

fn live_records(segments: &[Segment], spread: Spread) -> Vec<Connection> {
    let mut tracker = Tracker::new(TrackerConfig::default());
    let end = epochs::run(segments, &mut tracker, spread, Basis::AllSegments);
    tracker.finish(end);
    tracker.take_closed()
}

fn capture_records(segments: &[Segment]) -> Vec<Connection> {
    let mut tracker = Tracker::new(TrackerConfig::default());
    for segment in segments {
        tracker.observe(segment, Extra::default());
    }
    tracker.finish(segments.last().map_or(0, |segment| segment.record.time_ns));
    tracker.take_closed()
}

fn letters(history: &str) -> String {
    let mut wanted: Vec<char> = history.chars().filter(|letter| "SHADFRQI^shadfrqi".contains(*letter)).collect();
    wanted.dedup();
    wanted.into_iter().collect()
}

#[test]
fn random_conversations_give_the_same_records_live() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/oracle/zeek-random");
    for name in ["seed101.pcap", "seed102.pcap"] {
        let Ok(mut file) = CaptureFile::open(&root.join(name)) else {
            println!("SKIPPED: {name} is not there");
            continue;
        };
        let mut decoder = Decoder::new(true, NONE, Domain::None);
        let mut segments = Vec::new();
        while let Some(frame) = file.next_frame().expect("a whole capture") {
            segments.extend(decoder.decode(&frame).map(|decoded| decoded.segment));
        }
        let key = |record: &Connection| {
            let mut ends = [record.orig, record.resp];
            ends.sort();
            (record.start_ns, ends)
        };
        let live: HashMap<_, _> =
            live_records(&segments, Spread::OneCpu).into_iter().map(|record| (key(&record), record)).collect();
        let whole = capture_records(&segments);
        let sums = |record: &Connection| {
            [record.from_orig, record.from_resp].map(|side| {
                (side.syn, side.syn_ack, side.fin, side.rst, side.packets, side.ip_bytes, side.payload_bytes)
            })
        };
        let mut differing = [0_usize; 5];
        for record in &whole {
            let Some(other) = live.get(&key(record)) else {
                differing[0] += 1;
                continue;
            };
            differing[1] += usize::from(record.conn_state != other.conn_state);
            differing[2] += usize::from(sums(record) != sums(other));
            differing[3] += usize::from(letters(&record.history) != letters(&other.history));
            differing[4] += usize::from(record.verdict.cause != other.verdict.cause);
        }
        println!("{name}: missing, state, counts, history, cause: {differing:?} of {}", whole.len());
        // Not every segment comes verbatim: which bulk segment was the last before an RST stays unknown, and odd SYNs
        // split records in another place. Both are rare, also among conversations made to be odd.
        let rare = whole.len() / 100;
        assert!(differing.iter().all(|&count| count <= rare), "{name}: {differing:?}");
    }
}

/// A download that the client aborts 20 ms after its request: the server has sent `sent` segments within this epoch, the
/// client has acknowledged `acknowledged` of them one by one, and the RST acknowledges all.
fn aborted_download(sent: usize, acknowledged: usize) -> Vec<Segment> {
    const SEGMENT: u32 = 1448;
    // The handshake was in an epoch before: a slot keeps few segments.
    let mut dialogue = Dialogue::new().play("ShA").wait(150 * MILLISECOND).play("Da");
    for number in 0..sent {
        dialogue = dialogue.with(1, ACK, |record| record.payload_len = SEGMENT);
        if number < acknowledged {
            dialogue = dialogue.play("A");
        }
    }
    dialogue.play("R").segments
}

/// What is said of `segments` where each direction has a CPU of its own, and where both have one.
fn apart_and_together(segments: &[Segment]) -> [(Cause, Confidence, Impact); 2] {
    [Spread::CpuForEachDirection, Spread::OneCpu].map(|spread| {
        let verdict = live_records(segments, spread).remove(0).verdict;
        (verdict.cause, verdict.confidence, verdict.impact)
    })
}

/// What the server's CPU has counted is known only after the RST: all that is left is that the RST acknowledges far more than
/// its sender had before.
#[test]
fn a_download_that_another_cpu_counted_was_cut_where_the_rst_acknowledges_much_at_once() {
    let [apart, together] = apart_and_together(&aborted_download(10, 2));
    assert_eq!(together, (Cause::ClientAbortDownload, Confidence::Medium, Impact::TransferCut));
    assert_eq!(apart, (Cause::ClientAbortDownload, Confidence::Low, Impact::TransferCut));
}

#[test]
fn an_abort_that_acknowledges_no_more_than_acknowledgements_lag_behind_cuts_nothing() {
    // Two segments, 2896 bytes, are what any receiver leaves unacknowledged.
    let [apart, together] = apart_and_together(&aborted_download(10, 8));
    assert_eq!((apart.0, apart.2), (Cause::AppAbort, Impact::None));
    assert_eq!((together.0, together.2), (Cause::AppAbort, Impact::None));
    // Three, 4344 bytes, are more.
    let [apart, _] = apart_and_together(&aborted_download(10, 7));
    assert_eq!(apart.0, Cause::ClientAbortDownload);
}
