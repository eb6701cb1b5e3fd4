//! Reads the sources, and gathers what is wrong with them and with what is asked of them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::rc::Rc;

use crate::oslo::advice;
use crate::oslo::ini::Layers;
use crate::oslo::ini::Origin;
use crate::oslo::ini::Sections;
use crate::oslo::ini::parse;
use crate::oslo::ini::section_name;
use crate::oslo::notes::Errors;
use crate::oslo::notes::Notes;
use crate::oslo::option::Schema;
use crate::oslo::record::Faulted;
use crate::oslo::record::Record;
use crate::oslo::section::Section;
use crate::oslo::sources::Sources;

/// Reads options and gathers what is wrong with them.
#[derive(Debug)]
pub(crate) struct Reader {
    record: Record,
    /// Files that everybody on the machine can read.
    exposed: BTreeSet<String>,
}

impl Reader {
    /// Reads all files, then the environment over them. Fails only if there is no file to read.
    pub(crate) fn open<K, V>(
        schema: &'static Schema,
        sources: &Sources,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, Errors>
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let files = sources.files();
        if files.is_empty() {
            return Err(Errors {
                faults: vec![no_file(schema.program)],
                warnings: Vec::new(),
            });
        }
        let mut reader = Self {
            record: Record {
                schema,
                sections: Sections::default(),
                faults: Notes::default(),
                warnings: Notes::default(),
                asked: BTreeSet::new(),
                read: BTreeSet::new(),
                nowhere: Origin::new(0, &Rc::from(format!("{}.conf", schema.program)), 0),
            },
            exposed: BTreeSet::new(),
        };
        let mut layers = Layers::default();
        let behind = files.len();
        for (rank, file) in files.into_iter().enumerate() {
            reader.read_file(&mut layers, rank, file);
        }
        reader.read_environment(&mut layers, behind, environment);
        match layers.deserialize() {
            Ok(sections) => reader.record.sections = sections,
            Err(error) => reader.record.faults.add(&reader.record.nowhere, error),
        }
        Ok(reader)
    }

    fn read_file(
        &mut self,
        layers: &mut Layers,
        rank: usize,
        file: Result<PathBuf, (PathBuf, io::Error)>,
    ) {
        let (path, content) = match file {
            Ok(path) => {
                let content = fs::read(&path);
                (path, content)
            }
            Err((path, error)) => (path, Err(error)),
        };
        let place: Rc<str> = path.display().to_string().into();
        let at = |line| Origin::new(rank, &place, line);
        if rank == 0 {
            self.record.nowhere = at(1);
        }
        let text = match content.map(String::from_utf8) {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => {
                let readable = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = readable.split(|b| *b == b'\n').count();
                self.record.faults.add(&at(line), "is not UTF-8");
                return;
            }
            Err(error) => {
                let text = format_args!("cannot be read: {error}");
                self.record.faults.add(&at(0), text);
                return;
            }
        };
        if fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0) {
            self.exposed.insert(place.to_string());
        }
        // Editors on some systems write a byte order mark; oslo stumbles over it.
        let document = parse(text.strip_prefix('\u{feff}').unwrap_or(&text));
        for (line, fault) in document.faults {
            self.record.faults.add(&at(line), fault);
        }
        for line in document.swallowed {
            let text = "an indented comment is part of the value above it";
            self.record.warnings.add(&at(line), text);
        }
        layers.put_all(document.items, at);
    }

    fn read_environment<K, V>(
        &mut self,
        layers: &mut Layers,
        rank: usize,
        environment: impl IntoIterator<Item = (K, V)>,
    ) where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        for (variable, value) in environment {
            let variable: OsString = variable.into();
            let Some((section, option)) = variable
                .to_str()
                .and_then(|name| variable_names(self.record.schema, name))
            else {
                continue;
            };
            let place: Rc<str> = variable.to_string_lossy().into();
            let origin = Origin::new(rank, &place, 0);
            match value.into().into_string() {
                Ok(value) => layers.put(&section, &option, value, origin),
                Err(_) => self
                    .record
                    .faults
                    .add_option(&origin, &section, &option, "is not UTF-8"),
            }
        }
    }

    /// The options of one section, be it there or not.
    pub(crate) fn section(&mut self, name: &str) -> Section<'_> {
        let name = section_name(name);
        self.record.asked.insert(name.clone());
        Section::new(&mut self.record, name)
    }

    /// Whether a file or the environment has such a section.
    pub(crate) fn has(&self, section: &str) -> bool {
        self.record
            .sections
            .header(&section_name(section))
            .is_some()
    }

    /// What follows the schema's prefix in the names of sections, in the order of the files.
    pub(crate) fn prefixed(&self) -> Vec<String> {
        let names = self.record.sections.names().into_iter();
        names
            .filter_map(|name| name.strip_prefix(self.record.schema.prefix))
            .map(str::to_owned)
            .collect()
    }

    /// All that was wrong, or what was made of the options with all that was odd.
    pub(crate) fn finish<T>(self, made: Result<T, Faulted>) -> Result<(T, Vec<String>), Errors> {
        let Record {
            schema,
            sections,
            faults,
            mut warnings,
            asked,
            read,
            nowhere,
        } = self.record;
        advice::unknown(schema, &sections, &asked, &nowhere, &mut warnings);
        advice::exposed(schema, &sections, self.exposed, &mut warnings);
        match made {
            Ok(made) if faults.is_empty() => {
                advice::unread(schema, &sections, &asked, &read, &mut warnings);
                Ok((made, warnings.into_lines()))
            }
            Ok(_) | Err(Faulted(())) => Err(Errors {
                faults: faults.into_lines(),
                warnings: warnings.into_lines(),
            }),
        }
    }
}

fn no_file(program: &str) -> String {
    format!(
        "{program}: no configuration file is given, and there is none in ~/.{program}, ~, /etc/{program} and /etc"
    )
}

/// `OS_<GROUP>__<OPTION>`, if it can be one of ours.
fn variable_names(schema: &Schema, variable: &str) -> Option<(String, String)> {
    let (section, option) = variable.strip_prefix("OS_")?.split_once("__")?;
    let name = section_name(section);
    let upper = variable == variable.to_uppercase();
    (upper && schema.is_section(&name)).then(|| (name, option.to_lowercase()))
}
