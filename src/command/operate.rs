//! `status`, `locate`, `explain`, `location`, `reload`, `upgrade`: the running gateway's state and orders to it.

use std::env;
use std::io;
use std::io::IsTerminal;
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;
use serde_json::Value;
use serde_json::json;
use thiserror::Error;

use crate::api::query::encode_segment;
use crate::command::socket;
use crate::command::socket::Said;
use crate::command::socket::SocketError;
use crate::command::socket::Where;
use crate::command::terminal;
use crate::command::terminal::Format;
use crate::command::terminal::say;
use crate::command::terminal::tell;
use crate::config::State;

/// Pause between two updates of `status --watch`.
const REDRAW: Duration = Duration::from_secs(2);

/// Questions and orders to the running gateway.
#[derive(Debug, Clone, Subcommand, PartialEq, Eq)]
pub enum Operation {
    /// Show the state of the gateway and its locations; fails if it is not ready or a location is down.
    Status {
        #[command(flatten)]
        gateway: Where,
        /// Repeat every two seconds.
        #[arg(long)]
        watch: bool,
    },
    /// Show the location of a node, port, allocation and so on; fails if it is not known.
    Locate {
        #[command(flatten)]
        gateway: Where,
        /// Also ask all locations.
        #[arg(long)]
        ask: bool,
        /// UUID or name.
        ident: String,
    },
    /// Show how a request would be served, without sending it; fails if it would be refused.
    Explain {
        #[command(flatten)]
        gateway: Where,
        /// A header of the request, as NAME:VALUE; may be repeated.
        #[arg(long, short = 'H', value_name = "NAME:VALUE")]
        header: Vec<String>,
        /// The JSON that would be sent: it decides where a new node goes.
        #[arg(long, value_name = "JSON")]
        body: Option<String>,
        /// Such as GET.
        method: String,
        /// Such as /v1/nodes?limit=2.
        path: String,
    },
    /// Set what a location is used for. Holds until it is set again or its configuration changes.
    Location(Box<Setting>),
    /// Reload the configuration.
    Reload {
        #[command(flatten)]
        gateway: Where,
    },
    /// Replace the running gateway by one of the installed binary and configuration; fails if that does not start.
    Upgrade {
        #[command(flatten)]
        gateway: Where,
    },
}

/// `location NAME STATE`
#[derive(Debug, Clone, Args, PartialEq, Eq)]
pub struct Setting {
    #[command(flatten)]
    gateway: Where,
    /// As in [group:NAME].
    name: String,
    #[arg(value_enum)]
    state: Wish,
    /// Reason, shown by `status`.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// What a location is to be used for.
#[derive(Debug, Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum Wish {
    /// Everything.
    Enable,
    /// Nothing is changed there.
    ReadOnly,
    /// No requests are sent there.
    Maintenance,
    /// Nothing new is created there.
    Drain,
}

impl From<Wish> for State {
    fn from(wish: Wish) -> Self {
        match wish {
            Wish::Enable => Self::Enabled,
            Wish::ReadOnly => Self::ReadOnly,
            Wish::Maintenance => Self::Maintenance,
            Wish::Drain => Self::Draining,
        }
    }
}

/// Result of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Well,
    /// Something is not well.
    Unwell,
}

/// Why the command failed.
#[derive(Debug, Error)]
pub enum OperationError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("{0}")]
    Output(#[from] io::Error),
    #[error("--header {0}: NAME:VALUE is expected")]
    Header(String),
    #[error("--body: {0}")]
    Body(serde_json::Error),
}

impl OperationError {
    /// `EX_UNAVAILABLE` of sysexits.h if there is no gateway, and usage as everywhere.
    pub fn code(&self) -> u8 {
        match self {
            Self::Socket(_) => 69,
            Self::Output(_) => 1,
            Self::Header(_) | Self::Body(_) => 2,
        }
    }
}

impl Operation {
    pub fn gateway(&self) -> &Where {
        match self {
            Self::Status { gateway, .. }
            | Self::Locate { gateway, .. }
            | Self::Explain { gateway, .. }
            | Self::Reload { gateway }
            | Self::Upgrade { gateway } => gateway,
            Self::Location(setting) => &setting.gateway,
        }
    }

    pub fn run(&self, socket: &Path) -> Result<End, OperationError> {
        let format = self.gateway().format;
        match self {
            Self::Status { watch: false, .. } => status(socket, format),
            Self::Status { watch: true, .. } => watch(socket, format),
            Self::Locate { ask, ident, .. } => {
                let ask = if *ask { "?ask=true" } else { "" };
                let path = format!("/locate/{}{ask}", encode_segment(ident));
                let said = slowly("asking the locations", || {
                    socket::ask(socket, "GET", &path, None)
                })?;
                located(&said, format)
            }
            Self::Explain {
                header,
                body,
                method,
                path,
                ..
            } => {
                let mut asked =
                    json!({"method": method, "path": path, "headers": headers(header)?});
                if let Some(body) = body {
                    asked["body"] = serde_json::from_str(body).map_err(OperationError::Body)?;
                }
                let said = socket::ask(socket, "POST", "/explain", Some(&asked))?;
                explained(&said, format)
            }
            Self::Location(setting) => {
                let path = format!("/locations/{}/state", encode_segment(&setting.name));
                let body = json!({
                    "state": State::from(setting.state),
                    "reason": setting.reason,
                    "by": user(),
                });
                let said = socket::ask(socket, "PUT", &path, Some(&body))?;
                set(&said, format)
            }
            Self::Reload { .. } => {
                let said = slowly("reading the configuration", || {
                    socket::ask(socket, "POST", "/reload", None)
                })?;
                reloaded(&said, format)
            }
            Self::Upgrade { .. } => {
                let said = slowly("starting the next process", || {
                    socket::ask(socket, "POST", "/upgrade", None)
                })?;
                upgraded(&said, format)
            }
        }
    }
}

