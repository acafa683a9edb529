//! The tracker by itself: segments in, records out, no capture and no text.

use std::{hint::black_box, io, sync::Arc, time::Instant};

use probe_ebpf::layout::{ACK, Endpoint, FIN, FROM_HI, FlowKey, PSH, SYN, Segment};
use probe_user::{
    agent::partition_pool::PartitionPool,
    tracker::{Extra, Tracker, TrackerConfig},
};

use super::{Report, Setting, memory};

const SECTION: &str = "tracker";
const SECOND: u64 = 1_000_000_000;
/// Open connections, and what they may take each.
const OPEN: [(u32, f64); 2] = [(1_000_000, 300.0), (10_000_000, 300.0)];
/// Left to others when ten million are tried.
const RESERVE: u64 = 1 << 30;

/// The section.
///
/// # Errors
/// When `/proc` does not tell of memory.
pub fn run(setting: &Setting, report: &mut Report) -> io::Result<()> {
    // Names of networks and services are made where an output asks for them.
    for (what, zones) in [("", None), (", zones and services named", Some(Arc::default()))] {
        let closing =
            |_| closing_conversations(setting, TrackerConfig { zones: zones.clone(), ..TrackerConfig::default() });
        let what = format!("conversations of 8 segments that end by FIN{what}");
        if !setting.wants(&what) {
            continue;
        }
        let closing: Vec<f64> = (0..=setting.rounds).map(closing).skip(1).collect();
        report.add(SECTION, what, "M segments/s", &closing);
    }
    shards(setting, report)?;
    for (count, limit) in OPEN {
        if !setting.wants(&format!("{count} connections opened")) {
            continue;
        }
        let needed = u64::from(count) * 320 + RESERVE;
        if memory::available()? < needed {
            report.skip(format!("{count} open connections: they need {} MB", needed >> 20));
            continue;
        }
        let (rate, each) = open_connections(count)?;
        report.add(SECTION, format!("{count} connections opened, 3 segments each"), "M segments/s", &[rate]);
        report.add(SECTION, format!("memory of each of {count} open connections"), "bytes", &[each]);
        report.at_most(limit);
    }
    Ok(())
}

/// Side (0 is the client), flags, payload, relative sequence number and acknowledgement.
type Step = (usize, u16, u32, u32, u32);

/// A segment of connection `number`, side 0 the client.
fn segment(number: u32, (side, flags, payload, seq, ack): Step, time_ns: u64) -> Segment {
    let client = Endpoint::v4(number.to_be(), 40_000);
    let server = Endpoint::v4((0xc0a8_0000 + number % 64).to_be(), 80);
    let (from, to) = if side == 0 { (client, server) } else { (server, client) };
    let (key, from_hi) = FlowKey::normalised(from, to, 0);
    let mut segment = Segment { key, ..Segment::default() };
    let record = &mut segment.record;
    record.time_ns = time_ns;
    record.flags = flags | if from_hi { FROM_HI } else { 0 };
    record.payload_len = payload;
    let first = |side: usize| number.wrapping_mul(2_654_435_761) ^ side as u32;
    record.seq = first(side).wrapping_add(seq);
    record.ack = if flags & ACK != 0 { first(1 - side).wrapping_add(ack) } else { 0 };
    record.header_len = 40;
    record.ttl = 64;
    record.window = 500;
    segment
}

