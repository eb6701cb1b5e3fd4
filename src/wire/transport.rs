//! One bounded exchange with one peer, on Pingora's connectors (`handshake.rs`). Besides Pingora's proxy, they are the
//! only place that opens connections to a location.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use log::error;
use pingora::Error;
use pingora::ErrorType;
use pingora::protocols::Stream;
use pingora::upstreams::peer::HttpPeer;
use pingora::upstreams::peer::Peer as _;

use crate::wire::budget::Budget;
use crate::wire::conversation::After;
use crate::wire::conversation::Fault;
use crate::wire::conversation::converse;
use crate::wire::conversation::within;
use crate::wire::delivery::Delivery;
use crate::wire::handshake::Handshakes;
use crate::wire::idle::Idle;
pub use crate::wire::message::Begun;
pub use crate::wire::message::Bounds;
pub use crate::wire::message::Head;
pub use crate::wire::message::Message;
pub use crate::wire::message::Reply;
pub use crate::wire::message::Sent;
use crate::wire::peer::be_patient;
use crate::wire::peer::new_group;
use crate::wire::shown;

/// Gives `peer` a connection that nobody used before. An idle pooled one may be dead, and whether a write on it was
/// executed could not be told.
pub fn on_fresh_connection(peer: &mut HttpPeer) {
    peer.group_key = new_group();
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
    /// Sent, maybe executed. The request's own time; the location may have been quick enough.
    #[error("the request's deadline has passed")]
    Deadline,
    /// Nothing was sent.
    #[error("the request's deadline has passed before there was a connection")]
    TooLate,
    /// Nothing was sent.
    #[error("this machine has no descriptor, memory or route for it")]
    Local,
    /// Sent, maybe executed: the answer was under way.
    #[error("there is no memory for the answer")]
    Unheld,
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
        matches!(
            self,
            Self::ConnectTimeout | Self::Timeout | Self::Deadline | Self::TooLate
        )
    }

    /// Whether the request may have been executed.
    pub fn was_sent(self) -> bool {
        match self {
            Self::Connect
            | Self::ConnectTimeout
            | Self::TooLate
            | Self::Local
            | Self::Abandoned => false,
            Self::Timeout
            | Self::Broken
            | Self::CutOff
            | Self::TooLarge
            | Self::Deadline
            | Self::Unheld
            | Self::HeadRefused => true,
        }
    }
}

/// More than some web servers in front of Ironic take of a request's head: nginx's and httpd's buffers are 8 KiB, and uWSGI
/// closes the connection if its 4 KiB do not suffice.
pub const LARGE_HEAD: usize = 3 << 10;

/// How long a connection may have been idle that a write goes out on. Below the keep-alive of the web servers that Ironic
/// runs in (Apache 5 s, cheroot 10 s), less the way there: one that is being closed meanwhile may take what is written and
/// throw it away (Apache's lingering close), and then nobody knows whether it was executed.
const YOUNG: Duration = Duration::from_secs(4);

/// Bytes of a body from which on it has a connection of its own. What is shorter fits into the buffers on the way, whether
/// the server reads or not (`net.ipv4.tcp_rmem` begins with 128 KiB).
const LARGE_BODY: usize = 64 << 10;

/// How long a connection that is closed is waited for.
const PARTING: Duration = Duration::from_secs(1);

