//! Leftovers: finds and removes what a killed rstprobe has left on interfaces, tc filters, and XDP programs that were attached without a bpf_link.
//!
//! Links go with the process, so nothing is left of them. A filter on clsact (before tcx, Linux 6.6) stays, runs on every
//! packet that is sent, and holds the program's maps in memory. Whose it is, and when it may be removed: see
//! [`super::owner`]. An XDP program of rstprobe's that has no link was attached by something else than rstprobe, which
//! refuses such attachments: nobody alive owns it.

use std::{
    fmt, io,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::programs::loaded_programs;
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage, LinkXdp},
};

use super::{
    LiveError,
    clsact::{self, Filter, Hook},
    egress, hook_holder,
    netdev::{Netdev, XdpHolder},
    owner::{Life, Mark, PROGRAM, Turn},
    rtnetlink,
};

/// Something of rstprobe's on an interface that does not go by itself when its owner does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leftover {
    /// Interface.
    pub name: String,
    index: u32,
    what: What,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum What {
    /// A filter with its owner's mark.
    Marked { hook: Hook, mark: Mark, program: Option<u32>, life: Life },
    /// A filter of a version that wrote no mark.
    Unmarked { hook: Hook },
    /// An XDP program.
    Xdp { holder: XdpHolder, linked: bool },
}

/// What is to be done about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Nobody alive owns it.
    Ownerless,
    /// It is in use.
    Owned,
    /// It stays, because nobody can tell whether it is in use.
    Unknown,
}

/// What is on one interface, what living instances use included.
///
/// # Errors
/// The kernel does not list its filters.
pub fn find(device: &Netdev) -> Result<Vec<Leftover>, LiveError> {
    let mut found = Vec::new();
    let mut add = |what| found.push(Leftover { name: device.name.clone(), index: device.index, what });
    for hook in Hook::BOTH {
        for filter in clsact::filters(device.index, hook).map_err(LiveError::Netlink)? {
            if let Some(what) = of_filter(hook, &filter) {
                add(what);
            }
        }
    }
    if let Some(holder) = &device.xdp
        && hook_holder::is_ours(holder)
    {
        add(What::Xdp { holder: holder.clone(), linked: hook_holder::is_linked(holder.program_id) });
    }
    Ok(found)
}

/// Removes from `devices` what nobody alive owns; hands over each, what could not be removed, and what nobody can tell.
pub fn remove_ownerless(devices: &[Netdev]) -> (Vec<Removed>, Vec<LiveError>, Vec<Leftover>) {
    let (mut removed, mut errors, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for device in devices {
        let found = match find(device) {
            Ok(found) => found,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        for one in found {
            match one.state() {
                State::Ownerless => match one.remove() {
                    Ok(one) => removed.push(one),
                    Err(error) => errors.push(error),
                },
                State::Owned => {}
                State::Unknown => unknown.push(one),
            }
        }
    }
    (removed, errors, unknown)
}

fn of_filter(hook: Hook, filter: &Filter) -> Option<What> {
    let name = filter.name.as_deref()?;
    if name == PROGRAM {
        return Some(What::Unmarked { hook });
    }
    let mark = Mark::parse(name)?;
    // With another program it is another's filter, whatever it is called.
    if filter.tag.map(u64::from_be_bytes) != Some(mark.tag) {
        return None;
    }
    let life = mark.life();
    Some(What::Marked { hook, mark, program: filter.program, life })
}

/// Something that was removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Removed {
    /// What it was.
    pub leftover: Leftover,
    /// The clsact qdisc that had been added for it went, too.
    pub qdisc: bool,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let and = if self.qdisc { ", and the clsact qdisc that it had added" } else { "" };
        write!(f, "{}: removed {}{and}", self.leftover.name, self.leftover)
    }
}

impl Leftover {
    /// Whether it is in use.
    pub fn state(&self) -> State {
        match &self.what {
            What::Marked { life: Life::Gone, .. } | What::Xdp { linked: false, .. } => State::Ownerless,
            What::Marked { life: Life::Living, .. } | What::Xdp { linked: true, .. } => State::Owned,
            What::Marked { life: Life::Unknown(_), .. } | What::Unmarked { .. } => State::Unknown,
        }
    }

    /// A filter of egress or an XDP program of a living instance is nothing to worry about; what it is all the same.
    pub fn is_filter(&self) -> bool {
        !matches!(self.what, What::Xdp { .. })
    }

