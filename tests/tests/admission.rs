//! Admission: which flows get a slot in the kernel's tables when there is not enough for all, frame by frame under BPF_PROG_TEST_RUN.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::net::{IpAddr, Ipv4Addr};

use aya::programs::{TestRun as _, TestRunOptions};
use probe_ebpf::layout::{ACK, DirectionCounters, FlowKey, SYN, Segment};
use probe_tests::{
    frame::{Station, TcpFrame},
    sys,
    tier::privileged,
};
use probe_user::source::live::{
    accounting::Accounting,
    engine::{Depth, Engine, EngineConfig, Sink},
};

const SLOTS: u32 = 64;
const LOG: u32 = 64;

/// What a drain hands over, in order.
#[derive(Default)]
struct Drained {
    observed: Vec<Segment>,
    counted: u64,
}

impl Sink for Drained {
    fn transition(&mut self, _: &Segment) {}

    fn count(&mut self, _: &FlowKey, lo: &DirectionCounters, hi: &DirectionCounters) {
        self.counted += u64::from(lo.packets + hi.packets);
    }

    fn observe(&mut self, segment: &Segment) {
        self.observed.push(*segment);
    }
}

struct Bench {
    engine: Engine,
}

impl Bench {
    fn new(depth: Depth) -> Self {
        // Every CPU has tables of its own.
        sys::pin_to_cpu(0).expect("CPU 0 exists");
        let sizes =
            EngineConfig { slots_per_cpu: SLOTS, log_per_cpu: LOG, opening_sets: 64, ..EngineConfig::default() };
        let mut engine = Engine::load(&EngineConfig { depth, ..sizes }).expect("the object is accepted by this kernel");
        engine.tick(1);
        Self { engine }
    }

    fn run(&mut self, frame: &TcpFrame) {
        let frame = frame.bytes().expect("a frame");
        let options = TestRunOptions { data_in: Some(&frame), ..TestRunOptions::new() };
        self.engine.program().expect("loaded").test_run(options).expect("a test run");
    }

    fn drain(&mut self) -> (Drained, Accounting) {
        let mut drained = Drained::default();
        let accounting = self.engine.drain(&mut drained).expect("a drain");
        assert_eq!(accounting.difference(), 0, "{accounting:?}");
        (drained, accounting)
    }
}

fn client(number: u16) -> Station {
    Station { mac: [2; 6], ip: IpAddr::V4(Ipv4Addr::new(10, 1, (number >> 8) as u8, number as u8)), port: 40_000 }
}

fn server(port: u16) -> Station {
    Station { mac: [4; 6], ip: IpAddr::V4(Ipv4Addr::new(10, 2, 0, 1)), port }
}

fn syn(number: u16, port: u16) -> TcpFrame {
    TcpFrame::new(client(number), server(port), 1000).syn()
}

fn syn_ack(number: u16, port: u16) -> TcpFrame {
    TcpFrame::new(server(port), client(number), 5000).syn().ack(1001)
}

fn ack(number: u16, port: u16) -> TcpFrame {
    TcpFrame::new(client(number), server(port), 1001).ack(5001)
}

#[test]
fn beyond_its_share_a_service_is_counted_and_who_goes_on_is_followed() {
    privileged("admission", "beyond_its_share_a_service_is_counted_and_who_goes_on_is_followed", || {
        let mut bench = Bench::new(Depth::Full);
        bench.engine.set_budget(10, u32::MAX);
        (0..100).for_each(|number| bench.run(&syn(number, 80)));
        bench.run(&syn_ack(50, 80));
        bench.run(&syn(7, 443));
        // In this epoch, with the opening just written: the program recalls it.
        bench.run(&ack(50, 80));
        let (drained, accounting) = bench.drain();
        assert_eq!((accounting.flooded_flags.syn, accounting.flooded_flags.syn_ack), (90, 1));
        assert_eq!(accounting.in_slots, 10 + 1 + 1, "its share, the other service, and the conversation");
        let flags =
            |drained: &Drained| drained.observed.iter().map(|s| s.record.flags & (SYN | ACK)).collect::<Vec<_>>();
        assert_eq!(flags(&drained), [SYN, SYN | ACK]);
        assert_eq!((accounting.claimed, drained.counted), (2, 12));
        // In a later epoch, and once only.
        bench.run(&ack(60, 80));
        bench.run(&ack(50, 80));
        let (drained, accounting) = bench.drain();
        assert_eq!((flags(&drained), accounting.claimed), (vec![SYN], 1));
        let services = bench.engine.services().expect("they are counted").by_size();
        let [(key, counts)] = services[..] else { panic!("{services:?}") };
        assert_eq!((key.0.port, counts.flags.syn, counts.left().syn, counts.left().syn_ack), (80, 90, 88, 0));
    });
}

