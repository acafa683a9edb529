//! Workspace: what Cargo knows of it, folders, targets, and the settings under `[workspace.metadata.bpf]`.
//!
//! Reads `cargo metadata` as plain JSON. Must not know what is done with it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::sh;

/// The package of the tests, demonstration and measurements.
pub(crate) const TESTS: &str = "probe-tests";

/// The workspace, as Cargo sees it.
#[derive(Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    root: PathBuf,
    target_directory: PathBuf,
    packages: Vec<Package>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    bpf: Bpf,
}

/// `[workspace.metadata.bpf]`: what compiles the BPF object, and what the tests need.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Bpf {
    /// Version of `bpf-linker`.
    #[serde(rename = "bpf-linker")]
    pub(crate) linker: String,
    /// Packages of Debian that bring compiler, library source and LLVM.
    pub(crate) debian_packages: Vec<String>,
    /// Version of Debian's compiler, first two numbers.
    pub(crate) debian_rustc: String,
    /// Features `bpf-linker` is built with.
    pub(crate) linker_features: Vec<String>,
    /// The variable that tells `bpf-linker`'s build where LLVM is.
    pub(crate) llvm_prefix_variable: String,
    /// And its value.
    pub(crate) llvm_prefix: PathBuf,
    /// Packages of Debian with the programs that tests call.
    pub(crate) test_packages: Vec<String>,
    /// Packages of Debian with the programs that `vm` calls or puts into its guests.
    pub(crate) vm_packages: Vec<String>,
    /// Packages of Debian with the real programs that `zoo` plays.
    pub(crate) zoo_packages: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

/// Something Cargo can build.
#[derive(Deserialize)]
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: String,
    /// `lib`, `bin`, `test`, ...
    pub(crate) kind: Vec<String>,
    /// Its root file.
    pub(crate) src_path: PathBuf,
}

impl Workspace {
    /// Asks Cargo.
    pub(crate) fn load() -> Result<Self> {
        let mut command = cargo();
        command.args(["metadata", "--no-deps", "--format-version", "1", "--locked"]);
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in a workspace")?);
        let text = sh::output(&mut command)?;
        serde_json::from_str(&text).context("reading the output of `cargo metadata`")
    }

    /// Where the root `Cargo.toml` is.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where Cargo builds.
    pub(crate) fn target_directory(&self) -> &Path {
        &self.target_directory
    }

    /// The settings.
    pub(crate) fn bpf(&self) -> &Bpf {
        &self.metadata.bpf
    }

    /// The project's own tools: `target/tools`, in every configuration of Cargo.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root().join("target/tools")
    }

    /// Where BPF objects are built, and where those that get embedded lie.
    pub(crate) fn bpf_target(&self) -> PathBuf {
        self.root().join("target/bpf")
    }

    /// The program itself, of the given profile folder (`release`, `debug`).
    pub(crate) fn binary(&self, profile: &str) -> PathBuf {
        self.target_directory.join(profile).join("rstprobe")
    }

    /// The program that logs, of the given profile folder.
    pub(crate) fn traced_binary(&self, profile: &str) -> PathBuf {
        self.target_directory.join(profile).join("rstprobe-trace")
    }

    /// Targets of one kind in one package.
    pub(crate) fn targets(&self, package: &str, kind: &str) -> Vec<&Target> {
        let named = self.packages.iter().filter(|p| p.name == package);
        named.flat_map(|p| &p.targets).filter(|t| t.kind.iter().any(|k| k == kind)).collect()
    }

    /// A command of Cargo's in the workspace.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo();
        command.args(arguments).current_dir(self.root());
        command
    }
}

/// The cargo that runs us, as a child should see it.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    sh::without_our_cargo(&mut command);
    // What is compiled once is not compiled again in parts, and those take a fifth of the disk.
    if std::env::var("CI").is_ok_and(|ci| ci == "true") && std::env::var_os("CARGO_INCREMENTAL").is_none() {
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_is_readable() {
        let workspace = Workspace::load().unwrap();
        assert!(workspace.root().join("xtask/Cargo.toml").is_file());
        assert!(workspace.bpf().debian_packages.iter().any(|name| name == "rustc-web"));
        assert_eq!(workspace.targets("xtask", "bin").len(), 1);
    }
}
