//! Splits a location's list into items, and writes the merged list.

use std::borrow::Cow;

use bytes::Bytes;

use crate::api::json::{self, Key, Malformed, Reader, Span, Type};
use crate::api::link::{Base, Cuts, Dialect, Kind, Stretch, read_member};

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
}

/// The members that an item is written with.
#[derive(Clone, Copy, Debug)]
pub enum Keep<'a> {
    All,
    /// These and `links`, which Ironic always adds.
    Only(&'a [&'a str]),
}

/// One answer of a location to a list, taken apart but not copied.
#[derive(Debug)]
pub struct Page {
    body: Bytes,
    entries: Vec<Entry>,
    cuts: Cuts,
    has_next: bool,
}

/// One item of a [`Page`].
#[derive(Clone, Copy, Debug)]
pub struct Item<'p> {
    body: &'p [u8],
    entry: &'p Entry,
    cuts: &'p Cuts,
}

/// A single resource, as [`Page`] is for many.
#[derive(Clone, Debug)]
pub struct Document {
    body: Bytes,
    entry: Entry,
    cuts: Cuts,
}

/// Where an item is in its body. Empty spans stand for members it does not have.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    item: Span,
    id: Span,
    name: Span,
    /// As [`Cuts::shown`] gives it.
    sort: Span,
    has_links: bool,
    first_cut: u32,
    end_cut: u32,
}

impl Page {
    /// Takes apart `body`, an object whose member `key` is the list.
    pub fn decode(body: Bytes, key: &str, need: &Need<'_>) -> Result<Self, Malformed> {
        let mut reader = Reader::new(&body)?;
        let mut entries = None;
        let mut cuts = Cuts::default();
        let mut has_next = false;
        reader.members(|reader, member| {
            if member.is(key) {
                if reader.peek()? != Type::List {
                    return Err(Malformed::List);
                }
                let mut found = Vec::new();
                reader.elements(|reader| {
                    found.push(read_entry(reader, need, &mut cuts)?);
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
        cuts.shrink();
        Ok(Self {
            body,
            entries,
            cuts,
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
        self.cuts.strangers()
    }

    /// Whether the location has more after this page.
    pub fn has_next(&self) -> bool {
        self.has_next
    }

    pub fn item(&self, index: usize) -> Option<Item<'_>> {
        self.entries.get(index).map(|entry| self.view(entry))
    }

    pub fn items(&self) -> impl ExactSizeIterator<Item = Item<'_>> + DoubleEndedIterator + Clone {
        self.entries.iter().map(|entry| self.view(entry))
    }

    /// Forgets items; they are no longer of the page.
    pub fn retain(&mut self, mut keep: impl FnMut(&Item<'_>) -> bool) {
        let (body, cuts) = (&self.body, &self.cuts);
        self.entries
            .retain(|entry| keep(&Item { body, entry, cuts }));
    }

    fn view<'p>(&'p self, entry: &'p Entry) -> Item<'p> {
        Item {
            body: &self.body,
            entry,
            cuts: &self.cuts,
        }
    }
}

impl Document {
    /// Reads `body`, one resource.
    pub fn decode(body: Bytes, need: &Need<'_>) -> Result<Self, Malformed> {
        let mut cuts = Cuts::default();
        let mut reader = Reader::new(&body)?;
        let mut entry = read_entry(&mut reader, need, &mut cuts)?;
        reader.end()?;
        // Blanks around the resource are the location's too.
        entry.item = Span::new(0, json::offset(body.len()));
        Ok(Self { body, entry, cuts })
    }

    pub fn item(&self) -> Item<'_> {
        Item {
            body: &self.body,
            entry: &self.entry,
            cuts: &self.cuts,
        }
    }

    /// Conductor groups in it that have no name at the gateway.
    pub fn strangers(&self) -> impl Iterator<Item = &str> {
        self.cuts.strangers()
    }

    /// The body in our words, its links pointed at `to`; the same bytes if nothing changes.
    pub fn into_body(self, to: &Base) -> Bytes {
        if self.cuts.len() == 0 {
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
        json::decode(self.entry.id.of(self.body))
    }

    /// The item's `name`, if that is a string.
    pub fn name(&self) -> Option<Cow<'p, str>> {
        json::decode(self.entry.name.of(self.body))
    }

    /// Whether it has `links`, which Ironic gives to every member.
    pub fn has_links(&self) -> bool {
        self.entry.has_links
    }

    /// The value of the sort key as clients are shown it, raw; `None` if the item has no such member.
    pub fn sort_value(&self) -> Option<&'p [u8]> {
        let raw = self.cuts.of(self.entry.sort, self.body);
        (!raw.is_empty()).then_some(raw)
    }

    /// The item as the location wrote it.
    pub fn text(&self) -> &'p [u8] {
        self.entry.item.of(self.body)
    }

    /// Writes the item byte for byte, but for its links, which point at `to`, and for members that
    /// [`Need::keep`] leaves out.
    pub fn write(&self, out: &mut Vec<u8>, to: &Base) {
        self.cuts.splice(self.body, self.stretch(), to, out);
    }

    /// How many bytes [`write`](Self::write) adds.
    pub fn length(&self, to: &Base) -> usize {
        self.cuts.length(self.stretch(), to)
    }

    fn stretch(&self) -> Stretch {
        Stretch {
            span: self.entry.item,
            cuts: self.entry.first_cut as usize..self.entry.end_cut as usize,
        }
    }
}

fn read_entry(
    reader: &mut Reader<'_>,
    need: &Need<'_>,
    cuts: &mut Cuts,
) -> Result<Entry, Malformed> {
    let mut entry = Entry {
        first_cut: json::offset(cuts.len()),
        ..Entry::default()
    };
    let body = reader.body();
    entry.item = if reader.peek()? == Type::Object {
        // Up to where it is settled what is written, once a member is; and where the first that is left out begins.
        let mut written = None;
        let mut first = None;
        let item = reader.members(|reader, key| {
            let value;
            if need.keeps(&key) {
                if written.is_none()
                    && let Some(start) = first
                {
                    cuts.omit(start, key.start);
                }
                value = read_member(reader, need.kind, &key, need.from, cuts)?;
                written = Some(value.end);
            } else {
                first.get_or_insert(key.start);
                value = reader.value()?;
                if let Some(end) = written.as_mut() {
                    cuts.omit(*end, value.end);
                    *end = value.end;
                }
            }
            // Of a repeated member the last one counts, as for Python's parser.
            if key.is(need.id) {
                entry.id = value;
            }
            if key.is("name") {
                entry.name = value;
            }
            entry.has_links |= key.is("links");
            if need.sort_key.is_some_and(|name| key.is(name)) {
                entry.sort = match need.from.groups {
                    Some(groups) if need.kind.names_group(&key) => cuts.shown(value, body, groups),
                    _ => value,
                };
            }
            Ok(())
        })?;
        if let (Some(start), None) = (first, written) {
            cuts.omit(start, item.end - 1);
        }
        item
    } else {
        return Err(Malformed::Syntax(reader.value()?.start));
    };
    entry.end_cut = json::offset(cuts.len());
    Ok(entry)
}

impl Need<'_> {
    fn keeps(&self, key: &Key<'_>) -> bool {
        match self.keep {
            Keep::All => true,
            Keep::Only(fields) => key.is("links") || fields.iter().any(|field| key.is(field)),
        }
    }
}

/// The collection `items` as Ironic writes it: `{"nodes": [{…}, {…}], "next": "…"}`. `next`: the whole URL of
/// the next page.
pub fn write_collection<'p>(
    key: &str,
    items: impl Iterator<Item = Item<'p>> + Clone,
    to: &Base,
    next: Option<&str>,
) -> Bytes {
    let length: usize = items.clone().map(|item| item.length(to)).sum();
    let capacity = length + 2 * items.clone().count() + AROUND;
    let mut writer = ListWriter::new(key, Vec::with_capacity(capacity));
    for item in items {
        writer.push(&item, to);
    }
    writer.finish(next).into()
}

/// What a list takes besides its items and what separates them: its key, and `next`. Without room for them growing at the
/// end would copy all there is.
pub const AROUND: usize = 4096;

/// [`write_collection`] step by step.
#[derive(Debug)]
pub struct ListWriter {
    out: Vec<u8>,
    empty: bool,
}

impl ListWriter {
    /// Writes to `out`, which is empty.
    pub fn new(key: &str, mut out: Vec<u8>) -> Self {
        out.extend_from_slice(b"{\"");
        out.extend_from_slice(json::escape(key).as_bytes());
        // With the blanks that Python's `json.dumps` puts between (`ironic/api/method.py`).
        out.extend_from_slice(b"\": [");
        Self { out, empty: true }
    }

