//! One bounded exchange with one peer, on Pingora's own connectors. Besides Pingora's proxy, this is the only place
//! that opens connections to a location.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http::StatusCode;
use log::error;
use pingora::Error;
use pingora::ErrorType;
use pingora::RetryType;
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::v1::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::upstreams::peer::Peer as _;

use crate::wire::budget::Budget;
use crate::wire::upload::Upload;

/// A connection without reuse belongs to a group of its own.
static NEXT_GROUP: AtomicU64 = AtomicU64::new(1 << 32);

/// Gives `peer` a connection that nobody used before. An idle pooled one may be dead, and whether a write on it was
/// executed could not be told.
pub fn on_fresh_connection(peer: &mut HttpPeer) {
    peer.group_key = NEXT_GROUP.fetch_add(1, Ordering::Relaxed);
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing was sent.
    #[error("no connection")]
    Connect,
    /// Nothing was sent.
    #[error("no connection in time")]
    ConnectTimeout,
    /// Sent, maybe executed.
    #[error("no whole answer in time")]
    Timeout,
    /// Sent, maybe executed.
    #[error("the connection broke, or the answer is not HTTP")]
    Broken,
    #[error("the answer is cut off")]
    CutOff,
    #[error("the answer is too large")]
    TooLarge,
    /// The request's own time; the location may have been quick enough.
    #[error("the request's time is over")]
    Deadline,
    /// Nothing was sent.
    #[error("this machine has no descriptor, memory or route for it")]
    Local,
    /// It was not executed.
    #[error("the client did not send its body to the end, or cannot send it again")]
    Abandoned,
    /// The head of the request is large, and some web servers refuse it without a word.
    #[error("the connection was closed at a large head")]
    HeadRefused,
}

impl Failure {
    /// Whether asking once more would wait as long again.
    pub fn is_timeout(self) -> bool {
        matches!(self, Self::ConnectTimeout | Self::Timeout | Self::Deadline)
    }

    /// Whether the request may have been executed.
    pub fn was_sent(self) -> bool {
        match self {
            Self::Connect | Self::ConnectTimeout | Self::Local | Self::Abandoned => false,
            Self::Timeout
            | Self::Broken
            | Self::CutOff
            | Self::TooLarge
            | Self::Deadline
            | Self::HeadRefused => true,
        }
    }
}

/// A whole answer.
#[derive(Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl fmt::Debug for Reply {
    // Bodies hold what operators keep secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {} bytes)", self.status, self.body.len())
    }
}

/// The body of a request.
#[derive(Clone, Copy, Debug)]
pub enum Sent<'a> {
    Nothing,
    Whole(&'a Bytes),
    Streamed(&'a Upload),
}

/// A request as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub head: &'a RequestHeader,
    pub body: Sent<'a>,
}

/// What bounds one exchange. A body that moves is never too slow: silence is measured, not length.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// From the last byte sent to the head of the answer.
    pub response: Duration,
    /// Between two parts of a body, in either direction.
    pub silence: Duration,
    /// When the request as a whole is over.
    pub deadline: Instant,
    /// Bytes of the answer's body.
    pub size: usize,
}

/// Heads of answers other than the last one (RFC 9110 15.2) that are skipped. Ironic sends at most one.
const MAX_INTERIM: usize = 4;
/// A part of a body as it is written: the clock of a write measures this much.
const WRITTEN_PART: usize = 64 << 10;
/// More than some web servers in front of Ironic take of a request's head: nginx's and httpd's buffers are 8 KiB, and uWSGI
/// closes the connection if its 4 KiB do not suffice.
pub const LARGE_HEAD: usize = 3 << 10;

/// A pool of connections. Its streams belong to the runtime that opened them: each Pingora service has its own.
pub struct Transport {
    connector: Connector,
    budget: Budget,
    /// What was wrong with whose certificate or handshake, as far as the log has it.
    distrusted: Mutex<HashMap<SocketAddr, String>>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

impl Transport {
    /// Keeps at most `pool_size` idle connections. Answers count against `budget` as long as they are held.
    pub fn new(pool_size: usize, budget: Budget) -> Self {
        Self {
            connector: Connector::new(Some(ConnectorOptions::new(pool_size))),
            budget,
            distrusted: Mutex::default(),
        }
    }

