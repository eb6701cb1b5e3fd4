use proptest::prelude::*;

use super::*;
use crate::api::json::random::{self, FROM, KINDS, Sample, TO};

fn base(text: &str) -> Base {
    Base::parse(text).unwrap()
}

fn rewritten(kind: Kind, body: &str) -> String {
    let rewritten =
        rewrite_document(kind, body.as_bytes(), (&base(FROM)).into(), &base(TO)).unwrap();
    rewritten.map_or_else(|| body.to_owned(), |body| String::from_utf8(body).unwrap())
}

#[test]
fn base_is_a_plain_http_url() {
    for (text, known) in [
        ("http://10.0.0.1:6385", "http://10.0.0.1:6385"),
        ("https://bm.example.com/", "https://bm.example.com"),
        (
            "https://bm.example.com/baremetal//",
            "https://bm.example.com/baremetal",
        ),
        ("http://[2001:db8::1]:6385", "http://[2001:db8::1]:6385"),
    ] {
        assert_eq!(base(text).as_str(), known);
    }
    for text in [
        "",
        "bm.example.com",
        "ftp://bm.example.com",
        "http://",
        "http:///v1",
        "http://a\"x",
        "http://a\\x",
        "http://a b",
        "http://a/?x",
        "http://a/#x",
        "http://a\nb",
        "http://é",
    ] {
        assert_eq!(Base::parse(text), Err(NotABase), "{text}");
    }
}

