//! The page of `rstprobe report` as a browser lays it out: at 1280 pixels the tables of clients, servers and services need no
//! scrolling, with the widest names that there are.
//!
//! Where there is no Chromium the test says SKIP.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use probe_tests::{oneshot::OneShot, tier::say};

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Tables that fit.
const FITTING: [&str; 4] = ["client-table", "server-table", "service-table", "cause-table"];
/// Puts a line per table into the page: how wide its region is, and how wide what is in it.
const MEASURE: &str = r#"<pre id="measured"></pre><script>
document.getElementById("measured").textContent = [...document.querySelectorAll(".scroll > table[id]")]
  .map(table => [table.id, table.parentElement.clientWidth, table.parentElement.scrollWidth].join(" ")).join("\n");
</script></body>"#;

fn browser() -> Option<&'static str> {
    let is_there = |program: &&&str| {
        let mut asked = Command::new(program);
        asked.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    BROWSERS.iter().find(is_there).copied()
}

/// Width of the region and of what is in it, of each table with an id; the page's own script has added its buttons.
fn widths(browser: &str, folder: &Path, captures: &[&str]) -> Vec<(String, u64, u64)> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let captures = captures.iter().map(|name| cases.join(name).into_os_string());
    let words = ["report", "-o", "-", "-r"].map(Into::into).into_iter().chain(captures);
    let page = OneShot::new(words).run().expect("it runs").stdout;
    // The page's policy lets no other script run.
    let (before, policy) = page.split_once("<meta http-equiv=\"Content-Security-Policy\"").expect("a policy");
    let (_, after) = policy.split_once('>').expect("its end");
    let measured = folder.join("measured.html");
    fs::write(&measured, format!("{before}{after}").replace("</body>", MEASURE)).expect("written");
    let mut command = Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,1000", "--dump-dom"]);
    // It is to look at one file, and to ask nobody on the network.
    command.args(["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
    let said = command.arg(format!("file://{}", measured.display())).output().expect("it runs");
    let document = String::from_utf8_lossy(&said.stdout).into_owned();
    let (_, lines) = document.split_once("<pre id=\"measured\">").expect("the measured page");
    let (lines, _) = lines.split_once("</pre>").expect("its end");
    let table = |line: &str| {
        let mut words = line.split(' ');
        let mut next = || words.next().expect("three words").to_owned();
        (next(), next().parse().expect("pixels"), next().parse().expect("pixels"))
    };
    lines.lines().map(table).collect()
}

#[test]
fn tables_of_clients_and_servers_need_no_scrolling() {
    let Some(browser) = browser() else {
        say("SKIP tables_of_clients_and_servers_need_no_scrolling: no Chromium");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    for captures in [
        &["ka_race_client_view.pcap"][..],
        &["hc_haproxy.pcap", "memcached_full.pcap", "upload_413_client_abort.pcap"],
        &["simopen.pcap", "dl_tls_client_timeout.pcap", "early_403_python.pcap"],
    ] {
        let all = widths(browser, folder.path(), captures);
        for id in FITTING {
            let (_, region, content) = all.iter().find(|(table, ..)| table == id).unwrap_or_else(|| panic!("no {id}"));
            assert!(*region > 1100, "{id}: {region}");
            assert!(content <= region, "{id} of {captures:?} is {content} pixels wide in {region}");
        }
    }
}
