//! Evidence files: a folder of files that follow each other, or one file, within a bound of disk space.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Instant, SystemTime},
};

use crate::output::{file_identity::place, private_files};
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
pub(crate) struct Files {
    plan: EvidencePlan,
    /// What every file begins with.
    head: Vec<u8>,
    current: Option<Current>,
    /// Of the next file in a folder.
    next_number: u32,
    /// There was no room for the description of an interface: what comes may refer to it.
    is_full: bool,
    /// Files before the current one, oldest first, with their lengths.
    past: VecDeque<(PathBuf, u64)>,
    /// The folder's lock.
    held: Option<File>,
}

impl Files {
    /// Opens the first file, so that what cannot be written is said before anything is measured. Files that an earlier run
    /// left in the folder count, and are the first to go.
    ///
    /// # Errors
    /// The folder or file cannot be made.
    pub(crate) fn open(plan: &EvidencePlan, head: Vec<u8>) -> io::Result<Self> {
        let mut files = Self {
            plan: plan.clone(),
            head,
            current: None,
            next_number: 0,
            is_full: false,
            past: VecDeque::new(),
            held: None,
        };
        if plan.is_file {
            let file = private_files::written_anew(&plan.path)?;
            files.begin(plan.path.clone(), file)?;
        } else {
            files.held = Some(private_files::held_folder(&plan.path)?);
            files.past = ours(&plan.path)?;
            files.next()?;
        }
        Ok(files)
    }

    /// Takes the description of one more interface, which this file and all later ones have before what follows. Without
    /// room for it there is none for anything after it.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn describe(&mut self, block: &[u8]) -> io::Result<()> {
        let len = block.len() as u64;
        let current = self.current.as_ref().map_or(0, |current| current.len);
        self.is_full |= if self.plan.is_file {
            current + len > self.plan.max_bytes
        } else {
            self.head.len() as u64 + len > self.plan.max_bytes / PARTS
        };
        if self.is_full {
            return Ok(());
        }
        self.head.extend(block);
        if !self.plan.is_file && self.is_over(len) {
            return self.next();
        }
        self.make_room(len)?;
        self.append(block)
    }

    /// Writes whole blocks; false when there is no room for them.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn write(&mut self, blocks: &[u8]) -> io::Result<bool> {
        if self.is_full {
            return Ok(false);
        }
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
        // In one call, so that a process that is killed leaves whole blocks; and where the disk is full, too.
        let written = current.file.write_all(blocks);
        match written {
            Ok(()) => current.len += blocks.len() as u64,
            // A pipe cannot be shortened.
            Err(_) => drop(current.file.set_len(current.len)),
        }
        written
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
        // Never a number again, also when its file has gone: names are in the order of time.
        for number in self.next_number..1_000_000_000 {
            let path = self.plan.path.join(format!("rstprobe-{now}-{number:06}.pcapng"));
            match OpenOptions::new().write(true).create_new(true).mode(private_files::FILE_MODE).open(&path) {
                Ok(file) => {
                    self.next_number = number + 1;
                    return self.begin(path, file);
                }
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
        if !is_ours(&entry.path()) {
            continue;
        }
        match entry.metadata() {
            Ok(file) if file.is_file() => found.push((entry.path(), file.len())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // Something else of that name, or somebody has just taken it away.
            _ => {}
        }
    }
    found.sort();
    Ok(found.into())
}

/// By its name, to the letter: what somebody has named alike to keep it is not ours to delete.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let own = name.strip_prefix("rstprobe-").and_then(|name| name.strip_suffix(".pcapng")).unwrap_or_default();
    let Some((time, number)) = own.split_once('-') else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (date, clock) = time.strip_suffix('Z').and_then(|time| time.split_once('T')).unwrap_or_default();
    date.len() == 8
        && clock.len() == 6
        && digits(date)
        && digits(clock)
        && (6..=9).contains(&number.len())
        && digits(number)
}

