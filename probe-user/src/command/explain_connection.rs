//! `rstprobe explain -r FILE`: finds one connection of captures and prints what is known of it.
//!
//! Reads the captures twice: once for the records, as `rstprobe read` does, and once for the segments of one.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use super::{
    sandboxed::{Outputs, Reading},
    time_order::in_order_of_time,
    zones,
};
use crate::{
    error::RunError,
    explain::{
        Explanation, Segments,
        ladder::{Completeness, SeenSegment, key},
        next_step::Neighbours,
        packets::{Files, Origin, Part},
        search::{Found, Search},
    },
    output,
    output::{counters, offloaded_checksums},
    plan::{CapturePlan, ExplainFormat, ExplainPlan, Which},
    printable::{self, shell},
    record::Connection,
    report::{explanation_html, explanation_text, json},
    sandbox::Policy,
    source::{
        Domain,
        capture::{Accounting, CommentedFrame, Decoded, Decoder, Header, Remark, Spool},
    },
    tracker::{self, Extra, Tracker, TrackerConfig},
    zone::{Observation, Zones},
};

/// Segments of one connection that are held.
const MOST: usize = 100_000;
/// After the end of a record this long what belongs to it may still come: late segments and resets.
const LATE_NS: u64 = 5_000_000_000;

/// Prints the explanation of one connection.
///
/// # Errors
/// A connection that is not there; a capture that cannot be read to its end, after the explanation has been printed.
pub(super) fn explain(plan: &ExplainPlan, policy: Policy) -> Result<(), RunError> {
    let captures = Captures::open(plan, policy)?;
    let (found, read) = captures.find(&plan.which);
    say_choice(&found);
    let Found { best: Some((one, ())), .. } = found else {
        return read.and(Err(RunError::NoSuchConnection { of: found.seen }));
    };
    let (segments, parts) = captures.segments(&one);
    let origin = captures.origin(parts);
    print(&Explanation::new(one, segments, &origin), plan.format).and(read)
}

/// Says of how many it was chosen, and of how many the verdicts may not be the last.
pub(super) fn say_choice<T>(found: &Found<T>) {
    if found.judged_early > 0 {
        output::say(&format!(
            "rstprobe: {} connections were judged before all were known (too many waited): another one may be meant",
            found.judged_early
        ));
    }
    if let Some(choice) = found.choice() {
        output::say(&format!("rstprobe: {choice}"));
    }
}

/// Prints it as asked.
///
/// # Errors
/// What writing says.
pub(super) fn print(explanation: &Explanation, format: ExplainFormat) -> Result<(), RunError> {
    if explanation.ladder.beyond > 0 {
        let beyond = explanation.ladder.beyond;
        output::say(&format!("rstprobe: {beyond} later segments of this connection are not in the ladder"));
    }
    match format {
        ExplainFormat::Table => output::data(&explanation_text::text(explanation, output::style(0))),
        ExplainFormat::Json => output::data_document(&json::explanation_document(explanation)),
        ExplainFormat::Html => output::data(&explanation_html::page(explanation)),
    }
}

/// Captures that can be read as often as wanted.
struct Captures<'a> {
    plan: &'a CapturePlan,
    zones: Arc<Zones>,
    /// As named, and where each can be opened.
    files: Vec<(&'a PathBuf, Spool)>,
}

/// How a file is laid out.
struct Layout {
    /// Where captures begin in it that were joined to the first.
    joined_at: Vec<u64>,
    decompressor: Option<&'static str>,
}

/// One frame of the captures.
struct Seen<'a> {
    /// Number of its file, and of the capture in it.
    part: (usize, usize),
    time_ns: u64,
    decoded: Option<&'a Decoded>,
    remark: Option<Remark>,
    comment: Option<&'a str>,
}

impl<'a> Captures<'a> {
    fn open(plan: &'a ExplainPlan, policy: Policy) -> Result<Self, RunError> {
        let spooled = plan.files.iter().zip(Spool::all(&plan.files)).map(|(path, spool)| match spool {
            Ok(spool) => Ok((path, spool)),
            Err(source) => Err(RunError::Capture { file: printable::path(path), source }),
        });
        let observation = Observation { has_vlans: plan.capture.domain == Domain::Vlan, interface: None };
        let zones = zones::load(plan.zones.as_ref(), observation)?;
        if let Which::Meets(filter) = &plan.which {
            zones::check(filter.as_ref(), &zones)?;
        }
        let files: Vec<(&PathBuf, Spool)> = spooled.collect::<Result<_, _>>()?;
        // From here on nothing is written but what is printed.
        let reading =
            Reading::enter(policy, files.iter().filter_map(|(_, spool)| spool.is_opened_later()), Outputs::default())?;
        reading.outputs_are_open()?;
        for (path, spool) in &files {
            spool.fill().map_err(|source| RunError::Capture { file: printable::path(path), source })?;
        }
        let are_files = files.iter().all(|(_, spool)| spool.is_file());
        let files = in_order_of_time(files, are_files, |(path, _)| path.as_path(), |(_, spool)| spool.capture());
        Ok(Self { plan: &plan.capture, zones, files })
    }

