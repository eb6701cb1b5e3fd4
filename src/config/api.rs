//! `[api]`: the listener and the limits.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::ToSocketAddrs;
use std::num::NonZero;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use crate::api::microversion::Microversion;
use crate::config::endpoint::Endpoint;
use crate::oslo::record::Faulted;
use crate::oslo::section::Section;

/// The listener and the limits of the API.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Where clients connect, unless the service manager hands sockets over.
    pub listen: Listen,
    /// Worker threads, at least one.
    pub workers: usize,
    /// What clients call us, `scheme://host[:port][/prefix]`, no trailing slash.
    pub public_endpoint: Option<String>,
    /// Items on one page, at least one.
    pub max_limit: usize,
    /// Memory for list walks between two pages, in bytes.
    pub walk_memory: usize,
    /// Whether the routes of the ramdisks are served.
    pub ramdisk: bool,
    /// Whether a create fails if one location cannot confirm that the name is free.
    pub require_unique: bool,
    /// What happens to a list if a location could not be asked.
    pub partial_lists: Partial,
    /// A location whose newest version is below this is quarantined instead of lowering everybody's maximum.
    pub min_max_version: Option<Microversion>,
    /// Largest JSON body of a client, in bytes.
    pub max_body: usize,
    /// The same for provision state changes (config drives), in bytes.
    pub max_body_provision: usize,
    /// The same for inspection data, in bytes.
    pub max_body_inspection: usize,
    /// Deepest nesting of a JSON body.
    pub max_depth: usize,
    /// Requests served at the same time.
    pub max_in_flight: usize,
    /// Bytes of bodies that are held in memory at once, above 64 KiB each.
    pub max_buffered: usize,
    /// Connections of one address that have not authenticated yet.
    pub max_connections_per_address: usize,
    /// Bound on one request after its body was received, including all pages, retries and polls.
    pub request_deadline: Duration,
    /// Between the stop signal and the drain, so that load balancers can take this gateway out first.
    pub shutdown_delay: Duration,
    /// Whether a 503 carries `Retry-After`.
    pub retry_after: bool,
    /// From how many bytes on answers are compressed for clients that ask; `None`: never.
    pub gzip: Option<usize>,
    /// From when on a request is told of as slow; `None`: never.
    pub slow_request: Option<Duration>,
    /// What is served beyond Ironic's own API.
    pub extras: Extras,
    /// `None` is plain HTTP.
    pub tls: Option<ListenerTls>,
}

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `host_ip` and `port`, at least one, none twice. Port 0 lets the kernel choose.
    Addresses(Vec<SocketAddr>),
    /// `unix_socket`, which replaces both, as in Ironic.
    Unix {
        path: PathBuf,
        /// `None` is what the umask leaves.
        mode: Option<u32>,
    },
}

impl Listen {
    /// Whether nobody can connect from another machine.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Addresses(addresses) => {
                addresses.iter().all(|address| address.ip().is_loopback())
            }
            Self::Unix { .. } => true,
        }
    }
}

/// What is served beyond Ironic's own API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extras {
    /// Lists also carry gophercloud's `<collection>_links` with the next page.
    pub collection_links: bool,
    /// Each location below a path of its own.
    pub location_endpoints: bool,
}

/// What happens to a list if a location could not be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partial {
    /// 503 naming the location.
    Deny,
    /// The rest, announced by a header.
    Allow,
}

/// Certificates of the listener; the files were readable at load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// PEM chain, leaf first.
    pub cert_file: PathBuf,
    /// PEM private key.
    pub key_file: PathBuf,
    /// PEM authorities a client certificate must come from; `None` asks for none.
    pub client_ca_file: Option<PathBuf>,
    /// Oldest protocol accepted.
    pub minimum: TlsVersion,
}

/// What rustls speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2
    V1_2,
    /// TLS 1.3
    V1_3,
}

