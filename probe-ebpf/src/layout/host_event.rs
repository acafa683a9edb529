//! Host events: what the kernel of a watched host says of a connection besides its resets: errors that it gives to a socket,
//! and segments that it drops.

/// [`HostEvent::kind`]: a socket was given an error (`sock:inet_sk_error_report`); `code` is the `errno`.
pub const EVENT_SOCKET_ERROR: u32 = 1;
/// [`HostEvent::kind`]: a segment was dropped (`skb:kfree_skb`); `code` is the `enum skb_drop_reason`, whose numbers differ
/// between kernels.
pub const EVENT_DROP: u32 = 2;

/// Drop reasons that the program can be asked for: numbers below this.
pub const DROP_REASONS: usize = 128;

/// One event.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HostEvent {
    /// When, `CLOCK_MONOTONIC` nanoseconds.
    pub time_ns: u64,
    /// [`EVENT_SOCKET_ERROR`] or [`EVENT_DROP`].
    pub kind: u32,
    /// Error or reason.
    pub code: u32,
    /// Address of the socket, or of the sender of the segment: octets in network order, IPv4 mapped into IPv6.
    pub source: [u32; 4],
    /// Address of the peer, or of the receiver.
    pub destination: [u32; 4],
    /// Port of `source`.
    pub source_port: u16,
    /// Port of `destination`.
    pub destination_port: u16,
    /// TCP flags of the dropped segment; 0 otherwise.
    pub flags: u32,
}
