//! A traffic source: an XDP program, assembled here, that turns each run into one control segment of one of many flows
//! and redirects it into an interface.
//!
//! Run number `n` (a counter in a map) sends, from source address `10.0.0.0 + (n / 4) % FLOWS`, the segment
//! `n % 4` of SYN, SYN-ACK, FIN, RST: any multiple of four runs sends the same number of each.

use std::{io, thread};

use crate::{
    assemble::{
        Instruction, R0, R5, add, copy, maker, remainder, shift_right, write_control_flags, write_source_address,
    },
    frame::{Station, TcpFrame},
    netns::{CLIENT_MAC, Family, SERVER_MAC},
    sys::{
        bpf::{Counter, LoadedProgram},
        pin_to_cpu,
    },
};

/// Different source addresses.
pub const FLOWS: u32 = 100_000;
/// Runs between two chances for the receiving end to take what is in its ring (256 frames on veth).
const BATCH: u32 = 64;
const FIRST_ADDRESS: i32 = 0x0a00_0000;

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

fn assemble(counter: i32, interface: i32) -> Vec<Instruction> {
    let source = [copy(R0, R5), shift_right(R0, 2), remainder(R0, FLOWS.cast_signed()), add(R0, FIRST_ADDRESS)];
    let body = [&source[..], &write_source_address(), &write_control_flags()].concat();
    maker(counter, interface, &body)
}
