//! System calls that this process may make from here on (seccomp, an allow-list).
//!
//! Of those that are not on the list, some are known to be of no use but to an attacker ([`calls::DANGEROUS`]): they fail with
//! EPERM. What becomes of the others is [`OnViolation`]: a C library that calls something new must not end a measurement,
//! and a test must not pass by it.

mod calls;

use std::{collections::BTreeMap, env::consts::ARCH, process};

use libc::{BPF_ABS, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO};
use seccompiler::{
    BpfProgram, SeccompAction,
    SeccompCmpArgLen::{Dword, Qword},
    SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter, sock_filter,
};

use calls::{Argument, Call};

/// What is to be done from here on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Calls {
    /// Read captures that are open, print, and write to files that are, in threads; with `writes` make and remove files, too.
    Captures {
        /// Files are made and removed.
        writes: bool,
    },
    /// The same, and read what the kernel program keeps, ask the kernel of interfaces, attach anew; never load.
    Interfaces {
        /// Ask whether other processes live, and take turns with them, by abstract sockets.
        asks_owners: bool,
        /// Enter promiscuous mode on an interface that comes back.
        is_promiscuous: bool,
    },
}

/// What becomes of a system call that is not on the list and not known to be dangerous.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnViolation {
    /// The kernel logs it and does it.
    #[default]
    Log,
    /// The kernel ends the process. Dangerous ones, too.
    Kill,
}

/// Rules by the number of the system call; none for one that is always meant.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Lets this thread, and those that it starts, make no other system calls.
///
/// # Errors
/// This kernel or processor has no such filters; in words for people.
pub fn apply(calls: Calls, on_violation: OnViolation) -> Result<(), String> {
    let Ok(arch) = TargetArch::try_from(ARCH) else {
        return Err(format!("system calls are not restricted: no filter is known for {ARCH}"));
    };
    let filters =
        filters(calls, on_violation, arch).map_err(|error| format!("system calls are not restricted: {error}"))?;
    for filter in &filters {
        apply_filter(filter).map_err(|error| format!("system calls are not restricted: {error}"))?;
    }
    Ok(())
}

/// The filters, of which the strictest answer holds.
fn filters(
    calls: Calls,
    on_violation: OnViolation,
    arch: TargetArch,
) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let otherwise = match on_violation {
        OnViolation::Log => SeccompAction::Log,
        OnViolation::Kill => SeccompAction::KillProcess,
    };
    let errno = |number: i32| SeccompAction::Errno(number.unsigned_abs());
    let allowed = calls::of(calls);
    let listed = SeccompFilter::new(allow(&allowed)?, otherwise, SeccompAction::Allow, arch)?;
    // Its flags are in memory, where no filter looks: the C library then takes clone(2).
    let clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let clone3 = SeccompFilter::new(clone3, SeccompAction::Allow, errno(libc::ENOSYS), arch)?;
    let mut all = vec![clone3];
    if on_violation == OnViolation::Log {
        all.push(SeccompFilter::new(deny(&allowed)?, SeccompAction::Allow, errno(libc::EPERM), arch)?);
    }
    // Last: it forbids to install another.
    all.push(listed);
    let all = all.into_iter().map(TryInto::try_into).collect::<Result<Vec<_>, _>>()?;
    Ok(foreign_numbers(arch).into_iter().chain(all).collect())
}

/// A filter for the system calls of x32, which a kernel may have beside those of x86-64: the same under other numbers, so that no
/// list here has them.
fn foreign_numbers(arch: TargetArch) -> Option<BpfProgram> {
    const X32: u32 = 0x4000_0000;
    let [load_number, jump_if_at_least, answer] =
        [BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JGE | BPF_K, BPF_RET | BPF_K];
    let instruction = |code: u32, jf: u8, k: u32| sock_filter { code: code as u16, jt: 0, jf, k };
    (arch == TargetArch::x86_64).then(|| {
        vec![
            // The number is the first field of `seccomp_data`.
            instruction(load_number, 0, 0),
            instruction(jump_if_at_least, 1, X32),
            instruction(answer, 0, SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs()),
            instruction(answer, 0, SECCOMP_RET_ALLOW),
        ]
    })
}

