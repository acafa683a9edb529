//! The shapes that are tried: every encapsulation by itself, with its optional parts, and nested.

use std::net::IpAddr;

use super::{
    Outer::{V4, V4Options, V6, V6Options},
    Packet,
};
use crate::{
    frame::{Station, TcpFrame},
    netns::{CLIENT_MAC, Family, SERVER_MAC},
};

/// A named frame, and the plain frame of the segment in it.
#[derive(Clone, Debug)]
pub struct Shape {
    /// What it is.
    pub name: String,
    /// The segment as an ordinary Ethernet frame.
    pub plain: Vec<u8>,
    /// Its sequence number: every shape has its own.
    pub seq: u32,
    /// The segment inside.
    pub packet: Packet,
}

/// What is wrapped: a SYN, or data with an acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inner {
    /// With options, without payload.
    Syn,
    /// With timestamps and payload.
    Data,
}

fn plain(family: Family, inner: Inner, seq: u32) -> Vec<u8> {
    let station = |mac, ip: IpAddr, port| Station { mac, ip, port };
    let from = station(CLIENT_MAC, family.client(), 40_000);
    let to = station(SERVER_MAC, family.server(), 443);
    let frame = TcpFrame::new(from, to, seq);
    let frame = match inner {
        Inner::Syn => frame.syn().timestamps(1, 0),
        Inner::Data => frame.ack(9).timestamps(2, 3).payload(b"wrapped up"),
    };
    frame.bytes().expect("one family")
}

type Wrap = fn(Packet) -> Packet;

