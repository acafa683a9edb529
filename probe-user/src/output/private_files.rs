//! Private files: opens files and folders for packets so that nobody else reads them, holds them, or turns them elsewhere.
//!
//! Packets hold what people sent, rstprobe often has privileges, and evidence often goes where others may write (`/var/tmp`):
//! no link is followed, nothing of another user is written to, and two writers never share a file or folder.
//!
//! Must not know: what is in the files.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// Mode of new files.
pub(crate) const FILE_MODE: u32 = 0o600;
/// Mode of new folders. One that is there already stays as it is: it may have been made for others to fetch files from.
pub(crate) const FOLDER_MODE: u32 = 0o700;
/// File in a folder that its one writer holds. Whoever may write there could hold the folder itself.
pub(crate) const LOCK: &str = "rstprobe.lock";

/// Opens a file that is written anew. What it held is gone only when it is ours to write; a pipe is as good as a file.
///
/// # Errors
/// It is a link, belongs to somebody else, or another rstprobe writes to it; and what the system says.
pub(crate) fn written_anew(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        hold(&file, "another rstprobe writes its evidence to it; give this one a file of its own")?;
        if metadata.mode() & 0o077 != 0 {
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        }
        file.set_len(0)?;
    }
    Ok(file)
}

/// Makes a folder where there is none, and holds it for one writer, as long as what is returned lives: another one would
/// delete what this one is writing.
///
/// # Errors
/// As [`written_anew`].
pub(crate) fn held_folder(folder: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    // Opened only to be looked at: with this flag a link is an error.
    let flags = libc::O_NOFOLLOW | libc::O_DIRECTORY;
    OpenOptions::new().read(true).custom_flags(flags).open(folder).map_err(|error| of_link(error, folder))?;
    let lock = open(&folder.join(LOCK))?;
    hold(&lock, "another rstprobe writes its evidence there; give this one a folder of its own")?;
    Ok(lock)
}

/// Opens for writing what is no link and nobody else's, or makes it.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(path).map_err(|error| of_link(error, path))?;
    let owner = file.metadata()?.uid();
    if owner == 0 || owner == rustix::process::geteuid().as_raw() {
        return Ok(file);
    }
    let what = format!("it belongs to another user (uid {owner}), who could read it; remove it, or name another one");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
}

/// Names the cause where it is that a path ends in a link.
fn of_link(error: io::Error, path: &Path) -> io::Error {
    if path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
        let what = "it is a symbolic link, which somebody else may turn elsewhere; name what it leads to";
        return io::Error::new(io::ErrorKind::InvalidInput, what);
    }
    error
}

fn hold(file: &File, by_other: &'static str) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(io::ErrorKind::ResourceBusy, by_other)),
        // A file system without locks has none for others, either.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::PathBuf};

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("rstprobe-private-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn only_their_owner_reads_files_and_folders() {
        let scratch = scratch("mode");
        let (made, made_in) = (scratch.join("a"), scratch.join("a/b"));
        let held = held_folder(&made_in).expect("a folder");
        assert_eq!([mode(&made), mode(&made_in), mode(&made_in.join(LOCK))], [0o700, 0o700, 0o600]);
        let file = scratch.join("x.pcapng");
        drop(written_anew(&file).expect("a file"));
        assert_eq!(mode(&file), 0o600);
        // Also where it was there before, for all to read; a folder of others is theirs.
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("set");
        fs::set_permissions(&made, Permissions::from_mode(0o755)).expect("set");
        drop((written_anew(&file).expect("a file"), held_folder(&made).expect("a folder")));
        assert_eq!([mode(&file), mode(&made)], [0o600, 0o755]);
        drop(held);
        fs::remove_dir_all(scratch).expect("removed");
    }

    #[test]
    fn a_file_and_a_folder_have_one_writer_and_what_the_first_wrote_stays() {
        let scratch = scratch("held");
        let file = scratch.join("x.pcapng");
        let first = written_anew(&file).expect("a file");
        fs::write(&file, "precious").expect("written");
        let kind = |opened: io::Result<File>| opened.map(drop).map_err(|error| error.kind());
        assert_eq!(kind(written_anew(&file)), Err(io::ErrorKind::ResourceBusy));
        assert_eq!(fs::read_to_string(&file).expect("a file"), "precious");
        let folder = held_folder(&scratch).expect("a folder");
        assert_eq!(kind(held_folder(&scratch)), Err(io::ErrorKind::ResourceBusy));
        drop((first, folder));
        assert_eq!((kind(written_anew(&file)), kind(held_folder(&scratch))), (Ok(()), Ok(())));
        assert_eq!(fs::read(&file).expect("a file"), b"", "written anew");
        fs::remove_dir_all(scratch).expect("removed");
    }

    #[test]
    fn no_link_is_followed() {
        let scratch = scratch("links");
        let (precious, folder) = (scratch.join("precious"), scratch.join("folder"));
        fs::write(&precious, "precious").expect("written");
        fs::create_dir(&folder).expect("made");
        let (to_file, to_nothing, to_folder) = (scratch.join("f.pcapng"), scratch.join("n.pcapng"), scratch.join("d"));
        symlink("precious", &to_file).expect("a link");
        symlink("nothing", &to_nothing).expect("a link");
        symlink("folder", &to_folder).expect("a link");
        for refused in [written_anew(&to_file), written_anew(&to_nothing), held_folder(&to_folder)] {
            let error = refused.expect_err("refused").to_string();
            assert!(error.contains("symbolic link"), "{error}");
        }
        // In the place of the lock, too.
        symlink("../precious", folder.join(LOCK)).expect("a link");
        assert!(held_folder(&folder).is_err());
        assert_eq!(fs::read_to_string(&precious).expect("a file"), "precious");
        assert!(!scratch.join("nothing").exists());
        fs::remove_dir_all(scratch).expect("removed");
    }

    #[test]
    fn what_belongs_to_another_user_is_left_alone() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let scratch = scratch("owner");
        let file = scratch.join("x.pcapng");
        fs::write(&file, "theirs").expect("written");
        std::os::unix::fs::chown(&file, Some(12_345), None).expect("given away");
        let error = written_anew(&file).expect_err("refused").to_string();
        assert!(error.contains("uid 12345"), "{error}");
        assert_eq!(fs::read_to_string(&file).expect("a file"), "theirs");
        fs::remove_dir_all(scratch).expect("removed");
    }
}
