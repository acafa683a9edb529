//! Captures read in process as `rstprobe read` does, with what holds of any input asserted on the way.

use std::io::{Cursor, Read};

use probe_ebpf::tunnel;
use probe_user::{
    record::Connection,
    source::{
        Domain,
        capture::{self, Accounting, CaptureError, CaptureFile, Decoder, Frame},
    },
    tracker::{Extra, Header, Tracker, TrackerConfig},
};

use crate::{
    conversation::Conversation,
    frame::Station,
    netns::{CLIENT_MAC, Family, SERVER_MAC},
    pcap::{self, Pcap},
};

/// What came of a capture.
pub struct Outcome {
    /// What became of each frame.
    pub accounting: Accounting,
    /// Their records, all that there are.
    pub connections: Vec<Connection>,
    /// Time and bytes of each frame.
    pub frames: Vec<(u64, Vec<u8>)>,
    /// Why it ended before its end.
    pub error: Option<CaptureError>,
}

/// A decoder that looks into everything.
pub fn decoder(verify: bool) -> Decoder {
    Decoder::new(verify, tunnel::Encapsulations { enabled: tunnel::ALL, max_depth: 4 }, Domain::None)
}

/// As `rstprobe read` hands it on.
pub fn header(seen: capture::Header) -> Header {
    match seen {
        capture::Header::Whole => Header::Whole,
        capture::Header::Cut => Header::Cut,
        capture::Header::Contradictory => Header::Contradictory,
    }
}

/// Frames that are in a counter of what became of them.
pub fn accounted(accounting: &Accounting) -> u64 {
    let Accounting {
        frames: _,
        short_wire_lengths: _,
        unsupported: _,
        cropped: _,
        options_cut: _,
        offloaded_checksums: _,
        offloaded_ip_checksums: _,
        tcp,
        bad_tcp_checksum,
        bad_ip_checksum,
        icmp_errors,
        bad_icmp_checksum,
        link_unsupported,
        aggregates,
        fragments_held,
        fragments_refused,
        rejected,
    } = accounting;
    tcp + bad_tcp_checksum
        + bad_ip_checksum
        + icmp_errors
        + bad_icmp_checksum
        + link_unsupported
        + aggregates
        + fragments_held
        + fragments_refused
        + rejected.iter().sum::<u64>()
}

/// Reads a capture to its end, as `rstprobe read` does, and checks what holds of any input.
///
/// # Panics
/// When something of it does not hold.
pub fn read(bytes: impl Read + Send + 'static, verify: bool) -> Outcome {
    let mut tracker = Tracker::new(TrackerConfig::default());
    let (mut decoder, mut frames, mut last_ns) = (decoder(verify), vec![], 0);
    let mut error = None;
    match CaptureFile::from_reader(bytes) {
        Err(why) => error = Some(why),
        Ok(mut capture) => loop {
            match capture.next_frame() {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    frames.push((frame.time_ns, frame.bytes.to_vec()));
                    last_ns = last_ns.max(frame.time_ns);
                    observe(&mut tracker, &mut decoder, &frame);
                }
                Err(why) => {
                    error = Some(why);
                    assert!(matches!(capture.next_frame(), Ok(None)), "there is more after an error");
                    break;
                }
            }
        },
    }
    tracker.finish(last_ns);
    let (accounting, stats, connections) = (decoder.accounting().clone(), tracker.stats(), tracker.take_closed());
    assert_eq!(accounting.frames, frames.len() as u64);
    assert_eq!(accounted(&accounting), accounting.frames, "{accounting:?}");
    assert_eq!((stats.segments, stats.bad_checksums), (accounting.tcp, accounting.bad_tcp_checksum));
    assert_eq!((stats.created, stats.tracked), (stats.written, 0), "{stats:?}");
    assert_eq!(connections.len() as u64, stats.written);
    Outcome { accounting, connections, frames, error }
}

/// Decodes a frame and lets the tracker see it.
///
/// # Panics
/// When the frame is not in exactly one counter.
pub fn observe(tracker: &mut Tracker, decoder: &mut Decoder, frame: &Frame<'_>) {
    let before = decoder.accounting().clone();
    match decoder.decode(frame) {
        Some(found) => {
            let extra = Extra {
                bad_checksum: found.bad_checksum,
                payload_cut: found.payload_cut,
                header: header(found.header),
            };
            tracker.observe(&found.segment, extra);
        }
        None => tracker.advance(frame.time_ns),
    }
    assert_eq!(accounted(decoder.accounting()), accounted(&before) + 1, "not in exactly one counter");
}

/// Packets of all records.
pub fn segments(connections: &[Connection]) -> u64 {
    connections.iter().map(|connection| connection.from_orig.packets + connection.from_resp.packets).sum()
}

/// A client of this port, and a server of port 80.
pub fn stations(family: Family, port: u16) -> (Station, Station) {
    let client = Station { mac: CLIENT_MAC, ip: family.client(), port };
    (client, Station { mac: SERVER_MAC, ip: family.server(), port: 80 })
}

/// Frames of a scripted conversation.
///
/// # Panics
/// When the script is none.
pub fn frames(script: &str, port: u16) -> Vec<Vec<u8>> {
    let (client, server) = stations(Family::V4, port);
    Conversation::new(client, server, [1000, 2000]).frames(script).expect("a script")
}

/// A capture of `frames`, a millisecond apart.
pub fn capture(frames: &[Vec<u8>]) -> Cursor<Vec<u8>> {
    let mut pcap = Pcap::new(pcap::ETHERNET);
    for (number, frame) in frames.iter().enumerate() {
        pcap.push((1 + number as u64) * 1_000_000, frame);
    }
    Cursor::new(pcap.into_bytes())
}
