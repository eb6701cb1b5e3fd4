//! Notes on a configuration: faults and warnings with their places.

use std::collections::BTreeSet;
use std::fmt;

use crate::oslo::layers::Origin;

/// Faults or warnings, each once, in the order of the files.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    notes: BTreeSet<(Origin, String)>,
    /// One of them is true for as long as the files say the same.
    lasts: bool,
}

impl Notes {
    /// About a place.
    pub(crate) fn add(&mut self, origin: &Origin, text: impl fmt::Display) {
        self.lasts = true;
        self.add_passing(origin, text);
    }

    /// About a place, and not of what stands there: it may be otherwise a moment later.
    pub(crate) fn add_passing(&mut self, origin: &Origin, text: impl fmt::Display) {
        self.notes.insert((origin.clone(), text.to_string()));
    }

    /// About an option.
    pub(crate) fn add_option(
        &mut self,
        origin: &Origin,
        section: &str,
        option: &str,
        text: impl fmt::Display,
    ) {
        self.add(origin, format_args!("[{section}] {option}: {text}"));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// `FILE:LINE: text`
    pub(crate) fn into_lines(self) -> Vec<String> {
        let notes = self.notes.into_iter();
        notes
            .map(|(origin, text)| format!("{origin}: {text}"))
            .collect()
    }
}

/// Why there is no configuration: every fault, and what was odd beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors {
    /// `FILE:LINE: [section] option: text`, in the order of the files. Never empty.
    pub faults: Vec<String>,
    /// What is odd but no fault, written likewise.
    pub warnings: Vec<String>,
    /// Whether every fault may be gone a moment later, with the same files.
    pub passing: bool,
}

impl Errors {
    pub(crate) fn new(faults: Notes, warnings: Notes) -> Self {
        Self {
            passing: !faults.lasts,
            faults: faults.into_lines(),
            warnings: warnings.into_lines(),
        }
    }
}

impl fmt::Display for Errors {
    /// One fault a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.faults.join("\n"))
    }
}

impl std::error::Error for Errors {}
