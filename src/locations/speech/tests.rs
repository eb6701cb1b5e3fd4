use bytes::Bytes;

use super::*;
use crate::api::collection::Collection;
use crate::locations::question::Purpose;
use crate::locations::question::Purpose::{Own, Routed, RoutedBelow, Shared};

const NODE: &str = r#"{"uuid": "11111111-1111-4111-8111-111111111111", "name": "n1"}"#;
const FAULT: &str = r#"{"error_message": "{\"faultcode\": \"Client\", \"faultstring\": \"Node x is protected\", \"debuginfo\": null}"}"#;
const ROUTING: &str =
    r#"{"error_message": "{\"code\": 404, \"title\": \"Not Found\", \"description\": \"\"}"}"#;
const DENIED: &str = r#"{"error_message": "{\"faultcode\": \"Client\", \"faultstring\": \"Access was denied to the following resource: baremetal:node:get\", \"debuginfo\": null}"}"#;
const SCOPE: &str = r#"{"error_message": "{\"faultcode\": \"Server\", \"faultstring\": \"rule requires a scope of ['system'], request was made with project scope.\", \"debuginfo\": null}"}"#;
const GATEWAY: &str = r#"{"message": "no Route matched"}"#;
const HTML: &str = "<html>";

fn reply(status: u16, body: &'static str) -> Reply {
    let mut headers = HeaderMap::new();
    let kind = if body.starts_with('<') {
        "text/html"
    } else {
        "application/json"
    };
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: Bytes::from_static(body.as_bytes()),
    }
}

fn question(method: Method, purpose: Purpose, expect: Expect) -> Question {
    Question {
        method,
        purpose,
        expect,
        ..Question::get("/v1/nodes/n1".to_owned(), Microversion::new(1, 90))
    }
}

