//! Files in oslo.config's dialect, read line by line as oslo does and passed to `serde_ini`.
//!
//! The line rules of `serde_ini` differ from oslo's (quotes, continuation lines, `:`, the case of sections) and have
//! no line numbers, so its deserializer gets items that are made here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_ini::Item;

/// One file, understood as far as possible. Lines count from 1.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) items: Vec<(usize, Item)>,
    pub(crate) faults: Vec<(usize, SyntaxFault)>,
    /// What is no fault and hardly meant.
    pub(crate) oddities: Vec<(usize, Oddity)>,
}

/// What oslo.config takes and an operator hardly means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Oddity {
    #[error("an indented comment is part of the value above it")]
    Comment,
    #[error("an indented line is part of the value above it; an option begins at the margin")]
    Option,
    #[error("this section already begins in line {0}; the two are merged")]
    SectionAgain(usize),
    #[error("this option is already set in line {0}; only the last one counts")]
    OptionAgain(usize),
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
    // Python's `open` takes all three for the end of a line.
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
    /// The section we are in, and each one that there was with its line and those of its options.
    section: Option<String>,
    known: BTreeMap<String, (usize, BTreeMap<String, usize>)>,
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
            self.document.oddities.push((number, Oddity::Comment));
        } else if is_assignment(text) {
            self.document.oddities.push((number, Oddity::Option));
        }
    }

    fn section(&mut self, rest: &str, number: usize) {
        match rest.strip_suffix(']') {
            None => self.fault(number, SyntaxFault::SectionEnd),
            Some("") => self.fault(number, SyntaxFault::SectionName),
            Some(name) => {
                let name = section_name(name);
                self.section = Some(name.clone());
                match self.known.entry(name.clone()) {
                    Entry::Vacant(new) => {
                        new.insert((number, BTreeMap::new()));
                    }
                    Entry::Occupied(known) => {
                        let again = Oddity::SectionAgain(known.get().0);
                        self.document.oddities.push((number, again));
                    }
                }
                self.document.items.push((number, Item::Section { name }));
            }
        }
    }

    fn assignment(&mut self, line: &str, number: usize) {
        // Whichever comes first, as in oslo.config (`iniparser._split_key_value`): an URL as a value is no second
        // assignment.
        let Some((key, value)) = line.split_once([':', '=']) else {
            return self.fault(number, SyntaxFault::NoAssignment);
        };
        let key = key.trim_matches(is_space);
        if key.is_empty() {
            return self.fault(number, SyntaxFault::EmptyKey);
        }
        let Some(section) = &self.section else {
            return self.fault(number, SyntaxFault::NoSection);
        };
        if let Some((_, options)) = self.known.get_mut(section)
            && let Some(first) = options.insert(key.to_owned(), number)
        {
            let again = Oddity::OptionAgain(first);
            self.document.oddities.push((number, again));
        }
        self.open = Some((number, key.to_owned(), vec![unquote(value)]));
    }

    fn fault(&mut self, number: usize, fault: SyntaxFault) {
        self.document.faults.push((number, fault));
    }
}

/// Case does not matter in the names of sections, but for `DEFAULT`, which is only itself.
pub(crate) fn section_name(name: &str) -> String {
    // `_normalize_group_name` in `oslo_config/cfg.py`.
    if name == "DEFAULT" {
        name.to_owned()
    } else {
        name.to_lowercase()
    }
}

fn unquote(value: &str) -> String {
    let value = value.trim_matches(is_space);
    // `iniparser`: the value begins and ends with the same quote; what is between may hold more of them.
    let inner = ['"', '\''].iter().find_map(|quote| {
        let rest = value.strip_prefix(*quote)?;
        // A quote alone opens and closes at once.
        rest.strip_suffix(*quote)
            .or(rest.is_empty().then_some(rest))
    });
    inner.unwrap_or(value).to_owned()
}

/// `name = value`, as an option looks; not `name:value`, which is a piece of a dictionary.
fn is_assignment(text: &str) -> bool {
    let name = text.split_once('=').map(|(name, _)| name.trim_end());
    name.is_some_and(|name| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
    })
}

/// Python's `str.isspace`, which counts four control characters more than Rust.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;
    use crate::oslo::layers::Layers;
    use crate::oslo::layers::Origin;

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
        Ok(layers.deserialize().unwrap().into_texts())
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
    fn what_is_hardly_meant_is_noticed() {
        for (text, expected) in [
            (
                "[g]\nk = v\n # a\n b\n\t; c",
                vec![(3, Oddity::Comment), (5, Oddity::Comment)],
            ),
            ("[g]\nk = v\n  port = 1", vec![(3, Oddity::Option)]),
            ("[g]\nk = a:b,\n  c:d=e\n  http://h?a=b\n  UPPER=1", vec![]),
            (
                "[g]\nk = 1\n[h]\nk = 1\n[G]",
                vec![(5, Oddity::SectionAgain(1))],
            ),
            (
                "[g]\nk = 1\nk = 2\nk: 3",
                vec![(3, Oddity::OptionAgain(2)), (4, Oddity::OptionAgain(3))],
            ),
        ] {
            assert_eq!(parse(text).oddities, expected, "{text:?}");
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
        }
    }
}
