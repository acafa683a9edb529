//! `rstprobe read`: capture files through the same tracker and views as live traffic.
//!
//! * [`decoding`]: captures to parcels of segments ([`parcel`]). [`printing`]: records to the view.
//! * [`threads`]: that and the tracker between them on one thread, or shared by several ([`progress`]).
//! * [`with_evidence`]: frame by frame, with evidence.

mod apart;
mod decoding;
mod parcel;
mod printing;
pub(crate) mod progress;
mod threads;
mod with_evidence;

/// What threads wait with.
mod sync {
    pub(super) use std::sync::{Condvar, Mutex, MutexGuard, atomic};

    /// Looks at what others have done, before a thread sleeps: waking it takes longer than most of what it waits for.
    pub(super) const LOOKS: u32 = 4000;
}

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    command::{
        RunError,
        capture_clock::CaptureClock,
        sandboxed::{Outputs, Reading},
        time_order::in_order_of_time,
        zones,
    },
    output,
    output::{
        capture_evidence::CaptureEvidence,
        counters, offloaded_checksums as checksums, overwriting,
        view::View,
        writer::{Come, Stdout},
    },
    printable::{self, shell},
};
use crate::{
    filter::Filter,
    plan::{Format, Period, PlanError, ReadPlan, TimePoint},
    report::{Loss, Window, flood::Flood},
    sandbox::Policy,
    source::Domain,
    source::capture::{CaptureError, CaptureFile, Decoder, Named},
    tracker::{Tracker, TrackerConfig},
    zone::{Observation, Zones},
};
use printing::Printing;
use threads::{HasRead, is_broken};
use with_evidence::WithEvidence;

/// Reads the captures in order of time, as one stream, and prints.
///
/// # Errors
/// The first capture that cannot be read to its end; everything readable before has been printed.
pub(crate) fn read(plan: &ReadPlan, policy: Policy) -> Result<(), RunError> {
    output::refuse_terminal(plan.view.compression)?;
    overwriting::refuse_overwriting(&plan.view, plan.evidence.as_ref(), &plan.files)?;
    if let Some(expression) = plan.files.iter().find_map(|file| filter_instead(file)) {
        return Err(RunError::Plan(PlanError::FilterAsFile(expression)));
    }
    let zones = zones::load(plan.zones.as_ref(), observation(plan))?;
    zones::check(plan.view.filter.as_ref(), &zones)?;
    zones::check(plan.evidence.as_ref().map(|evidence| &evidence.of), &zones)?;
    // Before the sandbox hides the limits of the control group.
    let threads = threads::count(plan.threads);
    let files: Vec<_> = Named::all(&plan.files).into_iter().map(|named| named.read_beside(threads > 1)).collect();
    let outputs = Outputs { view: Some(&plan.view), evidence: plan.evidence.as_ref() };
    let reading = Reading::enter(policy, files.iter().filter_map(Named::is_opened_later), outputs)?;
    let are_files = files.iter().all(Named::is_file);
    let files = in_order_of_time(files, are_files, Named::path, Named::capture);
    let Some(first) = files.first() else { return Ok(()) };
    // Before anything is begun that could take the place of something else: a name may be mistyped.
    let capture = open(first)?;
    let plan = &with_end(plan, &files)?;
    let (decoder, tracker) = (decoder(plan), tracker(plan, zones));
    let mut view = View::open(&plan.view, Stdout::Direct)?;
    view.format_on(threads);
    let evidence = plan.evidence.as_ref().map(|evidence| CaptureEvidence::open(evidence, &plan.files)).transpose()?;
    // Nothing is decoded, and no other thread started, before.
    reading.outputs_are_open()?;
    let come = if are_files { Come::AtOnce } else { Come::AsTheyDo };
    view.print_by(Stdout::of_captures(plan.view.compression, come)?);
    if let Some(evidence) = evidence {
        return read_with_evidence(plan, &files, (decoder, tracker, view), capture, evidence.start()?);
    }
    let read = threads::read(threads, decoder, tracker, view, &files, capture)?;
    read.view.end_progress();
    finish(read, Vec::new(), Vec::new())
}

/// The expression that stands where a file is to be named, if there is no such file.
fn filter_instead(file: &Path) -> Option<String> {
    let text = file.to_str().filter(|text| text.contains(['=', '<', '>', ' ']))?;
    (!file.exists() && text.parse::<Filter>().is_ok()).then(|| shell::word(text))
}

/// The same, and packets behind the verdicts are kept.
fn read_with_evidence(
    plan: &ReadPlan,
    files: &[Named],
    (decoder, tracker, view): (Decoder, Tracker, View),
    first: CaptureFile,
    evidence: CaptureEvidence,
) -> Result<(), RunError> {
    let printing = Printing::new(view);
    let (clock, closed) = (CaptureClock::default(), Vec::new());
    let period = plan.view.period;
    let mut reading = WithEvidence { decoder, tracker, printing, evidence, period, clock, start_ns: 0, closed };
    let read = reading.read(files, first);
    if is_broken(&read) {
        // What has been kept until now is written, and that it is not all is said.
        output::say("rstprobe: the reader of standard output closed the pipe; --evidence ends where the output does");
        return reading.evidence.close().1.and(Err(RunError::BrokenPipe));
    }
    let printed = if reading.decoder.accounting().frames == 0 && read.is_err() { Ok(()) } else { reading.take_left() };
    // Also when nobody reads any more: the evidence is of everything.
    let (kept, written) = reading.evidence.close();
    let (losses, books) = (counters::evidence(&kept), counters::evidence_accounting(&kept));
    let WithEvidence { decoder, tracker, printing: Printing { view, .. }, clock, start_ns, .. } = reading;
    view.end_progress();
    let span_ns = [start_ns, clock.latest_ns];
    finish(HasRead { decoder, tracker, view, span_ns, read, printed }, losses, books).and(written)
}

