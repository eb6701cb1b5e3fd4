//! The options of keystoneauth and keystonemiddleware.

use crate::oslo::option::Opt;
use crate::oslo::option::elsewhere;
use crate::oslo::option::ignored;
use crate::oslo::option::opt;
use crate::oslo::option::refused;
use crate::oslo::option::unset;

pub(crate) const KEYSTONE_AUTHTOKEN: &[Opt] = &[
    unset(
        "www_authenticate_uri",
        "The Keystone that a 401 sends clients to; unset is auth_url.",
    )
    .or(&["auth_uri"]),
    opt(
        "interface",
        "internal",
        "Which of Keystone's own endpoints validates tokens: internal, public or admin.",
    ),
    unset("region_name", "Region of that endpoint; unset is any."),
    opt(
        "token_cache_time",
        "300",
        "Seconds that a validated token is believed, revoked or not; -1 asks Keystone each time.",
    ),
    opt(
        "service_token_roles",
        "service",
        "Roles of which a service token must hold one.",
    ),
    opt(
        "service_token_roles_required",
        "true",
        "Whether a service token without such a role is refused.",
    ),
    opt(
        "http_connect_timeout",
        "10",
        "Seconds that Keystone may take to be connected to, and again to answer.",
    ),
    opt(
        "http_request_max_retries",
        "3",
        "Further attempts after Keystone could not be asked.",
    ),
    unset(
        "memcached_servers",
        "Where gateways share validated tokens, sealed, as HOST:PORT with commas between them; used only with the two options below.",
    )
    .or(&["memcache_servers"]),
    unset(
        "memcache_security_strategy",
        "ENCRYPT seals what is shared; without it nothing is.",
    ),
    unset(
        "memcache_secret_key",
        "Secret that it is sealed with, the same at all gateways.",
    )
    .hidden(),
    opt(
        "memcache_pool_socket_timeout",
        "0.05",
        "Seconds that a memcached may take to answer, beside 1 s to connect, before Keystone is asked.",
    ),
    opt(
        "memcache_pool_dead_retry",
        "300",
        "Seconds for which a memcached is left alone that failed.",
    ),
    opt(
        "memcache_pool_maxsize",
        "10",
        "Connections to one memcached.",
    ),
    unset(
        "memcache_tls_enabled",
        "true is not spoken: tokens are not shared then.",
    ),
    unset(
        "memcache_sasl_enabled",
        "true is not spoken: tokens are not shared then.",
    ),
    ignored("auth_version"),
    ignored("cache"),
    ignored("collect_timing"),
    ignored("delay_auth_decision"),
    ignored("enforce_token_bind"),
    ignored("include_service_catalog"),
    ignored("memcache_password").hidden(),
    ignored("memcache_pool_conn_get_timeout"),
    ignored("memcache_pool_unused_timeout"),
    ignored("memcache_tls_allowed_ciphers"),
    ignored("memcache_tls_cafile"),
    ignored("memcache_tls_certfile"),
    ignored("memcache_tls_keyfile"),
    ignored("memcache_use_advanced_pool"),
    ignored("memcache_username"),
    ignored("service_type"),
    ignored("split_loggers"),
    ignored("timeout"),
    elsewhere("check_revocations_for_cached", GONE),
    elsewhere("hash_algorithms", GONE),
    elsewhere("revocation_cache_time", GONE),
    elsewhere("signing_dir", GONE),
    refused("admin_password", &[], RENAMED).hidden(),
    refused("admin_tenant_name", &[], RENAMED),
    refused("admin_token", &[], RENAMED).hidden(),
    refused("admin_user", &[], RENAMED),
    refused("auth_admin_prefix", &[], RENAMED),
    refused("auth_host", &[], RENAMED),
    refused("auth_port", &[], RENAMED),
    refused("auth_protocol", &[], RENAMED),
    refused("identity_uri", &[], RENAMED),
];

/// What keystonemiddleware itself has given up, without and with a successor.
const GONE: &str = "gone from keystonemiddleware";
const RENAMED: &str =
    "write auth_type, auth_url, username, password, project_name and the domains instead";

