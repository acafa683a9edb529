//! Findings about one client.

use super::{Finding, Observed, Shown, Subject, is_enough, kinds::SCAN, share};
use crate::{aggregate::GroupKey, record::Cause};

/// Causes of connections that exchanged nothing.
const NOTHING: [Cause; 5] =
    [Cause::HalfOpenScan, Cause::SynThenRst, Cause::RefusedClosedPort, Cause::NeverAnswered, Cause::RefusedByFirewall];

/// Clients that look for services: many connections without any exchange, and hardly another.
pub(super) fn all(observed: &Observed<'_>, findings: &mut Vec<Finding>) {
    for (key, group) in observed.aggregate.clients.iter() {
        let GroupKey::Client(client) = key else { continue };
        let count: u64 = group.causes().filter(|(cause, _)| NOTHING.contains(cause)).map(|(_, count)| count).sum();
        let of = group.totals.connections;
        if !is_enough(count, of, 20, 90) {
            continue;
        }
        let Shown { since_ns, ids } = observed.examples(&NOTHING, count, |one| one.orig.ip() == client);
        findings.push(Finding {
            kind: SCAN,
            subject: Subject::Client(client),
            sentence: format!(
                "{client}: {} connections led to nothing: a scan, a flood from one address, or a client of services that are \
                 gone",
                share(count, of)
            ),
            next_step: format!("`--filter 'client.ip = {client}'` lists what it tried"),
            count,
            of,
            since_ns,
            examples: ids,
            // The next step has it.
            filter: None,
        });
    }
}
