use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::api::groups::GroupNames;
use crate::api::json::random::{self, FROM, KINDS, Sample, TO};
use crate::api::merged_page::{MergedPage, Taken};

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
        note: &[],
    };
    Page::decode(Bytes::copy_from_slice(body.as_bytes()), key, &need)
}

/// However it is cut into parts, and whether or not the items stay on the page that they came on.
fn written(page: &Page, key: &str, next: Option<&str>) -> String {
    let page = Arc::new(page.clone());
    let alone = page.items().map(|item| Taken::alone(&item));
    let all = [Taken::all(&page).collect::<Vec<_>>(), alone.collect()];
    let [together, alone] = all.map(|items| {
        let merged = MergedPage::new(key, base(TO), items).with_next(next.map(str::to_owned));
        let whole = merged.to_bytes();
        assert_eq!(whole.len(), merged.length());
        for size in [1, 7, 64, whole.len()] {
            let mut parts = merged.clone().into_parts(size);
            let mut left = &whole[..];
            while let Some(part) = parts.next() {
                assert_eq!(part, &left[..size.min(left.len())]);
                left = &left[part.len()..];
                assert_eq!(parts.is_over(), left.is_empty());
            }
            assert!(left.is_empty());
        }
        whole
    });
    assert_eq!(together, alone);
    String::from_utf8(together.to_vec()).unwrap()
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

/// Of nodes, with all that they show.
fn need(from: &Base) -> Need<'_> {
    Need {
        kind: Kind::Node,
        from: from.into(),
        id: "uuid",
        sort_key: None,
        keep: Keep::All,
        note: &[],
    }
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
    let none = MergedPage::new("nodes", base(TO), []).to_bytes();
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
fn a_page_has_not_more_items_than_an_ironic_could_have() {
    let of = |items: usize| {
        let body = format!(r#"{{"nodes": [{}]}}"#, vec!["{}"; items].join(","));
        decode(&body, "nodes", Kind::Node, Keep::All).map(|page| page.len())
    };
    assert_eq!(of(MOST_ITEMS), Ok(MOST_ITEMS));
    assert_eq!(of(MOST_ITEMS + 1), Err(Malformed::List));
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
    let need = need(&from);
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

/// Nodes that differ in few bytes from each other, and may be none any longer for that.
fn alike() -> impl Strategy<Value = String> {
    let names = r#""e": {}, "f": [1, {"g": "h"}], "description": "what is long is no brief value any more", "name": "n""#;
    let node = format!(
        r#"{{"uuid": "0001", "a": null, "b": true, "c": "d", {names}, "links": {}}}"#,
        links(FROM, "0001")
    );
    let change = (
        0..node.len(),
        prop::sample::select(b"\"\\,:{}[] nu1\n".to_vec()),
    );
    prop::collection::vec(prop::collection::vec(change, 0..3), 1..5).prop_map(move |all| {
        let changed = all.iter().map(|changes| {
            let mut node = node.clone().into_bytes();
            for (at, byte) in changes {
                node[*at] = *byte;
            }
            String::from_utf8(node).unwrap()
        });
        format!(
            "{{\"nodes\": [{}]}}",
            changed.collect::<Vec<_>>().join(", ")
        )
    })
}

proptest! {
    /// What is the same in the item before is not read again.
    #[test]
    fn an_item_is_read_as_it_would_be_alone(body in alike()) {
        let page = decode(&body, "nodes", Kind::Node, Keep::All);
        let whole = serde_json::from_str::<Value>(&body).ok();
        let nodes = whole.as_ref().and_then(|whole| whole["nodes"].as_array());
        let are_objects = nodes.is_some_and(|nodes| nodes.iter().all(Value::is_object));
        prop_assert_eq!(page.is_ok(), are_objects, "{}", body);
        for item in page.iter().flat_map(Page::items) {
            let from = base(FROM);
            let need = need(&from);
            let alone = Document::decode(Bytes::copy_from_slice(item.text()), &need).unwrap();
            let told = |item: &Item<'_>| {
                let [id, name] = [item.id(), item.name()].map(|ident| ident.map(Cow::into_owned));
                let mut text = Vec::new();
                item.write(&mut text, &base(TO));
                (id, name, item.has_links(), text)
            };
            prop_assert_eq!(told(&item), told(&alone.item()));
        }
    }

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

#[test]
fn groups_that_a_location_makes_up_do_not_slow_down_a_page() {
    let items: Vec<String> = (0..100_000)
        .map(|group| format!("{{\"uuid\": \"{group}\", \"conductor_group\": \"g{group}\"}}"))
        .collect();
    let body = format!("{{\"nodes\": [{}]}}", items.join(", "));
    let all = Arc::new(["", "berlin"].map(Into::into).into());
    let groups = GroupNames::new("loc2", [("berlin", "")], &all).unwrap();
    let need = Need {
        kind: Kind::Node,
        from: Dialect {
            base: &base(FROM),
            groups: Some(&groups),
        },
        id: "uuid",
        sort_key: None,
        keep: Keep::All,
        note: &[],
    };
    let begun = Instant::now();
    let page = Page::decode(body.into(), "nodes", &need).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(page.strangers().count(), 100_000);
}

/// What is remembered of one item's members must not change how the next one is read.
#[test]
fn items_of_other_members_are_read_as_if_alone() {
    let items = [
        r#"{"uuid": "a", "name": "n1", "links": []}"#,
        r#"{"uuid": "b", "name": "n2", "links": []}"#,
        r#"{"name": "n3", "uuid": "c", "links": []}"#,
        r#"{"uuid":"d","name":"n4"}"#,
        r#"{ "uuid" : "e" , "name"  :  "n5"}"#,
        r#"{"uuidx": "f", "name": "n6", "links": []}"#,
        r#"{"uu\u0069d": "g", "name": "n7"}"#,
        r"{}",
        r#"{"uuid": "h", "name": null, "owner": "o", "links": [{"rel": "self", "href": "http://a.example/v1/nodes/h"}]}"#,
        r#"{"owner": "p", "uuid": "i", "links": [{"href": "http://a.example/v1/nodes/i", "rel": "self"}]}"#,
    ];
    let from = base(FROM);
    let need = Need {
        kind: Kind::Node,
        from: (&from).into(),
        id: "uuid",
        sort_key: Some("provision_state"),
        keep: Keep::Only(&["uuid", "name"]),
        note: &["owner", "name"],
    };
    let read = |items: &[&str]| -> Vec<_> {
        let body = format!(r#"{{"nodes": [{}]}}"#, items.join(", "));
        let page = Page::decode(Bytes::from(body), "nodes", &need).unwrap();
        let told = page.items().map(|item| {
            let mut text = Vec::new();
            item.write(&mut text, &base(TO));
            let noted = [0, 1].map(|place| item.noted(place).map(|noted| noted.raw.to_vec()));
            let [id, name] = [item.id(), item.name()].map(|text| text.map(Cow::into_owned));
            (id, name, item.has_links(), noted, text)
        });
        told.collect()
    };
    for first in 0..items.len() {
        for second in 0..items.len() {
            let both = [items[first], items[second], items[first]];
            let alone = both.map(|item| read(&[item])).concat();
            assert_eq!(read(&both), alone, "{both:?}");
        }
    }
}

/// Who judges by a member must not be shown one thing while the client is shown another.
#[test]
fn a_member_that_is_judged_stands_there_once() {
    let from = base(FROM);
    let need = Need {
        kind: Kind::Node,
        from: (&from).into(),
        id: "uuid",
        sort_key: None,
        keep: Keep::All,
        note: &["owner"],
    };
    let body = r#"{"nodes": [{"owner": "a", "uuid": "1", "own\u0065r": "b"}]}"#;
    let read = |need| Page::decode(Bytes::from(body), "nodes", need);
    assert!(matches!(read(&need), Err(Malformed::Repeated(_))));
    assert!(read(&Need { note: &[], ..need }).is_ok());
}

#[test]
fn masks_stand_in_place_of_what_they_hide() {
    let from = base(FROM);
    let need = Need {
        kind: Kind::Node,
        from: (&from).into(),
        id: "uuid",
        sort_key: None,
        keep: Keep::Only(&["uuid", "driver_info"]),
        note: &["driver_info", "last_error"],
    };
    let links = format!(r#""links": [{{"href": "{FROM}/v1/nodes/1"}}]"#);
    let body = format!(
        r#"{{"nodes": [{{"last_error": "x", "uuid": "1", "driver_info": {{"a": 1, "b": {{"c": 2}}}}, {links}}}]}}"#
    );
    let page = Arc::new(Page::decode(Bytes::from(body), "nodes", &need).unwrap());
    let alone = Taken::alone(&page.items().next().unwrap());
    let written = |taken: Taken| {
        let item = taken.item();
        let info = item.noted(0).unwrap();
        let mut masks = vec![item.noted(1).unwrap().mask("null")];
        let inner = info.members(|name, value| {
            if name == b"b" {
                masks.push(value.mask("0"));
            }
            Ok(())
        });
        inner.unwrap();
        let mut merged = MergedPage::new("nodes", base(TO), [taken.clone()]);
        merged.mask(vec![masks]);
        assert_eq!(merged.to_bytes().len(), merged.length());
        String::from_utf8(merged.to_bytes().to_vec()).unwrap()
    };
    let shown = format!(
        r#"{{"nodes": [{{"uuid": "1", "driver_info": {{"a": 1, "b": 0}}, "links": [{{"href": "{TO}/v1/nodes/1"}}]}}]}}"#
    );
    assert_eq!(written(Taken::all(&page).next().unwrap()), shown);
    assert_eq!(written(alone), shown);
}
