//! Counter arithmetic: raises small counters as far as they go and says what is beyond them.

/// Raises a counter as far as it goes; returns how much it could not be raised by.
#[inline]
pub(crate) fn raise<T: Copy + Into<u64> + TryFrom<u64>>(counter: &mut T, by: u32) -> u64 {
    let sum = (*counter).into() + u64::from(by);
    match T::try_from(sum) {
        Ok(fits) => {
            *counter = fits;
            0
        }
        Err(_) => over(counter, sum),
    }
}

/// Sets a counter to its maximum; returns what of `sum` is beyond it.
#[cold]
fn over<T: Copy + Into<u64> + TryFrom<u64>>(counter: &mut T, sum: u64) -> u64 {
    let most = (1 << (8 * size_of::<T>())) - 1;
    if let Ok(most) = T::try_from(most) {
        *counter = most;
    }
    sum - most
}
