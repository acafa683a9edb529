//! Kernel features, found by trying: helpers, program flags, link types and map types that not every kernel has.
//!
//! Never decided by version: distributions carry features back, and builds leave them out. Each trial loads a program of
//! two instructions or asks for an attachment that cannot be; nothing stays. It needs what counting needs (CAP_BPF,
//! CAP_NET_ADMIN, CAP_PERFMON). What is missing is told in one sentence with the first kernel that has it.
#![expect(unsafe_code, reason = "bpf(2): program flags and links that aya does not probe")]

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    sync::OnceLock,
};

use aya::{
    maps::MapType,
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported, is_map_supported},
};

use super::{LiveError, engine_config::EngineConfig, privilege};

/// What some kernel that is in use may lack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feature {
    /// Ring buffers between kernel and user space.
    RingBuffer,
    /// XDP attached by a bpf_link, which dies with its owner.
    XdpLink,
    /// Memory of tables is charged to the control group, and no longer bounded by `ulimit -l`.
    MemoryByControlGroup,
    /// XDP programs for frames in several buffers.
    Frags,
    /// `bpf_xdp_get_buff_len` and `bpf_xdp_load_bytes`, with which the program copies first bytes of frames.
    FrameBytes,
    /// tc programs attached by a bpf_link (tcx).
    Tcx,
}

impl Feature {
    /// All of them, oldest first.
    pub const ALL: [Self; 6] =
        [Self::RingBuffer, Self::XdpLink, Self::MemoryByControlGroup, Self::Frags, Self::FrameBytes, Self::Tcx];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::RingBuffer => "BPF ring buffer",
            Self::XdpLink => "XDP bpf_link",
            Self::MemoryByControlGroup => "BPF memory charged to the control group",
            Self::Frags => "multi-buffer XDP (xdp.frags)",
            Self::FrameBytes => "bpf_xdp_load_bytes",
            Self::Tcx => "tcx links",
        }
    }

    /// The same in a word or two, for tables.
    pub fn label(self) -> &'static str {
        match self {
            Self::RingBuffer => "ring buffer",
            Self::XdpLink => "XDP bpf_link",
            Self::MemoryByControlGroup => "cgroup memory",
            Self::Frags => "xdp.frags",
            Self::FrameBytes => "xdp_load_bytes",
            Self::Tcx => "tcx links",
        }
    }

    /// The first kernel of kernel.org that has it.
    pub fn since(self) -> &'static str {
        match self {
            Self::RingBuffer => "5.8",
            Self::XdpLink => "5.9",
            Self::MemoryByControlGroup => "5.11",
            Self::Frags | Self::FrameBytes => "5.18",
            Self::Tcx => "6.6",
        }
    }

    /// What follows from its absence.
    pub fn without(self) -> &'static str {
        match self {
            Self::RingBuffer | Self::XdpLink => "rstprobe cannot watch interfaces",
            Self::MemoryByControlGroup => "tables must fit `ulimit -l`, which is raised where that is allowed",
            Self::Frags => "native mode up to MTU 3498",
            Self::FrameBytes => "no --evidence of counted traffic (captures and --datapath afxdp have it)",
            Self::Tcx => "--host attaches a filter to clsact, which a killed rstprobe leaves behind",
        }
    }
}

/// Which of them this kernel has; `None` where it would not say (privileges).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KernelFeatures {
    found: [Option<bool>; Feature::ALL.len()],
}

