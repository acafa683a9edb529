//! Connections that are never opened, or opened for nothing: refused ports, scans, full queues, health checks.

use crate::zoo::{
    packets::View,
    situation::{NO_RST, ORDERLY, Situation, Truth},
};

const REFUSED: Truth = Truth::new(View::is_refused, &["refused_closed_port"], &["server"], &["attempt_failed"]);
const ANSWERED: Truth = ORDERLY.aside();
/// Known only where the server was seen to answer from farther away than the router.
const BY_ROUTER: Truth = Truth::new(View::is_refused, &["refused_by_firewall"], &["middle"], &["attempt_failed"]);
const CANCELLED: Truth = Truth::new(View::is_reset_by_client, &["half_open_scan"], &["client"], &["attempt_failed"]);
const UNANSWERED: Truth = Truth::new(View::has_no_rst, &["never_answered"], &["none"], &["attempt_failed"]);
const CHECK: Truth = Truth::new(
    View::has_rst,
    &["health_check", "abort_no_data", "rst_instead_of_fin", "app_abort", "rst_after_close"],
    &["client", "none"],
    &["none"],
);
const ABORTED_EMPTY: Truth =
    Truth::new(View::is_reset_by_client, &["abort_no_data", "health_check"], &["client"], &["none"]);
const NGINX: &str = "nginx_run";
const PY: &str = "py 'serve(lambda s: (header(s), answer(s, b\"here\")))'";

/// The situations.
pub(super) fn situations() -> Vec<Situation> {
    let mut all = refused();
    all.extend(firewalls());
    all.extend(scans());
    all.extend(queues());
    all.extend(checks());
    all
}

fn refused() -> Vec<Situation> {
    let new = Situation::new;
    vec![
        new("refused", "a closed port").client("curl $U/").truth([REFUSED]),
        new("refused6", "a closed port, IPv6").client("curl \"http://[$S6]:$PORT/\"").truth([REFUSED]),
        new("refused_nc", "nc -z on closed ports")
            .client("nc -z $S $PORT; nc -z $S $PORT1; true")
            .truth([REFUSED])
            .needs(&["nc"])
            .least(2),
    ]
}

fn firewalls() -> Vec<Situation> {
    let new = Situation::new;
    vec![
        new("fw_router_reset", "the router rejects by tcp reset")
            .server(PY)
            .client("curl $U/; router_rule tcp dport $PORT1 reject with tcp reset; curl http://$S:$PORT1/")
            .truth([BY_ROUTER, ANSWERED])
            .needs(&["nft"]),
        new("fw_router_reset6", "the same over IPv6")
            .server(PY)
            .client("curl \"http://[$S6]:$PORT/\"; router_rule tcp dport $PORT1 reject with tcp reset; curl \"http://[$S6]:$PORT1/\"")
            .truth([BY_ROUTER, ANSWERED])
            .needs(&["nft"]),
        new("fw_server_reset", "the server's own firewall rejects by tcp reset")
            .client("server_rule tcp dport $PORT reject with tcp reset; curl $U/")
            .truth([Truth { causes: &["refused_closed_port", "refused_by_firewall"], ..REFUSED }])
            .needs(&["nft"]),
        new("fw_router_icmp", "the router rejects by ICMP admin-prohibited")
            .client("router_rule ip daddr $S tcp dport $PORT reject with icmp type admin-prohibited; curl -m 1 $U/")
            .truth([Truth::new(View::has_no_rst, &["icmp_unreachable"], &["middle", "none"], &["attempt_failed"])])
            .needs(&["nft"]),
        new("fw_server_icmp", "the server rejects by ICMP port-unreachable")
            .client("server_rule ip daddr $S tcp dport $PORT reject with icmp type port-unreachable; curl -m 1 $U/")
            .truth([Truth::new(
                View::has_no_rst,
                &["icmp_unreachable"],
                &["server", "middle", "none"],
                &["attempt_failed"],
            )])
            .needs(&["nft"]),
        new("fw_router_drop", "the router drops")
            .client("blackhole; curl -m 1.5 $U/")
            .truth([UNANSWERED])
            .needs(&["nft"]),
        new("fw_server_drop", "the server drops")
            .client("server_rule tcp dport $PORT drop; curl -m 1.5 $U/")
            .truth([UNANSWERED])
            .needs(&["nft"]),
    ]
}

