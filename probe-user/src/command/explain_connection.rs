//! `rstprobe explain -r FILE`: finds one connection of a capture and prints its segments as a ladder.

use std::path::{Path, PathBuf};

use probe_ebpf::{
    layout::Segment,
    tunnel::{ALL_OF_CAPTURES, Encapsulations},
};

use crate::{
    aggregate::Habits,
    error::RunError,
    filter::Filter,
    output,
    plan::PlanError,
    record::Connection,
    report::ladder,
    source::{
        Domain,
        capture::{CaptureFile, Decoder, Header},
    },
    tracker::{self, Extra, Tracker, TrackerConfig},
};

/// Segments of one connection that are held.
const MOST: usize = 100_000;
/// Tunnels within tunnels that are followed, as `read` does.
const ENCAP_DEPTH: u8 = 4;

/// Which connection is meant.
enum Which {
    /// By its number.
    Id(u64),
    /// The one with the greatest loss that meets a condition; then the first.
    Meets(Option<Filter>),
}

/// Prints the ladder of one connection.
///
/// # Errors
/// What is no number and no condition, a file that cannot be read, a connection that is not there.
pub(super) fn explain(files: &[PathBuf], which: Option<&str>) -> Result<(), RunError> {
    let which = match which.map(str::parse::<u64>) {
        Some(Ok(id)) => Which::Id(id),
        Some(Err(_)) => Which::Meets(which.map(|text| text.parse().map_err(refused)).transpose()?),
        None => Which::Meets(None),
    };
    let mut tracker = Tracker::new(TrackerConfig::default());
    let mut last_ns = 0;
    each_segment(files, |segment, extra| {
        last_ns = segment.record.time_ns.max(last_ns);
        tracker.observe(segment, extra);
    })?;
    tracker.finish(last_ns);
    let mut all = tracker.take_closed();
    let mut habits = Habits::default();
    for one in &all {
        habits.observe(one);
    }
    for one in &mut all {
        habits.judge(one);
    }
    let Some(one) = find(&all, &which) else { return Err(RunError::NoSuchConnection { of: all.len() }) };
    let segments = segments_of(files, one)?;
    output::data(&ladder::ladder(one, &segments))
}

fn refused(source: crate::filter::FilterError) -> RunError {
    RunError::Plan(PlanError::Filter { option: "explain", source })
}

fn find<'a>(all: &'a [Connection], which: &Which) -> Option<&'a Connection> {
    match which {
        Which::Id(id) => all.iter().find(|one| one.id == *id),
        Which::Meets(filter) => {
            let meets = all.iter().filter(|one| filter.as_ref().is_none_or(|filter| filter.matches(one)));
            meets.max_by_key(|one| (one.verdict.impact.is_loss(), one.rst_count() > 0, std::cmp::Reverse(one.id)))
        }
    }
}

/// The segments of its flow from its start to its last RST or FIN, or five seconds after its end.
fn segments_of(files: &[PathBuf], one: &Connection) -> Result<Vec<Segment>, RunError> {
    const AFTER_NS: u64 = 5_000_000_000;
    let end_ns = one.start_ns.saturating_add(one.duration_ns).saturating_add(AFTER_NS);
    let mut segments = Vec::new();
    each_segment(files, |segment, _| {
        let is_in_time = (one.start_ns..=end_ns).contains(&segment.record.time_ns);
        if is_in_time && segments.len() < MOST && ladder::is_of(one, segment) {
            segments.push(*segment);
        }
    })?;
    Ok(segments)
}

/// Decodes every frame of the files, in order.
fn each_segment(files: &[PathBuf], mut take: impl FnMut(&Segment, Extra)) -> Result<(), RunError> {
    let encapsulations = Encapsulations { enabled: ALL_OF_CAPTURES, max_depth: ENCAP_DEPTH };
    let mut decoder = Decoder::new(true, encapsulations, Domain::None);
    for path in files {
        let failed = |source| RunError::Capture { file: name(path), source };
        let mut capture = CaptureFile::open(path).map_err(failed)?;
        while let Some(frame) = capture.next_frame().map_err(failed)? {
            let Some(decoded) = decoder.decode(&frame) else { continue };
            let header = match decoded.header {
                Header::Whole => tracker::Header::Whole,
                Header::Cut => tracker::Header::Cut,
                Header::Contradictory => tracker::Header::Contradictory,
            };
            let extra = Extra { bad_checksum: decoded.bad_checksum, payload_cut: decoded.payload_cut, header };
            take(&decoded.segment, extra);
        }
    }
    Ok(())
}

fn name(path: &Path) -> String {
    path.display().to_string()
}
