//! Kinds of findings: stable id, weight and threshold of each.

/// How much a finding matters, most first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Weight {
    /// Somebody loses something, or is not served.
    Problem,
    /// Worth knowing when one reads the numbers.
    Notice,
    /// Usual, and costs nothing.
    Benign,
}

impl Weight {
    /// Stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Notice => "notice",
            Self::Benign => "benign",
        }
    }
}

/// One kind of finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    /// Stable id, for JSON and `rstprobe explain`.
    pub id: &'static str,
    /// How much it matters.
    pub weight: Weight,
    /// From what on it is a finding, for people.
    pub threshold: &'static str,
}

/// Declares the kinds, and the list of them.
macro_rules! kinds {
    ($($name:ident $id:literal $weight:ident $threshold:literal;)+) => {
        $(#[doc = concat!("`", $id, "`.")] pub(super) const $name: &Kind =
            &Kind { id: $id, weight: Weight::$weight, threshold: $threshold };)+
        /// Every kind.
        pub const KINDS: &[&Kind] = &[$($name),+];
    };
}

kinds! {
    SERVICE_REFUSES "service_refuses" Problem "3 refused attempts, 5 % of the server's attempts";
    SERVICE_FIREWALLED "service_firewalled" Problem "3 refused attempts, 5 % of the server's attempts";
    SERVICE_UNREACHABLE "service_unreachable" Problem "3 attempts that an ICMP error ended, 5 % of the server's attempts; servers with fewer are told together";
    SERVICE_SILENT "service_silent" Problem "3 unanswered attempts, 5 % of the server's attempts";
    ACCEPT_QUEUE_FULL "accept_queue_full" Problem "2 connections";
    SERVER_RESETS "server_resets" Problem "3 resets of established connections, 1 % of them, something lost";
    KEEPALIVE_RACES "keepalive_races" Problem "2 requests that met a closed connection, 0.1 % of the established ones";
    IDLE_TIMEOUT "idle_timeout" Notice "5 resets after the same idle time, half of all resets after idling";
    CLIENTS_GIVE_UP "clients_give_up" Problem "3 connections, 1 % of the established ones";
    UPLOADS_REJECTED "uploads_rejected" Problem "3 connections, 1 % of the established ones";
    DOWNLOADS_CUT "downloads_cut" Notice "3 connections, 1 % of the established ones";
    TLS_REFUSED "tls_refused" Problem "3 connections, 1 % of the established ones";
    PATH_LOST "path_lost" Problem "3 connections to one /24 or /64";
    STALE_PORTS "stale_ports" Problem "2 attempts";
    HALF_OPEN "half_open" Problem "10 connections, 10 % of the server's attempts";
    FORGED_RESETS "forged_resets" Problem "1 connection; servers with one each are told together";
    DEVICE_RESETS "device_resets" Problem "2 connections";
    SYN_FLOOD "syn_flood" Problem "1,000 SYNs that were only counted by service";
    SCAN "scan" Problem "20 connections of one client without any exchange, 90 % of its connections";
    HALF_VIEW "half_view" Notice "10 % of the connections, or an interface whose outgoing traffic is not seen";
    CAPTURE "capture" Notice "1 % copies, 1 % bytes or connections with bytes that were never seen";
    HABITUAL_RST "habitual_rst" Benign "1 connection";
    HEALTH_CHECKS "health_checks" Benign "1 connection";
    LATE_CLOSE_NOTIFY "late_close_notify" Benign "1 connection";
    RST_AFTER_CLOSE "rst_after_close" Benign "1 connection";
}
