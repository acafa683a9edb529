//! Decoding: reads captures one after the other and fills parcels with their segments, for whoever takes them.
//!
//! Must not know: connections, outputs, threads.

#![expect(clippy::inline_always, reason = "what every frame passes through")]

use super::{
    parcel::{Parcel, arrival, note},
    unreadable,
};
use crate::{
    command::{RunError, capture_clock::CaptureClock},
    source::capture::Take as Offered,
    source::capture::{CaptureFile, Decoder, Frame, InTurn, Named, Payload, Took},
    tracker::{Arrival, Extra, Header},
};

/// Reads captures.
pub(super) struct Decoding {
    pub(super) decoder: Decoder,
    /// Those that are still to be read.
    files: InTurn,
    /// The one that is being read.
    current: Option<(Named, CaptureFile)>,
    /// What it reads may have to be waited for: nothing waits meanwhile.
    may_wait: bool,
    clock: CaptureClock,
    /// Time of the first frame of all; 0 before it.
    start_ns: u64,
    /// Latest time of a frame, of files that were read.
    end_ns: u64,
    /// How reading ended.
    ended: Option<Result<(), RunError>>,
}

impl Decoding {
    /// For `files`, the first of which is open; nothing is read yet.
    pub(super) fn new(decoder: Decoder, files: &[Named], first: CaptureFile) -> Self {
        // Also for who undoes a compression.
        let may_wait = first.decompressor().is_some() || files.iter().any(|file| !file.is_file());
        let (files, clock) = (InTurn::new(files, first), CaptureClock::default());
        Self { decoder, files, current: None, may_wait, clock, start_ns: 0, end_ns: 0, ended: None }
    }

    /// Whether reading may have to wait for others.
    pub(super) fn may_wait(&self) -> bool {
        self.may_wait
    }

    /// What was decoded, the times of the first frame and of the latest one, and how it ended: the first capture that could not
    /// be read to its end.
    pub(super) fn finish(self) -> (Decoder, [u64; 2], Result<(), RunError>) {
        (self.decoder, [self.start_ns, self.end_ns], self.ended.unwrap_or(Ok(())))
    }

    /// Fills a parcel, which may stay empty; false when there is nothing after it.
    pub(super) fn fill(&mut self, parcel: &mut Parcel) -> bool {
        parcel.clear();
        if self.ended.is_none()
            && let Some((named, mut capture)) = self.next_capture()
        {
            match self.frames_of(&named, &mut capture, parcel) {
                None => self.current = Some((named, capture)),
                Some(read) => {
                    self.end_ns = self.clock.latest_ns;
                    parcel.notices = self.clock.notices(named.path(), capture.is_evidence());
                    if read.is_err() {
                        self.ended = Some(read);
                    }
                }
            }
        }
        parcel.frames = self.decoder.accounting().frames;
        self.ended.is_none()
    }

    /// The one that is being read, or the next.
    fn next_capture(&mut self) -> Option<(Named, CaptureFile)> {
        if let Some(current) = self.current.take() {
            return Some(current);
        }
        match self.files.next() {
            Some((named, Ok(capture))) => {
                self.clock.begin();
                Some((named, capture))
            }
            Some((named, Err(source))) => {
                self.ended = Some(Err(unreadable(named.path(), source)));
                None
            }
            None => {
                self.ended = Some(Ok(()));
                None
            }
        }
    }

    /// Reads frames until the parcel is full, or more would have to be waited for, or (`Some`) the capture is over.
    fn frames_of(
        &mut self,
        named: &Named,
        capture: &mut CaptureFile,
        parcel: &mut Parcel,
    ) -> Option<Result<(), RunError>> {
        loop {
            if !self.clock.awaits_first() {
                self.frames_in_memory(capture, parcel);
            }
            if parcel.batch.is_full() || self.may_wait && !parcel.batch.is_empty() {
                return None;
            }
            match capture.next_frame() {
                Ok(Some(frame)) => self.frame(&frame, parcel),
                Ok(None) => return Some(Ok(())),
                Err(source) => return Some(Err(unreadable(named.path(), source))),
            }
        }
    }

    /// Takes what need not be waited for, once it is known when the first frame was. A function of its own, so that its
    /// loop has all registers.
    #[inline(never)]
    fn frames_in_memory(&mut self, capture: &mut CaptureFile, parcel: &mut Parcel) {
        loop {
            let Self { decoder, clock, .. } = self;
            let (arrivals, len) = parcel.batch.room();
            let most = arrivals.len();
            let mut buffering = Buffering { decoder, arrivals, len, clock: *clock, other_ns: None };
            capture.offer_in_memory(&mut buffering);
            let Buffering { len, clock: seen, other_ns, .. } = buffering;
            parcel.batch.set_len(len);
            *clock = seen;
            if other_ns.is_none() && len < most && !self.decoder.has_remark() {
                return;
            }
            note(&mut parcel.batch, self.decoder.take_remark(), other_ns);
            if parcel.batch.is_full() {
                return;
            }
        }
    }

    /// The first, or one that had to be waited for; there is room for it.
    fn frame(&mut self, frame: &Frame<'_>, parcel: &mut Parcel) {
        if self.start_ns == 0 {
            self.start_ns = frame.time_ns;
            if self.decoder.accounting().frames == 0 {
                parcel.begin_ns = Some(frame.time_ns);
            }
        }
        if self.clock.awaits_first() {
            self.clock.see_first(frame.time_ns);
        } else {
            self.clock.see(frame.time_ns);
        }
        let (arrivals, len) = parcel.batch.room();
        let is_segment = take_odd(&mut self.decoder, frame, &mut arrivals[len]);
        parcel.batch.set_len(len + usize::from(is_segment));
        note(&mut parcel.batch, self.decoder.take_remark(), (!is_segment).then_some(frame.time_ns));
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
