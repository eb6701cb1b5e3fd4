//! Refuses heads that two HTTP parsers could read differently, before anything else is read from them.

use http::HeaderName;
use http::Version;
use http::header;
use pingora::http::RequestHeader;
use thiserror::Error;

use crate::api::header::AUTH_TOKEN;
use crate::api::header::LOCATION;
use crate::api::header::PARTIAL;

/// What is wrong with a head.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FramingError {
    #[error("Exactly one path is expected as the request target")]
    Target,
    #[error("Exactly one of Content-Length and Transfer-Encoding is expected")]
    LengthAndChunks,
    #[error("Exactly one Host header is expected")]
    Host,
    #[error("More than one {0} header")]
    Repeated(HeaderName),
    #[error("Content-Length must be one number")]
    Length,
    #[error("The path is not valid percent-encoded UTF-8")]
    Path,
    #[error("Content-Encoding is not supported")]
    Encoding,
}

/// Headers that decide something: sent twice, each reader could believe another one.
const DECIDING: [HeaderName; 4] = [AUTH_TOKEN, header::AUTHORIZATION, LOCATION, PARTIAL];

/// `raw`: the head as it came. Pingora takes more than it shows afterwards: blanks and fragments in a target, a length
/// beside chunks.
pub fn check(head: &RequestHeader, raw: &[u8]) -> Result<(), FramingError> {
    let mut lines = raw.split(|&byte| byte == b'\n');
    let request_line = lines.next().unwrap_or_default().trim_ascii_end();
    let mut words = request_line.split(|&byte| byte == b' ');
    let words = [(); 4].map(|()| words.next());
    let target_is_path = matches!(words, [Some(_), Some(target), Some(_), None] if target.starts_with(b"/") && !target.contains(&b'#'));
    if !target_is_path {
        return Err(FramingError::Target);
    }
    let length_line = |line: &[u8]| {
        line.get(..15)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"content-length:"))
    };
    if head.headers.contains_key(header::TRANSFER_ENCODING) && lines.any(length_line) {
        return Err(FramingError::LengthAndChunks);
    }
    // In one pass: looking for each of them is a hash each.
    let (mut hosts, mut lengths) = (0, 0);
    let mut deciding = DECIDING.map(|name| (name, 0));
    for (name, _) in &head.headers {
        if *name == header::HOST {
            hosts += 1;
        } else if *name == header::CONTENT_LENGTH {
            lengths += 1;
        } else if let Some((_, count)) = deciding.iter_mut().find(|(known, _)| known == name) {
            *count += 1;
        }
    }
    // HTTP/1.0 knows no Host, and health checks of load balancers speak it (HAProxy's `option httpchk`).
    if hosts > 1 || (hosts == 0 && head.version != Version::HTTP_10) {
        return Err(FramingError::Host);
    }
    if lengths > 1 {
        return Err(FramingError::Repeated(header::CONTENT_LENGTH));
    }
    // RFC 9110, 8.6 allows to take `21, 21` for 21; not everybody behind us would.
    if head
        .headers
        .get(header::CONTENT_LENGTH)
        .is_some_and(|value| value.is_empty() || !value.as_bytes().iter().all(u8::is_ascii_digit))
    {
        return Err(FramingError::Length);
    }
    if let Some((name, _)) = deciding.into_iter().find(|(_, count)| *count > 1) {
        return Err(FramingError::Repeated(name));
    }
    // What is not ASCII is lost when the path is read as an URI; a backslash is a slash to some.
    if !head.raw_path().is_ascii() || head.raw_path().contains(&b'\\') {
        return Err(FramingError::Path);
    }
    if head
        .headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| value != "identity")
    {
        return Err(FramingError::Encoding);
    }
    Ok(())
}
