//! Ends that are told by time: a request that crosses an idle close, a path that goes dark, two FINs that cross.

use std::{
    io::{self, Write},
    net::TcpStream,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use super::{
    Expectation, ORDERLY, SILENT, SOME, Scenario, Sent, Stage, crossing,
    stage::{Ends, expect_reset},
};
use crate::sys;

/// Longer than the shortest idle time-out that servers use.
const IDLE: Duration = Duration::from_millis(1200);
/// What the client grants a dead path: three or four retransmissions.
const USER_TIMEOUT_MS: libc::c_int = 1500;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            id: "keepalive_race",
            description: "a request crosses the server's close for idleness",
            play: keepalive_race,
            expected: Expectation {
                causes: &["keepalive_race"],
                states: &["RSTR"],
                closing: &["fin_and_rst"],
                reset_by: &["server"],
                client: SILENT,
                server: Sent { fin: SOME, rst: SOME },
                ..ORDERLY
            },
        },
        Scenario {
            id: "vanished",
            description: "everything to the server is lost; the client repeats itself and gives up without a word",
            play: vanished,
            expected: Expectation {
                causes: &["retransmission_timeout"],
                states: &["S1"],
                closing: &["vanished", "open"],
                client: SILENT,
                server: SILENT,
                ..ORDERLY
            },
        },
        Scenario {
            id: "simultaneous_close",
            description: "both close at once",
            play: simultaneous_close,
            expected: ORDERLY,
        },
    ]
}

fn keepalive_race(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let Ends { mut client, server } = stage.answered()?;
    thread::sleep(IDLE);
    drop(server);
    client.write_all(&[b'x'; 100])?;
    expect_reset(&client)?;
    Ok(vec![])
}

fn vanished(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let Ends { mut client, server } = stage.answered()?;
    thread::sleep(crossing());
    sys::deafen(&server)?;
    sys::set_tcp_option(&client, libc::TCP_USER_TIMEOUT, USER_TIMEOUT_MS)?;
    client.write_all(&[b'x'; 100])?;
    let end = Instant::now() + Duration::from_secs(5);
    while client.take_error()?.is_none() {
        if Instant::now() > end {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the client did not give up"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(vec![server])
}

fn simultaneous_close(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let ends = stage.answered()?;
    let at_once = Barrier::new(2);
    let close = |end: TcpStream| {
        at_once.wait();
        drop(end);
    };
    let Ends { client, server } = ends;
    thread::scope(|scope| {
        scope.spawn(|| close(client));
        scope.spawn(|| close(server));
    });
    Ok(vec![])
}
