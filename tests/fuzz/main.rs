//! Bytes of any kind into everything that reads what came over the network or from a file that others may have touched:
//! nothing panics, what is read can be written again, and no input takes more than linear time. `tests/run` goes on for
//! minutes; `FUZZ_INPUTS=1000000 cargo test --test fuzz` does so with other inputs each time. Inputs are made of pieces
//! of `corpus/`; one that once failed is kept in `tests/proptest-regressions` and tried first.

#![allow(clippy::expect_used, reason = "what fails here is a failed test")]

mod told;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use ironic_proxy::api::accept::Accept;
use ironic_proxy::api::body::DepthGauge;
use ironic_proxy::api::body::Object;
use ironic_proxy::api::body::Patch;
use ironic_proxy::api::fault;
use ironic_proxy::api::header::RequestId;
use ironic_proxy::api::json;
use ironic_proxy::api::link;
use ironic_proxy::api::link::Base;
use ironic_proxy::api::link::Kind;
use ironic_proxy::api::merged_page::MergedPage;
use ironic_proxy::api::merged_page::Taken;
use ironic_proxy::api::microversion::Microversion;
use ironic_proxy::api::microversion::Requested;
use ironic_proxy::api::page::Document;
use ironic_proxy::api::page::Keep;
use ironic_proxy::api::page::Need;
use ironic_proxy::api::page::Page;
use ironic_proxy::api::query::Query;
use ironic_proxy::api::route::Target;
use ironic_proxy::api::route::path::Path;
use ironic_proxy::api::trace::TraceContext;
use ironic_proxy::keystone::message;
use ironic_proxy::locate::state;
use ironic_proxy::wire::head;
use proptest::prelude::*;
use told::CONFIGURATION;
use told::CONFIGURATION_WORDS;
use told::KEYSTONE_WORDS;
use told::POLICY;
use told::POLICY_WORDS;
use told::STATE;
use told::STATE_WORDS;
use told::TOKEN;
use told::VALIDATED;
use told::read_configuration;
use told::read_identity;
use told::read_policy;
use told::read_state;

/// What real clients and real Ironics send; inputs are made of pieces of it.
const NODES: &[u8] = include_bytes!("corpus/nodes.json");
const ROOT: &[u8] = include_bytes!("corpus/root.json");
const FAULT: &[u8] = include_bytes!("corpus/fault.json");
const PATCH: &[u8] = include_bytes!("corpus/patch.json");
const HEAD: &[u8] = include_bytes!("corpus/head.txt");
const PATHS: &[u8] = include_bytes!("corpus/paths.txt");

const JSON_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud83d\\ude00",
    "\\udead",
    "null",
    "true",
    "1e999",
    "-0",
    "\"uuid\":",
    "\"nodes\":",
    "\"links\":",
    "\"href\":",
    "\"next\":",
    "\"name\":",
    "\"error_message\":",
    "\"default_version\":",
    "\u{feff}",
    " ",
    "\"op\":",
    "\"path\":",
    "\"/a~1b~0\"",
    "\"value\":",
];
const HTTP_WORDS: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\0",
    ": ",
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "%2F",
    "%",
    "%zz",
    "/",
    "//",
    "/..",
    ";",
    "?",
    "&",
    "=",
    "+",
    ".json",
    "latest",
    "baremetal 1.",
    "99999999999999999999",
    "q=0.5",
    "*/*",
    "application/json",
    "_method",
    "marker",
];

/// Whole inputs of the corpus, pieces of them, words and noise, one behind the other.
fn mixed(
    corpus: &'static [&'static [u8]],
    words: &'static [&'static str],
) -> impl Strategy<Value = Vec<u8>> {
    let piece = (
        prop::sample::select(corpus),
        any::<(prop::sample::Index, prop::sample::Index)>(),
    )
        .prop_map(|(text, (one, other))| {
            let (one, other) = (one.index(text.len() + 1), other.index(text.len() + 1));
            text[one.min(other)..one.max(other)].to_vec()
        });
    let part = prop_oneof![
        3 => piece,
        1 => prop::sample::select(corpus).prop_map(<[u8]>::to_vec),
        4 => prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..9),
        1 => (prop::sample::select(words), 1_usize..200).prop_map(|(word, times)| word.repeat(times).into_bytes()),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

fn json() -> impl Strategy<Value = Vec<u8>> {
    mixed(&[NODES, ROOT, FAULT, PATCH], JSON_WORDS)
}

fn http() -> impl Strategy<Value = Vec<u8>> {
    mixed(&[HEAD, PATHS], HTTP_WORDS)
}

fn base(text: &str) -> Base {
    Base::parse(text).expect("a base")
}

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body).is_ok()
}

