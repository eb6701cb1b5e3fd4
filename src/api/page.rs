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
    pub fn strangers(&self) -> &[Box<str>] {
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
    pub fn strangers(&self) -> &[Box<str>] {
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
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::api::json::random::{self, FROM, KINDS, Sample, TO};

    fn base(text: &str) -> Base {
        Base::parse(text).unwrap()
    }

    fn decode(body: &str, key: &str, kind: Kind, keep: Keep<'_>) -> Result<Page, Malformed> {
        let from = base(FROM);
        let need = Need {
            kind,
            from: (&from).into(),
            id: "uuid",
            sort_key: Some("provision_state"),
            keep,
        };
        Page::decode(Bytes::copy_from_slice(body.as_bytes()), key, &need)
    }

    fn written(page: &Page, key: &str, next: Option<&str>) -> String {
        let body = write_collection(key, page.items(), &base(TO), next);
        String::from_utf8(body.to_vec()).unwrap()
    }

    fn links(base: &str, id: &str) -> String {
        format!(
            r#"[{{"href": "{base}/v1/nodes/{id}", "rel": "self"}}, {{"href": "{base}/nodes/{id}", "rel": "bookmark"}}]"#
        )
    }

    fn node(base: &str, id: &str, name: &str, state: &str) -> String {
        let links = links(base, id);
        format!(
            r#"{{"uuid": "{id}", "instance_uuid": null, "maintenance": false, "power_state": null, "provision_state": {state}, "name": {name}, "links": {links}}}"#
        )
    }

    /// The bytes of a real answer: `GET /v1/nodes?limit=2`.
    fn two_nodes(base: &str) -> String {
        let first = node(base, "0001", "null", "\"enroll\"");
        let second = node(base, "0002", "\"s1-Beta\"", "null");
        format!(
            r#"{{"nodes": [{first}, {second}], "next": "{base}/v1/nodes?sort_key=id&limit=2&marker=0002"}}"#
        )
    }

    #[test]
    fn collection_is_written_as_ironic_writes_it() {
        let page = decode(&two_nodes(FROM), "nodes", Kind::Node, Keep::All).unwrap();
        let next = format!("{TO}/v1/nodes?sort_key=id&limit=2&marker=0002");
        assert_eq!(written(&page, "nodes", Some(&next)), two_nodes(TO));
        assert_eq!(
            written(&page, "nodes", Some("a\"b\\"))
                .split_once("], ")
                .unwrap()
                .1,
            r#""next": "a\"b\\"}"#
        );
        let whole = two_nodes(TO);
        let (without_next, _) = whole.rsplit_once(", \"next\"").unwrap();
        assert_eq!(written(&page, "nodes", None), format!("{without_next}}}"));
        let none = write_collection("nodes", std::iter::empty(), &base(TO), None);
        assert_eq!(none, r#"{"nodes": []}"#);
    }

    #[test]
    fn items_tell_what_a_merge_asks() {
        let page = decode(&two_nodes(FROM), "nodes", Kind::Node, Keep::All).unwrap();
        assert_eq!(page.len(), 2);
        assert!(page.has_next());
        let told: Vec<_> = page
            .items()
            .map(|item| (item.id(), item.name(), item.sort_value()))
            .collect();
        let first = (Some("0001".into()), None, Some(&b"\"enroll\""[..]));
        let second = (
            Some("0002".into()),
            Some("s1-Beta".into()),
            Some(&b"null"[..]),
        );
        assert_eq!(told, [first, second]);
        assert!(page.item(1).is_some() && page.item(2).is_none());
    }

    #[test]
    fn identifiers_come_from_the_item_itself() {
        let body = r#"{"nodes": [{"extra": {"uuid": "no", "name": "no"}, "u\u0075id": "\u0061", "name": "x", "name": "y"}, {"uuid": 7}]}"#;
        let page = decode(body, "nodes", Kind::Node, Keep::All).unwrap();
        let told: Vec<_> = page
            .items()
            .map(|item| {
                (
                    item.id().map(Cow::into_owned),
                    item.name().map(Cow::into_owned),
                )
            })
            .collect();
        let named = (Some("a".to_owned()), Some("y".to_owned()));
        assert_eq!(told, [named, (None, None)]);
        assert_eq!(written(&page, "nodes", None), body);
        assert!(decode(r#"{"nodes": [{}, "text"]}"#, "nodes", Kind::Node, Keep::All).is_err());
    }

    #[test]
    fn next_counts_only_if_it_is_a_link() {
        for (next, more) in [
            ("\"x\"", true),
            ("\"\"", false),
            ("null", false),
            ("7", false),
        ] {
            let body = format!(r#"{{"next": {next}, "nodes": []}}"#);
            let page = decode(&body, "nodes", Kind::Node, Keep::All).unwrap();
            assert_eq!(page.has_next(), more, "{next}");
        }
        assert!(
            !decode(r#"{"nodes": []}"#, "nodes", Kind::Node, Keep::All)
                .unwrap()
                .has_next()
        );
    }

    #[test]
    fn a_body_without_its_list_is_malformed() {
        let need = |body: &str| decode(body, "nodes", Kind::Node, Keep::All).map(|page| page.len());
        assert_eq!(need(r#"{"ports": []}"#), Err(Malformed::List));
        assert_eq!(need(r#"{"nodes": null}"#), Err(Malformed::List));
        assert_eq!(
            need(r#"{"nodes": [{}], "nodes": null}"#),
            Err(Malformed::List)
        );
        assert_eq!(need(r#"{"nodes": {"uuid": "a"}}"#), Err(Malformed::List));
        assert_eq!(
            need(r#"{"error_message": "{\"faultcode\": \"Client\"}"}"#),
            Err(Malformed::List)
        );
        assert_eq!(need("[]"), Err(Malformed::Syntax(0)));
        assert_eq!(need("<html></html>"), Err(Malformed::Syntax(0)));
        assert_eq!(
            need(r#"{"nodes": [{"uuid": "a"}, {"uuid"#),
            Err(Malformed::CutOff)
        );
        assert_eq!(need(r#"{"nodes": []} {"#), Err(Malformed::Syntax(14)));
        // The last of repeated members counts.
        assert_eq!(need(r#"{"nodes": [{}], "nodes": [{}, {}]}"#), Ok(2));
    }

    /// Case 17: what was only added to the question is not in the answer.
    #[test]
    fn members_nobody_asked_for_are_left_out() {
        let kept = |item: &str, fields: &[&str]| {
            let body = format!(r#"{{"nodes": [{item}, {item}]}}"#);
            let page = decode(&body, "nodes", Kind::Node, Keep::Only(fields)).unwrap();
            assert!(page.items().all(|item| item.id().as_deref() == Some("1")));
            let both = written(&page, "nodes", None);
            let inner = both
                .strip_prefix(r#"{"nodes": ["#)
                .unwrap()
                .strip_suffix("]}")
                .unwrap();
            let (one, other) = inner.split_at(inner.len() / 2 - 1);
            assert_eq!(format!(", {one}"), other);
            one.to_owned()
        };
        let item = format!(
            r#"{{"uuid": "1", "a": {{"x": "}}"}}, "b": 2, "links": {}}}"#,
            links(FROM, "1")
        );
        let links = format!(r#""links": {}"#, links(TO, "1"));
        assert_eq!(
            kept(&item, &["uuid", "a", "b"]),
            format!(r#"{{"uuid": "1", "a": {{"x": "}}"}}, "b": 2, {links}}}"#)
        );
        assert_eq!(
            kept(&item, &["a", "b"]),
            format!(r#"{{"a": {{"x": "}}"}}, "b": 2, {links}}}"#)
        );
        assert_eq!(
            kept(&item, &["uuid", "b"]),
            format!(r#"{{"uuid": "1", "b": 2, {links}}}"#)
        );
        assert_eq!(kept(&item, &["b"]), format!(r#"{{"b": 2, {links}}}"#));
        assert_eq!(kept(&item, &[]), format!("{{{links}}}"));
        assert_eq!(kept(r#"{"a": 1, "uuid": "1"}"#, &["a"]), r#"{"a": 1}"#);
        assert_eq!(
            kept(r#"{"a": 1, "b": 2, "uuid": "1", "c": 3}"#, &["a", "c"]),
            r#"{"a": 1, "c": 3}"#
        );
        assert_eq!(kept(r#"{"b": 1, "uuid": "1"}"#, &[]), "{}");
    }

    #[test]
    fn document_is_a_single_item() {
        let body = format!(" {}\n", node(FROM, "0001", "\"n\"", "\"active\""));
        let from = base(FROM);
        let need = Need {
            kind: Kind::Node,
            from: (&from).into(),
            id: "uuid",
            sort_key: None,
            keep: Keep::All,
        };
        let document = Document::decode(Bytes::from(body), &need).unwrap();
        assert_eq!(document.item().id().as_deref(), Some("0001"));
        assert_eq!(document.item().name().as_deref(), Some("n"));
        assert_eq!(document.item().sort_value(), None);
        let ours = format!(" {}\n", node(TO, "0001", "\"n\"", "\"active\""));
        assert_eq!(document.into_body(&base(TO)), ours);

        let plain = Document::decode(Bytes::from_static(b"{\"a\": 1}"), &need).unwrap();
        assert_eq!(plain.into_body(&base(TO)), "{\"a\": 1}");
        assert!(Document::decode(Bytes::from_static(b"{} {}"), &need).is_err());
    }

    /// A collection of resources of one kind, as sent and as wanted.
    fn collection() -> impl Strategy<Value = (Kind, String, Vec<String>)> {
        let kind = prop::sample::select(KINDS.to_vec());
        let items = prop::collection::vec((random::object(), random::dice()), 0..4);
        (kind, items, "[ \n]?", any::<bool>()).prop_map(|(kind, items, blank, next_first)| {
            let samples: Vec<Sample> = items
                .iter()
                .map(|(tree, dice)| Sample::new(tree, kind, dice))
                .collect();
            let sent: Vec<&str> = samples.iter().map(|sample| sample.sent.as_str()).collect();
            let list = format!("\"things\"{blank}:[{}]", sent.join(&format!(",{blank}")));
            let next = format!("\"next\": \"{FROM}/v1/x\"");
            let body = if next_first {
                format!("{{{next},{blank}{list}}}")
            } else {
                format!("{{{list}{blank}, {next}}}")
            };
            let wanted = samples.into_iter().map(|sample| sample.wanted).collect();
            (kind, body, wanted)
        })
    }

    proptest! {
        #[test]
        fn items_pass_byte_for_byte_but_for_links((kind, body, wanted) in collection()) {
            let page = decode(&body, "things", kind, Keep::All).unwrap();
            let collection = written(&page, "things", None);
            prop_assert_eq!(&collection, &format!("{{\"things\": [{}]}}", wanted.join(", ")));
            for (item, wanted) in page.items().zip(&wanted) {
                prop_assert_eq!(item.length(&base(TO)), wanted.len());
            }
        }

        #[test]
        fn only_what_was_asked_for_is_kept(
            (kind, body, wanted) in collection(),
            fields in prop::sample::subsequence(vec!["uuid", "name", "extra", "properties", "ports"], 0..5),
        ) {
            let page = decode(&body, "things", kind, Keep::Only(&fields)).unwrap();
            for (item, wanted) in page.items().zip(&wanted) {
                let mut out = Vec::new();
                item.write(&mut out, &base(TO));
                prop_assert_eq!(item.length(&base(TO)), out.len());
                let kept: Value = serde_json::from_slice(&out).unwrap();
                let mut wanted: Value = serde_json::from_str(wanted).unwrap();
                wanted
                    .as_object_mut()
                    .unwrap()
                    .retain(|key, _| key == "links" || fields.contains(&key.as_str()));
                prop_assert_eq!(kept, wanted);
            }
        }

        #[test]
        fn every_cut_is_noticed((kind, body, _) in collection()) {
            for end in 0..body.len() {
                let cut = String::from_utf8_lossy(&body.as_bytes()[..end]);
                prop_assert!(decode(&cut, "things", kind, Keep::Only(&["name"])).is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let body = String::from_utf8_lossy(&body);
            let _ = decode(&body, "things", Kind::Node, Keep::All);
            let listed = format!("{{\"things\": [{body}]}}");
            let _ = decode(&listed, "things", Kind::Chassis, Keep::Only(&[]));
        }
    }
}
