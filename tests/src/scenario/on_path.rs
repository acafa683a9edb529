//! Scenarios of third parties: what a box between, a scanner or a confused host puts on the wire: raw frames where no socket would send them.

use std::{io, net::TcpStream, thread};

use super::{
    Expectation, NONE, ONE_RST, ORDERLY, SILENT, SOME, Scenario, Sent, Stage,
    attempt::{ISN, RAW_PORT_OFFSET},
    crossing,
    forged::{DEVICE_IP_ID, DEVICE_TTL, busy},
    stage::{Ends, expect_fin, expect_reset},
};
use crate::{
    frame::{LINUX_TTL, Station, TcpFrame},
    netns::NOBODY_MAC,
    sys,
};

/// From a scenario's port to a second one of its own, whose records are not asked for.
const SIDE_DOOR: u16 = 2_500;
/// Within any receive window, and not its left edge.
const INEXACT: u32 = 10;

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = of_boxes();
    all.extend(of_hosts());
    all
}

fn of_boxes() -> Vec<Scenario> {
    vec![
        Scenario {
            id: "refused_by_firewall",
            description: "a firewall refuses a SYN in the name of a server that was heard of before, with another TTL",
            play: refused_by_firewall,
            expected: Expectation {
                causes: &["refused_by_firewall"],
                states: &["REJ"],
                opening: &["refused"],
                closing: &["refused"],
                reset_by: &["middle"],
                client: SILENT,
                server: ONE_RST,
                ..ORDERLY
            },
        },
        Scenario {
            id: "explained_in_words",
            description: "the RST carries text",
            play: explained_in_words,
            expected: Expectation {
                causes: &["explained"],
                states: &["RSTR"],
                closing: &["rst_only"],
                reset_by: &["server"],
                client: SILENT,
                server: ONE_RST,
                ..ORDERLY
            },
        },
        Scenario {
            id: "unknown_address",
            description: "the server's data reach the client from an address that it never spoke to: RST by the client",
            play: unknown_address,
            expected: Expectation {
                records: 2,
                causes: &["no_state", "none"],
                at_least: Some(("no_state", 1)),
                states: &["OTH", "SF"],
                opening: &["completed", "not_seen"],
                closing: &["rst_only", "two_fins"],
                reset_by: &["client", "none"],
                client: Sent { fin: 0..=u64::MAX, rst: 0..=1 },
                server: Sent { fin: 0..=u64::MAX, rst: NONE },
            },
        },
    ]
}

fn of_hosts() -> Vec<Scenario> {
    vec![
        Scenario {
            id: "challenge_confirmed",
            description: "an inexact RST of a client that forgot all: challenge ACK, exact RST",
            play: challenge_confirmed,
            expected: Expectation {
                causes: &["challenge_confirmed"],
                states: &["RSTO"],
                closing: &["rst_only"],
                reset_by: &["client"],
                client: Sent { fin: NONE, rst: SOME },
                server: SILENT,
                ..ORDERLY
            },
        },
        Scenario {
            id: "ack_scan",
            description: "an ACK out of nowhere to a closed port: RST",
            play: ack_scan,
            expected: Expectation {
                causes: &["no_state", "rst_without_connection"],
                states: &["OTH"],
                opening: &["not_seen"],
                closing: &["rst_only", "rst_without_connection"],
                reset_by: &["server", "unknown"],
                client: SILENT,
                server: ONE_RST,
                ..ORDERLY
            },
        },
        Scenario {
            id: "fin_scan",
            description: "a FIN out of nowhere to a closed port: RST",
            play: fin_scan,
            expected: Expectation {
                causes: &["no_state", "unknown"],
                states: &["OTH", "RSTRH"],
                opening: &["not_seen"],
                closing: &["fin_and_rst"],
                reset_by: &["server", "unknown"],
                client: Sent { fin: SOME, rst: NONE },
                server: ONE_RST,
                ..ORDERLY
            },
        },
    ]
}

fn refused_by_firewall(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    // What the server's own TTL is, a connection to another of its ports shows.
    let listener = stage.listen_at_port(stage.port + SIDE_DOOR)?;
    let Ends { client, mut server } = stage.meet(&listener)?;
    drop(client);
    expect_fin(&mut server)?;
    drop(server);
    thread::sleep(crossing());
    // To a MAC of nobody: the server must not answer as well.
    let near = stage.client_station(stage.port + RAW_PORT_OFFSET);
    let far = Station { mac: NOBODY_MAC, ..stage.server_station() };
    stage.send_from_client(&TcpFrame::new(near, far, ISN).syn())?;
    thread::sleep(crossing());
    let refusal = TcpFrame::new(far, near, 0).rst().ack(ISN + 1).window(0).stamped(DEVICE_TTL, 0);
    stage.send_from_server(&refusal)?;
    Ok(vec![])
}

fn explained_in_words(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let (Ends { client, server }, next, port) = busy(stage)?;
    let rst = TcpFrame::new(stage.server_station(), stage.client_station(port), next.receive).rst().ack(next.send);
    stage.send_from_server(&rst.stamped(LINUX_TTL, DEVICE_IP_ID).payload(b"Blocked by policy 7"))?;
    expect_reset(&client)?;
    Ok(vec![server])
}

fn unknown_address(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let (Ends { client, mut server }, next, port) = busy(stage)?;
    let wrong = Station { ip: stage.family.second_server(), ..stage.server_station() };
    let data = TcpFrame::new(wrong, stage.client_station(port), next.receive).ack(next.send).payload(&[b'x'; 100]);
    stage.send_from_server(&data)?;
    thread::sleep(crossing());
    drop(client);
    expect_fin(&mut server)?;
    Ok(vec![])
}

fn challenge_confirmed(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let (Ends { client, server }, next, port) = busy(stage)?;
    thread::sleep(crossing());
    sys::forget(client)?;
    let inexact = TcpFrame::new(stage.client_station(port), stage.server_station(), next.send + INEXACT).rst();
    stage.send_from_client(&inexact)?;
    expect_reset(&server)?;
    Ok(vec![])
}

fn ack_scan(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let scanner = stage.client_station(stage.port + RAW_PORT_OFFSET);
    stage.send_from_client(&TcpFrame::new(scanner, stage.server_station(), ISN).ack(ISN))?;
    Ok(vec![])
}

fn fin_scan(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let scanner = stage.client_station(stage.port + RAW_PORT_OFFSET);
    stage.send_from_client(&TcpFrame::new(scanner, stage.server_station(), ISN).fin())?;
    Ok(vec![])
}
