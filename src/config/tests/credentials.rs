//! Keystoneauth's options.

use super::*;

#[test]
fn a_credential_is_whole_or_a_fault() {
    let user = "username = u\nuser_domain_id = default\npassword = p\n";
    for (lines, option) in [
        ("auth_type = password\nsystem_scope = all\n".to_owned(), vec!["password", "username"]),
        (format!("auth_type = password\n{user}"), vec!["system_scope"]),
        (format!("auth_type = password\n{user}system_scope = some\n"), vec!["system_scope"]),
        (format!("auth_type = password\n{user}project_name = x\n"), vec!["project_domain_name"]),
        (format!("auth_type = password\n{user}project_id = x\nsystem_scope = all\n"), vec!["system_scope"]),
        (format!("auth_type = password\n{user}project_id = x\ntrust_id = t\n"), vec!["trust_id"]),
        (format!("auth_type = password\n{user}domain_name = x\nproject_id = t\n"), vec!["domain_name"]),
        ("auth_type = v3password\nusername = u\npassword = p\ndefault_domain_id = d\nsystem_scope = all\n".to_owned(), vec!["user_domain_name"]),
        ("auth_type = v3applicationcredential\n".to_owned(), vec!["application_credential_id", "application_credential_secret"]),
        ("auth_type = v3applicationcredential\napplication_credential_name = n\napplication_credential_secret = s\n".to_owned(), vec!["username"]),
        ("auth_type = v3token\n".to_owned(), vec!["token"]),
        (format!("auth_type = password\n{user}system_scope = all\nauth_url =\n"), vec!["auth_url"]),
        (format!("auth_type = password\n{user}system_scope = all\nauth_url = k\n"), vec!["auth_url"]),
        (format!("auth_type = password\n{user}system_scope = all\nvalid_interfaces = public,x\n"), vec!["valid_interfaces"]),
    ] {
        let errors = load(&format!("{KEYSTONE}{lines}")).unwrap_err();
        let said: Vec<_> = errors
            .faults
            .iter()
            .map(|fault| fault.split(": ").nth(1).unwrap())
            .collect();
        let expected: Vec<_> = option.iter().map(|o| format!("[group:loc1] {o}")).collect();
        assert_eq!(said, expected, "{lines}: {errors}");
    }
}

#[test]
fn scopes_and_users_are_those_of_keystoneauth() {
    let by_id = |id: &str| DomainRef::Id(id.to_owned());
    let by_name = |name: &str| DomainRef::Name(name.to_owned());
    let project = |domain| {
        let name = "p".to_owned();
        Scope::Project(ProjectRef::Name { name, domain })
    };
    let user = |domain| {
        let name = "u".to_owned();
        UserRef::Name { name, domain }
    };
    for (lines, expected_user, expected_scope) in [
        (
            "auth_type = v3password\nuser_domain_name = D\nsystem_scope = all",
            user(by_name("D")),
            Scope::System,
        ),
        (
            "auth_type = password\ndefault_domain_id = d\nproject_name = p",
            user(by_id("d")),
            project(by_id("d")),
        ),
        (
            "auth_type = password\ndefault_domain_id = d\nuser_domain_id = e\nproject_domain_name = F\nproject_name = p",
            user(by_id("e")),
            project(by_name("F")),
        ),
        (
            "auth_type = password\nuser_id = i\nproject_id = p\nproject_name = q",
            UserRef::Id("i".into()),
            Scope::Project(ProjectRef::Id("p".into())),
        ),
        (
            "auth_type = password\nuser_id = i\ndomain_id = d",
            UserRef::Id("i".into()),
            Scope::Domain(by_id("d")),
        ),
        (
            "auth_type = password\nuser_id = i\ntrust_id = t",
            UserRef::Id("i".into()),
            Scope::Trust("t".into()),
        ),
    ] {
        let location = location(&format!("username = u\npassword = p\n{lines}"));
        let LocationAuth::Keystone(auth) = location.auth else {
            panic!("{lines}");
        };
        let KeystoneMethod::Password { user, .. } = auth.method else {
            panic!("{lines}");
        };
        assert_eq!(
            (user, auth.scope),
            (expected_user, expected_scope),
            "{lines}"
        );
    }
}