pub(crate) const AUTH: &[Opt] = &[
    unset(
        "auth_type",
        "How we prove ourselves: none, http_basic, admin_token, password, v3password, v3applicationcredential, token or v3token.",
    )
    .or(&["auth_plugin"]),
    unset(
        "auth_section",
        "Section to take auth_type and the options below from, instead of this one.",
    ),
    unset("auth_url", "Where the Keystone is."),
    unset("username", "Name of the user.").or(&["user_name", "user-name"]),
    unset("password", "Password of the user; a $ in it is written $$.").hidden(),
    unset("user_id", "Id of the user, instead of username and domain."),
    unset("user_domain_name", "Domain of the user."),
    unset("user_domain_id", "The same by id."),
    unset(
        "default_domain_name",
        "Domain of the user and of the project where theirs are unset; auth_type password and token only.",
    ),
    unset("default_domain_id", "The same by id."),
    unset(
        "system_scope",
        "all is a token for the whole system, what a location wants as a rule; instead of a project or a domain.",
    ),
    unset("project_name", "Project the token is for.").or(&["tenant_name", "tenant-name"]),
    unset("project_domain_name", "Domain of the project."),
    unset("project_domain_id", "The same by id."),
    unset("project_id", "Project by id, instead of name and domain.")
        .or(&["tenant_id", "tenant-id"]),
    unset("domain_name", "Domain the token is for."),
    unset("domain_id", "The same by id."),
    unset("trust_id", "Trust the token is for."),
    unset(
        "application_credential_id",
        "Id of the application credential.",
    ),
    unset(
        "application_credential_name",
        "Its name, instead of the id, together with its user.",
    ),
    unset(
        "application_credential_secret",
        "Secret of the application credential; a $ in it is written $$.",
    )
    .hidden(),
    unset(
        "token",
        "Token of auth_type admin_token, token and v3token.",
    )
    .hidden(),
];

pub(crate) const ENDPOINT: &[Opt] = &[
    unset(
        "endpoint",
        "Where the Ironic is, for auth_type none, http_basic and admin_token; endpoint_override goes before it.",
    )
    .or(&["url"]),
];

pub(crate) const ADAPTER: &[Opt] = &[
    unset(
        "endpoint_override",
        "Where the location's Ironic is, instead of asking the catalog; several with commas, tried in order.",
    ),
    opt(
        "service_type",
        "baremetal",
        "What the catalog calls an Ironic.",
    ),
    unset("service_name", "Its name in the catalog; unset is any."),
    opt(
        "valid_interfaces",
        "public",
        "Which of its endpoints, in order of preference: public, internal, admin.",
    )
    .or(&["interface"]),
    unset(
        "region_name",
        "Its region in the catalog; unset is the first.",
    ),
    unset("version", "Major version of the API; there is only 1."),
    unset("min_version", "As version."),
    unset("max_version", "As version."),
    ignored("connect_retries"),
    ignored("connect_retry_delay"),
    ignored("retriable_status_codes"),
    ignored("status_code_retries"),
    ignored("status_code_retry_delay"),
];

pub(crate) const TLS: &[Opt] = &[
    unset(
        "cafile",
        "PEM authorities that are trusted instead of the system's.",
    ),
    unset(
        "certfile",
        "PEM client certificate; holds the key too where keyfile is unset.",
    ),
    unset("keyfile", "PEM key of the client certificate."),
    opt("insecure", "false", "Verify no certificate at all."),
];

pub(crate) const SESSION: &[Opt] = &[
    unset(
        "timeout",
        "Seconds without a byte after which an answer that has begun is given up; unset is 10. Where response_timeout is unset, a value bounds the wait for the head as well.",
    ),
    opt(
        "tls_min_version",
        "1.2",
        "Oldest TLS spoken to the location; only 1.2 is possible, which speaks 1.3 where it can.",
    ),
    ignored("collect_timing"),
    ignored("split_loggers"),
    refused("tls_ciphers", &[], "rustls has only safe ones"),
];
