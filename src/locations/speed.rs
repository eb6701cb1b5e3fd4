//! How fast one endpoint answers reads: what a hedge waits for, and what an endpoint is preferred for.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

/// Answers that are remembered of each kind.
const REMEMBERED: usize = 64;
/// Fewer say nothing of the twentieth.
const ENOUGH: usize = 16;

/// What is read. A list takes its time, and says nothing of how soon one thing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Thing,
    List,
}

/// Times from a read to the first byte of its answer.
#[derive(Debug, Default)]
pub struct Speed {
    things: Mutex<Times>,
    lists: Mutex<Times>,
}

/// The last ones, in the order of a ring.
#[derive(Debug, Default)]
struct Times {
    ring: Vec<Duration>,
    next: usize,
    /// As of the last few.
    p95: Option<Duration>,
}

impl Speed {
    pub fn note(&self, kind: Kind, took: Duration) {
        self.times(kind).note(took);
    }

    /// What nineteen of twenty answers stayed below; `None`: there were too few.
    pub fn p95(&self, kind: Kind) -> Option<Duration> {
        self.times(kind).p95
    }

    fn times(&self, kind: Kind) -> MutexGuard<'_, Times> {
        let times = match kind {
            Kind::Thing => &self.things,
            Kind::List => &self.lists,
        };
        times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Times {
    fn note(&mut self, took: Duration) {
        if self.ring.len() < REMEMBERED {
            self.ring.push(took);
        } else {
            self.ring[self.next] = took;
        }
        self.next = (self.next + 1) % REMEMBERED;
        // Sorting is for every few: the twentieth of so many hardly moves with one.
        if self.ring.len() >= ENOUGH && self.next.is_multiple_of(8) {
            let mut sorted = self.ring.clone();
            sorted.sort_unstable();
            self.p95 = sorted.get(sorted.len() * 19 / 20).copied();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn few_answers_say_nothing() {
        let speed = Speed::default();
        for _ in 1..ENOUGH {
            speed.note(Kind::Thing, MS);
        }
        assert_eq!(speed.p95(Kind::Thing), None);
        speed.note(Kind::Thing, MS);
        assert_eq!(speed.p95(Kind::Thing), Some(MS));
        assert_eq!(speed.p95(Kind::List), None, "another kind");
    }

    #[test]
    fn the_twentieth_is_what_counts_and_what_is_old_is_forgotten() {
        let speed = Speed::default();
        for number in 1..=64 {
            speed.note(Kind::List, MS * number);
        }
        assert_eq!(speed.p95(Kind::List), Some(MS * 61));
        for _ in 0..64 {
            speed.note(Kind::List, MS * 3);
        }
        assert_eq!(speed.p95(Kind::List), Some(MS * 3));
    }
}
