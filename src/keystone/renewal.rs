//! Decides when a token is renewed and when Keystone is asked again. Pure: it has no clock and does no I/O.

use std::time::Duration;
use std::time::Instant;

use crate::keystone::client::KeystoneError;

/// keystoneauth's `MIN_TOKEN_LIFE_SECONDS`.
const RENEW_BEFORE: Duration = Duration::from_mins(2);
/// A token that expires while a request is on its way would be refused.
const LAST_USE_BEFORE: Duration = Duration::from_secs(5);
/// A token refused this soon after it was issued was not too old.
const QUICK: Duration = Duration::from_mins(1);
/// A wrong password asked often locks the account (Keystone's `lockout_failure_attempts`).
const LONGEST_REFUSED: Duration = Duration::from_mins(1);
/// A Keystone that comes back is to be noticed soon.
const LONGEST_UNAVAILABLE: Duration = Duration::from_secs(8);

/// What a token is worth at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    Fresh,
    /// Still good, and to be replaced.
    Ageing,
    Spent,
}

/// The times of one token.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    issued: Instant,
    renew: Instant,
    spent: Instant,
}

impl Schedule {
    pub fn new(issued: Instant, lifetime: Duration) -> Self {
        Self {
            issued,
            // Shares of the lifetime, so that tokens of twenty seconds are renewed in time, too.
            renew: issued + lifetime.saturating_sub(RENEW_BEFORE.min(lifetime / 10)),
            spent: issued + lifetime.saturating_sub(LAST_USE_BEFORE.min(lifetime / 20)),
        }
    }

    pub fn age(&self, now: Instant) -> Age {
        if now < self.renew {
            Age::Fresh
        } else if now < self.spent {
            Age::Ageing
        } else {
            Age::Spent
        }
    }

    /// How long it can be used for.
    pub fn left(&self, now: Instant) -> Duration {
        self.spent.saturating_duration_since(now)
    }

    /// When the token becomes `Ageing`.
    pub fn renew(&self) -> Instant {
        self.renew
    }
}

/// Keeps us from asking a Keystone too often that gives us nothing of use.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    closed: Option<(Instant, KeystoneError)>,
    quick_refusals: u32,
    /// Before this another token refused quickly is kept.
    next_replacement: Option<Instant>,
}

impl Backoff {
    /// The reason not to ask now, and when to ask again.
    pub fn closed(&self, now: Instant) -> Option<(Instant, &KeystoneError)> {
        self.closed
            .as_ref()
            .filter(|(until, _)| now < *until)
            .map(|(until, error)| (*until, error))
    }

    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.closed = None;
    }

    pub fn failed(&mut self, error: KeystoneError, now: Instant) {
        let longest = match error {
            KeystoneError::Refused(_) => LONGEST_REFUSED,
            KeystoneError::Status(_) | KeystoneError::Unreachable(_) | KeystoneError::Answer(_) => {
                LONGEST_UNAVAILABLE
            }
        };
        self.closed = Some((now + doubled(self.failures).min(longest), error));
        self.failures = self.failures.saturating_add(1);
    }

    /// Whether a token that was refused by whom it was shown to is worth replacing. The first time yes, at once. If new
    /// ones are refused too, the fault is not in the token: it may well do for other requests, and every further one
    /// is a useless load on Keystone.
    pub fn replaces(&mut self, refused: &Schedule, now: Instant) -> bool {
        if now.saturating_duration_since(refused.issued) >= QUICK {
            self.quick_refusals = 0;
            self.next_replacement = None;
            return true;
        }
        if self.next_replacement.is_some_and(|next| now < next) {
            return false;
        }
        self.next_replacement = Some(now + doubled(self.quick_refusals).min(QUICK));
        self.quick_refusals = self.quick_refusals.saturating_add(1);
        true
    }
}

/// 1, 2, 4, … seconds.
fn doubled(times: u32) -> Duration {
    Duration::from_secs(1 << times.min(6))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NOTHING_MUCH: Duration = Duration::from_millis(100);

    #[test]
    fn a_token_is_renewed_ahead_of_its_end() {
        let start = Instant::now();
        for (lifetime, fresh_until, good_until) in [
            (3600, 3480.0, 3595.0),
            (1200, 1080.0, 1195.0),
            (600, 540.0, 595.0),
            (60, 54.0, 57.0),
            (10, 9.0, 9.5),
            (0, 0.0, 0.0),
        ] {
            let schedule = Schedule::new(start, SECOND * lifetime);
            let at = |seconds: f64| schedule.age(start + Duration::from_secs_f64(seconds));
            if lifetime > 0 {
                assert_eq!(at(0.0), Age::Fresh, "{lifetime}");
                assert_eq!(at(fresh_until - 0.1), Age::Fresh, "{lifetime}");
                assert_eq!(at(good_until - 0.1), Age::Ageing, "{lifetime}");
            }
            assert_eq!(at(good_until), Age::Spent, "{lifetime}");
        }
    }

    #[test]
    fn failures_are_spaced_out() {
        let start = Instant::now();
        let refused = KeystoneError::Refused(StatusCode::UNAUTHORIZED);
        let down = KeystoneError::Status(StatusCode::BAD_GATEWAY);
        for (error, waits) in [
            (refused, [1, 2, 4, 8, 16, 32, 60, 60]),
            (down, [1, 2, 4, 8, 8, 8, 8, 8]),
        ] {
            let mut backoff = Backoff::default();
            let mut now = start;
            for wait in waits {
                assert!(backoff.closed(now).is_none());
                backoff.failed(error.clone(), now);
                assert!(
                    backoff
                        .closed(now + (SECOND * wait).saturating_sub(NOTHING_MUCH))
                        .is_some(),
                    "{error} {wait}"
                );
                now += SECOND * wait;
            }
            backoff.failed(error.clone(), now);
            backoff.succeeded();
            assert!(backoff.closed(now).is_none());
            backoff.failed(error, now);
            assert!(
                backoff.closed(now + SECOND).is_none(),
                "a success starts the series anew"
            );
        }
    }

    #[test]
    fn a_refused_token_is_replaced_at_once_but_not_for_ever() {
        let start = Instant::now();
        let hour = SECOND * 3600;
        let mut backoff = Backoff::default();
        let mut now = start;
        assert!(backoff.replaces(&Schedule::new(start, hour), start));
        for wait in [1, 2, 4, 8, 16, 32] {
            let new = Schedule::new(now, hour);
            assert!(!backoff.replaces(&new, now), "{wait}");
            assert!(
                !backoff.replaces(&new, now + (SECOND * wait).saturating_sub(NOTHING_MUCH)),
                "{wait}"
            );
            now += SECOND * wait;
            assert!(backoff.replaces(&new, now), "{wait}");
        }
        let worked_a_while = Schedule::new(now, hour);
        assert!(!backoff.replaces(&worked_a_while, now + SECOND));
        now += SECOND * 60;
        assert!(backoff.replaces(&worked_a_while, now));
        assert!(
            backoff.replaces(&Schedule::new(now, hour), now),
            "the series starts anew after a token that worked"
        );
    }
}
