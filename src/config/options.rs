//! The table of all options: names, defaults, and a sentence on each. Tests hold `conf/ironic-proxy.conf` and
//! `docs/configuration.md` to it.

mod ironic;
mod keystone;
#[cfg(test)]
mod page;

use crate::config::options::ironic::FOREIGN;
use crate::config::options::keystone::ADAPTER;
use crate::config::options::keystone::AUTH;
use crate::config::options::keystone::ENDPOINT;
use crate::config::options::keystone::KEYSTONE_AUTHTOKEN;
use crate::config::options::keystone::SESSION;
use crate::config::options::keystone::TLS;
use crate::config::policy::DIRECTORY;
use crate::config::policy::FILE;
use crate::oslo::option::Opt;
use crate::oslo::option::Schema;
use crate::oslo::option::Tables;
use crate::oslo::option::ignored;
use crate::oslo::option::opt;
use crate::oslo::option::unset;

/// The whole of them. [`LOCATION_PREFIX`] stands for every `[group:NAME]`; a section of a name of its own can only be one
/// that an `auth_section` names, and holds a credential.
pub(crate) static SCHEMA: Schema = Schema {
    program: "ironic-proxy",
    sections: SECTIONS,
    prefix: LOCATION_PREFIX,
    foreign: FOREIGN,
    anywhere: &[AUTH, ENDPOINT],
};

const SECTIONS: &[(&str, Tables)] = &[
    ("DEFAULT", &[DEFAULT, ironic::DEFAULT, ironic::LOG]),
    ("api", &[API, ironic::API]),
    (
        "oslo_middleware",
        &[OSLO_MIDDLEWARE, ironic::OSLO_MIDDLEWARE],
    ),
    ("healthcheck", &[HEALTHCHECK, ironic::HEALTHCHECK]),
    ("admin", &[ADMIN]),
    ("audit", &[AUDIT]),
    (
        "audit_middleware_notifications",
        &[AUDIT_NOTIFICATIONS, ironic::AUDIT_NOTIFICATIONS],
    ),
    ("cors", &[CORS]),
    ("limits", &[LIMITS]),
    ("coordination", &[COORDINATION]),
    ("trace", &[TRACE]),
    ("node_cache", &[NODE_CACHE]),
    ("oslo_policy", &[OSLO_POLICY]),
    ("keystone_authtoken", &[KEYSTONE_AUTHTOKEN, TLS, AUTH]),
    (
        LOCATION_PREFIX,
        &[AUTH, ENDPOINT, ADAPTER, TLS, SESSION, LOCATION],
    ),
];

/// What the name of a location's section starts with.
pub(crate) const LOCATION_PREFIX: &str = "group:";

const DEFAULT: &[Opt] = &[
    unset(
        "groups",
        "Which location serves which conductor group, as GROUP:LOCATION, GROUP:LOCATION and so on; `_` is the default group.",
    ),
    opt(
        "read_only",
        "false",
        "Refuse every write with 403, whoever asks; for the first day in front of existing Ironics.",
    ),
    opt(
        "unmatched",
        "default",
        "Where a new node goes if it names no conductor group and its BMC is in no bmc_addresses: default (where groups maps `_`), or refuse (nowhere).",
    ),
    opt(
        "verify_bmc_address",
        "false",
        "Whether a node is refused whose BMC is in the bmc_addresses of another location; false only logs it.",
    ),
    opt(
        "state_path",
        "/var/lib/ironic-proxy",
        "Directory for what survives a restart.",
    ),
    unset("log_file", "File to log to; unset is standard error.").or(&["logfile"]),
    unset(
        "log_dir",
        "Directory of log_file; unset log_file is then ironic-proxy.log in it.",
    )
    .or(&["logdir"]),
    opt(
        "use_stderr",
        "false",
        "Log to standard error, as without log_file; there is one log only.",
    ),
    opt("debug", "false", "Log at DEBUG instead of INFO."),
    opt(
        "use_json",
        "false",
        "Log one JSON object a line instead of oslo's text.",
    ),
    unset(
        "auth_strategy",
        "Ironic's place for the option of the same name in [api].",
    ),
    opt(
        "http_basic_auth_user_file",
        "/etc/ironic-proxy/htpasswd",
        "Users of auth_strategy = http_basic, in Apache's format with bcrypt hashes only.",
    ),
    opt(
        "rbac_service_role_elevated_access",
        "false",
        "Whether the role service of the project rbac_service_project_name has the rights of a system-scoped service.",
    ),
    opt(
        "rbac_service_project_name",
        "service",
        "The project of rbac_service_role_elevated_access.",
    ),
    opt(
        "graceful_shutdown_timeout",
        "70",
        "Seconds that requests in flight may take once a drain (SIGTERM) has begun; a write may need [api] request_deadline and 10 more.",
    ),
];

