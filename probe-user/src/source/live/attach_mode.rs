//! Attach mode: where in the receive path an XDP program runs.

/// Where in the receive path the program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the network stack, after the socket buffer was made: slower, works with every driver.
    Generic,
}

impl Mode {
    /// Name for outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}
