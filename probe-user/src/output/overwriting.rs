//! Overwriting: refuses an output that would be written over an input or over another output.

use std::path::{Path, PathBuf};

use crate::plan::EvidencePlan;
use crate::{
    error::RunError,
    output::{evidence_files as files, file_identity::place},
};

/// Refuses to write `--json-out` over a capture that is read, or over what `--evidence` writes or keeps.
///
/// # Errors
/// [`RunError::JsonOutOver`].
pub(crate) fn refuse_overwriting(
    json_out: Option<&PathBuf>,
    evidence: Option<&EvidencePlan>,
    captures: &[PathBuf],
) -> Result<(), RunError> {
    let Some((path, Some(written))) = json_out.map(|path| (path, place(path))) else { return Ok(()) };
    let over = |other: &Path, what| {
        let [path, other] = [path.as_path(), other].map(|path| path.display().to_string());
        Err(RunError::JsonOutOver { path, other, what })
    };
    if let Some(capture) = captures.iter().find(|capture| place(capture).as_ref() == Some(&written)) {
        return over(capture, "which is to be read");
    }
    match evidence {
        Some(evidence) if files::overwritten(evidence, std::slice::from_ref(path)).is_some() => {
            over(&evidence.path, "where --evidence is written")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("rstprobe-place-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    fn refused(json: &Path, evidence: Option<&Path>, captures: &[PathBuf]) -> bool {
        let plan = evidence.map(|path| EvidencePlan {
            path: path.to_path_buf(),
            is_file: path.extension().is_some(),
            max_bytes: 1 << 20,
            max_age: Duration::from_hours(1),
            of: "rst.count > 0".parse().expect("a filter"),
        });
        refuse_overwriting(Some(&json.to_path_buf()), plan.as_ref(), captures).is_err()
    }

    #[test]
    fn a_capture_is_the_same_through_every_link() {
        let folder = folder("links");
        let capture = folder.join("a.pcap");
        fs::write(&capture, [0; 10]).expect("a file");
        let (soft, hard) = (folder.join("soft"), folder.join("hard"));
        std::os::unix::fs::symlink("a.pcap", &soft).expect("a link");
        fs::hard_link(&capture, &hard).expect("a link");
        let captures = [capture.clone()];
        for json in [&capture, &soft, &hard, &folder.join("./a.pcap")] {
            assert!(refused(json, None, &captures), "{json:?}");
        }
        assert!(refused(&capture, None, &[PathBuf::from("-"), hard]));
        assert!(!refused(&folder.join("b.json"), None, &captures));
        assert!(!refused(Path::new("/dev/null"), None, &[PathBuf::from("/dev/null")]), "nothing is lost");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn evidence_is_not_written_over_whether_there_or_not() {
        let folder = folder("evidence");
        let evidence = folder.join("e.pcapng");
        let dangling = folder.join("dangling");
        std::os::unix::fs::symlink("e.pcapng", &dangling).expect("a link");
        for _ in 0..2 {
            assert!(refused(&evidence, Some(&evidence), &[]));
            assert!(refused(&folder.join("./e.pcapng"), Some(&evidence), &[]));
            assert!(refused(&dangling, Some(&evidence), &[]));
            assert!(!refused(&folder.join("e.json"), Some(&evidence), &[]));
            fs::write(&evidence, [0; 10]).expect("a file");
        }
        let kept = folder.join("rstprobe-20200101T000000Z-000000.pcapng");
        fs::write(&kept, [0; 10]).expect("a file");
        assert!(refused(&kept, Some(&folder), &[]));
        fs::remove_dir_all(folder).expect("removed");
    }
}
