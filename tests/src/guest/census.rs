//! All BPF programs, maps and links of the kernel: in a guest that has no others, what is there is the probe's.

use std::{
    collections::BTreeSet,
    fmt, io,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{netns::Namespace, tier};

/// The kernel frees programs and maps some grace periods after the last reference.
const PATIENCE: Duration = Duration::from_secs(3);

/// What there is at one time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Census {
    objects: BTreeSet<String>,
}

impl Census {
    /// Asks bpftool.
    ///
    /// # Errors
    /// When it cannot be started or does not understand the kernel.
    pub fn take() -> io::Result<Self> {
        let mut objects = BTreeSet::new();
        for kind in ["prog", "map", "link"] {
            for object in listed(kind)? {
                let name = object["name"].as_str().unwrap_or_default();
                objects.insert(format!("{kind} {} {name}", object["id"]));
            }
        }
        Ok(Self { objects })
    }

    /// What has come since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self { objects: self.objects.difference(&before.objects).cloned().collect() }
    }

    /// True without anything.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Waits until nothing is there that was not there at this time; an error names what stays.
    ///
    /// # Errors
    /// When something stays.
    pub fn await_return(&self) -> io::Result<()> {
        let end = Instant::now() + tier::patient(PATIENCE);
        loop {
            let rest = Self::take()?.since(self);
            if rest.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(io::Error::other(format!("left behind: {rest}")));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.objects.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
    }
}

fn listed(kind: &str) -> io::Result<Vec<Value>> {
    let output = Command::new("bpftool").args(["-j", kind, "show"]).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(io::Error::other(format!("bpftool {kind} show: {said}")));
    }
    match serde_json::from_slice(&output.stdout) {
        Ok(Value::Array(objects)) => Ok(objects),
        Ok(_) => Ok(vec![]),
        Err(_) if output.stdout.is_empty() => Ok(vec![]),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Filters and classifier qdiscs on an interface: what tc programs before tcx hang on.
///
/// # Errors
/// When `tc` fails.
pub fn filters(namespace: &Namespace, interface: &str) -> io::Result<Vec<String>> {
    let qdiscs = namespace.tc(&format!("qdisc show dev {interface}"))?;
    let mut found: Vec<String> = qdiscs.lines().filter(|line| line.contains("clsact")).map(str::to_owned).collect();
    for way in ["ingress", "egress"] {
        // Without clsact there is nothing to ask.
        let filters = namespace.tc(&format!("filter show dev {interface} {way}")).unwrap_or_default();
        found.extend(filters.lines().map(str::to_owned));
    }
    Ok(found)
}
