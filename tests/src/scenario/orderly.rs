//! Connections that end well, or do not end.

use std::{
    io,
    net::{Shutdown, TcpStream},
};

use super::{
    Expectation, FIN, ORDERLY, SILENT, Scenario, Stage,
    stage::{Ends, expect_fin},
};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            id: "orderly_by_client",
            description: "request, answer, the client closes first, then the server",
            play: orderly_by_client,
            expected: ORDERLY,
        },
        Scenario {
            id: "orderly_by_server",
            description: "request, answer, the server closes first, then the client",
            play: orderly_by_server,
            expected: ORDERLY,
        },
        Scenario {
            id: "half_close_stays",
            description: "the client shuts its half down, the server goes on and never closes",
            play: half_close_stays,
            expected: Expectation {
                states: &["S2"],
                closing: &["half_closed"],
                client: FIN,
                server: SILENT,
                ..ORDERLY
            },
        },
        Scenario {
            id: "stays_open",
            description: "request, answer, and nobody closes",
            play: stays_open,
            expected: Expectation { states: &["S1"], closing: &["open"], client: SILENT, server: SILENT, ..ORDERLY },
        },
    ]
}

fn orderly_by_client(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let Ends { client, mut server } = stage.answered()?;
    drop(client);
    expect_fin(&mut server)?;
    Ok(vec![])
}

fn orderly_by_server(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let Ends { mut client, server } = stage.answered()?;
    drop(server);
    expect_fin(&mut client)?;
    Ok(vec![])
}

fn half_close_stays(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let mut ends = stage.connect()?;
    ends.ask()?;
    ends.client.shutdown(Shutdown::Write)?;
    expect_fin(&mut ends.server)?;
    ends.answer()?;
    Ok(vec![ends.client, ends.server])
}

fn stays_open(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let ends = stage.answered()?;
    Ok(vec![ends.client, ends.server])
}