#[test]
fn openings_leave_room_for_conversations() {
    privileged("admission", "openings_leave_room_for_conversations", || {
        let mut bench = Bench::new(Depth::Full);
        // To a service each, so that no share is exceeded.
        (0..200).for_each(|number| bench.run(&syn(number, 1000 + number)));
        let fin = |number| TcpFrame::new(client(number), server(9), 77).fin().ack(5001);
        (1000..1100).for_each(|number| bench.run(&fin(number)));
        let (drained, accounting) = bench.drain();
        assert_eq!(
            (accounting.seen.syn, accounting.flooded),
            (200, 200 - 48 - 32),
            "three quarters of the slots, half of the log"
        );
        assert_eq!(accounting.untracked_flags.fin, 100 - 16 - 32, "the rest of both");
        assert_eq!((drained.counted, drained.observed.len()), (64, 64));
        let services = bench.engine.services().expect("they are counted");
        let fins: u64 = services.by_size().iter().map(|(_, row)| row.flags.fin).sum();
        assert_eq!(fins + services.rest().flags.fin, 52);
    });
}

#[test]
fn an_established_conversation_is_not_ended_by_a_flood_of_its_own_tuple() {
    privileged("admission", "an_established_conversation_is_not_ended_by_a_flood_of_its_own_tuple", || {
        let mut bench = Bench::new(Depth::Full);
        bench.engine.set_budget(1, u32::MAX);
        for frame in [syn(1, 80), ack(1, 80)] {
            bench.run(&frame);
        }
        for seq in 0..50 {
            bench.run(&TcpFrame::new(client(1), server(80), 90_000 + seq).syn());
        }
        bench.run(&ack(1, 80));
        let (drained, accounting) = bench.drain();
        assert_eq!((accounting.in_slots, drained.counted), (3, 3));
        assert_eq!(accounting.flooded, 50);
    });
}

#[test]
fn depth_auto_sheds_data_and_keeps_control() {
    privileged("admission", "depth_auto_sheds_data_and_keeps_control", || {
        let mut bench = Bench::new(Depth::Auto);
        (0..100).for_each(|number| bench.run(&ack(number, 80)));
        // Who has a slot goes on being counted.
        bench.run(&ack(3, 80));
        (200..210).for_each(|number| bench.run(&TcpFrame::new(client(number), server(80), 7).rst().ack(8)));
        let (drained, accounting) = bench.drain();
        assert_eq!((accounting.shed, accounting.shed_epochs, accounting.untracked_data), (52, 1, 0));
        assert_eq!((accounting.in_slots, drained.counted), (48 + 1 + 10, 59));
        let mut full = Bench::new(Depth::Full);
        (0..100).for_each(|number| full.run(&ack(number, 80)));
        let (_, accounting) = full.drain();
        assert_eq!((accounting.shed, accounting.in_slots, accounting.untracked_data), (0, 64, 36));
    });
}

#[test]
fn any_mixture_is_accounted_for() {
    privileged("admission", "any_mixture_is_accounted_for", || {
        for depth in [Depth::Control, Depth::Full, Depth::Auto] {
            let mut bench = Bench::new(depth);
            let mut state = 0x2545_f491_4f6c_dd1d_u64;
            let mut sum = Accounting::default();
            for epoch in 0..40 {
                bench.engine.set_budget(1 + epoch % 7, 1 + epoch * 3);
                for _ in 0..300 {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    let (number, port) = ((state >> 8) as u16 % 300, 1 + (state >> 24) as u16 % 300);
                    let port = if state & 1 == 0 { 80 } else { port };
                    bench.run(&match state >> 40 & 7 {
                        0..=2 => syn(number, port),
                        3 => syn_ack(number, port),
                        4 => ack(number, port),
                        5 => TcpFrame::new(server(port), client(number), 0).rst().ack(1001),
                        6 => TcpFrame::new(client(number), server(port), 1).fin().ack(1),
                        _ => TcpFrame::new(client(number), server(port), 1).rst(),
                    });
                }
                sum.add(&bench.drain().1);
            }
            assert_eq!(sum.difference(), 0);
            assert!(sum.flooded > 0 && sum.claimed > 0 && sum.logged > 0 && sum.untracked > 0, "{sum:?}");
        }
    });
}
