//! AF_XDP receive loop of one queue: receives frames, joins multi-buffer packets, lends them to the caller and returns
//! every frame to the fill ring.
//!
//! Knows a [`Port`] and no socket, so that a test can be the kernel. A frame is in exactly one place: with the kernel,
//! `spare`, or `partial` (the beginning of a packet whose end has not come); [`Queue::missing`] counts what is in none.

use super::{Frame, Port};

/// A packet as it was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received<'a> {
    /// What is in its first buffer: all of it, or its headers and more.
    pub bytes: &'a [u8],
    /// Its length, all buffers together.
    pub wire_len: usize,
    /// When the program saw it (`CLOCK_MONOTONIC`, nanoseconds); `None` when the driver has no room for the stamp.
    pub stamp_ns: Option<u64>,
}

/// One queue and the frames that are in our hands.
#[derive(Debug)]
pub struct Queue<P> {
    port: P,
    frames: usize,
    spare: Vec<Frame>,
    partial: Vec<Frame>,
    batch: Vec<Frame>,
}

impl<P: Port> Queue<P> {
    /// A queue whose frames are all in `spare`, and gives the kernel as many as it takes.
    pub fn new(port: P, spare: Vec<Frame>) -> Self {
        let frames = spare.len();
        let mut queue = Self { port, frames, spare, partial: Vec::new(), batch: Vec::new() };
        queue.port.give(&mut queue.spare);
        queue
    }

    /// Hands over up to `most` buffers' worth of packets, in their order; returns how many buffers came.
    pub fn receive(&mut self, most: usize, mut take: impl FnMut(Received<'_>)) -> usize {
        let Self { port, spare, partial, batch, .. } = self;
        port.receive(batch, most);
        let came = batch.len();
        for frame in batch.drain(..) {
            let is_last = !frame.goes_on;
            partial.push(frame);
            if is_last {
                if let Some(first) = partial.first() {
                    let wire_len = partial.iter().map(|frame| frame.len).sum();
                    take(Received { bytes: port.bytes(first), wire_len, stamp_ns: first.stamp_ns });
                }
                spare.append(partial);
            }
        }
        port.give(spare);
        came
    }

    /// Frames that are in no place: 0 unless there is a bug.
    pub fn missing(&self) -> usize {
        self.frames.abs_diff(self.port.with_kernel() + self.spare.len() + self.partial.len() + self.batch.len())
    }

    /// The port.
    pub fn port(&self) -> &P {
        &self.port
    }

    /// The port, to wake it.
    pub fn port_mut(&mut self) -> &mut P {
        &mut self.port
    }
}
