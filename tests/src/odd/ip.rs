//! Oddities of IPv4 and IPv6.

use probe_ebpf::parse::Reject;

use super::{ETHER_IPV4, ETHER_IPV6, Fate, Odd, TCP, ether, plain, push, v4, v6, with};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const ESP: u8 = 50;
const AUTHENTICATION: u8 = 51;
const NO_NEXT: u8 = 59;
const DESTINATION: u8 = 60;

fn rejected(reason: Reject) -> Fate {
    Fate::Rejected(reason)
}

pub(super) fn add_v4(all: &mut Vec<Odd>) {
    let packet = || v4(TCP, &[], &plain());
    let mut add =
        |name: &str, fate, packet: Vec<u8>| push(all, format!("IPv4 {name}"), fate, ether(ETHER_IPV4, &packet));
    for version in [0, 5, 6, 15] {
        add(&format!("version {version}"), rejected(Reject::IpVersion), with(packet(), 0, &[version << 4 | 5]));
    }
    for words in 0..5 {
        let packet = with(packet(), 0, &[0x40 | words]);
        add(&format!("header of {words} words"), rejected(Reject::IpHeaderLength), packet);
    }
    add("header beyond the packet", rejected(Reject::IpHeaderLength), with(packet(), 0, &[0x4f]));
    add(
        "header beyond the frame",
        rejected(Reject::IpHeaderLength),
        with(packet()[..24].to_vec(), 0, &[0x4f, 0, 0, 24]),
    );
    add("total length 0", Fate::Tcp, with(packet(), 2, &[0, 0]));
    for total in [1, 19] {
        add(&format!("total length {total}"), rejected(Reject::IpHeaderLength), with(packet(), 2, &[0, total]));
    }
    add("total length 20", rejected(Reject::ShortTcp), with(packet(), 2, &[0, 20]));
    add("total length beyond the frame", Fate::Tcp, with(packet(), 2, &[0xff, 0xff]));
    let mut padded = v4(TCP, &[], &super::segment(0x10, &[], &[]));
    padded.extend_from_slice(&[0xee; 6]);
    add("Ethernet padding", Fate::Tcp, padded);
    for (protocol, name) in [(0, "protocol 0"), (1, "ICMP"), (132, "SCTP"), (255, "protocol 255"), (89, "OSPF")] {
        add(name, rejected(Reject::NotTcp), with(packet(), 9, &[protocol]));
    }
    add("UDP", rejected(Reject::NotTcp), v4(17, &[], &[0x9c, 0x40, 0x9c, 0x41, 0, 12, 0, 0, 1, 2, 3, 4]));
    for ttl in [0, 1] {
        add(&format!("TTL {ttl}"), Fate::Tcp, with(packet(), 8, &[ttl]));
    }
    for (name, source, destination) in [
        ("land", [10, 0, 0, 2], [10, 0, 0, 2]),
        ("to broadcast", [10, 0, 0, 1], [255; 4]),
        ("from broadcast", [255; 4], [10, 0, 0, 2]),
        ("from 0.0.0.0", [0; 4], [10, 0, 0, 2]),
        ("loopback on the wire", [127, 0, 0, 1], [127, 0, 0, 1]),
        ("multicast", [10, 0, 0, 1], [224, 0, 0, 1]),
    ] {
        add(name, Fate::Tcp, with(with(packet(), 12, &source), 16, &destination));
    }
    let land = with(with(with(packet(), 12, &[10, 0, 0, 2]), 20, &[0, 80]), 22, &[0, 80]);
    add("land with equal ports", Fate::Tcp, land);
    add_v4_options(all);
    add_v4_fragments(all);
}