const API: &[Opt] = &[
    opt(
        "host_ip",
        "0.0.0.0",
        "Addresses to listen on, or names such as localhost, with commas between them. [::] alone is all of IPv4 too.",
    ),
    opt(
        "port",
        "6385",
        "Port to listen on, at each address; 0 is any free one.",
    ),
    unset(
        "unix_socket",
        "Unix socket to listen on instead of host_ip and port.",
    ),
    unset(
        "unix_socket_mode",
        "Its mode, such as 0660; unset is what the umask leaves (0700 under systemd).",
    ),
    unset(
        "api_workers",
        "Worker threads; unset is one for each processor.",
    ),
    unset(
        "public_endpoint",
        "Address of the gateway as clients know it, as http(s)://HOST[:PORT][/PREFIX]; unset takes it from each request.",
    ),
    opt("max_limit", "1000", "Items on one page of a list."),
    opt(
        "walk_memory",
        "67108864",
        "Bytes for remembering, for five minutes, which items a list has that a client reads page by page; what the items hold is not kept.",
    ),
    opt(
        "auth_strategy",
        "keystone",
        "How clients log in: keystone, http_basic or noauth (none means the same).",
    ),
    opt(
        "project_scoped_access",
        "policy",
        "What a project-scoped token may do: policy (what Ironic's rules say of owners and lessees), deny (nothing), or legacy_admin (with the role admin everything, the rule before system scopes).",
    ),
    opt(
        "project_admin_can_manage_own_nodes",
        "true",
        "Whether the role admin or service of a project may enroll nodes, and its admin delete them.",
    ),
    opt(
        "tell_location",
        "true",
        "Whether answers to a project's token name locations: where they are from, which could not be asked, which have it.",
    ),
    opt(
        "enable_ramdisk_endpoints",
        "false",
        "Whether lookup, heartbeat and continue_inspection are served; they need no authentication.",
    ),
    opt(
        "require_unique",
        "false",
        "Whether a create is refused while a location cannot say that the name, UUID or MAC is free there.",
    ),
    opt(
        "partial_lists",
        "deny",
        "What a list is while a location cannot be asked: deny (a 503), or allow (the rest, with a header that names what is missing).",
    ),
    unset(
        "min_max_version",
        "The lowest maximum API version that one location may force on all, such as 1.90; a location below it is left out.",
    ),
    opt(
        "max_json_body_size",
        "1024",
        "Largest JSON body of a request, in KiB.",
    ),
    opt(
        "max_json_body_size_provision",
        "65536",
        "Largest JSON body of a provision state change, in KiB.",
    ),
    opt(
        "max_json_body_size_inspection",
        "16384",
        "Largest JSON body of inspection data, in KiB.",
    ),
    opt(
        "max_json_body_depth",
        "25",
        "Deepest nesting of a JSON body.",
    ),
    opt(
        "max_buffered",
        "536870912",
        "Bytes of bodies held in memory at once, half of them of requests at most; more wait, then are refused.",
    ),
    opt(
        "max_requests_in_flight",
        "1024",
        "Requests served at the same time; more are refused with 503.",
    ),
    opt(
        "max_connections_per_address",
        "2048",
        "Simultaneous connections from one address (of IPv6 one /64) from which nobody has logged in within the last hour.",
    ),
    opt(
        "request_deadline",
        "60",
        "Seconds that one request may take once its body has arrived, with all its pages, locations and retries. Finding out or undoing what a write came to may take 10 more.",
    ),
    opt(
        "shutdown_delay",
        "0",
        "Seconds between SIGTERM and the drain, in which /healthcheck says 503 DRAINING and requests are served as ever.",
    ),
    opt(
        "slow_request",
        "1",
        "Seconds from which on a request's line in the log is a warning that names the location it waited for; 0 is never.",
    ),
    opt(
        "retry_after",
        "false",
        "Whether a 503 carries Retry-After; python-ironicclient up to 6.3 hides the text of one that does.",
    ),
    opt(
        "gzip",
        "false",
        "Compress lists and other JSON or text for clients that ask for it (Accept-Encoding: gzip), as all of OpenStack's do; errors and vendor passthru never.",
    ),
    opt(
        "gzip_min_length",
        "1024",
        "Bytes from which on an answer is compressed.",
    ),
    opt(
        "collection_links",
        "false",
        "Tell the next page of a list as nodes_links, ports_links and so on too, beside next; gophercloud reads nothing else and stops after the first page without it.",
    ),
    opt(
        "location_endpoints",
        "false",
        "Serve each location's own API below /locations/NAME/, for clients that cannot send X-Ironic-Proxy-Location.",
    ),
    opt("enable_ssl_api", "false", "Serve HTTPS instead of HTTP."),
    unset(
        "cert_file",
        "PEM certificate chain of enable_ssl_api, read again when it changes.",
    ),
    unset(
        "key_file",
        "PEM private key of enable_ssl_api, read again when it changes.",
    ),
    unset(
        "client_ca_file",
        "PEM authorities that a client certificate must come from; unset asks for none.",
    ),
    opt(
        "server_tls_minimum_version",
        "1.2",
        "Oldest TLS accepted: 1.2 or 1.3.",
    )
    .or(&["tls_minimum_version"]),
];

