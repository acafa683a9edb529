//! Rivals: for each cause those that it is mistaken for most, and what speaks against each.
//!
//! The rules of `verdict/` decide; this table says of one decided connection why the neighbours were not chosen. A rival that
//! nothing speaks against leaves the verdict open: it is then of medium confidence at most.

pub use super::against::Against;
use super::against::{self as fact, Look};
use crate::record::{Cause, Connection};

/// A cause that a connection's might be mistaken for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rival {
    /// The cause.
    pub cause: Cause,
    /// What of this connection speaks against it, weightiest first; nothing where nothing seen does.
    pub against: Vec<Against>,
}

/// Facts that are said of one rival at most.
const MOST: usize = 2;

/// The nearest rivals of a connection's cause, each with what speaks against it.
pub fn of(one: &Connection) -> Vec<Rival> {
    let rival = |&(cause, looks): &(Cause, &[Look])| {
        let mut against: Vec<Against> = looks.iter().filter_map(|look| look(one)).collect();
        against.dedup_by_key(|one| one.fact);
        against.truncate(MOST);
        Rival { cause, against }
    };
    table(one.verdict.cause).iter().map(rival).collect()
}

type Row = (Cause, &'static [Look]);

/// The rivals of a cause, the nearest first, with the facts that tell them apart.
fn table(cause: Cause) -> &'static [Row] {
    match cause {
        // Nothing to explain, and nothing that would explain it.
        Cause::None | Cause::Unknown => &[],
        Cause::RefusedClosedPort
        | Cause::RefusedByFirewall
        | Cause::HalfOpenScan
        | Cause::SynThenRst
        | Cause::NeverAnswered
        | Cause::StaleConnectionSyn
        | Cause::AcceptQueueFull
        | Cause::SynAckUnanswered
        | Cause::IcmpUnreachable => of_opening(cause),
        Cause::DataAfterClose
        | Cause::KeepAliveRace
        | Cause::Linger2
        | Cause::RstAfterClose
        | Cause::CloseNotifyAfterClose => of_closing(cause),
        Cause::NoState
        | Cause::KeepAliveTimeout
        | Cause::ChallengeConfirmed
        | Cause::RstWithoutConnection
        | Cause::Vanished
        | Cause::RetransmissionTimeout => of_forgotten(cause),
        Cause::AbortNoData
        | Cause::AppAbort
        | Cause::ServerReplyThenReset
        | Cause::ClientAbortDownload
        | Cause::ClientAbortUpload
        | Cause::ClientGaveUp
        | Cause::RstInsteadOfFin
        | Cause::HealthCheck
        | Cause::TlsAlert
        | Cause::Explained => of_abort(cause),
        Cause::InjectedSuspect | Cause::DeviceResetBoth => of_others(cause),
    }
}

fn of_opening(cause: Cause) -> &'static [Row] {
    match cause {
        Cause::RefusedClosedPort => &[
            (Cause::RefusedByFirewall, &[fact::kernel_says, fact::same_distance]),
            (Cause::AcceptQueueFull, &[fact::no_syn_ack]),
        ],
        Cause::RefusedByFirewall => &[
            (Cause::RefusedClosedPort, &[fact::kernel_silent, fact::too_soon, fact::other_distance, fact::opened]),
            (Cause::NoState, &[fact::never_opened, fact::never_idle]),
        ],
        Cause::HalfOpenScan => &[
            (Cause::SynThenRst, &[fact::syn_ack]),
            (Cause::AbortNoData, &[fact::is_reply, fact::never_opened]),
            (Cause::StaleConnectionSyn, &[fact::syn_ack]),
        ],
        Cause::SynThenRst => &[(Cause::HalfOpenScan, &[fact::no_syn_ack]), (Cause::NeverAnswered, &[fact::rst_seen])],
        Cause::NeverAnswered => &[
            (Cause::IcmpUnreachable, &[fact::socket_error, fact::dropped_by_host, no_icmp]),
            (Cause::SynAckUnanswered, &[fact::no_syn_ack]),
            (Cause::SynThenRst, &[fact::no_rst]),
        ],
        Cause::StaleConnectionSyn => {
            &[(Cause::HalfOpenScan, &[fact::no_syn_ack]), (Cause::RefusedClosedPort, &[fact::by_client, fact::no_rst])]
        }
        Cause::AcceptQueueFull => &[
            (Cause::RetransmissionTimeout, &[fact::repeated_syn_ack, fact::server_mute]),
            (Cause::SynAckUnanswered, &[fact::client_spoke, fact::opened]),
            (Cause::NoState, &[fact::server_took_nothing, fact::repeated_syn_ack, fact::never_idle]),
        ],
        Cause::SynAckUnanswered => &[
            (Cause::AcceptQueueFull, &[fact::unacknowledged_syn_ack, fact::client_mute]),
            (Cause::HalfOpenScan, &[fact::no_rst]),
        ],
        _ => &[(Cause::NeverAnswered, &[fact::icmp, fact::socket_error]), (Cause::RefusedByFirewall, &[fact::no_rst])],
    }
}