/// What is on the list, with the arguments for which it is.
fn allow(calls: &[Call]) -> Result<Rules, seccompiler::BackendError> {
    let rules = calls.iter().map(|call| {
        let of = |arguments: &Vec<Argument>| SeccompRule::new(conditions(arguments)?);
        Ok((call.number, call.only_with.iter().map(of).collect::<Result<_, _>>()?))
    });
    rules.collect()
}

/// What is dangerous, unless it is on the list; and what is on the list with other arguments than those there.
fn deny(calls: &[Call]) -> Result<Rules, seccompiler::BackendError> {
    let is_listed = |number: &i64| calls.iter().any(|call| call.number == *number);
    let mut rules: Rules =
        calls::DANGEROUS.iter().filter(|number| !is_listed(number)).map(|number| (*number, Vec::new())).collect();
    for call in calls.iter().filter(|call| !call.only_with.is_empty()) {
        // None of its alternatives: for each of them one of its arguments is another.
        let mut others: Vec<Vec<Argument>> = vec![Vec::new()];
        for alternative in &call.only_with {
            others = others
                .iter()
                .flat_map(|so_far| {
                    let with = |argument: &Argument| [&so_far[..], &[argument.other()]].concat();
                    alternative.iter().map(with).collect::<Vec<_>>()
                })
                .collect();
        }
        let of = |arguments: &Vec<Argument>| SeccompRule::new(conditions(arguments)?);
        rules.insert(call.number, others.iter().map(of).collect::<Result<_, _>>()?);
    }
    Ok(rules)
}

fn conditions(arguments: &[Argument]) -> Result<Vec<SeccompCondition>, seccompiler::BackendError> {
    let of = |argument: &Argument| {
        let (at, op, value) = match *argument {
            Argument::Null(at) => return SeccompCondition::new(at, Qword, SeccompCmpOp::Eq, 0),
            Argument::NotNull(at) => return SeccompCondition::new(at, Qword, SeccompCmpOp::Ne, 0),
            Argument::Is(at, value) => (at, SeccompCmpOp::Eq, value),
            Argument::IsNot(at, value) => (at, SeccompCmpOp::Ne, value),
            Argument::AtMost(at, value) => (at, SeccompCmpOp::Le, value),
            Argument::MoreThan(at, value) => (at, SeccompCmpOp::Gt, value),
            Argument::Without(at, bit) => (at, SeccompCmpOp::MaskedEq(u64::from(bit)), 0),
            Argument::With(at, bit) => (at, SeccompCmpOp::MaskedEq(u64::from(bit)), bit),
        };
        SeccompCondition::new(at, Dword, op, u64::from(value))
    };
    arguments.iter().map(of).collect()
}

