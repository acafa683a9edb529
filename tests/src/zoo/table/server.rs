//! Servers that end: killed, crashed, or resetting by their own will.

use crate::zoo::{
    packets::View,
    situation::{NO_RST, ORDERLY, Situation, Truth},
};

/// The server's pid is in the file `pid`.
const PID: &str = "open(\"pid\", \"w\").write(str(os.getpid()))";
const KILL: &str = "os.kill(int(open(\"pid\").read()), 9)";

fn python(body: &str) -> String {
    format!("py '{PID}\n{body}'")
}

/// Ended by FIN: by packets nobody can tell that anything was wrong.
const BY_FIN: Truth = Truth::new(View::has_no_rst, &["none"], &["none"], &["none", "response_lost", "transfer_cut"]);
const ABORTED: Truth =
    Truth::new(View::is_reset_by_server, &["app_abort"], &["server"], &["request_lost", "response_lost"]);
const FORGOTTEN: Truth = Truth::new(View::is_reset_by_server, &["no_state"], &["server"], &["request_lost"]);

fn forgotten(name: &'static str, what: &'static str, server: &str, client: &str) -> Situation {
    Situation::new(name, what).server(server).client(client).truth([FORGOTTEN, NO_RST])
}

/// The situations.
pub(super) fn situations() -> Vec<Situation> {
    let mut all = killed();
    all.extend(vanished());
    all.extend(resetting());
    all.extend(haproxy());
    all
}

fn killed() -> Vec<Situation> {
    let new = Situation::new;
    vec![
        new("srv_kill_stream", "the server is SIGKILLed while streaming")
            .server(&python("def f(s):\n    header(s)\n    while 1: s.sendall(b\"x\" * 5000); sleep(.02)\nserve(f)"))
            .client(&format!(
                "py 's = connect(); s.sendall(GET); t = threading.Timer(.6, lambda: {KILL}); t.start(); drain(s)'"
            ))
            .truth([BY_FIN]),
        new("srv_kill_wait", "the server is SIGKILLed while computing, the request read")
            .server(&python("serve(lambda s: (header(s), sleep(9)))"))
            .client(&format!("py 's = connect(); s.sendall(GET); sleep(.4); {KILL}; drain(s)'"))
            .truth([BY_FIN]),
        new("srv_kill_unread", "the server is SIGKILLed, the request unread")
            .server(&python("serve(lambda s: sleep(9))"))
            .client(&format!("py 's = connect(); s.sendall(GET); sleep(.4); {KILL}; drain(s)'"))
            .truth([ABORTED, NO_RST]),
        new("srv_kill_unaccepted", "a server that never accepts is SIGKILLed, the request waits in the backlog")
            .server(&python("l = listen(); sleep(9)"))
            .client(&format!("py 's = connect(); s.sendall(GET); sleep(.4); {KILL}; drain(s)'"))
            .truth([ABORTED, NO_RST]),
        new("gunicorn_worker_kill9", "the gunicorn worker that computes is SIGKILLed")
            .server(&GUNICORN.replace("--timeout 1", "--timeout 9"))
            .client("curl -m 5 $U/ & sleep .5; kill -9 $(cat worker); wait")
            .truth([BY_FIN])
            .needs(&["gunicorn"]),
        new("gunicorn_timeout", "gunicorn ends a worker that is busy for more than --timeout 1")
            .server(GUNICORN)
            .client("curl -m 5 $U/")
            .truth([BY_FIN])
            .needs(&["gunicorn"])
            .not_core(),
    ]
}

fn vanished() -> Vec<Situation> {
    let write = "s.sendall(GET); drain(s)";
    let client = |after: &str| {
        format!(
            "vanished() {{ vanish {after}; }}\npy 's = connect(); get(s); open(\"up\", \"w\"); sleep(1.6); {write}' & until [ -e up ]; do sleep .05; done; vanish {after}; wait"
        )
    };
    vec![
        forgotten("srv_vanished", "the server's host forgets the connection; the client writes 1.5 s later", TWICE, &client("kill $(cat pid)")),
        forgotten("srv_rebooted", "the same, and the service listens again", TWICE, &client("true")),
        Situation::new("ss_kill", "the operator: ss -K on the server, the client reads")
            .server(TWICE)
            .client("py 's = connect(); get(s); open(\"up\", \"w\"); drain(s)' & until [ -e up ]; do sleep .05; done; sleep .3; in_server ss -HK state established sport = :$PORT > k; wait")
            .truth([
                Truth::new(View::is_reset_by_server, &["app_abort", "rst_instead_of_fin"], &["server"], &["none"]),
                NO_RST,
            ]),
    ]
}

/// Answers as often as it is asked.
const TWICE: &str = "py 'open(\"pid\", \"w\").write(str(os.getpid()))
def f(s):
    while header(s): answer(s)