/// Everything that reads a body of a location.
fn read_answer(body: &[u8]) {
    let (from, to) = (
        base("http://10.0.0.1:6385"),
        base("https://hub.example/baremetal"),
    );
    for keep in [Keep::All, Keep::Only(&["uuid", "name"])] {
        let need = Need {
            kind: Kind::Node,
            from: (&from).into(),
            id: "uuid",
            sort_key: Some("name"),
            keep,
            note: &["owner"],
        };
        if let Ok(page) = Page::decode(Bytes::copy_from_slice(body), "nodes", &need) {
            let told: usize = page.items().map(|item| item.length(&to)).sum();
            let page = Arc::new(page);
            let merged = MergedPage::new("nodes", to.clone(), Taken::all(&page));
            let whole = merged.to_bytes();
            assert_eq!(whole.len(), merged.length());
            assert!(
                is_json(&whole) || !is_json(body),
                "{}",
                String::from_utf8_lossy(&whole)
            );
            assert!(told <= whole.len());
        }
        if let Ok(document) = Document::decode(Bytes::copy_from_slice(body), &need) {
            let whole = document.into_body(&to);
            assert!(
                is_json(&whole) || !is_json(body),
                "{}",
                String::from_utf8_lossy(&whole)
            );
        }
    }
    for kind in [
        Kind::Node,
        Kind::Listing,
        Kind::Drivers,
        Kind::Ramdisk,
        Kind::Plain,
    ] {
        if let Ok(Some(whole)) = link::rewrite_document(kind, body, (&from).into(), &to) {
            assert!(
                is_json(&whole) || !is_json(body),
                "{}",
                String::from_utf8_lossy(&whole)
            );
        }
    }
    let _ = Base::learn(body);
    let _ = fault::read(body);
    let _ = json::is_list_under(body, "nodes");
    let _ = json::member(body, "uuid");
    let _ = json::decode(body);
}

/// Everything that reads a body of a client.
fn read_request(body: &[u8]) {
    if let Ok(object) = Object::parse("node", body) {
        let again = Object::parse("node", &object.to_bytes()).expect("what was written is read");
        assert_eq!(object.to_bytes(), again.to_bytes());
    }
    if let Ok(patch) = Patch::parse(body) {
        let again = Patch::parse(&patch.to_bytes()).expect("what was written is read");
        assert_eq!(patch.changes(), again.changes());
    }
    let is_deep = !DepthGauge::default().within(body, 25);
    let mut gauge = DepthGauge::default();
    let by_parts = body.chunks(3).all(|part| gauge.within(part, 25));
    assert_eq!(is_deep, !by_parts);
}

fn read_head(bytes: &[u8]) {
    let whole = head::Search::default().end(bytes);
    if let Ok(Some(end)) = whole {
        head::body(&bytes[..end]);
    }
    let mut search = head::Search::default();
    let by_bytes = (0..=bytes.len())
        .map(|upto| search.end(&bytes[..upto]))
        .find(|found| *found != Ok(None));
    assert_eq!(by_bytes.unwrap_or(Ok(None)), whole);
}

fn read_target(text: &str) {
    let (path, query) = text
        .split_once('?')
        .map_or((text, None), |(path, query)| (path, Some(query)));
    let Ok(parsed) = Query::parse(query) else {
        return;
    };
    let mut written = String::new();
    parsed.append_to(&mut written);
    let again = Query::parse(written.strip_prefix('?')).expect("what was written is read");
    assert_eq!(again, parsed);
    for minor in [1, 90, 115] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let Ok(path) = Path::read(path) else { continue };
            if let Ok((target, query)) =
                Target::read(&method, path, parsed.clone(), Microversion::new(1, minor))
            {
                let sent = target.path();
                let clean = sent
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && !b"?#;\"<>\\".contains(&byte));
                assert!(
                    clean && sent.starts_with("/v1"),
                    "{text:?} is sent as {sent:?}"
                );
                assert!(
                    !sent.split('/').any(|part| part == ".." || part == "."),
                    "{sent}"
                );
                drop(query);
            }
        }
    }
}

