//! Examples: of each server and cause the first connections that ended, in bounded memory.
//!
//! What is listed by start alone has no example of what began late.

use std::net::SocketAddr;

use hashbrown::HashMap;

use crate::record::{Cause, Connection};

/// Examples of each server and cause.
const OF_EACH: u8 = 3;
/// Pairs of a server and a cause; of further ones there are no examples.
const PAIRS: usize = 4096;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Examples {
    seen: HashMap<(SocketAddr, Cause), u8, foldhash::fast::RandomState>,
    kept: Vec<Connection>,
}

impl Examples {
    /// Keeps a connection, judged, if its server and cause have few examples yet.
    pub fn offer(&mut self, connection: &Connection) {
        let cause = connection.verdict.cause;
        if cause == Cause::None {
            return;
        }
        let key = (connection.resp, cause);
        if self.seen.len() >= PAIRS && !self.seen.contains_key(&key) {
            return;
        }
        let seen = self.seen.entry(key).or_insert(0);
        if *seen < OF_EACH {
            *seen += 1;
            self.kept.push(connection.clone());
        }
    }

    /// All that were kept, in the order in which they ended.
    pub fn into_connections(self) -> Vec<Connection> {
        self.kept
    }
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
        for id in 0..5 {
            examples.offer(&one(id, 80, Cause::AppAbort));
            examples.offer(&one(10 + id, 80, Cause::NoState));
            examples.offer(&one(20 + id, 443, Cause::AppAbort));
            examples.offer(&one(30 + id, 443, Cause::None));
        }
        let ids: Vec<_> = examples.clone().into_connections().iter().map(|one| one.id).collect();
        assert_eq!(ids, [0, 10, 20, 1, 11, 21, 2, 12, 22]);
        for port in 1000..20_000 {
            examples.offer(&one(port, port, Cause::AppAbort));
        }
        assert_eq!(examples.into_connections().len(), 9 + PAIRS - 3);
    }
}
