//! keystoneauth's adapter options: the endpoint of a location's Ironic.

use crate::config::credential::Interface;
use crate::config::endpoint::Endpoint;
use crate::config::keystoneauth::AuthType;
use crate::oslo::reader::Reader;
use crate::oslo::record::Faulted;
use crate::oslo::section::Section;

/// Where a location's Ironic is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointSource {
    /// Told by the file; never empty, first is tried first.
    Fixed(Vec<Endpoint>),
    /// Told by the catalog of each new token.
    Catalog {
        /// `baremetal` unless told otherwise.
        service_type: String,
        /// Any name if `None`.
        service_name: Option<String>,
        /// Never empty, in order of preference.
        interfaces: Vec<Interface>,
        /// Any region if `None`.
        region: Option<String>,
    },
}

/// Adapter options. `auth` holds the plugin's `endpoint`, `section` the rest.
pub(crate) fn endpoints(
    reader: &mut Reader,
    section: &str,
    auth: &str,
    auth_type: AuthType,
) -> Result<EndpointSource, Faulted> {
    // Read before its outcome is looked at, and its `?` comes last: an operator sees the faults of both in one run.
    let versions = versions(&mut reader.section(section));
    let source = endpoint_source(reader, section, auth, auth_type);
    versions?;
    source
}

fn endpoint_source(
    reader: &mut Reader,
    section: &str,
    auth: &str,
    auth_type: AuthType,
) -> Result<EndpointSource, Faulted> {
    // keystoneauth's order: `endpoint_override` wins over the catalog and over the `endpoint` of a plugin without one.
    if let Some(endpoints) = fixed(&mut reader.section(section), "endpoint_override")? {
        return Ok(EndpointSource::Fixed(endpoints));
    }
    if matches!(auth_type, AuthType::Keystone(..)) {
        return catalog(&mut reader.section(section));
    }
    match fixed(&mut reader.section(auth), "endpoint")? {
        Some(endpoints) => Ok(EndpointSource::Fixed(endpoints)),
        None => Err(reader.section(section).missing(
            "endpoint_override",
            "without a Keystone there is no catalog to ask",
        )),
    }
}

fn fixed(section: &mut Section<'_>, option: &str) -> Result<Option<Vec<Endpoint>>, Faulted> {
    let mut endpoints = Vec::new();
    for text in section.list(option)? {
        match text.parse() {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(error) => return Err(section.fault(option, error)),
        }
    }
    Ok((!endpoints.is_empty()).then_some(endpoints))
}

fn catalog(section: &mut Section<'_>) -> Result<EndpointSource, Faulted> {
    let service_type = section.always("service_type", "a service type");
    let service_name = section.text("service_name");
    let region = section.text("region_name");
    let interfaces = interfaces(section);
    Ok(EndpointSource::Catalog {
        service_type: service_type?,
        service_name: service_name?,
        interfaces: interfaces?,
        region: region?,
    })
}

fn interfaces(section: &mut Section<'_>) -> Result<Vec<Interface>, Faulted> {
    let mut interfaces = Vec::new();
    for word in section.list("valid_interfaces")? {
        match interface(&word) {
            Some(interface) => interfaces.push(interface),
            None => return Err(section.fault("valid_interfaces", INTERFACE_WORDS)),
        }
    }
    // The default is added here and not by `list_or_default`: `valid_interfaces =` with nothing behind it counts as unset.
    if interfaces.is_empty() {
        interfaces.push(Interface::Public);
    }
    Ok(interfaces)
}

/// A word of the catalog, with or without Identity v2's `URL` behind it.
pub(crate) fn interface(word: &str) -> Option<Interface> {
    let word = word.strip_suffix("URL").unwrap_or(word);
    [Interface::Public, Interface::Internal, Interface::Admin]
        .into_iter()
        .find(|interface| interface.as_str() == word)
}

/// What [`interface`] takes.
pub(crate) const INTERFACE_WORDS: &str = "must be one of public, internal, admin";

fn versions(section: &mut Section<'_>) -> Result<(), Faulted> {
    let mut outcome = Ok(());
    for option in ["version", "min_version", "max_version"] {
        match section.text(option).as_ref().map(Option::as_deref) {
            // keystoneauth's ways to write the only major version. A microversion here would pin what is negotiated per
            // request.
            Ok(None | Some("1" | "1.0" | "v1" | "v1.0" | "latest")) => {}
            Ok(Some(_)) => {
                let text = "the Bare Metal API has only version 1; microversions need no option";
                outcome = Err(section.fault(option, text));
            }
            Err(faulted) => outcome = Err(*faulted),
        }
    }
    let range = section.sets("min_version") || section.sets("max_version");
    // keystoneauth refuses the combination as well.
    if section.sets("version") && range {
        let text = "cannot be used together with min_version or max_version";
        outcome = Err(section.fault("version", text));
    }
    outcome
}
