//! Making of records within a partition: of those connections of which nothing has to be known that only all partitions
//! together know. That is most of them.

use std::sync::Arc;

use crate::{
    record::Connection,
    tcp::track::Track,
    tracker::{
        config::TrackerConfig,
        ended::{Ended, Made, NOTHING, Outcome},
        kernel_resets::KernelResets,
        pool::Pool,
        roles,
        roles::RecentServers,
        to_record,
        to_record::Known,
    },
};

/// Makes the records of a partition.
#[derive(Debug)]
pub(crate) struct Maker {
    /// Both directions of some connection of this partition were seen.
    both_ways: bool,
    /// Servers that were told of.
    told: RecentServers,
    /// What the host's kernel says of resets: it says no more while partitions work.
    pub(crate) words: Arc<KernelResets>,
}

impl Maker {
    /// For a partition that has told nothing.
    pub(crate) fn new(words: Arc<KernelResets>) -> Self {
        Self { both_ways: false, told: RecentServers::default(), words }
    }

    /// Makes the records of what has ended since the last time; what cannot be made here stays.
    #[inline(never)]
    pub(crate) fn make(&mut self, outcome: &mut Outcome, config: &TrackerConfig, pool: &mut Pool) {
        let Outcome { ended, made, records, .. } = outcome;
        // Those before were looked at: of what has ended since they know nothing.
        let first = ended.put_in_order();
        let (mut rest, all) = (first, ended.all());
        for at in first..all.len() {
            if let Some(note) = self.make_one(&all[at], config, records) {
                made.push(note);
                let Ended { track, aside, .. } = &mut all[at];
                if let Some(rare) = track.take().and_then(|track| track.rare) {
                    pool.take_back(rare);
                }
                *aside = None;
            } else {
                all.swap(rest, at);
                rest += 1;
            }
        }
        ended.keep(rest);
    }

    /// Makes one, where that can be done here.
    #[inline]
    fn make_one(&mut self, ended: &Ended, config: &TrackerConfig, records: &mut Vec<Connection>) -> Option<Made> {
        let &Ended { ref track, written, now, turn, watched_from, ref aside } = ended;
        let track = track.as_ref()?;
        self.both_ways |= is_both_ways(track);
        let roles = roles::own(track).filter(|_| self.both_ways)?;
        let aside = aside.as_deref().unwrap_or(&NOTHING);
        let known = Known { both_ways: true, watched_from, roles, aside, words: &self.words };
        let server = roles::answering(track).filter(|server| self.told.is_new(server));
        to_record::append(records, track, written, now, config, &known);
        Some(Made { turn, id: track.id, server })
    }
}

/// Both its directions were seen.
pub(crate) fn is_both_ways(track: &Track) -> bool {
    track.ends.iter().all(|end| end.packets > 0)
}