const OSLO_MIDDLEWARE: &[Opt] = &[opt(
    "enable_proxy_headers_parsing",
    "false",
    "Believe Forwarded and X-Forwarded-* of whoever connects; only behind a proxy that sets them.",
)];

const HEALTHCHECK: &[Opt] = &[
    opt(
        "enabled",
        "true",
        "Serve /healthcheck, without authentication.",
    ),
    opt(
        "detailed",
        "false",
        "Whether it adds a row for each location: its name, state and what is observed of it.",
    ),
    unset(
        "disable_by_file_path",
        "While this file is there, /healthcheck says 503 DISABLED BY FILE, and requests are served as ever.",
    ),
    unset(
        "disable_by_file_paths",
        "The same for one port each, as PORT:PATH with commas between them.",
    ),
    unset(
        "enable_by_file_paths",
        "Files without which, one or all, /healthcheck says 503 FILE PATH MISSING.",
    ),
    unset(
        "backends",
        "oslo.middleware's names of what the three options above do; they count whether they are named here or not.",
    ),
    unset(
        "allowed_source_ranges",
        "Networks, such as 192.0.2.0/24, that may ask; for others there is no such path. Unset is everybody.",
    ),
    opt(
        "ignore_proxied_requests",
        "false",
        "Whether there is no such path for requests that came through a proxy (X-Forwarded-*).",
    ),
];

const ADMIN: &[Opt] = &[
    unset(
        "socket",
        "Unix socket of the admin door, mode 0600; unset is admin.sock in systemd's RuntimeDirectory=, and none without systemd.",
    ),
    unset(
        "listen",
        "Addresses of loopback, such as 127.0.0.1:9385, on which the admin door may be read as well, with commas between them.",
    ),
    unset(
        "location_histograms",
        "Whether /metrics has a histogram of durations for each location; unset is true up to 1000 locations.",
    ),
];

const OSLO_POLICY: &[Opt] = &[
    opt(
        "policy_file",
        FILE,
        "Rules of your own in place of Ironic's, by name; below the directory of the configuration, and read again when it changes.",
    ),
    opt(
        "policy_dirs",
        DIRECTORY,
        "Directories with more such files, with commas between them; a later rule wins.",
    ),
    opt(
        "enforce_new_defaults",
        "true",
        "Ironic's rules since system scopes; the older ones are not served.",
    ),
    ignored("enforce_scope"),
    ignored("policy_default_rule"),
    ignored("remote_content_type"),
    ignored("remote_ssl_verify_server_crt"),
    ignored("remote_ssl_ca_crt_file"),
    ignored("remote_ssl_client_crt_file"),
    ignored("remote_ssl_client_key_file"),
    ignored("remote_timeout"),
];

