//! The page of hand-made connections: its parts, its bounds, and text that would like to be markup.

use super::*;
use crate::{
    aggregate::{Aggregate, tests::connection},
    query::Overview,
    record::{Cause, Closing, Confidence, Fact, Impact, Opening, ResetBy, Side, Value},
    report::{Filtered, InterfaceUse, Loss, Window, flood::Flood, quality::Quality},
};

/// What names, texts and options would say, if they could.
const HOSTILE: &str = "</title></style></script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u{202e}evil\u{1b}[31m\u{0}\u{2028}&lt;";

fn reset(number: u64, server: &str) -> Connection {
    let server_side = Side { rst: 1, lost_bytes: number, ..Side::default() };
    let mut one = connection(server, Opening::Completed, Closing::RstOnly, Side::default(), server_side);
    one.id = number;
    one.start_ns = 1_700_000_000_000_000_000 + number * 1_000_000_000;
    one.answered_after_ns = Some(2_000_000);
    one.reset_by = ResetBy::Server;
    one.verdict.cause = Cause::AppAbort;
    one.verdict.impact = Impact::RequestLost;
    one.verdict.confidence = Confidence::Medium;
    one
}

fn snapshot() -> Snapshot {
    Snapshot {
        window: Window { start_ns: 1_700_000_000_000_000_000, end_ns: 1_700_000_600_000_000_000, ..Window::default() },
        filter: None,
        aggregate: Aggregate::new(8192),
        losses: Vec::new(),
        books: Vec::new(),
        flood: Flood::default(),
        quality: Quality::default(),
        connections: Vec::new(),
    }
}

/// The page of connections, each listed.
fn made(mut snapshot: Snapshot, connections: Vec<Connection>, sources: &[String], rows: usize) -> String {
    let mut overview = Overview::default();
    for one in &connections {
        snapshot.aggregate.add(one);
        overview.add(one);
    }
    snapshot.connections = connections;
    page(&Page { snapshot: &snapshot, overview: &overview.finish(), sources, cut_short: None, rows }).html
}

/// The part of the page from one text to the next one after it.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = page.split_once(from).unwrap_or_else(|| panic!("no {from}"));
    rest.split_once(to).unwrap_or_else(|| panic!("no {to} after {from}")).0
}

#[test]
fn nothing_from_outside_becomes_markup_or_is_invisible() {
    let mut snapshot = snapshot();
    snapshot.filter = Some(Filtered { expression: HOSTILE.to_owned(), left_out: 0 });
    snapshot.window.interfaces = vec![InterfaceUse {
        name: HOSTILE.to_owned(),
        mode: "native",
        driver: HOSTILE.to_owned(),
        received: None,
        gaps: crate::report::WatchGaps::default(),
        queues: Vec::new(),
    }];
    let mut one = reset(1, "10.0.0.2:80");
    one.verdict.facts = vec![Fact { name: "rst.text", value: Value::Text(HOSTILE.into()) }];
    let (snapshot, connections) = (snapshot, vec![one]);
    let with_interface = made(snapshot.clone(), connections.clone(), &[], 50);
    let of_files = Snapshot { window: Window::default(), ..snapshot };
    let sources = [HOSTILE.to_owned(), HOSTILE.to_owned(), HOSTILE.to_owned()];
    let with_files = made(of_files, connections, &sources, 50);
    for page in [with_interface, with_files] {
        assert_eq!(page.matches("<script>").count(), 1, "that of the page");
        assert_eq!(page.matches("</script>").count(), 1);
        assert_eq!((page.matches("</style>").count(), page.matches("</title>").count() >= 1), (1, true));
        assert_eq!(page.matches("<img").count(), 0);
        assert!(!page.contains(|letter: char| letter.is_control() && letter != '\n'));
        assert!(!page.contains(['\u{202e}', '\u{2028}', '\u{1b}', '\u{0}']));
        let escaped = "&lt;/title&gt;&lt;/style&gt;&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;'&gt;&lt;img src=x \
                       onerror=alert(2)&gt;\\u{202e}evil\\u{1b}[31m\\u{0}\\u{2028}&amp;lt;";
        assert!(
            page.matches(escaped).count() >= 4,
            "title, heading, filter and fact say it: {}",
            page.matches(escaped).count()
        );
    }
}

