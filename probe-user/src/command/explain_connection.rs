//! `rstprobe explain -r FILE`: finds one connection of a capture and prints its segments as a ladder.
//!
//! Reads the files twice: once for the records, as `rstprobe read` without options does, and once for the segments of one.

use std::{
    cmp::Reverse,
    path::{Path, PathBuf},
};

use probe_ebpf::{
    layout::Segment,
    tunnel::{ALL_OF_CAPTURES, Encapsulations},
};

use crate::{
    aggregate::Habits,
    error::RunError,
    filter::{Filter, FilterError},
    output,
    plan::PlanError,
    record::Connection,
    report::ladder,
    source::{
        Domain,
        capture::{CaptureFile, Decoded, Decoder, Header, Remark},
    },
    tracker::{self, Extra, Tracker, TrackerConfig},
};

/// Segments of one connection that are held.
const MOST: usize = 100_000;
/// Tunnels within tunnels that are followed, as `read` does.
const ENCAP_DEPTH: u8 = 4;
/// After the end of a record this long what belongs to it may still come: late segments and resets.
const LATE_NS: u64 = 5_000_000_000;

/// Which connection is meant.
enum Which {
    /// By its number.
    Id(u64),
    /// The one that lost most of those that meet a condition; then the first with RST, then the first.
    Meets(Option<Filter>),
}

/// Prints the ladder of one connection.
///
/// # Errors
/// What is no number and no condition, standard input, a connection that is not there; a file that cannot be read to its
/// end, after the ladder has been printed.
pub(super) fn explain(files: &[PathBuf], which: Option<&str>) -> Result<(), RunError> {
    if files.iter().any(|file| !file.is_file()) {
        let not_a_file = files.iter().find(|file| !file.is_file()).map_or_else(String::new, |file| name(file));
        return Err(RunError::Plan(PlanError::NotReadTwice(not_a_file)));
    }
    let which = match which.map(str::parse::<u64>) {
        Some(Ok(id)) => Which::Id(id),
        Some(Err(_)) => Which::Meets(which.map(|text| text.parse().map_err(refused)).transpose()?),
        None => Which::Meets(None),
    };
    let (all, read) = records(files);
    let Some(one) = find(&all, &which) else {
        return read.and(Err(RunError::NoSuchConnection { of: all.len() }));
    };
    let (segments, beyond) = segments_of(files, one, &all);
    if beyond > 0 {
        output::say(&format!("rstprobe: {beyond} later segments of this connection are not in the ladder"));
    }
    output::data(&ladder::ladder(one, &segments)).and(read)
}

fn refused(source: FilterError) -> RunError {
    RunError::Plan(PlanError::Filter { option: "explain", source })
}

/// The records of the files as `read` gives them, and whether they could be read to their end.
fn records(files: &[PathBuf]) -> (Vec<Connection>, Result<(), RunError>) {
    let mut tracker = Tracker::new(TrackerConfig::default());
    let mut last_ns = 0;
    let read = each_frame(files, |time_ns, decoded, remark| {
        last_ns = time_ns.max(last_ns);
        match decoded {
            Some(decoded) => tracker.observe(&decoded.segment, extra(decoded)),
            None => tracker.advance(time_ns),
        }
        match remark {
            Some(Remark::Icmp { quote, time_ns }) => {
                tracker.unreachable(&quote, time_ns);
            }
            Some(Remark::Reset { key, from_hi, option, text, time_ns }) => {
                tracker.reset_said(&key, from_hi, option, &text, time_ns);
            }
            None => {}
        }
    });
    tracker.finish(last_ns);
    let mut all = tracker.take_closed();
    let mut habits = Habits::default();
    for one in &all {
        habits.observe(one);
    }
    for one in &mut all {
        habits.judge(one);
    }
    (all, read)
}

fn find<'a>(all: &'a [Connection], which: &Which) -> Option<&'a Connection> {
    match which {
        Which::Id(id) => all.iter().find(|one| one.id == *id),
        Which::Meets(filter) => {
            let meets = all.iter().filter(|one| filter.as_ref().is_none_or(|filter| filter.matches(one)));
            let lost = |one: &Connection| one.from_orig.lost_bytes.saturating_add(one.from_resp.lost_bytes);
            meets.max_by_key(|one| (one.verdict.impact.is_loss(), lost(one), one.rst_count() > 0, Reverse(one.id)))
        }
    }
}

/// The segments of its flow, from its start until late ones cannot come any more or another connection takes its ports, and
/// how many were beyond [`MOST`].
fn segments_of(files: &[PathBuf], one: &Connection, all: &[Connection]) -> (Vec<Segment>, u64) {
    let is_same_flow = |other: &&Connection| {
        let [ends, others] = [[one.orig, one.resp], [other.orig, other.resp]];
        other.id != one.id && (ends == others || ends == [others[1], others[0]])
    };
    let next_ns =
        all.iter().filter(is_same_flow).map(|other| other.start_ns).filter(|start| *start > one.start_ns).min();
    let end_ns = one.start_ns.saturating_add(one.duration_ns).saturating_add(LATE_NS);
    let end_ns = next_ns.map_or(end_ns, |next_ns| end_ns.min(next_ns.saturating_sub(1)));
    let (mut segments, mut beyond) = (Vec::new(), 0);
    // What can be read was read before; how it ends has been noted.
    let _read_before: Result<(), RunError> = each_frame(files, |_, decoded, _| {
        let Some(segment) = decoded.map(|decoded| &decoded.segment) else { return };
        let is_in_time = (one.start_ns..=end_ns).contains(&segment.record.time_ns);
        if is_in_time && ladder::is_of(one, segment) {
            if segments.len() < MOST {
                segments.push(*segment);
            } else {
                beyond += 1;
            }
        }
    });
    (segments, beyond)
}

/// Decodes every frame of the files, in order; gives its time, its segment, and what it says beyond that.
fn each_frame(files: &[PathBuf], mut take: impl FnMut(u64, Option<&Decoded>, Option<Remark>)) -> Result<(), RunError> {
    let encapsulations = Encapsulations { enabled: ALL_OF_CAPTURES, max_depth: ENCAP_DEPTH };
    let mut decoder = Decoder::new(true, encapsulations, Domain::None);
    for path in files {
        let failed = |source| RunError::Capture { file: name(path), source };
        let mut capture = CaptureFile::open(path).map_err(failed)?;
        while let Some(frame) = capture.next_frame().map_err(failed)? {
            let decoded = decoder.decode(&frame);
            let remark = if decoder.has_remark() { decoder.take_remark() } else { None };
            take(frame.time_ns, decoded.as_ref(), remark);
        }
    }
    Ok(())
}

fn extra(decoded: &Decoded) -> Extra {
    let header = match decoded.header {
        Header::Whole => tracker::Header::Whole,
        Header::Cut => tracker::Header::Cut,
        Header::Contradictory => tracker::Header::Contradictory,
    };
    Extra { bad_checksum: decoded.bad_checksum, payload_cut: decoded.payload_cut, header }
}

fn name(path: &Path) -> String {
    path.display().to_string()
}
