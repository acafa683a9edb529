//! One pair of addresses and ports, two connections.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use super::{
    Expectation, ORDERLY, Scenario, Sent, Stage,
    abort::THINKING,
    crossing,
    stage::{Ends, expect_fin, expect_reset},
};
use crate::sys;

/// FINs and RSTs of two connections, of which one may have neither.
const ANY: Sent = Sent { fin: 0..=u64::MAX, rst: 0..=1 };

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            id: "reused_after_close",
            description: "an orderly end, and a second connection from the same port",
            play: reused_after_close,
            expected: Expectation { records: 2, ..ORDERLY },
        },
        Scenario {
            id: "reused_after_reset",
            description: "the client aborts, and connects again from the same port",
            play: reused_after_reset,
            expected: Expectation {
                records: 2,
                causes: &["client_gave_up", "none"],
                at_least: Some(("client_gave_up", 1)),
                states: &["RSTO", "SF"],
                closing: &["rst_only", "two_fins"],
                reset_by: &["client", "none"],
                client: ANY,
                server: ANY,
                ..ORDERLY
            },
        },
        Scenario {
            id: "stale_connection_syn",
            description: "the client forgets its connection and connects again from the same port",
            play: stale_connection_syn,
            expected: Expectation {
                records: 3,
                causes: &["stale_connection_syn", "none"],
                at_least: Some(("stale_connection_syn", 1)),
                states: &["S1", "RSTOS0", "SF"],
                opening: &["completed", "unanswered"],
                closing: &["open", "rst_only", "two_fins"],
                reset_by: &["none", "client"],
                client: ANY,
                server: ANY,
            },
        },
    ]
}

/// A first connection, from a port that the kernel gives to nobody else (below the ephemeral ones, which begin at 32768),
/// so that it is free again for the second.
fn first(stage: &Stage<'_>, listener: &TcpListener) -> io::Result<Ends> {
    stage.meet_from(listener, stage.service().port() + 10_000)
}

/// A second connection from `from`, with an orderly end.
fn second(stage: &Stage<'_>, listener: &TcpListener, from: SocketAddr) -> io::Result<()> {
    let service = stage.service();
    let client = stage.at_client(|| sys::connect_from(from, service, Duration::from_secs(2)))?;
    let (server, _) = listener.accept()?;
    let mut ends = Ends { client, server };
    ends.ask()?;
    ends.answer()?;
    let Ends { client, mut server } = ends;
    drop(client);
    expect_fin(&mut server)
}

fn reused_after_close(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let listener = stage.listen()?;
    let mut ends = first(stage, &listener)?;
    ends.ask()?;
    ends.answer()?;
    let Ends { mut client, server } = ends;
    // The server closes first: TIME-WAIT is on its side, where a new SYN may end it.
    drop(server);
    expect_fin(&mut client)?;
    let from = client.local_addr()?;
    drop(client);
    thread::sleep(crossing());
    second(stage, &listener, from)?;
    Ok(vec![])
}

fn reused_after_reset(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let listener = stage.listen()?;
    let mut ends = first(stage, &listener)?;
    ends.ask()?;
    ends.answer()?;
    ends.ask()?;
    thread::sleep(THINKING);
    let Ends { client, server } = ends;
    let from = client.local_addr()?;
    sys::abort_on_close(&client)?;
    drop(client);
    expect_reset(&server)?;
    second(stage, &listener, from)?;
    Ok(vec![])
}

fn stale_connection_syn(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let listener = stage.listen()?;
    let mut ends = first(stage, &listener)?;
    ends.ask()?;
    ends.answer()?;
    let Ends { client, server } = ends;
    let from = client.local_addr()?;
    // The ACK of the answer must have left.
    thread::sleep(crossing());
    sys::forget(client)?;
    // Challenged, reset; Linux then repeats the SYN at once.
    second(stage, &listener, from)?;
    expect_reset(&server)?;
    Ok(vec![])
}
