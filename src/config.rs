//! The typed whole of the configuration. A [`Config`] that exists is valid: what an operator can
//! get wrong has been said by [`Config::load`], all of it at once.

mod adapter;
mod advice;
mod credential;
mod endpoint;
mod groups;
mod inbound;
mod ini;
mod interpolate;
mod keystoneauth;
mod location;
mod notes;
mod options;
mod reader;
mod resolve;
mod section;
mod service;
mod sources;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::api::microversion::Microversion;
use crate::config::reader::Reader;

// The rest of the program knows this room by its door only.
pub use crate::config::credential::{
    CredentialRef, DomainRef, Interface, KeystoneAuth, KeystoneMethod, ProjectRef, Scope, Secret,
    Session, UserRef,
};
pub use crate::config::endpoint::{Endpoint, EndpointError};
pub use crate::config::groups::{GroupMap, LocationId};
pub use crate::config::sources::{Source, Sources};

/// Everything the program was told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the log goes and how much of it.
    pub log: LogConfig,
    /// Directory for what survives a restart.
    pub state_path: PathBuf,
    /// How long requests in flight may take after SIGTERM (`graceful_shutdown_timeout`).
    pub drain_timeout: Duration,
    /// The listener and the limits of the API.
    pub api: ApiConfig,
    /// Who may come in.
    pub auth: AuthStrategy,
    /// Whether `Forwarded` and `X-Forwarded-*` are believed.
    pub proxy_headers: bool,
    /// Whether `/healthcheck` is served.
    pub healthcheck: bool,
    /// The node cache.
    pub directory: DirectoryConfig,
    /// Which location serves which conductor group.
    pub groups: GroupMap,
    /// By first mention in `groups`, then the other `[group:*]` sections in the order of the files.
    /// The index is the [`LocationId`]. Never empty.
    pub locations: Vec<LocationConfig>,
    /// What is odd but no fault; one line each, to be logged at start.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads `sources` in their order, then the environment (`OS_<GROUP>__<OPTION>`) over them.
    /// Fails with every fault found, not with the first.
    pub fn load<K, V>(
        sources: &Sources,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, Errors>
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let mut reader = Reader::open(sources, environment)?;
        let config = service::config(&mut reader);
        reader.finish(config)
    }

    /// The location behind an index that this configuration gave out.
    pub fn location(&self, id: LocationId) -> &LocationConfig {
        &self.locations[usize::from(id.0)]
    }
}

/// Where the log goes and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// `None` is standard error.
    pub file: Option<PathBuf>,
    /// DEBUG for the gateway's own words, else INFO.
    pub debug: bool,
    /// One JSON object a line instead of oslo's text.
    pub json: bool,
}

/// The listener and the limits of the API.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Address to listen on.
    pub host_ip: IpAddr,
    /// Port to listen on; 0 lets the kernel choose.
    pub port: u16,
    /// Worker threads, at least one.
    pub workers: usize,
    /// What clients call us, `scheme://host[:port][/prefix]`, no trailing slash.
    pub public_endpoint: Option<String>,
    /// Items on one page, at least one.
    pub max_limit: usize,
    /// Whether the routes of the ramdisks are served.
    pub ramdisk: bool,
    /// Whether a create needs every location's word that the name is free.
    pub require_unique: bool,
    /// What becomes of a list that a location is missing from.
    pub partial_lists: Partial,
    /// The lowest maximum that a location may force on all; below it is quarantined.
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
    /// `None` is plain HTTP.
    pub tls: Option<ListenerTls>,
}

/// What becomes of a list that a location is missing from.
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

/// The node cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryConfig {
    /// Entries kept at most.
    pub max_entries: usize,
    /// How long a name is believed.
    pub name_lifetime: Duration,
    /// Pause between two sweeps; `None` is no sweep.
    pub sweep_interval: Option<Duration>,
}

/// Who may come in.
#[derive(Debug, Clone)]
pub enum AuthStrategy {
    /// Everybody, with every right.
    Noauth,
    /// Who is in the file, with every right; the file was readable at load.
    HttpBasic {
        /// Apache's format, bcrypt only.
        user_file: PathBuf,
    },
    /// Whom Keystone vouches for, with the rights of the token's roles.
    Keystone(Box<KeystoneInbound>),
}

