//! The report of `sync`: a line for each difference, or one JSON document at the end.

use std::io;

use serde::Serialize;

use crate::command::terminal;

/// Output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// What became of one thing that is not the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Copied,
    /// Not done: shown only, a decision for people, or failed.
    Left,
}

/// One thing that is not the same everywhere.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// `missing`, `unfinished`, `differs`, `conflict` or `sensitive`.
    pub(super) kind: &'static str,
    pub(super) collection: &'static str,
    pub(super) uuid: String,
    pub(super) name: Option<String>,
    pub(super) locations: Vec<String>,
    pub(super) outcome: Outcome,
    /// The finding in one line.
    pub(super) text: String,
}

/// A location that did not answer.
#[derive(Debug, Serialize)]
pub(super) struct Silent {
    pub(super) location: String,
    pub(super) reason: String,
}

/// Everything that a run found and did.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(skip)]
    format: Format,
    pub(super) findings: Vec<Finding>,
    /// What could not be compared or copied, and why.
    pub(super) notes: Vec<String>,
    pub(super) unanswered: Vec<Silent>,
    pub(super) copied: usize,
    pub(super) left: usize,
    pub(super) interrupted: bool,
}

impl Report {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            findings: Vec::new(),
            notes: Vec::new(),
            unanswered: Vec::new(),
            copied: 0,
            left: 0,
            interrupted: false,
        }
    }

    /// Lines are printed at once, so that a long run shows what it does.
    pub(super) fn add(&mut self, finding: Finding) -> io::Result<()> {
        match finding.outcome {
            Outcome::Copied => self.copied += 1,
            Outcome::Left => self.left += 1,
        }
        if self.format == Format::Text {
            terminal::say(&finding.text)?;
        }
        self.findings.push(finding);
        Ok(())
    }

    pub(super) fn note(&mut self, text: String) -> io::Result<()> {
        if self.format == Format::Text {
            terminal::say(&text)?;
        }
        self.notes.push(text);
        Ok(())
    }

    /// Records why a location was not compared; also printed on standard error, for those who pipe the report.
    pub(super) fn unanswered(&mut self, location: &str, reason: &str) {
        terminal::tell(&format!(
            "ironic-proxy: location {location} could not be asked ({reason})"
        ));
        self.unanswered.push(Silent {
            location: location.to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// The last words.
    pub(super) fn end(&self, summary: &str) -> io::Result<()> {
        match self.format {
            Format::Text => terminal::say(summary),
            Format::Json => {
                terminal::clear();
                terminal::say(&serde_json::to_string(self)?)
            }
        }
    }
}
