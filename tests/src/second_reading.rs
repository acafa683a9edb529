//! A second reading of frames: the shared parser against etherparse, which must agree wherever both have an opinion.
//!
//! Where etherparse has none (fragments) or a different idea of what is legal, [`Opinion::None`] says so and why.

use std::fmt::Debug;

use etherparse::{
    IpNumber, LenSource, LinkExtSlice, NetSlice, SlicedPacket, TcpOptionElement, TcpOptionElement as Opt, TcpSlice,
    TransportSlice, err::packet::SliceError,
};
use probe_ebpf::{
    layout::{Endpoint, FlowKey, HAS_TIMESTAMPS, SACK_PERMITTED, SYN, Segment, TCP_FLAGS},
    parse::{self, Reject, SliceReader},
};

/// What etherparse makes of a frame.
#[derive(Debug)]
enum Opinion<'a> {
    /// A TCP segment.
    Tcp(NetSlice<'a>, TcpSlice<'a>),
    /// Well-formed and not TCP, or malformed.
    Other,
    /// It does not look, or disagrees on purpose.
    None,
}

fn opinion(frame: &[u8]) -> Opinion<'_> {
    let sliced = match SlicedPacket::from_ethernet(frame) {
        Ok(sliced) => sliced,
        // It refuses an IPv4 total length of 0 (segmentation offload leaves it) and a hop-by-hop header that is not
        // the first; both are read here.
        Err(error) => {
            let words = format!("{error:?}");
            let lenient =
                words.contains("HopByHopNotAtStart") || words.contains("TotalLength") || words.contains("total_len");
            return if lenient { Opinion::None } else { Opinion::Other };
        }
    };
    if sliced.link_exts.len() > parse::MAX_VLAN_TAGS
        || sliced.link_exts.iter().any(|ext| matches!(ext, LinkExtSlice::Macsec(_)))
    {
        return Opinion::None;
    }
    match (sliced.net, sliced.transport) {
        // Mobility, HIP and shim6 headers are extension headers here and the end of the chain there.
        (Some(NetSlice::Ipv6(ip)), _) if matches!(ip.payload().ip_number.0, 135 | 139 | 140) => Opinion::None,
        // An authentication header in IPv4 is not followed here.
        (Some(NetSlice::Ipv4(ip)), _) if ip.header().protocol() == IpNumber::AUTHENTICATION_HEADER => Opinion::None,
        (Some(NetSlice::Ipv4(ip)), _) if ip.is_payload_fragmented() => Opinion::None,
        (Some(NetSlice::Ipv6(ip)), _) if ip.is_payload_fragmented() => Opinion::None,
        (Some(net), Some(TransportSlice::Tcp(tcp))) => Opinion::Tcp(net, tcp),
        _ => Opinion::Other,
    }
}

/// What the shared parser makes of it.
fn ours(frame: &[u8]) -> Result<Segment, Reject> {
    let reader = SliceReader::whole(frame);
    let located = parse::locate(&reader)?;
    Ok(parse::segment(&reader, &located, 0, 0).expect("what was located can be read"))
}

fn is_cropped(frame: &[u8]) -> bool {
    let reader = SliceReader::whole(frame);
    parse::locate(&reader).is_ok_and(|located| located.is_cropped(&reader))
}

/// Both readings of `frame`, compared. True when both read a TCP segment.
///
/// # Errors
/// What they read differently, and are not known to.
pub fn agree(frame: &[u8]) -> Result<bool, String> {
    match (opinion(frame), ours(frame)) {
        // Deeper than we follow is a limit, not a misreading.
        (Opinion::None, _)
        | (Opinion::Tcp(..), Err(Reject::ExtensionDepth | Reject::VlanDepth))
        | (Opinion::Other, Err(_)) => Ok(false),
        (Opinion::Tcp(net, tcp), Ok(segment)) => same_fields(&net, &tcp, &segment).map(|()| true),
        (Opinion::Tcp(..), Err(reject)) => Err(format!("{reject:?}, and etherparse reads TCP")),
        (Opinion::Other, Ok(segment)) => {
            let says = SlicedPacket::from_ethernet(frame);
            // An IP header beyond the frame: a mirror cropped it, we believe the header, etherparse does not.
            if is_cropped(frame) {
                return Ok(false);
            }
            // Total length 0 is what segmentation offload leaves: we believe the frame then, etherparse does not.
            if matches!(&says, Err(SliceError::Len(error)) if error.len == 0 && error.len_source == LenSource::Ipv4HeaderTotalLen)
            {
                return Ok(false);
            }
            Err(format!("{segment:?}, and etherparse says {says:?}"))
        }
    }
}

