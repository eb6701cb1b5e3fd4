//! The documents of the admin listener; docs/admin.md describes each member.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use crate::admin::summary::TOLD;
use crate::admin::summary::summary;
use crate::config::State;
use crate::coordination::Backend;
use crate::federate::Federation;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::Stage;
use crate::locations::location::Location;
use crate::locations::order::Act;
use crate::locations::record::Latency;
use crate::locations::record::Observed;
use crate::tls::expiry;

/// `GET /status`
#[derive(Debug, Serialize)]
pub struct Status {
    version: &'static str,
    stage: &'static str,
    ready: bool,
    /// Why it is not ready.
    reason: Option<String>,
    /// One sentence.
    summary: String,
    started: Timestamp,
    requests_in_flight: usize,
    api_versions: Option<Versions>,
    nodes: usize,
    directory_entries: usize,
    groups: BTreeMap<String, String>,
    /// Nothing if it is not configured.
    coordination: Option<Coordination>,
    pub locations: Vec<Site>,
}

/// What gateways in front of the same locations share.
#[derive(Debug, Serialize)]
struct Coordination {
    state: &'static str,
    /// Why it cannot be used.
    why: Option<String>,
    since: Timestamp,
}

#[derive(Debug, Serialize)]
struct Versions {
    minimum: String,
    maximum: String,
}

/// `GET /locations/NAME`
#[derive(Debug, Serialize)]
pub struct Site {
    pub name: String,
    operator: Operator,
    observed: Seen,
    /// Whether requests go there at present.
    usable: bool,
    required: bool,
    groups: Vec<String>,
    endpoints: Vec<String>,
    breaker: &'static str,
    latency: Option<Latencies>,
    versions: Option<Versions>,
    nodes: usize,
    last_sweep: Option<Timestamp>,
    credential: Credential,
    certificates: Certificates,
}

#[derive(Debug, Serialize)]
struct Operator {
    state: State,
    reason: Option<String>,
    by: Option<String>,
    since: Option<Timestamp>,
    /// Where the state was set last: `file` or `socket`.
    source: &'static str,
}

#[derive(Debug, Serialize)]
struct Seen {
    state: &'static str,
    why: Option<&'static str>,
    since: Timestamp,
}

/// Seconds.
#[derive(Debug, Serialize)]
struct Latencies {
    answers: usize,
    p50: f64,
    p90: f64,
    p99: f64,
}

#[derive(Debug, Serialize)]
struct Credential {
    /// When the token at hand ends; it is renewed before.
    token_expires: Option<Timestamp>,
    /// `system`, `project`, or nothing if that is not known.
    scope: Option<&'static str>,
}

/// When the first of them ends.
#[derive(Debug, Serialize)]
struct Certificates {
    /// What its endpoints have shown.
    server: Option<Timestamp>,
    client: Option<Timestamp>,
    authorities: Option<Timestamp>,
}

/// What can be told of one process.
#[derive(Debug)]
pub struct Process<'a> {
    pub lifecycle: &'a Lifecycle,
    pub federation: &'a Federation,
    pub started: Timestamp,
    pub in_flight: usize,
}

impl Process<'_> {
    pub fn status(&self) -> Status {
        let federation = self.federation;
        let readiness = self.readiness();
        let locations = sites(federation);
        let nodes = locations.iter().map(|site| site.nodes).sum();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            stage: word(self.lifecycle.stage()),
            ready: readiness.is_ok(),
            reason: readiness.err(),
            summary: summary(federation),
            started: self.started,
            requests_in_flight: self.in_flight,
            api_versions: federation.locations.common().map(|range| Versions {
                minimum: range.min().to_string(),
                maximum: range.max().to_string(),
            }),
            nodes,
            directory_entries: federation.locator.directory.len(),
            groups: groups(federation),
            coordination: federation.backend.as_deref().map(coordination),
            locations,
        }
    }

    /// Whether requests can be served.
    ///
    /// # Errors
    /// Why not, in one line.
    pub fn readiness(&self) -> Result<(), String> {
        match self.lifecycle.stage() {
            Stage::Starting => {
                return Err("starting: the locations have not been asked yet".to_owned());
            }
            // Not ready before the listener closes: load balancers need `shutdown_delay` to notice.
            Stage::Leaving | Stage::Draining | Stage::Replaced => return Err("draining".to_owned()),
            Stage::Serving => {}
        }
        // One is enough: otherwise one site's outage would take the gateway out of rotation for all.
        if self.federation.locations.iter().any(Location::is_usable) {
            return Ok(());
        }
        let each: Vec<_> = self
            .federation
            .locations
            .iter()
            .take(TOLD)
            .map(|location| format!("{} ({})", location.name(), condition(location)))
            .collect();
        Err(format!("no location can be asked: {}", each.join(", ")))
    }
}

