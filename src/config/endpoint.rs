//! The URL of a service, split into what a connection and a path need.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Root of an Ironic API: the `/v1` of a catalog and trailing slashes are cut, a path prefix stays.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// `https`
    pub tls: bool,
    /// Name or address, in lower case, an IPv6 address without its brackets.
    pub host: String,
    /// 80 or 443 unless written.
    pub port: u16,
    /// Empty or `/a/b`, never with a slash at its end.
    pub prefix: String,
}

/// Why a text is no endpoint. Does not repeat the text: a URL may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No `http://` or `https://`.
    #[error("must start with http:// or https://")]
    Scheme,
    /// `user@`
    #[error("must not hold a user or a password")]
    Userinfo,
    /// `?` or `#`
    #[error("must not hold a query or a fragment")]
    Query,
    /// Empty, or not of the characters of a host name or an address.
    #[error("has no valid host")]
    Host,
    /// Not 1 to 65535.
    #[error("has no valid port")]
    Port,
    /// Dot segments, empty segments, characters that must be escaped.
    #[error("has no valid path")]
    Path,
}

impl Endpoint {
    /// As [`FromStr`], but the path stays as it is apart from slashes at its end.
    pub fn whole(text: &str) -> Result<Self, EndpointError> {
        let (scheme, rest) = text.split_once("://").ok_or(EndpointError::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(EndpointError::Scheme),
        };
        // A catalog URL is a prefix to which paths are appended; behind a query they would become part of it.
        if rest.contains(['?', '#']) {
            return Err(EndpointError::Query);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(EndpointError::Userinfo);
        }
        let (host, port) = split_authority(authority)?;
        let port = match port {
            None if tls => 443,
            None => 80,
            Some(digits) => port_number(digits).ok_or(EndpointError::Port)?,
        };
        // cheroot, Ironic's server, answers a doubled slash such as `//v1/nodes` with 400 in plain text.
        let prefix = path.trim_end_matches('/');
        if !prefix.is_empty() && !prefix[1..].split('/').all(is_segment) {
            return Err(EndpointError::Path);
        }
        Ok(Self {
            tls,
            host,
            port,
            prefix: prefix.to_owned(),
        })
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let mut endpoint = Self::whole(text)?;
        // Catalogs hold the URL of Ironic with or without its version; paths that are sent always begin with `/v1`.
        if let Some(root) = endpoint.prefix.strip_suffix("/v1") {
            endpoint.prefix = root.to_owned();
        }
        Ok(endpoint)
    }
}

impl fmt::Display for Endpoint {
    /// As a URL; the port of the scheme is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.tls {
            ("https", 443)
        } else {
            ("http", 80)
        };
        write!(f, "{scheme}://")?;
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if self.port != usual {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.prefix)
    }
}

fn split_authority(authority: &str) -> Result<(String, Option<&str>), EndpointError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or(EndpointError::Host)?;
        let address: Ipv6Addr = address.parse().map_err(|_| EndpointError::Host)?;
        let port = match rest.strip_prefix(':') {
            Some(digits) => Some(digits),
            None if rest.is_empty() => None,
            None => return Err(EndpointError::Host),
        };
        return Ok((address.to_string(), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, digits)) => (host, Some(digits)),
        None => (authority, None),
    };
    if is_host(host) {
        Ok((host.to_ascii_lowercase(), port))
    } else {
        Err(EndpointError::Host)
    }
}

fn is_host(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    // Resolvers read `10.1` as 10.0.0.1 (inet_aton); digits and dots have to be a complete IPv4 address.
    if name.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return name.parse::<Ipv4Addr>().is_ok() && name == host;
    }
    // RFC 1035 2.3.4: 63 octets a label, 253 characters a name in text. `_` is no host name, but container networks use
    // it.
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

fn port_number(digits: &str) -> Option<u16> {
    // `u16::from_str` accepts `+80`.
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|port| plain && *port != 0)
}

fn is_segment(segment: &str) -> bool {
    // RFC 3986 2.3, unreserved: what needs no escaping cannot be escaped differently by a location.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    !matches!(segment, "" | "." | "..") && segment.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_cut_to_the_root_of_the_api() {
        for (text, expected) in [
            ("http://h", "http://h"),
            ("http://h/", "http://h"),
            ("http://h/v1", "http://h"),
            ("http://h/v1/", "http://h"),
            ("HTTPS://H.Example:443", "https://h.example"),
            ("https://h:6385/baremetal/v1", "https://h:6385/baremetal"),
            ("http://h/baremetal//", "http://h/baremetal"),
            ("http://h/v1/v1", "http://h/v1"),
            ("http://h/xv1", "http://h/xv1"),
            ("http://[2001:DB8::1]:6385/v1", "http://[2001:db8::1]:6385"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), expected, "{text}");
            assert_eq!(Ok(endpoint), Endpoint::whole(expected), "{text}");
        }
        let endpoint: Endpoint = "http://[::1]".parse().unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.port), ("::1", 80));
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for (text, expected) in [
            ("", EndpointError::Scheme),
            ("h:6385", EndpointError::Scheme),
            ("ftp://h", EndpointError::Scheme),
            ("http:/h", EndpointError::Scheme),
            ("http://", EndpointError::Host),
            ("http:///v1", EndpointError::Host),
            ("http://:80", EndpointError::Host),
            ("http://h h", EndpointError::Host),
            ("http://a..b", EndpointError::Host),
            ("http://1.2.3", EndpointError::Host),
            ("http://1.2.3.4.", EndpointError::Host),
            ("http://[::1", EndpointError::Host),
            ("http://[::1]x", EndpointError::Host),
            ("http://[fe80::1%25eth0]", EndpointError::Host),
            ("http://\u{e4}", EndpointError::Host),
            ("http://u:p@h", EndpointError::Userinfo),
            ("http://h?x", EndpointError::Query),
            ("http://h/#x", EndpointError::Query),
            ("http://h:", EndpointError::Port),
            ("http://h:0", EndpointError::Port),
            ("http://h:+80", EndpointError::Port),
            ("http://h:65536", EndpointError::Port),
            ("http://h:1:2", EndpointError::Port),
            ("http://h/a/../b", EndpointError::Path),
            ("http://h//a", EndpointError::Path),
            ("http://h/%(project_id)s", EndpointError::Path),
            ("http://h/a b", EndpointError::Path),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(expected), "{text}");
        }
    }
}
