//! Truth against verdict: each connection of each situation, from each place.

use std::{
    collections::{BTreeMap, BTreeSet},
    io, iter,
    net::SocketAddr,
};

use serde_json::Value;

use super::{
    is_ours,
    packets::{self, Ends, Passed, View},
    play::{PLACES, Played},
    port_of,
    situation::{LEFTOVER, PORTS, Situation, Truth},
};

/// What the probe said of one connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// Cause.
    pub cause: String,
    /// Confidence.
    pub confidence: String,
    /// Who reset it.
    pub by: String,
    /// What was lost.
    pub impact: String,
    /// Zeek's history.
    pub history: String,
}

/// One connection from one place.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Which.
    pub ends: Ends,
    /// Index in [`PLACES`].
    pub place: usize,
    /// What is true, in words.
    pub truth: String,
    /// What was said.
    pub said: Option<Said>,
    /// Cause, who and impact, each right or not.
    pub right: [bool; 3],
}

/// One situation.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which.
    pub situation: Situation,
    /// Its first port.
    pub port: u16,
    /// Why it was not played.
    pub skipped: Option<String>,
    /// Why it counts for nothing although it was.
    pub unstaged: Option<String>,
    /// Connections of which no truth was foreseen, in words.
    pub unforeseen: Vec<String>,
    /// Its connections.
    pub judged: Vec<Judged>,
    /// Connections of which two places say different things, in words.
    pub contradictions: Vec<String>,
}

impl Judged {
    /// All of it is right.
    pub fn is_right(&self) -> bool {
        self.right == [true; 3]
    }

    /// Wrong, and sure of it. Who says that it does not know is not wrong about it.
    pub fn is_confidently_wrong(&self) -> bool {
        let sure = self.said.as_ref().is_some_and(|said| {
            let is_wrong = [said.cause != "unknown", said.by != "unknown", said.impact != "unknown"]
                .into_iter()
                .zip(self.right)
                .any(|(is_statement, is_right)| is_statement && !is_right);
            said.confidence != "low" && is_wrong
        });
        sure && !self.is_right()
    }

    /// What was said, in words.
    pub fn words(&self) -> String {
        self.said.as_ref().map_or_else(
            || "no record".to_owned(),
            |said| format!("{} by {}, {} ({})", said.cause, said.by, said.impact, said.confidence),
        )
    }
}

impl Outcome {
    /// It was played, and what it is about happened.
    pub fn counts(&self) -> bool {
        self.skipped.is_none() && self.unstaged.is_none()
    }
}

/// Judges everything that was played.
///
/// # Errors
/// When a capture cannot be read.
pub fn judge(played: &Played) -> io::Result<Vec<Outcome>> {
    let passed = [packets::read(&played.captures[0])?, packets::read(&played.captures[1])?];
    let said = [0, 1, 2, 3].map(|place| verdicts(&played.documents[place]));
    let one = |(number, situation, skipped): &(usize, Situation, Option<String>)| {
        let port = port_of(*number);
        let mut outcome = Outcome {
            situation: situation.clone(),
            port,
            skipped: skipped.clone(),
            unstaged: None,
            unforeseen: vec![],
            judged: vec![],
            contradictions: vec![],
        };
        if skipped.is_none() {
            of_situation(&mut outcome, &passed, &said);
        }
        outcome
    };
    Ok(played.situations.iter().map(one).collect())
}

type Verdicts = BTreeMap<Ends, Vec<Said>>;

/// By both ends of the connection, as [`packets`] orders them.
fn verdicts(document: &Value) -> Verdicts {
    let mut verdicts = Verdicts::new();
    for record in document["connections"].as_array().into_iter().flatten() {
        let [Some(client), Some(server)] = [&record["client"], &record["server"]].map(address) else { continue };
        let swapped = is_ours(client.port()) && !is_ours(server.port());
        let ends = if swapped { [server, client] } else { [client, server] };
        let word = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let by = match word("/reset_by").as_str() {
            "client" if swapped => "server".to_owned(),
            "server" if swapped => "client".to_owned(),
            other => other.to_owned(),
        };
        let said = Said {
            cause: word("/cause/id"),
            confidence: word("/cause/confidence"),
            by,
            impact: [word("/impact"), word("/cause/impact")].concat(),
            history: word("/history"),
        };
        verdicts.entry(ends).or_default().push(said);
    }
    verdicts
}