    /// Sends a request and reads the whole answer. A safe request that met a stale pooled connection is sent once more.
    pub async fn exchange(
        &self,
        peer: &HttpPeer,
        message: Message<'_>,
        bounds: Bounds,
    ) -> Result<Reply, Failure> {
        let attempts = async {
            if !message.head.method.is_safe() {
                // Pingora calls a pooled connection that was closed in place of an answer `ReusedOnly`. That proves
                // nothing: a server that read the whole request, executed it and then closed looks the same.
                let mut fresh = peer.clone();
                on_fresh_connection(&mut fresh);
                return self
                    .once(&fresh, message, bounds, Reuse::Never)
                    .await
                    .map_err(|(failure, _)| failure);
            }
            match self.once(peer, message, bounds, Reuse::Pooled).await {
                // RFC 9112 9.3.1: a safe request may be repeated on a new connection.
                Err((_, Staleness::Stale)) => self
                    .once(peer, message, bounds, Reuse::Pooled)
                    .await
                    .map_err(|(failure, _)| failure),
                other => other.map_err(|(failure, _)| failure),
            }
        };
        if let Sent::Streamed(_) = message.body {
            // The client's own pace does not count; the clocks of the parts and of the answer do.
            return attempts.await;
        }
        tokio::time::timeout_at(bounds.deadline.into(), attempts)
            .await
            .unwrap_or(Err(Failure::Deadline))
    }

    async fn once(
        &self,
        peer: &HttpPeer,
        message: Message<'_>,
        bounds: Bounds,
        reuse: Reuse,
    ) -> Result<Reply, (Failure, Staleness)> {
        let (mut session, reused) =
            if let Some(session) = self.connector.reused_http_session(peer).await {
                (session, true)
            } else {
                // Boxed: a connection in the making has some 100 KB of state, which would be in the future of every
                // question, and of all that wait for them, and with them on the stack.
                let connected = Box::pin(self.connector.get_http_session(peer)).await;
                if let Err(error) = &connected {
                    self.tell_trust(peer, Some(error));
                }
                connected.map_err(|error| (not_connected(&error), Staleness::Fresh))?
            };
        session.read_timeout = Some(bounds.response);
        session.write_timeout = Some(bounds.silence);
        let exchanged = self.converse(&mut session, message, bounds).await;
        match exchanged {
            Ok(reply) => {
                if !reused {
                    self.tell_trust(peer, None);
                }
                match reuse {
                    Reuse::Pooled => {
                        self.connector
                            .release_http_session(session, peer, peer.idle_timeout())
                            .await;
                    }
                    // Nobody else asks for its group: in the pool it would only push out connections that are of use.
                    Reuse::Never => session.shutdown().await,
                }
                Ok(reply)
            }
            Err(error) => {
                session.shutdown().await;
                let mut failure = broken(&error);
                if reused && is_black_hole(&error) {
                    // TCP_USER_TIMEOUT: what was sent on the idle connection was never acknowledged, so a new
                    // connection would wait as long again.
                    failure = Failure::ConnectTimeout;
                } else if failure == Failure::Broken && alert(&error).is_some() {
                    // With TLS 1.3 a server can refuse our certificate, or that we show none, only after our side of the
                    // handshake (RFC 8446 4.4.2.4 and 6): in place of an answer, so nothing was executed.
                    self.tell_trust(peer, Some(&error));
                    failure = Failure::Connect;
                } else if failure == Failure::Broken
                    && !reused
                    && head_size(message.head) > LARGE_HEAD
                {
                    failure = Failure::HeadRefused;
                }
                let stale = reused
                    && error.retry == RetryType::ReusedOnly
                    && failure != Failure::ConnectTimeout;
                Err((
                    failure,
                    if stale {
                        Staleness::Stale
                    } else {
                        Staleness::Fresh
                    },
                ))
            }
        }
    }