    fn tracker(&self) -> Tracker {
        Tracker::new(TrackerConfig {
            timers: self.plan.timers,
            max_connections: self.plan.max_connections,
            zones: Some(Arc::clone(&self.zones)),
            ..TrackerConfig::default()
        })
    }

    /// The connection that is meant, and whether the captures could be read to their end.
    fn find(&self, which: &Which) -> (Found<()>, Result<(), RunError>) {
        let mut search = match which {
            Which::Id(id) => Search::by_id(*id),
            Which::Meets(filter) => Search::by_filter(filter.as_ref()),
        };
        let mut tracker = self.tracker();
        let mut last_ns = 0;
        let (read, accounting) = self.each_frame(&mut Vec::new(), |frame| {
            last_ns = frame.time_ns.max(last_ns);
            track(&mut tracker, &frame);
            if tracker.closed_len() > 0 {
                take_closed(&mut tracker, &mut search);
            }
        });
        tracker.finish(last_ns);
        take_closed(&mut tracker, &mut search);
        let bad = accounting.bad_tcp_checksum;
        if let Some(notice) = offloaded_checksums::notice(accounting.tcp, bad, &tracker.stats()) {
            output::say(&notice);
        }
        let not_understood =
            counters::not_understood(&accounting).map_or(Ok(()), |what| Err(RunError::LinkTypes(what)));
        let read = read.and(not_understood);
        (search.finish(), read)
    }

    /// The segments of its flow, from its start until late ones cannot come any more or another connection takes its ports;
    /// and the captures that hold them.
    fn segments(&self, one: &Connection) -> (Segments, Vec<Part>) {
        let (flow, _) = key(one);
        let end_ns = one.start_ns.saturating_add(one.duration_ns).saturating_add(LATE_NS);
        let mut seen: Vec<((usize, usize), SeenSegment)> = Vec::new();
        let (mut beyond, mut recorded) = (0, None);
        let vlan = (self.plan.domain == Domain::Vlan && one.domain != 0).then_some(one.domain);
        let mut neighbours = Neighbours { vlan, ..Neighbours::default() };
        // Tells where the next connection of the same ports begins.
        let mut tracker = self.tracker();
        let (mut last_ns, mut has_begun) = (0, false);
        let mut layouts = Vec::new();
        // What can be read was read before; how it ends has been noted.
        let _read_before: (Result<(), RunError>, Accounting) = self.each_frame(&mut layouts, |frame| {
            let Some(decoded) = frame.decoded else { return };
            let segment = &decoded.segment;
            neighbours.swapped |= is_swapped(one, decoded);
            if segment.key != flow {
                neighbours.in_time |= segment.key.words[..4] == flow.words[..4] && same_ports(one, decoded);
                return;
            }
            tracker.observe(segment, extra(decoded));
            last_ns = frame.time_ns.max(last_ns);
            // Clocks that are set back put later segments before the first.
            has_begun |= frame.time_ns == one.start_ns;
            if !has_begun || frame.time_ns > end_ns {
                neighbours.in_time = true;
            } else if seen.len() < MOST {
                recorded = recorded.take().or_else(|| of_evidence(frame.comment?));
                seen.push((frame.part, seen_segment(decoded)));
            } else {
                beyond += 1;
            }
        });
        tracker.finish(last_ns);
        let starts = tracker.take_closed().into_iter().map(|other| other.start_ns);
        if let Some(next_ns) = starts.filter(|start| *start > one.start_ns).min() {
            let all = seen.len();
            seen.retain(|(_, seen)| seen.segment.record.time_ns < next_ns);
            neighbours.in_time |= seen.len() < all;
        }
        let parts: BTreeSet<_> = seen.iter().map(|(part, _)| *part).collect();
        let parts = parts.into_iter().filter_map(|part| self.part(part, &layouts)).collect();
        let completeness = if recorded.is_some() { Completeness::Kept } else { Completeness::Captured };
        let seen = seen.into_iter().map(|(_, seen)| seen).collect();
        (Segments { seen, beyond, completeness, neighbours, recorded }, parts)
    }

    /// A capture by the numbers of its file and of its place there.
    fn part(&self, (file, number): (usize, usize), layouts: &[Layout]) -> Option<Part> {
        let whole = Part::whole(self.files.get(file)?.0);
        let Layout { joined_at, decompressor } = layouts.get(file)?;
        if joined_at.is_empty() {
            return Some(whole);
        }
        let from = number.checked_sub(1).map_or(Some(0), |before| joined_at.get(before).copied())?;
        Some(Part { decompressor: *decompressor, bytes: Some((from, joined_at.get(number).copied())), ..whole })
    }

