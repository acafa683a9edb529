//! Decoding: reads captures one after the other and makes batches of their segments, for whoever takes them.
//!
//! Must not know: connections, outputs, threads.

#![expect(clippy::inline_always, reason = "what every frame passes through")]

use std::path::Path;

use super::{
    batch::{Batch, Between, SEGMENTS, arrival},
    unreadable,
};
use crate::{
    command::{RunError, capture_clock::CaptureClock},
    source::capture::Take as Offered,
    source::capture::{CaptureFile, Decoder, Frame, InTurn, Named, Payload, Took},
    tracker::{Arrival, Extra, Header},
};

/// Takes what decoding makes. An error says that no more is wanted.
pub(super) trait Take {
    /// The first frame of all has this time, nanoseconds since 1970.
    fn begin(&mut self, time_ns: u64) -> Result<(), RunError>;
    /// Segments; leaves a batch without any.
    fn batch(&mut self, batch: &mut Batch) -> Result<(), RunError>;
    /// Something to be said of a capture whose segments have been taken.
    fn notice(&mut self, text: &str) -> Result<(), RunError>;
}

/// Reads captures.
pub(super) struct Decoding<T> {
    pub(super) decoder: Decoder,
    pub(super) to: T,
    clock: CaptureClock,
    batch: Batch,
    /// Time of the first frame of all; 0 before it.
    pub(super) start_ns: u64,
    /// Latest time of a frame, of files that were read.
    pub(super) end_ns: u64,
}

impl<T: Take> Decoding<T> {
    /// Nothing is read yet.
    pub(super) fn new(decoder: Decoder, to: T) -> Self {
        Self { decoder, to, clock: CaptureClock::default(), batch: Batch::new(), start_ns: 0, end_ns: 0 }
    }

    /// Reads `files`, the first of which is open, as one stream.
    ///
    /// # Errors
    /// The first capture that cannot be read to its end, what it had was handed over; or nobody takes any more.
    pub(super) fn read(&mut self, files: &[Named], first: CaptureFile) -> Result<(), RunError> {
        for (named, capture) in InTurn::new(files, first) {
            let capture = capture.map_err(|source| unreadable(named.path(), source))?;
            self.file(named.path(), capture)?;
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, mut capture: CaptureFile) -> Result<(), RunError> {
        self.clock.begin();
        let read = self.frames_of(path, &mut capture);
        self.end_ns = self.clock.latest_ns;
        let read = read.and(self.hand_over());
        for notice in self.clock.notices(path, capture.is_evidence()) {
            self.to.notice(&notice)?;
        }
        read
    }

    fn frames_of(&mut self, path: &Path, capture: &mut CaptureFile) -> Result<(), RunError> {
        loop {
            if !self.clock.awaits_first() {
                self.frames_in_memory(capture)?;
            }
            // Nothing waits while more is waited for.
            self.hand_over()?;
            match capture.next_frame() {
                Ok(Some(frame)) => self.frame(&frame)?,
                Ok(None) => return Ok(()),
                Err(source) => {
                    self.hand_over()?;
                    return Err(unreadable(path, source));
                }
            }
        }
    }

    /// Takes what need not be waited for, once it is known when the first frame was. A function of its own, so that its
    /// loop has all registers.
    #[inline(never)]
    fn frames_in_memory(&mut self, capture: &mut CaptureFile) -> Result<(), RunError> {
        loop {
            let Self { decoder, batch, clock, .. } = self;
            let len = batch.len;
            let mut buffering =
                Buffering { decoder, arrivals: &mut batch.arrivals, len, clock: *clock, other_ns: None };
            capture.offer_in_memory(&mut buffering);
            let Buffering { len, clock: seen, other_ns, .. } = buffering;
            (batch.len, *clock) = (len, seen);
            if other_ns.is_none() && len < SEGMENTS && !self.decoder.has_remark() {
                return Ok(());
            }
            self.note(other_ns);
            if self.batch.is_full() {
                self.hand_over()?;
            }
        }
    }

    /// The first, or one that had to be waited for; there is room for it.
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), RunError> {
        if self.start_ns == 0 {
            self.start_ns = frame.time_ns;
            if self.decoder.accounting().frames == 0 {
                self.to.begin(frame.time_ns)?;
            }
        }
        if self.clock.awaits_first() {
            self.clock.see_first(frame.time_ns);
        } else {
            self.clock.see(frame.time_ns);
        }
        let into = &mut self.batch.arrivals[self.batch.len];
        let is_segment = take_odd(&mut self.decoder, frame, into);
        self.batch.len += usize::from(is_segment);
        self.note((!is_segment).then_some(frame.time_ns));
        Ok(())
    }

    /// What the last frame was besides its segment.
    #[inline]
    fn note(&mut self, other_ns: Option<u64>) {
        if let Some(remark) = self.decoder.take_remark() {
            self.batch.add(Between::Said(remark));
        }
        if let Some(time_ns) = other_ns {
            self.batch.add(Between::Time(time_ns));
        }
    }

    fn hand_over(&mut self) -> Result<(), RunError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batch.frames = self.decoder.accounting().frames;
        self.to.batch(&mut self.batch)
    }
}

/// What the frames at hand go through, with all that the loop over them needs.
struct Buffering<'a> {
    decoder: &'a mut Decoder,
    arrivals: &'a mut [Arrival],
    len: usize,
    clock: CaptureClock,
    /// Time of a frame without a segment: the tracker is to know of it after the segments before.
    other_ns: Option<u64>,
}

impl Offered for Buffering<'_> {
    #[inline(always)]
    fn take(&mut self, frame: &Frame<'_>) -> Took {
        let Some(arrival) = self.arrivals.get_mut(self.len) else { return Took::Nothing };
        self.clock.see(frame.time_ns);
        if let Some(payload) = self.decoder.decode_plain(frame, &mut arrival.segment) {
            let Payload { bad_checksum, payload_cut } = payload;
            arrival.extra = Extra { bad_checksum, payload_cut, header: Header::Whole };
            self.len += 1;
            return self.after_segment();
        }
        // Copied, so that the frame itself need never be in memory.
        let frame = *frame;
        if take_odd(self.decoder, &frame, arrival) {
            self.len += 1;
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
