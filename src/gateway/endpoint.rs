//! The URL of the gateway as the client sees it, for the links in answers: from the configuration, else from a proxy
//! in front, else from the request itself.

use std::net::SocketAddr;

use http::HeaderMap;
use thiserror::Error;

use crate::api::link::Base;
use crate::config::Config;

/// The client named us by something that is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("The Host header is not valid")]
pub struct BadHost;

/// What the configuration says of it.
#[derive(Debug)]
pub struct Endpoint {
    public: Option<Base>,
    /// `Forwarded` and `X-Forwarded-*` are believed.
    proxy_headers: bool,
    scheme: &'static str,
}

impl Endpoint {
    pub fn new(config: &Config) -> Self {
        Self {
            public: config
                .api
                .public_endpoint
                .as_deref()
                .and_then(|text| Base::parse(text).ok()),
            proxy_headers: config.proxy_headers,
            scheme: if config.api.tls.is_some() {
                "https"
            } else {
                "http"
            },
        }
    }

    /// `socket`: where the client reached us, for one that does not say by which name (HTTP/1.0).
    pub fn of(&self, headers: &HeaderMap, socket: Option<SocketAddr>) -> Result<Base, BadHost> {
        if let Some(base) = &self.public {
            return Ok(base.clone());
        }
        let host = match headers.get(http::header::HOST) {
            Some(value) => value.to_str().map_err(|_| BadHost)?.trim().to_owned(),
            None => socket.ok_or(BadHost)?.to_string(),
        };
        let forwarded = if self.proxy_headers {
            Forwarded::read(headers)
        } else {
            Forwarded::default()
        };
        let base = format!(
            "{}://{}{}",
            forwarded.proto.as_deref().unwrap_or(self.scheme),
            forwarded.host.as_deref().unwrap_or(&host),
            forwarded
                .prefix
                .as_deref()
                .unwrap_or_default()
                .trim_end_matches('/'),
        );
        let authority = forwarded.host.as_deref().unwrap_or(&host);
        let plain = authority
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
        Base::parse(&base).ok().filter(|_| plain).ok_or(BadHost)
    }
}

/// What a proxy in front of us tells of the client's own request (RFC 7239, else `X-Forwarded-*`); of a list the first
/// entry, which is the client's.
#[derive(Default)]
struct Forwarded {
    proto: Option<String>,
    host: Option<String>,
    prefix: Option<String>,
}

impl Forwarded {
    fn read(headers: &HeaderMap) -> Self {
        let first = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?.split(',').next()?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        // A scheme is the same in capitals (RFC 3986, 3.1).
        let lower = |proto: String| proto.to_ascii_lowercase();
        let prefix = first("x-forwarded-prefix");
        if let Some(entry) = first("forwarded") {
            let parameter = |wanted: &str| {
                entry.split(';').find_map(|pair| {
                    let (name, value) = pair.split_once('=')?;
                    name.trim()
                        .eq_ignore_ascii_case(wanted)
                        .then(|| value.trim().trim_matches('"').to_owned())
                })
            };
            return Self {
                proto: parameter("proto").map(lower),
                host: parameter("host"),
                prefix,
            };
        }
        Self {
            proto: first("x-forwarded-proto").map(lower),
            host: first("x-forwarded-host"),
            prefix,
        }
    }
}
