//! Room for the text of a line: bytes that are there already, written from the left.
//!
//! For text of which there is very much: whether there is enough is asked once for a line, and a number, an address or a word
//! costs a few instructions then, no call and no memory of its own.

#![expect(clippy::inline_always, reason = "a line is compiled as one, so that where it stands stays in a register")]

use std::{
    net::{IpAddr, Ipv6Addr},
    time::{Duration, UNIX_EPOCH},
};

use crate::printable::json::push_string;

/// Bytes of an escape, per byte of what it stands for, at most: `\u001b`.
pub(super) const ESCAPED: usize = 6;

/// See the module. What does not fit is a mistake of who asked for the room.
pub(super) struct Room<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> Room<'a> {
    /// These bytes, from the first one on.
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes that are written.
    pub(super) fn len(&self) -> usize {
        self.at
    }

    /// Text whose length is known to the compiler.
    #[inline(always)]
    pub(super) fn put(&mut self, text: &[u8]) {
        self.bytes[self.at..self.at + text.len()].copy_from_slice(text);
        self.at += text.len();
    }

    /// One ASCII character.
    #[inline(always)]
    pub(super) fn put_byte(&mut self, byte: u8) {
        self.bytes[self.at] = byte;
        self.at += 1;
    }

    /// A word: any text, at its best where it is of no more than 32 bytes.
    #[inline(always)]
    pub(super) fn put_word(&mut self, word: &str) {
        let (from, len) = (word.as_bytes(), word.len());
        let to = &mut self.bytes[self.at..self.at + len];
        match len {
            // The ends, which meet.
            4..8 => put_ends::<4>(to, from),
            8..16 => put_ends::<8>(to, from),
            16..33 => put_ends::<16>(to, from),
            33.. => to.copy_from_slice(from),
            _ => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
        }
        self.at += len;
    }

    /// A number in decimal.
    #[inline(always)]
    pub(super) fn put_number(&mut self, number: u64) {
        if number < 10 {
            self.put_byte(b'0' + number as u8);
        } else {
            self.at = put_digits(self.bytes, self.at, number);
        }
    }

    /// Six digits: a part of a million.
    #[inline(always)]
    pub(super) fn put_millionths(&mut self, number: u32) {
        self.at = put_pair(self.bytes, self.at, number / 10_000);
        self.at = put_four(self.bytes, self.at, number % 10_000);
    }

    /// Two digits: a part of a hundred.
    #[inline(always)]
    pub(super) fn put_two(&mut self, number: u32) {
        self.at = put_pair(self.bytes, self.at, number);
    }

    /// Three digits: a part of a thousand.
    #[inline(always)]
    pub(super) fn put_thousandths(&mut self, number: u32) {
        self.put_byte(b'0' + (number / 100) as u8);
        self.at = put_pair(self.bytes, self.at, number % 100);
    }

    /// A number as JSON has it: with a fraction, and with no more digits than tell it from others.
    #[inline(always)]
    #[expect(clippy::cast_sign_loss, reason = "what is negative is not the same then")]
    pub(super) fn put_float(&mut self, number: f64) {
        let whole = number as u64;
        if (whole as f64).to_bits() == number.to_bits() && whole < 1 << 53 {
            self.put_number(whole);
            self.put(b".0");
        } else {
            // What the serializer of JSON takes as well. None of ours is infinite.
            self.put_word(zmij::Buffer::new().format_finite(number));
        }
    }

    /// `number as f64 / 1e9` as [`Self::put_float`] has it.
    #[inline(always)]
    pub(super) fn put_billionths(&mut self, number: u64) {
        self.put_quotient::<1_000_000_000>(number);
    }

    /// `number / UNIT`, a power of ten. As long as such quotients are farther from each other than numbers with a fraction
    /// are, the fewest digits that tell it from others are its own.
    #[inline(always)]
    pub(super) fn put_quotient<const UNIT: u64>(&mut self, number: u64) {
        const { assert!(UNIT == 1_000_000 || UNIT == 1_000_000_000) };
        // Below 2^23 and 2^33, two neighbours among 64-bit floats differ by less than the unit.
        let is_exact = number < 8_000_000_000_000_000;
        // Below 1e-5 it has an exponent.
        if number != 0 && number < UNIT / 100_000 || !is_exact {
            return self.put_float(number as f64 / UNIT as f64);
        }
        self.put_number(number / UNIT);
        self.put_byte(b'.');
        let fraction = number % UNIT;
        if fraction == 0 {
            return self.put_byte(b'0');
        }
        let fraction = if UNIT == 1_000_000 { fraction * 1000 } else { fraction } as u32;
        self.put_byte(b'0' + (fraction / 100_000_000) as u8);
        self.at = put_four(self.bytes, self.at, fraction / 10_000 % 10_000);
        self.at = put_four(self.bytes, self.at, fraction % 10_000);
        while self.bytes[self.at - 1] == b'0' {
            self.at -= 1;
        }
    }

    /// An address as [`std::fmt::Display`] has it.
    #[inline(always)]
    pub(super) fn put_address(&mut self, address: IpAddr) {
        self.at = match address {
            IpAddr::V4(address) => put_ipv4(self.bytes, self.at, address.octets()),
            IpAddr::V6(address) => put_ipv6(self.bytes, self.at, address),
        };
    }

    /// A JSON string, its quotes included; takes [`ESCAPED`] times its bytes at most.
    #[inline(always)]
    pub(super) fn put_string(&mut self, text: &str) {
        if is_plain(text) {
            self.put_byte(b'"');
            self.put_word(text);
            self.put_byte(b'"');
        } else {
            self.at = put_escaped(self.bytes, self.at, text);
        }
    }
}

