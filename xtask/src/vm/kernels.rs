//! Kernels that are booted: lines (`5.10`, ... `newest`), the newest package of each, and the cache of unpacked ones.
//!
//! A cached kernel is used as it is, without a look at the archive; `--refresh` looks for newer ones.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::{archive::Archive, modules};
use crate::sh;

/// Marks a folder of the cache that is complete.
const COMPLETE: &str = "complete";

/// A line of kernels, of which the newest on offer is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Line {
    /// As the command line and the table name it.
    pub(super) name: &'static str,
    /// What the version begins with; empty for any of 7 or later.
    prefix: &'static str,
    /// `cloud-amd64` (small, the drivers of virtual machines) or `amd64` (all drivers).
    flavour: &'static str,
}

/// The lines that checks run on, oldest first.
pub(super) const LINES: [Line; 5] = [
    Line { name: "5.10", prefix: "5.10.", flavour: "cloud-amd64" },
    Line { name: "6.1", prefix: "6.1.", flavour: "cloud-amd64" },
    Line { name: "6.12", prefix: "6.12.", flavour: "cloud-amd64" },
    Line { name: "6.18", prefix: "6.18.", flavour: "cloud-amd64" },
    Line { name: "newest", prefix: "", flavour: "cloud-amd64" },
];
/// The line of the driver guests.
pub(super) const DRIVERS: Line = Line { name: "drivers", prefix: "6.18.", flavour: "amd64" };
/// First major version that `newest` may be.
const NEWEST_FROM: u64 = 7;

/// An unpacked kernel.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    pub(super) line: Line,
    /// Its version as packages name it, `6.12.118+deb13`.
    pub(super) version: String,
    folder: PathBuf,
}

impl Kernel {
    /// What QEMU boots.
    pub(super) fn image(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// Modules, plain, in the order in which they can be loaded: names begin with their place.
    pub(super) fn modules(&self) -> PathBuf {
        self.folder.join("modules")
    }
}

/// Finds or fetches a kernel of each line.
pub(super) fn find(cache: &Path, lines: &[Line], refresh: bool) -> Result<Vec<Kernel>> {
    let cached = |line: &Line| if refresh { None } else { newest_cached(cache, *line) };
    let missing: Vec<Line> = lines.iter().filter(|line| cached(line).is_none()).copied().collect();
    let archive = if missing.is_empty() {
        None
    } else {
        sh::step("vm: reading the lists of Debian's kernels");
        let is_enough = |names: &[String]| missing.iter().all(|line| newest(names, *line).is_some());
        Some(Archive::open(&cache.join("apt"), is_enough)?)
    };
    let one = |line: &Line| match (cached(line), &archive) {
        (Some(kernel), _) => Ok(kernel),
        (None, Some(archive)) => fetch(cache, archive, *line),
        (None, None) => bail!("no kernel of the line {}", line.name),
    };
    lines.iter().map(one).collect()
}

fn newest_cached(cache: &Path, line: Line) -> Option<Kernel> {
    let names = fs::read_dir(cache.join("kernels")).ok()?.flatten();
    let complete = names.filter(|entry| entry.path().join(COMPLETE).is_file());
    let names: Vec<String> = complete.map(|entry| format!("linux-image-{}", entry.file_name().display())).collect();
    newest(&names, line).map(|version| kernel(cache, line, version))
}

fn kernel(cache: &Path, line: Line, version: &str) -> Kernel {
    let folder = cache.join("kernels").join(format!("{version}-{}", line.flavour));
    Kernel { line, version: version.to_owned(), folder }
}

fn fetch(cache: &Path, archive: &Archive, line: Line) -> Result<Kernel> {
    let version = newest(archive.names(), line)
        .with_context(|| format!("no kernel {} on offer: no package linux-image-{}*", line.name, line.prefix))?;
    let kernel = kernel(cache, line, version);
    if kernel.folder.join(COMPLETE).is_file() {
        return Ok(kernel);
    }
    sh::step(format_args!("vm: fetching kernel {version}-{}", line.flavour));
    let unpacked = kernel.folder.join("unpacked");
    if kernel.folder.exists() {
        fs::remove_dir_all(&kernel.folder)?;
    }
    archive.unpack(&packages(archive.names(), line, version), &unpacked)?;
    let image = modules::find(&unpacked, &|name| name.starts_with("vmlinuz"));
    let image = image.first().with_context(|| format!("no vmlinuz in the packages of {version}"))?;
    fs::copy(image, kernel.image())?;
    modules::unpack(&unpacked, &kernel.modules())?;
    fs::remove_dir_all(unpacked)?;
    fs::write(kernel.folder.join(COMPLETE), "")?;
    Ok(kernel)
}

/// From 7.x on the package is split.
fn packages(names: &[String], line: Line, version: &str) -> Vec<String> {
    let package = |part: &str| format!("linux-{part}-{version}-{}", line.flavour);
    let split = [package("binary"), package("modules")];
    if names.contains(&split[1]) { split.into() } else { vec![package("image")] }
}

/// The newest version of the line among package names.
fn newest(names: &[String], line: Line) -> Option<&str> {
    let version = |name: &'_ String| -> Option<(usize, usize)> {
        let from = "linux-image-".len();
        let version = name.strip_prefix("linux-image-")?.strip_suffix(line.flavour)?.strip_suffix('-')?;
        is_of(version, line).then_some((from, from + version.len()))
    };
    let versions = names.iter().filter_map(|name| version(name).map(|(from, to)| &name[from..to]));
    versions.max_by_key(|version| ordered(version))
}

