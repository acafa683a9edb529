//! Capabilities: what this process may do, the effective capabilities, read from `/proc/self/status`.

use std::fs;

const NET_ADMIN: u32 = 12;
const SYS_ADMIN: u32 = 21;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// Whether this is root (of whatever user namespace).
pub(crate) fn is_root() -> bool {
    field(&status(), "Uid:").and_then(|ids| ids.split_whitespace().nth(1).map(|id| id == "0")).unwrap_or(false)
}

/// Nothing, when XDP programs can be loaded and attached; otherwise which capabilities are lacking.
pub(crate) fn lacking_for_bpf() -> Option<String> {
    let status = status();
    lacking(field(&status, "CapEff:").and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0))
}

fn lacking(effective: u64) -> Option<String> {
    let has = |bit: u32| effective >> bit & 1 == 1;
    let mut names = Vec::new();
    if !has(NET_ADMIN) {
        names.push("CAP_NET_ADMIN");
    }
    if !has(SYS_ADMIN) && !has(BPF) {
        names.push("CAP_BPF");
    }
    if !has(SYS_ADMIN) && !has(PERFMON) {
        names.push("CAP_PERFMON");
    }
    (!names.is_empty()).then(|| names.join(", "))
}

fn status() -> String {
    fs::read_to_string("/proc/self/status").unwrap_or_default()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_mask() {
        assert_eq!(lacking(0x0000_01ff_feff_ffff), None);
        assert_eq!(lacking(0).unwrap(), "CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON");
        assert_eq!(lacking(1 << NET_ADMIN | 1 << SYS_ADMIN), None);
        assert_eq!(lacking(1 << NET_ADMIN | 1 << BPF).unwrap(), "CAP_PERFMON");
    }

    #[test]
    fn fields_are_found_by_name() {
        assert_eq!(field("Name:\tx\nCapEff:\t00ff\n", "CapEff:"), Some("00ff"));
        assert_eq!(field("Name:\tx\n", "CapEff:"), None);
    }
}