/// A pool of connections. Its streams belong to the runtime that opened them: each Pingora service has its own.
pub struct Transport {
    handshakes: Handshakes,
    idle: Idle,
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
            handshakes: Handshakes::default(),
            idle: Idle::new(pool_size),
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
        let is_safe = message.head.method().is_safe();
        // A large body may still be on its way.
        let unheard = (peer.options.connection_timeout).filter(|_| !is_large(message.body));
        if let Some(mut stream) = self.used_before(peer, message) {
            // A system call, of use for a write only.
            let delivery = (!is_safe).then(|| Delivery::before(&stream)).flatten();
            match converse(&mut stream, message, bounds, &self.budget, unheard).await {
                Ok((reply, after)) => {
                    self.part(peer, stream, after).await;
                    return Ok(reply);
                }
                Err(fault) => {
                    // A safe request may be repeated on a new connection (RFC 9110 9.2.2). A write may not, unless it is
                    // known that it was never applied: it is not, if the other side closed before a byte had arrived.
                    let is_untouched = is_closed(&fault)
                        && delivery.is_some_and(|delivery| delivery.is_none(&stream));
                    close(stream).await;
                    if !is_stale(&fault) || !(is_safe || is_untouched) {
                        let failure = if is_safe {
                            used_failure(&fault)
                        } else {
                            failure(&fault)
                        };
                        return Err(at_head(failure, message));
                    }
                }
            }
        }
        let own = is_large(message.body).then(|| alone(peer));
        let peer = own.as_ref().unwrap_or(peer);
        let mut stream = self.connect(peer, message, bounds).await?;
        shown::note(peer, &stream);
        match converse(&mut stream, message, bounds, &self.budget, unheard).await {
            Ok((reply, after)) => {
                self.tell_trust(peer, None);
                let after = if own.is_some() { After::Closed } else { after };
                self.part(peer, stream, after).await;
                Ok(reply)
            }
            Err(fault) => {
                close(stream).await;
                Err(at_head(self.first_failure(peer, &fault), message))
            }
        }
    }

    /// Makes a connection that waits for a question, if there is none that any question may go out on.
    pub async fn make_ready(&self, peer: &HttpPeer) {
        if self.idle.has(peer.reuse_hash(), YOUNG) {
            return;
        }
        if let Ok(stream) = Box::pin(self.handshakes.connect(peer)).await {
            self.part(peer, stream, After::Kept).await;
        }
    }

    /// A connection on which something was asked before.
    fn used_before(&self, peer: &HttpPeer, message: Message<'_>) -> Option<Stream> {
        if is_large(message.body) {
            return None;
        }
        let age = if message.head.method().is_safe() {
            Duration::MAX
        } else {
            YOUNG
        };
        self.idle.take(peer.reuse_hash(), age)
    }

    async fn connect(
        &self,
        peer: &HttpPeer,
        message: Message<'_>,
        bounds: Bounds,
    ) -> Result<Stream, Failure> {
        // Boxed: a connection in the making has some 100 KB of state, which would be in the future of every question, and
        // of all that wait for them, and with them on the stack.
        let connecting = Box::pin(self.handshakes.connect(peer));
        let connected = match message.body {
            // The client's own pace does not count; the clock of the connection does.
            Sent::Streamed(_) => connecting.await,
            Sent::Nothing | Sent::Whole(_) => {
                tokio::time::timeout_at(bounds.deadline.into(), connecting)
                    .await
                    .map_err(|_| Failure::TooLate)?
            }
        };
        connected.map_err(|error| {
            let text = error.to_string();
            let is_trust = alert(&text).is_some()
                || matches!(
                    error.etype(),
                    ErrorType::TLSHandshakeFailure
                        | ErrorType::InvalidCert
                        | ErrorType::TLSHandshakeTimedout
                );
            if is_trust {
                self.tell_trust(peer, Some(&text));
            }
            not_connected(&error)
        })
    }

    /// What becomes of a connection whose exchange is over.
    async fn part(&self, peer: &HttpPeer, stream: Stream, after: After) {
        match (after, peer.idle_timeout()) {
            (After::Kept, Some(patience)) => self.idle.put(peer.reuse_hash(), stream, patience),
            _ => close(stream).await,
        }
    }

    /// Why there was no answer to what was asked first on a connection.
    fn first_failure(&self, peer: &HttpPeer, fault: &Fault) -> Failure {
        if let Fault::Write(error) | Fault::Head(error) = fault {
            let text = error.to_string();
            // With TLS 1.3 a server can refuse our certificate, or that we show none, only after our side of the handshake
            // (RFC 8446 4.4.2.4 and 6): in place of an answer, so nothing was executed. Other alerts may come at any time.
            if alert(&text).is_some_and(|alert| alert.refuses_us) {
                self.tell_trust(peer, Some(&text));
                return Failure::Connect;
            }
        }
        failure(fault)
    }

    /// `wrong`: what is wrong with its certificate or handshake. Without this, an operator could not tell a certificate that
    /// is not accepted from a location that is down.
    fn tell_trust(&self, peer: &HttpPeer, wrong: Option<&str>) {
        let Some(address) = peer.address().as_inet().filter(|_| peer.tls()) else {
            return;
        };
        let mut distrusted = self
            .distrusted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(text) = wrong else {
            distrusted.remove(address);
            return;
        };
        // Around it are Pingora's own steps, and our port, which is another one each time.
        let why = text.split_once("cause: ").map_or(text, |(_, why)| why);
        let why = why.split(", SNI: ").next().unwrap_or(why);
        let alert = alert(text);
        let why = alert.as_ref().map_or(why, |alert| alert.text.as_str());
        // Of one that is expired the time follows.
        let kind = why.split(": verification time").next().unwrap_or(why);
        // Once, not with every probe.
        if distrusted.get(address).is_none_or(|told| told != kind) {
            error!("No TLS with {} at {address}: {why}", peer.sni());
            distrusted.insert(*address, kind.to_owned());
        }
    }
}

