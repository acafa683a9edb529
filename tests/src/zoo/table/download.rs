//! Downloads that are stopped.

use crate::zoo::{
    packets::View,
    situation::{DOWNLOAD_SILENT, DOWNLOAD_STOPPED, NO_RST, Situation, Truth},
};

const NGINX: &str = "nginx_run '' 'limit_rate 200k;'";
const TLS: &str = "nginx_run '' 'limit_rate 200k;' ssl";
const FAST: &str = "nginx_run";
const PY: &str = "py 'def f(s):
    header(s); s.sendall(b\"HTTP/1.1 200 OK\\r\\nContent-Length: 9000000\\r\\n\\r\\n\")
    for _ in range(100): s.sendall(b\"x\" * 20000); sleep(.03)
serve(f)'";
const APACHE: &str = "head -c 30000000 /dev/zero > big; apache_run \"DocumentRoot $DIR\"";

fn stopped(name: &'static str, what: &'static str, server: &str, client: &str) -> Situation {
    Situation::new(name, what)
        .server(server)
        .client(&format!("{client}; sleep 1"))
        .truth([DOWNLOAD_STOPPED, DOWNLOAD_SILENT])
}

/// The situations.
pub(super) fn situations() -> Vec<Situation> {
    vec![
        stopped("dl_curl_maxtime", "curl -m 0.7 in a rate-limited download", NGINX, "curl -m 0.7 $U/big")
            .needs(&["nginx"]),
        stopped("dl6_curl_maxtime", "the same over IPv6", NGINX, "curl -m 0.7 \"http://[$S6]:$PORT/big\"")
            .needs(&["nginx"]),
        stopped("dl_tls_maxtime", "the same over TLS", TLS, "curl -k -m 0.7 $UT/big").needs(&["nginx"]),
        stopped("dl_curl_head", "curl | head -c 1000", FAST, "command curl -s $U/big | head -c 1000 > out")
            .needs(&["nginx"]),
        stopped("dl_curl_kill9", "curl SIGKILLed", NGINX, "timeout -s KILL .7 curl -s -o out $U/big").needs(&["nginx"]),
        stopped("dl_curl_int", "curl SIGINTed at full speed", PY, "timeout -s INT .6 curl -s -o out $U/big"),
        stopped("dl_python", "a Python server that streams, curl -m 0.6", PY, "curl -m .6 $U/"),
        stopped("dl_py_unread", "a client that closes without reading", FAST, UNREAD)
            .needs(&["nginx"])
            .instead([STALLED, NO_RST]),
        stopped("dl_linger0", "a client that aborts mid-way (SO_LINGER 0)", FAST, LINGER).needs(&["nginx"]),
        stopped("dl_node", "a node client destroys its socket mid-way", PY, NODE).needs(&["node"]),
        stopped("dl_requests", "requests with stream=True, closed after a chunk", PY, REQUESTS)
            .needs(&["python3-requests"]),
        stopped("dl_apache", "curl -m 0.4 --limit-rate, apache", APACHE, "curl -m .6 --limit-rate 100k $U/big")
            .needs(&["apache2"])
            .not_core(),
        stopped("dl_ab_killed", "ab SIGINTed mid-run", NGINX, "timeout -s INT .7 ab -q -n 4 -c 2 $U/big > log 2>&1")
            .needs(&["nginx", "ab"]),
        Situation::new(
            "dl_stalled_reset",
            "the client stops reading; nginx's send_timeout with reset_timedout_connection",
        )
        .server("nginx_run 'send_timeout 1s; reset_timedout_connection on;'")
        .client(STALL)
        .truth([SERVER_GAVE_UP, NO_RST])
        .needs(&["nginx"]),
        Situation::new("dl_stalled", "the client stops reading; nginx's send_timeout without reset; the client ends")
            .server("nginx_run 'send_timeout 1s;'")
            .client(STALL)
            .truth([SERVER_GAVE_UP, STALLED, NO_RST])
            .needs(&["nginx"]),
    ]
}

const REQUESTS: &str = "py 'import requests
r = requests.get(f\"http://{SERVER}:{PORT}/\", stream=True); next(r.iter_content(9000)); sleep(.3); r.close()'";
const UNREAD: &str = "py 's = connect(); s.sendall(GET.replace(b\"/ \", b\"/big \")); sleep(.3); s.close()'";
const LINGER: &str =
    "py 's = connect(); s.sendall(GET.replace(b\"/ \", b\"/big \")); [s.recv(4096) for _ in range(99)]; reset(s)'";
const NODE: &str =
    "js 'http.get({ host: S, port: PORT }, (a) => a.once(\"data\", () => setTimeout(() => a.destroy(), 300)))'";
const STALL: &str =
    "py 's = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192); s.connect((SERVER, PORT))
s.sendall(GET.replace(b\"/ \", b\"/big \")); sleep(2.5); s.close()'";
const SERVER_GAVE_UP: Truth = Truth::new(View::is_reset_by_server, &["app_abort"], &["server"], &["transfer_cut"]);
const STALLED: Truth =
    Truth::new(View::is_reset_by_client, &["client_abort_download", "app_abort"], &["client"], &["transfer_cut"]);
