//! `build`: the BPF object, then the program that embeds it.
//!
//! The object is copied to `target/bpf/rstprobe.o` only when its bytes changed: `probe-user` watches that file, and must
//! not be compiled again for nothing. Knows how the compilers are called, not where they come from.

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

/// The subcommand: object and program. Returns where the program is.
pub(crate) fn build(workspace: &Workspace, debug: bool) -> Result<PathBuf> {
    build_object(workspace)?;
    sh::step(format_args!("rstprobe ({})", if debug { "debug" } else { "release" }));
    let mut cargo = workspace.cargo(&["build", "--locked", "--package", "probe-user"]);
    if !debug {
        cargo.arg("--release");
    }
    sh::run(&mut cargo)?;
    let binary = workspace.binary(if debug { "debug" } else { "release" });
    sh::say(format_args!("built {}", binary.display()));
    Ok(binary)
}

/// Builds the object with whichever toolchain is here, installing one when none is.
pub(crate) fn build_object(workspace: &Workspace) -> Result<Toolchain> {
    setup::ensure(workspace, Scope::Toolchain)?;
    let toolchain = Toolchain::find(workspace)?;
    sh::step(format_args!("BPF object, with {}", toolchain.described()));
    sh::say(
        "    (two warnings on unstable target features are to be expected: the compiler knows no way to silence them)",
    );
    compile(workspace, &toolchain, PROGRAM, &workspace.object())?;
    Ok(toolchain)
}

/// Builds what the benchmarks need in the kernel beside the program; nothing embeds it. Returns where it is.
pub(crate) fn build_bench_object(workspace: &Workspace) -> Result<PathBuf> {
    setup::ensure(workspace, Scope::Toolchain)?;
    let toolchain = Toolchain::find(workspace)?;
    sh::step("BPF object of the benchmarks");
    let object = workspace.object().with_file_name("bench.o");
    compile(workspace, &toolchain, BENCH, &object)?;
    Ok(object)
}

fn compile(workspace: &Workspace, toolchain: &Toolchain, program: &str, object: &Path) -> Result<()> {
    let mut cargo = toolchain.cargo();
    cargo
        .args(["build", "--locked", "--release", "-Z", "build-std=core", "--target", TARGET])
        .args(["--package", "probe-ebpf", "--features", "kernel", "--bin", program])
        .env("CARGO_TARGET_DIR", workspace.bpf_target())
        .env("CARGO_ENCODED_RUSTFLAGS", flags(toolchain.linker()))
        .current_dir(workspace.root());
    sh::run(&mut cargo)?;
    let built = workspace.bpf_target().join(TARGET).join("release").join(program);
    if copy_if_changed(&built, object)? {
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
