//! Ironic's words for refusals, byte for byte: a hidden thing must not differ from an absent one.

use http::StatusCode;

use crate::api::collection::Collection;
use crate::api::fault;
use crate::federate::Error;
use crate::federate::objection::Objection;
use crate::request::Answer;

/// It is not there, or not for this caller: the client is not told which. `ident` is as the client wrote it.
pub(crate) fn absent(collection: Collection, ident: &str) -> Error {
    Objection::Absent(format!("{} {ident} could not be found.", noun(collection))).into()
}

/// The same as a 400, for nodes in a body or a filter.
pub(crate) fn no_such_node(ident: &str) -> Error {
    invalid(format!("Node {ident} could not be found."))
}

/// Whether an Ironic without Keystone refused the owner in a create.
pub(crate) fn is_refused_owner(answer: &Answer) -> bool {
    answer.status == StatusCode::BAD_REQUEST
        && fault::text_of(answer.body.whole()).is_some_and(|text| {
            text.contains("as a project scoped admin with an owner other than your own project")
        })
}

/// Ironic's text where it does not name the thing.
pub(crate) fn no_resource() -> Error {
    Objection::Absent("Resource could not be found.".to_owned()).into()
}

pub(crate) fn invalid(text: impl Into<String>) -> Error {
    Objection::Invalid(text.into()).into()
}

/// A member or parameter that the client's version does not have.
pub(crate) fn too_new() -> Error {
    Objection::TooNew("Request not acceptable.".to_owned()).into()
}

pub(crate) fn forbidden(text: impl Into<String>) -> Error {
    Objection::Forbidden(text.into()).into()
}

/// The message of `HTTPForbidden` without a resource: Ironic forgets to fill it in.
pub(crate) fn forbidden_runbook() -> Error {
    // The placeholder stays in the text, as Ironic 39 sends it.
    forbidden("Access was denied to the following resource: %(resource)s")
}

/// A link to a node that the caller cannot see, or that belongs to another (`authorize_node_link`).
pub(crate) fn unlinkable(field: &str, node: &str) -> Error {
    invalid(format!(
        "Unable to apply the requested {field} '{node}'. Requested value was invalid."
    ))
}

pub(crate) fn noun(collection: Collection) -> &'static str {
    match collection {
        Collection::Ports => "Port",
        Collection::Portgroups => "Portgroup",
        Collection::VolumeConnectors => "Volume connector",
        Collection::VolumeTargets => "Volume target",
        Collection::Allocations => "Allocation",
        Collection::Runbooks => "Runbook",
        Collection::Nodes
        | Collection::Chassis
        | Collection::Conductors
        | Collection::DeployTemplates
        | Collection::Drivers
        | Collection::InspectionRules
        | Collection::Shards => "Node",
    }
}