fn address(end: &Value) -> Option<SocketAddr> {
    Some(SocketAddr::new(end["addr"].as_str()?.parse().ok()?, u16::try_from(end["port"].as_u64()?).ok()?))
}

fn of_situation(outcome: &mut Outcome, passed: &[BTreeMap<Ends, Passed>; 2], said: &[Verdicts; 4]) {
    let ports = outcome.port..outcome.port + PORTS;
    let all: BTreeSet<Ends> =
        passed.iter().flat_map(BTreeMap::keys).filter(|ends| ports.contains(&ends[1].port())).copied().collect();
    let mut premises = 0;
    for ends in all {
        let [near, far] = [0, 1].map(|side| passed[side].get(&ends));
        let view = |here: &Passed| View { here: here.clone(), near: near.cloned(), far: far.cloned() };
        let truths = [near, far].map(|here| outcome.situation.truth_of(&view(here?)).cloned());
        for (at, here) in [near, far].iter().enumerate().filter(|(at, here)| truths[*at].is_none() && here.is_some()) {
            outcome.unforeseen.push(format!("{} at the {}: {here:?}", ends[0], ["client", "server"][at]));
        }
        premises += usize::from(truths.iter().flatten().any(|truth| truth.is_premise));
        let judged: Vec<Judged> = (0..PLACES.len())
            .flat_map(|place| of_place(ends, place, truths[place % 2].as_ref(), &said[place]))
            .collect();
        outcome.contradictions.extend(contradiction(&judged, &truths));
        outcome.judged.extend(judged);
    }
    if premises < outcome.situation.least {
        outcome.unstaged = Some(format!("{premises} connections met the premise, not {}", outcome.situation.least));
    }
}

/// Each record of the connection `ends` from a place, or that there is none.
fn of_place(ends: Ends, place: usize, truth: Option<&Truth>, said: &Verdicts) -> Vec<Judged> {
    let Some(truth) = truth else { return vec![] };
    let one = |truth: &Truth, said: Option<Said>| {
        let words = format!("{} by {}, {}", truth.causes.join("|"), truth.by.join("|"), truth.impacts.join("|"));
        let right = said.as_ref().map_or([false; 3], |said| {
            let has = |words: &[&str], word: &str| words.contains(&word);
            [has(truth.causes, &said.cause), has(truth.by, &said.by), has(truth.impacts, &said.impact)]
        });
        Judged { ends, place, truth: words, said, right }
    };
    let Some(records) = said.get(&ends) else { return vec![one(truth, None)] };
    let truths = iter::once(truth).chain(iter::repeat(&LEFTOVER));
    truths.zip(records).map(|(truth, said)| one(truth, Some(said.clone()))).collect()
}

/// What places say differently of a connection of which the same is true at both ends. Further records of a place are of
/// what came after the connection: they are judged, and not compared.
fn contradiction(judged: &[Judged], truths: &[Option<Truth>; 2]) -> Option<String> {
    let [Some(near), Some(far)] = truths else { return None };
    if near.causes != far.causes || near.by != far.by {
        return None;
    }
    let opinion = |judged: &Judged| {
        let said = judged.said.as_ref()?;
        let cause = if near.causes.contains(&&*said.cause) { near.causes[0] } else { &said.cause };
        let by = if near.by.contains(&&*said.by) { near.by[0] } else { &said.by };
        Some((cause.to_owned(), by.to_owned(), said.impact.clone()))
    };
    let compared = || (0..PLACES.len()).filter_map(|place| judged.iter().find(|judged| judged.place == place));
    let opinions: BTreeSet<_> = compared().filter_map(opinion).collect();
    let causes: BTreeSet<_> = opinions.iter().map(|(cause, by, _)| (cause, by)).collect();
    // Who does not know what was lost contradicts nobody.
    let impacts: BTreeSet<_> =
        opinions.iter().map(|(.., impact)| impact).filter(|impact| *impact != "unknown").collect();
    let show = |one: &Judged| format!("{}: {}", PLACES[one.place], one.words());
    (causes.len() > 1 || impacts.len() > 1).then(|| compared().map(show).collect::<Vec<_>>().join("; "))
}
