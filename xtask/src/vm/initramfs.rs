//! The file tree that a guest boots into: our programs, a few of the machine's with their shared libraries, and modules,
//! written as a cpio archive in the `newc` format, not compressed (QEMU copies faster than a guest decompresses).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::sh;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// A tree under construction, as the bytes of the archive.
pub(super) struct Initramfs {
    bytes: Vec<u8>,
    there: BTreeSet<PathBuf>,
}

impl Initramfs {
    /// Without files.
    pub(super) fn new() -> Self {
        let mut tree = Self { bytes: Vec::new(), there: BTreeSet::new() };
        for folder in ["bin", "dev", "etc", "modules", "proc", "run/netns", "sys", "tmp", "var"] {
            tree.folder(Path::new(folder));
        }
        tree
    }

    /// Adds a file with these contents.
    pub(super) fn file(&mut self, path: &str, contents: &[u8]) {
        let path = Path::new(path.trim_start_matches('/'));
        if let Some(folder) = path.parent() {
            self.folder(folder);
        }
        if self.there.insert(path.to_owned()) {
            self.entry(path, PROGRAM, contents);
        }
    }

    /// Adds a program of the machine with the shared libraries that it needs.
    pub(super) fn program(&mut self, source: &Path, path: &str) -> Result<()> {
        self.file(path, &read(source)?);
        // A static program has none, and `ldd` says so with an error.
        for library in sh::output(Command::new("ldd").arg(source)).map(|text| libraries(&text)).unwrap_or_default() {
            self.file(&library, &read(Path::new(&library))?);
        }
        Ok(())
    }

    /// The archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry(Path::new("TRAILER!!!"), 0, &[]);
        self.bytes
    }

    fn folder(&mut self, path: &Path) {
        let above: Vec<&Path> = path.ancestors().filter(|folder| !folder.as_os_str().is_empty()).collect();
        for folder in above.into_iter().rev() {
            if self.there.insert(folder.to_owned()) {
                self.entry(folder, FOLDER, &[]);
            }
        }
    }

    /// One entry: a header of 13 numbers in hexadecimal, the name and the contents, each padded to four bytes.
    fn entry(&mut self, path: &Path, mode: u32, contents: &[u8]) {
        let name = path.to_string_lossy();
        let (inode, links) = (self.there.len() as u32, if mode == FOLDER { 2 } else { 1 });
        let name_size = name.len() as u32 + 1;
        let numbers = [inode, mode, 0, 0, links, 0, contents.len() as u32, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend(b"070701");
        for number in numbers {
            self.bytes.extend(format!("{number:08x}").bytes());
        }
        self.bytes.extend(name.bytes().chain([0]));
        self.pad();
        self.bytes.extend(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("reading {}", file.display()))
}

/// Absolute paths in the output of `ldd`: libraries and the loader.
fn libraries(text: &str) -> Vec<String> {
    text.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect()
}

/// The machine's own program `name`.
pub(super) fn installed(name: &str) -> Result<PathBuf> {
    match sh::on_path(name) {
        Some(path) => Ok(path),
        None => bail!("no program `{name}`: `cargo xtask setup` installs it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_what_cpio_reads() {
        let mut tree = Initramfs { bytes: Vec::new(), there: BTreeSet::new() };
        tree.file("/a/b", b"text");
        tree.file("/a/b", b"again");
        let bytes = tree.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        let heads: Vec<_> = text.match_indices("070701").map(|(at, _)| at).collect();
        // The folder, the file, the trailer.
        assert_eq!(heads.len(), 3);
        assert_eq!(&text[heads[1] + 54..heads[1] + 62], "00000004");
        assert!(text[heads[1]..].starts_with("070701") && text.contains("a/b\0") && text.contains("text"));
    }

    #[test]
    fn libraries_are_absolute_paths() {
        let text = "\tlinux-vdso.so.1 (0x0)\n\tlibc.so.6 => /lib/libc.so.6 (0x0)\n\t/lib64/ld.so.2 (0x0)\n";
        assert_eq!(libraries(text), ["/lib/libc.so.6", "/lib64/ld.so.2"]);
    }
}
