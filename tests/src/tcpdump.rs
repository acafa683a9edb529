//! An independent capture of what the probe sees: tcpdump on both legs, and tshark's counts of it.

use std::{
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    netns::{CLIENT_LEG, Namespace, SERVER_LEG},
    sys,
};

/// KiB for what tcpdump has not written yet.
const BUFFER: &str = "131072";
const SNAPLEN: &str = "128";

/// What of tcpdump and tshark is missing here.
pub fn missing() -> Vec<&'static str> {
    let there =
        |tool: &&str| Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    ["tcpdump", "tshark"].into_iter().filter(|tool| !there(tool)).collect()
}

/// Segments of one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// SYN without ACK.
    pub syn: u64,
    /// SYN with ACK.
    pub syn_ack: u64,
    /// FIN.
    pub fin: u64,
    /// RST.
    pub rst: u64,
    /// All.
    pub packets: u64,
}

/// Two running tcpdumps.
#[derive(Debug)]
pub struct Tcpdump {
    legs: [(Child, BufReader<std::process::ChildStderr>, PathBuf); 2],
}

/// Both directions: what the client and what the server sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Captured {
    /// Received on the client leg.
    pub client: Counts,
    /// Received on the server leg.
    pub server: Counts,
    /// Frames that the kernel had no room for: then the counts are not the truth.
    pub dropped: u64,
}

impl Tcpdump {
    /// Begins to capture what both legs of `middle` receive, into `directory`.
    ///
    /// # Errors
    /// When a tcpdump cannot be started or says that it cannot listen.
    pub fn start(middle: &Namespace, directory: &Path) -> io::Result<Self> {
        let start = |leg: &str| {
            let file = directory.join(leg).with_extension("pcap");
            let (child, stderr) = middle.enter(|| listen(leg, &file))?;
            Ok::<_, io::Error>((child, stderr, file))
        };
        Ok(Self { legs: [start(CLIENT_LEG)?, start(SERVER_LEG)?] })
    }

    /// Ends both and counts.
    ///
    /// # Errors
    /// When a tcpdump or a tshark fails.
    pub fn stop(self) -> io::Result<Captured> {
        let mut dropped = 0;
        let mut counts = [Counts::default(); 2];
        for ((mut child, mut stderr, file), counts) in self.legs.into_iter().zip(&mut counts) {
            sys::interrupt(child.id())?;
            let mut said = String::new();
            stderr.read_to_string(&mut said)?;
            child.wait()?;
            dropped += dropped_by_kernel(&said).ok_or_else(|| io::Error::other(format!("tcpdump said: {said}")))?;
            *counts = count(&file)?;
        }
        let [client, server] = counts;
        Ok(Captured { client, server, dropped })
    }
}

fn listen(leg: &str, file: &Path) -> io::Result<(Child, BufReader<std::process::ChildStderr>)> {
    let mut child = Command::new("tcpdump")
        .args(["-i", leg, "-Q", "in", "-n", "-p", "-B", BUFFER, "-s", SNAPLEN, "-Z", "root", "-w"])
        .arg(file)
        .arg("tcp")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stderr = BufReader::new(child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?);
    let mut said = String::new();
    while stderr.read_line(&mut said)? > 0 {
        if said.contains("listening on") {
            return Ok((child, stderr));
        }
    }
    child.wait()?;
    Err(io::Error::other(format!("tcpdump said: {said}")))
}

fn dropped_by_kernel(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.ends_with("dropped by kernel"))?;
    line.split(' ').next()?.parse().ok()
}

fn count(file: &Path) -> io::Result<Counts> {
    let output = Command::new("tshark")
        .args(["-n", "-o", "tcp.analyze_sequence_numbers:FALSE", "-T", "fields", "-e", "tcp.flags", "-Y", "tcp", "-r"])
        .arg(file)
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("tshark said: {}", String::from_utf8_lossy(&output.stderr))));
    }
    let mut counts = Counts::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let flags = u16::from_str_radix(line.trim_start_matches("0x"), 16)
            .map_err(|_| io::Error::other(format!("tshark said: {line}")))?;
        counts.add(flags);
    }
    Ok(counts)
}

impl Counts {
    fn add(&mut self, flags: u16) {
        let has = |flag| flags & flag != 0;
        let (fin, syn, rst, ack) = (has(1), has(2), has(4), has(16));
        self.packets += 1;
        self.syn += u64::from(syn && !ack);
        self.syn_ack += u64::from(syn && ack);
        self.fin += u64::from(fin);
        self.rst += u64::from(rst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_read_from_what_tcpdump_says() {
        let said = "20 packets captured\n22 packets received by filter\n3 packets dropped by kernel\n";
        assert_eq!(dropped_by_kernel(said), Some(3));
        assert_eq!(dropped_by_kernel("tcpdump: no such device"), None);
    }

    #[test]
    fn flags_are_counted_by_kind() {
        let mut counts = Counts::default();
        for flags in [0x02, 0x12, 0x11, 0x14, 0x10] {
            counts.add(flags);
        }
        assert_eq!(counts, Counts { syn: 1, syn_ack: 1, fin: 1, rst: 1, packets: 5 });
    }
}
