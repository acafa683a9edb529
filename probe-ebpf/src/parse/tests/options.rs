//! TCP options.

use super::*;
use crate::layout::SACK_PERMITTED;

fn syn_options(options: &[u8]) -> SegmentRecord {
    let mut padded = options.to_vec();
    padded.resize(options.len().next_multiple_of(4), 0);
    parsed(&ether(ETHER_IPV4, &v4(&tcp_with(SYN, &padded, &[]))))
}

#[test]
fn options_of_a_syn_are_read() {
    // As Linux sends them: MSS, SACK permitted, timestamps, NOP, window scale.
    let record = syn_options(&[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7]);
    assert_eq!((record.mss, record.window_scale(), record.option_len), (1460, Some(7), 20));
    assert!(record.has(HAS_TIMESTAMPS | SACK_PERMITTED));
}

#[test]
fn window_scale_above_fourteen_counts_as_fourteen() {
    assert_eq!(syn_options(&[3, 3, 15]).window_scale(), Some(14));
    assert_eq!(syn_options(&[3, 3, 0]).window_scale(), Some(0));
}

#[test]
fn malformed_options_end_the_search_and_nothing_else() {
    let mss = [2, 4, 5, 180];
    let after = |broken: &[u8]| {
        let mut options = broken.to_vec();
        options.extend(mss);
        syn_options(&options).mss
    };
    assert_eq!(after(&[8, 0, 1, 1]), 0, "a length of 0 would loop for ever");
    assert_eq!(after(&[8, 1, 1, 1]), 0, "a length of 1 does not cover itself");
    assert_eq!(after(&[8, 200, 1, 1]), 0, "a length beyond the header");
    assert_eq!(after(&[0, 0, 0, 0]), 0, "end of options");
    assert_eq!(after(&[1, 1, 1, 1]), 1460, "NOPs are skipped");
    assert_eq!(after(&[77, 4, 0, 0]), 1460, "an unknown option is skipped");
    assert_eq!(after(&[2, 3, 9, 1]), 1460, "an MSS of the wrong size is not one");
    assert_eq!(syn_options(&[1, 1, 1, 2]).mss, 0, "a kind without a length");
}

#[test]
fn the_usual_timestamps_of_data_are_seen() {
    let frame = ether(ETHER_IPV4, &v4(&tcp_with(ACK, &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], &[0; 4])));
    assert!(parsed(&frame).has(HAS_TIMESTAMPS));
    let frame = ether(ETHER_IPV4, &v4(&tcp_with(ACK, &[8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1], &[0; 4])));
    assert!(parsed(&frame).has(HAS_TIMESTAMPS), "in another place, too");
}
