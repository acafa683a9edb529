//! The shared parser against etherparse: two readings of the same bytes must agree wherever both have one.
//!
//! Frames come from etherparse's builder over the whole grid of headers, then with bytes changed and cut off. Where
//! etherparse has no opinion (fragments) or a different idea of what is legal, [`Opinion::None`] says so and why.

use etherparse::{
    IpAuthHeader, IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv4Options, Ipv6Extensions,
    Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader, Ipv6RoutingExtensions, LenSource, LinkExtSlice, NetSlice,
    PacketBuilder, SlicedPacket, TcpHeader, TcpOptionElement, TcpOptionElement as Opt, TcpOptions, TcpSlice,
    TransportSlice, VlanHeader, VlanId, err::packet::SliceError,
};
use probe_ebpf::{
    layout::{Endpoint, FlowKey, HAS_TIMESTAMPS, SACK_PERMITTED, SYN, Segment, TCP_FLAGS},
    parse::{self, Reject, SliceReader},
};
use proptest::prelude::*;

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
fn agree(frame: &[u8]) -> Result<bool, TestCaseError> {
    match (opinion(frame), ours(frame)) {
        // Deeper than we follow is a limit, not a misreading.
        (Opinion::None, _)
        | (Opinion::Tcp(..), Err(Reject::ExtensionDepth | Reject::VlanDepth))
        | (Opinion::Other, Err(_)) => Ok(false),
        (Opinion::Tcp(net, tcp), Ok(segment)) => same_fields(&net, &tcp, &segment).map(|()| true),
        (Opinion::Tcp(..), Err(reject)) => Err(TestCaseError::fail(format!("{reject:?}, and etherparse reads TCP"))),
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
            Err(TestCaseError::fail(format!("{segment:?}, and etherparse says {says:?}")))
        }
    }
}

fn same_fields(net: &NetSlice<'_>, tcp: &TcpSlice<'_>, segment: &Segment) -> Result<(), TestCaseError> {
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
        NetSlice::Arp(_) => return Err(TestCaseError::fail("TCP over ARP")),
    };
    let (key, from_hi) = FlowKey::normalised(from, to, 0);
    let record = &segment.record;
    prop_assert_eq!((segment.key, record.from_hi()), (key, from_hi));
    prop_assert_eq!((record.ttl, record.ip_id), (ttl, ip_id));
    prop_assert_eq!(usize::from(record.header_len), ip_header + tcp.header_slice().len());
    prop_assert_eq!(usize::from(record.option_len), tcp.options().len());
    prop_assert_eq!((record.seq, record.ack), (tcp.sequence_number(), tcp.acknowledgment_number()));
    prop_assert_eq!(record.window, tcp.window_size());
    prop_assert_eq!(record.payload_len as usize, tcp.payload().len());
    prop_assert_eq!(record.flags & TCP_FLAGS, flags(tcp));
    same_options(tcp, segment)
}

fn flags(tcp: &TcpSlice<'_>) -> u16 {
    let bits = [tcp.fin(), tcp.syn(), tcp.rst(), tcp.psh(), tcp.ack(), tcp.urg(), tcp.ece(), tcp.cwr(), tcp.ns()];
    bits.iter().enumerate().map(|(bit, set)| u16::from(*set) << bit).sum()
}