    fn remove(self) -> Result<Removed, LiveError> {
        let failed = |what| {
            let name = self.name.clone();
            move |source| LiveError::Detach { name, what, source }
        };
        let qdisc = match &self.what {
            What::Marked { hook, mark, .. } => {
                let _turn = Turn::wait();
                egress::remove(self.index, *hook, mark).map_err(failed("filter of an rstprobe that no longer runs"))?
            }
            What::Xdp { holder, .. } => {
                detach_xdp(self.index, holder).map_err(failed("XDP program that has no link"))?;
                false
            }
            What::Unmarked { .. } => false,
        };
        Ok(Removed { leftover: self, qdisc })
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Marked { hook, mark, program, life } => {
                write!(f, "the {} filter of rstprobe pid {}", hook.name(), mark.pid)?;
                if let Some(id) = program {
                    write!(f, " (program id {id}, tag {:016x})", mark.tag)?;
                }
                match life {
                    Life::Living => write!(f, ", which is running"),
                    Life::Gone => write!(f, ", which no longer runs"),
                    Life::Unknown(why) => write!(f, "; {why}"),
                }
            }
            What::Unmarked { hook } => write!(
                f,
                "the {} filter `{PROGRAM}` of an earlier version, which does not say whose it is; \
                 `tc filter del dev {} {0}` removes it and all others there",
                hook.name(),
                self.name
            ),
            What::Xdp { holder, linked } => {
                let how = if *linked { "a link: its owner is running" } else { "no link: nobody owns it" };
                write!(f, "the XDP {holder}, attached by {how}")
            }
        }
    }
}

/// As `ip link set dev NAME xdp off`, in the mode in which it is attached and only while it is this very program. The kernel
/// refuses it where there is a link.
fn detach_xdp(index: u32, holder: &XdpHolder) -> Result<(), rtnetlink::Refusal> {
    /// include/uapi/linux/if_link.h.
    const XDP_FLAGS_REPLACE: u32 = 1 << 4;
    let gone = |error: &dyn fmt::Display| rtnetlink::Refusal::from(io::Error::other(error.to_string()));
    let info = loaded_programs().filter_map(Result::ok).find(|program| program.id() == holder.program_id);
    let info = info.ok_or_else(|| gone(&"the program was removed meanwhile"))?;
    let program = info.fd().map_err(|error| gone(&error))?;
    // include/uapi/linux/if_link.h: XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE, XDP_FLAGS_HW_MODE.
    let flags = match holder.mode {
        "generic" => 1 << 1,
        "native" => 1 << 2,
        "offload" => 1 << 3,
        _ => 0,
    };
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::Xdp(vec![
        LinkXdp::Fd(-1),
        LinkXdp::Flags(flags | XDP_FLAGS_REPLACE),
        LinkXdp::ExpectedFd(program.as_fd().as_raw_fd().cast_unsigned()),
    ]));
    rtnetlink::change(RouteNetlinkMessage::SetLink(message), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(name: &str, tag: u64) -> Filter {
        Filter { name: Some(name.to_string()), tag: Some(tag.to_be_bytes()), program: Some(7), ..Filter::default() }
    }

    #[test]
    fn a_filter_is_ours_by_name_and_by_tag() {
        let mark = Mark { pid: 12, number: 0x34, tag: 0x56, added_clsact: true };
        let ours = of_filter(Hook::Egress, &filter(&mark.to_string(), 0x56)).expect("ours");
        let of = |what| Leftover { name: "eth0".to_string(), index: 1, what };
        // Nobody has the socket of that number.
        assert_eq!(of(ours.clone()).state(), State::Ownerless);
        let text = of(ours).to_string();
        assert_eq!(
            text,
            "the egress filter of rstprobe pid 12 (program id 7, tag 0000000000000056), which no longer runs"
        );
        for (name, tag) in [(&*mark.to_string(), 0x57), ("cil_to_netdev", 0x56), ("rstprobe", 0x56)] {
            assert_eq!(of_filter(Hook::Egress, &filter(name, tag)), None, "{name}");
        }
        assert_eq!(of_filter(Hook::Egress, &Filter::default()), None);
        let unmarked = of_filter(Hook::Egress, &filter(PROGRAM, 1)).expect("an earlier version's");
        assert_eq!(of(unmarked).state(), State::Unknown);
    }

    #[test]
    fn what_lives_and_what_nobody_can_tell_stays() {
        let mark = Mark { pid: 12, number: 0x34, tag: 0x56, added_clsact: true };
        let with = |life| {
            let what = What::Marked { hook: Hook::Egress, mark: mark.clone(), program: None, life };
            Leftover { name: "eth0".to_string(), index: 1, what }.state()
        };
        assert_eq!(with(Life::Living), State::Owned);
        assert_eq!(with(Life::Unknown("not permitted".to_string())), State::Unknown);
        let holder = XdpHolder { mode: "native", program_id: 3, program_name: Some("rstprobe_frags".to_string()) };
        for (linked, state) in [(true, State::Owned), (false, State::Ownerless)] {
            let what = What::Xdp { holder: holder.clone(), linked };
            assert_eq!(Leftover { name: "eth0".to_string(), index: 1, what }.state(), state);
        }
    }
}
