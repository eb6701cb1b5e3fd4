//! What counts: a number that grows, and durations in buckets. Neither has a lock.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub fn bump(&self) {
        // A number alone: nobody concludes from it what another thread has written.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the buckets, in seconds: from an answer within one rack to the default of `[api] request_deadline`.
pub const BOUNDS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// How long something took.
#[derive(Debug, Default)]
pub struct Histogram {
    /// The last one is for what is above all bounds.
    buckets: [Counter; BOUNDS.len() + 1],
    /// Microseconds.
    sum: AtomicU64,
}

impl Histogram {
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        // An upper bound belongs to its bucket (`le`).
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].bump();
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum.fetch_add(micros, Ordering::Relaxed);
    }

    /// Bound and number of each bucket; they do not include the ones before them.
    pub fn buckets(&self) -> [(f64, u64); BOUNDS.len() + 1] {
        let mut bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        self.buckets
            .each_ref()
            .map(|bucket| (bounds.next().unwrap_or(f64::INFINITY), bucket.count()))
    }

    /// In seconds.
    pub fn sum(&self) -> f64 {
        Duration::from_micros(self.sum.load(Ordering::Relaxed)).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_is_no_smaller() {
        let histogram = Histogram::default();
        for millis in [0, 5, 6, 60_000, 60_001] {
            histogram.observe(Duration::from_millis(millis));
        }
        let filled: Vec<_> = histogram
            .buckets()
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(
            filled,
            [(0.005, 2), (0.01, 1), (60.0, 1), (f64::INFINITY, 1)]
        );
        assert!((histogram.sum() - 120.012).abs() < 1e-9);
    }
}