/// Nothing in it is to be escaped. Eight bytes at once.
#[inline(always)]
fn is_plain(text: &str) -> bool {
    let text = text.as_bytes();
    let (words, rest) = text.as_chunks::<8>();
    let special = words.iter().fold(0, |special, word| special | special_of(u64::from_le_bytes(*word)));
    let last = match (text.last_chunk::<8>(), rest) {
        (_, []) => 0,
        // What was looked at already, in part.
        (Some(word), _) => special_of(u64::from_le_bytes(*word)),
        (None, rest) => {
            let word = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            // Spaces in front of it.
            special_of(word | (EACH * u64::from(b' ')) << (rest.len() * 8))
        }
    };
    special | last == 0
}

/// One in each byte.
const EACH: u64 = u64::MAX / 255;

/// The highest bits of bytes that are to be escaped, and of some after these: zero where there are none.
#[inline(always)]
fn special_of(word: u64) -> u64 {
    let is_below = |word: u64, limit: u8| word.wrapping_sub(EACH * u64::from(limit)) & !word;
    let is_one_of = |byte: u8| is_below(word ^ (EACH * u64::from(byte)), 1);
    // From DEL on, one more reaches the highest bit.
    let beyond = word | word.wrapping_add(EACH);
    (is_below(word, b' ') | is_one_of(b'"') | is_one_of(b'\\') | beyond) & EACH << 7
}

#[cold]
fn put_escaped(bytes: &mut [u8], at: usize, text: &str) -> usize {
    let mut escaped = String::with_capacity(text.len() + 16);
    push_string(&mut escaped, text);
    bytes[at..at + escaped.len()].copy_from_slice(escaped.as_bytes());
    at + escaped.len()
}

/// The first `N` bytes and the last.
#[inline(always)]
fn put_ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
        *to = *from;
    }
}

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    pairs
};

/// Two digits of a number below 100.
#[inline(always)]
fn put_pair(bytes: &mut [u8], at: usize, number: u32) -> usize {
    bytes[at..at + 2].copy_from_slice(&PAIRS[number as usize]);
    at + 2
}

/// Four digits of a number below 10,000.
#[inline(always)]
fn put_four(bytes: &mut [u8], at: usize, number: u32) -> usize {
    let ([a, b], [c, d]) = (PAIRS[(number / 100) as usize], PAIRS[(number % 100) as usize]);
    bytes[at..at + 4].copy_from_slice(&[a, b, c, d]);
    at + 4
}

/// As many digits as it has, of a number below 10,000.
#[inline(always)]
fn put_few(bytes: &mut [u8], at: usize, number: u32) -> usize {
    match number {
        0..10 => {
            bytes[at] = b'0' + number as u8;
            at + 1
        }
        10..100 => put_pair(bytes, at, number),
        100..1000 => {
            bytes[at] = b'0' + (number / 100) as u8;
            put_pair(bytes, at + 1, number % 100)
        }
        _ => put_four(bytes, at, number),
    }
}

