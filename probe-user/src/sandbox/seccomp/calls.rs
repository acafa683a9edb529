//! The system calls: which are needed for what, with which arguments, and which are dangerous.

use libc::{
    CLONE_THREAD, PROT_EXEC, SYS_accept, SYS_accept4, SYS_add_key, SYS_bind, SYS_bpf, SYS_brk, SYS_capget, SYS_capset,
    SYS_chroot, SYS_clock_getres, SYS_clock_gettime, SYS_clock_nanosleep, SYS_clock_settime, SYS_clone, SYS_clone3,
    SYS_close, SYS_close_range, SYS_connect, SYS_copy_file_range, SYS_delete_module, SYS_dup, SYS_dup3,
    SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_eventfd2, SYS_execve, SYS_execveat, SYS_exit,
    SYS_exit_group, SYS_faccessat, SYS_faccessat2, SYS_fadvise64, SYS_fchmod, SYS_fcntl, SYS_fdatasync,
    SYS_finit_module, SYS_flock, SYS_fstat, SYS_fsync, SYS_ftruncate, SYS_futex, SYS_getcwd, SYS_getdents64,
    SYS_getegid, SYS_geteuid, SYS_getgid, SYS_getpid, SYS_getppid, SYS_getrandom, SYS_getrusage, SYS_getsockname,
    SYS_getsockopt, SYS_gettid, SYS_gettimeofday, SYS_getuid, SYS_init_module, SYS_io_uring_enter,
    SYS_io_uring_register, SYS_io_uring_setup, SYS_ioctl, SYS_kexec_load, SYS_keyctl, SYS_kill, SYS_landlock_add_rule,
    SYS_landlock_create_ruleset, SYS_landlock_restrict_self, SYS_listen, SYS_lseek, SYS_madvise, SYS_membarrier,
    SYS_mkdirat, SYS_mmap, SYS_mount, SYS_mprotect, SYS_mremap, SYS_munmap, SYS_name_to_handle_at, SYS_nanosleep,
    SYS_newfstatat, SYS_open_by_handle_at, SYS_openat, SYS_perf_event_open, SYS_personality, SYS_pidfd_getfd,
    SYS_pidfd_open, SYS_pidfd_send_signal, SYS_pivot_root, SYS_ppoll, SYS_prctl, SYS_pread64, SYS_preadv,
    SYS_prlimit64, SYS_process_vm_readv, SYS_process_vm_writev, SYS_ptrace, SYS_pwrite64, SYS_read, SYS_readlinkat,
    SYS_readv, SYS_reboot, SYS_recvfrom, SYS_recvmsg, SYS_request_key, SYS_restart_syscall, SYS_rseq, SYS_rt_sigaction,
    SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sched_getaffinity, SYS_sched_setaffinity, SYS_sched_yield, SYS_sendfile,
    SYS_sendmsg, SYS_sendto, SYS_set_robust_list, SYS_setgid, SYS_setgroups, SYS_setns, SYS_setregid, SYS_setresgid,
    SYS_setresuid, SYS_setreuid, SYS_setsockopt, SYS_settimeofday, SYS_setuid, SYS_shutdown, SYS_sigaltstack,
    SYS_socket, SYS_socketpair, SYS_splice, SYS_statx, SYS_swapoff, SYS_swapon, SYS_sysinfo, SYS_tgkill,
    SYS_timerfd_create, SYS_timerfd_settime, SYS_tkill, SYS_umount2, SYS_uname, SYS_unlinkat, SYS_unshare,
    SYS_userfaultfd, SYS_write, SYS_writev,
};

use super::{Calls, own_pid};

/// What an argument must be, by its position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Argument {
    Is(u8, u32),
    IsNot(u8, u32),
    AtMost(u8, u32),
    MoreThan(u8, u32),
    With(u8, u32),
    Without(u8, u32),
    /// All of it, since it is an address: half of one may be zero.
    Null(u8),
    NotNull(u8),
}

impl Argument {
    /// The opposite.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Is(at, value) => Self::IsNot(at, value),
            Self::IsNot(at, value) => Self::Is(at, value),
            Self::AtMost(at, value) => Self::MoreThan(at, value),
            Self::MoreThan(at, value) => Self::AtMost(at, value),
            Self::With(at, bit) => Self::Without(at, bit),
            Self::Without(at, bit) => Self::With(at, bit),
            Self::Null(at) => Self::NotNull(at),
            Self::NotNull(at) => Self::Null(at),
        }
    }
}

/// A system call that is on the list.
pub(super) struct Call {
    pub(super) number: i64,
    /// Alternatives, of which all arguments must be so; none where they do not matter.
    pub(super) only_with: Vec<Vec<Argument>>,
}

