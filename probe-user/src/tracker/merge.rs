//! Merge: brings together what has ended in the partitions, in the order of the stream, and settles what rests on connections
//! of more than one.
//!
//! The order is that of the steps at which records are written, what time ends before what the step's own segment ends, then
//! of ids: it does not depend on who worked on what, nor on
//! where one batch ends and the next begins.

use crate::{
    record::Connection,
    tracker::{
        config::TrackerConfig,
        ended::{Ended, NOTHING, Outcome},
        kernel_resets::KernelResets,
        making::is_both_ways,
        roles,
        roles::Servers,
        to_record,
        to_record::Known,
    },
};

/// A connection that has ended: step, id, partition, and its place there; records that were made lie from [`MADE`] on.
type Turn = (u64, u64, u32, u32);

const MADE: u32 = 1 << 31;

/// What is known of connections by others.
#[derive(Debug)]
pub(crate) struct Merge {
    servers: Servers,
    /// Both directions of some connection were seen: that an answer is missing says something.
    both_ways: bool,
    /// Memory for the order of what is merged.
    turns: Vec<Turn>,
}

impl Merge {
    /// Nothing has ended yet.
    pub(crate) fn new(config: &TrackerConfig) -> Self {
        Self { servers: Servers::new(config.hash_seed), both_ways: false, turns: Vec::new() }
    }

    /// What is known by those that have ended, for the record of one that goes on.
    pub(crate) fn servers(&self) -> (&Servers, bool) {
        (&self.servers, self.both_ways)
    }

    /// Appends the records of everything that has ended in these partitions, in order, and leaves nothing there. What comes
    /// later in the stream has ended nowhere yet.
    pub(crate) fn merge(
        &mut self,
        outcomes: &mut [Outcome],
        config: &TrackerConfig,
        words: &KernelResets,
        into: &mut Vec<Connection>,
    ) {
        let mut turns = std::mem::take(&mut self.turns);
        turns.clear();
        for (partition, outcome) in outcomes.iter_mut().enumerate() {
            let Outcome { ended, made, .. } = outcome;
            for (at, ended) in ended.all().iter().enumerate() {
                let id = ended.track.as_ref().map_or(0, |track| track.id);
                turns.push((ended.turn, id, partition as u32, at as u32));
            }
            let made = made.iter().enumerate();
            turns.extend(made.map(|(at, made)| (made.turn, made.id, partition as u32, at as u32 | MADE)));
        }
        turns.sort_unstable();
        for &(_, _, partition, at) in &turns {
            let Outcome { ended, made, spent } = &mut outcomes[partition as usize];
            if at & MADE == 0 {
                self.settle(&mut ended.all()[at as usize], config, words, into);
                spent.extend(ended.all()[at as usize].track.take().and_then(|track| track.rare));
                continue;
            }
            let made = &mut made[(at & !MADE) as usize];
            self.both_ways = true;
            if let Some(server) = made.server {
                self.servers.learn(server);
            }
            into.extend(made.connection.take());
        }
        for outcome in outcomes {
            outcome.ended.take();
            outcome.made.clear();
        }
        self.turns = turns;
    }

    /// Makes the record of one that was left for this.
    fn settle(&mut self, ended: &mut Ended, config: &TrackerConfig, words: &KernelResets, into: &mut Vec<Connection>) {
        let Some(track) = &ended.track else { return };
        self.both_ways |= is_both_ways(track);
        let roles = self.servers.roles(track);
        if let Some(server) = roles::answering(track) {
            self.servers.learn(server);
        }
        let (both_ways, watched_from) = (self.both_ways, ended.watched_from);
        let aside = ended.aside.as_deref().unwrap_or(&NOTHING);
        let known = Known { both_ways, watched_from, roles, aside, words };
        let record = || to_record::connection(track, ended.written, ended.now, config, &known);
        // Not pushed: room is made before, so that it is put together where it stays.
        into.extend(std::iter::once_with(record));
        ended.aside = None;
    }
}