    /// Where the segments of a connection came from, which are in these captures.
    fn origin(&self, parts: Vec<Part>) -> Origin {
        // `/dev/stdin` of another shell is another capture.
        let is_passing =
            |path: &std::path::Path| ["/dev/stdin", "/dev/fd", "/proc"].iter().any(|kind| path.starts_with(kind));
        if self.files.iter().any(|(path, spool)| matches!(spool, Spool::Copy(..)) || is_passing(path)) {
            return Origin::Stream;
        }
        let CapturePlan { words: options, vxlan_ports, .. } = self.plan.clone();
        let all = self.files.iter().map(|(path, _)| shell::path(path)).collect();
        Origin::Files(Files { parts, all, options, vxlan_ports })
    }

    /// Decodes every frame of the captures, in order, and notes how each file is laid out.
    fn each_frame(&self, layouts: &mut Vec<Layout>, take: impl FnMut(Seen<'_>)) -> (Result<(), RunError>, Accounting) {
        let plan = self.plan;
        let mut decoder =
            Decoder::new(plan.verify_checksums, plan.encapsulations, plan.domain).with_vxlan_ports(&plan.vxlan_ports);
        (self.frames_of(&mut decoder, layouts, take), decoder.accounting().clone())
    }

    fn frames_of(
        &self,
        decoder: &mut Decoder,
        layouts: &mut Vec<Layout>,
        mut take: impl FnMut(Seen<'_>),
    ) -> Result<(), RunError> {
        for (file, (path, spool)) in self.files.iter().enumerate() {
            let failed = |source| RunError::Capture { file: printable::path(path), source };
            let mut capture = spool.capture().map_err(failed)?;
            let read = loop {
                let CommentedFrame { frame, comment, part } = match capture.next_with_comment() {
                    Ok(Some(read)) => read,
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(failed(error)),
                };
                let decoded = decoder.decode(&frame);
                let remark = if decoder.has_remark() { decoder.take_remark() } else { None };
                take(Seen { part: (file, part), time_ns: frame.time_ns, decoded: decoded.as_ref(), remark, comment });
            };
            layouts.push(Layout { joined_at: capture.joined_at().to_vec(), decompressor: capture.decompressor() });
            read?;
        }
        Ok(())
    }
}

fn take_closed(tracker: &mut Tracker, search: &mut Search<'_, ()>) {
    for one in tracker.take_closed() {
        search.take(one, |_| ());
    }
}

fn track(tracker: &mut Tracker, frame: &Seen<'_>) {
    match frame.decoded {
        Some(decoded) => tracker.observe(&decoded.segment, extra(decoded)),
        None => tracker.advance(frame.time_ns),
    }
    match &frame.remark {
        Some(Remark::Icmp { quote, time_ns }) => {
            tracker.unreachable(quote, *time_ns);
        }
        Some(Remark::Reset { key, from_hi, option, text, time_ns }) => {
            tracker.reset_said(key, *from_hi, *option, text, *time_ns);
        }
        None => {}
    }
}

fn extra(decoded: &Decoded) -> Extra {
    let header = match decoded.header {
        Header::Whole => tracker::Header::Whole,
        Header::Cut => tracker::Header::Cut,
        Header::Contradictory => tracker::Header::Contradictory,
    };
    Extra { bad_checksum: decoded.bad_checksum, payload_cut: decoded.payload_cut, header }
}

fn seen_segment(decoded: &Decoded) -> SeenSegment {
    SeenSegment {
        segment: decoded.segment,
        is_cut: decoded.payload_cut,
        is_headless: decoded.header != Header::Whole,
        bad_checksum: decoded.bad_checksum,
    }
}

/// What the comments of an evidence file say of a connection.
fn of_evidence(comment: &str) -> Option<String> {
    let at = comment.find("rstprobe connection ")?;
    Some(printable::escaped(&comment[at..]).into_owned())
}

fn same_ports(one: &Connection, decoded: &Decoded) -> bool {
    let ports = [decoded.segment.key.lo().port, decoded.segment.key.hi().port];
    let own = [one.orig.port(), one.resp.port()];
    ports == own || ports == [own[1], own[0]]
}

/// Between the same two hosts, with the ports exchanged.
fn is_swapped(one: &Connection, decoded: &Decoded) -> bool {
    let mut exchanged = one.clone();
    exchanged.orig.set_port(one.resp.port());
    exchanged.resp.set_port(one.orig.port());
    one.orig.port() != one.resp.port() && one.orig.ip() != one.resp.ip() && key(&exchanged).0 == decoded.segment.key
}
