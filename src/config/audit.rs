//! `[audit]` and `[audit_middleware_notifications]`, as Ironic and keystonemiddleware have them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use crate::oslo::reader::Reader;
use crate::oslo::record::Faulted;
use crate::oslo::section::Section;

/// The map that Ironic's packages bring (`pycadf/ironic_api_audit_map.conf`).
const USUAL: &str = "\
[path_keywords]
nodes = node
drivers = driver
chassis = chassis
ports = port
states = state
power = None
provision = None
maintenance = None
validate = None
boot_device = None
supported = None
console = None
vendor_passthrus = vendor_passthru

[service_endpoints]
baremetal = service/compute/baremetal
";

const DRIVER: &str = "driver";

/// What is recorded of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditConfig {
    pub map: AuditMap,
    /// Methods of which nothing is, in capitals.
    pub ignored: Vec<String>,
    /// `None`: records go to the log.
    pub file: Option<PathBuf>,
}

/// How paths are told in CADF's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditMap {
    /// What stands for the segment behind each of these.
    pub keywords: BTreeMap<String, String>,
    /// Actions by the end of a path, or by that and the method: `states/put`.
    pub actions: BTreeMap<String, String>,
    /// The type of the Bare Metal service, if the map has one.
    pub service: Option<String>,
}

impl FromStr for AuditMap {
    type Err = String;

    /// As Python's `configparser` reads it: names are folded to lower case, `=` or `:` ends them.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut map = Self::default();
        let (mut section, mut kind) = (String::new(), None);
        let mut services = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                name.clone_into(&mut section);
                continue;
            }
            let (name, value) = line
                .split_once(['=', ':'])
                .ok_or_else(|| format!("line {} is not NAME = VALUE", number + 1))?;
            let (name, value) = (name.trim().to_lowercase(), value.trim().to_owned());
            match section.as_str() {
                "path_keywords" => drop(map.keywords.insert(name, value)),
                "custom_actions" => drop(map.actions.insert(name, value)),
                "service_endpoints" => drop(services.insert(name, value)),
                "DEFAULT" if name == "target_endpoint_type" => kind = Some(value),
                "" => return Err(format!("line {} is in no section", number + 1)),
                _ => {}
            }
        }
        // Without a default of its own the middleware looks for itself in the catalog, where it is `baremetal`.
        let kind = kind.filter(|kind| services.contains_key(kind));
        map.service = services.remove(kind.as_deref().unwrap_or("baremetal"));
        Ok(map)
    }
}

/// Reads both sections. `None`: nothing is recorded.
pub(crate) fn audit(reader: &mut Reader) -> Result<Option<AuditConfig>, Faulted> {
    let driver = reader
        .section("audit_middleware_notifications")
        .always::<String>(DRIVER, "a driver");
    let section = &mut reader.section("audit");
    let enabled = section.flag("enabled");
    let file = section.path("log_file");
    let ignored = section.list("ignore_req_list");
    if !enabled? {
        return Ok(None);
    }
    let config = AuditConfig {
        map: map(section)?,
        ignored: ignored?.iter().map(|name| name.to_uppercase()).collect(),
        file: file?,
    };
    match driver?.as_str() {
        "log" => Ok(Some(config)),
        "noop" => Ok(None),
        _ => {
            let text = "is not supported: there is no message bus here; log writes records to the log or to [audit] log_file, noop nowhere";
            let mut section = reader.section("audit_middleware_notifications");
            Err(section.fault(DRIVER, text))
        }
    }
}

fn map(section: &mut Section<'_>) -> Result<AuditMap, Faulted> {
    const OPTION: &str = "audit_map_file";
    let text = match section.file(OPTION)? {
        None => USUAL.to_owned(),
        Some(path) => match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return Err(section.unreadable(OPTION, &error)),
        },
    };
    let map = text.parse();
    map.map_err(|error: String| section.fault(OPTION, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_read_as_python_reads_it() {
        let text = "[DEFAULT]\ntarget_endpoint_type = metal\n; no\n[path_keywords]\nNodes: node\n[custom_actions]\n\
                    power/put = switch\n[service_endpoints]\nbaremetal = a\nmetal = b\n[other]\nx = y\n";
        let map: AuditMap = text.parse().unwrap();
        assert_eq!(map.keywords["nodes"], "node");
        assert_eq!(map.actions["power/put"], "switch");
        assert_eq!(map.service.as_deref(), Some("b"));
        let other = text.replace("= metal", "= None");
        let other: AuditMap = other.parse().unwrap();
        assert_eq!(other.service.as_deref(), Some("a"));
        let usual: AuditMap = USUAL.parse().unwrap();
        assert_eq!(usual.service.as_deref(), Some("service/compute/baremetal"));
        for bad in ["x = y", "[path_keywords]\nnodes"] {
            assert!(bad.parse::<AuditMap>().is_err(), "{bad}");
        }
    }
}
