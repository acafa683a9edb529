//! Embeds the BPF object that `cargo xtask build` made, or nothing, so that `cargo check`, the pure tests and reading
//! captures need no BPF toolchain. A binary without the object says so when it is asked to attach.

use std::{env, fs, path::Path};

fn main() {
    let name = if env::var_os("CARGO_FEATURE_TRACE").is_some() { "rstprobe-trace.o" } else { "rstprobe.o" };
    let object = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../target/bpf").join(name);
    let embedded = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("rstprobe.o");
    println!("cargo::rerun-if-changed={}", object.display());
    if object.exists() {
        fs::copy(&object, &embedded).expect("the object can be copied into OUT_DIR");
    } else {
        fs::write(&embedded, []).expect("OUT_DIR is writable");
    }
}
