//! Cost of a function in BPF instructions: their number, the stack it uses, whom it calls.
//!
//! Reads instructions (RFC 9669) one after the other, without following branches. Must not know where they come from.

use crate::elf::Function;

const CALL: u8 = 0x85;
const LOAD_WIDE: u8 = 0x18;
const MOVE_64: u8 = 0xbf;
const ADD_64_IMMEDIATE: u8 = 0x07;
const FRAME: u8 = 10;

/// What one function costs.
#[derive(Debug, PartialEq)]
pub(crate) struct Cost {
    /// Instructions, counted as the kernel does: a 64-bit load is two.
    pub(crate) instructions: u64,
    /// The deepest byte below the frame pointer that is read, written or pointed to.
    pub(crate) stack: u64,
    /// Calls of anything but the kernel's helpers: (instruction, name).
    pub(crate) calls: Vec<(u64, String)>,
}

/// Adds up a function.
pub(crate) fn cost(function: &Function<'_>) -> Cost {
    let mut cost = Cost { instructions: function.code.len() as u64 / 8, stack: 0, calls: Vec::new() };
    let mut pointers = Pointers::default();
    let mut second_half = false;
    for (index, bytes) in function.code.chunks_exact(8).enumerate() {
        if std::mem::take(&mut second_half) {
            continue;
        }
        let Some(instruction) = bytes.first_chunk().copied().map(Instruction::new) else { continue };
        second_half = instruction.code == LOAD_WIDE;
        cost.stack = cost.stack.max(pointers.deepest(&instruction));
        if instruction.code == CALL && instruction.source != 0 {
            cost.calls.push((index as u64, called(function, index as u64, &instruction)));
        }
    }
    cost
}

fn called(function: &Function<'_>, index: u64, call: &Instruction) -> String {
    let relocated = function.relocations.iter().find(|(at, _)| *at == index * 8).map(|(_, name)| name.clone());
    relocated.unwrap_or_else(|| match call.source {
        1 => format!("the function {} instructions on", call.immediate),
        2 => format!("kernel function {}", call.immediate),
        kind => format!("call of kind {kind}"),
    })
}

/// One instruction.
pub(crate) struct Instruction {
    pub(crate) code: u8,
    pub(crate) destination: u8,
    pub(crate) source: u8,
    pub(crate) offset: i16,
    pub(crate) immediate: i32,
}

impl Instruction {
    pub(crate) fn new(bytes: [u8; 8]) -> Self {
        let [code, registers, o0, o1, i0, i1, i2, i3] = bytes;
        let (offset, immediate) = (i16::from_le_bytes([o0, o1]), i32::from_le_bytes([i0, i1, i2, i3]));
        Self { code, destination: registers & 15, source: registers >> 4, offset, immediate }
    }

    /// Its kind: 0 and 1 load, 2 and 3 store, 4 and 7 compute, 5 and 6 jump.
    pub(crate) fn class(&self) -> u8 {
        self.code & 7
    }

    /// The register that holds the address, for loads (class 1) and stores (2 and 3).
    fn address(&self) -> Option<u8> {
        match self.class() {
            1 => Some(self.source),
            2 | 3 => Some(self.destination),
            _ => None,
        }
    }

    /// The register that gets a new value: arithmetic (classes 4 and 7) and loads (0 and 1).
    fn written(&self) -> Option<u8> {
        matches!(self.class(), 0 | 1 | 4 | 7).then_some(self.destination)
    }
}

/// Which registers point into the stack, and how far from its top.
#[derive(Default)]
struct Pointers {
    offsets: [Option<i64>; 16],
}

impl Pointers {
    fn of(&self, register: u8) -> Option<i64> {
        if register == FRAME { Some(0) } else { self.offsets[register as usize & 15] }
    }

    /// How deep this instruction reaches; keeps track of copies of the frame pointer.
    fn deepest(&mut self, instruction: &Instruction) -> u64 {
        let reached = instruction.address().and_then(|r| self.of(r)).map(|base| base + instruction.offset as i64);
        let moved = match instruction.code {
            MOVE_64 if instruction.offset == 0 => self.of(instruction.source),
            ADD_64_IMMEDIATE => self.of(instruction.destination).map(|base| base + instruction.immediate as i64),
            _ => None,
        };
        if let Some(register) = instruction.written() {
            self.offsets[register as usize & 15] = moved;
        }
        if instruction.code == CALL {
            self.offsets[..6].fill(None);
        }
        reached.into_iter().chain(moved).filter(|at| *at < 0).map(i64::unsigned_abs).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &[[u8; 8]], relocations: &[(u64, &str)]) -> Cost {
        let code = code.concat();
        let relocations = relocations.iter().map(|(at, name)| (*at, (*name).to_owned())).collect();
        cost(&Function { name: "f".into(), section: "xdp".into(), code: &code, relocations })
    }

    const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn helpers_are_free_to_call_and_functions_are_not() {
        let helper = [0x85, 0, 0, 0, 1, 0, 0, 0];
        let function = [0x85, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff];
        let near = [0x85, 0x10, 0, 0, 4, 0, 0, 0];
        let cost = of(&[helper, function, near, EXIT], &[(8, "memset")]);
        assert_eq!(cost.instructions, 4);
        assert_eq!(cost.calls, [(1, "memset".to_owned()), (2, "the function 4 instructions on".to_owned())]);
    }

    #[test]
    fn stack_is_the_deepest_store() {
        let store = [0x63, 0x1a, 0xa0, 0xff, 0, 0, 0, 0]; // *(u32 *)(r10 - 0x60) = w1
        let elsewhere = [0x63, 0x12, 0x00, 0xff, 0, 0, 0, 0]; // *(u32 *)(r2 - 0x100) = w1
        assert_eq!(of(&[store, elsewhere, EXIT], &[]).stack, 0x60);
    }

    #[test]
    fn stack_is_followed_through_copies_of_the_frame_pointer() {
        let copy = [0xbf, 0xa2, 0, 0, 0, 0, 0, 0]; // r2 = r10
        let add = [0x07, 0x02, 0, 0, 0xa8, 0xff, 0xff, 0xff]; // r2 += -88
        let store = [0x7b, 0x12, 0xf8, 0xff, 0, 0, 0, 0]; // *(u64 *)(r2 - 8) = r1
        assert_eq!(of(&[copy, add, EXIT], &[]).stack, 88);
        assert_eq!(of(&[copy, add, store, EXIT], &[]).stack, 96);
        let other = [0xb7, 0x02, 0, 0, 0, 0, 0, 0]; // r2 = 0
        assert_eq!(of(&[copy, other, store, EXIT], &[]).stack, 0);
    }

    #[test]
    fn the_second_half_of_a_wide_load_is_data() {
        let wide = [0x18, 0x01, 0, 0, 0, 0, 0, 0];
        let half = [0x85, 0x10, 0, 0, 0, 0, 0, 0];
        let cost = of(&[wide, half, EXIT], &[]);
        assert_eq!((cost.instructions, cost.calls.len()), (3, 0));
    }
}
