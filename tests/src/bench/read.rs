//! `rstprobe read` end to end, against other tools, on one core; what several cores make of it ([`super::read_threads`]); and
//! what a million open connections take.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    Report, Setting, capture, memory,
    peers::{self, PEERS, Peer},
    read_threads,
};

const SECTION: &str = "read";
/// Formats measured; the first is what is compared: what people get without any option.
const FORMATS: [&str; 3] = ["table", "ndjson", "zeek"];
/// Nothing takes longer.
const PATIENCE: Duration = Duration::from_mins(2);
/// Bytes of the capture that are written at once.
const WRITTEN_AT_ONCE: usize = 1 << 20;
/// Between two looks whether a command has ended: what its time may be too long by.
const TICK: Duration = Duration::from_micros(500);
/// Open connections for the memory figure.
const OPEN: u32 = 1_000_000;
/// Bytes that one may take.
const BYTES_PER_CONNECTION: f64 = 300.0;

/// Where a command runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cores {
    /// On the chosen one.
    One,
    /// Wherever the kernel puts it.
    All,
}

/// The section.
///
/// # Errors
/// When a capture cannot be written or a program not run.
pub fn run(setting: &Setting, report: &mut Report) -> io::Result<()> {
    let file = setting.folder.join("mixed.pcap");
    // In large blocks, as copying a file does: how the page cache holds it decides how fast anyone can read it.
    let into = BufWriter::with_capacity(WRITTEN_AT_ONCE, File::create(&file)?);
    let written = capture::mixed(into, setting.seed, setting.packets, setting.gap_us)?;
    report.add(SECTION, "packets of the capture", "", &[written.packets as f64]);
    report.note(&format!(
        "{} conversations, {} MB, {} s of traffic",
        written.conversations,
        written.bytes / 1_000_000,
        written.packets * setting.gap_us / 1_000_000
    ));
    let peers = installed(report);
    // The capture is in the page cache, and every tool's first run is not counted.
    let mut times = vec![Vec::new(); FORMATS.len() + peers.len()];
    for round in 0..=setting.rounds {
        let reads = FORMATS.iter().map(|format| ours(setting, &["--format", format], &file, Cores::One));
        let all = reads.chain(peers.iter().map(|peer| peer_reads(setting, peer, &file, Cores::One)));
        for (times, took) in times.iter_mut().zip(all) {
            let took = took?;
            if round > 0 {
                times.push(took);
            }
        }
    }
    let (ours, theirs) = times.split_at(FORMATS.len());
    for (format, times) in FORMATS.iter().zip(ours) {
        report.add(SECTION, format!("rstprobe read --format {format}"), "s", times);
        report.note(&rate(written.packets, times));
    }
    for (peer, times) in peers.iter().zip(theirs) {
        report.add(SECTION, peer.name, "s", times);
        let ratios: Vec<f64> = ours[0].iter().zip(times).map(|(ours, theirs)| ours / theirs).collect();
        report.add(SECTION, format!("rstprobe ({}) / {}", FORMATS[0], peer.name), "", &ratios);
        report.at_most(peer.share);
    }
    connections(written.conversations, &ours[0], &peers, theirs, report);
    read_threads::run(setting, &file, written.packets, report)?;
    fs::remove_file(&file)?;
    open_connections(setting, report)
}

/// Packets per second, by the median.
pub(super) fn rate(packets: u64, times: &[f64]) -> String {
    format!("{:.2} M packets/s", packets as f64 / super::report::spread(times)[0] / 1e6)
}

/// Connections per second that one core takes: of all that were measured, and beside them what is published of tools that
/// cannot be measured here.
fn connections(conversations: u64, ours: &[f64], peers: &[&Peer], theirs: &[Vec<f64>], report: &mut Report) {
    let named = peers.iter().map(|peer| peer.name).zip(theirs.iter().map(Vec::as_slice));
    for (name, times) in std::iter::once(("rstprobe", ours)).chain(named) {
        let rates: Vec<f64> = times.iter().map(|time| conversations as f64 / time / 1e3).collect();
        report.add(SECTION, format!("connections on one core: {name}"), "k/s", &rates);
    }
    peers::published(SECTION, report);
}