fn add_v4_options(all: &mut Vec<Odd>) {
    let kinds: [(&str, &[u8]); 14] = [
        ("end of list", &[0, 0, 0, 0]),
        ("no operation", &[1, 1, 1, 1]),
        ("record route", &[7, 7, 4, 0, 0, 0, 0]),
        ("security", &[130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("loose source route", &[131, 7, 4, 10, 0, 0, 9]),
        ("strict source route", &[137, 7, 4, 10, 0, 0, 9]),
        ("stream id", &[136, 4, 0, 1]),
        ("timestamp", &[68, 8, 5, 0, 0, 0, 0, 0]),
        ("router alert", &[148, 4, 0, 0]),
        ("unknown", &[222, 4, 1, 2]),
        ("length 0", &[7, 0, 0, 0]),
        ("length 1", &[7, 1, 0, 0]),
        ("length beyond the header", &[7, 255, 0, 0]),
        ("40 bytes", &[1; 40]),
    ];
    for (name, options) in kinds {
        push(all, format!("IPv4 option: {name}"), Fate::Tcp, ether(ETHER_IPV4, &v4(TCP, options, &plain())));
    }
}

fn add_v4_fragments(all: &mut Vec<Odd>) {
    let mut add = |name: &str, fate, flags_and_offset: u16, payload: &[u8]| {
        let packet = with(v4(TCP, &[], payload), 6, &flags_and_offset.to_be_bytes());
        push(all, format!("IPv4 fragment: {name}"), fate, ether(ETHER_IPV4, &packet));
    };
    // Alone, none is a segment: a capture is read with its packets put together.
    let later = rejected(Reject::LaterFragment);
    add("first", later, 0x2000, &plain());
    add("first, do not fragment", later, 0x6000, &plain());
    add("middle", later, 0x2003, &plain());
    add("last", later, 0x0003, &plain());
    add("overlapping the header", later, 0x2001, &plain());
    add("teardrop", later, 0x0001, &plain()[..4]);
    add("beyond 65535", later, 0x1fff, &plain());
    add("tiny first, ports only", later, 0x2000, &plain()[..8]);
    add("tiny first, no options", later, 0x2000, &plain()[..20]);
    add("reserved bit", Fate::Tcp, 0x8000, &plain());
}

/// `count` extension headers of `kind`, eight bytes each, then `last`.
fn chain(kind: u8, count: usize, last: u8) -> (u8, Vec<u8>) {
    let mut bytes = vec![];
    for number in 0..count {
        let next = if number + 1 == count { last } else { kind };
        bytes.extend_from_slice(&[next, 0, 1, 4, 0, 0, 0, 0]);
    }
    (if count == 0 { last } else { kind }, bytes)
}

pub(super) fn add_v6(all: &mut Vec<Odd>) {
    let mut add =
        |name: &str, fate, packet: Vec<u8>| push(all, format!("IPv6 {name}"), fate, ether(ETHER_IPV6, &packet));
    let packet = || v6(TCP, &plain());
    for version in [0, 4, 7] {
        add(&format!("version {version}"), rejected(Reject::IpVersion), with(packet(), 0, &[version << 4]));
    }
    add("payload length beyond the frame", Fate::Tcp, with(packet(), 4, &[0xff, 0xff]));
    add("payload length 1", rejected(Reject::ShortTcp), with(packet(), 4, &[0, 1]));
    let jumbogram = [&[TCP, 0, 0xc2, 4, 0, 0, 0, 32][..], &plain()].concat();
    add("jumbogram option", Fate::Tcp, with(v6(HOP_BY_HOP, &jumbogram), 4, &[0, 0]));
    for (count, fate) in [
        (0, Fate::Tcp),
        (1, Fate::Tcp),
        (8, Fate::Tcp),
        // The walk through encapsulations follows more headers than the plain parser, and gives up in the end.
        (9, Fate::Tcp),
        (64, rejected(Reject::TunnelDepth)),
    ] {
        let (next, headers) = chain(DESTINATION, count, TCP);
        add(&format!("{count} extension headers"), fate, v6(next, &[headers, plain()].concat()));
    }
    for kind in [HOP_BY_HOP, ROUTING, DESTINATION, 135, 139, 140] {
        let (next, headers) = chain(kind, 1, TCP);
        add(&format!("header {kind} before TCP"), Fate::Tcp, v6(next, &[headers, plain()].concat()));
        let mut longest = vec![0; 2048];
        longest[..2].copy_from_slice(&[TCP, 255]);
        add(&format!("header {kind} of length 255"), Fate::Tcp, v6(kind, &[&longest[..], &plain()].concat()));
        let lying = [&longest[..8], &plain()].concat();
        add(&format!("header {kind} of a lying length 255"), rejected(Reject::ShortExtension), v6(kind, &lying));
    }
    let itself = [HOP_BY_HOP, 0, 0, 0, 0, 0, 0, 0].repeat(200);
    add("header that names itself for ever", rejected(Reject::TunnelDepth), v6(HOP_BY_HOP, &itself));
    add_v6_ends(all);
}

fn add_v6_ends(all: &mut Vec<Odd>) {
    let mut add = |name: &str, fate, next, header: &[u8]| {
        let packet = v6(next, &[header, &plain()].concat());
        push(all, format!("IPv6 {name}"), fate, ether(ETHER_IPV6, &packet));
    };
    let later = rejected(Reject::LaterFragment);
    add("atomic fragment", Fate::Tcp, FRAGMENT, &[TCP, 0, 0, 0, 0, 0, 0, 7]);
    add("first fragment", later, FRAGMENT, &[TCP, 0, 0, 1, 0, 0, 0, 7]);
    add("middle fragment", later, FRAGMENT, &[TCP, 0, 0, 9, 0, 0, 0, 7]);
    add("last fragment", later, FRAGMENT, &[TCP, 0, 0, 8, 0, 0, 0, 7]);
    // Length in units of four bytes, two not counted: 4 is a header of 24 bytes.
    let mut authentication = [0; 24];
    authentication[..2].copy_from_slice(&[TCP, 4]);
    add("authentication header", Fate::Tcp, AUTHENTICATION, &authentication);
    authentication[1] = 255;
    add("authentication header of a lying length", rejected(Reject::ShortExtension), AUTHENTICATION, &authentication);
    add("ESP", rejected(Reject::Encrypted), ESP, &[0, 0, 0, 1, 0, 0, 0, 1]);
    add("no next header", rejected(Reject::NotTcp), NO_NEXT, &[]);
    add("segments left", Fate::Tcp, ROUTING, &[TCP, 0, 0, 3, 0, 0, 0, 0]);
    add("ICMPv6", rejected(Reject::NotTcp), 58, &[128, 0, 0, 0]);
    add("protocol 255", rejected(Reject::NotTcp), 255, &[]);
    let tiny = v6(FRAGMENT, &[&[TCP, 0, 0, 1, 0, 0, 0, 7], &plain()[..8]].concat());
    push(all, "IPv6 tiny first fragment", later, ether(ETHER_IPV6, &tiny));
}
