//! Flood counters: SYNs, SYN-ACKs and refusals per service, and the latest of them one by one.

use super::{FlagCounts, FlowKey, SegmentRecord};

/// One service (address and port) and what of it is counted instead of kept per flow, on one CPU in one epoch: one
/// cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ServiceRow {
    /// First and last eight bytes of the address, as loaded from memory.
    pub address: [u64; 2],
    /// `port | 1 << 16 | domain << 32`; 0 when the row is free.
    pub place: u64,
    /// Openings of this service that got a slot or a log entry.
    pub opened: u32,
    /// SYNs that are counted here only.
    pub syn: u32,
    /// The same of SYN-ACKs.
    pub syn_ack: u32,
    /// The same of FINs.
    pub fin: u32,
    /// The same of RSTs.
    pub rst: u32,
    /// The same of segments with none of these.
    pub data: u32,
    /// Must be 0.
    pub pad: u64,
    /// Must be 0.
    pub pad2: u64,
}

/// Set in [`ServiceRow::place`] of every row in use.
pub const ROW_USED: u64 = 1 << 16;
/// Rows per CPU and epoch; a power of two.
pub const SERVICE_ROWS: usize = 256;
/// Rows in which one service may be.
pub const SERVICE_PROBES: usize = 4;

impl ServiceRow {
    /// True when nothing is counted here that would be lost with the row.
    #[inline(always)]
    #[must_use]
    pub fn is_replaceable(&self) -> bool {
        self.syn | self.syn_ack | self.fin | self.rst | self.data == 0
    }

    /// What is counted here, as [`FlagCounts`].
    #[must_use]
    pub fn flags(&self) -> FlagCounts {
        let Self { syn, syn_ack, fin, rst, .. } = *self;
        FlagCounts { syn: syn.into(), syn_ack: syn_ack.into(), fin: fin.into(), rst: rst.into() }
    }
}

/// Openings that one [`OpeningSet`] leads to: beyond them the oldest makes room.
pub const OPENING_WAYS: usize = 30;

/// Where the latest openings of some flows lie: one cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpeningSet {
    /// Sixteen bits of each flow's hash; which of them are in use only the [`Opening`] says.
    pub tags: [u16; OPENING_WAYS],
    /// Which is written next, 0 to [`OPENING_WAYS`].
    pub next: u32,
}

impl OpeningSet {
    /// Set of the flow with this hash; `sets` is a power of two.
    #[inline(always)]
    #[must_use]
    pub fn of(hash: u64, sets: u32) -> u32 {
        (hash >> 16) as u32 & (sets - 1)
    }

    /// Tag of the flow with this hash.
    #[inline(always)]
    #[must_use]
    pub fn tag(hash: u64) -> u16 {
        (hash >> 48) as u16
    }
}

/// A SYN or SYN-ACK that was refused slot and log. These lie in memory that is not divided into epochs: agent and
/// program may meet here. Stores of another processor become visible in any order where memory is ordered weakly (ARM64),
/// and BPF has no barrier before Linux 5.12: the agent believes only what its seal fits.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Opening {
    /// Its header fields; `time_ns` is 0 in one that was recalled, or never written.
    pub record: SegmentRecord,
    /// Whose it is.
    pub key: FlowKey,
    /// [`Opening::seal_of`] the other fields.
    pub seal: u64,
}

impl Opening {
    /// A number that hardly any mixture of two openings has in common with one of them; `hash` is that of the key. Each
    /// field is in its own place of it, and changed by all before.
    #[inline(always)]
    #[must_use]
    pub fn seal_of(hash: u64, record: &SegmentRecord) -> u64 {
        const K: u64 = 0x9e37_79b9_7f4a_7c15;
        let SegmentRecord { time_ns, seq, ack, payload_len, window, mss, ip_id, header_len, flags, ttl, option_len } =
            *record;
        let numbers = seq as u64 | (ack as u64) << 32;
        let sizes = payload_len as u64 | (window as u64) << 32 | (mss as u64) << 48;
        let header = ip_id as u64 | (header_len as u64) << 16 | (flags as u64) << 32;
        let header = header | (ttl as u64) << 48 | (option_len as u64) << 56;
        let mut seal = (hash ^ time_ns).wrapping_mul(K);
        seal = (seal ^ numbers).wrapping_mul(K);
        seal = (seal ^ sizes).wrapping_mul(K);
        (seal ^ header).wrapping_mul(K)
    }