/// Reads the section.
pub(crate) fn api(section: &mut Section<'_>) -> Result<ApiConfig, Faulted> {
    // Each option is read before the first `?` below, so that all faults of the section are reported at once.
    let listen = listen(section);
    let workers = section.optional_number("api_workers", 1..=4096);
    let public_endpoint = public_endpoint(section);
    let max_limit = section.number("max_limit", 1..=1_000_000);
    let walk_memory = section.number("walk_memory", 0..=usize::MAX);
    let ramdisk = section.flag("enable_ramdisk_endpoints");
    let require_unique = section.flag("require_unique");
    let partial_lists = section.choice(
        "partial_lists",
        &[("deny", Partial::Deny), ("allow", Partial::Allow)],
    );
    let min_max_version = min_max_version(section);
    let max_body = kib(section, "max_json_body_size");
    let max_body_provision = kib(section, "max_json_body_size_provision");
    let max_body_inspection = kib(section, "max_json_body_size_inspection");
    let max_depth = section.number("max_json_body_depth", 1..=1000);
    let max_in_flight = section.number("max_requests_in_flight", 1..=1_000_000);
    // A smaller bound could not hold one JSON body of the size that Ironic accepts, 1 MiB.
    let max_buffered = section.number("max_buffered", 1 << 20..=usize::MAX);
    let max_connections_per_address = section.number("max_connections_per_address", 1..=1_000_000);
    let request_deadline = section.seconds("request_deadline");
    let shutdown_delay = section.seconds_or_none("shutdown_delay");
    let retry_after = section.flag("retry_after");
    let slow_request = section.seconds_or_none("slow_request");
    let gzip = section.flag("gzip");
    let gzip_min_length = section.number("gzip_min_length", 0..=usize::MAX);
    let collection_links = section.flag("collection_links");
    let location_endpoints = section.flag("location_endpoints");
    let tls = tls(section);
    Ok(ApiConfig {
        listen: listen?,
        workers: workers?.unwrap_or_else(|| available_parallelism().map_or(1, NonZero::get)),
        public_endpoint: public_endpoint?,
        max_limit: max_limit?,
        walk_memory: walk_memory?,
        ramdisk: ramdisk?,
        require_unique: require_unique?,
        partial_lists: partial_lists?,
        min_max_version: min_max_version?,
        max_body: max_body?,
        max_body_provision: max_body_provision?,
        max_body_inspection: max_body_inspection?,
        max_depth: max_depth?,
        max_in_flight: max_in_flight?,
        max_buffered: max_buffered?,
        max_connections_per_address: max_connections_per_address?,
        request_deadline: request_deadline?,
        shutdown_delay: shutdown_delay?.unwrap_or_default(),
        retry_after: retry_after?,
        slow_request: slow_request?,
        gzip: gzip_min_length.and_then(|least| Ok(gzip?.then_some(least)))?,
        extras: Extras {
            collection_links: collection_links?,
            location_endpoints: location_endpoints?,
        },
        tls: tls?,
    })
}

fn listen(section: &mut Section<'_>) -> Result<Listen, Faulted> {
    let addresses = host_ip(section);
    let port = section.number("port", 0..=u16::MAX);
    let path = section.path("unix_socket");
    let mode = unix_socket_mode(section);
    let (addresses, port, mode) = (addresses?, port?, mode?);
    Ok(match path? {
        Some(path) => Listen::Unix { path, mode },
        None => Listen::Addresses(
            addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, port))
                .collect(),
        ),
    })
}

