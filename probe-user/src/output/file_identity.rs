//! File identity: which file a path leads to, whatever its name and through links.
//!
//! Must not know: what is in the files.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata},
    io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

/// A file that is there, or where there may be one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Device and inode: the same through links of both kinds.
    There(u64, u64),
    /// Device and inode of the folder, and a name that nothing has yet.
    Free(u64, u64, OsString),
}

/// Where a path leads; `-` is standard input. `None` for what keeps nothing that could be lost (pipes, terminals, the null
/// device), and where nothing can be.
pub(crate) fn place(path: &Path) -> Option<Place> {
    let metadata = if path.as_os_str() == "-" {
        File::from(io::stdin().as_fd().try_clone_to_owned().ok()?).metadata()
    } else {
        fs::metadata(path)
    };
    let keeps = |file: &Metadata| file.is_file() || file.file_type().is_dir();
    match metadata {
        Ok(file) => keeps(&file).then(|| Place::There(file.dev(), file.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => free(&target(path)),
        Err(_) => None,
    }
}

/// What is written to instead of a symbolic link that leads nowhere yet.
pub(crate) fn target(path: &Path) -> PathBuf {
    match fs::read_link(path) {
        Ok(target) => path.parent().unwrap_or(Path::new("")).join(target),
        Err(_) => path.to_path_buf(),
    }
}

fn free(path: &Path) -> Option<Place> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = fs::metadata(folder).ok()?;
    Some(Place::Free(folder.dev(), folder.ino(), path.file_name()?.to_os_string()))
}
