//! Timers of a connection: after what time of silence or waiting it is looked at, closed or given up.

const SECOND: u64 = 1_000_000_000;

/// Timeouts, nanoseconds. The defaults are Zeek's (base/init-bare.zeek, base/protocols/conn/inactivity.zeek).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timers {
    /// An attempt without answer is written this long after its SYN (`tcp_attempt_delay`).
    pub attempt: u64,
    /// First look at a connection, counted from its first segment (`tcp_SYN_timeout`).
    pub first_check: u64,
    /// Further looks (`tcp_session_timer`).
    pub check: u64,
    /// Silence after which a look finds a closed connection finished (`tcp_connection_linger`).
    pub linger: u64,
    /// From the complete close to the writing of the record (`tcp_close_delay`).
    pub close: u64,
    /// Silence before anything but a handshake was seen (`udp_inactivity_timeout`).
    pub inactive_handshake: u64,
    /// Silence of an established connection (`tcp_inactivity_timeout`).
    pub inactive: u64,
    /// The same for interactive services, ports 21, 22, 23 and 513 (`Conn::port_inactivity_timeouts`).
    pub inactive_interactive: u64,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            attempt: 5 * SECOND,
            first_check: 5 * SECOND,
            check: 6 * SECOND,
            linger: 5 * SECOND,
            close: 5 * SECOND,
            inactive_handshake: 60 * SECOND,
            inactive: 300 * SECOND,
            inactive_interactive: 3600 * SECOND,
        }
    }
}
