//! `bpf(2)`: programs and counters of the tests' own, and XDP programs run on frames that are then really sent.
#![expect(unsafe_code, reason = "raw system calls; each block says why its arguments are valid")]

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use super::check;
use crate::assemble::Instruction;

/// `struct bpf_attr` of `BPF_MAP_CREATE`, as far as needed; the kernel takes what is missing for zero.
#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

/// The same of `BPF_PROG_LOAD`.
#[repr(C)]
struct ProgramLoad {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// The same of `BPF_MAP_LOOKUP_ELEM`.
#[repr(C)]
struct MapLookup {
    map: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The same of `BPF_LINK_CREATE`.
#[repr(C)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// The same of `BPF_PROG_TEST_RUN`.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    return_value: u32,
    data_in_size: u32,
    data_out_size: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_in_size: u32,
    context_out_size: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    pad: u32,
}

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 2;

/// # Safety
/// `attributes` is what the kernel expects of `command`, and whatever it points to lives until the call returns.
pub(super) unsafe fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: the attributes are valid for their size; the caller vouches for what they point to.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    check(done as libc::c_int)
}

/// A BPF array of one `u64`.
#[derive(Debug)]
pub struct Counter {
    map: OwnedFd,
}

impl Counter {
    /// Creates it, at 0.
    pub fn create() -> io::Result<Self> {
        let mut attributes =
            MapCreate { map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 1, flags: 0 };
        // SAFETY: the attributes of this command, without pointers.
        let map = unsafe { bpf(BPF_MAP_CREATE, &mut attributes) }?;
        // SAFETY: just opened, and nobody else's.
        Ok(Self { map: unsafe { OwnedFd::from_raw_fd(map) } })
    }

    /// Its descriptor, for the instruction that names it.
    pub fn descriptor(&self) -> i32 {
        self.map.as_raw_fd()
    }

    /// Its value.
    pub fn read(&self) -> io::Result<u64> {
        let (key, mut value) = (0_u32, 0_u64);
        let mut attributes = MapLookup {
            map: self.map.as_raw_fd().cast_unsigned(),
            pad: 0,
            key: (&raw const key) as u64,
            value: (&raw mut value) as u64,
            flags: 0,
        };
        // SAFETY: the attributes of this command; key and value have the map's sizes and live until it returns.
        unsafe { bpf(BPF_MAP_LOOKUP_ELEM, &mut attributes) }?;
        Ok(value)
    }
}

/// A loaded XDP program that is attached to nothing.
#[derive(Debug)]
pub struct LoadedProgram {
    program: OwnedFd,
}

impl LoadedProgram {
    /// Loads `instructions`.
    ///
    /// # Errors
    /// When the verifier refuses them: the error holds its log.
    pub fn load(instructions: &[Instruction]) -> io::Result<Self> {
        Self::load_named(instructions, "")
    }

    /// Loads `instructions` as a program of that name, of at most 15 bytes.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_named(instructions: &[Instruction], name: &str) -> io::Result<Self> {
        load(BPF_PROG_TYPE_XDP, instructions, name).map(|program| Self { program })
    }

    /// Its id, from what the kernel tells of the descriptor (proc_pid_fdinfo(5)).
    pub fn id(&self) -> io::Result<u32> {
        let reported = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", self.program.as_raw_fd()))?;
        let id = reported.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok());
        id.ok_or_else(|| io::Error::other(format!("no prog_id in {reported}")))
    }

    /// Runs it `repeat` times on copies of `frame` that are real: what it redirects is sent. The program sees the
    /// calling thread's namespace.
    pub fn run_live(&self, frame: &[u8], repeat: u32, batch_size: u32) -> io::Result<()> {
        let mut attributes = TestRun {
            program: self.program.as_raw_fd().cast_unsigned(),
            data_in_size: frame.len() as u32,
            data_in: frame.as_ptr() as u64,
            repeat,
            flags: BPF_F_TEST_XDP_LIVE_FRAMES,
            batch_size,
            ..TestRun::default()
        };
        // SAFETY: the attributes of this command; the frame lives until it returns and is only read.
        unsafe { bpf(BPF_PROG_TEST_RUN, &mut attributes) }.map(drop)
    }
}

/// A program that says of each frame that an interface hands to its stack whether it goes on (tcx, Linux 6.6), for as long
/// as this lives.
#[derive(Debug)]
pub struct IngressFilter {
    _link: OwnedFd,
}

impl IngressFilter {
    /// Loads `instructions` and attaches them to the interface with `index` of the calling thread's namespace.
    ///
    /// # Errors
    /// When the verifier refuses them, or the kernel is too old.
    pub fn attach(instructions: &[Instruction], index: u32) -> io::Result<Self> {
        let program = load(BPF_PROG_TYPE_SCHED_CLS, instructions, "")?;
        let mut attributes = LinkCreate {
            program: program.as_raw_fd().cast_unsigned(),
            interface: index,
            attach_type: BPF_TCX_INGRESS,
            flags: 0,
        };
        // SAFETY: the attributes of this command, without pointers.
        let link = unsafe { bpf(BPF_LINK_CREATE, &mut attributes) }?;
        // SAFETY: just opened, and nobody else's. It holds the program.
        Ok(Self { _link: unsafe { OwnedFd::from_raw_fd(link) } })
    }
}

/// Loads a program; when the verifier refuses it, the error holds its log.
fn load(kind: u32, instructions: &[Instruction], name: &str) -> io::Result<OwnedFd> {
    let mut log = vec![0_u8; 1 << 16];
    let mut name_bytes = [0; 16];
    name_bytes[..name.len()].copy_from_slice(name.as_bytes());
    let mut attributes = ProgramLoad {
        program_type: kind,
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 1,
        log_size: log.len() as u32,
        log: log.as_mut_ptr() as u64,
        kernel_version: 0,
        flags: 0,
        name: name_bytes,
    };
    // SAFETY: the attributes of this command; instructions, licence and log live until it returns.
    match unsafe { bpf(BPF_PROG_LOAD, &mut attributes) } {
        // SAFETY: just opened, and nobody else's.
        Ok(program) => Ok(unsafe { OwnedFd::from_raw_fd(program) }),
        Err(error) => {
            let text = String::from_utf8_lossy(&log);
            Err(io::Error::new(error.kind(), format!("{error}\n{}", text.trim_end_matches('\0'))))
        }
    }
}
