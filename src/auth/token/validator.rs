//! Asks Keystone about tokens: once for all who show the same one, with turns for strangers, and remembers what is valid.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::future::Shared;
use http::HeaderValue;
use log::error;
use log::info;
use log::warn;
use quick_cache::sync::Cache;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::time::sleep;

use crate::auth::token::shared::SharedTokens;
use crate::auth::turns::Asking;
use crate::auth::turns::Turns;
use crate::config::Endpoint;
use crate::config::Interface;
use crate::config::KeystoneInbound;
use crate::keystone::Kept;
use crate::keystone::TokenKeeper;
use crate::keystone::catalog::Wanted;
use crate::keystone::catalog::v3_base;
use crate::keystone::client::Expired;
use crate::keystone::client::Keystone;
use crate::keystone::client::KeystoneError;
use crate::keystone::client::SetupError;
use crate::keystone::client::ValidateError;
use crate::keystone::message::Validated;
use crate::metrics::counter::Counter;

const BELIEVED_AT_MOST: usize = 10_000;
/// So many tokens are shown to Keystone at a time.
const VALIDATIONS: usize = 32;
/// keystoneauth's first pause before it tries to connect again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

type Key = [u8; 32];
pub(super) type Outcome = Result<Arc<Validated>, Failure>;
/// Everybody with the same token waits for the same answer, good or bad.
type Flight = Shared<BoxFuture<'static, Outcome>>;

/// Tokens that were known, and those that were not.
#[derive(Debug, Default)]
pub struct UseOfCache {
    pub hits: Counter,
    pub misses: Counter,
    /// Of those, which another gateway had asked about.
    pub shared: Counter,
}

/// A token that was vouched for, and how long ago.
#[derive(Clone, Debug)]
struct Vouched {
    token: Arc<Validated>,
    age: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Invalid,
    Unavailable,
}

/// A token that need not be asked about, until either clock says so: the one stands still while the machine is
/// suspended, the other may be set back.
#[derive(Clone, Debug)]
struct Believed {
    token: Arc<Validated>,
    until: Instant,
    until_wall: SystemTime,
}

impl Believed {
    fn holds(&self, now: Instant, wall: SystemTime) -> bool {
        now < self.until && wall < self.until_wall
    }
}

#[derive(Debug)]
pub(super) struct Validator {
    keeper: TokenKeeper,
    interface: Interface,
    region: Option<String>,
    retries: u32,
    cache_time: Option<Duration>,
    shared: Option<SharedTokens>,
    key: hmac::Key,
    /// By a keyed hash: the tokens themselves are not in our memory for longer than a request.
    believed: Cache<Key, Believed>,
    use_of_cache: UseOfCache,
    /// What is being asked now.
    // Beside a service token Keystone is asked with `allow_expired=1`, which is another question about the same token.
    flights: Mutex<HashMap<(Key, Expired), Flight>>,
    turns: Turns,
    /// Keystone gave no answer the last time.
    silent: AtomicBool,
}

impl Validator {
    pub(super) fn new(keystone: Keystone, config: &KeystoneInbound) -> Result<Self, SetupError> {
        Ok(Self {
            keeper: TokenKeeper::new(keystone, "[keystone_authtoken]".into()),
            interface: config.interface,
            region: config.region_name.clone(),
            retries: config.max_retries,
            cache_time: config.token_cache_time,
            shared: config
                .shared
                .as_ref()
                .zip(config.token_cache_time)
                .map(|(shared, cache_time)| SharedTokens::new(shared, cache_time)),
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
                .map_err(|_| SetupError::Random)?,
            believed: Cache::new(BELIEVED_AT_MOST),
            use_of_cache: UseOfCache::default(),
            flights: Mutex::default(),
            turns: Turns::new(VALIDATIONS),
            silent: AtomicBool::new(false),
        })
    }

    pub(super) fn use_of_cache(&self) -> &UseOfCache {
        &self.use_of_cache
    }

    pub(super) fn keystone(&self) -> &Keystone {
        self.keeper.keystone()
    }

    /// Our own token.
    pub(super) async fn own(&self) -> Result<Arc<Kept>, KeystoneError> {
        self.keeper.token().await
    }

    /// One step of the loop that keeps it fresh. Returns when the next one is due.
    pub(super) async fn keep_fresh(&self) -> Instant {
        self.keeper.keep_fresh().await
    }

    /// Whether it was valid when Keystone was asked last, however long ago.
    pub(super) fn knows(&self, token: &HeaderValue) -> bool {
        self.believed.get(&self.hash(token)).is_some()
    }

