//! Established connections that one side cuts short with an RST of its own accord.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use super::{
    Expectation, NONE, ONE_RST, ORDERLY, SILENT, SOME, Scenario, Sent, Stage,
    stage::{Ends, deliver, expect_reset},
};
use crate::sys;

/// Sessions of [`always_resets`].
const SESSIONS: usize = 10;
/// Longer than any round trip here: what follows is no longer part of a transfer in progress.
pub(super) const THINKING: Duration = Duration::from_millis(300);

pub(super) const BY_CLIENT: Expectation = Expectation {
    causes: &["app_abort"],
    states: &["RSTO"],
    closing: &["rst_only"],
    reset_by: &["client"],
    client: ONE_RST,
    server: SILENT,
    ..ORDERLY
};

pub(super) const BY_SERVER: Expectation =
    Expectation { states: &["RSTR"], reset_by: &["server"], client: SILENT, server: ONE_RST, ..BY_CLIENT };

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = plain_aborts();
    all.extend(transfers());
    all
}

fn plain_aborts() -> Vec<Scenario> {
    vec![
        Scenario {
            id: "linger_0_by_client",
            description: "request, answer, request, a pause; the client closes with SO_LINGER 0",
            play: linger_0_by_client,
            // Its second request was not answered for longer than the first.
            expected: Expectation { causes: &["client_gave_up"], ..BY_CLIENT },
        },
        Scenario {
            id: "linger_0_by_server",
            description: "request, answer, request, a pause; the server closes with SO_LINGER 0",
            play: linger_0_by_server,
            expected: BY_SERVER,
        },
        Scenario {
            id: "unread_by_client",
            description: "the client thinks about the answer, and closes without having read it",
            play: unread_by_client,
            expected: BY_CLIENT,
        },
        Scenario {
            id: "unread_by_server",
            description: "the server thinks about the second request, and closes without having read it",
            play: unread_by_server,
            expected: BY_SERVER,
        },
        Scenario {
            id: "abort_no_data_by_client",
            description: "the client connects and aborts, as health checks do",
            play: abort_no_data_by_client,
            expected: Expectation { causes: &["abort_no_data"], ..BY_CLIENT },
        },
        Scenario {
            id: "abort_no_data_by_server",
            description: "the server accepts and aborts",
            play: abort_no_data_by_server,
            expected: Expectation { causes: &["abort_no_data"], ..BY_SERVER },
        },
    ]
}

fn transfers() -> Vec<Scenario> {
    vec![
        Scenario {
            id: "early_error_reply",
            description: "the server answers an upload it has not read while more arrives, and closes",
            play: early_error_reply,
            expected: Expectation {
                causes: &["server_reply_then_reset"],
                // The client's ACK of the answer may cross the RST, and is then answered by another.
                server: Sent { fin: NONE, rst: SOME },
                ..BY_SERVER
            },
        },
        Scenario {
            id: "download_aborted",
            description: "the client closes half-way through a download, with data unread",
            play: download_aborted,
            expected: Expectation {
                causes: &["client_abort_download"],
                client: Sent { fin: NONE, rst: SOME },
                ..BY_CLIENT
            },
        },
        Scenario {
            id: "download_closed",
            description: "the client closes half-way through a download, having read all; the server goes on sending",
            play: download_closed,
            expected: Expectation {
                causes: &["client_abort_download"],
                closing: &["fin_and_rst"],
                client: Sent { fin: SOME, rst: SOME },
                ..BY_CLIENT
            },
        },
        Scenario {
            id: "server_always_resets",
            description: "ten sessions: request, answer, RST by the server instead of FIN",
            play: always_resets,
            expected: Expectation {
                records: SESSIONS,
                // As above.
                server: Sent { fin: NONE, rst: SOME },
                causes: &["rst_instead_of_fin", "app_abort"],
                at_least: Some(("rst_instead_of_fin", SESSIONS / 2)),
                ..BY_SERVER
            },
        },
    ]
}

