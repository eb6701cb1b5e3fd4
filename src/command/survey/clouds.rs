//! Entries of `clouds.yaml` and `secure.yaml` as sections of a configuration, found and put together as openstacksdk does
//! (`openstack/config/loader.py`). A key that the gateway cannot honour is refused by name.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Map;
use serde_json::Value;
use thiserror::Error;

use crate::config::Given;
use crate::oslo::ini::section_name;

/// Why entries cannot be used.
#[derive(Debug, Error)]
pub enum CloudsError {
    #[error("there is no {0}: write one, or name it with {1}")]
    NoFile(&'static str, &'static str),
    #[error("{}: cannot be read: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{}: is no YAML: {text}", path.display())]
    NoYaml { path: PathBuf, text: String },
    #[error("{}: there is no cloud {name}; it has {known}", path.display())]
    NoCloud {
        path: PathBuf,
        name: String,
        known: String,
    },
    /// One line for each key.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
}

/// A file of openstacksdk's, and the variable that names it.
struct Kind {
    name: &'static str,
    variable: &'static str,
    endings: [&'static str; 3],
}

const CLOUDS: Kind = Kind {
    name: "clouds.yaml",
    variable: "OS_CLIENT_CONFIG_FILE",
    endings: ["clouds.yaml", "clouds.yml", "clouds.json"],
};
const SECURE: Kind = Kind {
    name: "secure.yaml",
    variable: "OS_CLIENT_SECURE_FILE",
    endings: ["secure.yaml", "secure.yml", "secure.json"],
};

/// Options of `[group:NAME]` for each of these clouds.
pub fn sections(names: &[String]) -> Result<Vec<Given>, CloudsError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let Some(path) = find(&CLOUDS) else {
        return Err(CloudsError::NoFile(CLOUDS.name, CLOUDS.variable));
    };
    let mut clouds = clouds_of(&path)?;
    if let Some(secure) = find(&SECURE) {
        lay_over(&mut clouds, clouds_of(&secure)?);
    }
    let mut faults = Vec::new();
    let mut given: Vec<Given> = Vec::new();
    for name in names {
        let Some(Value::Object(entry)) = clouds.get(name) else {
            let known: Vec<&str> = clouds.keys().map(String::as_str).collect();
            return Err(CloudsError::NoCloud {
                path,
                name: name.clone(),
                known: known.join(", "),
            });
        };
        let place = format!("cloud {name} of {}", path.display());
        // Clouds of openstacksdk are apart by capitals alone, sections are not.
        let section = section_name(&format!("group:{name}"));
        if given.iter().any(|other| other.section == section) {
            faults.push(format!(
                "{place}: another one would be [{section}] too: survey them one after the other"
            ));
            continue;
        }
        match options(entry) {
            Ok(options) => given.push(Given {
                place,
                section,
                options,
            }),
            Err(refused) => {
                faults.extend(refused.iter().map(|fault| format!("{place}: {fault}")));
            }
        }
    }
    if faults.is_empty() {
        Ok(given)
    } else {
        Err(CloudsError::Refused(faults))
    }
}

