//! `auth_strategy = keystone`: tokens, as in keystonemiddleware's `auth_token`.
//!
//! A valid token is cached until `token_cache_time` is over or the token expires, so a revoked token may work for that
//! long. Nothing else is cached: neither Keystone's refusals nor its outages. Gateways may share what is.

mod shared;
pub mod validator;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use thiserror::Error;

use crate::auth::token::validator::Failure;
use crate::auth::token::validator::UseOfCache;
use crate::auth::token::validator::Validator;
use crate::config::KeystoneInbound;
use crate::keystone::client::Expired;
use crate::keystone::client::Keystone;
use crate::keystone::client::SetupError;
use crate::keystone::client::Timeouts;
use crate::keystone::client::X_AUTH_TOKEN;
use crate::keystone::message::Validated;

const X_STORAGE_TOKEN: HeaderName = HeaderName::from_static("x-storage-token");
const X_SERVICE_TOKEN: HeaderName = HeaderName::from_static("x-service-token");

/// Fernet tokens have some 250 bytes, JWS tokens up to a few thousand.
const LONGEST_TOKEN: usize = 8192;
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

/// Those whom Keystone vouches for.
#[derive(Debug)]
pub struct Tokens {
    validator: Arc<Validator>,
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
            validator: Arc::new(Validator::new(keystone, config)?),
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
        // keystonemiddleware validates the service token first: only a valid one with a service role lets an expired
        // user token pass.
        let expired = match service {
            None => Expired::Refuse,
            Some(field) => {
                let service = token(field).ok_or_else(|| self.unauthorized())?;
                self.service(service, from).await?
            }
        };
        self.validator
            .validated(user, expired, from)
            .await
            .map_err(|failure| self.error(failure))
    }

    /// Whether every token of the request was valid when Keystone was asked last.
    pub fn knows(&self, headers: &HeaderMap) -> bool {
        let known =
            |field: &HeaderValue| token(field).is_some_and(|token| self.validator.knows(&token));
        let user = headers
            .get(X_AUTH_TOKEN)
            .or_else(|| headers.get(X_STORAGE_TOKEN));
        user.is_some_and(known) && headers.get(X_SERVICE_TOKEN).is_none_or(known)
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
        self.validator.use_of_cache()
    }

    pub fn keystone(&self) -> &Keystone {
        self.validator.keystone()
    }

    /// Our own token is asked for, and shown as a client's would be.
    pub async fn try_out(&self) -> Result<(), String> {
        let own = self.validator.own().await;
        let own = own.map_err(|error| format!("no token can be obtained: {error}"))?;
        let validated = self
            .validator
            .validated(own.token.header.clone(), Expired::Refuse, None);
        match validated.await {
            Ok(_) => Ok(()),
            Err(_) => Err(
                "its own token is not allowed to validate tokens: its user needs the role service or admin"
                    .to_owned(),
            ),
        }
    }

    /// One step of the loop that keeps our own token fresh. Returns when the next one is due.
    pub async fn keep_fresh(&self) -> Instant {
        self.validator.keep_fresh().await
    }

    /// What a service token is good for.
    async fn service(
        &self,
        token: HeaderValue,
        from: Option<IpAddr>,
    ) -> Result<Expired, TokenError> {
        let service = self
            .validator
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
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;
    use crate::config::Interface;
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
            shared: None,
            service_token_roles: vec!["service".into()],
            service_token_roles_required: true,
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
        assert!(tokens.validator.flights().is_empty());
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
}