    /// True when this is an opening of `key`, whose hash is `hash`, as it was written.
    #[must_use]
    pub fn is_whole(&self, key: &FlowKey, hash: u64) -> bool {
        self.record.time_ns != 0 && self.key == *key && self.seal == Self::seal_of(hash, &self.record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Endpoint, SYN};

    const SEED: u64 = 0x243f_6a88_85a3_08d3;

    fn opening(host: u8, time_ns: u64) -> Opening {
        let end = |host, port| Endpoint::v4(u32::from_ne_bytes([10, 0, 0, host]), port);
        let (key, _) = FlowKey::normalised(end(host, 40_000), end(9, 80), 0);
        let record = SegmentRecord {
            time_ns,
            seq: time_ns as u32 * 3,
            window: 64_240 - u16::from(host),
            mss: 1460 + u16::from(host),
            ip_id: time_ns as u16,
            flags: SYN | u16::from(host) << 4,
            ttl: 60 + host,
            option_len: host,
            ..SegmentRecord::default()
        };
        Opening { record, key, seal: Opening::seal_of(key.hash(SEED), &record) }
    }

    /// The eight-byte words in which it is stored, in any order.
    fn words(opening: &Opening) -> [u64; 10] {
        let SegmentRecord { time_ns, seq, ack, payload_len, window, mss, ip_id, header_len, flags, ttl, option_len } =
            opening.record;
        let second = u64::from(seq) | u64::from(ack) << 32;
        let third = u64::from(payload_len) | u64::from(window) << 32 | u64::from(mss) << 48;
        let fourth = u64::from(ip_id) | u64::from(header_len) << 16 | u64::from(flags) << 32;
        let fourth = fourth | u64::from(ttl) << 48 | u64::from(option_len) << 56;
        let key = opening.key.words;
        core::array::from_fn(|at| match at {
            0 => time_ns,
            1 => second,
            2 => third,
            3 => fourth,
            9 => opening.seal,
            _ => key[at - 4],
        })
    }

    fn of_words(words: [u64; 10]) -> Opening {
        let [time_ns, second, third, fourth, key @ .., seal] = words;
        let record = SegmentRecord {
            time_ns,
            seq: second as u32,
            ack: (second >> 32) as u32,
            payload_len: third as u32,
            window: (third >> 32) as u16,
            mss: (third >> 48) as u16,
            ip_id: fourth as u16,
            header_len: (fourth >> 16) as u16,
            flags: (fourth >> 32) as u16,
            ttl: (fourth >> 48) as u8,
            option_len: (fourth >> 56) as u8,
        };
        Opening { record, key: FlowKey { words: key }, seal }
    }

    #[test]
    fn whatever_words_of_an_opening_are_there_only_a_whole_one_is_believed() {
        // The second is of the same flow, a later SYN.
        for (old, new) in [(opening(1, 1000), opening(2, 2000)), (opening(1, 1000), opening(1, 1001))] {
            let (before, after) = (words(&old), words(&new));
            for seen in 0..1_u32 << 10 {
                let mixed =
                    of_words(core::array::from_fn(|at| if seen >> at & 1 == 1 { after[at] } else { before[at] }));
                let is_one = mixed == old || mixed == new;
                for key in [old.key, new.key] {
                    assert_eq!(mixed.is_whole(&key, key.hash(SEED)), is_one && mixed.key == key, "{seen:#b}");
                }
            }
        }
    }

    #[test]
    fn what_was_recalled_or_never_written_is_no_opening() {
        let mut recalled = opening(1, 1000);
        recalled.record.time_ns = 0;
        assert!(!recalled.is_whole(&recalled.key, recalled.key.hash(SEED)));
        let never = Opening::default();
        assert!(!never.is_whole(&never.key, never.key.hash(SEED)));
    }
}
