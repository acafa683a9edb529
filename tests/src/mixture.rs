//! A mixture of traffic from every CPU at once: one segment in ten is a SYN, SYN-ACK, FIN or RST, the others carry data.
//!
//! Run number `n` of an XDP program, assembled here, sends a segment from source address `10.0.0.0 + n / row % tuples`;
//! every tenth is a control segment, of each kind in turn: any multiple of 40 runs sends the same number of each.

use std::{io, thread};

use crate::{
    frame::{Station, TcpFrame},
    generator::{
        R0, R1, R2, R3, R4, R5, R6, R7, REDIRECT, XDP_ABORTED, add, and, call, copy, exit, load_u32, load_u64, op,
        remainder, set, shift_left, shift_right_by, skip_if_greater, store_u8, store_u32, store_u64,
        to_network_order_32, value_of,
    },
    netns::{CLIENT_MAC, Family, SERVER_MAC},
    sys::{Counter, LoadedProgram, pin_to_cpu},
};

/// Segments after which each kind has come equally often.
pub const ROUND: u32 = 40;
/// Runs between two chances for the receiving end to take what is in its ring (256 frames on veth).
const BATCH: u32 = 64;
/// Segments between two looks whether to go on.
const CHUNK: u32 = ROUND << 12;
const FIRST_ADDRESS: i32 = 0x0a00_0000;
/// Flags of SYN, SYN-ACK, FIN, RST, lowest byte first.
const FLAGS: i32 = 0x0411_1202;
const ACK: i32 = 0x10;
const SOURCE_ADDRESS_AT: i16 = 14 + 12;
const FLAGS_AT: i16 = 14 + 20 + 13;
const HEADERS: i32 = 14 + 20 + 20;
const PAYLOAD: usize = 64;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Mixture {
    /// Different source addresses.
    pub tuples: u32,
    /// Segments in a row that have the same one.
    pub row: u32,
    /// CPUs that send; all there are if this is more.
    pub cpus: usize,
}

impl Mixture {
    /// Sends from every CPU into the interface with `index` until `enough`, which is asked with what one CPU has sent,
    /// says so; returns how many segments were sent in all, a multiple of [`ROUND`].
    ///
    /// # Errors
    /// When the kernel refuses or does not run the program.
    ///
    /// # Panics
    /// When a sending thread does.
    pub fn send(self, index: u32, enough: impl Fn(u64) -> bool + Sync) -> io::Result<u64> {
        let cpus = self.senders()?;
        thread::scope(|scope| {
            let enough = &enough;
            let senders: Vec<_> = (0..cpus).map(|cpu| scope.spawn(move || self.send_on(cpu, index, enough))).collect();
            senders.into_iter().map(|sender| sender.join().expect("a sender does not panic")).sum()
        })
    }

    /// CPUs that will send.
    ///
    /// # Errors
    /// When nobody knows how many there are.
    pub fn senders(self) -> io::Result<usize> {
        Ok(self.cpus.min(thread::available_parallelism()?.get()))
    }

    fn send_on(self, cpu: usize, index: u32, enough: &(impl Fn(u64) -> bool + Sync)) -> io::Result<u64> {
        pin_to_cpu(cpu)?;
        let counter = Counter::create()?;
        let program = LoadedProgram::load(&self.assemble(counter.descriptor(), index.cast_signed()))?;
        let from = Station { mac: CLIENT_MAC, ip: Family::V4.client(), port: 40_000 };
        let to = Station { mac: SERVER_MAC, ip: Family::V4.server(), port: 80 };
        // Every field that the program does not write; checksums are not made right, nobody looks at them.
        let frame = TcpFrame::new(from, to, 0).ack(0).payload(&[0; PAYLOAD]).bytes()?;
        while !enough(counter.read()?) {
            program.run_live(&frame, CHUNK, BATCH)?;
        }
        counter.read()
    }

    fn assemble(self, counter: i32, interface: i32) -> Vec<[u8; 8]> {
        let [counter_low, counter_high] = value_of(R7, counter);
        let body = [
            // n, and the next one
            load_u64(R5, R7, 0),
            copy(R0, R5),
            add(R0, 1),
            store_u64(R7, 0, R0),
            // source address
            copy(R0, R5),
            divide(R0, self.row.cast_signed()),
            remainder(R0, self.tuples.cast_signed()),
            add(R0, FIRST_ADDRESS),
            to_network_order_32(R0),
            store_u32(R2, SOURCE_ADDRESS_AT, R0),
            // flags
            set(R0, ACK),
            copy(R4, R5),
            remainder(R4, 10),
            skip_unless_zero(R4, 5),
            divide(R5, 10),
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
            add(R4, HEADERS),
            // To the exit of its own: the frame is too short.
            skip_if_greater(R4, R3, body.len()),
        ];
        [&head[..], &body[..], &[exit()]].concat()
    }
}

fn divide(to: u8, value: i32) -> [u8; 8] {
    op(0x37, to, 0, 0, value)
}

fn skip_unless_zero(of: u8, instructions: i16) -> [u8; 8] {
    op(0x55, of, 0, instructions, 0)
}
