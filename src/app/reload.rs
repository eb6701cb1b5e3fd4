//! Takes over a new configuration, as a whole or not at all.

use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use log::error;
use log::info;
use log::warn;

use crate::api::groups::agree;
use crate::app::assemble::assemble;
use crate::command::check;
use crate::config::Config;
use crate::config::Errors;
use crate::config::LocationConfig;
use crate::control::Changes;
use crate::control::ReloadError;
use crate::current::Current;
use crate::current::Lead;
use crate::gateway::context::Surroundings;
use crate::gateway::crowd::Bounds;
use crate::gateway::service::Service;
use crate::metrics::history::Change;
use crate::metrics::history::Turn;
use crate::telemetry;
use crate::tls::listener::Listener;
use crate::wire::budget::Budget;

/// Reads the configuration from the same places as at the start.
pub(super) type Read = Box<dyn Fn() -> Result<Config, Errors> + Send>;

/// Everything that a reload replaces.
pub(super) struct Reloader {
    pub(super) read: Read,
    pub(super) lead: Lead,
    pub(super) service: Arc<ArcSwap<Service>>,
    pub(super) surroundings: Arc<Surroundings>,
    pub(super) listener: Option<Arc<Listener>>,
    pub(super) budget: Budget,
    /// How many files this process may have open.
    pub(super) files: u64,
}

impl Reloader {
    pub(super) fn current(&self) -> Arc<Current> {
        Arc::clone(&self.lead.borrow())
    }

    /// Requests in flight end under the configuration that they began with.
    pub(super) fn reload(&self) -> Result<Changes, ReloadError> {
        let taken = self.take();
        self.surroundings.metrics.reloads.ended(taken.is_ok());
        self.surroundings.metrics.history.changed(told(&taken));
        match taken {
            Ok(changes) => {
                if changes.is_empty() {
                    info!("Reloaded: nothing has changed");
                }
                for change in &changes {
                    warn!("Reloaded: {change}");
                }
                Ok(changes)
            }
            Err(faults) => {
                for fault in &faults {
                    error!("Not reloaded, all stays as it is: {fault}");
                }
                Err(ReloadError::Faults(faults))
            }
        }
    }

    fn take(&self) -> Result<Changes, Vec<String>> {
        let before = self.current();
        let mut config = (self.read)().map_err(|errors| errors.faults)?;
        let mut changes = keep(&before.config, &mut config);
        // The same checks as `--check-config`, so both report the same faults.
        let findings = check::files(&config);
        if !findings.faults.is_empty() {
            return Err(findings.faults);
        }
        for warning in config.warnings.iter().chain(&findings.warnings) {
            // A warning that was logged at the start is not news at each reload.
            if !before.config.warnings.contains(warning) {
                warn!("{warning}");
            }
        }
        let service = self.service.load_full();
        let (after, service) = assemble(config, &self.surroundings, Some((&before, &service)))
            .map_err(|error| vec![error.to_string()])?;
        if let (Some(listener), Some(tls)) = (&self.listener, &after.config.api.tls)
            && before.config.api.tls.as_ref() != Some(tls)
        {
            let replaced = listener.replace(tls);
            replaced.map_err(|error| {
                vec![format!(
                    "[api] cert_file, key_file, client_ca_file: {error}"
                )]
            })?;
        }
        changes.extend(differences(&before, &after));
        // Everything that can fail is above this line, so a faulty configuration changes nothing.
        let locations = Arc::clone(&after.federation.locations);
        self.service.store(Arc::new(service));
        locations.succeed(&before.federation.locations);
        if let Err(error) = telemetry::reopen(&after.config.log) {
            error!("Not reopened, so what goes there goes on into the old file: {error}");
        }
        let api = &after.config.api;
        let bounds = Bounds::new(self.files, api.max_connections_per_address);
        self.surroundings.crowd.bound(bounds);
        after.federation.walks.resize(api.walk_memory);
        let (budget, bytes) = (self.budget.clone(), api.max_buffered);
        // Shrinking waits until enough of the budget is returned, which a reload must not wait for.
        let incoming = self.surroundings.incoming.clone();
        tokio::spawn(async move { tokio::join!(budget.resize(bytes), incoming.resize(bytes)) });
        self.lead.send_replace(Arc::new(after));
        Ok(changes)
    }
}

