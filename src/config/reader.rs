//! Reads the sources, and gathers what is wrong with them and with what is asked of them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::rc::Rc;

use crate::config::Config;
use crate::config::Errors;
use crate::config::Sources;
use crate::config::advice;
use crate::config::ini::Layers;
use crate::config::ini::Origin;
use crate::config::ini::Sections;
use crate::config::ini::parse;
use crate::config::ini::section_name;
use crate::config::notes::Notes;
use crate::config::options;
use crate::config::options::LOCATION_PREFIX;
use crate::config::section::Section;

/// The value is wrong and the reader has noted why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faulted(());

/// Reads options and gathers what is wrong with them.
#[derive(Debug)]
pub(crate) struct Reader {
    sections: Sections,
    faults: Notes,
    warnings: Notes,
    /// Sections somebody asked for, and the options of them.
    asked: BTreeSet<String>,
    read: BTreeSet<(String, String)>,
    /// Files that everybody on the machine can read.
    exposed: BTreeSet<String>,
    /// Where to point if nothing better is known.
    nowhere: Origin,
}

impl Reader {
    /// Reads all files, then the environment over them. Fails only if there is no file to read.
    pub(crate) fn open<K, V>(
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
                faults: vec![NO_FILE.to_owned()],
                warnings: Vec::new(),
            });
        }
        let mut reader = Self {
            sections: Sections::default(),
            faults: Notes::default(),
            warnings: Notes::default(),
            asked: BTreeSet::new(),
            read: BTreeSet::new(),
            exposed: BTreeSet::new(),
            nowhere: Origin::new(0, &Rc::from("ironic-proxy.conf"), 0),
        };
        let mut layers = Layers::default();
        let behind = files.len();
        for (rank, file) in files.into_iter().enumerate() {
            reader.read_file(&mut layers, rank, file);
        }
        reader.read_environment(&mut layers, behind, environment);
        match layers.deserialize() {
            Ok(sections) => reader.sections = sections,
            Err(error) => reader.faults.add(&reader.nowhere, error),
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
            self.nowhere = at(1);
        }
        let text = match content.map(String::from_utf8) {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => {
                let readable = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = readable.split(|b| *b == b'\n').count();
                self.faults.add(&at(line), "is not UTF-8");
                return;
            }
            Err(error) => {
                let text = format_args!("cannot be read: {error}");
                self.faults.add(&at(0), text);
                return;
            }
        };
        if fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0) {
            self.exposed.insert(place.to_string());
        }
        // Editors on some systems write a byte order mark; oslo stumbles over it.
        let document = parse(text.strip_prefix('\u{feff}').unwrap_or(&text));
        for (line, fault) in document.faults {
            self.faults.add(&at(line), fault);
        }
        for line in document.swallowed {
            let text = "an indented comment is part of the value above it";
            self.warnings.add(&at(line), text);
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
            let Some((section, option)) = variable.to_str().and_then(variable_names) else {
                continue;
            };
            let place: Rc<str> = variable.to_string_lossy().into();
            let origin = Origin::new(rank, &place, 0);
            match value.into().into_string() {
                Ok(value) => layers.put(&section, &option, value, origin),
                Err(_) => self
                    .faults
                    .add_option(&origin, &section, &option, "is not UTF-8"),
            }
        }
    }

    /// The options of one section, be it there or not.
    pub(crate) fn section(&mut self, name: &str) -> Section<'_> {
        let name = section_name(name);
        self.asked.insert(name.clone());
        Section::new(self, name)
    }

    /// Whether a file or the environment has such a section.
    pub(crate) fn has(&self, section: &str) -> bool {
        self.sections.header(&section_name(section)).is_some()
    }

    /// Names in `[group:NAME]`, in the order of the files.
    pub(crate) fn location_names(&self) -> Vec<String> {
        let names = self.sections.names().into_iter();
        names
            .filter_map(|name| name.strip_prefix(LOCATION_PREFIX))
            .map(str::to_owned)
            .collect()
    }

    /// All that was wrong, or the configuration with all that was odd.
    pub(crate) fn finish(mut self, config: Result<Config, Faulted>) -> Result<Config, Errors> {
        let warnings = &mut self.warnings;
        advice::unknown(&self.sections, &self.asked, &self.nowhere, warnings);
        advice::exposed(&self.sections, self.exposed, warnings);
        match config {
            Ok(mut config) if self.faults.is_empty() => {
                advice::unread(&self.sections, &self.asked, &self.read, warnings);
                config.warnings = self.warnings.into_lines();
                Ok(config)
            }
            Ok(_) | Err(Faulted(())) => Err(Errors {
                faults: self.faults.into_lines(),
                warnings: self.warnings.into_lines(),
            }),
        }
    }

    /// What was read.
    pub(crate) fn sections(&self) -> &Sections {
        &self.sections
    }

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

const NO_FILE: &str = "ironic-proxy: no configuration file is given, and there is none in \
                       ~/.ironic-proxy, ~, /etc/ironic-proxy and /etc";

/// `OS_<GROUP>__<OPTION>`, if it can be one of ours.
fn variable_names(variable: &str) -> Option<(String, String)> {
    let (section, option) = variable.strip_prefix("OS_")?.split_once("__")?;
    let name = section_name(section);
    let upper = variable == variable.to_uppercase();
    (upper && options::is_section(&name)).then(|| (name, option.to_lowercase()))
}
