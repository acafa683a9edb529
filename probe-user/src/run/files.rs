//! The files of `--evidence`: a folder of files that follow each other, or one file; never more disk than allowed.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Instant, SystemTime},
};

use crate::plan::EvidencePlan;

/// Files that a folder's share is divided into: what is deleted at once is one of them.
const PARTS: u64 = 8;

/// The file being written.
struct Current {
    path: PathBuf,
    file: File,
    len: u64,
    begun: Instant,
}

/// Where evidence goes.
pub(super) struct Files {
    plan: EvidencePlan,
    /// What every file begins with.
    head: Vec<u8>,
    current: Option<Current>,
    /// Files before the current one, oldest first, with their lengths.
    past: VecDeque<(PathBuf, u64)>,
}

impl Files {
    /// Opens the first file, so that what cannot be written is said before anything is measured. Files that an earlier run
    /// left in the folder count, and are the first to go.
    ///
    /// # Errors
    /// The folder or file cannot be made.
    pub(super) fn open(plan: &EvidencePlan, head: Vec<u8>) -> io::Result<Self> {
        let mut files = Self { plan: plan.clone(), head, current: None, past: VecDeque::new() };
        if plan.is_file {
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(&plan.path)?;
            files.begin(plan.path.clone(), file)?;
        } else {
            fs::create_dir_all(&plan.path)?;
            files.past = ours(&plan.path)?;
            files.next()?;
        }
        Ok(files)
    }

    /// Writes whole blocks; false when there is no room for them.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn write(&mut self, blocks: &[u8]) -> io::Result<bool> {
        let len = blocks.len() as u64;
        if self.plan.is_file {
            let is_full = self.current.as_ref().is_none_or(|current| current.len + len > self.plan.max_bytes);
            return if is_full { Ok(false) } else { self.append(blocks).map(|()| true) };
        }
        if len + self.head.len() as u64 > self.plan.max_bytes {
            return Ok(false);
        }
        if self.is_over(len) {
            self.next()?;
        }
        self.make_room(len)?;
        self.append(blocks)?;
        Ok(true)
    }

    /// True when the current file is old enough, or would grow beyond its part.
    fn is_over(&self, len: u64) -> bool {
        let Some(current) = &self.current else { return true };
        let is_empty = current.len <= self.head.len() as u64;
        !is_empty && (current.len + len > self.plan.max_bytes / PARTS || current.begun.elapsed() >= self.plan.max_age)
    }

    fn append(&mut self, blocks: &[u8]) -> io::Result<()> {
        let Some(current) = &mut self.current else { return Err(io::Error::other("no file is open")) };
        // In one call, so that a process that is killed leaves whole blocks.
        current.file.write_all(blocks)?;
        current.len += blocks.len() as u64;
        Ok(())
    }

    fn begin(&mut self, path: PathBuf, mut file: File) -> io::Result<()> {
        file.write_all(&self.head)?;
        self.current = Some(Current { path, file, len: self.head.len() as u64, begun: Instant::now() });
        Ok(())
    }

    /// Closes the current file and begins the next one.
    fn next(&mut self) -> io::Result<()> {
        if let Some(Current { path, len, .. }) = self.current.take() {
            self.past.push_back((path, len));
        }
        self.make_room(self.head.len() as u64)?;
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace(['-', ':'], "");
        for number in 0..1_000_000 {
            let path = self.plan.path.join(format!("rstprobe-{now}-{number:06}.pcapng"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return self.begin(path, file),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Deletes the oldest files until there is room for `len` more bytes.
    fn make_room(&mut self, len: u64) -> io::Result<()> {
        let current = self.current.as_ref().map_or(0, |current| current.len);
        while self.past.iter().map(|(_, len)| len).sum::<u64>() + current + len > self.plan.max_bytes {
            let Some((path, _)) = self.past.pop_front() else { return Ok(()) };
            match fs::remove_file(&path) {
                // Somebody has taken it away: that is room, too.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Files of ours in a folder, oldest first: their names are in that order.
fn ours(folder: &Path) -> io::Result<VecDeque<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with("rstprobe-") && name.ends_with(".pcapng"));
        if is_ours && entry.file_type()?.is_file() {
            found.push((entry.path(), entry.metadata()?.len()));
        }
    }
    found.sort();
    Ok(found.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn plan(path: PathBuf, is_file: bool, max_bytes: u64) -> EvidencePlan {
        EvidencePlan {
            path,
            is_file,
            max_bytes,
            max_age: Duration::from_hours(1),
            of: "rst.count > 0".parse().expect("a filter"),
        }
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("rstprobe-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[test]
    fn a_folder_never_holds_more_than_allowed() {
        let folder = folder("files");
        fs::write(folder.join("rstprobe-20200101T000000Z-000000.pcapng"), [0; 4000]).expect("a file");
        fs::write(folder.join("notes.txt"), [0; 4000]).expect("a file");
        let mut files = Files::open(&plan(folder.clone(), false, 10_000), vec![1; 100]).expect("files");
        for _ in 0..200 {
            assert!(files.write(&[2; 300]).expect("written"));
            let all = ours(&folder).expect("a folder");
            assert!(all.iter().map(|(_, len)| len).sum::<u64>() <= 10_000, "{all:?}");
            assert!(all.iter().all(|(_, len)| *len <= 4000));
        }
        let all = ours(&folder).expect("a folder");
        assert!(
            all.len() >= 6 && all.iter().all(|(path, _)| !path.ends_with("rstprobe-20200101T000000Z-000000.pcapng"))
        );
        assert!(folder.join("notes.txt").exists(), "what is not ours is left alone");
        assert!(!files.write(&[2; 10_000]).expect("refused"));
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn one_file_is_full_one_day() {
        let folder = folder("file");
        let path = folder.join("one.pcapng");
        let mut files = Files::open(&plan(path.clone(), true, 1000), vec![1; 100]).expect("a file");
        let written = (0..10).filter(|_| files.write(&[2; 300]).expect("written")).count();
        assert_eq!((written, fs::metadata(path).expect("a file").len()), (3, 1000));
        fs::remove_dir_all(folder).expect("removed");
    }
}
