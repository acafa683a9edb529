//! RSTs that neither end sent, put on the wire with the right numbers; and one that says why it was sent.

use std::{
    io::{self, Write},
    net::TcpStream,
};

use super::{
    Expectation, NONE, ONE_RST, ORDERLY, SILENT, SOME, Scenario, Sent, Stage, ports,
    stage::{Ends, expect_reset},
};
use crate::{
    frame::{LINUX_TTL, TcpFrame},
    sys::{self, Sequence},
};

/// TTL of a box some hops away.
pub(super) const DEVICE_TTL: u8 = 251;
/// IPv4 identification of a box with a counter of its own.
pub(super) const DEVICE_IP_ID: u16 = 0xbeef;
/// RST diagnostic payload: 33 AA, reason 4 (the user aborted), no enterprise number.
const DIAGNOSTIC: [u8; 8] = [0x33, 0xaa, 0, 4, 0, 0, 0, 0];

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            id: "injected_rst",
            description: "a box between sends an RST in the server's name; the server goes on sending",
            play: injected_rst,
            expected: Expectation {
                causes: &["injected_suspect"],
                states: &["RSTR", "RSTO"],
                closing: &["rst_only"],
                reset_by: &["middle"],
                client: Sent { fin: NONE, rst: SOME },
                server: ONE_RST,
                ..ORDERLY
            },
        },
        Scenario {
            id: "device_reset_both",
            description: "a box between resets both ends at once",
            play: device_reset_both,
            expected: Expectation {
                causes: &["device_reset_both"],
                states: &["RSTR", "RSTO"],
                closing: &["rst_only"],
                reset_by: &["middle"],
                client: ONE_RST,
                server: ONE_RST,
                ..ORDERLY
            },
        },
        Scenario {
            id: "explained_rst",
            description: "the server's RST carries a diagnostic payload that says why",
            play: explained_rst,
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
    ]
}

/// A connection in the middle of its life, its client's numbers and port.
pub(super) fn busy(stage: &Stage<'_>) -> io::Result<(Ends, Sequence, u16)> {
    let ends = stage.answered()?;
    let next = sys::sequence(&ends.client)?;
    let (port, _) = ports(&ends.client)?;
    Ok((ends, next, port))
}

fn injected_rst(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let (Ends { client, mut server }, next, port) = busy(stage)?;
    let rst = TcpFrame::new(stage.server_station(), stage.client_station(port), next.receive).rst();
    stage.send_from_server(&rst.ack(next.send).stamped(DEVICE_TTL, DEVICE_IP_ID))?;
    expect_reset(&client)?;
    // The real server knows nothing of it.
    server.write_all(&[b'x'; 500])?;
    expect_reset(&server)?;
    Ok(vec![])
}

fn device_reset_both(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let (Ends { client, server }, next, port) = busy(stage)?;
    let (near, far) = (stage.client_station(port), stage.server_station());
    let to_client = TcpFrame::new(far, near, next.receive).rst().ack(next.send).stamped(DEVICE_TTL, DEVICE_IP_ID);
    let to_server = TcpFrame::new(near, far, next.send).rst().ack(next.receive).stamped(DEVICE_TTL, DEVICE_IP_ID + 1);
    let (to_client, to_server) = (to_client.bytes()?, to_server.bytes()?);
    let (from_server, from_client) = (stage.server_outlet()?, stage.client_outlet()?);
    // All is prepared: a device sends both within microseconds.
    from_server.send(&to_client)?;
    from_client.send(&to_server)?;
    expect_reset(&client)?;
    expect_reset(&server)?;
    Ok(vec![])
}

fn explained_rst(stage: &Stage<'_>) -> io::Result<Vec<TcpStream>> {
    let (Ends { client, server }, next, port) = busy(stage)?;
    let rst = TcpFrame::new(stage.server_station(), stage.client_station(port), next.receive).rst().ack(next.send);
    stage.send_from_server(&rst.stamped(LINUX_TTL, 0).payload(&DIAGNOSTIC))?;
    expect_reset(&client)?;
    // Its socket does not know that it aborted: it must stay silent while the probe watches.
    Ok(vec![server])
}
