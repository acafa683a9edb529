//! Field table: every field of a connection record, once, in the order of the record's JSON.
//!
//! A new field is a row here: filter, JSON, help, `rstprobe fields` and the documentation have it from then on. Names of JSON's
//! objects are in `report/json/layout.rs` and `report/json/pieces.rs`, totals and groups in `report/json.rs`; how many values a
//! line of JSON has is in `report/json/line.rs`, which does not compile with another number.

use crate::record::{
    Basis, Cause, Closing, Confidence, ConnState, Connection, Field, FieldValue, Impact, Json, Kind, NO_WORD, Opening,
    Orientation, Provided, ResetBy, Scope, Side, Stage, Unit, Value, Word, Words, Written, address,
};

/// A field and whose value of it.
#[derive(Clone, Copy)]
pub struct FieldRef {
    /// The field.
    pub field: &'static Field,
    /// Whose value.
    pub scope: Scope,
}

impl FieldRef {
    /// By any of its names or by its path in JSON, in any case.
    pub fn find(name: &str) -> Option<Self> {
        let is_it = |known: &str| !known.is_empty() && known.eq_ignore_ascii_case(name);
        FIELDS.iter().find_map(|field| {
            let scopes = || Scope::ALL.into_iter();
            let own = scopes().zip(field.names).find(|(_, known)| is_it(known)).map(|(scope, _)| scope);
            let other = || field.also.iter().find(|(known, _)| is_it(known)).map(|(_, scope)| *scope);
            let in_json = || scopes().find(|scope| field.json_path(*scope).is_some_and(|path| is_it(&path)));
            own.or_else(other).or_else(in_json).map(|scope| Self { field, scope })
        })
    }

    /// Its canonical name.
    pub fn name(self) -> &'static str {
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

/// Every name of every field, paths in JSON not among them.
pub fn all_names() -> impl Iterator<Item = &'static str> {
    let of = |field: &'static Field| field.names.into_iter().chain(field.also.iter().map(|(name, _)| *name));
    FIELDS.iter().flat_map(of).filter(|name| !name.is_empty())
}

/// The zone of one end.
fn zone(one: &Connection, scope: Scope) -> Option<FieldValue<'_>> {
    let name = match scope {
        Scope::Both => None,
        Scope::Client => one.labels.client_zone,
        Scope::Server => one.labels.server_zone,
    };
    name.map(|name| FieldValue::Word(name.as_str()))
}

/// The service, by name or by port.
fn service(one: &Connection, scope: Scope) -> Option<FieldValue<'_>> {
    let name = one.labels.service.map_or(FieldValue::TcpPort(one.resp.port()), |name| FieldValue::Word(name.as_str()));
    (scope == Scope::Both).then_some(name)
}

/// The text of a fact of its verdict.
fn fact<'a>(one: &'a Connection, scope: Scope, name: &str) -> Option<FieldValue<'a>> {
    let fact = one.verdict.facts.iter().find(|fact| scope == Scope::Both && fact.name == name)?;
    let Value::Text(text) = &fact.value else { return None };
    Some(FieldValue::Text(text))
}

/// A TTL of 0 is none.
fn seen(ttl: u8) -> Option<u64> {
    (ttl != 0).then_some(u64::from(ttl))
}

