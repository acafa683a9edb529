//! Checks of one network card.

use std::{io, thread, time::Duration};

use serde_json::Value;

use super::{
    Native, inside, lasting,
    link::{Pair, SEGMENTS},
    words,
};
use crate::{
    guest::{
        Outcome, Verdict, ensure,
        traffic::{NO_LOSS, connections, document, lost_nothing, lost_nothing_but},
    },
    oneshot::OneShot,
    probe::Probe,
};

const CONNECTIONS: u64 = 10;
const CONVERSATIONS: u16 = 40;
const VLAN: u16 = 7;
/// Kernel, driver or interface cannot do it as asked.
const UNABLE: i32 = 5;
/// Packets that an interface received while its driver gave the program none.
const NOT_GIVEN: &str = "interfaces.not_given";
/// Longer than it takes to notice that.
const CHATTER: Duration = Duration::from_secs(8);
/// Time for the last drain.
const SETTLE: Duration = Duration::from_millis(1500);

/// Native mode: counts and the driver's counters, or the refusal.
pub(super) fn native(pair: &Pair, expected: Native) -> Outcome {
    if let Native::Refused(why) = expected {
        return refused(pair, &[], why);
    }
    let probe = Probe::start(&pair.near, &words(&pair.card, &[]))?;
    pair.connect(CONNECTIONS)?;
    let snapshot = settled(probe)?;
    is_counted(&snapshot, CONNECTIONS)?;
    let shown = inside(&pair.near, &["ethtool", "-S", &pair.card])?;
    let counters = shown.lines().filter(|line| line.contains(": ")).count();
    ensure(counters > 0, format!("no driver counters: {shown}"))?;
    let received = &snapshot["window"]["interfaces"][0]["received"];
    ensure(received.is_object(), format!("no counters of the interface: {received}"))?;
    Ok(Verdict::Holds(format!("attached, counts exact, {counters} driver counters")))
}

/// Generic mode, which needs no driver.
pub(super) fn generic(pair: &Pair) -> Outcome {
    let probe = Probe::start(&pair.near, &words(&pair.card, &["--mode", "generic"]))?;
    pair.connect(CONNECTIONS)?;
    is_counted(&settled(probe)?, CONNECTIONS)?;
    Ok(Verdict::Holds("counts exact".to_owned()))
}

/// Through sockets: each frame is a segment, and whether it was copied is the socket's own word. A driver may add queues as
/// a program is attached (virtio_net does, one for each CPU); those have no socket, and their frames are counted in the
/// kernel.
pub(super) fn afxdp(pair: &Pair, native: Native, zero_copy: bool) -> Outcome {
    let mode: &[&str] = if native == Native::Works { &[] } else { &["--mode", "generic"] };
    let more = [&["--datapath", "afxdp", "--force", "--action", "drop"], mode].concat();
    let probe = Probe::start(&pair.near, &words(&pair.card, &more))?;
    let said = probe.said().to_owned();
    // Some drivers reset the link for a program or a socket.
    thread::sleep(SETTLE);
    pair.await_carrier()?;
    pair.send(CONVERSATIONS, 20_000, None)?;
    let snapshot = settled(probe)?;
    lost_nothing_but(&snapshot, &NO_LOSS)?;
    let (found, accounting) = (connections(&snapshot).len(), &snapshot["summary"]["books"]);
    let book = |name: &str| accounting[name].as_u64().unwrap_or(0);
    let (segments, counted) = (book("afxdp.segments"), book("tcp"));
    let expected = u64::from(CONVERSATIONS) * SEGMENTS;
    let is_all = segments + counted == expected && segments > 0 && found == usize::from(CONVERSATIONS);
    ensure(is_all, format!("{segments} and {counted} segments of {expected}, {found} connections: {accounting}"))?;
    let is_zero_copy = said.contains("AF_XDP zero-copy");
    ensure(is_zero_copy == zero_copy, format!("zero-copy {is_zero_copy}, expected {zero_copy}: {said}"))?;
    let how = if is_zero_copy { "zero-copy" } else { "copy" };
    let mode = if mode.is_empty() { "native" } else { "generic" };
    let rest =
        if counted == 0 { String::new() } else { format!(", {counted} of {expected} on queues without a socket") };
    Ok(Verdict::Holds(format!("{how}, {mode}, counts exact{rest}")))
}

/// Tagged frames, with the card taking the tag off and leaving it: counted either way, and the VLAN known when it is left.
pub(super) fn vlan(pair: &Pair, native: Native) -> Outcome {
    let mode: &[&str] = if native == Native::Works { &[] } else { &["--mode", "generic"] };
    let probe = Probe::start(&pair.near, &words(&pair.card, &[&["--domain", "vlan", "--promisc"], mode].concat()))?;
    let mut notes = vec![];
    let mut sent = 0;
    for (state, port) in [("off", 20_000), ("on", 30_000)] {
        let is_set = inside(&pair.near, &["ethtool", "-K", &pair.card, "rxvlan", state]).is_ok();
        let shown = inside(&pair.near, &["ethtool", "-k", &pair.card])?;
        let now = shown.lines().find_map(|line| line.trim().strip_prefix("rx-vlan-offload: ")).unwrap_or("?");
        if is_set && now.starts_with(state) {
            pair.await_carrier()?;
            pair.send(CONVERSATIONS, port, Some(VLAN))?;
            sent += u64::from(CONVERSATIONS);
            notes.push(format!("stripping {state}: "));
        } else {
            notes.push(format!("stripping stays {now}"));
        }
    }
    let snapshot = settled(probe)?;
    lost_nothing(&snapshot)?;
    let found = connections(&snapshot);
    ensure(found.len() as u64 == sent, unequal(found, sent))?;
    let port = |one: &Value| one["client"]["port"].as_u64().unwrap_or(0);
    let tagged = |from: u64| {
        let these = found.iter().filter(|one| (from..from + 10_000).contains(&port(one)));
        these.filter(|one| one["domain"].as_u64() == Some(u64::from(VLAN))).count()
    };
    ensure(sent > 0, "stripping can be neither on nor off")?;
    let left = notes[0].ends_with(' ') || notes[0].ends_with("off [fixed]");
    let seen = tagged(20_000);
    ensure(
        !left || seen == usize::from(CONVERSATIONS),
        format!("tags are left, and {seen} of {CONVERSATIONS} were seen"),
    )?;
    let note: Vec<String> = notes
        .iter()
        .zip([20_000, 30_000])
        .map(|(note, from)| {
            if note.ends_with(' ') { format!("{note}{} of {CONVERSATIONS} tagged", tagged(from)) } else { note.clone() }
        })
        .collect();
    Ok(Verdict::Holds(note.join(", ")))
}

