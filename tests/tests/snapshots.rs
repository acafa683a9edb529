//! Snapshots of frames by the real BPF object, on every CPU: each has a ring buffer of its own, and together they come in the
//! order of time.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use aya::programs::{TestRun as _, TestRunOptions};
use probe_tests::{
    frame::{Station, TcpFrame},
    netns::{CLIENT_MAC, Family, SERVER_MAC},
    sys,
    tier::{privileged, say},
};
use probe_user::source::live::{
    engine::{Engine, EngineConfig},
    snapshots::Snapshots,
};

/// More SYNs of one connection than any ring buffer holds, and than fit into its slot.
const MANY: u32 = 20_000;

fn load() -> (Engine, Snapshots) {
    let config =
        EngineConfig { snapshots: true, slots_per_cpu: 1 << 10, log_per_cpu: 1 << 16, ..EngineConfig::default() };
    let mut engine = Engine::load(&config).expect("the object is accepted by this kernel");
    let snapshots = Snapshots::open(&mut engine).expect("ring buffers");
    engine.arm(true);
    (engine, snapshots)
}

fn cpus() -> usize {
    std::thread::available_parallelism().expect("a count").get()
}

/// Has the program see a SYN from `port`, so many times, on a CPU.
fn run(engine: &mut Engine, cpu: usize, port: u16, times: u32) {
    let end = |mac, ip, port| Station { mac, ip, port };
    let (client, server) = (end(CLIENT_MAC, Family::V4.client(), port), end(SERVER_MAC, Family::V4.server(), 80));
    let frame = TcpFrame::new(client, server, 1).syn().bytes().expect("a frame");
    sys::pin_to_cpu(cpu).expect("a CPU");
    let options = TestRunOptions { data_in: Some(&frame), repeat: times, ..TestRunOptions::new() };
    engine.program().expect("loaded").test_run(options).expect("a test run");
}

/// Ports and times of what is handed over.
fn take(snapshots: &mut Snapshots) -> Vec<(u16, u64)> {
    let mut all = vec![];
    snapshots.take(u64::MAX, |taken| {
        let [ports, more] = [taken.bytes[34], taken.bytes[35]];
        all.push((u16::from_be_bytes([ports, more]), taken.segment.record.time_ns));
    });
    all
}

#[test]
fn all_cpus_come_in_the_order_of_time() {
    privileged("snapshots", "all_cpus_come_in_the_order_of_time", || {
        let (mut engine, mut snapshots) = load();
        for port in 0..500 {
            run(&mut engine, usize::from(port) % cpus(), 1000 + port, 1);
        }
        let taken = take(&mut snapshots);
        assert_eq!(taken.iter().map(|(port, _)| *port).collect::<Vec<_>>(), (1000..1500).collect::<Vec<_>>());
        assert!(taken.is_sorted_by_key(|(_, time_ns)| *time_ns));
        assert_eq!(snapshots.counts(), (500, 0));
    });
}

#[test]
fn what_is_too_new_waits_and_is_not_lost() {
    privileged("snapshots", "what_is_too_new_waits_and_is_not_lost", || {
        let (mut engine, mut snapshots) = load();
        for port in 1..=10 {
            run(&mut engine, usize::from(port) % cpus(), port, 1);
        }
        let mut early = 0;
        snapshots.take(1, |_| early += 1);
        assert_eq!((early, take(&mut snapshots).len()), (0, 10));
    });
}

#[test]
fn a_full_ring_is_of_one_cpu_only_and_is_counted() {
    privileged("snapshots", "a_full_ring_is_of_one_cpu_only_and_is_counted", || {
        let (mut engine, mut snapshots) = load();
        run(&mut engine, 0, 1, MANY);
        let (taken, no_room) = snapshots.counts();
        say(&format!("{taken} snapshots in a ring, {no_room} without room"));
        assert!(taken > 3900 && no_room > 0 && taken + no_room == u64::from(MANY), "{taken} {no_room}");
        if cpus() > 1 {
            run(&mut engine, 1, 2, 8);
            assert_eq!(snapshots.counts(), (taken + 8, no_room), "another CPU has room");
        }
        let all = take(&mut snapshots);
        assert_eq!(all.len() as u64, snapshots.counts().0);
        // There is room again.
        run(&mut engine, 0, 3, 1);
        assert_eq!(take(&mut snapshots).iter().map(|(port, _)| *port).collect::<Vec<_>>(), [3]);
    });
}