fn host_ip(section: &mut Section<'_>) -> Result<Vec<IpAddr>, Faulted> {
    let option = "host_ip";
    let texts = section.list(option)?;
    if texts.is_empty() {
        return Err(section.missing(option, "an IP address, or several with commas between them"));
    }
    let mut addresses = Vec::new();
    for text in texts {
        let Some(address) = address_of(&text) else {
            let fault = format!("`{text}` is neither an IP address nor a name of one");
            return Err(if may_be_a_name(&text) {
                // At a boot whoever knows it may come up after us.
                section.passing(option, fault)
            } else {
                section.fault(option, fault)
            });
        };
        if addresses.contains(&address) {
            section.warn(option, format!("{address} is there twice"));
        } else {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// An address, in brackets or not, or a name that has one; IPv4 goes first, as Ironic binds it.
fn address_of(text: &str) -> Option<IpAddr> {
    // IPv6 addresses are often written in brackets, as in a URL; `IpAddr` does not parse those.
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(address) = bare.parse() {
        return Some(address);
    }
    let found = (text, 0).to_socket_addrs().ok()?;
    let mut found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    // A stable sort; `localhost` often resolves to `::1` first.
    found.sort_by_key(IpAddr::is_ipv6);
    found.first().copied()
}

/// The last part of a host's name is no number (RFC 1123, 2.1), and none has a colon.
fn may_be_a_name(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    !text.contains(':') && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Octal with or without Python's `0o`, as Ironic reads it.
fn unix_socket_mode(section: &mut Section<'_>) -> Result<Option<u32>, Faulted> {
    let option = "unix_socket_mode";
    let Some(text) = section.text(option)? else {
        return Ok(None);
    };
    let text = text.trim();
    let digits = text.strip_prefix("0o").unwrap_or(text);
    // `from_str_radix` alone would take a sign.
    let is_unsigned = digits.bytes().all(|byte| byte.is_ascii_digit());
    match u32::from_str_radix(digits, 8) {
        _ if !is_unsigned => Err(section.fault(option, "is not an octal number from 0 to 777")),
        Ok(mode) if mode <= 0o777 => Ok(Some(mode)),
        Ok(_) | Err(_) => Err(section.fault(option, "is not an octal number from 0 to 777")),
    }
}

/// Ironic 39's.
const NEWEST: Microversion = Microversion::new(1, 115);

fn min_max_version(section: &mut Section<'_>) -> Result<Option<Microversion>, Faulted> {
    let option = "min_max_version";
    let version = section.parsed(option, "a version such as 1.90")?;
    if version > Some(NEWEST) {
        let text = format!(
            "is newer than {NEWEST}, the newest that is known: every location below it is left out"
        );
        section.warn(option, text);
    }
    Ok(version)
}

fn public_endpoint(section: &mut Section<'_>) -> Result<Option<String>, Faulted> {
    let Some(text) = section.text("public_endpoint")? else {
        return Ok(None);
    };
    // Links add `/v1` themselves, so an operator who copies the catalog's URL with its `/v1` means the same.
    match text.parse::<Endpoint>() {
        Ok(endpoint) => Ok(Some(endpoint.to_string())),
        Err(error) => Err(section.fault("public_endpoint", error)),
    }
}

fn kib(section: &mut Section<'_>, option: &str) -> Result<usize, Faulted> {
    Ok(section.number(option, 1..=1_048_576_usize)? * 1024)
}

fn tls(section: &mut Section<'_>) -> Result<Option<ListenerTls>, Faulted> {
    // As in Ironic, the certificate options alone do not switch TLS on.
    if !section.flag("enable_ssl_api")? {
        return Ok(None);
    }
    let why = "enable_ssl_api = true needs it";
    let cert_file = needed_file(section, "cert_file", why);
    let key_file = needed_file(section, "key_file", why);
    let client_ca_file = section.file("client_ca_file");
    let minimum = section.choice(
        "server_tls_minimum_version",
        &[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)],
    );
    Ok(Some(ListenerTls {
        cert_file: cert_file?,
        key_file: key_file?,
        client_ca_file: client_ca_file?,
        minimum: minimum?,
    }))
}

fn needed_file(section: &mut Section<'_>, option: &str, why: &str) -> Result<PathBuf, Faulted> {
    match section.file(option)? {
        Some(path) => Ok(path),
        None => Err(section.missing(option, why)),
    }
}
