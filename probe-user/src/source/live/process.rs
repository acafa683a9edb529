//! The process that reset a connection: its name, number and control group, as far as they are still there to be read.

use std::fs;

use crate::lifecycle::Process;

/// From what the program has kept of it; `None` without a process (timers, soft interrupts).
pub(super) fn of(pid: u32, comm: [u64; 2]) -> Option<Process> {
    if pid == 0 {
        return None;
    }
    let bytes: Vec<u8> = comm.iter().flat_map(|word| word.to_le_bytes()).take_while(|&byte| byte != 0).collect();
    let name = String::from_utf8_lossy(&bytes).into_owned();
    // Of a process that has ended meanwhile there is none any more.
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok().and_then(|text| path(&text));
    Some(Process { pid, name, cgroup })
}

/// The path in the unified hierarchy (cgroups(7)), the root aside.
fn path(text: &str) -> Option<String> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    (path != "/").then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_at_the_first_zero() {
        let comm = [u64::from_le_bytes(*b"nginx\0ab"), 0];
        let found = of(u32::MAX, comm).expect("a process");
        assert_eq!((found.name.as_str(), found.pid, found.cgroup), ("nginx", u32::MAX, None));
        assert_eq!(of(0, comm), None);
    }

    #[test]
    fn the_root_is_no_group() {
        assert_eq!(path("1:cpu:/x\n0::/system.slice/nginx.service\n").as_deref(), Some("/system.slice/nginx.service"));
        assert_eq!(path("0::/\n"), None);
    }
}
