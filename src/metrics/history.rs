//! What was counted minute by minute, and what changed: for people who want to know how it came to be as it is. All of
//! it is kept in bounded memory and forgotten when the process ends.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use jiff::Timestamp;

use crate::metrics::requests::Requests;

/// Minutes that are remembered.
pub const HOUR: usize = 60;
/// Changes that are remembered.
const CHANGES: usize = 100;
/// The longest text of one change, in characters: faults of a configuration may be many.
const TEXT: usize = 400;

/// The last few of something, the newest at the end.
#[derive(Debug)]
pub struct Recent<T, const MOST: usize>(Mutex<VecDeque<T>>);

impl<T, const MOST: usize> Default for Recent<T, MOST> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone, const MOST: usize> Recent<T, MOST> {
    pub fn push(&self, one: T) {
        let mut kept = self.kept();
        if kept.len() == MOST {
            kept.pop_front();
        }
        kept.push_back(one);
    }

    pub fn all(&self) -> Vec<T> {
        self.kept().iter().cloned().collect()
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many requests there were, by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub requests: u64,
    /// 4xx: the client's own errors, and what it may not do.
    pub refused: u64,
    /// 5xx.
    pub failed: u64,
    /// The client did not wait for an answer.
    pub left: u64,
}

impl Totals {
    /// Since the process began.
    pub fn of(requests: &Requests) -> Self {
        let mut totals = Self::default();
        for line in requests.counted() {
            totals.requests += line.count;
            match line.code {
                None => totals.left += line.count,
                Some(400..=499) => totals.refused += line.count,
                Some(500..) => totals.failed += line.count,
                Some(_) => {}
            }
        }
        totals
    }

    #[must_use]
    pub fn and(self, more: Self) -> Self {
        Self {
            requests: self.requests + more.requests,
            refused: self.refused + more.refused,
            failed: self.failed + more.failed,
            left: self.left + more.left,
        }
    }

    /// What has come since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            refused: self.refused.saturating_sub(before.refused),
            failed: self.failed.saturating_sub(before.failed),
            left: self.left.saturating_sub(before.left),
        }
    }
}

/// Requests of one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minute {
    pub ended: Timestamp,
    pub totals: Totals,
}

/// Whether a change is for the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    Worse,
    Better,
    /// Somebody wanted it so.
    Wanted,
}

/// Something that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub at: Timestamp,
    /// Of what: a location, some of them, the configuration.
    pub of: String,
    pub what: String,
    pub turn: Turn,
}

/// The last hour of the process, and what changed last.
#[derive(Debug, Default)]
pub struct History {
    minutes: Recent<Minute, HOUR>,
    /// What was counted when the last minute ended.
    counted: Mutex<Totals>,
    changes: Recent<Change, CHANGES>,
}

impl History {
    /// A minute is over.
    pub fn tick(&self, now: Timestamp, totals: Totals) {
        let mut counted = self.counted();
        self.minutes.push(Minute {
            ended: now,
            totals: totals.since(*counted),
        });
        *counted = totals;
    }

    /// The last hour, with the minute that is not over yet at the end.
    pub fn hour(&self, now: Timestamp, totals: Totals) -> Vec<Minute> {
        let counted = self.counted();
        let mut minutes = self.minutes.all();
        minutes.push(Minute {
            ended: now,
            totals: totals.since(*counted),
        });
        minutes
    }

    pub fn changed(&self, mut change: Change) {
        if let Some((end, _)) = change.what.char_indices().nth(TEXT) {
            change.what.truncate(end);
            change.what.push('…');
        }
        self.changes.push(change);
    }

    /// The newest first.
    pub fn changes(&self) -> Vec<Change> {
        let mut changes = self.changes.all();
        changes.reverse();
        changes
    }

    fn counted(&self) -> MutexGuard<'_, Totals> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the answers of one location took, minute by minute. Four bytes a minute: there may be thousands of locations.
#[derive(Debug, Default)]
pub struct Pace(Recent<Option<NonZeroU32>, HOUR>);

impl Pace {
    /// A minute is over; `None`: nothing was answered in it.
    pub fn tick(&self, took: Option<Duration>) {
        // `Option<NonZeroU32>` is no larger than `u32`, for which an answer in less than a microsecond counts as one.
        let micros = took.map(|took| u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        self.0
            .push(micros.map(|micros| NonZeroU32::new(micros).unwrap_or(NonZeroU32::MIN)));
    }

    pub fn minutes(&self) -> Vec<Option<Duration>> {
        let minutes = self.0.all().into_iter();
        minutes
            .map(|took| Some(Duration::from_micros(u64::from(took?.get()))))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::metrics::template::Template;

    #[test]
    fn an_hour_is_kept() {
        let history = History::default();
        let at = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
        let totals = |requests| Totals {
            requests,
            ..Totals::default()
        };
        for minute in 0..100 {
            history.tick(at(minute), totals(u64::try_from(minute * 10).unwrap()));
        }
        let hour = history.hour(at(100), totals(993));
        assert_eq!(hour.len(), HOUR + 1);
        assert_eq!((hour[0].ended, hour[0].totals.requests), (at(40), 10));
        assert_eq!((hour[60].ended, hour[60].totals.requests), (at(100), 3));
    }

    #[test]
    fn requests_by_how_they_ended() {
        let requests = Requests::new();
        for code in [200, 201, 404, 503, 503, 0] {
            requests.count(Template::NONE, &Method::GET, code, Duration::ZERO);
        }
        let totals = Totals {
            requests: 6,
            refused: 1,
            failed: 2,
            left: 1,
        };
        assert_eq!(Totals::of(&requests), totals);
        assert_eq!(totals.since(totals), Totals::default());
    }

    #[test]
    fn changes_are_bounded() {
        let history = History::default();
        for number in 0..=CHANGES {
            history.changed(Change {
                at: Timestamp::UNIX_EPOCH,
                of: number.to_string(),
                what: "é".repeat(TEXT + 1),
                turn: Turn::Worse,
            });
        }
        let changes = history.changes();
        assert_eq!(changes.len(), CHANGES);
        assert_eq!(changes[0].of, CHANGES.to_string());
        assert_eq!(changes[0].what.chars().count(), TEXT + 1);
        assert!(changes[0].what.ends_with("é…"));
    }

    #[test]
    fn a_pace_has_gaps() {
        let pace = Pace::default();
        for took in [
            Some(Duration::ZERO),
            None,
            Some(Duration::from_millis(7)),
            Some(Duration::from_hours(2)),
        ] {
            pace.tick(took);
        }
        let micros = pace
            .minutes()
            .into_iter()
            .map(|took| Some(took?.as_micros()));
        let micros: Vec<_> = micros.collect();
        assert_eq!(
            micros,
            [Some(1), None, Some(7000), Some(u128::from(u32::MAX))]
        );
    }
}
