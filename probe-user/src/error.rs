//! Command errors and their exit codes.

use thiserror::Error;

use crate::{
    cli::exit,
    plan::PlanError,
    source::{capture::CaptureError, live::LiveError},
};

/// Why a command failed.
#[derive(Debug, Error)]
pub enum RunError {
    /// The command line.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The live source.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// A capture could not be read to its end.
    #[error("{file}: {source}")]
    Capture {
        /// As named on the command line.
        file: String,
        /// Why.
        source: CaptureError,
    },
    /// The sockets cannot be read any more. Everything measured has been printed.
    #[error("cannot read the AF_XDP sockets: {0}; what was seen before is printed")]
    Frames(std::io::Error),
    /// Output.
    #[error("{what}: {source}")]
    Write {
        /// Where.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file of `--json-out` or `--output` cannot be opened.
    #[error("{option} {path}: {source}")]
    OutFile {
        /// The option.
        option: &'static str,
        /// As named on the command line.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file of `--json-out` or `--output` would take the place of another one that is read or written.
    #[error("{option} {path}: this is {other}, {what}, and would be written over; name another file")]
    OutFileOver {
        /// The option.
        option: &'static str,
        /// As named on the command line.
        path: String,
        /// The other file, as named there.
        other: String,
        /// What the other one is for.
        what: &'static str,
    },
    /// Frames of types of link that are not understood. Everything else has been printed.
    #[error(
        "{0}. If they are of a type that is understood and only labelled wrongly, relabel them (`editcap -T ether IN OUT` \
         for Ethernet)"
    )]
    LinkTypes(String),
    /// Evidence cannot be written.
    #[error("--evidence {path}: {source}")]
    Evidence {
        /// As named on the command line.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Evidence would take the place of what is read.
    #[error(
        "--evidence {path}: {capture}, which is to be read, would be written over or deleted to make room; name another \
         file or folder"
    )]
    EvidenceOverCapture {
        /// As named on the command line.
        path: String,
        /// The capture.
        capture: String,
    },
    /// Every watched interface has gone. Everything measured has been printed.
    #[error("no interface is left to watch: {0} no longer there; what was seen before is printed")]
    InterfacesGone(String),
    /// The reader of our output went away: not an error.
    #[error("the reader of standard output closed the pipe")]
    BrokenPipe,
    /// A runtime could not be made, or a signal handler not be set.
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
    /// A serialisation failed.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The books do not balance: a bug. Everything measured has been printed.
    #[error(
        "the accounting of the data plane does not balance: {0} segments differ. This is a bug in rstprobe; please report it \
         with the output of `rstprobe doctor`"
    )]
    Unbalanced(u64),
    /// There is no cause and no finding of this id.
    #[error("no cause and no finding is called `{id}`; {}", hint(*closest))]
    Unexplained {
        /// As typed.
        id: String,
        /// The id that was probably meant.
        closest: Option<&'static str>,
    },
    /// No connection of a capture is meant.
    #[error("no connection of the {of} in the capture has that number or meets that condition")]
    NoSuchConnection {
        /// How many there are.
        of: usize,
    },
    /// `doctor` found something that prevents watching.
    #[error("not ready: {0}")]
    NotReady(String),
}

/// What helps who typed an unknown id.
fn hint(closest: Option<&str>) -> String {
    closest.map_or_else(|| "`rstprobe explain` lists them".to_owned(), |id| format!("did you mean `{id}`?"))
}

impl RunError {
    /// Exit code, as documented in `cli::exit`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::BrokenPipe => exit::OK,
            Self::Plan(_)
            | Self::Unexplained { .. }
            | Self::NoSuchConnection { .. }
            | Self::Live(LiveError::NoInterface { .. })
            | Self::OutFile { .. }
            | Self::OutFileOver { .. }
            | Self::Evidence { .. }
            | Self::EvidenceOverCapture { .. }
            | Self::Capture { source: CaptureError::Open { .. }, .. } => exit::USAGE,
            Self::Live(LiveError::Privilege { .. } | LiveError::Promiscuous { .. }) => exit::PRIVILEGE,
            Self::Live(_) | Self::NotReady(_) | Self::InterfacesGone(_) => exit::UNABLE,
            Self::Capture { .. }
            | Self::LinkTypes(_)
            | Self::Frames(_)
            | Self::Write { .. }
            | Self::Runtime(_)
            | Self::Json(_)
            | Self::Unbalanced(_) => exit::FAILED,
        }
    }
}
