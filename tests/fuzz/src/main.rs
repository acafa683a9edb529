//! The fuzzer: hands what libFuzzer makes up to the target that `RSTPROBE_FUZZ_TARGET` names.
//!
//! `cargo xtask fuzz` builds and starts it; the targets are in `probe_tests::fuzz`.

#![no_main]

use std::{env, sync::OnceLock};

use probe_tests::fuzz::{TARGETS, Target, target};

/// Names the target.
const VARIABLE: &str = "RSTPROBE_FUZZ_TARGET";

fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = env::var(VARIABLE).unwrap_or_default();
        target(&name).unwrap_or_else(|| {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            panic!("{VARIABLE} must name a target: {}", names.join(", "))
        })
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (chosen().run)(bytes));
