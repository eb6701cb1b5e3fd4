//! The contents of the sources, and the notes on them.

use std::collections::BTreeSet;
use std::fmt;

use crate::oslo::layers::Origin;
use crate::oslo::layers::Sections;
use crate::oslo::notes::Notes;
use crate::oslo::option::Schema;

/// The value is wrong, and it is noted why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faulted(pub(super) ());

/// Everything that was written, which of it had a say, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) schema: &'static Schema,
    pub(crate) sections: Sections,
    pub(crate) faults: Notes,
    pub(crate) warnings: Notes,
    /// Sections somebody asked for, and the options of them.
    pub(crate) asked: BTreeSet<String>,
    pub(crate) read: BTreeSet<(String, String)>,
    /// Where to point if nothing better is known.
    pub(crate) nowhere: Origin,
}

impl Record {
    /// Where an option is, else where its section begins, else the first file.
    pub(crate) fn origin(&self, section: &str, option: &str) -> Origin {
        self.sections
            .origin(section, option)
            .or_else(|| self.sections.header(section))
            .unwrap_or(&self.nowhere)
            .clone()
    }

    /// Notes a fault of an option.
    pub(crate) fn fault(
        &mut self,
        origin: &Origin,
        section: &str,
        option: &str,
        text: impl fmt::Display,
    ) -> Faulted {
        self.faults.add_option(origin, section, option, text);
        Faulted(())
    }

    /// Notes a fault of an option that may be gone a moment later.
    pub(crate) fn passing(
        &mut self,
        origin: &Origin,
        section: &str,
        option: &str,
        text: impl fmt::Display,
    ) -> Faulted {
        let text = format_args!("[{section}] {option}: {text}");
        self.faults.add_passing(origin, text);
        Faulted(())
    }

    /// Notes what is odd about an option.
    pub(crate) fn warn(
        &mut self,
        origin: &Origin,
        section: &str,
        option: &str,
        text: impl fmt::Display,
    ) {
        self.warnings.add_option(origin, section, option, text);
    }

    /// Notes that an option, by the name it was written by, had a say.
    pub(crate) fn note_read(&mut self, section: &str, option: &str) {
        self.read.insert((section.to_owned(), option.to_owned()));
    }
}