#[test]
fn base_is_learnt_from_the_version_document() {
    let learn = |href: &str| {
        let version = format!(r#"{{"id": "v1", "links": [{{"href": "{href}", "rel": "self"}}]}}"#);
        let body = format!(
            r#"{{"name": "OpenStack Ironic API", "default_version": {version}, "versions": [{version}]}}"#
        );
        Base::learn(body.as_bytes())
            .unwrap()
            .map(|base| base.text.into_string())
    };
    assert_eq!(
        learn("http://127.0.0.1:6385/v1/").as_deref(),
        Some("http://127.0.0.1:6385")
    );
    assert_eq!(
        learn("https:\\/\\/bm/x/v1").as_deref(),
        Some("https://bm/x")
    );
    assert_eq!(
        learn("https://bm:8443/baremetal//v1/").as_deref(),
        Some("https://bm:8443/baremetal")
    );
    assert_eq!(learn(r#"http://evil\"x/v1/"#), None);
    assert_eq!(learn("http://127.0.0.1:6385/v2/"), None);
    assert_eq!(Base::learn(b"{}"), Ok(None));
    assert_eq!(Base::learn(br#"{"default_version": null}"#), Ok(None));
    assert_eq!(Base::learn(b"<html>"), Err(Malformed::Syntax(0)));
}

#[test]
fn hrefs_keep_what_follows_the_base() {
    for (href, ours) in [
        ("http://10.0.0.1:6385/metal/v1/nodes/x", "/v1/nodes/x"),
        ("http://10.0.0.1:6385/metal//v1/nodes/x", "/v1/nodes/x"),
        ("http://10.0.0.1:6385/metal/nodes/x", "/nodes/x"),
        ("http://10.0.0.1:6385/metal", ""),
        (
            "http://10.0.0.1:6385/metal/v1/nodes?parent_node=x",
            "/v1/nodes?parent_node=x",
        ),
        // Another prefix, another port, another host.
        ("http://10.0.0.1:6385/metallic/v1/nodes/x", "/v1/nodes/x"),
        ("http://10.0.0.1:63850/metal/nodes/x", "/nodes/x"),
        ("https://edge/a/b/v1/nodes/x/v1/y", "/v1/nodes/x/v1/y"),
        ("https://edge/a/v1", "/v1"),
        ("https://edge/metal/nodes/x", "/nodes/x"),
        // One that was never told of.
        ("https://edge/metallic/nodes/x", "/nodes/x"),
        ("https://edge/metallic/x", "/metallic/x"),
        ("https://edge/nodes/x?y=/v1/", "/nodes/x?y=/v1/"),
        ("https://v1/nodes/x", "/nodes/x"),
        ("https://edge", ""),
        ("/v1/nodes/x", "/v1/nodes/x"),
        ("/metal/nodes/x", "/nodes/x"),
    ] {
        assert_eq!(
            rewrite_location(href, &base(FROM), &base(TO)),
            format!("{TO}{ours}"),
            "{href}"
        );
        let body = format!(" {{\"links\": [{{\"href\": \"{href}\", \"rel\": \"self\"}}]}}\n");
        let wanted = body.replace(href, &format!("{TO}{ours}"));
        assert_eq!(rewritten(Kind::Plain, &body), wanted);
    }
    for foreign in ["ftp://10.0.0.1/v1/nodes", "nodes/x", "", "urn:uuid:x"] {
        assert_eq!(rewrite_location(foreign, &base(FROM), &base(TO)), foreign);
        let body = format!(r#"{{"links": [{{"href": "{foreign}"}}]}}"#);
        assert_eq!(rewritten(Kind::Plain, &body), body);
    }
}

#[test]
fn a_link_is_read_alike_however_it_is_written() {
    let beside = "x".repeat(100);
    for link in [
        r#"{"href": "HREF", "rel": "self"}"#,
        r#"{"href": "HREF", "rel": "bookmark"}"#,
        r#"{"href": "HREF", "rel": "next"}"#,
        r#"{"href": "HREF", "rel": "self", "type": "application/json"}"#,
        r#"{"href": "HREF", "rel": "self" }"#,
        r#"{"href": "HREF", "rel": "\u0073elf"}"#,
        r#"{"href": "HREF/\"", "rel": "self"}"#,
        r#"{"href":"HREF","rel":"self"}"#,
        r#"{ "rel": "self", "href": "HREF" }"#,
        r#"{"href": "HREF", "rel": "self", "href": "HREF/1"}"#,
        r#"{"href": "HREF"}"#,
        r#"{"href": "HREF", "rel": null}"#,
    ] {
        let link = link.replace("HREF", &format!("{FROM}/v1/nodes/x"));
        let body = format!(r#"{{"links": [{link}, {link}], "extra": "{beside}", "a": {{}}}}"#);
        assert_eq!(rewritten(Kind::Plain, &body), body.replace(FROM, TO));
        for end in 0..body.len() {
            let broken = &body.as_bytes()[..end];
            let read = rewrite_document(Kind::Plain, broken, (&base(FROM)).into(), &base(TO));
            assert!(read.is_err(), "{end} of {body}");
        }
        for (levels, is_read) in [(62, true), (63, false)] {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            let body = format!(r#"{{"links": {open}{link}{close}, "extra": "{beside}"}}"#);
            let read = rewrite_document(
                Kind::Plain,
                body.as_bytes(),
                (&base(FROM)).into(),
                &base(TO),
            );
            assert_eq!(read.is_ok(), is_read, "{levels} levels of {link}");
        }
    }
}

#[test]
fn escaped_hrefs_are_links_too() {
    let body = r#"{"l\u0069nks": [{"hr\u0065f": "http:\/\/10.0.0.1:6385\/metal\/v1\/nodes\/\"x\u00e9", "rel": "self"}]}"#;
    let wanted =
        format!(r#"{{"l\u0069nks": [{{"hr\u0065f": "{TO}/v1/nodes/\"xé", "rel": "self"}}]}}"#);
    assert_eq!(rewritten(Kind::Plain, body), wanted);
}

#[test]
fn links_of_inspection_rules_are_mended() {
    let body = format!(
        r#"{{"links": [{{"href": "{FROM}/v1/inspection/x"}}, {{"href": "{FROM}/inspection/x"}}, {{"href": "{FROM}/v1/inspection_rules/x"}}]}}"#
    );
    let wanted = format!(
        r#"{{"links": [{{"href": "{TO}/v1/inspection_rules/x"}}, {{"href": "{TO}/inspection_rules/x"}}, {{"href": "{TO}/v1/inspection_rules/x"}}]}}"#
    );
    assert_eq!(rewritten(Kind::InspectionRule, &body), wanted);
}

/// Case 45: what a user wrote is not a link, however much it looks like one.
#[test]
fn lists_within_an_envelope() {
    let item = |key: &str, base: &str| {
        format!(r#"{{"name": "x", "{key}": [{{"href": "{base}/v1/x", "rel": "self"}}]}}"#)
    };
    for (kind, key) in [
        (Kind::Listing, "links"),
        (Kind::Drivers, "links"),
        (Kind::Drivers, "properties"),
    ] {
        let body = |base: &str| {
            format!(
                r#"{{"things": [{0}, {0}], "links": [{{"href": "{base}/v1/y"}}]}}"#,
                item(key, base)
            )
        };
        assert_eq!(rewritten(kind, &body(FROM)), body(TO), "{kind:?} {key}");
    }
    let data = format!(r#"{{"things": [{}]}}"#, item("properties", FROM));
    assert_eq!(rewritten(Kind::Listing, &data), data);
}

#[test]
fn user_data_stays() {
    let links = format!(r#"[{{"href": "{FROM}/v1/nodes/x", "rel": "self"}}]"#);
    for (kind, key) in [
        (Kind::Node, "extra"),
        (Kind::Node, "properties"),
        (Kind::Node, "nodes"),
        (Kind::Portgroup, "properties"),
        (Kind::Plain, "properties"),
        (Kind::Plain, "ports"),
        (Kind::Plain, "node"),
    ] {
        for body in [
            format!(r#"{{"{key}": {links}}}"#),
            format!(r#"{{"{key}": {{"links": {links}}}}}"#),
            format!(r#"{{"{key}": "{FROM}/v1/nodes/x", "links": "{FROM}/v1"}}"#),
            format!(r#"{{"links": [{{"extra": {links}, "rel": "{FROM}/v1"}}]}}"#),
        ] {
            assert_eq!(rewritten(kind, &body), body);
        }
    }
}

#[test]
fn answers_that_are_no_objects_pass() {
    for body in ["[]", "null", " \"http://10.0.0.1:6385/metal/v1\" ", "7"] {
        assert_eq!(rewritten(Kind::Node, body), body);
    }
}

#[test]
fn broken_bodies_are_refused() {
    let links = format!(r#"{{"links": [{{"href": "{FROM}/v1/nodes/x"}}]"#);
    for body in [links.as_str(), &format!("{links}}}}}"), "<html>", ""] {
        let rewritten =
            rewrite_document(Kind::Node, body.as_bytes(), (&base(FROM)).into(), &base(TO));
        assert!(rewritten.is_err(), "{body}");
    }
}

proptest! {
    #[test]
    fn only_links_change(tree in random::object(), dice in random::dice()) {
        for kind in KINDS {
            let sample = Sample::new(&tree, kind, &dice);
            prop_assert_eq!(&rewritten(kind, &sample.sent), &sample.wanted);
            let value: serde_json::Value = serde_json::from_str(&sample.wanted).unwrap();
            prop_assert!(value.is_object());
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        body in prop::collection::vec(any::<u8>(), 0..200),
        value in any::<String>(),
    ) {
        let _ = rewrite_document(Kind::Node, &body, (&base(FROM)).into(), &base(TO));
        let _ = rewrite_location(&value, &base(FROM), &base(TO));
        let _ = Base::parse(&value);
        let _ = Base::learn(&body);
    }
}

#[test]
fn a_prefix_that_was_never_told_is_no_part_of_the_path() {
    let from = Base::parse("http://10.0.0.1:6385").unwrap();
    let to = Base::parse("https://hub").unwrap();
    for (href, wanted) in [
        ("https://edge:6385/baremetal/nodes/u", "https://hub/nodes/u"),
        (
            "https://edge:6385/baremetal/v1/nodes/u",
            "https://hub/v1/nodes/u",
        ),
        ("https://edge:6385/metal/nodes/v1", "https://hub/nodes/v1"),
        ("https://edge:6385/metal/v1", "https://hub/v1"),
        (
            "https://edge:6385/a/b/nodes/u/ports",
            "https://hub/nodes/u/ports",
        ),
        (
            "https://edge:6385/nodes/u/ports",
            "https://hub/nodes/u/ports",
        ),
        (
            "https://edge:6385/baremetal/volume/connectors/u",
            "https://hub/volume/connectors/u",
        ),
        (
            "http://10.0.0.1:6385/nodes/u/ports",
            "https://hub/nodes/u/ports",
        ),
        ("https://edge:6385/nowhere", "https://hub/nowhere"),
    ] {
        assert_eq!(rewrite_location(href, &from, &to), wanted, "{href}");
    }
}