fn word(heard: &Heard) -> &'static str {
    match heard {
        Heard::Said(Said::Has(_)) => "has",
        Heard::Said(Said::No(_)) => "no",
        Heard::Said(Said::Refuses(_)) => "refuses",
        Heard::Said(Said::Fails(_)) => "fails",
        Heard::RefusesUs(_) => "us",
        Heard::Unusable(reason, _) => reason.word(),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn one_judgement() {
    let node = || Expect::Member {
        collection: Collection::Nodes,
        ident: Some("n1".to_owned()),
    };
    let uuid = || Expect::Member {
        collection: Collection::Nodes,
        ident: Some("11111111111141118111111111111111".to_owned()),
    };
    let other = || Expect::Member {
        collection: Collection::Nodes,
        ident: Some("n2".to_owned()),
    };
    let new = || Expect::Member {
        collection: Collection::Nodes,
        ident: None,
    };
    let list = || Expect::list(Collection::Nodes);
    let later = || Expect::list(Collection::Runbooks);
    let document = |member| Expect::Document { member };
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    for (method, purpose, expect, status, body, ours, theirs) in [
        (&get, Own, node(), 200, NODE, "has", "has"),
        (&get, Own, uuid(), 200, NODE, "has", "has"),
        (&get, Own, other(), 200, NODE, "body", "body"),
        (&get, Own, node(), 200, "{}", "body", "body"),
        (&get, Own, node(), 200, "", "body", "body"),
        (&get, Own, node(), 200, HTML, "body", "body"),
        (&get, Own, node(), 202, NODE, "body", "body"),
        (&get, Own, node(), 404, FAULT, "no", "no"),
        (&get, Own, node(), 404, GATEWAY, "body", "body"),
        (&get, Own, node(), 404, ROUTING, "body", "body"),
        (&get, Own, node(), 404, HTML, "body", "body"),
        (&get, Own, node(), 400, FAULT, "refuses", "refuses"),
        (&get, Own, node(), 406, FAULT, "refuses", "refuses"),
        (&get, Own, node(), 400, HTML, "body", "body"),
        (&get, Own, node(), 401, GATEWAY, "us", "refuses"),
        (&get, Own, node(), 403, DENIED, "us", "refuses"),
        (&get, Own, node(), 403, FAULT, "refuses", "refuses"),
        (&get, Own, node(), 403, HTML, "us", "body"),
        (&get, Own, node(), 429, FAULT, "status", "status"),
        (&get, Own, node(), 500, FAULT, "status", "status"),
        (&get, Own, node(), 500, SCOPE, "us", "status"),
        (&get, Own, node(), 302, FAULT, "body", "body"),
        (&get, Own, node(), 304, "", "body", "body"),
        (&get, Own, node(), 999, FAULT, "body", "body"),
        (&get, Shared, list(), 200, "{}", "body", "body"),
        (&get, Shared, list(), 200, r#"{"nodes": []}"#, "has", "has"),
        (&get, Shared, list(), 200, "[]", "body", "body"),
        (&get, Shared, list(), 307, FAULT, "body", "body"),
        (&get, Shared, list(), 500, FAULT, "status", "status"),
        (&get, Shared, list(), 404, ROUTING, "body", "body"),
        (&get, Shared, later(), 404, ROUTING, "no", "no"),
        (&get, Routed, node(), 500, FAULT, "fails", "fails"),
        (&get, Routed, node(), 503, HTML, "status", "status"),
        (
            &get,
            Routed,
            document(Some("uuid")),
            200,
            NODE,
            "has",
            "has",
        ),
        (
            &get,
            Routed,
            document(Some("power")),
            200,
            NODE,
            "body",
            "body",
        ),
        (&get, Routed, document(None), 200, NODE, "has", "has"),
        (
            &get,
            Routed,
            document(None),
            200,
            r#"{"a": "#,
            "body",
            "body",
        ),
        (&post, Routed, new(), 201, NODE, "has", "has"),
        (&post, Routed, new(), 200, NODE, "body", "body"),
        (&post, Routed, new(), 201, "", "body", "body"),
        (&put, RoutedBelow, Expect::Effect, 202, "", "has", "has"),
        (&put, RoutedBelow, Expect::Effect, 200, "", "body", "body"),
        (
            &put,
            RoutedBelow,
            Expect::Effect,
            200,
            GATEWAY,
            "body",
            "body",
        ),
        (
            &put,
            RoutedBelow,
            Expect::Effect,
            202,
            GATEWAY,
            "body",
            "body",
        ),
        (
            &put,
            RoutedBelow,
            Expect::Effect,
            409,
            FAULT,
            "refuses",
            "refuses",
        ),
        (&put, RoutedBelow, Expect::Effect, 409, HTML, "body", "body"),
        (
            &put,
            RoutedBelow,
            Expect::Effect,
            413,
            HTML,
            "refuses",
            "refuses",
        ),
        (
            &put,
            RoutedBelow,
            Expect::Effect,
            504,
            FAULT,
            "fails",
            "fails",
        ),
        (&get, RoutedBelow, document(None), 200, "[]", "body", "body"),
        (&get, RoutedBelow, Expect::Unknown, 200, NODE, "has", "has"),
        (&get, RoutedBelow, Expect::Unknown, 200, "[1]", "has", "has"),
        (
            &get,
            RoutedBelow,
            Expect::Unknown,
            200,
            "[1",
            "body",
            "body",
        ),
        (&get, RoutedBelow, Expect::Unknown, 200, "1", "body", "body"),
        (&put, RoutedBelow, Expect::Unknown, 204, "", "has", "has"),
        (&put, RoutedBelow, Expect::Unknown, 200, "", "body", "body"),
    ] {
        let case = format!("{method} {purpose:?} {expect:?} {status} {body}");
        let question = question(method.clone(), purpose, expect);
        for (is_ours, expected) in [(true, ours), (false, theirs)] {
            let heard = judge(
                &question,
                is_ours,
                base_of(None).into(),
                reply(status, body),
            );
            assert_eq!(word(&heard), expected, "{case}, ours: {is_ours}");
        }
    }
}

#[test]
fn a_port_answers_to_a_name_that_it_does_not_show() {
    let port = r#"{"uuid": "11111111-1111-4111-8111-111111111111"}"#;
    let uuid = "22222222-2222-4222-8222-222222222222";
    for (collection, ident, minor, expected) in [
        (Collection::Ports, "eth0", 87, "has"),
        (Collection::Ports, "eth0", 88, "body"),
        (Collection::Ports, uuid, 87, "body"),
        (Collection::Nodes, "n1", 4, "body"),
        (Collection::VolumeTargets, "x", 87, "body"),
    ] {
        let question = Question::get(
            "/v1/x/y?fields=uuid".to_owned(),
            Microversion::new(1, minor),
        )
        .for_member(collection, ident);
        let heard = judge(&question, true, base_of(None).into(), reply(200, port));
        assert_eq!(word(&heard), expected, "{collection:?} {ident} 1.{minor}");
    }
}

#[test]
fn a_head_that_is_too_large_is_the_clients() {
    let long = format!("/v1/nodes?owner={}", "x".repeat(LARGE_HEAD));
    let question = Question::get(long, Microversion::new(1, 90));
    for (status, told) in [(400, 414), (414, 414), (431, 414), (413, 413)] {
        let Heard::Said(Said::Refuses(reply)) =
            judge(&question, true, base_of(None).into(), reply(status, HTML))
        else {
            panic!("{status}");
        };
        assert_eq!(reply.status.as_u16(), told);
        assert!(fault::text_of(&reply.body).is_some());
    }
}

#[test]
fn a_selection_may_hide_who_it_is() {
    let body = r#"{"driver": "ipmi", "links": []}"#;
    for (path, expected) in [
        ("/v1/nodes/n1?fields=driver", "has"),
        ("/v1/nodes/n1", "body"),
    ] {
        let question = Question::get(path.to_owned(), Microversion::new(1, 90))
            .for_member(Collection::Nodes, "n1");
        assert_eq!(
            word(&judge(
                &question,
                true,
                base_of(None).into(),
                reply(200, body)
            )),
            expected
        );
    }
}
