//! `setup`: brings in what building and testing need, and nothing when all is there.
//!
//! The BPF toolchain is Debian's (packages by apt-get, `bpf-linker` built into `target/tools`) unless rustup's nightly
//! is already complete. What cannot be installed from here is printed as commands to run by hand.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    caps, daemons, sh,
    toolchain::{self, Toolchain},
    workspace::Workspace,
};

/// How much is wanted.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(crate) enum Scope {
    /// What `build` needs.
    Toolchain,
    /// And the programs that tests call.
    All,
    /// And the real programs that the zoo plays.
    Zoo,
}

/// What is not here yet.
#[derive(Default)]
struct Missing {
    packages: Vec<String>,
    linker: Option<String>,
    notes: Vec<String>,
}

impl Missing {
    fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.linker.is_none()
    }
}

/// The subcommand.
pub(crate) fn setup(workspace: &Workspace, check: bool) -> Result<()> {
    if check {
        let missing = look(workspace, Scope::Zoo);
        missing.notes.iter().for_each(sh::say);
        if !missing.is_empty() {
            bail!("not complete; `cargo xtask setup` installs it, or by hand:\n{}", by_hand(workspace, &missing));
        }
        return Ok(());
    }
    ensure(workspace, Scope::Zoo)
}

/// Installs what is missing within `scope`; says so. Silent and quick when nothing is.
pub(crate) fn ensure(workspace: &Workspace, scope: Scope) -> Result<()> {
    let missing = look(workspace, scope);
    if missing.is_empty() {
        if scope >= Scope::All {
            missing.notes.iter().for_each(sh::say);
        }
        return Ok(());
    }
    missing.notes.iter().for_each(sh::say);
    if let Err(cause) = install(workspace, &missing) {
        bail!("setup: {cause:#}\nby hand it is:\n{}", by_hand(workspace, &missing));
    }
    let rest = look(workspace, scope);
    if !rest.is_empty() {
        bail!("installed, and still not complete:\n  {}", rest.notes.join("\n  "));
    }
    sh::say("setup: complete");
    Ok(())
}

fn look(workspace: &Workspace, scope: Scope) -> Missing {
    let mut missing = Missing::default();
    match Toolchain::find(workspace) {
        Ok(found) => missing.notes.push(format!("BPF toolchain: {}", found.described())),
        Err(lack) => {
            let bpf = workspace.bpf();
            missing.notes.push(format!("BPF toolchain: {lack:#}"));
            missing.packages = toolchain::lacking_packages(&bpf.debian_packages);
            missing.linker =
                toolchain::linker_is(&toolchain::own_linker(workspace), &bpf.linker).err().map(|e| e.to_string());
        }
    }
    if missing.linker.is_some() {
        let linking = [("cc", &["gcc", "libc6-dev"][..]), ("c++", &["g++"][..])];
        let absent = linking.iter().filter(|(program, _)| sh::on_path(program).is_none());
        missing.packages.extend(absent.flat_map(|(_, packages)| packages.iter().map(|&name| name.to_owned())));
    }
    if scope >= Scope::All {
        let bpf = workspace.bpf();
        let mut tools = vec![("test tools", &bpf.test_packages), ("tools of virtual machines", &bpf.vm_packages)];
        if scope == Scope::Zoo {
            tools.push(("programs of the zoo", &bpf.zoo_packages));
        }
        for (what, packages) in tools {
            let absent: Vec<String> = packages.iter().filter(|p| !is_usable(p)).cloned().collect();
            missing.notes.push(match &absent[..] {
                [] => format!("{what}: {}", packages.join(" ")),
                absent => format!("{what}: missing {}", absent.join(" ")),
            });
            missing.packages.extend(absent);
        }
        missing.packages.sort();
        missing.packages.dedup();
    }
    missing
}

