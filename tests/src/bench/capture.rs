//! Captures to measure with: many short conversations that end in every way, the same for the same seed.

use std::io::{self, Write};

/// Magic of a capture with nanoseconds, little endian.
const MAGIC: u32 = 0xa1b2_3c4d;
const START_S: u64 = 1_700_000_000;
const ETHERNET: [u8; 14] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00];
/// Conversations under way at once.
const AT_ONCE: usize = 1000;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// Conversations in the letters of Zeek's history (upper case: the client), and how many of a hundred go so.
const SCRIPTS: [(&[u8], u64); 11] = [
    (b"ShADdFfA", 44),
    (b"Sr", 14),
    (b"SSS", 4),
    (b"ShADdR", 14),
    (b"ShADr", 8),
    (b"ShADdFr", 5),
    (b"ShR", 4),
    (b"ShADdF", 2),
    (b"DaFf", 2),
    (b"ShADdDDD", 2),
    (b"R", 1),
];

/// A small generator of random numbers (xorshift64*): the same on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Any seed but 0.
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// One conversation under way.
#[derive(Clone, Copy, Debug)]
struct Dialogue {
    script: &'static [u8],
    step: usize,
    client: u32,
    server: u32,
    ports: [u16; 2],
    next: [u32; 2],
}

impl Dialogue {
    /// The `number`-th conversation; no two have the same addresses and ports.
    fn new(random: &mut Random, number: u32) -> Self {
        let mut choice = random.below(100);
        let chosen = SCRIPTS.iter().find(|(_, share)| {
            let found = choice < *share;
            choice = choice.saturating_sub(*share);
            found
        });
        let script = chosen.map_or(SCRIPTS[0].0, |(script, _)| script);
        Self::scripted(random, number, script)
    }

    fn scripted(random: &mut Random, number: u32, script: &'static [u8]) -> Self {
        let (client, port) = (0x0a00_0000 + number % 4096, 10_000 + (number / 4096) as u16 % 50_000);
        let server = 0xc0a8_0000 + random.below(64) as u32;
        let service = [80, 443, 8080, 5432][random.below(4) as usize];
        let next = [random.below(1 << 31) as u32, random.below(1 << 31) as u32];
        Self { script, step: 0, client, server, ports: [port, service], next }
    }

    /// Writes the next segment; false when it was the last one.
    fn step(&mut self, random: &mut Random, frame: &mut Vec<u8>) -> bool {
        let letter = self.script[self.step];
        self.step += 1;
        let side = usize::from(letter.is_ascii_lowercase());
        let (flags, payload) = match letter.to_ascii_uppercase() {
            b'S' => (SYN, 0),
            b'H' => (SYN | ACK, 0),
            b'D' => (PSH | ACK, 20 + random.below(480) as usize),
            b'F' => (FIN | ACK, 0),
            b'R' => (RST | ACK, 0),
            _ => (ACK, 0),
        };
        let first = self.script[0] != letter || letter != b'S' || self.step == 1;
        self.write(side, flags, payload, frame);
        if first {
            self.next[side] = self.next[side].wrapping_add(payload as u32 + u32::from(flags & (SYN | FIN) != 0));
        }
        self.step < self.script.len()
    }

    fn write(&self, side: usize, flags: u8, payload: usize, frame: &mut Vec<u8>) {
        frame.clear();
        frame.extend(ETHERNET);
        let ends = [self.client, self.server];
        let total = (40 + payload) as u16;
        frame.extend([0x45, 0]);
        frame.extend(total.to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        frame.extend(ends[side].to_be_bytes());
        frame.extend(ends[1 - side].to_be_bytes());
        let sum = checksum(&frame[14..34], 0);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        frame.extend(self.ports[side].to_be_bytes());
        frame.extend(self.ports[1 - side].to_be_bytes());
        frame.extend(self.next[side].to_be_bytes());
        let ack = if flags & ACK != 0 { self.next[1 - side] } else { 0 };
        frame.extend(ack.to_be_bytes());
        frame.extend([0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
        frame.resize(54 + payload, b'x');
        let pseudo = ends.iter().map(|end| (end >> 16) + (end & 0xffff)).sum::<u32>() + 6 + 20 + payload as u32;
        let sum = checksum(&frame[34..], pseudo);
        frame[50..52].copy_from_slice(&sum.to_be_bytes());
    }
}

fn checksum(bytes: &[u8], start: u32) -> u16 {
    let pairs = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low)));
    let mut sum = start + pairs.sum::<u32>();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// What was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Written {
    /// Frames.
    pub packets: u64,
    /// Conversations.
    pub conversations: u64,
    /// Bytes of the capture.
    pub bytes: u64,
}

