//! `--by` on records of real captures: groups, conditions on them and their order are those of an independent evaluation of
//! the connection lines, for generated queries.
//!
//! The captures lie beside the workspace (`../shared/oracle`), not in it. Where they are absent the tests say SKIP; with
//! CI=true that is a failure.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use probe_tests::{oneshot::OneShot, oracle, pcap::Random, tier::say};
use serde_json::Value;

/// Queries of each capture.
const QUERIES: usize = 160;
/// Keys, with how a connection's line has them.
const KEYS: [&str; 13] = [
    "client",
    "server",
    "service",
    "conversation",
    "client.zone",
    "server.zone",
    "cause",
    "impact",
    "closing",
    "conn_state",
    "opening",
    "reset_by",
    "time:30s",
];
/// Fields that are sums over both sides, and their keys in a line.
const SUMS: [(&str, &str); 8] = [
    ("rst.count", "rst"),
    ("fin.count", "fin"),
    ("syn.count", "syn"),
    ("syn_ack.count", "syn_ack"),
    ("packets", "packets"),
    ("bytes", "bytes"),
    ("retransmits", "retransmits"),
    ("lost_bytes", "lost_bytes"),
];
/// A condition in the language, and on a connection's line.
type Condition = (&'static str, fn(&Value) -> bool);

/// Conditions on connections.
const FILTERS: [Condition; 4] = [
    ("rst.count > 0", |one| side(one, 0, "rst") + side(one, 1, "rst") > 0),
    ("rst.count > 0 and ct.count = 0", |one| {
        side(one, 0, "rst") + side(one, 1, "rst") > 0 && one["opening"] != "completed"
    }),
    ("fin.count.srv = 0", |one| side(one, 1, "fin") == 0),
    ("cause != none", |one| one["cause"]["id"] != "none"),
];

fn side(one: &Value, side: usize, key: &str) -> u64 {
    one[["from_client", "from_server"][side]][key].as_u64().expect("a count")
}

fn read(words: &[&str], capture: &Path) -> Vec<Value> {
    let words = ["read", "--format", "ndjson"].iter().chain(words).map(OsString::from);
    let finished = OneShot::new(words.chain([capture.into()])).run().expect("it runs");
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    finished.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn captures(test: &str) -> Vec<PathBuf> {
    let Some(folder) = oracle::folder() else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must have ../shared/oracle");
        say(&format!("SKIP {test}: no captures at ../shared/oracle"));
        return vec![];
    };
    ["seed101", "seed102"].map(|seed| folder.join("zeek-random").join(format!("{seed}.pcap"))).into()
}

/// The value of a key in a line, as a group's line has it.
fn key(by: &str, one: &Value) -> Vec<String> {
    // Who is client of an RST without a connection is a guess.
    if one["closing"] == "rst_without_connection"
        && matches!(by, "client" | "server" | "service" | "conversation" | "client.zone" | "server.zone")
    {
        return vec!["null".to_owned(); if by == "conversation" { 2 } else { 1 }];
    }
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let address = |end: &str| text(&one[end]["addr"]);
    let port = |end: &str| one[end]["port"].to_string();
    vec![match by {
        "client" => address("client"),
        "server" if address("server").contains(':') => format!("[{}]:{}", address("server"), port("server")),
        "server" => format!("{}:{}", address("server"), port("server")),
        "service" => port("server"),
        "conversation" => return vec![address("client"), address("server")],
        "client.zone" => text(&one["client"]["zone"]),
        "server.zone" => text(&one["server"]["zone"]),
        "cause" => text(&one["cause"]["id"]),
        "time:30s" => (one["start_ns"].as_u64().expect("a time") / 30_000_000_000).to_string(),
        word => text(&one[word]),
    }]
}

/// The same of a group's line.
fn group_key(by: &str, row: &Value) -> Vec<String> {
    let text = |name: &str| row[name].as_str().map_or_else(|| row[name].to_string(), str::to_owned);
    match by {
        "conversation" => vec![text("client"), text("server")],
        "time:30s" => {
            let at = humantime::parse_rfc3339(&text("time")).expect("a time");
            let since = at.duration_since(std::time::UNIX_EPOCH).expect("since 1970");
            vec![(since.as_secs() / 30).to_string()]
        }
        name => vec![text(name)],
    }
}

/// What a group adds up to, made one by one.
#[derive(Default)]
struct Sums {
    records: u64,
    completed: u64,
    sides: [BTreeMap<&'static str, u64>; 2],
    rst_of_completed: [u64; 2],
}

impl Sums {
    /// Of no connection.
    fn none() -> Self {
        let zeros = || SUMS.iter().map(|(_, key)| (*key, 0)).collect();
        Self { sides: [zeros(), zeros()], ..Self::default() }
    }

    fn add(&mut self, one: &Value) {
        self.records += 1;
        let is_completed = one["opening"] == "completed";
        self.completed += u64::from(is_completed);
        for at in [0, 1] {
            for (_, key) in SUMS {
                *self.sides[at].entry(key).or_default() += side(one, at, key);
            }
            self.rst_of_completed[at] += if is_completed { side(one, at, "rst") } else { 0 };
        }
    }

    /// The value of a field by name; `None` where it has none.
    fn value(&self, name: &str) -> Option<f64> {
        let ratio = |count: u64| (self.completed > 0).then(|| count as f64 / self.completed as f64);
        match name {
            "records" => return Some(self.records as f64),
            "ct.count" => return Some(self.completed as f64),
            "rst.per_conn.clt" => return ratio(self.rst_of_completed[0]),
            "rst.per_conn.srv" => return ratio(self.rst_of_completed[1]),
            _ => {}
        }
        let (field, of) = match name.rsplit_once('.') {
            Some((field, "clt")) => (field, &[0_usize][..]),
            Some((field, "srv")) => (field, &[1][..]),
            _ => (name, &[0, 1][..]),
        };
        let (_, key) = SUMS.iter().find(|(known, _)| *known == field).expect("a field");
        Some(of.iter().map(|&at| self.sides[at][key]).sum::<u64>() as f64)
    }
}

/// A field of a group, drawn.
fn field(random: &mut Random) -> String {
    match random.below(6) {
        0 => "records".to_owned(),
        1 => "ct.count".to_owned(),
        2 => ["rst.per_conn.clt", "rst.per_conn.srv"][random.below(2)].to_owned(),
        _ => SUMS[random.below(SUMS.len())].0.to_owned() + ["", ".clt", ".srv"][random.below(3)],
    }
}

/// A comparison of a field with a number.
struct Comparison {
    field: String,
    sign: &'static str,
    bound: u64,
}

impl Comparison {
    fn draw(random: &mut Random) -> Self {
        let sign = ["=", "!=", "<", "<=", ">", ">="][random.below(6)];
        Self { field: field(random), sign, bound: [0, 1, 2, 5, 1000][random.below(5)] }
    }

    fn holds(&self, sums: &Sums) -> bool {
        let bound = self.bound as f64;
        sums.value(&self.field).is_some_and(|value| {
            let order = value.total_cmp(&bound);
            match self.sign {
                "=" => order.is_eq(),
                "!=" => order.is_ne(),
                "<" => order.is_lt(),
                "<=" => order.is_le(),
                ">" => order.is_gt(),
                _ => order.is_ge(),
            }
        })
    }
}

/// One query against its independent evaluation; returns how many groups it had.
fn compare(random: &mut Random, capture: &Path, lines: &[Value], window: &Value) -> usize {
    let mut by = vec![KEYS[random.below(KEYS.len())]];
    let second = KEYS[random.below(KEYS.len())];
    let ends = |by: &str| matches!(by, "client" | "server" | "conversation");
    let overlap = ends(by[0]) && ends(second) && (by[0] == "conversation" || second == "conversation");
    if random.once_in(3) && second != by[0] && !overlap {
        by.push(second);
    }
    let filter = (!random.once_in(2)).then(|| FILTERS[random.below(FILTERS.len())]);
    let (first, other) = (Comparison::draw(random), Comparison::draw(random));
    let (word, is_and) = if random.once_in(2) { ("and", true) } else { ("or", false) };
    let text = |one: &Comparison| format!("{} {} {}", one.field, one.sign, one.bound);
    let having = (!random.once_in(3)).then(|| format!("{} {word} not ({})", text(&first), text(&other)));
    let (sort, ascending) = (field(random), random.once_in(2));
    let columns: Vec<String> = (0..4).map(|_| field(random)).chain([sort.clone(), "records".to_owned()]).collect();

    let mut groups: BTreeMap<Vec<String>, Sums> = BTreeMap::new();
    for one in lines.iter().filter(|one| filter.is_none_or(|(_, holds)| holds(one))) {
        groups.entry(by.iter().flat_map(|by| key(by, one)).collect()).or_default().add(one);
    }
    // Steps of time without connections are groups, too.
    if by == ["time:30s"] {
        let seconds = |end: &str| {
            let at = humantime::parse_rfc3339(window[end].as_str().expect("text")).expect("a time");
            at.duration_since(std::time::UNIX_EPOCH).expect("since 1970").as_secs()
        };
        for step in seconds("start") / 30..=seconds("end") / 30 {
            groups.entry(vec![step.to_string()]).or_insert_with(Sums::none);
        }
    }
    if having.is_some() {
        groups.retain(|_, sums| {
            let (one, not_other) = (first.holds(sums), !other.holds(sums));
            if is_and { one && not_other } else { one || not_other }
        });
    }

    let (by_words, columns_words) = (by.join(","), columns.join(","));
    let sort_words = format!("{sort}:{}", if ascending { "asc" } else { "desc" });
    let mut words = vec!["--by", &by_words, "--columns", &columns_words, "--sort", &sort_words, "--limit", "0"];
    words.extend(filter.iter().flat_map(|(text, _)| ["--filter", text]));
    words.extend(having.iter().flat_map(|text| ["--having", text]));
    let rows = read(&words, capture);
    assert_eq!(rows.len(), groups.len(), "{words:?}");
    let mut before: Option<Option<f64>> = None;
    for row in &rows {
        let row_key: Vec<String> = by.iter().flat_map(|by| group_key(by, row)).collect();
        let sums = groups.get(&row_key).unwrap_or_else(|| panic!("{words:?}: no such group: {row}"));
        for column in &columns {
            let (said, expected) = (row[column.as_str()].as_f64(), sums.value(column));
            let is_same = match (said, expected) {
                (Some(said), Some(expected)) => (said - expected).abs() <= expected.abs() * 1e-12,
                (None, None) => true,
                _ => false,
            };
            assert!(is_same, "{words:?}: {column} is {said:?} instead of {expected:?}: {row}");
        }
        let value = sums.value(&sort);
        // RSTs without a connection come last, whatever they are sorted by.
        if by.iter().any(|by| row[by.split(':').next().unwrap_or(by)].is_null()) {
            continue;
        }
        if let Some(before) = before {
            let in_order = if ascending { before <= value } else { before >= value };
            assert!(in_order, "{words:?}: {before:?} before {value:?}");
        }
        before = Some(value);
    }
    rows.len()
}

#[test]
fn generated_queries_give_what_the_lines_give() {
    for capture in captures("generated_queries_give_what_the_lines_give") {
        let mut lines = read(&[], &capture);
        let window = lines.pop().expect("a summary")["window"].clone();
        let mut random = Random::new(20_261_201);
        let (mut groups, mut empty) = (0, 0);
        for _ in 0..QUERIES {
            let found = compare(&mut random, &capture, &lines, &window);
            groups += found;
            empty += usize::from(found == 0);
        }
        say(&format!("{}: {QUERIES} queries, {groups} groups, {empty} without any", capture.display()));
        assert!(empty * 3 < QUERIES && groups > 10_000);
    }
}

#[test]
fn what_is_beyond_the_limit_is_counted() {
    for capture in captures("what_is_beyond_the_limit_is_counted").iter().take(1) {
        let words = ["read", "--by", "client", "--limit", "3"].iter().map(OsString::from);
        let table = OneShot::new(words.chain([capture.into()])).run().expect("it runs").stdout;
        let all = read(&["--by", "client", "--limit", "0"], capture).len();
        assert!(table.contains(&format!("... and {} more (--limit 0 shows all)", all - 3)), "{table}");
    }
}