#[test]
fn other_proofs_than_a_password() {
    let location_of = |lines| location(lines).auth;
    let LocationAuth::Keystone(auth) = location_of(
        "auth_type = v3applicationcredential\napplication_credential_id = i\napplication_credential_secret = s",
    ) else {
        panic!();
    };
    let KeystoneMethod::ApplicationCredential { credential, secret } = auth.method else {
        panic!();
    };
    assert_eq!(credential, CredentialRef::Id("i".into()));
    assert_eq!(secret.expose_secret(), "s");
    assert_eq!(auth.scope, Scope::Unscoped);

    let LocationAuth::Keystone(auth) = location_of(
        "auth_type = v3applicationcredential\napplication_credential_name = n\nuser_id = u\napplication_credential_secret = s",
    ) else {
        panic!();
    };
    let KeystoneMethod::ApplicationCredential { credential, .. } = auth.method else {
        panic!();
    };
    let user = UserRef::Id("u".into());
    assert_eq!(
        credential,
        CredentialRef::Name {
            name: "n".into(),
            user
        }
    );

    let LocationAuth::Keystone(auth) = location_of("auth_type = token\ntoken = t\nproject_id = p")
    else {
        panic!();
    };
    assert!(matches!(auth.method, KeystoneMethod::Token(token) if token.expose_secret() == "t"));
    assert_eq!(auth.scope, Scope::Project(ProjectRef::Id("p".into())));

    let basic = load(&format!(
        "{BASE}auth_type = http_basic\nusername = u\npassword = \" p:$$ \"\n"
    ))
    .unwrap();
    let LocationAuth::HttpBasic { username, password } = &basic.locations[0].auth else {
        panic!();
    };
    assert_eq!(
        (username.as_str(), password.expose_secret()),
        ("u", " p:$ ")
    );

    let token = load(&format!("{BASE}auth_type = admin_token\ntoken = t\n")).unwrap();
    assert!(
        matches!(&token.locations[0].auth, LocationAuth::AdminToken(t) if t.expose_secret() == "t")
    );
}

#[test]
fn keystone_is_asked_at_v3() {
    for (text, expected) in [
        ("http://k:5000", "http://k:5000/v3/"),
        ("http://k:5000/", "http://k:5000/v3/"),
        ("http://k:5000/v3", "http://k:5000/v3/"),
        ("http://k:5000/v3/", "http://k:5000/v3/"),
        ("http://k:5000/v2.0", "http://k:5000/v3/"),
        ("https://k/identity", "https://k/identity/v3/"),
        ("https://k/v1", "https://k/v1/v3/"),
    ] {
        let location = location(&format!(
            "auth_url = {text}\nauth_type = token\ntoken = t\n"
        ));
        let LocationAuth::Keystone(auth) = location.auth else {
            panic!("{text}");
        };
        assert_eq!(auth.auth_url, expected, "{text}");
    }
}

#[test]
fn endpoints_are_told_or_in_the_catalog() {
    let told = |urls: &[&str]| {
        EndpointSource::Fixed(urls.iter().map(|url| url.parse().unwrap()).collect())
    };
    let catalog = |interfaces: &[Interface], region: Option<&str>| EndpointSource::Catalog {
        service_type: "baremetal".into(),
        service_name: None,
        interfaces: interfaces.to_vec(),
        region: region.map(str::to_owned),
    };
    for (lines, expected) in [
        ("", catalog(&[Interface::Public], None)),
        (
            "valid_interfaces = internal, adminURL,public\nregion_name = R",
            catalog(
                &[Interface::Internal, Interface::Admin, Interface::Public],
                Some("R"),
            ),
        ),
        (
            "endpoint = http://ignored",
            catalog(&[Interface::Public], None),
        ),
        (
            "endpoint_override = http://a/baremetal/v1/, https://b",
            told(&["http://a/baremetal", "https://b"]),
        ),
        ("version = v1", catalog(&[Interface::Public], None)),
        (
            "min_version = 1\nmax_version = latest",
            catalog(&[Interface::Public], None),
        ),
    ] {
        let location = location(&format!("auth_type = v3token\ntoken = t\n{lines}\n"));
        assert_eq!(location.endpoints, expected, "{lines}");
    }
    let endpoint = format!("{BASE}endpoint_override =\nendpoint = http://b\n");
    assert_eq!(
        load(&endpoint).unwrap().locations[0].endpoints,
        told(&["http://b"])
    );
    let both = format!("{BASE}endpoint = http://b\n");
    assert_eq!(
        load(&both).unwrap().locations[0].endpoints,
        told(&["http://h:1"])
    );
}

#[test]
fn a_credential_can_be_in_another_section() {
    let config = load(&format!(
        "{BASE}auth_section = Shared\ncafile = /dev/null\n[shared]\nauth_type = password\n\
         auth_url = http://k\nuser_id = u\npassword = p\nsystem_scope = all\ncafile = /nowhere\n"
    ))
    .unwrap();
    assert!(matches!(
        config.locations[0].auth,
        LocationAuth::Keystone(_)
    ));
    assert_eq!(
        config.locations[0].session.cafile.as_deref(),
        Some(Path::new("/dev/null"))
    );
    assert_eq!(
        config.warnings,
        [
            "0.conf:7: [group:loc1] auth_type: has no effect beside the other options here",
            "0.conf:17: [shared] cafile: unknown option",
        ]
    );
}

