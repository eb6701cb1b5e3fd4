//! What Ironic takes a request's body for, by its `Content-Type` (`pecan/core.py` and `webob/request.py`).

use http::HeaderMap;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

/// How a body is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Media {
    /// Its members are arguments of the function that is called.
    #[default]
    Json,
    /// So are the pairs that it is made of.
    Form,
    /// Only functions that take the body as a whole look into it.
    Other,
}

impl Media {
    pub fn of(headers: &HeaderMap) -> Self {
        // Of what comes without a type WSGI servers make different things: it is JSON.
        let Some(named) = headers.get(CONTENT_TYPE) else {
            return Self::Json;
        };
        let named = named.to_str().unwrap_or_default();
        match named.split(';').next().unwrap_or_default() {
            "application/json" | "application/javascript" => Self::Json,
            "application/x-www-form-urlencoded" => Self::Form,
            _ => Self::Other,
        }
    }

    /// The header that says so to a location.
    pub fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
            Self::Other => "text/plain",
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// As Ironic 39 reads them (`tests/outside/test_oracle.py` asks it again).
    #[test]
    fn as_ironic_reads_a_body() {
        for (named, media) in [
            (None, Media::Json),
            (Some(""), Media::Other),
            (Some("application/json"), Media::Json),
            (Some("application/json; charset=utf-8"), Media::Json),
            (Some("application/JSON"), Media::Other),
            (Some("application/json-patch+json"), Media::Other),
            (Some("application/x-www-form-urlencoded"), Media::Form),
            (Some("multipart/form-data; boundary=x"), Media::Other),
            (Some("text/plain"), Media::Other),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(named) = named {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(named));
            }
            assert_eq!(Media::of(&headers), media, "{named:?}");
            let again = HeaderMap::from_iter([(CONTENT_TYPE, media.name())]);
            assert_eq!(Media::of(&again), media, "what we call it is read the same");
        }
    }
}
