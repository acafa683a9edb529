//! Examples: of each server and cause the earliest connections, in bounded memory.
//!
//! What is listed by start alone has no example of what began late.

use std::net::SocketAddr;

use hashbrown::HashMap;

use crate::record::{Cause, Connection};

/// Examples of each server and cause.
const OF_EACH: usize = 3;
/// Pairs of a server and a cause; of further ones there are no examples.
const PAIRS: usize = 4096;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Examples {
    kept: HashMap<(SocketAddr, Cause), Vec<Connection>, foldhash::fast::RandomState>,
}

impl Examples {
    /// Keeps a connection, judged, if its server and cause have few examples yet, or later ones.
    pub fn offer(&mut self, connection: &Connection) {
        let cause = connection.verdict.cause;
        if cause == Cause::None {
            return;
        }
        let key = (connection.resp, cause);
        if self.kept.len() >= PAIRS && !self.kept.contains_key(&key) {
            return;
        }
        let kept = self.kept.entry(key).or_default();
        let place = kept.partition_point(|one| order(one) < order(connection));
        if place < OF_EACH {
            kept.truncate(OF_EACH - 1);
            kept.insert(place, connection.clone());
        }
    }

    /// All that were kept, by start.
    pub fn into_connections(self) -> Vec<Connection> {
        let mut all: Vec<Connection> = self.kept.into_values().flatten().collect();
        all.sort_unstable_by_key(order);
        all
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
        let ids: Vec<_> = examples.clone().into_connections().iter().map(|one| one.id).collect();
        assert_eq!(ids, [0, 1, 2, 10, 11, 12, 20, 21, 22]);
        for port in 1000..20_000 {
            examples.offer(&one(port, port, Cause::AppAbort));
        }
        assert_eq!(examples.into_connections().len(), 9 + PAIRS - 3);
    }
}
