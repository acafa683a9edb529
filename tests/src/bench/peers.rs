//! Other tools that read captures, and how they are asked to; and what is published of one that cannot be asked here.

use std::path::Path;

use super::Report;

/// One tool.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Name, also of the program.
    pub name: &'static str,
    /// Debian package.
    pub package: &'static str,
    /// Greatest share of its time that rstprobe may need.
    pub share: f64,
    arguments: fn(capture: &str, folder: &str) -> Vec<String>,
}

/// Flow exporters, which keep less of a connection, and the reference for conversations.
pub const PEERS: &[Peer] = &[
    Peer { name: "softflowd", package: "softflowd", share: 0.5, arguments: softflowd },
    Peer { name: "nfpcapd", package: "nfdump", share: 0.5, arguments: nfpcapd },
    Peer { name: "tshark", package: "tshark", share: 0.025, arguments: tshark },
];

/// The one that [`super::read_threads`] compares with.
pub(super) const FASTEST: &str = "softflowd";

/// The peer of that name.
pub(super) fn fastest() -> Option<&'static Peer> {
    PEERS.iter().find(|peer| peer.name == FASTEST)
}

/// What others say of a tool that is not run here: to be read beside our figures, never divided by them.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// Name.
    pub name: &'static str,
    /// New connections per second on one core.
    pub connections_per_s: f64,
    /// Where that is said.
    pub source: &'static str,
    /// In what it is not the same as what is measured here.
    pub differs: &'static str,
}

/// Agents that follow connections live.
pub const PUBLISHED: &[Published] = &[Published {
    name: "DeepFlow's agent",
    connections_per_s: 122_000.0,
    source: "https://ost.51cto.com/posts/24334 (2023-06-01)",
    differs: "other hardware; live, limited to 1 core and 1 GB; also exports flows and knows application protocols",
}];

/// Adds what is published, beside what was measured just before.
pub(super) fn published(section: &'static str, report: &mut Report) {
    for Published { name, connections_per_s, source, differs } in PUBLISHED {
        report.add(section, format!("connections on one core: {name}, published"), "k/s", &[connections_per_s / 1e3]);
        report.note(&format!("{differs}; {source}"));
    }
}

impl Peer {
    /// Its command line for a capture; what it writes goes into `folder`.
    pub fn arguments(&self, capture: &Path, folder: &Path) -> Vec<String> {
        (self.arguments)(&capture.to_string_lossy(), &folder.to_string_lossy())
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_string()).collect()
}

/// Tracks as many flows as there are, and exports to nobody.
fn softflowd(capture: &str, folder: &str) -> Vec<String> {
    words(&["-d", "-r", capture, "-m", "1000000", "-p", &format!("{folder}/softflowd.pid"), "-c", "none"])
}

fn nfpcapd(capture: &str, folder: &str) -> Vec<String> {
    words(&["-r", capture, "-w", folder])
}

fn tshark(capture: &str, _folder: &str) -> Vec<String> {
    words(&["-q", "-z", "conv,tcp", "-r", capture])
}
