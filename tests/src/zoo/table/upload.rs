//! Uploads that are stopped, and servers that answer before they have read all.

use crate::zoo::{
    packets::View,
    situation::{EARLY_REPLY, NO_RST, Situation, Truth},
};

/// Sends all of it without reading, then reads what there is.
const BLIND: &str =
    "py 's = connect(); s.sendall(b\"POST / HTTP/1.1\\r\\nHost: zoo\\r\\nContent-Length: 400000\\r\\n\\r\\n\")
try:
    for _ in range(100): s.sendall(b\"x\" * 4000); sleep(.002)
except OSError: pass
drain(s)'";
const CURL: &str = "head -c 400000 /dev/zero > body; curl -H 'Expect:' --data-binary @body $U/";
const EARLY_PY: &str = "py 'serve(lambda s: (header(s), s.sendall(b\"HTTP/1.1 403 no\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n\")))'";
const EARLY_NODE: &str =
    "js 'http.createServer((q, a) => { a.writeHead(413, { Connection: \"close\" }); a.end(\"no\") }).listen(PORT)'";
const NGINX: &str = "nginx_run '' 'client_max_body_size 1k; lingering_close off;'";
const NGINX_LINGERS: &str = "nginx_run '' 'client_max_body_size 1k;'";
const HAPROXY: &str = "haproxy_run \"
frontend f
  mode http
  bind :$PORT
  http-request deny deny_status 403\"";
const APACHE: &str = "apache_run 'LimitRequestBody 1000'";
const READS: &str = "py 'serve(lambda s: (drain(s),))'";

fn early(name: &'static str, what: &'static str, server: &str, client: &str) -> Situation {
    Situation::new(name, what).server(server).client(client).truth([EARLY_REPLY, QUIT, REPLIED])
}

fn stopped(name: &'static str, what: &'static str, server: &str, client: &str) -> Situation {
    Situation::new(name, what).server(server).client(client).truth([STOPPED, SERVER_LATE, UPLOAD_SILENT])
}

/// The situations.
pub(super) fn situations() -> Vec<Situation> {
    vec![
        early("up_early_py", "403 without reading the body; the client sends on", EARLY_PY, BLIND),
        early("up_early_py_curl", "the same with curl", EARLY_PY, CURL),
        early("up_early_node", "413 by node", EARLY_NODE, BLIND).needs(&["node"]),
        early("up_early_nginx", "413 by nginx, lingering_close off", NGINX, BLIND).needs(&["nginx"]),
        early("up_early_nginx_curl", "the same with curl", NGINX, CURL).needs(&["nginx"]),
        early("up_early_haproxy", "403 by haproxy", HAPROXY, BLIND).needs(&["haproxy"]),
        early("up_early_haproxy_curl", "403 by haproxy, curl", HAPROXY, CURL).needs(&["haproxy"]),
        early("up_early_apache", "413 by apache", APACHE, BLIND).needs(&["apache2"]),
        Situation::new("up_lingering", "413 by nginx, which reads on (lingering_close)")
            .server(NGINX_LINGERS)
            .client(BLIND)
            .truth([EARLY_REPLY, REPLIED])
            .needs(&["nginx"]),
        Situation::new("up_small_early", "403 without reading a body of 300 bytes that came with the header")
            .server("py 'serve(lambda s: (s.recv(100), s.sendall(b\"HTTP/1.1 403 no\\r\\nContent-Length: 0\\r\\n\\r\\n\")))'")
            .client("curl -H 'Expect:' -d \"$(head -c 300 /dev/zero | tr '\\0' x)\" $U/")
            .truth([SMALL, NO_RST]),
        stopped("up_curl_kill9", "curl SIGKILLed mid-upload", READS, "head -c 3000000 /dev/zero > b; timeout -s KILL .7 curl -s -H 'Expect:' --limit-rate 300k -T b $U/"),
        stopped("up_curl_maxtime", "curl -m 0.7 mid-upload", READS, "head -c 3000000 /dev/zero > b; curl -m .7 -H 'Expect:' --limit-rate 300k -T b $U/"),
        stopped("up_expect_maxtime", "curl -m 0.7 waits for 100 Continue, nothing of the body is sent", READS, "head -c 3000000 /dev/zero > b; curl -m .7 -T b $U/")
            .instead([UNANSWERED]),
        stopped("up_linger0", "a client aborts its upload (SO_LINGER 0)", READS, ABORTED),
        Situation::new("up_server_killed", "the server is SIGKILLed during an upload, bytes unread")
            .server("py 's, _ = listen().accept(); open(\"pid\", \"w\").write(str(os.getpid())); s.recv(100); sleep(9)'")
            .client("py 's = connect(); s.sendall(b\"x\" * 20000); sleep(.4); os.kill(int(open(\"pid\").read()), 9); drain(s)'")
            .truth([KILLED, NO_RST]),
    ]
}

const ABORTED: &str = "py 's = connect(); s.sendall(b\"PUT / HTTP/1.1\\r\\nContent-Length: 9000000\\r\\n\\r\\n\")
for _ in range(40): s.sendall(b\"x\" * 8000); sleep(.01)
reset(s)'";
/// The client went at once when the answer came.
const QUIT: Truth = Truth::new(
    View::is_reset_by_client,
    &["app_abort", "client_abort_upload", "rst_after_close", "data_after_close"],
    &["client"],
    &["none", "transfer_cut", "request_lost"],
)
.aside();
/// By packets, a request without an answer.
const UNANSWERED: Truth =
    Truth::new(View::has_no_rst, &["none", "client_gave_up"], &["none"], &["none", "response_lost"]);
const REPLIED: Truth = Truth::new(View::has_no_rst, &["none"], &["none"], &["none"]);
const SMALL: Truth = Truth::new(
    View::is_reset_by_server,
    &["server_reply_then_reset", "app_abort"],
    &["server"],
    &["none", "request_lost"],
);
const STOPPED: Truth =
    Truth::new(View::is_reset_by_client, &["client_abort_upload", "app_abort"], &["client"], &["transfer_cut"]);
const SERVER_LATE: Truth = Truth::new(
    View::is_reset_by_server,
    &["client_abort_upload", "app_abort"],
    &["client", "server"],
    &["transfer_cut"],
);
/// Without RST: all that was sent has arrived.
const UPLOAD_SILENT: Truth =
    Truth::new(View::has_no_rst, &["none", "client_abort_upload"], &["none"], &["none", "transfer_cut"]);
const KILLED: Truth = Truth::new(
    View::is_reset_by_server,
    &["app_abort"],
    &["server"],
    &["transfer_cut", "request_lost", "response_lost"],
);
