//! `auth_strategy = keystone`: tokens, as in keystonemiddleware's `auth_token`.
//!
//! A valid token is cached until `token_cache_time` is over or the token expires, so a revoked token may work for that
//! long. Nothing else is cached: neither Keystone's refusals nor its outages.

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
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use log::error;
use log::info;
use log::warn;
use quick_cache::sync::Cache;
use ring::hmac;
use ring::rand::SystemRandom;
use thiserror::Error;
use tokio::time::sleep;

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
use crate::keystone::client::Timeouts;
use crate::keystone::client::ValidateError;
use crate::keystone::client::X_AUTH_TOKEN;
use crate::keystone::message::Validated;
use crate::metrics::counter::Counter;

const X_STORAGE_TOKEN: HeaderName = HeaderName::from_static("x-storage-token");
const X_SERVICE_TOKEN: HeaderName = HeaderName::from_static("x-service-token");

/// Fernet tokens have some 250 bytes, JWS tokens up to a few thousand.
const LONGEST_TOKEN: usize = 8192;
const BELIEVED_AT_MOST: usize = 10_000;
/// So many tokens are shown to Keystone at a time.
const VALIDATIONS: usize = 32;
/// keystoneauth's first pause before it tries to connect again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

type Key = [u8; 32];
type Outcome = Result<Arc<Validated>, Failure>;
/// Everybody with the same token waits for the same answer, good or bad.
type Flight = Shared<BoxFuture<'static, Outcome>>;

/// Why nobody came in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// There is no token, or none that Keystone knows, or the service token is not one.
    #[error("The request you have made requires authentication.")]
    Unauthorized {
        /// The value of `WWW-Authenticate`.
        challenge: HeaderValue,
    },
    /// Which of the two counts would depend on who reads them.
    #[error("More than one {0} header.")]
    Repeated(HeaderName),
    #[error("The Keystone service is temporarily unavailable.")]
    Unavailable,
}

/// Tokens that were known, and those that were not.
#[derive(Debug, Default)]
pub struct UseOfCache {
    pub hits: Counter,
    pub misses: Counter,
}

/// Those whom Keystone vouches for.
#[derive(Debug)]
pub struct Tokens {
    inner: Arc<Inner>,
    challenge: HeaderValue,
    service_roles: Vec<String>,
    service_roles_required: bool,
}

impl Tokens {
    /// Reads the certificates, speaks to nobody.
    pub fn new(config: &KeystoneInbound) -> Result<Self, SetupError> {
        let timeouts = Timeouts {
            connect: config.connect_timeout,
            total: config.connect_timeout,
        };
        let keystone = Keystone::new(&config.identity, &config.session, timeouts)?;
        let uri = config
            .www_authenticate_uri
            .as_deref()
            .unwrap_or(keystone.auth_url());
        Ok(Self {
            challenge: HeaderValue::try_from(format!("Keystone uri=\"{uri}\""))
                .map_err(|_| SetupError::Url)?,
            service_roles: config.service_token_roles.clone(),
            service_roles_required: config.service_token_roles_required,
            inner: Arc::new(Inner {
                keeper: TokenKeeper::new(keystone, "[keystone_authtoken]".into()),
                interface: config.interface,
                region: config.region_name.clone(),
                retries: config.max_retries,
                cache_time: config.token_cache_time,
                key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
                    .map_err(|_| SetupError::Random)?,
                believed: Cache::new(BELIEVED_AT_MOST),
                use_of_cache: UseOfCache::default(),
                flights: Mutex::default(),
                turns: Turns::new(VALIDATIONS),
                silent: AtomicBool::new(false),
            }),
        })
    }