const CORS: &[Opt] = &[
    unset(
        "allowed_origin",
        "Origins whose pages browsers let in, as https://HOST[:PORT], without a slash at the end; `*` is every one. Unset lets none in.",
    ),
    opt(
        "allow_credentials",
        "true",
        "Whether such a page may send a browser's credentials.",
    ),
    unset(
        "allow_headers",
        "Headers that such a page may send, beside X-Auth-Token, those of versions and what every page may send.",
    ),
    opt(
        "allow_methods",
        "GET,PUT,POST,DELETE,PATCH",
        "Methods that such a page may use.",
    ),
    opt(
        "expose_headers",
        "X-OpenStack-Ironic-API-Maximum-Version,X-OpenStack-Ironic-API-Minimum-Version,X-OpenStack-Ironic-API-Version",
        "Headers of an answer that such a page may read.",
    ),
    opt(
        "max_age",
        "3600",
        "Seconds for which a browser need not ask again; 0 does not say.",
    ),
];

const LIMITS: &[Opt] = &[
    unset(
        "user_rate",
        "Requests a second that one user may make in the long run, such as 20 or 0.5; more are refused with 429. Unset is any number.",
    ),
    opt(
        "user_burst",
        "100",
        "Requests that a user may make at once after a pause.",
    ),
    unset(
        "address_rate",
        "Requests a second without a token or password that is known already, from one address (of IPv6 one /64), in the long run; more are refused with 429 before anybody is asked about them. Unset is any number.",
    ),
    opt(
        "address_burst",
        "100",
        "Such requests that may come from one address at once after a pause.",
    ),
];

const TRACE: &[Opt] = &[
    unset(
        "otlp_endpoint",
        "Collector of OpenTelemetry that gets spans by OTLP over HTTP, such as http://127.0.0.1:4318; /v1/traces is appended. Unset makes none.",
    ),
    unset(
        "cafile",
        "PEM authorities that its certificate must come from; unset is the system's.",
    ),
    opt(
        "sample_ratio",
        "1.0",
        "Share of the traces beginning here that are recorded, from 0 to 1; a client that has begun one decides itself.",
    ),
    opt("service_name", "ironic-proxy", "service.name of the spans."),
];

const COORDINATION: &[Opt] = &[unset(
    "backend_url",
    "Redis or Valkey that all gateways in front of the same locations share, as tooz writes it: redis://[USER]:PASSWORD@HOST:6379, rediss:// with TLS, or redis://SENTINEL:26379?sentinel=NAME. Unset is for one gateway alone.",
)
.hidden()];

const AUDIT: &[Opt] = &[
    opt(
        "enabled",
        "false",
        "Record who asked for what, before and after, as CADF events of keystonemiddleware's audit filter.",
    ),
    unset(
        "log_file",
        "File of the records, one JSON object a line; unset is the log.",
    ),
    unset(
        "audit_map_file",
        "How paths are told in CADF's words, such as /etc/ironic/api_audit_map.conf; unset is the map that Ironic's packages bring.",
    ),
    unset(
        "ignore_req_list",
        "Methods of which nothing is recorded, such as GET,HEAD.",
    ),
];

const AUDIT_NOTIFICATIONS: &[Opt] = &[
    opt(
        "driver",
        "log",
        "Where records go: log ([audit] log_file, or the log) or noop (nowhere).",
    ),
    ignored("use_oslo_messaging"),
];

const NODE_CACHE: &[Opt] = &[
    opt(
        "max_entries",
        "2000000",
        "Entries kept at most, 50 bytes each; what has a UUID and a name is two.",
    ),
    opt("name_lifetime", "60", "Seconds that a name is believed."),
    opt(
        "sweep_interval",
        "600",
        "Seconds between two sweeps that fill the cache; 0 is no sweep.",
    ),
];

