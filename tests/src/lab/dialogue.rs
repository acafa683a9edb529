//! Synthetic conversations: timed TCP frames of two configurable hosts and of an injector, for captures that no network
//! at hand can produce.

use super::dice::Dice;
use crate::frame::{Station, TcpFrame};

/// Index of the client in a talk.
pub const CLIENT: usize = 0;
/// Index of the server.
pub const SERVER: usize = 1;

/// How a stack numbers its IPv4 packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Identification {
    /// One more per packet.
    Counter,
    /// Drawn for each packet.
    Random,
    /// Always 0.
    Zero,
}

/// One end: its habits and where it stands.
#[derive(Clone, Debug)]
pub struct Host {
    /// Addresses.
    pub station: Station,
    /// TTL with which its packets arrive at the probe.
    pub ttl: u8,
    /// How it numbers packets.
    pub identification: Identification,
    /// Its next sequence number.
    pub next: u32,
    ip_id: u16,
    clock: u32,
}

/// A conversation in the making.
#[derive(Clone, Debug)]
pub struct Dialogue {
    /// Client and server.
    pub hosts: [Host; 2],
    /// Whether timestamps are agreed on.
    pub timestamps: bool,
    /// Now, microseconds.
    pub now: u64,
    /// Round trip, microseconds.
    pub round_trip: u64,
    /// What was on the wire, with its time in microseconds.
    pub frames: Vec<(u64, Vec<u8>)>,
    /// For everything that is by chance.
    pub dice: Dice,
}

/// An RST that somebody puts on the wire in the name of a host.
#[derive(Clone, Copy, Debug)]
pub struct Forgery {
    /// In whose name.
    pub named: usize,
    /// From the sequence number that host would use.
    pub offset: i32,
    /// With ACK.
    pub ack: bool,
    /// TTL with which it arrives.
    pub ttl: u8,
    /// IPv4 identification.
    pub ip_id: u16,
    /// With timestamps, where they are agreed on.
    pub timestamps: bool,
    /// Window.
    pub window: u16,
}

impl Host {
    /// A host with its habits.
    pub fn new(station: Station, ttl: u8, identification: Identification, dice: &mut Dice) -> Self {
        let (next, ip_id, clock) = (dice.next() as u32, dice.next() as u16, dice.next() as u32);
        Self { station, ttl, identification, next, ip_id, clock }
    }

    /// The identification of its next packet.
    pub fn number(&mut self, dice: &mut Dice) -> u16 {
        match self.identification {
            Identification::Counter => {
                self.ip_id = self.ip_id.wrapping_add(1);
                self.ip_id
            }
            Identification::Random => dice.next() as u16,
            Identification::Zero => 0,
        }
    }
}

impl Dialogue {
    /// Time passes.
    pub fn wait(&mut self, microseconds: u64) {
        self.now += microseconds;
    }

    fn put(&mut self, frame: &TcpFrame) {
        let bytes = frame.bytes().unwrap_or_else(|error| unreachable!("both ends are of one family: {error}"));
        self.frames.push((self.now, bytes));
        self.now += 10 + self.dice.below(40);
    }

    fn bare(&self, side: usize, seq: u32) -> TcpFrame {
        TcpFrame::new(self.hosts[side].station, self.hosts[1 - side].station, seq)
    }

    fn stamped(&mut self, side: usize, frame: TcpFrame) -> TcpFrame {
        let id = self.hosts[side].number(&mut self.dice);
        frame.stamped(self.hosts[side].ttl, id)
    }

    fn with_clock(&self, side: usize, frame: TcpFrame) -> TcpFrame {
        if !self.timestamps {
            return frame;
        }
        let value = |side: usize| self.hosts[side].clock.wrapping_add((self.now / 1000) as u32);
        frame.timestamps(value(side), value(1 - side))
    }

    /// SYN of the client.
    pub fn syn(&mut self) {
        let frame = self.bare(CLIENT, self.hosts[CLIENT].next).syn();
        let frame = self.with_clock(CLIENT, frame);
        let frame = self.stamped(CLIENT, frame);
        self.put(&frame);
        self.hosts[CLIENT].next = self.hosts[CLIENT].next.wrapping_add(1);
    }

