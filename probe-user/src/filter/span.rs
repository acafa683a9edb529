//! Span: a range of numbers that a field is compared with.

/// Numbers from the first to the last, both included; one alone is both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) last: u64,
}
