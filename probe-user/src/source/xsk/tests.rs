//! The frame loop over ordinary memory, with a kernel that takes, fills and delivers as it likes.

use std::{collections::VecDeque, io};

use probe_ebpf::xsk_redirect::{STAMP_LEN, STAMP_MAGIC};
use proptest::prelude::*;

use super::{
    Frame, Port, Statistics,
    channel::{Channel, ordinary},
    kernel::Memory,
    queue::Queue,
    ring::Ring,
};

const CHUNK: usize = 2048;
const HEADROOM: usize = 256;

/// A queue without a socket.
struct Ordinary {
    channel: Channel,
}

impl Port for Ordinary {
    fn receive(&mut self, into: &mut Vec<Frame>, most: usize) {
        self.channel.receive(into, most);
    }

    fn bytes<'a>(&'a self, frame: &'a Frame) -> &'a [u8] {
        self.channel.bytes(frame)
    }

    fn give(&mut self, frames: &mut Vec<Frame>) {
        self.channel.give(frames);
    }

    fn with_kernel(&self) -> usize {
        self.channel.with_kernel()
    }

    fn wake(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn statistics(&self) -> io::Result<Statistics> {
        Ok(Statistics::default())
    }
}

/// Where a chunk is, as the kernel sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    /// In the fill ring, or in the hands of the loop: the kernel cannot tell.
    Yours,
    /// Taken from the fill ring and not yet delivered.
    Mine,
    /// In the receive ring.
    Delivered,
}

/// The other end of both rings.
struct Kernel {
    fill: Ring<1>,
    receive: Ring<2>,
    mine: Vec<usize>,
    whose: Vec<Whose>,
    delivered: VecDeque<usize>,
}

impl Kernel {
    fn take(&mut self, most: usize) {
        for _ in 0..most.min(self.fill.waiting() as usize) {
            let [address] = self.fill.take();
            let chunk = address as usize / CHUNK;
            assert_eq!(self.whose[chunk], Whose::Yours, "chunk {chunk} was given twice");
            self.whose[chunk] = Whose::Mine;
            self.mine.push(chunk);
        }
        self.fill.release();
    }

    /// Delivers a packet in as many chunks as are named, if there are as many and the ring has room.
    fn deliver(&mut self, memory: &Memory, number: u64, chunks: usize, stamped: bool) -> bool {
        if self.mine.len() < chunks || (self.receive.free() as usize) < chunks {
            return false;
        }
        for part in 0..chunks {
            let chunk = self.mine.swap_remove(number as usize % self.mine.len());
            let at = chunk * CHUNK + HEADROOM;
            if part == 0 && stamped {
                memory.fill(at - STAMP_LEN, &STAMP_MAGIC.to_ne_bytes());
                memory.fill(at - STAMP_LEN / 2, &number.to_ne_bytes());
            }
            memory.fill(at, &number.to_ne_bytes());
            self.describe(at as u64, 8, part + 1 < chunks);
            self.whose[chunk] = Whose::Delivered;
            self.delivered.push_back(chunk);
        }
        self.receive.publish();
        true
    }

    fn describe(&mut self, address: u64, len: u32, goes_on: bool) {
        let [l0, l1, l2, l3] = len.to_ne_bytes();
        let [o0, o1, o2, o3] = u32::from(goes_on).to_ne_bytes();
        self.receive.write([address, u64::from_ne_bytes([l0, l1, l2, l3, o0, o1, o2, o3])]);
    }

    /// The loop has taken so many descriptors.
    fn collected(&mut self, buffers: usize) {
        for _ in 0..buffers {
            let chunk = self.delivered.pop_front().expect("no more are taken than were delivered");
            self.whose[chunk] = Whose::Yours;
        }
    }
}

