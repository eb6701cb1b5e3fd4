//! What is wrong or odd is said, and where; what is secret is not.

use super::*;

#[test]
fn all_faults_are_said_at_once() {
    let errors = load_all(
        &[
            "[DEFAULT]\ngroups = _:loc1,g:loc2,h/:loc1\nnonsense\n[api]\nport = 70000\n\
             debug = true\nhost_ip = local_host..\nmax_limit =\n[node_cache]\nname_lifetime = -1\n",
            "[DEFAULT]\ndebug = maybe\n[group:loc1]\nauth_type = pasword\nauth-url = http://x\n",
        ],
        &[("OS_API__MAX_LIMIT", "0")],
    )
    .unwrap_err();
    assert_eq!(
        errors.faults,
        [
            "0.conf:1: [keystone_authtoken] auth_type: is missing: auth_strategy = keystone needs this section, so that the gateway can have tokens validated",
            "0.conf:2: [DEFAULT] groups: `h/` is not a conductor group: letters, digits, `_`, `.` and `-` only, and `_` alone for the default group",
            "0.conf:2: [DEFAULT] groups: `loc2` is not a location: there is no section [group:loc2]",
            "0.conf:3: neither `=` nor `:` in this line",
            "0.conf:5: [api] port: is not a whole number from 0 to 65535",
            "0.conf:7: [api] host_ip: `local_host..` is neither an IP address nor a name of one",
            "0.conf:10: [node_cache] name_lifetime: is not a number of seconds from 0 to a year",
            "1.conf:2: [DEFAULT] debug: is neither true nor false",
            "1.conf:4: [group:loc1] auth_type: must be one of none, http_basic, admin_token, password, v3password, v3applicationcredential, token, v3token",
            "OS_API__MAX_LIMIT: [api] max_limit: is not a whole number from 1 to 1000000",
        ]
    );
    assert_eq!(
        errors.warnings,
        [
            "0.conf:6: [api] debug: unknown option",
            "1.conf:5: [group:loc1] auth-url: unknown option, did you mean auth_url?",
        ]
    );
    assert_eq!(errors.to_string(), errors.faults.join("\n"));
}

#[test]
fn each_fault_has_its_line() {
    for (lines, expected) in FAULTS {
        let errors = load(&format!("{BASE}{lines}")).unwrap_err();
        assert_eq!(errors.faults, [format!("0.conf:{expected}")], "{lines}");
    }
}

