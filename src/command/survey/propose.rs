//! Proposes a configuration that federates the locations as they are. Pure functions.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use crate::api::bmc::Host;
use crate::command::survey::compare::Holding;
use crate::config::Given;
use crate::config::LOCATION_PREFIX;

/// Options to paste, by section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Proposal {
    pub(super) groups: String,
    pub(super) locations: BTreeMap<String, Options>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Options {
    /// Endpoint and credential of a location that stands in no configuration yet; secrets are left out.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) reached_by: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) local_groups: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) bmc_addresses: String,
}

/// Options whose values are shown to nobody.
const SECRETS: [&str; 3] = ["password", "token", "application_credential_secret"];
/// What stands in their place.
const CHANGE_ME: &str = "change-me";

impl Proposal {
    /// Adds how locations are reached that were found elsewhere.
    pub(super) fn reach(&mut self, found: &[Given]) {
        for given in found {
            let name = given.section.trim_start_matches(LOCATION_PREFIX);
            let Some(options) = self.locations.get_mut(name) else {
                continue;
            };
            for (option, value) in &given.options {
                let is_secret = SECRETS.contains(&option.as_str());
                let shown = if is_secret {
                    CHANGE_ME.to_owned()
                } else {
                    value.replace('$', "$$")
                };
                options.reached_by.insert(option.clone(), shown);
            }
        }
    }

    /// As a file of its own, to be given after the one with the endpoints.
    pub(super) fn text(&self) -> String {
        let mut reached = self
            .locations
            .values()
            .flat_map(|one| one.reached_by.values());
        let note = if reached.any(|value| value == CHANGE_ME) {
            "# Put the secrets of clouds.yaml in the place of change-me.\n"
        } else {
            ""
        };
        let mut text = format!("{note}[DEFAULT]\ngroups = {}\n", self.groups);
        for (name, options) in &self.locations {
            let reached = options.reached_by.iter();
            let lines: Vec<_> = reached
                .map(|(option, value)| (option.as_str(), value))
                .chain([
                    ("local_groups", &options.local_groups),
                    ("bmc_addresses", &options.bmc_addresses),
                ])
                .filter(|(_, value)| !value.is_empty())
                .map(|(option, value)| format!("{option} = {value}\n"))
                .collect();
            if !lines.is_empty() {
                text = format!("{text}[group:{name}]\n{}", lines.concat());
            }
        }
        text
    }
}

pub(super) fn propose(holdings: &[Holding]) -> Proposal {
    let mut proposal = Proposal::default();
    let named = holdings
        .iter()
        .flat_map(|holding| &holding.groups)
        .filter(|group| !group.is_empty());
    // An invented name must not be that of a real group at another location.
    let somewhere: BTreeSet<&str> = named.map(String::as_str).collect();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut mapped = Vec::new();
    for holding in holdings {
        let mut local = Vec::new();
        let default = String::new();
        // Below 1.46 a location shows no groups: all of its nodes are in the default one.
        let groups = if holding.groups.is_empty() {
            BTreeSet::from([&default])
        } else {
            holding.groups.iter().collect()
        };
        for theirs in groups {
            let wanted = if theirs.is_empty() && !taken.contains("_") {
                "_".to_owned()
            } else if theirs.is_empty() {
                free(&holding.name, &taken, &somewhere)
            } else if taken.contains(theirs) {
                free(&format!("{}-{theirs}", holding.name), &taken, &somewhere)
            } else {
                theirs.clone()
            };
            let written = if theirs.is_empty() { "_" } else { theirs };
            if wanted != written {
                local.push(format!("{wanted}:{written}"));
            }
            mapped.push(format!("{wanted}:{}", holding.name));
            taken.insert(wanted);
        }
        let options = proposal.locations.entry(holding.name.clone()).or_default();
        options.local_groups = local.join(",");
    }
    proposal.groups = mapped.join(",");
    for (name, ranges) in ranges(holdings) {
        proposal.locations.entry(name).or_default().bmc_addresses = ranges.join(", ");
    }
    proposal
}

