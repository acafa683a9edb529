//! Kernel reasons in verdicts: the resetting host's own kernel (`tcp:tcp_send_reset`, `enum sk_rst_reason`, Linux 6.10) breaks
//! ties and overrules.

use super::{Case, Reset};
use crate::{
    record::{Cause, Confidence, ResetBy},
    tcp::close_details::{KernelReason, Rst},
    verdict::outcome,
};

/// Causes that a reason of the kernel allows.
struct Word {
    reason: &'static str,
    allowed: &'static [Cause],
    /// What it is where packets say something else.
    otherwise: Cause,
}

/// include/net/rstreason.h, and where each is given: net/ipv4/tcp.c (`__tcp_close`, `tcp_abort`, `tcp_disconnect`),
/// net/ipv4/tcp_input.c (`tcp_rcv_state_process`), net/ipv4/tcp_ipv4.c (`tcp_v4_rcv`), net/ipv4/tcp_timer.c.
const WORDS: &[Word] = &[
    Word { reason: "TCP_KEEPALIVE_TIMEOUT", allowed: &[Cause::KeepAliveTimeout], otherwise: Cause::KeepAliveTimeout },
    Word {
        reason: "NO_SOCKET",
        allowed: &[
            Cause::RefusedClosedPort,
            Cause::NoState,
            Cause::HalfOpenScan,
            Cause::StaleConnectionSyn,
            Cause::DataAfterClose,
            Cause::RstAfterClose,
            Cause::CloseNotifyAfterClose,
            Cause::ClientGaveUp,
            Cause::ClientAbortDownload,
            Cause::KeepAliveRace,
            Cause::ServerReplyThenReset,
            Cause::AcceptQueueFull,
            Cause::RetransmissionTimeout,
            Cause::ChallengeConfirmed,
        ],
        otherwise: Cause::NoState,
    },
    Word {
        reason: "TCP_TIMEWAIT_SOCKET",
        allowed: &[
            Cause::DataAfterClose,
            Cause::ClientAbortDownload,
            Cause::RstAfterClose,
            Cause::KeepAliveRace,
            Cause::CloseNotifyAfterClose,
            Cause::ClientGaveUp,
            Cause::ServerReplyThenReset,
        ],
        otherwise: Cause::DataAfterClose,
    },
    // Closed with payload unread.
    Word { reason: "TCP_ABORT_ON_CLOSE", allowed: ABORTS, otherwise: Cause::AppAbort },
    Word { reason: "TCP_ABORT_ON_MEMORY", allowed: ABORTS, otherwise: Cause::AppAbort },
    Word { reason: "TCP_STATE", allowed: ABORTS, otherwise: Cause::AppAbort },
    Word { reason: "TCP_DISCONNECT_WITH_DATA", allowed: ABORTS, otherwise: Cause::AppAbort },
    Word { reason: "TCP_ABORT_ON_DATA", allowed: AFTER_CLOSE, otherwise: Cause::DataAfterClose },
    Word { reason: "TCP_ABORT_ON_LINGER", allowed: AFTER_CLOSE, otherwise: Cause::Linger2 },
];

const ABORTS: &[Cause] = &[
    Cause::AppAbort,
    Cause::AbortNoData,
    Cause::ClientAbortDownload,
    Cause::ClientAbortUpload,
    Cause::ClientGaveUp,
    Cause::ServerReplyThenReset,
    Cause::CloseNotifyAfterClose,
    Cause::RstInsteadOfFin,
    Cause::RstAfterClose,
];

const AFTER_CLOSE: &[Cause] = &[
    Cause::Linger2,
    Cause::DataAfterClose,
    Cause::ClientAbortDownload,
    Cause::ClientGaveUp,
    Cause::CloseNotifyAfterClose,
    Cause::KeepAliveRace,
    Cause::ServerReplyThenReset,
];

impl Case<'_> {
    /// The kernel of its sender says that the application closed with payload unread (`tcp_close`).
    pub(crate) fn has_left_unread(&self, rst: &Rst) -> bool {
        let name = |kernel: KernelReason| self.kernel_reasons.get(usize::from(kernel.reason)).map(String::as_str);
        rst.kernel.and_then(name) == Some("TCP_ABORT_ON_CLOSE")
    }
}

