//! Plays situations side by side, each with its own server, ports and folder, under captures and live probes at both ends.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, File, Permissions},
    io::{self, Read},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use super::{
    network::{CLIENT, SERVER, ZooNetwork},
    port_of,
    situation::Situation,
};
use crate::{
    lab::capture::{self, Recorder},
    netns::{ENDPOINT_INTERFACE, Namespace},
    probe::Probe,
    sys, tier,
};

/// Where verdicts come from.
pub const PLACES: [&str; 4] = ["client capture", "server capture", "client live", "server live"];

const PRELUDE: &str = include_str!("prelude.sh");
const PYTHON: &str = include_str!("zoo.py");
const NODE: &str = include_str!("zoo.js");
/// What every situation needs.
const EVERYWHERE: [&str; 9] = ["bash", "curl", "ethtool", "ip", "nsenter", "openssl", "python3", "sysctl", "tcpdump"];
/// So many situations go on at a time.
const AT_ONCE: usize = 6;
/// A server that does not listen after this time does not start.
const START: Duration = Duration::from_secs(20);
/// A client's script that lasts longer hangs.
const CLIENT_LIMIT: Duration = Duration::from_secs(25);
/// What is still on the way when the client's script ends.
const SETTLE: Duration = Duration::from_millis(250);
const LIMIT: &str = "20m";

/// What came of it.
#[derive(Debug)]
pub struct Played {
    /// Each situation with its number, and why it was not played.
    pub situations: Vec<(usize, Situation, Option<String>)>,
    /// Captures at the client's and at the server's interface.
    pub captures: [PathBuf; 2],
    /// The probe's documents, as [`PLACES`].
    pub documents: [Value; 4],
}

/// Plays `situations` (with their numbers), everything that is kept goes to `directory`.
///
/// # Errors
/// When the network cannot be built, or a capture or a probe does not run.
pub fn play(situations: Vec<(usize, Situation)>, directory: &Path) -> io::Result<Played> {
    play_under(situations, directory, &Conditions::default())
}

/// What is done while network and servers are still there, once the captures are written.
pub type Stay<'a> = &'a dyn Fn(&ZooNetwork);

/// What a play may do besides.
#[derive(Default)]
pub struct Conditions<'a> {
    /// The line loses so many of a hundred frames each way.
    pub loss_percent: u8,
    /// What is done before network and servers go.
    pub stay: Option<Stay<'a>>,
}

/// As [`play`], under other conditions.
///
/// # Errors
/// As [`play`].
pub fn play_under(
    situations: Vec<(usize, Situation)>,
    directory: &Path,
    conditions: &Conditions<'_>,
) -> io::Result<Played> {
    prepare(directory)?;
    let network = ZooNetwork::build(conditions.loss_percent)?;
    let ends = [("client", &network.client), ("server", &network.server)];
    let mut recorders = vec![];
    let mut probes = vec![];
    for (name, end) in ends {
        let file = directory.join(name).with_extension("pcap");
        recorders.push(Recorder::start_filtered(end, ENDPOINT_INTERFACE, true, "tcp or icmp or icmp6", file)?);
        let json = directory.join(format!("{name}-live.json"));
        probes.push((Probe::start(end, &words(&json))?, json));
    }
    let servers = conditions.stay.map(|_| Mutex::new(vec![]));
    let skipped = play_all(&network, &situations, directory, servers.as_ref());
    thread::sleep(SETTLE);
    let mut live = vec![];
    for (probe, json) in probes {
        let finished = probe.stop()?;
        if !finished.status.success() {
            return Err(io::Error::other(format!("rstprobe ended with {}:\n{}", finished.status, finished.stderr)));
        }
        live.push(serde_json::from_slice(&fs::read(json)?).map_err(io::Error::other)?);
    }
    let [near, far] = [recorders.remove(0).stop()?, recorders.remove(0).stop()?];
    if let Some(stay) = conditions.stay {
        stay(&network);
    }
    drop(servers);
    drop(network);
    let documents = [capture::read(&near, &[])?, capture::read(&far, &[])?, live.remove(0), live.remove(0)];
    let situations = situations.into_iter().zip(skipped).map(|((at, situation), why)| (at, situation, why)).collect();
    Ok(Played { situations, captures: [near, far], documents })
}

fn words(json: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> =
        ["snapshot", "--host", "-i", ENDPOINT_INTERFACE, "--for", LIMIT, "--json-out"].map(Into::into).into();
    words.push(json.into());
    words
}

/// Files that all scripts share. PostgreSQL does not run as root: it must be able to walk here.
///
/// The directory must be empty: scripts wait for files, and one of an earlier run would let them go on at once.
fn prepare(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    if fs::read_dir(directory)?.next().is_some() {
        let why = format!("{}: not empty; name a directory that is new or empty", directory.display());
        return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, why));
    }
    fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    for (name, text) in [("prelude.sh", PRELUDE), ("zoo.py", PYTHON), ("zoo.js", NODE)] {
        fs::write(directory.join(name), text)?;
    }
    let status = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=zoo", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(directory)
        .stderr(Stdio::null())
        .status()
        .map_err(|error| io::Error::new(error.kind(), format!("openssl: {error}; `cargo xtask setup` installs it")))?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("openssl made no certificate: {status}"))) }
}

