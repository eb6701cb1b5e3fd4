//! The sections of the gateway itself, and the whole.

use std::net::IpAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::thread::available_parallelism;

use crate::config::ApiConfig;
use crate::config::AuthStrategy;
use crate::config::Config;
use crate::config::DirectoryConfig;
use crate::config::Endpoint;
use crate::config::ListenerTls;
use crate::config::LogConfig;
use crate::config::Partial;
use crate::config::TlsVersion;
use crate::config::inbound::auth;
use crate::config::location::groups;
use crate::config::location::locations;
use crate::config::reader::Faulted;
use crate::config::reader::Reader;
use crate::config::section::Section;

/// Everything, each part read whatever became of the others.
pub(crate) fn config(reader: &mut Reader) -> Result<Config, Faulted> {
    let log = log(&mut reader.section("DEFAULT"));
    let state_path = reader
        .section("DEFAULT")
        .always::<PathBuf>("state_path", "a path");
    let drain_timeout = reader
        .section("DEFAULT")
        .seconds("graceful_shutdown_timeout");
    let api = api(&mut reader.section("api"));
    let auth = auth(reader);
    let proxy_headers = reader
        .section("oslo_middleware")
        .flag("enable_proxy_headers_parsing");
    let healthcheck = reader.section("healthcheck").flag("enabled");
    let directory = directory(&mut reader.section("node_cache"));
    let groups = groups(reader);
    let named = groups.as_ref().map_or(&[][..], |(_, names)| names);
    let locations = locations(reader, named, auth.as_ref().ok());
    if let (Ok(AuthStrategy::Noauth), Ok(api)) = (&auth, &api)
        && !api.host_ip.is_loopback()
    {
        let text = "noauth: whoever can connect has every right at every location";
        reader.section("api").warn("auth_strategy", text);
    }
    Ok(Config {
        log: log?,
        state_path: state_path?,
        drain_timeout: drain_timeout?,
        api: api?,
        auth: auth?,
        proxy_headers: proxy_headers?,
        healthcheck: healthcheck?,
        directory: directory?,
        groups: groups?.0,
        locations: locations?,
        warnings: Vec::new(),
    })
}

fn log(section: &mut Section<'_>) -> Result<LogConfig, Faulted> {
    let file = section.path("log_file");
    let debug = section.flag("debug");
    let json = section.flag("use_json");
    Ok(LogConfig {
        file: file?,
        debug: debug?,
        json: json?,
    })
}

fn api(section: &mut Section<'_>) -> Result<ApiConfig, Faulted> {
    let host_ip = section.always::<IpAddr>("host_ip", "an IP address");
    let port = section.number("port", 0..=u16::MAX);
    let workers = section.optional_number("api_workers", 1..=4096);
    let public_endpoint = public_endpoint(section);
    let max_limit = section.number("max_limit", 1..=1_000_000);
    let ramdisk = section.flag("enable_ramdisk_endpoints");
    let require_unique = section.flag("require_unique");
    let partial_lists = section.choice(
        "partial_lists",
        &[("deny", Partial::Deny), ("allow", Partial::Allow)],
    );
    let min_max_version = section.parsed("min_max_version", "a version such as 1.90");
    let max_body = kib(section, "max_json_body_size");
    let max_body_provision = kib(section, "max_json_body_size_provision");
    let max_body_inspection = kib(section, "max_json_body_size_inspection");
    let max_depth = section.number("max_json_body_depth", 1..=1000);
    let max_in_flight = section.number("max_requests_in_flight", 1..=1_000_000);
    let tls = tls(section);
    Ok(ApiConfig {
        host_ip: host_ip?,
        port: port?,
        workers: workers?.unwrap_or_else(|| available_parallelism().map_or(1, NonZero::get)),
        public_endpoint: public_endpoint?,
        max_limit: max_limit?,
        ramdisk: ramdisk?,
        require_unique: require_unique?,
        partial_lists: partial_lists?,
        min_max_version: min_max_version?,
        max_body: max_body?,
        max_body_provision: max_body_provision?,
        max_body_inspection: max_body_inspection?,
        max_depth: max_depth?,
        max_in_flight: max_in_flight?,
        tls: tls?,
    })
}

fn public_endpoint(section: &mut Section<'_>) -> Result<Option<String>, Faulted> {
    let Some(text) = section.text("public_endpoint")? else {
        return Ok(None);
    };
    match text.parse::<Endpoint>() {
        Ok(endpoint) => Ok(Some(endpoint.to_string())),
        Err(error) => Err(section.fault("public_endpoint", error)),
    }
}

fn kib(section: &mut Section<'_>, option: &str) -> Result<usize, Faulted> {
    Ok(section.number(option, 1..=1_048_576_usize)? * 1024)
}

fn tls(section: &mut Section<'_>) -> Result<Option<ListenerTls>, Faulted> {
    if !section.flag("enable_ssl_api")? {
        return Ok(None);
    }
    let why = "enable_ssl_api = true needs it";
    let cert_file = needed_file(section, "cert_file", why);
    let key_file = needed_file(section, "key_file", why);
    let client_ca_file = section.file("client_ca_file");
    let minimum = section.choice(
        "tls_minimum_version",
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

fn directory(section: &mut Section<'_>) -> Result<DirectoryConfig, Faulted> {
    let max_entries = section.number("max_entries", 1..=1_000_000_000);
    let name_lifetime = section.seconds("name_lifetime");
    let sweep_interval = section.seconds_or_none("sweep_interval");
    Ok(DirectoryConfig {
        max_entries: max_entries?,
        name_lifetime: name_lifetime?,
        sweep_interval: sweep_interval?,
    })
}
