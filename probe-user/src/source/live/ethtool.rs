//! Questions to a driver that netlink does not answer in one message: its name, its queues, its offloads, its own statistics, whether it
//! strips VLAN tags; and the packet-socket membership that makes an interface promiscuous for as long as this process lives.
#![expect(unsafe_code, reason = "ioctl and setsockopt with C structures")]

use rustix::net::{AddressFamily, SocketType};
use std::{
    ffi::c_int,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GDRVINFO: u32 = 0x0000_0003;
const ETHTOOL_GSTRINGS: u32 = 0x0000_001b;
const ETHTOOL_GSTATS: u32 = 0x0000_001d;
const ETHTOOL_GFLAGS: u32 = 0x0000_0025;
const ETHTOOL_GSSET_INFO: u32 = 0x0000_0037;
const ETHTOOL_GFEATURES: u32 = 0x0000_003a;
const ETHTOOL_GCHANNELS: u32 = 0x0000_003c;
const ETH_SS_STATS: u32 = 1;
const ETH_SS_FEATURES: u32 = 4;
const ETH_GSTRING_LEN: usize = 32;
const ETH_FLAG_RXVLAN: u32 = 1 << 8;
const ETH_FLAG_LRO: u32 = 1 << 15;

/// `struct ethtool_drvinfo` of include/uapi/linux/ethtool.h.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// `struct ethtool_channels`.
#[repr(C)]
struct Channels {
    command: u32,
    max: [u32; 4],
    receive: u32,
    transmit: u32,
    other: u32,
    combined: u32,
}

/// `struct ethtool_sset_info` with room for one number.
#[repr(C)]
struct SetInfo {
    command: u32,
    reserved: u32,
    mask: u64,
    count: u32,
}

/// Statistics of one driver that are read at most; large NICs with a queue for each of hundreds of CPUs have some ten
/// thousand. Twice as many fit into what the kernel is given to write into.
const STATISTICS: usize = 1 << 16;

fn socket(domain: c_int, kind: c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn ethtool<T: ?Sized>(interface: &str, request: &mut T) -> io::Result<()> {
    // Any socket does, and one of netlink speaks to nobody but the kernel: the sandbox admits no other.
    let socket = socket(libc::AF_NETLINK, libc::SOCK_RAW)?;
    let mut name = [0 as libc::c_char; libc::IFNAMSIZ];
    if interface.len() >= name.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in name.iter_mut().zip(interface.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let data = std::ptr::from_mut(request).cast();
    let mut ifreq = libc::ifreq { ifr_name: name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: data } };
    // SAFETY: `ifreq` and the request it points to live through the call and have the layout the command expects; where
    // the kernel writes as much as it has (GSTRINGS, GSTATS), callers give room for more than they were told there is.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut ifreq) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Name of the driver behind `interface`.
///
/// # Errors
/// What the ioctl says; virtual devices may lack it.
pub(super) fn driver(interface: &str) -> io::Result<String> {
    let mut info = DriverInfo { command: ETHTOOL_GDRVINFO, driver: [0; 32], rest: [0; 160] };
    ethtool(interface, &mut info)?;
    let end = info.driver.iter().position(|&byte| byte == 0).unwrap_or(info.driver.len());
    Ok(String::from_utf8_lossy(&info.driver[..end]).into_owned())
}

/// Whether the NIC strips VLAN tags and whether it merges segments (LRO).
///
/// # Errors
/// What the ioctl says.
pub(super) fn vlan_strip_and_lro(interface: &str) -> io::Result<(bool, bool)> {
    let mut value = Value { command: ETHTOOL_GFLAGS, data: 0 };
    ethtool(interface, &mut value)?;
    Ok((value.data & ETH_FLAG_RXVLAN != 0, value.data & ETH_FLAG_LRO != 0))
}

/// The driver's own statistics by name, in its order (`ethtool -S`).
///
/// # Errors
/// `Unsupported` when it has none; what the ioctl says, or that they became others while they were read.
pub(super) fn statistics(interface: &str) -> io::Result<Vec<(String, u64)>> {
    match set_len(interface, ETH_SS_STATS)? {
        0 => return Err(io::ErrorKind::Unsupported.into()),
        1..STATISTICS => {}
        count => return Err(io::Error::other(format!("{count} statistics are too many"))),
    }
    let names = strings(interface, ETH_SS_STATS)?;
    let values = table(interface, &[ETHTOOL_GSTATS, 0], size_of::<u64>())?;
    if names.len() != values.len() {
        return Err(io::Error::other("the statistics changed while they were read"));
    }
    let value = |bytes: &Vec<u8>| bytes.as_slice().try_into().map_or(0, u64::from_ne_bytes);
    Ok(names.into_iter().zip(values.iter().map(value)).collect())
}

/// How many strings a set has.
fn set_len(interface: &str, set: u32) -> io::Result<usize> {
    let mut info = SetInfo { command: ETHTOOL_GSSET_INFO, reserved: 0, mask: 1 << set, count: 0 };
    ethtool(interface, &mut info)?;
    Ok(if info.mask == 0 { 0 } else { info.count as usize })
}

fn strings(interface: &str, set: u32) -> io::Result<Vec<String>> {
    let text = |bytes: &Vec<u8>| {
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    Ok(table(interface, &[ETHTOOL_GSTRINGS, set, 0], ETH_GSTRING_LEN)?.iter().map(text).collect())
}

/// The entries of `width` bytes that follow the words of a request, the last of which the kernel replaces with how many
/// there are.
fn table(interface: &str, words: &[u32], width: usize) -> io::Result<Vec<Vec<u8>>> {
    let head = size_of_val(words);
    // Nobody promises that there are as many as were told before; but hardly twice the greatest number.
    let mut request = vec![0_u8; head + 2 * STATISTICS * width];
    for (to, word) in request.chunks_exact_mut(size_of::<u32>()).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    ethtool(interface, request.as_mut_slice())?;
    let count = request[head - 4..head].try_into().map_or(0, u32::from_ne_bytes) as usize;
    Ok(request[head..].chunks_exact(width).take(count).map(<[u8]>::to_vec).collect())
}

/// Names of the offloads that this kernel knows, by number; empty where there is none.
///
/// # Errors
/// What the ioctl says.
pub(super) fn feature_names(interface: &str) -> io::Result<Vec<String>> {
    if set_len(interface, ETH_SS_FEATURES)? >= STATISTICS {
        return Err(io::Error::other("there are too many offloads"));
    }
    strings(interface, ETH_SS_FEATURES)
}

/// The state of `count` offloads: for each 32 of them the words available, requested, active and never changed
/// (`struct ethtool_gfeatures`).
///
/// # Errors
/// What the ioctl says.
pub(super) fn feature_states(interface: &str, count: usize) -> io::Result<Vec<[u32; 4]>> {
    let blocks = count.div_ceil(32);
    let mut request = vec![0_u32; 2 + 4 * blocks];
    request[..2].copy_from_slice(&[ETHTOOL_GFEATURES, blocks as u32]);
    // The kernel writes no more blocks than it is told that there is room for.
    ethtool(interface, request.as_mut_slice())?;
    Ok(request[2..].as_chunks().0.to_vec())
}

/// Receive queues: how many the driver uses now, and how many it can have at most.
///
/// # Errors
/// What the ioctl says; drivers with one queue mostly lack it.
pub(super) fn queue_limits(interface: &str) -> io::Result<(u32, u32)> {
    let channels = channels(interface)?;
    // Receive, transmit, other, combined.
    Ok((channels.receive + channels.combined, channels.max[0] + channels.max[3]))
}

/// How many transmit queues the driver uses now.
///
/// # Errors
/// As [`queue_limits`].
pub(super) fn transmit_queues(interface: &str) -> io::Result<u32> {
    channels(interface).map(|channels| channels.transmit + channels.combined)
}

fn channels(interface: &str) -> io::Result<Channels> {
    let mut channels =
        Channels { command: ETHTOOL_GCHANNELS, max: [0; 4], receive: 0, transmit: 0, other: 0, combined: 0 };
    ethtool(interface, &mut channels)?;
    Ok(channels)
}

/// Name of the interface with this index, in this network namespace.
///
/// # Errors
/// There is none.
pub(super) fn name_of(index: u32) -> io::Result<String> {
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    Ok(rustix::net::netdevice::index_to_name(&socket, index)?)
}

/// How many receive queues the driver uses now.
///
/// # Errors
/// As [`queue_limits`].
pub(super) fn receive_queues(interface: &str) -> io::Result<u32> {
    queue_limits(interface).map(|(now, _)| now)
}

/// A packet-socket membership: the interface is promiscuous until this is dropped or the process ends, however it
/// ends (packet(7), PACKET_MR_PROMISC).
pub(super) struct Promiscuous {
    _socket: OwnedFd,
}

impl Promiscuous {
    /// Enters promiscuous mode on the interface with this index.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_RAW.
    pub(super) fn enter(index: u32) -> io::Result<Self> {
        // Protocol 0: the socket itself receives nothing.
        let socket = socket(libc::AF_PACKET, libc::SOCK_RAW)?;
        let request = libc::packet_mreq {
            mr_ifindex: c_int::try_from(index).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        // SAFETY: `request` lives through the call and its size is given.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_ADD_MEMBERSHIP,
                (&raw const request).cast(),
                size_of::<libc::packet_mreq>() as libc::socklen_t,
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(Self { _socket: socket }) }
    }
}
