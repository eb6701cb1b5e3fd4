//! `ironic-proxy survey`: shows what a federation of existing, independent Ironics would look like: versions, groups,
//! values that two of them have, and a configuration to paste. Nothing is written anywhere.

pub mod clouds;
mod compare;
mod propose;
mod read;
mod report;

use std::io;

use thiserror::Error;

use crate::api::collection::Collection;
use crate::api::collection::Spread;
use crate::command::survey::compare::clashes;
use crate::command::survey::compare::versions;
use crate::command::survey::propose::propose;
use crate::command::survey::read::read;
use crate::command::survey::report::Report;
use crate::command::terminal;
use crate::command::terminal::Format;
use crate::config::Config;
use crate::config::Given;
use crate::config::LOCATION_PREFIX;
use crate::keystone;
use crate::locations::location::LocationError;
use crate::sync::compare::Drift;
use crate::sync::compare::compare;
use crate::sync::sites::Sites;
use crate::sync::sites::Unanswered;
use crate::sync::sites::words;

/// How a survey ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// They can be federated as they are.
    Fits,
    /// Something that has to be unique exists at two locations.
    Clashes,
    /// A location did not answer, so the result is unknown.
    Unanswered,
}

impl End {
    /// `EX_UNAVAILABLE` of sysexits.h for a location that did not answer.
    pub fn code(self) -> u8 {
        match self {
            Self::Fits => 0,
            Self::Clashes => 1,
            Self::Unanswered => 69,
        }
    }
}

/// Why there is no report.
#[derive(Debug, Error)]
pub enum SurveyError {
    #[error("{0}")]
    Location(#[from] LocationError),
    #[error("{0}")]
    Output(#[from] io::Error),
}

/// Clouds as locations, and what a configuration needs besides. Empty without clouds.
pub fn below(clouds: &[Given]) -> Vec<Given> {
    let Some(first) = clouds.first() else {
        return Vec::new();
    };
    let name = first.section.trim_start_matches(LOCATION_PREFIX);
    let besides = [
        ("DEFAULT", "groups", format!("_:{name}")),
        ("api", "auth_strategy", "noauth".to_owned()),
        ("api", "host_ip", "127.0.0.1".to_owned()),
    ];
    let besides = besides.map(|(section, option, value)| Given {
        place: "survey".to_owned(),
        section: section.to_owned(),
        options: vec![(option.to_owned(), value)],
    });
    besides.into_iter().chain(clouds.iter().cloned()).collect()
}

/// Runs the subcommand and prints what it finds. `found`: locations that stand in no configuration.
pub async fn run(config: &Config, found: &[Given], format: Format) -> Result<End, SurveyError> {
    keystone::client::install_crypto_provider();
    let sites = Sites::new(config)?;
    let mut report = Report::default();
    let end = survey(&sites, &mut report).await;
    report.proposal.reach(found);
    terminal::clear();
    for silent in &report.unanswered {
        terminal::tell(&format!(
            "ironic-proxy: location {} could not be asked ({})",
            silent.location, silent.reason
        ));
    }
    report.print(format)?;
    Ok(end)
}

async fn survey(sites: &Sites, report: &mut Report) -> End {
    terminal::progress("asking the locations who they are");
    // Nothing is compared with a location missing: "no clash" would only mean "none found".
    let unanswered = sites.meet().await;
    if !unanswered.is_empty() {
        return silent(sites, report, &unanswered);
    }
    terminal::progress("reading nodes, ports, allocations and conductors");
    let holdings = match read(sites).await {
        Ok(holdings) => holdings,
        Err(unanswered) => return silent(sites, report, &unanswered),
    };
    for collection in Collection::ALL {
        if collection.facts().spread != Spread::Replicated {
            continue;
        }
        terminal::progress(&format!("reading {}", collection.facts().path));
        let shelves = match sites.read(collection).await {
            Ok(shelves) => shelves,
            Err(unanswered) => return silent(sites, report, &unanswered),
        };
        for (title, drift) in compare(collection, &shelves).drift {
            let would_clash = matches!(drift, Drift::Differs { .. } | Drift::Conflict { .. });
            report.differs(&title, would_clash, &drift, sites);
        }
    }
    report.versions = versions(&holdings);
    report.clashes = clashes(&holdings);
    report.proposal = propose(&holdings);
    report.locations = holdings;
    if report.would_clash() {
        End::Clashes
    } else {
        End::Fits
    }
}

fn silent(sites: &Sites, report: &mut Report, unanswered: &[Unanswered]) -> End {
    for one in unanswered {
        report.silent(sites.name(one.location), words(one.reason));
    }
    End::Unanswered
}
