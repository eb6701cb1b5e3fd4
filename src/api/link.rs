//! Rewrites links that a location made, so that they point at the gateway, and the names of conductor groups.
//!
//! Links are found by structure: only in the members that hold links in a resource of its [`Kind`], never by what a
//! text looks like. A URL in `extra`, `driver_info` or a name is user data and stays unchanged.

use std::borrow::Cow;
use std::ops::Range;

use indexmap::IndexSet;

use crate::api::groups::GroupNames;
use crate::api::json::{self, Heeded, Malformed, Quoted, Reader, Span, Type};

/// Where a Bare Metal API begins: scheme, authority and path prefix, without a slash at the end. `/v1` follows.
///
/// Holds only printable ASCII without `"`, `\`, `<`, `>`, `?` and `#`, so it can be put into JSON and headers
/// as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Base {
    text: Box<str>,
    /// Where the path prefix begins; the length of `text` if there is none.
    prefix: usize,
}

/// How a location speaks of itself: where its links begin, and what it calls conductor groups.
#[derive(Clone, Copy, Debug)]
pub struct Dialect<'a> {
    pub base: &'a Base,
    /// `None`: as the gateway calls them.
    pub groups: Option<&'a GroupNames>,
}

impl<'a> From<&'a Base> for Dialect<'a> {
    fn from(base: &'a Base) -> Self {
        Self { base, groups: None }
    }
}

/// The text is no `http://` or `https://` URL that could be a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an http(s) URL without query")]
pub struct NotABase;

/// What may hold links in a document, by the resource it describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Node,
    Portgroup,
    Chassis,
    Driver,
    Conductor,
    /// Ironic 39 links rules as `/v1/inspection/<uuid>`, a path it does not serve.
    InspectionRule,
    /// `/v1/volume` and `/v1/nodes/<ident>/volume`, which hold nothing but links.
    VolumeRoot,
    /// `/v1/nodes/<ident>/bios/<setting>`: the setting's name is the only member.
    BiosSetting,
    /// A list within an envelope that is no collection: BIOS settings, indicators.
    Listing,
    /// `/v1/drivers`, whole.
    Drivers,
    /// What a ramdisk gets from `lookup` and `continue_inspection`: a node inside.
    Ramdisk,
    /// Everything else: ports, allocations, deploy templates, runbooks, volume connectors and
    /// targets, history, BIOS settings in a list, indicators, children, and what newer Ironics may add. Only
    /// `links` holds links; a `properties` here is user data.
    Plain,
}

/// What a member of a document means for links.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Links,
    Document(Kind),
    /// A list of resources.
    Documents(Kind),
    /// The name of a conductor group.
    Group,
    Data,
}

impl Base {
    pub fn parse(text: &str) -> Result<Self, NotABase> {
        let text = text.trim_end_matches('/');
        let authority = after_scheme(text).ok_or(NotABase)?;
        let clean = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"\\<>?#".contains(&byte));
        if !clean || authority.is_empty() || authority.starts_with('/') {
            return Err(NotABase);
        }
        let prefix = authority.find('/').unwrap_or(authority.len());
        Ok(Self {
            text: text.into(),
            prefix: text.len() - authority.len() + prefix,
        })
    }

    /// The base that a location uses for its own links, read from its version document (`GET /`):
    /// `default_version.links[0].href` without `/v1/`. `None` if the document has no such link.
    pub fn learn(body: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut href = None;
        let mut reader = Reader::new(body)?;
        reader.members(|reader, key| {
            if !key.is("default_version") || reader.peek()? != Type::Object {
                return reader.value().map(drop);
            }
            reader
                .members(|reader, key| {
                    if !key.is("links") {
                        return reader.value().map(drop);
                    }
                    each_href(reader, "", &mut |quoted| {
                        href.get_or_insert(quoted.span);
                    })
                    .map(drop)
                })
                .map(drop)
        })?;
        reader.end()?;
        let Some(href) = href.and_then(|span| json::decode(span.of(body))) else {
            return Ok(None);
        };
        let base = href.trim_end_matches('/').strip_suffix("/v1");
        Ok(base.and_then(|base| Self::parse(base).ok()))
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The base of what is below a path of ours, which begins with a slash and is as clean as a base.
    #[must_use]
    pub fn below(&self, path: &str) -> Self {
        Self {
            text: format!("{}{path}", self.text).into(),
            prefix: self.prefix,
        }
    }

    fn prefix(&self) -> &str {
        self.text.get(self.prefix..).unwrap_or_default()
    }
}

