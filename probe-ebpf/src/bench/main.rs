//! Benchmark programs: what `cargo xtask bench` needs in the kernel beside the program it measures; never part of the shipped binary.
//!
//! * [`drive`]: turns one repeated test frame into the segments of many flows, and hands each to the measured program;
//!   or sends them into an interface.
//! * [`conventional`]: the design that is compared with, one kernel hash table keyed by 5-tuple.
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", expect(unsafe_code, reason = "map values and packet bytes are raw memory here"))]

#[cfg(target_arch = "bpf")]
mod conventional;

#[cfg(target_arch = "bpf")]
mod drive;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never linked in.
    loop {}
}

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(target_arch = "bpf"))]
compile_error!("this binary is only for bpfel-unknown-none; run `cargo xtask bench`");
