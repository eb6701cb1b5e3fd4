//! A client of one Keystone: gets tokens for the gateway and validates tokens of others. Every exchange is bounded.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header;
use once_cell::sync::Lazy;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;

use crate::api::header::SUBJECT_TOKEN;
use crate::config::Endpoint;
use crate::config::KeystoneAuth;
use crate::config::Session;
use crate::keystone::message::Token;
use crate::keystone::message::Unusable;
use crate::keystone::message::Validated;
use crate::keystone::message::request_body;
use crate::keystone::message::token;
use crate::keystone::message::validated;
use crate::tls::pem::TlsError;
use crate::wire::budget::Budget;
use crate::wire::peer::Clocks;
use crate::wire::peer::Tls;
use crate::wire::peer::dial;
use crate::wire::peer::host;
use crate::wire::peer::resolve;
use crate::wire::transport::Bounds;
use crate::wire::transport::Failure;
use crate::wire::transport::Head;
use crate::wire::transport::Message;
use crate::wire::transport::Reply;
use crate::wire::transport::Sent;
use crate::wire::transport::Transport;

pub const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// The catalog of a large cloud is some 100 KB.
const MAX_ANSWER: usize = 2 * 1024 * 1024;
/// Below the keep-alive of the web servers that Keystone runs in (Apache 5 s): the pool closes first.
const IDLE: Duration = Duration::from_secs(4);
/// Idle connections to all Keystones.
const POOL: usize = 128;

/// One pool for all Keystones: each connector reads the system's authorities anew, and a location has a Keystone of its
/// own. Settings are kept apart by their group.
static TRANSPORT: Lazy<Transport> =
    Lazy::new(|| Transport::new(POOL, Budget::new(MAX_ANSWER * POOL)));

/// Why Keystone gave us nothing. Never holds what it said: that may be a body of secrets.
#[derive(Clone, Debug, Error)]
pub enum KeystoneError {
    /// It does not take our credential, or not in this form: asking again soon makes it worse.
    #[error("Keystone refuses our credential with status {}", .0.as_u16())]
    Refused(StatusCode),
    #[error("Keystone answers with status {}", .0.as_u16())]
    Status(StatusCode),
    #[error("Keystone cannot be reached")]
    Unreachable(#[source] Failure),
    #[error(transparent)]
    Answer(#[from] Unusable),
}

/// Why a token of somebody else is not known to be good.
#[derive(Clone, Debug, Error)]
pub enum ValidateError {
    /// Keystone knows no such token: it is wrong, expired or revoked.
    #[error("no such token")]
    Invalid,
    /// Keystone refuses the token we ask with.
    #[error("Keystone refuses our own token")]
    Unauthorized,
    #[error(transparent)]
    Keystone(#[from] KeystoneError),
}

/// A file of the TLS options that cannot be used, or an address that is none.
#[derive(Debug, Error)]
pub enum SetupError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("auth_url is not the address of a Keystone")]
    Url,
    #[error("a secret holds characters that no header can carry")]
    Secret,
    #[error("the system provides no random numbers")]
    Random,
}

/// How long one exchange with Keystone may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub connect: Duration,
    /// The whole exchange, body included.
    pub total: Duration,
}

/// Whether a token past its time may still count, as for long running operations that a service continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expired {
    Refuse,
    Allow,
}

/// Tokens that one Keystone is asked for at the same time, and how many of these are renewed ahead of need: thousands of
/// locations that come back at once must not be a load that it fails under.
const AT_ONCE: usize = 32;
const AHEAD: usize = 8;

/// The turns of everybody who gets tokens from one Keystone.
struct Turns {
    all: Semaphore,
    ahead: Semaphore,
}

/// By host and port.
static TURNS: Lazy<Mutex<HashMap<String, Arc<Turns>>>> = Lazy::new(Mutex::default);

fn turns_at(base: &Endpoint) -> Arc<Turns> {
    let new = || {
        Arc::new(Turns {
            all: Semaphore::new(AT_ONCE),
            ahead: Semaphore::new(AHEAD),
        })
    };
    let mut known = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    let turns = known
        .entry(format!("{}:{}", base.host, base.port))
        .or_insert_with(new);
    Arc::clone(turns)
}

/// One Keystone, and who we are there.
pub struct Keystone {
    turns: Arc<Turns>,
    tls: ArcSwap<Tls>,
    session: Session,
    timeouts: Timeouts,
    /// Ends in `/v3`.
    base: Endpoint,
    auth: KeystoneAuth,
}

/// Makes ring the provider of all TLS of this process.
pub fn install_crypto_provider() {
    pingora::tls::install_default_crypto_provider();
}

impl Keystone {
    /// Reads the certificates, speaks to nobody.
    pub fn new(
        auth: &KeystoneAuth,
        session: &Session,
        timeouts: Timeouts,
    ) -> Result<Self, SetupError> {
        let base = Endpoint::whole(&auth.auth_url).map_err(|_| SetupError::Url)?;
        Ok(Self {
            turns: turns_at(&base),
            tls: ArcSwap::from_pointee(Tls::load(session)?),
            session: session.clone(),
            timeouts,
            base,
            auth: auth.clone(),
        })
    }

