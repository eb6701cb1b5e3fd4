//! The report of `survey`: lines for people, or one JSON document.

use std::io;

use serde::Serialize;

use crate::command::survey::compare::Clash;
use crate::command::survey::compare::Holding;
use crate::command::survey::compare::Versions;
use crate::command::survey::propose::Proposal;
use crate::command::terminal;
use crate::command::terminal::Format;
use crate::sync::compare::Drift;
use crate::sync::compare::Title;
use crate::sync::sites::Sites;

/// A location that did not answer.
#[derive(Debug, Serialize)]
pub(super) struct Silent {
    pub(super) location: String,
    pub(super) reason: String,
}

/// Something that should be the same everywhere and is not.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    would_clash: bool,
    text: String,
}

/// Everything that was found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) locations: Vec<Holding>,
    pub(super) versions: Versions,
    pub(super) clashes: Vec<Clash>,
    pub(super) differences: Vec<Difference>,
    pub(super) proposal: Proposal,
    pub(super) unanswered: Vec<Silent>,
}

impl Report {
    pub(super) fn silent(&mut self, location: &str, reason: &str) {
        self.unanswered.push(Silent {
            location: location.to_owned(),
            reason: reason.to_owned(),
        });
    }

    pub(super) fn differs(
        &mut self,
        title: &Title,
        would_clash: bool,
        drift: &Drift,
        sites: &Sites,
    ) {
        let what = match drift {
            Drift::Missing { at, .. } => format!("is missing at {}", sites.name(*at)),
            Drift::Unfinished { at, .. } => format!("is only half copied at {}", sites.name(*at)),
            Drift::Differs { attributes, .. } => format!("differs: {}", attributes.join(", ")),
            Drift::Conflict { name, holders } => {
                let holders: Vec<_> = holders
                    .iter()
                    .map(|(uuid, at)| format!("{uuid} at {}", sites.names(at)))
                    .collect();
                format!(
                    "is called {name} under {} UUIDs: {}",
                    holders.len(),
                    holders.join("; ")
                )
            }
            Drift::Sensitive { absent } => {
                format!(
                    "is missing at {}, and sensitive or with secrets",
                    sites.names(absent)
                )
            }
        };
        self.differences.push(Difference {
            would_clash,
            text: format!("{title} {what}"),
        });
    }

    pub(super) fn would_clash(&self) -> bool {
        self.versions.common.is_none()
            || !self.clashes.is_empty()
            || self
                .differences
                .iter()
                .any(|difference| difference.would_clash)
    }

    pub(super) fn print(&self, format: Format) -> io::Result<()> {
        match format {
            Format::Json => terminal::say(&serde_json::to_string(self)?),
            Format::Text if !self.unanswered.is_empty() => {
                terminal::say("nothing can be told before every location answers")
            }
            Format::Text => self.lines(),
        }
    }

    fn lines(&self) -> io::Result<()> {
        for location in &self.locations {
            let groups: Vec<_> = location
                .groups
                .iter()
                .map(|group| if group.is_empty() { "_" } else { group })
                .collect();
            terminal::say(&format!(
                "{}: versions {} to {}, {} nodes, {} conductors, groups {}",
                location.name,
                location.versions.min(),
                location.versions.max(),
                location.nodes,
                location.conductors,
                if groups.is_empty() {
                    "unknown".to_owned()
                } else {
                    groups.join(", ")
                },
            ))?;
        }
        match &self.versions.common {
            Some([min, max]) => terminal::say(&format!("versions in common: {min} to {max}"))?,
            None => terminal::say("there is no version in common")?,
        }
        if !self.versions.held_back_by.is_empty() {
            let names = self.versions.held_back_by.join(", ");
            terminal::say(&format!("newer ones are held back by {names}"))?;
        }
        for clash in &self.clashes {
            let at = clash.locations.join(", ");
            terminal::say(&format!("clash: {} {} is at {at}", clash.kind, clash.value))?;
        }
        for difference in &self.differences {
            let what = if difference.would_clash {
                "clash"
            } else {
                "differs"
            };
            terminal::say(&format!("{what}: {}", difference.text))?;
        }
        terminal::say("proposed configuration:")?;
        for line in self.proposal.text().lines() {
            terminal::say(line)?;
        }
        Ok(())
    }
}
