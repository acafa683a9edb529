//! Frame accounting: counters of received, recorded and rejected frames, and the check that they balance.

use probe_ebpf::{
    layout::{EpochCounters, FlagCounts, ICMP_QUOTES, REJECT_REASONS},
    parse::Reject,
};

/// Sums over CPUs and epochs, and the part that was handed to the tracker.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Accounting {
    /// Frames the program was called for.
    pub frames: u64,
    /// Bytes of those frames.
    pub frame_bytes: u64,
    /// Of `frames`, those of interfaces and queues that found no row of their own (more than a CPU has rows).
    pub queueless_frames: u64,
    /// Frames with a readable TCP header.
    pub tcp: u64,
    /// Segments among `tcp` whose frame ends before their packet does: cropped by a mirror. They count with the lengths that
    /// their IP headers say.
    pub cropped: u64,
    /// Data segments that depth `control` does not record.
    pub passed_by: u64,
    /// Segments counted in slots.
    pub in_slots: u64,
    /// Segments whose only trace is a log entry.
    pub logged: u64,
    /// Control segments that are only counted by flag: neither slot nor log had room.
    pub untracked: u64,
    /// Data segments that found no slot.
    pub untracked_data: u64,
    /// Segments counted in a slot whose verbatim copy found no room.
    pub order_lost: u64,
    /// Times a bucket was full although slots were free.
    pub bucket_full: u64,
    /// All flags seen.
    pub seen: FlagCounts,
    /// Flags of `logged`.
    pub logged_flags: FlagCounts,
    /// Flags of `untracked`.
    pub untracked_flags: FlagCounts,
    /// Frames that are not readable TCP, by [`Reject`]; and at [`ICMP_QUOTES`], those of [`Self::icmp_errors`].
    pub rejected: [u64; REJECT_REASONS],
    /// Segments in the slots that the agent read.
    pub drained: u64,
    /// Flags in the slots that the agent read.
    pub drained_flags: FlagCounts,
    /// Uncounted log entries that the agent read.
    pub drained_log: u64,
    /// ICMP errors in the log that the agent read.
    pub drained_icmp: u64,
    /// Epochs drained.
    pub epochs: u64,
    /// Openings that were refused room: counted by flag and by service ([`super::services`]).
    pub flooded: u64,
    /// Flags of `flooded`.
    pub flooded_flags: FlagCounts,
    /// Of `flooded`, those that were found again when their flow showed more, and were handed over after all.
    pub claimed: u64,
    /// Flags of `claimed`.
    pub claimed_flags: FlagCounts,
    /// Data segments that were refused a slot (depth `auto`).
    pub shed: u64,
    /// Epochs of a CPU in which something was shed.
    pub shed_epochs: u64,
    /// What is counted by service differs by so much from what is counted by flag: 0 unless there is a bug.
    pub charge_difference: u64,
    /// What is counted by queue differs by so much from what is counted of all: 0 unless there is a bug.
    pub queue_difference: u64,
}

pub(super) fn add_flags(sum: &mut FlagCounts, other: &FlagCounts) {
    sum.syn += other.syn;
    sum.syn_ack += other.syn_ack;
    sum.fin += other.fin;
    sum.rst += other.rst;
}

impl Accounting {
    /// Adds what one CPU wrote in one epoch.
    pub fn add_cpu(&mut self, cpu: &EpochCounters) {
        self.frames += cpu.all_frames();
        self.frame_bytes += cpu.frame_bytes;
        self.queueless_frames += cpu.rowless_frames;
        self.tcp += cpu.tcp + cpu.passed_fast;
        self.cropped += u64::from(cpu.cropped);
        self.passed_by += cpu.passed_by + cpu.passed_fast;
        self.in_slots += cpu.in_slots;
        self.logged += cpu.logged;
        self.untracked += cpu.untracked;
        self.untracked_data += cpu.untracked_data;
        self.order_lost += cpu.order_lost;
        self.bucket_full += cpu.bucket_full;
        add_flags(&mut self.seen, &cpu.seen);
        add_flags(&mut self.logged_flags, &cpu.logged_flags);
        add_flags(&mut self.untracked_flags, &cpu.untracked_flags);
        self.flooded += cpu.flooded;
        add_flags(&mut self.flooded_flags, &cpu.flooded_flags);
        self.shed += cpu.shed;
        self.shed_epochs += u64::from(cpu.shed > 0);
        for (sum, value) in self.rejected.iter_mut().zip(&cpu.rejected) {
            *sum += value;
        }
    }