    /// Whom the token of the request stands for. A service token says nothing but whether the user's may be expired:
    /// it never lends the user its roles or its scope.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        from: Option<IpAddr>,
    ) -> Result<Arc<Validated>, TokenError> {
        let user = match one(headers, &X_AUTH_TOKEN)? {
            Some(field) => Some(field),
            // keystonemiddleware takes either, in this order.
            None => one(headers, &X_STORAGE_TOKEN)?,
        };
        let service = one(headers, &X_SERVICE_TOKEN)?;
        let user = user.and_then(token).ok_or_else(|| self.unauthorized())?;
        let expired = match service {
            None => Expired::Refuse,
            Some(field) => {
                let service = token(field).ok_or_else(|| self.unauthorized())?;
                self.service(service, from).await?
            }
        };
        self.inner
            .validated(user, expired, from)
            .await
            .map_err(|failure| self.error(failure))
    }

    /// The value of `WWW-Authenticate` for a 401 of whatever origin.
    pub fn challenge(&self) -> &HeaderValue {
        &self.challenge
    }

    /// The token that counts of those a request carries, as [`Self::authenticate`] reads it.
    pub fn user_token(headers: &HeaderMap) -> Option<HeaderValue> {
        let field = headers
            .get(X_AUTH_TOKEN)
            .or_else(|| headers.get(X_STORAGE_TOKEN))?;
        token(field)
    }

    /// How often a token was known, and how often Keystone had to be asked.
    pub fn use_of_cache(&self) -> &UseOfCache {
        &self.inner.use_of_cache
    }

    pub fn keystone(&self) -> &Keystone {
        self.inner.keeper.keystone()
    }

    /// Our own token is asked for, and shown as a client's would be.
    pub async fn try_out(&self) -> Result<(), String> {
        let own = self.inner.keeper.token().await;
        let own = own.map_err(|error| format!("no token can be had: {error}"))?;
        let validated = self
            .inner
            .validated(own.token.header.clone(), Expired::Refuse, None);
        match validated.await {
            Ok(_) => Ok(()),
            Err(_) => Err(
                "tokens cannot be validated with its own: its user needs the role service or admin"
                    .to_owned(),
            ),
        }
    }

    /// One step of the loop that keeps our own token fresh. Returns when the next one is due.
    pub async fn keep_fresh(&self) -> Instant {
        self.inner.keeper.keep_fresh().await
    }

    /// What a service token is good for.
    async fn service(
        &self,
        token: HeaderValue,
        from: Option<IpAddr>,
    ) -> Result<Expired, TokenError> {
        let service = self
            .inner
            .validated(token, Expired::Refuse, from)
            .await
            .map_err(|failure| self.error(failure))?;
        if service
            .roles
            .iter()
            .any(|role| self.service_roles.contains(role))
        {
            Ok(Expired::Allow)
        } else if self.service_roles_required {
            Err(self.unauthorized())
        } else {
            Ok(Expired::Refuse)
        }
    }

    fn error(&self, failure: Failure) -> TokenError {
        match failure {
            Failure::Invalid => self.unauthorized(),
            Failure::Unavailable => TokenError::Unavailable,
        }
    }

    fn unauthorized(&self) -> TokenError {
        TokenError::Unauthorized {
            challenge: self.challenge.clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Invalid,
    Unavailable,
}

#[derive(Clone, Debug)]
struct Believed {
    token: Arc<Validated>,
    until: Instant,
}

#[derive(Debug)]
struct Inner {
    keeper: TokenKeeper,
    interface: Interface,
    region: Option<String>,
    retries: u32,
    cache_time: Option<Duration>,
    key: hmac::Key,
    /// By a keyed hash: the tokens themselves are not in our memory for longer than a request.
    believed: Cache<Key, Believed>,
    use_of_cache: UseOfCache,
    /// What is being asked now.
    flights: Mutex<HashMap<(Key, Expired), Flight>>,
    turns: Turns,
    /// Keystone gave no answer the last time.
    silent: AtomicBool,
}

impl Inner {
    async fn validated(
        self: &Arc<Self>,
        token: HeaderValue,
        expired: Expired,
        from: Option<IpAddr>,
    ) -> Outcome {
        let key = self.hash(&token);
        let asking = match self.believed.get(&key) {
            Some(believed) if Instant::now() < believed.until => {
                self.use_of_cache.hits.bump();
                return Ok(believed.token);
            }
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
        let inner = Arc::clone(self);
        // A task of its own: it ends, and takes itself off the list, whoever stops waiting for it.
        let task = tokio::spawn(async move {
            let listed = Listed {
                inner,
                name: (key, expired),
            };
            let outcome = listed.inner.ask(&token, expired, asking).await;
            if let Ok(validated) = &outcome {
                listed
                    .inner
                    .believe(key, validated, Instant::now(), SystemTime::now());
            }
            outcome
        });
        let flight = task
            .map(|outcome| outcome.unwrap_or(Err(Failure::Unavailable)))
            .boxed()
            .shared();
        flights.insert((key, expired), flight.clone());
        flight
    }

    async fn ask(&self, token: &HeaderValue, expired: Expired, asking: Asking) -> Outcome {
        let Some(_turn) = self.turns.take(asking).await else {
            warn!("Too many tokens are waiting for Keystone");
            return Err(Failure::Unavailable);
        };
        match self.ask_keystone(token, expired).await {
            Ok(validated)
                // keystonemiddleware looks at the time itself, too.
                if expired == Expired::Refuse && validated.expires_at <= SystemTime::now() =>
            {
                Err(Failure::Invalid)
            }
            Ok(validated) => {
                self.answered();
                Ok(Arc::new(validated))
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

    fn believe(&self, key: Key, token: &Arc<Validated>, now: Instant, wall: SystemTime) {
        if let Some(lifetime) = believable_for(self.cache_time, token.expires_at, wall) {
            self.believed.insert(
                key,
                Believed {
                    token: Arc::clone(token),
                    until: now + lifetime,
                },
            );
        }
    }

    fn hash(&self, token: &HeaderValue) -> Key {
        let mut key = Key::default();
        key.copy_from_slice(hmac::sign(&self.key, token.as_bytes()).as_ref());
        key
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<(Key, Expired), Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A flight's place on the list, however the flight ends.
struct Listed {
    inner: Arc<Inner>,
    name: (Key, Expired),
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.inner.flights().remove(&self.name);
    }
}

/// How long a token may go unasked; `None`: not at all, as one that counts only because a service token allows it.
fn believable_for(
    cache_time: Option<Duration>,
    expires_at: SystemTime,
    wall: SystemTime,
) -> Option<Duration> {
    let left = expires_at
        .duration_since(wall)
        .ok()
        .filter(|left| !left.is_zero())?;
    // With caching off it is asked about anew each time, but it is no stranger's any more.
    Some(cache_time.unwrap_or_default().min(left))
}

/// The one field of this name.
fn one<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, TokenError> {
    let mut fields = headers.get_all(name).iter();
    let first = fields.next();
    match fields.next() {
        Some(_) => Err(TokenError::Repeated(name.clone())),
        None => Ok(first),
    }
}

/// What may be a token, without the blanks around it. The rest is not worth a question to Keystone.
fn token(field: &HeaderValue) -> Option<HeaderValue> {
    let bytes = field.as_bytes().trim_ascii();
    if bytes.is_empty() || bytes.len() > LONGEST_TOKEN || !bytes.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let mut token = HeaderValue::from_bytes(bytes).ok()?;
    token.set_sensitive(true);
    Some(token)
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::config::Session;
    use crate::keystone::client::install_crypto_provider;
    use crate::keystone::fake::FakeKeystone;
    use crate::keystone::fake::Reply;
    use crate::keystone::fake::Seen;

    const LATER: &str = "2099-01-01T00:00:00.000000Z";
    const BEFORE: &str = "2001-01-01T00:00:00.000000Z";
    const CHALLENGE: &str = "Keystone uri=\"https://keystone.example/v3\"";

    type Fields<'a> = &'a [(&'static str, &'a str)];

    /// Tokens whose names say what they are.
    fn known(seen: &Seen) -> Reply {
        if seen.issues() {
            return Reply::issued("ours", 60);
        }
        match seen.header("x-subject-token") {
            "reader" => Reply::described("reader", &["reader"], LATER),
            "service" => Reply::described("service", &["service"], LATER),
            "expired" if seen.target.contains("allow_expired=1") => {
                Reply::described("expired", &["member"], BEFORE)
            }
            // Keystone's clock is behind ours.
            "just-expired" => Reply::described("just-expired", &["member"], BEFORE),
            "broken" => Reply::status(500),
            "ours-is-bad" => Reply::status(401),
            _ => Reply::status(404),
        }
    }

    fn config(fake: &FakeKeystone) -> KeystoneInbound {
        install_crypto_provider();
        KeystoneInbound {
            www_authenticate_uri: Some("https://keystone.example/v3".into()),
            identity: fake.auth(),
            session: Session::default(),
            interface: Interface::Internal,
            region_name: None,
            token_cache_time: Some(Duration::from_mins(5)),
            service_token_roles: vec!["service".into()],
            service_token_roles_required: true,
            service_type: None,
            connect_timeout: Duration::from_secs(20),
            max_retries: 0,
        }
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    /// The user who came in, or the text for who did not.
    async fn enter(tokens: &Tokens, fields: &[(&'static str, &str)]) -> Result<String, String> {
        let outcome = tokens.authenticate(&headers(fields), None).await;
        outcome
            .map(|token| token.user_id.clone())
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn who_comes_in() {
        let fake = FakeKeystone::new(known);
        let strict = Tokens::new(&config(&fake)).unwrap();
        let lax = Tokens::new(&KeystoneInbound {
            service_token_roles_required: false,
            ..config(&fake)
        })
        .unwrap();
        let long = "x".repeat(LONGEST_TOKEN + 1);
        let no = "The request you have made requires authentication.";
        let down = "The Keystone service is temporarily unavailable.";
        let (auth, storage, service) = ("x-auth-token", "x-storage-token", "x-service-token");
        let cases: [(Fields<'_>, Result<&str, &str>); 22] = [
            (&[(auth, "reader")], Ok("reader")),
            (&[(auth, "  reader ")], Ok("reader")),
            (&[(storage, "reader")], Ok("reader")),
            (&[(auth, "reader"), (storage, "unknown")], Ok("reader")),
            (&[(auth, "unknown"), (storage, "reader")], Err(no)),
            (&[(auth, ""), (storage, "reader")], Err(no)),
            (&[], Err(no)),
            (&[("authorization", "Basic YW5uOnB3")], Err(no)),
            (&[(auth, "unknown")], Err(no)),
            (&[(auth, "two words")], Err(no)),
            (&[(auth, &long)], Err(no)),
            (&[(auth, "expired")], Err(no)),
            (&[(auth, "just-expired")], Err(no)),
            (&[(auth, "broken")], Err(down)),
            (
                &[(auth, "reader"), (auth, "reader")],
                Err("More than one x-auth-token header."),
            ),
            (
                &[(auth, "reader"), (service, "service"), (service, "s")],
                Err("More than one x-service-token header."),
            ),
            // A service token speaks for the age of the user's token and for nothing else.
            (&[(service, "service")], Err(no)),
            (&[(auth, "reader"), (service, "service")], Ok("reader")),
            (&[(auth, "expired"), (service, "service")], Ok("expired")),
            (&[(auth, "reader"), (service, "unknown")], Err(no)),
            (&[(auth, "reader"), (service, "reader")], Err(no)),
            (&[(auth, "reader"), (service, "broken")], Err(down)),
        ];
        for (fields, expected) in cases {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(enter(&strict, fields).await, expected, "{fields:?}");
        }
        let asked_about = |token: &str| {
            fake.seen()
                .iter()
                .any(|seen| seen.header("x-subject-token") == token)
        };
        assert!(asked_about("unknown") && !asked_about("two words") && !asked_about(&long));
        assert!(
            enter(&lax, &[(auth, "reader"), (service, "reader")])
                .await
                .is_ok()
        );
        assert!(
            enter(&lax, &[(auth, "expired"), (service, "reader")])
                .await
                .is_err()
        );
        assert!(
            enter(&lax, &[(auth, "reader"), (service, "unknown")])
                .await
                .is_err()
        );
        assert!(
            enter(&strict, &[(auth, "expired")]).await.is_err(),
            "what a service vouched for is not remembered"
        );
        let refused = strict.authenticate(&HeaderMap::new(), None).await;
        assert_eq!(
            refused,
            Err(TokenError::Unauthorized {
                challenge: HeaderValue::from_static(CHALLENGE)
            })
        );
    }

    #[tokio::test]
    async fn a_known_token_is_not_asked_about_again() {
        let fake = FakeKeystone::new(known);
        let believing = Tokens::new(&config(&fake)).unwrap();
        let asking = Tokens::new(&KeystoneInbound {
            token_cache_time: None,
            ..config(&fake)
        })
        .unwrap();
        for (tokens, token, questions) in [
            (&believing, "reader", 1),
            (&believing, "unknown", 3),
            (&asking, "reader", 3),
        ] {
            let before = fake.validated();
            for _ in 0..3 {
                let _ = enter(tokens, &[("x-auth-token", token)]).await;
            }
            assert_eq!(fake.validated() - before, questions, "{token}");
        }
        drop(fake);
        assert!(
            enter(&believing, &[("x-auth-token", "reader")])
                .await
                .is_ok(),
            "known tokens outlive Keystone"
        );
        assert!(
            enter(&believing, &[("x-auth-token", "service")])
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn one_question_answers_everybody_with_the_same_token() {
        let fake = FakeKeystone::new(known);
        let tokens = Tokens::new(&config(&fake)).unwrap();
        for (token, comes_in) in [("reader", true), ("unknown", false), ("broken", false)] {
            let before = fake.validated();
            let fields = [("x-auth-token", token)];
            let outcomes = join_all((0..50).map(|_| enter(&tokens, &fields))).await;
            assert!(
                outcomes.iter().all(|outcome| outcome.is_ok() == comes_in),
                "{token}"
            );
            assert_eq!(fake.validated() - before, 1, "{token}");
        }
        assert!(tokens.inner.flights().is_empty());
    }

    #[tokio::test]
    async fn our_own_token_is_replaced_once_when_keystone_refuses_it() {
        let fake = FakeKeystone::new(known);
        let tokens = Tokens::new(&config(&fake)).unwrap();
        assert!(
            enter(&tokens, &[("x-auth-token", "ours-is-bad")])
                .await
                .is_err()
        );
        assert_eq!((fake.issued(), fake.validated()), (2, 2));
    }

    #[tokio::test]
    async fn a_lost_connection_is_tried_again() {
        let lost = AtomicBool::new(false);
        let fake = FakeKeystone::new(move |seen| {
            if seen.issues() || lost.swap(true, Ordering::SeqCst) {
                known(seen)
            } else {
                Reply::Cut
            }
        });
        let tokens = Tokens::new(&KeystoneInbound {
            max_retries: 1,
            ..config(&fake)
        })
        .unwrap();
        assert_eq!(
            enter(&tokens, &[("x-auth-token", "reader")])
                .await
                .as_deref(),
            Ok("reader")
        );
    }

    #[test]
    fn nothing_is_believed_longer_than_it_lives() {
        let second = Duration::from_secs(1);
        let wall = SystemTime::UNIX_EPOCH + second * 1_000_000;
        for (cache_time, left, believed) in [
            (Some(300), 3600_i32, Some(300)),
            (Some(300), 10, Some(10)),
            (Some(300), 0, None),
            (Some(300), -1, None),
            (None, 3600, Some(0)),
            (None, 0, None),
        ] {
            let expires_at = if left < 0 {
                wall - second
            } else {
                wall + second * left.unsigned_abs()
            };
            let cache_time = cache_time.map(Duration::from_secs);
            let believed = believed.map(Duration::from_secs);
            assert_eq!(
                believable_for(cache_time, expires_at, wall),
                believed,
                "{cache_time:?} {left}"
            );
        }
    }
}
