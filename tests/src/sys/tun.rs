//! tun devices (tun(4)): interfaces without Ethernet, at whose other end is the test.
#![expect(unsafe_code, reason = "raw system calls; each block says why its arguments are valid")]

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    thread,
    time::{Duration, Instant},
};

use super::check;

/// A tun device, which goes when this is dropped.
#[derive(Debug)]
pub struct Tun {
    file: File,
}

impl Tun {
    /// Makes the interface `name` in the calling thread's namespace.
    ///
    /// # Errors
    /// When the kernel has no tun devices, or the name is taken or longer than 15 bytes.
    pub fn create(name: &str) -> io::Result<Self> {
        if name.len() >= libc::IFNAMSIZ {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
        // SAFETY: all-zero bytes are a valid `ifreq`: integers only.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        // SAFETY: a descriptor that is open, and the argument of this request, which lives until the call returns.
        check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
        Ok(Self { file })
    }

    /// Gives the interface, while it is down, another link type of include/uapi/linux/if_arp.h.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn pose_as(&self, link_type: u16) -> io::Result<()> {
        /// include/uapi/linux/if_tun.h: `_IOW('T', 205, int)`.
        const TUNSETLINK: libc::Ioctl = 0x4004_54cd;
        // SAFETY: a descriptor that is open; the argument is a number.
        check(unsafe { libc::ioctl(self.file.as_raw_fd(), TUNSETLINK, libc::c_ulong::from(link_type)) }).map(drop)
    }

    /// Has the interface receive `packet`, which begins with an IP header.
    pub fn receive(&self, packet: &[u8]) -> io::Result<()> {
        (&self.file).write_all(packet)
    }

    /// The next packet that the interface sends, if there is one within `patience`.
    pub fn sent(&self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        let end = Instant::now() + patience;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match (&self.file).read(&mut buffer) {
                Ok(len) => {
                    buffer.truncate(len);
                    return Ok(Some(buffer));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < end => {
                    thread::sleep(Duration::from_millis(2));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}