    /// Reads the certificates again; connections made with the old ones are not used any longer.
    pub fn reload(&self) -> Result<(), SetupError> {
        let tls = Tls::load(&self.session)?;
        self.tls.store(Arc::new(tls));
        Ok(())
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    /// `auth_url` as it is asked, ending in `/v3`.
    pub fn base(&self) -> &Endpoint {
        &self.base
    }

    /// `auth_url` as clients are told.
    pub fn auth_url(&self) -> &str {
        &self.auth.auth_url
    }

    /// A new token for ourselves.
    pub async fn issue(&self) -> Result<Token, KeystoneError> {
        // Closed never. Without a turn there would be no bound, and still a token.
        let _turn = self.turns.all.acquire().await;
        // Before the question: a token lives from when it was issued, which is no earlier than this.
        let asked = Instant::now();
        let body = Bytes::from(request_body(&self.auth).to_string());
        let mut head = head(Method::POST, &self.base, TOKENS)?;
        head.field(&header::CONTENT_TYPE, &JSON);
        head.number(&header::CONTENT_LENGTH, body.len());
        let answer = self.exchange(&self.base, &head, Sent::Whole(&body)).await?;
        match answer.status {
            status if status.is_success() => Ok(token(&answer, asked)?),
            // These two say "not now", not "not you".
            status @ (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) => {
                Err(KeystoneError::Status(status))
            }
            status if status.is_client_error() => Err(KeystoneError::Refused(status)),
            status => Err(KeystoneError::Status(status)),
        }
    }

    /// Waited for by who wants a token that nobody needs yet, before anything else that somebody could need.
    pub async fn turn_ahead(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.ahead.acquire().await.ok()
    }

    /// Asks the Keystone at `base` (ending in `/v3`) about the token `subject`, with `ours` as the right to ask.
    ///
    /// `OpenStack-Identity-Access-Rules` is not sent: Keystone then does not know tokens of application credentials
    /// with access rules, which nobody here could enforce.
    pub async fn validate(
        &self,
        base: &Endpoint,
        ours: &HeaderValue,
        subject: &HeaderValue,
        expired: Expired,
    ) -> Result<Validated, ValidateError> {
        let query = match expired {
            Expired::Refuse => "?nocatalog",
            Expired::Allow => "?nocatalog&allow_expired=1",
        };
        let mut head = head(Method::GET, base, &format!("{TOKENS}{query}"))?;
        head.field(&X_AUTH_TOKEN, ours);
        head.field(&SUBJECT_TOKEN, subject);
        let answer = self.exchange(base, &head, Sent::Nothing).await?;
        match answer.status {
            StatusCode::OK => Ok(validated(&answer.body).map_err(KeystoneError::from)?),
            StatusCode::NOT_FOUND => Err(ValidateError::Invalid),
            StatusCode::UNAUTHORIZED => Err(ValidateError::Unauthorized),
            status @ StatusCode::FORBIDDEN => Err(KeystoneError::Refused(status).into()),
            status => Err(KeystoneError::Status(status).into()),
        }
    }

    /// One request and its whole answer, bounded in time and size. A password goes to `auth_url` and to nobody whom the
    /// environment or an answer names: there are no proxies and no redirects.
    async fn exchange(
        &self,
        at: &Endpoint,
        head: &Head,
        body: Sent<'_>,
    ) -> Result<Reply, KeystoneError> {
        let Timeouts { connect, total } = self.timeouts;
        let bounds = Bounds {
            response: total,
            silence: total,
            deadline: Instant::now() + total,
            size: MAX_ANSWER,
        };
        let clocks = Clocks {
            connect,
            response: total,
            idle: IDLE,
        };
        let tls = self.tls.load_full();
        // A resolver that does not answer waits for its own timeouts, 5 s a server by default (resolv.conf(5)).
        let addresses = tokio::time::timeout(connect, resolve(at))
            .await
            .map_err(|_| KeystoneError::Unreachable(Failure::ConnectTimeout))?
            .map_err(|_| KeystoneError::Unreachable(Failure::Connect))?;
        let message = Message {
            head,
            body,
            begun: None,
        };
        let mut failure = Failure::Connect;
        for address in addresses {
            let peer = dial(at, address, &tls, clocks);
            match TRANSPORT.exchange(&peer, message, bounds).await {
                Ok(reply) => return Ok(reply),
                Err(Failure::TooLarge) => return Err(Unusable("is too large").into()),
                Err(error) => failure = error,
            }
            // What was sent may have counted as an attempt: another address is not asked with the same password
            // (Keystone locks accounts, `lockout_failure_attempts`).
            if failure.was_sent() {
                break;
            }
        }
        Err(KeystoneError::Unreachable(failure))
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TOKENS: &str = "/auth/tokens";

fn head(method: Method, base: &Endpoint, path: &str) -> Result<Head, KeystoneError> {
    let mut head = Head::new(method, &format!("{}{path}", base.prefix))
        .map_err(|_| Unusable("names an address that is none"))?;
    head.field(&header::HOST, &host(base));
    head.field(&header::ACCEPT, &JSON);
    head.field(
        &header::USER_AGENT,
        &HeaderValue::from_static("ironic-proxy"),
    );
    Ok(head)
}

impl fmt::Debug for Keystone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keystone")
            .field("base", &self.base.to_string())
            .finish_non_exhaustive()
    }
}

impl KeystoneError {
    /// The error and what it came from, on one line for the log.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

impl ValidateError {
    /// The error and what it came from, on one line for the log.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