pub(super) fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::Starting => "starting",
        Stage::Serving => "serving",
        Stage::Leaving => "leaving",
        Stage::Draining => "draining",
        Stage::Replaced => "replaced",
    }
}

/// Why a location is not asked, or that it is.
fn condition(location: &Location) -> &'static str {
    match (location.forbids(Act::Read), location.observed().0) {
        (Some(reason), _) | (None, Observed::Down(reason)) => reason.word(),
        (None, Observed::Up) => "up",
        (None, Observed::Unknown) => "unknown",
    }
}

fn coordination(backend: &Backend) -> Coordination {
    let condition = backend.condition();
    Coordination {
        state: if condition.why.is_none() {
            "up"
        } else {
            "down"
        },
        why: condition.why.map(|why| why.to_string()),
        since: condition.since,
    }
}

pub(super) fn groups(federation: &Federation) -> BTreeMap<String, String> {
    let locations = federation.locations.iter();
    locations
        .flat_map(|location| {
            let groups = federation.groups.groups_of(location.id);
            groups.map(|group| (written(group), location.name().to_owned()))
        })
        .collect()
}

/// As the configuration writes it.
fn written(group: &str) -> String {
    if group.is_empty() { "_" } else { group }.to_owned()
}

/// All locations, in the order of the configuration.
pub fn sites(federation: &Federation) -> Vec<Site> {
    let counts = federation.locator.nodes_by_location();
    let locations = federation.locations.iter();
    locations
        .map(|location| {
            let nodes = counts.get(&location.id).copied().unwrap_or_default();
            site(federation, location, nodes)
        })
        .collect()
}

/// One location.
pub fn site(federation: &Federation, location: &Location, nodes: usize) -> Site {
    let order = location.order();
    let (observed, since) = location.observed();
    let now = Instant::now();
    // Microseconds, without the binary tail that `0.1 + 0.2` would show.
    let seconds = |took: Duration| (took.as_secs_f64() * 1e6).round() / 1e6;
    let session = &location.config.session;
    Site {
        name: location.name().to_owned(),
        operator: Operator {
            state: order.state,
            reason: order.reason.clone(),
            by: order.by.clone(),
            since: order.since,
            // An order of the file has no time (`Order::of_file`).
            source: if order.since.is_some() {
                "socket"
            } else {
                "file"
            },
        },
        observed: Seen {
            state: match observed {
                Observed::Unknown => "unknown",
                Observed::Up => "up",
                Observed::Down(_) => "down",
            },
            why: match observed {
                Observed::Down(reason) => Some(reason.word()),
                Observed::Unknown | Observed::Up => None,
            },
            since,
        },
        usable: location.is_usable(),
        required: location.required,
        groups: federation
            .groups
            .groups_of(location.id)
            .map(written)
            .collect(),
        endpoints: location.addresses(),
        breaker: if location.is_breaker_closed() {
            "closed"
        } else {
            "open"
        },
        latency: location.record.latency(now).map(
            |Latency {
                 answers,
                 p50,
                 p90,
                 p99,
             }| Latencies {
                answers,
                p50: seconds(p50),
                p90: seconds(p90),
                p99: seconds(p99),
            },
        ),
        versions: location.last_standing().map(|standing| Versions {
            minimum: standing.range.min().to_string(),
            maximum: standing.range.max().to_string(),
        }),
        nodes,
        last_sweep: location.record.last_sweep(),
        credential: Credential {
            token_expires: location
                .credentials
                .expires()
                .and_then(|left| Timestamp::now().checked_add(left).ok()),
            scope: location
                .credentials
                .sees_the_system()
                .map(|all| if all { "system" } else { "project" }),
        },
        certificates: Certificates {
            server: location.certificate_end(),
            client: session.certfile.as_deref().and_then(expiry::first_end),
            authorities: session.cafile.as_deref().and_then(expiry::first_end),
        },
    }
}
