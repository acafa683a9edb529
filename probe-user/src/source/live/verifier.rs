//! The verifier's log: which of its lines says why a program was refused.
//!
//! At the level that aya asks for by default a log holds every instruction that was looked at: megabytes, and a minute of
//! repeated loads until all of it has room. [`LOG_LEVEL`] leaves the complaints and the statistics.

use aya::VerifierLogLevel;

/// Statistics only. Complaints are logged at every level; instructions and states at the others
/// (kernel/bpf/verifier.c: `verbose` against `BPF_LOG_LEVEL`). Level 0 is no choice: with it and a buffer, which aya
/// passes after a first refusal, the kernel answers EINVAL whatever the cause.
pub(super) const LOG_LEVEL: VerifierLogLevel = VerifierLogLevel::STATS;

/// The first line that is neither instruction, state, source line nor statistics.
pub(super) fn first_complaint(log: &str) -> Option<&str> {
    log.lines().map(str::trim).find(|line| !line.is_empty() && !is_dump(line) && !is_statistics(line))
}

/// What the verifier counts at the end.
const STATISTICS: [&str; 6] =
    ["processed ", "verification time ", "stack depth ", "max_states_per_insn", "insns processed", "mark_read"];

fn is_statistics(line: &str) -> bool {
    STATISTICS.iter().any(|start| line.starts_with(start))
}

/// What the verifier says of its progress.
const PROGRESS: [&str; 18] = [
    ";",
    "func#",
    "Func#",
    "from ",
    "to caller at",
    "caller",
    "callee",
    "returning from callee",
    "last_idx",
    "first_idx",
    "parent ",
    "regs=",
    "mark_precise",
    "propagating ",
    "safe",
    "frame",
    "Live regs before insn",
    "Validating ",
];

/// `12: (bf) r6 = r1`, `R0=inv1 R10=fp0`, and what is said between.
fn is_dump(line: &str) -> bool {
    let number = line.chars().take_while(char::is_ascii_digit).count();
    if number > 0 && line[number..].starts_with(':') {
        return true;
    }
    // Of a register: `R1=`, `R1_w=`; a complaint about one has a blank: `R5 offset is outside of the packet`.
    if let Some(rest) = line.strip_prefix('R') {
        let digits = rest.chars().take_while(char::is_ascii_digit).count();
        if digits > 0 && rest[digits..].starts_with(['=', '_']) {
            return true;
        }
    }
    PROGRESS.iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_complaint_is_found_between_dump_and_statistics() {
        // Linux 6.1, log level 1 and 4; the object of a version that it refused.
        let log = "func#0 @0\n0: R1=ctx(off=0,imm=0) R10=fp0\n; let home = hash(key);\n0: (bf) r6 = r1                       \
                   ; R1=ctx(off=0,imm=0) R6_w=ctx(off=0,imm=0)\nfrom 12 to 14: R0=inv0 R6=ctx(off=0,imm=0)\n\
                   413: (0f) r2 += r1\nlast_idx 413 first_idx 401\nregs=2 stack=0 before 412: (57) r1 &= 15\n\
                   math between map_value pointer and register with unbounded min value is not allowed\n\
                   verification time 48211 usec\nstack depth 424+0\n\
                   processed 4821 insns (limit 1000000) max_states_per_insn 4 total_states 310 peak_states 310 mark_read 57\n";
        assert_eq!(
            first_complaint(log),
            Some("math between map_value pointer and register with unbounded min value is not allowed")
        );
    }

    #[test]
    fn registers_may_complain() {
        let log = "invalid access to packet, off=0 size=1, R5(id=61,off=0,r=0)\nR5 offset is outside of the packet\n";
        assert_eq!(first_complaint(log), log.lines().next());
        assert_eq!(
            first_complaint("R2 unbounded memory access, make sure to bounds check any such access\nprocessed 9 insns"),
            Some("R2 unbounded memory access, make sure to bounds check any such access")
        );
        assert_eq!(
            first_complaint("R0=inv(id=0) R10=fp0\nR1_w=inv3\nunknown func bpf_xdp_get_buff_len#188\n"),
            Some("unknown func bpf_xdp_get_buff_len#188")
        );
        assert_eq!(
            first_complaint("BPF program is too large. Processed 1000001 insn\nverification time 3 usec\n"),
            Some("BPF program is too large. Processed 1000001 insn")
        );
    }

    #[test]
    fn statistics_alone_are_no_complaint() {
        assert_eq!(
            first_complaint("verification time 60 usec\nstack depth 0\nprocessed 2 insns (limit 1000000)\n"),
            None
        );
        assert_eq!(first_complaint(""), None);
    }
}
