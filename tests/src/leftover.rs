//! Kernel footprint: what a running probe has in the kernel, taken while it runs, and whether all of it is gone afterwards.
//!
//! By ids, not by names: another probe on the same machine is none of our business.

use std::{
    collections::BTreeSet,
    io,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{netns::Namespace, tier};

/// The kernel frees programs and maps some grace periods after the last reference.
const PATIENCE: Duration = Duration::from_secs(5);

/// Kernel objects of one probe.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Footprint {
    /// Programs attached to the interfaces.
    pub programs: BTreeSet<u64>,
    /// Maps of those programs.
    pub maps: BTreeSet<u64>,
    /// Links of those programs.
    pub links: BTreeSet<u64>,
}

impl Footprint {
    /// What is attached to any interface of `namespace` now. Maps and links need bpftool; without it they stay empty.
    pub fn take(namespace: &Namespace) -> io::Result<Self> {
        Self::of(attached(namespace)?)
    }

    /// The same of these programs.
    pub fn of(programs: BTreeSet<u64>) -> io::Result<Self> {
        let mut footprint = Self { programs, ..Self::default() };
        for program in &footprint.programs {
            if let Some(shown) = bpftool(&["prog", "show", "id", &program.to_string()]) {
                footprint.maps.extend(shown["map_ids"].as_array().into_iter().flatten().filter_map(Value::as_u64));
            }
        }
        let links = bpftool(&["link", "show"]).unwrap_or_default();
        let ours = |link: &&Value| link["prog_id"].as_u64().is_some_and(|id| footprint.programs.contains(&id));
        let links = links.as_array().into_iter().flatten().filter(ours);
        footprint.links = links.filter_map(|link| link["id"].as_u64()).collect();
        Ok(footprint)
    }

    /// Waits until nothing of it is left, and names what stays.
    pub fn remains(&self) -> Vec<String> {
        let end = Instant::now() + tier::patient(PATIENCE);
        loop {
            let remains = self.now();
            if remains.is_empty() || Instant::now() > end {
                return remains;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn now(&self) -> Vec<String> {
        let kinds = [("prog", &self.programs), ("map", &self.maps), ("link", &self.links)];
        kinds.iter().flat_map(|(kind, ids)| existing(kind, ids)).collect()
    }
}

/// Those of `ids` that the kernel still lists.
fn existing(kind: &str, ids: &BTreeSet<u64>) -> Vec<String> {
    let listed = bpftool(&[kind, "show"]).unwrap_or_default();
    let there = listed.as_array().into_iter().flatten().filter_map(|object| object["id"].as_u64());
    there.filter(|id| ids.contains(id)).map(|id| format!("{kind} {id}")).collect()
}

/// Ids of the XDP programs on the interfaces of `namespace`.
pub fn attached(namespace: &Namespace) -> io::Result<BTreeSet<u64>> {
    let text = namespace.ip("-json -details link show")?;
    let links: Value = serde_json::from_str(&text).map_err(io::Error::other)?;
    let programs = links.as_array().into_iter().flatten().filter_map(|link| link["xdp"]["prog"]["id"].as_u64());
    Ok(programs.collect())
}

/// A filter as tc lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TcFilter {
    /// Kind (`bpf`, `u32`, ...).
    pub kind: String,
    /// Name of a BPF filter.
    pub name: String,
    /// Id of its program; 0 when it has none.
    pub program: u64,
}

/// Filters on what `interface` sends.
pub fn egress_filters(namespace: &Namespace, interface: &str) -> io::Result<Vec<TcFilter>> {
    let text = namespace.tc(&format!("-json filter show dev {interface} egress"))?;
    let listed: Value = serde_json::from_str(&text).map_err(io::Error::other)?;
    let with_options = listed.as_array().into_iter().flatten().filter(|filter| filter["options"].is_object());
    let of = |filter: &Value| TcFilter {
        kind: filter["kind"].as_str().unwrap_or_default().to_string(),
        name: filter["options"]["bpf_name"].as_str().unwrap_or_default().to_string(),
        program: filter["options"]["prog"]["id"].as_u64().unwrap_or(0),
    };
    Ok(with_options.map(of).collect())
}

/// Whether `interface` has a clsact qdisc.
pub fn has_clsact(namespace: &Namespace, interface: &str) -> io::Result<bool> {
    Ok(namespace.tc(&format!("qdisc show dev {interface}"))?.contains("qdisc clsact "))
}

/// True when bpftool can be asked about maps and links.
pub fn has_bpftool() -> bool {
    bpftool(&["version"]).is_some()
}

fn bpftool(words: &[&str]) -> Option<Value> {
    let output = Command::new("bpftool").arg("-j").args(words).output().ok()?;
    if !output.status.success() {
        return None;
    }
    serde_json::from_slice(&output.stdout).ok()
}
