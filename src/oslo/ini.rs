//! Files in oslo.config's dialect, read line by line as oslo does and handed to `serde_ini`.
//!
//! `serde_ini`'s own line rules differ from oslo's (quotes, continuation lines, `:`, the case of
//! sections) and know no line numbers, so its deserializer is fed with items made here.

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

/// One file, understood as far as possible. Lines count from 1.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) items: Vec<(usize, Item)>,
    pub(crate) faults: Vec<(usize, SyntaxFault)>,
    /// Lines that look like comments but, being indented, belong to the value above them.
    pub(crate) swallowed: Vec<usize>,
}

/// Why a line cannot be read. Never repeats the line: it may hold half of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SyntaxFault {
    #[error("neither `=` nor `:` in this line")]
    NoAssignment,
    #[error("no option name before the `=` or `:`")]
    EmptyKey,
    #[error("an indented line continues a value, and there is none right above it")]
    Continuation,
    #[error("a section line must end with `]`")]
    SectionEnd,
    #[error("a section needs a name")]
    SectionName,
    #[error("an option before the first [section]")]
    NoSection,
}

/// Reads `text` by the rules of oslo.config's `iniparser`.
pub(crate) fn parse(text: &str) -> Document {
    let mut parser = Parser::default();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    for (line, number) in text.split('\n').zip(1..) {
        parser.line(line.trim_end_matches(is_space), number);
    }
    parser.flush();
    parser.document
}

#[derive(Debug, Default)]
struct Parser {
    document: Document,
    in_section: bool,
    open: Option<(usize, String, Vec<String>)>,
}

impl Parser {
    fn line(&mut self, line: &str, number: usize) {
        if line.is_empty() {
            self.flush();
        } else if line.starts_with([' ', '\t']) {
            self.continuation(line.trim_start_matches(is_space), number);
        } else {
            self.flush();
            if let Some(rest) = line.strip_prefix('[') {
                self.section(rest, number);
            } else if !line.starts_with(['#', ';']) {
                self.assignment(line, number);
            }
        }
    }

    fn flush(&mut self) {
        if let Some((number, key, lines)) = self.open.take() {
            let value = lines.join("\n");
            self.document
                .items
                .push((number, Item::Value { key, value }));
        }
    }

    fn continuation(&mut self, text: &str, number: usize) {
        let Some((_, _, lines)) = &mut self.open else {
            return self.fault(number, SyntaxFault::Continuation);
        };
        lines.push(text.to_owned());
        if text.starts_with(['#', ';']) {
            self.document.swallowed.push(number);
        }
    }

    fn section(&mut self, rest: &str, number: usize) {
        match rest.strip_suffix(']') {
            None => self.fault(number, SyntaxFault::SectionEnd),
            Some("") => self.fault(number, SyntaxFault::SectionName),
            Some(name) => {
                self.in_section = true;
                let name = section_name(name);
                self.document.items.push((number, Item::Section { name }));
            }
        }
    }

    fn assignment(&mut self, line: &str, number: usize) {
        let Some((key, value)) = line.split_once([':', '=']) else {
            return self.fault(number, SyntaxFault::NoAssignment);
        };
        let key = key.trim_matches(is_space);
        if key.is_empty() {
            return self.fault(number, SyntaxFault::EmptyKey);
        }
        if !self.in_section {
            return self.fault(number, SyntaxFault::NoSection);
        }
        self.open = Some((number, key.to_owned(), vec![unquote(value)]));
    }

    fn fault(&mut self, number: usize, fault: SyntaxFault) {
        self.document.faults.push((number, fault));
    }
}

/// Case does not matter in the names of sections, but for `DEFAULT`, which is only itself.
pub(crate) fn section_name(name: &str) -> String {
    if name == "DEFAULT" {
        name.to_owned()
    } else {
        name.to_lowercase()
    }
}

fn unquote(value: &str) -> String {
    let value = value.trim_matches(is_space);
    let inner = ['"', '\''].iter().find_map(|quote| {
        let rest = value.strip_prefix(*quote)?;
        // A quote alone opens and closes at once.
        rest.strip_suffix(*quote)
            .or(rest.is_empty().then_some(rest))
    });
    inner.unwrap_or(value).to_owned()
}

