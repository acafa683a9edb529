//! File descriptors: makes sure at the start that there are enough, as libraries panic where there are none.

use std::{fs::File, io};

use crate::error::RunError;

/// What runtime, signals, and the streams to disk and standard output take, and a few.
const ENOUGH: usize = 24;

/// Refuses to start where too few files may be opened.
///
/// # Errors
/// [`RunError::Runtime`] with what helps.
pub(crate) fn ensure() -> Result<(), RunError> {
    let held: io::Result<Vec<File>> = (0..ENOUGH).map(|_| File::open("/dev/null")).collect();
    held.map(drop).map_err(|error| RunError::Runtime(explained(error)))
}

/// What is said of an error, with what helps where it is that too few files may be open: any system call may say so.
pub(crate) fn with_remedy(said: String) -> String {
    let lacks = said.contains("Too many open files") && !said.contains("ulimit -n");
    if lacks { said + "; raise `ulimit -n` (LimitNOFILE= in a unit)" } else { said }
}

fn explained(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EMFILE) => {
            let what = "too few files may be open at once; raise `ulimit -n` (LimitNOFILE= in a unit) to 64 or more";
            io::Error::other(what)
        }
        Some(libc::ENFILE) => io::Error::other("this machine has too many files open; raise fs.file-max"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_is_said() {
        let said = |number| explained(io::Error::from_raw_os_error(number)).to_string();
        assert!(said(libc::EMFILE).contains("ulimit -n") && said(libc::ENFILE).contains("fs.file-max"));
        assert!(said(libc::ENOENT).contains("No such file"));
        assert!(ensure().is_ok());
        let of_any = |number| with_remedy(format!("netlink: {}", io::Error::from_raw_os_error(number)));
        assert!(of_any(libc::EMFILE).ends_with("; raise `ulimit -n` (LimitNOFILE= in a unit)"));
        assert!(of_any(libc::EPERM).starts_with("netlink: Operation not permitted"));
        assert!(!of_any(libc::EPERM).contains("ulimit"));
    }
}
