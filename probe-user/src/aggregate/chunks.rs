//! Chunked list: grows without being copied, as a copy would touch fresh pages.

/// So many entries in memory that is made at once: `N`. Only what was cloned is copied when it grows, once: the
/// last chunk of a clone has no room left.
#[derive(Clone, Debug)]
pub(super) struct Chunks<T, const N: usize> {
    /// All but the last are full.
    chunks: Vec<Vec<T>>,
}

impl<T, const N: usize> Default for Chunks<T, N> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T, const N: usize> Chunks<T, N> {
    pub(super) fn push(&mut self, one: T) {
        if let Some(chunk) = self.chunks.last_mut().filter(|chunk| chunk.len() < N) {
            chunk.push(one);
        } else {
            let mut chunk = Vec::with_capacity(N);
            chunk.push(one);
            self.chunks.push(chunk);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * N + last.len())
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.chunks.get_mut(at / N)?.get_mut(at % N)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stay_in_order() {
        let mut chunks = Chunks::<usize, 3>::default();
        for count in 0..10 {
            assert_eq!((chunks.len(), chunks.get_mut(count)), (count, None));
            chunks.push(count);
            assert!(chunks.iter().copied().eq(0..=count));
            assert!(chunks.iter_mut().map(|one| *one).eq(0..=count));
            assert_eq!(chunks.get_mut(count / 2), Some(&mut (count / 2)));
        }
    }
}
