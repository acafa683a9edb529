//! The real BPF object in the kernel, frame by frame under BPF_PROG_TEST_RUN, against the same pure code in user space.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]). Tables are tiny, so that slots,
//! log and books overflow all the time; one engine serves all sequences of a configuration, so that a drain that
//! leaves something behind spoils the next.

use std::cell::RefCell;

use aya::programs::{TestRun as _, TestRunOptions};
use etherparse::{PacketBuilder, TcpHeader, TcpOptionElement, VlanId};
use probe_ebpf::parse::{Reject, SliceReader, locate};
use probe_tests::{
    reference::{Event, Recorder, Reference},
    sys,
    tier::privileged,
};
use probe_user::source::{
    Domain,
    live::{
        accounting::Accounting,
        engine::{Action, Depth, Engine, EngineConfig},
    },
};
use proptest::{prelude::*, test_runner::TestRunner};

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
/// Up to this size no index bucket can overflow, so that the model is exact.
const SLOTS: u32 = 8;

fn load(config: &EngineConfig) -> Engine {
    // Every CPU has a region of its own; the model is of one.
    sys::pin_to_cpu(0).expect("CPU 0 exists");
    Engine::load(config).expect("the object is accepted by this kernel")
}

fn run(engine: &mut Engine, frame: &[u8]) -> u32 {
    let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() };
    engine.program().expect("loaded").test_run(options).expect("a test run").return_value
}

fn drain(engine: &mut Engine) -> (Vec<Event>, Accounting) {
    let mut recorder = Recorder::default();
    let accounting = engine.drain(&mut recorder).expect("a drain");
    (recorder.ranked(), accounting)
}

/// Runs `frames` through the kernel and through the model, and compares everything that either hands over.
fn compare(engine: &mut Engine, frames: &[Vec<u8>]) -> Result<Accounting, TestCaseError> {
    let mut reference = Reference::new(engine.config());
    let action = if engine.config().action == Action::Drop { XDP_DROP } else { XDP_PASS };
    for frame in frames {
        prop_assert_eq!(run(engine, frame), action);
        reference.frame(frame);
    }
    let (events, accounting) = drain(engine);
    let (expected_events, expected_books) = reference.drain();
    prop_assert_eq!(&accounting, &expected_books);
    prop_assert_eq!(events, expected_events);
    prop_assert_eq!(accounting.difference(), 0);
    Ok(accounting)
}

/// A frame of one of few flows, with numbers close enough to meet: retransmissions, keep-alives, reuse.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop_oneof![
        4 => Just(0x10_u8),
        3 => Just(0x02),
        2 => prop_oneof![Just(0x12), Just(0x11), Just(0x04), Just(0x14)],
        1 => any::<u8>(),
    ];
    let numbers = (0_u32..12, 0_u32..12, 0_u16..3);
    let payload = prop_oneof![3 => Just(0_usize), 1 => Just(1), 2 => 0_usize..40];
    let place = (0_u16..6, any::<bool>(), any::<bool>(), 0_u16..3);
    let damage = prop_oneof![9 => Just(None), 1 => (12_usize..60, any::<u8>()).prop_map(Some)];
    (place, flags, numbers, payload, damage, 0_u8..4).prop_map(|(place, flags, numbers, payload, damage, options)| {
        let mut frame = frame(place, tcp(flags, numbers, options), payload);
        if let Some((at, byte)) = damage
            && at < frame.len()
        {
            frame[at] = byte;
        }
        frame
    })
}

/// An ICMP error about a segment of one of those flows, or another ICMP message.
fn any_icmp() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![3 => Just(1_u8), 3 => Just(3), 1 => Just(8), 1 => any::<u8>()];
    let quoted = ((0_u16..6, any::<bool>(), any::<bool>(), 0_u16..3), 0_u32..12, 0_usize..60);
    (quoted, kind, any::<u8>()).prop_map(|((place, seq, len), kind, code)| icmp(place, seq, len, (kind, code)))
}