/// Why each was not played, in their order. Servers that are to stay are handed to `servers`.
fn play_all(
    network: &ZooNetwork,
    situations: &[(usize, Situation)],
    directory: &Path,
    servers: Option<&Mutex<Vec<Group>>>,
) -> Vec<Option<String>> {
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..situations.len()).collect());
    let skipped: Mutex<Vec<Option<String>>> = Mutex::new(vec![None; situations.len()]);
    let next = || queue.lock().ok().and_then(|mut queue| queue.pop_front());
    let work = || {
        while let Some(at) = next() {
            let (number, situation) = &situations[at];
            let why = missing(situation).or_else(|| {
                let stage = Stage { network, situation, port: port_of(*number), run: directory, servers };
                stage.play().err().map(|error| error.to_string())
            });
            if let (Some(why), Ok(mut skipped)) = (why, skipped.lock()) {
                skipped[at] = Some(why);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    skipped.into_inner().unwrap_or_default()
}

/// Why none of it can be played here: what all situations need and is not installed.
pub fn obstacle() -> Option<String> {
    let absent: Vec<&str> = EVERYWHERE.iter().copied().filter(|program| !is_here(program)).collect();
    (!absent.is_empty()).then(|| format!("{} not installed; `cargo xtask setup` installs it", absent.join(", ")))
}

/// What a situation needs and is not here.
pub fn missing(situation: &Situation) -> Option<String> {
    let absent: Vec<&str> = situation.needs.iter().copied().filter(|program| !is_here(program)).collect();
    (!absent.is_empty()).then(|| format!("{} not installed; `cargo xtask setup` installs it", absent.join(", ")))
}

fn is_here(program: &str) -> bool {
    if let Some(module) = program.strip_prefix("python3-") {
        return Path::new("/usr/lib/python3/dist-packages").join(module).is_dir();
    }
    if program == "postgres" {
        return fs::read_dir("/usr/lib/postgresql").is_ok_and(|mut versions| versions.next().is_some());
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/bin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&folders).chain(usual).any(|folder| folder.join(program).is_file())
}

/// One situation with its place in the network.
struct Stage<'a> {
    network: &'a ZooNetwork,
    situation: &'a Situation,
    port: u16,
    run: &'a Path,
    /// Where servers go that outlive their situation.
    servers: Option<&'a Mutex<Vec<Group>>>,
}

impl Stage<'_> {
    fn play(&self) -> io::Result<()> {
        let folder = self.run.join(self.situation.name);
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
        let server = match &*self.situation.server {
            "" => None,
            script => Some(self.script(&self.network.server, script, &folder, "server")?),
        };
        if let Some(server) = &server {
            self.await_listening(server, &folder)?;
        }
        let mut client = self.script(&self.network.client, &self.situation.client, &folder, "client")?;
        let ended = client.wait(CLIENT_LIMIT);
        thread::sleep(SETTLE);
        drop(client);
        if let (Some(server), Some(Ok(mut staying))) = (server, self.servers.map(Mutex::lock)) {
            staying.push(server);
        }
        match ended? {
            Some(_) => Ok(()),
            None => Err(io::Error::other(format!("its client's script does not end in {CLIENT_LIMIT:?}"))),
        }
    }

    fn script(&self, namespace: &Namespace, script: &str, folder: &Path, name: &str) -> io::Result<Group> {
        let text = format!(". {}\n{script}\n", self.run.join("prelude.sh").display());
        fs::write(folder.join(name).with_extension("sh"), &text)?;
        let log = File::create(folder.join(name).with_extension("log"))?;
        let mut command = Command::new("bash");
        command.arg("-c").arg(text).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let [client, server, server6] = [CLIENT[0], SERVER[0], SERVER[1]].map(|address| address.to_string());
        command.env("C", client).env("S", server).env("S6", server6).env("DIR", folder).env("RUN", self.run);
        command.env("ZOO", self.run).env("CLIENT_NS", self.network.client.name());
        command.env("ROUTER", self.network.router.name()).env("SERVER_NS", self.network.server.name());
        for (name, offset) in [("PORT", 0), ("PORT1", 1), ("PORT2", 2), ("PORT3", 3)] {
            command.env(name, (self.port + offset).to_string());
        }
        let cpu = self.network.cpu;
        let child = namespace.enter(|| {
            // A child stays where the thread that starts it is.
            sys::pin_to_cpu(cpu)?;
            command.spawn().map_err(|error| io::Error::new(error.kind(), format!("bash: {error}")))
        })?;
        Ok(Group { child, done: false })
    }

    /// Looks into the table of sockets: connecting would leave a connection.
    fn await_listening(&self, server: &Group, folder: &Path) -> io::Result<()> {
        let end = Instant::now() + tier::patient(START);
        while Instant::now() < end {
            if is_listening(server.child.id(), self.port) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        let mut said = String::new();
        File::open(folder.join("server.log"))?.read_to_string(&mut said)?;
        let last = said.lines().last().unwrap_or("nothing");
        Err(io::Error::other(format!("its server does not listen on port {}; it said: {last}", self.port)))
    }
}

/// Whether a socket listens on `port` in the network namespace of process `pid`.
fn is_listening(pid: u32, port: u16) -> bool {
    let wanted = format!(":{port:04X}");
    ["tcp", "tcp6"].iter().any(|table| {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        text.lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next().is_some_and(|local| local.ends_with(&wanted)) && words.nth(1) == Some("0A")
        })
    })
}

/// A script with all that it started, ended when dropped.
struct Group {
    child: Child,
    done: bool,
}

impl Group {
    /// Waits until the script ends; `None` when it does not.
    fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let end = Instant::now() + tier::patient(limit);
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                self.done = true;
                return Ok(Some(status));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(None)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The group outlives its leader where a script left something in the background.
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed())
            && kill_process_group(pid, Signal::KILL).is_err()
        {
            // Nobody is left.
        }
        if !self.done && self.child.wait().is_err() {
            tier::say("a script of the zoo could not be reaped");
        }
    }
}