/// Lines 9 and on, in [group:loc1] of BASE, and the only fault.
const FAULTS: &[(&str, &str)] = &[
    (
        "[DEFAULT]\ngroups =",
        "10: [DEFAULT] groups: is missing: which location serves which conductor group, such as _:loc1,grp1:loc2",
    ),
    (
        "[DEFAULT]\ngroups = _",
        "10: [DEFAULT] groups: must be NAME:VALUE, NAME:VALUE and so on",
    ),
    (
        "[DEFAULT]\ngroups = a:loc1,A:loc1",
        "10: [DEFAULT] groups: conductor group `A` is there twice (upper and lower case are the same)",
    ),
    (
        "[DEFAULT]\ngroups = a:loc1\n b:loc1",
        "10: [DEFAULT] groups: `loc1\\nb:loc1` is not a valid name of a location: letters, digits, `_`, `.` and `-` only",
    ),
    (
        "bmc_addresses = 10.20.0.0/16, 10.20.0/16",
        "9: [group:loc1] bmc_addresses: `10.20.0/16` is none of these: a network such as 10.20.0.0/16 or 2001:db8:20::/48, an address, a name, `*.` and the end of names",
    ),
    (
        "bmc_addresses = https://bmc.example.com",
        "9: [group:loc1] bmc_addresses: `https://bmc.example.com` is none of these: a network such as 10.20.0.0/16 or 2001:db8:20::/48, an address, a name, `*.` and the end of names",
    ),
    (
        "bmc_addresses = 10.0.0.0/8\n[DEFAULT]\ngroups = _:loc1,b:loc2\n[group:loc2]\nauth_type = none\nendpoint = http://i\nbmc_addresses = 10.20.0.0/16,10.0.0.0/8",
        "15: [group:loc2] bmc_addresses: 10.0.0.0/8 also belongs to location loc1, so it cannot decide where a node is placed",
    ),
    (
        "[group:loc2]\nauth_type = none\nendpoint = http://i\nbmc_addresses = 10.0.0.0/8",
        "12: [group:loc2] bmc_addresses: no node can be created here: [DEFAULT] groups maps no group to this location",
    ),
    (
        "[DEFAULT]\nunmatched = nowhere",
        "10: [DEFAULT] unmatched: must be one of default, refuse",
    ),
    (
        "local_groups = _:_,berlin:x",
        "9: [group:loc1] local_groups: [DEFAULT] groups does not map `berlin` to location loc1",
    ),
    (
        "local_groups = _:a b",
        "9: [group:loc1] local_groups: `a b` is not a conductor group: letters, digits, `_`, `.` and `-` only, and `_` alone for the default group",
    ),
    (
        "local_groups = /:a",
        "9: [group:loc1] local_groups: `/` is not a conductor group: letters, digits, `_`, `.` and `-` only, and `_` alone for the default group",
    ),
    (
        "[DEFAULT]\ngroups = a:loc1,b:loc1\n[group:loc1]\nlocal_groups = a:x,b:X",
        "12: [group:loc1] local_groups: `a` and `b` would both be the location's group `x`",
    ),
    (
        "[DEFAULT]\ngroups = a:loc1,_:loc1\n[group:loc1]\nlocal_groups = a:_",
        "12: [group:loc1] local_groups: `_` and `a` would both be the location's group `_`",
    ),
    (
        "[DEFAULT]\ngroups = a:loc1,b:loc1\n[group:loc1]\nlocal_groups = a:x,A:y",
        "12: [group:loc1] local_groups: conductor group `a` is there twice (upper and lower case are the same)",
    ),
    (
        "[group:a b]\nauth_type = none\nendpoint = http://h",
        "9: [group:a b] NAME: `a b` is not a valid name of a location: letters, digits, `_`, `.` and `-` only",
    ),
    (
        "auth_type =",
        "9: [group:loc1] auth_type: is missing: write auth_type = none where no credential is asked for",
    ),
    (
        "auth_type = v2password",
        "9: [group:loc1] auth_type: v2password speaks Identity v2, which no Keystone has any more; use password",
    ),
    (
        "auth_section = other",
        "9: [group:loc1] auth_section: there is no section [other]",
    ),
    (
        "auth_type = http_basic\npassword = p",
        "6: [group:loc1] username: is missing: auth_type http_basic needs a user",
    ),
    (
        "auth_type = http_basic\nusername = u:v\npassword = p",
        "10: [group:loc1] username: must not hold a colon",
    ),
    (
        "auth_type = http_basic\nusername = u\npassword =",
        "11: [group:loc1] password: is missing: auth_type http_basic needs a password",
    ),
    (
        "auth_type = admin_token",
        "6: [group:loc1] token: is missing: auth_type admin_token needs it",
    ),
    (
        "endpoint_override =",
        "9: [group:loc1] endpoint_override: is missing: without a Keystone there is no catalog to ask",
    ),
    (
        "endpoint_override = http://h,h",
        "9: [group:loc1] endpoint_override: must start with http:// or https://",
    ),
    (
        "version = 2",
        "9: [group:loc1] version: the Bare Metal API has only version 1; microversions need no option",
    ),
    (
        "version = 1\nmin_version = 1",
        "9: [group:loc1] version: cannot be used together with min_version or max_version",
    ),
    (
        "timeout = 0",
        "9: [group:loc1] timeout: must be more than 0 seconds",
    ),
    (
        "timeout = 1e9",
        "9: [group:loc1] timeout: is not a number of seconds from 0 to a year",
    ),
    (
        "timeout = inf",
        "9: [group:loc1] timeout: is not a number of seconds from 0 to a year",
    ),
    (
        "timeout = ten",
        "9: [group:loc1] timeout: is not a number of seconds",
    ),
    (
        "breaker_failures = 0",
        "9: [group:loc1] breaker_failures: is not a whole number from 1 to 1000000",
    ),
    (
        "max_concurrent = 0x10",
        "9: [group:loc1] max_concurrent: is not a whole number from 1 to 1000000",
    ),
    (
        "required =",
        "9: [group:loc1] required: is neither true nor false",
    ),
    (
        "forward_user_token = true",
        "9: [group:loc1] forward_user_token: needs auth_strategy = keystone: without it no user has a token",
    ),
    (
        "tls_min_version = 1.3",
        "9: [group:loc1] tls_min_version: 1.3 cannot be enforced towards a location",
    ),
    (
        "cafile = /nowhere/ca.pem",
        "9: [group:loc1] cafile: cannot be read: No such file or directory (os error 2)",
    ),
    (
        "certfile = /nowhere/c.pem",
        "9: [group:loc1] certfile: cannot be read: No such file or directory (os error 2)",
    ),
    (
        "certfile = /dev/null\nkeyfile = /",
        "10: [group:loc1] keyfile: cannot be read: is a directory",
    ),
    (
        "version = $nothing",
        "9: [group:loc1] version: `$nothing` refers to no option; a plain $ is written $$",
    ),
    (
        "auth_type = http_basic\nusername = u\npassword = hunter2$hunter3",
        "11: [group:loc1] password: a $ in it refers to no option; a plain $ is written $$",
    ),
    (
        "password = p\nendpoint_override = http://$password",
        "10: [group:loc1] endpoint_override: `$password` is a secret and this option is none",
    ),
    (
        "endpoint_override = $endpoint\nendpoint = $endpoint_override",
        "9: [group:loc1] endpoint_override: `$endpoint_override` refers to itself",
    ),
    (
        "[api]\nauth_strategy = magic",
        "10: [api] auth_strategy: must be one of keystone, http_basic, noauth, none",
    ),
    (
        "[DEFAULT]\nauth_strategy = keystone",
        "4: [api] auth_strategy: differs from [DEFAULT] auth_strategy",
    ),
    (
        "[api]\nauth_strategy = http_basic\n[DEFAULT]\nhttp_basic_auth_user_file = /nowhere/u",
        "12: [DEFAULT] http_basic_auth_user_file: cannot be read: No such file or directory (os error 2)",
    ),
    (
        "[api]\nauth_strategy = keystone\n[keystone_authtoken]\nauth_type = none",
        "12: [keystone_authtoken] auth_type: must be one that gets a token from a Keystone, such as password",
    ),
    (
        "[api]\nmin_max_version = new",
        "10: [api] min_max_version: is not a version such as 1.90",
    ),
    (
        "[api]\npublic_endpoint = h",
        "10: [api] public_endpoint: must start with http:// or https://",
    ),
    (
        "[api]\nenable_ssl_api = true\nkey_file = /dev/null",
        "3: [api] cert_file: is missing: enable_ssl_api = true needs it",
    ),
    (
        "[api]\nenable_ssl_api = true\ncert_file = /dev/null\nkey_file = /dev/null\ntls_minimum_version = 1.1",
        "13: [api] tls_minimum_version: must be one of 1.2, 1.3",
    ),
    (
        "[api]\nenable_ssl_api = true\ncert_file = /dev/null\nkey_file = /dev/null\nclient_ca_file = /nowhere",
        "13: [api] client_ca_file: cannot be read: No such file or directory (os error 2)",
    ),
];

