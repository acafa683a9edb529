//! Time order: puts captures into the order of their first frames, as the files of a rotated capture are to be read.
//!
//! A shell names `cap10` before `cap2`, and connections that lie across both would be torn apart.

use std::path::{Path, PathBuf};

use crate::{
    output, printable,
    source::capture::{CaptureError, CaptureFile},
};

/// The captures in order of time, said where that is not the order in which they are named. Those with the same first time keep
/// their order; so do all where one of them can be read once only, which is for the caller to know: paths may lead nowhere in the
/// sandbox, where this belongs because it reads of each.
pub(super) fn in_order_of_time<T>(
    captures: Vec<T>,
    are_files: bool,
    path_of: impl Fn(&T) -> &Path,
    open: impl Fn(&T) -> Result<CaptureFile, CaptureError>,
) -> Vec<T> {
    if captures.len() < 2 || !are_files {
        return captures;
    }
    let paths: Vec<PathBuf> = captures.iter().map(|one| path_of(one).to_owned()).collect();
    // One without frames, or that cannot be read, comes last: reading ends there, and hides none of the others.
    let timed = captures.into_iter().map(|one| (first_frame_ns(open(&one)).unwrap_or(u64::MAX), one));
    let mut timed: Vec<(u64, T)> = timed.collect();
    timed.sort_by_key(|(first_ns, _)| *first_ns);
    let ordered: Vec<T> = timed.into_iter().map(|(_, one)| one).collect();
    if let Some((sooner, named)) = ordered.iter().map(path_of).zip(&paths).find(|(sooner, named)| sooner != named) {
        output::say(&format!(
            "rstprobe: the captures are read in order of their first packets: {} before {}",
            printable::path(sooner),
            printable::path(named)
        ));
    }
    ordered
}

fn first_frame_ns(capture: Result<CaptureFile, CaptureError>) -> Option<u64> {
    let mut capture = capture.ok()?;
    let frame = capture.next_frame().ok()??;
    Some(frame.time_ns)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A capture in the old format with one empty frame of this second.
    fn capture(second: u32) -> Vec<u8> {
        let head = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1];
        [&head[..], &[second, 0, 0, 0]].concat().into_iter().flat_map(u32::to_le_bytes).collect()
    }

    #[test]
    fn files_are_ordered_by_their_first_frame_and_those_without_one_are_last() {
        let folder = std::env::temp_dir().join(format!("rstprobe-time-order-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).expect("written");
            path
        };
        let (tenth, second) = (file("cap10", &capture(10)), file("cap2", &capture(2)));
        let (empty, third) = (file("empty", &capture(0)[..24]), file("cap3", &capture(3)));
        let ordered = |files: &[PathBuf], are_files| {
            in_order_of_time(files.to_vec(), are_files, PathBuf::as_path, |path| CaptureFile::open(path))
        };
        let stray = file("notes.txt", b"no capture");
        let named = [tenth.clone(), empty.clone(), stray.clone(), second.clone(), third.clone()];
        assert_eq!(ordered(&named, true), [second.clone(), third, tenth.clone(), empty, stray]);
        let passing = [tenth, PathBuf::from("-"), second];
        assert_eq!(ordered(&passing, false), passing);
        fs::remove_dir_all(&folder).expect("removed");
    }
}