fn installed(report: &mut Report) -> Vec<&'static Peer> {
    let (there, absent): (Vec<&Peer>, Vec<&Peer>) = PEERS.iter().partition(|peer| is_installed(peer.name));
    for peer in absent {
        report.skip(format!("{}: not installed (Debian package {})", peer.name, peer.package));
    }
    there
}

pub(super) fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(Into::into);
    std::env::split_paths(&folders).chain(usual).any(|folder| folder.join(program).is_file())
}

/// Runs a command; its time in seconds, or an error when it fails.
fn timed(setting: &Setting, cores: Cores, program: &Path, arguments: &[String]) -> io::Result<f64> {
    let mut command = match cores {
        Cores::One => {
            let mut command = Command::new("taskset");
            command.arg("-c").arg(setting.core.to_string()).arg(program);
            command
        }
        Cores::All => Command::new(program),
    };
    command.args(arguments);
    command.env("PATH", search_path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    let mut child = command.spawn()?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{} does not end", program.display())));
        }
        thread::sleep(TICK);
    };
    let took = begun.elapsed().as_secs_f64();
    if status.success() { Ok(took) } else { Err(io::Error::other(format!("{}: {status}", program.display()))) }
}

fn search_path() -> String {
    format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default())
}

/// What `rstprobe read` with these arguments takes for `file`, seconds.
pub(super) fn ours(setting: &Setting, arguments: &[&str], file: &Path, cores: Cores) -> io::Result<f64> {
    let mut all = vec!["read".to_owned()];
    all.extend(arguments.iter().map(|&argument| argument.to_owned()));
    all.push(file.to_string_lossy().into_owned());
    timed(setting, cores, &setting.binary, &all)
}

/// What another tool takes for `file`, seconds.
pub(super) fn peer_reads(setting: &Setting, peer: &Peer, file: &Path, cores: Cores) -> io::Result<f64> {
    let folder = setting.folder.join(peer.name);
    fs::create_dir_all(&folder)?;
    let took = timed(setting, cores, Path::new(peer.name), &peer.arguments(file, &folder));
    fs::remove_dir_all(&folder)?;
    took
}

/// Feeds open connections through a pipe that is then held open, and looks at the reader's memory meanwhile.
fn open_connections(setting: &Setting, report: &mut Report) -> io::Result<()> {
    let most = (2 * OPEN).to_string();
    let mut child = Command::new(&setting.binary)
        .args(["read", "--max-connections", &most, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let pipe = child.stdin.take().ok_or_else(|| io::Error::other("no pipe"))?;
    let mut pipe = BufWriter::with_capacity(1 << 16, pipe);
    capture::open(&mut pipe, setting.seed, 1)?;
    let before = settled(child.id())?;
    // A second file header would be damage: the rest goes without it.
    let mut rest = WithoutHeader { into: &mut pipe, skip: 24 };
    let written = capture::open(&mut rest, setting.seed, OPEN)?;
    pipe.flush()?;
    let after = settled(child.id())?;
    drop(pipe);
    let status = child.wait()?;
    if !status.success() {
        return Err(io::Error::other(format!("reading open connections: {status}")));
    }
    let each = after.saturating_sub(before) as f64 / written.conversations as f64;
    report.add(SECTION, format!("memory of each of {OPEN} open connections"), "bytes", &[each]);
    report.at_most(BYTES_PER_CONNECTION);
    Ok(())
}

struct WithoutHeader<W> {
    into: W,
    skip: usize,
}

impl<W: Write> Write for WithoutHeader<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        self.into.write_all(&bytes[skipped..])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

/// Memory of a process once it has not changed for half a second.
fn settled(process: u32) -> io::Result<u64> {
    let mut last = 0;
    let mut same = 0;
    for _ in 0..600 {
        thread::sleep(Duration::from_millis(100));
        let now = memory::resident(Some(process))?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        if same == 5 && now > 0 {
            break;
        }
    }
    Ok(last)
}
