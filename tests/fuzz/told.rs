//! What Keystone says, what an operator wrote as policy or as configuration, and what was left on disk.

use std::path::PathBuf;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use ironic_proxy::config::Config;
use ironic_proxy::config::Interface;
use ironic_proxy::config::PolicyConfig;
use ironic_proxy::config::PolicyFiles;
use ironic_proxy::config::ProjectScoped;
use ironic_proxy::keystone::catalog::Wanted;
use ironic_proxy::keystone::message;
use ironic_proxy::locate::state;
use ironic_proxy::oslo::sources::Source;
use ironic_proxy::oslo::sources::Sources;
use ironic_proxy::policy::in_force::Policy;
use ironic_proxy::wire::transport::Reply;
use tempfile::TempDir;

pub(crate) const TOKEN: &[u8] = include_bytes!("corpus/token.json");
pub(crate) const VALIDATED: &[u8] = include_bytes!("corpus/validated.json");
pub(crate) const POLICY: &[u8] = include_bytes!("corpus/policy.yaml");
pub(crate) const CONFIGURATION: &[u8] = include_bytes!("corpus/ironic-proxy.conf");
pub(crate) const STATE: &[u8] = include_bytes!("corpus/state.jsonl");

pub(crate) const KEYSTONE_WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"",
    "null",
    "true",
    "{\"token\":",
    "\"user\":{\"id\":\"u\",\"name\":\"n\"}",
    "\"expires_at\":\"9999-12-31T23:59:59Z\"",
    "\"expires_at\":\"-009999-01-01T00:00:00Z\"",
    "\"issued_at\":\"1969-12-31T23:59:60Z\"",
    "\"roles\":null",
    "\"catalog\":[",
    "\"system\":{\"all\":1}",
    "\"url\":\"http://[::1]:99999/v1\"",
];
pub(crate) const POLICY_WORDS: &[&str] = &[
    "\n",
    ": ",
    "\"",
    "'",
    "!",
    "@",
    "(",
    ")",
    "not ",
    " and ",
    " or ",
    "role:",
    "rule:",
    "rule:a",
    "http://x/",
    "%(",
    ")s",
    "%%",
    "[",
    "]",
    "- ",
    "&a ",
    "*a",
    "<<: ",
    "---\n",
    "\t",
    "\u{feff}",
    "a: ",
    "True:",
];
pub(crate) const CONFIGURATION_WORDS: &[&str] = &[
    "\n",
    "\n ",
    " = ",
    ":",
    "[",
    "]",
    "\n[group:loc3]\n",
    "\n[api]\n",
    "\n[DEFAULT]\n",
    "#",
    "$",
    "${",
    "}",
    "$DEFAULT.groups",
    "${api.port}",
    "port = ${port}\n",
    "99999999999999999999",
    "-1",
    "1e309",
    "\"",
    "'",
    ",",
    "http://",
    "[::",
    "_:",
    "true",
    "\u{feff}",
    "\u{a0}",
    "\r",
    "\0",
];
pub(crate) const STATE_WORDS: &[&str] = &[
    "\n",
    "{\"format\":1}\n",
    "{\"format\":2}\n",
    "{\"end\":{\"lines\":1}}\n",
    "{\"end\":{\"lines\":18446744073709551615}}\n",
    "{\"known\":[\"nodes\",\"\",null,\"\"]}\n",
    "\"major\":-1",
    "null",
    "[",
    "{",
];

/// Everything that reads what Keystone says.
pub(crate) fn read_identity(body: &[u8]) {
    let mut headers = HeaderMap::new();
    headers.insert("x-subject-token", HeaderValue::from_static("gAAAA"));
    let reply = Reply {
        status: http::StatusCode::CREATED,
        headers,
        body: Bytes::copy_from_slice(body),
    };
    let issued = message::token(&reply, Instant::now());
    let validated = message::validated(body);
    if let Ok(token) = issued {
        // Whatever can be used as ours can be understood as a client's.
        let validated = validated.expect("a token that was issued");
        assert_eq!(token.is_system, validated.system);
        assert_eq!(token.roles, validated.roles);
        assert!(!format!("{token:?}").contains("gAAAA"), "a secret");
        for service_type in ["baremetal", "bare-metal", ""] {
            let _ = token.catalog.url(&Wanted {
                service_type,
                service_name: None,
                interfaces: &[Interface::Internal, Interface::Public],
                region: None,
            });
        }
    }
}

thread_local! {
    /// One for a whole test: to make and remove it takes longer than to read what is in it.
    static DIRECTORY: TempDir = tempfile::tempdir().expect("a directory");
}

fn written(name: &str, text: &[u8]) -> PathBuf {
    let file = DIRECTORY.with(|directory| directory.path().join(name));
    std::fs::write(&file, text).expect("a file");
    file
}

/// A policy file: what is wrong with it is said, or each of its rules is in force.
pub(crate) fn read_policy(text: &[u8]) {
    let file = written("policy.yaml", text);
    let policy = Policy::load(&PolicyConfig {
        files: PolicyFiles {
            file,
            directories: Vec::new(),
            // Nothing is looked for without one; the file is absolute.
            places: vec![PathBuf::new()],
        },
        project_scoped_access: ProjectScoped::Policy,
        elevated_project: None,
        own_nodes: true,
        tell_location: true,
    });
    match policy {
        Ok(policy) => assert!(policy.in_force().names().count() > 100),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A configuration: what is wrong with it is said.
pub(crate) fn read_configuration(text: &[u8]) -> bool {
    let file = written("ironic-proxy.conf", text);
    let sources = Sources::new(vec![Source::File(file)]);
    let read = Config::load(&sources, std::iter::empty::<(String, String)>());
    match &read {
        Ok(config) => assert!(!config.locations.is_empty()),
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
    read.is_ok()
}

/// Half a state file is never taken for a whole one.
pub(crate) fn read_state(text: &[u8]) {
    let is_whole = |mut text: &[u8]| state::is_whole(&mut text);
    if is_whole(text) {
        let lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
        for end in 0..lines.len() {
            assert!(!is_whole(&lines[..end].concat()), "{end} lines");
            let without = [&lines[..end], &lines[end + 1..]].concat();
            assert!(!is_whole(&without.concat()), "without line {end}");
        }
    }
}
