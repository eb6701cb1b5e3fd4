//! Notes on a configuration: faults and warnings with their places.

use std::collections::BTreeSet;
use std::fmt;

use crate::oslo::layers::Origin;

/// Faults or warnings, each once, in the order of the files.
#[derive(Debug, Default)]
pub(crate) struct Notes(BTreeSet<(Origin, String)>);

impl Notes {
    /// About a place.
    pub(crate) fn add(&mut self, origin: &Origin, text: impl fmt::Display) {
        self.0.insert((origin.clone(), text.to_string()));
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
        self.0.is_empty()
    }

    /// `FILE:LINE: text`
    pub(crate) fn into_lines(self) -> Vec<String> {
        let notes = self.0.into_iter();
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
}

impl fmt::Display for Errors {
    /// One fault a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.faults.join("\n"))
    }
}

impl std::error::Error for Errors {}
