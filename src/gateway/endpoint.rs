//! The URL of the gateway as the client sees it, for the links in answers: from the configuration, else from a proxy
//! in front, else from the request itself.

use std::borrow::Cow;
use std::net::IpAddr;
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

    /// `socket`: where the client reached us, for one that does not say by which name (HTTP/1.0);
    /// a unix socket is of this host.
    pub fn of(&self, headers: &HeaderMap, socket: Option<SocketAddr>) -> Result<Base, BadHost> {
        if let Some(base) = &self.public {
            return Ok(base.clone());
        }
        let host = match headers.get(http::header::HOST) {
            Some(value) => Cow::Borrowed(value.to_str().map_err(|_| BadHost)?.trim()),
            None => socket.map_or(Cow::Borrowed("localhost"), |socket| {
                Cow::Owned(socket.to_string())
            }),
        };
        let forwarded = if self.proxy_headers {
            Forwarded::read(headers)
        } else {
            Forwarded::default()
        };
        let scheme = forwarded.proto.as_deref().unwrap_or(self.scheme);
        let host = forwarded.host.map_or(host, Cow::Owned);
        let plain = host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
        let host = without_usual_port(scheme, &host);
        let base = [scheme, "://", host, &forwarded.prefix].concat();
        Base::parse(&base).ok().filter(|_| plain).ok_or(BadHost)
    }
}

impl Endpoint {
    /// The client itself, as the proxy in front names it; a name or an obfuscated one (RFC 7239, 6.3) is no address.
    pub fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        if !self.proxy_headers {
            return None;
        }
        let client = Forwarded::read(headers).client?;
        let client = client.trim();
        let address = client.parse().ok().or_else(|| {
            let with_port: SocketAddr = client.parse().ok()?;
            Some(with_port.ip())
        });
        // `[2001:db8::1]`, as RFC 7239 wants it.
        address.or_else(|| {
            let inner = client.strip_prefix('[')?.strip_suffix(']')?;
            inner.parse().ok()
        })
    }
}

/// As `host_url` of `WebOb`, of which Ironic makes its links.
fn without_usual_port<'a>(scheme: &str, host: &'a str) -> &'a str {
    let usual = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return host,
    };
    host.strip_suffix(usual).unwrap_or(host)
}

/// What a proxy in front of us tells of the client's own request. It is read as oslo.middleware's `HTTPProxyToWSGI` does,
/// with two additions: quoted strings (RFC 7239, 4), which it leaves in their quotes, and lists of `X-Forwarded-*`. Of a
/// list the first entry is the client's.
#[derive(Default)]
struct Forwarded {
    proto: Option<String>,
    host: Option<String>,
    client: Option<String>,
    /// Empty, or with a slash at its beginning and none at its end.
    prefix: String,
}

impl Forwarded {
    fn read(headers: &HeaderMap) -> Self {
        let first = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?.split(',').next()?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let prefix = first("x-forwarded-prefix").unwrap_or_default();
        let prefix = match prefix.trim_matches('/') {
            "" => String::new(),
            path => format!("/{path}"),
        };
        // Where both are, the standard's counts alone.
        let entry = headers
            .get("forwarded")
            .filter(|value| !value.is_empty())
            .map(|value| value.to_str().unwrap_or_default());
        let [proto, host, client] = match entry {
            Some(entry) => ["proto", "host", "for"].map(|name| parameter(entry, name)),
            None => ["x-forwarded-proto", "x-forwarded-host", "x-forwarded-for"].map(first),
        };
        Self {
            // A scheme is the same in capitals (RFC 3986, 3.1).
            proto: proto.map(|proto| proto.to_ascii_lowercase()),
            host,
            client,
            prefix,
        }
    }
}

/// A parameter of the first element of `Forwarded`; the last of its name counts.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let entry = outside_quotes(header, ',').next()?;
    let value = outside_quotes(entry, ';')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))
        .map(|(_, value)| unquoted(value.trim()))
        .last()?;
    (!value.is_empty()).then_some(value)
}

/// The parts between separators that stand in no quoted string.
fn outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character| {
        let separates = character == separator && !quoted;
        if character == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && character == '\\' && !escaped;
        separates
    })
}

/// The content of a quoted string (RFC 9110, 5.6.4), or the token as it is.
fn unquoted(value: &str) -> String {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner else {
        return value.to_owned();
    };
    let mut characters = inner.chars();
    let mut text = String::new();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next()),
            _ => text.push(character),
        }
    }
    text
}