    /// Writes a request on an open connection and reads the answer.
    async fn converse(
        &self,
        session: &mut HttpSession,
        Message { head, body }: Message<'_>,
        bounds: Bounds,
    ) -> Result<Reply, Box<Error>> {
        session.write_request_header(Box::new(head.clone())).await?;
        let written = write_body(session, body).await;
        // Who refuses a body before it was sent may close its ears and say why all the same (RFC 9112 9.5).
        if let Err(error) = written
            && (*error.etype() == ABANDONED || session.read_response().await.is_err())
        {
            return Err(error);
        }
        let mut interim = 0;
        let (status, headers) = loop {
            if session.resp_header().is_none() {
                session.read_response().await?;
            }
            match session.resp_header() {
                // We never offer an upgrade.
                Some(head) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                    return Err(Error::new(ErrorType::InvalidHTTPHeader));
                }
                Some(head) if head.status.is_informational() => {
                    interim += 1;
                    if interim > MAX_INTERIM {
                        return Err(Error::new(ErrorType::InvalidHTTPHeader));
                    }
                    session.read_response().await?;
                }
                Some(head) => break (head.status, head.headers.clone()),
                None => return Err(Error::new(ErrorType::InvalidHTTPHeader)),
            }
        };
        // The answer has begun: from here on the clock measures the pause between two parts, however long all of them
        // take.
        session.read_timeout = Some(bounds.silence);
        let announced = announced_length(&headers);
        if announced > bounds.size {
            return Err(Error::new(TOO_LARGE));
        }
        // A head may announce any length; what is reserved on its word alone is bounded.
        let mut whole = self.budget.body(announced.min(RESERVED));
        while let Some(part) = session.read_body_ref().await.map_err(cut_off)? {
            if whole.len() + part.len() > bounds.size {
                return Err(Error::new(TOO_LARGE));
            }
            whole
                .extend(part)
                .await
                .map_err(|error| Error::because(EXHAUSTED, "reading the body", error))?;
        }
        Ok(Reply {
            status,
            headers,
            body: whole.freeze(),
        })
    }
}

