//! `rstprobe report`: the page of real captures, read by an HTML parser: its parts, its numbers against those of
//! `read --format json`, and that it needs nothing from elsewhere.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use probe_tests::{oneshot::OneShot, probe::Finished};
use scraper::{ElementRef, Html, Selector};
use serde_json::Value;

/// Captures with many ways to end, by name.
const CAPTURES: [&str; 8] = [
    "upload_413_client_abort.pcap",
    "java_early_403.pcap",
    "hc_tcpshaker.pcap",
    "memcached_full.pcap",
    "accept_queue_full.pcap",
    "ka_race_client_view.pcap",
    "redis_protected.pcap",
    "dl_tls_client_timeout.pcap",
];

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(name)
}

fn run(words: &[&str], captures: &[PathBuf]) -> Finished {
    let captures = captures.iter().map(|capture| capture.to_str().expect("UTF-8"));
    OneShot::new(words.iter().copied().chain(captures)).run().expect("it runs")
}

/// The page of captures on standard output.
fn page(captures: &[PathBuf]) -> Html {
    let finished = run(&["report", "-o", "-", "-r"], captures);
    assert!(finished.status.success(), "{}", finished.stderr);
    assert!(finished.stdout.starts_with("<!DOCTYPE html>"), "data only");
    let page = Html::parse_document(&finished.stdout);
    assert!(page.errors.is_empty(), "{:?}", page.errors);
    page
}

fn all<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    page.select(&Selector::parse(selector).expect("a selector")).collect()
}

fn within<'a>(element: ElementRef<'a>, selector: &str) -> Vec<ElementRef<'a>> {
    element.select(&Selector::parse(selector).expect("a selector")).collect()
}

fn text(element: ElementRef<'_>) -> String {
    element.text().collect::<String>().trim().to_owned()
}

/// Rows of a table by their first cell, with the cells after it by heading.
fn rows(page: &Html, id: &str) -> Vec<(String, Vec<(String, String)>)> {
    let table = all(page, &format!("table#{id}"))[0];
    let headings: Vec<String> = within(table, "thead th").into_iter().map(text).collect();
    let row = |row: ElementRef<'_>| {
        let cells = within(row, "td").into_iter().map(text);
        (text(within(row, "th")[0]), headings.iter().skip(1).cloned().zip(cells).collect())
    };
    within(table, "tbody tr").into_iter().map(row).collect()
}

fn number(cells: &[(String, String)], heading: &str) -> u64 {
    let (_, text) = cells.iter().find(|(name, _)| name == heading).unwrap_or_else(|| panic!("no {heading}"));
    text.replace(',', "").parse().unwrap_or_else(|_| panic!("{heading}: {text}"))
}

#[test]
fn every_part_is_there_and_can_be_read_without_eyes() {
    let page = page(&CAPTURES.map(case));
    assert_eq!((all(&page, "html[lang=en]").len(), all(&page, "h1").len(), all(&page, "main").len()), (1, 1, 1));
    assert_eq!(all(&page, "meta[name=rstprobe-schema][content='rstprobe.page/1']").len(), 1);
    for id in [
        "findings",
        "impact",
        "time",
        "heat",
        "clients",
        "servers",
        "causes",
        "histograms",
        "connections",
        "explanations",
        "accounting",
    ] {
        let section = all(&page, &format!("section#{id}"));
        assert_eq!(section.len(), 1, "{id}");
        let heading = section[0].attr("aria-labelledby").expect("a heading");
        assert_eq!(all(&page, &format!("section#{id} #{heading}")).len(), 1, "{id}");
    }
    let tables = all(&page, "table");
    assert!(tables.len() >= 12, "{}", tables.len());
    for table in tables {
        assert_eq!(within(table, "caption").len(), 1);
        let headings = within(table, "thead th[scope=col]").len();
        assert_eq!(headings, within(table, "thead th").len());
        for row in within(table, "tbody tr") {
            assert_eq!((within(row, "th[scope=row]").len(), within(row, "th, td").len()), (1, headings));
        }
    }
    let charts = all(&page, "svg[role=img]");
    assert!(charts.len() >= 6, "{}", charts.len());
    for chart in charts {
        assert!(chart.attr("aria-label").is_some_and(|label| label.len() > 20));
    }
    for figure in all(&page, "figure") {
        assert!(!within(figure, "table tbody tr").is_empty(), "each chart has its numbers");
    }
    assert_eq!(all(&page, "svg:not([role=img]):not([aria-hidden=true])").len(), 0);
}