/// Memory, threads, time, signals, the end.
const RUN: &[i64] = &[
    SYS_brk,
    SYS_capget,
    SYS_capset,
    SYS_clock_getres,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_clone3,
    SYS_exit,
    SYS_exit_group,
    SYS_futex,
    SYS_getegid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getpid,
    SYS_getppid,
    SYS_getrandom,
    SYS_getrusage,
    SYS_gettid,
    SYS_gettimeofday,
    SYS_getuid,
    SYS_madvise,
    SYS_membarrier,
    SYS_mremap,
    SYS_munmap,
    SYS_nanosleep,
    SYS_restart_syscall,
    SYS_rseq,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sched_getaffinity,
    SYS_sched_yield,
    SYS_set_robust_list,
    SYS_sigaltstack,
    SYS_sysinfo,
    SYS_uname,
];

/// What is open already, and what Landlock lets be opened. Further layers of the sandbox can only narrow it.
const FILES: &[i64] = &[
    SYS_close,
    SYS_close_range,
    SYS_copy_file_range,
    SYS_dup,
    SYS_dup3,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_fadvise64,
    SYS_fchmod,
    SYS_fcntl,
    SYS_fdatasync,
    SYS_flock,
    SYS_fstat,
    SYS_fsync,
    SYS_ftruncate,
    SYS_getcwd,
    SYS_getdents64,
    SYS_landlock_add_rule,
    SYS_landlock_create_ruleset,
    SYS_landlock_restrict_self,
    SYS_lseek,
    SYS_newfstatat,
    SYS_openat,
    SYS_ppoll,
    SYS_pread64,
    SYS_preadv,
    SYS_pwrite64,
    SYS_read,
    SYS_readlinkat,
    SYS_readv,
    SYS_sendfile,
    SYS_splice,
    SYS_statx,
    SYS_write,
    SYS_writev,
];

