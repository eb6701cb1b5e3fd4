//! Options of Ironic and the oslo libraries that the gateway does not honour. An operator may start from a file of
//! Ironic's: options that concern each location alone are ignored with a warning, options that promise something the
//! gateway does not do are refused.

use crate::oslo::option::Opt;
use crate::oslo::option::elsewhere;
use crate::oslo::option::refused;

const OFF: &[&str] = &["false", "0", "off", "no"];
const ON: &[&str] = &["true", "1", "on", "yes"];

/// Whose the options of Ironic's conductors are.
const LOCATIONS: &str = "matters of each location's own Ironic";
/// Those of its web server.
const SERVER: &str = "matters of a Python web server";

pub(crate) const DEFAULT: &[Opt] = &[
    elsewhere("allow_image_access_via_auth_token", LOCATIONS),
    elsewhere("autodetect_deploy_interfaces", LOCATIONS),
    elsewhere("bindir", LOCATIONS),
    elsewhere("debug_tracebacks_in_api", LOCATIONS),
    elsewhere("default_bios_interface", LOCATIONS),
    elsewhere("default_boot_interface", LOCATIONS),
    refused(
        "default_conductor_group",
        &[],
        "nodes without a conductor group go where groups maps `_`",
    ),
    elsewhere("default_console_interface", LOCATIONS),
    elsewhere("default_deploy_interface", LOCATIONS),
    elsewhere("default_firmware_interface", LOCATIONS),
    elsewhere("default_inspect_interface", LOCATIONS),
    elsewhere("default_management_interface", LOCATIONS),
    elsewhere("default_network_interface", LOCATIONS),
    elsewhere("default_portgroup_mode", LOCATIONS),
    elsewhere("default_power_interface", LOCATIONS),
    elsewhere("default_raid_interface", LOCATIONS),
    elsewhere("default_rescue_interface", LOCATIONS),
    elsewhere("default_resource_class", LOCATIONS),
    elsewhere("default_storage_interface", LOCATIONS),
    elsewhere("default_vendor_interface", LOCATIONS),
    elsewhere("drain_shutdown_timeout", LOCATIONS),
    elsewhere("enabled_bios_interfaces", LOCATIONS),
    elsewhere("enabled_boot_interfaces", LOCATIONS),
    elsewhere("enabled_console_interfaces", LOCATIONS),
    elsewhere("enabled_deploy_interfaces", LOCATIONS),
    elsewhere("enabled_firmware_interfaces", LOCATIONS),
    elsewhere("enabled_hardware_types", LOCATIONS),
    elsewhere("enabled_inspect_interfaces", LOCATIONS),
    elsewhere("enabled_management_interfaces", LOCATIONS),
    elsewhere("enabled_network_interfaces", LOCATIONS),
    elsewhere("enabled_power_interfaces", LOCATIONS),
    elsewhere("enabled_raid_interfaces", LOCATIONS),
    elsewhere("enabled_rescue_interfaces", LOCATIONS),
    elsewhere("enabled_storage_interfaces", LOCATIONS),
    elsewhere("enabled_vendor_interfaces", LOCATIONS),
    elsewhere("esp_image", LOCATIONS),
    elsewhere("force_raw_images", LOCATIONS),
    elsewhere("grub_config_path", LOCATIONS),
    elsewhere("grub_config_template", LOCATIONS),
    elsewhere("hash_partition_exponent", LOCATIONS),
    elsewhere("hash_ring_algorithm", LOCATIONS),
    elsewhere("hash_ring_reset_interval", LOCATIONS),
    elsewhere("host", LOCATIONS),
    elsewhere("ignore_project_check_for_admin_tasks", LOCATIONS),
    elsewhere("image_download_concurrency", LOCATIONS),
    elsewhere("isolinux_bin", LOCATIONS),
    elsewhere("isolinux_config_template", LOCATIONS),
    elsewhere("ldlinux_c32", LOCATIONS),
    elsewhere("log_in_db_max_size", LOCATIONS),
    elsewhere("minimum_memory_wait_retries", LOCATIONS),
    elsewhere("minimum_memory_wait_time", LOCATIONS),
    elsewhere("minimum_memory_warning_only", LOCATIONS),
    elsewhere("minimum_required_memory", LOCATIONS),
    elsewhere("my_ip", LOCATIONS),
    elsewhere("my_ipv6", LOCATIONS),
    elsewhere("notification_level", LOCATIONS),
    elsewhere("parallel_image_downloads", LOCATIONS),
    elsewhere("pecan_debug", LOCATIONS),
    refused(
        "pin_release_version",
        &[],
        "the range of versions is what all locations have in common; pin it at a location",
    ),
    elsewhere("pybasedir", LOCATIONS),
    elsewhere("raw_image_growth_factor", LOCATIONS),
    elsewhere("rpc_transport", LOCATIONS),
    elsewhere("tempdir", LOCATIONS),
    elsewhere("transport_url", LOCATIONS).hidden(),
    elsewhere("use_rpc_for_database", LOCATIONS),
    elsewhere("versioned_notifications_topics", LOCATIONS),
    elsewhere("webserver_connection_timeout", LOCATIONS),
    elsewhere("webserver_tls_ciphers", LOCATIONS),
    elsewhere("webserver_tls_minimum_version", LOCATIONS),
    elsewhere("webserver_verify_ca", LOCATIONS),
    elsewhere("webserver_verify_timeout", LOCATIONS),
    elsewhere("api_paste_config", SERVER),
    elsewhere("backdoor_port", SERVER),
    elsewhere("backdoor_socket", SERVER),
    elsewhere("client_socket_timeout", SERVER),
    elsewhere("max_header_line", SERVER),
    elsewhere("tcp_keepidle", SERVER),
    elsewhere("wsgi_default_pool_size", SERVER),
    elsewhere("wsgi_keep_alive", SERVER),
    elsewhere("wsgi_log_format", SERVER),
    elsewhere("wsgi_server_debug", SERVER),
];