/// Shapes whose segment may be of either IP version.
const SHAPES: &[(&str, Wrap)] = &[
    ("plain", |p| p),
    ("802.1Q", |p| p.vlan(0x8100, 7)),
    ("QinQ", |p| p.vlan(0x8100, 7).vlan(0x88a8, 300)),
    ("QinQ, pre-standard", |p| p.vlan(0x8100, 7).vlan(0x9100, 300)),
    ("three tags", |p| p.vlan(0x8100, 7).vlan(0x8100, 8).vlan(0x88a8, 9)),
    ("six tags", |p| p.vlan(0x8100, 1).vlan(0x8100, 2).vlan(0x8100, 3).vlan(0x8100, 4).vlan(0x8100, 5).vlan(0x88a8, 6)),
    ("MPLS", |p| p.mpls(&[100])),
    ("MPLS, four labels", |p| p.mpls(&[100, 200, 300, 400])),
    ("MPLS pseudowire", |p| p.ethernet().mpls(&[100, 900])),
    ("MPLS pseudowire, tagged", |p| p.vlan(0x8100, 7).ethernet().mpls(&[900])),
    ("MPLS behind a tag", |p| p.mpls(&[100]).vlan(0x8100, 7)),
    ("MPLS in IP", |p| p.mpls_in_ip(V4, &[100])),
    ("MPLS in IPv6", |p| p.mpls_in_ip(V6, &[100, 200])),
    ("FabricPath", |p| p.fabric_path()),
    ("FabricPath, metadata inside", |p| p.cisco_metadata().fabric_path()),
    ("metadata", |p| p.cisco_metadata()),
    ("metadata behind a tag", |p| p.cisco_metadata().vlan(0x8100, 7)),
    ("PPPoE", |p| p.pppoe(17)),
    ("PPPoE behind QinQ", |p| p.pppoe(17).vlan(0x8100, 7).vlan(0x88a8, 300)),
    ("in IPv4", |p| p.in_ip(V4)),
    ("in IPv4 with options", |p| p.in_ip(V4Options)),
    ("in IPv6", |p| p.in_ip(V6)),
    ("in IPv6 with options", |p| p.in_ip(V6Options)),
    ("in IPv4, tagged", |p| p.in_ip(V4).vlan(0x8100, 7)),
    ("GRE", |p| p.gre(V4, [false, false, false])),
    ("GRE, checksum", |p| p.gre(V4, [true, false, false])),
    ("GRE, key", |p| p.gre(V4, [false, true, false])),
    ("GRE, sequence", |p| p.gre(V4, [false, false, true])),
    ("GRE, all of them", |p| p.gre(V4, [true, true, true])),
    ("GRE over IPv6", |p| p.gre(V6, [false, true, false])),
    ("GRE over IPv6 with options", |p| p.gre(V6Options, [false, true, true])),
    ("GRE, a frame", |p| p.ethernet().gre(V4, [false, true, false])),
    ("GRE, a tagged frame", |p| p.vlan(0x8100, 7).ethernet().gre(V4, [false, true, false])),
    ("GRE, MPLS", |p| p.mpls(&[100, 200]).gre(V4, [false, false, false])),
    ("PPTP", |p| p.pptp(V4)),
    ("ERSPAN I", |p| p.ethernet().erspan(V4, 1, 0, false)),
    ("ERSPAN II", |p| p.ethernet().erspan(V4, 2, 31, false)),
    ("ERSPAN II, tagged", |p| p.vlan(0x8100, 7).ethernet().erspan(V4, 2, 1023, false)),
    ("ERSPAN II over IPv6", |p| p.ethernet().erspan(V6, 2, 31, false)),
    ("ERSPAN III", |p| p.ethernet().erspan(V4, 3, 31, false)),
    ("ERSPAN III, platform header", |p| p.ethernet().erspan(V4, 3, 31, true)),
    ("ERSPAN III, IP", |p| p.erspan(V4, 3, 31, false)),
    ("VXLAN", |p| p.ethernet().vxlan(V4, 4789, 0x00ab_cdef)),
    ("VXLAN, tagged inside and outside", |p| p.vlan(0x8100, 7).ethernet().vxlan(V4, 4789, 5).vlan(0x8100, 9)),
    ("VXLAN over IPv4 with options", |p| p.ethernet().vxlan(V4Options, 4789, 5)),
    ("VXLAN over IPv6", |p| p.ethernet().vxlan(V6, 4789, 5)),
    ("VXLAN, port of Linux", |p| p.ethernet().vxlan(V4, 8472, 5)),
    ("VXLAN-GPE, a frame", |p| p.ethernet().vxlan(V4, 4790, 5)),
    ("VXLAN-GPE, IP", |p| p.vxlan(V4, 4790, 5)),
    ("GENEVE", |p| p.ethernet().geneve(V4, 6, &[])),
    ("GENEVE, options", |p| p.ethernet().geneve(V4, 0x00ff_fffe, &[1, 0, 3])),
    ("GENEVE, as many options as can be", |p| p.ethernet().geneve(V4, 6, &[15, 15, 15, 14])),
    ("GENEVE, IP", |p| p.geneve(V6, 6, &[2])),
    ("GTP-U", |p| p.gtp_u(V4, 0xdead_beef, false, &[])),
    ("GTP-U, sequence number", |p| p.gtp_u(V4, 7, true, &[])),
    ("GTP-U, an extension header", |p| p.gtp_u(V4, 7, false, &[1])),
    ("GTP-U, three extension headers", |p| p.gtp_u(V6, 7, true, &[1, 2, 3])),
    ("IP in IP in IP in IP", |p| p.in_ip(V4).in_ip(V6).in_ip(V4)),
    ("four tunnels", |p| p.ethernet().vxlan(V4, 4789, 5).in_ip(V6).gre(V4, [false, true, false]).in_ip(V4)),
    ("a mirrored VXLAN", |p| p.ethernet().vxlan(V4, 4789, 5).ethernet().erspan(V4, 2, 31, false)),
    ("a mirrored PPTP", |p| p.pptp(V4).ethernet().erspan(V4, 3, 31, true)),
    ("GTP-U in VXLAN", |p| p.gtp_u(V4, 7, false, &[1]).ethernet().vxlan(V4, 4789, 5)),
    ("GENEVE in GRE behind QinQ", |p| {
        p.ethernet().geneve(V4, 6, &[1]).gre(V4, [false, true, false]).vlan(0x8100, 7).vlan(0x88a8, 300)
    }),
    ("PPPoE in VXLAN behind MPLS", |p| p.pppoe(17).ethernet().vxlan(V4, 4789, 5).mpls(&[100])),
];

/// Shapes that only IPv6 takes.
const SHAPES_V6: &[(&str, Wrap)] = &[
    ("Teredo", |p| p.teredo(false, false)),
    ("Teredo, authentication", |p| p.teredo(true, false)),
    ("Teredo, both indications", |p| p.teredo(true, true)),
    ("Teredo in IP in IP", |p| p.teredo(false, true).in_ip(V4)),
];

/// All of them around a segment of either IP version.
pub fn catalogue(inner: Inner) -> Vec<Shape> {
    let of_family = |family, shapes: &'static [(&'static str, Wrap)]| shapes.iter().map(move |shape| (family, shape));
    let all =
        of_family(Family::V4, SHAPES).chain(of_family(Family::V6, SHAPES)).chain(of_family(Family::V6, SHAPES_V6));
    let shape = |(number, (family, (name, wrap))): (usize, (Family, &(&str, Wrap)))| {
        let seq = 1000 + number as u32;
        let plain = plain(family, inner, seq);
        let packet = wrap(Packet::ip(&plain[14..])).ethernet();
        Shape { name: format!("{name} ({family:?}, {inner:?})"), plain, seq, packet }
    };
    all.enumerate().map(shape).collect()
}
