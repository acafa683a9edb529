//! Resets for which the application did nothing: killed, destroyed from outside, never accepted.

use std::{
    io::{self, Write},
    net::TcpStream,
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    thread,
};

use super::{
    Expectation, NONE, ORDERLY, SILENT, SOME, Scenario, Sent, Stage,
    abort::{BY_CLIENT, BY_SERVER, THINKING, fill},
    stage::{Ends, deliver, expect_fin, expect_reset},
};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            id: "killed_with_unread",
            description: "the server process is killed (SIGKILL) with a request unread",
            play: killed_with_unread,
            expected: BY_SERVER,
        },
        Scenario {
            id: "killed_idle",
            description: "the server process is killed with nothing unread: FIN; the client writes once more",
            play: killed_idle,
            expected: Expectation {
                causes: &["data_after_close"],
                states: &["RSTR"],
                closing: &["fin_and_rst"],
                reset_by: &["server"],
                client: SILENT,
                server: Sent { fin: SOME, rst: SOME },
                ..ORDERLY
            },
        },
        Scenario {
            id: "killed_downloading",
            description: "the client process is killed half-way through a download",
            play: killed_downloading,
            expected: Expectation {
                causes: &["client_abort_download"],
                client: Sent { fin: NONE, rst: SOME },
                ..BY_CLIENT
            },
        },
        Scenario {
            id: "destroyed",
            description: "the server's socket is destroyed from outside (ss -K)",
            play: destroyed,
            expected: BY_SERVER,
        },
        Scenario {
            id: "never_accepted",
            description: "a listener closes with a connection, and its request, that it has not accepted",
            play: never_accepted,
            expected: BY_SERVER,
        },
        Scenario {
            id: "never_accepted_no_data",
            description: "a listener closes with a connection that it has not accepted",
            play: never_accepted_no_data,
            expected: Expectation { causes: &["abort_no_data"], ..BY_SERVER },
        },
    ]
}

/// A process that does nothing but hold `stream`.
fn holder(stream: TcpStream) -> io::Result<Child> {
    Command::new("sleep").arg("60").stdin(OwnedFd::from(stream)).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// SIGKILL, and the process is gone.
fn kill(mut process: Child) -> io::Result<()> {
    process.kill()?;
    process.wait().map(drop)
}

fn killed_with_unread(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let Ends { mut client, server } = stage.answered()?;
    deliver(&mut client, &server, 100)?;
    let process = holder(server)?;
    thread::sleep(THINKING);
    kill(process)?;
    expect_reset(&client)?;
    Ok(vec![])
}

fn killed_idle(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let Ends { mut client, server } = stage.answered()?;
    kill(holder(server)?)?;
    expect_fin(&mut client)?;
    client.write_all(b"more")?;
    expect_reset(&client)?;
    Ok(vec![])
}

fn killed_downloading(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let mut ends = stage.connect()?;
    ends.ask()?;
    let Ends { client, mut server } = ends;
    server.set_nonblocking(true)?;
    let process = holder(client)?;
    fill(&mut server)?;
    kill(process)?;
    expect_reset(&server)?;
    Ok(vec![])
}

fn destroyed(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let mut ends = stage.answered()?;
    ends.ask()?;
    thread::sleep(THINKING);
    let family = if stage.family.server().is_ipv4() { "-4" } else { "-6" };
    let port = format!(":{}", stage.port);
    let ss =
        || Command::new("ss").args([family, "-H", "-t", "-K", "state", "established", "sport", "=", &port]).output();
    let output = stage.at_server(ss).map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error))?;
    if output.stdout.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(io::Error::new(io::ErrorKind::Unsupported, format!("ss -K destroyed nothing: {said}")));
    }
    expect_reset(&ends.client)?;
    Ok(vec![])
}

fn never_accepted(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let listener = stage.listen()?;
    let mut client = stage.reach(&listener)?;
    client.write_all(&[b'x'; 100])?;
    thread::sleep(THINKING);
    drop(listener);
    expect_reset(&client)?;
    Ok(vec![])
}

fn never_accepted_no_data(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let listener = stage.listen()?;
    let client = stage.reach(&listener)?;
    thread::sleep(THINKING);
    drop(listener);
    expect_reset(&client)?;
    Ok(vec![])
}