/// Prints what is to be said at the end. `losses` and `books` are added to those of the capture.
fn finish(done: HasRead, more: Vec<Loss>, more_books: Vec<(&'static str, u64)>) -> Result<(), RunError> {
    let HasRead { decoder, tracker, mut view, span_ns: [start_ns, end_ns], read, printed } = done;
    let (accounting, stats) = (decoder.accounting(), tracker.stats());
    if accounting.frames == 0 {
        // Nothing was read, and there is nothing to say of it.
        read?;
        view.begin(0)?;
        output::say("rstprobe: no frames");
        return finish_view(view, Window::default(), &decoder, &tracker, (more, more_books));
    }
    if let Some(notice) = checksums::notice(accounting.tcp, accounting.bad_tcp_checksum, &stats) {
        output::say(&notice);
    }
    let window = Window { start_ns, end_ns, is_cut_short: read.is_err(), ..Window::default() };
    let not_understood = counters::not_understood(accounting);
    if let Err(error) = &read {
        view.cut_short(error);
    }
    let finished = printed.and_then(|()| finish_view(view, window, &decoder, &tracker, (more, more_books)));
    finished.and(read).and(not_understood.map_or(Ok(()), |what| Err(RunError::LinkTypes(what))))
}

fn finish_view(
    view: View,
    window: Window,
    decoder: &Decoder,
    tracker: &Tracker,
    (more, more_books): (Vec<Loss>, Vec<(&'static str, u64)>),
) -> Result<(), RunError> {
    let (accounting, reassembled, stats) = (decoder.accounting(), decoder.reassembled(), tracker.stats());
    let mut losses = counters::capture(accounting, &reassembled, &stats);
    let mut books = counters::capture_accounting(accounting, &reassembled, &stats);
    losses.extend(more);
    books.extend(more_books);
    view.finish(window, losses, books, Flood::default(), &stats)
}

fn decoder(plan: &ReadPlan) -> Decoder {
    Decoder::new(plan.capture.verify_checksums, plan.capture.encapsulations, plan.capture.domain)
        .as_zeek(matches!(plan.view.format, Format::Zeek | Format::ZeekJson))
        .with_vxlan_ports(&plan.capture.vxlan_ports)
}

fn tracker(plan: &ReadPlan, zones: Arc<Zones>) -> Tracker {
    Tracker::new(TrackerConfig {
        timers: plan.capture.timers,
        max_connections: plan.capture.max_connections,
        zones: asks_labels(plan).then_some(zones),
        facts: plan.view.shows_facts() || plan.evidence.is_some(),
        hash_seed: std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), plan.files.len()),
        ..TrackerConfig::default()
    })
}

/// The plan with every time absolute that is one before the end: that takes a look at all frames first.
///
/// # Errors
/// A capture that cannot be read twice; a period that is empty.
fn with_end(plan: &ReadPlan, files: &[Named]) -> Result<ReadPlan, RunError> {
    let mut plan = plan.clone();
    if plan.view.period.needs_end() {
        if let Some(file) = files.iter().find(|file| !file.is_file()) {
            return Err(RunError::Plan(PlanError::NoEnd(printable::path(file.path()))));
        }
        let [first_ns, last_ns] = span_of(files)?;
        let [since, until] = plan.view.period.resolved(first_ns, last_ns);
        plan.view.period = Period { since: since.map(TimePoint::At), until: until.map(TimePoint::At) };
    }
    // Times of day may have midnight between them.
    if let Period { since: Some(TimePoint::At(since)), until: Some(TimePoint::At(until)) } = plan.view.period
        && since >= until
    {
        let shown = |ns| humantime::format_rfc3339(std::time::UNIX_EPOCH + Duration::from_nanos(ns)).to_string();
        return Err(RunError::Plan(PlanError::EmptyPeriod { since: shown(since), until: shown(until) }));
    }
    Ok(plan)
}

/// Times of the first frame and of the latest one; of a capture that cannot be read to its end, of what can be.
fn span_of(files: &[Named]) -> Result<[u64; 2], RunError> {
    let (mut first_ns, mut last_ns) = (None, 0);
    for named in files {
        let mut capture = open(named)?;
        // How it ends is said when it is read.
        while let Ok(Some(frame)) = capture.next_frame() {
            first_ns.get_or_insert(frame.time_ns);
            last_ns = frame.time_ns.max(last_ns);
        }
    }
    Ok([first_ns.unwrap_or(0), last_ns])
}

/// What is known of the connections of captures: the VLAN where it is part of their key.
fn observation(plan: &ReadPlan) -> Observation<'static> {
    Observation { has_vlans: plan.capture.domain == Domain::Vlan, interface: None }
}

/// Whether anything asks for names; making them for nobody costs time per connection.
fn asks_labels(plan: &ReadPlan) -> bool {
    plan.view.asks_labels() || plan.evidence.as_ref().is_some_and(|evidence| evidence.of.asks_labels())
}

fn open(named: &Named) -> Result<CaptureFile, RunError> {
    named.capture().map_err(|source| unreadable(named.path(), source))
}

fn unreadable(path: &Path, source: CaptureError) -> RunError {
    RunError::Capture { file: printable::path(path), source }
}

#[cfg(test)]
mod tests;
