//! Splits a location's list into items.

use std::borrow::Cow;

use bytes::Bytes;

use crate::api::json::shape::Shape;
use crate::api::json::{self, Heeded, Key, Malformed, Reader, Span, Type};
use crate::api::link::{Base, Cuts, Dialect, Kind, Linking, Mask, Place, Stretch, read_member};

/// Items of one list that are believed: no Ironic has as many. A location that makes them up is not read for ever, nor do its
/// empty items, of three bytes each, take a hundred each of memory that no budget counts.
pub const MOST_ITEMS: usize = 1_000_000;

/// What to take from each item of a [`Page`], or from a [`Document`].
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    pub kind: Kind,
    /// Of the location that answers.
    pub from: Dialect<'a>,
    /// The member that identifies an item: `uuid`, `hostname` (conductors) or `name` (drivers, shards).
    pub id: &'a str,
    pub sort_key: Option<&'a str>,
    pub keep: Keep<'a>,
    /// Members that are read and may be left out or masked.
    pub note: &'a [&'a str],
}

/// The members that an item is written with.
#[derive(Clone, Copy, Debug)]
pub enum Keep<'a> {
    All,
    /// These and `links`, which Ironic always adds.
    Only(&'a [&'a str]),
}

/// One answer of a location to a list, taken apart but not copied.
#[derive(Clone, Debug)]
pub struct Page {
    body: Bytes,
    entries: Vec<Entry>,
    extracts: Extracts,
    has_next: bool,
}

/// One item of a [`Page`].
#[derive(Clone, Copy, Debug)]
pub struct Item<'p> {
    body: &'p [u8],
    entry: &'p Entry,
    extracts: &'p Extracts,
}

/// What entries refer to.
#[derive(Clone, Debug, Default)]
struct Extracts {
    cuts: Cuts,
    /// Identifiers and names, side by side. A list of megabytes is in no cache any longer when they are asked for: to look
    /// for them in it took 6 % of a merge.
    idents: Vec<u8>,
    /// Where the members of [`Need::note`] are, for one item after the other; empty: it has no such member.
    noted: Vec<Span>,
}

impl Extracts {
    /// Gives back the memory that growing took in advance.
    fn shrunk(mut self) -> Self {
        self.cuts.shrink();
        self.idents.shrink_to_fit();
        self.noted.shrink_to_fit();
        self
    }
}

/// A UUID and a name.
const IDENTS: usize = 128;

/// Items that are being read.
#[derive(Debug)]
struct Reading<'a> {
    need: &'a Need<'a>,
    linking: Linking<'a>,
    idents: Vec<u8>,
    noted: Vec<Span>,
    shape: Shape<Role>,
}

/// A single resource, as [`Page`] is for many.
#[derive(Clone, Debug)]
pub struct Document {
    body: Bytes,
    entry: Entry,
    extracts: Extracts,
}

/// Where an item is in its body. Empty spans stand for members it does not have.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    item: Span,
    /// Of [`Extracts::idents`], as `name` is.
    id: Span,
    name: Span,
    /// As [`Cuts::shown`] gives it.
    sort: Span,
    has_links: bool,
    first_cut: u32,
    end_cut: u32,
    first_noted: u32,
    end_noted: u32,
}

impl Page {
    /// Takes apart `body`, an object whose member `key` is the list.
    pub fn decode(body: Bytes, key: &str, need: &Need<'_>) -> Result<Self, Malformed> {
        let mut reader = Reader::new(&body)?;
        let mut entries = None;
        let mut reading = Reading::new(need, Shape::of_many);
        let mut has_next = false;
        reader.members(|reader, member| {
            if member.is(key) {
                if reader.peek()? != Type::List {
                    return Err(Malformed::List);
                }
                let mut found = Vec::new();
                reader.elements(|reader| {
                    if found.len() == MOST_ITEMS {
                        return Err(Malformed::List);
                    }
                    found.push(reading.entry(reader)?);
                    Ok(())
                })?;
                entries = Some(found);
            } else {
                let value = reader.value()?;
                if member.is("next") {
                    has_next = matches!(value.of(&body), [b'"', _, _, ..]);
                }
            }
            Ok(())
        })?;
        reader.end()?;
        let mut entries = entries.ok_or(Malformed::List)?;
        entries.shrink_to_fit();
        Ok(Self {
            body,
            entries,
            extracts: reading.done().shrunk(),
            has_next,
        })
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Conductor groups on it that have no name at the gateway.
    pub fn strangers(&self) -> impl Iterator<Item = &str> {
        self.extracts.cuts.strangers()
    }

    /// Whether the location has more after this page.
    pub fn has_next(&self) -> bool {
        self.has_next
    }

    /// `index` is that of an item.
    pub(crate) fn at(&self, index: usize) -> Item<'_> {
        self.view(&self.entries[index])
    }