#[test]
fn it_needs_nothing_from_elsewhere_and_runs_its_own_script_only() {
    let page = page(&CAPTURES.map(case));
    assert_eq!(all(&page, "[src], link, iframe, object, embed, form, [style]").len(), 0);
    assert!(all(&page, "[href]").iter().all(|link| link.attr("href").is_some_and(|href| href.starts_with('#'))));
    let styles = text(all(&page, "style")[0]);
    assert!(!styles.contains("url(") && !styles.contains("@import"));
    let scripts = all(&page, "script");
    assert_eq!(scripts.len(), 1);
    let script: String = scripts[0].text().collect();
    let policy = all(&page, "meta[http-equiv=Content-Security-Policy]")[0].attr("content").expect("a policy");
    assert!(policy.contains(&format!("script-src 'sha256-{}'", sha256(&script))), "{policy}");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
}

/// In base64, by coreutils.
fn sha256(script: &str) -> String {
    let pipeline = "sha256sum | cut -c1-64 | tr a-f A-F | basenc --base16 --decode | base64 -w0";
    let mut shell = Command::new("sh")
        .args(["-c", pipeline])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    shell.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("written");
    String::from_utf8(shell.wait_with_output().expect("it ends").stdout).expect("UTF-8")
}

#[test]
fn its_numbers_are_those_of_json() {
    let captures = CAPTURES.map(case);
    let page = page(&captures);
    let json = run(&["read", "--format", "json", "--top", "0"], &captures);
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let count = |value: &Value| value.as_u64().expect("a count");
    let servers = rows(&page, "server-table");
    let of_json = json["servers"].as_array().expect("servers");
    assert_eq!(servers.len(), of_json.len());
    for server in of_json {
        let name = format!("{}:{}", server["server"]["addr"].as_str().expect("an address"), server["server"]["port"]);
        let (_, cells) = servers.iter().find(|(shown, _)| *shown == name).unwrap_or_else(|| panic!("no row {name}"));
        let lost: u64 = ["request_lost", "response_lost", "transfer_cut"]
            .iter()
            .filter_map(|word| server["impacts"][word].as_u64())
            .sum();
        let expected = [
            ("Connections", count(&server["connections"])),
            ("Lost something", lost),
            ("RST from servers", count(&server["rst"]["server"])),
            ("RST from clients", count(&server["rst"]["client"])),
            ("FIN from servers", count(&server["fin"]["server"])),
            ("Handshakes", count(&server["completed_handshakes"])),
        ];
        for (heading, expected) in expected {
            assert_eq!(number(cells, heading), expected, "{name}: {heading}");
        }
    }
    let causes = json["summary"]["causes"].as_object().expect("causes");
    let of_page = rows(&page, "cause-table");
    assert_eq!(of_page.len(), causes.len());
    for (cause, cells) in &of_page {
        assert_eq!(number(cells, "Connections"), count(&causes[cause]), "{cause}");
    }
    let over_time: u64 = rows_of_chart(&page, "fin-and-rst").iter().map(|cells| number(cells, "RST, servers")).sum();
    let summary = &json["summary"];
    let unattributed = count(&summary["rst"]["unknown"]);
    let from_servers = count(&summary["rst"]["server"]);
    assert!((from_servers..=from_servers + unattributed).contains(&over_time), "{over_time} {from_servers}");
    let sentences: Vec<String> = all(&page, "article.finding .said").into_iter().map(text).collect();
    let findings = summary["findings"].as_array().expect("findings");
    assert_eq!(sentences.len(), findings.len());
    assert!(findings.iter().zip(&sentences).all(|(one, said)| said.ends_with(one["text"].as_str().expect("text"))));
}

/// Cells of the table beside a chart, by heading.
fn rows_of_chart(page: &Html, id: &str) -> Vec<Vec<(String, String)>> {
    let table = all(page, &format!("figure#{id} table"))[0];
    let headings: Vec<String> = within(table, "thead th").into_iter().skip(1).map(text).collect();
    let row = |row| headings.iter().cloned().zip(within(row, "td").into_iter().map(text)).collect();
    within(table, "tbody tr").into_iter().map(row).collect()
}

#[test]
fn text_of_an_rst_and_name_of_a_file_stay_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let hostile = folder.path().join("<script>alert(1)<\u{202e}script>\"'&.pcap");
    fs::copy(case("rst_html.pcap"), &hostile).expect("a copy");
    let page = page(&[hostile]);
    assert_eq!((all(&page, "script").len(), all(&page, "script")[0].text().count()), (1, 1));
    assert_eq!(text(all(&page, "header .source bdi")[0]), r#"<script>alert(1)<\u{202e}script>"'&.pcap"#);
    let facts: Vec<String> = all(&page, "#connection-table dd").into_iter().map(text).collect();
    assert!(facts.iter().any(|fact| fact.contains('<')), "the RST of this capture has markup as its text: {facts:?}");
}

