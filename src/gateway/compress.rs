//! `[api] gzip`: answers are compressed for clients that ask (RFC 9110, 12.5.3).
//!
//! Only what succeeded: an error is short, and repeats what the client wrote beside what it may not see (BREACH).
//! Vendor passthru is passed on as it is.

use std::io::Write;
use std::mem;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::HeaderValue;
use http::StatusCode;
use http::header;
use http::header::HeaderName;

pub const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const ACCEPT_ENCODING: HeaderName = header::ACCEPT_ENCODING;

/// What is worth it.
#[derive(Clone, Copy, Debug)]
pub struct Compressing {
    /// `[api] gzip_min_length`
    pub least: usize,
}

impl Compressing {
    /// Whether an answer is compressed for those who ask; then its head says that it differs among clients.
    pub fn wants(self, status: StatusCode, head: &HeaderMap, length: usize) -> bool {
        let is_text = head.get(header::CONTENT_TYPE).is_some_and(|kind| {
            let kind = kind.as_bytes();
            kind.starts_with(b"application/json") || kind.starts_with(b"text/")
        });
        status.is_success()
            && length >= self.least
            && is_text
            && !head.contains_key(header::CONTENT_ENCODING)
    }
}

/// Whether the client would rather have gzip than the answer as it is.
pub fn is_asked(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for line in headers.get_all(ACCEPT_ENCODING) {
        // What is no text holds no coding that we know.
        for element in line.to_str().unwrap_or_default().split(',') {
            let (coding, quality) = weighed(element);
            let coding = coding.to_ascii_lowercase();
            match coding.as_str() {
                // RFC 9110, 8.4.1.3: the same.
                "gzip" | "x-gzip" => gzip = Some(quality),
                "identity" => identity = Some(quality),
                "*" => any = Some(quality),
                _ => {}
            }
        }
    }
    let gzip = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity.unwrap_or(0.0)
}

/// A coding and how much it is wanted; a weight that is none is taken for "not at all".
fn weighed(element: &str) -> (&str, f32) {
    let (coding, weight) = match element.split_once(';') {
        Some((coding, weight)) => (coding, Some(weight)),
        None => (element, None),
    };
    let quality = weight.map_or(Some(1.0), |weight| {
        let (name, value) = weight.split_once('=')?;
        let quality = value.trim().parse::<f32>().ok()?;
        (name.trim().eq_ignore_ascii_case("q") && (0.0..=1.0).contains(&quality)).then_some(quality)
    });
    (coding.trim(), quality.unwrap_or(0.0))
}

/// An answer on its way through gzip, part by part: a large one takes seconds, and other requests want the same thread.
#[derive(Debug)]
pub struct Compressor(GzEncoder<Vec<u8>>);

impl Default for Compressor {
    fn default() -> Self {
        // JSON of nodes shrinks to a tenth with the fastest level already.
        Self(GzEncoder::new(Vec::new(), Compression::fast()))
    }
}

impl Compressor {
    /// What is ready of it; empty, if that is nothing yet.
    pub fn feed(&mut self, part: &[u8]) -> Bytes {
        // Writing to a Vec cannot fail.
        let _ = self.0.write_all(part);
        mem::take(self.0.get_mut()).into()
    }

    /// The rest of it, with the last part.
    pub fn finish(mut self, part: &[u8]) -> Bytes {
        let _ = self.0.write_all(part);
        self.0.finish().unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_are_weighed() {
        #[rustfmt::skip]
        let cases: [(&[&str], bool); 22] = [
            (&[], false),
            (&[""], false),
            (&["gzip"], true),
            (&["GZip"], true),
            (&["x-gzip"], true),
            (&["gzip, deflate"], true),
            (&["deflate, br"], false),
            (&["deflate", "gzip"], true),
            (&["*"], true),
            (&["*;q=0"], false),
            (&["*, gzip;q=0"], false),
            (&["*;q=0, gzip;q=0.1"], true),
            (&["gzip;q=0"], false),
            (&["gzip;q=0.000"], false),
            (&["gzip;q=1.0"], true),
            (&["gzip ; Q = 0.5"], true),
            (&["gzip;q=0.5, identity"], false),
            (&["gzip;q=0.5, identity;q=0.5"], true),
            (&["identity;q=0"], false),
            (&["gzip;q=2"], false),
            (&["gzip;level=9"], false),
            (&["gzipped"], false),
        ];
        for (lines, asked) in cases {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(ACCEPT_ENCODING, HeaderValue::from_static(line));
            }
            assert_eq!(is_asked(&headers), asked, "{lines:?}");
        }
    }

    #[test]
    fn only_long_successful_text_is_compressed() {
        let compressing = Compressing { least: 10 };
        #[rustfmt::skip]
        let cases = [
            (200, "application/json", 10, true),
            (201, "application/json; charset=UTF-8", 11, true),
            (200, "text/plain", 11, true),
            (200, "application/json", 9, false),
            (200, "application/octet-stream", 11, false),
            (404, "application/json", 11, false),
            (503, "text/html", 11, false),
            (304, "application/json", 11, false),
        ];
        for (status, kind, length, wanted) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            let mut head = HeaderMap::new();
            head.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(
                compressing.wants(status, &head, length),
                wanted,
                "{status} {kind} {length}"
            );
            head.insert(header::CONTENT_ENCODING, GZIP);
            assert!(!compressing.wants(status, &head, length));
        }
    }
}
