//! AF_XDP accounting: what became of the frames that went to sockets.

use probe_ebpf::{layout::REJECT_REASONS, parse::Reject};

/// Sums over all sockets. Of every frame that the program redirected one of these is true, once the session has ended:
/// it was received, or the kernel counted it as dropped, or it is in [`Self::unaccounted`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct XskAccounting {
    /// Frames that the program redirected.
    pub redirected: u64,
    /// Frames whose socket vanished between look-up and redirection: they took the configured action, uncounted.
    pub fell_back: u64,
    /// Redirected frames that came without the time at which they were seen.
    pub unstamped: u64,
    /// Frames received.
    pub frames: u64,
    /// Bytes of them.
    pub frame_bytes: u64,
    /// Frames with a TCP segment, which were handed on.
    pub segments: u64,
    /// Segments whose frame ended before their packet did: cropped by a mirror. They count with the lengths that their IP
    /// headers say.
    pub cropped: u64,
    /// Frames in which our parser found no TCP segment although the program had: always 0.
    pub rejected: [u64; REJECT_REASONS],
    /// Segments that were handed on after a later one of another queue.
    pub late: u64,
    /// Frames that the kernel had no free memory for, or that were too large ([`super::Statistics::dropped`]).
    pub dropped: u64,
    /// Frames for which the receive ring was full.
    pub ring_full: u64,
    /// Times the fill ring was empty.
    pub fill_empty: u64,
    /// Descriptors that told of no frame of the kernel's.
    pub invalid: u64,
    /// Frames of UMEM that are in no place: always 0.
    pub missing: u64,
}

impl XskAccounting {
    /// Redirected frames that neither came nor were counted by a socket: on their way when the interface went down or when
    /// a queue went away.
    pub fn unaccounted(&self) -> u64 {
        self.redirected.saturating_sub(self.frames + self.dropped + self.ring_full)
    }

    /// What a bug would leave: frames lost in our own hands, or seen differently by the two uses of one parser.
    pub fn difference(&self) -> u64 {
        self.frames.abs_diff(self.segments + self.rejected.iter().sum::<u64>())
            + self.rejected.iter().sum::<u64>()
            + self.missing
            + self.invalid
    }

    /// Counts a frame without a segment.
    pub(super) fn reject(&mut self, reason: Reject) {
        self.rejected[reason as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_no_counter_shows() {
        let mut accounting = XskAccounting {
            redirected: 10,
            frames: 6,
            segments: 6,
            dropped: 3,
            ring_full: 1,
            ..XskAccounting::default()
        };
        assert_eq!((accounting.unaccounted(), accounting.difference()), (0, 0));
        accounting.frames = 5;
        assert_eq!((accounting.unaccounted(), accounting.difference()), (1, 1));
        accounting.reject(Reject::NotTcp);
        accounting.missing = 1;
        assert_eq!(accounting.difference(), 4);
    }
}
