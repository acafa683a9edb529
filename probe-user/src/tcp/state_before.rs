//! State before: what was known of an endpoint just before a FIN or an RST changed it.

use crate::tcp::endpoint::{Endpoint, Kind, SENT_FIN, State};

/// One endpoint as it stood before an RST.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StateBefore {
    pub(crate) state: State,
    pub(crate) next_seq: u32,
    pub(crate) start_seq: u32,
    /// How far the other side had acknowledged it.
    pub(crate) acked: u32,
    pub(crate) last_tick: u32,
    pub(crate) ip_id: u16,
    pub(crate) ttl: u8,
    pub(crate) kind: Kind,
    pub(crate) probes: u8,
    pub(crate) repeats: u8,
    pub(crate) marks: u8,
}

impl StateBefore {
    pub(crate) fn of(end: &Endpoint) -> Self {
        Self {
            state: end.state,
            next_seq: end.last_seq,
            start_seq: end.start_seq,
            acked: end.ack_seq,
            last_tick: end.last_tick,
            ip_id: end.ip_id,
            ttl: end.ttl,
            kind: end.kind(),
            probes: end.probes,
            repeats: end.repeats,
            marks: end.marks,
        }
    }

    /// It had sent a FIN.
    pub(crate) fn has_sent_fin(&self) -> bool {
        self.marks & SENT_FIN != 0
    }
}