fn linger_0_by_client(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let mut ends = stage.answered()?;
    ends.ask()?;
    let Ends { client, server } = ends;
    thread::sleep(THINKING);
    sys::abort_on_close(&client)?;
    drop(client);
    expect_reset(&server)?;
    Ok(vec![])
}

fn linger_0_by_server(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let mut ends = stage.answered()?;
    ends.ask()?;
    let Ends { client, server } = ends;
    thread::sleep(THINKING);
    sys::abort_on_close(&server)?;
    drop(server);
    expect_reset(&client)?;
    Ok(vec![])
}

fn unread_by_client(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let Ends { mut client, mut server } = asked(stage)?;
    deliver(&mut server, &client, 1000)?;
    // Without the pause this is a download cut short, packet by packet the same.
    thread::sleep(THINKING);
    client.read_exact(&mut [0; 10])?;
    drop(client);
    expect_reset(&server)?;
    Ok(vec![])
}

fn unread_by_server(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let mut ends = asked(stage)?;
    ends.answer()?;
    let Ends { mut client, server } = ends;
    deliver(&mut client, &server, 100)?;
    // Without the pause this is an early reply to a request still arriving, packet by packet the same.
    thread::sleep(THINKING);
    drop(server);
    expect_reset(&client)?;
    Ok(vec![])
}

fn abort_no_data_by_client(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let Ends { client, server } = stage.connect()?;
    sys::abort_on_close(&client)?;
    drop(client);
    expect_reset(&server)?;
    Ok(vec![])
}

fn abort_no_data_by_server(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let Ends { client, server } = stage.connect()?;
    sys::abort_on_close(&server)?;
    drop(server);
    expect_reset(&client)?;
    Ok(vec![])
}

fn early_error_reply(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let Ends { mut client, server } = stage.connect()?;
    let mut upload = |total| {
        client.write_all(&[b'x'; 1000])?;
        super::wait_until("the upload", || Ok(server.peek(&mut [0; 4000])? == total))
    };
    upload(1000)?;
    upload(2000)?;
    (&server).write_all(b"413 too large")?;
    upload(3000)?;
    drop(server);
    expect_reset(&client)?;
    Ok(vec![])
}

fn download_aborted(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let Ends { mut client, mut server } = asked(stage)?;
    // To the end: with pauses, all may be acknowledged when the client closes, and then nothing tells of a download.
    let sending = thread::spawn(move || {
        loop {
            if let Err(error) = server.write(&[b'x'; 16_384]) {
                return error;
            }
        }
    });
    let mut downloaded = 0;
    while downloaded < 50_000 {
        downloaded += client.read(&mut [0; 10_000])?;
    }
    // Only with something unread does a close abort.
    client.peek(&mut [0])?;
    drop(client);
    match sending.join() {
        Ok(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Ok(vec![]),
        Ok(error) => Err(error),
        Err(_) => Err(io::Error::other("the thread that sends panicked")),
    }
}

fn download_closed(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let mut ends = asked(stage)?;
    for _ in 0..5 {
        ends.answer()?;
    }
    let Ends { client, mut server } = ends;
    drop(client);
    super::stage::expect_fin(&mut server)?;
    server.write_all(&[b'x'; 5000])?;
    expect_reset(&server)?;
    Ok(vec![])
}

fn always_resets(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let listener = stage.listen()?;
    for _ in 0..SESSIONS {
        let mut ends = stage.meet(&listener)?;
        ends.ask()?;
        ends.answer()?;
        let Ends { client, server } = ends;
        sys::abort_on_close(&server)?;
        drop(server);
        expect_reset(&client)?;
    }
    Ok(vec![])
}

/// A connection on which the client has asked and the server has read the request.
fn asked(stage: &Stage<'_>) -> io::Result<Ends> {
    let mut ends = stage.connect()?;
    ends.ask()?;
    Ok(ends)
}

/// Writes until nothing more fits into a non-blocking socket.
pub(super) fn fill(end: &mut TcpStream) -> io::Result<()> {
    loop {
        match end.write(&[b'x'; 16_384]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