/// There was no ICMP error of it.
fn no_icmp(one: &Connection) -> Option<Against> {
    fact::icmp(one).is_none().then(|| Against {
        fact: "icmp.errors",
        value: "0".to_owned(),
        says: "no error was reported for it, as far as such errors pass here",
    })
}

fn of_closing(cause: Cause) -> &'static [Row] {
    match cause {
        Cause::DataAfterClose => &[
            (Cause::NoState, &[fact::own_fin, fact::kernel_says]),
            (Cause::KeepAliveRace, &[fact::by_client, fact::not_crossed, fact::busy_before_fin, fact::server_mute]),
            (
                Cause::ServerReplyThenReset,
                &[fact::by_client, fact::long_after_fin, fact::server_mute, fact::idle_before_fin, fact::not_crossed],
            ),
            (Cause::RstAfterClose, &[fact::something_lost]),
        ],
        Cause::KeepAliveRace => &[
            (Cause::DataAfterClose, &[fact::crossed]),
            (Cause::NoState, &[fact::own_fin]),
            (Cause::ServerReplyThenReset, &[fact::idle_before_fin]),
        ],
        Cause::Linger2 => {
            &[(Cause::DataAfterClose, &[fact::nothing_lost]), (Cause::RstAfterClose, &[fact::one_fin_only])]
        }
        Cause::RstAfterClose => &[
            (Cause::DataAfterClose, &[fact::nothing_lost]),
            (Cause::Linger2, &[fact::both_fins]),
            (Cause::AppAbort, &[fact::both_fins, fact::own_fin, fact::is_reply]),
        ],
        _ => &[
            (Cause::DataAfterClose, &[fact::nothing_lost]),
            (Cause::ClientAbortDownload, &[fact::nothing_lost, fact::server_payload_taken]),
        ],
    }
}

fn of_forgotten(cause: Cause) -> &'static [Row] {
    match cause {
        Cause::NoState => &[
            (Cause::AppAbort, &[fact::is_reply, fact::other_distance]),
            (Cause::DataAfterClose, &[fact::no_own_fin, fact::no_fin]),
            (Cause::InjectedSuspect, &[fact::kernel_says, fact::same_distance, fact::no_mark]),
        ],
        Cause::KeepAliveTimeout => &[
            (Cause::AppAbort, &[fact::probes]),
            (Cause::RetransmissionTimeout, &[fact::probes]),
            (Cause::NoState, &[fact::is_abort]),
        ],
        Cause::ChallengeConfirmed => &[
            (Cause::InjectedSuspect, &[fact::confirmed, fact::no_mark, fact::same_distance]),
            (Cause::AppAbort, &[fact::is_reply]),
        ],
        Cause::RstWithoutConnection => {
            &[(Cause::NoState, &[fact::nothing_else]), (Cause::RstAfterClose, &[fact::nothing_else])]
        }
        Cause::Vanished => &[
            (Cause::RetransmissionTimeout, &[fact::not_repeated]),
            (Cause::ClientGaveUp, &[fact::no_fin, fact::no_rst]),
        ],
        _ => &[
            (Cause::Vanished, &[fact::repeated, fact::socket_error]),
            (Cause::AcceptQueueFull, &[fact::server_spoke, fact::by_client, fact::socket_error]),
            (Cause::KeepAliveTimeout, &[fact::repeated, fact::no_probe]),
            (Cause::InjectedSuspect, &[fact::kernel_says, fact::same_distance, fact::no_rst, fact::no_mark]),
        ],
    }
}

