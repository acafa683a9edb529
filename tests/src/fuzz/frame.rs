//! Frames: the shared parser against etherparse, against itself with less of the frame, the walk through encapsulations
//! against the plain way, the short way for plain frames against the general one, and the kernel program's books.

use probe_ebpf::{
    layout::Segment,
    parse::{self, SliceReader},
    tunnel::{self, Walk},
};
use probe_user::source::{
    capture::{Frame, Header, LinkType},
    live::engine::{Depth, EngineConfig},
};

use crate::{
    fuzz::input::Input,
    reading::{accounted, decoder},
    reference::Reference,
    second_reading,
};

/// The target: first a byte that is the link type (255 for the one beyond a byte), then a frame.
///
/// # Panics
/// When two readings differ and are not known to, or a frame is in no counter or in two.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let link = match input.byte() {
        255 => LinkType::LinuxSll2,
        number => LinkType::from_number(u32::from(number)),
    };
    let frame = input.0;
    if link == LinkType::Ethernet {
        second_reading::agree(frame).unwrap_or_else(|why| panic!("{why}"));
        walk_and_plain_way(frame);
        end_anywhere(frame);
        books(frame);
    }
    for verify in [false, true] {
        by_every_way(&Frame { time_ns: 1, bytes: frame, wire_len: frame.len(), link }, verify);
        // Cut by the snap length, and longer than the wire is said to have been.
        let len = frame.len();
        by_every_way(&Frame { time_ns: 1, bytes: &frame[..len - len / 4], wire_len: len, link }, verify);
        by_every_way(&Frame { time_ns: 1, bytes: frame, wire_len: len / 2, link }, verify);
    }
}

/// What the plain parser locates, the walk without any encapsulation does, too.
fn walk_and_plain_way(frame: &[u8]) {
    let reader = SliceReader::whole(frame);
    let (mut walk, mut located) = (Walk::ethernet(0), parse::Located::default());
    let walked = tunnel::locate(&reader, tunnel::NONE, &mut walk, &mut located).map(|()| located);
    if let Ok(plain) = parse::locate(&reader) {
        let walked = walked.unwrap_or_else(|reject| panic!("{plain:?}, and the walk says {reject:?}"));
        let segment = |located| parse::segment(&reader, located, 0, 0).expect("what was located can be read");
        assert_eq!(segment(&plain), segment(&walked));
    }
}

/// Of a frame that was cut the segment is the same, or there is none.
fn end_anywhere(frame: &[u8]) {
    let read = |reader: &SliceReader<'_>| {
        let located = parse::locate(reader).ok()?;
        parse::segment(reader, &located, 0, 0).ok()
    };
    let Some(whole) = read(&SliceReader::whole(frame)) else { return };
    for end in 0..frame.len().min(160) {
        let cut = SliceReader { bytes: &frame[..end], wire_len: frame.len() };
        let Some(cut) = read(&cut) else { continue };
        let fields = |segment: &Segment| {
            let record = &segment.record;
            (segment.key, record.seq, record.ack, record.payload_len, record.window, record.header_len, record.ttl)
        };
        assert_eq!(fields(&cut), fields(&whole), "cut at {end}");
    }
}

/// The short way finds what the general one does, with the same books, and every frame is in exactly one counter.
fn by_every_way(frame: &Frame<'_>, verify: bool) {
    let (mut general, mut short) = (decoder(verify), decoder(verify));
    let decoded = general.decode(frame);
    assert_eq!((general.accounting().frames, accounted(general.accounting())), (1, 1), "{:?}", general.accounting());
    let mut segment = Segment::default();
    let Some(payload) = short.decode_plain(frame, &mut segment) else {
        assert_eq!(segment, Segment::default(), "what is left to the other way is left alone");
        return;
    };
    let decoded = decoded.expect("what the short way reads, the general one reads");
    let said = (decoded.segment, decoded.bad_checksum, decoded.payload_cut, decoded.header);
    assert_eq!(said, (segment, payload.bad_checksum, payload.payload_cut, Header::Whole));
    assert_eq!(short.accounting(), general.accounting());
    assert_eq!(short.take_remark(), general.take_remark());
}

/// What the kernel program does with it: all that was seen is drained.
fn books(frame: &[u8]) {
    for (depth, encapsulations) in [(Depth::Full, decoder_encapsulations()), (Depth::Control, tunnel::NONE)] {
        let sizes = EngineConfig { slots_per_cpu: 4, log_per_cpu: 4, ..EngineConfig::default() };
        let mut reference = Reference::new(&EngineConfig { depth, encapsulations, ..sizes });
        for _ in 0..3 {
            reference.frame(frame);
        }
        let (_, accounting) = reference.drain();
        assert_eq!(accounting.difference(), 0, "{accounting:?}");
    }
}

fn decoder_encapsulations() -> tunnel::Encapsulations {
    tunnel::Encapsulations { enabled: tunnel::ALL, max_depth: 4 }
}