/// A queue of `frames` chunks and rings of `ring` entries, and its kernel. The counters are about to wrap.
fn build(frames: usize, ring: u32) -> (Queue<Ordinary>, Kernel) {
    let begin = u32::MAX - 20;
    let [our_fill, fill] = ordinary::ring(ring, true, begin);
    let [our_receive, receive] = ordinary::ring(ring, false, begin);
    let umem = Memory::anonymous(frames * CHUNK).expect("memory");
    let mut spare = vec![];
    let channel = Channel::new(umem, CHUNK, our_fill, our_receive, &mut spare);
    let (mine, delivered) = (vec![], VecDeque::new());
    (
        Queue::new(Ordinary { channel }, spare),
        Kernel { fill, receive, mine, whose: vec![Whose::Yours; frames], delivered },
    )
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Take(usize),
    Deliver { chunks: usize, stamped: bool },
    Receive(usize),
    Nonsense(u64, u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_usize..20).prop_map(Step::Take),
        6 => (1_usize..4, any::<bool>()).prop_map(|(chunks, stamped)| Step::Deliver { chunks, stamped }),
        3 => (0_usize..12).prop_map(Step::Receive),
    ]
}

/// What the loop hands over, and what is to come: number, length, stamp.
type Packet = (u64, usize, Option<u64>);

/// Plays the steps; checks after each that no frame is lost or doubled, and that packets come once and in order.
fn play(frames: usize, ring: u32, steps: &[Step]) -> Queue<Ordinary> {
    let (mut queue, mut kernel) = build(frames, ring);
    let mut expected: VecDeque<Packet> = VecDeque::new();
    let mut number = 0;
    for step in steps {
        match *step {
            Step::Take(most) => kernel.take(most),
            Step::Deliver { chunks, stamped } => {
                number += 1;
                if kernel.deliver(queue.port().channel.memory(), number, chunks, stamped) {
                    expected.push_back((number, 8 * chunks, stamped.then_some(number)));
                }
            }
            Step::Receive(most) => {
                let came = queue.receive(most, |packet| {
                    let number = u64::from_ne_bytes(packet.bytes.try_into().expect("eight bytes"));
                    let (first, rest) = (expected.pop_front(), expected.len());
                    assert_eq!(first, Some((number, packet.wire_len, packet.stamp_ns)), "{rest} more to come");
                });
                kernel.collected(came);
            }
            Step::Nonsense(address, len) => {
                kernel.describe(address, len, false);
                kernel.receive.publish();
            }
        }
        assert_eq!(queue.missing(), 0, "after {step:?}");
        let kernels = kernel.mine.len() + kernel.delivered.len() + kernel.fill.waiting() as usize;
        assert_eq!(queue.port().with_kernel(), kernels, "after {step:?}");
    }
    queue
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_frame_is_lost_and_no_packet_is_doubled(
        frames in 1_usize..40, ring in 0_u32..6, steps in prop::collection::vec(any_step(), 1..200)
    ) {
        play(frames, 1 << ring, &steps);
    }

    #[test]
    fn a_descriptor_of_a_chunk_that_is_ours_makes_no_frame(address in any::<u64>(), len in any::<u32>()) {
        // The kernel has taken nothing yet, but all chunks are in the fill ring: within UMEM and within one chunk is right.
        let queue = play(8, 8, &[Step::Nonsense(address, len), Step::Receive(0)]);
        prop_assert_eq!(queue.missing(), 0);
        let (mut queue, mut kernel) = build(8, 4);
        // Chunks 0 to 3 found no room in the fill ring: they are ours.
        kernel.describe(address % (4 * CHUNK as u64), len, false);
        kernel.receive.publish();
        let mut packets = 0;
        prop_assert_eq!(queue.receive(10, |_| packets += 1), 0);
        prop_assert_eq!((packets, queue.port().channel.invalid(), queue.missing()), (0, 1, 0));
    }
}

#[test]
fn a_frame_without_a_stamp_does_not_borrow_the_last_one() {
    let steps = [
        Step::Take(1),
        Step::Deliver { chunks: 1, stamped: true },
        Step::Receive(1),
        Step::Take(1),
        Step::Deliver { chunks: 1, stamped: false },
        Step::Receive(1),
    ];
    play(1, 1, &steps);
}

#[test]
fn a_packet_whose_end_has_not_come_is_kept() {
    let (mut queue, mut kernel) = build(4, 4);
    kernel.take(4);
    assert!(kernel.deliver(queue.port().channel.memory(), 7, 3, true));
    assert_eq!(queue.receive(2, |_| panic!("it is not whole")), 2);
    assert_eq!(queue.missing(), 0);
    let mut lengths = vec![];
    assert_eq!(queue.receive(2, |packet| lengths.push(packet.wire_len)), 1);
    assert_eq!((lengths, queue.missing()), (vec![24], 0));
}
