//! Questions in a location's own words, and its refusals in ours. What it shows is translated where it is read anyway
//! ([`crate::api::link::Dialect`]).

use std::borrow::Cow;

use bytes::Bytes;
use http::Method;

use crate::api::body::Object;
use crate::api::body::Patch;
use crate::api::body::Value;
use crate::api::fault;
use crate::api::fault::Fault;
use crate::api::fault::Form;
use crate::api::groups::GroupNames;
use crate::api::query::Query;
use crate::locations::question::Body;
use crate::locations::question::Question;
use crate::wire::transport::Reply;

const NODES: &str = "/v1/nodes";

/// Groups stand in filters of lists, in a new node, and in patches of nodes (Ironic's `api/controllers/v1/`).
pub fn in_their_words<'q>(question: &'q Question, groups: &GroupNames) -> Cow<'q, Question> {
    let path = match question.path.split_once('?') {
        Some((path, query)) if question.method == Method::GET => filtered(path, query, groups),
        _ => None,
    };
    let body = match &question.body {
        Body::Whole(body) => rewritten(question, body, groups),
        Body::None | Body::Streamed(_) => None,
    };
    if path.is_none() && body.is_none() {
        return Cow::Borrowed(question);
    }
    let mut asked = question.clone();
    if let Some(path) = path {
        asked.path = path;
    }
    if let Some(body) = body {
        asked.body = Body::Whole(body);
    }
    Cow::Owned(asked)
}

fn filtered(path: &str, query: &str, groups: &GroupNames) -> Option<String> {
    if !query.contains("conductor_group") {
        return None;
    }
    // We wrote it ourselves.
    let query = Query::parse(Some(query)).ok()?;
    let mut sought = Query::default();
    for (name, value) in query.iter() {
        let value = match name {
            "conductor_group" => groups.sought(value).into_owned(),
            // Who asks for what cannot be named was refused before.
            "conductor_groups" => groups.sought_list(value).unwrap_or_else(|_| ":".to_owned()),
            _ => value.to_owned(),
        };
        sought = sought.with(name, value);
    }
    let mut path = path.to_owned();
    sought.append_to(&mut path);
    Some(path)
}

fn rewritten(question: &Question, body: &[u8], groups: &GroupNames) -> Option<Bytes> {
    let path = question.path.split('?').next().unwrap_or_default();
    if question.method == Method::POST && path == NODES {
        let mut node = Object::parse("node", body).ok()?;
        let theirs = match node.value("conductor_group") {
            Value::Text(ours) => groups.theirs(&ours).into_owned(),
            Value::Absent | Value::Null => groups.theirs("").into_owned(),
            Value::Other => return None,
        };
        if theirs.is_empty() && !node.contains("conductor_group") {
            return None;
        }
        node.set("conductor_group", &theirs);
        return Some(node.to_bytes());
    }
    let below = path
        .strip_prefix(NODES)
        .is_some_and(|rest| rest.starts_with('/'));
    if question.method == Method::PATCH && below {
        let mut patch = Patch::parse(body).ok()?;
        patch.rename("/conductor_group", |ours| groups.theirs(ours).into_owned());
        return Some(patch.to_bytes());
    }
    None
}

/// Replaces the one text of Ironic's about a group; everything else stays as it is.
pub fn in_our_words(reply: &mut Reply, groups: &GroupNames) {
    if reply.status.is_success() {
        return;
    }
    if let Some((Form::Controller, text)) = fault::read(&reply.body)
        && let Some(text) = groups.retell(&text)
    {
        reply.body = Fault::new(reply.status, text).body();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::microversion::Microversion;

    fn loc2() -> GroupNames {
        let all = Arc::new(["", "berlin", "gpu"].map(Into::into).into());
        GroupNames::new("loc2", [("berlin", ""), ("gpu", "fast")], &all).unwrap()
    }

    fn asked(method: Method, path: &str, body: &str) -> (String, String) {
        let mut question = Question::get(path.to_owned(), Microversion::new(1, 90));
        question.method = method;
        if !body.is_empty() {
            question.body = Body::Whole(Bytes::copy_from_slice(body.as_bytes()));
        }
        let asked = in_their_words(&question, &loc2()).into_owned();
        let body = match asked.body {
            Body::Whole(body) => String::from_utf8(body.to_vec()).unwrap(),
            _ => String::new(),
        };
        (asked.path, body)
    }

    #[test]
    fn filters() {
        for (ours, theirs) in [
            ("/v1/nodes", "/v1/nodes"),
            (
                "/v1/nodes?conductor_group=berlin&limit=2",
                "/v1/nodes?conductor_group=&limit=2",
            ),
            (
                "/v1/nodes/detail?conductor_group=",
                "/v1/nodes/detail?conductor_group=:",
            ),
            (
                "/v1/ports?conductor_groups=gpu,lyon",
                "/v1/ports?conductor_groups=fast,lyon",
            ),
            (
                "/v1/nodes?fields=conductor_group",
                "/v1/nodes?fields=conductor_group",
            ),
            (
                "/v1/nodes?description_contains=conductor_group%3Dgpu",
                "/v1/nodes?description_contains=conductor_group%3Dgpu",
            ),
        ] {
            assert_eq!(asked(Method::GET, ours, "").0, theirs);
        }
    }

    #[test]
    fn bodies() {
        let post = |body| asked(Method::POST, "/v1/nodes", body).1;
        for (ours, theirs) in [
            (
                r#"{"conductor_group": "berlin"}"#,
                r#"{"conductor_group": ""}"#,
            ),
            (
                r#"{"conductor\u005fgroup": "gp\u0075"}"#,
                r#"{"conductor_group": "fast"}"#,
            ),
            (r#"{"driver": "d"}"#, r#"{"driver": "d"}"#),
            (r#"{"conductor_group": 5}"#, r#"{"conductor_group": 5}"#),
            (
                r#"{"extra": {"conductor_group": "gpu"}}"#,
                r#"{"extra": {"conductor_group": "gpu"}}"#,
            ),
        ] {
            assert_eq!(post(ours), theirs);
        }
        let patch = r#"[{"op": "add", "path": "/conductor\u005fgroup", "value": "gpu"}, {"op": "replace", "path": "/name", "value": "gpu"}]"#;
        assert_eq!(
            asked(Method::PATCH, "/v1/nodes/x", patch).1,
            r#"[{"op": "add", "path": "/conductor\u005fgroup", "value": "fast"}, {"op": "replace", "path": "/name", "value": "gpu"}]"#
        );
        // What else is written is not about groups.
        assert_eq!(asked(Method::PATCH, "/v1/ports/x", patch).1, patch);
        let all = Arc::new([""].map(Into::into).into());
        let names = GroupNames::new("loc1", [("", "rack1")], &all).unwrap();
        let mut question = Question::get(NODES.to_owned(), Microversion::new(1, 90));
        question.method = Method::POST;
        question.body = Body::Whole(Bytes::from_static(b"{}"));
        let Body::Whole(body) = &in_their_words(&question, &names).body else {
            unreachable!()
        };
        assert_eq!(body, &r#"{"conductor_group": "rack1"}"#);
    }
}