#[test]
fn tables_have_as_many_rows_as_asked_for_and_the_others_add_up_in_one() {
    let servers =
        (0..900).map(|number| reset(number, &format!("10.{}.{}.1:{}", number / 250, number % 250, 1000 + number)));
    let connections: Vec<_> = servers.collect();
    for (asked, rows) in [(50, 50), (0, MAX_ROWS), (10_000, MAX_ROWS)] {
        let page = made(snapshot(), connections.clone(), &[], asked);
        for (table, id) in [("Servers", "server-table"), ("Services", "service-table")] {
            let body = between(&page, &format!("id=\"{id}\""), "</table>");
            assert_eq!(body.matches("<tr").count(), 1 + rows + 1, "heading, rows, others");
            assert!(body.contains(&format!("{table}: {rows} of 900")), "{id}");
            let others = between(body, "<tr class=\"rest\">", "</tr>");
            let expected = format!("(all others: {})</th><td class=\"n\">{}</td>", 900 - rows, 900 - rows);
            assert!(others.contains(&expected), "{others}");
        }
        let client = between(&page, "id=\"client-table\"", "</table>");
        assert_eq!((client.matches("<tr").count(), client.contains("class=\"rest\"")), (2, false));
        assert!(page.len() < 1 << 20, "{} bytes", page.len());
    }
}

#[test]
fn links_lead_to_something_in_the_page_and_ids_are_unique() {
    let connections: Vec<_> = (0..40).map(|number| reset(number, "10.0.0.2:80")).collect();
    let page = made(snapshot(), connections, &[], 50);
    let ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), ids.len());
    let mut links: Vec<&str> = page.split(" href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    links.sort_unstable();
    links.dedup();
    assert!(links.len() > 10);
    for link in links {
        let id = link.strip_prefix('#').unwrap_or_else(|| panic!("{link} leads out of the page"));
        assert!(ids.contains(&id), "{link} leads nowhere");
    }
    assert!(page.contains("href=\"#finding-server_resets\"") && page.contains("href=\"#cause-app_abort\""));
    assert!(page.contains("href=\"#connection-"), "findings name examples");
}

#[test]
fn absent_and_zero_look_different_and_losses_are_said_first() {
    let mut with_loss = snapshot();
    with_loss.losses = vec![Loss { name: "log.lost", count: 3, matters: true }];
    let mut refused = connection("10.0.0.2:80", Opening::Refused, Closing::Refused, Side::default(), Side::default());
    refused.from_orig.syn = 1;
    let page = made(with_loss, vec![refused], &[], 50);
    let row = between(&page, "id=\"server-table\"", "</table>");
    assert!(row.contains("<td class=\"n\" data-v=\"-1\">–</td>"), "no handshake, no RST per connection: {row}");
    assert!(row.contains("<td class=\"n z\">0</td>"), "no RST: {row}");
    let (said, findings) = (page.find("log.lost 3"), page.find("id=\"findings\""));
    assert!(said.is_some() && said < findings, "{said:?} {findings:?}");
    assert!(page.contains("class=\"callout warn\"") && !page.contains("Nothing was lost"));
}

#[test]
fn a_page_of_nothing_says_so() {
    let page = made(snapshot(), Vec::new(), &["empty.pcap".to_owned()], 50);
    for said in ["No connection was seen.", "Nothing is above the threshold of any finding.", "empty.pcap", PAGE_SCHEMA]
    {
        assert!(page.contains(said), "{said}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf"));
}

#[test]
fn numbers_and_shares_are_written_for_people() {
    assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    let shares = [(0, 0), (0, 5), (5, 5), (1, 10_000), (1, 30), (1, 3), (9999, 10_000)];
    let expected = ["–", "0 %", "100 %", "< 0.1 %", "3.3 %", "33 %", "> 99 %"];
    assert_eq!(shares.map(|(part, of)| percent(part, of)), expected);
}
