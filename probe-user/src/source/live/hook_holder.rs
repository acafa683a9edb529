//! Hook holder: whether it is another rstprobe that has an interface's XDP hook, which process that is, and what to do then.
//!
//! The process is who has a descriptor of the link (proc_pid_fdinfo(5)); of another PID namespace none is seen.

use std::fs;

use aya::programs::loaded_links;

use super::{LiveError, netdev::XdpHolder};

/// Names of all XDP programs of rstprobe's begin like this.
const XDP_PROGRAMS: &str = "rstprobe";

/// An rstprobe that has the hook.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rival {
    /// It runs, under this process id where that can be seen.
    Running(Option<u32>),
    /// Its program is attached without a link: nobody owns it.
    Gone,
}

/// Whether it is an rstprobe; `None` for other programs, and for those whose name we may not see.
pub fn rival(holder: &XdpHolder) -> Option<Rival> {
    if !is_ours(holder) {
        return None;
    }
    Some(if is_linked(holder.program_id) { Rival::Running(process_of(holder.program_id)) } else { Rival::Gone })
}

/// By the name of its program.
pub(super) fn is_ours(holder: &XdpHolder) -> bool {
    holder.program_name.as_ref().is_some_and(|name| name.starts_with(XDP_PROGRAMS))
}

/// Whether the program is attached by any link; those who may not ask learn it from the kernel when they try to remove it.
pub(super) fn is_linked(program: u32) -> bool {
    loaded_links().filter_map(Result::ok).any(|link| link.program_id() == program)
}

/// Who has the hook, and what to do.
pub fn refusal(name: &str, holder: &XdpHolder) -> LiveError {
    let (name, taken_by) = (name.to_owned(), holder.to_string());
    match rival(holder) {
        None => LiveError::HookTaken { name, holder: taken_by },
        Some(rival) => LiveError::HookOfRival { whose: rival.words(), step: rival.step(&name), name, holder: taken_by },
    }
}

impl Rival {
    /// Who that is.
    pub fn words(self) -> String {
        match self {
            Self::Running(Some(pid)) => format!("another rstprobe, pid {pid}"),
            Self::Running(None) => "another rstprobe, whose process is not seen from here".to_owned(),
            Self::Gone => "an rstprobe that no longer runs".to_owned(),
        }
    }

    /// What to do about it.
    pub fn step(self, interface: &str) -> String {
        match self {
            Self::Running(Some(pid)) => {
                format!("wait for it, or end it by `kill -INT {pid}` (it then prints what it has measured)")
            }
            Self::Running(None) => {
                "end it where it runs, perhaps in a container (`bpftool link` shows pids there)".to_owned()
            }
            Self::Gone => format!("`rstprobe detach -i {interface}` removes it"),
        }
    }
}

/// The lowest process id of an rstprobe that has a link of this program: others may have opened it as well. What may not be
/// read is another's.
fn process_of(program: u32) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut processes: Vec<u32> = processes.collect();
    processes.sort_unstable();
    processes.into_iter().find(|pid| is_rstprobe(*pid) && has_link(*pid, program))
}

/// By the name of its program, of which the kernel keeps 15 characters.
fn is_rstprobe(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("rstprobe"))
}

fn has_link(pid: u32, program: u32) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return false };
    descriptors.flatten().any(|one| fs::read_to_string(one.path()).is_ok_and(|info| is_link_of(&info, program)))
}

/// Whether this is about a link to the program; about the program itself it says `prog_id`, too, and no `link_id`.
fn is_link_of(fdinfo: &str, program: u32) -> bool {
    let field = |name: &str| fdinfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    field("link_id").is_some() && field("prog_id").and_then(|id| id.parse().ok()) == Some(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_told_from_its_program() {
        let link = "pos:\t0\nflags:\t02000000\nmnt_id:\t15\nlink_type:\txdp\nlink_id:\t9\nprog_tag:\tab\nprog_id:\t71\nifindex:\t3\n";
        assert!(is_link_of(link, 71) && !is_link_of(link, 7));
        assert!(!is_link_of("prog_type:\t6\nprog_tag:\tab\nmemlock:\t4096\nprog_id:\t71\n", 71));
        assert!(!is_link_of("", 71));
    }

    #[test]
    fn other_programs_are_no_rivals_and_each_rival_has_its_step() {
        let holder = |name: Option<&str>| XdpHolder {
            mode: "native",
            program_id: u32::MAX,
            program_name: name.map(str::to_owned),
        };
        for name in [None, Some("cil_xdp"), Some("my_rstprobe")] {
            assert_eq!(rival(&holder(name)), None, "{name:?}");
        }
        // No link has a program of that number.
        assert_eq!(rival(&holder(Some("rstprobe_frags"))), Some(Rival::Gone));
        let text = refusal("eth0", &holder(Some("rstprobe"))).to_string();
        assert!(text.contains("of an rstprobe that no longer runs; `rstprobe detach -i eth0` removes it"), "{text}");
        assert!(Rival::Running(Some(12)).step("eth0").contains("`kill -INT 12`"));
    }
}
