//! UMEM and the two rings of one queue, and the account of which chunk is whose.
//!
//! A chunk is with the kernel (in the fill ring, being filled, or in the receive ring) or there is one [`Frame`] of it.
//! `with_kernel` has one entry per chunk, and every step of a chunk from one side to the other changes it: a descriptor of a
//! chunk that is not with the kernel makes no frame, and is counted.

use super::{
    kernel::{Frame, Memory},
    ring::Ring,
};

/// Memory and rings of one queue.
#[derive(Debug)]
pub(super) struct Channel {
    umem: Memory,
    chunk_len: usize,
    fill: Ring<1>,
    receive: Ring<2>,
    /// Per chunk; the number of those set is `kernels`.
    with_kernel: Vec<bool>,
    kernels: usize,
    /// Descriptors that make no sense.
    invalid: u64,
}

impl Channel {
    /// A channel of which every chunk is in our hands: they are appended to `frames`.
    pub(super) fn new(
        umem: Memory,
        chunk_len: usize,
        fill: Ring<1>,
        receive: Ring<2>,
        frames: &mut Vec<Frame>,
    ) -> Self {
        assert!(chunk_len.is_power_of_two());
        let chunks = umem.len() / chunk_len;
        let ours = |chunk: usize| Frame { chunk: chunk as u32, at: 0, len: 0, goes_on: false, stamp_ns: None };
        frames.extend((0..chunks).map(ours));
        Self { umem, chunk_len, fill, receive, with_kernel: vec![false; chunks], kernels: 0, invalid: 0 }
    }

    /// See [`super::Port::receive`].
    pub(super) fn receive(&mut self, into: &mut Vec<Frame>, most: usize) {
        let waiting = self.receive.waiting().min(u32::try_from(most).unwrap_or(u32::MAX));
        for _ in 0..waiting {
            let [address, len_and_options] = self.receive.take();
            // struct xdp_desc: addr, len, options.
            let words = len_and_options.to_ne_bytes();
            let half = |at: usize| u32::from_ne_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
            match self.frame(address, half(0), half(4)) {
                Some(frame) => into.push(frame),
                None => self.invalid += 1,
            }
        }
        if waiting > 0 {
            self.receive.release();
        }
    }

    fn frame(&mut self, address: u64, len: u32, options: u32) -> Option<Frame> {
        let (at, len) = (usize::try_from(address).ok()?, len as usize);
        let chunk = at / self.chunk_len;
        let chunk_at = chunk * self.chunk_len;
        let is_kernels = self.with_kernel.get_mut(chunk).filter(|is_kernels| **is_kernels)?;
        if at + len > chunk_at + self.chunk_len {
            return None;
        }
        *is_kernels = false;
        self.kernels -= 1;
        let stamp_ns = self.umem.take_stamp(at, chunk_at);
        Some(Frame { chunk: chunk as u32, at, len, goes_on: options & libc::XDP_PKT_CONTD != 0, stamp_ns })
    }

    /// See [`super::Port::bytes`].
    pub(super) fn bytes<'a>(&'a self, frame: &'a Frame) -> &'a [u8] {
        self.umem.lend(frame)
    }

    /// See [`super::Port::give`].
    pub(super) fn give(&mut self, frames: &mut Vec<Frame>) {
        let free = (self.fill.free() as usize).min(frames.len());
        if free == 0 {
            return;
        }
        for frame in frames.drain(frames.len() - free..) {
            let chunk = frame.chunk as usize;
            debug_assert!(!self.with_kernel[chunk], "chunk {chunk} is given twice");
            self.with_kernel[chunk] = true;
            self.kernels += 1;
            self.fill.write([(chunk * self.chunk_len) as u64]);
        }
        self.fill.publish();
    }

    /// Chunks with the kernel.
    pub(super) fn with_kernel(&self) -> usize {
        debug_assert_eq!(self.kernels, self.with_kernel.iter().filter(|is_kernels| **is_kernels).count());
        self.kernels
    }

    /// True when the kernel asks to be woken once there are frames to fill.
    pub(super) fn needs_wakeup(&self) -> bool {
        self.fill.needs_wakeup()
    }

    /// UMEM, to play the kernel's part.
    #[cfg(test)]
    pub(super) fn memory(&self) -> &Memory {
        &self.umem
    }

    /// Descriptors that told of no chunk of the kernel's.
    pub(super) fn invalid(&self) -> u64 {
        self.invalid
    }
}

/// Rings and memory as a socket has them, over ordinary memory: for whoever plays the kernel's part.
#[cfg(test)]
pub(super) mod ordinary {
    use super::super::ring::Layout;
    use std::sync::Arc;

    use super::{Memory, Ring};

    const LAYOUT: Layout = Layout { producer: 0, consumer: 64, flags: 128, entries: 192 };

    /// Both ends of a ring of `size` entries: ours and the kernel's, ours producing or consuming.
    pub(in super::super) fn ring<const WORDS: usize>(size: u32, we_produce: bool, begin: u32) -> [Ring<WORDS>; 2] {
        let memory = Arc::new(Memory::anonymous(192 + size as usize * 8 * WORDS).expect("memory"));
        for counter in [LAYOUT.producer, LAYOUT.consumer] {
            memory.word32(counter).store(begin, std::sync::atomic::Ordering::Relaxed);
        }
        let producing = Ring::producing(Arc::clone(&memory), LAYOUT, size);
        let consuming = Ring::consuming(memory, LAYOUT, size);
        if we_produce { [producing, consuming] } else { [consuming, producing] }
    }
}
