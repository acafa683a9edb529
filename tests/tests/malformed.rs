//! Bad input, in process: whatever the bytes are, nothing panics, every frame is in exactly one counter, and a damaged
//! file gives what was readable and says where it ends.

use std::io::Cursor;

use probe_ebpf::{layout::Segment, parse::Reject};
use probe_tests::{
    conversation::{COURSES, Conversation},
    netns::{CLIENT_MAC, Family},
    odd::{self, Fate, Odd},
    pcap::{self, Pcap, Random},
    reading::{accounted, capture, decoder, frames, observe, read, segments, stations},
};
use probe_user::{
    source::capture::{self, Accounting, CaptureFile, Frame},
    tracker::{Tracker, TrackerConfig},
};

/// What becomes of one frame.
fn fate(odd: &Odd, captured: &[u8], wire_len: usize) -> (Result<Segment, Reject>, Accounting) {
    let mut pcap = Pcap::new(odd.link);
    pcap.push_cut(1, captured, wire_len);
    let mut capture = CaptureFile::from_reader(Cursor::new(pcap.into_bytes())).expect("a capture");
    let mut decoder = decoder(false);
    let frame = capture.next_frame().expect("readable").expect("a frame");
    let decoded = decoder.decode(&frame);
    let accounting = decoder.accounting().clone();
    assert_eq!((accounting.frames, accounted(&accounting)), (1, 1), "{}", odd.name);
    // A fragment that is kept for its packet, or refused, is no segment of its own; nor is one without whole header.
    let reason = accounting.rejections().next().map_or(Reject::LaterFragment, |(reason, _)| reason);
    let whole = decoded.filter(|decoded| decoded.header == capture::Header::Whole);
    (whole.map(|decoded| decoded.segment).ok_or(reason), accounting)
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
        let Accounting { tcp, .. } = outcome.accounting;
        let expected: Vec<bool> = odds.iter().map(|odd| odd.fate == Fate::Tcp || completes_a_packet(odd)).collect();
        assert_eq!(segments_alone_and_together(&odds, verify), expected, "by frame");
        assert_eq!(accounted(&outcome.accounting), odds.len() as u64);
        assert_eq!(outcome.accounting.bad_ip_checksum > 0, verify);
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
        let before = decoder.accounting().clone();
        let frame = Frame { time_ns: 1, bytes: &odd.bytes, wire_len: odd.bytes.len(), link };
        observe(&mut tracker, &mut decoder, &frame);
        let after = decoder.accounting();
        let refused = after.bad_ip_checksum + after.bad_tcp_checksum > before.bad_ip_checksum + before.bad_tcp_checksum;
        if refused { odd.fate == Fate::Tcp || completes_a_packet(odd) } else { after.tcp > before.tcp }
    };
    odds.iter().map(is_segment).collect()
}

#[test]
fn conversations_of_every_course_end_as_zeek_would_say() {
    let mut wrong = vec![];
    for course in COURSES {
        let frames = frames(course.script, 40_000);
        let outcome = read(capture(&frames), true);
        assert_eq!(
            (outcome.accounting.tcp, segments(&outcome.connections)),
            (frames.len() as u64, frames.len() as u64)
        );
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
    let accounting = |frames: &[Vec<u8>], verify| read(capture(frames), verify).accounting;
    let verified = accounting(&bad, true);
    assert_eq!((verified.bad_tcp_checksum, verified.bad_ip_checksum), (1, 1));
    assert_eq!(verified.tcp, good.len() as u64 - 2);
    assert_eq!(accounting(&bad, false).tcp, good.len() as u64);
    assert_eq!(accounting(&good, true).tcp, good.len() as u64);
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
        assert_eq!(outcome.accounting.tcp, frames.len() as u64, "{name}");
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
    assert_eq!(segments(&outcome.connections), outcome.accounting.tcp);
    let resets: u64 = outcome.connections.iter().map(|one| one.from_orig.rst).sum();
    assert_eq!(resets, 10_001);
    let first = &outcome.connections[0];
    assert_eq!(first.conn_state.as_str(), "RSTO");
}
