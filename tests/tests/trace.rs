//! The feature `trace`: the kernel accepts every program with its log, and the agent prints one line for the first
//! rejected or untracked frame of each kind per CPU and epoch, but no flood of them.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]). Runs `rstprobe-trace`, which
//! `cargo xtask build --trace` makes.

use std::{collections::BTreeSet, ffi::OsString, thread, time::Duration};

use probe_tests::{
    frame::{Station, TcpFrame},
    netns::{CLIENT_MAC, Family, Loop, SERVER_MAC, SINK, SOURCE},
    oneshot::OneShot,
    probe::{Finished, Probe, traced_binary},
    sys::{self, Outlet},
    tier::privileged,
};

/// No drain comes between, so that a kind is told of once.
const ONE_EPOCH: [&str; 6] = ["run", "-i", SINK, "--drain", "10s", "--trace"];
/// Longer than the agent's tick (5 ms), on a busy machine, too.
const SETTLE: Duration = Duration::from_millis(300);

fn segment(flags: fn(TcpFrame) -> TcpFrame, port: u16) -> Vec<u8> {
    let from = Station { mac: CLIENT_MAC, ip: Family::V4.client(), port };
    let to = Station { mac: SERVER_MAC, ip: Family::V4.server(), port: 80 };
    flags(TcpFrame::new(from, to, 1)).bytes().expect("a frame")
}

/// An Ethernet frame of `len` bytes with this type and this first byte of payload.
fn frame(kind: u16, first: u8, len: usize) -> Vec<u8> {
    let mut bytes = [&SERVER_MAC[..], &CLIENT_MAC[..], &kind.to_be_bytes()[..], &[first]].concat();
    bytes.resize(len, 0);
    bytes
}

/// Runs the traced binary with `words`, sends `frames` from one CPU, and returns what it said.
fn run(words: &[&str], frames: &[Vec<u8>]) -> Finished {
    let place = Loop::build().expect("a namespace");
    let words: Vec<OsString> = words.iter().map(Into::into).collect();
    let probe = Probe::start_binary(&traced_binary(), &place.namespace, &words).expect("it attaches");
    let send = || {
        sys::pin_to_cpu(0)?;
        let outlet = Outlet::open(SOURCE)?;
        frames.iter().try_for_each(|frame| outlet.send(frame))
    };
    place.namespace.enter(send).expect("frames are sent");
    thread::sleep(SETTLE);
    let finished = probe.stop().expect("it ends");
    assert!(finished.status.success(), "{}", finished.stderr);
    finished
}

/// What was told of frames: (bytes, reason), sorted. Every line names a CPU.
fn messages(finished: &Finished) -> Vec<(usize, String)> {
    let line = |line: &str| {
        let (len, rest) = line.strip_prefix("rstprobe: frame of ")?.split_once(" bytes on CPU ")?;
        let (cpu, reason) = rest.split_once(" not tracked: ")?;
        cpu.parse::<u32>().expect("a CPU");
        Some((len.parse().expect("a length"), reason.to_owned()))
    };
    let mut messages: Vec<_> = finished.stderr.lines().filter_map(line).collect();
    messages.sort();
    messages
}

#[test]
fn each_kind_of_reject_is_told_of_once() {
    privileged("trace", "each_kind_of_reject_is_told_of_once", || {
        let odd = [frame(0x88cc, 0, 60), frame(0x0800, 0x65, 70), frame(0x0800, 0x45, 30)];
        // A flood of each, the first of each a byte longer than the rest.
        let mut frames = odd.iter().map(|frame| [&frame[..], &[0]].concat()).collect::<Vec<_>>();
        frames.extend((0..300).flat_map(|_| odd.clone()));
        let expected = [(31, "short_ip"), (61, "not_ip"), (71, "ip_version")].map(|(len, why)| (len, why.to_owned()));
        // Native with and without multi-buffer frames, and with the program at egress loaded, too.
        for more in [&[][..], &["--single-buffer"], &["--host"]] {
            let finished = run(&[&ONE_EPOCH[..], more].concat(), &frames);
            assert_eq!(messages(&finished), expected, "{more:?}: {}", finished.stderr);
        }
    });
}

#[test]
fn segments_without_room_are_told_of() {
    privileged("trace", "segments_without_room_are_told_of", || {
        let fins = (0..4000).map(|port| segment(|frame| frame.fin().ack(9), 1000 + port));
        let syns = (0..4000).map(|port| segment(TcpFrame::syn, 6000 + port));
        let data = (0..4000).map(|port| segment(|frame| frame.ack(9), 11_000 + port));
        let frames: Vec<_> = fins.chain(syns).chain(data).collect();
        for (depth, data) in [("full", "untracked_data"), ("auto", "shed")] {
            let finished = run(&[&ONE_EPOCH[..], &["--slots", "64", "--log", "1", "--depth", depth]].concat(), &frames);
            // Such a table is drained at every tick.
            let kinds: BTreeSet<_> = messages(&finished).into_iter().map(|(_, reason)| reason).collect();
            for kind in ["untracked", "flooded", data] {
                assert!(kinds.contains(kind), "depth {depth}, {kind}: {}", finished.stderr);
            }
        }
    });
}

#[test]
fn nothing_is_told_unasked() {
    privileged("trace", "nothing_is_told_unasked", || {
        let finished = run(&["run", "-i", SINK], &[frame(0x88cc, 0, 60)]);
        assert_eq!(messages(&finished), [], "{}", finished.stderr);
        let plain = OneShot::new(ONE_EPOCH).run().expect("it runs");
        assert_eq!(plain.status.code(), Some(2), "{}", plain.stderr);
        assert!(plain.stderr.contains("--trace"), "{}", plain.stderr);
    });
}
