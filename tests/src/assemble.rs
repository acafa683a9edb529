//! BPF programs of a few instructions: XDP programs that make frames ([`maker`]), and a filter ([`drop_sources`]).

/// One instruction as the kernel reads it (include/uapi/linux/bpf.h).
pub type Instruction = [u8; 8];

pub(crate) const R0: u8 = 0;
pub(crate) const R1: u8 = 1;
/// In the body of a [`maker`]: the frame.
pub(crate) const R2: u8 = 2;
pub(crate) const R3: u8 = 3;
pub(crate) const R4: u8 = 4;
/// In the body of a [`maker`]: the number of this run.
pub(crate) const R5: u8 = 5;
pub(crate) const R6: u8 = 6;
pub(crate) const R7: u8 = 7;

const REDIRECT: i32 = 23;
const XDP_ABORTED: i32 = 0;
const XDP_PASS: i32 = 2;
const TCX_PASS: i32 = 0;
const TCX_DROP: i32 = 2;
const ETHERTYPE_AT: i32 = 12;
const IPV4: i32 = 0x0800;

/// Where fields lie in an Ethernet frame with IPv4 without options: the source address,
pub(crate) const SOURCE_ADDRESS_AT: i16 = 14 + 12;
/// the source port,
pub(crate) const SOURCE_PORT_AT: i16 = 14 + 20;
/// the sequence number,
pub(crate) const SEQUENCE_AT: i16 = 14 + 20 + 4;
/// and the TCP flags.
pub(crate) const FLAGS_AT: i16 = 14 + 20 + 13;
const HEADERS: i32 = 14 + 20 + 20;
/// Flags of SYN, SYN-ACK, FIN, RST, lowest byte first.
const FLAGS: i32 = 0x0411_1202;

/// Operation, registers, offset, immediate value.
pub(crate) fn op(code: u8, to: u8, from: u8, offset: i16, value: i32) -> Instruction {
    let ([o0, o1], [v0, v1, v2, v3]) = (offset.to_le_bytes(), value.to_le_bytes());
    [code, to | from << 4, o0, o1, v0, v1, v2, v3]
}

pub(crate) fn copy(to: u8, from: u8) -> Instruction {
    op(0xbf, to, from, 0, 0)
}

pub(crate) fn set(to: u8, value: i32) -> Instruction {
    op(0xb7, to, 0, 0, value)
}

pub(crate) fn add(to: u8, value: i32) -> Instruction {
    op(0x07, to, 0, 0, value)
}

pub(crate) fn multiply(to: u8, value: i32) -> Instruction {
    op(0x27, to, 0, 0, value)
}

pub(crate) fn divide(to: u8, value: i32) -> Instruction {
    op(0x37, to, 0, 0, value)
}

pub(crate) fn remainder(to: u8, value: i32) -> Instruction {
    op(0x97, to, 0, 0, value)
}

pub(crate) fn and(to: u8, value: i32) -> Instruction {
    op(0x57, to, 0, 0, value)
}

pub(crate) fn shift_right(to: u8, value: i32) -> Instruction {
    op(0x77, to, 0, 0, value)
}

pub(crate) fn to_network_order_32(to: u8) -> Instruction {
    op(0xdc, to, 0, 0, 32)
}

pub(crate) fn load_u64(to: u8, from: u8, offset: i16) -> Instruction {
    op(0x79, to, from, offset, 0)
}

pub(crate) fn store_u8(to: u8, offset: i16, from: u8) -> Instruction {
    op(0x73, to, from, offset, 0)
}

pub(crate) fn store_u16(to: u8, offset: i16, from: u8) -> Instruction {
    op(0x6b, to, from, offset, 0)
}

pub(crate) fn store_u32(to: u8, offset: i16, from: u8) -> Instruction {
    op(0x63, to, from, offset, 0)
}

pub(crate) fn store_u64(to: u8, offset: i16, from: u8) -> Instruction {
    op(0x7b, to, from, offset, 0)
}

pub(crate) fn skip_unless_zero(of: u8, instructions: usize) -> Instruction {
    skip_unless_equal(of, 0, instructions)
}

fn load_u32(to: u8, from: u8, offset: i16) -> Instruction {
    op(0x61, to, from, offset, 0)
}

fn shift_left(to: u8, value: i32) -> Instruction {
    op(0x67, to, 0, 0, value)
}

fn shift_right_by(to: u8, from: u8) -> Instruction {
    op(0x7f, to, from, 0, 0)
}

fn skip_unless_equal(of: u8, value: i32, instructions: usize) -> Instruction {
    op(0x55, of, 0, jump(instructions), value)
}

