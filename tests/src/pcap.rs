//! Captures made by tests: classic pcap with nanoseconds.

/// Ethernet.
pub const ETHERNET: u32 = 1;
/// Linux "any" device.
pub const LINUX_SLL: u32 = 113;

const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const SNAP_LEN: u32 = 262_144;
/// Bytes before the first record.
pub const FILE_HEADER: usize = 24;
/// Bytes before each frame.
pub const RECORD_HEADER: usize = 16;

/// A capture in memory, little endian.
#[derive(Clone, Debug)]
pub struct Pcap {
    bytes: Vec<u8>,
}

impl Pcap {
    /// An empty one.
    pub fn new(link: u32) -> Self {
        let mut bytes = vec![];
        for word in [MAGIC_NANOSECONDS, 4 << 16 | 2, 0, 0, SNAP_LEN, link] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        Self { bytes }
    }

    /// Adds a frame of which everything was captured.
    pub fn push(&mut self, time_ns: u64, frame: &[u8]) {
        self.push_cut(time_ns, frame, frame.len());
    }

    /// Adds a frame that was `wire_len` bytes long.
    pub fn push_cut(&mut self, time_ns: u64, captured: &[u8], wire_len: usize) {
        const SECOND: u64 = 1_000_000_000;
        let words = [(time_ns / SECOND) as u32, (time_ns % SECOND) as u32, captured.len() as u32, wire_len as u32];
        for word in words {
            self.bytes.extend_from_slice(&word.to_le_bytes());
        }
        self.bytes.extend_from_slice(captured);
    }

    /// The file.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Where each record of a capture ends, for as long as the records make sense; and which of them hold a packet. An
/// independent reading of both formats, for what a reader must have found in the first part of a file.
pub fn record_ends(bytes: &[u8]) -> Vec<(usize, bool)> {
    let word = |at: usize| bytes.get(at..at + 4).map(|word| [word[0], word[1], word[2], word[3]]);
    let Some(magic) = word(0) else { return vec![] };
    let mut ends = vec![];
    if magic == [0x0a, 0x0d, 0x0d, 0x0a] {
        let (mut at, mut big) = (0, false);
        while let (Some(kind), Some(len)) = (word(at), word(at + 4)) {
            if kind == magic {
                big = word(at + 8) == Some([0x1a, 0x2b, 0x3c, 0x4d]);
            }
            let number = |word| if big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) };
            let len = number(len) as usize;
            if len < 12 || at + len > bytes.len() {
                break;
            }
            at += len;
            ends.push((at, matches!(number(kind), 2 | 3 | 6)));
        }
        return ends;
    }
    let big = matches!(magic, [0xa1, 0xb2, ..]);
    let modified = magic.contains(&0xcd) && magic.contains(&0x34);
    let header = RECORD_HEADER + if modified { 8 } else { 0 };
    let mut at = FILE_HEADER;
    while let Some(len) = word(at + 8) {
        let len = if big { u32::from_be_bytes(len) } else { u32::from_le_bytes(len) } as usize;
        let Some(end) = at.checked_add(header + len).filter(|end| *end <= bytes.len()) else { break };
        at = end;
        ends.push((at, true));
    }
    ends
}

/// Numbers that look random and are the same each time (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next one below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() % bound as u64) as usize
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_end_where_they_were_written() {
        let mut pcap = Pcap::new(ETHERNET);
        pcap.push(1_000_000_001, &[1; 10]);
        pcap.push_cut(2, &[2; 3], 99);
        let bytes = pcap.into_bytes();
        assert_eq!(record_ends(&bytes), [(50, true), (69, true)]);
        assert_eq!(record_ends(&bytes[..68]), [(50, true)]);
        assert_eq!(bytes.len(), 69);
    }
}
