use std::time::Duration;
use std::time::Instant;

use proptest::prelude::*;

use super::*;

#[test]
fn objects_keep_what_does_not_matter() {
    let body = br#"{"extra": {"n": 1e400, "b": 12345678901234567890123, "a": 1}, "name": "x", "name": "y", "\u0075uid": null}"#;
    let mut object = Object::parse("node", body).unwrap();
    assert_eq!(
        object.text("name").as_deref(),
        Some("y"),
        "the last one wins"
    );
    assert_eq!(object.value("uuid"), Value::Null, "escapes are read");
    assert_eq!(object.value("extra"), Value::Other);
    assert_eq!(object.value("driver"), Value::Absent);
    object.set("uuid", "z");
    assert_eq!(
        object.to_bytes(),
        r#"{"extra": {"n": 1e400, "b": 12345678901234567890123, "a": 1}, "name": "y", "uuid": "z"}"#
    );
}

#[test]
fn other_bodies_are_refused() {
    assert!(Object::parse("node", b"").is_ok_and(|object| object.names().next().is_none()));
    for body in ["{", "nope", "{\"a\": 1} x", "\u{feff}{}"] {
        assert!(
            matches!(
                Object::parse("node", body.as_bytes()),
                Err(BodyError::Json(_))
            ),
            "{body}"
        );
    }
    assert_eq!(
        Object::parse("node", b"[]").unwrap_err().to_string(),
        "Schema error for node: [] is not of type 'object'"
    );
    let python = |body: &str| {
        Object::parse("node", body.as_bytes())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        python(r#"[null, true, 1.5, "it's", {"a": "b"}]"#),
        r#"Schema error for node: [None, True, 1.5, "it's", {'a': 'b'}] is not of type 'object'"#
    );
    assert!(matches!(Patch::parse(b"{}"), Err(BodyError::Type { .. })));
    assert!(matches!(Patch::parse(b"[1]"), Err(BodyError::Type { .. })));
    for (body, text) in [
        (r#"[{"op": "add"}]"#, "'path' is a required property"),
        (r#"[{"path": "/a"}]"#, "'op' is a required property"),
        (r#"[{"op": "add", "path": 5}]"#, "5 is not of type 'string'"),
    ] {
        let error = Patch::parse(body.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, format!("Schema error for patch: {text}"));
    }
}

#[test]
fn outcome_of_a_patch() {
    let text = |value: &str| Value::Text(value.to_owned());
    for (patch, outcome) in [
        (r"[]", Value::Absent),
        (
            r#"[{"op": "replace", "path": "/name", "value": "x"}]"#,
            Value::Absent,
        ),
        (
            r#"[{"op": "add", "path": "/conductor_group", "value": "a"}]"#,
            text("a"),
        ),
        (
            r#"[{"op": "add", "path": "/conductor\u005fgroup", "value": "\u0061"}]"#,
            text("a"),
        ),
        (
            r#"[{"op": "add", "path": "/x", "path": "/conductor_group", "value": "a", "value": "b"}]"#,
            text("b"),
        ),
        (
            r#"[{"op": "add", "path": "/conductor_group", "value": "a"}, {"op": "replace", "path": "/conductor_group", "value": "b"}]"#,
            text("b"),
        ),
        (
            r#"[{"op": "add", "path": "/conductor_group\n", "value": "a"}]"#,
            text("a"),
        ),
        (
            r#"[{"op": "remove", "path": "/conductor_group"}]"#,
            Value::Null,
        ),
        (
            r#"[{"op": "replace", "path": "/conductor_group", "value": null}]"#,
            Value::Null,
        ),
        (
            r#"[{"op": "add", "path": "/conductor_group", "value": 3}]"#,
            Value::Other,
        ),
    ] {
        assert_eq!(
            Patch::parse(patch.as_bytes())
                .unwrap()
                .outcome("/conductor_group"),
            outcome,
            "{patch}"
        );
    }
}

#[test]
fn other_operations_are_refused() {
    for op in ["move", "copy", "test", "ADD", "", "add\\n"] {
        let patch = format!(r#"[{{"op": "{op}", "path": "/conductor_group", "value": null}}]"#);
        let refusal = Patch::parse(patch.as_bytes()).unwrap_err().to_string();
        assert!(
            refusal.ends_with("is not one of ['add', 'replace', 'remove']"),
            "{refusal}"
        );
    }
}

#[test]
fn further_members_are_refused_first() {
    for (members, words) in [
        (r#""from": "/a""#, "'from' was"),
        (r#""from": "/a", "x": 1"#, "'from', 'x' were"),
    ] {
        let patch = format!(r#"[{{"op": "move", "path": "/b", {members}}}]"#);
        let refusal = Patch::parse(patch.as_bytes()).unwrap_err().to_string();
        assert!(
            refusal.ends_with(&format!("({words} unexpected)")),
            "{refusal}"
        );
    }
}

#[test]
fn removal_is_spelled_out() {
    let mut patch = Patch::parse(
        br#"[{"op":"remove","path":"/conductor_group"},{"op":"add","path":"/conductor_group","value":null},{"op":"remove","path":"/name"}]"#,
    )
    .unwrap();
    patch.spell_out_removal("/conductor_group");
    assert_eq!(
        patch.to_bytes(),
        r#"[{"op": "replace", "path": "/conductor_group", "value": ""}, {"op": "replace", "path": "/conductor_group", "value": ""}, {"op": "remove", "path": "/name"}]"#
    );
}

#[test]
fn depth_is_measured_in_parts() {
    let nested = |depth: usize| format!("{}\"]]]\\\"[[\"{}", "[".repeat(depth), "]".repeat(depth));
    for cut in 0..30 {
        for (depth, within) in [(25, true), (26, false)] {
            let body = nested(depth);
            let (head, tail) = body.as_bytes().split_at(cut);
            let mut gauge = DepthGauge::default();
            assert_eq!(
                gauge.within(head, 25) && gauge.within(tail, 25),
                within,
                "{depth} cut at {cut}"
            );
        }
    }
}

proptest! {
    #[test]
    fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let object = Object::parse("node", &body);
        if let Ok(object) = object {
            let again = Object::parse("node", &object.to_bytes()).unwrap();
            prop_assert_eq!(again.to_bytes(), object.to_bytes());
        }
        let _: Result<Patch, BodyError> = Patch::parse(&body);
    }
}

#[test]
fn an_object_of_as_many_members_as_a_body_holds_is_read_at_once() {
    let members: Vec<String> = (0..100_000).map(|name| format!("\"{name}\":1")).collect();
    let body = format!("{{{}, \"7\": 2}}", members.join(","));
    let begun = Instant::now();
    let object = Object::parse("node", body.as_bytes()).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20));
    let names: Vec<_> = object.names().take(8).collect();
    assert_eq!(names, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    assert_eq!(object.json("7"), Some(serde_json::json!(2)));
}
