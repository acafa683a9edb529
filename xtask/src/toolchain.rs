//! The compiler of the BPF object: which one is here, and how it is called.
//!
//! Two are known to work: Debian's own (`rustc-web`, with `bpf-linker` built into `target/tools`), pinned in the root
//! `Cargo.toml` and therefore preferred; and rustup's nightly with `rust-src` and a `bpf-linker` that reads its output.
//! Only looks; installing is `setup`'s business.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{sh, workspace::Workspace};

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// A complete toolchain.
pub(crate) struct Toolchain {
    kind: Kind,
    linker: PathBuf,
    llvm: PathBuf,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Debian,
    Nightly,
}

impl Toolchain {
    /// The first complete one; the error says what each lacks.
    pub(crate) fn find(workspace: &Workspace) -> Result<Self> {
        let debian = match Self::debian(workspace) {
            Ok(found) => return Ok(found),
            Err(lack) => lack,
        };
        Self::nightly(workspace)
            .map_err(|lack| anyhow::anyhow!("no BPF toolchain\n  Debian's: {debian:#}\n  rustup's: {lack:#}"))
    }

    fn debian(workspace: &Workspace) -> Result<Self> {
        let bpf = workspace.bpf();
        let lacking = lacking_packages(&bpf.debian_packages);
        if !lacking.is_empty() {
            bail!("packages not installed: {}", lacking.join(" "));
        }
        let version = sh::output(Command::new(DEBIAN_RUSTC).arg("--version"))?;
        if !version.contains(&format!("rustc {}.", bpf.debian_rustc)) {
            bail!("{DEBIAN_RUSTC} is {}, not {}", version.trim(), bpf.debian_rustc);
        }
        let linker = own_linker(workspace);
        linker_is(&linker, &bpf.linker)?;
        Ok(Self { kind: Kind::Debian, linker, llvm: bpf.llvm_prefix.clone() })
    }

    fn nightly(workspace: &Workspace) -> Result<Self> {
        let mut rustc = rustup_nightly("rustc");
        let sysroot = sh::output(rustc.args(["--print", "sysroot"])).context("no nightly compiler")?;
        let sysroot = PathBuf::from(sysroot.trim());
        if !sysroot.join("lib/rustlib/src/rust/library/core").is_dir() {
            bail!("nightly lacks the component rust-src");
        }
        let own = Some(own_linker(workspace)).filter(|file| file.is_file());
        let linker = own.or_else(|| sh::on_path("bpf-linker")).context("no bpf-linker on PATH")?;
        reads_output_of_nightly(&linker, &workspace.tools())?;
        Ok(Self { kind: Kind::Nightly, linker, llvm: sysroot.join("lib/rustlib") })
    }

    /// In one line.
    pub(crate) fn described(&self) -> String {
        let compiler = match self.kind {
            Kind::Debian => format!("{DEBIAN_RUSTC} (Debian's rustc-web)"),
            Kind::Nightly => "rustup's nightly".to_owned(),
        };
        format!("{compiler}, {}", self.linker.display())
    }

    /// `cargo` of this toolchain, with nothing of ours in its environment.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = match self.kind {
            Kind::Debian => Command::new(DEBIAN_CARGO),
            Kind::Nightly => rustup_nightly("cargo"),
        };
        sh::without_our_compiler(&mut command);
        if self.kind == Kind::Debian {
            command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }

    /// The linker, as the compiler is told of it.
    pub(crate) fn linker(&self) -> &Path {
        &self.linker
    }

    /// A disassembler that knows the object's instructions.
    pub(crate) fn objdump(&self) -> Result<PathBuf> {
        let own = self.llvm.join("bin/llvm-objdump");
        if own.is_file() {
            return Ok(own);
        }
        ["llvm-objdump-22", "rust-objdump", "llvm-objdump"]
            .into_iter()
            .find_map(sh::on_path)
            .context("no llvm-objdump: install Debian's llvm-22, or `rustup component add llvm-tools`")
    }
}

