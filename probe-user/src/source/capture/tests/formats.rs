//! Formats besides pcap and pcapng, captures that were joined, and blocks that are not as the format wants them.

use super::*;

fn snoop(data_link: u32, frames: &[&[u8]]) -> Vec<u8> {
    let mut file = [&b"snoop\0\0\0"[..], &2_u32.to_be_bytes(), &data_link.to_be_bytes()].concat();
    for frame in frames {
        let (len, padded) = (frame.len() as u32, frame.len().next_multiple_of(4));
        for word in [len, len, 24 + padded as u32, 0, 7, 9] {
            file.extend(word.to_be_bytes());
        }
        file.extend(*frame);
        file.resize(file.len() + padded - frame.len(), 0);
    }
    file
}

/// Records of Ethernet frames, one a second.
fn erf(frames: &[&[u8]]) -> Vec<u8> {
    let mut file = Vec::new();
    for (second, frame) in frames.iter().enumerate() {
        let padded = (18 + frame.len()).next_multiple_of(8);
        file.extend([0, 0, 0, 0x80]);
        file.extend((1_700_000_000 + second as u32).to_le_bytes());
        file.extend([2, 4]);
        file.extend((padded as u16).to_be_bytes());
        file.extend([0, 0]);
        file.extend((frame.len() as u16).to_be_bytes());
        file.extend([0, 0]);
        file.extend(*frame);
        file.resize(file.len() + padded - 18 - frame.len(), 0);
    }
    file
}

#[test]
fn snoop_files() {
    for data_link in [0, 4] {
        let (times, accounting, error) = read(snoop(data_link, &[&syn(), &syn()]));
        assert_eq!((times, accounting.tcp), (vec![7_000_009_000; 2], 2));
        assert!(error.is_none());
    }
    let (_, accounting, error) = read(snoop(8, &[&syn()]));
    assert_eq!(accounting.unsupported.keys().map(ToString::to_string).collect::<Vec<_>>(), ["snoop data link type 8"]);
    assert!(error.is_none(), "what is not understood is counted");
    let mut version = snoop(4, &[]);
    version[11] = 3;
    assert!(matches!(read(version).2, Some(CaptureError::Damaged { offset: 0, .. })));
    let mut small = snoop(4, &[&syn()]);
    small[16 + 8..16 + 12].copy_from_slice(&30_u32.to_be_bytes());
    assert!(matches!(read(small).2, Some(CaptureError::Damaged { offset: 16, .. })));
}

#[test]
fn erf_files() {
    let (times, accounting, error) = read(erf(&[&syn(), &syn(), &syn()]));
    let first = 1_700_000_000_500_000_000;
    assert_eq!((times, accounting.tcp), (vec![first, first + 1_000_000_000, first + 2_000_000_000], 3));
    assert_eq!(
        (accounting.short_wire_lengths, accounting.cropped),
        (0, 0),
        "the record's header and padding are no part of it"
    );
    assert!(error.is_none());
    let mut file = erf(&[&syn()[..]; 6]);
    let len = file.len() / 6;
    file[5 * len + 8] = 99;
    let (times, _, error) = read(file);
    assert_eq!(times.len(), 5);
    assert!(matches!(error, Some(CaptureError::Damaged { offset, .. }) if offset == 5 * len as u64), "{error:?}");
}

#[test]
fn not_everything_is_erf() {
    for file in
        [&[0; 200][..], &[2; 200], b"Wed Oct 11 14:32:52 2000 [error] [client 127.0.0.1] client denied by server"]
    {
        assert!(matches!(read(file.to_vec()).2, Some(CaptureError::UnknownFormat { .. })));
    }
    let mut jumps = erf(&[&syn(), &syn()]);
    let second = jumps.len() / 2;
    jumps[second + 6] ^= 0x40;
    assert!(matches!(read(jumps).2, Some(CaptureError::UnknownFormat { .. })));
}

#[test]
fn captures_that_cat_has_joined() {
    let frame = syn();
    let [little, big] = BOTH;
    let pcap_of = |order, link, frame: &[u8]| pcap(order, 0xa1b2_c3d4, link, &[frame, frame]);
    let blocks = [section(little), interface(little, 1, None), enhanced(little, 0, 7_000_009, &frame)].concat();
    let parts = [
        pcap_of(little, 1, &frame),
        pcap_of(big, 1, &frame),
        pcap_of(little, 101, &frame[14..]),
        pcap(little, 0xa1b2_3c4d, 1, &[]),
        snoop(4, &[&frame]),
        blocks.clone(),
        pcap_of(little, 1, &frame),
        blocks.clone(),
        blocks,
        snoop(4, &[&frame]),
        snoop(4, &[&frame]),
        pcap_of(big, 228, &frame[14..]),
    ];
    let expected = 2 * 5 + 1 + 1 + 1 + 1 + 1 + 1;
    let (times, accounting, error) = read(parts.concat());
    assert!(error.is_none(), "{error:?}");
    assert_eq!((times.len(), accounting.tcp), (expected, expected as u64));
}

