//! Kernel words in the zoo: of the live places, how many resets of applications have their process named, and why words of the
//! kernel belong to no RST.

use std::fmt::Write as _;

use serde_json::Value;

use super::play::PLACES;

/// Reasons that the kernel gives for what an application did; other resets are sent in the context of whoever runs.
const OF_APPLICATIONS: [&str; 3] = ["TCP_ABORT_ON_CLOSE", "TCP_STATE", "TCP_DISCONNECT_WITH_DATA"];
const UNMATCHED: [(&str, &str); 3] = [
    ("kernel.unmatched.no_connection", "of no connection seen here (the kernel tells of all network namespaces)"),
    ("kernel.unmatched.not_seen", "RST not seen"),
    ("kernel.unmatched.no_peer", "of a listener, no RST near"),
];

/// A line for each live place; nothing where the kernel gives no reasons.
pub fn show(documents: &[Value; 4], markdown: bool) -> String {
    let heading = if markdown { "\n## What the hosts' kernels said\n\n" } else { "\nWhat the hosts' kernels said:\n" };
    let lines: Vec<String> = lines(documents).into_iter().map(|line| format!("- {line}")).collect();
    format!("{heading}{}\n", lines.join("\n"))
}

fn lines(documents: &[Value; 4]) -> Vec<String> {
    PLACES
        .iter()
        .zip(documents)
        .filter(|(place, _)| place.ends_with("live"))
        .filter_map(|(place, d)| line(place, d))
        .collect()
}

fn line(place: &str, document: &Value) -> Option<String> {
    let connections = document["connections"].as_array()?;
    let told = connections.iter().filter(|one| fact(one, "kernel.reason").is_some()).count();
    if told == 0 {
        return None;
    }
    let of_applications: Vec<&Value> = connections.iter().filter(|one| is_of_application(one)).collect();
    let named = of_applications.iter().filter(|one| fact(one, "process.name").is_some()).count();
    let mut line = format!(
        "{place}: {told} resets with the kernel's reason; process named for {named} of {} resets of applications; words without \
         an RST:",
        of_applications.len()
    );
    let losses = &document["summary"]["losses"];
    for (name, why) in UNMATCHED {
        let count = losses[name].as_u64().unwrap_or(0);
        // A string takes all that is written to it.
        let _infallible: Result<(), _> = write!(line, " {count} {why};");
    }
    line.truncate(line.len() - 1);
    Some(line)
}

fn is_of_application(connection: &Value) -> bool {
    fact(connection, "kernel.reason").is_some_and(|reason| OF_APPLICATIONS.contains(&reason))
}

fn fact<'a>(connection: &'a Value, name: &str) -> Option<&'a str> {
    let facts = connection["cause"]["evidence"].as_array()?;
    facts.iter().find(|fact| fact["name"] == name).and_then(|fact| fact["value"].as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn named_processes_and_words_without_an_rst_are_counted() {
        let with = |facts: Value| json!({"cause": {"evidence": facts}});
        let reason = json!({"name": "kernel.reason", "value": "TCP_STATE"});
        let live = json!({
            "connections": [
                with(json!([reason, {"name": "process.name", "value": "nginx"}])),
                with(json!([reason])),
                with(json!([{"name": "kernel.reason", "value": "NO_SOCKET"}])),
            ],
            "summary": {"losses": {"kernel.unmatched.not_seen": 2}},
        });
        let lines = lines(&[Value::Null, Value::Null, live, Value::Null]);
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].starts_with("client live: 3 resets with the kernel's reason; process named for 1 of 2 resets")
        );
        assert!(lines[0].contains(" 2 RST not seen"));
    }
}
