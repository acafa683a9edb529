//! Counters of one CPU and epoch, and the control values by which the agent steers the program.

use super::{ACK, FIN, RST, SYN};

/// Flag classes of the per-flag books: one segment may be in several (SYN+FIN).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlagCounts {
    /// SYN without ACK.
    pub syn: u64,
    /// SYN with ACK.
    pub syn_ack: u64,
    /// FIN.
    pub fin: u64,
    /// RST.
    pub rst: u64,
}

impl FlagCounts {
    /// Counts the flags of one segment.
    #[inline(always)]
    pub fn add(&mut self, flags: u16) {
        if flags & SYN != 0 {
            if flags & ACK != 0 {
                self.syn_ack += 1;
            } else {
                self.syn += 1;
            }
        }
        if flags & FIN != 0 {
            self.fin += 1;
        }
        if flags & RST != 0 {
            self.rst += 1;
        }
    }
}

/// Number of [`crate::parse::Reject`] reasons a [`EpochCounters`] has room for.
pub const REJECT_REASONS: usize = 24;
/// The place in [`EpochCounters::rejected`] that is no reason: ICMP errors that quote a TCP segment.
pub const ICMP_QUOTES: usize = REJECT_REASONS - 1;

/// The books of one CPU for one epoch. Every frame is in exactly one of `tcp`, `rejected[..]` and `passed_fast`; every TCP
/// segment in exactly one of `in_slots`, `logged`, `untracked`, `untracked_data`, `passed_by`, `flooded`, `shed` and
/// `passed_fast`.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EpochCounters {
    /// Frames the program was called for, without `passed_fast`.
    pub frames: u64,
    /// Bytes of those frames and of `passed_fast`, link header included; of a multi-buffer frame, of its first buffer.
    pub frame_bytes: u64,
    /// Frames with a readable TCP header, without `passed_fast`.
    pub tcp: u64,
    /// Data segments that depth `control` does not record, without `passed_fast`.
    pub passed_by: u64,
    /// The same of the commonest shapes: nearly every frame there is, hence one counter instead of those three, to each of
    /// which it is to be added.
    pub passed_fast: u64,
    /// Segments counted in a slot.
    pub in_slots: u64,
    /// Segments whose only trace is a log entry (no slot was free).
    pub logged: u64,
    /// Control segments that found neither slot nor log room: counted here by flag, nowhere else.
    pub untracked: u64,
    /// Data segments (depth `full`) that found no slot: counted here, nowhere else.
    pub untracked_data: u64,
    /// Slots in use: they are `0..slots`, in the order of first use.
    pub slots: u32,
    /// Log entries in use: they are `0..log_entries`.
    pub log_entries: u32,
    /// Segments counted in a slot whose verbatim copy found room neither in the slot nor in the log.
    pub order_lost: u64,
    /// Times a bucket was full although slots were free.
    pub bucket_full: u64,
    /// All flags seen.
    pub seen: FlagCounts,
    /// Flags of segments with an uncounted log entry.
    pub logged_flags: FlagCounts,
    /// Flags of `untracked`.
    pub untracked_flags: FlagCounts,
    /// Frames that are not readable TCP, by reason, and [`ICMP_QUOTES`].
    pub rejected: [u64; REJECT_REASONS],
    /// Openings (see [`crate::flood`]) that were refused slot and log: counted by flag here and by service in the
    /// [`super::ServiceRow`]s; SYNs and SYN-ACKs are also among the [`super::Opening`]s until others take their place.
    pub flooded: u64,
    /// Flags of `flooded`.
    pub flooded_flags: FlagCounts,
    /// Data segments (depth `auto`) that were refused a slot because the table or the log is past its mark.
    pub shed: u64,
    /// Flags of segments of `flooded` and `untracked` whose service found no row.
    pub rowless_flags: FlagCounts,
    /// The same of `untracked_data` and `shed`.
    pub rowless_data: u64,
    /// Slots that were given to openings.
    pub opened: u64,
    /// The program's own: what it keeps here for a moment, the verifier knows nothing more of.
    pub aside: [u32; 2],
    /// Journal entries in use: they are `0..journal_entries`.
    pub journal_entries: u32,
    /// Segments among `tcp`, `passed_by` aside, whose frame ends before their packet does: cropped by a mirror.
    pub cropped: u32,
    /// Frames for whose interface and queue there was no [`super::QueueRow`].
    pub rowless_frames: u64,
    /// Bytes of `rowless_frames`.
    pub rowless_bytes: u64,
}

impl EpochCounters {
    /// Every frame the program was called for.
    #[inline(always)]
    #[must_use]
    pub fn all_frames(&self) -> u64 {
        self.frames + self.passed_fast
    }
}

/// What the agent tells the program while it runs; the program only reads it. One cache line, and one for all CPUs: the
/// epoch begins on all of them with one store, so that no answer is in an earlier epoch than what it answers.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Control {
    /// Epoch number; its lowest bit says which half of the maps is being written.
    pub epoch: u64,
    /// `CLOCK_MONOTONIC` at the agent's last tick, nanoseconds: the coarse clock of segments that are only counted.
    pub now_ns: u64,
    /// 0 while interfaces are being attached or detached one after the other: frames pass without being recorded, so that
    /// no connection is seen with one leg only.
    pub armed: u64,
    /// Openings of one service that get a slot or a log entry in one epoch on one CPU; further ones are `flooded`.
    pub service_openings: u32,
    /// Openings of all services together that get a slot in one epoch on one CPU, and as many that get a log entry.
    pub openings: u32,
    /// Not 0 when openings were refused room in earlier epochs and may still be remembered.
    pub remembered: u64,
}

/// The books of one CPU.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuCounters {
    /// Of both epochs, by the lowest bit of [`Control::epoch`].
    pub counters: [EpochCounters; 2],
}

/// Four-byte words of a `struct sockaddr_in6`, in which the tracepoint keeps addresses.
pub const SOCKADDR_LEN: usize = 7;

/// One reset that the kernel of this host sent, as `tcp:tcp_send_reset` tells it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResetEvent {
    /// When, `CLOCK_MONOTONIC` nanoseconds.
    pub time_ns: u64,
    /// Address of the segment that provoked it; 0 when the kernel or the application decided by itself.
    pub skb: u64,
    /// TCP state of the socket, 0 without one.
    pub state: u32,
    /// `enum sk_rst_reason`, whose numbers differ between kernels; `u32::MAX` when it could not be read.
    pub reason: u32,
    /// Sender of the reset: `sockaddr_in` or `sockaddr_in6`.
    pub source: [u32; SOCKADDR_LEN],
    /// Receiver of the reset.
    pub destination: [u32; SOCKADDR_LEN],
    /// Process in whose context it was sent: the application's, where that decided.
    pub pid: u32,
    /// Always 0.
    pub reserved: u32,
    /// Name of its thread (`comm`), ended by 0.
    pub comm: [u64; 2],
}

/// `DEPTH` global: only SYN, FIN and RST touch the table.
pub const DEPTH_CONTROL: u32 = 0;
/// `DEPTH` global: every TCP segment updates its slot.
pub const DEPTH_FULL: u32 = 1;
/// `DEPTH` global: every TCP segment updates its slot, and past the mark only SYN, FIN and RST open one.
pub const DEPTH_AUTO: u32 = 2;
