//! Making of records within a partition: of those connections of which nothing has to be known that only all partitions
//! together know. That is most of them.

use std::sync::Arc;

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
    pub(crate) words: Arc<KernelResets>,
}

impl Maker {
    /// For a partition that has told nothing.
    pub(crate) fn new(words: Arc<KernelResets>) -> Self {
        Self { both_ways: false, told: RecentServers::default(), words }
    }

    /// Makes the records of what has ended; what cannot be made here stays.
    #[inline(never)]
    pub(crate) fn make(&mut self, outcome: &mut Outcome, config: &TrackerConfig, pool: &mut Pool) {
        let Outcome { ended, made, .. } = outcome;
        let mut rest = 0;
        let all = ended.all();
        for at in 0..all.len() {
            let Some(track) = &all[at].track else { continue };
            self.both_ways |= is_both_ways(track);
            match roles::own(track).filter(|_| self.both_ways) {
                Some(roles) => {
                    let Ended { written, now, turn, watched_from, aside, .. } = &all[at];
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
                    let ended = &mut all[at];
                    if let Some(rare) = ended.track.take().and_then(|track| track.rare) {
                        pool.take_back(rare);
                    }
                    ended.aside = None;
                }
                None => {
                    all.swap(rest, at);
                    rest += 1;
                }
            }
        }
        ended.keep(rest);
    }
}

/// Both its directions were seen.
pub(crate) fn is_both_ways(track: &Track) -> bool {
    track.ends.iter().all(|end| end.packets > 0)
}
