//! What is said in one exchange: a request as it is written, its bounds, and a whole answer.

use std::fmt;
use std::io::Write as _;
use std::sync::OnceLock;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use pingora::Error;
use pingora::ErrorType;
use pingora::http::RequestHeader;

use crate::wire::upload::Upload;

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
    pub head: &'a Head,
    pub body: Sent<'a>,
    /// For who wants to know before all of the answer is there.
    pub begun: Option<&'a Begun>,
}

/// When the first byte of an answer came, once it did.
#[derive(Debug, Default)]
pub struct Begun(OnceLock<Instant>);

impl Begun {
    pub fn when(&self) -> Option<Instant> {
        self.0.get().copied()
    }

    pub(super) fn now(&self) {
        let _ = self.0.set(Instant::now());
    }
}

/// What bounds one exchange. A body that moves is never too slow: silence is measured, not length.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// From the last byte sent to the head of the answer, and until a part of the request is taken: a server whose workers
    /// are busy reads nothing meanwhile.
    pub response: Duration,
    /// Between two parts of an answer.
    pub silence: Duration,
    /// When the request as a whole is over.
    pub deadline: Instant,
    /// Bytes of the answer's body.
    pub size: usize,
}

/// The head of a request in the form that it is sent in.
#[derive(Clone)]
pub struct Head {
    method: Method,
    text: Vec<u8>,
}

impl fmt::Debug for Head {
    // Heads hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({}, {} bytes)", self.method, self.text.len())
    }
}

/// A path that no request line can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request line cannot hold that path")]
pub struct NoPath;

impl Head {
    /// `path`: encoded, and with its query.
    pub fn new(method: Method, path: &str) -> Result<Self, NoPath> {
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NoPath);
        }
        // Fields follow: this is mostly enough for all of them.
        let mut text = Vec::with_capacity(path.len() + 512);
        for part in [method.as_str(), " ", path, " HTTP/1.1\r\n"] {
            text.extend_from_slice(part.as_bytes());
        }
        Ok(Self { method, text })
    }

    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Bytes on the wire.
    pub fn size(&self) -> usize {
        self.text.len() + 2
    }

    pub fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            self.text.extend_from_slice(part);
        }
    }

    /// A field with what is a number, or made of numbers.
    pub fn number(&mut self, name: &HeaderName, value: impl fmt::Display) {
        // Writing to memory cannot fail.
        let _ = write!(self.text, "{name}: {value}\r\n");
    }

    /// The same for Pingora's proxy, which makes its own text of it.
    pub fn for_proxy(&self) -> Result<RequestHeader, Box<Error>> {
        let wrong = || Error::new(ErrorType::InvalidHTTPHeader);
        let mut lines = self.text.split(|byte| *byte == b'\n');
        let mut words = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
        let path = words.nth(1).ok_or_else(wrong)?;
        let mut head = RequestHeader::build_no_case(self.method.clone(), path, Some(12))?;
        for line in lines.map(<[u8]>::trim_ascii_end) {
            let Some(colon) = memchr::memchr(b':', line) else {
                continue;
            };
            let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| wrong())?;
            let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii_start());
            head.append_header(name, value.map_err(|_| wrong())?)?;
        }
        Ok(head)
    }

    /// All of it, with the beginning of a body.
    pub(super) fn written_with(&self, body: &[u8]) -> Vec<u8> {
        [&self.text, &b"\r\n"[..], body].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_one_request_and_no_more() {
        let mut head = Head::new(Method::GET, "/v1/nodes?a=%20").unwrap();
        head.field(&http::header::HOST, &HeaderValue::from_static("a:1"));
        head.number(&http::header::CONTENT_LENGTH, 2);
        let text = "GET /v1/nodes?a=%20 HTTP/1.1\r\nhost: a:1\r\ncontent-length: 2\r\n\r\n";
        assert_eq!(head.written_with(b"{}"), [text.as_bytes(), b"{}"].concat());
        assert_eq!(head.size(), text.len());
        let proxied = head.for_proxy().unwrap();
        assert_eq!(proxied.uri, "/v1/nodes?a=%20");
        assert_eq!(proxied.headers[http::header::HOST], "a:1");
        assert_eq!(proxied.headers.len(), 2);
        for path in ["", "v1", "/v1 HTTP/1.1", "/v1\r\nA: b", "/ü"] {
            assert_eq!(Head::new(Method::GET, path).err(), Some(NoPath), "{path}");
        }
    }
}