    pub fn items(&self) -> impl ExactSizeIterator<Item = Item<'_>> + DoubleEndedIterator + Clone {
        self.entries.iter().map(|entry| self.view(entry))
    }

    /// Forgets items; they are no longer of the page.
    pub fn retain(&mut self, mut keep: impl FnMut(&Item<'_>) -> bool) {
        let (body, extracts) = (&self.body, &self.extracts);
        self.entries.retain(|entry| {
            keep(&Item {
                body,
                entry,
                extracts,
            })
        });
    }

    fn view<'p>(&'p self, entry: &'p Entry) -> Item<'p> {
        Item {
            body: &self.body,
            entry,
            extracts: &self.extracts,
        }
    }
}

impl Document {
    /// Reads `body`, one resource.
    pub fn decode(body: Bytes, need: &Need<'_>) -> Result<Self, Malformed> {
        let mut reading = Reading::new(need, Shape::of_one);
        let mut reader = Reader::new(&body)?;
        let mut entry = reading.entry(&mut reader)?;
        reader.end()?;
        // Blanks around the resource are the location's too.
        entry.item = Span::new(0, json::offset(body.len()));
        Ok(Self {
            body,
            entry,
            extracts: reading.done(),
        })
    }

    pub fn item(&self) -> Item<'_> {
        Item {
            body: &self.body,
            entry: &self.entry,
            extracts: &self.extracts,
        }
    }

    /// Conductor groups in it that have no name at the gateway.
    pub fn strangers(&self) -> impl Iterator<Item = &str> {
        self.extracts.cuts.strangers()
    }

    /// The body in our words, its links pointed at `to`; the same bytes if nothing changes.
    pub fn into_body(self, to: &Base) -> Bytes {
        if self.extracts.cuts.len() == 0 {
            return self.body;
        }
        let mut out = Vec::with_capacity(self.item().length(to));
        self.item().write(&mut out, to);
        Bytes::from(out)
    }
}

