//! Equivalent causes: groups that packets cannot tell apart, with the reason; a verdict within the expected group counts
//! as right.
//!
//! A verdict of the expected cause's group counts as right. Every other one is wrong, and when its confidence is high it
//! fails the laboratory.

use super::views::View;

/// Causes that look alike.
#[derive(Debug)]
pub struct Group {
    /// Short name.
    pub name: &'static str,
    /// Its causes.
    pub causes: &'static [&'static str],
    /// From where they look alike.
    pub views: &'static [View],
    /// Why.
    pub reason: &'static str,
}

const EVERYWHERE: &[View] = View::ALL;
const PARTLY: &[View] = &[View::LateStart, View::ClientLeg, View::ServerLeg];
const ONE_SIDED: &[View] = &[View::ClientLeg, View::ServerLeg];

/// All groups.
pub const GROUPS: &[Group] = &[
    Group {
        name: "refusal",
        causes: &["refused_closed_port", "refused_by_firewall"],
        views: EVERYWHERE,
        reason: "a host and a firewall refuse with the same header; only the TTL tells, if the server's own is known",
    },
    Group {
        name: "abort",
        causes: &["app_abort", "server_reply_then_reset", "client_abort_download", "rst_instead_of_fin"],
        views: EVERYWHERE,
        reason: "one header for every abort; what else was under way is a matter of milliseconds",
    },
    Group {
        name: "after own close",
        causes: &["data_after_close", "keepalive_race", "linger2", "client_abort_download"],
        views: EVERYWHERE,
        reason: "a reply to something that crossed or followed the FIN: intent shows only in the time between them",
    },
    Group {
        name: "unfinished",
        causes: &["none", "vanished", "retransmission_timeout"],
        views: EVERYWHERE,
        reason: "silence is no end before the inactivity timeout has passed; how often payload was repeated in it is counted apart \
                 on the live path",
    },
    Group {
        name: "request not seen",
        causes: &["app_abort", "client_gave_up"],
        views: PARTLY,
        reason: "whether a request was waiting for its answer shows only where both were seen",
    },
    Group {
        name: "challenge",
        causes: &["challenge_confirmed", "stale_connection_syn"],
        views: EVERYWHERE,
        reason: "both are the RST that answers a challenge ACK; they differ in what was challenged",
    },
    Group {
        name: "unknown to the host",
        causes: &["no_state", "rst_without_connection", "unknown"],
        views: EVERYWHERE,
        reason: "a host that knows no connection: never had it, forgot it, or was not seen to have it",
    },
    Group {
        name: "opening not seen",
        causes: &["abort_no_data", "half_open_scan", "syn_then_rst_no_answer", "app_abort", "rst_without_connection"],
        views: PARTLY,
        reason: "whether there was an answer, a handshake or data cannot be said of what was not seen",
    },
    Group {
        name: "FIN not seen",
        causes: &[
            "no_state",
            "data_after_close",
            "keepalive_race",
            "linger2",
            "client_abort_download",
            "rst_after_close",
        ],
        views: PARTLY,
        reason: "a reply means a close before it or no state; which one, the direction not seen would tell",
    },
    Group {
        name: "device",
        causes: &["injected_suspect", "device_reset_both", "app_abort", "server_reply_then_reset"],
        views: ONE_SIDED,
        reason: "of two RSTs only one is seen, and over IPv6 only its hop limit is odd: another route, or another host",
    },
    Group {
        name: "answer not seen",
        causes: &["refused_closed_port", "refused_by_firewall", "half_open_scan", "never_answered"],
        views: ONE_SIDED,
        reason: "a SYN alone: the answer took another way",
    },
    Group {
        name: "trigger not seen",
        causes: &[
            "stale_connection_syn",
            "challenge_confirmed",
            "no_state",
            "half_open_scan",
            "syn_then_rst_no_answer",
        ],
        views: ONE_SIDED,
        reason: "a reply by a host: what it answers went the other way",
    },
];

/// Said in a partial view when the end itself, or all that would explain it, was not seen.
const UNSEEN: &[&str] = &["none", "vanished", "rst_without_connection", "unknown"];

/// What a verdict is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grade {
    /// The expected cause.
    Right,
    /// One of its group.
    Alike(&'static str),
    /// Neither.
    Wrong,
}

/// Grades `said` where one of `expected` was to be said.
pub fn grade(view: View, expected: &[&str], said: &str) -> Grade {
    if expected.contains(&said) {
        return Grade::Right;
    }
    let alike = |group: &&Group| {
        let has = |cause: &&str| group.causes.contains(cause);
        group.views.contains(&view) && has(&said) && expected.iter().any(has)
    };
    match GROUPS.iter().find(alike) {
        Some(group) => Grade::Alike(group.name),
        None if PARTLY.contains(&view) && UNSEEN.contains(&said) => Grade::Alike("end not seen"),
        None => Grade::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use probe_user::record::Cause;

    use super::*;

    #[test]
    fn every_cause_of_the_table_exists() {
        let known: Vec<&str> = Cause::ALL.iter().map(|cause| cause.id()).collect();
        for cause in GROUPS.iter().flat_map(|group| group.causes).chain(UNSEEN) {
            assert!(known.contains(cause), "{cause}");
        }
        assert!(GROUPS.iter().all(|group| !group.reason.is_empty() && group.causes.len() > 1));
    }

    #[test]
    fn alike_is_not_transitive_and_depends_on_the_view() {
        assert_eq!(grade(View::BothLegs, &["app_abort"], "app_abort"), Grade::Right);
        assert_eq!(grade(View::BothLegs, &["app_abort"], "client_abort_download"), Grade::Alike("abort"));
        assert_eq!(grade(View::BothLegs, &["app_abort"], "data_after_close"), Grade::Wrong);
        assert_eq!(grade(View::BothLegs, &["app_abort"], "none"), Grade::Wrong);
        assert_eq!(grade(View::ClientLeg, &["app_abort"], "none"), Grade::Alike("end not seen"));
        assert_eq!(grade(View::BothLegs, &["none"], "injected_suspect"), Grade::Wrong);
    }
}
