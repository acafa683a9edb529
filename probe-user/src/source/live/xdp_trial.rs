//! Attach trial: finds why the kernel refused to attach: the same request again by rtnetlink(7), whose extended acknowledgement carries the
//! words of the driver or of the network core (`NLMSGERR_ATTR_MSG`, Linux 4.12). A bpf_link is refused with a number only.
//!
//! Needs CAP_NET_ADMIN, as attaching does. Should the kernel take this one, it is detached at once.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage, LinkXdp},
};

use super::{
    attach_mode::Mode,
    rtnetlink::{self, Refusal},
};

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

/// Asks for the same attachment by netlink.
///
/// # Errors
/// It was attached and cannot be detached again.
pub(super) fn ask_why(index: u32, program: BorrowedFd<'_>, mode: Mode) -> Result<Answer, Refusal> {
    let mode = match mode {
        Mode::Native => XDP_FLAGS_DRV_MODE,
        Mode::Generic => XDP_FLAGS_SKB_MODE,
    };
    let fd = program.as_raw_fd();
    let flags = LinkXdp::Flags(mode | XDP_FLAGS_UPDATE_IF_NOEXIST);
    if let Err(Refusal { words, .. }) = set_xdp(index, vec![LinkXdp::Fd(fd), flags]) {
        return Ok(words.map_or(Answer::Nothing, Answer::Words));
    }
    // Only if it is still this program.
    let flags = LinkXdp::Flags(mode | XDP_FLAGS_REPLACE);
    set_xdp(index, vec![LinkXdp::Fd(-1), flags, LinkXdp::ExpectedFd(fd.cast_unsigned())])?;
    Ok(Answer::Attached)
}

/// `RTM_SETLINK` with `IFLA_XDP`.
fn set_xdp(index: u32, xdp: Vec<LinkXdp>) -> Result<(), Refusal> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes.push(LinkAttribute::Xdp(xdp));
    rtnetlink::change(RouteNetlinkMessage::SetLink(link), 0)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd as _};

    use super::*;

    #[test]
    fn what_is_no_program_is_refused() {
        // Whoever asks, this is no program; without privileges it is not even looked at.
        let file = File::open("/dev/null").expect("every system has it");
        let answer = ask_why(1, file.as_fd(), Mode::Native).expect("nothing was attached");
        assert_ne!(answer, Answer::Attached);
    }
}
