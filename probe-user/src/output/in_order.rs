//! In order: pieces that several threads make, taken one after the other by one of them.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Pieces that are made before it is their turn, per thread.
const AHEAD: usize = 3;

/// Makes `count` pieces by their numbers on so many threads, this one among them, and takes them in order; what is taken is
/// memory for a later piece.
///
/// # Errors
/// The first that taking says: then nothing more is made.
pub(crate) fn make_and_take<T: Default + Send, E>(
    threads: usize,
    count: usize,
    make: impl Fn(usize, &mut T) + Sync,
    mut take: impl FnMut(&T) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads.clamp(1, count.max(1));
    if threads == 1 {
        let mut piece = T::default();
        return (0..count).try_for_each(|number| {
            make(number, &mut piece);
            take(&piece)
        });
    }
    let shared = Shared { count, ahead: AHEAD * threads, state: Mutex::new(State::default()), changed: Condvar::new() };
    thread::scope(|scope| {
        // Whatever happens here, the others do not wait for it.
        let _ends = Ends(&shared);
        for _ in 1..threads {
            scope.spawn(|| {
                let ends = Ends(&shared);
                while let Some((number, mut piece)) = shared.claim() {
                    make(number, &mut piece);
                    shared.put(number, piece);
                }
                // Only a panic is an end for all.
                std::mem::forget(ends);
            });
        }
        while let Some(turn) = shared.turn() {
            match turn {
                Turn::Take(piece) => {
                    take(&piece)?;
                    shared.give_back(piece);
                }
                Turn::Make(number, mut piece) => {
                    make(number, &mut piece);
                    shared.put(number, piece);
                }
            }
        }
        Ok(())
    })
}

/// What the one that takes does next.
enum Turn<T> {
    Take(T),
    Make(usize, T),
}

struct Shared<T> {
    count: usize,
    /// So many are made before they are taken.
    ahead: usize,
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    /// The first that nobody makes yet.
    next: usize,
    /// Taken.
    taken: usize,
    /// From the first one on that is not taken.
    made: VecDeque<Option<T>>,
    /// Memory.
    spare: Vec<T>,
    is_over: bool,
}

impl<T> Default for State<T> {
    fn default() -> Self {
        Self { next: 0, taken: 0, made: VecDeque::new(), spare: Vec::new(), is_over: false }
    }
}

impl<T: Default> State<T> {
    fn claim(&mut self, shared: &Shared<T>) -> Option<(usize, T)> {
        if self.next == shared.count || self.next >= self.taken + shared.ahead {
            return None;
        }
        self.next += 1;
        self.made.push_back(None);
        Some((self.next - 1, self.spare.pop().unwrap_or_default()))
    }
}

impl<T: Default> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The next piece to make, waited for while too many are made already; `None` where there is none.
    fn claim(&self) -> Option<(usize, T)> {
        let mut state = self.lock();
        loop {
            if state.is_over || state.next == self.count {
                return None;
            }
            if let Some(claimed) = state.claim(self) {
                return Some(claimed);
            }
            state = self.wait(state);
        }
    }

    fn put(&self, number: usize, piece: T) {
        let mut state = self.lock();
        let place = number - state.taken;
        state.made[place] = Some(piece);
        drop(state);
        self.changed.notify_all();
    }

    /// What the one that takes does: takes the next, or makes one as long as that is not there. `None` at the end.
    fn turn(&self) -> Option<Turn<T>> {
        let mut state = self.lock();
        loop {
            if state.is_over || state.taken == self.count {
                return None;
            }
            if let Some(piece) = state.made.front_mut().and_then(Option::take) {
                state.made.pop_front();
                state.taken += 1;
                return Some(Turn::Take(piece));
            }
            if let Some((number, piece)) = state.claim(self) {
                return Some(Turn::Make(number, piece));
            }
            state = self.wait(state);
        }
    }

    fn give_back(&self, piece: T) {
        self.lock().spare.push(piece);
        self.changed.notify_all();
    }
}

/// Nobody waits any more once this is dropped.
struct Ends<'a, T: Default>(&'a Shared<T>);

impl<T: Default> Drop for Ends<'_, T> {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[test]
    fn any_number_of_threads_gives_the_same() {
        for (threads, count) in [(0, 5), (1, 0), (1, 9), (2, 0), (2, 1), (2, 500), (8, 3), (8, 500)] {
            let mut all = Vec::new();
            let make = |number: usize, piece: &mut usize| *piece = number;
            let taken = make_and_take(threads, count, make, |piece| {
                all.push(*piece);
                Ok::<_, ()>(())
            });
            assert_eq!(taken, Ok(()));
            assert!(all.iter().copied().eq(0..count), "{threads} {count}: {all:?}");
        }
    }

    #[test]
    fn what_cannot_be_taken_ends_it() {
        for threads in [1, 2, 8] {
            let made = AtomicUsize::new(0);
            let make = |number: usize, piece: &mut usize| {
                made.fetch_add(1, Ordering::Relaxed);
                *piece = number;
            };
            let taken =
                make_and_take(threads, 1_000_000, make, |number| if *number < 7 { Ok(()) } else { Err(*number) });
            assert_eq!(taken, Err(7));
            assert!(made.load(Ordering::Relaxed) <= 8 + AHEAD * threads, "{made:?}");
        }
    }

    #[test]
    fn a_panic_of_one_is_one_of_all() {
        for threads in [1, 2, 8] {
            let make = |number: usize, (): &mut ()| assert!(number != 20, "as it is to be");
            let panicked = catch_unwind(AssertUnwindSafe(|| make_and_take(threads, 1000, make, |()| Ok::<_, ()>(()))));
            assert!(panicked.is_err(), "{threads}");
        }
    }
}