/// This process, as arguments have it.
fn own_pid() -> u32 {
    process::id()
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::ErrorKind,
        net::{TcpStream, UdpSocket},
        os::unix::net::UnixDatagram,
        process::Command,
        thread,
    };

    use super::*;

    fn within(calls: Calls, work: impl FnOnce() + Send + 'static) {
        let apply = move || match apply(calls, OnViolation::Log) {
            Ok(()) => work(),
            Err(why) => assert!(TargetArch::try_from(ARCH).is_err(), "{why}"),
        };
        thread::spawn(apply).join().expect("no failure");
    }

    fn is_denied<T>(result: std::io::Result<T>) -> bool {
        result.err().is_some_and(|error| error.kind() == ErrorKind::PermissionDenied)
    }

    #[test]
    fn no_program_is_started_and_no_socket_opened() {
        within(Calls::Captures { writes: true }, || {
            assert!(is_denied(Command::new("/bin/true").spawn()));
            assert!(is_denied(UdpSocket::bind("127.0.0.1:0")) && is_denied(TcpStream::connect("127.0.0.1:9")));
            assert!(fs::read("/proc/self/status").is_ok(), "files are Landlock's");
        });
        assert!(UdpSocket::bind("127.0.0.1:0").is_ok(), "only that thread");
    }

    #[test]
    fn threads_are_started() {
        within(Calls::Captures { writes: false }, || {
            assert!(is_denied(thread::spawn(|| UdpSocket::bind("127.0.0.1:0")).join().expect("a thread")));
        });
    }

    #[test]
    fn interfaces_are_asked_by_netlink_and_nobody_is_spoken_to() {
        within(Calls::Interfaces { asks_owners: false, is_promiscuous: false }, || {
            assert!(netlink_sys::Socket::new(netlink_sys::protocols::NETLINK_ROUTE).is_ok());
            assert!(is_denied(TcpStream::connect("127.0.0.1:9")) && is_denied(UdpSocket::bind("127.0.0.1:0")));
            assert!(is_denied(UnixDatagram::unbound()));
        });
        within(Calls::Interfaces { asks_owners: true, is_promiscuous: false }, || {
            let socket = UnixDatagram::unbound().expect("for one question");
            assert_eq!(socket.connect("/no/such/socket").expect_err("nobody there").kind(), ErrorKind::NotFound);
            assert!(
                is_denied(socket.send_to(b"secret", "/no/such/socket")) && is_denied(UdpSocket::bind("127.0.0.1:0"))
            );
        });
    }

    /// A system call that nobody has is refused before any list is asked, and the others are not.
    #[test]
    fn numbers_of_x32_are_refused() {
        let Some(filter) = foreign_numbers(TargetArch::x86_64) else { panic!("there is one") };
        assert_eq!(foreign_numbers(TargetArch::aarch64), None);
        // As the kernel goes through it.
        let answer = |number: u32| {
            let (mut at, mut accumulator) = (0, 0);
            loop {
                let sock_filter { code, jt, jf, k } = filter[at];
                at += 1;
                match u32::from(code) {
                    load if load == BPF_LD | BPF_W | BPF_ABS => accumulator = number,
                    jump if jump == BPF_JMP | BPF_JGE | BPF_K => {
                        at += usize::from(if accumulator >= k { jt } else { jf });
                    }
                    _ => return k,
                }
            }
        };
        assert_eq!([answer(0), answer(0x3fff_ffff)], [SECCOMP_RET_ALLOW; 2]);
        assert_eq!([answer(0x4000_0029), answer(u32::MAX)], [SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs(); 2]);
    }

    /// The lower half of the address of a limit may be zero.
    #[test]
    fn no_limit_is_set_from_whatever_address() {
        let whole = |op| SeccompRule::new(vec![SeccompCondition::new(2, Qword, op, 0).expect("valid")]).expect("valid");
        let listed = calls::of(Calls::Captures { writes: false });
        let [allowed, denied] = [allow(&listed), deny(&listed)].map(|rules| rules.expect("rules"));
        assert_eq!(allowed[&libc::SYS_prlimit64], [whole(SeccompCmpOp::Eq)]);
        assert_eq!(denied[&libc::SYS_prlimit64], [whole(SeccompCmpOp::Ne)]);
    }

    /// What is allowed with some arguments is denied with all others, and never both.
    #[test]
    fn a_call_is_allowed_or_denied() {
        let captures = [false, true].map(|writes| Calls::Captures { writes });
        let interfaces =
            [false, true].map(|asks_owners| Calls::Interfaces { asks_owners, is_promiscuous: asks_owners });
        for calls in captures.into_iter().chain(interfaces) {
            let listed = calls::of(calls);
            let (allowed, denied) = (allow(&listed).expect("rules"), deny(&listed).expect("rules"));
            for (number, rules) in &denied {
                let with = allowed.get(number);
                assert_eq!(rules.is_empty(), with.is_none(), "{number}");
                assert!(with.is_none_or(|with| !with.is_empty()), "{number}");
            }
        }
    }
}
