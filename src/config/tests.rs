//! What a file means, from the outside.

mod credentials;
mod faults;
mod taken_over;

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

const SAMPLE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/conf/ironic-proxy.conf"
));

/// A whole configuration with one location and without warnings.
const BASE: &str = "\
[DEFAULT]
groups = _:loc1
[api]
auth_strategy = noauth
host_ip = 127.0.0.1
[group:loc1]
auth_type = none
endpoint_override = http://h:1
";

/// A location's section that only lacks its credential.
const KEYSTONE: &str = "\
[DEFAULT]
groups = _:loc1
[api]
auth_strategy = noauth
host_ip = 127.0.0.1
[group:loc1]
auth_url = http://k:5000
";

/// Loads `texts` as files `0.conf`, `1.conf` and so on; messages name them without a directory.
fn load_all(texts: &[&str], environment: &[(&str, &str)]) -> Result<Config, Errors> {
    let directory = tempfile::tempdir().unwrap();
    let prefix = format!("{}/", directory.path().display());
    let mut sources = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let path = directory.path().join(format!("{index}.conf"));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        sources.push(Source::File(path));
    }
    // The cases write their options behind BASE, so its sections begin again.
    let plain = |lines: Vec<String>| -> Vec<String> {
        lines
            .iter()
            .filter(|line| {
                !line.contains(": this option is already set")
                    && !line.contains(": this section already begins")
            })
            .map(|line| line.replace(&prefix, ""))
            .collect()
    };
    match Config::load(&Sources::new(sources), environment.iter().copied()) {
        Ok(config) => Ok(Config {
            warnings: plain(config.warnings),
            ..config
        }),
        Err(errors) => Err(Errors {
            faults: plain(errors.faults),
            warnings: plain(errors.warnings),
            ..errors
        }),
    }
}

fn load(text: &str) -> Result<Config, Errors> {
    load_all(&[text], &[])
}

fn location(lines: &str) -> LocationConfig {
    let config = load(&format!("{KEYSTONE}{lines}")).unwrap();
    config.locations.into_iter().next().unwrap()
}

#[test]
fn the_sample_loads_as_it_is() {
    let config = load(SAMPLE).unwrap();
    assert_eq!(config.warnings, [""; 0]);
    let names: Vec<_> = config.locations.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["loc1", "loc2"]);
    let of = |group| &config.location(config.groups.location(group).unwrap()).name;
    assert_eq!([of(""), of("grp1"), of("grp2")], ["loc1", "loc2", "loc1"]);
    let LocationAuth::Keystone(auth) = &config.locations[0].auth else {
        panic!("{:?}", config.locations[0].auth);
    };
    let KeystoneMethod::Password { password, .. } = &auth.method else {
        panic!("{auth:?}");
    };
    assert_eq!(password.expose_secret(), "pa$w0rd");
    assert_eq!(auth.scope, Scope::System);
    assert!(matches!(config.auth, AuthStrategy::Keystone(_)));
}

#[test]
fn the_defaults_of_the_sample_are_the_defaults() {
    let mut written = String::new();
    for line in SAMPLE.lines() {
        let default = line
            .strip_prefix('#')
            .filter(|option| !option.starts_with(' ') && !option.contains("<None>"));
        writeln!(written, "{}", default.unwrap_or(line)).unwrap();
    }
    assert!(written.contains("\nport = 6385\n"));
    let mut explicit = load(&written).unwrap();
    let mut implicit = load(SAMPLE).unwrap();
    // Each is in a directory of its own.
    explicit.policy.files.places.clear();
    implicit.policy.files.places.clear();
    // Without https, users' file and Keystone's absence some of them have no use, and say so.
    explicit.warnings.clear();
    assert_eq!(format!("{explicit:?}"), format!("{implicit:?}"));
}

#[test]
fn what_nobody_wrote_has_its_default() {
    let config = load(BASE).unwrap();
    assert_eq!(config.warnings, [""; 0]);
    let api = &config.api;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 6385));
    assert_eq!(api.listen, Listen::Addresses(vec![address]));
    assert_eq!((api.max_limit, api.max_depth), (1000, 25));
    assert_eq!(api.max_body, 1024 * 1024);
    assert_eq!(api.partial_lists, Partial::Deny);
    assert_eq!(api.tls, None);
    assert!(api.workers >= 1);
    assert_eq!(config.state_path, Path::new("/var/lib/ironic-proxy"));
    assert_eq!(config.drain_timeout, Duration::from_secs(70));
    assert_eq!(
        config.directory.sweep_interval,
        Some(Duration::from_mins(10))
    );
    assert!(config.healthcheck.enabled && !config.proxy_headers);
    let location = &config.locations[0];
    assert!(location.required && !location.forward_user_token);
    assert_eq!(location.timeout, Duration::from_secs(10));
    assert_eq!(location.response_timeout, Duration::from_mins(1));
    assert_eq!(location.read_timeout, Duration::from_secs(30));
    assert_eq!(location.connect_timeout, Duration::from_secs(3));
    assert_eq!(location.max_response_size, 256 * 1024 * 1024);
}