impl KernelFeatures {
    /// Tries once; later calls answer the same.
    pub fn of_this_kernel() -> &'static Self {
        static FOUND: OnceLock<KernelFeatures> = OnceLock::new();
        FOUND.get_or_init(|| {
            // Before 5.11 even a trial counts against the limit of locked memory, which another rstprobe may have used up.
            privilege::lift_locked_memory();
            Self { found: Feature::ALL.map(probe) }
        })
    }

    /// Whether the kernel has it; `None` when that could not be found out.
    pub fn has(&self, feature: Feature) -> Option<bool> {
        self.found[feature as usize]
    }

    /// True only when the kernel is known to lack it.
    pub fn lacks(&self, feature: Feature) -> bool {
        self.has(feature) == Some(false)
    }

    /// What a configuration asks for and the kernel is known to lack.
    ///
    /// # Errors
    /// [`LiveError::KernelLacks`].
    pub fn check(&self, config: &EngineConfig) -> Result<(), LiveError> {
        let lacks = |who, feature: Feature, instead| LiveError::KernelLacks {
            who,
            what: feature.name(),
            since: feature.since(),
            instead,
        };
        let newer = "a newer kernel, or a capture (`rstprobe read`)";
        for feature in [Feature::RingBuffer, Feature::XdpLink] {
            if self.lacks(feature) {
                return Err(lacks("watching interfaces", feature, newer));
            }
        }
        if config.snapshots && self.lacks(Feature::FrameBytes) {
            return Err(lacks("--evidence of counted traffic", Feature::FrameBytes, "--datapath afxdp, or a capture"));
        }
        if config.frags == Some(true) && self.lacks(Feature::Frags) {
            return Err(lacks("the multi-buffer program", Feature::Frags, "the single-buffer one"));
        }
        Ok(())
    }
}

fn probe(feature: Feature) -> Option<bool> {
    match feature {
        Feature::RingBuffer => is_map_supported(MapType::RingBuf).ok(),
        Feature::XdpLink => has_xdp_link(),
        // What libbpf asks, too (probe_memcg_account): the helper came with the accounting.
        Feature::MemoryByControlGroup => {
            is_helper_supported(ProgramType::SocketFilter, BpfHelper::BPF_FUNC_ktime_get_coarse_ns).ok()
        }
        Feature::Frags => has_frags(),
        Feature::FrameBytes => [BpfHelper::BPF_FUNC_xdp_get_buff_len, BpfHelper::BPF_FUNC_xdp_load_bytes]
            .into_iter()
            .try_fold(true, |all, helper| is_helper_supported(ProgramType::Xdp, helper).map(|has| all && has))
            .ok(),
        Feature::Tcx => has_tcx(),
    }
}

// include/uapi/linux/bpf.h.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const BPF_TCX_EGRESS: u32 = 47;
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;
/// include/uapi/linux/if_link.h.
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
/// The loopback device of every network namespace (LOOPBACK_IFINDEX in include/net/flow.h). It has no native XDP.
const LOOPBACK: u32 = 1;
/// No interface has this index.
const NOWHERE: u32 = i32::MAX as u32;

/// The attributes of `BPF_PROG_LOAD` up to the last one that is used; the kernel takes the rest for zero.
#[repr(C)]
#[derive(Default)]
struct LoadAttributes {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
}