/// An ICMP message with the first `len` bytes of a packet of a flow.
fn icmp((flow, reverse, v6, vlan): (u16, bool, bool, u16), seq: u32, len: usize, (kind, code): (u8, u8)) -> Vec<u8> {
    let quoted = &frame((flow, reverse, v6, 0), tcp(0x02, (seq, 0, 0), 0), 0)[14..];
    let quoted = &quoted[..len.min(quoted.len())];
    let link = PacketBuilder::ethernet2([2; 6], [4; 6]);
    let v6_address = |end: u8| [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, end];
    let tag = VlanId::try_new(vlan).expect("twelve bits");
    let mut frame = vec![];
    let written = match (v6, vlan) {
        (false, 0) => {
            link.ipv4([10, 0, 0, 9], [10, 0, 0, 1], 64).icmpv4_raw(kind, code, [0; 4]).write(&mut frame, quoted)
        }
        (true, 0) => {
            link.ipv6(v6_address(9), v6_address(1), 64).icmpv6_raw(kind, code, [0; 4]).write(&mut frame, quoted)
        }
        (false, _) => link
            .single_vlan(tag)
            .ipv4([10, 0, 0, 9], [10, 0, 0, 1], 64)
            .icmpv4_raw(kind, code, [0; 4])
            .write(&mut frame, quoted),
        (true, _) => link
            .double_vlan(tag, VlanId::ZERO)
            .ipv6(v6_address(9), v6_address(1), 64)
            .icmpv6_raw(kind, code, [0; 4])
            .write(&mut frame, quoted),
    };
    written.expect("a packet that fits");
    frame
}

fn tcp(flags: u8, (seq, ack, window): (u32, u32, u16), options: u8) -> TcpHeader {
    let mut header = TcpHeader::new(0, 0, seq.wrapping_sub(6), window);
    header.acknowledgment_number = ack;
    let bit = |at: u8| flags & (1 << at) != 0;
    (header.fin, header.syn, header.rst, header.psh) = (bit(0), bit(1), bit(2), bit(3));
    (header.ack, header.urg, header.ece, header.cwr) = (bit(4), bit(5), bit(6), bit(7));
    let elements = [
        vec![],
        vec![TcpOptionElement::Noop, TcpOptionElement::Noop, TcpOptionElement::Timestamp(1, 2)],
        vec![TcpOptionElement::MaximumSegmentSize(1460), TcpOptionElement::WindowScale(7)],
        vec![TcpOptionElement::SelectiveAcknowledgementPermitted, TcpOptionElement::Timestamp(3, 4)],
    ];
    header.set_options(&elements[usize::from(options)]).expect("they fit");
    header
}

fn frame((flow, reverse, v6, vlan): (u16, bool, bool, u16), mut tcp: TcpHeader, payload: usize) -> Vec<u8> {
    let (mut ends, mut ports) = ([1_u8, 2], [1000 + flow, 80]);
    if reverse {
        ends.reverse();
        ports.reverse();
    }
    (tcp.source_port, tcp.destination_port) = (ports[0], ports[1]);
    let link = PacketBuilder::ethernet2([2; 6], [4; 6]);
    let v6_address = |end: u8| [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, end];
    let tag = VlanId::try_new(vlan).expect("twelve bits");
    let builder = match (v6, vlan) {
        (false, 0) => link.ipv4([10, 0, 0, ends[0]], [10, 0, 0, ends[1]], 64),
        (true, 0) => link.ipv6(v6_address(ends[0]), v6_address(ends[1]), 64),
        (false, _) => link.single_vlan(tag).ipv4([10, 0, 0, ends[0]], [10, 0, 0, ends[1]], 64),
        (true, _) => link.double_vlan(tag, VlanId::ZERO).ipv6(v6_address(ends[0]), v6_address(ends[1]), 64),
    };
    let mut frame = vec![];
    builder.tcp_header(tcp).write(&mut frame, &vec![b'n'; payload]).expect("a packet that fits");
    frame
}

