use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::random::{self, Sample};
use super::*;
use crate::api::link::Kind;

/// Reads all of `body`.
fn check(body: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(body)?;
    reader.value()?;
    reader.end()
}

#[test]
fn accepts_json_and_what_python_adds() {
    for body in [
        "{}",
        " [ ] \r\n\t",
        r#"{"a": [1, -0.5e+10, 0, true, false, null], "b": {"": "é\u00e9\n\/"}}"#,
        r#"{"extra": {"a": NaN, "b": Infinity, "c": [-Infinity], "d": "\ud800"}}"#,
        r#"{"a": 1, "a": 2}"#,
        "7",
    ] {
        assert_eq!(check(body.as_bytes()), Ok(()), "{body}");
    }
}

#[test]
fn tells_what_is_wrong() {
    let table: [(&[u8], Malformed); 30] = [
        (b"", Malformed::CutOff),
        (b"  ", Malformed::CutOff),
        (b"{", Malformed::CutOff),
        (b"{\"a", Malformed::CutOff),
        (b"{\"a\"", Malformed::CutOff),
        (b"{\"a\": ", Malformed::CutOff),
        (b"{\"a\": 1", Malformed::CutOff),
        (b"[1, ", Malformed::CutOff),
        (b"{\"a\": 1}}", Malformed::Syntax(8)),
        (b"{} x", Malformed::Syntax(3)),
        (b"{\"a\" 1}", Malformed::Syntax(5)),
        (b"{\"a\": 1,}", Malformed::Syntax(8)),
        (b"{a: 1}", Malformed::Syntax(1)),
        (b"[1,]", Malformed::Syntax(3)),
        (b"[1 2]", Malformed::Syntax(3)),
        (b"[1}", Malformed::Syntax(2)),
        (b"[01]", Malformed::Syntax(2)),
        (b"[1.]", Malformed::Syntax(1)),
        (b"[.5]", Malformed::Syntax(1)),
        (b"[1e]", Malformed::Syntax(1)),
        (b"[+1]", Malformed::Syntax(1)),
        (b"[-]", Malformed::Syntax(1)),
        (b"[nul]", Malformed::Syntax(1)),
        (b"[nulll]", Malformed::Syntax(5)),
        (b"['a']", Malformed::Syntax(1)),
        (b"[\"\\x\"]", Malformed::Syntax(2)),
        (b"[\"\\u12g4\"]", Malformed::Syntax(2)),
        (b"[\"a\nb\"]", Malformed::Syntax(3)),
        (b"<html>", Malformed::Syntax(0)),
        (b"[\"\xff\"]", Malformed::Encoding),
    ];
    for (body, wrong) in table {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(check(body), Err(wrong), "{shown}");
    }
}

#[test]
fn finds_the_end_of_a_string_at_every_distance() {
    for length in 0..40 {
        for filler in ["a", "é", "\u{7f}", "\u{80}", "!", "]", "#", "[", " "] {
            let text = filler.repeat(length);
            let body = format!("[\"{text}\", \"{text}\\\"{text}\"]");
            assert_eq!(check(body.as_bytes()), Ok(()), "{body}");
            let body = format!("[\"{text}\u{1f}{text}\"]");
            let at = offset(2 + text.len());
            assert_eq!(
                check(body.as_bytes()),
                Err(Malformed::Syntax(at)),
                "{body:?}"
            );
        }
    }
}

#[test]
fn refuses_depth_without_using_the_stack() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let most = MAX_DEPTH as usize;
    assert_eq!(check(nested(most).as_bytes()), Ok(()));
    assert_eq!(check(nested(most + 1).as_bytes()), Err(Malformed::Depth));
    let beside = format!("[{}{{}}]", r#"{"a": [[]]}, "#.repeat(most));
    assert_eq!(check(beside.as_bytes()), Ok(()));
    let endless = r#"{"a":["#.repeat(1_000_000);
    assert_eq!(check(endless.as_bytes()), Err(Malformed::Depth));
}

#[test]
fn takes_strings_from_the_top_level_only() {
    let body = br#"{"name": "old", "extra": {"uuid": "no"}, "uuid": 7, "n\u0061me": "n\u0065w", "a": "b"}"#;
    let [name, uuid, a, missing] = strings(body, ["name", "uuid", "a", "b"]).unwrap();
    assert_eq!(name.as_deref(), Some("new"));
    assert_eq!(uuid, None);
    assert!(matches!(a, Some(Cow::Borrowed("b"))));
    assert_eq!(missing, None);
    assert_eq!(member(body, "a").unwrap().as_deref(), Some("b"));
    assert_eq!(member(b"[]", "a"), Err(Malformed::Syntax(0)));
    assert_eq!(member(br#"{"a": "b"} {"#, "a"), Err(Malformed::Syntax(11)));
}

#[test]
fn decodes_only_what_rust_can_hold() {
    assert_eq!(
        decode(br#""\ud83d\udda7 \/""#).as_deref(),
        Some("\u{1f5a7} /")
    );
    assert_eq!(decode(br#""\ud83d""#), None);
    assert_eq!(decode(b"null"), None);
    assert_eq!(decode(b"\""), None);
    assert_eq!(decode(b""), None);
}

fn sample() -> impl Strategy<Value = String> {
    (random::object(), random::dice())
        .prop_map(|(tree, dice)| Sample::new(&tree, Kind::Plain, &dice).sent)
}

proptest! {
    #[test]
    fn every_cut_is_noticed(body in sample(), garbage in "[^ \t\r\n]") {
        prop_assert_eq!(check(body.as_bytes()), Ok(()));
        for end in 0..body.len() {
            prop_assert!(check(&body.as_bytes()[..end]).is_err());
        }
        let trailed = body + &garbage;
        prop_assert!(check(trailed.as_bytes()).is_err());
    }

    #[test]
    fn damage_is_judged_as_serde_judges_it(
        body in sample(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<Option<u8>>()), 1..4),
    ) {
        let mut body = body.into_bytes();
        for (place, byte) in damage {
            let at = place.index(body.len().max(1));
            match byte {
                Some(byte) => body.insert(at.min(body.len()), byte),
                None if at < body.len() => { body.remove(at); }
                None => {}
            }
        }
        let valid = std::str::from_utf8(&body).is_ok()
            && serde_json::from_slice::<IgnoredAny>(&body).is_ok();
        prop_assert_eq!(check(&body).is_ok(), valid, "{}", String::from_utf8_lossy(&body));
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = check(&body);
        let _ = strings(&body, ["uuid"]);
        let _ = decode(&body);
    }

    #[test]
    fn escapes_are_read_back(text in any::<String>()) {
        let quoted = format!("\"{}\"", escape(&text));
        prop_assert_eq!(check(quoted.as_bytes()), Ok(()));
        let decoded = decode(quoted.as_bytes());
        prop_assert_eq!(decoded.as_deref(), Some(text.as_str()));
    }
}
