//! Corpus: the inputs that are kept of each target, a line of hexadecimal digits each, so that they can be looked at,
//! searched and compared.

use std::{fs, io, path::PathBuf};

/// Where the inputs of a target are kept.
pub fn file(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(format!("{target}.hex"))
}

/// The inputs of a target.
///
/// # Errors
/// When there is no such file, or a line of it is none.
pub fn inputs(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let text = fs::read_to_string(file(target))?;
    text.lines().map(|line| bytes(line).ok_or_else(|| io::Error::other(format!("{target}: {line:.40}")))).collect()
}

/// The bytes of a line.
pub fn bytes(line: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        line.trim().chars().map(|digit| digit.to_digit(16)).map(|d| d.map(|d| d as u8)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bytes() {
        assert_eq!(bytes("00fF10"), Some(vec![0, 255, 16]));
        assert_eq!(bytes(""), Some(vec![]));
        assert_eq!(bytes("0"), None);
        assert_eq!(bytes("0g"), None);
    }
}
