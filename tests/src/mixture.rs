//! A mixture of traffic from every CPU at once: one segment in ten is a SYN, SYN-ACK, FIN or RST, the others carry data.
//!
//! Run number `n` of an XDP program, assembled here, sends a segment from source address `10.0.0.0 + n / row % tuples`;
//! every tenth is a control segment, of each kind in turn: any multiple of 40 runs sends the same number of each.

use std::{io, thread};

use crate::{
    assemble::{
        FLAGS_AT, Instruction, R0, R2, R4, R5, add, copy, divide, maker, remainder, set, skip_unless_zero, store_u8,
        write_control_flags, write_source_address,
    },
    frame::{Station, TcpFrame},
    netns::{CLIENT_MAC, Family, SERVER_MAC},
    sys::{
        bpf::{Counter, LoadedProgram},
        pin_to_cpu,
    },
};

/// Segments after which each kind has come equally often.
pub const ROUND: u32 = 40;
/// Runs between two chances for the receiving end to take what is in its ring (256 frames on veth).
const BATCH: u32 = 64;
/// Segments between two looks whether to go on.
const CHUNK: u32 = ROUND << 12;
const FIRST_ADDRESS: i32 = 0x0a00_0000;
const ACK: i32 = 0x10;
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

    fn assemble(self, counter: i32, interface: i32) -> Vec<Instruction> {
        let source = [
            copy(R0, R5),
            divide(R0, self.row.cast_signed()),
            remainder(R0, self.tuples.cast_signed()),
            add(R0, FIRST_ADDRESS),
        ];
        let control = [&[divide(R5, 10)][..], &write_control_flags()].concat();
        // A frame may be one that was sent before, with what was written into it.
        let data = [set(R0, ACK), store_u8(R2, FLAGS_AT, R0)];
        let choice = [copy(R4, R5), remainder(R4, 10), skip_unless_zero(R4, control.len())];
        let body = [&source[..], &write_source_address(), &data, &choice, &control].concat();
        maker(counter, interface, &body)
    }
}
