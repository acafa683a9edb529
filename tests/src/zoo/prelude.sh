# What every script of the zoo begins with: names, and each program as a server with its own configuration below $DIR.
# Runs in bash. Given: DIR RUN S S6 C PORT PORT1 PORT2 PORT3 ROUTER SERVER_NS CLIENT_NS ZOO (folder of zoo.py and zoo.js).
set -u
cd "$DIR" || exit 1
export PYTHONPATH="$ZOO" NODE_PATH="$ZOO" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
U="http://$S:$PORT" UT="https://$S:$PORT"
CERT="$RUN/cert.pem" KEY="$RUN/key.pem"

in_router() { nsenter --net="/run/netns/$ROUTER" "$@"; }
in_server() { nsenter --net="/run/netns/$SERVER_NS" "$@"; }
in_client() { nsenter --net="/run/netns/$CLIENT_NS" "$@"; }
py() { /usr/bin/python3 -c "from zoo import *
$1"; }
js() { node -e "const { S, PORT, get, tls, certificate } = require('zoo.js'); const http = require('http'), https = require('https'), net = require('net');
$1"; }
curl() { command curl -s --noproxy '*' -o /dev/null "$@"; }
# Until a backend in the client's namespace listens on $PORT1 (by looking, no connection is made).
backend_is_up() { until in_client ss -Hltn "sport = :$PORT1" | grep -q .; do sleep .05; done; }

# nginx: extra lines of http {}, of server {}; a third word `ssl` for TLS.
nginx_run() {
    mkdir -p www tmp
    [ -e www/index.html ] || { head -c 3000 /dev/zero | tr '\0' 'x' > www/index.html; head -c 3000000 /dev/zero > www/big; }
    cat > nginx.conf <<CONF
daemon off; user root; worker_processes 1; pid $DIR/nginx.pid; error_log $DIR/error.log;
events { worker_connections 256; }
http {
  access_log off; default_type text/plain;
  client_body_temp_path tmp/b; proxy_temp_path tmp/p; fastcgi_temp_path tmp/f; uwsgi_temp_path tmp/u; scgi_temp_path tmp/s;
  ssl_certificate $CERT; ssl_certificate_key $KEY;
  ${1:-}
  server { listen $PORT ${3:-}; listen [::]:$PORT ${3:-}; root $DIR/www; ${2:-} }
}
CONF
    exec nginx -p "$DIR" -e "$DIR/error.log" -c "$DIR/nginx.conf"
}

# haproxy: lines after `defaults`.
haproxy_run() {
    cat > haproxy.cfg <<CONF
global
  maxconn 500
  stats socket $DIR/haproxy.sock mode 600
defaults
  timeout connect 2s
  timeout client 10s
  timeout server 10s
$1
CONF
    cat "$CERT" "$KEY" > both.pem
    exec haproxy -db -f haproxy.cfg
}

apache_run() {
    mkdir -p www && head -c 3000 /dev/zero | tr '\0' 'x' > www/index.html
    local modules=/usr/lib/apache2/modules name
    { echo "ServerRoot $DIR
ServerName zoo
PidFile $DIR/apache.pid
ErrorLog $DIR/apache.log
Listen $PORT
DocumentRoot $DIR/www"
      for name in mpm_event authz_core dir ssl socache_shmcb; do echo "LoadModule ${name}_module $modules/mod_$name.so"; done
      echo "<Directory />
Require all granted
</Directory>
$1"; } > apache.conf
    exec apache2 -f "$DIR/apache.conf" -DFOREGROUND
}

redis_run() { exec redis-server --port "$PORT" --bind 0.0.0.0 --save '' --daemonize no --dir "$DIR" "$@"; }

# postgres on $PORT, from a cluster that is made once; md5 for 10.66.0.0/16, user zoo, password zoo.
PGBIN=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)
postgres_run() {
    (
        flock 9
        if [ ! -e "$RUN/pg/done" ]; then
            install -d -o postgres "$RUN/pg"
            echo zoo > "$RUN/pg/pw"
            setpriv --reuid=postgres --regid=postgres --clear-groups "$PGBIN/initdb" -D "$RUN/pg/data" -U zoo -A scram-sha-256 \
                --pwfile="$RUN/pg/pw" --no-sync --no-locale -E UTF8 > "$RUN/pg/log" 2>&1
            echo "host all all 10.66.0.0/16 scram-sha-256" >> "$RUN/pg/data/pg_hba.conf"
            touch "$RUN/pg/done"
        fi
    ) 9> "$RUN/pg.lock"
    cp -a "$RUN/pg/data" "$DIR/data"
    exec setpriv --reuid=postgres --regid=postgres --clear-groups "$PGBIN/postgres" -D "$DIR/data" -p "$PORT" \
        -c listen_addresses='*' -c unix_socket_directories= -c fsync=off -c shared_buffers=8MB "$@"
}
export PGPASSWORD=zoo PGCONNECT_TIMEOUT=5 PGSSLMODE=disable
PSQL="$PGBIN/psql -qAt -h $S -p $PORT -U zoo"
pg() { $PSQL -d postgres "$@"; }

sshd_run() {
    mkdir -p /run/sshd
    ssh-keygen -q -t ed25519 -N '' -f host
    ssh-keygen -q -t ed25519 -N '' -f user
    cp user.pub authorized && chmod 700 . && chmod 600 authorized
    exec /usr/sbin/sshd -D -e -f /dev/null -h "$DIR/host" -p "$PORT" -o PidFile=none -o UsePAM=no -o StrictModes=no \
        -o AuthorizedKeysFile="$DIR/authorized" -o PermitRootLogin=prohibit-password -o ListenAddress=0.0.0.0 "$@" 2> sshd.log
}
ssh_to() { exec ssh -F none -p "$PORT" -i "$DIR/user" -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR "root@$S" "$@"; }

# A table of the router's (or, in_server, the server's) firewall for this situation alone.
router_rule() { in_router nft "add table inet z$PORT; add chain inet z$PORT f { type filter hook forward priority 0; }; add rule inet z$PORT f $*"; }
server_rule() { in_server nft "add table inet z$PORT; add chain inet z$PORT i { type filter hook input priority 0; }; add rule inet z$PORT i $*"; }
router_free() { in_router nft delete table inet "z$PORT"; }
blackhole() { in_router nft "add table inet z$PORT; add chain inet z$PORT f { type filter hook forward priority 0; }; add rule inet z$PORT f tcp dport $PORT drop; add rule inet z$PORT f tcp sport $PORT drop"; }
# The server forgets a connection, as if it had crashed: its word of it does not leave, its program is gone.
vanish() {
    in_server nft "add table inet v$PORT; add chain inet v$PORT o { type filter hook output priority 0; }; add rule inet v$PORT o tcp sport $PORT drop"
    in_server ss -HK "sport = :$PORT" > vanished 2>&1
    "$@"
    sleep .1
    in_server nft delete table inet "v$PORT"
}
