//! Notes on what an operator may have meant, and on what cannot work as written.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::oslo::layers::Origin;
use crate::oslo::layers::Sections;
use crate::oslo::notes::Notes;
use crate::oslo::option::Opt;
use crate::oslo::option::Schema;
use crate::oslo::option::Stance;
use crate::oslo::resolve::value;

/// Sections and options that nobody knows, or that are read only to be ignored. `asked` are the
/// sections that were read; `nowhere` stands for a missing origin.
pub(crate) fn unknown(
    schema: &Schema,
    sections: &Sections,
    asked: &BTreeSet<String>,
    nowhere: &Origin,
    notes: &mut Notes,
) {
    for section in sections.names() {
        if !schema.is_section(section) && !asked.contains(section) {
            let header = sections.header(section).unwrap_or(nowhere);
            if schema.foreign.contains(&section) {
                let text = format_args!("[{section}]: is for other programs; all of it is ignored");
                notes.add(header, text);
                continue;
            }
            let hint = did_you_mean(section, asked.iter().map(String::as_str));
            notes.add(header, format_args!("[{section}]: unknown section{hint}"));
            continue;
        }
        let mut elsewhere: BTreeMap<&str, Vec<(&Origin, &str)>> = BTreeMap::new();
        for (name, origin) in sections.options(section) {
            match schema
                .find_spelling(section, name)
                .map(|option| option.stance)
            {
                Some(Stance::Ignored) => {
                    notes.add_option(origin, section, name, "is accepted and ignored");
                }
                Some(Stance::Elsewhere(whose)) => {
                    elsewhere.entry(whose).or_default().push((origin, name));
                }
                Some(Stance::Honoured | Stance::Refused(..)) => {}
                None => {
                    let known = schema.of(section).map(|option| option.name);
                    let hint = did_you_mean(name, known);
                    let text = format_args!("unknown option{hint}");
                    notes.add_option(origin, section, name, text);
                }
            }
        }
        for (whose, mut options) in elsewhere {
            options.sort_unstable();
            let names: Vec<_> = options.iter().map(|(_, name)| *name).collect();
            if let Some((first, _)) = options.first() {
                let text = format_args!("{whose}, and ignored here");
                notes.add_option(first, section, &names.join(", "), text);
            }
        }
    }
}

/// Options with a value that promises what nobody here does.
pub(crate) fn refused(schema: &Schema, sections: &Sections, notes: &mut Notes) {
    for section in sections.names() {
        for (name, origin) in sections.options(section) {
            let Some(option) = schema.find_spelling(section, name) else {
                continue;
            };
            let Stance::Refused(harmless, instead) = option.stance else {
                continue;
            };
            let text = match value(schema, sections, section, option) {
                Ok(value) => value.map(|value| value.text).unwrap_or_default(),
                Err(unresolved) => {
                    notes.add_option(origin, section, name, unresolved.text(option));
                    continue;
                }
            };
            let text = text.trim().to_lowercase();
            if !text.is_empty() && !harmless.contains(&text.as_str()) {
                let text = format_args!("is not supported: {instead}");
                notes.add_option(origin, section, name, text);
            }
        }
    }
}

/// Options of the sections that were read (`asked`) which are not among those that were `read`.
pub(crate) fn unread(
    schema: &Schema,
    sections: &Sections,
    asked: &BTreeSet<String>,
    read: &BTreeSet<(String, String)>,
    notes: &mut Notes,
) {
    for section in asked {
        for (name, origin) in sections.options(section) {
            let meant = schema
                .find_spelling(section, name)
                .is_some_and(Opt::is_honoured);
            if meant && !read.contains(&(section.clone(), name.to_owned())) {
                let text = "has no effect beside the other options here";
                notes.add_option(origin, section, name, text);
            }
        }
    }
}

/// The first secret of each file that everybody on the machine can read (`open`).
pub(crate) fn exposed(
    schema: &Schema,
    sections: &Sections,
    mut open: BTreeSet<String>,
    notes: &mut Notes,
) {
    for section in sections.names() {
        for (name, origin) in sections.options(section) {
            let secret = schema
                .find_spelling(section, name)
                .is_some_and(|o| o.secret);
            // Said once a file: it is the file that has to be closed.
            if secret && open.remove(origin.place()) {
                let text = "everybody on this machine can read the file that holds this secret";
                notes.add_option(origin, section, name, text);
            }
        }
    }
}

fn did_you_mean<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    let plain = name.to_lowercase();
    let near = candidates
        .map(|known| {
            (
                strsim::damerau_levenshtein(&plain, &known.to_lowercase()),
                known,
            )
        })
        .min()
        // With more than a third of its letters wrong it is another word.
        .filter(|(distance, known)| *distance <= known.len() / 3);
    near.map_or_else(String::new, |(_, known)| format!(", did you mean {known}?"))
}
