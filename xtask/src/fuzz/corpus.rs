//! Kept inputs: from `tests/fuzz/corpus`, a line of hexadecimal digits each, into the folder that libFuzzer reads, and back.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Bytes that are kept of a target's inputs; twice as many in the file.
const MOST_BYTES: usize = 12 << 10;
/// Longer ones are not kept: many short ones reach more.
const LONGEST: usize = 512;

fn folder(root: &Path) -> PathBuf {
    root.join("tests/fuzz/corpus")
}

/// Names of the targets: those of the files.
pub(super) fn targets(root: &Path) -> Result<Vec<String>> {
    let folder = folder(root);
    let files = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut names = Vec::new();
    for file in files {
        let name = file?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".hex").map(str::to_owned));
    }
    names.sort_unstable();
    Ok(names)
}

/// Writes each kept input to a file of its own.
pub(super) fn unpack(root: &Path, target: &str, into: &Path) -> Result<()> {
    let path = folder(root).join(target).with_extension("hex");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    for (number, line) in text.lines().enumerate() {
        let bytes = bytes(line).with_context(|| format!("{}:{}", path.display(), number + 1))?;
        fs::write(into.join(format!("kept-{number:04}")), bytes)?;
    }
    Ok(())
}

/// Keeps the inputs of a folder, or as many of them, of every size, as there is room for.
pub(super) fn pack(root: &Path, target: &str, from: &Path) -> Result<()> {
    let mut inputs = Vec::new();
    for file in fs::read_dir(from)? {
        inputs.push(fs::read(file?.path())?);
    }
    inputs.retain(|input| (1..=LONGEST).contains(&input.len()));
    inputs.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    let text = lines(&thinned(inputs));
    fs::write(folder(root).join(target).with_extension("hex"), text)?;
    Ok(())
}

/// Every so manieth, so that those which are left have no more than [`MOST_BYTES`] together.
fn thinned(inputs: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let all: usize = inputs.iter().map(Vec::len).sum();
    let (mut seen, mut kept) = (0, 0);
    let is_kept = |input: &Vec<u8>| {
        seen += input.len();
        // As soon as what was kept falls behind its share.
        let has_room = kept + input.len() <= (seen * MOST_BYTES).checked_div(all.max(MOST_BYTES)).unwrap_or(0);
        kept += if has_room { input.len() } else { 0 };
        has_room
    };
    inputs.into_iter().filter(is_kept).collect()
}

fn lines(inputs: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for input in inputs {
        for byte in input {
            write!(text, "{byte:02x}").expect("a String takes everything");
        }
        text.push('\n');
    }
    text
}

fn bytes(line: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = line.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_inputs() {
        let inputs = [vec![0, 255], vec![16; 3]];
        let text = lines(&inputs);
        assert_eq!(text, "00ff\n101010\n");
        assert_eq!(text.lines().map(bytes).collect::<Option<Vec<_>>>(), Some(inputs.to_vec()));
        assert_eq!((bytes("0"), bytes("xy")), (None, None));
    }

    #[test]
    fn inputs_of_every_size_are_kept_within_the_bound() {
        let few = vec![vec![1; 3], vec![2; 5]];
        assert_eq!(thinned(few.clone()), few);
        let many: Vec<Vec<u8>> = (1..400).map(|len| vec![0; len]).collect();
        let kept = thinned(many);
        let bytes: usize = kept.iter().map(Vec::len).sum();
        assert!((MOST_BYTES * 9 / 10..=MOST_BYTES).contains(&bytes), "{bytes}");
        let is_in = |range: std::ops::Range<usize>| kept.iter().any(|input| range.contains(&input.len()));
        assert!(is_in(1..50) && is_in(180..220) && is_in(350..400));
    }
}