#[test]
fn what_is_odd_is_a_warning() {
    for (lines, expected) in [
        ("k = v", "9: [group:loc1] k: unknown option"),
        (
            "timeuot = 5",
            "9: [group:loc1] timeuot: unknown option, did you mean timeout?",
        ),
        (
            "[apy]\nport = 1",
            "9: [apy]: unknown section, did you mean api?",
        ),
        (
            "[default]\ndebug = true",
            "9: [default]: unknown section, did you mean DEFAULT?",
        ),
        (
            "[groups:loc1]",
            "9: [groups:loc1]: unknown section, did you mean group:loc1?",
        ),
        (
            "timeout = 5\n # five",
            "10: an indented comment is part of the value above it",
        ),
        (
            "insecure = true",
            "9: [group:loc1] insecure: no certificate is verified",
        ),
        (
            "connect_retries = 3",
            "9: [group:loc1] connect_retries: is accepted and ignored",
        ),
        (
            "keyfile = /dev/null",
            "9: [group:loc1] keyfile: has no effect beside the other options here",
        ),
        (
            "password = p",
            "9: [group:loc1] password: has no effect beside the other options here",
        ),
        (
            "auth_type = http_basic\nuser-name = u\npassword = p",
            "10: [group:loc1] user-name: is an old name of username",
        ),
        (
            "[api]\nhost_ip = 0.0.0.0",
            "4: [api] auth_strategy: noauth: whoever can connect has every right at every location",
        ),
        (
            "[api]\ncert_file = /dev/null",
            "10: [api] cert_file: has no effect beside the other options here",
        ),
    ] {
        let outcome = load(&format!("{BASE}{lines}"));
        let warnings = outcome.map_or_else(|errors| errors.warnings, |config| config.warnings);
        assert_eq!(warnings, [format!("0.conf:{expected}")], "{lines}");
    }
    let config = load_all(&[BASE], &[("OS_API__PROT", "1")]).unwrap();
    assert_eq!(
        config.warnings,
        ["OS_API__PROT: [api] prot: unknown option, did you mean port?"]
    );
    let mut deprecated =
        location("auth_plugin = token\ntoken = t\ntenant-id = p\ninterface = admin\n");
    assert!(
        matches!(&mut deprecated.auth, LocationAuth::Keystone(auth) if auth.scope == Scope::Project(ProjectRef::Id("p".into())))
    );
    assert!(
        matches!(deprecated.endpoints, EndpointSource::Catalog { interfaces, .. } if interfaces == [Interface::Admin])
    );
}

