//! Making of records within a partition: of those connections of which nothing has to be known that only all partitions
//! together know. That is most of them.

use crate::{
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
    words: KernelResets,
    /// Memory for the order in which records are made.
    order: Vec<u32>,
}

impl Maker {
    /// For a partition that has told nothing.
    pub(crate) fn new(words: KernelResets) -> Self {
        Self { both_ways: false, told: RecentServers::default(), words, order: Vec::new() }
    }

    /// Makes the records of what has ended since it was last called; what cannot be made here stays.
    #[inline(never)]
    pub(crate) fn make(&mut self, outcome: &mut Outcome, config: &TrackerConfig, pool: &mut Pool) {
        let Outcome { ended, made, .. } = outcome;
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(ended.new_places().map(|at| at as u32));
        let all = ended.all();
        // As in the merge: of what ends at one step by time, the order is not that of deadlines.
        let by = |at: &u32| {
            let ended = &all[*at as usize];
            (ended.turn, ended.track.as_ref().map_or(0, |track| track.id))
        };
        if !order.is_sorted_by_key(by) {
            order.sort_unstable_by_key(by);
        }
        for at in &order {
            self.make_one(&mut all[*at as usize], made, config, pool);
        }
        // Never looked at again: of what has ended since they know nothing.
        ended.keep_unmade();
        self.order = order;
    }

    #[inline]
    fn make_one(&mut self, ended: &mut Ended, made: &mut Vec<Made>, config: &TrackerConfig, pool: &mut Pool) {
        let Some(track) = &ended.track else { return };
        self.both_ways |= is_both_ways(track);
        let Some(roles) = roles::own(track).filter(|_| self.both_ways) else { return };
        let Ended { written, now, turn, watched_from, aside, .. } = &*ended;
        let known = Known {
            both_ways: true,
            watched_from: *watched_from,
            roles,
            aside: aside.as_deref().unwrap_or(&NOTHING),
            words: &self.words,
        };
        let server = roles::answering(track).filter(|server| self.told.is_new(server));
        let (turn, id) = (*turn, track.id);
        // Not pushed: room is made before, so that it is put together where it stays.
        made.extend(std::iter::once_with(|| Made {
            turn,
            id,
            server,
            connection: Some(to_record::connection(track, *written, *now, config, &known)),
        }));
        if let Some(rare) = ended.track.take().and_then(|track| track.rare) {
            pool.take_back(rare);
        }
        ended.aside = None;
    }
}

/// Both its directions were seen.
pub(crate) fn is_both_ways(track: &Track) -> bool {
    track.ends.iter().all(|end| end.packets > 0)
}
