//! `rstprobe read`: capture files through the same tracker and views as live traffic.

#![expect(clippy::inline_always, reason = "what every frame passes through")]

use std::{path::Path, time::Instant};

use probe_ebpf::layout::Segment;

use crate::{
    command::{RunError, capture_clock::CaptureClock},
    output,
    output::{
        capture_evidence::CaptureEvidence, counters, offloaded_checksums as checksums, overwriting, view::View,
        writer::Stdout,
    },
};
use crate::{
    plan::{Format, ReadPlan},
    record::Connection,
    report::{Window, flood::Flood},
    source::capture::{self, CaptureError, CaptureFile, Decoded, Decoder, Frame, Payload, Remark, Take, Took},
    tracker::{Arrival, Extra, Header, Tracker, TrackerConfig},
};

/// Segments gathered before the tracker gets them.
const ARRIVALS: usize = 128;
/// Records gathered before they are printed: few enough to stream, enough to write in one go.
const BATCH: usize = 64;
/// The same of those that are left at the end.
const LEFT: usize = 128;
/// Frames between two looks at the wall clock, for progress.
const PROGRESS_FRAMES: u64 = 1 << 16;

/// Reads the captures in the given order, as one stream, and prints.
///
/// # Errors
/// The first capture that cannot be read to its end; everything readable before has been printed.
pub(crate) fn read(plan: &ReadPlan) -> Result<(), RunError> {
    overwriting::refuse_overwriting(&plan.view, plan.evidence.as_ref(), &plan.files)?;
    let Some((first, others)) = plan.files.split_first() else { return Ok(()) };
    // Before anything is begun that could take the place of something else: a name may be mistyped.
    let capture = open(first)?;
    let mut reading = Reading::begin(plan)?;
    let mut outcome = reading.file(first, capture);
    for file in others {
        if outcome.is_err() {
            break;
        }
        outcome = open(file).and_then(|capture| reading.file(file, capture));
    }
    reading.view.end_progress();
    match outcome {
        Err(RunError::BrokenPipe) => reading.abandon(),
        // Nothing was read, and there is nothing to say of it.
        Err(error) if reading.decoder.accounting().frames == 0 => Err(error),
        outcome => {
            let not_understood = counters::not_understood(reading.decoder.accounting());
            if let Err(error) = &outcome {
                reading.view.cut_short(error);
            }
            let finished = reading.finish();
            finished.and(outcome).and(not_understood.map_or(Ok(()), |what| Err(RunError::LinkTypes(what))))
        }
    }
}

fn open(path: &Path) -> Result<CaptureFile, RunError> {
    CaptureFile::open(path).map_err(|source| named(path, source))
}

fn named(path: &Path, source: CaptureError) -> RunError {
    RunError::Capture { file: path.display().to_string(), source }
}

struct Reading {
    decoder: Decoder,
    tracker: Tracker,
    view: View,
    /// With `--evidence`, which has a slower way through here.
    evidence: Option<CaptureEvidence>,
    window: Window,
    clock: CaptureClock,
    started: Instant,
    /// Where segments gather, each written once.
    arrivals: Box<[Arrival; ARRIVALS]>,
    /// How many are on their way to the tracker: none while more is waited for.
    buffered: usize,
    /// Frames after which the wall clock is looked at again.
    progress_at: u64,
    /// Memory for records on their way.
    closed: Vec<Connection>,
}

impl Reading {
    /// With its outputs open.
    fn begin(plan: &ReadPlan) -> Result<Self, RunError> {
        let decoder = Decoder::new(plan.verify_checksums, plan.encapsulations, plan.domain)
            .as_zeek(matches!(plan.view.format, Format::Zeek | Format::ZeekJson));
        Ok(Self {
            decoder: decoder.with_vxlan_ports(&plan.vxlan_ports),
            tracker: Tracker::new(TrackerConfig {
                timers: plan.timers,
                max_connections: plan.max_connections,
                facts: plan.view.shows_facts() || plan.evidence.is_some(),
                hash_seed: std::hash::BuildHasher::hash_one(&foldhash::fast::RandomState::default(), plan.files.len()),
                ..TrackerConfig::default()
            }),
            view: View::open(&plan.view, Stdout::Direct)?,
            evidence: plan
                .evidence
                .as_ref()
                .map(|evidence| CaptureEvidence::open(evidence, &plan.files))
                .transpose()?,
            window: Window::default(),
            clock: CaptureClock::default(),
            started: Instant::now(),
            arrivals: Box::new([Arrival { segment: Segment::default(), extra: Extra::default() }; ARRIVALS]),
            buffered: 0,
            progress_at: PROGRESS_FRAMES,
            closed: Vec::new(),
        })
    }

