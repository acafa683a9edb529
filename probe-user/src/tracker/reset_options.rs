//! RST options: the option and the text of the first RST of each direction.
//!
//! Beside the connections and not in them: few RSTs say anything. At most [`MOST`] connections are kept.

use std::collections::BTreeMap;

use probe_ebpf::parse::RstOption;

/// Connections of which something is kept at once, by all partitions together.
pub(crate) const MOST: usize = 1 << 16;
/// Bytes of text that are kept.
pub(crate) const TEXT_LEN: usize = 64;

/// What an RST said beyond its header.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ResetOptions {
    /// The option that says most.
    pub option: RstOption,
    /// Its payload (RFC 9293 3.5.3), the first 64 bytes of it: text for people, as the sender wrote it.
    pub text: Box<[u8]>,
    /// When it was seen.
    pub time_ns: u64,
}

impl ResetOptions {
    /// The text when it is one: printable ASCII, white space at its end aside.
    pub fn printable(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.text).ok()?.trim_end_matches(['\0', '\r', '\n', ' ']);
        let is_text = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        (!text.is_empty() && is_text).then_some(text)
    }
}

/// By number of connection, and by sender: `lo`, `hi`.
#[derive(Debug)]
pub(crate) struct AllResetOptions {
    /// Connections at most.
    most: usize,
    of: BTreeMap<u64, [Option<ResetOptions>; 2]>,
}

impl AllResetOptions {
    /// None yet, and so many at most.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, of: BTreeMap::new() }
    }

    /// What the first RST that said anything said, of the connection of this number and the sender that `from_hi` names.
    pub(crate) fn of(&self, id: u64, from_hi: bool) -> Option<&ResetOptions> {
        self.of.get(&id)?[usize::from(from_hi)].as_ref()
    }

    /// The same of both senders: `lo`, `hi`.
    pub(crate) fn of_both(&self, id: u64) -> [Option<ResetOptions>; 2] {
        self.of.get(&id).cloned().unwrap_or_default()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// The same of one that has been written.
    pub(crate) fn take(&mut self, id: u64) -> [Option<ResetOptions>; 2] {
        self.of.remove(&id).unwrap_or_default()
    }

    /// False when there is no room.
    pub(crate) fn add(&mut self, id: u64, from_hi: bool, said: ResetOptions) -> bool {
        if self.of.len() >= self.most && !self.of.contains_key(&id) {
            return false;
        }
        self.of.entry(id).or_default()[usize::from(from_hi)].get_or_insert(said);
        true
    }
}

#[cfg(test)]
mod tests {
    use probe_ebpf::layout::FlowKey;

    use super::*;
    use crate::tracker::{Extra, Tracker, TrackerConfig, tests::Dialogue};

    #[test]
    fn the_first_word_of_each_side_is_kept_until_the_record_is_written() {
        let dialogue = Dialogue::new().play("ShAr");
        let mut tracker = Tracker::new(TrackerConfig::default());
        for segment in &dialogue.segments {
            tracker.observe(segment, Extra::default());
        }
        let rst = dialogue.segments[3];
        let (key, from_hi) = (rst.key, rst.record.from_hi());
        assert_eq!(tracker.reset_options(&key, from_hi), None);
        assert!(tracker.reset_said(&key, from_hi, RstOption::Mptcp(3), b"go away\0", 5));
        assert!(tracker.reset_said(&key, from_hi, RstOption::Md5, &[b'x'; 100], 6));
        assert!(tracker.reset_said(&key, !from_hi, RstOption::Md5, &[b'x'; 100], 7));
        let said = tracker.reset_options(&key, from_hi).expect("kept");
        assert_eq!((said.option, said.printable(), said.time_ns), (RstOption::Mptcp(3), Some("go away"), 5));
        assert_eq!(tracker.reset_options(&key, !from_hi).map(|said| said.text.len()), Some(64));
        assert!(!tracker.reset_said(&FlowKey::default(), false, RstOption::Ao, &[], 8));
        tracker.finish(dialogue.now);
        assert!(tracker.partition(&key).reset_options.is_empty());
    }

    #[test]
    fn only_text_is_printed() {
        let printable = |text: &[u8]| {
            let said = ResetOptions { text: text.into(), ..ResetOptions::default() };
            said.printable().map(str::to_owned)
        };
        assert_eq!(printable(b"<html>\r\n").as_deref(), Some("<html>"));
        assert_eq!([printable(b""), printable(b"\x33\xaa"), printable(b"a\x1b[0m")], [None, None, None]);
    }
}
