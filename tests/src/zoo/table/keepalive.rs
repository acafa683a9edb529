//! Idle keep-alive connections that the server closes, and requests that come too late or just then.

use crate::zoo::{
    packets::View,
    situation::{NO_RST, ORDERLY, STALE, Situation, Truth},
};

/// A request, a pause, a request on the same connection; the FIN in between is ignored.
fn reuse(pause: &str) -> String {
    format!("py 's = connect(); get(s); sleep({pause}); s.sendall(GET); drain(s)'")
}

fn stale(name: &'static str, what: &'static str, server: &str, pause: &str) -> Situation {
    Situation::new(name, what).server(server).client(&reuse(pause)).truth([STALE, NO_RST])
}

const NGINX: &str = "nginx_run 'keepalive_timeout 1s;'";
const APACHE: &str = "apache_run 'KeepAlive On
KeepAliveTimeout 1'";
const HAPROXY: &str = "haproxy_run \"
  timeout http-keep-alive 1s
frontend f
  mode http
  bind :$PORT
  http-request return status 200 content-type text/plain string ok\"";
const NODE: &str =
    "js 'const s = http.createServer((q, a) => a.end(\"x\".repeat(3000))); s.keepAliveTimeout = 1000; s.listen(PORT)'";
const UVICORN: &str = "cat > app.py <<'PY'
async def app(scope, receive, send):
    await send({\"type\": \"http.response.start\", \"status\": 200, \"headers\": [(b\"content-length\", b\"2\")]})
    await send({\"type\": \"http.response.body\", \"body\": b\"ok\"})
PY
exec /usr/bin/python3 -m uvicorn --host 0.0.0.0 --port $PORT --timeout-keep-alive 1 --lifespan off --log-level error app:app";
const GUNICORN: &str = "cat > app.py <<'PY'
def app(environ, start):
    start(\"200 OK\", [(\"Content-Length\", \"2\")])
    return [b\"ok\"]
PY
exec gunicorn -b 0.0.0.0:$PORT -k gthread --threads 2 --keep-alive 1 --log-level error app:app";
/// Closes 1.3 s after its answer, to the millisecond.
const EXACT: &str = "py 'serve(lambda s: (header(s), answer(s), sleep(1.3)))'";
const SHORT: &str = "py 'serve(lambda s: (header(s), answer(s), sleep(.5)))'";
/// Ten requests that reach the server from 9 ms before its close to 9 ms after it.
const CROSSING: &str = "py '
def one(k):
    s = connect(); get(s); s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sleep(WAIT - .01 + .002 * k); s.sendall(GET); drain(s)
a = [threading.Thread(target=one, args=(k,)) for k in range(10)]
for t in a: t.start(); sleep(.02)
for t in a: t.join()'";

/// Within the race: the request had left before the FIN came.
const CROSSED: Truth = Truth::new(View::is_crossed, &["keepalive_race"], &["server"], &["request_lost"]);
/// A request that the server's kernel had got when its program closed: it is discarded by an abort.
const JUST_BEFORE: Truth = Truth::new(
    View::is_reset_by_server,
    &["keepalive_race", "data_after_close", "app_abort"],
    &["server"],
    &["request_lost", "response_lost"],
)
.aside();

/// Read and thrown away by a server that lingers; by packets, both have closed.
const DISCARDED: Truth = Truth::new(View::has_no_rst, &["none"], &["none"], &["none", "request_lost", "response_lost"]);

/// The situations.
pub(super) fn situations() -> Vec<Situation> {
    [idle(), races()].concat()
}

fn idle() -> Vec<Situation> {
    vec![
        stale("ka_stale_nginx", "a request 0.3 s after nginx closed", NGINX, "1.3").needs(&["nginx"]),
        stale("ka_stale_late", "a request 3.5 s after nginx closed", NGINX, "4.5").needs(&["nginx"]).not_core(),
        stale(
            "ka_stale_apache",
            "apache lingers: it discards a request 0.4 s after its close in silence",
            APACHE,
            "1.4",
        )
        .needs(&["apache2"])
        .instead([DISCARDED]),
        stale("ka_stale_haproxy", "the same with haproxy", HAPROXY, "1.4").needs(&["haproxy"]),
        stale("ka_stale_node", "the same with node", NODE, "2.4").needs(&["node"]),
        stale("ka_stale_uvicorn", "the same with uvicorn", UVICORN, "1.5").needs(&["python3-uvicorn"]),
        stale("ka_stale_gunicorn", "the same with gunicorn", GUNICORN, "2.6").needs(&["gunicorn"]),
        stale("ka_stale_exact", "a request 50 ms after a close", EXACT, "1.35"),
        Situation::new("ka_stale_tls", "a request on a TLS connection that nginx closed 0.4 s before")
            .server("nginx_run 'keepalive_timeout 1s;' '' ssl")
            .client("py 's = client_tls().wrap_socket(connect()); get(s); sleep(1.4); s.sendall(GET); drain(s)'")
            .truth([STALE, NO_RST])
            .needs(&["nginx"]),
        Situation::new("ka_stale_v6", "a request 0.3 s after nginx closed, IPv6")
            .server(NGINX)
            .client("py 's = connect(host=SERVER6); get(s); sleep(1.3); s.sendall(GET); drain(s)'")
            .truth([STALE, NO_RST])
            .needs(&["nginx"]),
    ]
}

fn races() -> Vec<Situation> {
    vec![
        Situation::new("ka_race", "requests that cross an idle close after 1.3 s")
            .server(EXACT)
            .client(&CROSSING.replace("WAIT", "1.3"))
            .truth([CROSSED, JUST_BEFORE, NO_RST]),
        Situation::new("ka_race_short", "requests that cross an idle close after 0.5 s")
            .server(SHORT)
            .client(&CROSSING.replace("WAIT", ".5"))
            .truth([CROSSED, JUST_BEFORE, NO_RST]),
        Situation::new("ka_deploy", "nginx quits gracefully; a pooled connection is used 0.3 s later")
            .server("nginx_run")
            .client("py 's = connect(); get(s); sleep(1.2); os.kill(int(open(\"nginx.pid\").read()), signal.SIGQUIT); sleep(.3); s.sendall(GET); drain(s)'")
            .truth([STALE, NO_RST])
            .needs(&["nginx"]),
        Situation::new("ka_requests_pool", "requests' pool notices that nginx closed and connects anew")
            .server(NGINX)
            .client("py 'import requests; s = requests.Session(); u = f\"http://{SERVER}:{PORT}/\"; s.get(u); sleep(1.5); s.get(u)'")
            .truth([ORDERLY])
            .needs(&["nginx", "python3-requests"]),
        Situation::new("ka_reset_timedout", "nginx closes an idle connection orderly, reset_timedout_connection or not")
            .server("nginx_run 'keepalive_timeout 1s; reset_timedout_connection on;'")
            .client("py 's = connect(); get(s); sleep(1.5); s.close()'")
            .truth([ORDERLY])
            .needs(&["nginx"]),
    ]
}
