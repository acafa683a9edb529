//! Memory of a process.

use std::{fs, io};

/// Resident bytes of a process, or of this one.
///
/// # Errors
/// When `/proc` does not say.
pub fn resident(process: Option<u32>) -> io::Result<u64> {
    let path = process.map_or_else(|| "/proc/self/status".to_string(), |id| format!("/proc/{id}/status"));
    let status = fs::read_to_string(path)?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    let kilobytes: Option<u64> = kilobytes.and_then(|text| text.trim().parse().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| io::Error::other("no VmRSS"))
}

/// Bytes that can still be had without swapping.
///
/// # Errors
/// When `/proc` does not say.
pub fn available() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB"));
    let kilobytes: Option<u64> = kilobytes.and_then(|text| text.trim().parse().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| io::Error::other("no MemAvailable"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_has_some() {
        assert!(super::resident(None).expect("Linux") > 100_000);
        assert!(super::available().expect("Linux") > 100_000);
    }
}
