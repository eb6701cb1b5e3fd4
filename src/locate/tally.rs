//! What the directory holds, counted.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use crate::api::collection::Collection;

/// What there is, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries by the place of their collection in [`Collection::ALL`]; what is known by UUID and by name has two.
    pub entries: [usize; Collection::ALL.len()],
    /// UUIDs, and names, that more than one location was seen to have.
    pub contested_uuids: usize,
    pub contested_names: usize,
    /// Estimated, of memory.
    pub bytes: usize,
}

/// What was counted last. To count a million entries takes tens of milliseconds, so it is not done at every look.
#[derive(Debug)]
pub struct Counted<T>(Mutex<Option<Count<T>>>);

#[derive(Debug)]
struct Count<T> {
    at: Instant,
    took: Duration,
    found: T,
}

/// Counting may take a hundredth of one processor's time.
const SHARE: u32 = 100;

impl<T> Default for Counted<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Counted<T> {
    /// Counts again if that was not done a moment ago.
    pub fn get(&self, count: impl FnOnce() -> T) -> T {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.take().filter(|last| !last.is_old(Instant::now()));
        let fresh = known.unwrap_or_else(|| {
            let begun = Instant::now();
            let found = count();
            let at = Instant::now();
            Count {
                at,
                took: at - begun,
                found,
            }
        });
        last.insert(fresh).found.clone()
    }
}

impl<T> Count<T> {
    fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= self.took * SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_is_kept_long() {
        let at = Instant::now();
        let took = Duration::from_millis(20);
        let count = Count {
            at,
            took,
            found: (),
        };
        assert!(!count.is_old(at + took * (SHARE - 1)));
        assert!(count.is_old(at + took * SHARE));
    }
}
