//! One function, instruction by instruction: what each does to what registers and stack may hold.

use std::collections::BTreeSet;

use super::{
    ACTION, Kind, Program,
    helpers::{self, Effect},
    state::State,
    value::{CALLERS, CONTEXT, MEMORY, METADATA, NUMBER, Origin, PACKET, STACK, Value},
};
use crate::{bpf::Instruction, elf::Function};

const LOAD_WIDE: u8 = 0x18;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const CALL_REGISTER: u8 = 0x8d;
/// Kinds of call: a helper of the kernel, and a function of the object.
const HELPER: u8 = 0;
const FUNCTION: u8 = 1;
const ATOMIC: u8 = 0xc0;
/// Atomic operations that also return what was there; that which compares returns it in register 0.
const FETCH: i32 = 1;
const COMPARE_EXCHANGE: i32 = 0xf1;
/// Add, or, and, exclusive or, each with and without what was there; exchange; compare and exchange.
const ATOMIC_OPERATIONS: [i32; 10] = [0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, COMPARE_EXCHANGE];

/// Offsets of the packet's beginning and end in the context of XDP, and of classifiers; and of its metadata.
const XDP_DATA: [i64; 2] = [0, 4];
const XDP_METADATA: i64 = 8;
const CLASSIFIER_DATA: [i64; 2] = [76, 80];
const CLASSIFIER_METADATA: i64 = 140;

/// What an instruction leads to.
enum Next {
    /// These instructions.
    To(Vec<usize>),
    /// The end of the function.
    End,
}

impl<'a> Program<'a> {
    /// What may be before each instruction of a function, over all paths, with the arguments that are known so far; nothing
    /// where no path leads.
    pub(super) fn states(&mut self, name: &str) -> Vec<Option<State>> {
        let (Some(function), Some(arguments)) = (self.functions.get(name).copied(), self.arguments.get(name)) else {
            return Vec::new();
        };
        let mut states: Vec<Option<State>> = vec![None; function.code.len() / 8];
        // From the first on: what leads to an instruction comes before it, but for loops.
        let mut waiting = BTreeSet::from([0]);
        if let Some(first) = states.first_mut() {
            *first = Some(State::begin(arguments));
        }
        while let Some(at) = waiting.pop_first() {
            let Some(mut state) = states.get(at).cloned().flatten() else { continue };
            let Next::To(all) = self.step(function, at, &mut state) else { continue };
            for next in all {
                let is_more = match states.get_mut(next) {
                    Some(Some(known)) => known.join(&state),
                    Some(unknown) => unknown.replace(state.clone()).is_none(),
                    None => false,
                };
                if is_more {
                    waiting.insert(next);
                }
            }
        }
        states
    }

    /// Tells what the instructions of a function may do, each with all that may be before it.
    pub(super) fn look(&mut self, name: &str, states: Vec<Option<State>>) {
        let Some(function) = self.functions.get(name).copied() else { return };
        let count = states.len();
        for (at, state) in states.into_iter().enumerate() {
            let Some(mut state) = state else { continue };
            if let Next::To(all) = self.step(function, at, &mut state)
                && all.iter().any(|next| *next >= count)
            {
                self.find(name, at, "leads out of its function");
            }
        }
    }

    fn step(&mut self, function: &'a Function<'a>, at: usize, state: &mut State) -> Next {
        let Some(instruction) = instruction(function, at) else { return Next::End };
        match instruction.class() {
            0 => return Self::load_constant(function, at, &instruction, state),
            1 => {
                if self.is_telling && register(state, instruction.source).kinds == PACKET {
                    self.loads.insert((&function.name, at));
                }
                self.load(&instruction, state);
            }
            2 | 3 => self.store(function, at, &instruction, state),
            4 | 7 => arithmetic(&instruction, state),
            _ => return self.jump(function, at, &instruction, state),
        }
        Next::To(vec![at + 1])
    }