/// oslo.log's.
pub(crate) const LOG: &[Opt] = &[
    refused(
        "default_log_levels",
        &[],
        "it names Python modules; debug is the level of the whole log",
    ),
    refused(
        "log_config_append",
        &[],
        "it configures Python's logging; log_file, debug and use_json are here",
    )
    .or(&["log-config", "log_config"]),
    refused(
        "log_rotation_type",
        &["none"],
        "let logrotate move the file",
    ),
    refused(
        "use_journal",
        OFF,
        "without log_file the log goes to standard error, which systemd hands to the journal",
    ),
    refused("use_syslog", OFF, "log to standard error or to log_file"),
    refused("use_eventlog", OFF, "log to standard error or to log_file"),
    refused(
        "watch_log_file",
        OFF,
        "SIGUSR1 and SIGHUP open the log file again; let logrotate send one",
    ),
    refused(
        "logging_context_format_string",
        &[],
        "the format is oslo.log's own, or JSON with use_json",
    ),
    refused(
        "logging_default_format_string",
        &[],
        "the format is oslo.log's own, or JSON with use_json",
    ),
    refused(
        "logging_user_identity_format",
        &[],
        "the format is oslo.log's own, or JSON with use_json",
    ),
    refused(
        "log_date_format",
        // oslo.log's `%Y-%m-%d %H:%M:%S`: `oslo/advice.rs` compares values in lower case.
        &["%y-%m-%d %h:%m:%s"],
        "the format is oslo.log's own, or JSON with use_json",
    ),
    refused("publish_errors", OFF, "there are no notifications"),
    // The values in brackets are the library's defaults: written out, they ask for nothing.
    refused("rate_limit_interval", &["0"], "every line is logged"),
    elsewhere("fatal_deprecations", LOG_DETAIL),
    elsewhere("instance_format", LOG_DETAIL),
    elsewhere("instance_uuid_format", LOG_DETAIL),
    elsewhere("log_color", LOG_DETAIL),
    elsewhere("log_rotate_interval", LOG_DETAIL),
    elsewhere("log_rotate_interval_type", LOG_DETAIL),
    elsewhere("logging_debug_format_suffix", LOG_DETAIL),
    elsewhere("logging_exception_prefix", LOG_DETAIL),
    elsewhere("max_logfile_count", LOG_DETAIL),
    elsewhere("max_logfile_size_mb", LOG_DETAIL),
    elsewhere("rate_limit_burst", LOG_DETAIL),
    elsewhere("rate_limit_except_level", LOG_DETAIL),
    elsewhere("syslog_log_facility", LOG_DETAIL),
];

