//! Output: the only writer of bytes, data to stdout and messages to stderr.

pub(crate) mod amendments;
pub(crate) mod capture_evidence;
pub(crate) mod closed_stdout;
pub(crate) mod counters;
pub(crate) mod evidence_files;
pub(crate) mod evidence_writer;
pub(crate) mod file_identity;
pub(crate) mod in_order;
pub(crate) mod lines;
pub(crate) mod loss_text;
pub(crate) mod offloaded_checksums;
pub(crate) mod overwriting;
pub(crate) mod packer;
pub(crate) mod page;
pub(crate) mod period_notice;
pub(crate) mod private_files;
pub(crate) mod selection;
pub(crate) mod top_rows;
pub(crate) mod view;
pub(crate) mod writer;

use std::{
    fmt::Display,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, BufWriter, IsTerminal as _, Write},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use serde::Serialize;

use crate::error::RunError;
use crate::plan::{Compression, PlanError};
use crate::printable;
use crate::report::table::Style;

/// Bytes of a document that are written together.
const PIECE: usize = 64 << 10;

/// Writes data to stdout.
///
/// # Errors
/// [`RunError::BrokenPipe`] when the reader has gone, [`RunError::Write`] otherwise.
pub(crate) fn data(text: &str) -> Result<(), RunError> {
    if text.is_empty() {
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    let written = closed_stdout::refuse().and_then(|()| stdout.write_all(text.as_bytes()));
    written_out(written.and_then(|()| stdout.flush()))
}

/// Standard output without a buffer in front.
///
/// # Errors
/// There was none.
pub(crate) fn unbuffered() -> io::Result<File> {
    closed_stdout::refuse()?;
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

/// Refuses to compress what goes to a terminal.
///
/// # Errors
/// [`PlanError::CompressedTerminal`].
pub(crate) fn refuse_terminal(compression: Option<Compression>) -> Result<(), PlanError> {
    let is_shown = compression.is_some() && io::stdout().is_terminal();
    if is_shown { Err(PlanError::CompressedTerminal) } else { Ok(()) }
}

/// What came of writing to standard output.
///
/// # Errors
/// As [`data`].
pub(crate) fn written_out(outcome: io::Result<()>) -> Result<(), RunError> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(RunError::BrokenPipe),
        Err(source) => Err(RunError::Write { what: "standard output".to_string(), source }),
        Ok(()) => Ok(()),
    }
}

/// Writes a JSON document, made while it is written, in large pieces that are text each.
///
/// # Errors
/// What writing says.
pub(crate) fn document(into: impl Write, document: &impl Serialize) -> io::Result<()> {
    let mut pieces = BufWriter::with_capacity(PIECE, into);
    printable::json::write_indented(&mut pieces, document)?;
    pieces.write_all(b"\n")?;
    pieces.flush()
}

/// As [`data`], of a JSON document.
///
/// # Errors
/// As [`data`].
pub(crate) fn data_document(of: &impl Serialize) -> Result<(), RunError> {
    written_out(closed_stdout::refuse().and_then(|()| document(io::stdout().lock(), of)))
}

/// The file of `--json-out` or `--output`, open before there is anything to write. One that was made for it goes again with this
/// value if nothing was written.
pub(crate) struct OutFile {
    path: PathBuf,
    file: File,
    /// It was not there before, and nothing has been written to it.
    is_ours_and_empty: bool,
}

