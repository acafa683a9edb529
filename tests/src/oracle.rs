//! Captures with independent answers, which lie beside the workspace and not in it: where they are, and what tshark and
//! Arkime counted of each.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use serde_json::Value;

/// Sender and receiver.
pub type Way = (SocketAddr, SocketAddr);
/// SYN, SYN-ACK, FIN, RST.
pub type Flags = [u64; 4];
/// Flag counts by way; ways without any are left out.
pub type FlagTable = BTreeMap<Way, Flags>;

/// The folder, or `None` where it is absent.
pub fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/oracle");
    folder.is_dir().then_some(folder)
}

/// One capture.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Capture {
    /// Path below the folder of captures, without the extension: what tables call it.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

impl Capture {
    /// The file beside it that ends in `suffix` instead of `.pcap`.
    pub fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.with_extension("").into_os_string();
        path.push(suffix);
        path.into()
    }

    /// What is in the file beside it, or `None` when there is no such file.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read_beside(&self, suffix: &str) -> io::Result<Option<String>> {
        match fs::read(self.beside(suffix)) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// All captures below `folder`, by name.
///
/// # Errors
/// When a folder cannot be listed.
pub fn captures(folder: &Path) -> io::Result<Vec<Capture>> {
    let mut found = vec![];
    collect(folder, folder, &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Capture>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng") {
            let name = path.strip_prefix(root).unwrap_or(&path).with_extension("").display().to_string();
            found.push(Capture { name, path });
        }
    }
    Ok(())
}

/// Names of the captures on which several decoders agree, from every `TOTALS.tsv` below `folder`.
///
/// # Errors
/// When one cannot be read.
pub fn agreed(folder: &Path, captures: &[Capture]) -> io::Result<Vec<String>> {
    let mut folders: Vec<&Path> = captures.iter().filter_map(|capture| capture.path.parent()).collect();
    folders.dedup();
    let mut agreed = vec![];
    for dir in folders {
        let Ok(text) = fs::read_to_string(dir.join("TOTALS.tsv")) else { continue };
        let prefix = dir.strip_prefix(folder).unwrap_or(dir);
        let trusted = rows(&text).filter(|row| row.get("decoders_agree") == Some(&"1"));
        agreed.extend(trusted.filter_map(|row| Some(prefix.join(row.get("name")?).display().to_string())));
    }
    Ok(agreed)
}

/// The rows of a table with a heading, tab-separated.
fn rows(text: &str) -> impl Iterator<Item = BTreeMap<&str, &str>> {
    let mut lines = text.lines();
    let heading: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    lines.map(move |line| heading.iter().copied().zip(line.split('\t')).collect())
}

fn add(table: &mut FlagTable, way: Way, flags: Flags) {
    if flags != [0; 4] {
        table.entry(way).or_default().iter_mut().zip(flags).for_each(|(sum, count)| *sum += count);
    }
}

fn end(address: &str, port: &str) -> Option<SocketAddr> {
    Some((address.parse::<IpAddr>().ok()?, port.parse::<u16>().ok()?).into())
}

/// What tshark counted, from a `NAME.tshark.tsv`.
///
/// # Errors
/// When a row is not as expected.
pub fn by_tshark(text: &str) -> io::Result<FlagTable> {
    let mut table = FlagTable::new();
    for row in rows(text) {
        let word = |field: &str| row.get(field).copied().unwrap_or_default();
        let count = |field: String| row.get(&*field).and_then(|value| value.parse().ok()).unwrap_or(0);
        let flags = |way| ["syn", "synack", "fin", "rst"].map(|flag| count(format!("{flag}_{way}")));
        let ends = end(word("ip_a"), word("port_a")).zip(end(word("ip_b"), word("port_b")));
        let (a, b) = ends.ok_or_else(|| io::Error::other(format!("not a row of tshark's: {row:?}")))?;
        add(&mut table, (a, b), flags("ab"));
        add(&mut table, (b, a), flags("ba"));
    }
    Ok(table)
}

