//! State before: what was known of an endpoint just before a FIN or an RST changed it.

use super::endpoint::{Endpoint, Kind, SENT_FIN, State};

/// One endpoint as it stood before an RST.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StateBefore {
    pub(super) state: State,
    pub(super) next_seq: u32,
    pub(super) start_seq: u32,
    /// How far the other side had acknowledged it.
    pub(super) acked: u32,
    pub(super) last_tick: u32,
    pub(super) ip_id: u16,
    pub(super) ttl: u8,
    pub(super) kind: Kind,
    pub(super) probes: u8,
    pub(super) repeats: u8,
    pub(super) marks: u8,
}

impl StateBefore {
    pub(super) fn of(end: &Endpoint) -> Self {
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
    pub(super) fn has_sent_fin(&self) -> bool {
        self.marks & SENT_FIN != 0
    }
}
