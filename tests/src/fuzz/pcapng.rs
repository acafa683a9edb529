//! Evidence: what is written of frames and connections, two readers read again: the program's, and one by the letter of
//! the specification. Nothing is in it that did not come in.

use std::{collections::BTreeMap, io::Cursor};

use probe_ebpf::layout::Segment;
use probe_user::{
    evidence::{Collector, Direction, Frame, Interface, SNAP_LEN, head},
    printable,
    source::capture::CaptureFile,
    tracker::{Tracker, TrackerConfig},
};

use crate::{
    fuzz::{
        input::Input,
        printable::assert_one_line,
        script::{Script, Step},
    },
    pcapng::{self, Packet},
};

/// The target.
///
/// # Panics
/// When a reader reads something else than was written.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let interfaces: Vec<Interface> = (0..=u32::from(input.byte() % 3)).map(|n| interface(n, &mut input)).collect();
    let memory = if input.byte() & 1 == 0 { 1 << 20 } else { 4096 };
    let filler = input.take(64);
    let written = write(&interfaces, memory, &Script::read(input), filler);
    let packets = pcapng::packets(&written.file);
    assert_eq!(packets.len() as u64, written.frames);
    came_in(&packets, &written.came_in);
    for packet in &packets {
        assert_one_line(&packet.comment);
        let is_known = |interface: &Interface| {
            let Interface { name, description, link_type, .. } = interface;
            let shown = [name, description].map(|text| printable::escaped(text).into_owned());
            (&shown[0], &shown[1], *link_type)
                == (&packet.interface.name, &packet.interface.description, packet.interface.link)
        };
        assert!(interfaces.iter().any(is_known), "{packet:?}");
    }
    read_again(&written.file, &packets);
}

fn interface(number: u32, input: &mut Input<'_>) -> Interface {
    let len = usize::from(input.byte() % 40);
    let name = String::from_utf8_lossy(input.take(len)).into_owned();
    let len = usize::from(input.byte() % 40);
    let description = String::from_utf8_lossy(input.take(len)).into_owned();
    Interface { index: 10 + number, name, description, link_type: u16::from(input.byte()) }
}

/// Time, length on the wire, and bytes as far as they are kept.
type Kept = (u64, u32, Vec<u8>);

struct Written {
    file: Vec<u8>,
    /// By the collector's count.
    frames: u64,
    /// How often each came in.
    came_in: BTreeMap<Kept, u64>,
}

/// Plays the script, every segment of which has a frame, and writes all its connections.
fn write(interfaces: &[Interface], memory: usize, steps: &[Step], filler: &[u8]) -> Written {
    let mut tracker = Tracker::new(TrackerConfig::default());
    let all = "packets >= 0".parse().expect("a filter");
    let mut collector = Collector::new(interfaces.to_vec(), all, memory);
    let mut written = Written { file: head(interfaces), frames: 0, came_in: BTreeMap::new() };
    let mut last_ns = 0;
    for (number, step) in steps.iter().enumerate() {
        last_ns = last_ns.max(step.time_ns());
        if let Step::Observe(segment, extra) = step {
            let bytes = bytes_of(segment, number, filler);
            let wire_len = segment.record.payload_len.saturating_add(54);
            let interface = interfaces[number % interfaces.len()].index;
            let direction = [Direction::Received { queue: 3 }, Direction::Sent, Direction::Unknown][number % 3];
            collector.frame(segment, &Frame { interface, direction, wire_len, bytes: &bytes });
            let kept = bytes[..bytes.len().min(SNAP_LEN)].to_vec();
            let wire_len = wire_len.max(kept.len() as u32);
            *written.came_in.entry((segment.record.time_ns, wire_len, kept)).or_default() += 1;
            tracker.observe(segment, *extra);
        }
        for connection in tracker.take_closed() {
            written.frames += collector.ended(&connection, &mut written.file);
        }
    }
    tracker.finish(last_ns);
    for connection in tracker.take_closed() {
        written.frames += collector.ended(&connection, &mut written.file);
    }
    assert_eq!(collector.stats().frames, written.frames);
    written
}

/// Up to more than is kept of a frame.
fn bytes_of(segment: &Segment, number: usize, filler: &[u8]) -> Vec<u8> {
    let len = usize::from(segment.record.window) * number % 300;
    filler.iter().copied().chain([number as u8]).cycle().take(len).collect()
}

/// Every packet did, and none more often than it did.
fn came_in(packets: &[Packet], came_in: &BTreeMap<Kept, u64>) {
    let mut times = BTreeMap::<Kept, u64>::new();
    for packet in packets {
        *times.entry((packet.time, packet.wire_len, packet.bytes.clone())).or_default() += 1;
    }
    for (packet, times) in &times {
        assert!(came_in.get(packet).is_some_and(|came| times <= came), "{times} times: {packet:?}");
    }
}

/// The program's own reader, by each of its ways.
fn read_again(file: &[u8], packets: &[Packet]) {
    let open = || CaptureFile::from_reader(Cursor::new(file.to_vec())).expect("a capture");
    let (mut with_interface, mut with_comment) = (open(), open());
    for packet in packets {
        let (frame, on) = with_interface.next_with_interface().expect("undamaged").expect("as many frames");
        assert_eq!(
            (frame.time_ns, frame.wire_len, frame.bytes),
            (packet.time, packet.wire_len as usize, &packet.bytes[..])
        );
        assert_eq!(on.link_number, packet.interface.link);
        // An empty name is none.
        assert_eq!(on.name.unwrap_or_default(), packet.interface.name);
        let commented = with_comment.next_with_comment().expect("undamaged").expect("as many frames");
        assert_eq!(commented.frame.bytes, packet.bytes);
        assert_eq!(commented.comment.unwrap_or_default(), packet.comment);
    }
    assert!(with_interface.next_frame().expect("undamaged").is_none());
    assert!(with_comment.next_frame().expect("undamaged").is_none());
}
