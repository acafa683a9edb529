//! The system calls that std has no safe word for: `setns`, socket options, link-layer frames, signals; `bpf` is in [`bpf`].
//!
//! This file, [`bpf`], [`measure`] and [`tun`] are the only ones of this package with `unsafe`. Every function here is safe to call.
#![expect(unsafe_code, reason = "raw system calls; each block says why its arguments are valid")]

pub mod bpf;
pub mod measure;
pub mod tun;

use std::{
    ffi::{CStr, CString},
    io,
    mem::size_of,
    net::{SocketAddr, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Turns the -1 convention of libc into a result.
fn check(value: libc::c_int) -> io::Result<libc::c_int> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// Length of a `T` as the socket calls want it.
fn socklen<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

/// True when this process has the effective user id 0.
pub fn is_root() -> bool {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Moves the calling thread (only it) into the network namespace behind `namespace`.
pub fn enter_network_namespace(namespace: impl AsFd) -> io::Result<()> {
    // SAFETY: a descriptor that is open for the whole call; the kernel checks what it refers to.
    check(unsafe { libc::setns(namespace.as_fd().as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// The CPU that the calling thread runs on at this moment.
pub fn current_cpu() -> io::Result<usize> {
    // SAFETY: no precondition.
    check(unsafe { libc::sched_getcpu() }).map(|cpu| usize::try_from(cpu).unwrap_or(0))
}

/// Binds the calling thread to one CPU.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    // SAFETY: all-zero bytes are the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: `cpu` is below the size of the set, as just checked.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is valid for reads of its size until the call returns; 0 is the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) }).map(drop)
}

/// Sends SIGINT to one process.
pub fn interrupt(pid: u32) -> io::Result<()> {
    signal(pid, libc::SIGINT)
}

/// Sends SIGTERM to one process.
pub fn terminate(pid: u32) -> io::Result<()> {
    signal(pid, libc::SIGTERM)
}

/// Sends SIGHUP to one process. (A minimal Debian has no program for it.)
pub fn hang_up(pid: u32) -> io::Result<()> {
    signal(pid, libc::SIGHUP)
}

/// From now on SIGHUP means to this process, and to those it starts, what it means by default: tests that were started with
/// `nohup` would find that the probe ignores it, as it should.
pub fn hear_hang_up() -> io::Result<()> {
    // SAFETY: no memory is involved, and no handler of ours runs.
    let before = unsafe { libc::signal(libc::SIGHUP, libc::SIG_DFL) };
    if before == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Stops one process (SIGSTOP), or lets it go on (SIGCONT).
pub fn pause(pid: u32, paused: bool) -> io::Result<()> {
    signal(pid, if paused { libc::SIGSTOP } else { libc::SIGCONT })
}

fn signal(pid: u32, signal: libc::c_int) -> io::Result<()> {
    // A pid of 0 or a negative one would address a whole group: refuse it instead of passing it on.
    let pid = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 1).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: no memory is involved.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Has `command` begin without any capability, root or not: its bounding set is emptied before it executes.
pub fn without_capabilities(command: &mut Command) -> &mut Command {
    let empty_bounding_set = || {
        // The kernel says EINVAL for the first number that is no capability.
        for capability in 0_u64..64 {
            // SAFETY: no memory is involved.
            if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } < 0 {
                let error = io::Error::last_os_error();
                return if error.raw_os_error() == Some(libc::EINVAL) { Ok(()) } else { Err(error) };
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec only `prctl` is called, which is async-signal-safe, and nothing is allocated.
    unsafe { command.pre_exec(empty_bounding_set) }
}

/// Makes the next `close` of `stream` an abort: `SO_LINGER` with a timeout of 0.
pub fn abort_on_close(stream: &TcpStream) -> io::Result<()> {
    set_option(stream, libc::SOL_SOCKET, libc::SO_LINGER, libc::linger { l_onoff: 1, l_linger: 0 })
}

/// Sets an integer TCP option, for example `libc::TCP_KEEPCNT`.
pub fn set_tcp_option(stream: &TcpStream, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    set_option(stream, libc::IPPROTO_TCP, option, value)
}

/// Sets `SO_KEEPALIVE`.
pub fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    set_option(stream, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)
}

fn set_option<T: Copy>(socket: &impl AsRawFd, level: libc::c_int, name: libc::c_int, value: T) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which lives until the call returns; the kernel only reads.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), socklen::<T>()) };
    check(done).map(drop)
}

const REPAIR_ON: libc::c_int = 1;
/// Leaves repair mode without the window probe that a plain 0 would send.
const REPAIR_OFF_SILENTLY: libc::c_int = -1;
const RECEIVE_QUEUE: libc::c_int = 1;
const SEND_QUEUE: libc::c_int = 2;

/// Next sequence number this end sends, and the next it expects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sequence {
    /// SND.NXT once everything queued is sent.
    pub send: u32,
    /// RCV.NXT.
    pub receive: u32,
}

/// Reads the sequence numbers of an established connection without sending anything (`TCP_REPAIR`).
pub fn sequence(stream: &TcpStream) -> io::Result<Sequence> {
    set_tcp_option(stream, libc::TCP_REPAIR, REPAIR_ON)?;
    let read = |queue| {
        set_tcp_option(stream, libc::TCP_REPAIR_QUEUE, queue)?;
        tcp_option(stream, libc::TCP_QUEUE_SEQ)
    };
    let sequence = read(SEND_QUEUE).and_then(|send| Ok(Sequence { send, receive: read(RECEIVE_QUEUE)? }));
    set_tcp_option(stream, libc::TCP_REPAIR, REPAIR_OFF_SILENTLY)?;
    sequence
}

/// Closes `stream` without a word to the peer, as a host does that loses power: repair mode sends nothing.
pub fn forget(stream: TcpStream) -> io::Result<()> {
    set_tcp_option(&stream, libc::TCP_REPAIR, REPAIR_ON)?;
    drop(stream);
    Ok(())
}

fn tcp_option(stream: &TcpStream, name: libc::c_int) -> io::Result<u32> {
    let mut value = 0_u32;
    let mut len = socklen::<u32>();
    // SAFETY: `value` and `len` are valid for writes of their size until the call returns, and `len` says how much.
    let done =
        unsafe { libc::getsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, name, (&raw mut value).cast(), &raw mut len) };
    check(done)?;
    Ok(value)
}

/// Makes the next bytes that reach `stream` vanish before TCP sees them: a socket filter that accepts nothing.
pub fn deafen(stream: &TcpStream) -> io::Result<()> {
    // BPF_RET | BPF_K, 0: keep 0 bytes of every packet.
    let mut nothing = [libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0 }];
    let program = libc::sock_fprog { len: 1, filter: nothing.as_mut_ptr() };
    set_option(stream, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program)
}

/// Connects from a port of choice, giving up in silence after `timeout`.
///
/// # Errors
/// `TimedOut` when nobody answered; whatever `bind` and `connect` say.
pub fn connect_from(from: SocketAddr, to: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let family = if from.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no memory is involved.
    let socket = check(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: `socket` was just opened and belongs to nobody else.
    let stream = TcpStream::from(unsafe { OwnedFd::from_raw_fd(socket) });
    set_option(&stream, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    let (own, own_len) = socket_address(from);
    // SAFETY: the address is valid for reads of its length until the call returns.
    check(unsafe { libc::bind(stream.as_raw_fd(), (&raw const own).cast(), own_len) })?;
    let (peer, peer_len) = socket_address(to);
    // SAFETY: as above.
    match check(unsafe { libc::connect(stream.as_raw_fd(), (&raw const peer).cast(), peer_len) }) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    let end = Instant::now() + timeout;
    while stream.peer_addr().is_err() {
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        if Instant::now() > end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn socket_address(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: all-zero bytes are a valid `sockaddr_storage`: integers only.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let place = &raw mut storage;
    match address {
        SocketAddr::V4(v4) => {
            let address = libc::sockaddr_in {
                sin_family: libc::AF_INET as u16,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: a `sockaddr_storage` has room and alignment for every kind of address.
            unsafe { place.cast::<libc::sockaddr_in>().write(address) };
            (storage, socklen::<libc::sockaddr_in>())
        }
        SocketAddr::V6(v6) => {
            let address = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as u16,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: 0,
            };
            // SAFETY: as above.
            unsafe { place.cast::<libc::sockaddr_in6>().write(address) };
            (storage, socklen::<libc::sockaddr_in6>())
        }
    }
}

/// From now on mounts of the calling thread, of threads and of processes that it starts are their own, and end with them.
pub fn own_mounts() -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    mount(c"none", c"/", None, libc::MS_REC | libc::MS_PRIVATE)
}

/// Mounts tracefs on `directory` for the calling thread alone: its mounts are its own from now on, and end with it.
pub fn mount_tracefs_privately(directory: &Path) -> io::Result<()> {
    own_mounts()?;
    mount(c"rstprobe-lab", &CString::new(directory.as_os_str().as_bytes())?, Some(c"tracefs"), 0)
}

/// Ends the calling thread's mount on `directory`.
pub fn unmount(directory: &Path) -> io::Result<()> {
    let directory = CString::new(directory.as_os_str().as_bytes())?;
    // SAFETY: a NUL-terminated string that lives until the call returns.
    check(unsafe { libc::umount2(directory.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

fn mount(source: &CStr, target: &CStr, kind: Option<&CStr>, flags: libc::c_ulong) -> io::Result<()> {
    let kind = kind.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: NUL-terminated strings that live until the call returns; no data.
    check(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind, flags, std::ptr::null()) }).map(drop)
}

/// A socket that sends Ethernet frames, as they are, out of one interface.
#[derive(Debug)]
pub struct Outlet {
    socket: OwnedFd,
}

impl Outlet {
    /// Opens it on `interface` of the calling thread's namespace.
    pub fn open(interface: &str) -> io::Result<Self> {
        let address = link_address(interface)?;
        // SAFETY: no memory is involved.
        let socket = check(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: `socket` was just opened and belongs to nobody else.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        bind_link(&socket, &address)?;
        Ok(Self { socket })
    }

    /// Sends one frame.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: the frame is valid for its length, and the kernel only reads it.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if usize::try_from(sent) == Ok(frame.len()) { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

fn bind_link(socket: &OwnedFd, address: &libc::sockaddr_ll) -> io::Result<()> {
    let len = socklen::<libc::sockaddr_ll>();
    // SAFETY: the address is valid for reads of its size until the call returns.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const *address).cast(), len) }).map(drop)
}

fn link_address(interface: &str) -> io::Result<libc::sockaddr_ll> {
    let index = interface_index(interface)?;
    // SAFETY: all-zero bytes are a valid `sockaddr_ll`: integers only.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = index.cast_signed();
    Ok(address)
}

/// Index of `interface` in the calling thread's namespace.
pub fn interface_index(interface: &str) -> io::Result<u32> {
    let name = CString::new(interface)?;
    // SAFETY: a NUL-terminated string that lives until the call returns.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// A socket that receives a copy of every frame on one interface, until it is dropped.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
}

/// Enough for everything a test sends, should the reader be late.
const TAP_BUFFER: libc::c_int = 64 << 20;
/// How long [`Tap::receive`] waits, so that its caller can look whether it should stop.
const TAP_WAIT: libc::timeval = libc::timeval { tv_sec: 0, tv_usec: 50_000 };

impl Tap {
    /// Opens it on `interface` of the calling thread's namespace.
    pub fn open(interface: &str) -> io::Result<Self> {
        let every_protocol = (libc::ETH_P_ALL as u16).to_be();
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: no memory is involved.
        let socket = check(unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(every_protocol)) })?;
        // SAFETY: `socket` was just opened and belongs to nobody else.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, TAP_BUFFER)?;
        set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, TAP_WAIT)?;
        let mut address = link_address(interface)?;
        address.sll_protocol = every_protocol;
        bind_link(&socket, &address)?;
        Ok(Self { socket })
    }

    /// The next received frame (at most as much as fits), or `None` when there was none for a while. Frames that the
    /// interface sent are left out.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
        loop {
            // SAFETY: all-zero bytes are a valid `sockaddr_ll`: integers only.
            let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            let mut len = socklen::<libc::sockaddr_ll>();
            // SAFETY: buffer and address are valid for writes of the lengths given until the call returns.
            let got = unsafe {
                libc::recvfrom(
                    self.socket.as_raw_fd(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    0,
                    (&raw mut from).cast(),
                    &raw mut len,
                )
            };
            match usize::try_from(got) {
                Ok(_) if from.sll_pkttype == libc::PACKET_OUTGOING => {}
                Ok(got) => return Ok(Some(&buffer[..got])),
                Err(_) => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error => return Err(error),
                },
            }
        }
    }

    /// Frames that found no room in the buffer since the last call.
    pub fn dropped(&self) -> io::Result<u32> {
        let mut counts = [0_u32; 2];
        let mut len = socklen::<[u32; 2]>();
        // SAFETY: `counts` and `len` are valid for writes of their size until the call returns.
        check(unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut counts).cast(),
                &raw mut len,
            )
        })?;
        Ok(counts[1])
    }
}
