//! Two hosts and the path between them: what applications do becomes segments, and segments pass a tap anywhere on the path.
//!
//! As much of TCP as closes and resets need (RFC 9293 3.10, as Linux does it): no loss, no windows, no timers.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::tracker::tests::*;

/// Payload of a segment at most.
const MSS: u32 = 1448;

/// What an application does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Act {
    /// Writes so many bytes.
    Send(u32),
    /// Writes a TLS close_notify.
    Goodbye,
    /// Closes: a FIN, or an abort when something lies unread.
    Close,
    /// Aborts (`SO_LINGER` 0).
    Abort,
    /// Reads no more.
    StopReading,
}

/// Where a tap is: halves of the way from the client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Client = 0,
    Middle = 1,
    Server = 2,
}

/// At what time (nanoseconds), on which side.
pub(crate) type Script = Vec<(u64, usize, Act)>;

#[derive(Clone, Copy, Default, Debug)]
struct Host {
    next: u32,
    received: u32,
    unread: u32,
    reads: bool,
    closed: bool,
    gone: bool,
    /// IPv4 identification of its last segment; replies to what meets nobody have none.
    ip_id: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Acts(usize, Act),
    Arrives(usize, usize),
}

/// A segment on its way: when it was sent, by whom.
struct Sent {
    time_ns: u64,
    side: usize,
    record: SegmentRecord,
    note: u64,
}

/// One connection, played to its end.
pub(crate) struct Exchange {
    hosts: [Host; 2],
    delay_ns: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    number: u64,
    sent: Vec<Sent>,
}

impl Exchange {
    /// Plays a script after a handshake; `delay_ns` is one way.
    pub(crate) fn play(script: &Script, delay_ns: u64) -> Self {
        let host = |side: usize| Host { next: ISN[side], reads: true, ip_id: 1000 * side as u16, ..Host::default() };
        let mut exchange =
            Self { hosts: [host(0), host(1)], delay_ns, events: BinaryHeap::new(), number: 0, sent: Vec::new() };
        exchange.handshake();
        let begin = START + 2 * delay_ns;
        for &(time_ns, side, act) in script {
            exchange.at(begin + time_ns, Event::Acts(side, act));
        }
        while let Some(Reverse((now, _, event))) = exchange.events.pop() {
            match event {
                Event::Acts(side, act) => exchange.act(now, side, act),
                Event::Arrives(side, number) => exchange.arrive(now, side, number),
            }
        }
        exchange
    }

    /// As a tap there sees it.
    pub(crate) fn seen_at(&self, place: Place) -> Vec<Segment> {
        let mut passed: Vec<(u64, usize)> = Vec::new();
        for (number, sent) in self.sent.iter().enumerate() {
            let from_client = self.delay_ns * place as u64 / 2;
            let way_ns = if sent.side == 0 { from_client } else { self.delay_ns - from_client };
            passed.push((sent.time_ns + way_ns, number));
        }
        passed.sort_unstable();
        let segment = |(time_ns, number): (u64, usize)| {
            let Sent { side, record, note, .. } = self.sent[number];
            segment_of(side, SegmentRecord { time_ns, ..record }, note)
        };
        passed.into_iter().map(segment).collect()
    }

    /// Both reset, neither knowing of the other: who was first is a matter of where one stands.
    pub(crate) fn resets_cross(&self) -> bool {
        let first = |side: usize| {
            let rst = self.sent.iter().find(|sent| sent.side == side && sent.record.flags & RST != 0);
            rst.map(|sent| sent.time_ns)
        };
        matches!((first(0), first(1)), (Some(client), Some(server)) if client.abs_diff(server) <= 2 * self.delay_ns)
    }

    fn at(&mut self, time_ns: u64, event: Event) {
        self.number += 1;
        self.events.push(Reverse((time_ns, self.number, event)));
    }

    fn handshake(&mut self) {
        self.send(START, 0, SYN, 0, 0);
        self.hosts[0].next += 1;
        self.hosts[1].received = ISN[0] + 1;
        self.send(START + self.delay_ns, 1, SYN | ACK, 0, 0);
        self.hosts[1].next += 1;
        self.hosts[0].received = ISN[1] + 1;
        self.send(START + 2 * self.delay_ns, 0, ACK, 0, 0);
        self.events.clear();
    }

    /// Sends a segment at the sender's sequence number.
    fn send(&mut self, now: u64, side: usize, flags: u16, payload_len: u32, note: u64) {
        let host = &mut self.hosts[side];
        host.ip_id += 1;
        let Host { next, received, ip_id, .. } = *host;
        let ack = if flags & ACK == 0 { 0 } else { received };
        let record = SegmentRecord {
            time_ns: now,
            seq: next,
            ack,
            payload_len,
            window: 500,
            flags: flags | HAS_TIMESTAMPS,
            ttl: 64,
            ip_id,
            header_len: 52,
            option_len: 12,
            ..SegmentRecord::default()
        };
        self.put(now, side, record, note);
    }

    fn put(&mut self, now: u64, side: usize, record: SegmentRecord, note: u64) {
        let number = self.sent.len();
        self.sent.push(Sent { time_ns: now, side, record, note });
        self.at(now + self.delay_ns, Event::Arrives(1 - side, number));
    }

    fn act(&mut self, now: u64, side: usize, act: Act) {
        let host = self.hosts[side];
        if host.gone || host.closed && act != Act::StopReading {
            return;
        }
        match act {
            Act::Send(len) => self.write(now, side, len),
            Act::Goodbye => {
                self.send(now, side, PSH | ACK, 24, u64::from_ne_bytes([23, 3, 3, 0, 19, 7, 7, 7]));
                self.hosts[side].next += 24;
            }
            Act::Close if host.unread > 0 => self.abort(now, side),
            Act::Close => {
                self.send(now, side, FIN | ACK, 0, 0);
                self.hosts[side].next += 1;
                self.hosts[side].closed = true;
            }
            Act::Abort => self.abort(now, side),
            Act::StopReading => self.hosts[side].reads = false,
        }
    }

    fn write(&mut self, now: u64, side: usize, len: u32) {
        let mut left = len;
        while left > 0 {
            let part = left.min(MSS);
            self.send(now, side, PSH | ACK, part, 0);
            self.hosts[side].next += part;
            left -= part;
        }
    }

    fn abort(&mut self, now: u64, side: usize) {
        self.send(now, side, RST | ACK, 0, 0);
        self.hosts[side].gone = true;
    }

    fn arrive(&mut self, now: u64, side: usize, number: usize) {
        let record = self.sent[number].record;
        if record.flags & RST != 0 {
            self.hosts[side].gone = true;
            self.hosts[side].closed = true;
            return;
        }
        let host = &mut self.hosts[side];
        let meets_nobody = host.gone || host.closed && record.payload_len > 0;
        if meets_nobody {
            host.gone = true;
            let reply =
                SegmentRecord { seq: record.ack, flags: RST, ttl: 64, header_len: 40, ..SegmentRecord::default() };
            return self.put(now, side, reply, 0);
        }
        if record.payload_len == 0 && record.flags & FIN == 0 {
            return;
        }
        host.received = record.seq_end();
        if !host.reads {
            host.unread += record.payload_len;
        }
        self.send(now, side, ACK, 0, 0);
    }
}
