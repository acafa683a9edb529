//! Examples: of each server and cause, and of those that the server reset, the earliest connections, in bounded memory.
//!
//! What is listed by start alone has no example of what began late.

use hashbrown::HashMap;

use super::key::Key;
use crate::record::{Cause, Connection, ResetBy};

/// Examples of each server and cause.
const OF_EACH: usize = 3;
/// Pairs of a server and a cause; of further ones there are no examples.
const PAIRS: usize = 4096;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Examples {
    pairs: HashMap<Key, Pair, foldhash::fast::RandomState>,
    /// Apart, so that most connections are turned down without a look at another one.
    kept: Vec<Connection>,
}

/// Examples of one server and cause.
#[derive(Clone, Copy, Debug)]
struct Pair {
    /// What starts later is none.
    until_ns: u64,
    /// Their numbers among all, the earliest first.
    numbers: [u32; OF_EACH],
    count: u32,
}

const NO_PAIR: Pair = Pair { until_ns: u64::MAX, numbers: [0; OF_EACH], count: 0 };

impl Examples {
    /// Keeps a connection, judged, if its server and cause have few examples yet, or later ones.
    #[inline]
    pub fn offer(&mut self, connection: &Connection) {
        let cause = connection.verdict.cause;
        if cause == Cause::None {
            return;
        }
        let key = Key::server(connection.resp).with_cause(cause, connection.reset_by == ResetBy::Server);
        let until_ns = match self.pairs.get(&key) {
            Some(pair) => pair.until_ns,
            None if self.pairs.len() < PAIRS => u64::MAX,
            None => return,
        };
        if connection.start_ns <= until_ns {
            self.keep(key, connection);
        }
    }

    #[cold]
    fn keep(&mut self, key: Key, connection: &Connection) {
        let Self { pairs, kept } = self;
        let pair = pairs.entry(key).or_insert(NO_PAIR);
        let count = pair.count as usize;
        let place = pair.numbers[..count].partition_point(|&number| order(&kept[number as usize]) < order(connection));
        if place == OF_EACH {
            return;
        }
        let number = if count < OF_EACH {
            pair.count += 1;
            kept.push(connection.clone());
            kept.len() as u32 - 1
        } else {
            let number = pair.numbers[OF_EACH - 1];
            kept[number as usize] = connection.clone();
            number
        };
        pair.numbers[place..].rotate_right(1);
        pair.numbers[place] = number;
        if pair.count as usize == OF_EACH {
            pair.until_ns = kept[pair.numbers[OF_EACH - 1] as usize].start_ns;
        }
    }

    /// All that were kept, in no order.
    pub fn into_connections(self) -> Vec<Connection> {
        self.kept
    }
}

/// The earliest first.
fn order(connection: &Connection) -> (u64, u64) {
    (connection.start_ns, connection.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::connection,
        record::{Closing, Opening, Side},
    };

    #[test]
    fn each_server_and_cause_has_three_and_there_is_an_end_to_them() {
        let one = |id: u64, port: u64, cause| {
            let server = format!("10.0.0.2:{port}");
            let mut one = connection(&server, Opening::Completed, Closing::RstOnly, Side::default(), Side::default());
            (one.id, one.verdict.cause) = (id, cause);
            one
        };
        let mut examples = Examples::default();
        for id in (0..5).rev() {
            examples.offer(&one(id, 80, Cause::AppAbort));
            examples.offer(&one(10 + id, 80, Cause::NoState));
            examples.offer(&one(20 + id, 443, Cause::AppAbort));
            examples.offer(&one(30 + id, 443, Cause::None));
        }
        let mut ids: Vec<_> = examples.clone().into_connections().iter().map(|one| one.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, [0, 1, 2, 10, 11, 12, 20, 21, 22]);
        for port in 1000..20_000 {
            examples.offer(&one(port, port, Cause::AppAbort));
        }
        assert_eq!(examples.into_connections().len(), 9 + PAIRS - 3);
    }
}
