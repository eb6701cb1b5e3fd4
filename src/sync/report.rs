//! What a run has found and done so far.

use serde::Deserialize;
use serde::Serialize;

/// What is not the same everywhere about a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Missing,
    Unfinished,
    Differs,
    Conflict,
    Sensitive,
}

/// What became of one thing that is not the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Copied,
    /// Not done: shown only, a decision for people, or failed.
    Left,
}

/// One thing that is not the same everywhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    pub kind: Kind,
    pub collection: String,
    pub uuid: String,
    pub name: Option<String>,
    pub locations: Vec<String>,
    pub outcome: Outcome,
    /// The finding in one line.
    pub text: String,
}

/// A location that did not answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Silent {
    pub location: String,
    pub reason: String,
}

/// What a location has, and what of it is new to the directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Swept {
    pub location: String,
    /// Things that it has.
    pub things: usize,
    /// Those that were not known there.
    pub new: usize,
    /// Those that were known there and are not any longer.
    pub gone: usize,
    pub seconds: f64,
    /// Why not all of it could be read.
    pub why: Option<String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything was read, and is the same everywhere, or is now.
    Well,
    /// Something is left to people.
    Unwell,
    /// A location did not answer.
    Unanswered,
    /// Stopped by somebody.
    Interrupted,
}

/// Everything that a run found and did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// What is being done now; `None`: the run is over.
    pub doing: Option<String>,
    /// Each location, once all were swept; nothing where no gateway runs, which would remember it.
    pub swept: Vec<Swept>,
    pub findings: Vec<Finding>,
    /// What could not be compared or copied, and why.
    pub notes: Vec<String>,
    pub unanswered: Vec<Silent>,
    pub copied: usize,
    pub left: usize,
    pub interrupted: bool,
    /// The last words.
    pub summary: Option<String>,
}

impl Report {
    pub fn end(&self) -> End {
        let unread = self.swept.iter().any(|swept| swept.why.is_some());
        if self.interrupted {
            End::Interrupted
        } else if !self.unanswered.is_empty() || unread {
            End::Unanswered
        } else if self.left > 0 {
            End::Unwell
        } else {
            End::Well
        }
    }
}
