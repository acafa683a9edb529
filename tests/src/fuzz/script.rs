//! Scripts for the tracker out of any bytes: segments that mostly follow from those before them, and sometimes from nothing,
//! with what else may be said of their connections.

use std::net::IpAddr;

use probe_ebpf::{
    layout::{ACK, Endpoint, FROM_HI, FlowKey, RST, Segment, SegmentRecord, TCP_FLAGS},
    parse::{IcmpError, IcmpQuote, RstOption},
};
use probe_user::{
    record::Basis,
    tracker::{Extra, Header},
};

use super::input::Input;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_700_000_000 * SECOND;
/// Steps of one script.
const MOST: usize = 300;
/// Flows, of which the last two are counted apart from their segments.
const FLOWS: usize = 8;
const COUNTED_APART: usize = FLOWS - 2;

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// A segment, and how much of it can be believed.
    Observe(Segment, Extra),
    /// A segment whose counters come by themselves.
    Apart(Segment, Basis),
    /// An ICMP error about a segment.
    Refused(IcmpQuote, u64),
    /// What an RST says beyond its header.
    Said(Segment, RstOption, Vec<u8>),
    /// Time passes.
    Advance(u64),
    /// Somebody looks.
    Look {
        /// When.
        time_ns: u64,
    },
}

impl Step {
    /// When it happens.
    pub fn time_ns(&self) -> u64 {
        match self {
            Self::Observe(segment, _) | Self::Apart(segment, _) | Self::Said(segment, ..) => segment.record.time_ns,
            Self::Refused(_, time_ns) | Self::Advance(time_ns) | Self::Look { time_ns } => *time_ns,
        }
    }
}

/// What the next step follows from.
pub struct Script {
    now: u64,
    /// Next sequence number of each flow, by side.
    next: [[u32; 2]; FLOWS],
    last: Segment,
}

impl Script {
    /// The steps that some bytes are.
    pub fn read(mut input: Input<'_>) -> Vec<Step> {
        let last = Segment::default();
        let mut script = Self { now: START, next: [[1000, u32::MAX - 2000]; FLOWS], last };
        let mut steps = vec![];
        while !input.is_empty() && steps.len() < MOST {
            steps.push(script.step(&mut input));
        }
        steps
    }

    fn step(&mut self, input: &mut Input<'_>) -> Step {
        let kind = input.byte();
        match kind & 15 {
            12 => {
                self.pass(input.byte());
                Step::Advance(self.now)
            }
            13 => Step::Refused(self.quote(input), self.now),
            14 => {
                let option = input.one_of([RstOption::None, RstOption::Md5, RstOption::Ao, RstOption::Mptcp(2)]);
                let len = usize::from(input.byte() % 80);
                Step::Said(self.last, option, input.take(len).to_vec())
            }
            15 => Step::Look { time_ns: self.now },
            _ => self.segment(usize::from(kind & 7), kind >> 4, input),
        }
    }

    /// Time goes on, or back.
    fn pass(&mut self, by: u8) {
        let now = self.now;
        self.now = match by & 15 {
            0..=3 => now,
            4 => now.saturating_add(1),
            5 => now.saturating_add(1_000_000),
            6 => now.saturating_add(50_000_000),
            7 => now.saturating_add(SECOND),
            8 => now.saturating_add(6 * SECOND),
            9 => now.saturating_add(61 * SECOND),
            10 => now.saturating_add(400 * SECOND),
            11 => now.saturating_add(u64::from(by) * 3600 * SECOND),
            12 => now.saturating_sub(1_000_000),
            13 => now.saturating_sub(10 * SECOND),
            14 => [0, 1, START, now / 2][usize::from(by >> 4) % 4],
            _ => [u64::MAX, u64::MAX - 1, 1 << 63, u64::from(u32::MAX) * SECOND][usize::from(by >> 4) % 4],
        };
    }

