//! A situation of the zoo: what is played, and what is true of each of its connections.

use super::packets::View;

/// Ports of one situation, the first of which is its server's.
pub const PORTS: u16 = 4;
/// First port of the first situation.
pub const FIRST_PORT: u16 = 10_000;

/// One thing that real programs do.
#[derive(Clone, Debug)]
pub struct Situation {
    /// Stable name.
    pub name: &'static str,
    /// What happens, in one line.
    pub what: &'static str,
    /// Played as a test too: quick, and reliably staged.
    pub core: bool,
    /// Programs without which it is skipped.
    pub needs: Vec<&'static str>,
    /// Script that runs in the server's namespace until it is ended; empty when there is none.
    pub server: String,
    /// Script that runs in the client's namespace to its end.
    pub client: String,
    /// What is true, in order: the first whose condition holds of a connection as it passed the place counts.
    pub truths: Vec<Truth>,
    /// At least so many connections must have met a truth that is not a mere bystander's.
    pub least: usize,
}

/// What is true of a connection.
#[derive(Clone, Debug)]
pub struct Truth {
    /// When this is the truth, by the packets.
    pub when: fn(&View) -> bool,
    /// Causes that are right.
    pub causes: &'static [&'static str],
    /// Who ended it by RST.
    pub by: &'static [&'static str],
    /// What was lost.
    pub impacts: &'static [&'static str],
    /// This is what the situation is about; others come along.
    pub is_premise: bool,
}

impl Situation {
    /// One that is played as a test too.
    pub fn new(name: &'static str, what: &'static str) -> Self {
        let (server, client) = (String::new(), String::new());
        Self { name, what, core: true, needs: vec![], server, client, truths: vec![], least: 1 }
    }

    /// Its server's script.
    #[must_use]
    pub fn server(mut self, script: &str) -> Self {
        script.clone_into(&mut self.server);
        self
    }

    /// Its client's script.
    #[must_use]
    pub fn client(mut self, script: &str) -> Self {
        script.clone_into(&mut self.client);
        self
    }

    /// Programs that it needs, besides python3 and curl.
    #[must_use]
    pub fn needs(mut self, programs: &[&'static str]) -> Self {
        self.needs.extend_from_slice(programs);
        self
    }

    /// What is true of its connections.
    #[must_use]
    pub fn truth(mut self, truths: impl IntoIterator<Item = Truth>) -> Self {
        self.truths.extend(truths);
        self
    }

    /// What is true of its connections, instead of what was said before.
    #[must_use]
    pub fn instead(mut self, truths: impl IntoIterator<Item = Truth>) -> Self {
        self.truths = truths.into_iter().collect();
        self
    }

    /// How many connections must have met the premise.
    #[must_use]
    pub fn least(mut self, connections: usize) -> Self {
        self.least = connections;
        self
    }

    /// Too slow, or too seldom staged, for a test.
    #[must_use]
    pub fn not_core(mut self) -> Self {
        self.core = false;
        self
    }

    /// The truth about a connection as it passed a place.
    pub fn truth_of(&self, view: &View) -> Option<&Truth> {
        self.truths.iter().find(|truth| (truth.when)(view))
    }
}

impl Truth {
    /// A truth that is what the situation is about.
    pub const fn new(
        when: fn(&View) -> bool,
        causes: &'static [&'static str],
        by: &'static [&'static str],
        impacts: &'static [&'static str],
    ) -> Self {
        Self { when, causes, by, impacts, is_premise: true }
    }

    /// The same, of connections that merely come along.
    #[must_use]
    pub const fn aside(mut self) -> Self {
        self.is_premise = false;
        self
    }
}

/// Ends orderly, without RST.
pub const ORDERLY: Truth = Truth::new(View::has_no_rst, &["none"], &["none"], &["none"]);
/// No RST where one was to be: it comes along, and is no premise.
pub const NO_RST: Truth = ORDERLY.aside();
/// A TLS goodbye, or nothing at all, met a client that was gone.
pub const TLS_TAIL: Truth = Truth::new(
    View::is_reset_by_client,
    &["close_notify_after_close", "rst_after_close"],
    &["client", "none"],
    &["none"],
);
/// Both goodbyes met nobody.
pub const TLS_TAILS: Truth = Truth::new(
    View::is_reset_by_both,
    &["close_notify_after_close", "rst_after_close"],
    &["client", "server", "none"],
    &["none"],
);
/// The client's goodbye met a server that was gone.
pub const TLS_TAIL_SERVER: Truth = Truth::new(
    View::is_reset_by_server,
    &["close_notify_after_close", "rst_after_close"],
    &["server", "none"],
    &["none"],
);
/// What a tracker makes of segments that come after the end of a connection: nothing that alarms.
pub const LEFTOVER: Truth = Truth::new(
    View::any,
    &["rst_after_close", "data_after_close", "no_state", "rst_without_connection", "none", "unknown"],
    &["client", "server", "middle", "none", "unknown"],
    // What is sent again and again is lost, too.
    &["none", "unknown", "request_lost"],
)
.aside();
/// A request was written on a connection that the server had closed.
pub const STALE: Truth =
    Truth::new(View::is_reset_by_server, &["data_after_close", "keepalive_race"], &["server"], &["request_lost"]);
/// A client did not wait for its answer.
pub const GAVE_UP: Truth = Truth::new(View::is_reset_by_client, &["client_gave_up"], &["client"], &["response_lost"]);
/// The same, where the server's own RST came first.
pub const GAVE_UP_SERVER: Truth =
    Truth::new(View::is_reset_by_server, &["client_gave_up"], &["client", "server"], &["response_lost"]);
/// A client stopped a download.
pub const DOWNLOAD_STOPPED: Truth =
    Truth::new(View::has_rst, &["client_abort_download"], &["client"], &["transfer_cut"]);
/// The same without RST: all that was sent had arrived, and both closed.
pub const DOWNLOAD_SILENT: Truth =
    Truth::new(View::has_no_rst, &["none", "client_abort_download"], &["none"], &["none", "transfer_cut"]);
/// A server answered before it had read all, and closed.
pub const EARLY_REPLY: Truth =
    Truth::new(View::is_reset_by_server, &["server_reply_then_reset"], &["server"], &["request_lost", "transfer_cut"]);
