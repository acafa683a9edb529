//! Names of enum values: the stable id and the explanation of each cause, impact, closing and confidence, as outputs and
//! filters use them.

use crate::record::{
    Basis, Cause, Closing, Confidence, ConnState, Impact, Opening, Orientation, ResetBy, Stage, Written,
};

/// Implements `ALL`, `as_str` and `meaning` for an enum without fields.
macro_rules! names {
    ($type:ty { $($variant:ident => $name:literal, $meaning:literal;)+ }) => {
        impl $type {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Stable name for outputs and filters.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// One line for people.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

names!(Orientation {
    Syn => "syn", "the client's SYN was seen";
    SynAck => "syn_ack", "only the server's SYN-ACK was seen";
    ServicePort => "service_port", "the server has a well-known service port";
    Remembered => "remembered", "known from an earlier connection: of the same ports, or to the same server";
    FirstSender => "first_sender", "a guess: who sent the first segment seen";
});

names!(Opening {
    Completed => "completed", "the handshake was completed";
    HalfOpen => "half_open", "SYN and SYN-ACK, no acknowledgement by the client";
    Refused => "refused", "the SYN was answered by an RST";
    OneSided => "one_sided", "the originator's own segments show an answer that was not seen";
    Unanswered => "unanswered", "the SYN was not answered";
    NotSeen => "not_seen", "the opening was not seen, or only one direction of it";
});

names!(Closing {
    TwoFins => "two_fins", "both sides sent FIN";
    FinAndRst => "fin_and_rst", "FIN and RST";
    RstOnly => "rst_only", "RST without any FIN";
    RstWithoutConnection => "rst_without_connection", "RST that belongs to no connection seen";
    Refused => "refused", "the SYN was answered by an RST";
    NeverAnswered => "never_answered", "the SYN was never answered";
    HalfOpen => "half_open", "SYN and SYN-ACK, then nothing";
    HalfClosed => "half_closed", "FIN from one side only, and no end";
    OneSided => "one_sided", "one direction was never seen: how it ended is unknown";
    Vanished => "vanished", "segments went unacknowledged, then silence";
    Open => "open", "no end was seen";
});

names!(ResetBy {
    None => "none", "no RST ended it";
    Client => "client", "the client reset it";
    Server => "server", "the server reset it";
    Middle => "middle", "a device between client and server reset it, as the facts show";
    Unknown => "unknown", "it was reset; by whom is not known";
});

names!(Written {
    Closed => "closed", "it ended and the linger time passed";
    AttemptTimeout => "attempt_timeout", "an attempt without answer in time";
    Inactive => "inactive", "no segment for the inactivity timeout";
    Reused => "reused", "a new connection took the same addresses and ports";
    Evicted => "evicted", "pushed out because the table was full";
    StillTracked => "still_tracked", "the source ended, or was asked, while it was tracked";
});

names!(Basis {
    AllSegments => "all_segments", "every segment was counted";
    BeforeSegmentation => "before_segmentation", "what this host sent was counted before segmentation offload";
    ControlOnly => "control_only", "only SYN, FIN and RST were counted";
});

names!(Confidence {
    Low => "low", "a hint among several explanations";
    Medium => "medium", "the best explanation; rivals remain";
    High => "high", "no other known cause leaves these facts";
});

names!(Impact {
    None => "none", "nothing was lost: all was acknowledged, except perhaps a TLS close_notify";
    RequestLost => "request_lost", "a request was not received, or discarded";
    ResponseLost => "response_lost", "a request was received, and its answer never arrived";
    TransferCut => "transfer_cut", "payload was on the way, or its sender went on";
    AttemptFailed => "attempt_failed", "there was no connection";
    Unknown => "unknown", "too little was seen to decide";
});

names!(Stage {
    PostSyn => "post_syn", "reset after the client's SYN, before the handshake was completed";
    PostAck => "post_ack", "reset after the handshake, before the client sent anything";
    PostPsh => "post_psh", "reset after the client's first payload";
    Later => "later", "reset after more payload, within the client's first ten segments";
});

names!(ConnState {
    S0 => "S0", "attempt seen, no reply";
    S1 => "S1", "established, not ended";
    SF => "SF", "established and ended by FIN from both sides";
    REJ => "REJ", "attempt rejected";
    S2 => "S2", "established, close attempt by the originator only";
    S3 => "S3", "established, close attempt by the responder only";
    RSTO => "RSTO", "reset by the originator";
    RSTR => "RSTR", "reset by the responder";
    RSTOS0 => "RSTOS0", "SYN, then RST by the originator, no SYN-ACK seen";
    RSTRH => "RSTRH", "reset by the responder, the originator's SYN was not seen";
    SH => "SH", "SYN, then FIN by the originator, no SYN-ACK seen";
    SHR => "SHR", "SYN-ACK, then FIN by the responder, the originator's SYN was not seen";
    OTH => "OTH", "no SYN seen: mid-stream traffic that was not ended";
});

names!(Cause {
    None => "none", "orderly end, or no end yet";
    Unknown => "unknown", "there was an RST, and its facts fit no known cause";
    RefusedClosedPort => "refused_closed_port", "nobody listens on the port, or a firewall answered in the host's name";
    RefusedByFirewall => "refused_by_firewall", "a device on the path refused the connection";
    HalfOpenScan => "half_open_scan", "the client reset right after the SYN-ACK: a half-open scan or a cancelled connect";
    SynThenRst => "syn_then_rst_no_answer", "the client reset its own attempt before any answer";
    NeverAnswered => "never_answered", "the server never answered: down, filtered, or the answer took another way";
    AbortNoData => "abort_no_data", "established and aborted without a byte: a health check, a connect scan, a change of mind";
    AppAbort => "app_abort", "the application or its kernel aborted: unread data at close, SO_LINGER 0, kill, socket destroyed";
    ServerReplyThenReset => "server_reply_then_reset", "the server answered early and reset while the request was still arriving";
    ClientAbortDownload => "client_abort_download", "the client stopped a transfer half-way";
    DataAfterClose => "data_after_close", "data reached a side that had closed already";
    KeepAliveRace => "keepalive_race", "a request crossed the server's idle close";
    NoState => "no_state", "the host or a device on the path no longer knew the connection: restart or idle expiry";
    KeepAliveTimeout => "keepalive_timeout", "keep-alive probes went unanswered";
    StaleConnectionSyn => "stale_connection_syn", "a SYN met a connection that the client had forgotten";
    ChallengeConfirmed => "challenge_confirmed", "an inexact RST was challenged and confirmed by its sender";
    Linger2 => "linger2", "the closing side did not wait for the other FIN";
    RstAfterClose => "rst_after_close", "RST after a close: nothing was lost";
    RstInsteadOfFin => "rst_instead_of_fin", "this side ends its connections by RST out of habit";
    InjectedSuspect => "injected_suspect", "the RST bears marks of injection";
    DeviceResetBoth => "device_reset_both", "a device on the path reset both ends";
    RstWithoutConnection => "rst_without_connection", "RST for a connection that was never seen: backscatter, or one-sided view";
    Vanished => "vanished", "data went unacknowledged, then silence, no RST";
    Explained => "explained", "the RST carries its reason as text";
    CloseNotifyAfterClose => "close_notify_after_close", "a TLS close_notify met a side that had closed: harmless";
    ClientGaveUp => "client_gave_up", "the client ended it while it waited for an answer";
    ClientAbortUpload => "client_abort_upload", "the client stopped while it was sending";
    AcceptQueueFull => "accept_queue_full", "the server's accept queue was full: its application does not accept fast enough";
    RetransmissionTimeout => "retransmission_timeout", "payload was sent again and again, and nobody acknowledged it";
    SynAckUnanswered => "syn_ack_unanswered", "the server's SYN-ACK was never answered: a spoofed SYN, or a lost return path";
    IcmpUnreachable => "icmp_unreachable", "an ICMP error said that the other side cannot be reached";
    TlsAlert => "tls_alert", "a TLS alert gives the reason";
    HealthCheck => "health_check", "a monitor looks at steady intervals whether the service accepts: harmless";
});

impl Cause {
    /// Stable id in outputs; the same as [`Cause::as_str`].
    pub fn id(self) -> &'static str {
        self.as_str()
    }

    /// One line for people; the same as [`Cause::meaning`].
    pub fn explanation(self) -> &'static str {
        self.meaning()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_section_in_the_docs() {
        let docs = include_str!("../../docs/causes.md");
        for cause in Cause::ALL {
            assert!(docs.contains(&format!("\n### `{}`\n", cause.id())), "no section on {cause}");
        }
        assert_eq!(docs.matches("\n### `").count(), Cause::ALL.len(), "a section on no cause");
    }

    #[test]
    fn words_are_listed_in_the_order_of_their_numbers() {
        assert!(Cause::ALL.iter().enumerate().all(|(at, &cause)| cause as usize == at));
        assert!(Closing::ALL.iter().enumerate().all(|(at, &closing)| closing as usize == at));
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Cause::ALL.iter().map(|cause| cause.id()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Cause::ALL.len());
    }
}