impl OutFile {
    /// Opens or creates it. What it holds stays until [`Self::write`].
    ///
    /// # Errors
    /// [`RunError::OutFile`] with the file's name.
    pub(crate) fn open(option: &'static str, path: &Path) -> Result<Self, RunError> {
        let mut options = OpenOptions::new();
        options.write(true);
        let (opened, is_new) = match options.clone().create_new(true).open(path) {
            // Links to what is not there are such files, too: what they lead to is made, and stays.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                (options.create(true).truncate(false).open(path), false)
            }
            made => (made, true),
        };
        match opened {
            Ok(file) => Ok(Self { path: path.to_path_buf(), file, is_ours_and_empty: is_new }),
            Err(source) => Err(RunError::OutFile { option, path: printable::path(path), source }),
        }
    }

    /// Replaces what it holds by a document, compressed as its name says.
    ///
    /// # Errors
    /// [`RunError::Write`] with the file's name.
    pub(crate) fn write(self, of: &impl Serialize) -> Result<(), RunError> {
        self.replace(|file| document(file, of))
    }

    /// The same by text.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn write_text(self, text: &str) -> Result<(), RunError> {
        self.replace(|file| file.write_all(text.as_bytes()))
    }

    fn replace(mut self, write: impl FnOnce(&mut packer::Packer<&File>) -> io::Result<()>) -> Result<(), RunError> {
        self.is_ours_and_empty = false;
        // A pipe or a terminal has no length.
        let emptied = match self.file.metadata() {
            Ok(metadata) if metadata.is_file() => self.file.set_len(0),
            other => other.map(drop),
        };
        let packed = |file| {
            let mut packer = packer::Packer::new(packer::by_name(&self.path), file)?;
            write(&mut packer)?;
            packer.finish()
        };
        let written = emptied.and_then(|()| packed(&self.file));
        written.map_err(|source| RunError::Write { what: printable::path(&self.path), source })
    }
}

impl Drop for OutFile {
    fn drop(&mut self) {
        // Somebody else may have put another file in its place, or written to it.
        let is_it = |named: &Metadata| {
            self.file.metadata().is_ok_and(|own| (own.dev(), own.ino(), own.len()) == (named.dev(), named.ino(), 0))
        };
        if self.is_ours_and_empty && fs::symlink_metadata(&self.path).is_ok_and(|named| is_it(&named)) {
            // That it cannot be removed is no reason to say another error than that for which nothing was written.
            let _stays: Option<()> = fs::remove_file(&self.path).ok();
        }
    }
}

/// A line for people on stderr. That nobody may be listening there is no reason to stop measuring.
pub(crate) fn say(line: &str) {
    let _closed: Option<()> = writeln!(io::stderr().lock(), "{}", printable::lines(line)).ok();
}

/// The error that ends the program. What it repeats of arguments and files may have line feeds: only the first line begins
/// where lines of the program do.
pub(crate) fn say_error(error: &impl Display) {
    let mut text = String::from("rstprobe: ");
    for (number, line) in error.to_string().split('\n').enumerate() {
        let is_at_margin = number > 0 && !line.is_empty() && !line.starts_with(' ');
        text.extend([if number > 0 { "\n" } else { "" }, if is_at_margin { "  " } else { "" }, line]);
    }
    say(&text);
}

/// True when progress on stderr would be seen by a person.
pub(crate) fn progress_is_seen() -> bool {
    io::stderr().is_terminal()
}

/// Replaces the current line on a terminal's stderr.
pub(crate) fn progress(line: &str) {
    let mut stderr = io::stderr().lock();
    let _closed: Option<()> =
        write!(stderr, "\r\u{1b}[K{}", printable::escaped(line)).and_then(|()| stderr.flush()).ok();
}

/// Whether text is coloured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Colors {
    /// On a terminal.
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// How tables may look on this stdout: colours only on a terminal and without `NO_COLOR` (no-color.org), or where
/// `CLICOLOR_FORCE` or `--color=always` asks for them; as wide as the terminal, or as `COLUMNS` says.
pub(crate) fn style(rows: usize) -> Style {
    let terminal = io::stdout().is_terminal();
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    let by_itself = is_set("CLICOLOR_FORCE") || terminal && !is_set("NO_COLOR");
    let color = match COLOR.get() {
        Some(Colors::Always) => true,
        Some(Colors::Never) => false,
        Some(Colors::Auto) | None => by_itself,
    };
    let columns =
        || std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
    let of_terminal = || if terminal { comfy_table::Table::new().width() } else { None };
    let is_wide = WIDE.get().is_some_and(|wide| *wide);
    Style { color, width: if is_wide { None } else { columns().or_else(of_terminal) }, rows }
}

static COLOR: OnceLock<Colors> = OnceLock::new();
static WIDE: OnceLock<bool> = OnceLock::new();

/// What the command line says of colours and width; once.
pub(crate) fn choose(color: Colors, wide: bool) {
    let _first: Result<(), _> = COLOR.set(color);
    let _first: Result<(), _> = WIDE.set(wide);
}
