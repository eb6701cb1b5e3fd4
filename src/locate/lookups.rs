//! How look-ups ended, counted.

use crate::locate::verdict::LocateError;
use crate::locate::verdict::Owner;
use crate::locate::verdict::Source;
use crate::metrics::counter::Counter;

/// Look-ups by how they ended.
#[derive(Debug, Default)]
pub struct Lookups {
    directory: Counter,
    stale: Counter,
    polled: Counter,
    absent: Counter,
    unknown: Counter,
}

impl Lookups {
    /// What the directory said does not hold, and all are asked. How that ends is counted as well.
    pub fn stale(&self) {
        self.stale.bump();
    }

    pub fn ended(&self, found: Result<&Owner, &LocateError>) {
        let counter = match found {
            Ok(owner) if owner.source == Source::Remembered => &self.directory,
            // Two owners were found by asking, too.
            Ok(_) | Err(LocateError::Ambiguous { .. } | LocateError::Contested { .. }) => {
                &self.polled
            }
            Err(LocateError::Nobody { .. }) => &self.absent,
            Err(
                LocateError::Refused { .. } | LocateError::Unasked { .. } | LocateError::Unready,
            ) => &self.unknown,
        };
        counter.bump();
    }

    pub fn counts(&self) -> [(&'static str, u64); 5] {
        [
            ("directory", &self.directory),
            ("stale", &self.stale),
            ("polled", &self.polled),
            ("absent", &self.absent),
            ("unknown", &self.unknown),
        ]
        .map(|(result, counter)| (result, counter.count()))
    }
}
