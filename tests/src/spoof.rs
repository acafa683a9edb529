//! A SYN flood: each run of an XDP program, assembled here, makes one SYN to one service from another address and port,
//! and redirects it into an interface.
//!
//! No two of 2^38 SYNs have the same source; all sources lie in [`SOURCES`]. The frames go to an Ethernet address that
//! nobody has: on the way they are seen like any others, and no server has to answer them.

use std::{io, net::IpAddr};

use crate::{
    assemble::{
        Instruction, R0, R2, R5, SEQUENCE_AT, SOURCE_PORT_AT, add, and, copy, drop_sources, maker, multiply,
        shift_right, store_u16, store_u32, write_source_address,
    },
    frame::{Station, TcpFrame},
    netns::{CLIENT_MAC, Family, NOBODY_MAC},
    sys::bpf::{Counter, IngressFilter, LoadedProgram},
};

/// First address, and bits of the rest: 10.128.0.0/10.
pub const SOURCES: (u32, u32) = (0x0a80_0000, 22);
/// Runs between two chances for the receiving end to take what is in its ring (256 frames on veth).
const BATCH: u32 = 64;
/// Odd, so that no number comes twice.
const SPREAD: i32 = 0x4f1b_bcdd;

/// True for an address that only the flood has.
pub fn is_spoofed(address: IpAddr) -> bool {
    let (first, bits) = SOURCES;
    matches!(address, IpAddr::V4(v4) if v4.to_bits() >> bits == first >> bits)
}

/// The program, loaded, and its counter.
#[derive(Debug)]
pub struct Flood {
    program: LoadedProgram,
    counter: Counter,
    frame: Vec<u8>,
}

impl Flood {
    /// Loads it for the interface with `index` (in the namespace of the thread that will call [`Self::send`]) and the
    /// service at `port` of the server.
    ///
    /// # Errors
    /// When the kernel refuses map or program.
    pub fn load(index: u32, port: u16) -> io::Result<Self> {
        let counter = Counter::create()?;
        let program = LoadedProgram::load(&assemble(counter.descriptor(), index.cast_signed()))?;
        let from = Station { mac: CLIENT_MAC, ip: Family::V4.client(), port: 1 };
        let to = Station { mac: NOBODY_MAC, ip: Family::V4.server(), port };
        // Without options, so that its length is known; checksums are not made right, nobody looks at them.
        let mut frame = TcpFrame::new(from, to, 0).bytes()?;
        frame[14 + 20 + 13] = 2;
        Ok(Self { program, counter, frame })
    }

    /// Sends `count` SYNs. Fewer arrive when the receiving ring is full.
    ///
    /// # Errors
    /// When the kernel does not run it.
    pub fn send(&self, count: u32) -> io::Result<()> {
        self.program.run_live(&self.frame, count, BATCH)
    }

    /// How many were sent so far.
    ///
    /// # Errors
    /// When the counter cannot be read.
    pub fn sent(&self) -> io::Result<u64> {
        self.counter.read()
    }
}

fn assemble(counter: i32, interface: i32) -> Vec<Instruction> {
    let (first, bits) = SOURCES;
    // A number that comes once, and the address in its low bits.
    let address = [
        multiply(R5, SPREAD),
        store_u32(R2, SEQUENCE_AT, R5),
        copy(R0, R5),
        and(R0, (1 << bits) - 1),
        add(R0, first.cast_signed()),
    ];
    let port = [shift_right(R5, bits.cast_signed()), store_u16(R2, SOURCE_PORT_AT, R5)];
    maker(counter, interface, &[&address[..], &write_source_address(), &port].concat())
}

/// Keeps the flood from the stack behind the interface with `index` (in the namespace of the calling thread), for as long
/// as the answer lives: dropped before anybody has work with it, and after XDP has seen it.
///
/// # Errors
/// When the kernel has no tcx (before Linux 6.6).
pub fn keep_from_stack(index: u32) -> io::Result<IngressFilter> {
    let (first, bits) = SOURCES;
    IngressFilter::attach(&drop_sources(first, bits), index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spoofed_addresses_are_told_from_real_ones() {
        assert!(is_spoofed("10.128.0.1".parse().expect("an address")));
        assert!(is_spoofed("10.191.255.255".parse().expect("an address")));
        assert!(!is_spoofed("10.192.0.0".parse().expect("an address")));
        assert!(!is_spoofed(Family::V4.client()));
    }
}
