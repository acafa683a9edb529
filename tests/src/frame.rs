//! Ethernet frames for the tests, from etherparse's builder: what a frame means is readable where it is made.

use std::{io, net::IpAddr};

use etherparse::{IpHeaders, IpNumber, Ipv4Header, Ipv6Header, PacketBuilder, TcpHeader, TcpOptionElement};

/// Hop count that Linux sends with.
pub const LINUX_TTL: u8 = 64;

/// One end of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Station {
    /// Ethernet address.
    pub mac: [u8; 6],
    /// IP address.
    pub ip: IpAddr,
    /// TCP port.
    pub port: u16,
}

/// A TCP segment from one station to another, with correct lengths and checksums.
#[derive(Clone, Debug)]
pub struct TcpFrame {
    from: Station,
    to: Station,
    ttl: u8,
    ip_id: u16,
    header: TcpHeader,
    payload: Vec<u8>,
}

impl TcpFrame {
    /// A segment without flags at sequence number `seq`.
    pub fn new(from: Station, to: Station, seq: u32) -> Self {
        let header = TcpHeader::new(from.port, to.port, seq, 0);
        Self { from, to, ttl: LINUX_TTL, ip_id: 0, header, payload: Vec::new() }
    }

    /// Sets SYN, the usual window and an MSS option.
    ///
    /// # Panics
    /// Never: one option always fits.
    #[must_use]
    pub fn syn(mut self) -> Self {
        self.header.syn = true;
        self.header.window_size = 64_240;
        self.header.set_options(&[TcpOptionElement::MaximumSegmentSize(1460)]).expect("one option fits");
        self
    }

    /// Sets RST.
    #[must_use]
    pub fn rst(mut self) -> Self {
        self.header.rst = true;
        self
    }

    /// Sets FIN.
    #[must_use]
    pub fn fin(mut self) -> Self {
        self.header.fin = true;
        self
    }

    /// Sets ACK, the acknowledgement field and a window.
    #[must_use]
    pub fn ack(mut self, ack: u32) -> Self {
        self.header.ack = true;
        self.header.acknowledgment_number = ack;
        self.header.window_size = 501;
        self
    }

    /// Adds timestamps, after the options there are.
    ///
    /// # Panics
    /// Never: they fit after an MSS option.
    #[must_use]
    pub fn timestamps(mut self, value: u32, echo: u32) -> Self {
        let mut options: Vec<TcpOptionElement> = self.header.options_iterator().flatten().collect();
        options.extend([TcpOptionElement::Noop, TcpOptionElement::Noop, TcpOptionElement::Timestamp(value, echo)]);
        self.header.set_options(&options).expect("two options fit");
        self
    }

    /// Replaces the window.
    #[must_use]
    pub fn window(mut self, window: u16) -> Self {
        self.header.window_size = window;
        self
    }

    /// Replaces TTL and IPv4 identification: the marks by which another box betrays itself.
    #[must_use]
    pub fn stamped(mut self, ttl: u8, ip_id: u16) -> Self {
        self.ttl = ttl;
        self.ip_id = ip_id;
        self
    }

    /// Adds payload.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// The bytes of the frame.
    ///
    /// # Errors
    /// When the two addresses are not of one family, or the payload is too long for a packet.
    pub fn bytes(&self) -> io::Result<Vec<u8>> {
        let ip = match (self.from.ip, self.to.ip) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut header = Ipv4Header::new(0, self.ttl, IpNumber::TCP, source.octets(), destination.octets())
                    .map_err(io::Error::other)?;
                header.identification = self.ip_id;
                IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = Ipv6Header {
                    source: source.octets(),
                    destination: destination.octets(),
                    hop_limit: self.ttl,
                    next_header: IpNumber::TCP,
                    ..Ipv6Header::default()
                };
                IpHeaders::Ipv6(header, etherparse::Ipv6Extensions::default())
            }
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let builder = PacketBuilder::ethernet2(self.from.mac, self.to.mac).ip(ip).tcp_header(self.header.clone());
        let mut bytes = Vec::with_capacity(builder.size(self.payload.len()));
        builder.write(&mut bytes, &self.payload).map_err(io::Error::other)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::{CLIENT_MAC, Family, SERVER_MAC};

    #[test]
    fn a_built_frame_says_what_was_asked_for() {
        for family in Family::BOTH {
            let from = Station { mac: CLIENT_MAC, ip: family.client(), port: 40_000 };
            let to = Station { mac: SERVER_MAC, ip: family.server(), port: 80 };
            let bytes = TcpFrame::new(from, to, 7).rst().ack(9).stamped(33, 5).payload(b"why").bytes().unwrap();
            let parsed = etherparse::PacketHeaders::from_ethernet_slice(&bytes).unwrap();
            let tcp = parsed.transport.unwrap().tcp().unwrap();
            assert_eq!((tcp.source_port, tcp.destination_port), (40_000, 80));
            assert!(tcp.rst && tcp.ack && !tcp.syn && !tcp.fin);
            assert_eq!((tcp.sequence_number, tcp.acknowledgment_number), (7, 9));
            assert_eq!(parsed.payload.slice(), b"why");
        }
    }
}