const fn field(names: [&'static str; 3], json: Json, kind: Kind, meaning: &'static str) -> Field {
    Field { names, also: &[], json, meaning, kind, of_verdict: false, provided: Provided::Always }
}

/// A field of the connection alone.
const fn of_connection(name: &'static str, json: &'static str, kind: Kind, meaning: &'static str) -> Field {
    field([name, "", ""], Json::Line(json), kind, meaning)
}

/// A count of each side, read of every segment.
const fn counted(
    names: [&'static str; 3],
    json: &'static str,
    unit: Unit,
    of: fn(&Side) -> Option<u64>,
    meaning: &'static str,
) -> Field {
    Field { provided: Provided::AllSegments, ..field(names, Json::Side(json), Kind::Sides(unit, of), meaning) }
}

const fn when_seen(field: Field) -> Field {
    Field { provided: Provided::WhenSeen, ..field }
}

const fn of_verdict(field: Field) -> Field {
    Field { of_verdict: true, ..field }
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

/// The values of an enum with `ALL` and `as_str`: `$of` is the value in a record, or none.
macro_rules! words {
    ($type:ty, $of:expr, $is_ordered:literal) => {{
        const OF: fn(&Connection) -> Option<$type> = $of;
        Kind::Word(&Words {
            of: |one| OF(one).map_or(NO_WORD, |value| value as u8),
            word_of: |one| OF(one).map(<$type>::as_str),
            all: || {
                let word =
                    |value: &$type| Word { name: value.as_str(), number: *value as u8, meaning: value.meaning() };
                <$type>::ALL.iter().map(word).collect()
            },
            is_ordered: $is_ordered,
        })
    }};
    ($type:ty, $of:expr) => {
        words!($type, $of, false)
    };
}

/// All fields, in the order of the record's JSON.
pub static FIELDS: &[Field] = &[
    of_connection(
        "id",
        "id",
        Kind::Number(Unit::Count, |one| Some(one.id)),
        "number of the frame that began it, as Wireshark has it; over several captures they count on; live, a number that grows",
    ),
    of_connection(
        "start",
        "start",
        Kind::Number(Unit::Time, |one| Some(one.start_ns)),
        "time of the first segment, such as 2026-11-21T14:00:00Z",
    ),
    of_connection(
        "start_ns",
        "start_ns",
        Kind::Number(Unit::Count, |one| Some(one.start_ns)),
        "the same in nanoseconds since 1970",
    ),
    of_connection(
        "duration",
        "duration_s",
        Kind::Number(Unit::Duration, |one| Some(one.duration_ns)),
        "from the first to the last segment",
    ),
    Field {
        also: &[
            ("ip.clt", Scope::Client),
            ("client", Scope::Client),
            ("ip.srv", Scope::Server),
            ("server", Scope::Server),
        ],
        ..field(
            ["ip", "client.ip", "server.ip"],
            Json::End("addr"),
            Kind::Address,
            "address or prefix: either one's, or the named one's",
        )
    },
    Field {
        also: &[("port.clt", Scope::Client), ("port.srv", Scope::Server)],
        ..field(
            ["port", "client.port", "server.port"],
            Json::End("port"),
            Kind::Port,
            "port: either one's, or the named one's",
        )
    },
    Field {
        also: &[
            ("zone.clt", Scope::Client),
            ("client_zone", Scope::Client),
            ("zone.srv", Scope::Server),
            ("server_zone", Scope::Server),
        ],
        ..when_seen(field(
            ["zone", "client.zone", "server.zone"],
            Json::End("zone"),
            Kind::Name(zone),
            "zone of the address, by prefix, VLAN or interface: either one's, or the named one's",
        ))
    },
    field(
        ["ip.version", "", ""],
        Json::Absent,
        Kind::Number(Unit::Count, |one| Some(if address(one, Scope::Client).is_ipv4() { 4 } else { 6 })),
        "4 or 6",
    ),
    of_connection(
        "domain",
        "domain",
        Kind::Number(Unit::Count, |one| Some(u64::from(one.domain))),
        "VLAN or tunnel id with --domain, else 0",
    ),
    of_connection(
        "service",
        "service",
        Kind::Name(service),
        "name of what is served at the server's port; tcp/PORT where it has none",
    ),
    of_connection(
        "orientation",
        "orientation",
        words!(Orientation, |one| Some(one.orientation)),
        "how client and server are known",
    ),
    Field {
        also: &[("state", Scope::Both)],
        ..of_connection(
            "conn_state",
            "conn_state",
            words!(ConnState, |one| Some(one.conn_state)),
            "Zeek's state of the connection",
        )
    },
    of_connection("history", "history", Kind::Letters, "Zeek's history letters, as text: `contains \"Rr\"`"),
    field(
        ["ct.count", "", ""],
        Json::Absent,
        Kind::Number(Unit::Count, |one| Some(u64::from(one.is_established()))),
        "1 if the handshake was completed, else 0",
    ),
    of_connection("opening", "opening", words!(Opening, |one| Some(one.opening)), "how the handshake went"),
    of_connection("closing", "closing", words!(Closing, |one| Some(one.closing)), "how it ended"),
    of_verdict(of_connection("reset_by", "reset_by", words!(ResetBy, |one| Some(one.reset_by)), "who reset it")),
    when_seen(of_connection(
        "idle_gap",
        "idle_gap_s",
        Kind::Number(Unit::Duration, |one| one.idle_gap_ns),
        "how long it had been idle when it was reset (from 1s on)",
    )),
    when_seen(of_connection(
        "unwatched",
        "unwatched_s",
        Kind::Number(Unit::Duration, |one| (one.unwatched_ns > 0).then_some(one.unwatched_ns)),
        "for how long of its life a watched interface was away, at most: what passed then nobody saw",
    )),
    when_seen(of_connection(
        "stage",
        "stage",
        words!(Stage, |one| one.stage),
        "how far it had come when it was reset, as Cloudflare Radar counts",
    )),
    Field {
        provided: Provided::AllSegments,
        ..of_connection(
            "tcp.completeness",
            "tcp_completeness",
            Kind::Number(Unit::Count, |one| one.completeness().map(u64::from)),
            "what was seen, as in Wireshark: 1 SYN, 2 SYN-ACK, 4 ACK, 8 payload, 16 FIN, 32 RST, added up",
        )
    },
    of_verdict(of_connection("impact", "impact", words!(Impact, |one| Some(one.verdict.impact)), "what was lost")),
    of_verdict(field(
        ["cause", "", ""],
        Json::Cause("id"),
        words!(Cause, |one| Some(one.verdict.cause)),
        "why it ended so",
    )),
    of_verdict(field(
        ["confidence", "", ""],
        Json::Cause("confidence"),
        words!(Confidence, |one| Some(one.verdict.confidence), true),
        "how sure the cause is, in this order",
    )),
    field(
        sides!("syn.count"),
        Json::Side("syn"),
        Kind::Sides(Unit::Count, |side| Some(side.syn)),
        "SYN segments without ACK",
    ),
    field(
        sides!("syn_ack.count"),
        Json::Side("syn_ack"),
        Kind::Sides(Unit::Count, |side| Some(side.syn_ack)),
        "SYN-ACK segments",
    ),
    field(sides!("fin.count"), Json::Side("fin"), Kind::Sides(Unit::Count, |side| Some(side.fin)), "FIN segments"),
    field(sides!("rst.count"), Json::Side("rst"), Kind::Sides(Unit::Count, |side| Some(side.rst)), "RST segments"),
    counted(sides!("packets"), "packets", Unit::Count, |side| Some(side.packets), "segments"),
    counted(sides!("ip_bytes"), "ip_bytes", Unit::Bytes, |side| Some(side.ip_bytes), "all bytes from the IP header on"),
    field(
        sides!("bytes"),
        Json::Side("bytes"),
        Kind::Sides(Unit::Bytes, |side| Some(side.bytes)),
        "payload by sequence numbers, as Zeek's orig_bytes and resp_bytes",
    ),
    counted(
        sides!("payload_bytes"),
        "payload_bytes",
        Unit::Bytes,
        |side| Some(side.payload_bytes),
        "payload of all segments, repeated ones too",
    ),
    counted(
        sides!("retransmits"),
        "retransmits",
        Unit::Count,
        |side| Some(side.retransmits),
        "segments that repeated payload",
    ),
    counted(
        sides!("missed_bytes"),
        "missed_bytes",
        Unit::Bytes,
        |side| Some(side.missed_bytes),
        "payload that was acknowledged and never seen",
    ),
    counted(
        sides!("lost_bytes"),
        "lost_bytes",
        Unit::Bytes,
        |side| Some(side.lost_bytes),
        "payload that the other side's host discarded, as far as seen",
    ),
    when_seen(field(
        each!("ttl"),
        Json::Side("ttl"),
        Kind::Sides(Unit::Count, |side| seen(side.ttl)),
        "TTL of the last segment without RST",
    )),
    when_seen(field(
        each!("rst.ttl"),
        Json::Side("rst_ttl"),
        Kind::Sides(Unit::Count, |side| seen(side.rst_ttl)),
        "TTL of the first RST",
    )),
    when_seen(of_connection(
        "rst.per_second",
        "rst_per_second",
        Kind::Number(Unit::PerSecond, |one| one.rst_per_second().map(f64::to_bits)),
        "RST segments per second of its life, of at least one second; of one with RST",
    )),
    when_seen(field(
        ["process.name", "", ""],
        Json::Absent,
        Kind::Name(|one, scope| fact(one, scope, "process.name")),
        "process that owned the socket on the host that reset, with --host there (a fact in JSON's cause)",
    )),
    when_seen(field(
        ["process.cgroup", "", ""],
        Json::Absent,
        Kind::Name(|one, scope| fact(one, scope, "process.cgroup")),
        "control group of that process: its service or container (a fact in JSON's cause)",
    )),
    when_seen(field(
        ["kernel.reason", "", ""],
        Json::Absent,
        Kind::Name(|one, scope| fact(one, scope, "kernel.reason")),
        "why the kernel of the host that reset says it did, with --host there; `rstprobe explain kernel.reason` lists the values",
    )),
    of_connection("written", "written", words!(Written, |one| Some(one.written)), "why the record was written"),
    of_connection("basis", "basis", words!(Basis, |one| Some(one.basis)), "what was counted"),
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
    fn numbers_of_words_are_bits_of_a_mask() {
        for field in FIELDS {
            let Kind::Word(words) = field.kind else { continue };
            let all = (words.all)();
            let mask = all.iter().fold(0_u64, |mask, word| mask | 1 << word.number);
            assert_eq!(mask.count_ones() as usize, all.len(), "{}", field.names[0]);
            assert!(!words.is_ordered || all.is_sorted_by_key(|word| word.number));
        }
    }
}