struct Out<W> {
    into: W,
    now_ns: u64,
    step_ns: u64,
    frame: Vec<u8>,
    written: Written,
}

impl<W: Write> Out<W> {
    fn new(mut into: W, step_ns: u64) -> io::Result<Self> {
        into.write_all(&MAGIC.to_le_bytes())?;
        into.write_all(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0])?;
        let written = Written { bytes: 24, ..Written::default() };
        Ok(Self { into, now_ns: START_S * 1_000_000_000, step_ns, frame: Vec::new(), written })
    }

    /// Writes the next segment of a conversation; false when it was the last one.
    fn step(&mut self, dialogue: &mut Dialogue, random: &mut Random) -> io::Result<bool> {
        let more = dialogue.step(random, &mut self.frame);
        let len = self.frame.len() as u32;
        let (seconds, fraction) = ((self.now_ns / 1_000_000_000) as u32, (self.now_ns % 1_000_000_000) as u32);
        for word in [seconds, fraction, len, len] {
            self.into.write_all(&word.to_le_bytes())?;
        }
        self.into.write_all(&self.frame)?;
        self.now_ns += self.step_ns;
        self.written.packets += 1;
        self.written.bytes += 16 + u64::from(len);
        Ok(more)
    }
}

/// Writes at least `packets` frames of conversations that end in every way, `gap_us` microseconds apart.
///
/// # Errors
/// When it cannot be written.
pub fn mixed(into: impl Write, seed: u64, packets: u64, gap_us: u64) -> io::Result<Written> {
    let mut random = Random::new(seed);
    let mut out = Out::new(into, gap_us * 1000)?;
    let mut begun = 0;
    let mut begin = |random: &mut Random| {
        begun += 1;
        Dialogue::new(random, begun)
    };
    let mut dialogues: Vec<Dialogue> = (0..AT_ONCE).map(|_| begin(&mut random)).collect();
    while let Some(last) = dialogues.len().checked_sub(1) {
        let at = random.below(last as u64 + 1) as usize;
        if out.step(&mut dialogues[at], &mut random)? {
            continue;
        }
        out.written.conversations += 1;
        if out.written.packets < packets {
            dialogues[at] = begin(&mut random);
        } else {
            dialogues.swap_remove(at);
        }
    }
    out.into.flush()?;
    Ok(out.written)
}

/// Writes `count` conversations that are open at the end: SYN, SYN-ACK, ACK, a microsecond apart.
///
/// # Errors
/// When it cannot be written.
pub fn open(into: impl Write, seed: u64, count: u32) -> io::Result<Written> {
    let mut random = Random::new(seed);
    let mut out = Out::new(into, 1000)?;
    for number in 0..count {
        let mut dialogue = Dialogue::scripted(&mut random, number, b"ShA");
        while out.step(&mut dialogue, &mut random)? {}
        out.written.conversations += 1;
    }
    out.into.flush()?;
    Ok(out.written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_capture() {
        let make = |seed| {
            let mut file = Vec::new();
            let written = mixed(&mut file, seed, 5000, 20).expect("in memory");
            assert_eq!(written.bytes, file.len() as u64);
            (file, written)
        };
        let (file, written) = make(3);
        assert!(written.packets >= 5000 && written.conversations > 500, "{written:?}");
        assert_eq!(make(3).0, file);
        assert_ne!(make(5).0, file);
    }

    #[test]
    fn shares_add_up() {
        assert_eq!(SCRIPTS.iter().map(|(_, share)| share).sum::<u64>(), 100);
    }

    #[test]
    fn frames_are_right() {
        let mut random = Random::new(1);
        let mut frame = Vec::new();
        for number in 0..200 {
            let mut dialogue = Dialogue::new(&mut random, number);
            while dialogue.step(&mut random, &mut frame) {}
            let parsed = etherparse::PacketHeaders::from_ethernet_slice(&frame).expect("a frame");
            let ip = parsed.net.expect("IP");
            let etherparse::NetHeaders::Ipv4(ip, _) = ip else { panic!("IPv4") };
            let tcp = parsed.transport.expect("TCP").tcp().expect("TCP");
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            let sum = tcp.calc_checksum_ipv4(&ip, parsed.payload.slice()).expect("short");
            assert_eq!(tcp.checksum, sum);
        }
    }
}
