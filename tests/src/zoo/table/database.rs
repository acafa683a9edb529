//! Redis, memcached, PostgreSQL and SSH.

use crate::zoo::{
    packets::View,
    situation::{GAVE_UP, NO_RST, ORDERLY, STALE, Situation, Truth},
};

/// One too many is told so and closed, its command unread.
const TURNED_AWAY: Truth = Truth::new(
    View::is_reset_by_server,
    &["server_reply_then_reset", "data_after_close"],
    &["server"],
    &["request_lost"],
);
const WELCOME: Truth = ORDERLY.aside();
/// Eight clients that hold their connection, with a command each at once.
const CROWD: &str = "py 'a = []
for _ in range(8): s = connect(); s.sendall(b\"PING\\r\\n\"); a.append(s); sleep(.03)
sleep(.4)
for s in a: s.setblocking(False)
for s in a:
    try: s.recv(999)
    except OSError: pass
    s.close()'";
const QUERY: &str = "$PSQL -d postgres -c 'select pg_sleep(1.4)'";

/// The situations.
pub(super) fn situations() -> Vec<Situation> {
    let mut all = caches();
    all.extend(postgres());
    all.extend(ssh());
    all
}

fn caches() -> Vec<Situation> {
    let redis = |name, what, server: &str, client: &str| {
        Situation::new(name, what).server(server).client(client).needs(&["redis-server"])
    };
    vec![
        redis("redis_ok", "redis-benchmark", "redis_run --protected-mode no", "redis-benchmark -q -h $S -p $PORT -c 2 -n 20 -t ping > log").truth([ORDERLY]),
        redis("redis_maxclients", "maxclients 4, eight clients", "redis_run --protected-mode no --maxclients 4", CROWD)
            .truth([TURNED_AWAY, WELCOME])
            .least(2),
        redis("redis_protected", "protected mode: DENIED, and closed", "redis_run --protected-mode yes", "py 's = connect(); s.sendall(b\"PING\\r\\n\"); drain(s)'")
            .truth([TURNED_AWAY, NO_RST]),
        redis("redis_client_kill", "CLIENT KILL of a pooled client, which is used 0.4 s later", "redis_run --protected-mode no", CLIENT_KILL)
            .truth([STALE, WELCOME]),
        redis("redis_kill9", "redis SIGKILLed with an idle subscriber", "redis_run --protected-mode no --pidfile $DIR/pid", REDIS_KILL)
            .truth([Truth::new(View::has_no_rst, &["none"], &["none"], &["none"])]),
        Situation::new("memcached_ok", "set, get, quit")
            .server("exec memcached -u root -p $PORT -U 0")
            .client("py 's = connect(); s.sendall(b\"set a 0 0 1\\r\\nx\\r\\nget a\\r\\n\"); sleep(.1); s.recv(999); s.sendall(b\"quit\\r\\n\"); drain(s)'")
            .truth([ORDERLY])
            .needs(&["memcached"]),
        Situation::new("memcached_maxconns", "-c 40 maxconns_fast, 48 clients")
            .server("exec memcached -u root -p $PORT -U 0 -c 40 -t 1 -o maxconns_fast")
            .client(&CROWD.replace("PING", "version").replace("range(8)", "range(48)").replace("sleep(.03)", "sleep(.01)"))
            .truth([TURNED_AWAY, WELCOME])
            .needs(&["memcached"])
            .least(2),
    ]
}

const CLIENT_KILL: &str = "py 's = connect(); s.sendall(b\"PING\\r\\n\"); s.recv(99); k = connect(); sleep(1.1)
k.sendall(b\"CLIENT KILL TYPE normal SKIPME yes\\r\\n\"); k.recv(99); sleep(.4); s.sendall(b\"PING\\r\\n\"); drain(s); k.close()'";
const REDIS_KILL: &str = "py 's = connect(); s.sendall(b\"SUBSCRIBE a\\r\\n\"); s.recv(99); sleep(.3); os.kill(int(open(\"pid\").read()), 9); drain(s)'";

fn postgres() -> Vec<Situation> {
    let pg = |name, what, client: &str| {
        Situation::new(name, what).server("postgres_run").client(client).needs(&["postgres"])
    };
    vec![
        pg("pg_ok", "select 1", "pg -c 'select 1' > out").truth([ORDERLY]),
        pg("pg_wrong_password", "password authentication fails", "PGPASSWORD=no pg -c 'select 1' 2> log").truth([ORDERLY]),
        pg("pg_client_kill9", "psql SIGKILLed during a query; the answer comes a second later", &format!("{QUERY} > out & sleep .6; kill -9 $!; sleep 1.3"))
            .truth([GAVE_UP, NO_RST]),
        pg("pg_terminate_active", "pg_terminate_backend on a running query", &format!("{QUERY} > out 2>&1 & sleep .5; pg -c \"select pg_terminate_backend(pid) from pg_stat_activity where query like '%sleep(1.4)' and pid != pg_backend_pid()\" > out2; wait"))
            .truth([ORDERLY]),
        pg("pg_maxconn", "max_connections 5: seven clients", CROWD_PG)
            .server("postgres_run -c max_connections=5 -c superuser_reserved_connections=1 -c max_wal_senders=0")
            .truth([ORDERLY]),
        pg("pg_idle_timeout", "idle_session_timeout 1 s; the client uses the connection 0.6 s later", "{ echo 'select 1;'; sleep 1.8; echo 'select 2;'; } | pg > out 2>&1")
            .server("postgres_run -c idle_session_timeout=1000")
            .truth([STALE, TLS_FREE_TAIL, ORDERLY]),
        pg("pg_terminate_idle", "pg_terminate_backend on a pooled connection, which is used 0.4 s later", TERMINATE_IDLE)
            .truth([STALE, TLS_FREE_TAIL, WELCOME]),
    ]
}

/// psql reads the server's last words when it uses the connection: its own close meets nobody.
const TLS_FREE_TAIL: Truth = Truth::new(
    View::has_rst,
    &["data_after_close", "rst_after_close", "app_abort"],
    &["client", "server"],
    &["none", "request_lost"],
)
.aside();
const TERMINATE_IDLE: &str = "{ echo 'select 1;'; sleep 1.6; echo 'select 2;'; } | pg > out 2>&1 & sleep 1
pg -c \"select pg_terminate_backend(pid) from pg_stat_activity where query = 'select 1;' and pid != pg_backend_pid()\" > out2
wait";

const CROWD_PG: &str =
    "for _ in 1 2 3 4 5 6 7; do $PSQL -d postgres -c 'select pg_sleep(.8)' > out 2>&1 & sleep .05; done; wait";
const MAX_STARTUPS: &str =
    "py 'a = connect(); a.recv(99); b = connect(); b.sendall(b\"SSH-2.0-zoo\\r\\n\"); drain(b); a.close()'";

fn ssh() -> Vec<Situation> {
    let ssh =
        |name, what, client: &str| Situation::new(name, what).server("sshd_run").client(client).needs(&["sshd", "ssh"]);
    vec![
        ssh("ssh_ok", "ssh true", "ssh_to true").truth([ORDERLY]),
        ssh("ssh_maxstartups", "MaxStartups 1: a client too many, which has sent its banner", MAX_STARTUPS)
            .server("sshd_run -o MaxStartups=1:100:1")
            .truth([
                Truth { causes: &["server_reply_then_reset", "data_after_close", "app_abort"], impacts: &["request_lost", "response_lost"], ..TURNED_AWAY },
                WELCOME,
            ]),
        ssh("ssh_kill9", "ssh SIGKILLed while the server prints", "ssh_to \"/usr/bin/python3 -u -c 'import time\nwhile 1: print(1); time.sleep(.001)'\" > out & sleep 1.5; kill -9 $!; sleep .3")
            .truth([Truth::new(View::has_rst, &["client_abort_download", "data_after_close"], &["client"], &["transfer_cut", "response_lost"]), NO_RST]),
        ssh("sshd_session_kill9", "the server's session is SIGKILLed while idle", "ssh_to 'sleep 5' & sleep 1; for p in $(in_server ss -Htnp state established sport = :$PORT | grep -o 'pid=[0-9]*' | cut -d= -f2); do kill -9 $p; done; wait")
            .truth([Truth::new(View::has_no_rst, &["none"], &["none"], &["none"]), Truth::new(View::has_rst, &["app_abort", "data_after_close", "rst_after_close"], &["server"], &["none", "request_lost"])]),
    ]
}
