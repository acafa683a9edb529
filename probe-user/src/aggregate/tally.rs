//! Tally: counts connections by the words of a small vocabulary.

/// Counts by a word's place in its vocabulary; `N` is how many words there are.
///
/// In halves: there are thousands of these, each connection changes two of them, and the upper halves are hardly ever
/// anything but 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Tally<const N: usize> {
    low: [u32; N],
    high: Option<Box<[u32; N]>>,
}

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self { low: [0; N], high: None }
    }
}

impl<const N: usize> Tally<N> {
    /// One more.
    #[inline]
    pub(super) fn add(&mut self, word: usize) {
        self.low[word] = self.low[word].wrapping_add(1);
        if self.low[word] == 0 {
            self.carry(word);
        }
    }

    #[cold]
    fn carry(&mut self, word: usize) {
        self.high.get_or_insert_with(|| Box::new([0; N]))[word] += 1;
    }

    /// One that was counted under one word has another.
    pub(super) fn change(&mut self, from: usize, to: usize) {
        let count = self.count(from);
        if count > 0 {
            self.low[from] = (count - 1) as u32;
            if let Some(high) = self.high.as_mut() {
                high[from] = ((count - 1) >> 32) as u32;
            }
            self.add(to);
        }
    }

    /// How many were counted under a word.
    pub(super) fn count(&self, word: usize) -> u64 {
        let high = self.high.as_ref().map_or(0, |high| high[word]);
        u64::from(high) << 32 | u64::from(self.low[word])
    }

    /// Adds another tally.
    pub(super) fn merge(&mut self, other: &Self) {
        for word in 0..N {
            let count = self.count(word) + other.count(word);
            self.low[word] = count as u32;
            if count >> 32 > 0 {
                self.high.get_or_insert_with(|| Box::new([0; N]))[word] = (count >> 32) as u32;
            }
        }
    }

    /// The words that occurred, in their order.
    pub(super) fn of<W: Copy>(&self, words: &'static [W]) -> impl Iterator<Item = (W, u64)> {
        let counts = words.iter().enumerate().map(|(at, &word)| (word, self.count(at)));
        counts.filter(|entry| entry.1 > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    const WORDS: [&str; 3] = ["a", "b", "c"];

    #[test]
    fn words_that_occurred() {
        let mut tally = Tally::<3>::default();
        tally.add(2);
        tally.add(2);
        tally.change(2, 0);
        tally.change(1, 0);
        assert_eq!(tally.of(&WORDS).collect::<Vec<_>>(), [("a", 1), ("c", 1)]);
    }

    #[test]
    fn more_than_half_a_word_holds() {
        let mut tally = Tally::<3> { low: [u32::MAX, 0, 0], high: None };
        tally.add(0);
        tally.add(0);
        assert_eq!(tally.of(&WORDS).collect::<Vec<_>>(), [("a", (1 << 32) + 1)]);
        tally.change(0, 1);
        tally.change(0, 1);
        assert_eq!(tally.of(&WORDS).collect::<Vec<_>>(), [("a", u64::from(u32::MAX)), ("b", 2)]);
        tally.merge(&tally.clone());
        assert_eq!(tally.of(&WORDS).collect::<Vec<_>>(), [("a", 2 * u64::from(u32::MAX)), ("b", 4)]);
    }
}