#[test]
fn what_somebody_wrote_is_taken() {
    let config = load_all(
        &[
            BASE,
            "[api]\nport = 1\nmin_max_version = 1.90\npublic_endpoint = https://h/p/v1/\n\
             partial_lists = allow\napi_workers = 3\n[GROUP:Loc1]\ntimeout = 2.5\n\
             response_timeout = 1\nmax_concurrent = 7\n[node_cache]\nsweep_interval = 0",
            "[api]\nport = 2\n[group:loc1]\nrequired = No",
        ],
        &[
            ("OS_API__PORT", "3"),
            ("OS_DEFAULT__STATE_PATH", "/s/$rbac_service_project_name"),
            ("OS_NODE_CACHE__MAX_ENTRIES", "9"),
            ("OS_AUTH_URL", "x"),
            ("OS_NOVA__PORT", "x"),
            ("os_api__port", "x"),
        ],
    )
    .unwrap();
    assert_eq!(
        config.warnings,
        ["OS_NOVA__PORT: [nova]: is for other programs; all of it is ignored"]
    );
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 3));
    assert_eq!(config.api.listen, Listen::Addresses(vec![address]));
    assert_eq!(config.api.workers, 3);
    assert_eq!(config.api.partial_lists, Partial::Allow);
    assert_eq!(config.api.public_endpoint.as_deref(), Some("https://h/p"));
    let version = config.api.min_max_version.unwrap();
    assert_eq!((version.major, version.minor), (1, 90));
    assert_eq!(config.state_path, Path::new("/s/service"));
    assert_eq!(config.directory.max_entries, 9);
    assert_eq!(config.directory.sweep_interval, None);
    let location = &config.locations[0];
    assert_eq!(location.timeout, Duration::from_millis(2500));
    assert_eq!(location.response_timeout, Duration::from_secs(1));
    assert_eq!(location.read_timeout, Duration::from_secs(1), "no longer");
    assert_eq!(location.max_concurrent, 7);
    assert!(!location.required);
}

#[test]
fn locations_are_in_the_order_of_the_groups() {
    let text = "[DEFAULT]\ngroups = a:Two,B:one,_:TWO\n[api]\nauth_strategy = none\n";
    let sections = ["four", "ONE", "three", "two"]
        .map(|name| format!("[group:{name}]\nauth_type = none\nendpoint_override = http://h\n"));
    let config = load(&format!("{text}{}", sections.concat())).unwrap();
    let names: Vec<_> = config.locations.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["two", "one", "four", "three"]);
    let groups: Vec<_> = config.groups.groups_of(LocationId(0)).collect();
    assert_eq!(groups, ["", "a"]);
    assert_eq!(config.groups.location("b"), Some(LocationId(1)));
    assert_eq!(config.groups.groups_of(LocationId(2)).count(), 0);
}

#[test]
fn ironic_s_place_of_the_strategy_is_read_too() {
    let rest = "groups = _:loc1\nhttp_basic_auth_user_file = /dev/null\n[group:loc1]\nauth_type = none\nendpoint = http://h\n";
    let config = load(&format!("[DEFAULT]\nauth_strategy = http_basic\n{rest}")).unwrap();
    assert!(
        matches!(config.auth, AuthStrategy::HttpBasic { user_file } if user_file == Path::new("/dev/null"))
    );
    let same = load(&format!(
        "[api]\nauth_strategy = none\n[DEFAULT]\nauth_strategy = noauth\n{rest}"
    ));
    assert!(matches!(same.unwrap().auth, AuthStrategy::Noauth));
}

#[test]
fn https_has_its_files() {
    let config = load(&format!(
        "{BASE}[api]\nenable_ssl_api = yes\ncert_file = /dev/null\nkey_file = /dev/null\ntls_minimum_version = 1.3\n"
    ))
    .unwrap();
    let tls = config.api.tls.unwrap();
    assert_eq!(tls.cert_file, Path::new("/dev/null"));
    assert_eq!((tls.minimum, tls.client_ca_file), (TlsVersion::V1_3, None));
}

#[test]
fn a_byte_order_mark_does_not_matter() {
    assert!(load(&format!("\u{feff}{BASE}")).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_file_panics(
        text in "\\PC{0,40}",
        option in prop::sample::select(SAMPLE.lines().filter(|l| l.starts_with('#') && l.contains(" = ")).map(|l| l[1..].split(" = ").next().unwrap().to_owned()).collect::<Vec<_>>()),
        section in prop::sample::select(vec!["DEFAULT", "api", "group:loc1", "keystone_authtoken", "node_cache", "other"]),
        value in "\\PC{0,8}|-?[0-9]{1,25}(\\.[0-9]*)?|[$_{}a-z.]{0,12}|other|api|(http://)?[a-z:/@.\\[\\]]{0,12}|[a-zA-Z_:,]{0,12}",
    ) {
        // Whatever it is, it is understood or refused with a reason.
        let written = format!("{SAMPLE}\n[{section}]\n{option} = {value}\n{text}\n[other]\n{option} = {value}\n");
        if let Err(errors) = load(&written) {
            prop_assert!(!errors.faults.is_empty());
        }
    }
}
