//! Benchmark flows: makes many flows of one frame by a counter, scrambled so that each flow comes once per pass and in an
//! order that no prefetcher guesses. Shared by the bench-only kernel program and the benchmark that sets it up.

/// Flags of data segments: PSH and ACK.
pub const DATA_FLAGS: u8 = 0x18;

/// What the next segment is. All fields but `count` and `left` are set by the benchmark.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drive {
    /// Segments made.
    pub count: u64,
    /// Flags by turn, lowest byte first.
    pub flags: u64,
    /// There are `1 << bits` flows.
    pub bits: u32,
    /// Low bits of the count that choose the turn; 0: every pass through all flows is one turn.
    pub turn_bits: u32,
    /// Odd: the order within a pass; 1 is the natural one.
    pub order: u32,
    /// First source address, host order.
    pub first: u32,
    /// Added to the sequence number with every turn.
    pub seq_step: u32,
    /// Every how manieth segment is a control segment; the others are data. 0 is never, 1 is always.
    pub control_every: u32,
    /// Segments until the next control segment.
    pub left: u32,
    /// Where the IPv4 source address lies in the frame.
    pub source_at: u32,
    /// Where the TCP sequence number lies.
    pub seq_at: u32,
    /// Where TCP data offset and flags lie.
    pub flags_at: u32,
    /// Interface that the frame is sent to.
    pub interface: u32,
    /// The byte before the flags, with the data offset: both are written at once, because the processor cannot forward
    /// a store of one byte to the load of two that follows in the measured program, which would then pay for it.
    pub offset: u32,
}

/// What is written into the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Made {
    /// Source address, host order.
    pub source: u32,
    /// Sequence number.
    pub seq: u32,
    /// Flags, unless it is data.
    pub flags: u8,
    /// Not a control segment.
    pub is_data: bool,
}

impl Drive {
    /// The next segment.
    #[inline(always)]
    pub fn make(&mut self) -> Made {
        let count = self.count;
        self.count = count + 1;
        let bits = self.bits & 31;
        let turn_bits = self.turn_bits & 7;
        let (low, high) = (count & ((1 << turn_bits) - 1), count >> turn_bits);
        let pass = (high >> bits) as u32;
        let turn = if turn_bits == 0 { pass } else { low as u32 };
        let flow = flow_at(high as u32, bits, self.order);
        let is_data = self.control_every != 1 && !self.is_due();
        let flags = (self.flags >> ((turn & 7) * 8)) as u8;
        Made { source: self.first.wrapping_add(flow), seq: turn.wrapping_mul(self.seq_step), flags, is_data }
    }

    #[inline(always)]
    fn is_due(&mut self) -> bool {
        if self.control_every == 0 {
            return false;
        }
        if self.left > 1 {
            self.left -= 1;
            return false;
        }
        self.left = self.control_every;
        true
    }
}

/// The flow that comes at `place` of a pass through `1 << bits` flows, in the order that the odd number `order` makes.
#[inline(always)]
#[must_use]
pub fn flow_at(place: u32, bits: u32, order: u32) -> u32 {
    let mask = (1_u32 << (bits & 31)) - 1;
    // Odd factors and shifts to the right are one-to-one within the mask.
    let mut flow = place.wrapping_mul(order) & mask;
    flow ^= flow >> ((bits >> 1) + 1);
    flow.wrapping_mul(order) & mask
}

const _: () = assert!(size_of::<Drive>() == 64);

#[cfg(test)]
mod tests {
    use super::*;

    fn drive(bits: u32, turn_bits: u32, order: u32, control_every: u32) -> Drive {
        Drive {
            count: 0,
            flags: 0x0411_1202,
            bits,
            turn_bits,
            order,
            first: 0x0a00_0000,
            seq_step: 100,
            control_every,
            left: 0,
            source_at: 26,
            seq_at: 38,
            flags_at: 46,
            interface: 0,
            offset: 0x50,
        }
    }

    #[test]
    fn every_pass_has_every_flow_once() {
        for bits in [0, 1, 6, 12] {
            for order in [1, 0x9e37_79b1] {
                let mut drive = drive(bits, 0, order, 1);
                for (turn, flags) in [2, 0x12, 0x11].into_iter().enumerate() {
                    let mut seen = [0_u8; 1 << 12];
                    for _ in 0..1 << bits {
                        let made = drive.make();
                        assert_eq!((made.flags, made.seq, made.is_data), (flags, turn as u32 * 100, false));
                        seen[(made.source - 0x0a00_0000) as usize] += 1;
                    }
                    assert!(seen[..1 << bits].iter().all(|count| *count == 1), "{bits} bits, order {order}");
                }
            }
        }
    }

    #[test]
    fn turns_may_follow_each_other() {
        let mut drive = drive(4, 2, 1, 1);
        let made: [Made; 8] = core::array::from_fn(|_| drive.make());
        assert_eq!(made.map(|made| made.flags), [2, 0x12, 0x11, 4, 2, 0x12, 0x11, 4]);
        assert_eq!(made[3].source, made[0].source);
        assert_ne!(made[4].source, made[0].source);
    }

    #[test]
    fn one_in_so_many_is_a_control_segment() {
        for (every, expected) in [(0, 0), (1, 100), (20, 5)] {
            let mut drive = drive(4, 0, 1, every);
            let control = (0..100).filter(|_| !drive.make().is_data).count();
            assert_eq!(control, expected);
        }
    }
}
