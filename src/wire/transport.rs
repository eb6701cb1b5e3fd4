//! One bounded exchange with one peer, on Pingora's own connectors. The only room, besides Pingora's proxy itself, that
//! opens sockets to a location.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http::StatusCode;
use log::error;
use pingora::Error;
use pingora::ErrorType;
use pingora::RetryType;
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::v1::Connector;
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;
use pingora::upstreams::peer::Peer as _;

/// A connection without reuse belongs to a group of its own.
static NEXT_GROUP: AtomicU64 = AtomicU64::new(1 << 32);

/// Gives `peer` a connection that nobody used before. An idle pooled one may be dead, and whether a write on it was
/// executed could not be told.
pub fn on_fresh_connection(peer: &mut HttpPeer) {
    peer.group_key = NEXT_GROUP.fetch_add(1, Ordering::Relaxed);
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection: nothing was sent.
    Connect,
    /// No connection in time: nothing was sent.
    ConnectTimeout,
    /// Sent, maybe executed, no whole answer in time.
    Timeout,
    /// Sent, maybe executed; the connection broke or the answer is no HTTP.
    Broken,
    /// The answer ends before it should.
    CutOff,
    /// The answer is larger than is taken.
    TooLarge,
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

/// What bounds one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// From the first byte sent to the last byte read.
    pub total: Duration,
    /// Until the head of the answer.
    pub response: Duration,
    /// Bytes of the answer's body.
    pub size: usize,
}

/// A pool of connections. Its streams belong to the runtime that opened them: each Pingora service has its own.
pub struct Transport {
    connector: Connector,
    /// What was wrong with whose certificate or handshake, as far as the log has it.
    distrusted: Mutex<HashMap<SocketAddr, String>>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

impl Transport {
    /// Keeps at most `pool_size` idle connections.
    pub fn new(pool_size: usize) -> Self {
        Self {
            connector: Connector::new(Some(ConnectorOptions::new(pool_size))),
            distrusted: Mutex::default(),
        }
    }

    /// Sends a request and reads the whole answer. A safe request that met a stale pooled connection is sent once more.
    pub async fn exchange(
        &self,
        peer: &HttpPeer,
        head: &RequestHeader,
        body: Option<&Bytes>,
        bounds: Bounds,
    ) -> Result<Reply, Failure> {
        let safe = head.method.is_safe();
        let attempts = async {
            if !safe {
                let mut fresh = peer.clone();
                on_fresh_connection(&mut fresh);
                return self
                    .once(&fresh, head, body, bounds, Reuse::Never)
                    .await
                    .map_err(|(failure, _)| failure);
            }
            match self.once(peer, head, body, bounds, Reuse::Pooled).await {
                Err((_, Staleness::Stale)) => self
                    .once(peer, head, body, bounds, Reuse::Pooled)
                    .await
                    .map_err(|(failure, _)| failure),
                other => other.map_err(|(failure, _)| failure),
            }
        };
        tokio::time::timeout(bounds.total, attempts)
            .await
            .unwrap_or(Err(Failure::Timeout))
    }

    async fn once(
        &self,
        peer: &HttpPeer,
        head: &RequestHeader,
        body: Option<&Bytes>,
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
                self.tell_trust(peer, connected.as_ref().err().map(|error| &**error));
                connected.map_err(|error| (not_connected(&error), Staleness::Fresh))?
            };
        session.read_timeout = Some(bounds.response);
        session.write_timeout = Some(bounds.total);
        let exchanged: Result<Reply, Box<Error>> = async {
            session.write_request_header(Box::new(head.clone())).await?;
            if let Some(body) = body {
                session.write_body(body).await?;
            }
            session.finish_body().await?;
            let (status, headers) = loop {
                session.read_response().await?;
                match session.resp_header() {
                    Some(head) if head.status.is_informational() => {}
                    Some(head) => break (head.status, head.headers.clone()),
                    None => return Err(Error::new(ErrorType::InvalidHTTPHeader)),
                }
            };
            let mut whole = BytesMut::with_capacity(announced_length(&headers).min(bounds.size));
            while let Some(part) = session.read_body_ref().await.map_err(cut_off)? {
                if whole.len() + part.len() > bounds.size {
                    return Err(Error::new(TOO_LARGE));
                }
                whole.extend_from_slice(part);
            }
            Ok(Reply {
                status,
                headers,
                body: whole.freeze(),
            })
        }
        .await;
        match exchanged {
            Ok(reply) => {
                match reuse {
                    Reuse::Pooled => {
                        self.connector
                            .release_http_session(session, peer, peer.idle_timeout())
                            .await;
                    }
                    Reuse::Never => session.shutdown().await,
                }
                Ok(reply)
            }
            Err(error) => {
                session.shutdown().await;
                let stale = reused && error.retry == RetryType::ReusedOnly;
                Err((
                    broken(&error),
                    if stale {
                        Staleness::Stale
                    } else {
                        Staleness::Fresh
                    },
                ))
            }
        }
    }
}

impl Transport {
    /// Without this, an operator could not tell a certificate that is not accepted from a location that is down.
    fn tell_trust(&self, peer: &HttpPeer, error: Option<&Error>) {
        let Some(address) = peer.address().as_inet().filter(|_| peer.tls()) else {
            return;
        };
        let wrong = error.filter(|error| {
            matches!(
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

fn cut_off(error: Box<Error>) -> Box<Error> {
    match error.etype() {
        ErrorType::ReadTimedout => error,
        _ => Error::because(CUT_OFF, "reading the body", error),
    }
}

/// Bytes announced by the answer; at most 64 MiB are reserved on its word alone.
fn announced_length(headers: &HeaderMap) -> usize {
    let announced = headers
        .get(http::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    announced.unwrap_or(8 << 10).min(64 << 20)
}

fn not_connected(error: &Error) -> Failure {
    match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => Failure::ConnectTimeout,
        _ => Failure::Connect,
    }
}

fn broken(error: &Error) -> Failure {
    match error.etype() {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Failure::Timeout,
        kind if *kind == CUT_OFF => Failure::CutOff,
        kind if *kind == TOO_LARGE => Failure::TooLarge,
        _ => Failure::Broken,
    }
}
