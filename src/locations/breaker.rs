//! May a location be asked now? Fed by every exchange; no clock inside.

use std::time::Duration;
use std::time::Instant;

/// A circuit breaker: closed lets through, open refuses, half-open lets one exchange try.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    /// Failures in a row that open it.
    threshold: u32,
    /// How long it stays open.
    reset: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One exchange is trying; if it is never heard of again, the next may try at this instant.
    HalfOpen {
        until: Instant,
    },
}

/// What an exchange changed.
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

    /// Whether an exchange may be tried.
    pub fn admit(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until } | State::HalfOpen { until } if now >= until => {
                self.state = State::HalfOpen {
                    until: now + self.reset,
                };
                true
            }
            State::Open { .. } | State::HalfOpen { .. } => false,
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

    pub fn failed(&mut self, now: Instant) -> Change {
        match self.state {
            State::Closed { failures } if failures + 1 < self.threshold => {
                self.state = State::Closed {
                    failures: failures + 1,
                };
                Change::None
            }
            State::Closed { .. } => {
                self.state = State::Open {
                    until: now + self.reset,
                };
                Change::Opened
            }
            State::HalfOpen { .. } => {
                self.state = State::Open {
                    until: now + self.reset,
                };
                Change::None
            }
            // An exchange that was let through before it opened.
            State::Open { .. } => Change::None,
        }
    }

    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
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
        assert_eq!(breaker.failed(start), Change::None);
        assert_eq!(
            breaker.succeeded(),
            Change::None,
            "failures count in a row only"
        );
        assert_eq!(breaker.failed(start), Change::None);
        assert!(breaker.admit(start));
        assert_eq!(breaker.failed(start), Change::Opened);
        assert!(!breaker.admit(at(9)));
        assert_eq!(
            breaker.failed(at(9)),
            Change::None,
            "a late failure does not prolong it"
        );
        assert!(breaker.admit(at(10)), "half-open");
        assert!(!breaker.admit(at(10)), "one at a time");
        assert_eq!(breaker.failed(at(11)), Change::None);
        assert!(!breaker.admit(at(20)));
        assert!(breaker.admit(at(21)));
        assert!(
            breaker.admit(at(31)),
            "a trial that was never heard of does not block for ever"
        );
        assert_eq!(breaker.succeeded(), Change::Closed);
        assert!(breaker.admit(at(31)));
    }
}
