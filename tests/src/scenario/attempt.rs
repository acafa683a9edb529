//! Attempts that never become a connection: refused, unanswered, scanned.

use std::{io, net::TcpStream, thread, time::Duration};

use super::{Expectation, NONE, ONE_RST, ORDERLY, SILENT, SOME, Scenario, Sent, Stage, crossing};
use crate::{frame::TcpFrame, tier};

/// Source ports of raw frames: below the ephemeral range, apart from the servers'.
pub(super) const RAW_PORT_OFFSET: u16 = 5_000;
pub(super) const ISN: u32 = 0x1234_5678;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            id: "refused_port",
            description: "SYN to a port where nobody listens: RST",
            play: refused_port,
            expected: Expectation {
                causes: &["refused_closed_port"],
                states: &["REJ"],
                opening: &["refused"],
                closing: &["refused"],
                reset_by: &["server"],
                client: SILENT,
                server: ONE_RST,
                ..ORDERLY
            },
        },
        Scenario {
            id: "silent_address",
            description: "SYN to an address with nobody behind it: no answer",
            play: silent_address,
            expected: Expectation {
                causes: &["never_answered"],
                states: &["S0"],
                opening: &["unanswered"],
                closing: &["never_answered"],
                reset_by: &["none"],
                client: SILENT,
                server: SILENT,
                ..ORDERLY
            },
        },
        Scenario {
            id: "syn_scan",
            description: "raw SYN, SYN-ACK, RST by the client's kernel, which knows of no connection",
            play: syn_scan,
            expected: Expectation {
                causes: &["half_open_scan"],
                states: &["RSTO"],
                opening: &["half_open"],
                closing: &["rst_only"],
                reset_by: &["client"],
                client: ONE_RST,
                server: SILENT,
                ..ORDERLY
            },
        },
        Scenario {
            id: "syn_then_rst",
            description: "raw SYN and RST by the client, before anybody answered",
            play: syn_then_rst,
            expected: Expectation {
                causes: &["syn_then_rst_no_answer"],
                states: &["RSTOS0"],
                opening: &["unanswered"],
                closing: &["rst_only"],
                reset_by: &["client"],
                client: ONE_RST,
                server: SILENT,
                ..ORDERLY
            },
        },
        Scenario {
            id: "rst_without_connection",
            description: "raw RST by the client that belongs to no connection",
            play: rst_without_connection,
            expected: Expectation {
                causes: &["rst_without_connection"],
                states: &["OTH"],
                opening: &["not_seen"],
                closing: &["rst_without_connection"],
                reset_by: &["client", "unknown"],
                client: Sent { fin: NONE, rst: SOME },
                server: SILENT,
                ..ORDERLY
            },
        },
    ]
}

fn refused_port(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    match stage.dial(stage.service(), tier::patient(Duration::from_secs(2))) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(vec![]),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("somebody listens")),
    }
}

fn silent_address(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    // Shorter than the first SYN retransmission (1 s, RFC 6298): exactly one SYN.
    match stage.dial((stage.family.nobody(), stage.port).into(), Duration::from_millis(300)) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(vec![]),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("somebody answered")),
    }
}

fn syn_scan(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let _listener = stage.listen()?;
    let scanner = stage.client_station(stage.port + RAW_PORT_OFFSET);
    stage.send_from_client(&TcpFrame::new(scanner, stage.server_station(), ISN).syn())?;
    // The RST must reach the listener's half-open connection before the listener goes away.
    thread::sleep(crossing());
    Ok(vec![])
}

fn syn_then_rst(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let (client, nobody) = (stage.client_station(stage.port + RAW_PORT_OFFSET), stage.nobody_station());
    stage.send_from_client(&TcpFrame::new(client, nobody, ISN).syn())?;
    thread::sleep(crossing());
    stage.send_from_client(&TcpFrame::new(client, nobody, ISN + 1).rst())?;
    Ok(vec![])
}

fn rst_without_connection(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let client = stage.client_station(stage.port + RAW_PORT_OFFSET);
    stage.send_from_client(&TcpFrame::new(client, stage.server_station(), ISN).rst())?;
    Ok(vec![])
}