    /// Adds other books to these.
    pub fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.frame_bytes += other.frame_bytes;
        self.queueless_frames += other.queueless_frames;
        self.tcp += other.tcp;
        self.cropped += other.cropped;
        self.passed_by += other.passed_by;
        self.in_slots += other.in_slots;
        self.logged += other.logged;
        self.untracked += other.untracked;
        self.untracked_data += other.untracked_data;
        self.order_lost += other.order_lost;
        self.bucket_full += other.bucket_full;
        add_flags(&mut self.seen, &other.seen);
        add_flags(&mut self.logged_flags, &other.logged_flags);
        add_flags(&mut self.untracked_flags, &other.untracked_flags);
        for (sum, value) in self.rejected.iter_mut().zip(&other.rejected) {
            *sum += value;
        }
        self.drained += other.drained;
        add_flags(&mut self.drained_flags, &other.drained_flags);
        self.drained_log += other.drained_log;
        self.drained_icmp += other.drained_icmp;
        self.epochs += other.epochs;
        self.flooded += other.flooded;
        add_flags(&mut self.flooded_flags, &other.flooded_flags);
        self.claimed += other.claimed;
        add_flags(&mut self.claimed_flags, &other.claimed_flags);
        self.shed += other.shed;
        self.shed_epochs += other.shed_epochs;
        self.charge_difference += other.charge_difference;
        self.queue_difference += other.queue_difference;
    }

    /// Frames rejected for `reason`.
    pub fn rejected_for(&self, reason: Reject) -> u64 {
        self.rejected[reason as usize]
    }

    /// ICMP errors that quote a TCP segment.
    pub fn icmp_errors(&self) -> u64 {
        self.rejected[ICMP_QUOTES]
    }

    /// Of those, the ones that found no room in the log: only counted.
    pub fn icmp_unlogged(&self) -> u64 {
        self.icmp_errors().saturating_sub(self.drained_icmp)
    }

    /// Absolute differences between what was seen and where it went, added up over all equations; 0 unless there is a
    /// bug. The equations: frames = tcp + rejected; tcp = slots + logged + untracked (control and data) + flooded + shed +
    /// passed by; slots = drained; log entries = drained; per flag, seen = drained + logged + untracked + flooded; and what
    /// is counted by service = untracked + flooded + shed; what is counted by queue = frames.
    pub fn difference(&self) -> u64 {
        let flags = |pick: fn(&FlagCounts) -> u64| {
            let delivered = pick(&self.drained_flags) + pick(&self.logged_flags);
            pick(&self.seen).abs_diff(delivered + pick(&self.untracked_flags) + pick(&self.flooded_flags))
        };
        let recorded = self.in_slots + self.logged + self.untracked + self.untracked_data;
        self.frames.abs_diff(self.tcp + self.rejected.iter().sum::<u64>())
            + self.tcp.abs_diff(recorded + self.flooded + self.shed + self.passed_by)
            + self.in_slots.abs_diff(self.drained)
            + self.logged.abs_diff(self.drained_log)
            + self.charge_difference
            + self.queue_difference
            + flags(|f| f.syn)
            + flags(|f| f.syn_ack)
            + flags(|f| f.fin)
            + flags(|f| f.rst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balanced() -> Accounting {
        let flags = |syn| FlagCounts { syn, ..FlagCounts::default() };
        let mut rejected = [0; REJECT_REASONS];
        rejected[Reject::NotIp as usize] = 3;
        Accounting {
            frames: 113,
            tcp: 110,
            in_slots: 60,
            logged: 30,
            untracked: 10,
            untracked_data: 5,
            passed_by: 5,
            seen: flags(100),
            drained_flags: flags(60),
            logged_flags: flags(30),
            untracked_flags: flags(10),
            rejected,
            drained: 60,
            drained_log: 30,
            ..Accounting::default()
        }
    }

    #[test]
    fn balanced_books_have_no_difference() {
        assert_eq!(balanced().difference(), 0);
        assert_eq!(balanced().rejected_for(Reject::NotIp), 3);
    }

    #[test]
    fn every_single_loss_shows() {
        type Edit = fn(&mut Accounting);
        let edits: [Edit; 13] = [
            |b| b.frames -= 1,
            |b| b.tcp -= 1,
            |b| b.untracked -= 1,
            |b| b.untracked_data -= 1,
            |b| b.drained -= 1,
            |b| b.drained_log -= 1,
            |b| b.drained_flags.syn -= 1,
            |b| b.seen.rst += 1,
            |b| b.flooded += 1,
            |b| b.flooded_flags.syn += 1,
            |b| b.shed += 1,
            |b| b.charge_difference += 1,
            |b| b.queue_difference += 1,
        ];
        for edit in edits {
            let mut accounting = balanced();
            edit(&mut accounting);
            assert_ne!(accounting.difference(), 0);
        }
    }

    #[test]
    fn sums_add_up() {
        let mut sum = balanced();
        sum.add(&balanced());
        assert_eq!(sum.frames, 226);
        assert_eq!(sum.drained_flags.syn, 120);
        assert_eq!(sum.difference(), 0);
    }
}