serve(f)'";
const GUNICORN: &str = "cat > app.py <<'PY'
import os, time
def app(environ, start):
    open(\"worker\", \"w\").write(str(os.getpid()))
    time.sleep(9)
PY
exec gunicorn -b 0.0.0.0:$PORT --timeout 1 --log-level critical app:app 2> log";

/// Seen where it was sent, and not at the client.
const DIES_AT_HOP: Truth = Truth::new(
    |view| view.near.as_ref().is_some_and(|near| near.rst[1] < view.here.rst[1]),
    &["app_abort"],
    &["server"],
    &["response_lost"],
)
.aside();
/// The client closes at last, and the server's host does not know of the connection.
const AFTER_SILENT_DROP: Truth =
    Truth::new(View::is_reset_by_server, &["client_gave_up", "no_state"], &["client", "server"], &["response_lost"]);

fn resetting() -> Vec<Situation> {
    let new = Situation::new;
    let reset = |truth: Truth| [truth, NO_RST];
    vec![
        new("node_destroy", "node: req.socket.destroy()")
            .server("js 'http.createServer((q) => q.socket.destroy()).listen(PORT)'")
            .client("curl $U/")
            .truth([BY_FIN])
            .needs(&["node"]),
        new("node_reset", "node: socket.resetAndDestroy()")
            .server("js 'http.createServer((q) => q.socket.resetAndDestroy()).listen(PORT)'")
            .client("curl $U/")
            .truth(reset(ABORTED))
            .needs(&["node"]),
        new("nginx_444", "nginx: return 444")
            .server("nginx_run '' 'location / { return 444; }'")
            .client("curl $U/")
            .truth([BY_FIN])
            .needs(&["nginx"]),
        new("nginx_444_reset", "nginx: return 444 with reset_timedout_connection")
            .server("nginx_run 'reset_timedout_connection on;' 'location / { return 444; }'")
            .client("curl $U/")
            .truth(reset(ABORTED))
            .needs(&["nginx"]),
        new("nginx_header_timeout", "half a header; nginx closes after client_header_timeout 1 s")
            .server("nginx_run 'client_header_timeout 1s;'")
            .client("py 's = connect(); s.sendall(b\"GET / HT\"); drain(s)'")
            .truth([BY_FIN])
            .needs(&["nginx"]),
        new("nginx_header_reset", "half a header; nginx resets after client_header_timeout 1 s")
            .server("nginx_run 'client_header_timeout 1s; reset_timedout_connection on;'")
            .client("py 's = connect(); s.sendall(b\"GET / HT\"); drain(s)'")
            .truth(reset(Truth { impacts: &["request_lost", "response_lost", "none"], ..ABORTED }))
            .needs(&["nginx"]),
        new("nginx_idle", "preconnect without a request; nginx closes after 1 s")
            .server("nginx_run 'client_header_timeout 1s;'")
            .client("py 's = connect(); drain(s)'")
            .truth([ORDERLY])
            .needs(&["nginx"]),
    ]
}

fn haproxy() -> Vec<Situation> {
    let new = Situation::new;
    let reset = |truth: Truth| [truth, NO_RST];
    vec![
        new("haproxy_408", "haproxy: half a request, 408 after 1 s")
            .server("haproxy_run \"\n  timeout http-request 1s\nfrontend f\n  mode http\n  bind :$PORT\"")
            .client("py 's = connect(); s.sendall(b\"GET / HT\"); drain(s)'")
            .truth([BY_FIN, Truth { impacts: &["request_lost", "none"], causes: &["server_reply_then_reset", "app_abort"], ..ABORTED }])
            .needs(&["haproxy"]),
        new("haproxy_silent", "haproxy: silent-drop; its RST dies at the next hop, curl waits for 1.2 s")
            .server("haproxy_run \"\nfrontend f\n  mode http\n  bind :$PORT\n  http-request silent-drop\"")
            .client("curl -m 1.2 $U/")
            .truth([DIES_AT_HOP, AFTER_SILENT_DROP, NO_RST])
            .needs(&["haproxy"]),
        new("haproxy_tcp_down", "haproxy in tcp mode, its backend is down")
            .server("haproxy_run \"\nfrontend f\n  mode tcp\n  bind :$PORT\n  default_backend b\nbackend b\n  mode tcp\n  retries 0\n  server x 127.0.0.1:9\"")
            .client("curl $U/")
            .truth([
                Truth { causes: &["app_abort", "data_after_close"], ..ABORTED },
                Truth { is_premise: true, ..BY_FIN },
            ])
            .needs(&["haproxy"]),
        new("server_closes_first", "a server accepts and closes without a word; the client writes 0.5 s later")
            .server("py 'serve(lambda s: None)'")
            .client("py 's = connect(); sleep(.5); s.sendall(GET); drain(s)'")
            .truth(reset(Truth { causes: &["data_after_close", "keepalive_race"], impacts: &["request_lost"], ..ABORTED })),
        new("haproxy_503", "haproxy: no backend, 503")
            .server("haproxy_run \"\nfrontend f\n  mode http\n  bind :$PORT\n  default_backend b\nbackend b\n  mode http\n  server x 127.0.0.1:9\"")
            .client("curl $U/")
            .truth([ORDERLY])
            .needs(&["haproxy"]),
        new("haproxy_reject", "haproxy: tcp-request connection reject; the client has sent its request")
            .server("haproxy_run \"\nfrontend f\n  mode tcp\n  bind :$PORT\n  tcp-request connection reject\"")
            .client("curl $U/")
            .truth(reset(Truth {
                causes: &["abort_no_data", "app_abort", "data_after_close"],
                impacts: &["request_lost", "response_lost", "attempt_failed", "none"],
                ..ABORTED
            }))
            .needs(&["haproxy"]),
    ]
}
