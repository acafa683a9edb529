//! A traffic source: an XDP program, assembled here, that turns each run into one control segment of one of many flows
//! and redirects it into an interface.
//!
//! Run number `n` (a counter in a map) sends, from source address `10.0.0.0 + (n / 4) % FLOWS`, the segment
//! `n % 4` of SYN, SYN-ACK, FIN, RST: any multiple of four runs sends the same number of each.

use std::{io, thread};

use crate::{
    frame::{Station, TcpFrame},
    netns::{CLIENT_MAC, Family, SERVER_MAC},
    sys::{Counter, LoadedProgram, pin_to_cpu},
};

/// Different source addresses.
pub const FLOWS: u32 = 100_000;
/// Runs between two chances for the receiving end to take what is in its ring (256 frames on veth).
const BATCH: u32 = 64;
const FIRST_ADDRESS: i32 = 0x0a00_0000;
/// Flags of SYN, SYN-ACK, FIN, RST, lowest byte first.
const FLAGS: i32 = 0x0411_1202;
const SOURCE_ADDRESS_AT: i16 = 14 + 12;
const FLAGS_AT: i16 = 14 + 20 + 13;
const FRAME_LEN: i32 = 14 + 20 + 20;

/// The program, loaded, and its counter.
#[derive(Debug)]
pub struct Generator {
    program: LoadedProgram,
    counter: Counter,
    frame: Vec<u8>,
}

impl Generator {
    /// Loads it for the interface with `index` (in the namespace of the thread that will call [`Self::send`]).
    ///
    /// # Errors
    /// When the kernel refuses map or program.
    pub fn load(index: u32) -> io::Result<Self> {
        let counter = Counter::create()?;
        let program = LoadedProgram::load(&assemble(counter.descriptor(), index.cast_signed()))?;
        let from = Station { mac: CLIENT_MAC, ip: Family::V4.client(), port: 40_000 };
        let to = Station { mac: SERVER_MAC, ip: Family::V4.server(), port: 80 };
        // Every field that the program does not write; checksums are not made right, nobody looks at them.
        let frame = TcpFrame::new(from, to, 0).ack(0).bytes()?;
        Ok(Self { program, counter, frame })
    }

    /// Sends `count` segments, a multiple of four. Fewer arrive when the receiving ring is full.
    ///
    /// # Errors
    /// When the kernel does not run it, or did not run it so often.
    pub fn send(&self, count: u32) -> io::Result<()> {
        let before = self.counter.read()?;
        self.program.run_live(&self.frame, count, BATCH)?;
        match self.counter.read()? - before {
            runs if runs == u64::from(count) => Ok(()),
            runs => Err(io::Error::other(format!("{runs} runs instead of {count}"))),
        }
    }
}

/// Sends `count` segments in all, or a few less (a multiple of four for each CPU), from every CPU at once, each of all
/// flows; returns how many.
///
/// # Errors
/// As [`Generator::load`] and [`Generator::send`].
///
/// # Panics
/// When a thread of it does, which is a bug here.
pub fn send_on_all_cpus(index: u32, count: u32) -> io::Result<u64> {
    let cpus = thread::available_parallelism()?.get();
    let share = count / u32::try_from(cpus).map_err(io::Error::other)? / 4 * 4;
    let loaded: Vec<_> = (0..cpus).map(|_| Generator::load(index)).collect::<io::Result<_>>()?;
    thread::scope(|scope| {
        let one = |(cpu, generator): (usize, Generator)| {
            scope.spawn(move || pin_to_cpu(cpu).and_then(|()| generator.send(share)))
        };
        let senders: Vec<_> = loaded.into_iter().enumerate().map(one).collect();
        senders.into_iter().try_for_each(|sender| sender.join().expect("a generator does not panic"))
    })?;
    Ok(u64::from(share) * cpus as u64)
}

pub(crate) const R0: u8 = 0;
pub(crate) const R1: u8 = 1;
pub(crate) const R2: u8 = 2;
pub(crate) const R3: u8 = 3;
pub(crate) const R4: u8 = 4;
pub(crate) const R5: u8 = 5;
pub(crate) const R6: u8 = 6;
pub(crate) const R7: u8 = 7;

/// One instruction: operation, registers, offset, immediate value (include/uapi/linux/bpf.h).
pub(crate) fn op(code: u8, to: u8, from: u8, offset: i16, value: i32) -> [u8; 8] {
    let ([o0, o1], [v0, v1, v2, v3]) = (offset.to_le_bytes(), value.to_le_bytes());
    [code, to | from << 4, o0, o1, v0, v1, v2, v3]
}

