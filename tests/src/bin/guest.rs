//! The first process of a guest that `cargo xtask vm` boots; with the name of a check, a process that runs it.

use std::{process::ExitCode, thread, time::Duration};

use probe_tests::{
    guest::{self, init},
    tier::say,
};

fn main() -> ExitCode {
    if let Some(check) = std::env::args().nth(1) {
        return ExitCode::from(guest::run(&check));
    }
    if std::process::id() != 1 {
        say("guest: to be booted by `cargo xtask vm`; by hand it runs one check: guest CHECK");
        return ExitCode::from(2);
    }
    if let Err(error) = init::run() {
        say(&format!("init: {error}"));
    }
    // The first process must not end, or the kernel panics; QEMU is stopped from outside.
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}
