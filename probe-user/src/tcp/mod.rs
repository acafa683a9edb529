//! TCP connection: endpoints, state machine, sequence space, payload turns and history of one connection. Pure: no clock, no I/O.
//!
//! * `state_machine` moves the two endpoint states of one connection, `reassembly` knows which bytes were never seen. They
//!   follow Zeek rule by rule, so that `conn_state`, `history` and sizes are Zeek's.
//! * `payload_turns`, `close_details` and `close_tracking` keep what verdicts rest on.
//!
//! Must not know: other connections, when timers fire, how a record is shown.
#![expect(
    clippy::inline_always,
    reason = "what a segment goes through is compiled as one, once for each kind of segment"
)]

pub(crate) mod arrival;
pub(crate) mod brief;
pub(crate) mod close;
pub(crate) mod close_details;
pub(crate) mod close_tracking;
pub(crate) mod counter;
pub(crate) mod counting;
pub(crate) mod endpoint;
pub(crate) mod history;
pub(crate) mod marks;
pub(crate) mod payload_turns;
pub(crate) mod reassembly;
pub(crate) mod state_before;
pub(crate) mod state_machine;
pub(crate) mod timers;
pub(crate) mod track;

pub use arrival::{Arrival, Extra, Header};
pub use history::Letters;
pub use timers::Timers;
