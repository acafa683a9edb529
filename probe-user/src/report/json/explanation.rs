//! One connection explained, as a JSON document.

use serde::Serialize;

use super::ConnectionJson;
use crate::{
    explain::{
        Explanation,
        end_states::{EndState, Remark},
        ladder::{Note, Row},
        rivals::{Against, Rival},
        step::Step,
    },
    record::{Fact, fact_meaning},
    report::explanation,
};

/// Schema of `rstprobe explain --format json`.
pub const EXPLANATION_SCHEMA: &str = "rstprobe.explanation/1";

#[derive(Serialize)]
struct ExplanationJson<'a> {
    schema: &'static str,
    connection: ConnectionJson<'a>,
    /// Section of the documentation on its cause.
    about: Option<String>,
    /// What an evidence file says of it, as it was judged when its frames were kept.
    recorded: Option<&'a str>,
    facts: Vec<FactJson<'a>>,
    ladder: LadderJson,
    rivals: Vec<RivalJson<'a>>,
    display_filter: &'a str,
    next_steps: Vec<StepJson<'a>>,
}

#[derive(Serialize)]
struct FactJson<'a> {
    name: &'a str,
    value: String,
    meaning: Option<&'static str>,
    value_meaning: Option<&'static str>,
}

#[derive(Serialize)]
struct LadderJson {
    completeness: &'static str,
    /// Segments that are counted and have no row; null where they are not counted.
    only_counted: Option<DirectionsJson>,
    /// Segments after the last row.
    beyond: u64,
    has_gaps: bool,
    rows: Vec<RowJson>,
}

#[derive(Serialize)]
struct DirectionsJson {
    client: u64,
    server: u64,
}

#[derive(Serialize)]
struct RowJson {
    since_start_s: f64,
    from: &'static str,
    flags: Vec<&'static str>,
    seq: Option<i64>,
    ack: Option<i64>,
    payload_bytes: u32,
    window: u16,
    ttl: u8,
    notes: Vec<NoteJson>,
    client_state: StateJson,
    server_state: StateJson,
}

#[derive(Serialize)]
struct NoteJson {
    name: &'static str,
    bytes: Option<u32>,
}

#[derive(Serialize)]
struct StateJson {
    /// Null where nothing tells.
    state: Option<&'static str>,
    assumed: bool,
}

#[derive(Serialize)]
struct RivalJson<'a> {
    cause: &'static str,
    text: &'static str,
    against: Vec<AgainstJson<'a>>,
}

#[derive(Serialize)]
struct AgainstJson<'a> {
    fact: &'a str,
    value: &'a str,
    says: &'a str,
}

#[derive(Serialize)]
struct StepJson<'a> {
    place: &'static str,
    why: &'a str,
    command: &'a str,
}

/// The document.
pub fn explanation_document(explained: &Explanation) -> impl Serialize {
    let ladder = &explained.ladder;
    ExplanationJson {
        schema: EXPLANATION_SCHEMA,
        connection: ConnectionJson::new(&explained.connection),
        about: explanation::of(explained.connection.verdict.cause.id()),
        recorded: explained.recorded.as_deref(),
        facts: explained.connection.verdict.facts.iter().map(fact).collect(),
        ladder: LadderJson {
            completeness: ladder.completeness.as_str(),
            only_counted: ladder.only_counted.map(|[client, server]| DirectionsJson { client, server }),
            beyond: ladder.beyond,
            has_gaps: ladder.has_gaps,
            rows: ladder.rows.iter().map(row).collect(),
        },
        rivals: explained.rivals.iter().map(rival).collect(),
        display_filter: &explained.filter,
        next_steps: explained.steps.iter().map(step).collect(),
    }
}

fn fact(fact: &Fact) -> FactJson<'_> {
    let value = fact.value.to_string();
    FactJson {
        name: fact.name,
        meaning: fact_meaning::meaning(fact.name),
        value_meaning: fact_meaning::word_meaning(fact.name, &value),
        value,
    }
}

fn row(row: &Row) -> RowJson {
    let [client, server] = row.states;
    RowJson {
        since_start_s: row.since_start_ns as f64 / 1e9,
        from: if row.from_client { "client" } else { "server" },
        flags: row.flag_names().collect(),
        seq: row.seq,
        ack: row.ack,
        payload_bytes: row.payload_len,
        window: row.window,
        ttl: row.ttl,
        notes: row.notes.iter().copied().map(note).collect(),
        client_state: state(client),
        server_state: state(server),
    }
}

fn note(note: Note) -> NoteJson {
    let (name, bytes) = match note {
        Note::Repeated => ("repeated", None),
        Note::OutOfOrder => ("out_of_order", None),
        Note::KeepAlive => ("keep_alive", None),
        Note::Gap(bytes) => ("gap_before", Some(bytes)),
        Note::AcknowledgesUnseen(bytes) => ("acknowledges_unseen", Some(bytes)),
        Note::ZeroWindow => ("zero_window", None),
        Note::FrameCut => ("frame_cut", None),
        Note::HeaderCut => ("header_cut", None),
        Note::Foreign => ("foreign", None),
        Note::BadChecksum => ("bad_checksum", None),
        Note::End(Remark::RstNotExact) => ("rst_not_exact", None),
        Note::End(Remark::RstIgnored) => ("rst_ignored", None),
        Note::End(Remark::GoesOnAfterOwnRst) => ("goes_on_after_own_rst", None),
        Note::End(Remark::GoesOnAfterRst) => ("goes_on_after_rst", None),
    };
    NoteJson { name, bytes }
}

fn state(state: EndState) -> StateJson {
    let name = state.state.as_str();
    StateJson { state: (name != "?").then_some(name), assumed: state.is_assumed }
}

fn rival(rival: &Rival) -> RivalJson<'_> {
    RivalJson {
        cause: rival.cause.id(),
        text: rival.cause.explanation(),
        against: rival.against.iter().map(against).collect(),
    }
}

fn against(one: &Against) -> AgainstJson<'_> {
    AgainstJson { fact: one.fact, value: &one.value, says: one.says }
}

fn step(step: &Step) -> StepJson<'_> {
    StepJson { place: step.place.as_str(), why: step.why, command: &step.command }
}