fn is_of(version: &str, line: Line) -> bool {
    // `6.1.0-56-rt`, `6.12-cloud` (a package that only depends on another) and the like are none.
    let plain = !["rt", "cloud", "unsigned", "rc", "deb11"].iter().any(|word| version.contains(word));
    let numbers = version.split(['.', '-', '+']).take_while(|part| part.parse::<u64>().is_ok()).count();
    let begins = if line.prefix.is_empty() {
        version.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u64| major >= NEWEST_FROM)
    } else {
        version.starts_with(line.prefix)
    };
    plain && numbers >= 3 && begins
}

/// Numbers of a version by value, what is between them left out.
fn ordered(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(versions: &[&str]) -> Vec<String> {
        versions.iter().map(|version| format!("linux-image-{version}")).collect()
    }

    #[test]
    fn the_newest_of_a_line_is_found() {
        let names = names(&[
            "5.10.0-9-cloud-amd64",
            "5.10.0-46-cloud-amd64",
            "5.10.0-46-rt-amd64",
            "6.1.0-0.deb11.52-cloud-amd64",
            "6.1.0-47-cloud-amd64",
            "6.12-cloud-amd64",
            "6.12.117+deb13-cloud-amd64",
            "6.18.15+deb13-amd64",
            "6.12.118+deb13-amd64-unsigned",
            "7.2.13+deb14-cloud-amd64",
            "7.3.4+deb13-cloud-amd64",
            "7.10.1~rc2+deb13-cloud-amd64",
        ]);
        let found: Vec<_> = LINES.iter().map(|line| newest(&names, *line)).collect();
        let expected = [Some("5.10.0-46"), Some("6.1.0-47"), Some("6.12.117+deb13"), None, Some("7.3.4+deb13")];
        assert_eq!(found, expected);
        assert_eq!(newest(&names, DRIVERS), Some("6.18.15+deb13"));
    }

    #[test]
    fn split_packages_are_both_fetched() {
        let line = LINES[4];
        let split = vec!["linux-binary-7.3.4-cloud-amd64".to_owned(), "linux-modules-7.3.4-cloud-amd64".to_owned()];
        assert_eq!(packages(&split, line, "7.3.4"), split);
        assert_eq!(packages(&[], line, "7.0.1"), ["linux-image-7.0.1-cloud-amd64"]);
    }
}
