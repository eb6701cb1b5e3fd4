//! The documents at `/` and `/v1`, for the range of versions that all locations have in common.
//!
//! Follows `ironic/api/controllers/root.py`, `ironic/api/controllers/v1/__init__.py` and `versions.py`.

use std::fmt::Write;

use crate::api::microversion::Microversion;
use crate::api::microversion::VersionRange;

/// Resources in the document at `/v1`, in Ironic's order, with the minor version that first shows them.
const RESOURCES: &[(&str, i64)] = &[
    ("chassis", 1),
    ("nodes", 1),
    ("ports", 1),
    ("drivers", 1),
    ("version", 1),
    ("portgroups", 23),
    ("volume", 32),
    ("lookup", 22),
    ("heartbeat", 22),
    ("conductors", 49),
    ("allocations", 52),
    ("events", 54),
    ("deploy_templates", 55),
    ("shards", 82),
    ("runbooks", 92),
    ("inspection_rules", 96),
    ("continue_inspection", 84),
];

fn version(base: &str, range: VersionRange) -> String {
    format!(
        "{{\"id\": \"v1\", \"links\": [{{\"href\": \"{base}/v1/\", \"rel\": \"self\"}}], \"status\": \"CURRENT\", \
         \"min_version\": \"{}\", \"version\": \"{}\"}}",
        range.min(),
        range.max(),
    )
}

/// `base` is where clients find us, without a trailing slash; nothing in it needs escaping in JSON.
pub fn root(base: &str, range: VersionRange) -> String {
    let version = version(base, range);
    format!(
        "{{\"name\": \"OpenStack Ironic API\", \"description\": \"Ironic is an OpenStack project which enables the \
         provision and management of baremetal machines.\", \"default_version\": {version}, \"versions\": [{version}]}}"
    )
}

/// The document for one version within the range.
pub fn v1(base: &str, range: VersionRange, spoken: Microversion) -> String {
    // The doubled slashes are Ironic's own.
    let mut document = format!(
        "{{\"id\": \"v1\", \"links\": [{{\"href\": \"{base}/v1/\", \"rel\": \"self\"}}, \
         {{\"href\": \"https://docs.openstack.org//ironic/latest/contributor//webapi.html\", \"rel\": \"describedby\", \
         \"type\": \"text/html\"}}], \"media_types\": {{\"base\": \"application/json\", \
         \"type\": \"application/vnd.openstack.ironic.v1+json\"}}"
    );
    for (name, _) in RESOURCES.iter().filter(|(_, since)| spoken.minor >= *since) {
        // Writing to a String cannot fail.
        let _ = if *name == "version" {
            write!(document, ", \"version\": {}", version(base, range))
        } else {
            write!(
                document,
                ", \"{name}\": [{{\"href\": \"{base}/v1/{name}/\", \"rel\": \"self\"}}, \
                 {{\"href\": \"{base}/{name}/\", \"rel\": \"bookmark\"}}]"
            )
        };
    }
    document.push('}');
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from Ironic 39.0.0 with `curl http://127.0.0.1:16385/v1`.
    const RECORDED: &str = r#"{"id": "v1", "links": [{"href": "http://127.0.0.1:16385/v1/", "rel": "self"}, {"href": "https://docs.openstack.org//ironic/latest/contributor//webapi.html", "rel": "describedby", "type": "text/html"}], "media_types": {"base": "application/json", "type": "application/vnd.openstack.ironic.v1+json"}, "chassis": [{"href": "http://127.0.0.1:16385/v1/chassis/", "rel": "self"}, {"href": "http://127.0.0.1:16385/chassis/", "rel": "bookmark"}], "nodes": [{"href": "http://127.0.0.1:16385/v1/nodes/", "rel": "self"}, {"href": "http://127.0.0.1:16385/nodes/", "rel": "bookmark"}], "ports": [{"href": "http://127.0.0.1:16385/v1/ports/", "rel": "self"}, {"href": "http://127.0.0.1:16385/ports/", "rel": "bookmark"}], "drivers": [{"href": "http://127.0.0.1:16385/v1/drivers/", "rel": "self"}, {"href": "http://127.0.0.1:16385/drivers/", "rel": "bookmark"}], "version": {"id": "v1", "links": [{"href": "http://127.0.0.1:16385/v1/", "rel": "self"}], "status": "CURRENT", "min_version": "1.1", "version": "1.115"}}"#;

    #[test]
    fn byte_for_byte_as_ironic() {
        let version = |minor| Microversion::new(1, minor);
        let range = VersionRange::new(version(1), version(115)).unwrap();
        assert_eq!(v1("http://127.0.0.1:16385", range, version(1)), RECORDED);
        assert_eq!(
            v1("http://127.0.0.1:16385", range, version(115)).len(),
            2797,
            "Content-Length recorded at 1.115"
        );
        assert_eq!(
            root("http://127.0.0.1:16385", range).len(),
            466,
            "Content-Length recorded"
        );
    }
}
