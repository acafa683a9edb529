//! Explanations: everything that is known of one connection, as data.
//!
//! Pure: no clock, no I/O. Must not know: where segments come from, how an explanation is shown.

mod against;
pub mod end_states;
pub mod kept_segments;
pub mod ladder;
pub mod next_step;
mod note;
pub mod packets;
pub mod rivals;
pub mod search;
mod sequence;
pub mod step;

use ladder::{Completeness, Ladder, SeenSegment};
use next_step::Neighbours;
use packets::Origin;
use rivals::Rival;
use step::Step;

use crate::record::Connection;

/// What is known of the segments of a connection's flow.
#[derive(Clone, Debug)]
pub struct Segments {
    /// In order of arrival, as many as are held.
    pub seen: Vec<SeenSegment>,
    /// How many came after them.
    pub beyond: u64,
    /// How complete they are.
    pub completeness: Completeness,
    /// What else has these addresses and ports.
    pub neighbours: Neighbours,
    /// What an evidence file says of the connection, as it was judged when its frames were kept.
    pub recorded: Option<String>,
}

/// One connection, explained.
#[derive(Clone, PartialEq, Debug)]
pub struct Explanation {
    /// The record, with facts.
    pub connection: Connection,
    /// Its segments, with the states of both ends.
    pub ladder: Ladder,
    /// What an evidence file says of it.
    pub recorded: Option<String>,
    /// The nearest other causes.
    pub rivals: Vec<Rival>,
    /// Display filter for its segments, in Wireshark's language.
    pub filter: String,
    /// What to check next.
    pub steps: Vec<Step>,
}

impl Explanation {
    /// The cause that an evidence file says, where it is another one than that of the frames it keeps.
    pub fn recorded_otherwise(&self) -> Option<&str> {
        let (_, cause) = self.recorded.as_deref()?.split_once(": cause ")?;
        let (cause, _) = cause.split_once(" (")?;
        (cause != self.connection.verdict.cause.id()).then_some(cause)
    }

    /// Of a connection and its segments, which came from there.
    pub fn new(connection: Connection, segments: Segments, origin: &Origin) -> Self {
        let ladder = Ladder::new(&connection, &segments.seen, segments.beyond, segments.completeness);
        let filter = next_step::display_filter(&connection, &ladder, segments.neighbours);
        let steps = next_step::steps(&connection, &filter, origin);
        Self { rivals: rivals::of(&connection), ladder, recorded: segments.recorded, filter, steps, connection }
    }
}