/// The first of `files` that evidence would be written over, or that might be deleted to make room.
pub(crate) fn overwritten<'a>(plan: &EvidencePlan, files: &'a [PathBuf]) -> Option<&'a PathBuf> {
    let places: Vec<_> = if plan.is_file {
        place(&plan.path).into_iter().collect()
    } else {
        ours(&plan.path).into_iter().flatten().filter_map(|(path, _)| place(&path)).collect()
    };
    files.iter().find(|file| place(file).is_some_and(|place| places.contains(&place)))
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
    fn only_their_owner_reads_evidence_files() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = folder("mode");
        let _files = Files::open(&plan(folder.clone(), false, 1 << 20), vec![1; 100]).expect("files");
        let mut modes = fs::read_dir(&folder).expect("a folder").flatten().filter_map(|entry| {
            let is_evidence = entry.file_name().to_string_lossy().ends_with(".pcapng");
            is_evidence.then(|| entry.metadata().expect("a file").permissions().mode() & 0o777)
        });
        assert_eq!(modes.next(), Some(private_files::FILE_MODE));
        fs::remove_dir_all(&folder).expect("a folder");
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
    fn only_names_that_we_give_are_ours() {
        for (name, is) in [
            ("rstprobe-20200101T000000Z-000000.pcapng", true),
            ("rstprobe-20200101T000000Z-999999999.pcapng", true),
            ("rstprobe-20200101T000000Z-000003-KEEP.pcapng", false),
            ("rstprobe-20200101T000000Z-.pcapng", false),
            ("rstprobe-case42.pcapng", false),
            ("rstprobe-20200101T000000-000000.pcapng", false),
            ("rstprobe-2020010T0000000Z-000000.pcapng", false),
            ("rstprobe-.pcapng", false),
            ("notes.txt", false),
        ] {
            assert_eq!(is_ours(Path::new(name)), is, "{name}");
        }
    }

    #[test]
    fn one_folder_has_one_writer() {
        let folder = folder("held");
        let first = Files::open(&plan(folder.clone(), false, 10_000), vec![]).expect("files");
        let refused = Files::open(&plan(folder.clone(), false, 10_000), vec![]).map(|_| ());
        assert_eq!(refused.map_err(|error| error.kind()), Err(io::ErrorKind::ResourceBusy));
        drop(first);
        assert!(Files::open(&plan(folder.clone(), false, 10_000), vec![]).is_ok());
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_capture_under_another_name_is_the_same_file() {
        let folder = folder("names");
        let own = folder.join("rstprobe-20200101T000000Z-000000.pcapng");
        fs::write(&own, [0; 10]).expect("a file");
        let latest = folder.join("latest.pcapng");
        std::os::unix::fs::symlink(&own, &latest).expect("a link");
        let captures = [latest.clone()];
        assert_eq!(overwritten(&plan(folder.clone(), false, 1000), &captures), Some(&latest));
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn every_file_describes_every_interface_so_far() {
        let folder = folder("interfaces");
        let mut files = Files::open(&plan(folder.clone(), false, 10_000), vec![1; 100]).expect("files");
        let mut head = vec![1; 100];
        for number in 2..10 {
            files.describe(&[number; 20]).expect("described");
            head.extend([number; 20]);
            for _ in 0..8 {
                assert!(files.write(&[0; 300]).expect("written"));
            }
            let all = ours(&folder).expect("a folder");
            assert!(all.iter().map(|(_, len)| len).sum::<u64>() <= 10_000, "{all:?}");
            let last = fs::read(&all.back().expect("a file").0).expect("a file");
            assert!(last.starts_with(&head), "begun since, with all of them");
        }
        let many = (0..1000).filter(|_| files.describe(&[0; 20]).is_ok()).count();
        assert!(many == 1000 && !files.write(&[0; 3]).expect("refused"), "no room to describe them");
        let all = ours(&folder).expect("a folder");
        assert!(all.iter().map(|(_, len)| len).sum::<u64>() <= 10_000, "{all:?}");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn captures_are_not_written_over() {
        let folder = folder("captures");
        let names = ["a.pcapng", "b.pcapng", "rstprobe-20200101T000000Z-000000.pcapng"];
        let captures = names.map(|name| folder.join(name));
        for capture in &captures {
            fs::write(capture, [0; 10]).expect("a file");
        }
        let over = |path: PathBuf, is_file| overwritten(&plan(path, is_file, 1000), &captures).cloned();
        assert_eq!(
            over(folder.join("../").join(folder.file_name().expect("a name")).join("b.pcapng"), true),
            Some(captures[1].clone())
        );
        assert_eq!(over(folder.join("c.pcapng"), true), None);
        assert_eq!(over(folder.clone(), false), Some(captures[2].clone()));
        assert_eq!(over(folder.join("new"), false), None);
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