/// Python's `str.isspace`, which counts four control characters more than Rust.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
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

/// oslo's `List` of texts.
pub(crate) fn list(text: &str) -> Vec<String> {
    let text = text.trim_matches(is_space).trim_end_matches(',');
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',')
        .map(|item| item.trim_matches(is_space).to_owned())
        .collect()
}

/// Why a text is no dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DictFault {
    #[error("must be NAME:VALUE, NAME:VALUE and so on")]
    NoPair,
    #[error("holds an empty name")]
    EmptyName,
    #[error("holds the same name twice")]
    Duplicate,
}

/// oslo's `Dict` of texts, in the order of the text. A piece without `:` belongs to the next one.
pub(crate) fn dict(text: &str) -> Result<Vec<(String, String)>, DictFault> {
    let text = text.trim_matches(is_space);
    let mut pairs: Vec<(String, String)> = Vec::new();
    if text.is_empty() {
        return Ok(pairs);
    }
    let mut pending = String::new();
    for piece in text.split(',') {
        pending.push_str(piece);
        let Some((name, value)) = pending.split_once(':') else {
            pending.push(',');
            continue;
        };
        let (name, value) = (name.trim_matches(is_space), value.trim_matches(is_space));
        if name.is_empty() {
            return Err(DictFault::EmptyName);
        }
        if pairs.iter().any(|(known, _)| known == name) {
            return Err(DictFault::Duplicate);
        }
        pairs.push((name.to_owned(), value.to_owned()));
        pending.clear();
    }
    // Else a piece still waits for its `:`, be it the empty one after a last comma.
    if pending.is_empty() {
        Ok(pairs)
    } else {
        Err(DictFault::NoPair)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Texts = BTreeMap<String, BTreeMap<String, String>>;

    /// All of a document through `serde_ini`, or the first fault.
    fn read(text: &str) -> Result<Texts, (usize, SyntaxFault)> {
        let document = parse(text);
        if let Some(fault) = document.faults.first() {
            return Err(*fault);
        }
        let place: Rc<str> = "f".into();
        let mut layers = Layers::default();
        layers.put_all(document.items, |line| Origin::new(0, &place, line));
        Ok(layers.deserialize().unwrap().texts)
    }

    #[test]
    fn values_are_read_as_oslo_reads_them() {
        for (lines, expected) in [
            ("k = v", "v"),
            ("k=v", "v"),
            ("k: v", "v"),
            ("k = a=b", "a=b"),
            ("k: a=b", "a=b"),
            ("k = http://a:1", "http://a:1"),
            ("k =v # c", "v # c"),
            ("k = v ; c", "v ; c"),
            ("k = v\n  # c", "v\n# c"),
            ("k = v\n  w=x\n\tz", "v\nw=x\nz"),
            ("k = v\n   \nj = 1", "v"),
            ("k = \"v\"", "v"),
            ("k = 'v'", "v"),
            ("k = \" v \"", " v "),
            ("k = \"v", "\"v"),
            ("k = \"", ""),
            ("k = \"\"", ""),
            ("k = \"a\" \"b\"", "a\" \"b"),
            ("k = 'v\"", "'v\""),
            ("k = 'a'\n b", "a\nb"),
            ("k =", ""),
            ("k = a\nk = b", "b"),
            ("k = a\n[h]\nk = x\n[G]\nk = b", "b"),
            ("k = a\r\nj = b\r\n", "a"),
            ("k = a\rj = b\r", "a"),
            ("k = \u{e4}\u{a0}", "\u{e4}"),
            ("k = a\u{1f}", "a"),
            ("K = b\nk = a", "a"),
            ("k = %(a)s", "%(a)s"),
            ("# k = c\n; k = d\nk = a", "a"),
            ("k==", "="),
        ] {
            let texts = read(&format!("[g]\n{lines}")).unwrap();
            assert_eq!(texts["g"]["k"], expected, "{lines:?}");
        }
    }

    #[test]
    fn sections_are_named_as_oslo_names_them() {
        for (line, expected) in [
            ("[g] \t", "g"),
            ("[ g ]", " g "),
            ("[GROUP:Loc1]", "group:loc1"),
            ("[DEFAULT]", "DEFAULT"),
            ("[Default]", "default"),
            ("[a]b]", "a]b"),
        ] {
            let texts = read(&format!("{line}\nk=v")).unwrap();
            assert_eq!(texts[expected]["k"], "v", "{line}");
        }
        assert!(read("[empty]").unwrap()["empty"].is_empty());
    }

    #[test]
    fn what_oslo_refuses_is_a_fault_with_its_line() {
        for (text, expected) in [
            ("[g]\nk", (2, SyntaxFault::NoAssignment)),
            ("[g]\n= v", (2, SyntaxFault::EmptyKey)),
            ("[g]\n  k = v", (2, SyntaxFault::Continuation)),
            ("[g]\nk = v\n\n w", (4, SyntaxFault::Continuation)),
            ("[g]\nk = v\n# c\n w", (4, SyntaxFault::Continuation)),
            ("[g] # c\n", (1, SyntaxFault::SectionEnd)),
            ("\r\n[g", (2, SyntaxFault::SectionEnd)),
            ("[]", (1, SyntaxFault::SectionName)),
            ("\rk = v", (2, SyntaxFault::NoSection)),
            ("\u{feff}[g]", (1, SyntaxFault::NoAssignment)),
        ] {
            assert_eq!(read(text), Err(expected), "{text:?}");
        }
        let faults = parse("[g]\nk\n= v\n[\nj = 1").faults;
        assert_eq!(
            faults.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
            [2, 3, 4]
        );
    }

    #[test]
    fn an_indented_comment_is_noticed() {
        assert_eq!(parse("[g]\nk = v\n # a\n b\n\t; c").swallowed, [3, 5]);
    }

    #[test]
    fn lists_are_cut_at_commas() {
        for (text, expected) in [
            ("", &[] as &[&str]),
            (" , ,", &["", ""]),
            (",,", &[]),
            ("a", &["a"]),
            (" a , b,", &["a", "b"]),
            ("a,,b", &["a", "", "b"]),
            ("\"a,b\"", &["\"a", "b\""]),
            ("a,\nb", &["a", "b"]),
        ] {
            assert_eq!(list(text), expected, "{text:?}");
        }
    }

    #[test]
    fn dictionaries_are_cut_at_commas_and_colons() {
        for (text, expected) in [
            ("", Ok(vec![])),
            (
                "_:loc1, grp1:loc2",
                Ok(vec![("_", "loc1"), ("grp1", "loc2")]),
            ),
            ("a:b:c", Ok(vec![("a", "b:c")])),
            ("b: 1 ,\na:2", Ok(vec![("b", "1"), ("a", "2")])),
            ("_:loc1\ngrp1:loc2", Ok(vec![("_", "loc1\ngrp1:loc2")])),
            ("x,y,b:z", Ok(vec![("x,y,b", "z")])),
            ("a:x,y,b:z", Ok(vec![("a", "x"), ("y,b", "z")])),
            ("a:", Ok(vec![("a", "")])),
            ("a:b,", Err(DictFault::NoPair)),
            ("a", Err(DictFault::NoPair)),
            (",", Err(DictFault::NoPair)),
            (":b", Err(DictFault::EmptyName)),
            ("a:b,a:c", Err(DictFault::Duplicate)),
        ] {
            let expected = expected.map(|pairs| {
                let owned = pairs
                    .iter()
                    .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
                owned.collect::<Vec<_>>()
            });
            assert_eq!(dict(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC*|([\\[\\]=:#;,$'\" \t\r\na-c]|\\[g\\]\n)*") {
            let document = parse(&text);
            let lines = text.matches(['\n', '\r']).count() + 1;
            for (line, _) in &document.faults {
                prop_assert!((1..=lines).contains(line));
            }
            let place: Rc<str> = "f".into();
            let mut layers = Layers::default();
            layers.put_all(document.items, |line| Origin::new(0, &place, line));
            prop_assert!(layers.deserialize().is_ok());
            let pieces = text.split(',').count();
            prop_assert!(list(&text).len() <= pieces);
            prop_assert!(dict(&text).is_ok_and(|pairs| pairs.len() <= pieces) || !text.is_empty());
        }
    }
}
