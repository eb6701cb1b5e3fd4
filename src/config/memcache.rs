//! `memcached_servers` of `[keystone_authtoken]`: validated tokens that several gateways share.

use std::time::Duration;

use crate::config::coordination::ServerAddress;
use crate::oslo::record::Faulted;
use crate::oslo::secret::Secret;
use crate::oslo::section::Section;

/// Where validated tokens are shared, and the secret that they are sealed with.
#[derive(Debug, Clone, PartialEq)]
pub struct MemcacheConfig {
    /// Never empty.
    pub servers: Vec<ServerAddress>,
    pub secret: Secret,
    /// Bound on one look-up.
    pub timeout: Duration,
    /// How long a server is left alone that failed.
    pub dead_retry: Duration,
    /// Connections to one server.
    pub connections: usize,
}

const SERVERS: &str = "memcached_servers";
const STRATEGY: &str = "memcache_security_strategy";
const SECRET: &str = "memcache_secret_key";
const PORT: u16 = 11211;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strategy {
    None,
    Mac,
    Encrypt,
}

/// Reads the options. `None`: tokens are not shared.
pub(crate) fn memcache(section: &mut Section<'_>) -> Result<Option<MemcacheConfig>, Faulted> {
    let servers = servers(section);
    let strategy = strategy(section);
    let secret = section.text(SECRET);
    let timeout = section.seconds("memcache_pool_socket_timeout");
    let dead_retry = section.seconds("memcache_pool_dead_retry");
    let connections = section.number("memcache_pool_maxsize", 1..=1000);
    let spoken = [
        section.optional_flag("memcache_tls_enabled"),
        section.optional_flag("memcache_sasl_enabled"),
    ];
    let (servers, strategy, secret) = (servers?, strategy?, secret?);
    let [tls, sasl] = spoken;
    let (tls, sasl) = (tls?.unwrap_or_default(), sasl?.unwrap_or_default());
    if servers.is_empty() {
        return Ok(None);
    }
    // A section of another service has these too, so what is not done here is no fault; but nobody is to believe it is.
    let unused = match (strategy, &secret) {
        _ if tls => Some("memcache_tls_enabled is not spoken"),
        _ if sasl => Some("memcache_sasl_enabled is not spoken"),
        (Strategy::Encrypt, Some(_)) => None,
        (Strategy::Encrypt, None) => Some("it needs memcache_secret_key, the same at all gateways"),
        (Strategy::None | Strategy::Mac, _) => Some(
            "who tokens stand for would be there for all to read; set memcache_security_strategy = ENCRYPT and memcache_secret_key",
        ),
    };
    if let Some(why) = unused {
        section.warn(
            SERVERS,
            format_args!("is not used, each gateway asks Keystone itself: {why}"),
        );
        return Ok(None);
    }
    Ok(Some(MemcacheConfig {
        servers,
        secret: Secret::from(secret.unwrap_or_default()),
        timeout: timeout?,
        dead_retry: dead_retry?,
        connections: connections?,
    }))
}

fn strategy(section: &mut Section<'_>) -> Result<Strategy, Faulted> {
    let text = section.text(STRATEGY)?.unwrap_or_default();
    // oslo.config's choices of keystonemiddleware, which ignore case.
    match text.trim().to_ascii_lowercase().as_str() {
        "" | "none" => Ok(Strategy::None),
        "mac" => Ok(Strategy::Mac),
        "encrypt" => Ok(Strategy::Encrypt),
        _ => Err(section.fault(STRATEGY, "must be one of None, MAC, ENCRYPT")),
    }
}

fn servers(section: &mut Section<'_>) -> Result<Vec<ServerAddress>, Faulted> {
    let texts = section.list(SERVERS)?;
    let parsed: Option<Vec<_>> = texts.iter().map(|text| address(text)).collect();
    match parsed {
        Some(servers) => Ok(servers),
        None => Err(section.fault(SERVERS, "is not HOST:PORT, HOST:PORT and so on")),
    }
}

/// As python-memcached writes it: `host:port`, `inet6:[::1]:port`, `unix:/path`.
fn address(text: &str) -> Option<ServerAddress> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Some(ServerAddress::Unix(path.into()));
    }
    let text = text.strip_prefix("inet6:").unwrap_or(text);
    let text = text.strip_prefix("inet:").unwrap_or(text);
    let (host, port) = match text.rsplit_once(':') {
        // The last colon of a bare IPv6 address begins no port.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().ok()?)
        }
        _ => (text, PORT),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host).to_owned();
    let is_name = !host.is_empty() && !host.contains(['[', ']', '/', ' ']);
    is_name.then_some(ServerAddress::Tcp { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_as_python_writes_them() {
        let tcp = |host: &str, port| ServerAddress::Tcp {
            host: host.to_owned(),
            port,
        };
        for (text, expected) in [
            ("m:11212", Some(tcp("m", 11212))),
            ("m", Some(tcp("m", 11211))),
            ("inet:192.0.2.1:1", Some(tcp("192.0.2.1", 1))),
            ("inet6:[::1]:1", Some(tcp("::1", 1))),
            ("[::1]:1", Some(tcp("::1", 1))),
            ("::1", Some(tcp("::1", 11211))),
            (
                "unix:/run/m.sock",
                Some(ServerAddress::Unix("/run/m.sock".into())),
            ),
            ("m:x", None),
            (":1", None),
            ("http://m:1", None),
        ] {
            assert_eq!(address(text), expected, "{text}");
        }
    }
}
