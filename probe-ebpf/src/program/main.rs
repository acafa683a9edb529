//! The BPF object: XDP, tc and tracepoint programs, a thin shell around `parse` and `record`.
//!
//! Finds the flow's slot in this CPU's half of the table, opens one when there is none, and falls back to the log and
//! to counters when there is no room, so that every frame is in exactly one counter. It never writes to a packet.
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![cfg_attr(target_arch = "bpf", expect(unsafe_code, reason = "map values and packet bytes are raw memory here"))]

#[cfg(target_arch = "bpf")]
mod accounting;

#[cfg(target_arch = "bpf")]
mod frame_snapshots;

#[cfg(target_arch = "bpf")]
mod frame;

#[cfg(target_arch = "bpf")]
mod entry;

#[cfg(target_arch = "bpf")]
mod host_tracepoints;

#[cfg(target_arch = "bpf")]
mod queue_counters;

#[cfg(target_arch = "bpf")]
mod redirect;

#[cfg(target_arch = "bpf")]
mod reset_tracepoint;

#[cfg(target_arch = "bpf")]
mod admission;

#[cfg(target_arch = "bpf")]
mod tables;

#[cfg(all(target_arch = "bpf", feature = "trace"))]
mod trace;

#[cfg(target_arch = "bpf")]
mod tunnel_walk;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never linked in: the verifier would reject the loop, and a panic path that survives fails the build test.
    loop {}
}

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(target_arch = "bpf"))]
compile_error!("this binary is only for bpfel-unknown-none; run `cargo xtask build`");