fn find(kind: &Kind) -> Option<PathBuf> {
    let set = |variable: &str| env::var_os(variable).filter(|value| !value.is_empty());
    if let Some(named) = set(kind.variable) {
        return Some(named.into());
    }
    let home = set("HOME").map(PathBuf::from);
    let own = set("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| home.map(|home| home.join(".config")));
    let places = [
        // Where it is called, as `CONFIG_SEARCH_PATH` of loader.py begins.
        Some(PathBuf::new()),
        own.map(|own| own.join("openstack")),
        Some("/etc/openstack".into()),
    ];
    let files = places.into_iter().flatten().flat_map(|place| {
        kind.endings
            .iter()
            .map(move |ending| place.join(Path::new(ending)))
    });
    files.into_iter().find(|path| path.exists())
}

/// What is below `clouds:`.
fn clouds_of(path: &Path) -> Result<Map<String, Value>, CloudsError> {
    let text = fs::read_to_string(path).map_err(|error| CloudsError::Unreadable {
        path: path.to_path_buf(),
        error,
    })?;
    let no_yaml = |text: String| CloudsError::NoYaml {
        path: path.to_path_buf(),
        text,
    };
    let document: Option<Map<String, Value>> =
        serde_saphyr::from_str(&text).map_err(|error| no_yaml(error.to_string()))?;
    match document.unwrap_or_default().remove("clouds") {
        Some(Value::Object(clouds)) => Ok(clouds),
        Some(Value::Null) | None => Ok(Map::new()),
        Some(_) => Err(no_yaml("`clouds` is no mapping of names".to_owned())),
    }
}

/// Members of `above` replace those of the same name, at every depth.
fn lay_over(below: &mut Map<String, Value>, above: Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => lay_over(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// Keys below `auth` and what they are called here; keystoneauth's old names too.
const AUTH: &[(&str, &str)] = &[
    ("auth_url", "auth_url"),
    ("username", "username"),
    ("user_name", "username"),
    ("user_id", "user_id"),
    ("password", "password"),
    ("user_domain_id", "user_domain_id"),
    ("user_domain_name", "user_domain_name"),
    ("project_id", "project_id"),
    ("project_name", "project_name"),
    ("tenant_id", "project_id"),
    ("tenant_name", "project_name"),
    ("project_domain_id", "project_domain_id"),
    ("project_domain_name", "project_domain_name"),
    ("domain_id", "domain_id"),
    ("domain_name", "domain_name"),
    ("default_domain_id", "default_domain_id"),
    ("default_domain_name", "default_domain_name"),
    ("system_scope", "system_scope"),
    ("trust_id", "trust_id"),
    ("token", "token"),
    ("application_credential_id", "application_credential_id"),
    ("application_credential_name", "application_credential_name"),
    (
        "application_credential_secret",
        "application_credential_secret",
    ),
    ("endpoint", "endpoint_override"),
];

/// The others. What is said of bare metal alone stands last and wins.
const ENTRY: &[(&str, &str)] = &[
    ("auth_type", "auth_type"),
    ("region_name", "region_name"),
    ("endpoint_type", "valid_interfaces"),
    ("interface", "valid_interfaces"),
    ("cacert", "cafile"),
    ("cert", "certfile"),
    ("key", "keyfile"),
    ("endpoint", "endpoint_override"),
    ("baremetal_service_type", "service_type"),
    ("baremetal_service_name", "service_name"),
    ("baremetal_region_name", "region_name"),
    ("baremetal_interface", "valid_interfaces"),
    ("baremetal_endpoint", "endpoint_override"),
    ("baremetal_endpoint_override", "endpoint_override"),
];

/// Read besides: they decide on an option, or on nothing that concerns us.
const READ: &[&str] = &["auth", "verify", "insecure", "regions"];
/// About other services, or about how openstacksdk itself works.
const OTHERS: &[&str] = &[
    "baremetal_default_microversion",
    "floating_ip_source",
    "force_ipv4",
    "image_format",
    "message",
    "nat_destination",
    "nat_source",
    "networks",
    "security_group_source",
    "vendor_hook",
];

type Options = Vec<(String, String)>;

fn options(entry: &Map<String, Value>) -> Result<Options, Vec<String>> {
    let normal = |key: &String| key.replace('-', "_");
    let entry: Map<String, Value> = entry.iter().map(|(k, v)| (normal(k), v.clone())).collect();
    let auth: Map<String, Value> = match entry.get("auth") {
        Some(Value::Object(auth)) => auth.iter().map(|(k, v)| (normal(k), v.clone())).collect(),
        _ => Map::new(),
    };
    let mut faults = Vec::new();
    let mut options = Options::new();
    for (keys, known, inside) in [(&auth, AUTH, "auth."), (&entry, ENTRY, "")] {
        for (key, value) in keys {
            let is_known = known.iter().any(|(name, _)| name == key);
            if is_known {
                if !value.is_null() && text(value).is_none() {
                    faults.push(format!("{inside}{key} must be text or a number"));
                }
            } else if !inside.is_empty() || !is_passed_over(key) {
                faults.push(format!("{inside}{key} {}", refusal(key)));
            }
        }
        for (key, option) in known {
            if let Some(value) = keys.get(*key).and_then(text) {
                put(&mut options, option, value);
            }
        }
    }
    if !has(&options, "auth_type") {
        // As openstacksdk: a token speaks for itself, else it is a password.
        let plugin = if has(&options, "token") {
            "token"
        } else {
            "password"
        };
        put(&mut options, "auth_type", plugin.to_owned());
    }
    for (option, value) in &mut options {
        match (&**option, &**value) {
            ("auth_type", "token_endpoint") => "admin_token".clone_into(value),
            ("cafile" | "certfile" | "keyfile", _) => *value = at_home(value),
            _ => {}
        }
    }
    for (key, insecure) in [("verify", false), ("insecure", true)] {
        match entry.get(key).map(truth) {
            Some(Some(said)) if said == insecure => {
                put(&mut options, "insecure", "true".to_owned());
            }
            Some(None) => faults.push(format!("{key} must be true or false")),
            Some(Some(_)) | None => {}
        }
    }
    if entry.contains_key("regions") && !has(&options, "region_name") {
        faults.push("regions names several: set region_name to the one that is meant".into());
    }
    let identity = entry.get("identity_api_version").and_then(text);
    if identity.is_some_and(|version| !version.starts_with('3')) {
        faults.push("identity_api_version can only be 3".to_owned());
    }
    if faults.is_empty() {
        Ok(options)
    } else {
        Err(faults)
    }
}

fn is_passed_over(key: &str) -> bool {
    let endings = ["_api_version", "_default_microversion"];
    READ.contains(&key) || OTHERS.contains(&key) || endings.iter().any(|end| key.ends_with(end))
}

fn refusal(key: &str) -> &'static str {
    match key {
        "profile" | "cloud" => "is not read: write what the vendor's profile says into the entry",
        _ => "is not known here: take it out, or write a [group:NAME] section instead",
    }
}

fn has(options: &Options, option: &str) -> bool {
    options.iter().any(|(known, _)| known == option)
}

fn put(options: &mut Options, option: &str, value: String) {
    options.retain(|(known, _)| known != option);
    options.push((option.to_owned(), value));
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// As openstacksdk's `get_boolean`, except that a typing error does not count as `false`.
fn truth(value: &Value) -> Option<bool> {
    match text(value)?.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn at_home(path: &str) -> String {
    let home: Option<OsString> = env::var_os("HOME");
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest).display().to_string(),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(entry: &Value) -> Result<String, Vec<String>> {
        let options = options(entry.as_object().unwrap())?;
        let mut lines: Vec<_> = options.iter().map(|(k, v)| format!("{k}={v}")).collect();
        lines.sort();
        Ok(lines.join(" "))
    }

    #[test]
    fn entries() {
        for (entry, expected) in [
            (
                json!({"auth_type": "none", "endpoint": "http://a"}),
                "auth_type=none endpoint_override=http://a",
            ),
            (
                json!({"auth_type": "none", "auth": {"endpoint": "http://a"}, "baremetal_endpoint_override": "http://b"}),
                "auth_type=none endpoint_override=http://b",
            ),
            (
                json!({"auth": {"auth-url": "u", "username": "x", "password": 12}, "interface": "internal"}),
                "auth_type=password auth_url=u password=12 username=x valid_interfaces=internal",
            ),
            (
                json!({"auth": {"token": "t"}, "region_name": "R", "regions": ["R", "S"], "identity_api_version": 3}),
                "auth_type=token region_name=R token=t",
            ),
            (
                json!({"auth_type": "token_endpoint", "auth": {"token": "t", "endpoint": "e"}, "verify": "no", "image_api_version": "2"}),
                "auth_type=admin_token endpoint_override=e insecure=true token=t",
            ),
            (
                json!({"auth_type": "v3applicationcredential", "auth": {"application_credential_id": "i",
                    "application_credential_secret": "s"}, "verify": true, "insecure": false, "cacert": "/c", "cert": null}),
                "application_credential_id=i application_credential_secret=s auth_type=v3applicationcredential cafile=/c",
            ),
        ] {
            assert_eq!(read(&entry).as_deref(), Ok(expected), "{entry}");
        }
    }

    #[test]
    fn what_is_refused_is_named() {
        for (entry, key) in [
            (json!({"profile": "vexxhost"}), "profile"),
            (json!({"cloud": "rackspace"}), "cloud"),
            (json!({"regions": ["A", "B"]}), "regions"),
            (json!({"verify": "perhaps"}), "verify"),
            (
                json!({"identity_api_version": "2.0"}),
                "identity_api_version",
            ),
            (json!({"auth": {"passcode": "1"}}), "auth.passcode"),
            (json!({"auth": {"username": ["a"]}}), "auth.username"),
            (
                json!({"baremetal_endpoint_overide": "x"}),
                "baremetal_endpoint_overide",
            ),
        ] {
            let faults = read(&entry).unwrap_err();
            assert!(
                faults.len() == 1 && faults[0].starts_with(key),
                "{entry}: {faults:?}"
            );
        }
    }

    #[test]
    fn secrets_are_laid_over() {
        let mut below = json!({"a": {"auth": {"username": "u", "password": "old"}}});
        let above = json!({"a": {"auth": {"password": "new"}}, "b": {"region_name": "r"}});
        let (Value::Object(below), Value::Object(above)) = (&mut below, above) else {
            unreachable!();
        };
        lay_over(below, above);
        assert_eq!(
            json!(below),
            json!({"a": {"auth": {"username": "u", "password": "new"}}, "b": {"region_name": "r"}})
        );
    }
}
