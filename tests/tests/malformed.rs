//! Bad input, in process: whatever the bytes are, nothing panics, every frame is in exactly one counter, and a damaged
//! file gives what was readable and says where it ends.

use std::{
    collections::BTreeMap,
    fs,
    io::{Cursor, Read},
};

use probe_ebpf::{layout::Segment, parse::Reject, tunnel};
use probe_tests::{
    conversation::{COURSES, Conversation},
    frame::Station,
    netns::{CLIENT_MAC, Family, SERVER_MAC},
    odd::{self, Fate, Odd},
    oracle,
    pcap::{self, Pcap, Random, record_ends},
    tier::say,
};
use probe_user::{
    record::Connection,
    source::{
        Domain,
        capture::{self, Books, CaptureError, CaptureFile, Decoder, Frame},
    },
    tracker::{Extra, Header, Tracker, TrackerConfig},
};

/// What came of a capture.
struct Outcome {
    books: Books,
    connections: Vec<Connection>,
    /// Time and bytes of each frame.
    frames: Vec<(u64, Vec<u8>)>,
    error: Option<CaptureError>,
}

fn decoder(verify: bool) -> Decoder {
    Decoder::new(verify, tunnel::Encapsulations { enabled: tunnel::ALL, max_depth: 4 }, Domain::None)
}

/// As `rstprobe read` hands it on.
fn header(seen: capture::Header) -> Header {
    match seen {
        capture::Header::Whole => Header::Whole,
        capture::Header::Cut => Header::Cut,
        capture::Header::Contradictory => Header::Contradictory,
    }
}

