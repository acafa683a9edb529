//! One question to rtnetlink(7) that is answered by a list.

use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// Asks, and hands over every message of the answer.
///
/// # Errors
/// What the kernel says, or an answer that cannot be read.
pub(super) fn dump(request: RouteNetlinkMessage, mut take: impl FnMut(RouteNetlinkMessage)) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut request = NetlinkMessage::new(header, request.into());
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    loop {
        let (received, _) = socket.recv_from_full()?;
        if !collect(&received, &mut take)? {
            return Ok(());
        }
    }
}

/// Hands over the messages of one datagram; false when the dump is done.
fn collect(received: &[u8], take: &mut impl FnMut(RouteNetlinkMessage)) -> io::Result<bool> {
    let mut at = 0;
    while at < received.len() {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&received[at..])
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        match message.payload {
            NetlinkPayload::Done(_) => return Ok(false),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            NetlinkPayload::InnerMessage(message) => take(message),
            _ => {}
        }
        let len = message.header.length as usize;
        if len == 0 {
            return Ok(true);
        }
        // Messages are aligned to four bytes (netlink(7)).
        at += len.next_multiple_of(4);
    }
    Ok(true)
}
