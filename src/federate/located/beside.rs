//! A node that refers to another node has to be at the same location.

use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::objection::Objection;
use crate::request::Request;

/// Refuses a node of another location. `reference`: the member that names it.
pub async fn check_beside(
    federation: &Federation,
    request: &Request,
    home: LocationId,
    (reference, node): (&str, &str),
) -> Result<(), Error> {
    if node.is_empty() {
        return Ok(());
    }
    match federation.is_at(request, home, node).await {
        Ok(false) => Err(Objection::Invalid(format!(
            "Unable to apply the requested {reference} '{node}'. Requested value was invalid."
        ))
        .into()),
        // An unknown node, or one that could not be asked, is left to the location, which checks the reference itself.
        Ok(true) | Err(_) => Ok(()),
    }
}
