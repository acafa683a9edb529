//! Zeek's conn.log, tab-separated, TCP rows; and how far two of them agree, record by record.

use std::{collections::BTreeMap, io};

/// Address and port as written.
type End = (String, String);

/// One TCP row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Start, seconds with six decimals.
    pub start: String,
    /// Who began.
    pub originator: End,
    /// The other end.
    pub responder: End,
    /// Zeek's word on how it went.
    pub conn_state: String,
    /// Letters, without `x` and `X`: whether an analyser gave up is nobody's business here.
    pub history: String,
    /// Seconds, `-` for none.
    pub duration: String,
    /// Packets from originator and responder.
    pub packets: [String; 2],
    /// Payload and IP bytes from originator and responder.
    pub bytes: [String; 4],
}

/// Rows that are paired with each other: same start, same pair of ends.
type Key = (String, [End; 2]);

impl Record {
    fn key(&self) -> Key {
        let mut ends = [self.originator.clone(), self.responder.clone()];
        ends.sort();
        (self.start.clone(), ends)
    }

    /// History without `G` and `g`, which tell of gaps.
    fn without_gaps(&self) -> String {
        self.history.replace(['G', 'g'], "")
    }

    fn same_duration(&self, other: &Self) -> bool {
        let seconds = |record: &Self| record.duration.parse::<f64>().ok();
        match (seconds(self), seconds(other)) {
            // Both were cut to microseconds.
            (Some(a), Some(b)) => (a - b).abs() < 2e-6,
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    /// In one line, for people.
    pub fn line(&self) -> String {
        let Self { start, originator, responder, conn_state, history, packets, .. } = self;
        let (from, to) = (format!("{} {}", originator.0, originator.1), format!("{} {}", responder.0, responder.1));
        format!("{start} {from} -> {to} {conn_state} {history} {}/{}", packets[0], packets[1])
    }
}

/// The TCP rows of a conn.log.
///
/// # Errors
/// When it has no `#fields` line, or not the needed ones.
pub fn parse(text: &str) -> io::Result<Vec<Record>> {
    let mut fields: Vec<&str> = vec![];
    let mut records = vec![];
    for line in text.lines() {
        if let Some(names) = line.strip_prefix("#fields\t") {
            fields = names.split('\t').collect();
        } else if !line.is_empty() && !line.starts_with('#') {
            let row: BTreeMap<&str, &str> = fields.iter().copied().zip(line.split('\t')).collect();
            if get(&row, "proto")? == "tcp" {
                records.push(record(&row)?);
            }
        }
    }
    if fields.is_empty() {
        return Err(io::Error::other("no #fields line"));
    }
    Ok(records)
}

fn get(row: &BTreeMap<&str, &str>, field: &str) -> io::Result<String> {
    row.get(field).map(|value| (*value).to_owned()).ok_or_else(|| io::Error::other(format!("no field {field}")))
}

fn record(row: &BTreeMap<&str, &str>) -> io::Result<Record> {
    let get = |field| get(row, field);
    let start = get("ts")?;
    let (seconds, decimals) = start.split_once('.').unwrap_or((&start, ""));
    Ok(Record {
        start: format!("{seconds}.{decimals:0<6.6}"),
        originator: (get("id.orig_h")?, get("id.orig_p")?),
        responder: (get("id.resp_h")?, get("id.resp_p")?),
        conn_state: get("conn_state")?,
        history: get("history")?.replace(['x', 'X'], ""),
        duration: get("duration")?,
        packets: [get("orig_pkts")?, get("resp_pkts")?],
        bytes: [get("orig_bytes")?, get("resp_bytes")?, get("orig_ip_bytes")?, get("resp_ip_bytes")?],
    })
}

/// How many records agree, by what is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Score {
    /// Records that one or both logs have.
    pub records: u64,
    /// Only expected.
    pub missing: u64,
    /// Only there.
    pub extra: u64,
    /// Who began.
    pub originator: u64,
    /// `conn_state`.
    pub state: u64,
    /// `history`.
    pub history: u64,
    /// `history` without `G` and `g`.
    pub history_without_gaps: u64,
    /// Packets of both directions.
    pub packets: u64,
    /// Payload and IP bytes of both directions.
    pub bytes: u64,
    /// Duration.
    pub duration: u64,
}

impl Score {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.records += other.records;
        self.missing += other.missing;
        self.extra += other.extra;
        self.originator += other.originator;
        self.state += other.state;
        self.history += other.history;
        self.history_without_gaps += other.history_without_gaps;
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.duration += other.duration;
    }

