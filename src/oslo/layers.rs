//! All files and the environment in order of precedence, with the place where each value was written.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use serde::Deserialize;
use serde_ini::{Deserializer, Item};

/// Where a value was written. Ordered as it was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    rank: usize,
    line: usize,
    place: Rc<str>,
}

impl Origin {
    /// `rank` is the file's place in the order of reading, `line` counts from 1; 0 is no line.
    pub(crate) fn new(rank: usize, place: &Rc<str>, line: usize) -> Self {
        Self {
            rank,
            line,
            place: Rc::clone(place),
        }
    }

    /// Whether it is a line of a file.
    fn is_line(&self) -> bool {
        self.line != 0
    }

    /// File or environment variable.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }
}

impl fmt::Display for Origin {
    /// `FILE:LINE`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.place),
            line => write!(f, "{}:{line}", self.place),
        }
    }
}

/// All files, laid over each other: the last value of an option wins.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    sections: BTreeMap<String, Layer>,
}

#[derive(Debug)]
struct Layer {
    origin: Origin,
    options: BTreeMap<String, (String, Origin)>,
}

impl Layers {
    /// Lays a value over what is there.
    pub(crate) fn put(&mut self, section: &str, option: &str, value: String, origin: Origin) {
        self.open(section, &origin)
            .options
            .insert(option.to_owned(), (value, origin));
    }

    /// Lays a whole file over what is there. `origin` makes the origin of a line.
    pub(crate) fn put_all(&mut self, items: Vec<(usize, Item)>, origin: impl Fn(usize) -> Origin) {
        let mut section = String::new();
        for (line, item) in items {
            match item {
                Item::Section { name } => {
                    self.open(&name, &origin(line));
                    section = name;
                }
                Item::Value { key, value } => self.put(&section, &key, value, origin(line)),
                Item::Empty | Item::Comment { .. } => {}
            }
        }
    }

    fn open(&mut self, section: &str, origin: &Origin) -> &mut Layer {
        self.sections
            .entry(section.to_owned())
            .or_insert_with(|| Layer {
                origin: origin.clone(),
                options: BTreeMap::new(),
            })
    }

    /// Names of all sections so far.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
    }

    /// The texts through `serde_ini`, and beside them where each was written.
    pub(crate) fn deserialize(self) -> Result<Sections, serde_ini::de::Error> {
        let mut items = Vec::new();
        let mut origins = BTreeMap::new();
        for (name, layer) in self.sections {
            items.push(Ok::<_, serde_ini::de::Error>(Item::Section {
                name: name.clone(),
            }));
            let mut options = BTreeMap::new();
            for (key, (value, origin)) in layer.options {
                options.insert(key.clone(), origin);
                items.push(Ok(Item::Value { key, value }));
            }
            origins.insert(name, (layer.origin, options));
        }
        let texts = BTreeMap::deserialize(&mut Deserializer::new(items.into_iter()))?;
        Ok(Sections { texts, origins })
    }
}

/// What the files and the environment say, before anybody asked what it means.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    texts: BTreeMap<String, BTreeMap<String, String>>,
    origins: BTreeMap<String, (Origin, BTreeMap<String, Origin>)>,
}

impl Sections {
    /// All of it, without origins.
    #[cfg(test)]
    pub(crate) fn into_texts(self) -> BTreeMap<String, BTreeMap<String, String>> {
        self.texts
    }

    /// As written, but without quotes.
    pub(crate) fn text(&self, section: &str, option: &str) -> Option<&str> {
        self.texts.get(section)?.get(option).map(String::as_str)
    }

    /// Where an option was written.
    pub(crate) fn origin(&self, section: &str, option: &str) -> Option<&Origin> {
        self.origins.get(section)?.1.get(option)
    }

    /// Where a section was first opened.
    pub(crate) fn header(&self, section: &str) -> Option<&Origin> {
        self.origins.get(section).map(|(origin, _)| origin)
    }

    /// Whether no file has the section.
    pub(crate) fn is_environment_s(&self, section: &str) -> bool {
        self.header(section).is_some_and(|origin| !origin.is_line())
    }

    /// Calls a section otherwise.
    pub(crate) fn rename(&mut self, section: &str, name: &str) {
        if let Some(texts) = self.texts.remove(section) {
            self.texts.insert(name.to_owned(), texts);
        }
        if let Some(origins) = self.origins.remove(section) {
            self.origins.insert(name.to_owned(), origins);
        }
    }

    /// Names of all sections, in the order of the files.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.origins.iter().collect();
        names.sort_by_key(|(_, (origin, _))| origin);
        names.into_iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Options of a section, in alphabetical order.
    pub(crate) fn options(&self, section: &str) -> impl Iterator<Item = (&str, &Origin)> {
        self.origins
            .get(section)
            .into_iter()
            .flat_map(|(_, options)| options.iter().map(|(name, origin)| (name.as_str(), origin)))
    }
}
