//! Random documents for the property tests of `json`, `link` and `page`: any spacing, escapes, repeated keys,
//! and links both where Ironic makes them and where only users do.

use std::fmt::Write;

use proptest::prelude::*;

use crate::api::link::Kind;

/// A JSON document before it is text.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    /// A number or a word.
    Scalar(String),
    Text(String),
    /// A URL that a location may have made: how it looks there, and what follows the base.
    Url {
        shown: String,
        path: String,
    },
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// A document as text: as a location sends it, and as the gateway must pass it on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) sent: String,
    pub(crate) wanted: String,
}

pub(crate) const FROM: &str = "http://10.0.0.1:6385/metal";
pub(crate) const TO: &str = "https://bm.example.com/baremetal";

pub(crate) const KINDS: [Kind; 10] = [
    Kind::Node,
    Kind::Conductor,
    Kind::Portgroup,
    Kind::Chassis,
    Kind::Driver,
    Kind::InspectionRule,
    Kind::VolumeRoot,
    Kind::BiosSetting,
    Kind::Ramdisk,
    Kind::Plain,
];

/// Any document whose root is an object.
pub(crate) fn object() -> impl Strategy<Value = Tree> {
    prop::collection::vec((key(), tree()), 0..8).prop_map(Tree::Object)
}

/// Decides on spacing and escapes.
pub(crate) fn dice() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..64)
}

fn key() -> impl Strategy<Value = String> {
    let known = [
        "links",
        "href",
        "rel",
        "ports",
        "portgroups",
        "states",
        "volume",
        "nodes",
        "node",
        "properties",
        "connectors",
        "targets",
        "extra",
        "uuid",
        "name",
        "next",
    ];
    prop_oneof![
        4 => prop::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => text(),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![scalar(), text().prop_map(Tree::Text), url(), url(), url()];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::List),
            prop::collection::vec((key(), inner), 0..4).prop_map(Tree::Object),
            // What links look like in Ironic.
            url().prop_map(|url| {
                let rel = Tree::Text("self".to_owned());
                let link = Tree::Object(vec![("href".to_owned(), url), ("rel".to_owned(), rel)]);
                Tree::List(vec![link])
            }),
        ]
    })
}

fn scalar() -> impl Strategy<Value = Tree> {
    let words = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "12",
        "-3.50",
        "1e2",
        "2.5E-7",
        "12345678901234567890",
    ];
    prop::sample::select(words.to_vec()).prop_map(|word| Tree::Scalar(word.to_owned()))
}

/// Never a URL and never a path.
fn text() -> impl Strategy<Value = String> {
    "[a-z_]{0,9}[ \"/\\\\\u{e9}\u{1f5a7}\u{1}\n:{},]{0,3}[a-z]{0,12}"
        .prop_filter("no path", |text| !text.starts_with('/'))
}

fn url() -> impl Strategy<Value = Tree> {
    let id = "[a-z0-9.~-]{1,12}";
    (0..7, id).prop_map(|(form, id)| {
        let (shown, path) = match form {
            0 => (format!("{FROM}/v1/nodes/{id}"), format!("/v1/nodes/{id}")),
            1 => (
                format!("{FROM}/nodes/{id}\u{e9}"),
                format!("/nodes/{id}\u{e9}"),
            ),
            2 => (
                format!("https://else.where/x/v1/nodes/{id}"),
                format!("/v1/nodes/{id}"),
            ),
            3 => (
                format!("http://else.where/metal/nodes/{id}"),
                format!("/nodes/{id}"),
            ),
            4 => (
                format!("http://else.where/nodes/{id}"),
                format!("/nodes/{id}"),
            ),
            5 => (
                format!("{FROM}/v1/inspection/{id}"),
                format!("/v1/inspection/{id}"),
            ),
            _ => (
                format!("{FROM}//inspection/{id}"),
                format!("/inspection/{id}"),
            ),
        };
        Tree::Url { shown, path }
    })
}

/// What api.md 5 says of a place in a document.
#[derive(Clone, Copy)]
enum Spot {
    Resource(Kind),
    Links(Kind),
    Data,
}

