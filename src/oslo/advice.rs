//! What an operator may have meant otherwise.

use std::collections::BTreeSet;

use crate::oslo::ini::Origin;
use crate::oslo::ini::Sections;
use crate::oslo::notes::Notes;
use crate::oslo::option::Schema;

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
            let hint = did_you_mean(section, asked.iter().map(String::as_str));
            let header = sections.header(section).unwrap_or(nowhere);
            notes.add(header, format_args!("[{section}]: unknown section{hint}"));
            continue;
        }
        for (name, origin) in sections.options(section) {
            match schema.find_spelling(section, name) {
                Some(option) if option.ignored => {
                    notes.add_option(origin, section, name, "is accepted and ignored");
                }
                Some(_) => {}
                None => {
                    let known = schema.of(section).map(|option| option.name);
                    let hint = did_you_mean(name, known);
                    let text = format_args!("unknown option{hint}");
                    notes.add_option(origin, section, name, text);
                }
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
                .is_some_and(|o| !o.ignored);
            if meant && !read.contains(&(section.clone(), name.to_owned())) {
                let text = "has no meaning beside the other options here";
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
        .filter(|(distance, known)| *distance <= known.len() / 3);
    near.map_or_else(String::new, |(_, known)| format!(", did you mean {known}?"))
}