#[test]
fn a_file_with_secrets_is_nobody_else_s() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.conf");
    let secret = format!(
        "{}token = t\n",
        BASE.replace("auth_type = none", "auth_type = admin_token")
    );
    for (text, mode, expected) in [
        (&secret, 0o644, 1),
        (&secret, 0o640, 0),
        (&BASE.to_owned(), 0o644, 0),
    ] {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let sources = Sources::new(vec![Source::File(path.clone())]);
        let config = Config::load(&sources, [("", ""); 0]).unwrap();
        assert_eq!(
            config.warnings.len(),
            expected,
            "{mode:o} {:?}",
            config.warnings
        );
    }
}

#[test]
fn files_that_cannot_be_read_are_faults() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.conf");
    fs::write(&file, b"[api]\nport = 1\nk = \xff\n").unwrap();
    let sources = Sources::new(vec![
        Source::Directory(directory.path().into()),
        Source::File("/nowhere/b.conf".into()),
        Source::Directory("/nowhere/c".into()),
    ]);
    let errors = Config::load(&sources, [("", ""); 0]).unwrap_err();
    let text = errors.to_string();
    for expected in [
        &format!("{}:3: is not UTF-8", file.display()),
        "/nowhere/b.conf: cannot be read: No such file",
        "/nowhere/c: cannot be read: No such file",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let nothing = Config::load(&Sources::default(), [("", ""); 0]).unwrap_err();
    assert!(
        nothing.faults[0].contains("no configuration file"),
        "{nothing}"
    );
}

#[test]
fn no_secret_is_printed() {
    let secret = "hunter2";
    let mut texts = Vec::new();
    for lines in [
        format!("auth_type = http_basic\nusername = u\npassword = {secret}\n"),
        format!("auth_type = admin_token\ntoken = {secret}\n"),
        format!(
            "auth_type = password\nauth_url = http://k\nuser_id = u\nsystem_scope = all\npassword = {secret}\n"
        ),
        format!("auth_type = v3token\nauth_url = http://u:{secret}@k\ntoken = {secret}\n"),
        format!(
            "auth_type = v3applicationcredential\nauth_url = http://k\napplication_credential_id = i\napplication_credential_secret = {secret}\n"
        ),
        format!("auth_type = password\npassword = ${secret}\n"),
        format!("auth_type = http_basic\npassword = x\n\n  {secret}\n"),
        format!("auth_type = http_basic\npassword\n{secret}\n"),
        format!("endpoint_override = http://u:{secret}@h\n"),
        format!("password = {secret}\nendpoint_override = http://$password\n"),
        format!("auth_type = {secret}\n"),
    ] {
        texts.push(format!("{:?}", load(&format!("{BASE}{lines}"))));
        texts.push(format!(
            "{:?}",
            load(&format!(
                "{BASE}[api]\nauth_strategy = keystone\n[keystone_authtoken]\n{lines}"
            ))
        ));
    }
    assert!(texts.iter().any(|text| text.starts_with("Ok")));
    for text in texts {
        assert!(!text.contains(secret), "{text}");
    }
}
