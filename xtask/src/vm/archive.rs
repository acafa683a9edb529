//! Debian kernel packages: finds their names and downloads them through an apt state of our own.
//!
//! Nothing on the system changes, and root is not needed: lists, cache and sources lie under the vm cache. Mirrors and
//! keyring are those of the machine's own sources, the suites are named here. Knows names, not contents.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::sh;

/// Suites with the newest kernels, small: security updates and backports.
const SMALL_SUITES: [&str; 5] =
    ["bullseye-security", "bookworm-security", "bookworm-backports", "trixie-security", "trixie-backports"];
/// Read too when the small ones have no package that matches.
const LARGE_SUITES: [&str; 3] = ["bullseye", "bookworm", "trixie"];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where packages come from.
#[derive(Debug, PartialEq)]
pub(super) struct Mirrors {
    main: String,
    security: String,
    keyring: Option<String>,
}

/// The apt state of our own.
pub(super) struct Archive {
    folder: PathBuf,
    names: Vec<String>,
}

impl Archive {
    /// Reads the package lists of the small suites into `folder`, and those of the large ones when `is_enough` says of
    /// the names found so far that something is missing.
    pub(super) fn open(folder: &Path, is_enough: impl Fn(&[String]) -> bool) -> Result<Self> {
        let mirrors = mirrors(&sources()).context("no Debian mirror among apt's sources of this machine")?;
        for place in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(place))?;
        }
        fs::write(folder.join("status"), "")?;
        let mut archive = Self { folder: folder.to_owned(), names: Vec::new() };
        archive.update(&mirrors, &SMALL_SUITES)?;
        if !is_enough(&archive.names) {
            archive.update(&mirrors, &[&SMALL_SUITES[..], &LARGE_SUITES].concat())?;
        }
        Ok(archive)
    }

    /// Names of the kernel packages on offer.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    fn update(&mut self, mirrors: &Mirrors, suites: &[&str]) -> Result<()> {
        let lines: Vec<String> = suites.iter().map(|suite| mirrors.line(suite)).collect();
        fs::write(self.folder.join("sources.list"), lines.join("\n") + "\n")?;
        // A suite that has moved away fails; what the others offer is enough or not.
        if let Err(error) = sh::output(self.apt("apt-get").arg("update")) {
            sh::say(format_args!("vm: some suites could not be read: {}", last_line(&format!("{error:#}"))));
        }
        let listed = sh::output(self.apt("apt-cache").args(["pkgnames", "linux-"]))?;
        self.names = listed.lines().map(str::to_owned).collect();
        if self.names.is_empty() {
            bail!("no kernel package on offer by {} and {}", mirrors.main, mirrors.security);
        }
        Ok(())
    }

    /// Downloads `packages` and unpacks them into `folder`.
    pub(super) fn unpack(&self, packages: &[String], folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        sh::output(self.apt("apt-get").arg("download").args(packages).current_dir(folder))?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                sh::output(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(folder))?;
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn apt(&self, program: &str) -> Command {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let mut command = Command::new(program);
        for option in [
            format!("Dir::State={}", at("")),
            format!("Dir::State::lists={}", at("lists")),
            format!("Dir::State::status={}", at("status")),
            format!("Dir::Cache={}", at("cache")),
            format!("Dir::Etc::sourcelist={}", at("sources.list")),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            "APT::Sandbox::User=".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=3".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        sh::without_our_cargo(&mut command);
        command
    }
}

impl Mirrors {
    fn line(&self, suite: &str) -> String {
        let base = if suite.ends_with("-security") { &self.security } else { &self.main };
        let keyring = self.keyring.as_deref().unwrap_or(KEYRING);
        format!("deb [signed-by={keyring}] {base} {suite} main")
    }
}

/// All of apt's source files, one text.
fn sources() -> String {
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let files = std::iter::once(PathBuf::from("/etc/apt/sources.list")).chain(parts);
    files.filter_map(|file| fs::read_to_string(file).ok()).collect::<Vec<_>>().join("\n\n")
}

/// The mirrors of Debian and of its security updates: of one-line entries and of deb822 paragraphs alike.
fn mirrors(sources: &str) -> Option<Mirrors> {
    let (mut main, mut security, mut keyring) = (None, None, None);
    for paragraph in sources.split("\n\n") {
        let fields = paragraph.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim(), value.trim()))
        });
        for (name, value) in fields {
            match name {
                "URIs" => value.split_whitespace().for_each(|uri| sort(uri, &mut main, &mut security)),
                "Signed-By" if value.contains("debian") => keyring = Some(value.to_owned()),
                _ => {}
            }
        }
        for line in paragraph.lines().filter(|line| line.trim_start().starts_with("deb ")) {
            line.split_whitespace().for_each(|word| sort(word, &mut main, &mut security));
        }
    }
    let main: String = main?;
    let security = security.unwrap_or_else(|| format!("{main}-security"));
    Some(Mirrors { main, security, keyring })
}

fn sort(word: &str, main: &mut Option<String>, security: &mut Option<String>) {
    let uri = word.trim_end_matches('/');
    let place = match uri.rsplit('/').next() {
        Some("debian") => main,
        Some("debian-security") => security,
        _ => return,
    };
    if uri.contains("://") && place.is_none() {
        *place = Some(uri.to_owned());
    }
}

fn last_line(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_read_from_paragraphs() {
        let text = "Types: deb\n# http://old.invalid/archive/debian/2025\nURIs: http://a.invalid/debian\n\
                    Suites: bookworm\nSigned-By: /usr/share/keyrings/debian-x.gpg\n\n\
                    Types: deb\nURIs: http://b.invalid/debian-security/\n\n\
                    deb https://c.invalid/apt other main";
        let found = mirrors(text).unwrap();
        assert_eq!((&*found.main, &*found.security), ("http://a.invalid/debian", "http://b.invalid/debian-security"));
        assert_eq!(
            found.line("trixie-security"),
            "deb [signed-by=/usr/share/keyrings/debian-x.gpg] http://b.invalid/debian-security trixie-security main"
        );
    }

    #[test]
    fn mirrors_are_read_from_lines() {
        let text = "# deb http://x.invalid/debian a main\ndeb [arch=amd64] http://a.invalid/debian bookworm main\n";
        let found = mirrors(text).unwrap();
        assert_eq!((&*found.main, &*found.security), ("http://a.invalid/debian", "http://a.invalid/debian-security"));
        assert_eq!(mirrors("deb http://a.invalid/ubuntu noble main"), None);
    }
}
