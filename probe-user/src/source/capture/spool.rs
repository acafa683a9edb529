//! Spool: a copy of what can be read once only (standard input, a pipe), in a temporary file without a name, to be read twice.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io,
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    process,
};

use super::CaptureError;

/// A capture that can be read as often as wanted.
#[derive(Debug)]
pub enum Spool {
    /// It is an ordinary file.
    File(PathBuf),
    /// A copy, which goes with this value.
    Copy(File),
}

impl Spool {
    /// Of a path; `-` is standard input, which is read to its end.
    ///
    /// # Errors
    /// When it cannot be opened, read or copied.
    pub fn of(path: &Path) -> Result<Self, CaptureError> {
        let is_stdin = path == Path::new("-");
        if let Some(metadata) = fs::metadata(path).ok().filter(|_| !is_stdin) {
            if metadata.is_file() {
                return Ok(Self::File(path.to_owned()));
            }
            if metadata.is_dir() {
                return Err(CaptureError::Open { source: io::ErrorKind::IsADirectory.into() });
            }
        }
        let mut copy = nameless().map_err(|source| CaptureError::Spool { source })?;
        let copied = if is_stdin {
            io::copy(&mut io::stdin().lock(), &mut copy)
        } else {
            let mut from = File::open(path).map_err(|source| CaptureError::Open { source })?;
            io::copy(&mut from, &mut copy)
        };
        copied.map_err(|source| CaptureError::Spool { source })?;
        Ok(Self::Copy(copy))
    }

    /// Where it can be opened from its beginning.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            // A new description of the same file, which begins at its beginning (proc_pid_fd(5)).
            Self::Copy(file) => format!("/proc/self/fd/{}", file.as_raw_fd()).into(),
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
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn a_copy_is_read_from_its_beginning_each_time() {
        let mut copy = nameless().expect("a file");
        copy.write_all(b"twice").expect("written");
        let spool = Spool::Copy(copy);
        for _ in 0..2 {
            let mut text = String::new();
            File::open(spool.path()).expect("opened").read_to_string(&mut text).expect("read");
            assert_eq!(text, "twice");
        }
    }

    #[test]
    fn an_ordinary_file_is_not_copied() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert_eq!(Spool::of(&path).expect("a file").path(), path);
        for no_file in ["/no/such/file", env!("CARGO_MANIFEST_DIR")] {
            assert!(matches!(Spool::of(Path::new(no_file)), Err(CaptureError::Open { .. })), "{no_file}");
        }
    }
}