#[test]
fn a_cloud_s_own_section_validates_tokens() {
    let config = load(&format!(
        "{BASE}[api]\nauth_strategy = keystone\nproject_scoped_access = legacy_admin\n\
         [keystone_authtoken]\nwww_authenticate_uri = http://k:5000\nauth_url = http://k:5000\n\
         memcached_servers = m:11211\nauth_type = password\nproject_domain_name = Default\n\
         user_domain_name = Default\nproject_name = service\nusername = ironic\npassword = p\n\
         token_cache_time = -1\nservice_token_roles = service, admin\ninterface = public\n"
    ))
    .unwrap();
    assert_eq!(
        config.warnings,
        [
            "0.conf:15: [keystone_authtoken] memcached_servers: is not used, each gateway asks Keystone itself: who tokens stand \
             for would be there for all to read; set memcache_security_strategy = ENCRYPT and memcache_secret_key"
        ]
    );
    let AuthStrategy::Keystone(inbound) = &config.auth else {
        panic!("{:?}", config.auth);
    };
    assert_eq!(
        inbound.www_authenticate_uri.as_deref(),
        Some("http://k:5000")
    );
    assert_eq!(inbound.identity.auth_url, "http://k:5000/v3/");
    assert_eq!(inbound.token_cache_time, None);
    assert_eq!(inbound.service_token_roles, ["service", "admin"]);
    assert!(inbound.service_token_roles_required);
    assert_eq!(inbound.interface, Interface::Public);
    assert_eq!(inbound.max_retries, 3);
    let policy = &config.policy;
    assert_eq!(policy.project_scoped_access, ProjectScoped::LegacyAdmin);
    assert_eq!(policy.elevated_project, None);
    assert!(policy.own_nodes);
}

#[test]
fn tokens_are_shared_sealed_or_not_at_all() {
    let shared = |lines: &str| {
        let config = load(&format!(
            "{BASE}[api]\nauth_strategy = keystone\n[keystone_authtoken]\nauth_url = http://k:5000\nauth_type = password\n\
             system_scope = all\nuser_domain_name = Default\nusername = ironic\npassword = p\n{lines}"
        ))
        .unwrap();
        let AuthStrategy::Keystone(inbound) = config.auth else {
            panic!("{:?}", config.auth);
        };
        (inbound.shared, config.warnings)
    };
    let sealed = "memcached_servers = m:11211,unix:/m\nmemcache_security_strategy = encrypt\nmemcache_secret_key = kept\n";
    let (config, warnings) = shared(sealed);
    assert_eq!(warnings, [""; 0]);
    let config = config.unwrap();
    assert_eq!((config.servers.len(), config.connections), (2, 10));
    assert_eq!(config.timeout, Duration::from_millis(50));
    assert!(!format!("{config:?}").contains("kept"));
    for (lines, why) in [
        (
            "memcached_servers = m\n".to_owned(),
            "set memcache_security_strategy = ENCRYPT and memcache_secret_key",
        ),
        (
            "memcached_servers = m\nmemcache_security_strategy = MAC\nmemcache_secret_key = kept\n"
                .to_owned(),
            "for all to read",
        ),
        (
            "memcached_servers = m\nmemcache_security_strategy = ENCRYPT\n".to_owned(),
            "needs memcache_secret_key",
        ),
        (
            format!("{sealed}memcache_tls_enabled = true\n"),
            "memcache_tls_enabled is not spoken",
        ),
        (
            format!("{sealed}memcache_sasl_enabled = true\n"),
            "memcache_sasl_enabled is not spoken",
        ),
    ] {
        let (config, warnings) = shared(&lines);
        assert_eq!(config, None, "{lines}");
        assert!(
            warnings.len() == 1
                && warnings[0].contains("memcached_servers: is not used")
                && warnings[0].contains(why),
            "{warnings:?}"
        );
        assert!(!warnings[0].contains("kept"));
    }
}

#[test]
fn rules_of_one_s_own_are_beside_the_configuration_or_refused() {
    let keystone = "[keystone_authtoken]\nauth_url = http://k:5000\nauth_type = password\n\
         system_scope = all\nuser_domain_name = Default\nusername = ironic\npassword = p\n";
    let with = |lines: &str| {
        load(&format!(
            "{BASE}[api]\nauth_strategy = keystone\n{keystone}{lines}"
        ))
    };
    let policy = with("[oslo_policy]\npolicy_file = policy.yaml\npolicy_dirs = policy.d\n")
        .unwrap()
        .policy;
    assert_eq!(policy.files.found().unwrap(), (None, vec![]));
    assert_eq!(policy.files.directories, [Path::new("policy.d")]);
    let elevated = with("[DEFAULT]\nrbac_service_role_elevated_access = yes\n").unwrap();
    assert_eq!(elevated.policy.elevated_project.as_deref(), Some("service"));
    for (lines, text) in [
        (
            "policy_file = mine.yaml",
            "policy_file: `mine.yaml` is not there",
        ),
        ("policy_dirs = mine.d", "policy_dirs: `mine.d` is not there"),
        (
            "enforce_new_defaults = false",
            "enforce_new_defaults: must be true: the rules before system scopes are not served; \
             [api] project_scoped_access = legacy_admin comes nearest",
        ),
    ] {
        let faults = with(&format!("[oslo_policy]\n{lines}\n"))
            .unwrap_err()
            .faults;
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            faults[0].ends_with(&format!("[oslo_policy] {text}")),
            "{faults:?}"
        );
    }
}