/// Keeps the values that a running process cannot change; returns their names.
fn keep(before: &Config, after: &mut Config) -> Changes {
    let mut kept = Vec::new();
    let mut keep = |name: &str, is_same: bool| {
        if !is_same {
            kept.push(format!(
                "{name}: the new value takes effect at the next start or upgrade, the old one stays"
            ));
        }
        is_same
    };
    let (old, new) = (&before.api, &mut after.api);
    let is_same = old.listen == new.listen;
    if !keep("[api] host_ip, port, unix_socket", is_same) {
        new.listen.clone_from(&old.listen);
    }
    if !keep("[api] api_workers", old.workers == new.workers) {
        new.workers = old.workers;
    }
    let is_same = old.tls.is_some() == new.tls.is_some();
    if !keep("[api] enable_ssl_api", is_same) {
        new.tls.clone_from(&old.tls);
    }
    if !keep(
        "[DEFAULT] state_path",
        before.state_path == after.state_path,
    ) {
        after.state_path.clone_from(&before.state_path);
    }
    let (old, new) = (&before.admin, &mut after.admin);
    let is_same = (&old.socket, &old.listen) == (&new.socket, &new.listen);
    if !keep("[admin] socket, listen", is_same) {
        new.socket.clone_from(&old.socket);
        new.listen.clone_from(&old.listen);
    }
    let (old, new) = (&before.directory, &mut after.directory);
    let is_same = (old.max_entries, old.name_lifetime) == (new.max_entries, new.name_lifetime);
    if !keep("[node_cache] max_entries, name_lifetime", is_same) {
        (new.max_entries, new.name_lifetime) = (old.max_entries, old.name_lifetime);
    }
    kept
}

/// The same location with another use.
fn used_otherwise(before: &LocationConfig, after: &LocationConfig) -> Changes {
    let mut told = Vec::new();
    let name = &after.name;
    if before.state != after.state {
        let (was, is) = (before.state.word(), after.state.word());
        told.push(format!("[group:{name}] state was {was} and is {is}"));
    }
    if before.required != after.required {
        let now = if after.required { "now" } else { "no longer" };
        told.push(format!("location `{name}` is {now} required for lists"));
    }
    if !agree(before.groups.as_deref(), after.groups.as_deref()) {
        told.push(format!(
            "location `{name}` has other conductor groups, or calls them otherwise ([group:{name}] local_groups)"
        ));
    }
    if before.bmc_addresses != after.bmc_addresses {
        told.push(format!("[group:{name}] bmc_addresses are others"));
    }
    told
}

/// A reload, in one line.
fn told(taken: &Result<Changes, Vec<String>>) -> Change {
    let (turn, what) = match taken {
        Ok(changes) if changes.is_empty() => {
            (Turn::Wanted, "was reloaded: nothing has changed".to_owned())
        }
        Ok(changes) => (
            Turn::Wanted,
            format!("was reloaded: {}", changes.join("; ")),
        ),
        Err(faults) => (
            Turn::Worse,
            format!("was not reloaded: {}", faults.join("; ")),
        ),
    };
    Change {
        at: Timestamp::now(),
        of: "Configuration".to_owned(),
        what,
        turn,
    }
}

/// What changed, in lines for operators.
fn differences(before: &Current, after: &Current) -> Changes {
    let mut told = Vec::new();
    let (old, new) = (&before.federation.locations, &after.federation.locations);
    for location in new.iter() {
        match old.by_name(location.name()) {
            None => told.push(format!("location `{}` is new", location.name())),
            Some(known) if !known.is(location) => told.push(format!(
                "location `{}` follows its changed section",
                location.name()
            )),
            Some(known) => told.extend(used_otherwise(
                before.config.location(known.id),
                after.config.location(location.id),
            )),
        }
    }
    let nodes = before.federation.locator.nodes_by_location();
    for location in old.iter() {
        if new.by_name(location.name()).is_some() {
            continue;
        }
        let nodes = nodes.get(&location.id).copied().unwrap_or_default();
        let lost = match nodes {
            0 => String::new(),
            nodes => format!(", where {nodes} nodes are known: they can no longer be found"),
        };
        told.push(format!("location `{}` was removed{lost}", location.name()));
    }
    let groups = |current: &Current| -> Vec<(String, String)> {
        let locations = &current.federation.locations;
        let named = |(group, id): (&str, _)| {
            let group = if group.is_empty() { "_" } else { group };
            (group.to_owned(), locations.location(id).name().to_owned())
        };
        current.config.groups.iter().map(named).collect()
    };
    let (old, new) = (groups(before), groups(after));
    for (group, location) in &new {
        match old.iter().find(|(known, _)| known == group) {
            None => told.push(format!("conductor group `{group}` is new, at `{location}`")),
            Some((_, was)) if was != location => told.push(format!(
                "conductor group `{group}` moved from `{was}` to `{location}`: its nodes stay at `{was}`, new ones are made at `{location}`"
            )),
            Some(_) => {}
        }
    }
    for (group, location) in &old {
        if !new.iter().any(|(known, _)| known == group) {
            told.push(format!(
                "conductor group `{group}` of `{location}` is no longer mapped"
            ));
        }
    }
    told
}