/// The name itself, or followed by a number.
fn free(name: &str, taken: &BTreeSet<String>, somewhere: &BTreeSet<&str>) -> String {
    let is_free = |name: &String| !taken.contains(name) && !somewhere.contains(name.as_str());
    let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names.find(is_free).unwrap_or_default()
}

/// The range around a host: its network, or its domain.
fn around(host: &Host) -> Option<String> {
    match host {
        Host::Address(address) => {
            let bits = match address {
                // Usual sizes of a BMC network; the operator reads the proposal before using it.
                IpAddr::V4(_) => 24,
                IpAddr::V6(_) => 64,
            };
            let network = IpNet::new(*address, bits).ok()?;
            Some(network.trunc().to_string())
        }
        Host::Name(name) => {
            let (_, domain) = name.split_once('.')?;
            // `*.com` would claim every BMC of the world.
            domain.contains('.').then(|| format!("*.{domain}"))
        }
    }
}

/// What lies around the BMCs of one location alone; the BMCs themselves where others have neighbours of theirs. What two
/// have both says nothing.
fn ranges(holdings: &[Holding]) -> BTreeMap<String, Vec<String>> {
    let mut around_whom: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut whose: BTreeMap<&Host, usize> = BTreeMap::new();
    for holding in holdings {
        for host in &holding.bmcs {
            *whose.entry(host).or_default() += 1;
            if let Some(range) = around(host) {
                around_whom.entry(range).or_default().insert(&holding.name);
            }
        }
    }
    let mut ranges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for holding in holdings {
        for host in &holding.bmcs {
            let range = around(host)
                .filter(|range| around_whom.get(range).is_some_and(|whom| whom.len() == 1));
            let alone = whose.get(host) == Some(&1);
            if let Some(range) = range.or_else(|| alone.then(|| host.to_string())) {
                ranges
                    .entry(holding.name.clone())
                    .or_default()
                    .insert(range);
            }
        }
    }
    ranges
        .into_iter()
        .map(|(name, ranges)| (name, ranges.into_iter().collect()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::survey::compare::tests::holding;

    #[test]
    fn three_of_a_kind() {
        let mut all = [
            holding("loc1", 115, &[""]),
            holding("loc2", 115, &[""]),
            holding("loc3", 115, &["", "gpu"]),
        ];
        for (at, host) in [
            (0, "10.10.0.1"),
            (0, "10.10.0.2"),
            (1, "10.20.0.1"),
            (1, "2001:db8:20::1"),
            (1, "a.bmc.berlin.example.com"),
            (1, "shared.lab"),
            (2, "10.20.0.9"),
            (2, "shared.lab"),
        ] {
            all[at].bmcs.insert(Host::read(host).unwrap());
        }
        let text = propose(&all).text();
        assert_eq!(
            text,
            "[DEFAULT]\ngroups = _:loc1,loc2:loc2,loc3:loc3,gpu:loc3\n\
             [group:loc1]\nbmc_addresses = 10.10.0.0/24\n\
             [group:loc2]\nlocal_groups = loc2:_\n\
             bmc_addresses = *.bmc.berlin.example.com, 10.20.0.1, 2001:db8:20::/64\n\
             [group:loc3]\nlocal_groups = loc3:_\nbmc_addresses = 10.20.0.9\n"
        );
    }

    #[test]
    fn names_that_are_taken() {
        let all = [
            holding("a", 115, &["gpu", "b"]),
            holding("b", 115, &["", "gpu"]),
            holding("c", 115, &["", "a-gpu", "gpu"]),
            holding("d", 115, &[]),
        ];
        let proposal = propose(&all);
        assert_eq!(
            proposal.groups,
            "b:a,gpu:a,_:b,b-gpu:b,c:c,a-gpu:c,c-gpu:c,d:d"
        );
        assert_eq!(proposal.locations["b"].local_groups, "b-gpu:gpu");
        assert_eq!(proposal.locations["c"].local_groups, "c:_,c-gpu:gpu");
        assert_eq!(proposal.locations["d"].local_groups, "d:_");
    }
}