/// Frames that are in a counter of what became of them.
fn accounted(books: &Books) -> u64 {
    let Books {
        frames: _,
        short_wire_lengths: _,
        unsupported: _,
        cropped: _,
        options_cut: _,
        offloaded_checksums: _,
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
    } = books;
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
fn read(bytes: impl Read + Send + 'static, verify: bool) -> Outcome {
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
    let (books, stats, connections) = (decoder.books().clone(), tracker.stats(), tracker.take_closed());
    assert_eq!(books.frames, frames.len() as u64);
    assert_eq!(accounted(&books), books.frames, "{books:?}");
    assert_eq!((stats.segments, stats.bad_checksums), (books.tcp, books.bad_tcp_checksum));
    assert_eq!((stats.created, stats.tracked), (stats.written, 0), "{stats:?}");
    assert_eq!(connections.len() as u64, stats.written);
    Outcome { books, connections, frames, error }
}

fn observe(tracker: &mut Tracker, decoder: &mut Decoder, frame: &Frame<'_>) {
    let before = decoder.books().clone();
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
    assert_eq!(accounted(decoder.books()), accounted(&before) + 1, "not in exactly one counter");
}

/// What becomes of one frame.
fn fate(odd: &Odd, captured: &[u8], wire_len: usize) -> (Result<Segment, Reject>, Books) {
    let mut pcap = Pcap::new(odd.link);
    pcap.push_cut(1, captured, wire_len);
    let mut capture = CaptureFile::from_reader(Cursor::new(pcap.into_bytes())).expect("a capture");
    let mut decoder = decoder(false);
    let frame = capture.next_frame().expect("readable").expect("a frame");
    let decoded = decoder.decode(&frame);
    let books = decoder.books().clone();
    assert_eq!((books.frames, accounted(&books)), (1, 1), "{}", odd.name);
    // A fragment that is kept for its packet, or refused, is no segment of its own; nor is one without whole header.
    let reason = books.rejections().next().map_or(Reject::LaterFragment, |(reason, _)| reason);
    let whole = decoded.filter(|decoded| decoded.header == capture::Header::Whole);
    (whole.map(|decoded| decoded.segment).ok_or(reason), books)
}

#[test]
fn every_odd_frame_has_its_fate() {
    let odds = odd::all();
    assert!(odds.len() > 1200, "{}", odds.len());
    let mut wrong = vec![];
    for odd in &odds {
        let said = match fate(odd, &odd.bytes, odd.bytes.len()).0 {
            Ok(_) => Fate::Tcp,
            Err(reason) => Fate::Rejected(reason),
        };
        if said != odd.fate {
            wrong.push(format!("{}: {said:?} instead of {:?}", odd.name, odd.fate));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn odd_frames_tell_the_truth_about_their_payload() {
    let payload = |name: &str| {
        let odd = odd::all().into_iter().find(|odd| odd.name == name).expect("a frame of that name");
        fate(&odd, &odd.bytes, odd.bytes.len()).0.expect("a segment").record.payload_len
    };
    assert_eq!(payload("IPv4 Ethernet padding"), 0);
    assert_eq!(payload("IPv4 total length 0"), 4);
    assert_eq!(payload("super-packet of 70 kB, total length 0"), 70_000);
    assert_eq!(payload("super-packet of 70 kB, payload length 0"), 70_000);
    assert_eq!(payload("TCP/IPv4 RST with data"), 7);
    assert_eq!(payload("TCP/IPv6 SYN with a cookie and data"), 5);
}

#[test]
fn every_combination_of_flags_is_kept() {
    for odd in odd::all() {
        let Some((_, flags)) = odd.name.split_once(" flags ") else { continue };
        let flags = u16::from_str_radix(flags, 16).expect("a number");
        let segment = fate(&odd, &odd.bytes, odd.bytes.len()).0.expect("a segment");
        assert_eq!(segment.record.flags & 0x1ff, flags, "{}", odd.name);
    }
}

/// Cut by the snap length or cropped on the wire: what is still read is the same. Where the IP header does not say how long
/// the packet is, it ends with the frame.
#[test]
fn every_odd_frame_may_end_anywhere() {
    for odd in odd::all() {
        let whole = fate(&odd, &odd.bytes, odd.bytes.len()).0;
        // A fragment that was cut cannot wait for the others, and is read for what it holds.
        if whole == Err(Reject::LaterFragment) {
            continue;
        }
        let len = odd.bytes.len();
        // Nothing changes within a long payload.
        for end in (0..len).filter(|&end| end < 2300 || end > len - 10) {
            if let Ok(cut) = fate(&odd, &odd.bytes[..end], len).0 {
                let whole = whole.expect("cut, it is a segment; whole, it is none");
                let fields = |segment: &Segment| {
                    let record = &segment.record;
                    (record.seq, record.ack, record.flags & 0x1ff, record.payload_len, record.window, record.header_len)
                };
                assert_eq!((cut.key, fields(&cut)), (whole.key, fields(&whole)), "{} cut at {end}", odd.name);
            }
            if let Ok(cut) = fate(&odd, &odd.bytes[..end], end).0 {
                let said = whole.is_ok_and(|whole| whole.record.payload_len == cut.record.payload_len);
                assert!(said || cut.record.payload_len as usize <= end, "{} ends at {end}", odd.name);
            }
        }
    }
}

#[test]
fn all_odd_frames_together_keep_the_books() {
    for (verify, link) in [(false, pcap::ETHERNET), (true, pcap::ETHERNET), (false, pcap::LINUX_SLL)] {
        let mut pcap = Pcap::new(link);
        let odds: Vec<Odd> = odd::all().into_iter().filter(|odd| odd.link == link).collect();
        for (number, odd) in odds.iter().enumerate() {
            pcap.push(number as u64 * 1_000_000, &odd.bytes);
        }
        let outcome = read(Cursor::new(pcap.into_bytes()), verify);
        assert!(outcome.error.is_none());
        assert_eq!(outcome.frames.len(), odds.len());
        let Books { tcp, .. } = outcome.books;
        let expected: Vec<bool> = odds.iter().map(|odd| odd.fate == Fate::Tcp || completes_a_packet(odd)).collect();
        assert_eq!(segments_alone_and_together(&odds, verify), expected, "by frame");
        assert_eq!(accounted(&outcome.books), odds.len() as u64);
        assert_eq!(outcome.books.bad_ip_checksum > 0, verify);
        assert_eq!(segments(&outcome.connections), tcp);
    }
}

/// The only odd frames that make more of others than they are alone: fragments that complete a packet.
fn completes_a_packet(odd: &Odd) -> bool {
    ["IPv4 fragment: last", "IPv6 last fragment"].contains(&&*odd.name)
}

/// Of each frame, after all before it: whether it is a segment. One refused for its checksum counts as what it is without
/// verification.
fn segments_alone_and_together(odds: &[Odd], verify: bool) -> Vec<bool> {
    let (mut tracker, mut decoder) = (Tracker::new(TrackerConfig::default()), decoder(verify));
    let is_segment = |odd: &Odd| {
        let link = capture::LinkType::from_number(odd.link);
        let before = decoder.books().clone();
        let frame = Frame { time_ns: 1, bytes: &odd.bytes, wire_len: odd.bytes.len(), link };
        observe(&mut tracker, &mut decoder, &frame);
        let after = decoder.books();
        let refused = after.bad_ip_checksum + after.bad_tcp_checksum > before.bad_ip_checksum + before.bad_tcp_checksum;
        if refused { odd.fate == Fate::Tcp || completes_a_packet(odd) } else { after.tcp > before.tcp }
    };
    odds.iter().map(is_segment).collect()
}

/// Packets of all records.
fn segments(connections: &[Connection]) -> u64 {
    connections.iter().map(|connection| connection.from_orig.packets + connection.from_resp.packets).sum()
}

fn stations(family: Family, port: u16) -> (Station, Station) {
    let client = Station { mac: CLIENT_MAC, ip: family.client(), port };
    (client, Station { mac: SERVER_MAC, ip: family.server(), port: 80 })
}

fn frames(script: &str, port: u16) -> Vec<Vec<u8>> {
    let (client, server) = stations(Family::V4, port);
    Conversation::new(client, server, [1000, 2000]).frames(script).expect("a script")
}

/// A capture of `frames`, a millisecond apart.
fn capture(frames: &[Vec<u8>]) -> Cursor<Vec<u8>> {
    let mut pcap = Pcap::new(pcap::ETHERNET);
    for (number, frame) in frames.iter().enumerate() {
        pcap.push((1 + number as u64) * 1_000_000, frame);
    }
    Cursor::new(pcap.into_bytes())
}

#[test]
fn conversations_of_every_course_end_as_zeek_would_say() {
    let mut wrong = vec![];
    for course in COURSES {
        let frames = frames(course.script, 40_000);
        let outcome = read(capture(&frames), true);
        assert_eq!((outcome.books.tcp, segments(&outcome.connections)), (frames.len() as u64, frames.len() as u64));
        let said: Vec<&str> = outcome.connections.iter().map(|connection| connection.conn_state.as_str()).collect();
        if said.join(" ") != course.conn_states {
            let histories: Vec<&str> = outcome.connections.iter().map(|one| &*one.history).collect();
            wrong.push(format!("{}: {said:?} {histories:?} instead of {}", course.name, course.conn_states));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn checksums_are_verified_when_asked_for() {
    let good = frames(COURSES[0].script, 40_000);
    let mut bad = good.clone();
    // The last byte of the TCP checksum of one, a TTL of another: the IPv4 header is summed, too.
    bad[3][14 + 20 + 17] ^= 0x55;
    bad[5][14 + 8] ^= 1;
    let books = |frames: &[Vec<u8>], verify| read(capture(frames), verify).books;
    let verified = books(&bad, true);
    assert_eq!((verified.bad_tcp_checksum, verified.bad_ip_checksum), (1, 1));
    assert_eq!(verified.tcp, good.len() as u64 - 2);
    assert_eq!(books(&bad, false).tcp, good.len() as u64);
    assert_eq!(books(&good, true).tcp, good.len() as u64);
}

/// What capture points do to traffic: nothing may panic or get lost on the way into records.
#[test]
fn whatever_a_capture_point_does_is_counted() {
    let mut random = Random::new(5);
    let mut traffic = vec![];
    for (number, course) in COURSES.iter().enumerate() {
        traffic.extend(frames(course.script, 30_000 + number as u16));
    }
    let doubled: Vec<_> = traffic.iter().flat_map(|frame| [frame.clone(), frame.clone()]).collect();
    let mut shuffled = traffic.clone();
    for at in 1..shuffled.len() {
        shuffled.swap(at, random.below(at + 1));
    }
    let from_client = |frame: &Vec<u8>| frame[6..12] == CLIENT_MAC;
    let one_way: Vec<_> = traffic.iter().filter(|frame| from_client(frame)).cloned().collect();
    let holes: Vec<_> = traffic.iter().filter(|_| !random.once_in(3)).cloned().collect();
    for (name, frames) in [("doubled", doubled), ("shuffled", shuffled), ("one way", one_way), ("holes", holes)] {
        let outcome = read(capture(&frames), true);
        assert_eq!(outcome.books.tcp, frames.len() as u64, "{name}");
        assert_eq!(segments(&outcome.connections), frames.len() as u64, "{name}");
    }
}

const HOUR: u64 = 3_600_000_000_000;

#[test]
fn clocks_may_step_and_ports_be_reused() {
    let once = frames(COURSES[0].script, 40_000);
    let (client, server) = stations(Family::V4, 40_000);
    let mut again = Conversation::new(client, server, [900_000, 1_000_000]);
    let again = again.frames(COURSES[0].script).expect("a script");
    let far = u64::from(u32::MAX) * 1_000_000_000 - 2 * HOUR;
    for (name, step) in [("not at all", HOUR), ("forward", 2 * HOUR), ("far forward", far), ("back", 0)] {
        let mut pcap = Pcap::new(pcap::ETHERNET);
        for frame in &once {
            pcap.push(HOUR, frame);
        }
        for frame in &again {
            pcap.push(step, frame);
        }
        let outcome = read(Cursor::new(pcap.into_bytes()), true);
        assert_eq!(segments(&outcome.connections), 2 * once.len() as u64, "{name}");
        let states: Vec<&str> = outcome.connections.iter().map(|one| one.conn_state.as_str()).collect();
        assert_eq!(states[0], "SF", "{name}");
        // Timers of what lies in the past are over at once, as in Zeek: then a connection has several records.
        assert!(step < HOUR || states == ["SF", "SF"], "{name}: {states:?}");
    }
}

#[test]
fn a_storm_of_resets_is_one_close() {
    let mut script = COURSES[14].script.to_owned();
    assert_eq!(COURSES[14].name, "aborted by the client");
    (0..10_000).for_each(|_| script.push_str(" >R"));
    let outcome = read(capture(&frames(&script, 40_000)), true);
    assert_eq!(segments(&outcome.connections), outcome.books.tcp);
    let resets: u64 = outcome.connections.iter().map(|one| one.from_orig.rst).sum();
    assert_eq!(resets, 10_001);
    let first = &outcome.connections[0];
    assert_eq!(first.conn_state.as_str(), "RSTO");
}

/// Asserts that `cut`, the first bytes of a capture of `whole`, gave what was readable, and says why it is no more.
fn assert_prefix(name: &str, bytes: &[u8], cut: usize, whole: &Outcome) {
    let outcome = read(Cursor::new(bytes[..cut].to_vec()), true);
    let ends = record_ends(&bytes[..cut]);
    let packets = ends.iter().filter(|(_, packet)| *packet).count().min(whole.frames.len());
    assert_eq!(outcome.frames.len(), packets, "{name} cut at {cut}: {:?}", outcome.error);
    assert!(outcome.frames == whole.frames[..packets], "{name} cut at {cut}: other frames");
    let complete = ends.last().is_some_and(|(end, _)| *end == cut) || cut == pcap::FILE_HEADER;
    match outcome.error {
        // Damaged before the cut.
        Some(_) if whole.error.is_some() => {}
        None => {
            let begin = ends.last().map_or(0, |(end, _)| *end);
            assert!(complete || is_skipped(&bytes[begin..cut]), "{name} cut at {cut}: no error");
        }
        Some(error) => {
            assert!(!complete, "{name} cut at {cut}, where a record ends: {error}");
            let begin = ends.last().map_or(0, |(end, _)| *end);
            let text = error.to_string();
            match error {
                CaptureError::TooShort { len } => assert_eq!((len, cut < 4), (cut as u64, true), "{name}"),
                CaptureError::Truncated { offset, missing } => {
                    assert!(text.contains(&format!("byte {offset}")), "{text}");
                    let header = if bytes.starts_with(&[10, 13, 13, 10]) { 0 } else { pcap::FILE_HEADER };
                    let begin = if begin == 0 && cut > header { header } else { begin };
                    assert_eq!((offset, missing > 0), (begin as u64, true), "{name} cut at {cut}: {text}");
                }
                other => panic!("{name} cut at {cut}: {other}"),
            }
        }
    }
}

/// True at a pcapng block that holds neither packets nor what packets need: told in a test of its own.
fn is_skipped(block: &[u8]) -> bool {
    let kind = block.first_chunk::<4>().map(|kind| u32::from_le_bytes(*kind).min(u32::from_be_bytes(*kind)));
    kind.is_some_and(|kind| !matches!(kind, 1 | 2 | 3 | 6 | 0x0a0d_0d0a))
}

/// All captures beside the workspace, or `None` with a SKIP; CI has them.
fn captures(test: &str) -> Option<Vec<oracle::Capture>> {
    let Some(folder) = oracle::folder() else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must have ../shared/oracle");
        say(&format!("SKIP {test}: no captures at ../shared/oracle"));
        return None;
    };
    Some(oracle::captures(&folder.join("captures")).expect("captures"))
}

#[test]
fn a_cut_capture_gives_what_was_readable() {
    let Some(captures) = captures("a_cut_capture_gives_what_was_readable") else { return };
    let mut random = Random::new(1);
    for capture in &captures {
        let bytes = fs::read(&capture.path).expect("readable");
        let whole = read(Cursor::new(bytes.clone()), true);
        let tries = if bytes.len() > 1 << 20 { 1 } else { 4 };
        for _ in 0..tries {
            assert_prefix(&capture.name, &bytes, random.below(bytes.len() + 1), &whole);
        }
        // At and around the end of some record.
        let ends = record_ends(&bytes);
        if let Some((end, _)) = ends.get(random.below(ends.len().max(1))) {
            assert_prefix(&capture.name, &bytes, *end, &whole);
            assert_prefix(&capture.name, &bytes, end - 1, &whole);
        }
    }
}

#[test]
fn a_damaged_capture_never_panics() {
    let Some(captures) = captures("a_damaged_capture_never_panics") else { return };
    let mut random = Random::new(2);
    let mut errors = BTreeMap::<&str, u64>::new();
    for capture in &captures {
        let mut bytes = fs::read(&capture.path).expect("readable");
        bytes.truncate(1 << 17);
        for _ in 0..=bytes.len() / 200 {
            let at = random.below(bytes.len());
            bytes[at] = random.next_u64() as u8;
        }
        let kind = match read(Cursor::new(bytes), random.once_in(2)).error {
            None => "none",
            Some(CaptureError::Truncated { .. }) => "truncated",
            Some(CaptureError::Damaged { .. }) => "damaged",
            Some(_) => "other",
        };
        *errors.entry(kind).or_default() += 1;
    }
    assert!(errors.contains_key("truncated") && errors.contains_key("damaged"), "{errors:?}");
}

#[test]
fn a_capture_cut_within_statistics_is_cut_all_the_same() {
    let frame = &frames(">S", 40_000)[0];
    let section = block(0x0a0d_0d0a, &[&[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..], &[0xff; 8]].concat(), None);
    let begin =
        [section, block(1, &[1, 0, 0, 0, 0, 0, 4, 0], None), block(6, &packet(0, frame, frame.len() as u32), None)];
    let (begin, statistics) = (begin.concat(), block(5, &[0; 12], None));
    for len in 1..statistics.len() {
        let outcome = read(Cursor::new([&begin[..], &statistics[..len]].concat()), true);
        assert_eq!(outcome.frames.len(), 1, "{len}");
        let text = outcome.error.unwrap_or_else(|| panic!("{len} bytes of {}: no error", statistics.len())).to_string();
        assert!(text.contains(&format!("byte {}", begin.len())), "{len}: {text}");
    }
}

/// A pcapng block, little endian, with a length of its own choice.
fn block(kind: u32, body: &[u8], len: Option<u32>) -> Vec<u8> {
    let len = len.unwrap_or(body.len() as u32 + 12).to_le_bytes();
    [&kind.to_le_bytes(), &len, body, &len].concat()
}

/// An enhanced packet block of interface `interface`, which says that it holds `captured` bytes of `frame`.
fn packet(interface: u32, frame: &[u8], captured: u32) -> Vec<u8> {
    let words = [interface, 0, 1_000_000, captured, captured];
    let mut body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    body.extend_from_slice(frame);
    body.resize(body.len().next_multiple_of(4), 0);
    body
}

#[test]
fn blocks_that_lie_are_told_by_their_offset() {
    const SECTION: u32 = 0x0a0d_0d0a;
    let frame = &frames(">S", 40_000)[0];
    let len = frame.len() as u32;
    let begin = [
        block(SECTION, &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], None),
        block(1, &[1, 0, 0, 0, 0, 0, 4, 0], None),
        block(6, &packet(0, frame, len), None),
    ]
    .concat();
    let body = packet(0, frame, len);
    let lies = [
        ("length 0", block(6, &body, Some(0))),
        ("length 8", block(6, &body, Some(8))),
        ("length 12", block(6, &body, Some(12))),
        ("odd length", block(6, &body, Some(body.len() as u32 + 13))),
        ("length beyond the file", block(6, &body, Some(body.len() as u32 + 16))),
        ("largest length", block(6, &body, Some(0xffff_fffc))),
        ("packet larger than its block", block(6, &packet(0, frame, len + 100), None)),
        ("packet of 4 GB", block(6, &packet(0, frame, u32::MAX), None)),
        ("packet of an unknown interface", block(6, &packet(7, frame, len), None)),
        ("packet block without fields", block(6, &[0; 8], None)),
        ("interface without fields", block(1, &[0; 4], None)),
        ("section of no byte order", block(SECTION, &[0; 16], None)),
        ("half a block", block(6, &body, None)[..20].to_vec()),
        ("half a block header", vec![6, 0, 0]),
    ];
    for (name, lie) in lies {
        let outcome = read(Cursor::new([&begin[..], &lie].concat()), true);
        assert_eq!(outcome.frames.len(), 1, "{name}");
        assert_eq!(outcome.frames[0].1, *frame, "{name}");
        let text = outcome.error.unwrap_or_else(|| panic!("{name}: no error")).to_string();
        assert!(text.contains(&format!("byte {}", begin.len())), "{name}: {text}");
    }
    let unknown = [&begin[..], &block(0x0bad, &[1, 2, 3, 4], None), &block(6, &body, None)].concat();
    let outcome = read(Cursor::new(unknown), true);
    assert_eq!((outcome.frames.len(), outcome.error.is_none()), (2, true), "unknown blocks are skipped");
}

#[test]
fn records_that_lie_are_told_by_their_offset() {
    let frame = &frames(">S", 40_000)[0];
    let good = capture(std::slice::from_ref(frame)).into_inner();
    for (captured, name) in [(u32::MAX, "4 GB"), (1 << 30, "1 GB"), (frame.len() as u32 + 1, "one byte too many")] {
        let lengths = [0, 0, captured, captured].map(u32::to_le_bytes).concat();
        let outcome = read(Cursor::new([&good[..], &lengths, frame].concat()), true);
        assert_eq!(outcome.frames.len(), 1, "{name}");
        let text = outcome.error.unwrap_or_else(|| panic!("{name}: no error")).to_string();
        assert!(text.contains(&format!("byte {}", good.len())), "{name}: {text}");
    }
    // A frame larger than the snap length of the file header, as some tools write; and one of no bytes.
    let mut modest = good.clone();
    modest[16..20].copy_from_slice(&10_u32.to_le_bytes());
    let outcome = read(Cursor::new(modest), true);
    assert_eq!((outcome.books.tcp, outcome.error.is_none()), (1, true));
    let empty = [&good[..], &[0; 16]].concat();
    let outcome = read(Cursor::new(empty), true);
    assert_eq!((outcome.frames.len(), outcome.books.rejected[Reject::ShortLink as usize]), (2, 1));
    for begin in [&b""[..], b"x", b"abc", b"abcd", b"#!/bin/sh\n"] {
        let outcome = read(Cursor::new(begin.to_vec()), true);
        assert!(outcome.frames.is_empty());
        let text = outcome.error.expect("no capture").to_string();
        assert!(text.starts_with("not a capture"), "{text}");
    }
}