fn put_digits(bytes: &mut [u8], at: usize, number: u64) -> usize {
    const FOUR: u64 = 10_000;
    const EIGHT: u64 = FOUR * FOUR;
    if number < FOUR {
        return put_few(bytes, at, number as u32);
    }
    if number < EIGHT {
        let at = put_few(bytes, at, (number / FOUR) as u32);
        return put_four(bytes, at, (number % FOUR) as u32);
    }
    let at = put_digits(bytes, at, number / EIGHT);
    let low = (number % EIGHT) as u32;
    let at = put_four(bytes, at, low / FOUR as u32);
    put_four(bytes, at, low % FOUR as u32)
}

/// `0.` to `255.`, filled up to four bytes, and how many they are.
const OCTETS: [([u8; 4], u8); 256] = {
    let mut octets = [([0; 4], 0); 256];
    let mut number = 0;
    while number < 256 {
        let (text, len) = &mut octets[number];
        let [hundreds, tens, ones] = [number / 100, number / 10 % 10, number % 10];
        let digits = [hundreds as u8 + b'0', tens as u8 + b'0', ones as u8 + b'0'];
        let (mut from, mut to) = (
            if hundreds > 0 {
                0
            } else if tens > 0 {
                1
            } else {
                2
            },
            0,
        );
        while from < 3 {
            text[to] = digits[from];
            (from, to) = (from + 1, to + 1);
        }
        text[to] = b'.';
        *len = to as u8 + 1;
        number += 1;
    }
    octets
};

#[inline(always)]
fn put_ipv4(bytes: &mut [u8], mut at: usize, octets: [u8; 4]) -> usize {
    for octet in octets {
        let (text, len) = &OCTETS[octet as usize];
        bytes[at..at + 4].copy_from_slice(text);
        at += *len as usize;
    }
    at - 1
}

/// By RFC 5952: the first of the longest runs of zeros is left out.
fn put_ipv6(bytes: &mut [u8], mut at: usize, address: Ipv6Addr) -> usize {
    if let Some(address) = address.to_ipv4_mapped() {
        bytes[at..at + 7].copy_from_slice(b"::ffff:");
        return put_ipv4(bytes, at + 7, address.octets());
    }
    let segments = address.segments();
    let (mut begin, mut len) = (0, 0);
    let mut run = 0;
    for (number, &segment) in segments.iter().enumerate() {
        run = if segment == 0 { run + 1 } else { 0 };
        if run > len {
            (begin, len) = (number + 1 - run, run);
        }
    }
    let left_out = if len > 1 { begin..begin + len } else { 0..0 };
    for (number, segment) in segments.into_iter().enumerate() {
        if left_out.contains(&number) {
            // One colon is there already, where something came before.
            if number == left_out.start {
                bytes[at] = b':';
                at += 1;
                if number == 0 {
                    bytes[at] = b':';
                    at += 1;
                }
            }
            continue;
        }
        at = put_hexadecimal(bytes, at, segment);
        if number < 7 {
            bytes[at] = b':';
            at += 1;
        }
    }
    at
}

fn put_hexadecimal(bytes: &mut [u8], mut at: usize, number: u16) -> usize {
    let mut shift = 12 - (number.leading_zeros() / 4 * 4).min(12);
    loop {
        bytes[at] = b"0123456789abcdef"[usize::from(number >> shift & 0xf)];
        at += 1;
        if shift == 0 {
            return at;
        }
        shift -= 4;
    }
}

/// Times in RFC 3339, the last day of which is remembered: lines that follow each other have it in common.
pub(super) struct Times {
    day: u64,
    /// `2023-11-14T`
    date: [u8; 11],
}

impl Times {
    /// Of no day yet.
    pub(super) fn new() -> Self {
        Self { day: u64::MAX, date: [b' '; 11] }
    }

