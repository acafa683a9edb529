//! Blocks of a capture file (draft-ietf-opsawg-pcapng), little-endian, nanoseconds. Every block is whole in itself and a
//! file needs no end: what was written of it can be read whenever its writer stops.

use crate::printable;

/// An interface as it is described in the file.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Interface {
    /// What frames call it: the kernel's index, or a number of its own for an interface of a capture.
    pub index: u32,
    /// Name.
    pub name: String,
    /// How its frames came, in words.
    pub description: String,
    /// Type of link, as in `pcap-linktype(7)`; 1 is Ethernet.
    pub link_type: u16,
}

/// Which way a frame went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Received, on this queue.
    Received {
        /// Number of the receive queue.
        queue: u32,
    },
    /// Sent by the host itself.
    Sent,
    /// Not known: whoever captured it did not say.
    Unknown,
}

/// A packet and what is said of it.
pub(super) struct Packet<'a> {
    /// Number of the interface in the file.
    pub(super) interface: u32,
    /// Nanoseconds since the Unix epoch.
    pub(super) time_ns: u64,
    /// Length of the frame, bytes.
    pub(super) wire_len: u32,
    /// Its first bytes.
    pub(super) bytes: &'a [u8],
    /// Which way it went.
    pub(super) direction: Direction,
    /// For people.
    pub(super) comment: &'a str,
}

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
const EPB_QUEUE: u16 = 6;

/// `epb_flags`: direction, in its lowest two bits.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// The beginning of a file: section header and interfaces.
pub fn head(interfaces: &[Interface]) -> Vec<u8> {
    let mut blocks = Vec::new();
    block(&mut blocks, SECTION_HEADER, |body| {
        body.extend(BYTE_ORDER_MAGIC.to_le_bytes());
        // Version 1.0; the length of the section is not known.
        body.extend([1, 0, 0, 0]);
        body.extend(u64::MAX.to_le_bytes());
        option(body, SHB_USERAPPL, concat!("rstprobe ", env!("CARGO_PKG_VERSION")).as_bytes());
        option(body, 0, &[]);
    });
    for interface in interfaces {
        describe(&mut blocks, interface);
    }
    blocks
}

/// Appends the description of an interface, to which packets after it may refer.
pub(super) fn describe(blocks: &mut Vec<u8>, interface: &Interface) {
    block(blocks, INTERFACE_DESCRIPTION, |body| {
        body.extend(interface.link_type.to_le_bytes());
        body.extend([0, 0]);
        body.extend((super::SNAP_LEN as u32).to_le_bytes());
        option(body, IF_NAME, printable::escaped(&interface.name).as_bytes());
        option(body, IF_DESCRIPTION, printable::escaped(&interface.description).as_bytes());
        option(body, IF_TSRESOL, &[9]);
        option(body, 0, &[]);
    });
}

/// Appends one packet.
pub(super) fn packet(blocks: &mut Vec<u8>, packet: &Packet<'_>) {
    block(blocks, ENHANCED_PACKET, |body| {
        let time = [(packet.time_ns >> 32) as u32, packet.time_ns as u32];
        let lengths = [packet.bytes.len() as u32, packet.wire_len.max(packet.bytes.len() as u32)];
        for word in [packet.interface].into_iter().chain(time).chain(lengths) {
            body.extend(word.to_le_bytes());
        }
        body.extend(packet.bytes);
        pad(body);
        match packet.direction {
            Direction::Received { queue } => {
                option(body, EPB_FLAGS, &INBOUND.to_le_bytes());
                option(body, EPB_QUEUE, &queue.to_le_bytes());
            }
            Direction::Sent => option(body, EPB_FLAGS, &OUTBOUND.to_le_bytes()),
            Direction::Unknown => {}
        }
        option(body, COMMENT, packet.comment.as_bytes());
        option(body, 0, &[]);
    });
}

fn block(blocks: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = blocks.len();
    blocks.extend(kind.to_le_bytes());
    blocks.extend([0; 4]);
    body(blocks);
    let len = ((blocks.len() - start + 4) as u32).to_le_bytes();
    blocks[start + 4..start + 8].copy_from_slice(&len);
    blocks.extend(len);
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    pad(body);
}

/// To a multiple of four: all parts before begin at one.
fn pad(body: &mut Vec<u8>) {
    while !body.len().is_multiple_of(4) {
        body.push(0);
    }
}
