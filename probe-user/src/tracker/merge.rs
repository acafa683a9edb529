//! Merge: brings together what has ended in the partitions, in the order of the stream, and settles what rests on connections
//! of more than one.
//!
//! The order is that of the steps at which records are written, what time ends before what the step's own segment ends, then
//! of ids: it does not depend on who worked on what, nor on
//! where one batch ends and the next begins.

use crate::{
    record::Connection,
    tcp::close_details::Rare,
    tracker::{
        config::TrackerConfig,
        ended::{Ended, Made, NOTHING, Outcome},
        kernel_resets::KernelResets,
        making::is_both_ways,
        roles,
        roles::Servers,
        to_record,
        to_record::Known,
    },
};

/// What is known of connections by others.
#[derive(Debug)]
pub(crate) struct Merge {
    servers: Servers,
    /// Both directions of some connection were seen: that an answer is missing says something.
    both_ways: bool,
}

impl Merge {
    /// Nothing has ended yet.
    pub(crate) fn new(config: &TrackerConfig) -> Self {
        Self { servers: Servers::new(config.hash_seed), both_ways: false }
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
        for outcome in outcomes.iter_mut() {
            outcome.ended.put_in_order();
        }
        let mut filled = outcomes.iter_mut().filter(|outcome| !outcome.is_empty());
        match (filled.next(), filled.next()) {
            (Some(Outcome { ended, made, spent, .. }), None) if made.is_empty() => {
                for ended in ended.take() {
                    self.settle(ended, config, words, into, spent);
                }
            }
            (Some(_), _) => self.merge_all(outcomes, config, words, into),
            (None, _) => {}
        }
    }

    /// Takes the first of what is left in all partitions, over and over.
    fn merge_all(
        &mut self,
        outcomes: &mut [Outcome],
        config: &TrackerConfig,
        words: &KernelResets,
        into: &mut Vec<Connection>,
    ) {
        let mut sources: Vec<Source<'_>> = outcomes.iter_mut().map(Source::of).collect();
        while let Some(source) = sources.iter_mut().min_by_key(|source| source.ended_first.min(source.made_first)) {
            if source.ended_first < source.made_first {
                let Some(ended) = source.ended.next() else { break };
                self.settle(ended, config, words, into, source.spent);
                source.ended_first = source.ended.as_slice().first().map_or(NOTHING_LEFT, Ended::order);
                continue;
            }
            let (Some(made), record) = (source.made.next(), source.records.next()) else { break };
            self.both_ways = true;
            if let Some(server) = made.server {
                self.servers.learn(server);
            }
            into.extend(record);
            source.made_first = source.made.as_slice().first().map_or(NOTHING_LEFT, order);
        }
    }

    /// Makes the record of one that was left for this.
    #[expect(clippy::vec_box, reason = "they go from connection to connection, and must not be copied")]
    fn settle(
        &mut self,
        ended: &mut Ended,
        config: &TrackerConfig,
        words: &KernelResets,
        into: &mut Vec<Connection>,
        spent: &mut Vec<Box<Rare>>,
    ) {
        let Some(track) = &ended.track else { return };
        self.both_ways |= is_both_ways(track);
        let roles = self.servers.roles(track);
        if let Some(server) = roles::answering(track) {
            self.servers.learn(server);
        }
        let (both_ways, watched_from) = (self.both_ways, ended.watched_from);
        let aside = ended.aside.as_deref().unwrap_or(&NOTHING);
        let known = Known { both_ways, watched_from, roles, aside, words };
        to_record::append(into, track, ended.written, ended.now, config, &known);
        ended.aside = None;
        spent.extend(ended.track.take().and_then(|track| track.rare));
    }
}

/// What is left of one partition.
struct Source<'a> {
    ended: std::slice::IterMut<'a, Ended>,
    /// Order of the first of these.
    ended_first: (u64, u64),
    made: std::vec::Drain<'a, Made>,
    made_first: (u64, u64),
    records: std::vec::Drain<'a, Connection>,
    #[expect(clippy::vec_box, reason = "they go from connection to connection, and must not be copied")]
    spent: &'a mut Vec<Box<Rare>>,
}

/// Behind everything.
const NOTHING_LEFT: (u64, u64) = (u64::MAX, u64::MAX);

fn order(made: &Made) -> (u64, u64) {
    (made.turn, made.id)
}

impl<'a> Source<'a> {
    fn of(Outcome { ended, made, records, spent }: &'a mut Outcome) -> Self {
        let ended = ended.take();
        Self {
            ended_first: ended.first().map_or(NOTHING_LEFT, Ended::order),
            ended: ended.iter_mut(),
            made_first: made.first().map_or(NOTHING_LEFT, order),
            made: made.drain(..),
            records: records.drain(..),
            spent,
        }
    }
}
