//! TLS: goodbyes that meet a client that is gone, rejected certificates, the wrong protocol.

use crate::zoo::{
    packets::View,
    situation::{
        DOWNLOAD_SILENT, DOWNLOAD_STOPPED, NO_RST, ORDERLY, Situation, TLS_TAIL, TLS_TAIL_SERVER, TLS_TAILS, Truth,
    },
};

const NGINX: &str = "nginx_run '' '' ssl";
const HTTP2: &str = "nginx_run '' '' 'ssl http2'";
const CURL: &str = "curl -k $UT/";
const CURL_12: &str = "curl -k --tls-max 1.2 $UT/";
const HAPROXY: &str = "haproxy_run \"
frontend f
  mode http
  bind :$PORT ssl crt $DIR/both.pem
  http-request return status 200 content-type text/plain string ok\"";
const APACHE: &str = "apache_run \"SSLEngine on
SSLCertificateFile $CERT
SSLCertificateKeyFile $KEY\"";
const NODE: &str = "js 'https.createServer(certificate(), (q, a) => a.end(\"x\".repeat(3000))).listen(PORT)'";
const PY: &str = "py 'c = server_tls()
def f(s):
    t = c.wrap_socket(s, server_side=True); header(t); answer(t); header(t); t.close()
serve(f)'";
const PY_CLOSES: &str = "py 'c = server_tls()
def f(s):
    t = c.wrap_socket(s, server_side=True); header(t); answer(t, extra=\"Connection: close\\r\\n\"); t.unwrap().close()
serve(f)'";
const OPENSSL: &str = "exec openssl s_server -accept $PORT -cert $CERT -key $KEY -www -quiet > log 2>&1";
const PY_CLIENT: &str = "py 's = client_tls().wrap_socket(connect()); get(s); s.close()'";
const HTTP_CLIENT: &str = "py 'h = http.client.HTTPSConnection(SERVER, PORT, context=client_tls()); h.request(\"GET\", \"/\"); h.getresponse().read(); h.close()'";
const REQUESTS: &str = "py 'import requests, urllib3; urllib3.disable_warnings(); requests.get(f\"https://{SERVER}:{PORT}/\", verify=False)'";
const NODE_CLIENT: &str = "js 'get(https, { agent: false })'";

fn tail(name: &'static str, what: &'static str, server: &str, client: &str) -> Situation {
    let orderly = Truth { is_premise: true, ..ORDERLY };
    Situation::new(name, what).server(server).client(client).truth([TLS_TAILS, TLS_TAIL, TLS_TAIL_SERVER, orderly])
}

/// The situations.
pub(super) fn situations() -> Vec<Situation> {
    let mut all = goodbyes();
    all.extend(refusals());
    all
}

fn goodbyes() -> Vec<Situation> {
    vec![
        tail("tls_curl_nginx", "curl closes; nginx's close_notify follows", NGINX, CURL).needs(&["nginx"]),
        tail("tls12_curl_nginx", "the same in TLS 1.2", NGINX, CURL_12).needs(&["nginx"]),
        tail("tls6_curl_nginx", "the same over IPv6", NGINX, "curl -k \"https://[$S6]:$PORT/\"").needs(&["nginx"]),
        tail("tls_py_nginx", "a Python socket closes without unwrap", NGINX, PY_CLIENT).needs(&["nginx"]),
        tail("tls_httpclient_nginx", "Python http.client", NGINX, HTTP_CLIENT).needs(&["nginx"]),
        tail("tls_requests_nginx", "Python requests", NGINX, REQUESTS).needs(&["nginx", "python3-requests"]),
        tail("tls_node_nginx", "node https.get", NGINX, NODE_CLIENT).needs(&["nginx", "node"]),
        tail("tls_ab_nginx", "ab -n 8 -c 2", NGINX, "ab -q -n 8 -c 2 $UT/ > ab.log").needs(&["nginx", "ab"]).least(8),
        tail("tls_curl_haproxy", "curl, haproxy", HAPROXY, CURL).needs(&["haproxy"]),
        tail("tls12_curl_haproxy", "curl, haproxy, TLS 1.2", HAPROXY, CURL_12).needs(&["haproxy"]),
        tail("tls_node_haproxy", "node, haproxy", HAPROXY, NODE_CLIENT).needs(&["haproxy", "node"]),
        tail("tls_curl_apache", "curl, apache", APACHE, CURL).needs(&["apache2"]),
        tail("tls12_curl_apache", "curl, apache, TLS 1.2", APACHE, CURL_12).needs(&["apache2"]),
        tail("tls_py_apache", "Python, apache", APACHE, PY_CLIENT).needs(&["apache2"]),
        tail("tls_curl_node", "curl, node", NODE, CURL).needs(&["node"]),
        tail("tls_py_node", "Python http.client, node", NODE, HTTP_CLIENT).needs(&["node"]),
        tail("tls_curl_pyserver", "curl, a Python server that waits for the next request", PY, CURL),
        tail("tls_curl_pycloses", "curl, a Python server that closes first", PY_CLOSES, CURL),
        tail("tls12_curl_pyserver", "the same in TLS 1.2", PY, CURL_12),
        tail("tls_curl_openssl", "curl, openssl s_server -www", OPENSSL, CURL),
        tail("h2_curl_nginx", "HTTP/2, one GET", HTTP2, "curl -k --http2 $UT/").needs(&["nginx"]),
        Situation::new("h2_curl_maxtime", "HTTP/2, curl -m 0.6 in a download")
            .server("nginx_run '' 'limit_rate 200k;' 'ssl http2'")
            .client("curl -k --http2 -m .6 $UT/big; sleep 1")
            .truth([DOWNLOAD_STOPPED, DOWNLOAD_SILENT])
            .needs(&["nginx"]),
        Situation::new("tls_wrk_nginx", "wrk for a second; at its end it waits for an answer on each connection")
            .server(NGINX)
            .client("wrk -t1 -c2 -d1s $UT/ > wrk.log")
            .truth([WRK_ENDS, WRK_ABORTS, ORDERLY])
            .needs(&["nginx", "wrk"]),
        Situation::new("tls_ka_idle_close", "nginx closes an idle TLS connection, the client a second later")
            .server(IDLE)
            .client(IDLE_CLIENT)
            .truth([GOODBYE_UNREAD, NO_RST])
            .needs(&["nginx"]),
        tail("tls_node_agent_idle", "node's agent notices that nginx closed", IDLE, NODE_AGENT)
            .needs(&["nginx", "node"]),
    ]
}

const IDLE: &str = "nginx_run 'keepalive_timeout 1s;' '' ssl";
const IDLE_CLIENT: &str = "py 's = client_tls().wrap_socket(connect()); get(s); sleep(2); s.close()'";
const NODE_AGENT: &str =
    "js 'const agent = new https.Agent({ keepAlive: true }); get(https, { agent }, () => setTimeout(() => 0, 1500))'";

/// The client closes with the goodbye unread in its buffer: its kernel aborts, and all had arrived.
const GOODBYE_UNREAD: Truth = Truth::new(
    View::is_reset_by_client,
    &["app_abort", "close_notify_after_close", "rst_after_close", "rst_instead_of_fin"],
    &["client", "none"],
    &["none"],
);
/// Closed in the middle of a request: before its answer, or with a part of it, as luck has it.
pub(super) const WRK_ENDS: Truth = Truth::new(
    |view| view.is_reset_by_client() && view.near.as_ref().is_some_and(|near| near.fin[0] > 0),
    &["client_gave_up", "data_after_close", "client_abort_download"],
    &["client"],
    &["response_lost", "transfer_cut"],
);
/// With something of an answer unread: how much was missing is a matter of luck.
pub(super) const WRK_ABORTS: Truth = Truth::new(
    View::is_reset_by_client,
    &["app_abort", "rst_instead_of_fin", "client_abort_download", "client_gave_up"],
    &["client"],
    // Unknown where its segments are only counted, and its kernel says that something lay unread.
    &["none", "transfer_cut", "response_lost", "unknown"],
);
/// A handshake that fails: what is said of it besides is a matter of who closes first.
const REJECTED: Truth = Truth::new(
    View::any,
    &["tls_alert", "none", "close_notify_after_close", "rst_after_close"],
    &["client", "server", "none"],
    &["none", "attempt_failed", "request_lost"],
);

fn refusals() -> Vec<Situation> {
    vec![
        Situation::new("tls_untrusted_curl", "curl rejects the certificate").needs(&["nginx"]),
        Situation::new("tls_untrusted_py", "Python rejects the certificate").needs(&["nginx"]),
        Situation::new("tls_untrusted12_curl", "curl rejects the certificate in TLS 1.2").needs(&["nginx"]),
    ]
    .into_iter()
    .zip([
        "curl $UT/",
        "py 'ssl.create_default_context().wrap_socket(connect(), server_hostname=SERVER)' 2> log",
        "curl --tls-max 1.2 $UT/",
    ])
    .map(|(situation, client)| situation.server(NGINX).client(client).truth([REJECTED]))
    .collect()
}
