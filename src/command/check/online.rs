//! `check --online`: asks locations and Keystones, without changing anything.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde::Deserialize;

use crate::api::collection::Collection;
use crate::api::fault;
use crate::api::microversion::Microversion;
use crate::auth::Authenticator;
use crate::command::check::Findings;
use crate::config::AuthStrategy;
use crate::config::Config;
use crate::config::ProjectScoped;
use crate::locations::Locations;
use crate::locations::location::Location;
use crate::locations::location::LocationError;
use crate::locations::order::Act;
use crate::locations::question::Asker;
use crate::locations::question::Question;
use crate::locations::speech::Said;
use crate::locations::window::ask_all;
use crate::tenancy::case::LESSEE;
use crate::tls::expiry;
use crate::wire::budget::Budget;
use crate::wire::shown;
use crate::wire::transport::Bounds;
use crate::wire::transport::Message;
use crate::wire::transport::Reply;
use crate::wire::transport::Sent;
use crate::wire::transport::Transport;

/// Bound on the checks of one location.
const PATIENCE: Duration = Duration::from_secs(30);
/// A larger difference of clocks makes logs hard to compare and certificates invalid too early or too late.
const CLOCKS: Duration = Duration::from_secs(30);
/// `GET /v1/conductors` is there from this version on.
const CONDUCTORS_SINCE: Microversion = Microversion::new(1, 49);

/// Asks all of them at the same time.
pub async fn ask(config: &Config) -> Result<Findings, LocationError> {
    let locations = Locations::new(config, None)?;
    let budget = Budget::new(config.api.max_buffered);
    let transport = Arc::new(Transport::new(config.locations.len(), budget));
    let each = ask_all(locations.iter().map(async |location| {
        let mut examination = Examination {
            config,
            locations: &locations,
            location,
            asker: Asker::gateway(&transport, PATIENCE),
            findings: Findings::default(),
            places: BTreeSet::new(),
        };
        examination.everything().await;
        (examination.findings, examination.places)
    }))
    .await;
    let mut findings = Findings::default();
    let mut places = BTreeSet::new();
    for (found, of_location) in each {
        findings.extend(found);
        places.extend(of_location);
    }
    locations.common();
    for location in locations
        .iter()
        .filter(|location| location.is_quarantined())
    {
        let range = location.standing().map(|standing| standing.range);
        let range = range.map_or_else(String::new, |range| {
            format!(" {} to {}", range.min(), range.max())
        });
        findings.faults.push(format!(
            "[group:{}]: its API versions{range} leave too little in common with those of the other locations",
            location.name()
        ));
    }
    // Faults in its files were reported by the offline part already.
    if let Ok(authenticator) = Authenticator::new(&config.auth)
        && let Err(error) = authenticator.try_out().await
    {
        findings
            .faults
            .push(format!("[keystone_authtoken]: {error}"));
    }
    // What was asked besides: Keystones.
    for (place, end) in shown::all() {
        if let Some(text) = expiry::soon(end).filter(|_| !places.contains(&place)) {
            let text = format!("https://{place}: the certificate that it shows {text}");
            findings.warnings.push(text);
        }
    }
    Ok(findings)
}

/// One location under examination.
struct Examination<'a> {
    config: &'a Config,
    locations: &'a Locations,
    location: &'a Location,
    asker: Asker,
    findings: Findings,
    /// Of its endpoints, as [`shown::place`] calls them.
    places: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Conductors {
    conductors: Vec<Conductor>,
}

#[derive(Deserialize)]
struct Conductor {
    hostname: String,
    #[serde(default, rename = "conductor_group")]
    group: String,
    // A location that does not show `alive` must not look as if every conductor were dead.
    #[serde(default = "yes")]
    alive: bool,
}

fn yes() -> bool {
    true
}

