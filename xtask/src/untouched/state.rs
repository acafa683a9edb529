//! State of a function before one of its instructions: its registers and its stack.

use std::collections::BTreeMap;

use super::value::{NUMBER, STACK, Value};

pub(super) const REGISTERS: usize = 11;
pub(super) const FRAME: usize = 10;
/// Bytes that a pointer takes.
const SLOT: i64 = 8;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct State {
    pub(super) registers: [Value; REGISTERS],
    /// What was written to the stack, by the offset of eight bytes; nothing was where there is no entry.
    slots: BTreeMap<i64, Value>,
}

impl State {
    /// At the beginning of a function with these arguments.
    pub(super) fn begin(arguments: &[Value; 5]) -> Self {
        let mut registers: [Value; REGISTERS] = Default::default();
        registers[1..=5].clone_from_slice(arguments);
        registers[FRAME] = Value::pointer(STACK);
        Self { registers, slots: BTreeMap::new() }
    }

    /// Adds what may be as well; true when that is more.
    pub(super) fn join(&mut self, other: &Self) -> bool {
        let mut is_more = false;
        for (own, other) in self.registers.iter_mut().zip(&other.registers) {
            is_more |= own.join(other);
        }
        for (at, value) in &other.slots {
            is_more |= self.slots.entry(*at).or_default().join(value);
        }
        is_more
    }

    /// What is read from the stack.
    pub(super) fn read(&self, at: Option<i64>, size: i64) -> Value {
        match at {
            Some(at) if at % SLOT == 0 && size == SLOT => {
                self.slots.get(&at).cloned().unwrap_or_else(|| Value::any(NUMBER))
            }
            // Part of a pointer is none.
            Some(_) => Value::any(NUMBER),
            None => self.slots.values().fold(Value::any(NUMBER), |all, slot| all.or(slot)),
        }
    }

    /// What is written to the stack; where that may be elsewhere, too, what was there may still be.
    pub(super) fn write(&mut self, at: Option<i64>, size: i64, value: &Value, is_sure: bool) {
        match at {
            Some(at) if at % SLOT == 0 && size == SLOT && is_sure => drop(self.slots.insert(at, value.clone())),
            Some(at) => {
                for slot in at.div_euclid(SLOT)..=(at + size - 1).div_euclid(SLOT) {
                    let own = self.slots.entry(slot * SLOT).or_default();
                    *own = own.or(value);
                }
            }
            None => self.spoil(value),
        }
    }

    /// Every slot may hold this as well.
    pub(super) fn spoil(&mut self, value: &Value) {
        for slot in self.slots.values_mut() {
            *slot = slot.or(value);
        }
    }

    /// Kinds of what lies in the stack.
    pub(super) fn kinds(&self) -> u8 {
        self.slots.values().fold(0, |kinds, slot| kinds | slot.kinds)
    }
}
