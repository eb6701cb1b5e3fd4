//! Reads a client's body within its limits, or drains it when the request is refused.

use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::header;
use pingora::Error;
use pingora::Result;
use pingora::protocols::http::ServerSession;
use thiserror::Error;

use crate::api::body::DepthGauge;
use crate::wire::budget::Exhausted;
use crate::wire::budget::FREE;
use crate::wire::budget::Held;
use crate::wire::upload::Feed;

/// Bytes of an unwanted body that are read so that the connection can be used again.
const DRAINED: u64 = 64 << 10;
/// For how long a body that nobody wants is read.
const SMALL_BODY_TIME: Duration = Duration::from_secs(5);
const LARGE_BODY_TIME: Duration = Duration::from_secs(1);

/// How large and how deeply nested a client's body may be (Ironic's `[api] max_json_body_*`).
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes.
    pub size: usize,
    /// `None`: it need not be JSON.
    pub depth: Option<usize>,
}

/// A body that is beyond its limits, in Ironic's words (`ironic/api/middleware/json_ext.py`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Oversized {
    #[error("Request body is too large. Please contact the service administrator.")]
    TooLarge,
    #[error("Request body JSON is nested too deeply. Please contact the service administrator.")]
    TooDeep,
}

impl BodyLimits {
    /// Whether a body of the announced length is worth reading at all.
    pub fn allow(&self, headers: &http::HeaderMap) -> std::result::Result<(), Oversized> {
        match announced(headers) {
            Some(length) if length > self.size as u64 => Err(Oversized::TooLarge),
            _ => Ok(()),
        }
    }
}

impl BodyLimits {
    /// `part` makes the body `size` bytes.
    fn check(
        self,
        size: usize,
        gauge: &mut DepthGauge,
        part: &[u8],
    ) -> std::result::Result<(), Oversized> {
        if size > self.size {
            return Err(Oversized::TooLarge);
        }
        match self.depth {
            Some(depth) if !gauge.within(part, depth) => Err(Oversized::TooDeep),
            _ => Ok(()),
        }
    }
}

fn announced(headers: &http::HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
}

/// Why a body is not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unread {
    #[error(transparent)]
    Oversized(#[from] Oversized),
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    #[error("It comes too slowly for what it holds.")]
    Dripping,
}

/// Bytes a second at which a client sends a body, or reads an answer, that holds what others wait for.
const SLOWEST: usize = 32 << 10;
/// What one that sends may lose by stalls of its own, or of its network.
const GRACE: Duration = Duration::from_mins(1);

/// How long so many bytes may take on their way from or to a client.
pub fn slowest(length: usize) -> Duration {
    Duration::from_secs((length / SLOWEST) as u64)
}

/// Whether a body that began so long ago should be larger by now. What takes nothing of the budget may come as slowly as
/// it likes.
fn is_dripping(size: usize, since: Duration) -> bool {
    size > FREE && since > GRACE + slowest(size)
}

/// The whole body of a request, within its limits. `body`: where it is held.
pub async fn read(
    session: &mut ServerSession,
    limits: BodyLimits,
    mut body: Held,
) -> Result<std::result::Result<Bytes, Unread>> {
    go_on(session).await?;
    let mut gauge = DepthGauge::default();
    let begun = Instant::now();
    while let Some(part) = session.read_request_body().await.map_err(of_client)? {
        let held = match limits.check(body.len() + part.len(), &mut gauge, &part) {
            // Not reserved by what was announced: memory is taken only for what came.
            Ok(()) if is_dripping(body.len() + part.len(), begun.elapsed()) => {
                Err(Unread::Dripping)
            }
            Ok(()) => body.extend(&part).await.map_err(Unread::from),
            Err(oversized) => Err(oversized.into()),
        };
        if let Err(unread) = held {
            // Nothing more is read, so the connection cannot be used again.
            session.set_keepalive(None);
            return Ok(Err(unread));
        }
    }
    Ok(Ok(body.freeze()))
}

/// Hands a body on part by part, within its limits, until nobody wants more of it.
pub async fn feed(
    session: &mut ServerSession,
    limits: BodyLimits,
    feed: Feed,
) -> Result<std::result::Result<(), Oversized>> {
    go_on(session).await?;
    let mut size = 0;
    let mut gauge = DepthGauge::default();
    while let Some(part) = session.read_request_body().await.map_err(of_client)? {
        size += part.len();
        if let Err(oversized) = limits.check(size, &mut gauge, &part) {
            // What is left of the body would be taken for the next request.
            session.set_keepalive(None);
            return Ok(Err(oversized));
        }
        if !feed.send(part).await {
            // The location answered before it had everything, and its answer counts (RFC 9112, 9.5).
            return Ok(Ok(()));
        }
    }
    feed.end().await;
    Ok(Ok(()))
}

/// What cannot be read of a body is its sender's doing, whatever Pingora takes it for.
fn of_client(error: Box<Error>) -> Box<Error> {
    error.into_down()
}

/// A client may wait to be told that its body is wanted. Pingora does not tell one of HTTP/1.0.
pub async fn go_on(session: &mut ServerSession) -> Result<()> {
    if session
        .get_header_bytes("expect")
        .eq_ignore_ascii_case(b"100-continue")
    {
        session.write_continue_response().await?;
    }
    Ok(())
}

/// Whether a body is small enough to be held, as far as it was announced.
pub fn is_small(session: &ServerSession) -> bool {
    let headers = &session.req_header().headers;
    !headers.contains_key(header::TRANSFER_ENCODING)
        && announced(headers).unwrap_or_default() <= DRAINED
}

/// Bytes of a body; `None`: it is chunked.
pub fn length(session: &ServerSession) -> Option<u64> {
    announced(&session.req_header().headers)
}

/// Reads what the client still sends, so that it sees the answer and not a reset: all of a small body, of a large one as
/// much as comes in a moment.
pub async fn drain(session: &mut ServerSession) {
    let headers = &session.req_header().headers;
    if headers.contains_key(header::EXPECT) {
        // The client sends its body only once it is told to, and that it will not be.
        session.set_keepalive(None);
        return;
    }
    let announced = announced(headers);
    let chunked = headers.contains_key(header::TRANSFER_ENCODING);
    if announced.unwrap_or_default() == 0 && !chunked {
        return;
    }
    let small = announced.is_some_and(|length| length <= DRAINED);
    let patience = if small {
        SMALL_BODY_TIME
    } else {
        LARGE_BODY_TIME
    };
    // Pingora closes a connection whose request was answered before it was read, and the reset may overtake the answer;
    // without this clock it would read for as long as the client likes.
    session.set_total_drain_timeout(Some(patience));
    if session.drain_request_body().await.is_err() || !small {
        session.set_keepalive(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_much_has_to_come() {
        for (size, seconds, expected) in [
            (FREE, 100_000, false),
            (FREE + 1, 60, false),
            (FREE + 1, 63, true),
            (64 << 20, 2000, false),
            (64 << 20, 2109, true),
        ] {
            let since = Duration::from_secs(seconds);
            assert_eq!(is_dripping(size, since), expected, "{size} in {seconds} s");
        }
    }
}
