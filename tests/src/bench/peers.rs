//! Other tools that read captures, and how they are asked to.

use std::path::Path;

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
