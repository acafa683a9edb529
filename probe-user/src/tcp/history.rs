//! Zeek's history letters, kept inline as far as they fit.
//!
//! A `SmallVec` in each connection costs 6 % more time of reading, 13 % where all connections stay open, and 19 % more
//! memory per open connection, as it does not fit four lines of memory. A `String` in each record costs 3 % more time of
//! reading, 8 % where most connections are a lone SYN (2026-12-01).

use std::fmt;

/// Letters kept inline; nearly every history is shorter.
const INLINE: usize = 11;

/// The beginning of a history string.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct History {
    len: u8,
    letters: [u8; INLINE],
}

impl History {
    /// Appends one letter; false when there is no room left.
    #[inline(always)]
    pub(crate) fn push(&mut self, letter: u8) -> bool {
        let Some(free) = self.letters.get_mut(self.len as usize) else { return false };
        *free = letter;
        self.len += 1;
        true
    }

    /// The letters that fit.
    pub(crate) fn letters(&self) -> &[u8] {
        &self.letters[..self.len as usize]
    }

    /// Whether it is just this letter.
    pub(crate) fn is(&self, letter: u8) -> bool {
        self.len == 1 && self.letters[0] == letter
    }

    /// Begins anew.
    pub(crate) fn replace(&mut self, letters: &[u8]) {
        self.len = 0;
        for &letter in letters {
            self.push(letter);
        }
    }
}

/// The history letters of a record, as Zeek writes them; few letters take no memory of their own.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Letters {
    short: History,
    /// All of them, when they are too many.
    long: Option<Box<str>>,
}

impl Letters {
    #[inline]
    pub(crate) fn new(first: &History, more: &[u8]) -> Self {
        if more.is_empty() { Self { short: first.clone(), long: None } } else { Self::long(first, more) }
    }

    #[cold]
    fn long(first: &History, more: &[u8]) -> Self {
        let long: String = first.letters().iter().chain(more).map(|&letter| char::from(letter)).collect();
        Self { short: History::default(), long: Some(long.into()) }
    }

    /// The letters.
    pub fn as_str(&self) -> &str {
        // They are ASCII.
        self.long.as_deref().unwrap_or_else(|| str::from_utf8(self.short.letters()).unwrap_or_default())
    }
}

impl std::ops::Deref for Letters {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq<&str> for Letters {
    fn eq(&self, letters: &&str) -> bool {
        self.as_str() == *letters
    }
}

/// What was already noted, once per direction (Zeek TCP_Endpoint.h `HIST_*`); the responder's bits sit 8 higher.
pub(crate) mod seen {
    /// SYN or SYN-ACK.
    pub(crate) const SYN: u16 = 0x01;
    /// FIN.
    pub(crate) const FIN: u16 = 0x02;
    /// RST.
    pub(crate) const RST: u16 = 0x04;
    /// FIN and RST in one segment.
    pub(crate) const FIN_RST: u16 = 0x08;
    /// Payload.
    pub(crate) const DATA: u16 = 0x10;
    /// Pure ACK.
    pub(crate) const ACK: u16 = 0x20;
    /// SYN with FIN or RST.
    pub(crate) const MULTI: u16 = 0x40;
    /// No letter, and of the connection: the answer came with an earlier time than the first segment.
    pub(crate) const BACKDATED: u16 = 0x80;
    /// No letter, and of the connection: Zeek's `close_deferred`.
    pub(crate) const CLOSE_DEFERRED: u16 = 0x8000;
}

/// True when the `count`-th event of a kind is noted: the first, the tenth, the hundredth, ... (Zeek
/// `ScaledHistoryEntry`).
pub(crate) fn is_noted(count: u32) -> bool {
    matches!(count, 1 | 10 | 100 | 1_000 | 10_000 | 100_000 | 1_000_000 | 10_000_000 | 100_000_000 | 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_beyond_the_room_are_refused() {
        let mut history = History::default();
        let taken = (0..40).filter(|_| history.push(b'r')).count();
        assert_eq!((taken, history.letters().len()), (INLINE, INLINE));
        history.replace(b"H");
        assert!(history.is(b'H'));
    }

    #[test]
    fn repeated_events_are_noted_at_powers_of_ten() {
        let noted: Vec<u32> = (0..2000).filter(|&count| is_noted(count)).collect();
        assert_eq!(noted, [1, 10, 100, 1000]);
    }
}