/// The attributes of `BPF_LINK_CREATE` as far as they are used.
#[repr(C)]
struct LinkAttributes {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the attributes live through the call and their size is given; both commands that are used only read them
    // and the program, which is static.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    let fd = i32::try_from(result).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Loads a program that only returns 2 (XDP_PASS; of a classifier nobody asks).
fn load(kind: u32, expected_attach_type: u32, flags: u32) -> io::Result<OwnedFd> {
    // r0 = 2; exit. In the machine's own order but for single bytes.
    static RETURN_2: [[u32; 2]; 2] = [[0xb7_u32.to_le(), 2], [0x95_u32.to_le(), 0]];
    static LICENSE: &std::ffi::CStr = c"GPL";
    bpf(
        BPF_PROG_LOAD,
        &LoadAttributes {
            kind,
            instruction_count: RETURN_2.len() as u32,
            instructions: RETURN_2.as_ptr() as u64,
            license: LICENSE.as_ptr() as u64,
            flags,
            expected_attach_type,
            ..LoadAttributes::default()
        },
    )
}

/// Asks for a link that cannot be, and tells with which error it is refused; `None` if it is not.
fn link(program: &OwnedFd, interface: u32, attach_type: u32, flags: u32) -> Option<i32> {
    let program = program.as_raw_fd().cast_unsigned();
    match bpf(BPF_LINK_CREATE, &LinkAttributes { program, interface, attach_type, flags }) {
        Ok(_) => None,
        Err(error) => error.raw_os_error(),
    }
}

/// Whether an error says that the kernel does not know what was asked for; anything else but a refusal for want of
/// privileges says that it does.
fn knows(errno: Option<i32>) -> Option<bool> {
    match errno {
        Some(libc::EINVAL) => Some(false),
        Some(libc::EPERM | libc::EACCES) => None,
        _ => Some(true),
    }
}

fn has_frags() -> Option<bool> {
    // The same without the flag: only then is it the flag that is refused.
    load(BPF_PROG_TYPE_XDP, BPF_XDP, 0).ok()?;
    let refused = load(BPF_PROG_TYPE_XDP, BPF_XDP, BPF_F_XDP_HAS_FRAGS).err();
    refused.map_or(Some(true), |error| knows(error.raw_os_error()))
}

/// Native mode on the loopback device: EOPNOTSUPP where links are known (net/core/dev.c), EINVAL where they are not.
fn has_xdp_link() -> Option<bool> {
    let program = load(BPF_PROG_TYPE_XDP, BPF_XDP, 0).ok()?;
    knows(link(&program, LOOPBACK, BPF_XDP, XDP_FLAGS_DRV_MODE))
}

/// On no interface: ENODEV where tcx is known (kernel/bpf/tcx.c), EINVAL where it is not.
fn has_tcx() -> Option<bool> {
    let program = load(BPF_PROG_TYPE_SCHED_CLS, 0, 0).ok()?;
    knows(link(&program, NOWHERE, BPF_TCX_EGRESS, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_but(feature: Option<Feature>) -> KernelFeatures {
        KernelFeatures { found: Feature::ALL.map(|one| Some(Some(one) != feature)) }
    }

    #[test]
    fn features_are_where_they_are_looked_up() {
        for feature in Feature::ALL {
            let features = all_but(Some(feature));
            assert_eq!(Feature::ALL.map(|one| features.lacks(one)), Feature::ALL.map(|one| one == feature));
        }
    }

    #[test]
    fn a_lack_is_one_sentence_with_the_first_kernel_that_has_it() {
        let evidence = EngineConfig { snapshots: true, ..EngineConfig::default() };
        let text = all_but(Some(Feature::FrameBytes)).check(&evidence).expect_err("it needs them").to_string();
        assert_eq!(
            text,
            "--evidence of counted traffic needs bpf_xdp_load_bytes (Linux 5.18), which this kernel lacks; use --datapath \
             afxdp, or a capture"
        );
        assert!(all_but(Some(Feature::FrameBytes)).check(&EngineConfig::default()).is_ok(), "nobody asked for it");
        assert!(all_but(None).check(&evidence).is_ok());
        let old = all_but(Some(Feature::XdpLink)).check(&EngineConfig::default()).expect_err("nothing works");
        assert!(old.to_string().contains("XDP bpf_link (Linux 5.9)"), "{old}");
    }

    #[test]
    fn only_einval_says_that_the_kernel_does_not_know() {
        assert_eq!(knows(Some(libc::EINVAL)), Some(false));
        assert_eq!([libc::EPERM, libc::EACCES].map(|errno| knows(Some(errno))), [None; 2]);
        assert_eq!([Some(libc::ENODEV), Some(libc::EOPNOTSUPP), None].map(knows), [Some(true); 3]);
    }

    #[test]
    fn what_came_together_is_found_together() {
        let features = KernelFeatures::of_this_kernel();
        // Without privileges nothing is known, and nothing is said. Both came with 5.18.
        assert_eq!(features.has(Feature::Frags), features.has(Feature::FrameBytes), "{features:?}");
        if features.has(Feature::Tcx) == Some(true) {
            let older = [Feature::RingBuffer, Feature::XdpLink, Feature::MemoryByControlGroup, Feature::Frags];
            assert_eq!(older.map(|feature| features.has(feature)), [Some(true); 4], "{features:?}");
        }
    }
}
