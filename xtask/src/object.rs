//! `build`: the BPF object, then the program that embeds it.
//!
//! The object is copied to `target/bpf/rstprobe.o` only when its bytes changed: `probe-user` watches that file, and must
//! not be compiled again for nothing. Beside it lies, when it was asked for, the object that logs (feature `trace`).
//! Knows how the compilers are called, not where they come from.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    setup::{self, Scope},
    sh,
    toolchain::Toolchain,
    workspace::Workspace,
};

const TARGET: &str = "bpfel-unknown-none";
const PROGRAM: &str = "rstprobe-xdp";
const BENCH: &str = "rstprobe-bench";

/// Which object, and which program around it.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Variant {
    /// As it ships.
    Plain,
    /// With a log of rejected frames.
    Traced,
    /// What the benchmarks need in the kernel beside the program; nothing embeds it.
    Bench,
}

impl Variant {
    fn object_features(self) -> &'static str {
        match self {
            Self::Plain | Self::Bench => "kernel",
            Self::Traced => "kernel,trace",
        }
    }

    fn target(self) -> &'static str {
        if self == Self::Bench { BENCH } else { PROGRAM }
    }

    /// Where `probe-user`, or the benchmarks, look for the object.
    pub(crate) fn object(self, workspace: &Workspace) -> PathBuf {
        workspace.bpf_target().join(match self {
            Self::Plain => "rstprobe.o",
            Self::Traced => "rstprobe-trace.o",
            Self::Bench => "bench.o",
        })
    }
}

/// The subcommand: object and program. Returns where the program is.
pub(crate) fn build(workspace: &Workspace, debug: bool) -> Result<PathBuf> {
    build_object(workspace, Variant::Plain)?;
    build_program(workspace, debug, Variant::Plain)?;
    let binary = workspace.binary(profile(debug));
    sh::say(format_args!("built {}", binary.display()));
    Ok(binary)
}

/// The subcommand with `--trace`: object and program that log, as `rstprobe-trace` beside the plain program, which is
/// built, too. Returns where it is.
pub(crate) fn build_traced(workspace: &Workspace, debug: bool) -> Result<PathBuf> {
    build_object(workspace, Variant::Traced)?;
    build_program(workspace, debug, Variant::Traced)?;
    let (built, traced) = (workspace.binary(profile(debug)), workspace.traced_binary(profile(debug)));
    fs::copy(&built, &traced).with_context(|| format!("copying {} to {}", built.display(), traced.display()))?;
    // Cargo knows one name for both: with the plain one last, `rstprobe` is what everybody expects.
    build(workspace, debug)?;
    sh::say(format_args!("built {}", traced.display()));
    Ok(traced)
}

fn profile(debug: bool) -> &'static str {
    if debug { "debug" } else { "release" }
}

fn build_program(workspace: &Workspace, debug: bool, variant: Variant) -> Result<()> {
    let traced = variant == Variant::Traced;
    sh::step(format_args!("rstprobe ({}{})", profile(debug), if traced { ", trace" } else { "" }));
    let mut cargo = workspace.cargo(&["build", "--locked", "--package", "probe-user"]);
    cargo.args(if debug { None } else { Some("--release") });
    cargo.args(if traced { &["--features", "trace"][..] } else { &[] });
    sh::run(&mut cargo)
}

/// Builds the object with whichever toolchain is here, installing one when none is.
pub(crate) fn build_object(workspace: &Workspace, variant: Variant) -> Result<Toolchain> {
    setup::ensure(workspace, Scope::Toolchain)?;
    let toolchain = Toolchain::find(workspace)?;
    sh::step(format_args!("BPF object, with {}", toolchain.described()));
    sh::say(
        "    (two warnings on unstable target features are to be expected: the compiler knows no way to silence them)",
    );
    compile(workspace, &toolchain, variant)?;
    Ok(toolchain)
}

fn compile(workspace: &Workspace, toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let program = variant.target();
    let mut cargo = toolchain.cargo();
    cargo
        .args(["build", "--locked", "--release", "-Z", "build-std=core", "--target", TARGET])
        .args(["--package", "probe-ebpf", "--features", variant.object_features(), "--bin", program])
        .env("CARGO_TARGET_DIR", workspace.bpf_target())
        .env("CARGO_ENCODED_RUSTFLAGS", flags(toolchain.linker()))
        .current_dir(workspace.root());
    sh::run(&mut cargo)?;
    let built = workspace.bpf_target().join(TARGET).join("release").join(program);
    let object = variant.object(workspace);
    if copy_if_changed(&built, &object)? {
        sh::say(format_args!("new object {}", object.display()));
    }
    Ok(())
}

/// Debug information becomes BTF; alu32 and v3 are what every kernel since 5.1 runs; frames are read unaligned.
fn flags(linker: &Path) -> String {
    [
        "-Cdebuginfo=2",
        "-Clink-arg=--btf",
        "-Ctarget-cpu=v3",
        "-Ctarget-feature=+allows-misaligned-mem-access,+alu32",
        &format!("-Clinker={}", linker.display()),
    ]
    .join("\x1f")
}

fn copy_if_changed(from: &Path, to: &Path) -> Result<bool> {
    let new = fs::read(from).with_context(|| format!("the compiler left no {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(false);
    }
    // By rename, so that nobody ever reads half an object.
    let half = to.with_extension("o.new");
    fs::write(&half, new).with_context(|| format!("writing {}", half.display()))?;
    fs::rename(&half, to).with_context(|| format!("writing {}", to.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_object_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("xtask-object-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (from, to) = (folder.join("from"), folder.join("to.o"));
        fs::write(&from, "one").unwrap();
        assert!(copy_if_changed(&from, &to).unwrap());
        let before = fs::metadata(&to).unwrap().modified().unwrap();
        assert!(!copy_if_changed(&from, &to).unwrap());
        assert_eq!(fs::metadata(&to).unwrap().modified().unwrap(), before);
        fs::write(&from, "two").unwrap();
        assert!(copy_if_changed(&from, &to).unwrap());
        assert_eq!(fs::read_to_string(&to).unwrap(), "two");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_linker_is_the_last_flag() {
        assert!(flags(Path::new("/t/bpf-linker")).ends_with("\x1f-Clinker=/t/bpf-linker"));
    }
}