/// Times as many segments as one thread takes in that two take in, in turn: the issue asks for 1.7.
fn shards(setting: &Setting, report: &mut Report) -> io::Result<()> {
    let what = "two threads share the tracker";
    if !setting.wants(what) {
        return Ok(());
    }
    let segments = conversations(setting);
    let rate = |threads: usize| {
        let mut tracker = Tracker::new(TrackerConfig { zones: None, ..TrackerConfig::default() });
        let mut pool = PartitionPool::of(threads).map_err(io::Error::other)?;
        let mut closed = Vec::new();
        let begun = Instant::now();
        for segment in &segments {
            tracker.queue_observe(segment);
            if tracker.queued() >= TOGETHER {
                pool.run(&mut tracker);
                tracker.swap_closed(&mut closed);
                black_box(&closed);
            }
        }
        pool.run(&mut tracker);
        Ok::<_, io::Error>(segments.len() as f64 / begun.elapsed().as_secs_f64() / 1e6)
    };
    let (mut one, mut two, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=setting.rounds {
        let (alone, shared) = (rate(1)?, rate(2)?);
        if round > 0 {
            one.push(alone);
            two.push(shared);
            ratios.push(shared / alone);
        }
    }
    report.add(SECTION, format!("{what}: one"), "M segments/s", &one);
    report.add(SECTION, format!("{what}: two"), "M segments/s", &two);
    report.add(SECTION, format!("{what}: two / one"), "", &ratios);
    report.note("of two processors that have nothing else to do; at least 1.7 is asked for");
    Ok(())
}

/// Segments that are queued before threads work on them, as the agent has it.
const TOGETHER: usize = 8192;

/// Millions of segments per second, a thousand conversations under way at once.
fn closing_conversations(setting: &Setting, config: TrackerConfig) -> f64 {
    let segments = conversations(setting);
    let mut tracker = Tracker::new(config);
    let begun = Instant::now();
    // As those who read captures: memory for records is used again.
    let mut closed = Vec::new();
    for one in &segments {
        tracker.observe(one, Extra::default());
        if tracker.closed_len() >= 64 {
            tracker.swap_closed(&mut closed);
            black_box(&closed);
            closed.clear();
        }
    }
    tracker.finish(0);
    black_box(tracker.take_closed());
    segments.len() as f64 / begun.elapsed().as_secs_f64() / 1e6
}

/// Conversations of eight segments that end by FIN, a thousand under way at once.
fn conversations(setting: &Setting) -> Vec<Segment> {
    const SCRIPT: [Step; 8] = [
        (0, SYN, 0, 0, 0),
        (1, SYN | ACK, 0, 0, 1),
        (0, ACK, 0, 1, 1),
        (0, PSH | ACK, 100, 1, 1),
        (1, PSH | ACK, 200, 1, 101),
        (0, FIN | ACK, 0, 101, 201),
        (1, FIN | ACK, 0, 201, 102),
        (0, ACK, 0, 102, 202),
    ];
    const AT_ONCE: u32 = 1000;
    let conversations = u32::try_from(setting.packets / SCRIPT.len() as u64).unwrap_or(u32::MAX);
    let mut segments = Vec::with_capacity(conversations as usize * SCRIPT.len());
    for first in (0..conversations).step_by(AT_ONCE as usize) {
        for step in SCRIPT {
            for number in first..(first + AT_ONCE).min(conversations) {
                segments.push(segment(number, step, SECOND + segments.len() as u64 * 20_000));
            }
        }
    }
    segments
}

/// Millions of segments per second, and bytes per connection.
fn open_connections(count: u32) -> io::Result<(f64, f64)> {
    let config = TrackerConfig { max_connections: count as usize + 1, ..TrackerConfig::default() };
    let before = memory::resident(None)?;
    let mut tracker = Tracker::new(config);
    let begun = Instant::now();
    let mut time_ns = SECOND;
    for number in 0..count {
        for step in [(0, SYN, 0, 0, 0), (1, SYN | ACK, 0, 0, 1), (0, ACK, 0, 1, 1)] {
            tracker.observe(&segment(number, step, time_ns), Extra::default());
            time_ns += 1000;
        }
    }
    let rate = f64::from(count) * 3.0 / begun.elapsed().as_secs_f64() / 1e6;
    let each = memory::resident(None)?.saturating_sub(before) as f64 / f64::from(count);
    if tracker.stats().tracked != u64::from(count) {
        return Err(io::Error::other(format!("{} instead of {count} connections", tracker.stats().tracked)));
    }
    Ok((rate, each))
}
