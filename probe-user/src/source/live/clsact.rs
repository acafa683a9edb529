//! tc filters on the clsact qdisc, by rtnetlink: how egress is reached before tcx (Linux 6.6).
//!
//! A filter is no bpf_link: it, its program and the program's maps stay until somebody removes them.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcBpfFlags, TcFilterBpf, TcFilterBpfOption, TcHandle, TcMessage, TcOption},
};

use super::rtnetlink::{self, MaybeRead, Refusal};

/// Name of the qdisc; that of the older `ingress` is another, at the same handle.
const CLSACT: &str = "clsact";

/// Where on the qdisc.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// What the interface receives.
    Ingress,
    /// What is sent by it.
    Egress,
}

impl Hook {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    /// Name for outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    fn parent(self) -> TcHandle {
        let minor = match self {
            Self::Ingress => TcHandle::MIN_INGRESS,
            Self::Egress => TcHandle::MIN_EGRESS,
        };
        TcHandle { major: TcHandle::CLSACT.major, minor }
    }
}

/// One filter as the kernel lists it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// Its handle at its priority.
    pub(super) handle: TcHandle,
    /// Priority and protocol as `tcm_info` has them.
    pub(super) info: u32,
    /// Name of a BPF filter (`TCA_BPF_NAME`).
    pub name: Option<String>,
    /// Tag of its program.
    pub tag: Option<[u8; TcFilterBpf::BPF_TAG_SIZE]>,
    /// Id of its program.
    pub program: Option<u32>,
}

fn message(index: u32, handle: TcHandle, parent: TcHandle, info: u32, kind: Option<&str>) -> TcMessage {
    let mut message = TcMessage::with_index(index.cast_signed());
    message.header.handle = handle;
    message.header.parent = parent;
    message.header.info = info;
    message.attributes.extend(kind.map(|kind| TcAttribute::Kind(kind.to_string())));
    message
}

fn qdisc(index: u32) -> TcMessage {
    let handle = TcHandle { major: TcHandle::CLSACT.major, minor: 0 };
    message(index, handle, TcHandle::CLSACT, 0, Some(CLSACT))
}

/// Adds the qdisc; false when it is there.
///
/// # Errors
/// Why the kernel refused it; or the older `ingress` qdisc is at its place, which would run on what is received whatever is
/// attached to what is sent.
pub(super) fn add_qdisc(index: u32) -> Result<bool, Refusal> {
    let request = RouteNetlinkMessage::NewQueueDiscipline(qdisc(index));
    match rtnetlink::change(request, NLM_F_CREATE | NLM_F_EXCL) {
        Ok(()) => Ok(true),
        Err(refusal) if refusal.is(libc::EEXIST) => match kind_at_its_place(index)?.as_deref() {
            Some(CLSACT) => Ok(false),
            other => {
                let other = other.unwrap_or("unknown");
                let words = format!("the qdisc `{other}` is at its place, which does not see what is sent");
                Err(Refusal { source: refusal.source, words: Some(words) })
            }
        },
        Err(refusal) => Err(refusal),
    }
}

/// Kind of the qdisc at the place of clsact.
fn kind_at_its_place(index: u32) -> io::Result<Option<String>> {
    let mut kind = None;
    let request = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::with_index(index.cast_signed()));
    rtnetlink::dump(request, |MaybeRead(message)| {
        if let Some(RouteNetlinkMessage::NewQueueDiscipline(message)) = message
            && message.header.index == index.cast_signed()
            && message.header.parent == TcHandle::CLSACT
        {
            kind = message.attributes.into_iter().find_map(|attribute| match attribute {
                TcAttribute::Kind(kind) => Some(kind),
                _ => None,
            });
        }
    })?;
    Ok(kind)
}

/// Deletes the qdisc when no filter is on it; true when it was deleted.
///
/// # Errors
/// What is on it cannot be told, or why the kernel refused to delete it.
pub(super) fn delete_empty_qdisc(index: u32) -> Result<bool, Refusal> {
    for hook in Hook::BOTH {
        if !filters(index, hook)?.is_empty() {
            return Ok(false);
        }
    }
    rtnetlink::change(RouteNetlinkMessage::DelQueueDiscipline(qdisc(index)), 0)?;
    Ok(true)
}

/// Adds a filter of that name which runs the classifier `program` on all that is sent (direct action), at a priority that
/// the kernel chooses.
///
/// # Errors
/// Why the kernel refused it.
pub(super) fn add_filter(index: u32, program: BorrowedFd<'_>, name: &str) -> Result<(), Refusal> {
    // include/uapi/linux/if_ether.h: ETH_P_ALL, in network order.
    let info = u32::from(u16::to_be(libc::ETH_P_ALL as u16));
    let mut message = message(index, TcHandle::UNSPEC, Hook::Egress.parent(), info, Some(TcFilterBpf::KIND));
    let options = [
        TcFilterBpfOption::ProgFd(program.as_raw_fd().cast_unsigned()),
        TcFilterBpfOption::ProgName(name.to_string()),
        TcFilterBpfOption::Flags(TcBpfFlags::DirectAction),
    ];
    message.attributes.push(TcAttribute::Options(options.map(TcOption::Bpf).into()));
    rtnetlink::change(RouteNetlinkMessage::NewTrafficFilter(message), NLM_F_CREATE | NLM_F_EXCL)
}

/// Deletes one filter.
///
/// # Errors
/// Why the kernel refused it.
pub(super) fn delete_filter(index: u32, hook: Hook, filter: &Filter) -> Result<(), Refusal> {
    let message = message(index, filter.handle, hook.parent(), filter.info, Some(TcFilterBpf::KIND));
    rtnetlink::change(RouteNetlinkMessage::DelTrafficFilter(message), 0)
}

/// What is attached there, filters of others included; nothing when there is no such qdisc or interface.
///
/// # Errors
/// What the kernel says.
pub(super) fn filters(index: u32, hook: Hook) -> io::Result<Vec<Filter>> {
    let mut filters = Vec::new();
    let request = message(index, TcHandle::UNSPEC, hook.parent(), 0, None);
    rtnetlink::dump(RouteNetlinkMessage::GetTrafficFilter(request), |MaybeRead(message)| {
        filters.push(match message {
            Some(RouteNetlinkMessage::NewTrafficFilter(message)) => filter(&message),
            _ => Filter::default(),
        });
    })?;
    Ok(filters)
}

fn filter(message: &TcMessage) -> Filter {
    let mut filter = Filter { handle: message.header.handle, info: message.header.info, ..Filter::default() };
    for option in message.attributes.iter().flat_map(|attribute| match attribute {
        TcAttribute::Options(options) => options.as_slice(),
        _ => &[],
    }) {
        match option {
            TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => filter.name = Some(name.clone()),
            TcOption::Bpf(TcFilterBpfOption::ProgTag(tag)) => filter.tag = Some(*tag),
            TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => filter.program = Some(*id),
            _ => {}
        }
    }
    filter
}
