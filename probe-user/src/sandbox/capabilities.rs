//! Capabilities of this thread and of those that it starts: drops all but a few from every set, and forbids new privileges.

use std::{io, path::Path};

use caps::{CapSet, CapsHashSet, errors::CapsError};
use rustix::{
    fs::{Access, AtFlags, CWD, accessat},
    thread::set_no_new_privs,
};

pub use caps::Capability;

/// Keeps `kept`, as far as they are held, and drops all others for good: from the bounding set, where that is allowed
/// (CAP_SETPCAP), and from all other sets. No program that is executed gains any.
///
/// # Errors
/// The kernel refused; what was dropped before stays dropped.
pub fn keep_only(kept: &[Capability]) -> io::Result<()> {
    set_no_new_privs(true)?;
    let held = caps::read(None, CapSet::Permitted).map_err(|error| refused(&error))?;
    let kept: CapsHashSet = kept.iter().copied().filter(|one| held.contains(one)).collect();
    let bounds = caps::read(None, CapSet::Bounding).map_err(|error| refused(&error))?;
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false) {
        for other in bounds.difference(&kept) {
            caps::drop(None, CapSet::Bounding, *other).map_err(|error| refused(&error))?;
        }
    }
    caps::clear(None, CapSet::Ambient).map_err(|error| refused(&error))?;
    // What is effective must be permitted, so it goes first.
    caps::set(None, CapSet::Effective, &kept).map_err(|error| refused(&error))?;
    caps::set(None, CapSet::Permitted, &kept).map_err(|error| refused(&error))?;
    caps::clear(None, CapSet::Inheritable).map_err(|error| refused(&error))
}

/// Which of `wanted` are held.
pub fn held_of(wanted: &[Capability]) -> Vec<Capability> {
    let held = caps::read(None, CapSet::Permitted).unwrap_or_default();
    wanted.iter().copied().filter(|one| held.contains(one)).collect()
}

/// Does `work` with no other capabilities than `kept`, and has the others back then: whether it can do without them.
///
/// # Errors
/// The kernel refused to put them away or to give them back.
pub fn with_only<T>(kept: &[Capability], work: impl FnOnce() -> T) -> io::Result<T> {
    let held = caps::read(None, CapSet::Permitted).map_err(|error| refused(&error))?;
    let before = caps::read(None, CapSet::Effective).map_err(|error| refused(&error))?;
    let kept: CapsHashSet = kept.iter().copied().filter(|one| held.contains(one)).collect();
    caps::set(None, CapSet::Effective, &kept).map_err(|error| refused(&error))?;
    let done = work();
    caps::set(None, CapSet::Effective, &before).map_err(|error| refused(&error))?;
    Ok(done)
}

/// What makes files in a folder: nothing where it is this user's, and for root CAP_DAC_OVERRIDE where it is another's.
pub fn to_write_into(folder: &Path) -> Vec<Capability> {
    let is_writable = with_only(&[], || accessat(CWD, folder, Access::WRITE_OK, AtFlags::EACCESS).is_ok());
    if is_writable.unwrap_or(false) { Vec::new() } else { vec![Capability::CAP_DAC_OVERRIDE] }
}

fn refused(error: &CapsError) -> io::Error {
    io::Error::other(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn held(set: CapSet) -> CapsHashSet {
        caps::read(None, set).expect("the kernel tells")
    }

    /// In a thread of its own: what is dropped there stays with the others.
    #[test]
    fn what_is_kept_is_kept_and_nothing_else() {
        let before = held(CapSet::Permitted);
        let of_thread = thread::spawn(|| {
            let wanted = [Capability::CAP_NET_ADMIN];
            let expected: CapsHashSet = held_of(&wanted).into_iter().collect();
            keep_only(&wanted).expect("dropped");
            for set in [CapSet::Permitted, CapSet::Effective] {
                assert_eq!(held(set), expected);
            }
            for set in [CapSet::Inheritable, CapSet::Ambient] {
                assert_eq!(held(set), CapsHashSet::new());
            }
            assert!(rustix::thread::no_new_privs().expect("told"));
            keep_only(&[]).expect("the rest");
            assert_eq!(held(CapSet::Permitted), CapsHashSet::new());
            assert!(keep_only(&wanted).is_ok() && held(CapSet::Effective).is_empty(), "nothing comes back");
        });
        of_thread.join().expect("no failure");
        assert_eq!(held(CapSet::Permitted), before);
    }

    #[test]
    fn what_is_put_away_comes_back() {
        let before = held(CapSet::Effective);
        let during = with_only(&[], || held(CapSet::Effective)).expect("put away");
        assert_eq!((during, held(CapSet::Effective)), (CapsHashSet::new(), before));
    }
}
