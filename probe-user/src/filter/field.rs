//! Field table: names, where they are in a record, and how they are compared.

use std::net::{IpAddr, SocketAddr};

use crate::record::{
    Basis, Cause, Closing, Confidence, ConnState, Connection, Impact, Opening, Orientation, ResetBy, Side, Stage,
    Written,
};

/// One row of the table.
pub(super) struct Field {
    /// Names by [`Scope`]; empty where there is no such field.
    pub(super) names: [&'static str; 3],
    /// Further names.
    pub(super) also: &'static [(&'static str, Scope)],
    /// For people.
    pub(super) meaning: &'static str,
    /// What is compared.
    pub(super) kind: Kind,
    /// May change when more is known of the service or host.
    pub(super) of_verdict: bool,
}

/// Whose value it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scope {
    /// The connection's: of counts the sum, of addresses and ports either.
    Both,
    /// The client's, that is the originator's.
    Client,
    /// The server's, that is the responder's.
    Server,
}

impl Scope {
    pub(super) const ALL: [Self; 3] = [Self::Both, Self::Client, Self::Server];
}

/// How a field is read of a record, and with what it is compared.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A number of each side; `None` where the record does not know it.
    Sides(Unit, fn(&Side, Basis) -> Option<u64>),
    /// A number of the connection.
    Number(Unit, fn(&Connection) -> Option<u64>),
    /// A port.
    Port,
    /// An address.
    Address,
    /// A name.
    Name(&'static Names),
    /// The history letters.
    Letters,
}

/// How a number is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    /// `3`.
    Count,
    /// `3`, `64K`, `10M`, `1G`.
    Bytes,
    /// `30s`, `1h30m`.
    Duration,
    /// `2026-11-21T14:00:00Z`.
    Time,
}

/// Names of which a field has one.
pub(super) struct Names {
    /// Which one it is in a record: the number of its value.
    pub(super) of: fn(&Connection) -> u8,
    /// All of them.
    pub(super) all: fn() -> Vec<Name>,
    /// They can be compared by `<` and the like.
    pub(super) is_ordered: bool,
}

/// A value by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Name {
    /// As outputs write it.
    pub(super) name: &'static str,
    /// Its number, below 64.
    pub(super) number: u8,
}

/// A field and whose value of it.
#[derive(Clone, Copy)]
pub(super) struct FieldRef {
    pub(super) field: &'static Field,
    pub(super) scope: Scope,
}

impl FieldRef {
    /// By any of its names, in any case.
    pub(super) fn find(name: &str) -> Option<Self> {
        let is_it = |known: &str| !known.is_empty() && known.eq_ignore_ascii_case(name);
        FIELDS.iter().find_map(|field| {
            let own = Scope::ALL.into_iter().zip(field.names).find(|(_, known)| is_it(known)).map(|(scope, _)| scope);
            let other = || field.also.iter().find(|(known, _)| is_it(known)).map(|(_, scope)| *scope);
            own.or_else(other).map(|scope| Self { field, scope })
        })
    }

    /// Its canonical name.
    pub(super) fn name(self) -> &'static str {
        self.field.names[self.scope as usize]
    }
}

impl PartialEq for FieldRef {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl std::fmt::Debug for FieldRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Every name of every field.
pub(super) fn all_names() -> impl Iterator<Item = &'static str> {
    let of = |field: &'static Field| field.names.into_iter().chain(field.also.iter().map(|(name, _)| *name));
    FIELDS.iter().flat_map(of).filter(|name| !name.is_empty())
}

/// A side's end of the connection.
pub(super) fn end(connection: &Connection, scope: Scope) -> SocketAddr {
    if scope == Scope::Server { connection.resp } else { connection.orig }
}

/// The address as a number of either family, IPv4 within IPv6 as IPv4.
pub(super) fn address(connection: &Connection, scope: Scope) -> IpAddr {
    end(connection, scope).ip().to_canonical()
}

/// What only every segment together gives.
fn counted(count: u64, basis: Basis) -> Option<u64> {
    (basis != Basis::ControlOnly).then_some(count)
}

