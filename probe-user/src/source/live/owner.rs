//! Filter owner: the process that owns a tc filter, and whether it still lives.
//!
//! A filter outlives the process that made it. So that another rstprobe can tell a leftover from what is in use, each
//! process that makes filters
//!
//! * draws a random number of 64 bits, and binds the abstract Unix socket (unix(7)) `rstprobe/NUMBER`. Such names belong
//!   to the network namespace, as interfaces and their filters do, and go with the last reference to the socket, so also
//!   with `kill -9`. Neither privileges nor a common file system or PID namespace are needed to ask for one;
//! * writes what it is into the filter's name ([`Mark`]): PID (for people: it is that of the owner's own PID namespace),
//!   the number, the tag of the program, and whether the clsact qdisc was added for it.
//!
//! The rule: a filter is one of rstprobe's when its name is a [`Mark`] and the tag in the mark is that of the program which
//! the filter runs. Its owner lives when somebody can be reached at the socket's name, and is gone when the kernel says
//! that nobody has it (ECONNREFUSED). Anything else is no answer, and what has a living owner or none that can be told is
//! never removed. Sockets do not follow an interface into another network namespace, and no filter does either: the kernel
//! deletes the qdiscs of an interface that moves.

use std::{
    fmt,
    hash::BuildHasher as _,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    thread,
    time::{Duration, Instant},
};

/// Name of the classifier, with which every mark begins, also of the one for interfaces without Ethernet. The kernel keeps 15
/// characters of a program's name: all of this.
pub(super) const PROGRAM: &str = "rstprobe_egress";

/// What the name of a filter says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// PID of the owner in its own PID namespace.
    pub pid: u32,
    /// Names the owner's socket.
    pub number: u64,
    /// Tag of the program, as the kernel computes it of its instructions.
    pub tag: u64,
    /// The qdisc was added for this filter: whoever removes the filter removes the qdisc, too, if nothing else is on it.
    pub added_clsact: bool,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clsact = if self.added_clsact { "added" } else { "found" };
        let Self { pid, number, tag, .. } = self;
        write!(f, "{PROGRAM}/pid={pid}/owner={number:016x}/tag={tag:016x}/clsact={clsact}")
    }
}

impl Mark {
    /// From a filter's name; `None` when it is not of this form.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(PROGRAM)?.strip_prefix('/')?.split('/');
        let mut part = |key: &str| parts.next()?.strip_prefix(key)?.strip_prefix('=');
        let hexadecimal = |text: &str| (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
        let pid = part("pid")?.parse().ok()?;
        let (number, tag) = (hexadecimal(part("owner")?)?, hexadecimal(part("tag")?)?);
        let added_clsact = match part("clsact")? {
            "added" => true,
            "found" => false,
            _ => return None,
        };
        parts.next().is_none().then_some(Self { pid, number, tag, added_clsact })
    }

    /// Whether the owner lives.
    pub(super) fn life(&self) -> Life {
        life(self.number)
    }
}

/// Whether an owner lives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Life {
    /// It does.
    Living,
    /// It does not.
    Gone,
    /// Nobody can tell, and why.
    Unknown(String),
}

fn life(number: u64) -> Life {
    let asked = address(number).and_then(|address| UnixDatagram::unbound()?.connect_addr(&address));
    match asked {
        Ok(()) => Life::Living,
        Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) => Life::Gone,
        Err(error) => Life::Unknown(format!("whether its owner still runs is not known: {error}")),
    }
}

fn address(number: u64) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("rstprobe/{number:016x}"))
}

/// This process as the owner of filters: others can tell that it lives for as long as this does.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) number: u64,
    _socket: UnixDatagram,
}

impl Owner {
    /// Binds the socket.
    ///
    /// # Errors
    /// The kernel gives none: then no filter can be made whose owner others can tell.
    pub(super) fn new() -> io::Result<Self> {
        // The keys of this hasher are the system's random numbers.
        let number = std::hash::RandomState::new().hash_one(std::process::id());
        Ok(Self { number, _socket: UnixDatagram::bind_addr(&address(number)?)? })
    }
}

/// Held while filters and qdiscs are looked at and then changed: one rstprobe at a time in a network namespace.
#[derive(Debug)]
pub(super) struct Turn {
    _socket: Option<UnixDatagram>,
}

impl Turn {
    /// Changes take milliseconds.
    const PATIENCE: Duration = Duration::from_secs(2);

    fn bind() -> io::Result<UnixDatagram> {
        UnixDatagram::bind_addr(&SocketAddr::from_abstract_name("rstprobe/turn")?)
    }

    /// Waits for it, but not forever: anybody can take the name.
    pub(super) fn wait() -> Self {
        let end = Instant::now() + Self::PATIENCE;
        loop {
            match Self::bind() {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < end => {
                    thread::sleep(Duration::from_millis(5));
                }
                bound => return Self { _socket: bound.ok() },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark { pid: 4_194_304, number: 0x12, tag: u64::MAX, added_clsact: true };

    #[test]
    fn a_mark_is_read_back_and_fits_the_kernels_bound() {
        for mark in [MARK, Mark { added_clsact: false, pid: 1, ..MARK }] {
            let name = mark.to_string();
            assert_eq!(Mark::parse(&name).as_ref(), Some(&mark), "{name}");
            // net/sched/cls_bpf.c: CLS_BPF_NAME_LEN.
            assert!(name.len() < 256);
        }
        assert!(PROGRAM.len() <= 15);
    }

    #[test]
    fn names_of_others_are_no_marks() {
        let mark = MARK.to_string();
        for name in [
            "",
            "rstprobe_egress",
            "rstprobe_egress/",
            "cil_to_netdev",
            &mark[1..],
            &mark[..mark.len() - 1],
            &format!("{mark}/more"),
            &mark.replace("pid=", "pid=-"),
            &mark.replace("owner=0", "owner="),
            &mark.replace("added", "kept"),
        ] {
            assert_eq!(Mark::parse(name), None, "{name}");
        }
    }

    #[test]
    fn an_owner_lives_until_it_is_dropped() {
        let owner = Owner::new().expect("abstract sockets");
        let mark = Mark { number: owner.number, ..MARK };
        assert_eq!(mark.life(), Life::Living);
        drop(owner);
        assert_eq!(mark.life(), Life::Gone);
    }

    #[test]
    fn turns_are_taken_one_after_the_other() {
        let first = Turn::wait();
        assert_eq!(Turn::bind().expect_err("it is taken").kind(), io::ErrorKind::AddrInUse);
        let second = thread::spawn(|| (Turn::wait(), Instant::now()));
        thread::sleep(Duration::from_millis(50));
        let freed = Instant::now();
        drop(first);
        let (held, when) = second.join().expect("it ends");
        assert!(when >= freed);
        assert!(Turn::bind().is_err(), "the second one has it");
        drop(held);
    }
}