    /// Whom this token stands for, as last told within `token_cache_time`.
    pub(super) async fn validated(
        self: &Arc<Self>,
        token: HeaderValue,
        expired: Expired,
        from: Option<IpAddr>,
    ) -> Outcome {
        let key = self.hash(&token);
        let asking = match self.believed.get(&key) {
            Some(believed) if believed.holds(Instant::now(), SystemTime::now()) => {
                self.use_of_cache.hits.bump();
                return Ok(believed.token);
            }
            // It was valid before, so it does not wait among strangers.
            Some(_) => Asking::Familiar,
            None => Asking::Stranger(from),
        };
        self.use_of_cache.misses.bump();
        self.flight(key, token, expired, asking).await
    }

    fn flight(
        self: &Arc<Self>,
        key: Key,
        token: HeaderValue,
        expired: Expired,
        asking: Asking,
    ) -> Flight {
        let mut flights = self.flights();
        if let Some(flight) = flights.get(&(key, expired)) {
            return flight.clone();
        }
        let validator = Arc::clone(self);
        // A task of its own: it ends, and takes itself off the list, whoever stops waiting for it.
        let task = tokio::spawn(async move {
            let listed = Listed {
                validator,
                name: (key, expired),
            };
            let outcome = listed.validator.ask(&token, expired, asking).await;
            match &outcome {
                Ok(vouched) => {
                    listed
                        .validator
                        .believe(key, vouched, Instant::now(), SystemTime::now());
                }
                // Revoked: whoever shows it is a stranger again.
                Err(Failure::Invalid) => drop(listed.validator.believed.remove(&key)),
                Err(Failure::Unavailable) => {}
            }
            outcome.map(|vouched| vouched.token)
        });
        let flight = task
            .map(|outcome| outcome.unwrap_or(Err(Failure::Unavailable)))
            .boxed()
            .shared();
        flights.insert((key, expired), flight.clone());
        flight
    }

    async fn ask(
        self: &Arc<Self>,
        token: &HeaderValue,
        expired: Expired,
        asking: Asking,
    ) -> Result<Vouched, Failure> {
        let Some(_turn) = self.turns.take(asking).await else {
            warn!("Too many tokens are waiting for Keystone");
            return Err(Failure::Unavailable);
        };
        if let Some(shared) = &self.shared
            && let Some((validated, age)) = shared.get(token).await
        {
            self.use_of_cache.shared.bump();
            let token = Arc::new(validated);
            return Ok(Vouched { token, age });
        }
        match self.ask_keystone(token, expired).await {
            Ok(validated)
                // keystonemiddleware looks at the time itself, too.
                if expired == Expired::Refuse && validated.expires_at <= SystemTime::now() =>
            {
                self.answered();
                Err(Failure::Invalid)
            }
            Ok(validated) => {
                self.answered();
                self.share(token, validated.clone());
                Ok(Vouched {
                    token: Arc::new(validated),
                    age: Duration::ZERO,
                })
            }
            Err(ValidateError::Invalid) => {
                self.answered();
                Err(Failure::Invalid)
            }
            Err(error @ (ValidateError::Unauthorized | ValidateError::Keystone(_))) => {
                // Once an outage, not once a request.
                if !self.silent.swap(true, Ordering::Relaxed) {
                    error!("Tokens cannot be validated: {}", error.chain());
                }
                Err(Failure::Unavailable)
            }
        }
    }

    /// Other gateways are told without anybody waiting for it.
    fn share(self: &Arc<Self>, token: &HeaderValue, validated: Validated) {
        if self.shared.is_none() {
            return;
        }
        let (validator, token) = (Arc::clone(self), token.clone());
        tokio::spawn(async move {
            if let Some(shared) = &validator.shared {
                shared.put(&token, validated).await;
            }
        });
    }

    fn answered(&self) {
        if self.silent.swap(false, Ordering::Relaxed) {
            info!("Tokens can be validated again");
        }
    }

