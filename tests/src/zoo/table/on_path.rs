//! Situations on the path: what firewalls, routers and injectors do to established connections, and paths that are gone.

use crate::zoo::{
    packets::View,
    situation::{NO_RST, Situation, Truth},
};

/// Answers as often as it is asked, and after a line that begins with `later` only half a second afterwards.
const SERVER: &str = "py 'def f(s):
    while header(s): answer(s)
serve(f)'";
const PUSHES: &str = "py 'serve(lambda s: (header(s), answer(s), header(s), sleep(.8), answer(s), drain(s)))'";
const UP: &str = "until [ -e up ]; do sleep .05; done";

/// The RST came from in between, towards the client.
const BY_DEVICE: Truth = Truth::new(
    View::is_reset_in_between,
    &["no_state", "injected_suspect", "refused_by_firewall", "device_reset_both"],
    &["middle"],
    &["request_lost", "response_lost", "transfer_cut"],
);
/// At the other end nothing was to be seen.
const UNSEEN: Truth = Truth::new(
    View::has_no_rst,
    &["none", "vanished", "retransmission_timeout", "client_gave_up"],
    &["none"],
    &["none", "unknown", "response_lost", "transfer_cut"],
)
.aside();

fn new(name: &'static str, what: &'static str, client: &str) -> Situation {
    Situation::new(name, what).server(SERVER).client(client).needs(&["nft"])
}

fn writes(rule: &str) -> String {
    format!("py 's = connect(); get(s); open(\"up\", \"w\"); sleep(.8); s.sendall(GET); drain(s)' & {UP}; {rule}; wait")
}

/// The situations.
pub(super) fn situations() -> Vec<Situation> {
    vec![
        new("fw_router_mid", "the router begins to reject an established connection; the client writes",
            &writes("router_rule tcp dport $PORT reject with tcp reset"))
            .truth([BY_DEVICE, UNSEEN]),
        new("fw_server_mid", "the server's own firewall begins to reject it",
            &writes("server_rule tcp dport $PORT reject with tcp reset"))
            .truth([Truth::new(View::is_reset_by_server, &["no_state", "injected_suspect", "app_abort"], &["server", "middle"], &["request_lost"]), NO_RST]),
        new("conntrack_flush", "a stateful router forgets, and rejects what is invalid", &writes(CONNTRACK))
            .truth([BY_DEVICE, UNSEEN])
            .needs(&["conntrack"]),
        new("keepalive_probes", "the path is gone; the client's keep-alive probes give up", KEEPALIVE)
            .truth([
                Truth::new(View::is_reset_by_client, &["keepalive_timeout"], &["client"], &["none"]),
                UNSEEN,
            ]),
        new("user_timeout", "the path is gone; the client's TCP_USER_TIMEOUT of 1.5 s; path and answer come back", USER_TIMEOUT)
            .truth([
                Truth::new(View::is_before_a_loss, &["retransmission_timeout", "client_gave_up", "vanished", "no_state"], &["client", "none"], &["request_lost", "response_lost"]),
                Truth::new(View::any, &["no_state", "none"], &["client", "none"], &["none", "unknown"]).aside(),
            ]),
        new("blackhole_download", "the path is gone in the middle of a download; curl gives up after 2 s",
            "router() { sleep .6; blackhole; }; router & curl -m 2.5 $U/; wait")
            .server("py 'def f(s):\n    header(s)\n    while 1: s.sendall(b\"x\" * 5000); sleep(.02)\nserve(f)'")
            .truth([Truth::new(View::any, &["retransmission_timeout", "vanished", "client_abort_download"], &["none", "client"], &["transfer_cut", "response_lost", "unknown"])])
            .not_core(),
        new("tcpkill", "tcpkill at the router resets both ends of a download",
            "in_router tcpkill -i leg-client -3 port $PORT > kill.log 2>&1 & K=$!; sleep .4; curl -m 3 $U/; kill $K")
            .server("py 'def f(s):\n    header(s); s.sendall(b\"HTTP/1.1 200 OK\\r\\n\\r\\n\")\n    while 1: s.sendall(b\"x\" * 5000); sleep(.02)\nserve(f)'")
            .truth([Truth::new(View::has_rst, &["injected_suspect", "device_reset_both"], &["middle"], &["transfer_cut", "request_lost", "response_lost", "attempt_failed"]), NO_RST])
            .needs(&["tcpkill"]),
        new("fw_router_push", "the router begins to reject what the server sends: the RST goes to the server", PUSHED)
            .server(PUSHES)
            .truth([
                Truth::new(is_client_forged, &["no_state", "injected_suspect", "refused_by_firewall"], &["middle"], &["response_lost", "transfer_cut"]),
                UNSEEN,
            ]),
    ]
}

/// An RST in the client's name that the client never sent.
fn is_client_forged(view: &View) -> bool {
    view.is_reset_by_client() && view.near.as_ref().is_some_and(|near| near.rst[0] == 0)
}

const CONNTRACK: &str = "in_router nft \"add table inet z$PORT; add chain inet z$PORT f { type filter hook forward priority 0; }; add rule inet z$PORT f tcp dport $PORT ct state invalid reject with tcp reset; add rule inet z$PORT f tcp dport $PORT ct state new tcp flags != syn reject with tcp reset\"; in_router sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0; in_router conntrack -F > ct.log 2>&1";
const PUSHED: &str = "py 's = connect(); get(s); s.sendall(GET); open(\"up\", \"w\"); sleep(1.5)' & until [ -e up ]; do sleep .05; done; router_rule tcp sport $PORT reject with tcp reset; wait";
const KEEPALIVE: &str = "py 's = connect(); get(s)
for name, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 2)): s.setsockopt(socket.IPPROTO_TCP, name, value)
s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1); open(\"up\", \"w\"); drain(s)' & until [ -e up ]; do sleep .05; done; blackhole; wait";
const USER_TIMEOUT: &str = "py 's = connect(); get(s); s.setsockopt(socket.IPPROTO_TCP, 18, 1500); open(\"up\", \"w\"); sleep(.5); s.sendall(GET); drain(s)' & until [ -e up ]; do sleep .05; done; blackhole; wait; router_free; sleep .3";