/// Shows what is being waited for.
fn slowly<T>(what: &str, work: impl FnOnce() -> T) -> T {
    terminal::progress(what);
    let done = work();
    terminal::clear();
    done
}

/// The person at the terminal: under sudo `USER` is root, and the log should name somebody.
fn user() -> Option<String> {
    env::var("SUDO_USER").or_else(|_| env::var("USER")).ok()
}

fn headers(typed: &[String]) -> Result<Value, OperationError> {
    let mut headers = serde_json::Map::new();
    for header in typed {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| OperationError::Header(header.clone()))?;
        headers.insert(name.trim().to_owned(), json!(value.trim()));
    }
    Ok(Value::Object(headers))
}

/// Prints the JSON document if that is the format, or the error. Returns whether all is printed.
fn is_told(said: &Said, format: Format) -> io::Result<bool> {
    if format == Format::Json {
        say(&said.document.to_string())?;
        return Ok(true);
    }
    if said.document.get("error").is_some() {
        tell(&format!("ironic-proxy: {}", said.error()));
        return Ok(true);
    }
    Ok(false)
}

fn end(well: bool) -> End {
    if well { End::Well } else { End::Unwell }
}

fn status(socket: &Path, format: Format) -> Result<End, OperationError> {
    let said = socket::ask(socket, "GET", "/status", None)?;
    let well = said.is_success() && is_well(&said.document);
    if !is_told(&said, format)? {
        for line in status_lines(&said.document) {
            say(&line)?;
        }
    }
    Ok(end(well))
}

