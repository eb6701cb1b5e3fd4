//! What the directory holds, counted.

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

/// The last tally. To count a million entries takes tens of milliseconds, so it is not done at every look.
#[derive(Debug)]
pub struct Counted {
    at: Instant,
    took: Duration,
    pub tally: Tally,
}

/// Counting may take a hundredth of one processor's time.
const SHARE: u32 = 100;

impl Counted {
    pub fn new(count: impl FnOnce() -> Tally) -> Self {
        let begun = Instant::now();
        let tally = count();
        let at = Instant::now();
        Self {
            at,
            took: at - begun,
            tally,
        }
    }

    pub fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= self.took * SHARE
    }
}