fn same_options(tcp: &TcpSlice<'_>, segment: &Segment) -> Result<(), TestCaseError> {
    // It stops at an option it does not know, we step over it: compare where it read to the end, within our limit.
    let Ok(options) = tcp.options_iterator().collect::<Result<Vec<_>, _>>() else { return Ok(()) };
    let kinds: Vec<u8> = options.iter().map(option_kind).collect();
    if options.len() > 12 || (1..kinds.len()).any(|at| kinds[at] != 1 && kinds[..at].contains(&kinds[at])) {
        // Too many, or one kind twice: which of them counts is a matter of taste.
        return Ok(());
    }
    let record = &segment.record;
    let has_timestamps = options.iter().any(|option| matches!(option, Opt::Timestamp(..)));
    prop_assert_eq!(record.has(HAS_TIMESTAMPS), has_timestamps);
    if !record.has(SYN) {
        return Ok(());
    }
    let mss =
        options.iter().find_map(|option| if let Opt::MaximumSegmentSize(mss) = option { Some(*mss) } else { None });
    let scale =
        options.iter().find_map(|option| if let Opt::WindowScale(shift) = option { Some(*shift) } else { None });
    prop_assert_eq!(record.mss, mss.unwrap_or(0));
    prop_assert_eq!(record.window_scale(), scale.map(|shift| shift.min(14)));
    prop_assert_eq!(record.has(SACK_PERMITTED), options.contains(&Opt::SelectiveAcknowledgementPermitted));
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

fn any_tcp() -> impl Strategy<Value = TcpHeader> {
    let numbers = (any::<u16>(), any::<u16>(), any::<u32>(), any::<u32>(), any::<u16>());
    let options = prop_oneof![
        Just(vec![]),
        Just(vec![Opt::Noop, Opt::Noop, Opt::Timestamp(1, 2)]),
        proptest::collection::vec(any_option(), 0..6),
    ];
    (numbers, 0_u16..512, options).prop_map(|((source, destination, seq, ack, window), flags, options)| {
        let mut header = TcpHeader::new(source, destination, seq, window);
        header.acknowledgment_number = ack;
        let bit = |at: u16| flags & (1 << at) != 0;
        (header.fin, header.syn, header.rst, header.psh, header.ack) = (bit(0), bit(1), bit(2), bit(3), bit(4));
        (header.urg, header.ece, header.cwr, header.ns) = (bit(5), bit(6), bit(7), bit(8));
        // Those that do not fit into 40 bytes are left out.
        header.options = TcpOptions::try_from_elements(&options).unwrap_or_default();
        header
    })
}

fn any_option() -> impl Strategy<Value = TcpOptionElement> {
    prop_oneof![
        Just(Opt::Noop),
        any::<u16>().prop_map(Opt::MaximumSegmentSize),
        (0_u8..20).prop_map(Opt::WindowScale),
        Just(Opt::SelectiveAcknowledgementPermitted),
        (any::<u32>(), any::<u32>()).prop_map(|(value, echo)| Opt::Timestamp(value, echo)),
        (any::<u32>(), any::<u32>()).prop_map(|pair| Opt::SelectiveAcknowledgement(pair, [None; 3])),
    ]
}

fn any_v4() -> impl Strategy<Value = IpHeaders> {
    let addresses = (any::<[u8; 4]>(), any::<[u8; 4]>());
    (addresses, any::<u8>(), any::<u16>(), any::<bool>(), 0_usize..=10).prop_map(
        |((source, destination), ttl, id, df, words)| {
            let mut header =
                Ipv4Header::new(0, ttl, IpNumber::TCP, source, destination).expect("an empty payload fits");
            (header.identification, header.dont_fragment) = (id, df);
            header.options = Ipv4Options::try_from(&vec![1; words * 4][..]).expect("at most 40 bytes, in words");
            IpHeaders::Ipv4(header, Ipv4Extensions::default())
        },
    )
}

fn any_v6() -> impl Strategy<Value = IpHeaders> {
    let raw = || proptest::option::of(0_usize..4).prop_map(|units| units.map(raw_header));
    let fragment = proptest::option::of(any::<u32>());
    let authentication = proptest::option::of(0_usize..5);
    let chain = (raw(), raw(), raw(), fragment, authentication);
    ((any::<[u8; 16]>(), any::<[u8; 16]>()), any::<u8>(), chain).prop_map(
        |((source, destination), hop_limit, chain)| {
            let (hop_by_hop_options, destination_options, routing, fragment, auth) = chain;
            let mut extensions = Ipv6Extensions {
                hop_by_hop_options,
                destination_options,
                routing: routing.map(|routing| Ipv6RoutingExtensions { routing, final_destination_options: None }),
                // Atomic: neither offset nor more fragments, so that etherparse reads on.
                fragment: fragment.map(|id| Ipv6FragmentHeader::new(IpNumber::TCP, IpFragOffset::ZERO, false, id)),
                auth: auth.map(|words| IpAuthHeader::new(IpNumber::TCP, 1, 2, &vec![0; words * 4]).expect("in words")),
            };
            let next_header = extensions.set_next_headers(IpNumber::TCP);
            let header = Ipv6Header { source, destination, hop_limit, next_header, ..Ipv6Header::default() };
            IpHeaders::Ipv6(header, extensions)
        },
    )
}

fn raw_header(units: usize) -> Ipv6RawExtHeader {
    Ipv6RawExtHeader::new_raw(IpNumber::TCP, &vec![0; 6 + 8 * units]).expect("a multiple of eight")
}

/// Any frame of the builder: 0 to 2 VLAN tags, IPv4 with options or IPv6 with extension headers, TCP with options.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let ip = prop_oneof![any_v4(), any_v6()];
    let payload = prop_oneof![Just(0), 0_usize..20, 0_usize..1460];
    (0_u8..=2, 0_u16..4096, ip, any_tcp(), payload).prop_map(|(tags, id, ip, tcp, payload)| {
        let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let id = VlanId::try_new(id).expect("twelve bits");
        let single = |id| VlanHeader::Single(etherparse::SingleVlanHeader { vlan_id: id, ..Default::default() });
        let builder = match tags {
            0 => builder.ip(ip),
            1 => builder.vlan(single(id)).ip(ip),
            _ => builder.double_vlan(id, VlanId::ZERO).ip(ip),
        };
        let mut frame = vec![];
        builder.tcp_header(tcp).write(&mut frame, &vec![7; payload]).expect("a packet that fits");
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn built_frames_are_read_alike(frame in any_frame()) {
        prop_assert!(agree(&frame)?, "both must read TCP");
    }

    #[test]
    fn changed_frames_are_read_alike(
        frame in any_frame(),
        // Nearly all within the headers: that is where the decisions are.
        changes in proptest::collection::vec((0_usize..110, any::<u8>()), 1..4),
        padding in 0_usize..8,
    ) {
        let mut frame = frame;
        for (at, byte) in changes {
            let at = at % frame.len();
            frame[at] = byte;
        }
        frame.resize(frame.len() + padding, 0);
        agree(&frame)?;
    }

    #[test]
    fn cut_frames_are_read_alike_at_every_byte(frame in any_frame()) {
        // Payload beyond the headers adds length to this test and nothing else.
        for len in 0..frame.len().min(260) {
            prop_assert!(!agree(&frame[..len])?, "{} of {} bytes", len, frame.len());
        }
    }
}

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
