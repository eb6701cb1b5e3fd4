//! What is observed of a location, for those who run it: whether it can be asked and since when, and how fast it answers.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use jiff::Timestamp;

use crate::locations::silence::Reason;

/// What is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// It has not spoken yet.
    Unknown,
    Up,
    Down(Reason),
}

/// How long an answer counts for the latencies.
const WINDOW: Duration = Duration::from_mins(1);
/// Answers that are remembered; of a busy location these are its last seconds.
const SAMPLES: usize = 512;

#[derive(Debug)]
pub struct Record {
    observed: Mutex<(Observed, Timestamp)>,
    answers: Mutex<VecDeque<(Instant, Duration)>>,
    /// When it last said what it is, and how long that took.
    probe: Mutex<Option<(Instant, Duration)>>,
    swept: Mutex<Option<Timestamp>>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            observed: Mutex::new((Observed::Unknown, Timestamp::now())),
            answers: Mutex::default(),
            probe: Mutex::default(),
            swept: Mutex::default(),
        }
    }
}

/// How long answers took, at the middle, for nine of ten, and for 99 of a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    pub answers: usize,
    pub p50: Duration,
    pub p90: Duration,
    pub p99: Duration,
}

impl Record {
    /// What is observed now, and since when it is so.
    pub fn observed(&self, now: Observed) -> (Observed, Timestamp) {
        let mut observed = locked(&self.observed);
        if observed.0 != now {
            *observed = (now, Timestamp::now());
        }
        *observed
    }

    pub fn answered(&self, now: Instant, took: Duration) {
        let mut answers = locked(&self.answers);
        if answers.len() == SAMPLES {
            answers.pop_front();
        }
        answers.push_back((now, took));
    }

    pub fn answered_since(&self, since: Instant) -> bool {
        let answers = locked(&self.answers);
        answers.back().is_some_and(|(at, _)| *at >= since)
    }

    /// Of the last minute; `None`: nothing was answered in it.
    pub fn latency(&self, now: Instant) -> Option<Latency> {
        let mut took: Vec<Duration> = locked(&self.answers)
            .iter()
            .filter(|(at, _)| now.saturating_duration_since(*at) <= WINDOW)
            .map(|(_, took)| *took)
            .collect();
        took.sort_unstable();
        let last = took.len().checked_sub(1)?;
        let at = |percent: usize| took[last * percent / 100];
        Some(Latency {
            answers: took.len(),
            p50: at(50),
            p90: at(90),
            p99: at(99),
        })
    }

    /// It said what it is.
    pub fn probed(&self, now: Instant, took: Duration) {
        *locked(&self.probe) = Some((now, took));
    }

    /// What nine of ten answers of the last minute stayed below; if nobody asked, how long a probe took in it.
    pub fn pace(&self, now: Instant) -> Option<Duration> {
        self.latency(now).map(|latency| latency.p90).or_else(|| {
            let (at, took) = (*locked(&self.probe))?;
            (now.saturating_duration_since(at) <= WINDOW).then_some(took)
        })
    }

    /// All that it has was read.
    pub fn swept(&self) {
        *locked(&self.swept) = Some(Timestamp::now());
    }

    pub fn last_sweep(&self) -> Option<Timestamp> {
        *locked(&self.swept)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_of_the_last_minute() {
        let record = Record::default();
        let start = Instant::now();
        assert_eq!(record.latency(start), None);
        record.answered(start, Duration::from_hours(1));
        let now = start + WINDOW + Duration::from_secs(1);
        for millis in 1..=101 {
            record.answered(now, Duration::from_millis(millis));
        }
        let latency = record.latency(now).unwrap();
        let millis = [latency.p50, latency.p90, latency.p99].map(|took| took.as_millis());
        assert_eq!((latency.answers, millis), (101, [51, 91, 100]));
    }

    #[test]
    fn who_is_not_asked_is_as_fast_as_a_probe() {
        let record = Record::default();
        let start = Instant::now();
        assert_eq!(record.pace(start), None);
        record.probed(start, Duration::from_millis(7));
        assert_eq!(record.pace(start + WINDOW), Some(Duration::from_millis(7)));
        assert_eq!(record.pace(start + WINDOW * 2), None);
        assert_eq!(record.latency(start), None, "it is no answer to a question");
        record.answered(start, Duration::from_millis(9));
        assert_eq!(record.pace(start), Some(Duration::from_millis(9)));
    }

    #[test]
    fn a_state_keeps_its_beginning() {
        let record = Record::default();
        let (_, first) = record.observed(Observed::Up);
        assert_eq!(record.observed(Observed::Up), (Observed::Up, first));
        let (_, down) = record.observed(Observed::Down(Reason::Timeout));
        assert!(down >= first);
    }
}