/// What Arkime counted, from a `NAME.expected.json`: sums of both ways, under the way with the lower end first.
/// `None` when it tells nothing of flags.
///
/// # Errors
/// When it is not JSON.
pub fn by_arkime(text: &str) -> io::Result<Option<FlagTable>> {
    let document: Value = serde_json::from_str(text).map_err(io::Error::other)?;
    let Some(tuples) = document["by_5tuple"].as_array() else { return Ok(None) };
    let mut table = FlagTable::new();
    for tuple in tuples {
        let word = |field: &str| tuple[field].as_str().unwrap_or_default().to_owned();
        let end = |name: &str| end(&word(&format!("{name}_ip")), &tuple[format!("{name}_port")].to_string());
        let (Some(a), Some(b)) = (end("a"), end("b")) else { continue };
        let flags = ["syn", "syn-ack", "fin", "rst"].map(|flag| tuple["tcpflags"][flag].as_u64().unwrap_or(0));
        add(&mut table, (a.min(b), a.max(b)), flags);
    }
    Ok(Some(table))
}

/// The counts of both ways added up, under the way with the lower end first.
pub fn undirected(table: &FlagTable) -> FlagTable {
    let mut sums = FlagTable::new();
    for (&(a, b), &flags) in table {
        add(&mut sums, (a.min(b), a.max(b)), flags);
    }
    sums
}

/// What rstprobe counted, from the lines of `read --format ndjson`.
///
/// # Errors
/// When a line is not JSON.
pub fn by_rstprobe(text: &str) -> io::Result<FlagTable> {
    let mut table = FlagTable::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).map_err(io::Error::other)?;
        let end = |name: &str| end(record[name]["addr"].as_str()?, &record[name]["port"].to_string());
        let (Some(client), Some(server)) = (end("client"), end("server")) else { continue };
        let flags = |side: &str| ["syn", "syn_ack", "fin", "rst"].map(|f| record[side][f].as_u64().unwrap_or(0));
        add(&mut table, (client, server), flags("from_client"));
        add(&mut table, (server, client), flags("from_server"));
    }
    Ok(table)
}

/// Where `said` is not `expected`, way by way.
pub fn differences(expected: &FlagTable, said: &FlagTable) -> Vec<String> {
    let mut ways: Vec<&Way> = expected.keys().chain(said.keys()).collect();
    ways.sort();
    ways.dedup();
    let at = |table: &FlagTable, way| table.get(way).copied().unwrap_or_default();
    let differing = ways.into_iter().filter(|way| at(expected, way) != at(said, way));
    differing
        .map(|way| {
            let (said, expected) = (at(said, way), at(expected, way));
            format!("{} -> {}: SYN, SYN-ACK, FIN, RST {said:?} instead of {expected:?}", way.0, way.1)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_tables_of_one_connection_are_equal() {
        let tshark = "ip_a\tport_a\tip_b\tport_b\tsyn_ab\tsyn_ba\tsynack_ab\tsynack_ba\tfin_ab\tfin_ba\trst_ab\trst_ba\n\
                      10.0.0.2\t80\t10.0.0.1\t5\t0\t1\t1\t0\t1\t0\t0\t2\n";
        let tshark = by_tshark(tshark).unwrap();
        let line = r#"{"client":{"addr":"10.0.0.1","port":5},"server":{"addr":"10.0.0.2","port":80},
            "from_client":{"syn":1,"rst":2},"from_server":{"syn_ack":1,"fin":1}}"#;
        let ours = by_rstprobe(&line.replace('\n', " ")).unwrap();
        assert_eq!(differences(&tshark, &ours), Vec::<String>::new());
        let arkime = r#"{"by_5tuple":[{"a_ip":"10.0.0.1","a_port":5,"b_ip":"10.0.0.2","b_port":80,
            "tcpflags":{"syn":1,"syn-ack":1,"fin":1,"rst":2}}]}"#;
        assert_eq!(by_arkime(arkime).unwrap(), Some(undirected(&ours)));
        assert_eq!(differences(&tshark, &FlagTable::new()).len(), 2);
    }
}