impl Kind {
    /// Which members mean something, of those that do not have the same meaning whatever they are called.
    fn words(self) -> &'static [(&'static str, Place)] {
        // What is a list of links in Ironic: `node.py` (`ports`, `states`, `portgroups`, `volume`), `chassis.py` (`nodes`),
        // `driver.py` (`properties`). Elsewhere these names are a user's data.
        match self {
            Self::Node => &[
                ("links", Place::Links),
                ("ports", Place::Links),
                ("portgroups", Place::Links),
                ("states", Place::Links),
                ("volume", Place::Links),
                ("conductor_group", Place::Group),
            ],
            Self::Portgroup => &[("links", Place::Links), ("ports", Place::Links)],
            Self::Chassis => &[("links", Place::Links), ("nodes", Place::Links)],
            Self::Driver => &[("links", Place::Links), ("properties", Place::Links)],
            Self::Conductor => &[("links", Place::Links), ("conductor_group", Place::Group)],
            Self::VolumeRoot => &[
                ("links", Place::Links),
                ("connectors", Place::Links),
                ("targets", Place::Links),
            ],
            Self::Ramdisk => &[
                ("links", Place::Links),
                ("node", Place::Document(Self::Node)),
            ],
            Self::InspectionRule | Self::Listing | Self::Drivers | Self::Plain => {
                &[("links", Place::Links)]
            }
            Self::BiosSetting => &[],
        }
    }

    fn others(self) -> Place {
        match self {
            Self::BiosSetting => Place::Document(Self::Plain),
            Self::Listing => Place::Documents(Self::Plain),
            Self::Drivers => Place::Documents(Self::Driver),
            _ => Place::Data,
        }
    }

    pub(crate) fn place(self, key: &[u8]) -> Place {
        let known = self.words().iter().find(|(word, _)| word.as_bytes() == key);
        known.map_or_else(|| self.others(), |(_, place)| *place)
    }

    /// Members that are more than data to a location that speaks so.
    pub(crate) fn heeded(self, from: Dialect<'_>) -> Heeded {
        let is_meant = |place: &Place| from.groups.is_some() || !matches!(place, Place::Group);
        match self.others() {
            Place::Data => {
                let words = self.words().iter().filter(|(_, place)| is_meant(place));
                words.fold(Heeded::NONE, |heeded, (word, _)| heeded.with(word))
            }
            _ => Heeded::ALL,
        }
    }
}

/// Points every link of `body`, one resource of `kind` or a list of them, from the location's base at ours. `None`: nothing
/// to change.
pub fn rewrite_document(
    kind: Kind,
    body: &[u8],
    from: Dialect<'_>,
    to: &Base,
) -> Result<Option<Vec<u8>>, Malformed> {
    let mut linking = Linking::new(from);
    let mut reader = Reader::new(body)?;
    if reader.peek()? == Type::List {
        read_member(&mut reader, (kind, Place::Documents(kind)), &mut linking)?;
    } else {
        read_value(&mut reader, kind, &mut linking)?;
    }
    reader.end()?;
    let cuts = linking.cuts;
    if cuts.len() == 0 {
        return Ok(None);
    }
    let whole = || Stretch {
        span: Span::new(0, json::offset(body.len())),
        cuts: 0..cuts.len(),
        masks: &[],
    };
    let mut length = 0;
    cuts.each(body, whole(), to, |part| length += part.len());
    let mut out = Vec::with_capacity(length);
    cuts.each(body, whole(), to, |part| out.extend_from_slice(part));
    Ok(Some(out))
}

/// Points the value of a `Location` header at the gateway. A value that is no URL of a Bare Metal API stays.
pub fn rewrite_location<'v>(value: &'v str, from: &Base, to: &Base) -> Cow<'v, str> {
    match after_base(value, from) {
        Some(path) => Cow::Owned(format!("{}{path}", to.as_str())),
        None => Cow::Borrowed(value),
    }
}

/// A location's document while its links are read.
#[derive(Debug)]
pub(crate) struct Linking<'a> {
    pub(crate) from: Dialect<'a>,
    pub(crate) cuts: Cuts,
}

impl<'a> Linking<'a> {
    pub(crate) fn new(from: Dialect<'a>) -> Self {
        Self {
            from,
            cuts: Cuts::with_room(),
        }
    }
}

/// Reads a value that should be a resource of `kind`, noting its links.
fn read_value(
    reader: &mut Reader<'_>,
    kind: Kind,
    linking: &mut Linking<'_>,
) -> Result<Span, Malformed> {
    if reader.peek()? != Type::Object {
        return reader.value();
    }
    reader.members(|reader, key| {
        let place = kind.place(&key.name());
        read_member(reader, (kind, place), linking).map(drop)
    })
}

