//! Memory pool: parts of connections that have ended, for those that come to need such a part.
//!
//! Allocating each part when it is needed costs 6 % more time of reading and takes 3 % less memory (2026-12-01).

use crate::tcp::close_details::{Rare, RareSide, Rst};
use crate::tcp::track::Track;

/// Kept of each kind.
const MOST: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "they go from connection to connection, and must not be copied")]
pub(crate) struct Pool {
    rares: Vec<Box<Rare>>,
    rsts: Vec<Box<Rst>>,
}

impl Pool {
    /// Gives a connection what it needs for a FIN or an RST.
    #[inline]
    pub(crate) fn equip(&mut self, track: &mut Track, rst: bool) {
        if track.rare.is_none() {
            track.rare = self.rares.pop();
        }
        if rst && let Some(rare) = track.rare.as_mut().filter(|rare| rare.blank.is_none()) {
            rare.blank = self.rsts.pop();
        }
    }

    /// Takes it back, cleared.
    pub(crate) fn take_back(&mut self, mut rare: Box<Rare>) {
        let Rare { sides, rsts: [orig, resp], odd, blank } = &mut *rare;
        *sides = [RareSide::default(), RareSide::default()];
        for rst in [blank, orig, resp] {
            if let Some(rst) = rst.take()
                && self.rsts.len() < MOST
            {
                self.rsts.push(rst);
            }
        }
        if odd.is_none() && self.rares.len() < MOST {
            self.rares.push(rare);
        }
    }
}