    fn file(&mut self, path: &Path, capture: CaptureFile) -> Result<(), RunError> {
        self.clock.begin();
        let read = self.frames_of(path, capture);
        self.window.end_ns = self.clock.latest_ns;
        for notice in self.clock.notices(path) {
            self.view.end_progress();
            output::say(&format!("rstprobe: {notice}"));
        }
        read
    }

    fn frames_of(&mut self, path: &Path, mut capture: CaptureFile) -> Result<(), RunError> {
        let named = |source: CaptureError| named(path, source);
        if let Some(mut evidence) = self.evidence.take() {
            let read = self.file_with_evidence(&mut evidence, path, &mut capture, named);
            self.evidence = Some(evidence);
            return read;
        }
        loop {
            if !self.clock.awaits_first() {
                self.frames_in_memory(&mut capture)?;
            }
            self.track()?;
            match capture.next_frame().map_err(named)? {
                Some(frame) => self.frame(&frame)?,
                None => return Ok(()),
            }
        }
    }

    /// Takes what need not be waited for, once it is known when the first frame was. A function of its own, so that its
    /// loop has all registers.
    #[inline(never)]
    fn frames_in_memory(&mut self, capture: &mut CaptureFile) -> Result<(), RunError> {
        loop {
            let Self { decoder, arrivals, buffered, clock, .. } = self;
            let mut buffering = Buffering { decoder, arrivals, buffered: *buffered, clock: *clock, other_ns: None };
            capture.offer_in_memory(&mut buffering);
            let Buffering { buffered: now, clock: seen, other_ns, .. } = buffering;
            (*buffered, *clock) = (now, seen);
            if other_ns.is_none() && now < ARRIVALS && !self.decoder.has_remark() {
                return Ok(());
            }
            self.track()?;
            if let Some(time_ns) = other_ns {
                self.tracker.advance(time_ns);
            }
        }
    }

    fn file_with_evidence(
        &mut self,
        evidence: &mut CaptureEvidence,
        path: &Path,
        capture: &mut CaptureFile,
        named: impl Fn(CaptureError) -> RunError,
    ) -> Result<(), RunError> {
        evidence.begin(path);
        loop {
            match capture.next_with_interface() {
                Ok(Some((frame, captured_on))) => {
                    self.see(&frame)?;
                    let decoded = self.decoder.decode(&frame);
                    match decoded {
                        Some(decoded) => self.tracker.observe_all(&[arrival(decoded)]),
                        None => self.tracker.advance(frame.time_ns),
                    }
                    self.take_remark();
                    // What has ended goes before a frame of the next connection on the same ports comes.
                    evidence.ended(&mut self.tracker, &mut self.closed);
                    if let Some(decoded) = decoded {
                        evidence.frame(&decoded, &frame, &captured_on);
                    }
                    self.print()?;
                }
                Ok(None) => return Ok(()),
                Err(error) => return Err(named(error)),
            }
        }
    }

    /// Prints what has ended, when it is enough.
    fn print(&mut self) -> Result<(), RunError> {
        if self.closed.len() >= BATCH {
            self.view.take(&mut self.closed)?;
        }
        self.tell_progress();
        Ok(())
    }

    fn tell_progress(&mut self) {
        let frames = self.decoder.accounting().frames;
        if frames >= self.progress_at {
            self.progress_at = frames + PROGRESS_FRAMES;
            self.view.progress(self.started.elapsed(), &format!("{frames} frames, "));
        }
    }

