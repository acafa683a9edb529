//! Questions to rtnetlink(7) that are answered by a list, and requests for a change, with the kernel's own words when it
//! refuses one (extended ack).

use std::{fmt, io};

use netlink_packet_core::{
    DecodeError, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// A message that may be of a kind this program cannot read (another tool's filter, say): then it is counted, not refused.
pub(super) struct MaybeRead(pub(super) Option<RouteNetlinkMessage>);

impl NetlinkDeserializable for MaybeRead {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Self::Error> {
        Ok(Self(RouteNetlinkMessage::deserialize(header, payload).ok()))
    }
}

/// A request that the kernel refused.
#[derive(Debug)]
pub struct Refusal {
    /// The error number.
    pub source: io::Error,
    /// The kernel's own words (extended ack), where it said any.
    pub words: Option<String>,
}

impl Refusal {
    /// True when the error number is `number`.
    pub(super) fn is(&self, number: i32) -> bool {
        self.source.raw_os_error() == Some(number)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.words {
            Some(words) => write!(f, "{} ({})", words.trim_end_matches('.'), self.source),
            None => self.source.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl From<io::Error> for Refusal {
    fn from(source: io::Error) -> Self {
        Self { source, words: None }
    }
}

fn send(request: RouteNetlinkMessage, flags: u16) -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // Both are of Linux 4.12; without them a refusal has no words, and nothing else is lost.
    if socket.set_ext_ack(true).is_ok() && socket.set_cap_ack(true).is_err() {
        socket.set_ext_ack(false)?;
    }
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut request = NetlinkMessage::new(header, request.into());
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    Ok(socket)
}

/// Asks, and hands over every message of the answer.
///
/// # Errors
/// What the kernel says, or an answer that cannot be read.
pub(super) fn dump<M: NetlinkDeserializable>(request: RouteNetlinkMessage, mut take: impl FnMut(M)) -> io::Result<()> {
    let socket = send(request, NLM_F_DUMP)?;
    loop {
        let (received, _) = socket.recv_from_full()?;
        if !collect(&received, &mut take)? {
            return Ok(());
        }
    }
}

/// Asks for one thing, which is one message.
///
/// # Errors
/// What the kernel says, or an answer that cannot be read.
pub(super) fn ask(request: RouteNetlinkMessage) -> io::Result<RouteNetlinkMessage> {
    let socket = send(request, 0)?;
    let (received, _) = socket.recv_from_full()?;
    let mut answer = None;
    collect(&received, &mut |message| answer = Some(message))?;
    answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Requests a change, with further flags of a request (`NLM_F_CREATE` and the like).
///
/// # Errors
/// Why the kernel refused it.
pub(super) fn change(request: RouteNetlinkMessage, flags: u16) -> Result<(), Refusal> {
    let socket = send(request, NLM_F_ACK | flags)?;
    let (received, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<MaybeRead>::deserialize(&received)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    match answer.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => {
            Err(Refusal { source: error.to_io(), words: words(&error.header) })
        }
        _ => Ok(()),
    }
}

/// The kernel's words in what follows the error number of a capped ack: a header, then attributes
/// (include/uapi/linux/netlink.h: `NLMSGERR_ATTR_MSG` is 1).
fn words(after_the_number: &[u8]) -> Option<String> {
    const HEADER: usize = 16;
    const MESSAGE: u16 = 1;
    let attributes = NlasIterator::new(after_the_number.get(HEADER..)?);
    let message = attributes.flatten().find(|attribute| attribute.kind() == MESSAGE)?;
    let text = String::from_utf8_lossy(message.value());
    Some(text.trim_end_matches('\0').to_string()).filter(|text| !text.is_empty())
}

/// Hands over the messages of one datagram; false when the dump is done.
fn collect<M: NetlinkDeserializable>(received: &[u8], take: &mut impl FnMut(M)) -> io::Result<bool> {
    let mut at = 0;
    while at < received.len() {
        let message = NetlinkMessage::<M>::deserialize(&received[at..])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_found_after_the_header() {
        let mut bytes = vec![0; 16];
        // An offset (NLMSGERR_ATTR_OFFS), then the message.
        bytes.extend([8, 0, 2, 0, 1, 0, 0, 0]);
        bytes.extend([14, 0, 1, 0]);
        bytes.extend(b"No space.\0\0\0");
        assert_eq!(words(&bytes).as_deref(), Some("No space."));
        assert_eq!(words(&bytes[..16]), None);
        assert_eq!(words(&[]), None);
        let source = io::Error::from_raw_os_error(libc::ENOSPC);
        let refusal = Refusal { source, words: words(&bytes) };
        assert_eq!(refusal.to_string(), "No space (No space left on device (os error 28))");
        assert!(refusal.is(libc::ENOSPC));
    }
}