    pub fn push(&mut self, item: &Item<'_>, to: &Base) {
        self.separate();
        item.write(&mut self.out, to);
    }

    /// Adds an item that is JSON already.
    pub fn push_raw(&mut self, item: &[u8]) {
        self.separate();
        self.out.extend_from_slice(item);
    }

    /// `next`: the whole URL of the next page.
    pub fn finish(mut self, next: Option<&str>) -> Vec<u8> {
        self.end(next);
        self.out.push(b'}');
        self.out
    }

    /// The same with the next page in another word too, `nodes_links` of `nodes`, which gophercloud reads.
    pub fn finish_linked(mut self, next: Option<&str>, key: &str) -> Vec<u8> {
        self.end(next);
        if let Some(next) = next {
            let (key, next) = (json::escape(key), json::escape(next));
            let links = format!(", \"{key}_links\": [{{\"rel\": \"next\", \"href\": \"{next}\"}}]");
            self.out.extend_from_slice(links.as_bytes());
        }
        self.out.push(b'}');
        self.out
    }

    fn end(&mut self, next: Option<&str>) {
        self.out.push(b']');
        if let Some(next) = next {
            self.out.extend_from_slice(b", \"next\": \"");
            self.out.extend_from_slice(json::escape(next).as_bytes());
            self.out.push(b'"');
        }
    }

    fn separate(&mut self) {
        if !self.empty {
            self.out.extend_from_slice(b", ");
        }
        self.empty = false;
    }
}

#[cfg(test)]
mod tests;
