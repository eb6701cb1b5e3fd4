//! `[limits]`: how many requests one user and one address may make, by GCRA (the leaky bucket of ATM and of `governor`).
//!
//! Who is known counts as a user, wherever he is. A request whose credential is not known here yet counts for its
//! address, before anybody is asked about it: whoever guesses tokens learns as few answers as the limit allows, and who
//! shares the address with him goes on with the tokens that were valid before.

use std::convert::Infallible;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use governor::DefaultDirectRateLimiter;
use governor::Quota;
use governor::clock::Clock;
use governor::clock::DefaultClock;
use log::warn;
use quick_cache::sync::Cache;
use thiserror::Error;

use crate::auth::identity::Identity;
use crate::config::LimitsConfig;
use crate::config::RateConfig;
use crate::wire::network::network;

/// Users and addresses that are remembered, 100 bytes each. What has been away longest is forgotten first, and begins
/// with a full burst when it comes back.
const REMEMBERED: usize = 65_536;
/// Between two lines that say who is limited.
const SAID: Duration = Duration::from_mins(1);

/// There were too many requests before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("Too many requests from this {by}, please retry in {wait} s ([limits] {by}_rate).")]
pub struct Limited {
    /// What was counted, `user` or `address`: a label of the metric.
    pub by: &'static str,
    /// Seconds until one will be served.
    pub wait: u64,
}

/// Both limits, as far as they are set.
#[derive(Debug)]
pub struct Limits {
    users: Option<Arc<Limit<String>>>,
    addresses: Option<Arc<Limit<IpAddr>>>,
}

impl Limits {
    /// A limit that stays as it was goes on counting.
    pub fn new(config: &LimitsConfig, before: Option<&Self>) -> Self {
        let (users, addresses) = before
            .map(|before| (before.users.as_ref(), before.addresses.as_ref()))
            .unzip();
        Self {
            users: Limit::of("user", config.user, users.flatten()),
            addresses: Limit::of("address", config.address, addresses.flatten()),
        }
    }

    /// Somebody who has not shown yet who he is. Without an address it is the proxy at our unix socket.
    pub fn count_stranger(&self, from: Option<IpAddr>) -> Result<(), Limited> {
        match (&self.addresses, from) {
            (Some(limit), Some(from)) => limit.count(&network(from)),
            _ => Ok(()),
        }
    }

    pub fn count_user(&self, identity: &Identity) -> Result<(), Limited> {
        let Some(limit) = &self.users else {
            return Ok(());
        };
        match identity {
            Identity::Anonymous => Ok(()),
            Identity::Basic(user) => limit.count(&user.to_string()),
            Identity::Keystone(token) => limit.count(&token.user_id),
        }
    }
}

/// One limit for each of many.
#[derive(Debug)]
struct Limit<K> {
    by: &'static str,
    rate: RateConfig,
    quota: Quota,
    clock: DefaultClock,
    each: Cache<K, Arc<DefaultDirectRateLimiter>>,
    said: Mutex<Option<Instant>>,
}

impl<K: Clone + Eq + Hash + std::fmt::Display> Limit<K> {
    fn of(
        by: &'static str,
        rate: Option<RateConfig>,
        before: Option<&Arc<Self>>,
    ) -> Option<Arc<Self>> {
        let rate = rate?;
        if let Some(same) = before.filter(|before| before.rate == rate) {
            return Some(Arc::clone(same));
        }
        Some(Arc::new(Self {
            by,
            rate,
            quota: Quota::with_period(rate.every)?.allow_burst(rate.burst),
            clock: DefaultClock::default(),
            each: Cache::new(REMEMBERED),
            said: Mutex::default(),
        }))
    }

    fn count(&self, one: &K) -> Result<(), Limited> {
        let made = || {
            let clock = self.clock.clone();
            let limiter = DefaultDirectRateLimiter::direct_with_clock(self.quota, clock);
            Ok::<_, Infallible>(Arc::new(limiter))
        };
        let Ok(limiter) = self.each.get_or_insert_with(one, made);
        limiter.check().map_err(|until| {
            self.say(one);
            let wait = until.wait_time_from(self.clock.now());
            Limited {
                by: self.by,
                wait: whole(wait),
            }
        })
    }

    fn say(&self, one: &K) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if said.is_none_or(|said| now.saturating_duration_since(said) >= SAID) {
            *said = Some(now);
            let by = self.by;
            warn!(
                "Requests of {by} {one} are refused, there are too many ([limits] {by}_rate, {by}_burst)"
            );
        }
    }
}

/// Seconds, never too few.
fn whole(wait: Duration) -> u64 {
    let more = u64::from(wait.subsec_nanos() > 0);
    (wait.as_secs() + more).max(1)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    /// One in 1000 s, so that no test is slow enough to see the next one.
    fn rate(burst: u32) -> RateConfig {
        RateConfig {
            every: Duration::from_secs(1000),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    fn both(user: Option<u32>, address: Option<u32>) -> LimitsConfig {
        LimitsConfig {
            user: user.map(rate),
            address: address.map(rate),
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_is_one_and_others_are_not_held_by_it() {
        let limits = Limits::new(&both(None, Some(2)), None);
        let cases = [
            ("2001:db8:0:1::1", true),
            ("2001:db8:0:1::2", true),
            ("2001:db8:0:1:ffff::3", false),
            ("2001:db8:0:2::1", true),
            ("192.0.2.1", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.2.1", false),
            ("192.0.2.2", true),
        ];
        for (from, served) in cases {
            assert_eq!(
                limits.count_stranger(Some(address(from))).is_ok(),
                served,
                "{from}"
            );
        }
        for _ in 0..9 {
            assert_eq!(limits.count_stranger(None), Ok(()));
        }
    }

    #[test]
    fn nobody_is_no_user() {
        let limits = Limits::new(&both(Some(1), None), None);
        let ann = Identity::Basic("ann".into());
        assert_eq!(limits.count_user(&ann), Ok(()));
        let limited = limits.count_user(&ann).unwrap_err();
        assert_eq!((limited.by, limited.wait), ("user", 1000));
        assert_eq!(limits.count_user(&Identity::Basic("bob".into())), Ok(()));
        for _ in 0..9 {
            assert_eq!(limits.count_user(&Identity::Anonymous), Ok(()));
            assert_eq!(limits.count_stranger(Some(address("192.0.2.1"))), Ok(()));
        }
    }

    #[test]
    fn a_reload_begins_anew_only_what_it_changes() {
        let first = Limits::new(&both(Some(1), Some(1)), None);
        let ann = Identity::Basic("ann".into());
        assert!(first.count_user(&ann).is_ok() && first.count_user(&ann).is_err());
        let from = Some(address("192.0.2.1"));
        assert!(first.count_stranger(from).is_ok() && first.count_stranger(from).is_err());
        let second = Limits::new(&both(Some(1), Some(2)), Some(&first));
        assert!(second.count_user(&ann).is_err() && second.count_stranger(from).is_ok());
    }

    #[test]
    fn a_wait_is_never_told_too_short() {
        let cases = [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (1999, 2)];
        for (millis, seconds) in cases {
            assert_eq!(whole(Duration::from_millis(millis)), seconds, "{millis} ms");
        }
    }
}