    /// The first, or one that had to be waited for; nothing has gathered.
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), RunError> {
        self.see(frame)?;
        if take_odd(&mut self.decoder, frame, &mut self.arrivals[0]) {
            self.buffered = 1;
        } else {
            self.tracker.advance(frame.time_ns);
        }
        if self.decoder.has_remark() { self.track() } else { Ok(()) }
    }

    /// Notes the time of a frame.
    fn see(&mut self, frame: &Frame<'_>) -> Result<(), RunError> {
        if self.window.start_ns == 0 {
            self.first_frame(frame)?;
        }
        if self.clock.awaits_first() {
            self.clock.see_first(frame.time_ns);
        } else {
            self.clock.see(frame.time_ns);
        }
        Ok(())
    }

    /// Tells the tracker what the last frame said beyond its segment, which the tracker has.
    fn take_remark(&mut self) {
        match self.decoder.take_remark() {
            None => {}
            Some(Remark::Icmp { quote, time_ns }) => {
                self.tracker.unreachable(&quote, time_ns);
            }
            Some(Remark::Reset { key, from_hi, option, text, time_ns }) => {
                self.tracker.reset_said(&key, from_hi, option, &text, time_ns);
            }
        }
    }

    #[cold]
    fn first_frame(&mut self, frame: &Frame<'_>) -> Result<(), RunError> {
        self.window.start_ns = frame.time_ns;
        if self.decoder.accounting().frames == 0 { self.view.begin() } else { Ok(()) }
    }

    /// Hands on what has gathered.
    fn track(&mut self) -> Result<(), RunError> {
        self.tracker.observe_all(&self.arrivals[..self.buffered]);
        self.buffered = 0;
        if self.decoder.has_remark() {
            self.take_remark();
        }
        if self.tracker.closed_len() >= BATCH {
            self.tracker.swap_closed(&mut self.closed);
            self.view.take(&mut self.closed)?;
        }
        self.tell_progress();
        Ok(())
    }

    /// Nobody wants to hear more: what has been kept until now is written, and that it is not all is said.
    fn abandon(self) -> Result<(), RunError> {
        let Some(evidence) = self.evidence else { return Err(RunError::BrokenPipe) };
        output::say("rstprobe: the reader of standard output closed the pipe; --evidence ends where the output does");
        evidence.close().1.and(Err(RunError::BrokenPipe))
    }

    /// Prints what is still tracked, a batch at a time: there may be very many, and none is needed twice.
    fn take_left(&mut self) -> Result<(), RunError> {
        let mut left = self.tracker.left(self.window.end_ns);
        let mut taken = Ok(());
        loop {
            match &mut self.evidence {
                Some(evidence) => evidence.ended(&mut self.tracker, &mut self.closed),
                None => self.tracker.swap_closed(&mut self.closed),
            }
            if taken.is_ok() {
                taken = self.view.take(&mut self.closed);
            }
            self.closed.clear();
            if !self.tracker.write_left(&mut left, LEFT) {
                return taken;
            }
        }
    }

    fn finish(mut self) -> Result<(), RunError> {
        let taken = self.take_left();
        let accounting = self.decoder.accounting();
        if accounting.frames == 0 {
            self.view.begin()?;
            output::say("rstprobe: no frames");
        }
        if let Some(notice) = checksums::notice(accounting.tcp, accounting.bad_tcp_checksum, &self.tracker.stats()) {
            output::say(&notice);
        }
        let (mut losses, mut accounting) = (
            counters::capture(accounting, &self.decoder.reassembled(), &self.tracker.stats()),
            counters::capture_accounting(accounting, &self.decoder.reassembled(), &self.tracker.stats()),
        );
        // Also when nobody reads any more: the evidence is of everything.
        let written = match self.evidence.map(CaptureEvidence::close) {
            Some((evidence, written)) => {
                losses.extend(counters::evidence(&evidence));
                accounting.extend(counters::evidence_accounting(&evidence));
                written
            }
            None => Ok(()),
        };
        taken?;
        self.view.finish(self.window, losses, accounting, Flood::default(), &self.tracker.stats()).and(written)
    }
}

/// What the frames at hand go through, with all that the loop over them needs.
struct Buffering<'a> {
    decoder: &'a mut Decoder,
    arrivals: &'a mut [Arrival; ARRIVALS],
    buffered: usize,
    clock: CaptureClock,
    /// Time of a frame without a segment: the tracker is to know of it after the segments before.
    other_ns: Option<u64>,
}

impl Take for Buffering<'_> {
    #[inline(always)]
    fn take(&mut self, frame: &Frame<'_>) -> Took {
        let Some(arrival) = self.arrivals.get_mut(self.buffered) else { return Took::Nothing };
        self.clock.see(frame.time_ns);
        if let Some(payload) = self.decoder.decode_plain(frame, &mut arrival.segment) {
            let Payload { bad_checksum, payload_cut } = payload;
            arrival.extra = Extra { bad_checksum, payload_cut, header: Header::Whole };
            self.buffered += 1;
            return self.after_segment();
        }
        // Copied, so that the frame itself need never be in memory.
        let frame = *frame;
        if take_odd(self.decoder, &frame, arrival) {
            self.buffered += 1;
            return self.after_segment();
        }
        self.other_ns = Some(frame.time_ns);
        Took::Last
    }
}

impl Buffering<'_> {
    /// What a frame says beyond its segment goes to the tracker before the next one comes.
    #[inline(always)]
    fn after_segment(&self) -> Took {
        if self.decoder.has_remark() { Took::Last } else { Took::More }
    }
}

/// Takes any frame, if there is a segment in it.
#[cold]
fn take_odd(decoder: &mut Decoder, frame: &Frame<'_>, into: &mut Arrival) -> bool {
    let Some(decoded) = decoder.decode(frame) else { return false };
    *into = arrival(decoded);
    true
}

/// In the tracker's words.
fn arrival(decoded: Decoded) -> Arrival {
    let Decoded { segment, bad_checksum, payload_cut, header } = decoded;
    let header = match header {
        capture::Header::Whole => Header::Whole,
        capture::Header::Cut => Header::Cut,
        capture::Header::Contradictory => Header::Contradictory,
    };
    Arrival { segment, extra: Extra { bad_checksum, payload_cut, header } }
}

#[cfg(test)]
mod tests;