/// Reads the value of a member of a resource of `kind`, noting its links.
pub(crate) fn read_member(
    reader: &mut Reader<'_>,
    (kind, place): (Kind, Place),
    linking: &mut Linking<'_>,
) -> Result<Span, Malformed> {
    let body = reader.body();
    match place {
        Place::Document(kind) => read_value(reader, kind, linking),
        Place::Documents(kind) if reader.peek()? == Type::List => {
            reader.elements(|reader| read_value(reader, kind, linking).map(drop))
        }
        Place::Data | Place::Documents(_) => reader.value(),
        Place::Links => {
            let Linking { from, cuts } = linking;
            let mut href = |href| cuts.link(kind, body, href, from.base);
            each_href(reader, &from.base.text, &mut href)
        }
        Place::Group => match linking.from.groups {
            Some(groups) if reader.peek()? == Type::String => {
                let name = reader.value()?;
                linking.cuts.group(name, body, groups);
                Ok(name)
            }
            _ => reader.value(),
        },
    }
}

/// Reads a link, a list of links, or a list of such lists (`nodes` of a chassis). Most begin with `known`.
fn each_href(
    reader: &mut Reader<'_>,
    known: &str,
    href: &mut impl FnMut(Quoted),
) -> Result<Span, Malformed> {
    match reader.peek()? {
        Type::List => reader.elements(|reader| each_href(reader, known, href).map(drop)),
        Type::Object => {
            if let Some((link, quoted)) = reader.attempt(|reader| usual_link(reader, known)) {
                href(quoted);
                return Ok(link);
            }
            reader.members(|reader, key| {
                if key.is("href") && reader.peek()? == Type::String {
                    href(reader.string()?);
                } else {
                    reader.value()?;
                }
                Ok(())
            })
        }
        Type::String | Type::Scalar => reader.value(),
    }
}

