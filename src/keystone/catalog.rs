//! The service catalog of a cloud, and which endpoint to use. The choice follows keystoneauth.

use serde::Deserialize;

use crate::config::Endpoint;
use crate::config::Interface;

/// The services of a cloud, as a token lists them.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Catalog(Vec<Service>);

#[derive(Clone, Debug, Deserialize)]
struct Service {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    endpoints: Vec<ServiceEndpoint>,
}

#[derive(Clone, Debug, Deserialize)]
struct ServiceEndpoint {
    interface: String,
    region: Option<String>,
    url: String,
}

/// What to look for in a catalog.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub service_type: &'a str,
    pub service_name: Option<&'a str>,
    /// In the order of preference.
    pub interfaces: &'a [Interface],
    pub region: Option<&'a str>,
}

impl Catalog {
    /// The endpoint to use, chosen as keystoneauth does: the exact type before its alias, then the interfaces in
    /// their order, then the order of the catalog.
    pub fn url(&self, wanted: &Wanted<'_>) -> Option<&str> {
        let types = [Some(wanted.service_type), alias(wanted.service_type)];
        types.into_iter().flatten().find_map(|service_type| {
            wanted
                .interfaces
                .iter()
                .find_map(|interface| self.endpoint(service_type, *interface, wanted))
        })
    }

    fn endpoint(
        &self,
        service_type: &str,
        interface: Interface,
        wanted: &Wanted<'_>,
    ) -> Option<&str> {
        self.0
            .iter()
            .filter(|service| service.kind == service_type)
            // A catalog may leave names out; then they cannot decide.
            .filter(|service| {
                wanted
                    .service_name
                    .is_none_or(|name| service.name.is_empty() || service.name == name)
            })
            .flat_map(|service| &service.endpoints)
            .filter(|endpoint| {
                wanted
                    .region
                    .is_none_or(|region| endpoint.region.as_deref() == Some(region))
            })
            .find(|endpoint| endpoint.interface == interface.as_str())
            .map(|endpoint| endpoint.url.as_str())
    }
}

/// Identity endpoints come with and without a version: `…/v3` in any case.
pub fn v3_base(url: &str) -> Option<Endpoint> {
    let root = url.trim_end_matches('/');
    let root = root
        // Clouds have all three forms; keystoneauth tells them apart by discovery, which is a request more.
        .strip_suffix("/v3")
        .or_else(|| root.strip_suffix("/v2.0"))
        .unwrap_or(root);
    Endpoint::whole(&format!("{root}/v3")).ok()
}

/// The bare metal service is in the service types authority under both names.
fn alias(service_type: &str) -> Option<&'static str> {
    match service_type {
        "baremetal" => Some("bare-metal"),
        "bare-metal" => Some("baremetal"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Interface::Admin;
    use crate::config::Interface::Internal;
    use crate::config::Interface::Public;

    fn catalog() -> Catalog {
        let endpoint = |interface: &str, region: &str, url: &str| json!({"id": "e", "interface": interface, "region": region, "region_id": region, "url": url});
        let services = json!([
            {"id": "s", "type": "bare-metal", "name": "alias", "endpoints": [endpoint("public", "r1", "alias-public")]},
            {"id": "s", "type": "baremetal-introspection", "name": "i", "endpoints": [endpoint("public", "r1", "no")]},
            {"id": "s", "type": "baremetal", "name": "ironic", "endpoints": [
                endpoint("public", "r1", "public-1"),
                endpoint("public", "r2", "public-2"),
                endpoint("internal", "r1", "internal-1"),
            ]},
            {"id": "s", "type": "baremetal", "name": "other", "endpoints": [endpoint("admin", "r3", "admin-3")]},
        ]);
        Catalog(serde_json::from_value(services).unwrap())
    }

    #[test]
    fn the_endpoint_is_the_one_keystoneauth_takes() {
        for (service_type, service_name, interfaces, region, url) in [
            ("baremetal", None, &[Public][..], None, Some("public-1")),
            ("baremetal", None, &[Public], Some("r2"), Some("public-2")),
            ("baremetal", None, &[Public], Some("R2"), None),
            (
                "baremetal",
                None,
                &[Internal, Public],
                None,
                Some("internal-1"),
            ),
            (
                "baremetal",
                None,
                &[Internal, Public],
                Some("r2"),
                Some("public-2"),
            ),
            (
                "baremetal",
                Some("ironic"),
                &[Admin, Internal, Public],
                None,
                Some("internal-1"),
            ),
            ("baremetal", None, &[Admin, Internal], None, Some("admin-3")),
            (
                "baremetal",
                Some("alias"),
                &[Public],
                None,
                Some("alias-public"),
            ),
            ("bare-metal", None, &[Public], None, Some("alias-public")),
            ("bare-metal", None, &[Internal], None, Some("internal-1")),
            ("compute", None, &[Public], None, None),
        ] {
            let wanted = Wanted {
                service_type,
                service_name,
                interfaces,
                region,
            };
            assert_eq!(catalog().url(&wanted), url, "{wanted:?}");
        }
    }

    #[test]
    fn an_identity_endpoint_gets_its_version() {
        for (url, base) in [
            ("http://h:5000", Some("http://h:5000/v3")),
            ("http://h:5000/", Some("http://h:5000/v3")),
            ("http://h/identity/v3", Some("http://h/identity/v3")),
            ("http://h/identity/v3/", Some("http://h/identity/v3")),
            ("http://h/v2.0", Some("http://h/v3")),
            ("no url", None),
        ] {
            assert_eq!(
                v3_base(url).map(|base| base.to_string()).as_deref(),
                base,
                "{url}"
            );
        }
    }
}
