//! Help texts of options and subcommands that are longer than a line.

use crate::filter;

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

pub(super) const EVIDENCE: &str = "Keep the packets behind each reset, as pcapng: a folder, or one file named *.pcapng

Of every connection with an RST (or those of --evidence-filter) the frames around its opening and its end, with verdict \
and cause as packet comments. From captures and with --datapath afxdp of all its frames, 256 bytes each; of counted \
traffic of the segments that the program keeps (SYN, FIN, RST, what they answer), 168 bytes each, with interface, queue \
and direction. Written when the record is final. Disk is bounded, and what could not be kept is counted.

  rstprobe run -i eth0 --evidence /var/tmp/resets --evidence-max 1G
  rstprobe read big.pcap --evidence resets.pcapng
  rstprobe read big.pcap --evidence aborts.pcapng --evidence-filter 'cause = app_abort and server.port = 443'
  tshark -r FILE -Y 'frame.comment contains \"app_abort\"' -T fields -e frame.comment";

pub(super) const EVIDENCE_FILTER: &str = "Connections whose packets --evidence keeps, in the language of --filter

Asked when the record is final, so that it may ask for anything; --filter has no part in it.";

pub(super) const FILTER: &str = "Show and count only connections that meet a condition, such as 'rst.count > 0 and fin.count = 0'

Tables, streams and rates are of these only, and say so; losses and the quality of the capture are those of everything. \
Causes that depend on other connections depend on all of them. The language: `rstprobe help filter`; fields: `rstprobe fields`.";

pub(super) const BY: &str = "Group connections by one key or two, and print the groups only

Keys: client, server (address and port), service (port), conversation (two addresses), time[:STEP] (start, in steps of a \
minute or of STEP), and the words of a connection: cause, impact, closing, conn-state, opening, stage, reset-by and others. \
`rstprobe fields --groups` lists what groups add up to, for --having, --sort and --columns.

  rstprobe read c.pcap --by client --sort rst.count.srv             clients, by RSTs of servers
  rstprobe read c.pcap --filter 'client = 10.0.0.7' --by server     which services reset one client
  rstprobe read c.pcap --by time:10s                                RSTs per connection over time, from both sides
  rstprobe read c.pcap --by client,cause --format csv
  rstprobe read c.pcap --by client --having 'rst.count.srv > 100 and syn.per_conn > 2'";

pub(super) const DATAPATH: &str = "How segments come to the agent

count: the XDP program counts each connection and keeps the segments that decide. Nothing is taken from the interface.
afxdp: every TCP frame (with --depth control only SYN, FIN and RST) goes to an AF_XDP socket of its receive queue and is \
read by the agent: every segment with its own time, all history letters, evidence of whole frames; at a fraction of the \
rate. These frames do not reach the host's stack, so this is refused where the host's own traffic would stop. Zero-copy \
where the driver has it, else copy mode; which one is said at the start.

  rstprobe snapshot -i tap0 --promisc --action drop --datapath afxdp --for 30s";

pub(super) const FINAL: &str = "A connection is printed when it is final: as in Zeek, 5 seconds after its end, because late segments \
may still change the answer. When whoever reads standard output does not keep up, lines are left out and counted as \
`not_printed`; nothing else waits for it.";

pub(super) const DETACH: &str = "Examples:
  rstprobe detach            on all interfaces of this network namespace
  rstprobe detach -i eth0    on eth0

Most of what rstprobe attaches goes by itself when rstprobe ends, even when it is killed. Before Linux 6.6 the filter by \
which --host sees what is sent does not: after `kill -9` it stays, until rstprobe is started the next time or this is run. \
What a running rstprobe uses is never removed.";

pub(super) const EXPLAIN: &str = "Examples:
  rstprobe explain                     every cause and every finding, with one line each
  rstprobe explain keepalive_race      what happened, how it looks, what to check next
  rstprobe explain -r c.pcap 17        connection 17: its segments, its verdict and what that rests on
  rstprobe explain -r c.pcap 'cause = app_abort'      the one that lost most of those that meet a condition";

pub(super) const REPORT_USAGE: &str = "rstprobe report -o FILE -r FILE... [OPTIONS]
       rstprobe report -o FILE -i IFACE [--for TIME] [OPTIONS]";

pub(super) const REPORT: &str = "Further options are those of `read` (with -r) or `snapshot` (with -i).

Examples:
  rstprobe report -o page.html -r capture.pcap             one self-contained page; open it in any browser
  rstprobe report -o page.html -r a.pcap b.pcap --top 200  several captures as one stream, longer tables
  rstprobe report -o page.html -i eth0 --for 5m            five minutes of eth0
  rstprobe report -o - -r c.pcap --filter 'server.port = 443' | gzip > page.html.gz

What each part of the page says: docs/report.md";

/// The language of filters; the fields come from the field table.
pub(super) fn filter_help() -> String {
    format!("The language of --filter, --evidence-filter and --having\n\n{}", filter::help())
}