    /// `how`: direction, and whether something is wrong with it.
    fn segment(&mut self, flow: usize, how: u8, input: &mut Input<'_>) -> Step {
        let flow = flow % FLOWS;
        let side = usize::from(how & 1);
        self.pass(input.byte());
        let (flags, numbers, sizes) = (u16::from(input.byte()), input.byte(), input.byte());
        let (key, from_hi) = key(flow, side);
        let payload_len = [0, 0, 1, 100, 1460, 65_000, 1 << 20, u32::MAX][usize::from(sizes & 7)];
        let far = [0, 1, u32::MAX, 1 << 31, 1460, u32::MAX - 1459, 100_000, 7];
        let off = |choice: u8| if choice < 9 { 0 } else { far[usize::from(choice & 7)] };
        let mut record = SegmentRecord {
            time_ns: self.now,
            seq: self.next[flow][side].wrapping_add(off(numbers & 15)),
            ack: self.next[flow][1 - side].wrapping_add(off(numbers >> 4)),
            payload_len,
            window: if sizes & 8 != 0 { 0 } else { 500 },
            mss: 1460,
            ip_id: u16::from(sizes) << 4,
            header_len: 40,
            flags: flags & TCP_FLAGS | if from_hi { FROM_HI } else { 0 },
            ttl: 64 - (sizes >> 6),
            option_len: 0,
        };
        record.put_window_scale((sizes & 16 != 0).then_some(7));
        if flags & ACK == 0 && sizes & 32 != 0 {
            record.ack = 0;
        }
        if !record.has(RST) && numbers & 15 < 9 {
            self.next[flow][side] = record.seq_end();
        }
        let segment = Segment { key, record, first_bytes: if sizes & 64 != 0 { 0x0203_0315 } else { 0 } };
        self.last = segment;
        if flow >= COUNTED_APART {
            let basis = [Basis::AllSegments, Basis::ControlOnly, Basis::BeforeSegmentation][usize::from(how >> 1) % 3];
            return Step::Apart(segment, basis);
        }
        let header = if how == 6 { Header::Cut } else { Header::Whole };
        Step::Observe(segment, Extra { bad_checksum: how == 4, payload_cut: how & 8 != 0, header })
    }

    /// Of the last segment, or one of another number.
    fn quote(&self, input: &mut Input<'_>) -> IcmpQuote {
        let Segment { key, record, .. } = self.last;
        let kind = input.byte();
        let error = IcmpError { version: if kind & 1 == 0 { 4 } else { 6 }, kind: kind >> 1 & 15, code: kind >> 5 };
        let seq = record.seq.wrapping_add(input.one_of([0, 1, 1 << 29, 1 << 31]));
        IcmpQuote { error, key, from_hi: record.from_hi(), seq, reporter: Endpoint::v4(0x0a00_00fe_u32.to_be(), 0) }
    }
}

/// The flow of this number, and whether this side of it is the `hi` endpoint.
fn key(flow: usize, side: usize) -> (FlowKey, bool) {
    let v4 = |host: u32, port| Endpoint::v4((0x0a00_0000 + host).to_be(), port);
    let v6 = |host: &str, port| match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => Endpoint::from_octets(address.octets(), port),
        _ => v4(1, port),
    };
    let ends = match flow {
        0 => [v4(1, 40_000), v4(2, 80)],
        1 => [v4(1, 30_000), v4(2, 30_000)],
        2 => [v6("2001:db8::1", 50_000), v6("2001:db8::2", 443)],
        // To itself, and from no port.
        3 => [v4(9, 80), v4(9, 80)],
        4 => [v4(1, 0), v4(3, 22)],
        5 => [v4(7, 40_001), v4(2, 80)],
        6 => [v4(8, 40_002), v4(2, 80)],
        _ => [v6("2001:db8::8", 1), v6("2001:db8::7", 2)],
    };
    FlowKey::normalised(ends[side], ends[1 - side], (flow == 5).into())
}