fn same_fields(net: &NetSlice<'_>, tcp: &TcpSlice<'_>, segment: &Segment) -> Result<(), String> {
    let (from, to, ttl, ip_id, ip_header) = match net {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            let end = |octets: [u8; 4], port| Endpoint::v4(u32::from_ne_bytes(octets), port);
            let from = end(header.source(), tcp.source_port());
            let to = end(header.destination(), tcp.destination_port());
            (from, to, header.ttl(), header.identification(), header.slice().len())
        }
        NetSlice::Ipv6(ip) => {
            let (header, chain) = (ip.header(), ip.extensions().slice().len());
            let from = Endpoint::from_octets(header.source(), tcp.source_port());
            let to = Endpoint::from_octets(header.destination(), tcp.destination_port());
            (from, to, header.hop_limit(), 0, 40 + chain)
        }
        NetSlice::Arp(_) => return Err("TCP over ARP".to_owned()),
    };
    let (key, from_hi) = FlowKey::normalised(from, to, 0);
    let record = &segment.record;
    same("key and direction", [(segment.key, record.from_hi()), (key, from_hi)])?;
    same("TTL and IP id", [(record.ttl, record.ip_id), (ttl, ip_id)])?;
    same("header length", [usize::from(record.header_len), ip_header + tcp.header_slice().len()])?;
    same("option length", [usize::from(record.option_len), tcp.options().len()])?;
    same("SEQ and ACK", [(record.seq, record.ack), (tcp.sequence_number(), tcp.acknowledgment_number())])?;
    same("window", [record.window, tcp.window_size()])?;
    same("payload length", [record.payload_len as usize, tcp.payload().len()])?;
    same("flags", [record.flags & TCP_FLAGS, flags(tcp)])?;
    same_options(tcp, segment)
}

fn flags(tcp: &TcpSlice<'_>) -> u16 {
    let bits = [tcp.fin(), tcp.syn(), tcp.rst(), tcp.psh(), tcp.ack(), tcp.urg(), tcp.ece(), tcp.cwr(), tcp.ns()];
    bits.iter().enumerate().map(|(bit, set)| u16::from(*set) << bit).sum()
}

fn same<T: PartialEq + Debug>(what: &str, [ours, theirs]: [T; 2]) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: {ours:?}, and etherparse reads {theirs:?}")) }
}

fn same_options(tcp: &TcpSlice<'_>, segment: &Segment) -> Result<(), String> {
    // It stops at an option it does not know, we step over it: compare where it read to the end, within our limit.
    let Ok(options) = tcp.options_iterator().collect::<Result<Vec<_>, _>>() else { return Ok(()) };
    let kinds: Vec<u8> = options.iter().map(option_kind).collect();
    if options.len() > 12 || (1..kinds.len()).any(|at| kinds[at] != 1 && kinds[..at].contains(&kinds[at])) {
        // Too many, or one kind twice: which of them counts is a matter of taste.
        return Ok(());
    }
    let record = &segment.record;
    let has_timestamps = options.iter().any(|option| matches!(option, Opt::Timestamp(..)));
    same("timestamps", [record.has(HAS_TIMESTAMPS), has_timestamps])?;
    if !record.has(SYN) {
        return Ok(());
    }
    let mss =
        options.iter().find_map(|option| if let Opt::MaximumSegmentSize(mss) = option { Some(*mss) } else { None });
    let scale =
        options.iter().find_map(|option| if let Opt::WindowScale(shift) = option { Some(*shift) } else { None });
    same("MSS", [record.mss, mss.unwrap_or(0)])?;
    same("window scale", [record.window_scale(), scale.map(|shift| shift.min(14))])?;
    same("SACK permitted", [record.has(SACK_PERMITTED), options.contains(&Opt::SelectiveAcknowledgementPermitted)])?;
    Ok(())
}

fn option_kind(option: &TcpOptionElement) -> u8 {
    match option {
        Opt::Noop => 1,
        Opt::MaximumSegmentSize(_) => 2,
        Opt::WindowScale(_) => 3,
        Opt::SelectiveAcknowledgementPermitted => 4,
        Opt::SelectiveAcknowledgement(..) => 5,
        Opt::Timestamp(..) => 8,
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    #[test]
    fn a_disagreement_would_be_found() {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(1, 2, 3, 4);
        let mut frame = vec![];
        builder.write(&mut frame, &[]).unwrap();
        let Opinion::Tcp(net, tcp) = opinion(&frame) else { panic!("etherparse reads its own frame") };
        let right = ours(&frame).unwrap();
        assert!(same_fields(&net, &tcp, &right).is_ok());
        let edits: [fn(&mut Segment); 6] = [
            |segment| segment.record.seq += 1,
            |segment| segment.record.flags ^= SYN,
            |segment| segment.record.payload_len += 1,
            |segment| segment.record.header_len += 1,
            |segment| segment.record.ttl -= 1,
            |segment| segment.key.words[4] += 1,
        ];
        for edit in edits {
            let mut wrong = right;
            edit(&mut wrong);
            assert!(same_fields(&net, &tcp, &wrong).is_err());
        }
    }
}
