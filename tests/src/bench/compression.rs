//! Compression in and out, on all processors: `read` of compressed captures against the programs that only decompress them, and
//! JSON lines with `--compress` against plain ones.

use std::{
    fs::{self, File},
    io::{self, BufWriter},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use super::{Report, Setting, capture};

const SECTION: &str = "compression";
/// What compresses, what only decompresses, and how many times the latter's time reading may take; not for zstd, which is faster
/// than anyone could look at the packets.
const TOOLS: [(&str, &str, Option<f64>); 2] = [("gzip", "zcat", Some(1.1)), ("zstd", "zstdcat", None)];

/// The section.
///
/// # Errors
/// When a capture cannot be written or a program not run.
pub fn run(setting: &Setting, report: &mut Report) -> io::Result<()> {
    let file = setting.folder.join("compressed.pcap");
    let into = BufWriter::with_capacity(1 << 20, File::create(&file)?);
    capture::mixed(into, setting.seed, setting.packets, setting.gap_us)?;
    for (pack, unpack, most) in TOOLS {
        let packed = setting.folder.join(format!("compressed.pcap.{pack}"));
        if !is_done(Command::new(pack).arg("-c").arg(&file).stdout(File::create(&packed)?)) {
            report.skip(format!("{pack}: not installed (Debian package {pack})"));
            continue;
        }
        let read = |file: &Path| timed(Command::new(&setting.binary).arg("read").arg(file));
        let [plain, theirs, ours] =
            in_turn(setting, [&|| read(&file), &|| timed(Command::new(unpack).arg(&packed)), &|| read(&packed)])?;
        report.add(SECTION, format!("rstprobe read, plain, beside {pack}"), "s", &plain);
        report.add(SECTION, format!("{unpack} of the capture"), "s", &theirs);
        report.add(SECTION, format!("rstprobe read of the capture by {pack}"), "s", &ours);
        report.add(SECTION, format!("rstprobe read by {pack} / {unpack}"), "", &ratios(&ours, &theirs));
        if let Some(most) = most {
            report.at_most(most);
        }
        fs::remove_file(packed)?;
    }
    output(setting, report, &file)?;
    fs::remove_file(file)
}

/// JSON lines, plain and compressed.
fn output(setting: &Setting, report: &mut Report, file: &Path) -> io::Result<()> {
    let lines = |words: &[&str]| {
        timed(Command::new(&setting.binary).args(["read", "--format", "ndjson"]).args(words).arg(file))
    };
    let all =
        in_turn(setting, [&|| lines(&[]), &|| lines(&["--compress", "gzip"]), &|| lines(&["--compress", "zstd"])])?;
    for (times, name) in all.iter().zip(["", " --compress gzip", " --compress zstd"]) {
        report.add(SECTION, format!("rstprobe read --format ndjson{name}"), "s", times);
        if !name.is_empty() {
            report.add(SECTION, format!("ndjson{name} / ndjson"), "", &ratios(times, &all[0]));
        }
    }
    Ok(())
}

fn ratios(times: &[f64], others: &[f64]) -> Vec<f64> {
    times.iter().zip(others).map(|(time, other)| time / other).collect()
}

/// Seconds of each, measured in turn; the first round, after which everything is in memory, does not count.
fn in_turn<const N: usize>(setting: &Setting, all: [&dyn Fn() -> io::Result<f64>; N]) -> io::Result<[Vec<f64>; N]> {
    let mut times = [const { Vec::new() }; N];
    for round in 0..=setting.rounds {
        for (times, measure) in times.iter_mut().zip(all) {
            let took = measure()?;
            if round > 0 {
                times.push(took);
            }
        }
    }
    Ok(times)
}

fn timed(command: &mut Command) -> io::Result<f64> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begun = Instant::now();
    let status = command.status()?;
    let took = begun.elapsed().as_secs_f64();
    if status.success() { Ok(took) } else { Err(io::Error::other(format!("{command:?}: {status}"))) }
}

/// Whether a program is there and did it.
fn is_done(command: &mut Command) -> bool {
    command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