impl<'p> Item<'p> {
    /// What identifies the item, if that is a string.
    pub fn id(&self) -> Option<Cow<'p, str>> {
        json::decode(self.entry.id.of(&self.extracts.idents))
    }

    /// The item's `name`, if that is a string.
    pub fn name(&self) -> Option<Cow<'p, str>> {
        json::decode(self.entry.name.of(&self.extracts.idents))
    }

    /// Whether it has `links`, which Ironic gives to every member.
    pub fn has_links(&self) -> bool {
        self.entry.has_links
    }

    /// The value of the sort key as clients are shown it, raw; `None` if the item has no such member.
    pub fn sort_value(&self) -> Option<&'p [u8]> {
        let raw = self.extracts.cuts.of(self.entry.sort, self.body);
        (!raw.is_empty()).then_some(raw)
    }

    /// The item as the location wrote it.
    pub fn text(&self) -> &'p [u8] {
        self.entry.item.of(self.body)
    }

    /// The value of a member that is among [`Need::note`], raw; `None` if the item has no such member.
    pub fn noted(&self, place: usize) -> Option<Noted<'p>> {
        let of_item = self.entry.first_noted as usize..self.entry.end_noted as usize;
        let span = *self.extracts.noted.get(of_item)?.get(place)?;
        (!span.is_empty()).then(|| Noted {
            span,
            raw: span.of(self.body),
        })
    }

    /// Writes the item byte for byte, but for its links, which point at `to`, and for members that
    /// [`Need::keep`] leaves out.
    pub fn write(&self, out: &mut Vec<u8>, to: &Base) {
        self.each_masked(to, &[], |part| out.extend_from_slice(part));
    }

    /// How many bytes [`write`](Self::write) adds.
    pub fn length(&self, to: &Base) -> usize {
        let mut length = 0;
        self.each_masked(to, &[], |part| length += part.len());
        length
    }

    /// What [`write`](Self::write) writes, part by part, with `masks` in place of what they hide. They are in order.
    pub(crate) fn each_masked(&self, to: &Base, masks: &[Mask], part: impl FnMut(&[u8])) {
        let cuts = &self.extracts.cuts;
        cuts.each(self.body, self.stretch(masks), to, part);
    }

    /// A page with nothing but this item, which does not hold the rest of this one.
    pub(crate) fn alone(&self) -> Page {
        let Entry { item, .. } = *self.entry;
        let shift = |span: Span| {
            // That of no member is no place.
            if span.is_empty() {
                span
            } else {
                Span::new(span.start - item.start, span.end - item.start)
            }
        };
        let noted = self.entry.first_noted as usize..self.entry.end_noted as usize;
        let noted = self.extracts.noted.get(noted).unwrap_or_default();
        let noted: Vec<Span> = noted.iter().copied().map(shift).collect();
        let cuts = self.extracts.cuts.alone(self.stretch(&[]));
        let mut idents = Vec::new();
        let [id, name] = [self.entry.id, self.entry.name]
            .map(|span| append(&mut idents, span.of(&self.extracts.idents)));
        let entry = Entry {
            item: shift(item),
            id,
            name,
            sort: Span::default(),
            has_links: self.entry.has_links,
            first_cut: 0,
            end_cut: json::offset(cuts.len()),
            first_noted: 0,
            end_noted: json::offset(noted.len()),
        };
        Page {
            body: Bytes::copy_from_slice(self.text()),
            entries: vec![entry],
            extracts: Extracts {
                cuts,
                idents,
                noted,
            },
            has_next: false,
        }
    }

    fn stretch<'m>(&self, masks: &'m [Mask]) -> Stretch<'m> {
        Stretch {
            masks,
            span: self.entry.item,
            cuts: self.entry.first_cut as usize..self.entry.end_cut as usize,
        }
    }
}

/// A member as the location wrote it.
#[derive(Clone, Copy, Debug)]
pub struct Noted<'p> {
    pub(crate) span: Span,
    pub raw: &'p [u8],
}

impl<'p> Noted<'p> {
    /// A value by itself.
    pub(crate) fn alone(raw: &'p [u8]) -> Self {
        let span = Span::new(0, json::offset(raw.len()));
        Self { span, raw }
    }

    pub fn is_object(&self) -> bool {
        self.raw.first() == Some(&b'{')
    }

