//! Writes an answer, with the headers that every answer of the gateway has.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::Version;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_LENGTH;
use http::header::DATE;
use http::header::RETRY_AFTER;
use http::header::TRANSFER_ENCODING;
use http::header::VARY;
use pingora::Error;
use pingora::ErrorType;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use smallvec::SmallVec;

use crate::api::header;
use crate::api::merged_page::Parts;
use crate::gateway::body;
use crate::gateway::compress::Compressing;
use crate::gateway::compress::Compressor;
use crate::gateway::compress::GZIP;
use crate::gateway::compress::is_asked;
use crate::gateway::context::Context;
use crate::locations::Locations;
use crate::request::Answer;
use crate::request::Content;
use crate::request::Versions;

/// Bytes of an answer that are written at a time.
const PART: usize = 64 << 10;
/// A client that takes longer for a part of an answer is gone.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const VARIES: HeaderValue = HeaderValue::from_static("Accept-Encoding");

/// What answers are signed with.
#[derive(Debug)]
pub struct Respond {
    pub locations: Arc<Locations>,
    /// `[api] retry_after`
    pub retry_after: bool,
    /// `[api] gzip`
    pub compressing: Option<Compressing>,
}

impl Respond {
    /// What every answer of the gateway carries. `known`: what this one has already.
    pub fn signature(
        &self,
        known: &HeaderMap,
        context: &Context,
        versions: Versions,
    ) -> Result<SmallVec<[(HeaderName, HeaderValue); 6]>> {
        let mut signature = SmallVec::new();
        if let Some((range, spoken)) = context.versions.filter(|_| versions == Versions::Shown) {
            signature.push((header::API_MIN_VERSION, range.min().to_header()));
            signature.push((header::API_MAX_VERSION, range.max().to_header()));
            if let Some(spoken) = spoken {
                signature.push((header::API_VERSION, spoken.to_header()));
            }
        }
        for name in [header::REQUEST_ID, header::LEGACY_REQUEST_ID] {
            // A location's own id goes on: it is what its operators look for.
            if !known.contains_key(&name) {
                signature.push((name, context.request_id.for_client()));
            }
        }
        if let Some(location) = context.location.filter(|_| !context.hides_location) {
            let name = self.locations.location(location).name();
            let name = HeaderValue::from_str(name)
                .map_err(|_| Error::new_in(ErrorType::InvalidHTTPHeader))?;
            signature.push((header::LOCATION, name));
        }
        Ok(signature)
    }

    pub async fn write(
        &self,
        session: &mut ServerSession,
        context: &Context,
        answer: Answer,
    ) -> Result<()> {
        body::drain(session).await;
        let signature = self.signature(&answer.headers, context, answer.versions)?;
        // The map of the answer itself goes on: putting each field into another one cost 10,000 instructions.
        let mut parts = http::Response::new(()).into_parts().0;
        parts.status = answer.status;
        parts.headers = answer.headers;
        let mut body = answer.body;
        let length = body.length();
        let headers = &mut parts.headers;
        // Pingora frames the body and tells the time.
        for name in [CONTENT_LENGTH, TRANSFER_ENCODING, DATE] {
            headers.remove(name);
        }
        headers.reserve(signature.len() + 6);
        for (name, value) in signature {
            headers.insert(name, value);
        }
        if let Some(seconds) = answer.retry_after.filter(|_| self.retry_after) {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        let asked = session.req_header();
        let mut compressor = None;
        if let Some(compressing) = self.compressing
            && compressing.wants(parts.status, headers, length)
        {
            headers.append(VARY, VARIES);
            // HTTP/1.0 knows no chunks.
            let fits = length <= PART || asked.version > Version::HTTP_10;
            if fits && is_asked(&asked.headers) {
                headers.insert(CONTENT_ENCODING, GZIP);
                compressor = Some(Compressor::default());
            }
        }
        let mut length = length;
        if let Some(whole) = compressor.take_if(|_| length <= PART) {
            let compressed = whole.finish(&body.bytes());
            length = compressed.len();
            body = compressed.into();
        }
        let mut head = ResponseHeader::from(parts);
        let bodiless = matches!(
            answer.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
        if compressor.is_some() {
            head.insert_header(TRANSFER_ENCODING, "chunked")?;
        } else if !bodiless {
            head.set_content_length(length)?;
        }
        let silent = bodiless || length == 0 || asked.method == Method::HEAD;
        session.write_response_header(Box::new(head)).await?;
        if silent {
            return Ok(());
        }
        write_body(session, (body, length), compressor).await
    }
}

async fn write_body(
    session: &mut ServerSession,
    // To measure a list is to go through all of it once more.
    (body, length): (Content, usize),
    compressor: Option<Compressor>,
) -> Result<()> {
    let writing = write_parts(session, body.into_parts(PART.min(length)), compressor);
    if length <= PART {
        // Which the write clock bounds.
        return writing.await;
    }
    tokio::time::timeout(patience(length), writing)
        .await
        .unwrap_or_else(|_| Err(Error::new_down(ErrorType::WriteTimedout)))
}

/// The write clock runs for one part: it measures silence, not the size of the answer.
async fn write_parts(
    session: &mut ServerSession,
    mut parts: Parts,
    mut compressor: Option<Compressor>,
) -> Result<()> {
    while let Some(part) = parts.next() {
        let is_last = parts.is_over();
        let part = match &mut compressor {
            None => part,
            Some(running) if !is_last => running.feed(&part),
            Some(running) => std::mem::take(running).finish(&part),
        };
        // An empty chunk would be the last one.
        if is_last || !part.is_empty() {
            session.write_response_body(part, is_last).await?;
        }
    }
    Ok(())
}

/// How long a client may take for a large answer, which is held for it meanwhile, out of what all answers share
/// (`max_buffered`).
fn patience(length: usize) -> Duration {
    WRITE_TIMEOUT + body::slowest(length)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Whether a client that reads so many bytes a second gets an answer of this length.
    async fn is_read(length: usize, speed: usize) -> bool {
        let (ours, mut client) = tokio::io::duplex(4 << 10);
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let mut session = ServerSession::new_http1(Box::new(ours));
        session.read_request().await.unwrap();
        let mut head = ResponseHeader::build(StatusCode::OK, None).unwrap();
        head.set_content_length(length).unwrap();
        let served = tokio::spawn(async move {
            session.write_response_header(Box::new(head)).await?;
            let body = Bytes::from(vec![b'x'; length]).into();
            write_body(&mut session, (body, length), None).await
        });
        let mut second = vec![0; speed];
        // Until all is written, or nobody writes any longer.
        while client.read_exact(&mut second).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let served = served.await.unwrap();
        assert!(
            served
                .as_ref()
                .err()
                .is_none_or(|error| *error.etype() == ErrorType::WriteTimedout)
        );
        served.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_holds_much_has_to_read() {
        for (length, speed, expected) in [
            (4 << 20, 40 << 10, true),
            // It may lose the time of one silence.
            (4 << 20, 28 << 10, true),
            (4 << 20, 24 << 10, false),
            (PART + 1, 1 << 10, false),
            // What takes as little as this may be read as slowly as the client likes.
            (PART, 1 << 10, true),
        ] {
            assert_eq!(
                is_read(length, speed).await,
                expected,
                "{length} at {speed}"
            );
        }
    }
}
