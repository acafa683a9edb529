//! A capture by its name: opened before anything is read of it, so that it can be read where nothing may be opened any more.
//!
//! Only ordinary files are: opening a pipe waits for who writes to it, who may be waiting for the pipe before it to be read.
//! What is named by the number of its descriptor (`/dev/stdin`) is open already, and is duplicated: to open it anew takes a
//! permission that its owner may not have given, and that is gone once privileges are given up.

use std::{
    fs::File,
    io::{self, Read},
    num::NonZeroU64,
    os::{fd::RawFd, unix::fs::FileExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{Advice, fadvise},
    process::{PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, getpid, getrlimit, pidfd_getfd, pidfd_open, setrlimit},
};

use super::{CaptureError, CaptureFile};

/// Files that are needed besides captures.
const OTHERS: u64 = 64;

/// A capture as it was named.
#[derive(Clone, Debug)]
pub struct Named {
    path: PathBuf,
    file: Option<Arc<File>>,
    is_file: bool,
    is_read_beside: bool,
}

impl Named {
    /// Opens those that are files and can be opened; what is wrong with the others is said when they are read.
    pub fn all(paths: &[PathBuf]) -> Vec<Self> {
        allow_open(paths.len() as u64 + OTHERS);
        let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(OTHERS);
        let is_early = |number: usize| (number as u64) < most;
        paths.iter().enumerate().map(|(number, path)| Self::new(path, is_early(number))).collect()
    }

    fn new(path: &Path, opens: bool) -> Self {
        let keeps = |path: &&Path| path.metadata().is_ok_and(|of| of.is_file() || of.is_dir());
        let path_to_open = Some(path).filter(|path| opens && path.as_os_str() != "-").filter(keeps);
        let file = path_to_open.and_then(|path| File::open(path).ok());
        let file = file.or_else(|| duplicate(descriptor(path)?)).map(Arc::new);
        let metadata = file.as_ref().map_or_else(|| path.metadata(), |file| file.metadata());
        let is_file = metadata.is_ok_and(|of| of.is_file());
        Self { path: path.to_owned(), file, is_file, is_read_beside: false }
    }

    /// Has threads undo compression, where it is read [in its turn](super::InTurn).
    #[must_use]
    pub fn read_beside(self, is_read_beside: bool) -> Self {
        Self { is_read_beside, ..self }
    }

    /// Whether threads may read it.
    pub(super) fn is_read_beside(&self) -> bool {
        self.is_read_beside
    }

    /// As it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is an ordinary file, which can be read twice: as it was when it was named, since its path may lead nowhere
    /// once privileges are given up.
    pub fn is_file(&self) -> bool {
        self.is_file
    }

    /// Where it will be opened when it is read; `None` for one that is open.
    pub fn is_opened_later(&self) -> Option<&Path> {
        (self.file.is_none() && self.path.as_os_str() != "-").then_some(&self.path)
    }

    /// Reads it from its beginning, as often as it is wanted where it is an ordinary file.
    ///
    /// # Errors
    /// When it cannot be opened or does not begin like a capture.
    pub fn capture(&self) -> Result<CaptureFile, CaptureError> {
        match &self.file {
            Some(file) => of_file(file),
            None => CaptureFile::open(&self.path),
        }
    }

    /// As [`Self::capture`], of an ordinary file that is read soon: the system is asked to have its first `bytes` ready.
    pub(super) fn capture_soon(&self, bytes: u64) -> Result<CaptureFile, CaptureError> {
        let file = self.stream().map_err(|source| CaptureError::Open { source })?;
        // Where it does not, they are read later.
        let _later: Option<()> = fadvise(&file, 0, NonZeroU64::new(bytes), Advice::WillNeed).ok();
        of_file(&file)
    }

    /// It where it is read once only, from where it is.
    pub(super) fn stream(&self) -> io::Result<Arc<File>> {
        self.file.as_ref().map_or_else(|| File::open(&self.path).map(Arc::new), |file| Ok(Arc::clone(file)))
    }
}

/// A capture in a file that is open, from its beginning.
pub(super) fn of_file(file: &Arc<File>) -> Result<CaptureFile, CaptureError> {
    let file = Arc::clone(file);
    match file.metadata() {
        // A directory can be opened, and only reading it fails.
        Ok(metadata) if metadata.is_dir() => Err(CaptureError::Open { source: io::ErrorKind::IsADirectory.into() }),
        // A pipe has no beginning.
        Ok(metadata) if !metadata.is_file() => CaptureFile::from_reader(file),
        _ => CaptureFile::from_reader(FromStart { file, offset: 0 }),
    }
}

/// The descriptor of this process that a path means.
fn descriptor(path: &Path) -> Option<RawFd> {
    if path == Path::new("/dev/stdin") {
        return Some(0);
    }
    let number = ["/dev/fd", "/proc/self/fd"].iter().find_map(|folder| path.strip_prefix(folder).ok())?;
    number.to_str()?.parse().ok().filter(|number| *number >= 0)
}

/// The same as it, from where it is; `None` where the kernel cannot (before Linux 5.6) or there is none.
fn duplicate(descriptor: RawFd) -> Option<File> {
    let this = pidfd_open(getpid(), PidfdFlags::empty()).ok()?;
    pidfd_getfd(this, descriptor, PidfdGetfdFlags::empty()).ok().map(File::from)
}

/// Reads a file from its beginning, wherever others read it.
struct FromStart {
    file: Arc<File>,
    offset: u64,
}

impl Read for FromStart {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Raises the limit of open files, as far as that is allowed, where it is below `needed`.
fn allow_open(needed: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < needed) {
        // Where it stays, those above it are opened one after the other.
        let _stays: Option<()> = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_named_by_its_descriptor_is_duplicated() {
        use std::{io::Write as _, os::fd::AsRawFd as _};
        let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/accept_queue_full.pcap");
        for folder in ["/dev/fd", "/proc/self/fd"] {
            let (reader, mut writer) = io::pipe().expect("a pipe");
            let path = Path::new(folder).join(reader.as_raw_fd().to_string());
            let named = Named::all(&[path]).remove(0);
            assert_eq!((named.is_opened_later(), named.is_file()), (None, false));
            // By path there is nothing any more.
            drop(reader);
            writer.write_all(&fs::read(&case).expect("there")[..1000]).expect("there is room");
            assert!(named.capture().expect("a capture").next_frame().expect("whole").is_some());
        }
        let paths = ["/dev/stdin", "/dev/fd/7", "/dev/fd/-7", "/dev/fd/7/7", "/proc/self/fd/", "/dev/null"];
        assert_eq!(paths.map(|path| descriptor(Path::new(path))), [Some(0), Some(7), None, None, None, None]);
    }

    /// As after privileges are given up by which its folder can be searched.
    #[test]
    fn a_file_whose_path_leads_nowhere_any_more_is_a_file() {
        let path = std::env::temp_dir().join(format!("rstprobe-named-{}", std::process::id()));
        fs::write(&path, "").expect("written");
        let named = Named::all(std::slice::from_ref(&path)).remove(0);
        fs::remove_file(&path).expect("removed");
        assert!(named.is_file() && !path.is_file());
    }

    #[test]
    fn a_file_is_opened_and_read_as_often_as_wanted() {
        let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/accept_queue_full.pcap");
        let all = Named::all(&[case.clone(), "/no/such/file".into(), "-".into(), "/dev/null".into(), "/".into()]);
        let later: Vec<_> = all.iter().map(Named::is_opened_later).collect();
        assert_eq!(later, [None, Some(Path::new("/no/such/file")), None, Some(Path::new("/dev/null")), None]);
        let are_files: Vec<_> = all.iter().map(Named::is_file).collect();
        assert_eq!(are_files, [true, false, false, false, false]);
        let (mut one, mut other) = (all[0].capture().expect("a capture"), all[0].capture().expect("a capture"));
        let times = |capture: &mut CaptureFile| {
            let mut times = Vec::new();
            while let Some(frame) = capture.next_frame().expect("whole") {
                times.push(frame.time_ns);
            }
            times
        };
        let first = one.next_frame().expect("whole").expect("a frame").time_ns;
        let all_times = times(&mut other);
        assert_eq!(([first], 1 + times(&mut one).len()), ([all_times[0]], all_times.len()));
        assert!(
            matches!(all[1].capture(), Err(CaptureError::Open { source }) if source.kind() == io::ErrorKind::NotFound)
        );
        let is_directory = |error: &CaptureError| matches!(error, CaptureError::Open { source } if source.kind() == io::ErrorKind::IsADirectory);
        assert!(all[4].capture().err().is_some_and(|error| is_directory(&error)));
    }
}