/// Many random sequences under one configuration; returns the sum of the books, to see what was exercised.
fn sequences(config: &EngineConfig, cases: u32) -> Accounting {
    let engine = RefCell::new(load(config));
    let sum = RefCell::new(Accounting::default());
    let mut runner = TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    let any = prop_oneof![9 => any_frame(), 1 => any_icmp()];
    let outcome = runner.run(&proptest::collection::vec(any, 0..120), |frames| {
        let accounting = compare(&mut engine.borrow_mut(), &frames)?;
        sum.borrow_mut().add(&accounting);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{config:?}\n{error}");
    }
    sum.into_inner()
}

fn config(depth: Depth, frags: bool, slots_per_cpu: u32, log_per_cpu: u32) -> EngineConfig {
    EngineConfig { depth, frags: Some(frags), slots_per_cpu, log_per_cpu, ..EngineConfig::default() }
}

#[test]
fn every_frame_leaves_what_the_model_says() {
    privileged("prog_run", "every_frame_leaves_what_the_model_says", || {
        for frags in [true, false] {
            let full = sequences(&config(Depth::Full, frags, SLOTS, 8), 150);
            let exercised = [full.logged, full.untracked, full.untracked_data, full.in_slots];
            assert!(exercised.iter().all(|count| *count > 0), "a way out of the table was not taken: {full:?}");
            assert!(full.rejected.iter().sum::<u64>() > 0);
            assert!(full.drained_icmp > 0 && full.icmp_unlogged() > 0, "{full:?}");
            let control = sequences(&config(Depth::Control, frags, 4, 4), 100);
            assert!(control.passed_by > 0 && control.untracked > 0 && control.logged > 0, "{control:?}");
            assert_eq!(control.untracked_data, 0, "data never asks for a slot at depth control");
        }
    });
}

#[test]
fn roomy_tables_lose_nothing() {
    privileged("prog_run", "roomy_tables_lose_nothing", || {
        let accounting = sequences(&config(Depth::Full, true, SLOTS, 4096), 60);
        assert_eq!((accounting.untracked, accounting.order_lost), (0, 0));
    });
}

#[test]
fn the_vlan_is_part_of_the_key_when_asked_for() {
    privileged("prog_run", "the_vlan_is_part_of_the_key_when_asked_for", || {
        let config =
            EngineConfig { domain: Domain::Vlan, action: Action::Drop, ..config(Depth::Full, true, SLOTS, 64) };
        sequences(&config, 60);
        let mut engine = load(&config);
        for vlan in [1, 2] {
            run(&mut engine, &frame((0, false, false, vlan), tcp(2, (0, 0, 0), 0), 0));
        }
        let flows = |events: &[Event]| events.iter().filter(|event| matches!(event, Event::Count(..))).count();
        assert_eq!(flows(&drain(&mut engine).0), 2);
    });
}

#[test]
fn order_that_is_lost_is_counted() {
    privileged("prog_run", "order_that_is_lost_is_counted", || {
        let mut engine = load(&config(Depth::Full, true, SLOTS, 8));
        // The same SYN again and again: eight are kept in the slot, eight in the log, the rest is only counted.
        for _ in 0..30 {
            run(&mut engine, &frame((0, false, false, 0), tcp(0x02, (1, 0, 0), 0), 0));
        }
        let (_, accounting) = drain(&mut engine);
        assert_eq!(
            (accounting.in_slots, accounting.logged, accounting.order_lost, accounting.difference()),
            (30, 0, 14, 0)
        );
    });
}

#[test]
fn reconnects_keep_one_place_in_the_index() {
    privileged("prog_run", "reconnects_keep_one_place_in_the_index", || {
        let mut engine = load(&config(Depth::Control, true, 64, 64));
        // Each SYN with a new number after an RST opens a slot for the same key; a bucket has room for 16 keys.
        for generation in 0..17 {
            run(&mut engine, &frame((0, false, false, 0), tcp(0x02, (generation, 0, 0), 0), 0));
            run(&mut engine, &frame((0, false, false, 0), tcp(0x04, (generation, 0, 0), 0), 0));
        }
        let (_, accounting) = drain(&mut engine);
        assert_eq!((accounting.in_slots, accounting.logged, accounting.bucket_full), (34, 0, 0));
        assert_eq!(accounting.difference(), 0);
    });
}

#[test]
fn multi_buffer_frames_are_measured_whole() {
    privileged("prog_run", "multi_buffer_frames_are_measured_whole", || {
        let mut engine = load(&config(Depth::Full, true, SLOTS, 64));
        let big = frame((0, false, true, 0), tcp(0x10, (0, 0, 1), 1), 9000);
        run(&mut engine, &big);
        let (events, accounting) = drain(&mut engine);
        assert!(accounting.frame_bytes < 9000, "the frame is in more than one buffer, or this tests nothing");
        let Some(Event::Transition(segment)) = events.first() else { panic!("{events:?}") };
        assert_eq!(segment.record.payload_len, 9000);
        // The same frame, cropped: what its header says is believed.
        run(&mut engine, &big[..8000]);
        let (events, accounting) = drain(&mut engine);
        assert_eq!((accounting.cropped, accounting.rejected_for(Reject::IpTotalLength)), (1, 0));
        let Some(Event::Transition(segment)) = events.first() else { panic!("{events:?}") };
        assert_eq!(segment.record.payload_len, 9000);
    });
}

#[test]
fn every_reason_that_a_whole_frame_can_have_is_counted() {
    privileged("prog_run", "every_reason_that_a_whole_frame_can_have_is_counted", || {
        let good = frame((0, false, true, 2), tcp(0x10, (0, 0, 1), 1), 30);
        let mut engine = load(&config(Depth::Full, true, SLOTS, 64));
        // The kernel wants an Ethernet header at least.
        for len in 14..good.len() {
            run(&mut engine, &good[..len]);
            let (_, accounting) = drain(&mut engine);
            match locate(&SliceReader::whole(&good[..len])) {
                Ok(_) => assert_eq!((accounting.frames, accounting.tcp, accounting.cropped), (1, 1, 1), "{len} bytes"),
                Err(reject) => {
                    assert_eq!((accounting.frames, accounting.rejected_for(reject)), (1, 1), "{len} bytes: {reject:?}");
                }
            }
        }
    });
}
