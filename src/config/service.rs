//! The gateway's own sections, and the configuration as a whole.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::admin::AdminConfig;
use crate::config::admin::admin;
use crate::config::api::ApiConfig;
use crate::config::api::api;
use crate::config::audit::AuditConfig;
use crate::config::audit::audit;
use crate::config::bmc::BmcConfig;
use crate::config::bmc::bmcs;
use crate::config::coordination::CoordinationConfig;
use crate::config::coordination::coordination;
use crate::config::cors::CorsConfig;
use crate::config::cors::cors;
use crate::config::groups::GroupMap;
use crate::config::groups::LocationId;
use crate::config::healthcheck::HealthcheckConfig;
use crate::config::healthcheck::healthcheck;
use crate::config::inbound::AuthStrategy;
use crate::config::inbound::auth;
use crate::config::limits::LimitsConfig;
use crate::config::limits::limits;
use crate::config::location::LocationConfig;
use crate::config::location::groups;
use crate::config::location::locations;
use crate::config::options::SCHEMA;
use crate::config::policy::PolicyConfig;
use crate::config::policy::policy;
use crate::config::trace::TraceConfig;
use crate::config::trace::trace;
use crate::oslo::notes::Errors;
use crate::oslo::reader::Reader;
use crate::oslo::record::Faulted;
use crate::oslo::section::Section;
use crate::oslo::sources::Sources;

/// The whole configuration.
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
    /// The listener for operators.
    pub admin: AdminConfig,
    /// How clients authenticate.
    pub auth: AuthStrategy,
    /// Who may do what.
    pub policy: PolicyConfig,
    /// Whether `Forwarded` and `X-Forwarded-*` are believed.
    pub proxy_headers: bool,
    /// `None`: pages of other origins are not let in.
    pub cors: Option<CorsConfig>,
    /// `None`: nobody is limited.
    pub limits: Option<LimitsConfig>,
    /// `None`: nothing is recorded of requests but the log.
    pub audit: Option<AuditConfig>,
    /// `None`: this gateway shares nothing with others.
    pub coordination: Option<CoordinationConfig>,
    /// `None`: there are no spans.
    pub trace: Option<TraceConfig>,
    /// `/healthcheck`
    pub healthcheck: HealthcheckConfig,
    /// The node cache.
    pub directory: DirectoryConfig,
    /// Whether every write is refused.
    pub read_only: bool,
    /// Rules about the addresses of BMCs.
    pub bmcs: BmcConfig,
    /// Which location serves which conductor group.
    pub groups: GroupMap,
    /// By first mention in `groups`, then the other `[group:*]` sections in the order of the files.
    /// The index is the [`LocationId`]. Never empty.
    pub locations: Vec<LocationConfig>,
    /// One line for each setting that is accepted but probably not meant; logged at start.
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
        let mut reader = Reader::open(&SCHEMA, sources, environment)?;
        let config = config(&mut reader, sources.directories());
        let (config, warnings) = reader.finish(config)?;
        Ok(Self { warnings, ..config })
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
    /// Where records of `[audit]` go, if not there.
    pub audit: Option<PathBuf>,
    /// DEBUG for the gateway's own words, else INFO.
    pub debug: bool,
    /// One JSON object a line instead of oslo's text.
    pub json: bool,
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

/// Everything, each part read whatever became of the others.
fn config(reader: &mut Reader, directories: Vec<PathBuf>) -> Result<Config, Faulted> {
    let log = log(&mut reader.section("DEFAULT"));
    let state_path = reader
        .section("DEFAULT")
        .always::<PathBuf>("state_path", "a path");
    let drain_timeout = reader
        .section("DEFAULT")
        .seconds("graceful_shutdown_timeout");
    let read_only = reader.section("DEFAULT").flag("read_only");
    let bmcs = bmcs(&mut reader.section("DEFAULT"));
    let api = api(&mut reader.section("api"));
    let admin = admin(&mut reader.section("admin"));
    let auth = auth(reader);
    let policy = policy(reader, directories);
    let proxy_headers = reader
        .section("oslo_middleware")
        .flag("enable_proxy_headers_parsing");
    let cors = cors(&mut reader.section("cors"));
    let limits = limits(&mut reader.section("limits"));
    let audit = audit(reader);
    let coordination = coordination(&mut reader.section("coordination"));
    let trace = trace(&mut reader.section("trace"));
    let healthcheck = healthcheck(&mut reader.section("healthcheck"));
    let directory = directory(&mut reader.section("node_cache"));
    // Before the locations: the order of the groups gives each location its index.
    let groups = groups(reader);
    let locations = locations(reader, groups.as_ref().ok(), auth.as_ref().ok());
    if let (Ok(AuthStrategy::Noauth), Ok(api)) = (&auth, &api)
        && !api.listen.is_local()
    {
        let text = "noauth: whoever can connect has every right at every location";
        reader.section("api").warn("auth_strategy", text);
    }
    let audit = audit?;
    Ok(Config {
        log: LogConfig {
            audit: audit.as_ref().and_then(|audit| audit.file.clone()),
            ..log?
        },
        state_path: state_path?,
        drain_timeout: drain_timeout?,
        read_only: read_only?,
        bmcs: bmcs?,
        api: api?,
        admin: admin?,
        auth: auth?,
        policy: policy?,
        proxy_headers: proxy_headers?,
        cors: cors?,
        limits: limits?,
        audit,
        coordination: coordination?,
        trace: trace?,
        healthcheck: healthcheck?,
        directory: directory?,
        groups: groups?.0,
        locations: locations?,
        warnings: Vec::new(),
    })
}

fn log(section: &mut Section<'_>) -> Result<LogConfig, Faulted> {
    let file = log_file(section);
    let debug = section.flag("debug");
    let json = section.flag("use_json");
    Ok(LogConfig {
        file: file?,
        audit: None,
        debug: debug?,
        json: json?,
    })
}

/// oslo.log's: `log_file` below `log_dir`, which alone means a file named after the program.
fn log_file(section: &mut Section<'_>) -> Result<Option<PathBuf>, Faulted> {
    let file = section.path("log_file");
    let directory = section.path("log_dir");
    let stderr = section.flag("use_stderr");
    let file = match (directory?, file?) {
        // oslo.log: an absolute `log_file` replaces `log_dir`, which `join` does too.
        (Some(directory), Some(file)) => Some(directory.join(file)),
        (Some(directory), None) => Some(directory.join(format!("{}.log", SCHEMA.program))),
        (None, file) => file,
    };
    if stderr? && file.is_some() {
        let text = "there is one log, and log_file or log_dir say that it is a file";
        return Err(section.fault("use_stderr", text));
    }
    Ok(file)
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