const LOCATION: &[Opt] = &[
    unset(
        "bmc_addresses",
        "Where the BMCs of its nodes are, as networks, addresses, names, and ends of names such as *.bmc.example.com; a new node that names no conductor group is created where its BMC is.",
    ),
    unset(
        "local_groups",
        "What this location calls conductor groups that are mapped to it, as GROUP:LOCAL, GROUP:LOCAL and so on; `_` is the default group, and a group that is not here is called the same.",
    ),
    opt(
        "state",
        "enabled",
        "What the location is used for: enabled, draining (nothing new), read_only, or maintenance (not asked); `ironic-proxy location` changes it while the gateway runs.",
    ),
    opt(
        "required",
        "true",
        "Whether a list without this location may be refused; false only announces that it is missing.",
    ),
    opt(
        "expect_scope",
        "system",
        "Scope that the credential's token should have: system, or project if only one project's part of the location is wanted; otherwise a token of a project is reported, and lists say that they are incomplete.",
    ),
    opt(
        "forward_user_token",
        "false",
        "Hand on the user's own token instead of this credential; only where the same Keystone validates it.",
    ),
    opt(
        "connect_timeout",
        "3",
        "Seconds to make one connection, TLS included.",
    ),
    unset(
        "response_timeout",
        "Seconds to wait for the head of an answer, which Ironic's conductors may take 60 for; unset is timeout if that is set, else 60.",
    ),
    opt(
        "read_timeout",
        "30",
        "The same for reads that Ironic answers from its database, where it is shorter.",
    ),
    opt(
        "max_concurrent",
        "64",
        "Exchanges with the location at the same time.",
    ),
    opt(
        "breaker_failures",
        "5",
        "Failures in a row after which the location is no longer asked.",
    ),
    opt(
        "breaker_reset",
        "10",
        "Seconds until it is tried again after that.",
    ),
    opt(
        "probe_interval",
        "60",
        "Seconds between two health probes; where requests were answered meanwhile, none is made.",
    ),
    opt(
        "max_response_size",
        "268435456",
        "Largest answer taken from the location, in bytes.",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::collections::BTreeSet;

    use super::*;

    const SAMPLE: &str = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/conf/ironic-proxy.conf"
    ));

    #[test]
    fn no_option_is_there_twice() {
        for (section, _) in SECTIONS {
            let mut names = BTreeSet::new();
            for option in SCHEMA.of(section) {
                assert!(names.insert(option.name), "[{section}] {}", option.name);
                for alias in option.aliases {
                    assert!(names.insert(alias), "[{section}] {alias}");
                }
            }
        }
    }

    /// What the sample says of each option: section and name, default, and the comment above.
    fn documented() -> BTreeMap<(String, String), (String, String)> {
        let mut options = BTreeMap::new();
        let (mut section, mut comment) = (String::new(), String::new());
        for line in SAMPLE.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
            } else if let Some(text) = line.strip_prefix("# ") {
                comment = format!("{comment} {text}");
                continue;
            } else if let Some((name, default)) =
                line.strip_prefix('#').and_then(|l| l.split_once(" = "))
            {
                let key = (section.clone(), name.to_owned());
                let text = comment.trim().to_owned();
                let twice = options.insert(key, (default.to_owned(), text));
                assert!(twice.is_none(), "[{section}] {name} is there twice");
                continue;
            }
            comment.clear();
        }
        options
    }

    #[test]
    fn the_sample_names_every_option_with_its_default() {
        let mut known = BTreeMap::new();
        for (section, _) in SECTIONS {
            for option in SCHEMA.of(section).filter(|option| !option.help.is_empty()) {
                let section = section.replace(LOCATION_PREFIX, "group:loc1");
                let default = option.default.unwrap_or("<None>").to_owned();
                known.insert((section, option.name.to_owned()), default);
            }
        }
        let said: BTreeMap<_, _> = documented()
            .into_iter()
            .map(|(key, (default, _))| (key, default))
            .collect();
        assert_eq!(said, known);
    }

    #[test]
    fn the_sample_says_what_each_option_is_for() {
        for ((section, name), (_, comment)) in documented() {
            let option = SCHEMA.find(&section, &name).unwrap();
            // The credential is explained once, at the first location.
            let shared = section == "keystone_authtoken" && {
                let mut explained = AUTH.iter().chain(TLS);
                explained.any(|option| option.name == name)
            };
            if option.is_honoured() && !shared {
                assert!(
                    comment.contains(option.help),
                    "[{section}] {name}: {comment}"
                );
            }
        }
    }
}