    fn load_constant(function: &Function<'_>, at: usize, one: &Instruction, state: &mut State) -> Next {
        if one.code != LOAD_WIDE {
            // Of the packet, by the instructions that classic BPF had.
            state.registers[0] = Value::any(NUMBER);
            return Next::To(vec![at + 1]);
        }
        let high = instruction(function, at + 1).map_or(0, |next| next.immediate);
        let value = match relocation(function, at) {
            Some(symbol) => Value { symbol: Some(symbol.into()), ..Value::pointer(MEMORY) },
            None if one.source != 0 => Value::pointer(MEMORY),
            None => Value::constant(i64::from(high) << 32 | i64::from(one.immediate.cast_unsigned())),
        };
        put(state, one.destination, value);
        Next::To(vec![at + 2])
    }

    fn load(&self, one: &Instruction, state: &mut State) {
        let base = register(state, one.source);
        let at = base.offset.map(|offset| offset + i64::from(one.offset));
        let mut value = Value::default();
        if base.has(CONTEXT) {
            value = value.or(&self.of_context(at));
        }
        if base.has(STACK) {
            value = value.or(&state.read(at, size(one)));
        }
        if base.has(CALLERS) {
            value = value.or(&Value::any(self.shared | NUMBER));
        }
        if base.has(NUMBER | PACKET | METADATA | MEMORY) || base.kinds == 0 {
            let global = base.symbol.filter(|_| at == Some(0));
            value = value.or(&global.map_or_else(|| Value::any(NUMBER), |name| Value::from(Origin::Global(name))));
        }
        put(state, one.destination, value);
    }

    /// What lies in the context.
    fn of_context(&self, at: Option<i64>) -> Value {
        let (data, metadata) = match self.kind {
            Kind::Xdp => (XDP_DATA, XDP_METADATA),
            Kind::Classifier => (CLASSIFIER_DATA, CLASSIFIER_METADATA),
            Kind::Tracepoint => return Value::any(NUMBER),
        };
        match at {
            Some(at) if data.contains(&at) => Value::pointer(PACKET),
            Some(at) if at == metadata => Value::pointer(METADATA),
            Some(_) => Value::any(NUMBER),
            None => Value::any(NUMBER | PACKET | METADATA),
        }
    }

    fn store(&mut self, function: &'a Function<'a>, at: usize, one: &Instruction, state: &mut State) {
        self.stores.insert((&function.name, at));
        let base = register(state, one.destination);
        self.may_write(&function.name, at, &base);
        let place = base.offset.map(|offset| offset + i64::from(one.offset));
        let value = if one.class() == 2 { Value::any(NUMBER) } else { register(state, one.source) };
        let is_atomic = one.class() == 3 && one.code & 0xe0 == ATOMIC;
        if is_atomic && !ATOMIC_OPERATIONS.contains(&one.immediate) {
            self.find(&function.name, at, "does what is not known to memory");
        }
        if is_atomic && one.immediate & FETCH != 0 {
            let was = if base.has(STACK) { state.read(place, size(one)) } else { Value::any(NUMBER) };
            let to = if one.immediate == COMPARE_EXCHANGE { 0 } else { one.source };
            put(state, to, was);
        }
        if base.has(STACK) {
            state.write(place, size(one), &value, base.kinds == STACK && !is_atomic);
        }
        if base.has(CALLERS) {
            self.escaped |= value.kinds;
            self.shared |= value.kinds;
        }
    }

    /// Whether it is right to write through `base`.
    fn may_write(&mut self, function: &str, at: usize, base: &Value) {
        let finding = if base.has(PACKET) {
            "may write to the packet"
        } else if base.has(CONTEXT) {
            "may write to the context"
        } else if base.has(METADATA) && !self.redirects() {
            "may write to the metadata of the packet"
        } else if !base.has(STACK | CALLERS | MEMORY | METADATA) {
            "writes to what is not known"
        } else {
            return;
        };
        self.find(function, at, finding);
    }