#[test]
fn a_capture_is_not_written_over_and_a_source_is_needed() {
    let folder = tempfile::tempdir().expect("a folder");
    let capture = folder.path().join("a.pcap");
    fs::copy(case(CAPTURES[0]), &capture).expect("a copy");
    let before = fs::read(&capture).expect("readable");
    let name = capture.to_str().expect("UTF-8");
    let refused = run(&["report", "-o", name, "-r"], std::slice::from_ref(&capture));
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        refused.stderr.contains("--output") && refused.stderr.contains("which is to be read"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read(&capture).expect("readable"), before);
    for words in
        [&["report", "-o", "p.html"][..], &["report", "-r", name], &["report", "-o", "-", "-r", name, "--by", "client"]]
    {
        let finished = run(words, &[]);
        assert_eq!((finished.status.code(), finished.stdout.as_str()), (Some(2), ""), "{}", finished.stderr);
    }
    let written = folder.path().join("page.html");
    fs::write(&written, "x".repeat(1 << 20)).expect("something longer");
    let words = ["report", "--output", written.to_str().expect("UTF-8"), "--filter", "rst.count > 0", "-r", name];
    let finished = run(&words, &[]);
    assert_eq!((finished.status.code(), finished.stdout.as_str()), (Some(0), ""), "{}", finished.stderr);
    let page = fs::read_to_string(&written).expect("readable");
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    assert!(page.contains("<code>rst.count &gt; 0</code>"), "what it is restricted to is said");
}

#[test]
fn a_file_that_ends_in_the_middle_is_not_called_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let cut = folder.path().join("cut.pcap");
    let whole = fs::read(case(CAPTURES[0])).expect("readable");
    fs::write(&cut, &whole[..whole.len() - 7]).expect("written");
    let finished = run(&["report", "-o", "-", "-r"], &[cut]);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stderr);
    let page = Html::parse_document(&finished.stdout);
    let said = text(all(&page, "#view")[0]);
    assert!(said.contains("Not everything could be read: ") && said.contains("cut.pcap"), "{said}");
    assert!(!said.contains("Nothing was lost"), "{said}");
}

/// What cannot be watched or read leaves no page: neither an empty new one nor an old one emptied.
#[test]
fn nothing_stays_where_nothing_was_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let [page, text, missing] = ["page.html", "no-capture.pcap", "missing.pcap"].map(|name| folder.path().join(name));
    fs::write(&text, "this is no capture at all").expect("written");
    let names = [&page, &text, &missing].map(|path| path.to_str().expect("UTF-8"));
    for source in [["-i", "no-such-interface"], ["-r", names[1]], ["-r", names[2]]] {
        let report = || run(&[&["report", "-o", names[0]], &source[..]].concat(), &[]);
        let refused = report();
        assert_ne!(refused.status.code(), Some(0), "{source:?}: {}", refused.stderr);
        assert!(!page.exists(), "{source:?} leaves a page of {} bytes", fs::metadata(&page).expect("there").len());
        fs::write(&page, "the page of yesterday").expect("written");
        assert_eq!(report().status.code(), refused.status.code());
        assert_eq!(fs::read_to_string(&page).expect("readable"), "the page of yesterday", "{source:?}");
        fs::remove_file(&page).expect("removed");
    }
    let words = ["read", names[1], "--json-out", names[0]];
    assert_ne!(run(&words, &[]).status.code(), Some(0));
    assert!(!page.exists(), "the same of --json-out");
}

/// What a finding is about can be listed: its condition, in JSON and in the page, holds of so many connections as it counts.
#[test]
fn findings_have_a_filter_that_lists_their_connections() {
    let mut held = 0;
    for capture in CAPTURES.map(case) {
        let json = |filter: &str| -> Value {
            let words = ["read", "--format", "json", "--filter", filter];
            serde_json::from_str(&run(&words, std::slice::from_ref(&capture)).stdout).expect("JSON")
        };
        let findings = json("packets >= 0")["summary"]["findings"].as_array().expect("findings").clone();
        let page = page(std::slice::from_ref(&capture));
        let codes: Vec<String> = all(&page, "#findings dd code").into_iter().map(text).collect();
        for finding in &findings {
            let is_of_capture = finding["subject"] == "the capture";
            let Some(filter) = finding["filter"].as_str() else {
                assert!(finding["filter"].is_null() && is_of_capture, "{finding}");
                continue;
            };
            assert!(codes.contains(&format!("--filter '{filter}'")), "{filter} is not in {codes:?}");
            let listed = json(filter)["connections"].as_array().expect("connections").clone();
            assert_eq!(listed.len() as u64, finding["count"].as_u64().expect("a count"), "{filter}: {finding}");
            for id in finding["examples"].as_array().expect("examples") {
                assert!(listed.iter().any(|one| one["id"] == *id), "{filter}: {id}");
            }
            held += 1;
        }
    }
    assert!(held >= 5, "{held}");
}
