//! A tun device: frames begin with an IP header, five connections are staged on it and all are reported.

use std::{ffi::OsString, io, thread, time::Duration};

use super::{
    Outcome, Verdict, ensure,
    load::start_counted,
    traffic::{connections, document},
};
use crate::{
    conversation::Conversation,
    frame::Station,
    netns::{CLIENT_MAC, Family, Loop, SERVER_MAC},
    sys::tun::Tun,
};

const DEVICE: &str = "tun0";
/// What is before the IP header in a frame of Ethernet.
const ETHERNET: usize = 14;
/// Five ways to go: two ends in order, an abort, a refusal, one that stays open.
const SCRIPTS: [&str; 5] = [
    ">S <SA >A >A100 <A <FA >A >FA <A",
    ">S <SA >A <A200 >A >FA <A <FA >A",
    ">S <SA >A >A100 <RA",
    ">S <RA",
    ">S <SA >A >A10 <A",
];

/// Generic mode, the way for devices without Ethernet, and egress.
///
/// # Errors
/// When the five are not reported as five.
pub fn five_connections() -> Outcome {
    // Only its namespace is wanted.
    let network = Loop::build()?;
    let device = network.namespace.enter(|| Tun::create(DEVICE))?;
    network.namespace.ip(&format!("address add 10.79.0.1/24 dev {DEVICE}"))?;
    network.namespace.ip(&format!("link set {DEVICE} up"))?;
    let words = ["snapshot", "-i", DEVICE, "--mode", "generic", "--host", "--for", "1h", "--format", "json"];
    let probe = start_counted(&network.namespace, &words.map(OsString::from), "tun host")?;
    for (number, script) in SCRIPTS.iter().enumerate() {
        let port = 40_000 + u16::try_from(number).map_err(io::Error::other)?;
        let client = Station { mac: CLIENT_MAC, ip: Family::V4.client(), port };
        let server = Station { mac: SERVER_MAC, ip: Family::V4.server(), port: 80 };
        for frame in Conversation::new(client, server, [1000, 2000]).frames(script)? {
            device.receive(&frame[ETHERNET..])?;
        }
    }
    thread::sleep(Duration::from_secs(1));
    let snapshot = document(probe)?;
    let found = connections(&snapshot).len();
    ensure(found == SCRIPTS.len(), format!("{found} connections of {}: {}", SCRIPTS.len(), snapshot["summary"]))?;
    Ok(Verdict::Holds(format!("{found} connections")))
}