/// Where the project's own linker lies, once installed.
pub(crate) fn own_linker(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("bin/bpf-linker")
}

/// Whether the linker runs and has the wanted version.
pub(crate) fn linker_is(linker: &Path, wanted: &str) -> Result<()> {
    if !linker.is_file() {
        bail!("bpf-linker {wanted} is not built into target/tools");
    }
    let version = sh::output(Command::new(linker).arg("--version")).context("bpf-linker does not run")?;
    let found = version.split_whitespace().nth(1).unwrap_or("?");
    if found != wanted {
        bail!("bpf-linker in target/tools is {found}, not {wanted}");
    }
    Ok(())
}

/// Those of `names` that dpkg does not have; all, where there is no dpkg.
pub(crate) fn lacking_packages(names: &[String]) -> Vec<String> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${db:Status-Abbrev} ${Package}\n"]).args(names);
    // It fails when one of them is unknown, and still lists the others.
    let listed = query.output().map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    names.iter().filter(|name| !is_installed(&listed, name)).cloned().collect()
}

fn is_installed(listed: &str, name: &str) -> bool {
    listed.lines().any(|line| line.split_whitespace().eq(["ii", name]))
}

/// A program of rustup's nightly, with nothing of ours in its environment.
pub(crate) fn rustup_nightly(program: &str) -> Command {
    let mut command = Command::new("rustup");
    sh::without_our_compiler(&mut command);
    // Looking for a toolchain must not install one.
    command.args(["run", "nightly", program]).env("RUSTUP_AUTO_INSTALL", "0");
    command
}

/// A linker with an older LLVM than the compiler's cannot read its bitcode, and does not say which LLVM it has: try.
fn reads_output_of_nightly(linker: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let (source, bitcode, object) = (folder.join("trial.rs"), folder.join("trial.bc"), folder.join("trial.o"));
    fs::write(&source, TRIAL)?;
    let mut compile = rustup_nightly("rustc");
    compile.args(["--target", "bpfel-unknown-none", "--crate-type", "lib", "--emit", "llvm-bc", "-O", "-o"]);
    sh::output(compile.arg(&bitcode).arg(&source)).context("nightly does not compile for BPF")?;
    let mut link = Command::new(linker);
    link.arg("-o").arg(&object).args(["--export", "trial"]).arg(&bitcode);
    sh::output(&mut link).with_context(|| format!("{} does not read nightly's output", linker.display()))?;
    Ok(())
}

const TRIAL: &str = "#![feature(no_core, lang_items)]\n#![no_core]\n\
    #[lang = \"pointee_sized\"] pub trait PointeeSized {}\n\
    #[lang = \"meta_sized\"] pub trait MetaSized: PointeeSized {}\n\
    #[lang = \"sized\"] pub trait Sized: MetaSized {}\n\
    #[lang = \"copy\"] pub trait Copy: Sized {}\nimpl Copy for u64 {}\n\
    #[unsafe(no_mangle)] pub extern \"C\" fn trial(number: u64) -> u64 { number }\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fully_installed_packages_count() {
        let listed = "ii  cargo-web\nrc  rustc-web\nun  llvm-22-dev\n";
        assert!(is_installed(listed, "cargo-web"));
        assert!(!is_installed(listed, "rustc-web"));
        assert!(!is_installed(listed, "cargo"));
    }

    #[test]
    fn a_linker_of_another_version_is_refused() {
        let folder = std::env::temp_dir().join(format!("xtask-linker-{}", std::process::id()));
        let script = "#!/bin/sh\necho bpf-linker 0.12.0\n";
        fs::write(&folder, script).unwrap();
        let mut mode = fs::metadata(&folder).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
        fs::set_permissions(&folder, mode).unwrap();
        let older = linker_is(&folder, "0.13.0").unwrap_err().to_string();
        let same = linker_is(&folder, "0.12.0");
        fs::remove_file(&folder).unwrap();
        assert!(older.contains("is 0.12.0, not 0.13.0"), "{older}");
        assert!(same.is_ok());
    }
}