fn watch(socket: &Path, format: Format) -> Result<End, OperationError> {
    loop {
        let said = socket::ask(socket, "GET", "/status", None);
        if format == Format::Text && io::stdout().is_terminal() {
            let mut out = io::stdout();
            // ECMA-48: cursor home, erase the display.
            write!(out, "\x1b[H\x1b[2J")?;
        }
        match said {
            Ok(said) if format == Format::Json => say(&said.document.to_string())?,
            Ok(said) => {
                for line in status_lines(&said.document) {
                    say(&line)?;
                }
            }
            // The gateway may be restarting, so watching goes on.
            Err(error) => say(&error.to_string())?,
        }
        thread::sleep(REDRAW);
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or("-")
}

fn items<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Ready, and no location is down except those in maintenance.
fn is_well(status: &Value) -> bool {
    let ready = status.get("ready") == Some(&Value::Bool(true));
    let down = |site: &Value| {
        text(site, "/observed/state") == "down"
            && text(site, "/operator/state") != State::Maintenance.word()
    };
    ready && !items(status, "locations").any(down)
}

fn status_lines(status: &Value) -> Vec<String> {
    let readiness = match status.get("reason").and_then(Value::as_str) {
        Some(reason) => format!("not ready ({reason})"),
        None => "ready".to_owned(),
    };
    let in_flight = status
        .get("requests_in_flight")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    let mut lines = vec![
        text(status, "/summary").to_owned(),
        format!(
            "ironic-proxy {}, {}, {readiness}, up since {}, {in_flight} requests in flight, API {} to {}",
            text(status, "/version"),
            text(status, "/stage"),
            second(text(status, "/started")),
            text(status, "/api_versions/minimum"),
            text(status, "/api_versions/maximum"),
        ),
        String::new(),
    ];
    let head = [
        "LOCATION", "STATE", "OBSERVED", "SINCE", "VERSIONS", "NODES", "P50", "P99", "REASON",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(items(status, "locations").map(row));
    lines.extend(terminal::table(&rows));
    lines
}

fn row(site: &Value) -> Vec<String> {
    let observed = match site.pointer("/observed/why").and_then(Value::as_str) {
        Some(why) => format!("{} ({why})", text(site, "/observed/state")),
        None => text(site, "/observed/state").to_owned(),
    };
    let versions = match site.get("versions") {
        Some(versions) if versions.is_object() => {
            format!(
                "{}-{}",
                text(versions, "/minimum"),
                text(versions, "/maximum")
            )
        }
        _ => "-".to_owned(),
    };
    let latency = |name: &str| {
        let seconds = site.pointer(name).and_then(Value::as_f64);
        seconds.map_or("-".to_owned(), |seconds| {
            format!("{:.0} ms", seconds * 1000.0)
        })
    };
    vec![
        text(site, "/name").to_owned(),
        text(site, "/operator/state").to_owned(),
        observed,
        second(text(site, "/observed/since")),
        versions,
        site.get("nodes").map_or("-".to_owned(), Value::to_string),
        latency("/latency/p50"),
        latency("/latency/p99"),
        ordered(site),
    ]
}

/// The operator's reason for the state, and the operator.
fn ordered(site: &Value) -> String {
    let known =
        ["/operator/reason", "/operator/by"].map(|name| site.pointer(name).and_then(Value::as_str));
    match known {
        [Some(reason), Some(by)] => format!("{reason} ({by})"),
        [Some(reason), None] => reason.to_owned(),
        [None, Some(by)] => format!("({by})"),
        [None, None] => "-".to_owned(),
    }
}

/// A time without what is below a second.
fn second(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time.to_owned(),
    }
}

fn located(said: &Said, format: Format) -> Result<End, OperationError> {
    let found = items(&said.document, "found").count();
    let unknown: Vec<&Value> = items(&said.document, "unknown").collect();
    let well = found > 0;
    if is_told(said, format)? {
        return Ok(end(well));
    }
    let head = [
        "COLLECTION",
        "LOCATION",
        "KNOWN BY",
        "BELIEF",
        "SINCE",
        "UUID",
        "NAME",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(items(&said.document, "found").map(|thing| {
        vec![
            text(thing, "/collection").to_owned(),
            text(thing, "/location").to_owned(),
            text(thing, "/known_by").to_owned(),
            text(thing, "/belief").to_owned(),
            second(text(thing, "/since")),
            text(thing, "/uuid").to_owned(),
            text(thing, "/name").to_owned(),
        ]
    }));
    if found > 0 {
        for line in terminal::table(&rows) {
            say(&line)?;
        }
    } else if said.document.get("asked") == Some(&Value::Bool(true)) {
        tell("no location that could be asked has it");
    } else {
        tell("it is not in the directory; --ask asks the locations");
    }
    for silent in unknown.into_iter().filter(|_| !well) {
        tell(&format!(
            "could not be asked: {}",
            silent.as_str().unwrap_or_default()
        ));
    }
    Ok(end(well))
}

fn explained(said: &Said, format: Format) -> Result<End, OperationError> {
    let well = said.is_success() && said.document.get("refused").is_none_or(Value::is_null);
    if is_told(said, format)? {
        return Ok(end(well));
    }
    let members = said.document.as_object().into_iter().flatten();
    let rows: Vec<Vec<String>> = members
        .filter(|(_, value)| !value.is_null())
        .flat_map(|(name, value)| rows_of(name, value))
        .collect();
    for line in terminal::table(&rows) {
        say(&line)?;
    }
    Ok(end(well))
}

/// A member of a document as lines of a table.
fn rows_of(name: &str, value: &Value) -> Vec<Vec<String>> {
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                let name = if index == 0 { name } else { "" };
                vec![name.to_owned(), plain(item)]
            })
            .collect(),
        value => vec![vec![name.to_owned(), plain(value)]],
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(members) => {
            let each = members.iter().filter(|(_, value)| !value.is_null());
            let each: Vec<_> = each
                .map(|(name, value)| format!("{name} {}", plain(value)))
                .collect();
            each.join(", ")
        }
        value => value.to_string(),
    }
}

fn set(said: &Said, format: Format) -> Result<End, OperationError> {
    let warning = said.document.get("warning").and_then(Value::as_str);
    let well = said.is_success() && warning.is_none();
    if is_told(said, format)? {
        return Ok(end(well));
    }
    say(&format!(
        "{} is {} since {}",
        text(&said.document, "/name"),
        text(&said.document, "/operator/state"),
        second(text(&said.document, "/operator/since")),
    ))?;
    if text(&said.document, "/operator/state") == "maintenance"
        && said.document.get("required") == Some(&Value::Bool(true))
    {
        tell(&format!(
            "lists of all locations are 503 meanwhile, but for clients that take incomplete ones: with [group:{}] \
             required = false they only say that it is missing",
            text(&said.document, "/name"),
        ));
    }
    if let Some(warning) = warning {
        tell(&format!("ironic-proxy: {warning}"));
    }
    Ok(end(well))
}

fn reloaded(said: &Said, format: Format) -> Result<End, OperationError> {
    let well = said.is_success();
    if is_told(said, format)? {
        return Ok(end(well));
    }
    for line in items(&said.document, "faults") {
        tell(line.as_str().unwrap_or_default());
    }
    for line in items(&said.document, "changes") {
        say(line.as_str().unwrap_or_default())?;
    }
    if well {
        say("the configuration is in force")?;
    } else {
        tell("nothing is changed: the old configuration stays in force");
    }
    Ok(end(well))
}

fn upgraded(said: &Said, format: Format) -> Result<End, OperationError> {
    let well = said.is_success();
    if !is_told(said, format)? {
        let pid = said.document.get("pid").and_then(Value::as_u64);
        let pid = pid.unwrap_or_default();
        say(&format!(
            "process {pid} serves; the one before it finishes what it has begun"
        ))?;
    }
    Ok(end(well))
}