pub(crate) fn copy(to: u8, from: u8) -> [u8; 8] {
    op(0xbf, to, from, 0, 0)
}

pub(crate) fn set(to: u8, value: i32) -> [u8; 8] {
    op(0xb7, to, 0, 0, value)
}

pub(crate) fn add(to: u8, value: i32) -> [u8; 8] {
    op(0x07, to, 0, 0, value)
}

pub(crate) fn and(to: u8, value: i32) -> [u8; 8] {
    op(0x57, to, 0, 0, value)
}

pub(crate) fn shift_right(to: u8, value: i32) -> [u8; 8] {
    op(0x77, to, 0, 0, value)
}

pub(crate) fn shift_left(to: u8, value: i32) -> [u8; 8] {
    op(0x67, to, 0, 0, value)
}

pub(crate) fn shift_right_by(to: u8, from: u8) -> [u8; 8] {
    op(0x7f, to, from, 0, 0)
}

pub(crate) fn remainder(to: u8, value: i32) -> [u8; 8] {
    op(0x97, to, 0, 0, value)
}

pub(crate) fn to_network_order_32(to: u8) -> [u8; 8] {
    op(0xdc, to, 0, 0, 32)
}

pub(crate) fn load_u32(to: u8, from: u8, offset: i16) -> [u8; 8] {
    op(0x61, to, from, offset, 0)
}

pub(crate) fn load_u64(to: u8, from: u8, offset: i16) -> [u8; 8] {
    op(0x79, to, from, offset, 0)
}

pub(crate) fn store_u8(to: u8, offset: i16, from: u8) -> [u8; 8] {
    op(0x73, to, from, offset, 0)
}

pub(crate) fn store_u32(to: u8, offset: i16, from: u8) -> [u8; 8] {
    op(0x63, to, from, offset, 0)
}

pub(crate) fn store_u64(to: u8, offset: i16, from: u8) -> [u8; 8] {
    op(0x7b, to, from, offset, 0)
}

pub(crate) fn skip_if_greater(left: u8, right: u8, instructions: usize) -> [u8; 8] {
    op(0x2d, left, right, i16::try_from(instructions).expect("a short program"), 0)
}

pub(crate) fn call(helper: i32) -> [u8; 8] {
    op(0x85, 0, 0, 0, helper)
}

pub(crate) fn exit() -> [u8; 8] {
    op(0x95, 0, 0, 0, 0)
}

/// The address of an array's first value: one instruction of two.
pub(crate) fn value_of(to: u8, map: i32) -> [[u8; 8]; 2] {
    [op(0x18, to, 2, 0, map), op(0, 0, 0, 0, 0)]
}

pub(crate) const REDIRECT: i32 = 23;
pub(crate) const XDP_ABORTED: i32 = 0;

fn assemble(counter: i32, interface: i32) -> Vec<[u8; 8]> {
    let [counter_low, counter_high] = value_of(R7, counter);
    let body = [
        // n, and the next one
        load_u64(R5, R7, 0),
        copy(R0, R5),
        add(R0, 1),
        store_u64(R7, 0, R0),
        // source address
        copy(R0, R5),
        shift_right(R0, 2),
        remainder(R0, FLOWS.cast_signed()),
        add(R0, FIRST_ADDRESS),
        to_network_order_32(R0),
        store_u32(R2, SOURCE_ADDRESS_AT, R0),
        // flags
        and(R5, 3),
        shift_left(R5, 3),
        set(R0, FLAGS),
        shift_right_by(R0, R5),
        store_u8(R2, FLAGS_AT, R0),
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
    fn instructions_are_encoded_as_the_kernel_reads_them() {
        assert_eq!(load_u32(R2, R6, 4), [0x61, 0x62, 4, 0, 0, 0, 0, 0]);
        assert_eq!(add(R4, 54), [0x07, 4, 0, 0, 54, 0, 0, 0]);
        assert_eq!(skip_if_greater(R4, R3, 258), [0x2d, 0x34, 2, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn the_short_frame_leaves_through_the_last_exit() {
        let program = assemble(3, 4);
        let jump = program.iter().position(|instruction| instruction[0] == 0x2d).unwrap();
        let over = usize::from(program[jump][2]);
        assert_eq!(jump + 1 + over, program.len() - 1);
    }
}