fn scans() -> Vec<Situation> {
    let new = Situation::new;
    let scan = |how: &str| format!("nmap -n -Pn --max-retries 1 {how} -p $PORT,$PORT1 $S > nmap.log 2>&1");
    vec![
        new("nmap_sS", "nmap -sS: an open and a closed port").server(NGINX).client(&scan("-sS")).truth([REFUSED, CANCELLED]),
        new("nmap_sT", "nmap -sT: the same").server(NGINX).client(&scan("-sT")).truth([REFUSED, ABORTED_EMPTY, ANSWERED]),
        new("nmap_sF", "nmap -sF: FINs without a connection")
            .server(NGINX)
            .client(&scan("-sF"))
            .truth([
                Truth::new(View::has_rst, &["rst_without_connection", "no_state", "unknown"], &["server", "unknown"], &["none", "unknown"]),
                Truth::new(View::has_no_rst, &["none"], &["none"], &["none", "unknown"]).aside(),
            ]),
        new("nmap_sA", "nmap -sA: ACKs without a connection")
            .server(NGINX)
            .client(&scan("-sA"))
            .truth([Truth::new(View::has_rst, &["rst_without_connection", "no_state", "unknown"], &["server", "unknown"], &["none", "unknown"])]),
    ]
    .into_iter()
    .map(|situation| situation.needs(&["nmap", "nginx"]))
    .chain([new("connect_cancel", "a connect is cancelled before the SYN-ACK arrives")
        .server(NGINX)
        .client("py 's = socket.socket(); s.setblocking(False); s.connect_ex((SERVER, PORT)); sleep(.002); s.close(); sleep(.1)'")
        .truth([CANCELLED, NO_RST])
        .needs(&["nginx"])])
    .collect()
}

/// Nobody accepts, and the queue has room for four.
const NO_ACCEPT: &str = "py 'l = listen(backlog=3); sleep(30)'";
/// Connections, the second lot at once; a request on each, and patience.
const CROWD: &str = "py 'a = [connect() for _ in range(FIRST)]
for _ in range(6 - FIRST):
    s = socket.socket(); s.setblocking(False); s.connect_ex((SERVER, PORT)); a.append(s)
sleep(.3)
for s in a:
    try: s.send(GET)
    except OSError: pass
sleep(WAIT)'";
/// One at a time: a setting of the whole namespace.
const LOCK: &str = "exec 8> $RUN/overflow; flock 8";
const QUEUE_FULL: &[&str] = &["accept_queue_full"];
const FAILED: &[&str] = &["attempt_failed", "request_lost"];
const FULL_ABORTS: Truth = Truth::new(View::is_dropped_at_accept, QUEUE_FULL, &["server"], FAILED);
const FULL: Truth = Truth::new(View::is_ignored, QUEUE_FULL, &["none", "client", "server"], FAILED);
/// In the queue, where its request waits until the server is ended.
const QUEUED: Truth = Truth::new(
    View::any,
    &["none", "client_gave_up", "app_abort"],
    &["none", "client", "server"],
    &["none", "request_lost", "response_lost"],
)
.aside();

fn queues() -> Vec<Situation> {
    let crowd = |first: &str, wait: &str| CROWD.replace("FIRST", first).replace("WAIT", wait);
    let abort = |on: u8| format!("in_server sysctl -qw net.ipv4.tcp_abort_on_overflow={on}");
    let full =
        |name, what, client: &str| Situation::new(name, what).server(NO_ACCEPT).client(&format!("{LOCK}; {client}"));
    vec![
        full(
            "overflow_abort",
            "the accept queue is full, tcp_abort_on_overflow 1",
            &format!("{}; {}; {}", abort(1), crowd("3", "1"), abort(0)),
        )
        .truth([FULL_ABORTS, QUEUED])
        .least(2),
        full(
            "overflow_silent",
            "the accept queue is full, tcp_abort_on_overflow 0; the server ends",
            &crowd("3", "3.5"),
        )
        .truth([FULL, QUEUED])
        .least(2),
        full("overflow_cookies", "the queue of SYNs too: the server answers by SYN cookies", &crowd("0", "2.5"))
            .server("py 'l = listen(backlog=1); sleep(30)'")
            .truth([FULL, QUEUED])
            .least(2),
    ]
}

fn checks() -> Vec<Situation> {
    let new = Situation::new;
    let haproxy = |check: &str| {
        format!(
            "(cd $DIR && mkdir c && cd c && DIR=$DIR/c && haproxy_run \"\nbackend b\n  mode http\n  {check}\n  default-server inter 300ms\n  server x $S:$PORT check\") & sleep 2; kill -STOP $!"
        )
    };
    vec![
        new("check_haproxy_tcp", "haproxy's TCP health check")
            .server(NGINX)
            .client(&haproxy(""))
            .needs(&["haproxy", "nginx"]),
        new("check_haproxy_http", "haproxy's HTTP health check")
            .server("nginx_run '' 'location / { return 200 ok; }'")
            .client(&haproxy("option httpchk GET /"))
            .needs(&["haproxy", "nginx"]),
        new("check_haproxy_redis", "haproxy's Redis health check")
            .server("redis_run --protected-mode no")
            .client(&haproxy("option redis-check").replace("mode http", "mode tcp"))
            .needs(&["haproxy", "redis-server"]),
    ]
    .into_iter()
    .map(|situation| situation.truth([CHECK, ORDERLY]).least(3))
    .collect()
}