/// A tool counts by its program, however it came here.
pub(crate) fn is_usable(package: &str) -> bool {
    let program = match package {
        // Debian's own, which sees Debian's modules.
        "python3" => return Path::new("/usr/bin/python3").is_file(),
        module if module.starts_with("python3-") => {
            return Path::new("/usr/lib/python3/dist-packages").join(&module["python3-".len()..]).is_dir();
        }
        "postgresql" => return Path::new("/usr/lib/postgresql").is_dir(),
        "apache2-bin" => "apache2",
        "apache2-utils" => "ab",
        "dsniff" => "tcpkill",
        "netcat-openbsd" => "nc",
        "nftables" => "nft",
        "nginx-light" => "nginx",
        "nodejs" => "node",
        "openssh-client" => "ssh",
        "openssh-server" => "sshd",
        "procps" => "sysctl",
        "iproute2" => "ip",
        "qemu-system-x86" => "qemu-system-x86_64",
        "util-linux" => "setpriv",
        "xz-utils" => "xz",
        other => other,
    };
    sh::on_path(program).is_some()
}

fn install(workspace: &Workspace, missing: &Missing) -> Result<()> {
    if !missing.packages.is_empty() {
        install_packages(&missing.packages)?;
    }
    if let Some(reason) = &missing.linker {
        sh::step(format_args!("building bpf-linker, about a minute ({reason})"));
        sh::run(&mut linker_build(workspace))?;
        // What was compiled on the way to it is of no further use.
        drop(fs::remove_dir_all(workspace.tools().join("build")));
    }
    Ok(())
}

fn install_packages(packages: &[String]) -> Result<()> {
    if sh::on_path("apt-get").is_none() {
        bail!("this system has no apt-get to install {}", packages.join(" "));
    }
    if !caps::is_root() {
        bail!("only root can install {}", packages.join(" "));
    }
    sh::step(format_args!("apt-get: {}", packages.join(" ")));
    sh::run(&mut apt_get(&["update", "--quiet"])).context("reading the package lists")?;
    let silence = daemons::Silence::impose()?;
    let mut install = apt_get(&["install", "--quiet", "--yes", "--no-install-recommends"]);
    sh::run(install.args(packages)).context("installing packages")?;
    drop(silence);
    daemons::disable(packages);
    Ok(())
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(["-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120"]).args(arguments);
    // Its chatter is talk, too: stdout is ours.
    command.env("DEBIAN_FRONTEND", "noninteractive").stdout(std::io::stderr());
    sh::without_our_cargo(&mut command);
    command
}

fn linker_build(workspace: &Workspace) -> Command {
    let bpf = workspace.bpf();
    let features = bpf.linker_features.join(",");
    let mut command = workspace.cargo(&["install", "bpf-linker", "--version", &bpf.linker, "--locked", "--force"]);
    command.args(["--quiet", "--no-default-features", "--features", &features, "--root", "target/tools"]);
    command.args(["--target-dir", "target/tools/build"]);
    command.env(&bpf.llvm_prefix_variable, &bpf.llvm_prefix);
    command
}

fn by_hand(workspace: &Workspace, missing: &Missing) -> String {
    let mut lines = Vec::new();
    if !missing.packages.is_empty() {
        lines.push("  apt-get update   # as root, like the next".to_owned());
        lines.push(format!("  apt-get install --no-install-recommends {}", missing.packages.join(" ")));
    }
    if missing.linker.is_some() {
        let bpf = workspace.bpf();
        lines.push(format!(
            "  {}={} cargo install bpf-linker --version {} --locked --force --no-default-features --features {} --root target/tools",
            bpf.llvm_prefix_variable,
            bpf.llvm_prefix.display(),
            bpf.linker,
            bpf.linker_features.join(","),
        ));
        lines.push("or, instead of Debian's compiler:".to_owned());
        lines.push("  rustup toolchain install nightly --profile minimal --component rust-src".to_owned());
        lines.push("  and a bpf-linker on PATH whose LLVM is at least as new as that of nightly".to_owned());
    }
    lines.join("\n")
}
