//! Why the kernel refused to attach: the same request again by rtnetlink(7), whose extended acknowledgement carries the
//! words of the driver or of the network core (`NLMSGERR_ATTR_MSG`, Linux 4.12). A bpf_link is refused with a number only.
//!
//! Needs CAP_NET_ADMIN, as attaching does. Should the kernel take this one, it is detached at once.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, NlasIterator,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage, LinkXdp},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::attach::Mode;

/// What the kernel says when it is asked once more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// It refuses, with these words.
    Words(String),
    /// It refuses with a number alone.
    Nothing,
    /// It attached the program, which is detached again.
    Attached,
}

// include/uapi/linux/if_link.h.
const XDP_FLAGS_UPDATE_IF_NOEXIST: u32 = 1;
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
const XDP_FLAGS_REPLACE: u32 = 1 << 4;
/// include/uapi/linux/netlink.h.
const NLMSGERR_ATTR_MSG: u16 = 1;
/// Of a message.
const HEADER_LEN: usize = 16;

/// Asks for the same attachment by netlink.
///
/// # Errors
/// Netlink itself does not work.
pub(super) fn ask_why(index: u32, program: BorrowedFd<'_>, mode: Mode) -> io::Result<Answer> {
    let mode = match mode {
        Mode::Native => XDP_FLAGS_DRV_MODE,
        Mode::Generic => XDP_FLAGS_SKB_MODE,
    };
    let fd = program.as_raw_fd();
    let flags = mode | XDP_FLAGS_UPDATE_IF_NOEXIST;
    let Acknowledgement { error, words } = set_xdp(index, vec![LinkXdp::Fd(fd), LinkXdp::Flags(flags)])?;
    if error.is_some() {
        return Ok(words.map_or(Answer::Nothing, Answer::Words));
    }
    // Only if it is still this program.
    let flags = LinkXdp::Flags(mode | XDP_FLAGS_REPLACE);
    let detached = set_xdp(index, vec![LinkXdp::Fd(-1), flags, LinkXdp::ExpectedFd(fd.cast_unsigned())])?;
    detached.error.map_or(Ok(Answer::Attached), Err)
}

struct Acknowledgement {
    error: Option<io::Error>,
    words: Option<String>,
}

/// `RTM_SETLINK` with `IFLA_XDP`.
fn set_xdp(index: u32, xdp: Vec<LinkXdp>) -> io::Result<Acknowledgement> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.set_ext_ack(true)?;
    // Of the request only its header comes back.
    socket.set_cap_ack(true)?;
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes.push(LinkAttribute::Xdp(xdp));
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK;
    let mut request = NetlinkMessage::new(header, RouteNetlinkMessage::SetLink(link).into());
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (received, _) = socket.recv_from_full()?;
    acknowledgement(&received)
}

fn acknowledgement(bytes: &[u8]) -> io::Result<Acknowledgement> {
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    let NetlinkPayload::Error(answer) = message.payload else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no acknowledgement"));
    };
    Ok(Acknowledgement {
        error: answer.code.is_some().then(|| answer.to_io()),
        words: words(&answer.header, message.header.flags),
    })
}

/// The text in what follows the error number: the request, or its header alone, and then attributes.
fn words(after_number: &[u8], flags: u16) -> Option<String> {
    if flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let request_len = u32::from_ne_bytes(*after_number.first_chunk()?) as usize;
    let is_capped = flags & NLM_F_CAPPED != 0;
    let attributes = if is_capped { HEADER_LEN } else { request_len.next_multiple_of(4) };
    let attributes = NlasIterator::new(after_number.get(attributes..)?);
    let text = attributes.filter_map(Result::ok).find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG)?;
    let text = String::from_utf8_lossy(text.value()).trim_end_matches(['\0', '\n', ' ']).to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "virtio_net: Can't set XDP while host is implementing GRO_HW/CSUM, disable GRO_HW/CSUM first";

    /// An attribute, padded.
    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let len = 4 + value.len();
        let mut bytes = [(len as u16).to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(len.next_multiple_of(4), 0);
        bytes
    }

    /// What the kernel answers to a request of 60 bytes.
    fn answer(errno: i32, flags: u16, attributes: &[u8]) -> Vec<u8> {
        let request_len = if flags & NLM_F_CAPPED == 0 { 60 } else { HEADER_LEN };
        let mut request = vec![0xee; request_len];
        request[..4].copy_from_slice(&60_u32.to_ne_bytes());
        let body = [&(-errno).to_ne_bytes()[..], &request, attributes].concat();
        let len = (HEADER_LEN + body.len()) as u32;
        let header = [&len.to_ne_bytes()[..], &2_u16.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 8]].concat();
        [header, body].concat()
    }

    #[test]
    fn words_of_an_extended_acknowledgement_are_read() {
        let text = attribute(NLMSGERR_ATTR_MSG, &[TEXT.as_bytes(), b"\0"].concat());
        let offset = attribute(2, &7_u32.to_ne_bytes());
        for flags in [NLM_F_ACK_TLVS | NLM_F_CAPPED, NLM_F_ACK_TLVS] {
            for attributes in [text.clone(), [offset.clone(), text.clone()].concat()] {
                let found = acknowledgement(&answer(libc::EOPNOTSUPP, flags, &attributes)).expect("whole");
                assert_eq!(found.words.as_deref(), Some(TEXT));
                assert_eq!(found.error.and_then(|error| error.raw_os_error()), Some(libc::EOPNOTSUPP));
            }
        }
    }

    #[test]
    fn a_number_alone_has_no_words() {
        let found = acknowledgement(&answer(libc::EINVAL, NLM_F_CAPPED, &[])).expect("whole");
        assert_eq!((found.words, found.error.and_then(|error| error.raw_os_error())), (None, Some(libc::EINVAL)));
        let taken = acknowledgement(&answer(0, NLM_F_CAPPED, &[])).expect("whole");
        assert!(taken.error.is_none());
        assert_eq!(words(&[], NLM_F_ACK_TLVS), None);
        assert_eq!(words(&[200, 0, 0, 0, 1], NLM_F_ACK_TLVS), None, "cut off");
    }
}
