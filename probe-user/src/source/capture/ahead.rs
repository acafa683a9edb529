//! Ahead: captures one after the other; while one is read, the next is opened and its beginning is read.
//!
//! Only ordinary files are: a pipe is opened in its turn, since opening it waits for who writes to it. What goes wrong ahead of
//! time is forgotten, and said when it goes wrong in its turn.

use std::collections::VecDeque;

use super::{CaptureError, CaptureFile, Named};

/// Bytes of the next file that the system is asked for: as much as a thread gets ahead by.
const SOON: u64 = 2 << 20;

/// The captures, the first of which is open.
pub struct InTurn {
    /// Those whose turn is to come.
    files: VecDeque<Named>,
    /// The one whose turn is next, where it is open.
    ahead: Option<CaptureFile>,
}

impl InTurn {
    /// Begins with `first`, which is the first of `files`.
    pub fn new(files: &[Named], first: CaptureFile) -> Self {
        Self { files: files.iter().cloned().collect(), ahead: Some(first) }
    }
}

impl Iterator for InTurn {
    /// How it is called, and it.
    type Item = (Named, Result<CaptureFile, CaptureError>);

    fn next(&mut self) -> Option<Self::Item> {
        let named = self.files.pop_front()?;
        let capture = match self.ahead.take() {
            Some(capture) => Ok(begun(&named, capture)),
            None => named.capture().map(|capture| begun(&named, capture)),
        };
        let soon = self.files.front().filter(|next| capture.is_ok() && next.is_read_beside() && next.is_file());
        self.ahead = soon.and_then(|next| Some(begun(next, next.capture_soon(SOON).ok()?)));
        Some((named, capture))
    }
}

/// Where threads may read, one begins to; it makes no difference that it has begun already.
fn begun(named: &Named, mut capture: CaptureFile) -> CaptureFile {
    if named.is_read_beside() {
        capture.undo_beside(named.is_file());
    }
    capture
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    /// A capture without frames.
    const EMPTY: [u8; 24] = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("rstprobe-ahead-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    fn all(paths: &[PathBuf], is_read_beside: bool) -> Vec<Named> {
        Named::all(paths).into_iter().map(|named| named.read_beside(is_read_beside)).collect()
    }

    #[test]
    fn the_next_is_open_while_one_is_read_where_threads_may_read() {
        let folder = folder("next");
        let paths = ["a", "b", "c"].map(|name| folder.join(name));
        for path in &paths {
            fs::write(path, EMPTY).expect("written");
        }
        for is_read_beside in [true, false] {
            let files = all(&paths, is_read_beside);
            let mut captures = InTurn::new(&files, files[0].capture().expect("a capture"));
            for (number, path) in paths.iter().enumerate() {
                let (named, capture) = captures.next().expect("as many as there are");
                assert!(named.path() == path && capture.expect("a capture").next_frame().expect("whole").is_none());
                assert_eq!(captures.ahead.is_some(), is_read_beside && number < 2);
            }
            assert!(captures.next().is_none());
        }
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn what_is_wrong_with_the_next_is_said_in_its_turn() {
        let folder = folder("wrong");
        let [whole, missing, made, stray] = ["whole", "missing", "made", "stray"].map(|name| folder.join(name));
        fs::write(&whole, EMPTY).expect("written");
        fs::write(&made, []).expect("written");
        fs::write(&stray, b"no capture").expect("written");
        let files = all(&[whole.clone(), made.clone(), missing, stray], true);
        let mut captures = InTurn::new(&files, files[0].capture().expect("a capture"));
        assert!(captures.next().is_some_and(|(_, capture)| capture.is_ok()));
        assert!(captures.ahead.is_none(), "there is nothing in it");
        fs::write(&made, EMPTY).expect("written");
        assert!(captures.next().is_some_and(|(_, capture)| capture.is_ok()), "now there is");
        let errors: Vec<_> = captures.map(|(_, capture)| capture.err().expect("an error").to_string()).collect();
        assert!(errors[0].contains("No such file") && errors[1].contains("not a capture"), "{errors:?}");
        fs::remove_dir_all(folder).expect("removed");
    }
}