/// What a client sends while it is passed on is taken for large, and cannot be sent again.
fn is_large(body: Sent<'_>) -> bool {
    match body {
        Sent::Nothing => false,
        Sent::Whole(body) => body.len() > LARGE_BODY,
        Sent::Streamed(_) => true,
    }
}

/// The peer for a large body.
fn alone(peer: &HttpPeer) -> HttpPeer {
    let mut own = peer.clone();
    be_patient(&mut own);
    own
}

/// Says goodbye where TLS wants that. Who does not listen is not waited for.
async fn close(mut stream: Stream) {
    let _ = within(PARTING, None, stream.shutdown()).await;
}

/// Why there was no answer to what is safe on a connection that was used before.
fn used_failure(fault: &Fault) -> Failure {
    match fault {
        // What was sent on the idle connection was never acknowledged, so a new connection would wait
        // as long again.
        Fault::Write(error) | Fault::Head(error) if is_black_hole(error) => Failure::ConnectTimeout,
        _ => failure(fault),
    }
}

fn failure(fault: &Fault) -> Failure {
    match fault {
        Fault::Write(_) | Fault::Head(_) | Fault::Closed | Fault::NotHttp => Failure::Broken,
        Fault::Silence => Failure::Timeout,
        Fault::Deadline => Failure::Deadline,
        Fault::CutOff => Failure::CutOff,
        Fault::TooLarge => Failure::TooLarge,
        Fault::Exhausted(_) => Failure::Unheld,
        Fault::Abandoned(_) => Failure::Abandoned,
    }
}

/// A connection that breaks at a large head.
fn at_head(failure: Failure, message: Message<'_>) -> Failure {
    match failure {
        Failure::Broken if message.head.size() > LARGE_HEAD => Failure::HeadRefused,
        other => other,
    }
}

/// Whether a failure on a connection that was used before may come from nothing but its age.
fn is_stale(fault: &Fault) -> bool {
    match fault {
        Fault::Closed => true,
        Fault::Write(error) | Fault::Head(error) => {
            error.raw_os_error().is_some() && !is_black_hole(error)
        }
        _ => false,
    }
}

/// Whether the other side closed, in order. Its FIN acknowledges what had arrived by then; a reset acknowledges nothing, so
/// after one a server that executed a request and broke down looks the same as one that never saw it. EPIPE: the FIN came
/// before we had written all.
fn is_closed(fault: &Fault) -> bool {
    match fault {
        Fault::Closed => true,
        Fault::Write(error) => error.raw_os_error() == Some(libc::EPIPE),
        _ => false,
    }
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

const REFUSES: &str = "it refuses how we speak TLS";
const GAVE_UP: &str = "it gave up";

/// What a TLS peer said when it gave up.
struct Alert {
    /// And what helps.
    text: String,
    /// It is about who we are, or about how we speak TLS.
    refuses_us: bool,
}

fn alert(text: &str) -> Option<Alert> {
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
        "DecryptError" | "InsufficientSecurity" | "NoApplicationProtocol" => REFUSES,
        _ => GAVE_UP,
    };
    Some(Alert {
        text: format!("received fatal alert: {name} ({helps})"),
        refuses_us: helps != GAVE_UP,
    })
}

fn is_black_hole(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ETIMEDOUT | libc::EHOSTUNREACH)
    )
}

/// Whether one of these is behind an error of Pingora's.
fn has_errno(error: &Error, wanted: &[i32]) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> =
        error.cause.as_ref().map(|cause| &**cause as _);
    while let Some(error) = cause {
        let found = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error);
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

#[cfg(test)]
mod tests;
