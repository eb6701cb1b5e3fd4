//! `[coordination]`: the backend that several gateways share, by the URL of tooz's redis driver.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Host;
use url::Url;

use crate::oslo::record::Faulted;
use crate::oslo::secret::Secret;
use crate::oslo::section::Section;

/// A Redis or Valkey, and how it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct CoordinationConfig {
    /// The server, or the sentinels that know which one it is. Never empty.
    pub servers: Vec<ServerAddress>,
    pub sentinel: Option<SentinelConfig>,
    pub login: Login,
    pub db: u16,
    /// `None`: in clear.
    pub tls: Option<ClientTls>,
    /// What all keys begin with.
    pub namespace: String,
    /// Bound on one command.
    pub timeout: Duration,
    /// Bound on one connection, login included.
    pub connect_timeout: Duration,
    /// How long a claim outlives a gateway that was killed.
    pub lock_timeout: Duration,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerAddress {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// Who knows which server is the master.
#[derive(Debug, Clone, PartialEq)]
pub struct SentinelConfig {
    pub master: String,
    pub login: Login,
    pub is_secured: bool,
}

/// Either may be missing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Login {
    pub username: Option<String>,
    pub password: Option<Secret>,
}

/// TLS towards the backend; it is always verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Authorities that its certificate must come from; `None`: the system's.
    pub cafile: Option<PathBuf>,
    pub certfile: Option<PathBuf>,
    pub keyfile: Option<PathBuf>,
}

const OPTION: &str = "backend_url";
const PORT: u16 = 6379;
/// Slower than this it costs every create more than it is worth.
const TIMEOUT: Duration = Duration::from_millis(200);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
const NAMESPACE: &str = "ironic-proxy";

/// Options of tooz that its driver hands to redis-py, and that change nothing here.
const IGNORED: [&str; 6] = [
    "encoding",
    "health_check_interval",
    "membership_timeout",
    "retry_on_timeout",
    "socket_keepalive",
    "timeout",
];

/// Reads the section. `None`: this gateway is alone, or its operator takes it for alone.
pub(crate) fn coordination(
    section: &mut Section<'_>,
) -> Result<Option<CoordinationConfig>, Faulted> {
    let Some(text) = section.text(OPTION)? else {
        return Ok(None);
    };
    // The text may hold a password, so no fault quotes it.
    match read(&text) {
        Ok((config, ignored)) => {
            for name in ignored {
                section.warn(OPTION, format_args!("{name} is accepted and ignored"));
            }
            Ok(Some(config))
        }
        Err(fault) => Err(section.fault(OPTION, fault)),
    }
}

type Ignored = Vec<&'static str>;

fn read(text: &str) -> Result<(CoordinationConfig, Ignored), String> {
    let url = Url::parse(text)
        .map_err(|_| "is not a URL such as redis://:PASSWORD@HOST:6379; `?`, `#`, `/`, `@` in a password are written %3F, %23, %2F, %40".to_owned())?;
    let is_secured = match url.scheme() {
        "redis" => false,
        "rediss" => true,
        _ => return Err("must begin with redis:// or rediss://".to_owned()),
    };
    let mut options = Options::default();
    let mut ignored = Vec::new();
    for (name, value) in url.query_pairs() {
        match IGNORED.into_iter().find(|known| *known == name) {
            Some(name) => ignored.push(name),
            None => options.set(&name, value)?,
        }
    }
    let (first, db) = address(&url)?;
    let db = match (db, options.db) {
        (Some(path), Some(option)) if path != option => {
            return Err("names one database in the path and another in db".to_owned());
        }
        (path, option) => option.or(path).unwrap_or_default(),
    };
    let mut servers = vec![first];
    if options.sentinel.is_none() && !options.fallbacks.is_empty() {
        return Err("sentinel_fallback has no meaning without sentinel".to_owned());
    }
    servers.append(&mut options.fallbacks);
    let tls = (is_secured || options.ssl.unwrap_or_default()).then_some(options.files);
    if options.ssl == Some(false) && is_secured {
        return Err("rediss:// and ssl=false contradict each other".to_owned());
    }
    let is_asked_in_clear = options.sentinel_ssl == Some(false);
    let config = CoordinationConfig {
        servers,
        sentinel: options.sentinel.map(|master| SentinelConfig {
            master,
            login: options.sentinel_login,
            is_secured: options
                .sentinel_ssl
                .unwrap_or(is_secured && !is_asked_in_clear),
        }),
        login: Login {
            username: decoded(url.username())?,
            password: decoded(url.password().unwrap_or_default())?.map(Secret::from),
        },
        db,
        tls,
        namespace: options.namespace.unwrap_or_else(|| NAMESPACE.to_owned()),
        timeout: options.socket_timeout.unwrap_or(TIMEOUT),
        connect_timeout: options.socket_connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        lock_timeout: options.lock_timeout.unwrap_or(LOCK_TIMEOUT),
    };
    if config.lock_timeout < config.timeout * 4 {
        return Err("lock_timeout must be at least four times socket_timeout".to_owned());
    }
    Ok((config, ignored))
}

