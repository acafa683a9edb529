//! tun devices: an interface of the kernel's whose frames a file carries, without an Ethernet header.
#![expect(unsafe_code, reason = "an ioctl; the block says why its argument is valid")]

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::AsRawFd as _,
};

use super::check;

/// Makes the tun device `name` in the calling thread's namespace; it lives as long as the file. What is written, one IP
/// packet at a time, is received by the device.
///
/// # Errors
/// When the kernel has no tun, or a device of this name.
pub fn open(name: &str) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: all-zero bytes are a valid `ifreq`: integers, and a union of such.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, byte) in request.ifr_name[..room].iter_mut().zip(name.bytes()) {
        *to = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: `request` is what this call reads and writes, and lives until it returns.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    Ok(file)
}