fn skip_if_greater(left: u8, right: u8, instructions: usize) -> Instruction {
    op(0x2d, left, right, jump(instructions), 0)
}

fn jump(instructions: usize) -> i16 {
    i16::try_from(instructions).expect("a short program")
}

/// R0 is what the frame has at `offset`, in host order; needs its context in R6, and ends the program with 0 where the frame
/// is shorter.
fn look_at_u16(offset: i32) -> Instruction {
    op(0x28, 0, 0, 0, offset)
}

fn look_at_u32(offset: i32) -> Instruction {
    op(0x20, 0, 0, 0, offset)
}

fn call(helper: i32) -> Instruction {
    op(0x85, 0, 0, 0, helper)
}

fn exit() -> Instruction {
    op(0x95, 0, 0, 0, 0)
}

/// The address of an array's first value: one instruction of two.
fn value_of(to: u8, map: i32) -> [Instruction; 2] {
    [op(0x18, to, 2, 0, map), op(0, 0, 0, 0, 0)]
}

/// Gives the frame the source address in R0, which is in host order.
pub(crate) fn write_source_address() -> [Instruction; 2] {
    [to_network_order_32(R0), store_u32(R2, SOURCE_ADDRESS_AT, R0)]
}

/// Gives the frame the flags of SYN, SYN-ACK, FIN or RST, as the low two bits of R5 say, which are all that is left of it.
pub(crate) fn write_control_flags() -> [Instruction; 5] {
    [and(R5, 3), shift_left(R5, 3), set(R0, FLAGS), shift_right_by(R0, R5), store_u8(R2, FLAGS_AT, R0)]
}

/// An XDP program that counts its runs in the first value of the map `counter`, has `body` write into the frame (R2), by
/// the number of the run (R5), and redirects it into `interface`. A frame that has no room for headers is aborted.
pub(crate) fn maker(counter: i32, interface: i32, body: &[Instruction]) -> Vec<Instruction> {
    let [counter_low, counter_high] = value_of(R7, counter);
    let count = [load_u64(R5, R7, 0), copy(R0, R5), add(R0, 1), store_u64(R7, 0, R0)];
    let away = [set(R1, interface), set(R2, 0), call(REDIRECT), exit()];
    let head = [
        copy(R6, R1),
        set(R0, XDP_ABORTED),
        counter_low,
        counter_high,
        load_u32(R2, R6, 0),
        load_u32(R3, R6, 4),
        copy(R4, R2),
        add(R4, HEADERS),
        // To the exit of its own: the frame is too short.
        skip_if_greater(R4, R3, count.len() + body.len() + away.len()),
    ];
    [&head[..], &count, body, &away, &[exit()]].concat()
}

/// An XDP program that lets everything pass.
pub fn pass() -> Vec<Instruction> {
    vec![set(R0, XDP_PASS), exit()]
}

/// A tcx program that drops IPv4 packets whose source address begins as `first` does, but for the last `bits`.
pub(crate) fn drop_sources(first: u32, bits: u32) -> Vec<Instruction> {
    let same = (first >> bits).cast_signed();
    vec![
        copy(R6, R1),
        look_at_u16(ETHERTYPE_AT),
        skip_unless_equal(R0, IPV4, 5),
        look_at_u32(i32::from(SOURCE_ADDRESS_AT)),
        shift_right(R0, bits.cast_signed()),
        skip_unless_equal(R0, same, 2),
        set(R0, TCX_DROP),
        exit(),
        set(R0, TCX_PASS),
        exit(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_encoded_as_the_kernel_reads_them() {
        assert_eq!(load_u32(R2, R6, 4), [0x61, 0x62, 4, 0, 0, 0, 0, 0]);
        assert_eq!(add(R4, 54), [0x07, 4, 0, 0, 54, 0, 0, 0]);
        assert_eq!(skip_if_greater(R4, R3, 258), [0x2d, 0x34, 2, 1, 0, 0, 0, 0]);
    }

    /// The instruction that a jump at `at` goes to.
    fn target(program: &[Instruction], at: usize) -> usize {
        at + 1 + usize::from(program[at][2])
    }

    #[test]
    fn the_short_frame_leaves_through_the_last_exit() {
        let program = maker(3, 4, &write_control_flags());
        let jump = program.iter().position(|instruction| instruction[0] == 0x2d).unwrap();
        assert_eq!(target(&program, jump), program.len() - 1);
    }

    #[test]
    fn what_is_not_dropped_goes_on() {
        let program = drop_sources(0x0a80_0000, 22);
        let jumps = program.iter().enumerate().filter(|(_, instruction)| instruction[0] == 0x55);
        for (jump, _) in jumps {
            assert_eq!(target(&program, jump), program.len() - 2);
        }
    }
}
