//! Clients that do not wait for their answer.

use crate::zoo::{
    packets::View,
    situation::{GAVE_UP, GAVE_UP_SERVER, NO_RST, ORDERLY, Situation, Truth},
};

const PY: &str = "py 'serve(lambda s: (header(s), sleep(1.6), answer(s, b\"late\")))'";
const PY_BIG: &str = "py 'serve(lambda s: (header(s), sleep(1.6), answer(s, b\"x\" * 200000)))'";
const NODE: &str = "js 'http.createServer((q, a) => setTimeout(() => a.end(\"late\"), 1600)).listen(PORT)'";
const UVICORN: &str = "cat > app.py <<'PY'
import asyncio
async def app(scope, receive, send):
    await asyncio.sleep(1.6)
    await send({\"type\": \"http.response.start\", \"status\": 200, \"headers\": [(b\"content-length\", b\"2\")]})
    await send({\"type\": \"http.response.body\", \"body\": b\"ok\"})
PY
exec /usr/bin/python3 -m uvicorn --host 0.0.0.0 --port $PORT --lifespan off --log-level error app:app";
const PROXY: &str = "in_client /usr/bin/python3 -c 'from zoo import *
serve(lambda s: (header(s), sleep(1.6), answer(s, b\"late\")), PORT1)' &
backend_is_up; nginx_run '' \"location / { proxy_pass http://$C:$PORT1; ${EXTRA:-} }\"";

const HAPROXY: &str = "in_client /usr/bin/python3 -c 'from zoo import *
serve(lambda s: (header(s), sleep(1.6), answer(s, b\"late\")), PORT1)' &
backend_is_up; haproxy_run \"
frontend f
  mode http
  bind :$PORT
  default_backend b
backend b
  mode http
  timeout server 1s
  server x $C:$PORT1\"";

/// The client has closed without its answer, and no RST tells of it.
const SILENT: Truth = Truth::new(View::has_no_rst, &["none", "client_gave_up"], &["none"], &["none", "response_lost"]);

fn late(name: &'static str, what: &'static str, server: &str, client: &str) -> Situation {
    Situation::new(name, what).server(server).client(&format!("{client}; sleep 1.2")).truth([
        GAVE_UP,
        GAVE_UP_SERVER,
        SILENT,
    ])
}

/// The situations.
pub(super) fn situations() -> Vec<Situation> {
    let proxied = |extra: &str| PROXY.replace("${EXTRA:-}", extra);
    vec![
        late("slow_curl_python", "curl -m 0.8, a Python server answers at 1.6 s", PY, "curl -m 0.8 $U/"),
        late("slow_curl_big", "the same with an answer of 200 kB", PY_BIG, "curl -m 0.8 $U/"),
        late("slow6_curl", "the same over IPv6", PY, "curl -m 0.8 \"http://[$S6]:$PORT/\""),
        late("slow_curl_node", "the same with node", NODE, "curl -m 0.8 $U/").needs(&["node"]),
        late("slow_curl_uvicorn", "the same with uvicorn", UVICORN, "curl -m 0.8 $U/").needs(&["python3-uvicorn"]),
        late("slow_requests", "requests timeout=0.8", PY, REQUESTS).needs(&["python3-requests"]),
        late("slow_node_client", "node's client timeout destroys the request", PY, NODE_CLIENT).needs(&["node"]),
        late("slow_second", "keep-alive: the first answer at once, the second too late", SECOND, SECOND_CLIENT),
        late("slow_curl_kill9", "curl SIGKILLed while it waits", PY, "timeout -s KILL 1 curl -s -o /dev/null $U/"),
        late("slow_tls", "curl -m 0.8 over TLS", TLS, "curl -k -m 0.8 $UT/"),
        late(
            "slow_post",
            "a POST of 50 kB whose answer is late",
            PY_POST,
            "head -c 50000 /dev/zero | curl -m .8 -T - -H 'Expect:' $U/",
        ),
        Situation::new("slow_nginx_499", "curl -m 0.8, nginx in front of a slow backend")
            .server(&proxied(""))
            .client("curl -m .8 $U/; sleep 1.2")
            .truth([GAVE_UP, SILENT])
            .needs(&["nginx"]),
        Situation::new("slow_nginx_504", "nginx's proxy_read_timeout; the backend answers at 1.6 s")
            .server(&proxied("proxy_read_timeout 1s;"))
            .client("curl $U/; sleep 1")
            .truth([GAVE_UP, ORDERLY.aside()])
            .needs(&["nginx"]),
        Situation::new("slow_haproxy_504", "haproxy's timeout server of 1 s; the backend answers at 1.6 s")
            .server(HAPROXY)
            .client("curl $U/; sleep 1")
            .truth([GAVE_UP, ORDERLY.aside()])
            .needs(&["haproxy"]),
        Situation::new("slow_patient", "a client that waits 1.6 s for its answer")
            .server(PY)
            .client("curl $U/")
            .truth([ORDERLY, NO_RST]),
    ]
}

const REQUESTS: &str = "py 'import requests
try: requests.get(f\"http://{SERVER}:{PORT}/\", timeout=.8)
except requests.RequestException: pass'";
const NODE_CLIENT: &str = "js 'const r = http.get({ host: S, port: PORT, timeout: 800 }); r.on(\"timeout\", () => r.destroy()); r.on(\"error\", () => 0)'";
const SECOND: &str = "py 'serve(lambda s: (header(s), answer(s), header(s), sleep(1.6), answer(s, b\"late\")))'";
const SECOND_CLIENT: &str = "py 's = connect(); get(s); s.sendall(GET); sleep(.9); s.close()'";
const TLS: &str = "py 'c = server_tls()
def f(s):
    t = c.wrap_socket(s, server_side=True); header(t); sleep(1.6); answer(t, b\"late\"); t.close()
serve(f)'";
const PY_POST: &str = "py 'def f(s):
    n = 0
    while n < 50000: n += len(s.recv(65536))
    sleep(1.6); answer(s, b\"late\")
serve(f)'";