impl Reset<'_> {
    /// Name of the reason that the sender's own kernel gave (`enum sk_rst_reason`), and whether a segment provoked it.
    pub(crate) fn kernel_reason(&self) -> Option<(&str, bool)> {
        let kernel = self.rst.kernel?;
        let name = self.case.kernel_reasons.get(usize::from(kernel.reason)).map_or("unknown", String::as_str);
        Some((name, kernel.provoked))
    }

    /// It left from this host, and the kernel's TCP, which tells each reset that it sends, did not send it.
    pub(crate) fn is_unsent_by_tcp(&self) -> bool {
        self.case.is_kernel_silent[self.side]
    }

    /// Who ended it: what this host's firewall sent is the host's.
    pub(crate) fn ended_by(&self, cause: Cause) -> ResetBy {
        if self.is_unsent_by_tcp() { self.sender() } else { outcome::reset_by(self.case, self.sender(), cause) }
    }

    /// See [`Case::has_left_unread`].
    pub(crate) fn left_unread(&self) -> bool {
        self.case.has_left_unread(self.rst)
    }

    /// A server left payload of its client's unread that was no farewell: the client had not closed. Where it is not known who
    /// serves, a client may have left an answer so.
    pub(crate) fn left_request_unread(&self) -> bool {
        let had_closed = self.case.fin_of(self.case.client()).is_some();
        self.left_unread() && !self.is_by_client() && !self.case.is_guess && !had_closed
    }

    /// The kernel's word decides between what packets leave open, overrules what contradicts it, and makes sure of what it
    /// agrees with.
    pub(crate) fn with_kernel(&self, cause: Cause, confidence: Confidence) -> (Cause, Confidence) {
        let Some((reason, _)) = self.kernel_reason() else {
            return if self.is_unsent_by_tcp() { not_of_tcp(cause, confidence) } else { (cause, confidence) };
        };
        // The peer's own words, or a choice that no reason of this kernel is about.
        if matches!(cause, Cause::Explained | Cause::TlsAlert) {
            return (cause, confidence);
        }
        if cause == Cause::AppAbort && self.left_unread() && self.is_by_client() && self.had_much_of_answer() {
            return (Cause::ClientAbortDownload, Confidence::Medium);
        }
        if cause == Cause::AppAbort && self.left_request_unread() && self.has_just_replied() {
            return (Cause::ServerReplyThenReset, Confidence::Medium);
        }
        let Some(word) = WORDS.iter().find(|word| word.reason == reason) else { return (cause, confidence) };
        let is_refusal = reason == "NO_SOCKET" && cause == Cause::RefusedByFirewall;
        if is_refusal {
            return (Cause::RefusedClosedPort, Confidence::High);
        }
        if !word.allowed.contains(&cause) {
            return (word.otherwise, Confidence::Medium);
        }
        // That a socket had closed, or is no more, does not say why; nor does a reason of aborts tell one abort from another.
        let decides = matches!(
            (reason, cause),
            ("TCP_KEEPALIVE_TIMEOUT", Cause::KeepAliveTimeout)
                | ("NO_SOCKET", Cause::RefusedClosedPort | Cause::HalfOpenScan)
                | (_, Cause::AppAbort | Cause::AbortNoData)
        );
        // It may be no more than its answer to the other side's close: who ended it then is a question of time.
        let decides = decides && !(cause == Cause::AppAbort && self.rst.peer.has_sent_fin());
        (cause, if decides { Confidence::High } else { confidence })
    }
}

/// A firewall of this host (`nf_send_reset` in net/ipv4/netfilter/nf_reject_ipv4.c), or a program with a raw socket.
fn not_of_tcp(cause: Cause, confidence: Confidence) -> (Cause, Confidence) {
    match cause {
        Cause::RefusedClosedPort | Cause::RefusedByFirewall => (Cause::RefusedByFirewall, Confidence::High),
        Cause::NoState | Cause::AppAbort | Cause::AbortNoData | Cause::RstInsteadOfFin => {
            (Cause::InjectedSuspect, Confidence::Medium)
        }
        _ => (cause, confidence),
    }
}
