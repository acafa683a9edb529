//! The agent under a load that does not end soon: nothing lost unsaid, nothing growing, nothing leaking, and books that
//! balance, also when it is stopped for seconds in the middle.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    mixture::{Mixture, ROUND},
    netns::{Loop, SINK, SOURCE},
    probe, sys,
};

/// Between two looks at the agent's memory and files.
const LOOK: Duration = Duration::from_millis(500);
/// Loading, attaching, and the final drain take less.
const PATIENCE: Duration = Duration::from_mins(1);
/// Memory may be so much more in the last fifth than in the second, percent.
const GROWTH_PERCENT: u64 = 5;
/// Shorter runs say nothing about growth: tables and rows are still being filled.
const SETTLED: Duration = Duration::from_mins(2);

/// When a run is over.
#[derive(Clone, Copy, Debug)]
pub enum Enough {
    /// After at least so many segments.
    Packets(u64),
    /// After so long.
    Time(Duration),
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is sent.
    pub mixture: Mixture,
    /// For how long.
    pub enough: Enough,
    /// The agent is stopped so long in the middle (SIGSTOP, SIGCONT).
    pub pause: Option<Duration>,
    /// Further words for `rstprobe run`.
    pub words: Vec<String>,
}

/// The agent at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    /// Resident memory, bytes.
    pub resident: u64,
    /// Open file descriptors.
    pub files: u64,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Segments sent.
    pub sent: u64,
    /// Segments that the veth pair lost before the probe.
    pub dropped: u64,
    /// How long it took.
    pub took: Duration,
    /// The agent's summary.
    pub summary: Value,
    /// Connections it printed.
    pub connections: u64,
    /// Whether it ended well, and what it said.
    pub ended: Result<(), String>,
    /// The agent, every [`LOOK`].
    pub looks: Vec<Look>,
}

/// A running agent, whose lines are counted and not kept.
struct Agent {
    child: Child,
    reader: JoinHandle<io::Result<(u64, Value)>>,
    errors: JoinHandle<io::Result<String>>,
}

impl Agent {
    fn start(place: &Loop, words: &[String]) -> io::Result<Self> {
        let mut command = Command::new(probe::binary());
        command.args(["run", "-i", SINK, "--action", "drop", "--format", "ndjson"]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A child begins in the namespace of the thread that starts it.
        let mut child = place.namespace.enter(|| command.spawn())?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut stderr = BufReader::new(child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let mut said = String::new();
        stderr.read_line(&mut said)?;
        let errors = thread::spawn(move || io::read_to_string(stderr).map(|rest| said + &rest));
        Ok(Self { child, reader: thread::spawn(move || summary(BufReader::new(stdout))), errors })
    }

    fn look(&self) -> io::Result<Look> {
        let folder = format!("/proc/{}", self.child.id());
        let status = fs::read_to_string(format!("{folder}/status"))?;
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        let resident = kilobytes.and_then(|text| text.parse::<u64>().ok()).ok_or(io::ErrorKind::InvalidData)? << 10;
        Ok(Look { resident, files: fs::read_dir(format!("{folder}/fd"))?.count() as u64 })
    }

    fn stop(mut self) -> io::Result<(Result<(), String>, u64, Value)> {
        sys::interrupt(self.child.id())?;
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > end {
                self.child.kill()?;
                break self.child.wait()?;
            }
            thread::sleep(Duration::from_millis(10));
        };
        let broken = || io::Error::other("a reader panicked");
        let said = self.errors.join().map_err(|_| broken())??;
        let (connections, summary) = self.reader.join().map_err(|_| broken())??;
        let ended = if status.success() { Ok(()) } else { Err(format!("{status}: {said}")) };
        Ok((ended, connections, summary))
    }
}

/// Counts lines, and parses the last one.
fn summary(reader: impl BufRead) -> io::Result<(u64, Value)> {
    let (mut connections, mut summary) = (0, Value::Null);
    for line in reader.lines() {
        let line = line?;
        if line.starts_with(r#"{"schema":"rstprobe.summary/"#) {
            summary = serde_json::from_str(&line).map_err(io::Error::other)?;
        } else {
            connections += 1;
        }
    }
    Ok((connections, summary))
}

impl Plan {
    /// Runs it, in a namespace of its own.
    ///
    /// # Errors
    /// When the agent cannot be started or the load not be made.
    ///
    /// # Panics
    /// When a sending thread does.
    pub fn run(&self) -> io::Result<Outcome> {
        let place = Loop::build_wide()?;
        let agent = Agent::start(&place, &self.words)?;
        let cpus = self.mixture.senders()? as u64;
        let (begin, sent_by_one, over) = (Instant::now(), AtomicU64::new(0), AtomicBool::new(false));
        // 0 to 1.
        let progress = |sent: u64| match self.enough {
            Enough::Packets(packets) => sent as f64 * cpus as f64 / packets as f64,
            Enough::Time(time) => begin.elapsed().as_secs_f64() / time.as_secs_f64(),
        };
        let enough = |sent: u64| {
            sent_by_one.fetch_max(sent, Ordering::Relaxed);
            progress(sent) >= 1.0
        };
        let (sent, looks) = thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let sent = place.namespace.enter(|| self.mixture.send(sys::interface_index(SOURCE)?, enough));
                over.store(true, Ordering::Relaxed);
                sent
            });
            let looks = self.watch(&agent, &over, || progress(sent_by_one.load(Ordering::Relaxed)));
            (sending.join().expect("the sender does not panic"), looks)
        });
        let took = begin.elapsed();
        // What is in the rings is taken within a tick.
        thread::sleep(Duration::from_millis(200));
        let (ended, connections, summary) = agent.stop()?;
        Ok(Outcome { sent: sent?, dropped: dropped(&place)?, took, summary, connections, ended, looks: looks? })
    }

    /// Looks at the agent until it is over, and stops it for a while in the middle.
    fn watch(&self, agent: &Agent, over: &AtomicBool, progress: impl Fn() -> f64) -> io::Result<Vec<Look>> {
        let (mut looks, mut pause) = (vec![], self.pause);
        while !over.load(Ordering::Relaxed) {
            thread::sleep(LOOK);
            looks.push(agent.look()?);
            if progress() >= 0.5
                && let Some(pause) = pause.take()
            {
                sys::pause(agent.child.id(), true)?;
                thread::sleep(pause);
                sys::pause(agent.child.id(), false)?;
            }
        }
        Ok(looks)
    }
}

