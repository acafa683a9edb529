//! Flood classification: recognises openings and refusals, and the service that they are charged to.
//!
//! A flow that shows an opening and nothing more costs a slot and tells little. When there are too many of them (of one
//! service, or for the table), they are counted by service, and the latest are kept where the agent finds them as soon
//! as the flow shows anything else. Established conversations, FINs and RSTs keep slots and log for themselves.
//!
//! Must not know: maps, clocks, where rows come from.

use crate::layout::{ACK, FIN, FlowKey, ROW_USED, RST, SERVICE_ROWS, SYN, SegmentRecord, ServiceRow, keyed_product};

/// True for a SYN, a SYN-ACK, and the RST that answers a SYN to a closed port (RFC 9293 3.10.7.1: `SEQ=0`, ACK).
#[inline(always)]
#[must_use]
pub fn is_opening(record: &SegmentRecord) -> bool {
    match record.flags & (SYN | FIN | RST | ACK) {
        SYN => true,
        flags if flags == SYN | ACK => true,
        flags if flags == RST | ACK => record.seq == 0,
        _ => false,
    }
}

/// A service as a [`ServiceRow`] names it: two address words, and the `place`.
pub type Service = (u64, u64, u64);

/// The service that a segment is charged to: the sender of a SYN-ACK or of the RST that refuses, the receiver otherwise.
#[inline(always)]
#[must_use]
pub fn service(key: &FlowKey, record: &SegmentRecord) -> Service {
    let syn_ack = record.flags & (SYN | ACK) == SYN | ACK;
    let refusal = record.flags & (RST | ACK) == RST | ACK && record.seq == 0;
    let of_hi = record.from_hi() == (syn_ack | refusal);
    let (a, b, shift) = if of_hi { (key.words[2], key.words[3], 16) } else { (key.words[0], key.words[1], 0) };
    let last = key.words[4];
    (a, b, last >> shift & 0xffff | ROW_USED | last >> 32 << 32)
}

/// First of the [`crate::layout::SERVICE_PROBES`] rows, counted from 0 and going round, in which a service may be.
#[inline(always)]
#[must_use]
pub fn first_row((a, b, place): Service, seed: u64) -> u32 {
    // As a flow key is hashed. Products by a constant carried no bit of a domain beyond the 16th to the bits that choose.
    const K: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];
    let product = |word: u64, of: usize| keyed_product(word, seed.wrapping_mul(K[of]));
    let mut h = product(a, 0) ^ product(b, 1) ^ product(place, 2);
    h ^= h >> 32;
    h = h.wrapping_mul(0xd6e8_feb8_6659_fd93);
    (h >> 40) as u32 & (SERVICE_ROWS as u32 - 1)
}

/// True for the row of this service.
#[inline(always)]
#[must_use]
pub fn is_row_of(row: &ServiceRow, (a, b, place): Service) -> bool {
    (row.address[0] ^ a) | (row.address[1] ^ b) | (row.place ^ place) == 0
}

/// Makes `row` the row of another service.
#[inline(always)]
pub fn take_row(row: &mut ServiceRow, (a, b, place): Service) {
    row.address[0] = a;
    row.address[1] = b;
    row.place = place;
    row.opened = 0;
}

/// Counts one segment that is in no slot and in no log.
#[inline(always)]
pub fn charge(row: &mut ServiceRow, flags: u16) {
    let bit = |mask: u16| (flags & mask != 0) as u32;
    let (syn, ack) = (bit(SYN), bit(ACK));
    row.syn += syn & (ack ^ 1);
    row.syn_ack += syn & ack;
    row.fin += bit(FIN);
    row.rst += bit(RST);
    row.data += bit(SYN | FIN | RST) ^ 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Endpoint, FROM_HI};

    fn ends() -> (Endpoint, Endpoint) {
        let end = |host, port| Endpoint::v4(u32::from_ne_bytes([10, 0, 0, host]), port);
        (end(1, 40_000), end(2, 80))
    }

    fn charged(from: Endpoint, to: Endpoint, flags: u16, seq: u32) -> Service {
        let (key, from_hi) = FlowKey::normalised(from, to, 7);
        let flags = flags | if from_hi { FROM_HI } else { 0 };
        service(&key, &SegmentRecord { seq, flags, ..SegmentRecord::default() })
    }

    #[test]
    fn what_opens_and_answers_is_charged_to_the_service() {
        let (client, server) = ends();
        let expected = (server.a, server.b, ROW_USED + 80 + (7 << 32));
        assert_eq!(charged(client, server, SYN, 1), expected);
        assert_eq!(charged(server, client, SYN | ACK, 1), expected);
        assert_eq!(charged(server, client, RST | ACK, 0), expected, "port closed");
        assert_eq!(charged(client, server, RST, 9), expected, "a spoofed client that knows of nothing");
        assert_eq!(charged(client, server, FIN | ACK, 9), expected);
        assert_eq!(charged(client, server, ACK, 9), expected);
    }

    #[test]
    fn openings_are_syn_syn_ack_and_the_refusal() {
        let record = |flags, seq| SegmentRecord { seq, flags, ..SegmentRecord::default() };
        assert!(is_opening(&record(SYN, 5)) && is_opening(&record(SYN | ACK | FROM_HI, 5)));
        assert!(is_opening(&record(RST | ACK, 0)));
        for (flags, seq) in [(RST | ACK, 1), (RST, 0), (ACK, 0), (FIN | ACK, 0), (SYN | FIN, 0), (SYN | RST, 0)] {
            assert!(!is_opening(&record(flags, seq)), "{flags:#x}");
        }
    }

    #[test]
    fn no_pattern_of_services_is_a_pattern_of_rows() {
        const SERVICES: u64 = 4096;
        let address = |last: u64| 0xffff_u64 << 32 | last << 56;
        let sets: [fn(u64) -> Service; 5] = [
            |i| (0, i << 48, ROW_USED + 443),
            |i| (0, 7, ROW_USED + i),
            |i| (0, 7, ROW_USED + 443 + (i << 32)),
            // Virtual networks by their upper byte and half of the next.
            |i| (0, 7, ROW_USED + 443 + (i << 44)),
            |i| (i << 52, 7, ROW_USED + 443),
        ];
        for (number, set) in sets.iter().enumerate() {
            for seed in (1..40).map(|seed: u64| seed.wrapping_mul(0x5851_f42d_4c95_7f2d)) {
                let mut rows = [0_u64; SERVICE_ROWS];
                for i in 0..SERVICES {
                    let (a, b, place) = set(i);
                    rows[first_row((a, b ^ address(9), place), seed) as usize] += 1;
                }
                let mean = SERVICES / SERVICE_ROWS as u64;
                let chi = rows.iter().map(|count| count.abs_diff(mean).pow(2)).sum::<u64>() as f64 / mean as f64;
                // Degrees of freedom, and six standard deviations.
                let bound = 255.0 + 6.0 * 22.6;
                assert!(chi < bound, "set {number}, seed {seed:#x}: {chi}");
            }
        }
    }

    #[test]
    fn every_flag_is_counted() {
        let mut row = ServiceRow::default();
        take_row(&mut row, (1, 2, ROW_USED + 80));
        assert!(row.is_replaceable() && is_row_of(&row, (1, 2, ROW_USED + 80)));
        for flags in [SYN, SYN | ACK, SYN | FIN, RST | ACK, ACK] {
            charge(&mut row, flags);
        }
        assert_eq!((row.syn, row.syn_ack, row.fin, row.rst, row.data), (2, 1, 1, 1, 1));
        assert!(!row.is_replaceable());
    }
}
