//! Reads the sources and collects all faults, in them and in what is asked of them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::rc::Rc;

use crate::oslo::advice;
use crate::oslo::ini::parse;
use crate::oslo::ini::section_name;
use crate::oslo::layers::Layers;
use crate::oslo::layers::Origin;
use crate::oslo::layers::Sections;
use crate::oslo::notes::Errors;
use crate::oslo::notes::Notes;
use crate::oslo::option::Schema;
use crate::oslo::passing::is_passing;
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
        if files.is_empty() && sources.given().is_empty() {
            return Err(Errors {
                faults: vec![no_file(schema.program)],
                warnings: Vec::new(),
                passing: false,
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
        for (rank, given) in sources.given().iter().enumerate() {
            let origin = Origin::new(rank, &Rc::from(&*given.place), 0);
            for (option, value) in &given.options {
                // A plain `$`, as in a file.
                let value = value.replace('$', "$$");
                layers.put(&given.section, option, value, origin.clone());
            }
        }
        let first = sources.given().len();
        let behind = first + files.len();
        let mut whole = true;
        for (rank, file) in (first..).zip(files) {
            whole &= reader.read_file(&mut layers, rank, file);
        }
        if !whole {
            // What would be missing now may well be there, in the file that cannot be read.
            return Err(Errors::new(reader.record.faults, reader.record.warnings));
        }
        // oslo.config asks its environment driver before the files, so the environment is laid over them.
        reader.read_environment(&mut layers, behind, environment);
        match layers.deserialize() {
            Ok(sections) => reader.record.sections = sections,
            Err(error) => reader.record.faults.add(&reader.record.nowhere, error),
        }
        Ok(reader)
    }

    /// Whether the file could be read at all.
    fn read_file(
        &mut self,
        layers: &mut Layers,
        rank: usize,
        file: Result<PathBuf, (PathBuf, io::Error)>,
    ) -> bool {
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
        let bytes = match content {
            Ok(bytes) if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") => {
                self.record
                    .faults
                    .add(&at(0), "is UTF-16; save it as UTF-8");
                return false;
            }
            Ok(bytes) => bytes,
            Err(error) => {
                let text = format_args!("cannot be read: {error}");
                if is_passing(&error) {
                    self.record.faults.add_passing(&at(0), text);
                } else {
                    self.record.faults.add(&at(0), text);
                }
                return false;
            }
        };
        // The rest of the file is judged all the same: its options are not missing.
        for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
            if std::str::from_utf8(line).is_err() {
                self.record
                    .faults
                    .add(&at(number), "is not UTF-8; save the file as UTF-8");
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        if fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0) {
            self.exposed.insert(place.to_string());
        }
        // Editors on some systems write a byte order mark; oslo stumbles over it.
        let document = parse(text.strip_prefix('\u{feff}').unwrap_or(&text));
        for (line, fault) in document.faults {
            self.record.faults.add(&at(line), fault);
        }
        for (line, oddity) in document.oddities {
            self.record.warnings.add(&at(line), oddity);
        }
        layers.put_all(document.items, at);
        true
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
        let spelling = Spelling::new(self.record.schema, layers.names());
        for (variable, value) in environment {
            let variable: OsString = variable.into();
            let Some((group, option)) = variable.to_str().and_then(variable_names) else {
                continue;
            };
            let place: Rc<str> = variable.to_string_lossy().into();
            let origin = Origin::new(rank, &place, 0);
            let section = match spelling.section(group) {
                Ok(section) => section,
                Err(Ambiguous(sections)) => {
                    let text = format_args!(
                        "is one variable for {sections}: write the option into a file"
                    );
                    self.record.faults.add(&origin, text);
                    continue;
                }
            };
            match value.into().into_string() {
                Ok(value) => layers.put(&section, &option, value, origin),
                Err(_) => {
                    self.record
                        .faults
                        .add_option(&origin, &section, &option, "is not UTF-8");
                }
            }
        }
    }

    /// The options of one section, be it there or not.
    pub(crate) fn section(&mut self, name: &str) -> Section<'_> {
        let name = section_name(name);
        self.record.asked.insert(name.clone());
        Section::new(&mut self.record, name)
    }

    /// Whether a file or the environment has such a section. The environment cannot spell every name: a section that it
    /// alone wrote is the one that somebody asks for.
    pub(crate) fn has(&mut self, section: &str) -> bool {
        let name = section_name(section);
        let sections = &mut self.record.sections;
        if sections.header(&name).is_some() {
            return true;
        }
        let spelt = shell_spelling(&name);
        let alone = sections
            .names()
            .into_iter()
            .find(|known| sections.is_environment_s(known) && shell_spelling(known) == spelt);
        let Some(alone) = alone.map(str::to_owned) else {
            return false;
        };
        sections.rename(&alone, &name);
        true
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
            mut faults,
            mut warnings,
            asked,
            read,
            nowhere,
        } = self.record;
        advice::unknown(schema, &sections, &asked, &nowhere, &mut warnings);
        advice::refused(schema, &sections, &mut faults);
        advice::exposed(schema, &sections, self.exposed, &mut warnings);
        match made {
            Ok(made) if faults.is_empty() => {
                advice::unread(schema, &sections, &asked, &read, &mut warnings);
                Ok((made, warnings.into_lines()))
            }
            Ok(_) | Err(Faulted(())) => Err(Errors::new(faults, warnings)),
        }
    }
}

fn no_file(program: &str) -> String {
    format!(
        "{program}: no configuration file is given, and there is none in ~/.{program}, ~, /etc/{program} and /etc"
    )
}

/// The group of `OS_<GROUP>__<OPTION>` as it stands there, and the option.
fn variable_names(variable: &str) -> Option<(&str, String)> {
    let (group, option) = variable.strip_prefix("OS_")?.split_once("__")?;
    // oslo.config's environment driver asks for names in capitals and for no others.
    let upper = variable == variable.to_uppercase() && !group.is_empty() && !option.is_empty();
    upper.then(|| (group, option.to_lowercase()))
}

/// The name of a section as a shell can export it: `group:loc-1` is `GROUP_LOC_1`.
fn shell_spelling(section: &str) -> String {
    section
        .chars()
        .map(|c| {
            if c.is_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect()
}

/// Sections that one variable cannot tell apart.
struct Ambiguous(String);

/// What the environment can mean by a group.
struct Spelling {
    schema: &'static Schema,
    /// By their names and by [`shell_spelling`].
    sections: BTreeMap<String, BTreeSet<String>>,
}

impl Spelling {
    fn new<'a>(schema: &'static Schema, written: impl Iterator<Item = &'a str>) -> Self {
        let mut sections: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for name in written {
            for spelt in [name.to_uppercase(), shell_spelling(name)] {
                sections.entry(spelt).or_default().insert(name.to_owned());
            }
        }
        Self { schema, sections }
    }

    fn section(&self, group: &str) -> Result<String, Ambiguous> {
        let name = section_name(group);
        if self.schema.is_section(&name) {
            return Ok(name);
        }
        match self.sections.get(group) {
            Some(known) if known.len() > 1 => {
                let names: Vec<_> = known.iter().map(|name| format!("[{name}]")).collect();
                Err(Ambiguous(names.join(" and ")))
            }
            Some(known) => Ok(known.first().cloned().unwrap_or(name)),
            None => Ok(
                match group.strip_prefix(&shell_spelling(self.schema.prefix)) {
                    Some(rest) if !rest.is_empty() => {
                        section_name(&format!("{}{rest}", self.schema.prefix))
                    }
                    Some(_) | None => name,
                },
            ),
        }
    }
}