    /// The members of an object, by their names; an empty one is a name that no text can hold.
    pub fn members(
        self,
        mut each: impl FnMut(&[u8], Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if !self.is_object() {
            return Ok(());
        }
        Reader::again(self.raw)
            .members(|reader, key| {
                let value = self.part(reader.value()?);
                each(&key.name(), value)
            })
            .map(drop)
    }

    /// The elements of a list.
    pub fn elements(
        self,
        mut each: impl FnMut(Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if self.raw.first() != Some(&b'[') {
            return Ok(());
        }
        Reader::again(self.raw)
            .elements(|reader| each(self.part(reader.value()?)))
            .map(drop)
    }

    fn part(self, part: Span) -> Self {
        let start = self.span.start;
        Self {
            span: Span::new(start + part.start, start + part.end),
            raw: part.of(self.raw),
        }
    }

    /// Hides it behind a JSON value.
    pub fn mask(&self, text: &'static str) -> Mask {
        Mask {
            at: self.span,
            text: text.into(),
        }
    }
}

impl<'a> Reading<'a> {
    fn new(need: &'a Need<'a>, shape: fn(Heeded) -> Shape<Role>) -> Self {
        Self {
            need,
            linking: Linking::new(need.from),
            idents: Vec::with_capacity(IDENTS),
            noted: Vec::new(),
            shape: shape(need.heeded()),
        }
    }

    fn done(self) -> Extracts {
        Extracts {
            cuts: self.linking.cuts,
            idents: self.idents,
            noted: self.noted,
        }
    }

    fn entry(&mut self, reader: &mut Reader<'_>) -> Result<Entry, Malformed> {
        let Self {
            need,
            linking,
            idents,
            noted,
            shape,
        } = self;
        let mut entry = Entry {
            first_cut: json::offset(linking.cuts.len()),
            first_noted: json::offset(noted.len()),
            ..Entry::default()
        };
        noted.resize(noted.len() + need.note.len(), Span::default());
        entry.end_noted = json::offset(noted.len());
        let body = reader.body();
        entry.item = if reader.peek()? == Type::Object {
            // Up to where it is settled what is written, once a member is; and where the first that is left out begins.
            let mut written = None;
            let mut first = None;
            let item = reader.members_like(
                shape,
                |key| need.role(key),
                |reader, at, role| {
                    let value;
                    if role.is_kept {
                        if written.is_none()
                            && let Some(start) = first
                        {
                            linking.cuts.omit(start, at);
                        }
                        value = read_member(reader, (need.kind, role.place), linking)?;
                        written = Some(value.end);
                    } else {
                        first.get_or_insert(at);
                        value = reader.value()?;
                        if let Some(end) = written.as_mut() {
                            linking.cuts.omit(*end, value.end);
                            *end = value.end;
                        }
                    }
                    // Of a repeated member the last one counts, as for Python's parser.
                    if role.is_id {
                        entry.id = value;
                    }
                    if role.is_name {
                        entry.name = value;
                    }
                    entry.has_links |= role.is_links;
                    if let Some(note) = role.note {
                        let known = &mut noted[entry.first_noted as usize + note];
                        if !known.is_empty() {
                            return Err(Malformed::Repeated(at));
                        }
                        *known = value;
                    }
                    if role.is_sort_key {
                        entry.sort = match need.from.groups {
                            Some(groups) if matches!(role.place, Place::Group) => {
                                linking.cuts.shown(value, body, groups)
                            }
                            _ => value,
                        };
                    }
                    Ok(())
                },
            )?;
            if let (Some(start), None) = (first, written) {
                linking.cuts.omit(start, item.end - 1);
            }
            item
        } else {
            return Err(Malformed::Syntax(reader.value()?.start));
        };
        for ident in [&mut entry.id, &mut entry.name] {
            *ident = append(idents, ident.of(body));
        }
        entry.end_cut = json::offset(linking.cuts.len());
        Ok(entry)
    }
}

fn append(to: &mut Vec<u8>, part: &[u8]) -> Span {
    // What is no string identifies nothing.
    if part.first() != Some(&b'"') {
        return Span::default();
    }
    let start = json::offset(to.len());
    to.extend_from_slice(part);
    Span::new(start, json::offset(to.len()))
}

/// What a member is for.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one name may be several of these"
)]
struct Role {
    is_kept: bool,
    place: Place,
    is_id: bool,
    is_name: bool,
    is_links: bool,
    is_sort_key: bool,
    /// Where in [`Need::note`] it is.
    note: Option<usize>,
}

impl Need<'_> {
    fn role(&self, key: &Key<'_>) -> Role {
        Role {
            is_kept: self.keeps(key),
            place: self.kind.place(&key.name()),
            is_id: key.is(self.id),
            is_name: key.is("name"),
            is_links: key.is("links"),
            is_sort_key: self.sort_key.is_some_and(|name| key.is(name)),
            note: self.note.iter().position(|name| key.is(name)),
        }
    }

    /// What has a role other than to be written as it is.
    fn heeded(&self) -> Heeded {
        match self.keep {
            Keep::All => {
                let names = [self.id, "name", "links"].into_iter();
                let names = names.chain(self.sort_key).chain(self.note.iter().copied());
                names.fold(self.kind.heeded(self.from), Heeded::with)
            }
            Keep::Only(_) => Heeded::ALL,
        }
    }

    fn keeps(&self, key: &Key<'_>) -> bool {
        match self.keep {
            Keep::All => true,
            Keep::Only(fields) => key.is("links") || fields.iter().any(|field| key.is(field)),
        }
    }
}

#[cfg(test)]
mod tests;
