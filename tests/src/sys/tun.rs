//! TUN devices: interfaces whose link type the test chooses (tun(4): TUNSETIFF, TUNSETLINK).
#![expect(unsafe_code, reason = "ioctl with C structures")]

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::AsRawFd as _,
};

/// An interface that is there as long as this is.
#[derive(Debug)]
pub struct Tun {
    _file: File,
}

impl Tun {
    /// Makes one in the network namespace of the calling thread, down, with a link type of include/uapi/linux/if_arp.h.
    ///
    /// # Errors
    /// What the kernel says; one without the driver has no `/dev/net/tun`.
    pub fn create(name: &str, link_type: u16) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
        // SAFETY: all-zero bytes are a request without name and flags.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if name.len() >= request.ifr_name.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        // SAFETY: the request lives through the call and is of the kind that the command wants.
        super::check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
        // SAFETY: the command takes a number.
        super::check(unsafe { libc::ioctl(file.as_raw_fd(), TUNSETLINK, libc::c_ulong::from(link_type)) })?;
        Ok(Self { _file: file })
    }
}

/// include/uapi/linux/if_tun.h: `_IOW('T', 205, int)`.
const TUNSETLINK: libc::Ioctl = 0x4004_54cd;
