//! RSTs that answer something that came too late, or that never came.

use std::{
    io::{self, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use super::{
    Expectation, FIN, NONE, ONE, ONE_RST, ORDERLY, SILENT, SOME, Scenario, Sent, Stage, crossing, ports,
    stage::{Ends, expect_fin, expect_reset},
};
use crate::{frame::TcpFrame, sys};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = after_a_close();
    all.extend(after_a_loss());
    all
}

fn after_a_close() -> Vec<Scenario> {
    vec![
        Scenario {
            id: "data_after_close",
            description: "the server closes, the client writes once more: RST by the server's kernel",
            play: data_after_close,
            expected: Expectation {
                causes: &["data_after_close"],
                states: &["RSTR"],
                closing: &["fin_and_rst"],
                reset_by: &["server"],
                client: SILENT,
                server: Sent { fin: SOME, rst: ONE },
                ..ORDERLY
            },
        },
        Scenario {
            id: "linger2",
            description: "the server closes and will not wait for the client's FIN (TCP_LINGER2 -1)",
            play: linger2,
            expected: Expectation {
                causes: &["linger2"],
                states: &["RSTR"],
                closing: &["fin_and_rst"],
                reset_by: &["server"],
                client: SILENT,
                server: Sent { fin: SOME, rst: ONE },
                ..ORDERLY
            },
        },
        Scenario {
            id: "rst_after_close",
            description: "both close; a late duplicate of the last ACK is answered by RST",
            play: rst_after_close,
            expected: Expectation {
                causes: &["rst_after_close"],
                client: Sent { fin: SOME, rst: ONE },
                server: FIN,
                ..ORDERLY
            },
        },
    ]
}

fn after_a_loss() -> Vec<Scenario> {
    vec![
        Scenario {
            id: "no_state",
            description: "the server forgets the connection without a word; the next request is answered by RST",
            play: no_state,
            expected: Expectation {
                causes: &["no_state"],
                states: &["RSTR"],
                closing: &["rst_only"],
                reset_by: &["server"],
                client: SILENT,
                server: Sent { fin: NONE, rst: SOME },
                ..ORDERLY
            },
        },
        Scenario {
            id: "keep_alive_timeout",
            description: "the server is gone; the client's keep-alive probes go unanswered and it gives up",
            play: keep_alive_timeout,
            expected: Expectation {
                causes: &["keepalive_timeout"],
                states: &["RSTO"],
                closing: &["rst_only"],
                reset_by: &["client"],
                client: ONE_RST,
                server: SILENT,
                ..ORDERLY
            },
        },
    ]
}

fn data_after_close(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let Ends { mut client, server } = stage.answered()?;
    drop(server);
    expect_fin(&mut client)?;
    client.write_all(b"more")?;
    expect_reset(&client)?;
    Ok(vec![])
}

fn linger2(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let Ends { client, server } = stage.answered()?;
    sys::set_tcp_option(&server, libc::TCP_LINGER2, -1)?;
    drop(server);
    expect_reset(&client)?;
    Ok(vec![])
}

fn rst_after_close(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let Ends { mut client, server } = stage.answered()?;
    drop(server);
    expect_fin(&mut client)?;
    let next = sys::sequence(&client)?;
    let (port, _) = ports(&client)?;
    drop(client);
    // The server is in TIME-WAIT and the client's socket is gone once the last ACK has arrived: it says so by RST.
    thread::sleep(crossing());
    let again = TcpFrame::new(stage.server_station(), stage.client_station(port), next.receive).ack(next.send + 1);
    stage.send_from_server(&again)?;
    Ok(vec![])
}

fn no_state(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let Ends { mut client, server } = stage.answered()?;
    // The client's ACK of the answer must find the server still there.
    thread::sleep(crossing());
    sys::forget(server)?;
    client.write_all(b"still there?")?;
    expect_reset(&client)?;
    Ok(vec![])
}

fn keep_alive_timeout(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let listener = stage.listen_at(stage.family.second_server())?;
    let mut ends = stage.meet(&listener)?;
    ends.ask()?;
    ends.answer()?;
    stage.drop_second_server()?;
    sys::set_tcp_option(&ends.client, libc::TCP_KEEPIDLE, 1)?;
    sys::set_tcp_option(&ends.client, libc::TCP_KEEPINTVL, 1)?;
    sys::set_tcp_option(&ends.client, libc::TCP_KEEPCNT, 2)?;
    sys::keep_alive(&ends.client)?;
    // Idle 1 s, two probes 1 s apart, and one more second for the answer to the last.
    let end = Instant::now() + Duration::from_millis(4500);
    while ends.client.take_error()?.is_none() {
        if Instant::now() > end {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the client did not give up"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(vec![ends.server])
}