    /// A time in UTC with microseconds, of nanoseconds since 1970.
    #[inline(always)]
    pub(super) fn put(&mut self, room: &mut Room<'_>, ns: u64) {
        let seconds = ns / 1_000_000_000;
        let (day, seconds) = (seconds / 86_400, (seconds % 86_400) as u32);
        if day != self.day {
            self.change(day);
        }
        room.put(&self.date);
        room.put_two(seconds / 3600);
        room.put_byte(b':');
        room.put_two(seconds / 60 % 60);
        room.put_byte(b':');
        room.put_two(seconds % 60);
        room.put_byte(b'.');
        room.put_millionths((ns % 1_000_000_000 / 1000) as u32);
        room.put_byte(b'Z');
    }

    #[cold]
    fn change(&mut self, day: u64) {
        let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(day * 86_400)).to_string();
        if let Some(date) = text.as_bytes().first_chunk() {
            (self.day, self.date) = (day, *date);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        printable,
        report::{random_records, text},
    };

    fn written(write: impl FnOnce(&mut Room<'_>)) -> String {
        let mut bytes = [b'x'; 4096];
        let mut room = Room::new(&mut bytes);
        write(&mut room);
        let len = room.len();
        String::from_utf8(bytes[..len].to_vec()).expect("text")
    }

    /// What a serializer of JSON makes of a number.
    fn json(number: f64) -> String {
        printable::json::line(&number).expect("a number")
    }

    #[test]
    fn every_length_of_a_number_and_of_a_word() {
        for number in (0..20).flat_map(|digits| [10_u64.pow(digits) - 1, 10_u64.pow(digits)]).chain([u64::MAX]) {
            assert_eq!(written(|room| room.put_number(number)), number.to_string());
        }
        for len in 0..100 {
            let word = "abcdefghij".repeat(10)[..len].to_owned();
            assert_eq!(written(|room| room.put_word(&word)), word);
        }
    }

    #[test]
    fn quotients_are_those_of_numbers_with_a_fraction() {
        let whole =
            [0, 1, 9, 8_388_607, 8_388_608, 9_007_199, 1_700_000_000, 8_589_934_591, 8_589_934_592, 18_446_744_073];
        let fractions = [0, 1, 9_999, 10_000, 10_001, 99_999, 100_000, 123_456_789, 500_000_000, 999_999_999];
        for (whole, fraction) in whole.into_iter().flat_map(|whole| fractions.map(|fraction| (whole, fraction))) {
            let billionths = (whole * 1_000_000_000_u64).saturating_add(fraction);
            assert_eq!(written(|room| room.put_billionths(billionths)), json(billionths as f64 / 1e9));
            let millionths = billionths / 1000;
            assert_eq!(written(|room| room.put_quotient::<1_000_000>(millionths)), json(millionths as f64 / 1e6));
        }
    }

    #[test]
    fn times_of_different_days() {
        let mut times = Times::new();
        for ns in [
            0,
            1_700_000_000_123_456_789,
            1_700_000_000_999_999_999,
            1_700_006_399_999_999_999,
            1_700_006_400_000_000_000,
            u64::MAX,
            1,
        ] {
            assert_eq!(written(|room| times.put(room, ns)), text::timestamp(ns));
        }
    }

    proptest! {
        #[test]
        fn numbers(number in random_records::number(), bits in any::<u64>()) {
            prop_assert_eq!(written(|room| Times::new().put(room, number)), text::timestamp(number));
            prop_assert_eq!(written(|room| room.put_number(number)), number.to_string());
            prop_assert_eq!(written(|room| room.put_billionths(number)), json(number as f64 / 1e9));
            prop_assert_eq!(written(|room| room.put_quotient::<1_000_000>(number)), json(number as f64 / 1e6));
            let float = f64::from_bits(bits >> 1);
            if float.is_finite() {
                prop_assert_eq!(written(|room| room.put_float(float)), json(float));
            }
            prop_assert_eq!(written(|room| room.put_float(number as f64)), json(number as f64));
        }

        #[test]
        fn addresses_and_strings(one in random_records::record(), text in random_records::text()) {
            for address in [one.orig.ip(), one.resp.ip()] {
                prop_assert_eq!(written(|room| room.put_address(address)), address.to_string());
            }
            prop_assert_eq!(written(|room| room.put_string(&text)), printable::json::line(&text).expect("a string"));
        }
    }
}
