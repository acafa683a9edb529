//! AF_XDP redirect: the time stamp in front of a frame, the socket of each queue, and delivery counters, as program and agent
//! share them.
//!
//! The stamp travels as XDP metadata (Documentation/networking/xdp-rx-metadata.rst): the kernel copies it in copy mode and
//! leaves it in place in zero-copy mode. Without it nothing would tell the order of frames of different queues.
//!
//! Must not know: maps, sockets, rings, clocks.

/// First word of a stamp. The agent wipes it once read, so that a frame that comes without a stamp cannot borrow the one
/// that an earlier frame left in the same memory.
pub const STAMP_MAGIC: u64 = 0x7273_7470_726f_6265;
/// Bytes of a stamp: [`STAMP_MAGIC`], then the time (`CLOCK_MONOTONIC`, nanoseconds), both in host order.
pub const STAMP_LEN: usize = 16;

/// Index of the count of frames that the kernel took for a socket.
pub const REDIRECTED: u32 = 0;
/// Index of the count of frames whose socket vanished between look-up and redirection: they took the configured action.
pub const FELL_BACK: u32 = 1;
/// Index of the count of redirected frames without a stamp: the driver has no room for metadata.
pub const UNSTAMPED: u32 = 2;
/// How many counts there are.
pub const DELIVERY_COUNTS: u32 = 3;

/// The sockets of one interface, one per receive queue, next to each other in the map of sockets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sockets {
    /// Where that of queue 0 is.
    pub first: u32,
    /// How many queues have one.
    pub queues: u32,
}

impl Sockets {
    /// As a map value.
    #[inline(always)]
    #[must_use]
    pub const fn pack(self) -> u64 {
        self.first as u64 | (self.queues as u64) << 32
    }

    /// From a map value.
    #[inline(always)]
    #[must_use]
    pub const fn unpack(value: u64) -> Self {
        Self { first: value as u32, queues: (value >> 32) as u32 }
    }

    /// Where the socket of `queue` is; `None` when the queue is none of these (it came after the sockets were opened), so
    /// that it can never be taken for one of the next interface.
    #[inline(always)]
    #[must_use]
    pub const fn of(self, queue: u32) -> Option<u32> {
        if queue < self.queues { Some(self.first.wrapping_add(queue)) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_beyond_the_sockets_has_none() {
        let second = Sockets { first: 4, queues: 2 };
        assert_eq!(Sockets::unpack(second.pack()), second);
        assert_eq!((second.of(0), second.of(1), second.of(2)), (Some(4), Some(5), None));
        assert_eq!(Sockets { first: 0, queues: 0 }.of(0), None);
    }
}
