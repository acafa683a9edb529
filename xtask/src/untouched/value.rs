//! Values that registers and stack slots may hold: what kinds of pointer, and for numbers where they come from.
//!
//! A value is everything that it may be on any path; joining two adds up. It never says less than is so.

use std::{collections::BTreeSet, rc::Rc};

/// No pointer.
pub(super) const NUMBER: u8 = 1;
/// The context that the kernel hands to a program.
pub(super) const CONTEXT: u8 = 2;
/// Into the packet, or to its end.
pub(super) const PACKET: u8 = 4;
/// Into the room in front of the packet that travels with it inside the kernel only.
pub(super) const METADATA: u8 = 8;
/// Into the function's own stack.
pub(super) const STACK: u8 = 16;
/// Into the stack of who called the function.
pub(super) const CALLERS: u8 = 32;
/// Into a map, a ring buffer or the program's constants.
pub(super) const MEMORY: u8 = 64;

/// Origins that are told apart; more are unknown.
const MOST: usize = 4;

/// Where a number comes from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Origin {
    /// The program text.
    Constant(i64),
    /// A global constant, which the loader sets, by name.
    Global(Rc<str>),
    /// `bpf_redirect_map`: XDP_REDIRECT or the action of last resort that it was given.
    Redirect,
}

/// What a register or slot may hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Value {
    /// Bits of the kinds; 0 where nothing was written.
    pub(super) kinds: u8,
    /// From where its kind of pointer points, as far as that is one number.
    pub(super) offset: Option<i64>,
    /// Of numbers; `None` where that is not known.
    pub(super) origins: Option<Rc<BTreeSet<Origin>>>,
    /// The global or map that it points to the beginning of.
    pub(super) symbol: Option<Rc<str>>,
}

impl Value {
    /// A pointer to the beginning of something.
    pub(super) fn pointer(kinds: u8) -> Self {
        Self { kinds, offset: Some(0), ..Self::default() }
    }

    /// Any of these kinds, and nothing else is known.
    pub(super) fn any(kinds: u8) -> Self {
        Self { kinds, ..Self::default() }
    }

    pub(super) fn from(origin: Origin) -> Self {
        Self { kinds: NUMBER, origins: Some(Rc::new([origin].into())), ..Self::default() }
    }

    pub(super) fn constant(value: i64) -> Self {
        Self::from(Origin::Constant(value))
    }

    pub(super) fn has(&self, kinds: u8) -> bool {
        self.kinds & kinds != 0
    }

    /// The number that it is on every path.
    pub(super) fn number(&self) -> Option<i64> {
        let mut origins = self.origins.iter().flat_map(|all| all.iter());
        match (origins.next(), origins.next()) {
            (Some(Origin::Constant(value)), None) if self.kinds == NUMBER => Some(*value),
            _ => None,
        }
    }

    /// Adds what it may be as well; true when that is more.
    pub(super) fn join(&mut self, other: &Self) -> bool {
        if other.kinds == 0 || self == other {
            return false;
        }
        let all = self.or(other);
        let is_more = *self != all;
        *self = all;
        is_more
    }

    /// This or the other.
    pub(super) fn or(&self, other: &Self) -> Self {
        if self.kinds == 0 || self == other {
            return other.clone();
        }
        if other.kinds == 0 {
            return self.clone();
        }
        let origins = self.origins.as_ref().zip(other.origins.as_ref());
        Self {
            kinds: self.kinds | other.kinds,
            offset: self.offset.filter(|_| self.offset == other.offset),
            origins: origins.and_then(|(one, two)| union(one, two)),
            symbol: self.symbol.clone().filter(|_| self.symbol == other.symbol),
        }
    }

    /// The sum or difference with a number or pointer.
    pub(super) fn added(&self, other: &Self, is_difference: bool) -> Self {
        let moved = other.number().map(|by| if is_difference { -by } else { by });
        let offset = self.offset.zip(moved).and_then(|(from, by)| from.checked_add(by));
        if is_difference && self.kinds == other.kinds && self.kinds.is_power_of_two() && !self.has(NUMBER) {
            // How far two pointers of one kind are apart.
            return Self::any(NUMBER);
        }
        Self { offset, ..self.mixed(other) }
    }

    /// The result of any other operation on the two: on pointers none that makes sense, and so it may still be one.
    pub(super) fn mixed(&self, other: &Self) -> Self {
        let both_numbers = self.kinds & other.kinds & NUMBER;
        let kinds = (self.kinds | other.kinds) & !NUMBER | both_numbers;
        Self { kinds, origins: redirects(self, other), ..Self::default() }
    }
}

fn union(one: &Rc<BTreeSet<Origin>>, two: &Rc<BTreeSet<Origin>>) -> Option<Rc<BTreeSet<Origin>>> {
    let all = if one == two { Rc::clone(one) } else { Rc::new(&**one | &**two) };
    Some(all).filter(|all| all.len() <= MOST)
}

/// Arithmetic on nothing but what `bpf_redirect_map` returned, and constants, such as taking away its sign.
fn redirects(one: &Value, two: &Value) -> Option<Rc<BTreeSet<Origin>>> {
    let (one, two) = (one.origins.as_ref()?, two.origins.as_ref()?);
    let mut all = one.union(two);
    let only = all.clone().all(|origin| matches!(origin, Origin::Redirect | Origin::Constant(_)));
    (only && all.any(|origin| *origin == Origin::Redirect)).then(|| Rc::new([Origin::Redirect].into()))
}
