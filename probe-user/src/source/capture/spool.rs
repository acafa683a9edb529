//! Spool: a copy of what can be read once only (standard input, a pipe), in a temporary file without a name, to be read twice.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process,
    sync::Arc,
};

use super::{CaptureError, CaptureFile, Named, named};

/// A capture that can be read as often as wanted.
#[derive(Debug)]
pub enum Spool {
    /// It is an ordinary file.
    File(Named),
    /// A copy, which goes with this value, of what has this name.
    Copy(Arc<File>, Named),
}

impl Spool {
    /// Of each path; `-` is standard input. Nothing is read before [`Self::fill`].
    pub fn all(paths: &[PathBuf]) -> impl Iterator<Item = Result<Self, CaptureError>> {
        // Together: the limit of open files is one for all of them.
        Named::all(paths).into_iter().map(Self::of)
    }

    /// An error when there is no room for a copy.
    fn of(named: Named) -> Result<Self, CaptureError> {
        let path = named.path();
        let is_stdin = path == Path::new("-");
        // What cannot be opened is no stream, and that is said when it is read.
        if !is_stdin && fs::metadata(path).map_or(true, |metadata| metadata.is_file() || metadata.is_dir()) {
            return Ok(Self::File(named));
        }
        let copy = nameless().map_err(|source| CaptureError::Spool { source })?;
        Ok(Self::Copy(Arc::new(copy), named))
    }

    /// Whether it is an ordinary file.
    pub fn is_file(&self) -> bool {
        matches!(self, Self::File(named) if named.is_file())
    }

    /// What is still to be opened, when it is filled or read.
    pub fn is_opened_later(&self) -> Option<&Path> {
        match self {
            Self::File(named) | Self::Copy(_, named) => named.is_opened_later(),
        }
    }

    /// Copies a stream to its end.
    ///
    /// # Errors
    /// When it cannot be opened, read or copied.
    pub fn fill(&self) -> Result<(), CaptureError> {
        let Self::Copy(copy, named) = self else { return Ok(()) };
        let mut copy = &**copy;
        let copied = if named.path() == Path::new("-") {
            io::copy(&mut io::stdin().lock(), &mut copy)
        } else {
            let from = named.stream().map_err(|source| CaptureError::Open { source })?;
            io::copy(&mut &*from, &mut copy)
        };
        copied.map(drop).map_err(|source| CaptureError::Spool { source })
    }

    /// Reads it from its beginning.
    ///
    /// # Errors
    /// When it cannot be opened or does not begin like a capture.
    pub fn capture(&self) -> Result<CaptureFile, CaptureError> {
        match self {
            Self::File(named) => named.capture(),
            Self::Copy(copy, _) => named::of_file(copy),
        }
    }
}

/// A file in the folder for temporary files, whose name is taken away before anything is written: it goes with its last user,
/// also when that is killed.
fn nameless() -> io::Result<File> {
    let mut number = 0_u32;
    loop {
        let path = env::temp_dir().join(format!("rstprobe-{}-{number}.spool", process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => {
                fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1000 => number += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_read_from_its_beginning_each_time() {
        let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/accept_queue_full.pcap");
        let named = Named::all(&[case]).remove(0);
        let spool = Spool::Copy(Arc::new(nameless().expect("a file")), named);
        assert_eq!(spool.is_opened_later(), None);
        assert!(matches!(spool.capture(), Err(CaptureError::TooShort { len: 0 })), "nothing is read yet");
        spool.fill().expect("copied");
        for _ in 0..2 {
            assert!(spool.capture().expect("a capture").next_frame().expect("whole").is_some());
        }
    }

    #[test]
    fn an_ordinary_file_is_not_copied() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let no_files = ["/no/such/file", env!("CARGO_MANIFEST_DIR")].map(PathBuf::from);
        let mut all = Spool::all(&[&[path.clone()][..], &no_files].concat()).collect::<Vec<_>>().into_iter();
        assert!(matches!(all.next(), Some(Ok(Spool::File(file))) if file.path() == path));
        for no_file in &no_files {
            let spool = all.next().expect("one for each").expect("no copy");
            assert!(matches!(spool.capture(), Err(CaptureError::Open { .. })), "{}", no_file.display());
        }
    }
}
