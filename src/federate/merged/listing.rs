//! What is listed, and where.

use crate::api::collection::Collection;
use crate::api::collection::Facts;
use crate::locations::location::Location;

#[derive(Debug)]
pub struct Listing<'a> {
    pub collection: Collection,
    /// Below the endpoint, encoded: `/v1/nodes`, `/v1/nodes/<uuid>/ports`.
    pub path: String,
    pub scope: Vec<&'a Location>,
    /// Key of the list and kind of the items, where they are not the collection's.
    pub facts: &'static Facts,
}

impl Listing<'_> {
    /// The collection as a whole, not what belongs to one thing.
    pub fn is_of_collection(&self) -> bool {
        let facts = self.collection.facts();
        let path = self.path.strip_suffix("/detail").unwrap_or(&self.path);
        // A node's history borrows the collection of nodes with facts of its own, and must not count as the list of
        // nodes. By value: constants may stand in memory several times, as they do without link-time optimisation.
        self.facts == facts && path.strip_prefix("/v1/") == Some(facts.path)
    }
}