    /// SYN-ACK of the server; Linux numbers it 0.
    pub fn syn_ack(&mut self) {
        let frame = self.bare(SERVER, self.hosts[SERVER].next).syn().ack(self.hosts[CLIENT].next);
        let frame = self.with_clock(SERVER, frame).stamped(self.hosts[SERVER].ttl, 0);
        self.put(&frame);
        self.hosts[SERVER].next = self.hosts[SERVER].next.wrapping_add(1);
    }

    /// All three segments, a round trip long.
    pub fn handshake(&mut self) {
        self.syn();
        self.wait(self.round_trip / 2);
        self.syn_ack();
        self.wait(self.round_trip / 2);
        self.acknowledge(CLIENT);
    }

    /// A pure ACK.
    pub fn acknowledge(&mut self, side: usize) {
        let frame = self.bare(side, self.hosts[side].next).ack(self.hosts[1 - side].next);
        let frame = self.with_clock(side, frame);
        let frame = self.stamped(side, frame);
        self.put(&frame);
    }

    /// Payload.
    pub fn send(&mut self, side: usize, len: usize) {
        self.send_at(side, self.hosts[side].next, len);
        self.hosts[side].next = self.hosts[side].next.wrapping_add(len as u32);
    }

    /// Payload at a sequence number of choice; for repetitions.
    pub fn send_at(&mut self, side: usize, seq: u32, len: usize) {
        let frame = self.bare(side, seq).ack(self.hosts[1 - side].next).payload(&vec![b'x'; len]);
        let frame = self.with_clock(side, frame);
        let frame = self.stamped(side, frame);
        self.put(&frame);
    }

    /// A request, and an answer of a few segments, acknowledged.
    pub fn exchange(&mut self) {
        let request = 50 + self.dice.below(900) as usize;
        self.send(CLIENT, request);
        self.wait(self.round_trip / 2);
        for _ in 0..=self.dice.below(4) {
            self.send(SERVER, 1000);
        }
        self.wait(self.round_trip / 2);
        self.acknowledge(CLIENT);
    }

    /// FIN.
    pub fn fin(&mut self, side: usize) {
        let frame = self.bare(side, self.hosts[side].next).fin().ack(self.hosts[1 - side].next);
        let frame = self.with_clock(side, frame);
        let frame = self.stamped(side, frame);
        self.put(&frame);
        self.hosts[side].next = self.hosts[side].next.wrapping_add(1);
    }

    /// An abort as Linux makes it: with ACK, a window, timestamps where agreed, the counter going on.
    pub fn abort(&mut self, side: usize) {
        let frame = self.bare(side, self.hosts[side].next).rst().ack(self.hosts[1 - side].next);
        let frame = self.with_clock(side, frame);
        let frame = self.stamped(side, frame);
        self.put(&frame);
    }

    /// An abort as other stacks make it: no window, no timestamps, with ACK or without.
    pub fn bare_abort(&mut self, side: usize, ack: bool) {
        let frame = self.bare(side, self.hosts[side].next).rst();
        let frame = if ack { frame.ack(self.hosts[1 - side].next).window(0) } else { frame };
        let frame = self.stamped(side, frame);
        self.put(&frame);
    }

    /// A host's answer to a segment that fits nothing: no ACK, no options, identification 0 (RFC 9293 3.10.7.1).
    pub fn reply(&mut self, side: usize, seq: u32) {
        let ttl = self.hosts[side].ttl;
        self.reply_with_ttl(side, seq, ttl);
    }

    /// The same of a host that answers with another TTL than its sockets use, or of a device.
    pub fn reply_with_ttl(&mut self, side: usize, seq: u32, ttl: u8) {
        let frame = self.bare(side, seq).rst().window(0).stamped(ttl, 0);
        self.put(&frame);
    }

    /// The answer to the client's SYN where nobody listens, as hosts and firewalls give it.
    pub fn refuse(&mut self, ttl: u8) {
        let frame = self.bare(SERVER, 0).rst().ack(self.hosts[CLIENT].next).window(0).stamped(ttl, 0);
        self.put(&frame);
    }

    /// An RST that the host knows nothing of.
    pub fn forge(&mut self, forgery: Forgery) {
        let Forgery { named, offset, ack, ttl, ip_id, timestamps, window } = forgery;
        let frame = self.bare(named, self.hosts[named].next.wrapping_add_signed(offset)).rst();
        let frame = if ack { frame.ack(self.hosts[1 - named].next).window(window) } else { frame.window(window) };
        let frame = if timestamps { self.with_clock(named, frame) } else { frame };
        self.put(&frame.stamped(ttl, ip_id));
    }
}
