//! Hash flood: who knows the hash and not the seed finds no bucket of the kernel's tables fuller than chance makes it. Counted,
//! not timed: the time is `cargo xtask bench hash_flood`.
//!
//! In the kernel it is privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::collections::BTreeMap;

use aya::programs::{TestRun as _, TestRunOptions};
use probe_ebpf::layout::{BUCKET_ENTRIES, SLOTS_PER_BUCKET};
use probe_tests::{
    bench::kernel::Nowhere,
    hash_flood::{self, Flow},
    pcap::Random,
    sys,
    tier::privileged,
};
use probe_user::source::live::engine::{Engine, EngineConfig};

/// As many as there are slots.
const FLOWS: u32 = 1 << 13;
const BUCKETS: u64 = (FLOWS / SLOTS_PER_BUCKET) as u64;
const SEEDS: u64 = 12;

/// Flows that find their bucket full, and how many entries are looked at to find all flows once.
fn looks(flows: &[Flow], seed: u64) -> (u64, u64) {
    let mut buckets = BTreeMap::<u64, u64>::new();
    for flow in flows {
        *buckets.entry(flow.key().hash(seed) % BUCKETS).or_default() += 1;
    }
    let full = buckets.values().map(|count| count.saturating_sub(BUCKET_ENTRIES as u64)).sum();
    // The search begins anywhere in the bucket: what is there counts by its pairs.
    (full, buckets.values().map(|count| count * count).sum())
}

#[test]
fn no_bucket_is_fuller_than_by_chance() {
    let mut random = Random::new(77);
    let seeds: Vec<u64> = (0..SEEDS).map(|_| random.next_u64()).collect();
    let sum = |flows_of: &dyn Fn(u64) -> Vec<Flow>| {
        let all = seeds.iter().map(|&seed| looks(&flows_of(seed), seed));
        all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    };
    let (_, by_chance) = sum(&|seed| hash_flood::by_chance(FLOWS, !seed));
    for (name, flows) in hash_flood::all(FLOWS) {
        let (full, looked_at) = sum(&|_| flows.clone());
        // Four per bucket on average: by chance one flow in 100,000 finds fifteen there.
        assert!(full <= 2 * SEEDS, "{name}: {full} flows find a full bucket");
        assert!(looked_at * 20 < by_chance * 21, "{name}: {looked_at} looks, by chance {by_chance}");
    }
    // And who knows the seed does.
    let (full, _) = looks(&hash_flood::together(FLOWS, seeds[0]), seeds[0]);
    assert!(full > u64::from(FLOWS) * 9 / 10, "{full}");
}

#[test]
fn the_kernel_finds_no_full_bucket() {
    privileged("hash_flood", "the_kernel_finds_no_full_bucket", || {
        // Every CPU has tables of its own.
        sys::pin_to_cpu(0).expect("CPU 0 exists");
        for (name, flows) in hash_flood::all(FLOWS) {
            let tables = EngineConfig { slots_per_cpu: FLOWS, ..EngineConfig::default() };
            let mut engine = Engine::load(&tables).expect("the object is accepted by this kernel");
            engine.tick(1);
            for flow in &flows {
                let frame = flow.frame(1).syn().bytes().expect("a frame");
                let options = TestRunOptions { data_in: Some(&frame), ..TestRunOptions::new() };
                engine.program().expect("loaded").test_run(options).expect("a test run");
            }
            let accounting = engine.drain(&mut Nowhere).expect("a drain");
            assert_eq!(accounting.difference(), 0, "{name}: {accounting:?}");
            assert_eq!(accounting.in_slots + accounting.logged, u64::from(FLOWS), "{name}");
            assert!(accounting.bucket_full <= 4, "{name}: {} flows find a full bucket", accounting.bucket_full);
        }
    });
}