fn of_abort(cause: Cause) -> &'static [Row] {
    match cause {
        Cause::AbortNoData => &[
            (Cause::AppAbort, &[fact::mute]),
            (Cause::HalfOpenScan, &[fact::opened, fact::is_abort]),
            (Cause::AcceptQueueFull, &[fact::is_abort, fact::by_client]),
        ],
        Cause::AppAbort => &[
            (Cause::NoState, &[fact::kernel_says, fact::is_abort]),
            (Cause::RstInsteadOfFin, &[fact::something_lost, fact::server_mute]),
            (Cause::ServerReplyThenReset, &[fact::by_client, fact::server_mute, fact::request_taken]),
            (Cause::ClientAbortDownload, &[fact::by_server, fact::server_mute, fact::server_payload_taken]),
            (Cause::InjectedSuspect, &[fact::kernel_says, fact::same_distance, fact::no_mark]),
        ],
        Cause::ServerReplyThenReset => &[
            (Cause::AppAbort, &[fact::unread, fact::client_payload_lost]),
            (Cause::DataAfterClose, &[fact::is_abort, fact::client_payload_lost]),
            (Cause::ClientAbortUpload, &[fact::by_server]),
        ],
        Cause::ClientAbortDownload => &[
            (Cause::ClientGaveUp, &[fact::did_not_wait]),
            (Cause::AppAbort, &[fact::server_payload_lost]),
            (Cause::RetransmissionTimeout, &[fact::not_repeated, fact::never_idle]),
        ],
        Cause::ClientAbortUpload => &[
            (Cause::ServerReplyThenReset, &[fact::by_client, fact::server_mute]),
            (Cause::ClientGaveUp, &[fact::never_idle]),
            (Cause::RetransmissionTimeout, &[fact::not_repeated]),
        ],
        Cause::ClientGaveUp => &[
            (Cause::ClientAbortDownload, &[fact::waited, fact::server_mute]),
            (Cause::AppAbort, &[fact::waited]),
            (Cause::RetransmissionTimeout, &[fact::request_taken, fact::not_repeated]),
        ],
        Cause::RstInsteadOfFin => {
            &[(Cause::AppAbort, &[fact::habitual]), (Cause::ServerReplyThenReset, &[fact::nothing_lost])]
        }
        Cause::HealthCheck => &[(Cause::AbortNoData, &[fact::steady]), (Cause::HalfOpenScan, &[fact::steady])],
        Cause::TlsAlert => &[(Cause::AppAbort, &[fact::alert]), (Cause::CloseNotifyAfterClose, &[fact::alert])],
        _ => &[(Cause::AppAbort, &[fact::says_why]), (Cause::InjectedSuspect, &[fact::says_why])],
    }
}

fn of_others(cause: Cause) -> &'static [Row] {
    match cause {
        Cause::InjectedSuspect => &[
            (Cause::AppAbort, &[fact::marked, fact::kernel_silent, fact::other_distance]),
            (Cause::NoState, &[fact::marked, fact::kernel_silent, fact::was_idle]),
            (Cause::DeviceResetBoth, &[fact::rst_to_one_end]),
        ],
        _ => &[
            (Cause::InjectedSuspect, &[fact::rst_to_both_ends]),
            (Cause::AppAbort, &[fact::other_distance, fact::marked]),
            (Cause::NoState, &[fact::never_idle, fact::rst_to_both_ends]),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_but_the_two_without_explanation_has_rivals_and_facts_against_them() {
        for &cause in Cause::ALL {
            let rivals = table(cause);
            assert_eq!(rivals.is_empty(), matches!(cause, Cause::None | Cause::Unknown), "{cause}");
            let mut names: Vec<_> = rivals.iter().map(|(rival, _)| rival.id()).collect();
            assert!(!names.contains(&cause.id()), "{cause} is its own rival");
            assert!(rivals.iter().all(|(_, looks)| !looks.is_empty()), "{cause}");
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), rivals.len(), "{cause} names a rival twice");
        }
    }
}
