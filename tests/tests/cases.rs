//! Small captures with the right answer, each of which stands for a kind: `tests/cases/expected.json` says what must be
//! said of them.
//!
//! A case is `{"file", "args", "tells", "records", "rc", "stderr", "summary", "want"}`; each want picks records by `where` and
//! names fields by dotted path, with a value, a list of admissible ones, `{"not"}`, `{"min"}`, `{"max"}`, or
//! `{"evidence"}`: a fact of that name is listed. Of crop110, erspan2_cut128 and snap54 the FIN is the server's: the sender of
//! the SYN-ACK (10.2.0.20) sends it.

use std::path::{Path, PathBuf};

use probe_tests::{oneshot::OneShot, probe::Finished};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

/// The value at a dotted path; `cause` and `confidence` stand for those of the cause.
fn at<'a>(record: &'a Value, path: &str) -> &'a Value {
    match path {
        "cause" => &record["cause"]["id"],
        "confidence" => &record["cause"]["confidence"],
        _ => path.split('.').fold(record, |value, part| &value[part]),
    }
}

fn fits(record: &Value, path: &str, wanted: &Value) -> bool {
    let value = at(record, path);
    if let Some(name) = wanted.get("evidence") {
        return record["cause"]["evidence"]
            .as_array()
            .is_some_and(|facts| facts.iter().any(|fact| fact["name"] == *name));
    }
    match wanted {
        Value::Array(admissible) => admissible.contains(value),
        Value::Object(bounds) => {
            if let Some(Value::Array(not)) = bounds.get("not") {
                return !not.contains(value);
            }
            let Some(number) = value.as_f64() else { return false };
            let bound = |name: &str| bounds.get(name).and_then(Value::as_f64);
            bound("min").is_none_or(|min| number >= min) && bound("max").is_none_or(|max| number <= max)
        }
        _ => value == wanted,
    }
}

fn run(case: &Value) -> Finished {
    let args = case["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let file = folder().join(case["file"].as_str().expect("a file"));
    let words = ["read", "--format", "json"].into_iter().chain(args).map(Into::into).chain([file.into_os_string()]);
    OneShot::new(words).run().expect("it runs")
}

/// Everything that is said otherwise than it should be.
fn wrong(case: &Value) -> Vec<String> {
    let done = run(case);
    let mut wrong = vec![];
    let code = case["rc"].as_i64().unwrap_or(0);
    if done.status.code().map(i64::from) != Some(code) {
        wrong.push(format!("{} instead of {code}: {}", done.status, done.stderr));
    }
    // The patterns are words, with `(?i)` before them and `|` between them.
    if let Some(pattern) = case["stderr"].as_str() {
        let (said, words) = (done.stderr.to_lowercase(), pattern.trim_start_matches("(?i)").to_lowercase());
        if !words.split('|').any(|word| said.contains(word)) {
            wrong.push(format!("stderr lacks {pattern}: {}", done.stderr));
        }
    }
    let Ok(document) = serde_json::from_str::<Value>(&done.stdout) else { return wrong };
    let none = vec![];
    let records = document["connections"].as_array().unwrap_or(&none);
    if case["records"].as_u64().is_some_and(|number| number != records.len() as u64) {
        wrong.push(format!("{} records instead of {}", records.len(), case["records"]));
    }
    for (path, wanted) in case["summary"].as_object().into_iter().flatten() {
        // Names of losses have dots of their own.
        let value = path
            .strip_prefix("summary.losses.")
            .map_or_else(|| at(&document, path), |name| &document["summary"]["losses"][name]);
        let admissible = wanted.as_array().is_some_and(|all| all.contains(value)) || value == wanted;
        if !admissible {
            wrong.push(format!("{path} is {value} instead of {wanted}"));
        }
    }
    for want in case["want"].as_array().into_iter().flatten() {
        wrong.extend(wrong_records(records, want));
    }
    wrong
}

fn wrong_records(records: &[Value], want: &Value) -> Vec<String> {
    let conditions = || want["where"].as_object().into_iter().flatten();
    let picked: Vec<&Value> =
        records.iter().filter(|record| conditions().all(|(path, wanted)| fits(record, path, wanted))).collect();
    if picked.is_empty() {
        return vec![format!("no record where {}", want["where"])];
    }
    let fields = || want.as_object().into_iter().flatten().filter(|(path, _)| *path != "where");
    let mut wrong = vec![];
    for record in picked {
        for (path, wanted) in fields().filter(|(path, wanted)| !fits(record, path, wanted)) {
            wrong.push(format!("{path} is {} instead of {wanted} ({})", at(record, path), record["history"]));
        }
    }
    wrong
}

#[test]
fn every_case_is_told_right() {
    let text = std::fs::read_to_string(folder().join("expected.json")).expect("the cases");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    assert!(cases.len() >= 69, "only {} cases", cases.len());
    let reported: Vec<String> = cases
        .iter()
        .map(|case| (case, wrong(case)))
        .filter(|(_, wrong)| !wrong.is_empty())
        .map(|(case, wrong)| format!("{}: {}\n  {}", case["file"], case["tells"], wrong.join("\n  ")))
        .collect();
    assert!(reported.is_empty(), "{} of {} wrong:\n{}", reported.len(), cases.len(), reported.join("\n"));
}