/// What stands behind the `?`.
#[derive(Default)]
struct Options {
    db: Option<u16>,
    ssl: Option<bool>,
    files: ClientTls,
    sentinel: Option<String>,
    fallbacks: Vec<ServerAddress>,
    sentinel_login: Login,
    sentinel_ssl: Option<bool>,
    namespace: Option<String>,
    socket_timeout: Option<Duration>,
    socket_connect_timeout: Option<Duration>,
    lock_timeout: Option<Duration>,
}

impl Options {
    fn set(&mut self, name: &str, value: Cow<'_, str>) -> Result<(), String> {
        let path = || Some(PathBuf::from(&*value));
        match name {
            "db" => self.db = Some(database(&value)?),
            "ssl" => self.ssl = Some(flag(name, &value)?),
            "ssl_ca_certs" => self.files.cafile = path(),
            "ssl_certfile" => self.files.certfile = path(),
            "ssl_keyfile" => self.files.keyfile = path(),
            "sentinel" => self.sentinel = Some(value.into_owned()),
            "sentinel_fallback" => self.fallbacks.push(fallback(&value)?),
            "sentinel_username" => self.sentinel_login.username = Some(value.into_owned()),
            "sentinel_password" => {
                self.sentinel_login.password = Some(Secret::from(value.into_owned()));
            }
            "sentinel_ssl" => self.sentinel_ssl = Some(flag(name, &value)?),
            "namespace" => self.namespace = Some(namespace(value)?),
            "socket_timeout" => self.socket_timeout = Some(seconds(name, &value)?),
            "socket_connect_timeout" => self.socket_connect_timeout = Some(seconds(name, &value)?),
            "lock_timeout" => self.lock_timeout = Some(seconds(name, &value)?),
            // What was meant as a password can end up here, so it is not quoted.
            _ => return Err("has an option that tooz's redis driver does not know".to_owned()),
        }
        Ok(())
    }
}

/// Where it is, and the database if the path names one, as redis-py reads it.
fn address(url: &Url) -> Result<(ServerAddress, Option<u16>), String> {
    if url.fragment().is_some() {
        return Err("has a `#`, which is written %23 in a password".to_owned());
    }
    let Some(host) = url.host() else {
        // tooz: without a host the path is that of a unix socket.
        let path = decoded(url.path())?.filter(|path| path.len() > 1);
        let path = path.ok_or("names neither a host nor the path of a unix socket")?;
        return Ok((ServerAddress::Unix(path.into()), None));
    };
    let host = match host {
        Host::Domain(name) => decoded(name)?.unwrap_or_default(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let port = url.port().unwrap_or(PORT);
    let db = match url.path().trim_matches('/') {
        "" => None,
        number => Some(database(number)?),
    };
    Ok((ServerAddress::Tcp { host, port }, db))
}

fn fallback(text: &str) -> Result<ServerAddress, String> {
    let parsed = Url::parse(&format!("redis://{text}")).ok();
    let parsed = parsed.filter(|url| url.port().is_some() && url.path().is_empty());
    match parsed.map(|url| address(&url)) {
        Some(Ok((address, _))) => Ok(address),
        Some(Err(_)) | None => Err("sentinel_fallback is not HOST:PORT".to_owned()),
    }
}

fn database(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| "db is not the number of a database".to_owned())
}

fn flag(name: &str, text: &str) -> Result<bool, String> {
    // `strutils.bool_from_string` of oslo.utils.
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => Ok(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Ok(false),
        _ => Err(format!("{name} is neither true nor false")),
    }
}

fn seconds(name: &str, text: &str) -> Result<Duration, String> {
    let number = text.parse().ok().map(Duration::try_from_secs_f64);
    match number {
        Some(Ok(time)) if time >= Duration::from_millis(1) && time <= Duration::from_hours(1) => {
            Ok(time)
        }
        _ => Err(format!(
            "{name} is not a number of seconds from 0.001 to 3600"
        )),
    }
}

fn namespace(text: Cow<'_, str>) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(is_plain) {
        return Err("namespace is not up to 64 letters, digits, `_`, `-`, `.` and `:`".to_owned());
    }
    Ok(text.into_owned())
}

