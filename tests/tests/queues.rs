//! Frames counted by interface and queue: in the program, under BPF_PROG_TEST_RUN, which takes both from the context; and
//! by the agent, on two interfaces.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::{ffi::OsString, io, thread, time::Duration};

use aya::programs::{TestRun as _, TestRunOptions, xdp::XdpMode};
use probe_ebpf::layout::QUEUE_ROWS;
use probe_tests::{
    frame::{Station, TcpFrame},
    netns::{CLIENT_MAC, Family, Loop, SERVER_MAC, SINK, SOURCE},
    probe::Probe,
    reference::Recorder,
    sys::{self, Outlet},
    tier::privileged,
};
use probe_user::source::live::{
    accounting::Accounting,
    engine::{Engine, EngineConfig},
    queues::QueueCount,
};

/// Interfaces with many queues; their other ends stay down, so that nothing comes in but what is meant to.
const MANY: [&str; 2] = ["many0", "many1"];
const QUEUES: u32 = 48;
/// Longer than the agent's tick (5 ms), on a busy machine, too.
const SETTLE: Duration = Duration::from_millis(300);

fn segment(port: u16) -> Vec<u8> {
    let from = Station { mac: CLIENT_MAC, ip: Family::V4.client(), port };
    let to = Station { mac: SERVER_MAC, ip: Family::V4.server(), port: 80 };
    TcpFrame::new(from, to, 1).syn().bytes().expect("a frame")
}

/// `struct xdp_md` of a frame from a queue.
fn context(interface: u32, queue: u32, len: usize) -> Vec<u8> {
    [0, len as u32, 0, interface, queue, 0].into_iter().flat_map(u32::to_ne_bytes).collect()
}

fn attached(place: &Loop) -> io::Result<(Engine, [u32; 2])> {
    for name in MANY {
        let ends = format!("numrxqueues {QUEUES} numtxqueues {QUEUES}");
        place.namespace.ip(&format!("link add {name} {ends} type veth peer name {name}-end {ends}"))?;
        place.namespace.ip(&format!("link set {name} up"))?;
    }
    let config = EngineConfig { by_queue: true, slots_per_cpu: 64, log_per_cpu: 64, ..EngineConfig::default() };
    let mut engine = Engine::load(&config).map_err(io::Error::other)?;
    for name in MANY {
        // A queue is known to XDP only while a program is attached.
        engine.program().map_err(io::Error::other)?.attach(name, XdpMode::Driver).map_err(io::Error::other)?;
    }
    Ok((engine, [sys::interface_index(MANY[0])?, sys::interface_index(MANY[1])?]))
}

fn run(engine: &mut Engine, (interface, queue): (u32, u32), times: u32) -> io::Result<()> {
    let frame = segment(40_000);
    let context = context(interface, queue, frame.len());
    let (data_in, ctx_in) = (Some(&frame[..]), Some(&context[..]));
    let options = TestRunOptions { data_in, ctx_in, repeat: times, ..TestRunOptions::new() };
    engine.program().map_err(io::Error::other)?.test_run(options).map_err(io::Error::other).map(drop)
}

fn drain(engine: &mut Engine) -> io::Result<Accounting> {
    engine.drain(&mut Recorder::default()).map_err(io::Error::other)
}

#[test]
fn every_frame_is_counted_where_it_came_in() {
    privileged("queues", "every_frame_is_counted_where_it_came_in", || {
        let place = Loop::build().expect("a namespace");
        let test = || {
            sys::pin_to_cpu(0)?;
            let (mut engine, [one, other]) = attached(&place)?;
            let len = segment(40_000).len() as u64;
            let count = |frames| QueueCount { frames, bytes: frames * len };
            run(&mut engine, (one, 0), 3)?;
            run(&mut engine, (one, 7), 2)?;
            run(&mut engine, (other, 7), 5)?;
            let accounting = drain(&mut engine)?;
            assert_eq!((accounting.frames, accounting.difference()), (10, 0));
            run(&mut engine, (one, 7), 4)?;
            let accounting = drain(&mut engine)?;
            assert_eq!((accounting.frames, accounting.difference()), (4, 0));
            let queues = engine.queues().expect("counted by queue");
            assert_eq!(queues.of(one).collect::<Vec<_>>(), [(0, count(3)), (7, count(6))]);
            assert_eq!(queues.of(other).collect::<Vec<_>>(), [(7, count(5))]);
            assert_eq!(queues.rest(), count(0));
            Ok(())
        };
        place.namespace.enter(test).expect("it runs");
    });
}

#[test]
fn more_queues_than_rows_are_counted_together() {
    privileged("queues", "more_queues_than_rows_are_counted_together", || {
        let place = Loop::build().expect("a namespace");
        let test = || {
            sys::pin_to_cpu(0)?;
            let (mut engine, interfaces) = attached(&place)?;
            for queue in 0..QUEUES {
                for interface in interfaces {
                    run(&mut engine, (interface, queue), 2)?;
                }
            }
            let accounting = drain(&mut engine)?;
            let all = u64::from(2 * 2 * QUEUES);
            assert_eq!((accounting.frames, accounting.difference()), (all, 0));
            let queues = engine.queues().expect("counted by queue");
            let places: Vec<QueueCount> =
                interfaces.iter().flat_map(|&interface| queues.of(interface)).map(|(_, count)| count).collect();
            assert!(places.len() <= QUEUE_ROWS && places.iter().all(|count| count.frames == 2), "{places:?}");
            assert!(queues.rest().frames > 0, "{QUEUES} queues twice do not fit");
            assert_eq!(places.iter().map(|count| count.frames).sum::<u64>() + queues.rest().frames, all);
            Ok(())
        };
        place.namespace.enter(test).expect("it runs");
    });
}

#[test]
fn the_agent_tells_interfaces_apart() {
    privileged("queues", "the_agent_tells_interfaces_apart", || {
        let place = Loop::build().expect("a namespace");
        place.add_pair("source2", "sink2").expect("a second pair");
        let words = ["snapshot", "-i", SINK, "-i", "sink2", "--for", "1h", "--format", "json"];
        let probe = Probe::start(&place.namespace, &words.map(OsString::from)).expect("it attaches");
        let send = || {
            for (source, count) in [(SOURCE, 5), ("source2", 3)] {
                let outlet = Outlet::open(source)?;
                (0..count).try_for_each(|nth| outlet.send(&segment(40_000 + nth)))?;
            }
            Ok(())
        };
        place.namespace.enter(send).expect("frames are sent");
        thread::sleep(SETTLE);
        let finished = probe.stop().expect("it ends");
        assert!(finished.status.success(), "{}", finished.stderr);
        let said: serde_json::Value = serde_json::from_str(&finished.stdout).expect("JSON");
        let len = segment(40_000).len();
        for (nth, frames) in [(0, 5), (1, 3)] {
            let queues = &said["window"]["interfaces"][nth]["queues"];
            let expected = serde_json::json!([
                {"direction": "received", "queue": 0, "frames": frames, "bytes": frames * len}
            ]);
            assert_eq!(*queues, expected, "{said}");
        }
    });
}