/// The number of no name.
const NONE: u8 = 63;

/// A TTL of 0 is none.
fn seen(ttl: u8) -> Option<u64> {
    (ttl != 0).then_some(u64::from(ttl))
}

const fn field(names: [&'static str; 3], kind: Kind, meaning: &'static str) -> Field {
    Field { names, also: &[], meaning, kind, of_verdict: false }
}

/// Of the connection and of each side.
macro_rules! sides {
    ($name:literal) => {
        [$name, concat!($name, ".clt"), concat!($name, ".srv")]
    };
}

/// Of each side only.
macro_rules! each {
    ($name:literal) => {
        ["", concat!($name, ".clt"), concat!($name, ".srv")]
    };
}

/// The values of an enum with `ALL` and `as_str`.
macro_rules! names {
    ($type:ty, $of:expr, $is_ordered:literal) => {
        Kind::Name(&Names {
            of: $of,
            all: || {
                let name = |value: &$type| Name { name: value.as_str(), number: *value as u8 };
                <$type>::ALL.iter().map(name).collect()
            },
            is_ordered: $is_ordered,
        })
    };
    ($type:ty, $of:expr) => {
        names!($type, $of, false)
    };
}

/// All fields, in the order in which help lists them.
pub(super) static FIELDS: &[Field] = &[
    field(sides!("rst.count"), Kind::Sides(Unit::Count, |side, _| Some(side.rst)), "RST segments"),
    field(sides!("fin.count"), Kind::Sides(Unit::Count, |side, _| Some(side.fin)), "FIN segments"),
    field(sides!("syn.count"), Kind::Sides(Unit::Count, |side, _| Some(side.syn)), "SYN segments without ACK"),
    field(sides!("syn_ack.count"), Kind::Sides(Unit::Count, |side, _| Some(side.syn_ack)), "SYN-ACK segments"),
    field(
        ["ct.count", "", ""],
        Kind::Number(Unit::Count, |one| Some(u64::from(one.is_established()))),
        "1 if the handshake was completed, else 0",
    ),
    Field {
        also: &[("state", Scope::Both)],
        ..field(["conn_state", "", ""], names!(ConnState, |one| one.conn_state as u8), "Zeek's state of the connection")
    },
    Field {
        of_verdict: true,
        ..field(["cause", "", ""], names!(Cause, |one| one.verdict.cause as u8), "why it ended so")
    },
    Field {
        of_verdict: true,
        ..field(
            ["confidence", "", ""],
            names!(Confidence, |one| one.verdict.confidence as u8, true),
            "how sure the cause is, in this order",
        )
    },
    Field {
        of_verdict: true,
        ..field(["impact", "", ""], names!(Impact, |one| one.verdict.impact as u8), "what was lost")
    },
    field(
        sides!("lost_bytes"),
        Kind::Sides(Unit::Bytes, |side, basis| counted(side.lost_bytes, basis)),
        "payload that the other side's host discarded, as far as seen",
    ),
    Field {
        of_verdict: true,
        ..field(["reset_by", "", ""], names!(ResetBy, |one| one.reset_by as u8), "who reset it")
    },
    field(["opening", "", ""], names!(Opening, |one| one.opening as u8), "how the handshake went"),
    field(["closing", "", ""], names!(Closing, |one| one.closing as u8), "how it ended"),
    field(["history", "", ""], Kind::Letters, "Zeek's history letters, as text: `contains \"Rr\"`"),
    Field {
        also: &[
            ("ip.clt", Scope::Client),
            ("client", Scope::Client),
            ("ip.srv", Scope::Server),
            ("server", Scope::Server),
        ],
        ..field(["ip", "client.ip", "server.ip"], Kind::Address, "address or prefix: either one's, or the named one's")
    },
    Field {
        also: &[("port.clt", Scope::Client), ("port.srv", Scope::Server)],
        ..field(["port", "client.port", "server.port"], Kind::Port, "port: either one's, or the named one's")
    },
    field(
        ["ip.version", "", ""],
        Kind::Number(Unit::Count, |one| Some(if address(one, Scope::Client).is_ipv4() { 4 } else { 6 })),
        "4 or 6",
    ),
    field(
        ["duration", "", ""],
        Kind::Number(Unit::Duration, |one| Some(one.duration_ns)),
        "from the first to the last segment",
    ),
    field(
        ["idle_gap", "", ""],
        Kind::Number(Unit::Duration, |one| one.idle_gap_ns),
        "how long it had been idle when it was reset (from 1s on)",
    ),
    field(
        ["stage", "", ""],
        names!(Stage, |one| one.stage.map_or(NONE, |stage| stage as u8)),
        "how far it had come when it was reset, as Cloudflare Radar counts",
    ),
    field(
        ["tcp.completeness", "", ""],
        Kind::Number(Unit::Count, |one| one.completeness().map(u64::from)),
        "what was seen, as in Wireshark: 1 SYN, 2 SYN-ACK, 4 ACK, 8 payload, 16 FIN, 32 RST, added up",
    ),
    field(
        ["start", "", ""],
        Kind::Number(Unit::Time, |one| Some(one.start_ns)),
        "time of the first segment, such as 2026-11-21T14:00:00Z",
    ),
    field(
        sides!("packets"),
        Kind::Sides(Unit::Count, |side, basis| counted(side.packets, basis)),
        "segments (no value with --depth control)",
    ),
    field(
        sides!("bytes"),
        Kind::Sides(Unit::Bytes, |side, _| Some(side.bytes)),
        "payload by sequence numbers, as Zeek's orig_bytes and resp_bytes",
    ),
    field(
        sides!("payload_bytes"),
        Kind::Sides(Unit::Bytes, |side, basis| counted(side.payload_bytes, basis)),
        "payload of all segments, repeated ones too",
    ),
    field(
        sides!("ip_bytes"),
        Kind::Sides(Unit::Bytes, |side, basis| counted(side.ip_bytes, basis)),
        "all bytes from the IP header on",
    ),
    field(
        sides!("retransmits"),
        Kind::Sides(Unit::Count, |side, basis| counted(side.retransmits, basis)),
        "segments that repeated payload",
    ),
    field(
        sides!("missed_bytes"),
        Kind::Sides(Unit::Bytes, |side, basis| counted(side.missed_bytes, basis)),
        "payload that was acknowledged and never seen",
    ),
    field(each!("ttl"), Kind::Sides(Unit::Count, |side, _| seen(side.ttl)), "TTL of the last segment without RST"),
    field(each!("rst.ttl"), Kind::Sides(Unit::Count, |side, _| seen(side.rst_ttl)), "TTL of the first RST"),
    field(
        ["domain", "", ""],
        Kind::Number(Unit::Count, |one| Some(u64::from(one.domain))),
        "VLAN or tunnel id with --domain, else 0",
    ),
    field(
        ["orientation", "", ""],
        names!(Orientation, |one| one.orientation as u8),
        "how client and server are told apart",
    ),
    field(["written", "", ""], names!(Written, |one| one.written as u8), "why the record was written"),
    field(["basis", "", ""], names!(Basis, |one| one.basis as u8), "what was counted"),
    field(["id", "", ""], Kind::Number(Unit::Count, |one| Some(one.id)), "number of the connection in this run"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_fields_only() {
        let mut names: Vec<_> = all_names().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for name in names {
            assert!(FieldRef::find(name).is_some_and(|found| !found.name().is_empty()), "{name}");
        }
    }

    #[test]
    fn numbers_of_names_are_bits_of_a_mask() {
        for field in FIELDS {
            let Kind::Name(names) = field.kind else { continue };
            let all = (names.all)();
            let mask = all.iter().fold(0_u64, |mask, name| mask | 1 << name.number);
            assert_eq!(mask.count_ones() as usize, all.len(), "{}", field.names[0]);
            assert!(!names.is_ordered || all.is_sorted_by_key(|name| name.number));
        }
    }
}