fn read_headers(value: &[u8]) {
    let mut headers = HeaderMap::new();
    for name in [
        "accept",
        "x-openstack-ironic-api-version",
        "openstack-api-version",
        "content-type",
        "x-openstack-request-id",
        "traceparent",
        "tracestate",
    ] {
        for value in value.split(|byte| *byte == b'\n').take(5) {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(http::HeaderName::from_static(name), value);
            }
        }
    }
    let _ = Requested::from_headers(&headers);
    let accept = Accept::of(&headers);
    let _ = (accept.takes_json(), accept.words());
    let _ = (RequestId::new(&headers), TraceContext::passed(&headers));
}

/// A whole file, with defaults behind it, takes as long as so many other inputs.
const FILE: u32 = 50;

/// How many inputs a target is given, each of which takes as long as `cost` usual ones. `PROPTEST_CASES` would be the same for all.
fn inputs(cost: u32) -> u32 {
    let told = std::env::var("FUZZ_INPUTS").ok();
    let inputs: u32 = told.map_or(256, |told| told.parse().expect("FUZZ_INPUTS is a number"));
    (inputs / cost).max(64)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, cases: inputs(1), ..ProptestConfig::default() })]

    #[test]
    fn bodies_of_locations(body in json()) {
        read_answer(&body);
    }

    #[test]
    fn bodies_of_clients(body in json()) {
        read_request(&body);
    }

    #[test]
    fn heads(bytes in http()) {
        read_head(&bytes);
    }

    #[test]
    fn targets(bytes in http()) {
        read_target(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn headers(bytes in http()) {
        read_headers(&bytes);
    }

    #[test]
    fn answers_of_keystone(body in mixed(&[TOKEN, VALIDATED], KEYSTONE_WORDS)) {
        read_identity(&body);
    }

    #[test]
    fn state_files(text in mixed(&[STATE], STATE_WORDS)) {
        read_state(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 2000,
        cases: inputs(FILE),
        ..ProptestConfig::default()
    })]

    #[test]
    fn policy_files(text in mixed(&[POLICY], POLICY_WORDS)) {
        read_policy(&text);
    }

    #[test]
    fn configurations(text in mixed(&[CONFIGURATION], CONFIGURATION_WORDS)) {
        read_configuration(&text);
    }
}

#[test]
fn the_corpus_is_read() {
    for text in [NODES, ROOT, FAULT, PATCH] {
        assert!(is_json(text));
        read_answer(text);
        read_request(text);
    }
    for text in [TOKEN, VALIDATED] {
        assert!(message::validated(text).is_ok());
        read_identity(text);
    }
    read_policy(POLICY);
    assert!(read_configuration(CONFIGURATION));
    assert!(state::is_whole(&mut &*STATE));
    read_state(STATE);
    read_head(HEAD);
    for line in String::from_utf8_lossy(PATHS).lines() {
        read_target(line);
    }
}

/// Processor time of this thread: others may be busy.
fn worked() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

/// Eight times as much may take eight times as long, and what a busy machine adds; not 64 times.
#[test]
fn no_input_takes_more_than_linear_time() {
    const UNITS: &[&str] = &[
        "[",
        "{\"a\":",
        "{\"nodes\":[",
        "[{\"uuid\":\"a\",\"links\":[{\"href\":\"http://10.0.0.1:6385/v1/nodes/a\"}]},",
        "\\",
        "\"",
        "\\\"",
        "\\u0041",
        "\\ud83d",
        "1",
        " ",
        ",",
        "%41",
        "&a=b",
        "/a",
        "a,",
        "\r",
        "\n",
        "a: b\r\n",
        "*/*;q=0.1,",
        "baremetal 1.1,",
    ];
    const STARTS: &[&str] = &[
        "",
        "\"",
        "{\"nodes\":[",
        "[",
        "/v1/nodes/",
        "/v1/nodes?a=",
        "{\"error_message\":\"",
        "GET / HTTP/1.1\r\na: ",
    ];
    for start in STARTS {
        for unit in UNITS {
            let taken = |size: usize| {
                let text = format!("{start}{}", unit.repeat(size / unit.len()));
                let once = || {
                    let began = worked();
                    let body = text.as_bytes();
                    read_answer(body);
                    read_request(body);
                    head::Search::default().end(body).ok();
                    read_target(&text);
                    read_headers(body);
                    read_identity(body);
                    read_state(body);
                    worked().saturating_sub(began)
                };
                (0..2).map(|_| once()).min().unwrap_or_default()
            };
            let (small, large) = (taken(4 << 10), taken(32 << 10));
            assert!(
                large < small * 24 + Duration::from_millis(40),
                "{start}{unit}…: {small:?}, then {large:?}"
            );
        }
    }
}