/// A link as Ironic writes nearly all, and its `href`. To look for names and kinds of values in it took a third of what reading
/// a node took.
fn usual_link(reader: &mut Reader<'_>, known: &str) -> Option<(Span, Quoted)> {
    let start = reader.literally(br#"{"href": "#)?.start;
    let href = reader.string_like(known)?;
    reader.literally(br#", "rel": "#)?;
    let end = reader
        .literally(br#""self"}"#)
        .or_else(|| reader.literally(br#""bookmark"}"#))?
        .end;
    Some((Span::new(start, end), href))
}

/// Parts of a body that leave it when it is written, in order, and what takes their place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cuts {
    parts: Vec<Cut>,
    tails: Vec<String>,
    /// Only of a location that has other names for them.
    groups: Option<Box<Groups>>,
}

/// Names of groups that a body holds, each once.
#[derive(Clone, Debug, Default)]
struct Groups {
    // A location may make up a group for every item of a page: finding a name must not cost more with each.
    /// In the gateway's words, as JSON.
    told: IndexSet<Box<str>>,
    /// Those without a name at the gateway, as the location calls them.
    strangers: IndexSet<Box<str>>,
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    start: u32,
    end: u32,
    with: With,
}

#[derive(Clone, Copy, Debug)]
enum With {
    Nothing,
    /// Our base.
    Base,
    /// Our base and this entry of `tails`, which is escaped as JSON wants it.
    BaseAnd(u32),
    /// This entry of `groups.told`.
    Group(u32),
}

/// A value that is not shown, and what stands in its place.
#[derive(Clone, Debug)]
pub struct Mask {
    pub(crate) at: Span,
    pub text: Cow<'static, str>,
}

impl Mask {
    pub(crate) fn start(&self) -> u32 {
        self.at.start
    }
}

/// One stretch of a body, which cuts lie in it, and what else is hidden there.
#[derive(Clone, Debug)]
pub(crate) struct Stretch<'m> {
    pub(crate) span: Span,
    pub(crate) cuts: Range<usize>,
    /// In order; none begins or ends within a cut.
    pub(crate) masks: &'m [Mask],
}

impl Cuts {
    /// For those of a resource with a few lists below it.
    fn with_room() -> Self {
        Self {
            parts: Vec::with_capacity(16),
            ..Self::default()
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Leaves out what is between `start` and `end`.
    pub(crate) fn omit(&mut self, start: u32, end: u32) {
        match self.parts.last_mut() {
            Some(last) if matches!(last.with, With::Nothing) && last.end == start => last.end = end,
            _ => self.parts.push(Cut {
                start,
                end,
                with: With::Nothing,
            }),
        }
    }

    /// Gives back the memory that growing took in advance.
    pub(crate) fn shrink(&mut self) {
        self.parts.shrink_to_fit();
        self.tails.shrink_to_fit();
    }

    /// What one stretch of `body` is written as, part by part.
    pub(crate) fn each(
        &self,
        body: &[u8],
        stretch: Stretch<'_>,
        to: &Base,
        mut part: impl FnMut(&[u8]),
    ) {
        let Stretch {
            span,
            cuts,
            mut masks,
        } = stretch;
        let mut cuts = self.parts.get(cuts).unwrap_or_default();
        let mut at = span.start;
        loop {
            let (start, end, with) = match (cuts, masks) {
                ([cut, rest @ ..], _)
                    if masks.first().is_none_or(|mask| cut.start < mask.start()) =>
                {
                    cuts = rest;
                    (cut.start, cut.end, self.replacement(cut, to))
                }
                (_, [mask, rest @ ..]) => {
                    masks = rest;
                    (mask.at.start, mask.at.end, [&*mask.text, ""])
                }
                _ => break,
            };
            // Something larger took its place.
            if start < at {
                continue;
            }
            part(Span::new(at, start).of(body));
            for text in with {
                part(text.as_bytes());
            }
            at = end;
        }
        part(Span::new(at, span.end).of(body));
    }

    /// Those of one stretch, for a body of this stretch alone.
    pub(crate) fn alone(&self, stretch: Stretch<'_>) -> Self {
        let parts = self.parts.get(stretch.cuts).unwrap_or_default();
        let shift = |cut: &Cut| Cut {
            start: cut.start - stretch.span.start,
            end: cut.end - stretch.span.start,
            with: cut.with,
        };
        let mut alone = Self {
            parts: parts.iter().map(shift).collect(),
            tails: Vec::new(),
            groups: None,
        };
        for part in &mut alone.parts {
            match &mut part.with {
                With::BaseAnd(tail) => {
                    let text = self.tails.get(*tail as usize).cloned().unwrap_or_default();
                    *tail = json::offset(alone.tails.len());
                    alone.tails.push(text);
                }
                With::Group(group) => {
                    let known = alone.groups.get_or_insert_default();
                    let (at, _) = known.told.insert_full(self.told(*group).into());
                    *group = json::offset(at);
                }
                With::Nothing | With::Base => {}
            }
        }
        alone
    }

    fn replacement<'t>(&'t self, cut: &Cut, to: &'t Base) -> [&'t str; 2] {
        match cut.with {
            With::Nothing => ["", ""],
            With::Base => [&to.text, ""],
            With::Group(group) => [self.told(group), ""],
            With::BaseAnd(tail) => {
                let tail = self.tails.get(tail as usize);
                [&to.text, tail.map_or("", String::as_str)]
            }
        }
    }

    /// Notes a conductor group that has another name at the gateway.
    fn group(&mut self, span: Span, body: &[u8], groups: &GroupNames) {
        if let Some(group) = self.translate(span, body, groups) {
            self.parts.push(Cut {
                start: span.start,
                end: span.end,
                with: With::Group(group),
            });
        }
    }

    /// Where the gateway's name for the group at `span` is kept; `None`: it is the location's own.
    fn translate(&mut self, span: Span, body: &[u8], groups: &GroupNames) -> Option<u32> {
        let theirs = json::decode(span.of(body))?;
        if !groups.is_mapped(&theirs) {
            let known = self.groups.get_or_insert_default();
            known.strangers.insert((&*theirs).into());
        }
        let ours = groups.ours(&theirs);
        if ours == theirs {
            return None;
        }
        let text = format!("\"{}\"", json::escape(&ours));
        let known = self.groups.get_or_insert_default();
        let (at, _) = known.told.insert_full(text.into());
        Some(json::offset(at))
    }

    fn told(&self, group: u32) -> &str {
        let known = self.groups.as_ref();
        let told = known.and_then(|known| known.told.get_index(group as usize));
        told.map_or("", |text| text)
    }

    /// Groups without a name at the gateway.
    pub(crate) fn strangers(&self) -> impl Iterator<Item = &str> {
        let known = self.groups.iter().flat_map(|known| &known.strangers);
        known.map(|group| &**group)
    }

    /// What stands for the group's name at `span` where it is read and not written.
    pub(crate) fn shown(&mut self, span: Span, body: &[u8], groups: &GroupNames) -> Span {
        self.translate(span, body, groups)
            .map_or(span, |group| Span::new(u32::MAX, group))
    }

    /// What [`shown`](Self::shown) stands for.
    pub(crate) fn of<'b>(&'b self, shown: Span, body: &'b [u8]) -> &'b [u8] {
        // No body is so long.
        if shown.start == u32::MAX {
            self.told(shown.end).as_bytes()
        } else {
            shown.of(body)
        }
    }

    /// Notes the link whose `href` is `quoted`.
    fn link(&mut self, kind: Kind, body: &[u8], quoted: Quoted, from: &Base) {
        let start = quoted.span.start + 1;
        let end = quoted.span.end - 1;
        if kind != Kind::InspectionRule && !quoted.escaped {
            // Nearly every link is this one: the known base and a path.
            let href = Span::new(start, end).of(body);
            // A base that ends within a host or a segment is none: a slash has to follow, and only one.
            if let Some([b'/', next, ..]) = href.strip_prefix(from.text.as_bytes())
                && *next != b'/'
            {
                self.parts.push(Cut {
                    start,
                    end: start + json::offset(from.text.len()),
                    with: With::Base,
                });
                return;
            }
        }
        let Some(href) = json::decode(quoted.span.of(body)) else {
            return;
        };
        let Some(path) = after_base(&href, from) else {
            return;
        };
        let mended = match kind {
            Kind::InspectionRule => mended(path),
            _ => None,
        };
        if mended.is_none() && !quoted.escaped {
            self.parts.push(Cut {
                start,
                end: end - json::offset(path.len()),
                with: With::Base,
            });
            return;
        }
        self.parts.push(Cut {
            start,
            end,
            with: With::BaseAnd(json::offset(self.tails.len())),
        });
        self.tails
            .push(json::escape(mended.as_deref().unwrap_or(path)));
    }
}

/// What follows the base in `href`: empty, or from a `/` or `?` on. `None` if `href` is no URL of a Bare Metal
/// API.
///
/// A location behind a proxy may link to a base other than the one it is known by. Then the API begins at
/// `/v1/`; without that (bookmarks) behind the authority and the known prefix.
fn after_base<'h>(href: &'h str, from: &Base) -> Option<&'h str> {
    let begins = |rest: &str| rest.is_empty() || rest.starts_with(['/', '?']);
    if let Some(rest) = href.strip_prefix(&*from.text)
        && begins(rest)
    {
        // A prefix that ends in a slash makes Ironic write `//v1`.
        let slashes = rest.bytes().take_while(|byte| *byte == b'/').count();
        return rest.get(slashes.saturating_sub(1)..);
    }
    let path = match after_scheme(href) {
        Some(authority) => {
            authority.get(authority.find(['/', '?', '#']).unwrap_or(authority.len())..)?
        }
        None if href.starts_with('/') => href,
        None => return None,
    };
    let end = path.find(['?', '#']).unwrap_or(path.len());
    let only_path = path.get(..end)?;
    if let Some(at) = only_path.find("/v1/") {
        return path.get(at..);
    }
    let is_of_a_collection = only_path
        .split('/')
        .any(|segment| BEGINNINGS.contains(&segment));
    // Something may be called `v1`.
    if only_path.ends_with("/v1") && !is_of_a_collection {
        return path.get(end - "/v1".len()..);
    }
    let rest = match path.strip_prefix(from.prefix()) {
        Some(rest) if begins(rest) => rest,
        _ => path,
    };
    // A prefix that the location never told of: the API begins at the first word that begins one of its paths.
    let mut at = 0;
    for segment in rest.split_inclusive('/') {
        if at > 0 && BEGINNINGS.contains(&segment.trim_end_matches(['/', '?'])) {
            return rest.get(at - 1..);
        }
        at += segment.len();
    }
    Some(rest)
}

/// How paths of the API go on behind `/v1`.
const BEGINNINGS: &[&str] = &[
    "allocations",
    "chassis",
    "conductors",
    "deploy_templates",
    "drivers",
    "inspection",
    "inspection_rules",
    "nodes",
    "portgroups",
    "ports",
    "runbooks",
    "shards",
    "volume",
];

fn after_scheme(url: &str) -> Option<&str> {
    url.strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
}

/// The path at which Ironic serves the inspection rule that it links as `path`.
fn mended(path: &str) -> Option<String> {
    let (version, rest) = match path.strip_prefix("/v1") {
        Some(rest) => ("/v1", rest),
        None => ("", path),
    };
    let rule = rest.strip_prefix("/inspection/")?;
    Some(format!("{version}/inspection_rules/{rule}"))
}

#[cfg(test)]
mod tests;
