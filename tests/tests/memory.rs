//! `rstprobe read`: in what pages its memory lies. Large ones for a large capture, and as ever for a small one.

use std::{
    fs,
    io::{self, Read},
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use probe_tests::{
    conversation::Conversation,
    frame::Station,
    netns::{CLIENT_MAC, SERVER_MAC},
    pcap::{ETHERNET, Pcap},
    probe,
    tier::say,
};

/// Their lines are more than any pipe holds: the reader waits until somebody reads, with all that it has in memory.
const CONNECTIONS: u16 = 2000;
/// What is large to the reader begins below.
const LARGE_BYTES: u64 = 20 << 20;

/// A capture of so many connections, of which each sends so much.
fn capture(dir: &Path, payload: &str) -> PathBuf {
    let mut pcap = Pcap::new(ETHERNET);
    let station = |mac, last, port| Station { mac, ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), port };
    for number in 0..CONNECTIONS {
        let ends = [station(CLIENT_MAC, 1, 20_000 + number), station(SERVER_MAC, 2, 80)];
        let script = format!(">S <SA >A {payload} <RA");
        let frames = Conversation::new(ends[0], ends[1], [1, 1]).frames(&script).expect("a script");
        for (at, frame) in (0..).zip(frames) {
            pcap.push(1_700_000_000_000_000_000 + u64::from(number) * 1_000_000 + at * 1000, &frame);
        }
    }
    let path = dir.join(format!("{}.pcap", payload.len()));
    fs::write(&path, pcap.into_bytes()).expect("a file");
    path
}

/// A reader whose output nobody takes.
struct Reader(Child);

impl Reader {
    fn start(capture: &Path) -> io::Result<Self> {
        let mut command = Command::new(probe::binary());
        command.args(["read", "--format", "ndjson"]).arg(capture);
        Ok(Self(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?))
    }

    /// Whether the kernel was asked for large pages for its heap, once it has read all and begins to write.
    fn has_large_pages(&mut self) -> io::Result<bool> {
        let mut first = [0];
        self.0.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.read_exact(&mut first)?;
        let maps = fs::read_to_string(format!("/proc/{}/smaps", self.0.id()))?;
        let mut in_heap = false;
        Ok(maps.lines().any(|line| {
            if line.split_whitespace().next().is_some_and(|first| first.contains('-')) {
                in_heap = line.ends_with("[heap]");
            }
            in_heap
                && line.strip_prefix("VmFlags:").is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hg"))
        }))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
    }
}

#[test]
fn large_captures_are_read_in_large_pages() {
    if !Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
        return say("SKIP large_captures_are_read_in_large_pages: this kernel has none");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (small, large) = (capture(dir.path(), ">A1400"), capture(dir.path(), &">A1400 ".repeat(8)));
    let len = |path: &Path| fs::metadata(path).expect("it is there").len();
    assert!(len(&small) < 8 << 20 && len(&large) > LARGE_BYTES, "{} {}", len(&small), len(&large));
    for (path, expected) in [(&small, false), (&large, true)] {
        let mut reader = Reader::start(path).expect("it starts");
        assert_eq!(reader.has_large_pages().expect("it runs"), expected, "{}", path.display());
    }
}