impl Transport {
    /// Without this, an operator could not tell a certificate that is not accepted from a location that is down.
    fn tell_trust(&self, peer: &HttpPeer, error: Option<&Error>) {
        let Some(address) = peer.address().as_inet().filter(|_| peer.tls()) else {
            return;
        };
        let wrong = error.filter(|error| {
            alert(error).is_some()
                || matches!(
                    error.etype(),
                    ErrorType::TLSHandshakeFailure
                        | ErrorType::InvalidCert
                        | ErrorType::TLSHandshakeTimedout
                )
        });
        let mut distrusted = self
            .distrusted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match wrong {
            None if error.is_none() => drop(distrusted.remove(address)),
            None => {}
            Some(error) => {
                let text = error.to_string();
                // Around it are Pingora's own steps, and our port, which is another one each time.
                let why = text.split_once("cause: ").map_or(&*text, |(_, why)| why);
                let why = why.split(", SNI: ").next().unwrap_or(why);
                let alert = alert(error);
                let why = alert.as_deref().unwrap_or(why);
                // Of one that is expired the time follows.
                let kind = why.split(": verification time").next().unwrap_or(why);
                // Once, not with every probe.
                if distrusted.get(address).is_none_or(|told| told != kind) {
                    error!("No TLS with {} at {address}: {why}", peer.sni());
                    distrusted.insert(*address, kind.to_owned());
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Reuse {
    Pooled,
    Never,
}

/// Whether a failure may come from nothing but an old connection.
enum Staleness {
    Stale,
    Fresh,
}

const CUT_OFF: ErrorType = ErrorType::Custom("AnswerCutOff");
const TOO_LARGE: ErrorType = ErrorType::Custom("AnswerTooLarge");
const ABANDONED: ErrorType = ErrorType::Custom("BodyAbandoned");
const EXHAUSTED: ErrorType = ErrorType::Custom("BudgetExhausted");
/// Reserved for a body on the word of its head alone.
const RESERVED: usize = 64 << 20;

async fn write_body(session: &mut HttpSession, body: Sent<'_>) -> Result<(), Box<Error>> {
    match body {
        Sent::Nothing => {}
        Sent::Whole(body) => {
            for part in body.chunks(WRITTEN_PART) {
                session.write_body(part).await?;
            }
        }
        Sent::Streamed(upload) => {
            let mut source = upload.begin().await.ok_or_else(|| Error::new(ABANDONED))?;
            let abandoned = |error| Error::because(ABANDONED, "reading the client's body", error);
            while let Some(part) = source.next().await.map_err(abandoned)? {
                session.write_body(&part).await?;
            }
        }
    }
    session.finish_body().await?;
    Ok(())
}

fn cut_off(error: Box<Error>) -> Box<Error> {
    match error.etype() {
        ErrorType::ReadTimedout => error,
        _ => Error::because(CUT_OFF, "reading the body", error),
    }
}

/// Bytes announced by the answer, or a guess.
fn announced_length(headers: &HeaderMap) -> usize {
    let announced = headers
        .get(http::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    announced.unwrap_or(8 << 10)
}

fn not_connected(error: &Error) -> Failure {
    match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => Failure::ConnectTimeout,
        // Pingora's word for a socket that could not be made or bound.
        ErrorType::InternalError | ErrorType::SocketError | ErrorType::BindError => Failure::Local,
        ErrorType::ConnectNoRoute if has_errno(error, &[libc::ENETUNREACH]) => Failure::Local,
        _ if has_errno(
            error,
            &[
                libc::EMFILE,
                libc::ENFILE,
                libc::ENOMEM,
                libc::EADDRNOTAVAIL,
            ],
        ) =>
        {
            Failure::Local
        }
        _ => Failure::Connect,
    }
}

fn broken(error: &Error) -> Failure {
    match error.etype() {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Failure::Timeout,
        kind if *kind == CUT_OFF => Failure::CutOff,
        kind if *kind == TOO_LARGE => Failure::TooLarge,
        kind if *kind == EXHAUSTED => Failure::Local,
        kind if *kind == ABANDONED => Failure::Abandoned,
        _ => Failure::Broken,
    }
}

/// What a TLS peer said when it gave up, and what helps.
fn alert(error: &Error) -> Option<String> {
    let text = error.to_string();
    let (_, name) = text.split_once("received fatal alert: ")?;
    let name: String = name
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    let helps = match name.as_str() {
        "CertificateRequired" => "it asks for a client certificate: certfile and keyfile",
        "HandshakeFailure" => {
            "it has no cipher suite in common with us, or asks for a client certificate: TLS 1.3 and TLS 1.2 with GCM or \
             ChaCha20 suites are spoken, CBC suites are not"
        }
        "ProtocolVersion" => "it speaks neither TLS 1.2 nor TLS 1.3",
        "BadCertificate"
        | "CertificateUnknown"
        | "CertificateExpired"
        | "CertificateRevoked"
        | "UnknownCA"
        | "UnsupportedCertificate"
        | "AccessDenied" => "it does not accept our client certificate: certfile and keyfile",
        "UnrecognisedName" => "it does not know the name that the endpoint has",
        _ => "it gave up",
    };
    Some(format!("received fatal alert: {name} ({helps})"))
}

fn is_black_hole(error: &Error) -> bool {
    has_errno(error, &[libc::ETIMEDOUT, libc::EHOSTUNREACH])
}

/// Whether one of these is behind an error of Pingora's.
fn has_errno(error: &Error, wanted: &[i32]) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> =
        error.cause.as_ref().map(|cause| &**cause as _);
    while let Some(error) = cause {
        let found = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::raw_os_error);
        if found.is_some_and(|errno| wanted.contains(&errno)) {
            return true;
        }
        cause = match error.downcast_ref::<Box<Error>>() {
            Some(inner) => Some(&**inner),
            None => match error.downcast_ref::<Error>() {
                Some(inner) => inner.cause.as_ref().map(|cause| &**cause as _),
                None => error.source(),
            },
        };
    }
    false
}

/// About as many bytes as it takes on the wire.
fn head_size(head: &RequestHeader) -> usize {
    let fields: usize = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    head.uri
        .path_and_query()
        .map_or(0, |path| path.as_str().len())
        + fields
}
