//! `--sandbox`, as it is typed.

use clap::ValueEnum;

/// `--sandbox`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum SandboxArg {
    /// What this kernel has
    Auto,
    /// All of it, or an error
    Require,
    /// None
    Off,
}
