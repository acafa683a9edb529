//! The packets of each connection as they passed a place, read from its capture without the probe's parser: what the truth
//! of a situation depends on.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

/// Client and server in these arrays.
pub const CLIENT: usize = 0;
/// See [`CLIENT`].
pub const SERVER: usize = 1;

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

/// Both ends of a connection: client, server.
pub type Ends = [SocketAddr; 2];

/// What passed of one connection, by who sent it.
#[derive(Clone, Debug, Default)]
pub struct Passed {
    /// SYNs without ACK.
    pub syn: usize,
    /// SYN-ACKs.
    pub syn_ack: usize,
    /// FINs.
    pub fin: [usize; 2],
    /// RSTs.
    pub rst: [usize; 2],
    /// Segments without SYN and RST.
    pub plain: [usize; 2],
    /// Payload bytes, retransmitted ones too.
    pub bytes: [u64; 2],
    /// Time of the first FIN, nanoseconds.
    pub fin_ns: [Option<u64>; 2],
    /// Time of the last payload.
    pub data_ns: [Option<u64>; 2],
    /// Who sent the first RST.
    pub first_rst: Option<usize>,
}

/// A connection at a place, and at both ends.
#[derive(Clone, Debug)]
pub struct View {
    /// As it passed here.
    pub here: Passed,
    /// As it passed the client's interface, if anything did.
    pub near: Option<Passed>,
    /// As it passed the server's.
    pub far: Option<Passed>,
}

impl View {
    /// Whatever happened.
    pub fn any(&self) -> bool {
        self.here.syn + self.here.syn_ack > 0 || self.here.bytes.iter().sum::<u64>() > 0 || self.has_rst()
    }

    /// No RST passed.
    pub fn has_no_rst(&self) -> bool {
        self.here.first_rst.is_none()
    }

    /// One did.
    pub fn has_rst(&self) -> bool {
        self.here.first_rst.is_some()
    }

    /// Both sides sent one.
    pub fn is_reset_by_both(&self) -> bool {
        self.here.rst.iter().all(|&count| count > 0)
    }

    /// The first RST bears the client's address.
    pub fn is_reset_by_client(&self) -> bool {
        self.here.first_rst == Some(CLIENT)
    }

    /// The first RST bears the server's address.
    pub fn is_reset_by_server(&self) -> bool {
        self.here.first_rst == Some(SERVER)
    }

    /// The SYN was answered by an RST.
    pub fn is_refused(&self) -> bool {
        self.is_reset_by_server() && self.here.syn_ack == 0
    }

    /// The server's RST passed here and never left the server.
    pub fn is_reset_in_between(&self) -> bool {
        self.is_reset_by_server() && self.far.as_ref().is_none_or(|far| far.rst[SERVER] == 0)
    }

    /// The client's last payload left before the server's FIN arrived, and arrived after it had left; the server reset.
    pub fn is_crossed(&self) -> bool {
        let (Some(near), Some(far)) = (&self.near, &self.far) else { return false };
        let left = near.data_ns[CLIENT].zip(near.fin_ns[SERVER]).is_some_and(|(data, fin)| data < fin);
        let arrived = far.data_ns[CLIENT].zip(far.fin_ns[SERVER]).is_some_and(|(data, fin)| data > fin);
        left && arrived && self.is_reset_by_server()
    }

    /// Payload of the client passed here that never reached the server.
    pub fn is_before_a_loss(&self) -> bool {
        self.far.as_ref().is_none_or(|far| far.bytes[CLIENT] < self.here.bytes[CLIENT])
    }

    /// The server's host acknowledges nothing of what the client repeats.
    pub fn is_ignored(&self) -> bool {
        self.far.as_ref().is_some_and(|far| far.plain[SERVER] == 0 && far.syn_ack > 0 && far.plain[CLIENT] > 2)
    }

    /// The server's host answers the end of the handshake by an RST.
    pub fn is_dropped_at_accept(&self) -> bool {
        self.is_reset_by_server() && self.here.plain[SERVER] == 0 && self.here.syn_ack > 0
    }
}

/// Reads the capture `file`; the end whose port is one of ours is the server.
///
/// # Errors
/// When it cannot be read or is no capture with nanoseconds of this machine.
pub fn read(file: &Path) -> io::Result<BTreeMap<Ends, Passed>> {
    let bytes = fs::read(file)?;
    if bytes.get(..4) != Some(&0xa1b2_3c4d_u32.to_ne_bytes()) {
        return Err(io::Error::other(format!("{}: no capture with nanoseconds", file.display())));
    }
    let (mut connections, mut rest) = (BTreeMap::new(), &bytes[FILE_HEADER..]);
    while rest.len() >= RECORD_HEADER {
        let word = |at: usize| u64::from(u32::from_ne_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]));
        let (time_ns, len) = (word(0) * 1_000_000_000 + word(4), word(8) as usize);
        let Some(frame) = rest.get(RECORD_HEADER..RECORD_HEADER + len) else { break };
        add(&mut connections, time_ns, frame);
        rest = &rest[RECORD_HEADER + len..];
    }
    Ok(connections)
}

fn add(connections: &mut BTreeMap<Ends, Passed>, time_ns: u64, frame: &[u8]) {
    let Ok(packet) = SlicedPacket::from_ethernet(frame) else { return };
    let (Some(net), Some(TransportSlice::Tcp(tcp))) = (packet.net, packet.transport) else { return };
    let (from, to, ip_len) = match net {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            let len = usize::from(header.total_len()).saturating_sub(usize::from(header.ihl()) * 4);
            (IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr()), len)
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            let addresses = (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()));
            (addresses.0, addresses.1, usize::from(header.payload_length()))
        }
        NetSlice::Arp(_) => return,
    };
    let (from, to) = (SocketAddr::new(from, tcp.source_port()), SocketAddr::new(to, tcp.destination_port()));
    let is_from_server = super::is_ours(from.port());
    let (ends, side) = if is_from_server { ([to, from], SERVER) } else { ([from, to], CLIENT) };
    let passed = connections.entry(ends).or_default();
    passed.syn += usize::from(tcp.syn() && !tcp.ack());
    passed.syn_ack += usize::from(tcp.syn() && tcp.ack());
    passed.fin[side] += usize::from(tcp.fin());
    passed.rst[side] += usize::from(tcp.rst());
    passed.plain[side] += usize::from(!tcp.syn() && !tcp.rst());
    let payload = ip_len.saturating_sub(usize::from(tcp.data_offset()) * 4);
    passed.bytes[side] += payload as u64;
    if payload > 0 && !tcp.rst() {
        passed.data_ns[side] = Some(time_ns);
    }
    if tcp.fin() {
        passed.fin_ns[side].get_or_insert(time_ns);
    }
    if tcp.rst() {
        passed.first_rst.get_or_insert(side);
    }
}
