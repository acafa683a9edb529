//! Judgement: what the probe said of a scenario, against what it should have said.

use serde_json::Value;

use crate::scenario::{Case, Expectation, Sent};

/// Name of the snapshot document that this package understands.
pub const SCHEMA: &str = "rstprobe.snapshot/1";

/// The probe's word on one case.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// What was expected, in a few words.
    pub expected: String,
    /// What the probe said, in a few words.
    pub said: String,
    /// The evidence of the first record, as the probe lists it.
    pub evidence: String,
    /// Every difference; none when the probe is right.
    pub wrong: Vec<String>,
}

/// The records of `case` in a snapshot: those with its port and family, whichever side the probe took for the server.
pub fn records<'a>(snapshot: &'a Value, case: &Case) -> Vec<&'a Value> {
    let addresses = [case.family.server(), case.family.second_server(), case.family.nobody()].map(|ip| ip.to_string());
    let is_service = |end: &Value| {
        end["port"].as_u64() == Some(u64::from(case.port))
            && addresses.iter().any(|address| end["addr"].as_str() == Some(address))
    };
    let connections = snapshot["connections"].as_array().map_or(&[][..], Vec::as_slice);
    connections.iter().filter(|record| is_service(&record["server"]) || is_service(&record["client"])).collect()
}

/// Compares the records of `case` with what they should say.
pub fn judge(snapshot: &Value, case: &Case) -> Judgement {
    let (records, expected) = (records(snapshot, case), &case.scenario.expected);
    let mut wrong = Vec::new();
    if snapshot["schema"].as_str() != Some(SCHEMA) {
        wrong.push(format!("schema is {}, not {SCHEMA}", snapshot["schema"]));
    }
    if records.len() != expected.records {
        wrong.push(format!("{} records instead of {}", records.len(), expected.records));
    }
    for record in &records {
        one(record, case, &mut wrong);
    }
    if let Some((cause, least)) = expected.at_least {
        let found = records.iter().filter(|record| word(record, "/cause/id") == cause).count();
        if found < least {
            wrong.push(format!("{found} records with cause {cause} instead of {least} or more"));
        }
    }
    let evidence = records.first().map(|record| evidence(record)).unwrap_or_default();
    Judgement { expected: in_short(expected), said: said(&records), evidence, wrong }
}

fn one(record: &Value, case: &Case, wrong: &mut Vec<String>) {
    let expected = &case.scenario.expected;
    if record["server"]["port"].as_u64() != Some(u64::from(case.port)) {
        wrong.push("client and server are swapped".to_owned());
    }
    for (pointer, accepted) in [
        ("/cause/id", expected.causes),
        ("/conn_state", expected.states),
        ("/opening", expected.opening),
        ("/closing", expected.closing),
        ("/reset_by", expected.reset_by),
    ] {
        let word = word(record, pointer);
        if !accepted.contains(&word) {
            wrong.push(format!("{} is {word:?}, not {}", &pointer[1..], accepted.join(" or ")));
        }
    }
    for (side, sent) in [("from_client", &expected.client), ("from_server", &expected.server)] {
        count(record, side, sent, wrong);
    }
}

fn count(record: &Value, side: &str, sent: &Sent, wrong: &mut Vec<String>) {
    for (flag, range) in [("fin", &sent.fin), ("rst", &sent.rst)] {
        match record[side][flag].as_u64() {
            Some(count) if range.contains(&count) => {}
            Some(count) => wrong.push(format!("{side}.{flag} is {count}, not within {range:?}")),
            None => wrong.push(format!("{side}.{flag} is missing")),
        }
    }
}

fn word<'a>(record: &'a Value, pointer: &str) -> &'a str {
    record.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn evidence(record: &Value) -> String {
    let facts = record.pointer("/cause/evidence").and_then(Value::as_array);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fact = |fact: &Value| format!("{} {}", text(&fact["name"]), text(&fact["value"]));
    facts.into_iter().flatten().map(fact).collect::<Vec<_>>().join(", ")
}

fn in_short(expected: &Expectation) -> String {
    let Expectation { states, causes, reset_by, closing, .. } = expected;
    format!("{} {} by {}: {}", states.join("|"), closing.join("|"), reset_by.join("|"), causes.join("|"))
}

fn said(records: &[&Value]) -> String {
    let mut words: Vec<String> = records
        .iter()
        .map(|record| {
            let [state, closing, by, cause] =
                ["/conn_state", "/closing", "/reset_by", "/cause/id"].map(|pointer| word(record, pointer));
            format!("{state} {closing} by {by}: {cause}")
        })
        .collect();
    words.sort();
    let mut grouped: Vec<(String, usize)> = Vec::new();
    for word in words {
        match grouped.last_mut() {
            Some((last, times)) if *last == word => *times += 1,
            _ => grouped.push((word, 1)),
        }
    }
    if grouped.is_empty() {
        return "nothing".to_owned();
    }
    let show = |(word, times): (String, usize)| if times == 1 { word } else { format!("{times} x {word}") };
    grouped.into_iter().map(show).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scenario::cases;

    fn refused() -> (Case, Value) {
        let case = cases().into_iter().find(|case| case.scenario.id == "refused_port").unwrap();
        let record = json!({
            "client": { "addr": "10.77.0.1", "port": 40000 },
            "server": { "addr": "10.77.0.2", "port": case.port },
            "conn_state": "REJ", "opening": "refused", "closing": "refused", "reset_by": "server",
            "cause": { "id": "refused_closed_port" },
            "from_client": { "fin": 0, "rst": 0 }, "from_server": { "fin": 0, "rst": 1 },
        });
        (case, json!({ "schema": SCHEMA, "connections": [record] }))
    }

    #[test]
    fn a_right_record_is_right() {
        let (case, snapshot) = refused();
        let judgement = judge(&snapshot, &case);
        assert!(judgement.wrong.is_empty(), "{:?}", judgement.wrong);
        assert_eq!(judgement.said, "REJ refused by server: refused_closed_port");
    }

    #[test]
    fn each_planted_mistake_is_found() {
        let (case, right) = refused();
        let mistakes = [
            ("/connections/0/conn_state", json!("S0")),
            ("/connections/0/cause/id", json!("unknown")),
            ("/connections/0/opening", json!("completed")),
            ("/connections/0/closing", json!("rst_only")),
            ("/connections/0/reset_by", json!("client")),
            ("/connections/0/from_server/rst", json!(2)),
            ("/connections/0/from_server/fin", json!(1)),
            ("/connections/0/from_client/rst", json!(null)),
            ("/schema", json!("other")),
            ("/connections", json!([])),
        ];
        for (pointer, value) in mistakes {
            let mut snapshot = right.clone();
            *snapshot.pointer_mut(pointer).unwrap() = value;
            assert_ne!(judge(&snapshot, &case).wrong, Vec::<String>::new(), "{pointer}");
        }
    }

    #[test]
    fn a_swapped_record_is_found_and_called_so() {
        let (case, mut snapshot) = refused();
        let record = &mut snapshot["connections"][0];
        let client = record["client"].take();
        record["client"] = record["server"].take();
        record["server"] = client;
        assert_eq!(judge(&snapshot, &case).wrong, ["client and server are swapped"]);
    }
}
