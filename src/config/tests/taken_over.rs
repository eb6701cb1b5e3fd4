//! A file of Ironic's, taken over: what is not honoured is refused or named, nothing passes in silence. And the
//! environment, which can set every section.

use super::*;

#[test]
fn what_would_be_a_promise_is_refused() {
    for (lines, expected) in [
        (
            "[audit]\nenabled = True\n[audit_middleware_notifications]\ndriver = messagingv2",
            "12: [audit_middleware_notifications] driver: is not supported: there is no message bus here; log writes records to the log or to [audit] log_file, noop nowhere",
        ),
        (
            "[audit]\nenabled = True\naudit_map_file = /nowhere",
            "11: [audit] audit_map_file: cannot be read: No such file or directory (os error 2)",
        ),
        (
            "[cors]\nallowed_origin = https://h/",
            "10: [cors] allowed_origin: `https://h/` is not an origin, such as https://horizon.example.com",
        ),
        (
            "[healthcheck]\ndisable_by_file_paths = /x",
            "10: [healthcheck] disable_by_file_paths: `/x` is not PORT:PATH, such as 6385:/run/disabled",
        ),
        (
            "[healthcheck]\nbackends = disable_by_file,mine",
            "10: [healthcheck] backends: `mine` is not supported: there are disable_by_file, disable_by_files_ports, enable_by_files, healthcheck",
        ),
        (
            "[healthcheck]\nallowed_source_ranges = 192.0.2.1/24",
            "10: [healthcheck] allowed_source_ranges: `192.0.2.1/24` is not a network, such as 192.0.2.0/24",
        ),
        (
            "[healthcheck]\nenable_by_file_paths = /x\ndisable_by_file_path = /y",
            "10: [healthcheck] enable_by_file_paths: and disable_by_file_path exclude each other",
        ),
        (
            "[DEFAULT]\nuse_syslog = yes",
            "10: [DEFAULT] use_syslog: is not supported: log to standard error or to log_file",
        ),
        (
            "[DEFAULT]\nlog-config = /x",
            "10: [DEFAULT] log-config: is not supported: it configures Python's logging; log_file, debug and use_json are here",
        ),
        (
            "[DEFAULT]\nuse_stderr = yes\nlog_dir = /var/log",
            "10: [DEFAULT] use_stderr: there is one log, and log_file or log_dir say that it is a file",
        ),
        (
            "[DEFAULT]\ndefault_conductor_group = $state_path",
            "10: [DEFAULT] default_conductor_group: is not supported: nodes without a conductor group go where groups maps `_`",
        ),
        (
            "[keystone_authtoken]\nidentity_uri = http://k",
            "10: [keystone_authtoken] identity_uri: is not supported: write auth_type, auth_url, username, password, project_name and the domains instead",
        ),
        (
            "tls_ciphers = ALL",
            "9: [group:loc1] tls_ciphers: is not supported: rustls has only safe ones",
        ),
    ] {
        let errors = load(&format!("{BASE}{lines}")).unwrap_err();
        assert_eq!(errors.faults, [format!("0.conf:{expected}")], "{lines}");
    }
}

#[test]
fn what_promises_nothing_is_taken() {
    let lines = "[audit]\nenabled = false\n[audit_middleware_notifications]\ndriver = messagingv2\n[cors]\nallowed_origin =\n[healthcheck]\ndetailed = off\n\
                 backends =\n[DEFAULT]\nuse_journal = False\nlog_rotation_type = none\n[api]\n\
                 restrict_lookup = True\ndisallow_clean_steps = vendor.send_raw\n";
    let config = load(&format!("{BASE}{lines}")).unwrap();
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn what_is_each_location_s_own_is_one_line() {
    let lines = "[DEFAULT]\nmy_ip = 10.0.0.1\nenabled_hardware_types = ipmi\ntransport_url = rabbit://u:p@h\n\
                 [conductor]\nworkers_pool_size = 8\nheartbeat_interval = 3\n[oslo_messaging_rabbit]\nssl = true\n";
    let config = load(&format!("{BASE}{lines}")).unwrap();
    assert_eq!(
        config.warnings,
        [
            "0.conf:10: [DEFAULT] my_ip, enabled_hardware_types, transport_url: matters of each location's own Ironic, and ignored here",
            "0.conf:13: [conductor]: is for other programs; all of it is ignored",
            "0.conf:16: [oslo_messaging_rabbit]: is for other programs; all of it is ignored",
        ]
    );
}

#[test]
fn a_renamed_option_is_read_and_told() {
    let lines = "[api]\nauth_strategy = keystone\n[keystone_authtoken]\nauth_uri = http://k:5000\nauth_type = password\n\
                 auth_url = http://k:5000\nuser_id = u\npassword = p\nproject_id = p\n";
    let config = load(&format!("{BASE}{lines}")).unwrap();
    assert_eq!(
        config.warnings,
        ["0.conf:12: [keystone_authtoken] auth_uri: is an old name of www_authenticate_uri"]
    );
    let AuthStrategy::Keystone(inbound) = config.auth else {
        panic!("{:?}", config.auth);
    };
    assert_eq!(
        inbound.www_authenticate_uri.as_deref(),
        Some("http://k:5000")
    );
}

#[test]
fn what_is_written_twice_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.conf");
    fs::write(
        &path,
        format!("{BASE}timeout = 5\n  breaker_reset = 3\ntimeout = 6\n[API]\nport = 1\n"),
    )
    .unwrap();
    let sources = Sources::new(vec![Source::File(path.clone())]);
    let warnings = Config::load(&sources, [("", ""); 0])
        .map_or_else(|errors| errors.warnings, |config| config.warnings);
    let expected = [
        "10: an indented line is part of the value above it; an option begins at the margin",
        "11: this option is already set in line 9; only the last one counts",
        "12: this section already begins in line 3; the two are merged",
    ];
    assert_eq!(
        warnings,
        expected.map(|text| format!("{}:{text}", path.display()))
    );
}