#[test]
fn each_joined_capture_has_a_section_of_its_own() {
    let [order, _] = BOTH;
    let blocks = [section(order), section(order), interface(order, 1, None), enhanced(order, 0, 5, &syn())].concat();
    let file = [pcap(order, 0xa1b2_c3d4, 1, &[&syn()]), blocks, pcap(order, 0xa1b2_c3d4, 12, &[&syn()[14..]])].concat();
    let mut capture = CaptureFile::from_reader(Cursor::new(file)).expect("a capture");
    let mut seen = Vec::new();
    while let Some((_, on)) = capture.next_with_interface().expect("undamaged") {
        seen.push((on.section, on.link_number));
    }
    assert_eq!(seen, [(0, 1), (2, 1), (3, 12)]);
}

#[test]
fn a_record_that_begins_like_a_file_is_a_record() {
    let [order, _] = BOTH;
    let mut file = pcap(order, 0xa1b2_c3d4, 1, &[&syn(), &syn()]);
    // In the year 2055, and 262146 microseconds after a full second.
    file[24..32].copy_from_slice(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
    assert_eq!(read(file).1.tcp, 2);
}

#[test]
fn empty_records_are_frames() {
    let (times, accounting, error) = read(pcap(BOTH[0], 0xa1b2_c3d4, 1, &[&syn(), &[], &syn()]));
    assert_eq!((times.len(), accounting.frames, accounting.tcp), (3, 3, 2));
    assert!(error.is_none());
}

#[test]
fn a_joined_header_that_is_cut_is_said() {
    let [order, _] = BOTH;
    let first = pcap(order, 0xa1b2_c3d4, 1, &[&syn()]);
    for len in 1..24 {
        let (times, _, error) = read([&first[..], &first[..len]].concat());
        assert_eq!(times.len(), 1, "{len}");
        assert!(
            matches!(error, Some(CaptureError::Truncated { offset, .. }) if offset == first.len() as u64) || len >= 16
        );
    }
}

/// The block with its length as it was before it was rounded, twice.
fn unrounded(order: Order, mut block: Vec<u8>, by: u32, is_padded: bool) -> Vec<u8> {
    let len = order.u32(block.len() as u32 - by);
    block[4..8].copy_from_slice(&len);
    let end = block.len() - 4;
    block[end..].copy_from_slice(&len);
    if !is_padded {
        block.drain(end - by as usize..end);
    }
    block
}

#[test]
fn block_lengths_that_are_not_rounded() {
    for order in BOTH {
        for is_padded in [true, false] {
            let mut file = [section(order), interface(order, 1, None)].concat();
            file.extend(unrounded(order, block(order, 0xbad, &[1; 6]), 2, is_padded));
            for _ in 0..2 {
                file.extend(unrounded(order, enhanced(order, 0, 5, &syn()), 2, is_padded));
            }
            file.extend(enhanced(order, 0, 5, &syn()));
            let (times, accounting, error) = read(file);
            assert!(error.is_none(), "{error:?}");
            assert_eq!((times.len(), accounting.tcp), (3, 3));
        }
    }
}

#[test]
fn block_lengths_that_fit_nowhere() {
    let [order, _] = BOTH;
    let head = [section(order), interface(order, 1, None)].concat();
    for len in [13, 17, 101, 4_000_001, u32::MAX] {
        let mut block = enhanced(order, 0, 5, &syn());
        block[4..8].copy_from_slice(&order.u32(len));
        let (times, _, error) = read([&head[..], &block].concat());
        assert!(times.is_empty());
        assert!(
            matches!(error, Some(CaptureError::Damaged { offset, .. }) if offset == head.len() as u64),
            "{error:?}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn damaged_files_end_in_an_error_or_not_at_all(
        which in 0..4_usize,
        edits in proptest::collection::vec((0..500_usize, proptest::num::u8::ANY), 0..12),
        keep in 0..500_usize,
    ) {
        let [order, _] = BOTH;
        let classic = || pcap(order, 0xa1b2_c3d4, 1, &[&syn()]);
        let mut file = match which {
            0 => snoop(4, &[&syn(), &syn(), &syn()]),
            1 => erf(&[&syn(), &syn(), &syn(), &syn()]),
            2 => [classic(), snoop(4, &[&syn()]), classic()].concat(),
            _ => [section(order), interface(order, 1, None), unrounded(order, enhanced(order, 0, 5, &syn()), 2, false)].concat(),
        };
        for (at, value) in edits {
            if let Some(byte) = file.get_mut(at) {
                *byte = value;
            }
        }
        file.truncate(keep);
        let (times, accounting, _) = read(file);
        proptest::prop_assert_eq!(times.len() as u64, accounting.frames);
    }
}