/// `[keystone_authtoken]`, and the rules for what a token may do here.
#[derive(Debug, Clone)]
pub struct KeystoneInbound {
    /// For `WWW-Authenticate`; `None` is the identity endpoint that validates.
    pub www_authenticate_uri: Option<String>,
    /// How the gateway proves itself to Keystone.
    pub identity: KeystoneAuth,
    /// TLS towards Keystone.
    pub session: Session,
    /// Which identity endpoint of the catalog validates.
    pub interface: Interface,
    /// Region of that endpoint.
    pub region_name: Option<String>,
    /// How long a validated token is believed; `None` asks each time.
    pub token_cache_time: Option<Duration>,
    /// Roles of which a service token must hold one.
    pub service_token_roles: Vec<String>,
    /// Whether a service token without such a role is refused.
    pub service_token_roles_required: bool,
    /// Ours in access rules of application credentials; `None` refuses restricted tokens.
    pub service_type: Option<String>,
    /// Bound on one connection and on one answer of Keystone.
    pub connect_timeout: Duration,
    /// Further attempts after a failed one.
    pub max_retries: u32,
    /// What a token that is scoped to a project may do.
    pub project_scoped_access: ProjectScoped,
    /// Ironic's `rbac_service_role_elevated_access`.
    pub service_role_elevated: bool,
    /// Ironic's `rbac_service_project_name`.
    pub service_project: String,
}

/// What a token that is scoped to a project may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectScoped {
    /// Nothing.
    Deny,
    /// With the role admin, everything: the rule before system scopes.
    LegacyAdmin,
}

/// One independent Ironic installation.
#[derive(Debug, Clone)]
pub struct LocationConfig {
    /// In lower case, of `[a-z0-9_.-]+`.
    pub name: String,
    /// How we prove ourselves there.
    pub auth: LocationAuth,
    /// TLS towards it, and towards its Keystone.
    pub session: Session,
    /// Where it is.
    pub endpoints: EndpointSource,
    /// Whether a list without it may be refused.
    pub required: bool,
    /// Whether the user's own token goes there instead of our credential.
    pub forward_user_token: bool,
    /// Bound on making one connection.
    pub connect_timeout: Duration,
    /// Bound on waiting for the head of an answer.
    pub response_timeout: Duration,
    /// Bound on one exchange, body included.
    pub timeout: Duration,
    /// Exchanges at the same time, at least one.
    pub max_concurrent: usize,
    /// Failures in a row that open the breaker, at least one.
    pub breaker_failures: u32,
    /// How long the breaker stays open.
    pub breaker_reset: Duration,
    /// Pause between two probes.
    pub probe_interval: Duration,
    /// Largest answer taken, in bytes.
    pub max_response_size: usize,
}

/// How we prove ourselves at a location.
#[derive(Debug, Clone)]
pub enum LocationAuth {
    /// Not at all.
    None,
    /// RFC 7617.
    HttpBasic {
        /// Without a colon.
        username: String,
        /// Any text.
        password: Secret,
    },
    /// A fixed `X-Auth-Token`.
    AdminToken(Secret),
    /// A token of the location's Keystone.
    Keystone(KeystoneAuth),
}

/// Where a location's Ironic is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointSource {
    /// Told by the file; never empty, first is tried first.
    Fixed(Vec<Endpoint>),
    /// Told by the catalog of each new token.
    Catalog {
        /// `baremetal` unless told otherwise.
        service_type: String,
        /// Any name if `None`.
        service_name: Option<String>,
        /// Never empty, in order of preference.
        interfaces: Vec<Interface>,
        /// Any region if `None`.
        region: Option<String>,
    },
}

/// Why there is no [`Config`]: every fault, and what was odd beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors {
    /// `FILE:LINE: [section] option: text`, in the order of the files. Never empty.
    pub faults: Vec<String>,
    /// As in [`Config::warnings`].
    pub warnings: Vec<String>,
}

impl fmt::Display for Errors {
    /// One fault a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.faults.join("\n"))
    }
}

impl std::error::Error for Errors {}
