//! For the tier `sandbox`: tries violations within the sandbox, and runs programs on a kernel that seems to have none.
//!
//! * `confined attempt captures|interfaces FOLDER`: every violation, and how it ended, one line each.
//! * `confined kill captures|interfaces FOLDER NUMBER`: one of them, where a system call that is not listed ends the process.
//! * `confined panic captures|interfaces FOLDER`: panics there, as a bug would.
//! * `confined without landlock|seccomp PROGRAM [WORD]...`: runs a program for which the kernel has none.

use std::{env, fmt::Debug, io, os::unix::process::CommandExt as _, path::Path, process::Command};

use probe_tests::violation::{self, Confined, VIOLATIONS};
use probe_user::sandbox::seccomp::OnViolation;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

fn main() -> io::Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["attempt", confined, folder] => {
            let folder = Path::new(folder);
            for violation in VIOLATIONS {
                violation::prepare(folder)?;
                let policy = violation::policy(OnViolation::Log);
                say(violation.name, &violation::attempt(of(confined)?, policy, *violation, folder)?);
            }
            Ok(())
        }
        ["kill", confined, folder, number] => {
            let number: usize = number.parse().map_err(io::Error::other)?;
            let violation = VIOLATIONS.get(number).ok_or(io::ErrorKind::InvalidInput)?;
            violation::prepare(Path::new(folder))?;
            let policy = violation::policy(OnViolation::Kill);
            say(violation.name, &violation::attempt(of(confined)?, policy, *violation, Path::new(folder))?);
            Ok(())
        }
        ["panic", confined, folder] => {
            violation::prepare(Path::new(folder))?;
            let attempt = violation::panics(of(confined)?, violation::policy(OnViolation::Kill), Path::new(folder));
            say("panic", &attempt);
            Ok(())
        }
        ["without", what, program, ref words @ ..] => {
            let calls: &[i64] = match what {
                "landlock" => &[libc::SYS_landlock_create_ruleset],
                "seccomp" => &[libc::SYS_seccomp],
                _ => return Err(io::ErrorKind::InvalidInput.into()),
            };
            deny(calls)?;
            Err(Command::new(program).args(words).exec())
        }
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn of(name: &str) -> io::Result<Confined> {
    Confined::BOTH.into_iter().find(|one| one.name() == name).ok_or(io::ErrorKind::InvalidInput.into())
}

#[expect(clippy::print_stdout, reason = "what its caller reads")]
fn say(name: &str, outcome: &impl Debug) {
    println!("{name}: {outcome:?}");
}

/// From here on these system calls are unknown.
fn deny(calls: &[i64]) -> io::Result<()> {
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let unknown = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let arch = env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, unknown, arch).map_err(io::Error::other)?;
    let filter: BpfProgram = filter.try_into().map_err(io::Error::other)?;
    apply_filter(&filter).map_err(io::Error::other)
}