#[test]
fn one_ironic_behind_two_locations_is_told() {
    let config = load(&format!(
        "{BASE}endpoint_override = http://h:1,http://i:1,http://H:1/v1/\n\
         [group:b]\nauth_type = none\nendpoint_override = http://i:1\n"
    ))
    .unwrap();
    assert_eq!(
        config.warnings,
        [
            "0.conf:9: [group:loc1] endpoint_override: http://h:1 is there twice",
            "0.conf:12: [group:b] endpoint_override: http://i:1 is also an endpoint of location loc1: each node would appear twice",
        ]
    );
}

#[test]
fn an_address_to_listen_on_is_meant_as_written() {
    for (text, expected) in [
        ("localhost", &["127.0.0.1:6385"] as &[&str]),
        ("[::1]", &["[::1]:6385"]),
        ("::", &["[::]:6385"]),
        ("0.0.0.0", &["0.0.0.0:6385"]),
        (
            "127.0.0.1, [::1],192.0.2.1",
            &["127.0.0.1:6385", "[::1]:6385", "192.0.2.1:6385"],
        ),
    ] {
        let config = load(&format!("{BASE}[api]\nhost_ip = {text}\n")).unwrap();
        let expected = expected.iter().map(|address| address.parse().unwrap());
        let expected = Listen::Addresses(expected.collect());
        assert_eq!(config.api.listen, expected, "{text}");
    }
    let config = load(&format!("{BASE}[api]\nhost_ip = localhost,127.0.0.1\n")).unwrap();
    assert_eq!(
        config.warnings,
        ["0.conf:10: [api] host_ip: 127.0.0.1 is there twice"]
    );
    let config = load(&format!("{BASE}[api]\nmin_max_version = 1.999\n")).unwrap();
    assert_eq!(
        config.warnings,
        [
            "0.conf:10: [api] min_max_version: is newer than 1.115, the newest that is known: every location below it is left out"
        ]
    );
}

#[test]
fn a_unix_socket_replaces_addresses() {
    for (mode, expected) in [
        ("", Ok(None)),
        ("unix_socket_mode = 0660", Ok(Some(0o660))),
        ("unix_socket_mode = 0o600", Ok(Some(0o600))),
        ("unix_socket_mode = 0680", Err(())),
        ("unix_socket_mode = 1777", Err(())),
    ] {
        let lines = format!("unix_socket = /run/x\nhost_ip = 192.0.2.1\n{mode}");
        let listen = load(&format!("{BASE}[api]\n{lines}\n")).map(|config| config.api.listen);
        match expected {
            Ok(mode) => assert_eq!(
                listen.unwrap(),
                Listen::Unix {
                    path: "/run/x".into(),
                    mode
                }
            ),
            Err(()) => assert_eq!(
                listen.unwrap_err().faults,
                ["0.conf:12: [api] unix_socket_mode: is not an octal number from 0 to 777"],
                "{mode}"
            ),
        }
    }
}

