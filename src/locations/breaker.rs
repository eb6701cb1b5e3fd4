//! Decides whether a location may be asked now. It counts judged answers and has no clock of its own.

use std::time::Duration;
use std::time::Instant;

/// A circuit breaker: closed lets through, open refuses. An open one is tried by a question of the gateway's own, so
/// that no client's request pays for it.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    /// Failures in a row that open it.
    threshold: u32,
    /// Pause before a trial.
    reset: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { trial: Instant },
}

/// What an answer changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    None,
    Opened,
    Closed,
}

impl Breaker {
    pub fn new(threshold: u32, reset: Duration) -> Self {
        Self {
            state: State::Closed { failures: 0 },
            threshold,
            reset,
        }
    }

    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Whether something failed since the last success.
    pub fn is_troubled(&self) -> bool {
        self.state != State::Closed { failures: 0 }
    }

    /// When an open one is to be tried.
    pub fn trial(&self) -> Option<Instant> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { trial } => Some(trial),
        }
    }

    pub fn succeeded(&mut self) -> Change {
        let change = if self.is_closed() {
            Change::None
        } else {
            Change::Closed
        };
        self.state = State::Closed { failures: 0 };
        change
    }

    /// `is_trial`: it was the trial of an open one. What was let through before it opened does not prolong it.
    pub fn failed(&mut self, now: Instant, is_trial: bool) -> Change {
        match self.state {
            State::Closed { failures } if failures + 1 < self.threshold => {
                self.state = State::Closed {
                    failures: failures + 1,
                };
                Change::None
            }
            State::Closed { .. } => {
                self.state = State::Open {
                    trial: now + self.reset,
                };
                Change::Opened
            }
            State::Open { .. } if is_trial => {
                self.state = State::Open {
                    trial: now + self.reset,
                };
                Change::None
            }
            State::Open { .. } => Change::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESET: Duration = Duration::from_secs(10);

    #[test]
    fn transitions() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut breaker = Breaker::new(2, RESET);
        assert_eq!(breaker.failed(start, false), Change::None);
        assert!(breaker.is_troubled());
        assert_eq!(
            breaker.succeeded(),
            Change::None,
            "failures count in a row only"
        );
        assert!(!breaker.is_troubled());
        assert_eq!(breaker.failed(start, false), Change::None);
        assert!(breaker.is_closed());
        assert_eq!(breaker.failed(start, false), Change::Opened);
        assert!(!breaker.is_closed());
        assert_eq!(breaker.trial(), Some(at(10)));
        assert_eq!(
            breaker.failed(at(9), false),
            Change::None,
            "a late failure does not prolong it"
        );
        assert_eq!(breaker.trial(), Some(at(10)));
        assert_eq!(breaker.failed(at(11), true), Change::None);
        assert_eq!(breaker.trial(), Some(at(21)));
        assert_eq!(breaker.succeeded(), Change::Closed);
        assert_eq!(breaker.trial(), None);
    }
}
