//! `kill -9` in each mode: nothing stays in the kernel, or what does is recognised and removed on demand.

use std::{ffi::OsString, io, time::Instant};

use super::{
    Outcome, Verdict,
    census::{self, Census},
    ensure, kernel, row,
};
use crate::{
    netns::{ENDPOINT_INTERFACE, Loop, Namespace, Network, SINK},
    oneshot::OneShot,
    probe::Probe,
};

/// The first kernel whose tc programs hang on links, which go with their owner.
const TCX: (u32, u32) = (6, 6);

/// All of them, each a row of its own when it fails.
///
/// # Errors
/// When something stays.
pub fn every_mode() -> Outcome {
    let (network, mirror) = (Network::build()?, Loop::build()?);
    let legs = ["-i", "leg-client", "-i", "leg-server"];
    let sockets = ["-i", SINK, "--datapath", "afxdp", "--action", "drop"];
    let modes: [(&str, &Namespace, Vec<&str>); 4] = [
        ("native", &network.middle, legs.to_vec()),
        ("generic", &network.middle, [&legs[..], &["--mode", "generic"]].concat()),
        ("afxdp", &mirror.namespace, sockets.to_vec()),
        ("host", &network.server, vec!["-i", ENDPOINT_INTERFACE, "--host"]),
    ];
    let mut failed = vec![];
    for (name, namespace, words) in modes {
        let start = Instant::now();
        if let Err(error) = nothing_stays(namespace, &words) {
            failed.push(name);
            row(&format!("kill9/{name}"), &Err(error), start.elapsed().as_secs_f64());
        }
    }
    ensure(failed.is_empty(), format!("something stays: {}", failed.join(", ")))?;
    let detached = if kernel() < TCX { "--host by `detach`" } else { "" };
    Ok(Verdict::Holds(detached.to_owned()))
}

fn nothing_stays(namespace: &Namespace, words: &[&str]) -> io::Result<()> {
    let before = Census::take()?;
    let words: Vec<OsString> = ["snapshot", "--for", "1h"].iter().chain(words).map(OsString::from).collect();
    let probe = Probe::start(namespace, &words)?;
    ensure(!Census::take()?.since(&before).is_empty(), "nothing is loaded, so nothing could stay")?;
    // With SIGKILL: no chance to clean up.
    drop(probe);
    let is_host = words.iter().any(|word| word == "--host");
    if is_host && kernel() < TCX {
        return detached(namespace, &before);
    }
    before.await_return()?;
    clean(namespace, is_host)
}

/// A tc filter outlives its owner: the next `doctor` says so, and `detach` removes it and what it holds.
fn detached(namespace: &Namespace, before: &Census) -> io::Result<()> {
    ensure(!census::filters(namespace, ENDPOINT_INTERFACE)?.is_empty(), "no filter was there, so none could stay")?;
    let doctor = OneShot::new(["doctor", "-i", ENDPOINT_INTERFACE]).run_in(namespace)?;
    let reported = format!("{}{}", doctor.stdout, doctor.stderr);
    ensure(reported.contains("detach"), format!("doctor does not tell of the filter: {reported}"))?;
    let done = OneShot::new(["detach", "-i", ENDPOINT_INTERFACE]).run_in(namespace)?;
    ensure(done.status.success(), format!("detach: {}: {}", done.status, done.stderr))?;
    before.await_return()?;
    clean(namespace, true)
}

fn clean(namespace: &Namespace, is_host: bool) -> io::Result<()> {
    let rest = if is_host { census::filters(namespace, ENDPOINT_INTERFACE)? } else { vec![] };
    ensure(rest.is_empty(), format!("left behind: {}", rest.join("; ")))
}
