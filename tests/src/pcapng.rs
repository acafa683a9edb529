//! pcapng by the letter of the specification (draft-ietf-opsawg-pcapng): made for tests, and read by a reader that is not the
//! program's.

/// An interface as a file describes it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Interface {
    /// Type of link.
    pub link: u16,
    /// `if_name`.
    pub name: String,
    /// `if_description`.
    pub description: String,
}

/// A packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// What it was captured on.
    pub interface: Interface,
    /// Ticks since the epoch: nanoseconds in files of the program.
    pub time: u64,
    /// Length on the wire.
    pub wire_len: u32,
    /// What was captured.
    pub bytes: Vec<u8>,
    /// `opt_comment`.
    pub comment: String,
    /// Codes of all options.
    pub options: Vec<u16>,
}

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;

/// A section header, little endian.
pub fn section() -> Vec<u8> {
    let mut body = vec![0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0];
    body.extend([0xff; 8]);
    block(SECTION, &body)
}

/// An interface with nanoseconds, with or without a name.
pub fn interface(link: u16, name: Option<&str>) -> Vec<u8> {
    let mut body = [link.to_le_bytes(), [0; 2]].concat();
    body.extend([0; 4]);
    for (code, value) in name.map(|name| (2, name.as_bytes())).into_iter().chain([(9, &[9][..])]) {
        option(&mut body, code, value);
    }
    option(&mut body, 0, &[]);
    block(INTERFACE, &body)
}

/// A packet of the numbered interface, of which `bytes` were captured.
pub fn packet(interface: u32, time_ns: u64, bytes: &[u8], wire_len: u32) -> Vec<u8> {
    let words = [interface, (time_ns >> 32) as u32, time_ns as u32, bytes.len() as u32, wire_len];
    let mut body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    body.extend(bytes);
    body.resize(body.len().next_multiple_of(4), 0);
    block(PACKET, &body)
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u32 + 12).to_le_bytes();
    [&kind.to_le_bytes()[..], &len, body, &len].concat()
}

/// All packets of a little-endian file.
///
/// # Panics
/// Where a block is not whole, or a packet is of an interface that no block before it describes.
pub fn packets(file: &[u8]) -> Vec<Packet> {
    let (mut at, mut interfaces, mut packets) = (0, vec![], vec![]);
    while at < file.len() {
        let len = word(file, at + 4) as usize;
        assert!(len >= 12 && len.is_multiple_of(4) && word(file, at + len - 4) as usize == len, "a block at {at}");
        let body = &file[at + 8..at + len - 4];
        match word(file, at) {
            SECTION => interfaces.clear(),
            INTERFACE => interfaces.push(described(body)),
            PACKET => packets.push(enhanced(body, &interfaces)),
            other => panic!("a block of type {other} at {at}"),
        }
        at += len;
    }
    packets
}

fn described(body: &[u8]) -> Interface {
    let text = |code| {
        let found = options(&body[8..]).into_iter().find(|(known, _)| *known == code);
        String::from_utf8(found.map_or(&[][..], |(_, value)| value).to_vec()).expect("UTF-8")
    };
    Interface { link: half(body, 0), name: text(2), description: text(3) }
}

fn enhanced(body: &[u8], interfaces: &[Interface]) -> Packet {
    let captured = word(body, 12) as usize;
    let options = options(&body[20 + captured.next_multiple_of(4)..]);
    let comment = options.iter().find(|(code, _)| *code == 1).map_or(&[][..], |(_, value)| value);
    Packet {
        interface: interfaces.get(word(body, 0) as usize).expect("described before").clone(),
        time: u64::from(word(body, 4)) << 32 | u64::from(word(body, 8)),
        wire_len: word(body, 16),
        bytes: body[20..20 + captured].to_vec(),
        comment: String::from_utf8(comment.to_vec()).expect("UTF-8"),
        options: options.iter().map(|(code, _)| *code).collect(),
    }
}

fn options(mut rest: &[u8]) -> Vec<(u16, &[u8])> {
    let mut options = vec![];
    while rest.len() >= 4 && half(rest, 0) != 0 {
        let len = usize::from(half(rest, 2));
        options.push((half(rest, 0), &rest[4..4 + len]));
        rest = &rest[4 + len.next_multiple_of(4)..];
    }
    options
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_read() {
        let file =
            [section(), interface(1, Some("eth0")), interface(101, None), packet(1, 1 << 40 | 7, &[1, 2, 3], 99)];
        let packets = packets(&file.concat());
        let raw = Interface { link: 101, ..Interface::default() };
        assert_eq!((packets.len(), &packets[0].interface, packets[0].time), (1, &raw, 1 << 40 | 7));
        assert_eq!((&packets[0].bytes[..], packets[0].wire_len), (&[1, 2, 3][..], 99));
    }
}
