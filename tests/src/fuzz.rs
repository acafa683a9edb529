//! Fuzz targets: what must hold of any bytes, each a function from bytes that panics where it does not.
//!
//! Two run them: libFuzzer (`cargo xtask fuzz`, in `tests/fuzz`), and the ordinary test `fuzz`, with the kept inputs of
//! `tests/fuzz/corpus` and with all that were ever found to break something.
//!
//! * [`frame`]: frames of any link type, read in several ways.
//! * [`capture`]: files of any format, compressed or not.
//! * [`tracker`]: segments in any order, at any time, of any size.
//! * [`language`]: filters, conditions, keys, and zones files.
//! * [`pcapng`]: packets written as evidence and read again.
//! * [`printable`]: text for terminals.

pub mod capture;
pub mod corpus;
pub mod frame;
pub mod input;
pub mod language;
pub mod pcapng;
pub mod printable;
pub mod script;
pub mod tracker;

/// A function that is to stand any bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What selects it.
    pub name: &'static str,
    /// In a line.
    pub about: &'static str,
    /// Panics when something does not hold.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "frame",
        about: "frames against a second reading, and by every way that reads them",
        run: frame::run,
    },
    Target {
        name: "capture",
        about: "files of any format, plain and compressed, in one piece and in many",
        run: capture::run,
    },
    Target {
        name: "tracker",
        about: "segments in any order: books, bounds, records, the same twice",
        run: tracker::run,
    },
    Target {
        name: "filter",
        about: "filters, conditions, keys and zones files: read, shown, read again",
        run: language::run,
    },
    Target { name: "pcapng", about: "evidence written, and read again by two readers", run: pcapng::run },
    Target {
        name: "printable",
        about: "no character that a terminal obeys is left in what is shown",
        run: printable::run,
    },
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
