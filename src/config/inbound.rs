//! How clients prove who they are.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::adapter::INTERFACE_WORDS;
use crate::config::adapter::interface;
use crate::config::credential::Interface;
use crate::config::credential::KeystoneAuth;
use crate::config::credential::Session;
use crate::config::endpoint::Endpoint;
use crate::config::keystoneauth::AuthType;
use crate::config::keystoneauth::auth_section;
use crate::config::keystoneauth::auth_type;
use crate::config::keystoneauth::keystone_auth;
use crate::config::keystoneauth::session;
use crate::config::memcache::MemcacheConfig;
use crate::config::memcache::memcache;
use crate::oslo::reader::Reader;
use crate::oslo::record::Faulted;

/// How clients authenticate.
#[derive(Debug, Clone, PartialEq)]
pub enum AuthStrategy {
    /// Everybody, with every right.
    Noauth,
    /// Users in the file, with every right; the file was readable at load.
    HttpBasic {
        /// Apache's format, bcrypt only.
        user_file: PathBuf,
    },
    /// Whom Keystone vouches for, with the rights of the token's roles.
    Keystone(Box<KeystoneInbound>),
}

/// `[keystone_authtoken]`, and the rules for what a token may do here.
#[derive(Debug, Clone, PartialEq)]
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
    /// Where they are shared with other gateways; `None`: nowhere.
    pub shared: Option<MemcacheConfig>,
    /// Roles of which a service token must hold one.
    pub service_token_roles: Vec<String>,
    /// Whether a service token without such a role is refused.
    pub service_token_roles_required: bool,
    /// Bound on one connection and on one answer of Keystone.
    pub connect_timeout: Duration,
    /// Further attempts after a failed one.
    pub max_retries: u32,
}

/// `auth_strategy` and what it needs.
pub(crate) fn auth(reader: &mut Reader) -> Result<AuthStrategy, Faulted> {
    match strategy(reader)? {
        Strategy::Noauth => Ok(AuthStrategy::Noauth),
        Strategy::HttpBasic => {
            user_file(reader).map(|user_file| AuthStrategy::HttpBasic { user_file })
        }
        Strategy::Keystone => keystone(reader).map(Box::new).map(AuthStrategy::Keystone),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    Noauth,
    HttpBasic,
    Keystone,
}

fn strategy(reader: &mut Reader) -> Result<Strategy, Faulted> {
    let words = [
        ("keystone", Strategy::Keystone),
        ("http_basic", Strategy::HttpBasic),
        ("noauth", Strategy::Noauth),
        ("none", Strategy::Noauth),
    ];
    // Ironic has it in [DEFAULT]; [api] is the gateway's own place for it.
    if !reader.section("DEFAULT").sets("auth_strategy") {
        return reader.section("api").choice("auth_strategy", &words);
    }
    let strategy = reader.section("DEFAULT").choice("auth_strategy", &words)?;
    let mut api = reader.section("api");
    if api.sets("auth_strategy") && api.choice("auth_strategy", &words)? != strategy {
        return Err(api.fault("auth_strategy", "differs from [DEFAULT] auth_strategy"));
    }
    Ok(strategy)
}

fn user_file(reader: &mut Reader) -> Result<PathBuf, Faulted> {
    let mut section = reader.section("DEFAULT");
    let option = "http_basic_auth_user_file";
    match section.file(option)? {
        Some(path) => Ok(path),
        None => Err(section.missing(option, "auth_strategy = http_basic needs it")),
    }
}

fn keystone(reader: &mut Reader) -> Result<KeystoneInbound, Faulted> {
    const NAME: &str = "keystone_authtoken";
    if !reader.has(NAME) {
        return Err(reader.section(NAME).missing(
            "auth_type",
            "auth_strategy = keystone needs this section, so that the gateway can have tokens validated",
        ));
    }
    let identity = identity(reader, NAME);
    let mut section = reader.section(NAME);
    let session = session(&mut section);
    let www_authenticate_uri = match section.text("www_authenticate_uri") {
        Ok(Some(uri)) if Endpoint::whole(&uri).is_err() => {
            Err(section.fault("www_authenticate_uri", "is not the URL of a Keystone"))
        }
        uri => uri,
    };
    let interface = match section.always::<String>("interface", "an interface") {
        Ok(word) => interface(&word).ok_or_else(|| section.fault("interface", INTERFACE_WORDS)),
        Err(faulted) => Err(faulted),
    };
    let region_name = section.text("region_name");
    // keystonemiddleware documents -1 as the way to switch its cache off.
    let token_cache_time = section.number("token_cache_time", -1..=31_536_000);
    let shared = memcache(&mut section);
    let service_token_roles = section.list("service_token_roles");
    let service_token_roles_required = section.flag("service_token_roles_required");
    let connect_timeout = section.seconds("http_connect_timeout");
    let max_retries = section.number("http_request_max_retries", 0..=100);
    Ok(KeystoneInbound {
        www_authenticate_uri: www_authenticate_uri?,
        identity: identity?,
        session: session?,
        interface: interface?,
        region_name: region_name?,
        token_cache_time: u64::try_from(token_cache_time?)
            .ok()
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs),
        shared: shared?,
        service_token_roles: service_token_roles?,
        service_token_roles_required: service_token_roles_required?,
        connect_timeout: connect_timeout?,
        max_retries: max_retries?,
    })
}

fn identity(reader: &mut Reader, section: &str) -> Result<KeystoneAuth, Faulted> {
    let auth = auth_section(reader, section)?;
    let mut section = reader.section(&auth);
    match auth_type(&mut section)? {
        AuthType::Keystone(by, flavour) => keystone_auth(&mut section, by, flavour),
        AuthType::None | AuthType::HttpBasic | AuthType::AdminToken => Err(section.fault(
            "auth_type",
            "must be one that gets a token from a Keystone, such as password",
        )),
    }
}
