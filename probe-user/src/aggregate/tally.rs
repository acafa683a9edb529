//! How many connections have each word of a small vocabulary.

/// Counts by a word's place in its vocabulary; `N` is how many words there are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Tally<const N: usize>([u64; N]);

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Tally<N> {
    /// One more.
    pub(super) fn add(&mut self, word: usize) {
        self.0[word] += 1;
    }

    /// One that was counted under one word has another.
    pub(super) fn change(&mut self, from: usize, to: usize) {
        if self.0[from] > 0 {
            self.0[from] -= 1;
            self.0[to] += 1;
        }
    }

    /// The words that occurred, in their order.
    pub(super) fn of<W: Copy>(&self, words: &'static [W]) -> impl Iterator<Item = (W, u64)> {
        words.iter().copied().zip(self.0).filter(|entry| entry.1 > 0)
    }

    /// Reads something, so that it is near.
    pub(super) fn touch(&self) -> u64 {
        self.0[0] ^ self.0[N / 3] ^ self.0[N - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn words_that_occurred() {
        let mut tally = Tally::<3>::default();
        tally.add(2);
        tally.add(2);
        tally.change(2, 0);
        tally.change(1, 0);
        assert_eq!(tally.of(&["a", "b", "c"]).collect::<Vec<_>>(), [("a", 1), ("c", 1)]);
    }
}