/// The same under the older names that only this processor has.
#[cfg(target_arch = "x86_64")]
const OLDER: &[i64] = &[
    libc::SYS_access,
    libc::SYS_open,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_dup2,
    libc::SYS_epoll_wait,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[i64] = &[];

/// Files come and go.
const MAKE_AND_REMOVE: &[i64] = &[
    SYS_mkdirat,
    SYS_unlinkat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
];

/// Events, and sockets that are open or that `socket` lets be opened.
const WATCH: &[i64] = &[
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_eventfd2,
    SYS_getsockname,
    SYS_getsockopt,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_setsockopt,
    SYS_timerfd_create,
    SYS_timerfd_settime,
];

/// fchmodat2(2), Linux 6.6, which has this number on every processor, and in the C library's list only on some.
const FCHMODAT2: i64 = 452;
/// renameat(2), which is not in that list of ARM64.
#[cfg(not(target_arch = "x86_64"))]
const RENAMEAT: i64 = 38;
#[cfg(target_arch = "x86_64")]
const RENAMEAT: i64 = libc::SYS_renameat;

/// What helps nobody but who has taken over this process: other programs and processes, the network, ways out of the sandbox,
/// parts of the kernel that have been its weakest, the machine itself.
pub(super) const DANGEROUS: &[i64] = &[
    SYS_accept,
    SYS_accept4,
    SYS_add_key,
    SYS_bind,
    SYS_bpf,
    SYS_chroot,
    SYS_clock_settime,
    SYS_connect,
    SYS_delete_module,
    SYS_execve,
    SYS_execveat,
    SYS_finit_module,
    SYS_init_module,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_io_uring_setup,
    SYS_kexec_load,
    SYS_keyctl,
    SYS_kill,
    SYS_listen,
    SYS_mount,
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
    SYS_perf_event_open,
    SYS_personality,
    SYS_pidfd_getfd,
    SYS_pidfd_open,
    SYS_pidfd_send_signal,
    SYS_pivot_root,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_ptrace,
    SYS_reboot,
    SYS_request_key,
    SYS_sendmsg,
    SYS_sendto,
    SYS_setgid,
    SYS_setgroups,
    SYS_setns,
    SYS_setregid,
    SYS_setresgid,
    SYS_setresuid,
    SYS_setreuid,
    SYS_settimeofday,
    SYS_setuid,
    SYS_shutdown,
    SYS_socket,
    SYS_socketpair,
    SYS_swapoff,
    SYS_swapon,
    SYS_tkill,
    SYS_umount2,
    SYS_unshare,
    SYS_userfaultfd,
    libc::SYS_pkey_mprotect,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_sendmmsg,
    libc::SYS_shmat,
    // Names of files, and whose they are: Landlock does not know the latter, and older kernels no Landlock.
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_linkat,
    libc::SYS_lremovexattr,
    libc::SYS_lsetxattr,
    libc::SYS_mknodat,
    libc::SYS_removexattr,
    RENAMEAT,
    libc::SYS_renameat2,
    libc::SYS_setxattr,
    libc::SYS_symlinkat,
    libc::SYS_truncate,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
];

/// Commands of bpf(2): maps that are there, and links of programs that are loaded; none that makes a map or loads a program.
const BPF_COMMANDS: [u32; 17] = [
    1,  // BPF_MAP_LOOKUP_ELEM
    2,  // BPF_MAP_UPDATE_ELEM
    3,  // BPF_MAP_DELETE_ELEM
    4,  // BPF_MAP_GET_NEXT_KEY
    11, // BPF_PROG_GET_NEXT_ID
    13, // BPF_PROG_GET_FD_BY_ID
    15, // BPF_OBJ_GET_INFO_BY_FD
    16, // BPF_PROG_QUERY
    21, // BPF_MAP_LOOKUP_AND_DELETE_ELEM
    24, // BPF_MAP_LOOKUP_BATCH
    25, // BPF_MAP_LOOKUP_AND_DELETE_BATCH
    26, // BPF_MAP_UPDATE_BATCH
    27, // BPF_MAP_DELETE_BATCH
    28, // BPF_LINK_CREATE
    30, // BPF_LINK_GET_FD_BY_ID
    31, // BPF_LINK_GET_NEXT_ID
    34, // BPF_LINK_DETACH
];

/// Options of prctl(2): names of threads and of memory, and less privileges.
const PRCTL_OPTIONS: [i32; 8] = [
    libc::PR_SET_NAME,
    libc::PR_GET_NAME,
    libc::PR_SET_NO_NEW_PRIVS,
    libc::PR_GET_NO_NEW_PRIVS,
    libc::PR_CAPBSET_READ,
    libc::PR_CAPBSET_DROP,
    libc::PR_CAP_AMBIENT,
    libc::PR_SET_VMA,
];

/// Length of the longest address that may be bound or sent to: one of netlink. Those of IP are longer.
const NETLINK_ADDRESS: u32 = 12;
/// The same of abstract sockets, by which processes that own filters are known and take turns.
const OWNER_ADDRESS: u32 = 28;
/// Of ioctl(2): selections and more of the console.
const TIOCLINUX: u32 = 0x541c;

/// The list.
pub(super) fn of(calls: Calls) -> Vec<Call> {
    let always = |numbers: &[i64]| -> Vec<Call> {
        numbers.iter().map(|&number| Call { number, only_with: Vec::new() }).collect()
    };
    let with = |number: i64, only_with: Vec<Vec<Argument>>| Call { number, only_with };
    let mut all: Vec<Call> = [RUN, FILES, OLDER].into_iter().flat_map(always).collect();
    all.extend([
        // A thread, never a process.
        with(SYS_clone, vec![vec![Argument::With(0, CLONE_THREAD as u32)]]),
        // No memory that is executed.
        with(SYS_mmap, vec![vec![Argument::Without(2, PROT_EXEC as u32)]]),
        with(SYS_mprotect, vec![vec![Argument::Without(2, PROT_EXEC as u32)]]),
        // Whatever is asked of a terminal, but not to take for typed what was not.
        with(SYS_ioctl, vec![vec![Argument::IsNot(1, libc::TIOCSTI as u32), Argument::IsNot(1, TIOCLINUX)]]),
        with(SYS_prctl, PRCTL_OPTIONS.map(|option| vec![Argument::Is(0, option.unsigned_abs())]).into()),
        // What is asked, never what is set (the address of the new limit is not zero).
        with(SYS_prlimit64, vec![vec![Argument::Null(2)]]),
        // abort(3).
        with(SYS_tgkill, vec![vec![Argument::Is(0, own_pid())]]),
    ]);
    // Of the thread itself only.
    let own_processor = with(SYS_sched_setaffinity, vec![vec![Argument::Null(0)]]);
    match calls {
        Calls::Captures { writes: false } => all.push(own_processor),
        Calls::Captures { writes: true } => all.extend(always(MAKE_AND_REMOVE).into_iter().chain([own_processor])),
        Calls::Interfaces { asks_owners, is_promiscuous } => {
            all.extend([MAKE_AND_REMOVE, WATCH].into_iter().flat_map(always));
            let netlink = vec![Argument::Is(0, libc::AF_NETLINK as u32)];
            let datagrams = vec![Argument::Is(0, libc::AF_UNIX as u32), Argument::Without(1, 1)];
            let packets = vec![Argument::Is(0, libc::AF_PACKET as u32)];
            let further = [(asks_owners, datagrams), (is_promiscuous, packets)];
            let further = further.into_iter().filter(|(is_needed, _)| *is_needed).map(|(_, family)| family);
            let sockets = [netlink].into_iter().chain(further).collect();
            let longest = if asks_owners { OWNER_ADDRESS } else { NETLINK_ADDRESS };
            all.extend([
                with(SYS_bpf, BPF_COMMANDS.map(|command| vec![Argument::Is(0, command)]).into()),
                with(SYS_socket, sockets),
                with(SYS_bind, vec![vec![Argument::AtMost(2, longest)]]),
                with(SYS_connect, vec![vec![Argument::AtMost(2, longest)]]),
                with(SYS_sendto, vec![vec![Argument::AtMost(5, NETLINK_ADDRESS)]]),
            ]);
        }
    }
    all
}
