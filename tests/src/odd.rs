//! Odd frames: frames that parsers fail on, each with what must become of it.
//!
//! Built by hand, byte by byte, because builders refuse to build them.

use probe_ebpf::parse::Reject;

mod ip;
mod link;
mod tcp;

/// What must become of a frame when checksums are not verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// A segment.
    Tcp,
    /// Counted under this reason.
    Rejected(Reject),
}

/// One frame.
#[derive(Clone, Debug)]
pub struct Odd {
    /// What is odd about it.
    pub name: String,
    /// Link type in a capture.
    pub link: u32,
    /// The frame.
    pub bytes: Vec<u8>,
    /// What must become of it.
    pub fate: Fate,
}

/// All of them.
pub fn all() -> Vec<Odd> {
    let mut all = vec![];
    link::add(&mut all);
    ip::add_v4(&mut all);
    ip::add_v6(&mut all);
    tcp::add(&mut all);
    all
}

fn push(all: &mut Vec<Odd>, name: impl Into<String>, fate: Fate, bytes: Vec<u8>) {
    all.push(Odd { name: name.into(), link: crate::pcap::ETHERNET, bytes, fate });
}

/// Acknowledging, with data.
const PSH_ACK: u16 = 0x18;
const ETHER_IPV4: u16 = 0x0800;
const ETHER_IPV6: u16 = 0x86dd;
const TCP: u8 = 6;

fn ether(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend_from_slice(&ether_type.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// An IPv4 packet with `options` (padded to four bytes).
fn v4(protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut options = options.to_vec();
    options.resize(options.len().next_multiple_of(4), 0);
    let header = 20 + options.len();
    let mut packet = vec![0x40 | (header / 4) as u8, 0];
    packet.extend_from_slice(&((header + payload.len()) as u16).to_be_bytes());
    packet.extend_from_slice(&[0x12, 0x34, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend_from_slice(&options);
    packet.extend_from_slice(payload);
    packet
}

fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[next, 64]);
    for host in [1, 2] {
        packet.extend_from_slice(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
    }
    packet.extend_from_slice(payload);
    packet
}

/// A segment with `options` (padded to four bytes).
fn segment(flags: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut options = options.to_vec();
    options.resize(options.len().next_multiple_of(4), 0);
    let words = (20 + options.len()) / 4;
    let mut bytes = vec![0x9c, 0x40, 0, 80, 0, 0, 0, 7, 0, 0, 0, 9];
    bytes.extend_from_slice(&((words as u16) << 12 | flags).to_be_bytes());
    bytes.extend_from_slice(&[0xfa, 0xf0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&options);
    bytes.extend_from_slice(payload);
    bytes
}

/// Nothing odd.
fn plain() -> Vec<u8> {
    segment(PSH_ACK, &[], b"data")
}

/// `bytes` with `new` at `at`.
fn with(mut bytes: Vec<u8>, at: usize, new: &[u8]) -> Vec<u8> {
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}