impl Examination<'_> {
    fn fault(&mut self, text: impl AsRef<str>) {
        let text = format!("[group:{}]: {}", self.location.name(), text.as_ref());
        self.findings.faults.push(text);
    }

    fn warn(&mut self, text: impl AsRef<str>) {
        let text = format!("[group:{}]: {}", self.location.name(), text.as_ref());
        self.findings.warnings.push(text);
    }

    async fn everything(&mut self) {
        if self.location.forbids(Act::Read).is_some() {
            return self.warn("is in maintenance, so it is not asked");
        }
        let works = self.credential().await;
        self.location.resolve().await;
        if !self.endpoints().await {
            return;
        }
        let Some(standing) = self.location.probe(&self.asker).await else {
            return self.fault(
                "what answers is not the root of an Ironic: endpoint_override must name the address below which \
                 `/v1` is",
            );
        };
        let version = standing.range.max();
        self.locations.learn(self.location.id, standing);
        if self.location.is_quarantined() {
            // Reported below, when the versions of all locations are known.
            return;
        }
        let lets_projects_in = matches!(self.config.auth, AuthStrategy::Keystone(_))
            && self.config.policy.project_scoped_access == ProjectScoped::Policy;
        if lets_projects_in && version < LESSEE && !self.location.config.forward_user_token {
            self.warn(format!(
                "its newest API version is {version}, and nodes have a lessee from {LESSEE} on: projects see nothing \
                 of this location"
            ));
        }
        if works && self.nodes(version).await && version >= CONDUCTORS_SINCE {
            self.conductors(version).await;
        }
    }

    /// Whether it has one that can be tried.
    async fn credential(&mut self) -> bool {
        if self.location.config.forward_user_token {
            // The user's token goes there, so the gateway has no credential to try.
            return false;
        }
        if let Err(error) = self.location.credentials.header().await {
            self.fault(format!("no credential can be obtained: {error}"));
            return false;
        }
        if self.location.is_narrow() {
            self.fault(
                "the token is not scoped to the system, so lists lack what its project does not own: set \
                 system_scope = all, or expect_scope = project if that is meant",
            );
        }
        let roles = self.location.credentials.roles().unwrap_or_default();
        if !roles.is_empty() && !roles.iter().any(|role| role == "admin") {
            let text = format!(
                "its user lacks the role admin, so many requests are refused; its roles are {}",
                roles.join(", ")
            );
            self.warn(text);
        }
        true
    }

    /// Asks each endpoint by itself, since failover would hide a dead one. Returns whether one answers.
    async fn endpoints(&mut self) -> bool {
        // Ironic answers `/` without a credential and at any version.
        let question = Question::get("/".to_owned(), Microversion::new(1, 1));
        let (mut silent, mut clocks) = (Vec::new(), Vec::new());
        let mut place = 0;
        let line = self.location.line();
        while let Some(peer) = line.get(place) {
            place += 1;
            let Ok(head) = self.location.head(peer, &self.asker, &question, None) else {
                continue;
            };
            let bounds = Bounds {
                response: self.location.config.response_timeout,
                silence: self.location.config.timeout,
                deadline: self.asker.deadline,
                size: 64 << 10,
            };
            let message = Message {
                head: &head,
                body: Sent::Nothing,
                begun: None,
            };
            match self
                .asker
                .transport
                .exchange(&peer.http, message, bounds)
                .await
            {
                Ok(reply) => {
                    clocks.extend(ahead(&reply));
                    if let Some(text) = shown::end(&peer.http).and_then(expiry::soon) {
                        self.warn(format!("{peer}: the certificate that it shows {text}"));
                    }
                    self.places.insert(shown::place(&peer.http));
                }
                Err(failure) => silent.push(format!("{peer}: {failure}")),
            }
        }
        let answers = silent.len() < place;
        if place == 0 {
            self.fault("it has no endpoint that can be found; standard error says why");
        }
        for text in silent {
            if answers {
                self.warn(text);
            } else {
                self.fault(text);
            }
        }
        if let Some(seconds) = clocks.into_iter().max_by_key(|seconds| seconds.abs())
            && seconds.unsigned_abs() > CLOCKS.as_secs()
        {
            let word = if seconds > 0 { "ahead of" } else { "behind" };
            self.warn(format!(
                "its clock is {} s {word} this machine's",
                seconds.abs()
            ));
        }
        answers
    }

    /// Whether our credential is accepted.
    async fn nodes(&mut self, version: Microversion) -> bool {
        let question =
            Question::get("/v1/nodes?limit=1".to_owned(), version).for_list(Collection::Nodes);
        match self.location.ask(&self.asker, &question).await {
            Ok(Said::Has(_)) => true,
            Ok(said) => {
                let reply = said.into_reply();
                let text = fault::text_of(&reply.body).unwrap_or_default();
                self.fault(format!(
                    "it answers `GET /v1/nodes` with {}: {text}",
                    reply.status.as_u16()
                ));
                false
            }
            Err(silence) => {
                self.fault(format!(
                    "nodes cannot be read ({}); standard error says why",
                    silence.reason
                ));
                false
            }
        }
    }

    /// Compares the groups of its conductors with the map.
    async fn conductors(&mut self, version: Microversion) {
        let question =
            Question::get("/v1/conductors".to_owned(), version).for_list(Collection::Conductors);
        let reply = match self.location.ask(&self.asker, &question).await {
            Ok(Said::Has(words)) => words.reply,
            _ => {
                return self
                    .warn("its conductors cannot be listed, so their groups are not compared");
            }
        };
        let Ok(list) = serde_json::from_slice::<Conductors>(&reply.body) else {
            return self.warn("its list of conductors cannot be read");
        };
        let names = self.location.groups.clone();
        let ours = |theirs: &str| match &names {
            Some(names) => names.ours(theirs).into_owned(),
            None => theirs.to_owned(),
        };
        let mut served = BTreeSet::new();
        for conductor in list.conductors {
            // Ironic documents groups as case-insensitive, and the map holds them in lower case.
            let group = ours(&conductor.group.to_lowercase());
            let home = self.config.groups.location(&group);
            if home != Some(self.location.id) {
                let text = format!(
                    "its conductor {} serves the group {}, which [DEFAULT] groups {}",
                    conductor.hostname,
                    written(&group),
                    home.map_or_else(
                        || "does not map: no node can be created in it".to_owned(),
                        |home| format!(
                            "maps to {}: new nodes of it go there",
                            self.locations.location(home).name()
                        ),
                    )
                );
                self.warn(text);
            }
            if conductor.alive {
                served.insert(group);
            }
        }
        let mapped: Vec<String> = self
            .config
            .groups
            .groups_of(self.location.id)
            .map(str::to_owned)
            .collect();
        for group in mapped {
            if !served.contains(&group) {
                let text = format!(
                    "no live conductor serves the group {}, which [DEFAULT] groups maps to it",
                    written(&group)
                );
                self.warn(text);
            }
        }
    }
}

/// As the configuration writes it.
fn written(group: &str) -> &str {
    if group.is_empty() { "_" } else { group }
}

/// Seconds by which its clock is ahead of ours.
fn ahead(reply: &Reply) -> Option<i64> {
    let date = reply.headers.get(http::header::DATE)?.to_str().ok()?;
    let told = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    let now = Timestamp::try_from(SystemTime::now()).ok()?;
    Some(told.as_second() - now.as_second())
}
