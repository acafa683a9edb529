//! Files that may be reached from here on (Landlock, Linux 5.13), and no TCP connection (6.7), no signal to another process
//! and no abstract socket of one (6.12).

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, AddRuleError, AddRulesError, BitFlags, CompatLevel, Compatible as _,
    LandlockStatus, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use rustix::io::Errno;

/// The newest that is made use of; of an older kernel what it has.
const NEWEST: ABI = ABI::V10;

/// What may be done with a file, or beneath a folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read a file, or the files beneath a folder.
    Read,
    /// Write to a file that is there.
    Write,
    /// Make files in a folder, write to them, and remove them.
    Keep,
    /// The same, and make folders.
    KeepBeneath,
}

impl Access {
    fn rights(self) -> BitFlags<AccessFs> {
        let write = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
        let keep = write | AccessFs::MakeReg | AccessFs::RemoveFile | AccessFs::ReadDir;
        match self {
            Self::Read => AccessFs::ReadFile.into(),
            Self::Write => write,
            Self::Keep => keep,
            Self::KeepBeneath => keep | AccessFs::MakeDir,
        }
    }
}

/// A path and what may be done with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The file or folder.
    pub path: PathBuf,
    /// What may be done.
    pub access: Access,
}

impl Grant {
    /// A folder in which files come and go.
    pub fn kept(folder: &Path) -> Self {
        Self { path: folder.to_owned(), access: Access::Keep }
    }
}

/// What is in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Landlock {
    /// Version of the kernel's interface.
    pub abi: i32,
    /// Files are cut off in every way that is known.
    pub is_full: bool,
}

/// Restricts this thread, and those that it starts, to `grants`. A path that is not there cannot be granted, and need not be.
/// With `asks_owners` abstract sockets of others can be reached.
///
/// # Errors
/// This kernel has no Landlock, or refuses it; in words for people.
pub fn restrict(grants: &[Grant], asks_owners: bool) -> Result<Landlock, String> {
    let status = ruleset(grants, asks_owners).and_then(RulesetCreated::restrict_self);
    let RestrictionStatus { ruleset, landlock, .. } =
        status.map_err(|error| format!("files are not restricted: {error}"))?;
    match landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } if ruleset != RulesetStatus::NotEnforced => {
            let abi = kernel_abi.unwrap_or(effective_abi as i32);
            Ok(Landlock { abi, is_full: ruleset == RulesetStatus::FullyEnforced })
        }
        LandlockStatus::NotEnabled => {
            Err("files are not restricted: this kernel was started without Landlock (`lsm=` on its command line)"
                .to_owned())
        }
        _ => Err("files are not restricted: this kernel has no Landlock (Linux 5.13 and newer have it)".to_owned()),
    }
}

fn ruleset(grants: &[Grant], asks_owners: bool) -> Result<RulesetCreated, RulesetError> {
    let scope = if asks_owners { Scope::Signal.into() } else { Scope::from_all(NEWEST) };
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(scope)?
        .create()?;
    for Grant { path, access } in grants {
        let Ok(path) = PathFd::new(path) else { continue };
        match (&mut ruleset).add_rule(PathBeneath::new(path, access.rights())) {
            Ok(_) => {}
            // A pipe or socket, which is no part of any tree, and is not restricted.
            Err(RulesetError::AddRules(AddRulesError::Fs(AddRuleError::AddRuleCall { source, .. })))
                if source.raw_os_error() == Some(Errno::BADFD.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ruleset)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::ErrorKind,
        net::{TcpListener, TcpStream},
        thread,
    };

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("rstprobe-landlock-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("kept")).expect("a folder");
        for file in ["read", "written", "other", "kept/old"] {
            fs::write(folder.join(file), file).expect("a file");
        }
        folder
    }

    fn is_denied<T>(result: std::io::Result<T>) -> bool {
        result.err().is_some_and(|error| error.kind() == ErrorKind::PermissionDenied)
    }

    fn within(folder: &Path) {
        let grant = |name: &str, access| Grant { path: folder.join(name), access };
        let grants = [
            grant("read", Access::Read),
            grant("written", Access::Write),
            grant("kept", Access::Keep),
            grant("is-not-there", Access::Read),
            Grant { path: "/dev/stdin".into(), access: Access::Read },
        ];
        let Landlock { abi, .. } = match restrict(&grants, false) {
            Ok(in_force) => in_force,
            // Nothing to be shown on this kernel.
            Err(why) => return assert!(why.contains("Landlock"), "{why}"),
        };
        assert_eq!(fs::read_to_string(folder.join("read")).expect("granted"), "read");
        assert!(is_denied(fs::write(folder.join("read"), "")));
        assert!(is_denied(fs::read(folder.join("other"))) && is_denied(fs::read("/etc/passwd")));
        assert!(is_denied(fs::write(folder.join("new"), "")) && is_denied(fs::remove_file(folder.join("other"))));
        if abi >= 3 {
            fs::write(folder.join("written"), "").expect("granted");
        }
        fs::write(folder.join("kept/new"), "").expect("granted");
        fs::remove_file(folder.join("kept/old")).expect("granted");
        assert!(is_denied(fs::create_dir(folder.join("kept/folder"))));
        assert!(matches!(fs::read(folder.join("is-not-there")), Err(error) if error.kind() == ErrorKind::NotFound));
    }

    #[test]
    fn nothing_but_what_is_granted() {
        let folder = scratch("grants");
        let there = folder.clone();
        thread::spawn(move || within(&there)).join().expect("no failure");
        assert!(fs::read(folder.join("other")).is_ok(), "only that thread");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn no_tcp() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let attempt = move || match restrict(&[], false) {
            Ok(Landlock { abi: 4.., .. }) => {
                assert!(is_denied(TcpStream::connect(address)) && is_denied(TcpListener::bind("127.0.0.1:0")));
            }
            _ => assert!(TcpStream::connect(address).is_ok()),
        };
        thread::spawn(attempt).join().expect("no failure");
        assert!(TcpStream::connect(address).is_ok(), "only that thread");
    }
}
