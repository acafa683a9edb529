//! Disk space: whether the file system of the build folder has room for a run of all tests.
//!
//! A compiler that runs out of space fails in every tier, an hour long and without saying so at the end: better known at
//! the start. Must not know what is built.

use std::{path::Path, process::Command};

use crate::sh;

/// What `target/` holds after all tests on a fresh clone, kernels for guests included, in MiB (2026-12-01: 3,600).
const WHOLE_MIB: u64 = 4_096;
/// Below this nothing can be built, whatever is there already.
const LEAST_MIB: u64 = 512;

/// Why tests cannot be built in `target`, for want of space. Says it only, where some of the space may be enough.
pub(crate) fn obstacle(target: &Path) -> Option<String> {
    let existing = target.ancestors().find(|folder| folder.is_dir())?;
    let available = available_mib(existing)?;
    let used = used_mib(target);
    let lacking = lacking_mib(available, used)?;
    let text = format!(
        "{available} MiB are free on the file system of {}: a run of all tests needs {WHOLE_MIB} MiB there, and it holds \
         {used}; {lacking} MiB more are to be made free",
        target.display()
    );
    if available < LEAST_MIB {
        return Some(text);
    }
    sh::say(format_args!("warning: {text}"));
    None
}

/// What must be made free, with `available` free and `used` in `target/`.
fn lacking_mib(available: u64, used: u64) -> Option<u64> {
    let wanted = WHOLE_MIB.saturating_sub(used).max(LEAST_MIB);
    wanted.checked_sub(available).filter(|&lacking| lacking > 0)
}

/// Free for this user; not known where `df` does not tell.
fn available_mib(folder: &Path) -> Option<u64> {
    last_number(&sh::output(Command::new("df").args(["--block-size=1M", "--output=avail"]).arg(folder)).ok()?)
}

/// 0 where nothing is. What vanishes while `du` walks is a failure to it, and none here.
fn used_mib(folder: &Path) -> u64 {
    let output = Command::new("du").args(["--summarize", "--block-size=1M"]).arg(folder).output();
    output.ok().and_then(|output| last_number(&String::from_utf8_lossy(&output.stdout))).unwrap_or(0)
}

/// The first number of the last line.
fn last_number(text: &str) -> Option<u64> {
    text.lines().last()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_already_needs_no_room() {
        assert_eq!(lacking_mib(80_000, 0), None);
        assert_eq!(lacking_mib(WHOLE_MIB - 1_000, 0), Some(1_000));
        assert_eq!(lacking_mib(WHOLE_MIB - 1_000, 1_000), None);
        assert_eq!(lacking_mib(LEAST_MIB - 1, WHOLE_MIB), Some(1), "the next build needs some");
        assert_eq!(lacking_mib(287, 0), Some(WHOLE_MIB - 287));
    }

    #[test]
    fn the_disk_at_hand_is_read() {
        assert_eq!(last_number("Avail\n 79532\n"), Some(79_532));
        assert_eq!(last_number("1852\ttarget\n"), Some(1_852));
        assert_eq!(last_number("Avail\n"), None);
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(available_mib(here).is_some());
        assert!(used_mib(here) < 100, "a folder of sources");
        assert_eq!(used_mib(&here.join("nothing")), 0);
    }
}