#[test]
fn the_log_has_a_directory_as_in_oslo() {
    for (lines, expected) in [
        ("log_dir = /d", "/d/ironic-proxy.log"),
        ("logdir = /d\nlog_file = f", "/d/f"),
        ("log_dir = /d\nlog_file = /e/f", "/e/f"),
        ("log_file = f", "f"),
    ] {
        let config = load(&format!("{BASE}[DEFAULT]\n{lines}\n")).unwrap();
        assert_eq!(
            config.log.file.as_deref(),
            Some(Path::new(expected)),
            "{lines}"
        );
    }
}

#[test]
fn the_environment_sets_every_section() {
    let text = "[DEFAULT]\ngroups = _:loc1,g:loc-2,h:l.o_c\n[api]\nauth_strategy = noauth\nhost_ip = 127.0.0.1\n\
                [group:loc1]\nauth_section = a-b\nendpoint_override = http://h:1\n[a-b]\nauth_type = http_basic\n\
                username = u\n";
    let environment = [
        ("OS_A_B__PASSWORD", "p"),
        ("OS_GROUP_LOC1__TIMEOUT", "7"),
        ("OS_GROUP_LOC_2__AUTH_TYPE", "none"),
        ("OS_GROUP_LOC_2__ENDPOINT_OVERRIDE", "http://h:2"),
        ("OS_GROUP_L_O_C__AUTH_TYPE", "none"),
        ("OS_GROUP_L_O_C__ENDPOINT_OVERRIDE", "http://h:3"),
    ];
    let config = load_all(&[text], &environment).unwrap();
    assert_eq!(config.warnings, [""; 0]);
    let names: Vec<_> = config.locations.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["loc1", "loc-2", "l.o_c"]);
    assert_eq!(config.locations[0].timeout, Duration::from_secs(7));
    let LocationAuth::HttpBasic { password, .. } = &config.locations[0].auth else {
        panic!("{:?}", config.locations[0].auth);
    };
    assert_eq!(password.expose_secret(), "p");
}

#[test]
fn a_variable_that_could_be_two_sections_is_a_fault() {
    let text = format!(
        "{BASE}[group:a-b]\nauth_type = none\nendpoint = http://h:2\n[group:a.b]\nauth_type = none\nendpoint = http://h:3\n"
    );
    let errors = load_all(&[&text], &[("OS_GROUP_A_B__TIMEOUT", "5")]).unwrap_err();
    assert_eq!(
        errors.faults,
        [
            "OS_GROUP_A_B__TIMEOUT: is one variable for [group:a-b] and [group:a.b]: write the option into a file"
        ]
    );
    let config = load_all(&[BASE], &[("OS_GRUOP_LOC1__TIMEOUT", "5")]).unwrap();
    assert_eq!(
        config.warnings,
        ["OS_GRUOP_LOC1__TIMEOUT: [gruop_loc1]: unknown section, did you mean group:loc1?"]
    );
}

#[test]
fn a_file_in_another_encoding_has_no_other_faults() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.conf");
    let faults = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let sources = Sources::new(vec![Source::File(path.clone())]);
        let errors = Config::load(&sources, [("", ""); 0]).unwrap_err();
        let prefix = format!("{}:", path.display());
        errors
            .faults
            .iter()
            .map(|fault| fault.replace(&prefix, ""))
            .collect::<Vec<_>>()
    };
    let latin1 = format!("# Stra\u{df}e\n{BASE}description = gr\u{fc}n\n");
    let latin1: Vec<u8> = latin1.chars().map(|c| u8::try_from(c).unwrap()).collect();
    let text = "is not UTF-8; save the file as UTF-8";
    assert_eq!(
        faults(&latin1),
        [format!("1: {text}"), format!("10: {text}")]
    );
    let utf16: Vec<u8> = std::iter::once(0xfeff)
        .chain(BASE.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(faults(&utf16), [" is UTF-16; save it as UTF-8"]);
}

/// Processor time of this thread: other work of the machine does not count.
fn spent() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let running = schedstat.split(' ').next().unwrap();
    Duration::from_nanos(running.parse().unwrap())
}

#[test]
fn ten_times_the_sections_take_ten_times_as_long() {
    let reading = |sections: usize| {
        let mut text = BASE.to_owned();
        for n in 0..sections {
            write!(
                text,
                "[group:l{n}]\nauth_type = http_basic\nusername = u\npassword = p\nendpoint_override = http://h{n}:1\n"
            )
            .unwrap();
        }
        let before = spent();
        assert_eq!(load(&text).unwrap().locations.len(), sections + 1);
        spent().saturating_sub(before)
    };
    // The figure for 5000, half a second, is held by `cargo bench --bench load`; a square would make this a hundred.
    let (few, many) = (reading(500), reading(5000));
    assert!(many < few * 30, "{few:?}, then {many:?}");
}
