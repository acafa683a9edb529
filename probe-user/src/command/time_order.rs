//! Time order: puts captures into the order of their first frames, as the files of a rotated capture are to be read.
//!
//! A shell names `cap10` before `cap2`, and connections that lie across both would be torn apart.

use std::path::{Path, PathBuf};

use crate::{output, printable, source::capture::CaptureFile};

/// The files in order of time, said where that is not the order in which they are named. Files with the same first time keep
/// their order; so do all where one of them can be read once only.
pub(super) fn in_order_of_time(files: &[PathBuf]) -> Vec<PathBuf> {
    if files.len() < 2 || !files.iter().all(|file| file.is_file()) {
        return files.to_vec();
    }
    let mut timed: Vec<(u64, &PathBuf)> = Vec::with_capacity(files.len());
    for file in files {
        // One without frames, or that cannot be read, stays behind the one before it.
        let before = timed.last().map_or(0, |(first_ns, _)| *first_ns);
        timed.push((first_frame_ns(file).unwrap_or(before), file));
    }
    timed.sort_by_key(|(first_ns, _)| *first_ns);
    let ordered: Vec<PathBuf> = timed.into_iter().map(|(_, file)| file.clone()).collect();
    if let Some((sooner, named)) = ordered.iter().zip(files).find(|(sooner, named)| sooner != named) {
        output::say(&format!(
            "rstprobe: the captures are read in order of their first packets: {} before {}",
            printable::path(sooner),
            printable::path(named)
        ));
    }
    ordered
}

fn first_frame_ns(file: &Path) -> Option<u64> {
    let mut capture = CaptureFile::open(file).ok()?;
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
    fn files_are_ordered_by_their_first_frame_and_others_stay_where_they_are() {
        let folder = std::env::temp_dir().join(format!("rstprobe-time-order-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).expect("written");
            path
        };
        let (tenth, second) = (file("cap10", &capture(10)), file("cap2", &capture(2)));
        let (empty, third) = (file("empty", &capture(0)[..24]), file("cap3", &capture(3)));
        let named = [tenth.clone(), second.clone(), empty.clone(), third.clone()];
        assert_eq!(in_order_of_time(&named), [second.clone(), empty, third, tenth.clone()]);
        let passing = [tenth, PathBuf::from("-"), second];
        assert_eq!(in_order_of_time(&passing), passing);
        fs::remove_dir_all(&folder).expect("removed");
    }
}
