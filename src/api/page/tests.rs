use std::time::Duration;
use std::time::Instant;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::api::groups::GroupNames;
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

#[test]
fn groups_that_a_location_makes_up_do_not_slow_down_a_page() {
    let items: Vec<String> = (0..100_000)
        .map(|group| format!("{{\"uuid\": \"{group}\", \"conductor_group\": \"g{group}\"}}"))
        .collect();
    let body = format!("{{\"nodes\": [{}]}}", items.join(", "));
    let groups = GroupNames::new("loc2", [("berlin", "")], [""]).unwrap();
    let need = Need {
        kind: Kind::Node,
        from: Dialect {
            base: &base(FROM),
            groups: Some(&groups),
        },
        id: "uuid",
        sort_key: None,
        keep: Keep::All,
    };
    let begun = Instant::now();
    let page = Page::decode(body.into(), "nodes", &need).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(page.strangers().count(), 100_000);
}
