//! The shared parser against etherparse: two readings of the same bytes must agree wherever both have one
//! ([`probe_tests::second_reading`]).
//!
//! Frames come from etherparse's builder over the whole grid of headers, then with bytes changed and cut off.

use etherparse::{
    IpAuthHeader, IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv4Options, Ipv6Extensions,
    Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader, Ipv6RoutingExtensions, PacketBuilder, TcpHeader,
    TcpOptionElement, TcpOptionElement as Opt, TcpOptions, VlanHeader, VlanId,
};
use probe_tests::second_reading;
use proptest::prelude::*;

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

fn agree(frame: &[u8]) -> Result<bool, TestCaseError> {
    second_reading::agree(frame).map_err(TestCaseError::fail)
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