    /// True when every record is on both sides with the same state, history (gaps aside) and packets.
    pub fn agrees(&self) -> bool {
        [self.state, self.history_without_gaps, self.packets] == [self.records; 3]
    }

    fn pair(&mut self, expected: &Record, actual: &Record) {
        let counts = [
            (&mut self.originator, expected.originator == actual.originator),
            (&mut self.state, expected.conn_state == actual.conn_state),
            (&mut self.history, expected.history == actual.history),
            (&mut self.history_without_gaps, expected.without_gaps() == actual.without_gaps()),
            (&mut self.packets, expected.packets == actual.packets),
            (&mut self.bytes, expected.bytes == actual.bytes),
            (&mut self.duration, expected.same_duration(actual)),
        ];
        for (count, agrees) in counts {
            *count += u64::from(agrees);
        }
    }
}

/// Share of `part` in `whole`, in percent; nothing of nothing is 0, so that it cannot pass for agreement.
pub fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

/// Pairs the records and scores them; also tells, for people, those that differ.
pub fn compare(expected: &[Record], actual: &[Record]) -> (Score, Vec<String>) {
    let mut keys: BTreeMap<Key, [Vec<&Record>; 2]> = BTreeMap::new();
    for (side, records) in [expected, actual].into_iter().enumerate() {
        for record in records {
            keys.entry(record.key()).or_default()[side].push(record);
        }
    }
    let (mut score, mut differing) = (Score::default(), vec![]);
    for [expected, actual] in keys.values() {
        for at in 0..expected.len().max(actual.len()) {
            score.records += 1;
            match (expected.get(at), actual.get(at)) {
                (Some(expected), Some(actual)) => {
                    let mut one = Score { records: 1, ..Score::default() };
                    one.pair(expected, actual);
                    if !one.agrees() {
                        differing.push(format!("expected {}, got {}", expected.line(), actual.line()));
                    }
                    score.add(Score { records: 0, ..one });
                }
                (Some(expected), None) => {
                    score.missing += 1;
                    differing.push(format!("missing {}", expected.line()));
                }
                (_, actual) => {
                    score.extra += 1;
                    differing.extend(actual.map(|actual| format!("extra {}", actual.line())));
                }
            }
        }
    }
    (score, differing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &str = "#fields\tts\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tduration\torig_bytes\t\
                          resp_bytes\tconn_state\thistory\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\n";

    fn log(rows: &[&str]) -> Vec<Record> {
        parse(&(FIELDS.to_owned() + &rows.join("\n").replace(' ', "\t"))).unwrap()
    }

    #[test]
    fn equal_logs_agree_and_every_difference_shows() {
        let one = "1.5 a 1 b 2 tcp 0.1 0 0 SF ShAFxaf 3 120 2 80";
        let (score, differing) = compare(&log(&[one]), &log(&[one]));
        assert!(score.agrees() && differing.is_empty());
        assert_eq!((score.records, score.history, score.bytes, score.duration), (1, 1, 1, 1));
        for (from, to) in [("SF", "S1"), ("ShAF", "ShF"), ("3 120", "4 120"), ("1.5", "1.6"), ("b 2", "b 3")] {
            let (score, differing) = compare(&log(&[one]), &log(&[&one.replace(from, to)]));
            assert!(!score.agrees() && !differing.is_empty(), "{to}");
        }
        let (score, _) = compare(&log(&[one]), &log(&["1.500000 b 2 a 1 tcp 0.100001 0 0 SF ShAGFaf 3 120 2 80"]));
        assert_eq!((score.originator, score.history, score.history_without_gaps, score.duration), (0, 0, 1, 1));
    }

    #[test]
    fn records_of_one_side_count() {
        let (one, two) = ("1.5 a 1 b 2 tcp - - - S0 S 1 40 0 0", "1.5 a 1 b 2 tcp - - - OTH R 1 40 0 0");
        let (score, _) = compare(&log(&[one, two]), &log(&[one]));
        assert_eq!((score.records, score.missing, score.extra, score.state), (2, 1, 0, 1));
        let (score, _) = compare(&log(&[]), &log(&[one, two]));
        assert_eq!((score.records, score.missing, score.extra, score.state), (2, 0, 2, 0));
        assert!(parse("1.5\ta").is_err());
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "both are exact")]
    fn nothing_is_no_agreement() {
        assert_eq!(percent(0, 0), 0.0);
        assert_eq!(percent(1, 4), 25.0);
    }
}
