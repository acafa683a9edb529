//! Packets: commands that show those of a connection in what they came from, and how many others of its service end so.

use std::path::Path;

use super::step::{Place, Step};
use crate::{
    printable::shell,
    record::{Cause, Connection},
};

/// Where the segments came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Captures that are files.
    Files(Files),
    /// Captures that can be read once only, standard input or a pipe, at least one of them.
    Stream,
    /// Interfaces that were watched.
    Interfaces(Vec<String>),
}

/// Captures that are files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Files {
    /// Those that hold segments of the connection, in order.
    pub parts: Vec<Part>,
    /// All files, as the shell takes their names.
    pub all: Vec<String>,
    /// Options by which `rstprobe read` sees of them what was seen.
    pub options: Vec<String>,
    /// Ports of VXLAN besides its own, which other tools have to be told.
    pub vxlan_ports: Vec<u16>,
}

/// One capture: a file, or where several were joined by `cat`, a part of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The file's name as the shell takes it.
    pub file: String,
    /// Program that undoes the compression of a file of which this is a part.
    pub decompressor: Option<&'static str>,
    /// Bytes, uncompressed, from the one up to the other or the end; `None` for all of the file.
    pub bytes: Option<(u64, Option<u64>)>,
}

impl Part {
    /// All of a file.
    pub fn whole(path: &Path) -> Self {
        Self { file: shell::path(path), decompressor: None, bytes: None }
    }

    /// A command that prints it, of a part; other tools read no more than the first of captures that were joined.
    fn printed(&self) -> Option<String> {
        let (from, to) = self.bytes?;
        let file = &self.file;
        let unpacked = |program| format!("{program} -dc {file}");
        let after = match (self.decompressor.map(unpacked), from) {
            (None, 0) => None,
            (None, _) => Some(format!("tail -c +{} {file}", from + 1)),
            (Some(unpacked), 0) => Some(unpacked),
            (Some(unpacked), _) => Some(format!("{unpacked} | tail -c +{}", from + 1)),
        };
        Some(match (after, to.map(|to| to - from)) {
            (None, None) => format!("cat {file}"),
            (None, Some(bytes)) => format!("head -c {bytes} {file}"),
            (Some(after), None) => after,
            (Some(after), Some(bytes)) => format!("{after} | head -c {bytes}"),
        })
    }
}

/// How to see the packets that `filter`, in Wireshark's language, selects.
pub(super) fn step(one: &Connection, filter: &str, origin: &Origin) -> Step {
    let here = |why, command| Step { place: Place::Here, why, command };
    match origin {
        Origin::Files(files) => {
            let decoded: Vec<_> = files.vxlan_ports.iter().map(|port| format!(" -d udp.port=={port},vxlan")).collect();
            let selected = format!("{} -Y {}", decoded.concat(), shell::word(filter));
            let parts: Vec<_> = files.parts.iter().filter_map(Part::printed).collect();
            let names: Vec<_> = files.parts.iter().map(|part| part.file.as_str()).collect();
            match (&*names, parts.is_empty()) {
                ([file], true) => here("these packets", format!("tshark -r {file}{selected}")),
                (_, true) => here(
                    "these packets, of all captures that have some of them",
                    format!("mergecap -a -w - {} | tshark -r -{selected}", names.join(" ")),
                ),
                (_, false) => here(
                    "these packets, of each part that has some: tshark reads only the first of captures joined by cat",
                    of_each(&files.parts, &selected),
                ),
            }
        }
        Origin::Stream => here(
            "these packets; FILE is the capture, which came by standard input or a pipe: save it first",
            format!("tshark -r FILE -Y {}", shell::word(filter)),
        ),
        Origin::Interfaces(interfaces) => {
            let interface = interfaces.first().map_or("any", String::as_str);
            let what = format!("host {} and host {} and tcp port {}", one.orig.ip(), one.resp.ip(), one.resp.port());
            let command = format!("tcpdump -ni {} -w next.pcap {}", shell::word(interface), shell::word(&what));
            here("the next such connection, whole, until interrupted", command)
        }
    }
}

/// One command after the other.
fn of_each(parts: &[Part], selected: &str) -> String {
    let command = |part: &Part| match part.printed() {
        Some(printed) => format!("{printed} | tshark -r -{selected}"),
        None => format!("tshark -r {}{selected}", part.file),
    };
    parts.iter().map(command).collect::<Vec<_>>().join("; ")
}

/// Whether this connection is alone, or one of many.
pub(super) fn how_often(one: &Connection, origin: &Origin) -> Option<Step> {
    let Origin::Files(files) = origin else { return None };
    let (server, cause) = (one.resp, one.verdict.cause);
    if files.all.is_empty() || cause == Cause::None {
        return None;
    }
    let options = files.options.iter().map(|word| shell::word(word));
    let words: Vec<String> = files.all.iter().cloned().chain(options).collect();
    let filter = format!("cause = {cause} and server = {} and server.port = {}", server.ip(), server.port());
    let command = format!("rstprobe read {} --filter {} --by client", words.join(" "), shell::word(&filter));
    Some(Step { place: Place::Here, why: "how many of this service's connections end so, by client", command })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::connection,
        record::{Closing, Opening, Side},
    };

    fn command(parts: Vec<Part>) -> String {
        let one = connection("10.0.0.2:80", Opening::Completed, Closing::RstOnly, Side::default(), Side::default());
        let files = Files { parts, vxlan_ports: vec![10_800], ..Files::default() };
        step(&one, "a && b", &Origin::Files(files)).command
    }

    fn part(bytes: Option<(u64, Option<u64>)>, decompressor: Option<&'static str>) -> Part {
        Part { decompressor, bytes, ..Part::whole(Path::new("a b.pcap")) }
    }

    #[test]
    fn all_captures_that_have_some_of_the_packets_are_in_one_command() {
        let selected = "-d udp.port==10800,vxlan -Y 'a && b'";
        let [dash, next] = ["-x y.pcap", "b.pcap"].map(|name| Part::whole(Path::new(name)));
        assert_eq!(command(vec![dash.clone()]), format!("tshark -r './-x y.pcap' {selected}"));
        assert_eq!(
            command(vec![dash, next]),
            format!("mergecap -a -w - './-x y.pcap' b.pcap | tshark -r - {selected}")
        );
    }

    #[test]
    fn parts_of_a_file_are_cut_out_of_it() {
        let tshark = "tshark -r - -d udp.port==10800,vxlan -Y 'a && b'";
        assert_eq!(
            command(vec![part(Some((0, Some(640))), None), part(Some((640, None)), None)]),
            format!("head -c 640 'a b.pcap' | {tshark}; tail -c +641 'a b.pcap' | {tshark}")
        );
        assert_eq!(
            command(vec![part(Some((640, Some(700))), Some("gzip"))]),
            format!("gzip -dc 'a b.pcap' | tail -c +641 | head -c 60 | {tshark}")
        );
    }
}
