//! Evidence: chooses and stores the packets behind a verdict, and writes them as pcapng blocks with the verdict as
//! comment.
//!
//! * `store`: keeps some frames per connection while it lives, within a bound of memory.
//! * `pcapng`: blocks of a capture file, each whole.
//! * [`Collector`]: frames and ended connections in, blocks out.
//!
//! Only bytes that were received: nothing is made up, and what could not be kept is counted.
//!
//! Must not know: clocks, files, threads, where frames come from.

mod pcapng;
mod store;

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use hashbrown::HashMap;
use probe_ebpf::layout::{Endpoint, FlowKey, RST, Segment};

pub use pcapng::{Direction, Interface, head};
use pcapng::{Packet, packet};
use store::{Store, StoredFrame};

use crate::{
    aggregate::Habits,
    filter::Filter,
    record::{Connection, ResetBy},
};

/// Bytes of a frame that are kept: all headers, and the beginning of what they carry.
pub const SNAP_LEN: usize = 256;

/// A frame on its way into the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// [`Interface::index`] of its interface.
    pub interface: u32,
    /// Which way it went.
    pub direction: Direction,
    /// Length, bytes.
    pub wire_len: u32,
    /// Its first bytes.
    pub bytes: &'a [u8],
}

/// What became of frames and connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CollectorStats {
    /// Connections that met the condition and whose frames were handed on.
    pub connections: u64,
    /// Their frames.
    pub frames: u64,
    /// Connections that met the condition and of which there was no frame.
    pub without_frames: u64,
    /// Frames of an unfinished connection that went beyond what is kept of one: seen, and left out on purpose.
    pub between: u64,
    /// Frames for which there was no memory.
    pub no_memory: u64,
}

/// Collects frames, and makes blocks of those of connections that meet a condition.
#[derive(Debug)]
pub struct Collector {
    interfaces: Vec<Interface>,
    /// Their places, by index.
    numbers: HashMap<u32, u32, foldhash::fast::RandomState>,
    of: Filter,
    asks_verdict: bool,
    store: Store,
    habits: Habits,
    stats: CollectorStats,
}

impl Collector {
    /// For frames of these interfaces and of connections that meet `of`, within `memory` bytes.
    pub fn new(interfaces: Vec<Interface>, of: Filter, memory: usize) -> Self {
        let mut collector = Self {
            interfaces: Vec::new(),
            numbers: HashMap::default(),
            asks_verdict: of.asks_verdict(),
            of,
            store: Store::new(memory),
            habits: Habits::default(),
            stats: CollectorStats::default(),
        };
        for interface in interfaces {
            collector.add(interface);
        }
        collector
    }

    /// One more interface: returns the block that describes it, without which no file can hold frames of it.
    pub fn add(&mut self, interface: Interface) -> Vec<u8> {
        let mut block = Vec::new();
        pcapng::describe(&mut block, &interface);
        self.numbers.insert(interface.index, self.interfaces.len() as u32);
        self.interfaces.push(interface);
        block
    }

    /// The interfaces, for the head of each file.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// From now on only of connections that start at or after the one and before the other, nanoseconds since 1970.
    pub fn restrict(&mut self, period: [Option<u64>; 2]) {
        if let Some(of) = Filter::of_period(period, Some(self.of.clone())) {
            self.of = of;
        }
    }

    /// Takes one frame; its interface must be known.
    pub fn frame(&mut self, segment: &Segment, frame: &Frame<'_>) {
        self.store.frame(segment, frame);
    }

    /// A connection has ended: appends the blocks of its frames if it meets the condition, judged by what is known now, and
    /// forgets them. Returns how many frames that were.
    pub fn ended(&mut self, connection: &Connection, blocks: &mut Vec<u8>) -> u64 {
        self.habits.observe(connection);
        let stored = self.store.ended(&key(connection).0, connection.start_ns);
        let may_change = self.asks_verdict && Habits::may_change(connection);
        if !may_change && !self.of.matches(connection) {
            return 0;
        }
        let mut judged = connection.clone();
        self.habits.judge(&mut judged);
        if may_change && !self.of.matches(&judged) {
            return 0;
        }
        let Some(stored) = stored else {
            self.stats.without_frames += 1;
            return 0;
        };
        let comments = Comments::of(&judged, stored.left_out);
        let frames: Vec<&StoredFrame> = stored.frames().collect();
        for (place, frame) in frames.iter().enumerate() {
            let comment = comments.of_frame(place == 0, frame, &judged);
            let what = Packet {
                interface: self.numbers.get(&frame.interface).copied().unwrap_or(0),
                time_ns: frame.time_ns,
                wire_len: frame.wire_len,
                bytes: &frame.bytes,
                direction: frame.direction,
                comment: &comment,
            };
            packet(blocks, &what);
        }
        self.stats.connections += 1;
        self.stats.frames += frames.len() as u64;
        frames.len() as u64
    }

    /// What became of everything so far.
    pub fn stats(&self) -> CollectorStats {
        CollectorStats { between: self.store.between, no_memory: self.store.no_memory, ..self.stats }
    }
}

/// The key that the connection's segments had, and whether the client is its `hi` endpoint.
fn key(connection: &Connection) -> (FlowKey, bool) {
    let end = |address: SocketAddr| {
        let octets = match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        Endpoint::from_octets(octets, address.port())
    };
    FlowKey::normalised(end(connection.orig), end(connection.resp), connection.domain)
}

/// Words for the frames of one connection.
struct Comments {
    full: String,
    short: String,
}

impl Comments {
    fn of(connection: &Connection, left_out: u64) -> Self {
        let verdict = &connection.verdict;
        let cause = verdict.cause.id();
        let short = format!("rstprobe connection {}: cause {cause} ({})", connection.id, verdict.confidence);
        let mut full = format!(
            "{short}, {}; {} to {}, {}, closing {}, reset by {}, RST {} from client, {} from server",
            verdict.cause.explanation(),
            connection.orig,
            connection.resp,
            connection.conn_state,
            connection.closing,
            connection.reset_by,
            connection.from_orig.rst,
            connection.from_resp.rst,
        );
        for fact in &verdict.facts {
            write!(full, "; {}={}", fact.name, fact.value).expect("a String takes everything");
        }
        if left_out > 0 {
            write!(full, "; {left_out} of its frames are left out").expect("a String takes everything");
        }
        Self { full, short }
    }

    fn of_frame(&self, is_first: bool, frame: &StoredFrame, connection: &Connection) -> String {
        if frame.flags & RST == 0 {
            return if is_first { self.full.clone() } else { self.short.clone() };
        }
        let by = if frame.from_hi == key(connection).1 { "client" } else { "server" };
        let middle =
            if connection.reset_by == ResetBy::Middle { ", or by something in between in its name" } else { "" };
        format!("RST by the {by}{middle}; {}", self.full)
    }
}

#[cfg(test)]
mod tests;