/// Empty is `None`.
fn decoded(text: &str) -> Result<Option<String>, String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(Some(text.into_owned()).filter(|text| !text.is_empty())),
        Err(_) => Err("is not UTF-8 behind its %".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn tcp(host: &str, port: u16) -> ServerAddress {
        let host = host.to_owned();
        ServerAddress::Tcp { host, port }
    }

    #[test]
    fn where_it_is() {
        for (url, servers, db, tls) in [
            ("redis://h", vec![tcp("h", 6379)], 0, false),
            ("redis://[::1]:7000/3", vec![tcp("::1", 7000)], 3, false),
            (
                "redis://192.0.2.1?db=4",
                vec![tcp("192.0.2.1", 6379)],
                4,
                false,
            ),
            ("rediss://h:7000", vec![tcp("h", 7000)], 0, true),
            ("redis://h?ssl=True", vec![tcp("h", 6379)], 0, true),
            (
                "redis:///run/redis.sock?db=1",
                vec![ServerAddress::Unix("/run/redis.sock".into())],
                1,
                false,
            ),
            (
                "redis://a:26379?sentinel=m&sentinel_fallback=b:26380&sentinel_fallback=[::1]:1",
                vec![tcp("a", 26379), tcp("b", 26380), tcp("::1", 1)],
                0,
                false,
            ),
        ] {
            let (config, ignored) = read(url).unwrap();
            assert_eq!(
                (config.servers, config.db, config.tls.is_some()),
                (servers, db, tls),
                "{url}"
            );
            assert!(ignored.is_empty());
        }
    }

    #[test]
    fn who_we_are_there() {
        let url = "rediss://us%40er:p%3Fw@s:1?sentinel=m&sentinel_username=su&sentinel_password=sp&ssl_ca_certs=/ca\
                   &ssl_certfile=/c&ssl_keyfile=/k&namespace=hub:1&socket_timeout=0.5&socket_connect_timeout=2&lock_timeout=30\
                   &encoding=utf-8&timeout=5";
        let (config, ignored) = read(url).unwrap();
        let shown = |login: &Login| {
            let password = login.password.as_ref();
            let password = password.map(|secret| secret.expose_secret().to_owned());
            (login.username.clone().unwrap(), password.unwrap())
        };
        assert_eq!(shown(&config.login), ("us@er".into(), "p?w".into()));
        let sentinel = config.sentinel.as_ref().unwrap();
        assert_eq!(shown(&sentinel.login), ("su".into(), "sp".into()));
        assert_eq!((&*sentinel.master, sentinel.is_secured), ("m", true));
        let tls = ClientTls {
            cafile: Some("/ca".into()),
            certfile: Some("/c".into()),
            keyfile: Some("/k".into()),
        };
        assert_eq!((&config.tls, &*config.namespace), (&Some(tls), "hub:1"));
        let clocks = [config.timeout, config.connect_timeout, config.lock_timeout];
        assert_eq!(clocks.map(|clock| clock.as_millis()), [500, 2000, 30000]);
        assert_eq!(ignored, ["encoding", "timeout"]);
        let debug = format!("{config:?}");
        assert!(
            !debug.contains("p?w") && !debug.contains("\"sp\""),
            "{debug}"
        );
        let (plain, _) = read("redis://:pw@s:1?sentinel=m&ssl=true").unwrap();
        assert!(
            !plain.sentinel.unwrap().is_secured,
            "tooz asks sentinels in clear"
        );
        assert_eq!(plain.login.username, None);
    }

    #[test]
    fn what_cannot_be_meant() {
        for (url, fault) in [
            ("redis", "is not a URL such as"),
            ("h:6379", "must begin with"),
            ("memcached://h", "must begin with"),
            ("redis:///", "names neither"),
            ("redis://h/x", "db is not"),
            ("redis://h/1?db=2", "one database in the path"),
            ("redis://h?db=-1", "db is not"),
            ("redis://h?ssl=perhaps", "ssl is neither"),
            ("rediss://h?ssl=false", "contradict"),
            ("redis://:a?bc@h", "written %3F"),
            (
                "redis://h?bc=d",
                "an option that tooz's redis driver does not know",
            ),
            ("redis://h?sentinel_fallback=x:1", "without sentinel"),
            (
                "redis://h?sentinel=m&sentinel_fallback=x",
                "is not HOST:PORT",
            ),
            ("redis://h?namespace=a%20b", "namespace is not"),
            ("redis://h?socket_timeout=0", "socket_timeout is not"),
            ("redis://h?lock_timeout=0.5", "at least four times"),
            ("redis://h#x", "a `#`"),
            ("redis://:%FF@h", "is not UTF-8"),
        ] {
            let error = read(url).unwrap_err();
            assert!(error.contains(fault), "{url}: {error}");
        }
    }
}