const LOG_DETAIL: &str = "details of Python's logging";

pub(crate) const API: &[Opt] = &[
    refused(
        "disallow_clean_steps",
        &["vendor.send_raw"],
        "each location decides that; write it there",
    ),
    refused(
        "disallow_deploy_steps",
        &["vendor.send_raw"],
        "each location decides that; write it there",
    ),
    refused(
        "disallow_service_steps",
        &["vendor.send_raw"],
        "each location decides that; write it there",
    ),
    refused(
        "disallowed_enrollment_boot_modes",
        &[],
        "each location decides that; write it there",
    ),
    refused(
        "middleware",
        &[],
        "it names WSGI middleware of Python; put a proxy in front of the gateway",
    ),
    refused(
        "network_data_schema",
        &["$pybasedir/api/controllers/v1/network-data-schema.json"],
        "each location decides that; write it there",
    ),
    elsewhere("ramdisk_heartbeat_timeout", LOCATIONS),
    refused(
        "restrict_lookup",
        ON,
        "each location decides that; write it there",
    ),
    refused(
        "server_tls_ciphers",
        &[],
        "rustls has only safe ones; server_tls_minimum_version chooses the protocol",
    )
    .or(&["tls_ciphers"]),
];

pub(crate) const OSLO_MIDDLEWARE: &[Opt] = &[
    refused(
        "http_basic_auth_user_file",
        &["/etc/htpasswd"],
        "write it into [DEFAULT], where Ironic has it",
    ),
    refused(
        "max_request_body_size",
        &["114688"],
        "[api] max_json_body_size and its brothers bound bodies, in KiB",
    ),
];

pub(crate) const HEALTHCHECK: &[Opt] = &[refused(
    "path",
    &["/healthcheck"],
    "it is always /healthcheck, as in Ironic",
)];

pub(crate) const AUDIT_NOTIFICATIONS: &[Opt] = &[
    elsewhere("topics", BUS),
    elsewhere("transport_url", BUS).hidden(),
];

const BUS: &str = "matters of a message bus";

/// Sections of Ironic's own programs and of the services beside it.
pub(crate) const FOREIGN: &[&str] = &[
    "agent",
    "agent_containers",
    "anaconda",
    "ansible",
    "auto_discovery",
    "cifs",
    "cinder",
    "conductor",
    "console",
    "database",
    "deploy",
    "dhcp",
    "dhcp_all_interfaces",
    "disk_partitioner",
    "disk_utils",
    "dnsmasq",
    "drac",
    "errors",
    "fake",
    "glance",
    "ilo",
    "inspection_rules",
    "inspector",
    "inventory",
    "ipmi",
    "irmc",
    "ironic_lib",
    "ironic_networking",
    "ironic_networking_json_rpc",
    "iscsi",
    "json_rpc",
    "mdns",
    "metrics",
    "metrics_statsd",
    "molds",
    "neutron",
    "nfs",
    "nova",
    "nova_notifier",
    "oci",
    "oslo_concurrency",
    "oslo_limit",
    "oslo_messaging_amqp",
    "oslo_messaging_kafka",
    "oslo_messaging_metrics",
    "oslo_messaging_notifications",
    "oslo_messaging_rabbit",
    "oslo_middleware_tracing",
    "oslo_reports",
    "oslo_versionedobjects",
    "profiler",
    "pxe",
    "pxe_filter",
    "redfish",
    "sensor_data",
    "service_catalog",
    "snmp",
    "ssl",
    "swift",
    "vnc",
    "xclarity",
];
