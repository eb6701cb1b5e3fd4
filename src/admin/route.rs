//! The routes of the admin listener.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

/// A question or an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    Live,
    Ready,
    Status,
    Metrics,
    Locations,
    Location(String),
    /// Sets the operator's state of this one.
    SetState(String),
    Locate {
        ident: String,
        /// Whether the locations are asked too.
        ask: bool,
    },
    Explain,
    /// How the run goes that brings all into step.
    Sync,
    BeginSync,
    StopSync,
    Reload,
    Upgrade,
    Drain,
}

/// Why it is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrouted {
    NotFound,
    /// The methods of this path.
    Method(&'static str),
    Path,
}

impl Route {
    pub fn read(method: &Method, path: &str, query: Option<&str>) -> Result<Self, Unrouted> {
        let segments: Result<Vec<String>, Unrouted> = path
            .trim_start_matches('/')
            .split('/')
            // Decoded after the split: a `%2F` in an identifier is part of it.
            .map(|segment| {
                let decoded = percent_decode_str(segment).decode_utf8();
                decoded.map(Cow::into_owned).map_err(|_| Unrouted::Path)
            })
            .collect();
        let segments = segments?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (needed, route) = match segments[..] {
            ["live"] => ("GET", Self::Live),
            ["ready"] => ("GET", Self::Ready),
            ["metrics"] => ("GET", Self::Metrics),
            ["status"] => ("GET", Self::Status),
            ["locations"] => ("GET", Self::Locations),
            ["locations", name] if !name.is_empty() => ("GET", Self::Location(name.to_owned())),
            ["locations", name, "state"] => ("PUT", Self::SetState(name.to_owned())),
            ["locate", ident] if !ident.is_empty() => {
                let ask =
                    query.is_some_and(|query| query.split('&').any(|pair| pair == "ask=true"));
                let ident = ident.to_owned();
                ("GET", Self::Locate { ident, ask })
            }
            ["explain"] => ("POST", Self::Explain),
            ["sync"] => match *method {
                Method::GET | Method::HEAD => ("GET", Self::Sync),
                Method::POST => ("POST", Self::BeginSync),
                Method::DELETE => ("DELETE", Self::StopSync),
                _ => return Err(Unrouted::Method("GET, POST, DELETE")),
            },
            ["reload"] => ("POST", Self::Reload),
            ["upgrade"] => ("POST", Self::Upgrade),
            ["drain"] => ("POST", Self::Drain),
            _ => return Err(Unrouted::NotFound),
        };
        let fits = method.as_str() == needed || (needed == "GET" && method == Method::HEAD);
        if fits {
            Ok(route)
        } else {
            Err(Unrouted::Method(needed))
        }
    }

    /// Whether it changes anything; such requests are accepted on the unix socket only.
    pub fn changes(&self) -> bool {
        match self {
            Self::SetState(_)
            | Self::BeginSync
            | Self::StopSync
            | Self::Reload
            | Self::Upgrade
            | Self::Drain => true,
            Self::Live
            | Self::Ready
            | Self::Status
            | Self::Metrics
            | Self::Locations
            | Self::Location(_)
            | Self::Locate { .. }
            | Self::Explain
            | Self::Sync => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked() {
        let locate = |ident: &str, ask| Route::Locate {
            ident: ident.to_owned(),
            ask,
        };
        for (method, path, query, expected) in [
            ("GET", "/live", None, Ok(Route::Live)),
            ("HEAD", "/ready", None, Ok(Route::Ready)),
            ("GET", "/status", Some("x=1"), Ok(Route::Status)),
            ("GET", "/locations", None, Ok(Route::Locations)),
            (
                "GET",
                "/locations/loc%31",
                None,
                Ok(Route::Location("loc1".into())),
            ),
            (
                "PUT",
                "/locations/loc1/state",
                None,
                Ok(Route::SetState("loc1".into())),
            ),
            (
                "GET",
                "/locations/loc1/state",
                None,
                Err(Unrouted::Method("PUT")),
            ),
            ("GET", "/locate/a", None, Ok(locate("a", false))),
            (
                "GET",
                "/locate/a%2Fb",
                Some("ask=true"),
                Ok(locate("a/b", true)),
            ),
            ("GET", "/locate/a", Some("ask=no"), Ok(locate("a", false))),
            ("GET", "/locate/", None, Err(Unrouted::NotFound)),
            ("POST", "/explain", None, Ok(Route::Explain)),
            ("GET", "/sync", None, Ok(Route::Sync)),
            ("POST", "/sync", None, Ok(Route::BeginSync)),
            ("DELETE", "/sync", None, Ok(Route::StopSync)),
            (
                "PUT",
                "/sync",
                None,
                Err(Unrouted::Method("GET, POST, DELETE")),
            ),
            ("POST", "/reload", None, Ok(Route::Reload)),
            ("GET", "/reload", None, Err(Unrouted::Method("POST"))),
            ("POST", "/upgrade", None, Ok(Route::Upgrade)),
            ("POST", "/drain", None, Ok(Route::Drain)),
            ("POST", "/status", None, Err(Unrouted::Method("GET"))),
            ("GET", "/v1/nodes", None, Err(Unrouted::NotFound)),
            ("GET", "/metrics", None, Ok(Route::Metrics)),
            ("GET", "/locate/%ff", None, Err(Unrouted::Path)),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(
                Route::read(&method, path, query),
                expected,
                "{method} {path}"
            );
        }
    }
}
