//! Oddities of TCP headers.

use probe_ebpf::parse::Reject;

use super::{ETHER_IPV4, ETHER_IPV6, Fate, Odd, PSH_ACK, TCP, ether, plain, push, segment, v4, v6, with};

/// Both families.
fn add_both(all: &mut Vec<Odd>, name: &str, fate: Fate, segment: &[u8]) {
    push(all, format!("TCP/IPv4 {name}"), fate, ether(ETHER_IPV4, &v4(TCP, &[], segment)));
    push(all, format!("TCP/IPv6 {name}"), fate, ether(ETHER_IPV6, &v6(TCP, segment)));
}

pub(super) fn add(all: &mut Vec<Odd>) {
    let wrong = Fate::Rejected(Reject::TcpDataOffset);
    for words in 0..5 {
        add_both(all, &format!("header of {words} words"), wrong, &with(plain(), 12, &[words << 4]));
    }
    add_both(all, "header beyond the segment", wrong, &with(plain(), 12, &[0xf0]));
    // Every combination of the nine flags, and the three reserved bits beside them.
    for flags in 0..0x200 {
        add_both(all, &format!("flags {flags:03x}"), Fate::Tcp, &segment(flags, &[], &[]));
    }
    add_both(all, "reserved bits", Fate::Tcp, &segment(0x0e12, &[], &[]));
    add_both(all, "ports 0", Fate::Tcp, &with(plain(), 0, &[0; 4]));
    add_both(all, "urgent pointer without its flag", Fate::Tcp, &with(plain(), 18, &[0xff, 0xff]));
    add_both(all, "sequence numbers about to wrap", Fate::Tcp, &with(plain(), 4, &[0xff; 8]));
    add_both(all, "RST with data", Fate::Tcp, &segment(0x14, &[], b"go away"));
    add_both(all, "RST without ACK, with data", Fate::Tcp, &segment(0x04, &[], b"go away"));
    add_both(all, "SYN with data", Fate::Tcp, &segment(0x02, &[2, 4, 5, 0xb4], b"early"));
    add_both(all, "SYN with a cookie and data", Fate::Tcp, &segment(0x02, &[34, 6, 1, 2, 3, 4], b"early"));
    add_options(all);
}

fn add_options(all: &mut Vec<Odd>) {
    let md5 = [&[19, 18][..], &[0xaa; 16]].concat();
    let kinds: [(&str, &[u8]); 16] = [
        ("none but the end", &[0]),
        ("no operation", &[1; 40]),
        ("length 0", &[2, 0, 0, 0]),
        ("length 1", &[2, 1, 0, 0]),
        ("unknown of length 0", &[200, 0, 0, 0]),
        ("unknown of length 1", &[200, 1, 0, 0]),
        ("length beyond the header", &[8, 10, 0, 0]),
        ("length 255", &[3, 255, 7, 0]),
        ("kind without length", &[1, 1, 1, 2]),
        ("MSS too short", &[2, 3, 5, 0]),
        ("MSS too long", &[2, 5, 5, 0xb4, 0]),
        ("window scale 255", &[3, 3, 255]),
        ("two window scales", &[3, 3, 1, 3, 3, 2]),
        ("SACK of odd length", &[5, 9, 0, 0, 0, 1, 0, 0, 0]),
        ("timestamps twice", &[8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 8, 10, 0, 0, 0, 2, 0, 0, 0, 0]),
        ("MD5", &md5),
    ];
    for (name, options) in kinds {
        for (flags, kind) in [(0x02, "SYN"), (PSH_ACK, "data"), (0x04, "RST")] {
            add_both(all, &format!("{kind}, options: {name}"), Fate::Tcp, &segment(flags, options, &[]));
        }
    }
}