    /// With one new token of ours if the old one is refused, and with pauses while nobody answers.
    async fn ask_keystone(
        &self,
        token: &HeaderValue,
        expired: Expired,
    ) -> Result<Validated, ValidateError> {
        let mut pause = FIRST_PAUSE;
        let mut retries = self.retries;
        let mut renewed = false;
        loop {
            let ours = self.keeper.token().await?;
            let base = self.identity(&ours);
            match self
                .keeper
                .keystone()
                .validate(&base, &ours.token.header, token, expired)
                .await
            {
                // Our own token may have ended before its time (new fernet keys, a changed password): once with a new
                // one.
                Err(ValidateError::Unauthorized) if !renewed => {
                    self.keeper.refused(ours.generation, Instant::now());
                    renewed = true;
                }
                // keystonemiddleware hands `http_request_max_retries` to keystoneauth as `connect_retries`
                // (`auth_token/__init__.py`): an answer, even a 5xx, is not asked for again.
                Err(ValidateError::Keystone(KeystoneError::Unreachable(error)))
                    // A timeout has cost the client its patience already.
                    if retries > 0 && !error.is_timeout() =>
                {
                    sleep(pause).await;
                    pause *= 2;
                    retries -= 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// The Keystone that validates: of the catalog, else where our own token came from.
    fn identity(&self, ours: &Kept) -> Endpoint {
        let wanted = Wanted {
            service_type: "identity",
            service_name: None,
            interfaces: &[self.interface],
            region: self.region.as_deref(),
        };
        let base = ours.token.catalog.url(&wanted).and_then(v3_base);
        base.unwrap_or_else(|| self.keeper.keystone().base().clone())
    }

    fn believe(&self, key: Key, vouched: &Vouched, now: Instant, wall: SystemTime) {
        if let Some(believed) = believable(vouched, self.cache_time, now, wall) {
            self.believed.insert(key, believed);
        }
    }

    fn hash(&self, token: &HeaderValue) -> Key {
        let mut key = Key::default();
        key.copy_from_slice(hmac::sign(&self.key, token.as_bytes()).as_ref());
        key
    }

    pub(super) fn flights(&self) -> MutexGuard<'_, HashMap<(Key, Expired), Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A flight's place on the list, however the flight ends.
struct Listed {
    validator: Arc<Validator>,
    name: (Key, Expired),
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.validator.flights().remove(&self.name);
    }
}

/// How long a token may go unasked; `None`: not at all, as one that counts only because a service token allows it.
fn believable(
    vouched: &Vouched,
    cache_time: Option<Duration>,
    now: Instant,
    wall: SystemTime,
) -> Option<Believed> {
    let Vouched { token, age } = vouched;
    let left = token
        .expires_at
        .duration_since(wall)
        .ok()
        .filter(|left| !left.is_zero())?;
    // With caching off it is asked about anew each time, but it is no stranger's any more.
    let lifetime = cache_time
        .map(|time| time.saturating_sub(*age))
        .unwrap_or_default()
        .min(left);
    Some(Believed {
        token: Arc::clone(token),
        until: now + lifetime,
        until_wall: wall + lifetime,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn vouched(expires_at: SystemTime) -> Vouched {
        let token = Validated {
            user_id: "ann".to_owned(),
            user_name: "ann".to_owned(),
            user_domain_id: None,
            project: None,
            domain_id: None,
            system: true,
            is_admin_project: true,
            roles: Vec::new(),
            expires_at,
        };
        Vouched {
            token: Arc::new(token),
            age: Duration::ZERO,
        }
    }

    #[test]
    fn nothing_is_believed_longer_than_it_lives() {
        let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH + SECOND * 1_000_000);
        for (cache_time, left, believed) in [
            (Some(300), 3600_i32, Some(300)),
            (Some(300), 10, Some(10)),
            (Some(300), 0, None),
            (Some(300), -1, None),
            (None, 3600, Some(0)),
            (None, 0, None),
        ] {
            let expires_at = if left < 0 {
                wall - SECOND
            } else {
                wall + SECOND * left.unsigned_abs()
            };
            let cache_time = cache_time.map(Duration::from_secs);
            let found = believable(&vouched(expires_at), cache_time, now, wall);
            assert_eq!(
                found.map(|found| found.until.duration_since(now).as_secs()),
                believed,
                "{cache_time:?} {left}"
            );
        }
    }

    #[test]
    fn a_clock_that_stood_still_or_was_set_back_makes_no_belief_longer() {
        let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH + SECOND * 1_000_000);
        let of = |left: u32| {
            let vouched = vouched(wall + SECOND * left);
            believable(&vouched, Some(SECOND * 300), now, wall).unwrap()
        };
        let (day, still) = (SECOND * 86_400, Duration::ZERO);
        for (left, passed, wall_passed, holds) in [
            (3600, SECOND * 299, SECOND * 299, true),
            (3600, SECOND * 300, SECOND * 300, false),
            // Suspended: it is over, and may have been revoked.
            (3600, still, day, false),
            (3600, SECOND, SECOND * 301, false),
            (10, still, SECOND * 10, false),
            (10, SECOND * 10, still, false),
        ] {
            assert_eq!(
                of(left).holds(now + passed, wall + wall_passed),
                holds,
                "{left} {passed:?} {wall_passed:?}"
            );
        }
        assert!(!of(3600).holds(now + SECOND * 300, wall - day));
    }
}