    fn jump(&mut self, function: &'a Function<'a>, at: usize, one: &Instruction, state: &mut State) -> Next {
        let target = |by: i64| (at + 1).checked_add_signed(by as isize).unwrap_or(usize::MAX);
        match one.code {
            EXIT => {
                self.end(function, at, &register(state, 0));
                Next::End
            }
            CALL => {
                self.call_at(function, at, one, state);
                Next::To(vec![at + 1])
            }
            CALL_REGISTER => {
                self.find(&function.name, at, "calls what is not known");
                Next::End
            }
            0x05 => Next::To(vec![target(i64::from(one.offset))]),
            0x06 => Next::To(vec![target(i64::from(one.immediate))]),
            _ => Next::To(vec![at + 1, target(i64::from(one.offset))]),
        }
    }

    fn call_at(&mut self, function: &'a Function<'a>, at: usize, one: &Instruction, state: &mut State) {
        let given: Vec<Value> = state.registers[1..=5].to_vec();
        let returned = match one.source {
            HELPER => self.call_helper(&function.name, at, one.immediate, &given),
            FUNCTION => {
                if given.iter().any(|value| value.has(STACK)) {
                    self.shared |= state.kinds();
                }
                let name = relocation(function, at).unwrap_or_default();
                let returned = self.call(name, &given);
                if returned.is_none() {
                    self.find(&function.name, at, "calls a function that is not in the object");
                }
                if given.iter().any(|value| value.has(STACK)) && self.escaped != 0 {
                    state.spoil(&Value::any(self.escaped));
                }
                returned.unwrap_or_default()
            }
            _ => {
                self.find(&function.name, at, "calls a function of the kernel that is no helper");
                Value::any(NUMBER)
            }
        };
        state.registers[0] = returned;
        for register in &mut state.registers[1..=5] {
            *register = Value::default();
        }
    }

    fn call_helper(&mut self, function: &str, at: usize, number: i32, given: &[Value]) -> Value {
        let name = helpers::name(number);
        match helpers::effect(number) {
            None => self.find(function, at, &format!("calls {name}, which is not known to leave packets alone")),
            Some(Effect::Memory) => return Value::pointer(MEMORY),
            Some(Effect::Writes(argument)) => self.may_write(function, at, &given[argument - 1]),
            Some(Effect::MakesRoom | Effect::Redirects) if !self.redirects() => {
                self.find(function, at, &format!("calls {name}, and hands no frame to sockets"));
            }
            Some(Effect::Number | Effect::MakesRoom) => {}
            Some(Effect::Redirects) => {
                let action = Value::from(Origin::Global(ACTION.into()));
                if given[2].origins != action.origins {
                    self.find(function, at, &format!("calls {name} with another last resort than {ACTION}"));
                }
                return Value::from(Origin::Redirect);
            }
        }
        Value::any(NUMBER)
    }
}

fn arithmetic(one: &Instruction, state: &mut State) {
    let own = register(state, one.destination);
    let other = if one.code & 8 != 0 { register(state, one.source) } else { Value::constant(i64::from(one.immediate)) };
    let value = match one.code & 0xf0 {
        0x00 => own.added(&other, false),
        0x10 => own.added(&other, true),
        0xb0 => other,
        // Negation and byte order.
        0x80 | 0xd0 => own.mixed(&Value::constant(0)),
        _ => own.mixed(&other),
    };
    put(state, one.destination, value);
}

fn instruction(function: &Function<'_>, at: usize) -> Option<Instruction> {
    function.code.get(at * 8..at * 8 + 8)?.first_chunk().copied().map(Instruction::new)
}

fn relocation<'f>(function: &'f Function<'_>, at: usize) -> Option<&'f str> {
    function.relocations.iter().find(|(offset, _)| *offset == at as u64 * 8).map(|(_, name)| &**name)
}

/// Bytes that are loaded or stored.
fn size(one: &Instruction) -> i64 {
    match one.code & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

fn register(state: &State, number: u8) -> Value {
    state.registers.get(usize::from(number)).cloned().unwrap_or_default()
}

fn put(state: &mut State, number: u8, value: Value) {
    if let Some(register) = state.registers.get_mut(usize::from(number)) {
        *register = value;
    }
}
