//! Help texts below the options of commands: examples, and where to read on.

pub(super) const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed while running (what was measured is printed); 2 wrong usage, no \
such interface or file; 4 missing privileges; 5 kernel, driver or interface cannot do it as asked.";

pub(super) const EXAMPLES: &str = "Examples:
  rstprobe doctor -i eth1                      what this host and NIC can do
  rstprobe snapshot -i eth1 --for 10s          ten seconds of eth1: who resets whom, and why
  rstprobe snapshot -i tap0 -i tap1 --for 1m   both legs of a TAP make one connection
  rstprobe run -i eth1 --format ndjson         one JSON line per connection as it ends
  rstprobe read capture.pcapng                 the same from a capture
  rstprobe read big.pcap --filter 'rst.count > 0 and ct.count = 0'    only connections that meet a condition
  rstprobe read --format zeek capture.pcap     a conn.log as Zeek writes it";

pub(super) const DETACH: &str = "Examples:
  rstprobe detach            on all interfaces of this network namespace
  rstprobe detach -i eth0    on eth0

Most of what rstprobe attaches goes by itself when rstprobe ends, even when it is killed. Before Linux 6.6 the filter by \
which --host sees what is sent does not: after `kill -9` it stays, until rstprobe is started the next time or this is run. \
What a running rstprobe uses is never removed.";

pub(super) const EXPLAIN: &str = "Examples:
  rstprobe explain                     every cause and every finding, with one line each
  rstprobe explain keepalive_race      what happened, how it looks, what to check next
  rstprobe explain rst.mark            a fact that verdicts rest on, and its values
  rstprobe explain -r c.pcap 17        connection 17: its segments, its verdict and what that rests on
  rstprobe explain -r c.pcap 'cause = app_abort'      the one that lost most of those that meet a condition
  rstprobe explain -r c.pcap 17 --format html > 17.html
  rstprobe explain -i eth1 --for 1m 'rst.count > 0'   of an interface, with the options of `snapshot`";

pub(super) const READ: &str = "Examples:
  rstprobe read c.pcap                                           findings, causes, the ten worst
  rstprobe read c.pcap --filter 'client = 10.0.0.7' --by server  which services reset one client
  rstprobe read c.pcap --by client --sort rst.count.srv          clients, by RSTs of servers
  rstprobe read c.pcap --by time:10s --since 14:00               RSTs per connection over time
  rstprobe read c.pcap --evidence resets.pcapng                  the packets behind each reset

--help has every option; `rstprobe help` lists topics: filter, query, zones, evidence, output, capture, live";

pub(super) const SNAPSHOT: &str = "Examples:
  rstprobe snapshot -i eth1 --for 10s                        who resets whom, and why
  rstprobe snapshot -i tap0 -i tap1 --promisc --action drop  both legs of a TAP
  rstprobe snapshot -i eth1 --by client,service --limit 20   groups instead

--help has every option; `rstprobe help` lists topics: filter, query, zones, evidence, output, live";

pub(super) const RUN: &str = "Examples:
  rstprobe run -i eth1 --filter 'rst.count > 0'           a line per reset connection, when it is final
  rstprobe run -i eth1 --format ndjson                    the same as JSON lines; Ctrl-C prints the summary
  rstprobe run -i eth1 --evidence /var/tmp/resets         and the packets behind each reset

A connection is printed when it is final: as in Zeek 5 seconds after its end (`rstprobe help output`).
--help has every option; `rstprobe help` lists topics: filter, query, zones, evidence, output, live";

pub(super) const REPORT_USAGE: &str = "rstprobe report -o FILE -r FILE... [OPTIONS]
       rstprobe report -o FILE -i IFACE [--for TIME] [OPTIONS]";

pub(super) const REPORT: &str = "Further options are those of `read` (with -r) or `snapshot` (with -i).

Examples:
  rstprobe report -o page.html -r capture.pcap             one self-contained page; open it in any browser
  rstprobe report -o page.html -r a.pcap b.pcap --top 200  several captures as one stream, longer tables
  rstprobe report -o page.html -i eth0 --for 5m            five minutes of eth0
  rstprobe report -o - -r c.pcap --filter 'server.port = 443' | gzip > page.html.gz

What each part of the page says: docs/report.md";
