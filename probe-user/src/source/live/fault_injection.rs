//! Fault injection: what is wrong with an engine on purpose, for tests.

/// Faults that a test plants to show that it would find them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FaultInjection {
    /// Turns of an idle loop (about a nanosecond each) that the program makes between reading the epoch and writing to
    /// its half of the maps: a short window becomes one that is hit at every flip.
    pub linger: u32,
    /// Read the half that was left without waiting for the grace period.
    pub no_grace: bool,
}