fn dropped(place: &Loop) -> io::Result<u64> {
    let text = place.namespace.ip(&format!("-json -stats link show dev {SOURCE}"))?;
    let shown: Value = serde_json::from_str(&text)?;
    shown[0]["stats64"]["tx"]["dropped"].as_u64().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

impl Outcome {
    fn number(&self, path: &str) -> u64 {
        self.summary.pointer(path).and_then(Value::as_u64).unwrap_or(u64::MAX >> 8)
    }

    /// Everything that is not as it must be, each with its name.
    pub fn wrong(&self) -> Vec<String> {
        let mut wrong: Vec<String> = self.ended.clone().err().into_iter().collect();
        let mut equal = |name: String, left: u64, right: u64| {
            if left != right {
                wrong.push(format!("{name}: {left} and {right}, which differ by {}", left.abs_diff(right)));
            }
        };
        let books = |name: &str| self.number(&format!("/books/{name}"));
        let lost = |name: &str| self.number(&format!("/losses/{name}"));
        equal("the books' own difference, and none".into(), books("difference"), 0);
        equal("sent and seen".into(), self.sent, books("frames") + self.dropped);
        let ways = ["in_slots", "logged", "untracked", "untracked_data", "flooded", "shed", "passed_by"];
        equal("segments, and where they went".into(), books("tcp"), ways.iter().map(|way| books(way)).sum());
        let flooded =
            ["syn", "syn_ack", "rst"].iter().map(|flag| lost(&format!("flood.{flag}_untracked"))).sum::<u64>();
        equal("flooded, and named as lost or found again".into(), books("flooded"), flooded + books("flood.claimed"));
        for flag in ["syn", "syn_ack", "fin", "rst"] {
            let seen = books(&format!("seen.{flag}"));
            if self.dropped == 0 {
                equal(format!("{flag} sent and seen"), self.sent / u64::from(ROUND), seen);
            }
            let side = |side: &str| self.number(&format!("/{flag}/{side}"));
            let followed = side("client") + side("server") + side("unknown");
            let flooded = if flag == "fin" { 0 } else { lost(&format!("flood.{flag}_untracked")) };
            equal(
                format!("{flag} seen, and in connections or counters"),
                seen,
                followed + flooded + lost(&format!("untracked.{flag}")),
            );
        }
        equal("printed or counted as not printed".into(), lost("unlisted_connections"), 0);
        wrong.extend(self.growth());
        wrong
    }

    /// Growth of memory and files from the second fifth of the run to the last.
    fn growth(&self) -> Vec<String> {
        let fifth = self.looks.len() / 5;
        if self.took < SETTLED || fifth == 0 {
            return vec![];
        }
        let median = |from: usize, of: fn(&Look) -> u64| {
            let mut values: Vec<u64> = self.looks[from..from + fifth].iter().map(of).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        let mut grown = vec![];
        let (early, late) = (median(fifth, |look| look.resident), median(4 * fifth, |look| look.resident));
        if late * 100 > early * (100 + GROWTH_PERCENT) {
            grown.push(format!("memory grew from {early} to {late} bytes"));
        }
        let (early, late) = (median(fifth, |look| look.files), median(4 * fifth, |look| look.files));
        if late > early {
            grown.push(format!("open files grew from {early} to {late}"));
        }
        grown
    }

    /// A few lines for people.
    pub fn report(&self) -> String {
        let memory = |look: Option<&Look>| look.map_or(0, |look| look.resident >> 20);
        let books = self.summary["books"].as_object();
        let counts: Vec<String> = books.into_iter().flatten().map(|(name, count)| format!("{name} {count}")).collect();
        let seconds = self.took.as_secs_f64();
        format!(
            "{} segments in {seconds:.1} s ({:.2} M/s), {} lost before the probe; {} connections printed, {} not\n\
             agent: {} to {} MiB, {} to {} files; an epoch took {:.0} ms on average\n{}",
            self.sent,
            self.sent as f64 / seconds / 1e6,
            self.dropped,
            self.connections,
            self.number("/losses/not_printed"),
            memory(self.looks.first()),
            memory(self.looks.last()),
            self.looks.first().map_or(0, |look| look.files),
            self.looks.last().map_or(0, |look| look.files),
            seconds * 1e3 / self.number("/books/epochs") as f64,
            counts.join(", ")
        )
    }
}