/// The link goes down and up, the number of queues changes: what comes afterwards is counted all the same.
pub(super) fn changes(pair: &Pair, native: Native) -> Outcome {
    let mode: &[&str] = if native == Native::Works { &[] } else { &["--mode", "generic"] };
    let probe = Probe::start(&pair.near, &words(&pair.card, mode))?;
    pair.connect(CONNECTIONS)?;
    thread::sleep(SETTLE);
    pair.near.ip(&format!("link set {} down", pair.card))?;
    thread::sleep(Duration::from_secs(3));
    pair.near.ip(&format!("link set {} up", pair.card))?;
    pair.await_carrier()?;
    // Drivers that hand the program nothing from here on are noticed, and attached anew.
    pair.chatter(CHATTER)?;
    pair.await_carrier()?;
    pair.connect(CONNECTIONS)?;
    let mut notes = vec!["link down and up".to_owned()];
    let mut connected = 2 * CONNECTIONS;
    if let Some(most) = queues(pair) {
        for count in [1, most] {
            match inside(&pair.near, &["ethtool", "-L", &pair.card, "combined", &count.to_string()]) {
                Ok(_) => {
                    pair.await_carrier()?;
                    pair.connect(CONNECTIONS)?;
                    connected += CONNECTIONS;
                    notes.push(format!("{count} queues"));
                }
                Err(error) => notes.push(format!("{count} queues refused: {error}")),
            }
        }
    }
    let snapshot = settled(probe)?;
    is_complete(&snapshot, connected)?;
    if let Some(count) = snapshot["summary"]["losses"][NOT_GIVEN].as_u64().filter(|&count| count > 0) {
        notes.push(format!("the driver kept {count} packets from the program until it was attached anew"));
    }
    Ok(Verdict::Holds(notes.join(", ")))
}

/// Most queues that can be set; nothing with a single one.
fn queues(pair: &Pair) -> Option<u32> {
    let shown = inside(&pair.near, &["ethtool", "-l", &pair.card]).ok()?;
    let counts = shown.lines().filter_map(|line| line.strip_prefix("Combined:")?.trim().parse().ok());
    let counts: Vec<u32> = counts.collect();
    let most = *counts.first()?;
    (most > 1).then_some(most)
}

fn refused(pair: &Pair, more: &[&str], why: &str) -> Outcome {
    let done = OneShot::new(lasting("1s", &pair.card, more)).run_in(&pair.near)?;
    ensure(done.status.code() == Some(UNABLE), format!("not refused: {}: {}", done.status, done.stderr))?;
    ensure(done.stderr.contains(why), format!("the refusal does not tell `{why}`: {}", done.stderr))?;
    ensure(
        done.stderr.contains("--mode generic"),
        format!("the refusal does not tell the next step: {}", done.stderr),
    )?;
    Ok(Verdict::Holds(format!("refused: {}", done.stderr.trim())))
}

fn settled(probe: Probe) -> io::Result<Value> {
    thread::sleep(SETTLE);
    document(probe)
}

/// Says how many connections there are instead of `expected`, and describes each: which of them should not be there, or
/// which is missing, is known only from their addresses and histories.
fn unequal(found: &[Value], expected: u64) -> String {
    let end = |one: &Value, side: &str| format!("{}:{}", one[side]["addr"].as_str().unwrap_or("?"), one[side]["port"]);
    let brief = |one: &Value| {
        let (client, server) = (end(one, "client"), end(one, "server"));
        format!("{client} > {server} VLAN {} {} from {}", one["domain"], one["history"], one["start"])
    };
    let all: Vec<String> = found.iter().map(brief).collect();
    format!("{} connections of {expected}: {}", found.len(), all.join(", "))
}

/// One SYN and one FIN of each client; nothing lost.
fn is_counted(snapshot: &Value, expected: u64) -> io::Result<()> {
    lost_nothing(snapshot)?;
    let found = connections(snapshot);
    ensure(found.len() as u64 == expected, unequal(found, expected))?;
    for name in ["syn", "fin"] {
        let count: u64 = found.iter().filter_map(|one| one["from_client"][name].as_u64()).sum();
        ensure(count == expected, format!("{count} segments with {name} of {expected}"))?;
    }
    Ok(())
}

/// A SYN and a FIN of each client, whatever was sent again while link or queues changed.
fn is_complete(snapshot: &Value, expected: u64) -> io::Result<()> {
    lost_nothing_but(snapshot, &[NOT_GIVEN])?;
    let found = connections(snapshot);
    ensure(found.len() as u64 == expected, unequal(found, expected))?;
    for name in ["syn", "fin"] {
        let without = found.iter().filter(|one| one["from_client"][name].as_u64().unwrap_or(0) == 0).count();
        ensure(without == 0, format!("{without} connections without {name}"))?;
    }
    Ok(())
}
