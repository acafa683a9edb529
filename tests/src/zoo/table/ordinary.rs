//! Ordinary successes: nothing may be said of them.

use super::tls::{WRK_ABORTS, WRK_ENDS};
use crate::zoo::situation::{ORDERLY, Situation};

const NGINX: &str = "nginx_run";
const PY: &str = "py 'serve(lambda s: (header(s), answer(s, extra=\"Connection: close\\r\\n\")))'";

fn ok(name: &'static str, what: &'static str, server: &str, client: &str) -> Situation {
    Situation::new(name, what).server(server).client(client).truth([ORDERLY])
}

/// The situations.
pub(super) fn situations() -> Vec<Situation> {
    vec![
        ok("ok_curl_nginx", "one GET", NGINX, "curl $U/").needs(&["nginx"]),
        ok("ok_curl6_nginx", "one GET over IPv6", NGINX, "curl \"http://[$S6]:$PORT/\"").needs(&["nginx"]),
        ok("ok_curl_keepalive", "five GETs on a connection", NGINX, "curl $U/ $U/ $U/ $U/ $U/").needs(&["nginx"]),
        ok("ok_curl_parallel", "curl -Z: four at once", NGINX, "curl -Z $U/ $U/ $U/ $U/").needs(&["nginx"]),
        ok("ok_curl_python", "a Python server that closes", PY, "curl $U/"),
        ok("ok_ab", "ab -n 20 -c 2", NGINX, "ab -q -n 20 -c 2 $U/ > ab.log").needs(&["nginx", "ab"]).least(20),
        ok("ok_ab_keepalive", "ab -k -n 20 -c 2", NGINX, "ab -k -q -n 20 -c 2 $U/ > ab.log").needs(&["nginx", "ab"]),
        ok(
            "wrk_nginx",
            "wrk for a second; at its end it waits for an answer on each connection",
            NGINX,
            "wrk -t1 -c2 -d1s $U/ > log",
        )
        .needs(&["nginx", "wrk"])
        .instead([WRK_ENDS, WRK_ABORTS, ORDERLY]),
        ok("ok_haproxy", "GET through haproxy's own answer", HAPROXY, "curl $U/").needs(&["haproxy"]),
        ok("ok_apache", "GET from apache", "apache_run ''", "curl $U/").needs(&["apache2"]),
        ok("ok_node", "node server, node client", NODE, "js 'get(http, {})'").needs(&["node"]),
        ok("ok_download", "3 MB", NGINX, "curl $U/big").needs(&["nginx"]),
        ok("half_close", "nc -N: half-closed transfer, the server answers after the client's FIN", HALF, HALF_CLIENT)
            .needs(&["nc"]),
        ok("nc_z", "nc -z: connects and closes", NGINX, "nc -z $S $PORT").needs(&["nginx", "nc"]),
        ok("preconnect", "three connections without a request, closed by the client", NGINX, PRECONNECT)
            .needs(&["nginx"]),
        ok("reload", "nginx reloads while a client downloads", "nginx_run '' 'limit_rate 2m;'", RELOAD)
            .needs(&["nginx"]),
    ]
}

const HAPROXY: &str = "haproxy_run \"
frontend f
  mode http
  bind :$PORT
  http-request return status 200 content-type text/plain string ok\"";
const NODE: &str = "js 'http.createServer((q, a) => a.end(\"x\".repeat(3000))).listen(PORT)'";
const HALF: &str = "py 'serve(lambda s: (drain(s), sleep(.1), s.sendall(b\"y\" * 2000)))'";
const HALF_CLIENT: &str = "head -c 20000 /dev/zero | nc -N $S $PORT > out";
const PRECONNECT: &str = "py 'a = [connect() for _ in range(3)]; sleep(.5); [s.close() for s in a]'";
const RELOAD: &str = "curl $U/big & sleep .3; kill -HUP $(cat nginx.pid); curl $U/; wait";
