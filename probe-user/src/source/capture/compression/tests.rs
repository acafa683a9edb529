//! Members and frames as the tools write them, and as nobody does.

use std::io::{Cursor, Write as _};

use super::*;

/// More than one frame after the other could be on a stack.
const MANY: usize = 100_000;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("in memory");
    encoder.include_checksum(true).expect("valid");
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

fn skippable(len: u32) -> Vec<u8> {
    let mut frame = (SKIPPABLE_MAGIC + 7).to_le_bytes().to_vec();
    frame.extend(len.to_le_bytes());
    frame.resize(8 + len as usize, 0x5a);
    frame
}

/// What comes out, and what ended it.
fn undo(bytes: &[u8]) -> (Vec<u8>, Option<io::ErrorKind>) {
    let compression = Compression::of(bytes).expect("compressed");
    let mut reader = compression.undone(Box::new(Cursor::new(bytes.to_vec())));
    let (mut all, mut piece) = (Vec::new(), [0; 1000]);
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return (all, None),
            Ok(read) => all.extend(&piece[..read]),
            Err(error) => return (all, Some(error.kind())),
        }
    }
}

fn data() -> Vec<u8> {
    (0..200_000_u32).map(|i| (i / 7 * 31) as u8).collect()
}

#[test]
fn the_first_bytes_decide() {
    assert_eq!(Compression::of(&gzip(b"")), Some(Compression::Gzip));
    assert_eq!(Compression::of(&zstd(b"x")), Some(Compression::Zstd));
    assert_eq!(Compression::of(&skippable(0)), Some(Compression::Zstd));
    assert_eq!(Compression::of(&0x184d_2a60_u32.to_le_bytes()), None);
    assert_eq!(Compression::of(b"abc"), None);
    assert_eq!(Compression::of(b""), None);
}

#[test]
fn members_and_frames_in_any_number() {
    let data = data();
    let (first, second) = data.split_at(70_000);
    assert_eq!(undo(&[gzip(first), gzip(&[]), gzip(second)].concat()), (data.clone(), None));
    assert_eq!(undo(&[zstd(first), zstd(second)].concat()), (data, None));
}

#[test]
fn many_empty_ones_take_no_stack_and_little_time() {
    // An empty raw block, the last one (RFC 8878 3.1.1.2), of a frame whose content is 0 bytes.
    let empty = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00];
    let began = std::time::Instant::now();
    let small_stack = std::thread::Builder::new().stack_size(1 << 20);
    let read = small_stack.spawn(move || {
        let frames = [empty.repeat(MANY), zstd(b"frames"), empty.repeat(MANY)].concat();
        let members = [gzip(&[]).repeat(MANY), gzip(b"members"), gzip(&[]).repeat(MANY)].concat();
        let skipped = [skippable(1).repeat(MANY), zstd(b"skipped")].concat();
        [undo(&frames), undo(&members), undo(&skipped)]
    });
    let read = read.expect("a thread").join().expect("no overflow");
    assert_eq!(read, ["frames", "members", "skipped"].map(|text| (text.as_bytes().to_vec(), None)));
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[test]
fn skippable_frames_are_skipped_anywhere() {
    let frames = [skippable(100_000), zstd(b"a"), skippable(0), skippable(3), zstd(b"b"), skippable(9)];
    assert_eq!(undo(&frames.concat()), (b"ab".to_vec(), None));
    let mut cut = frames.concat();
    cut.pop();
    assert_eq!(undo(&cut), (b"ab".to_vec(), Some(io::ErrorKind::UnexpectedEof)));
}

#[test]
fn zeros_after_a_gzip_member_are_padding() {
    for padding in [1, 511, 200_000] {
        let padded = [gzip(b"a"), vec![0; padding], gzip(b"b"), vec![0; padding]].concat();
        assert_eq!(undo(&padded), (b"ab".to_vec(), None));
    }
}

#[test]
fn what_is_neither_follows_what_was_read() {
    let garbage = io::ErrorKind::InvalidData;
    assert_eq!(undo(&[&gzip(b"a")[..], b"garbage"].concat()), (b"a".to_vec(), Some(garbage)));
    assert_eq!(undo(&[&zstd(b"a")[..], b"garbage"].concat()), (b"a".to_vec(), Some(garbage)));
}

#[test]
fn a_wrong_checksum_is_an_error() {
    // As `printf 'abc' | zstd` writes it, with the lower half of XXH64 at the end.
    let right = [40, 181, 47, 253, 4, 88, 25, 0, 0, 97, 98, 99, 0x99, 0x09, 0x77, 0xad];
    assert_eq!(undo(&right), (b"abc".to_vec(), None));
    let mut wrong = right;
    wrong[15] ^= 1;
    assert_eq!(undo(&wrong), (b"abc".to_vec(), Some(io::ErrorKind::InvalidData)));
    assert_eq!(undo(&[right, right].concat()), (b"abcabc".to_vec(), None));
}

#[test]
fn what_is_cut_never_looks_whole() {
    for whole in [gzip(&data()), zstd(&data()), [zstd(b"a"), zstd(b"b")].concat()] {
        let (all, _) = undo(&whole);
        for len in (4..whole.len()).step_by(whole.len() / 97 + 1) {
            let (some, error) = undo(&whole[..len]);
            assert!(all.starts_with(&some));
            assert!(error.is_some() || some == b"a", "{len} of {}", whole.len());
        }
    }
}

proptest::proptest! {
    #[test]
    fn damaged_bytes_end_in_an_error_or_not_at_all(
        gzipped: bool,
        edits in proptest::collection::vec((4..400_usize, proptest::num::u8::ANY), 1..8),
    ) {
        let mut bytes = if gzipped { gzip(&data()[..2000]) } else { [skippable(9), zstd(&data()[..2000])].concat() };
        for (at, value) in edits {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        let (_, _) = undo(&bytes);
    }
}
