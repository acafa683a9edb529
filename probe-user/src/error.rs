//! Command errors and their exit codes.

use thiserror::Error;

use crate::{
    cli::exit,
    plan::PlanError,
    sandbox::Lacking,
    source::{capture::CaptureError, live::LiveError},
    zone::ZoneError,
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
    /// The sandbox that is required.
    #[error(transparent)]
    Sandbox(#[from] Lacking),
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
    /// A zones file cannot be used.
    #[error("--zones {file}: {source}")]
    Zones {
        /// As named on the command line.
        file: String,
        /// Why.
        source: ZonesFileError,
    },
    /// A filter asks for a zone or service of a name that none has.
    #[error("nothing has the {field} `{name}`; {hint}")]
    NoSuchName {
        /// In filters.
        field: &'static str,
        /// As typed.
        name: String,
        /// What helps.
        hint: String,
    },
    /// Evidence cannot be written.
    #[error("--evidence {path}: {source}")]
    Evidence {
        /// As named on the command line.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Evidence could not be written on. Everything measured has been printed.
    #[error("--evidence {path}: {source}; the evidence ends there, and what was measured is printed")]
    EvidenceEnded {
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
    /// A connection is meant by its number, and no capture is named.
    #[error("`{0}` is the number of a connection; name its capture: `rstprobe explain -r FILE {0}`")]
    NumberWithoutCapture(String),
    /// Connections are meant by a condition, and no source is named.
    #[error(
        "`{0}` is a condition on connections; name a source: `rstprobe explain -r FILE '{0}'` or `rstprobe explain -i IFACE \
         '{0}'`"
    )]
    ConditionWithoutSource(String),
    /// What another command explains.
    #[error("`{id}` is {of}: `rstprobe {by}` has it")]
    ExplainedElsewhere {
        /// As typed.
        id: String,
        /// What it is.
        of: String,
        /// The command, without the program's name.
        by: String,
    },
    /// No connection that was seen is meant.
    #[error("{}", no_such_connection(*of))]
    NoSuchConnection {
        /// How many there are.
        of: usize,
    },
    /// Help is asked for on what has none.
    #[error("no topic and no command is called `{topic}`; there is help on {known}")]
    NoSuchTopic {
        /// As typed.
        topic: String,
        /// Topics and commands.
        known: String,
    },
    /// `doctor` found something that prevents watching.
    #[error("not ready: {0}")]
    NotReady(String),
}

/// Why a zones file cannot be used.
#[derive(Debug, Error)]
pub enum ZonesFileError {
    /// It cannot be read.
    #[error("{0}; name a file as in `rstprobe help zones`, or /dev/null for the zones that need none")]
    Read(std::io::Error),
    /// It says something else than zones and services.
    #[error(transparent)]
    Definition(#[from] ZoneError),
    /// The file of services that it names cannot be read.
    #[error(
        "line {line}: services_file {path}: {source}; name another, or leave it out for the ports that are known anyway"
    )]
    Services {
        /// Of the zones file.
        line: usize,
        /// As named there.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// What helps who typed an unknown id.
fn hint(closest: Option<&str>) -> String {
    closest.map_or_else(|| "`rstprobe explain` lists them".to_owned(), |id| format!("did you mean `{id}`?"))
}

fn no_such_connection(of: usize) -> String {
    match of {
        0 => "no TCP connection was seen at all".to_owned(),
        of => format!(
            "no connection of the {of} that were seen has that number or meets that condition; `rstprobe read` with the same \
             options lists them"
        ),
    }
}

impl RunError {
    /// Exit code, as documented in `cli::exit`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::BrokenPipe => exit::OK,
            Self::OutFile { source, .. }
            | Self::Evidence { source, .. }
            | Self::Capture { source: CaptureError::Open { source, .. }, .. } => of_opening(source),
            Self::Plan(_)
            | Self::Unexplained { .. }
            | Self::NumberWithoutCapture(_)
            | Self::ConditionWithoutSource(_)
            | Self::ExplainedElsewhere { .. }
            | Self::NoSuchConnection { .. }
            | Self::Live(LiveError::NoInterface { .. })
            | Self::Zones { .. }
            | Self::NoSuchName { .. }
            | Self::NoSuchTopic { .. }
            | Self::OutFileOver { .. }
            | Self::EvidenceOverCapture { .. }
            | Self::Capture { source: CaptureError::UnknownFormat { .. } | CaptureError::TooShort { .. }, .. } => {
                exit::USAGE
            }
            Self::Live(LiveError::Privilege { .. } | LiveError::Promiscuous { .. }) => exit::PRIVILEGE,
            Self::Live(_) | Self::Sandbox(_) | Self::NotReady(_) | Self::InterfacesGone(_) => exit::UNABLE,
            Self::Capture { .. }
            | Self::EvidenceEnded { .. }
            | Self::LinkTypes(_)
            | Self::Frames(_)
            | Self::Write { .. }
            | Self::Runtime(_)
            | Self::Json(_)
            | Self::Unbalanced(_) => exit::FAILED,
        }
    }
}

/// Exit code of what could not be opened: another name may help, or none does while the disk is full.
fn of_opening(error: &std::io::Error) -> u8 {
    const LACKING: [i32; 7] =
        [libc::ENOSPC, libc::EDQUOT, libc::EFBIG, libc::EIO, libc::EMFILE, libc::ENFILE, libc::ENOMEM];
    match error.raw_os_error() {
        Some(number) if LACKING.contains(&number) => exit::FAILED,
        _ => exit::USAGE,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use super::*;

    #[test]
    fn a_wrong_name_is_told_from_a_full_disk() {
        let (path, what) = (String::new, String::new);
        for (number, code) in [
            (libc::ENOSPC, 1),
            (libc::EDQUOT, 1),
            (libc::EMFILE, 1),
            (libc::ENOENT, 2),
            (libc::EISDIR, 2),
            (libc::EACCES, 2),
        ] {
            let source = || Error::from_raw_os_error(number);
            assert_eq!(RunError::Evidence { path: path(), source: source() }.exit_code(), code, "{number}");
            assert_eq!(
                RunError::OutFile { option: "--json-out", path: path(), source: source() }.exit_code(),
                code,
                "{number}"
            );
            let open = CaptureError::Open { source: source() };
            assert_eq!(RunError::Capture { file: path(), source: open }.exit_code(), code, "{number}");
            assert_eq!(RunError::EvidenceEnded { path: path(), source: source() }.exit_code(), 1);
            assert_eq!(RunError::Write { what: what(), source: source() }.exit_code(), 1);
        }
    }
}
