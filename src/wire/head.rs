//! Finds the end of a request's head and the length of its body before anything is parsed, so that no client makes the
//! gateway hold more than a head may have, and the next request is told apart from this body.

use std::time::Duration;

use thiserror::Error;

/// Bytes of a head at most. Pingora would take a MiB of each connection.
pub const LARGEST: usize = 64 << 10;
/// Lines of a head at most, the request line included.
const LINES: usize = 200;
/// From its first byte to its last.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Why a head is not read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeadError {
    #[error("The head of the request is larger than 64 KiB or has more than 200 lines.")]
    TooLarge,
    #[error("The head of the request did not arrive within 10 seconds.")]
    Late,
}

/// How a request's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// After so many bytes; 0 if there is none.
    Length(u64),
    /// Where its chunks say so, or not at all: a head that is refused.
    Unclear,
}

/// Looks for the empty line, each byte once.
#[derive(Debug, Default)]
pub struct Search {
    /// Where the line begins that is looked at.
    at: usize,
    /// Up to here it has no end.
    seen: usize,
    lines: usize,
}

impl Search {
    /// Where the head ends in `buffer`, which holds what it held before and more; `None`: not yet.
    pub fn end(&mut self, buffer: &[u8]) -> Result<Option<usize>, HeadError> {
        loop {
            let from = self.at.max(self.seen).min(buffer.len());
            let Some(found) = memchr::memchr(b'\n', &buffer[from..]) else {
                self.seen = buffer.len();
                break;
            };
            let next = from + found + 1;
            // A bare line feed ends a line too (RFC 9112, 2.2).
            let end = match &buffer[next..] {
                [b'\n', ..] => Some(next + 1),
                [b'\r', b'\n', ..] => Some(next + 2),
                // This line end is looked at again once more is there.
                [] | [b'\r'] => {
                    self.seen = next - 1;
                    break;
                }
                _ => None,
            };
            self.lines += 1;
            if self.lines > LINES {
                return Err(HeadError::TooLarge);
            }
            self.at = next;
            if let Some(end) = end {
                return if end > LARGEST {
                    Err(HeadError::TooLarge)
                } else {
                    Ok(Some(end))
                };
            }
        }
        if buffer.len() > LARGEST {
            return Err(HeadError::TooLarge);
        }
        Ok(None)
    }
}

/// How the body ends that follows this head.
pub fn body(head: &[u8]) -> Body {
    let mut length = None;
    for end in memchr::memchr_iter(b'\n', head) {
        // The line behind this end: the first one is no field.
        let line = &head[end + 1..];
        if value_of(line, b"transfer-encoding:").is_some() {
            // Where chunks end is for Pingora to find; a length beside them is refused later (`gateway/framing.rs`).
            return Body::Unclear;
        }
        if let Some(value) = value_of(line, b"content-length:") {
            // `parse` alone would take `+21` (RFC 9110, 8.6: digits only).
            let number = std::str::from_utf8(value)
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse().ok());
            match (number, length) {
                (Some(number), None) => length = Some(number),
                _ => return Body::Unclear,
            }
        }
    }
    Body::Length(length.unwrap_or(0))
}

/// What is behind a field's name and colon on the line at the beginning of `rest`. Looking at each byte of a head for line
/// ends and colons took 2,600 instructions a request.
fn value_of<'h>(rest: &'h [u8], name: &[u8]) -> Option<&'h [u8]> {
    let (begin, value) = rest.split_at_checked(name.len())?;
    if !begin.eq_ignore_ascii_case(name) {
        return None;
    }
    let end = memchr::memchr(b'\n', value).unwrap_or(value.len());
    Some(value[..end].trim_ascii())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn where_heads_end() {
        let many = |lines: usize| {
            let lines = "A: b\r\n".repeat(lines);
            format!("GET / HTTP/1.1\r\n{lines}\r\nrest")
        };
        let long = |size: usize| format!("GET / HTTP/1.1\r\nA: {}\r\n\r\nrest", "b".repeat(size));
        for (text, end) in [
            (
                "GET / HTTP/1.1\r\nHost: a\r\n\r\nrest".to_owned(),
                Ok(Some(27)),
            ),
            ("GET / HTTP/1.1\nHost: a\n\nrest".to_owned(), Ok(Some(24))),
            ("GET / HTTP/1.1\nHost: a\n\r\nrest".to_owned(), Ok(Some(25))),
            ("GET / HTTP/1.1\r\nHost: a\r\n".to_owned(), Ok(None)),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r".to_owned(), Ok(None)),
            ("GET / HTTP/1.0\r\n\r\n".to_owned(), Ok(Some(18))),
            (String::new(), Ok(None)),
            (many(198), Ok(Some(many(198).len() - 4))),
            (many(200), Err(HeadError::TooLarge)),
            (long(65_000), Ok(Some(65_023))),
            (long(65_536), Err(HeadError::TooLarge)),
            ("x".repeat(65_537), Err(HeadError::TooLarge)),
        ] {
            let found = Search::default().end(text.as_bytes());
            assert_eq!(found, end, "{text:.80}");
        }
    }

    #[test]
    fn how_bodies_end() {
        for (lines, body) in [
            ("", Body::Length(0)),
            ("Content-Length: 21\r\n", Body::Length(21)),
            ("content-length:21\r\n", Body::Length(21)),
            ("Content-Length: 21, 21\r\n", Body::Unclear),
            (
                "Content-Length: 21\r\nContent-Length: 21\r\n",
                Body::Unclear,
            ),
            ("Content-Length: +21\r\n", Body::Unclear),
            ("Content-Length: 99999999999999999999\r\n", Body::Unclear),
            ("Content-Length:\r\n", Body::Unclear),
            ("Transfer-Encoding: chunked\r\n", Body::Unclear),
            (
                "Content-Length: 21\r\nTransfer-Encoding: chunked\r\n",
                Body::Unclear,
            ),
            ("X-Content-Length: 21\r\n", Body::Length(0)),
        ] {
            let head = format!("POST / HTTP/1.1\r\n{lines}\r\n");
            assert_eq!(super::body(head.as_bytes()), body, "{lines}");
        }
    }

    proptest! {
        /// However a head is cut on its way, it ends in the same place.
        #[test]
        fn cuts_do_not_matter(text in "[ab\r\n]{0,60}", cuts in proptest::collection::vec(1_usize..8, 0..60)) {
            let whole = Search::default().end(text.as_bytes());
            let mut search = Search::default();
            let (mut upto, mut found) = (0, Ok(None));
            for cut in cuts.into_iter().chain([text.len()]) {
                upto = (upto + cut).min(text.len());
                found = search.end(&text.as_bytes()[..upto]);
                if found != Ok(None) {
                    break;
                }
            }
            prop_assert_eq!(found, whole);
        }
    }
}