impl Spot {
    fn member(self, key: &str) -> Self {
        let Self::Resource(kind) = self else {
            return Self::Data;
        };
        let links: &[&str] = match kind {
            Kind::Node => &["links", "ports", "portgroups", "states", "volume"],
            Kind::Portgroup => &["links", "ports"],
            Kind::Chassis => &["links", "nodes"],
            Kind::Driver => &["links", "properties"],
            Kind::VolumeRoot => &["links", "connectors", "targets"],
            Kind::Conductor | Kind::InspectionRule | Kind::Plain | Kind::Ramdisk => &["links"],
            // Of these two there is a table in `link.rs`; the random documents are resources.
            Kind::Listing | Kind::Drivers => &[],
            Kind::BiosSetting => return Self::Resource(Kind::Plain),
        };
        if kind == Kind::Ramdisk && key == "node" {
            Self::Resource(Kind::Node)
        } else if links.contains(&key) {
            Self::Links(kind)
        } else {
            Self::Data
        }
    }
}

impl Sample {
    pub(crate) fn new(tree: &Tree, kind: Kind, dice: &[u8]) -> Self {
        let mut sample = Self::default();
        sample.write(
            tree,
            Spot::Resource(kind),
            &mut dice.iter().cycle().copied(),
        );
        sample
    }

    fn write(&mut self, tree: &Tree, spot: Spot, dice: &mut impl Iterator<Item = u8>) {
        match tree {
            Tree::Scalar(word) => self.both(word),
            Tree::Text(text) => self.both(&quoted(text, dice)),
            Tree::Url { shown, .. } => self.both(&quoted(shown, dice)),
            Tree::List(items) => {
                self.both("[");
                for (index, item) in items.iter().enumerate() {
                    self.comma(index, dice);
                    // A list in a resource's place is none.
                    let inner = match spot {
                        Spot::Links(kind) => Spot::Links(kind),
                        Spot::Resource(_) | Spot::Data => Spot::Data,
                    };
                    self.write(item, inner, dice);
                }
                self.both(blank(dice));
                self.both("]");
            }
            Tree::Object(members) => {
                self.both("{");
                for (index, (key, value)) in members.iter().enumerate() {
                    self.comma(index, dice);
                    self.both(&quoted(key, dice));
                    self.both(blank(dice));
                    self.both(":");
                    self.both(blank(dice));
                    match (spot, key.as_str(), value) {
                        (Spot::Links(kind), "href", Tree::Url { shown, path }) => {
                            self.link(kind, &quoted(shown, dice), path);
                        }
                        _ => self.write(value, spot.member(key), dice),
                    }
                }
                self.both(blank(dice));
                self.both("}");
            }
        }
    }

    /// A link that must be changed. Spelt with escapes it is written anew, so only then may its spelling change.
    fn link(&mut self, kind: Kind, sent: &str, path: &str) {
        let path = match kind {
            Kind::InspectionRule => path.replace("/inspection/", "/inspection_rules/"),
            _ => path.to_owned(),
        };
        self.sent.push_str(sent);
        self.wanted.extend(["\"", TO, &path, "\""]);
    }

    fn comma(&mut self, index: usize, dice: &mut impl Iterator<Item = u8>) {
        if index > 0 {
            self.both(blank(dice));
            self.both(",");
        }
        self.both(blank(dice));
    }

    fn both(&mut self, text: &str) {
        self.sent.push_str(text);
        self.wanted.push_str(text);
    }
}

fn blank(dice: &mut impl Iterator<Item = u8>) -> &'static str {
    match dice.next() {
        Some(0..150) => "",
        Some(150..230) => " ",
        Some(230..240) => "\n\t",
        _ => "\r\n  ",
    }
}

/// `text` with quotes, now and then spelt with more escapes than it needs.
fn quoted(text: &str, dice: &mut impl Iterator<Item = u8>) -> String {
    let lavish = dice.next() > Some(200);
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\u{0}'..'\u{20}' => escape(u32::from(char), &mut out),
            '/' if lavish => out.push_str("\\/"),
            _ if lavish && dice.next() > Some(200) => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    escape(u32::from(*unit), &mut out);
                }
            }
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}

fn escape(unit: u32, out: &mut String) {
    write!(out, "\\u{unit:04x}").unwrap();
}
