//! Kernel modules: those that checks need and those that these depend on, decompressed, in loading order.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// What the checks need, where the kernel does not have it built in.
const WANTED: &[&str] = &[
    "crc32c_generic",
    "veth",
    "bridge",
    "tun",
    "dummy",
    "8021q",
    "sch_ingress",
    "cls_bpf",
    "cls_u32",
    "act_mirred",
    "act_gact",
    "inet_diag",
    "tcp_diag",
    "virtio_pci",
    "virtio_net",
    "e1000e",
    "igb",
    "vmxnet3",
];

/// Fills `target` with the wanted modules of an unpacked kernel package, named by their place in the loading order.
pub(super) fn unpack(unpacked: &Path, target: &Path) -> Result<()> {
    fs::create_dir_all(target)?;
    let files: BTreeMap<String, PathBuf> = find(unpacked, &|name| name.contains(".ko"))
        .into_iter()
        .map(|file| (module_name(&file.file_name().unwrap_or_default().to_string_lossy()), file))
        .collect();
    let mut loaded = Vec::new();
    for wanted in WANTED {
        add(wanted, &files, target, &mut loaded)?;
    }
    Ok(())
}

/// Adds a module behind those it depends on; one without a file is built in, or this kernel has no such thing.
fn add(name: &str, files: &BTreeMap<String, PathBuf>, target: &Path, loaded: &mut Vec<String>) -> Result<()> {
    let Some(file) = files.get(name) else { return Ok(()) };
    if loaded.iter().any(|known| known == name) {
        return Ok(());
    }
    let bytes = decompressed(file)?;
    for needed in depends(&bytes) {
        add(&needed, files, target, loaded)?;
    }
    fs::write(target.join(format!("{:03}-{name}.ko", loaded.len())), bytes)?;
    loaded.push(name.to_owned());
    Ok(())
}

fn module_name(file: &str) -> String {
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

fn decompressed(file: &Path) -> Result<Vec<u8>> {
    let program = match file.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(file).with_context(|| format!("reading {}", file.display())),
    };
    let mut command = Command::new(program);
    command.args(["--decompress", "--stdout", "--quiet"]).stdin(File::open(file)?).stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("{program} cannot decompress {}", file.display());
    }
    Ok(output.stdout)
}

/// What a module says of itself, `depends=llc,stp`.
fn depends(module: &[u8]) -> Vec<String> {
    let mark = b"\0depends=";
    let Some(at) = module.windows(mark.len()).position(|window| window == mark) else { return Vec::new() };
    let text = module[at + mark.len()..].split(|&byte| byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    text.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

/// Files under `folder` whose names `is_wanted`.
pub(super) fn find(folder: &Path, is_wanted: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(find(&path, is_wanted));
        } else if is_wanted(&entry.file_name().to_string_lossy()) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_the_module() {
        assert_eq!(depends(b"\x7fELF..\0license=GPL\0depends=stp,llc-x\0name=bridge\0"), ["stp", "llc_x"]);
        assert_eq!(depends(b"\0depends=\0"), [""; 0]);
        assert_eq!(module_name("act-mirred.ko.xz"), "act_mirred");
    }
}
