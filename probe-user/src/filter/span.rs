//! Span: a range of numbers that a field is compared with.

/// Numbers from the first to the last, both included; one alone is both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) last: u64,
}
