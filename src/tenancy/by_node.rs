//! Whether what belongs to a project's nodes is asked for node by node. Ironic has no filter by project for ports and
//! their like, so a project with three nodes at a location of thousands would be shown its ports by reading all there
//! are. Pure decisions.

use crate::api::collection::Collection;
use crate::api::query::Query;
use crate::config::LocationId;
use crate::federate::merged::marker::WALK;
use crate::federate::merged::order::SortValue;
use crate::tenancy::case::Found;
use crate::tenancy::facts::Visible;

/// This many questions, one for each node, cost a location less than a page of a thousand items.
const FEW: usize = 32;

/// Parameters that do not choose which parts are meant.
const FREE: &[&str] = &[
    "fields", "detail", "limit", "marker", WALK, "sort_key", "sort_dir",
];

/// When a part was made, the nearest to the numbers that Ironic orders by and does not show.
const MADE: &str = "created_at";

/// Few nodes, by location, and the member that their parts are ordered by.
pub(super) struct ByNode<'v> {
    pub(super) homes: Vec<(LocationId, Vec<&'v str>)>,
    pub(super) sort_key: Option<&'static str>,
}

impl<'v> ByNode<'v> {
    /// `None`: there are many nodes, or the query wants another order than we can make, or not all parts of a node.
    pub(super) fn of(collection: Collection, query: &Query, visible: &'v Visible) -> Option<Self> {
        let sort_key = match query.value("sort_key") {
            None | Some("" | "id") => None,
            Some(key) => Some(sortable(collection).find(|known| *known == key)?),
        };
        let is_plain = query.without(FREE).is_empty()
            && query.repeated(FREE).is_none()
            && matches!(query.value("sort_dir"), None | Some("asc" | "desc"))
            && query.limit().is_ok();
        let homes = visible.by_location();
        let are_few = homes.iter().all(|(_, nodes)| nodes.len() <= FEW);
        (is_plain && are_few).then_some(Self { homes, sort_key })
    }

    /// Members beside those of the client's own wish.
    pub(super) fn needed(&self) -> impl Iterator<Item = &'static str> {
        self.sort_key.into_iter().chain([MADE])
    }
}

/// What the short form of an item shows, and the times: these are columns in every version, but for the node's UUID.
fn sortable(collection: Collection) -> impl Iterator<Item = &'static str> {
    let shown = collection.facts().default_fields.iter().copied();
    shown
        .chain([MADE, "updated_at"])
        .filter(|name| *name != "node_uuid")
}

/// By the key, then by location, then as they were made; where that is `known` they are in the location's own order.
pub(super) fn sort(items: &mut [Found], sort_key: Option<&str>, known: &[LocationId]) {
    let member =
        |found: &Found, name: &str| SortValue::new(found.resource.raw(name).map(|raw| &**raw));
    items.sort_by_cached_key(|found| {
        let by_key = sort_key.map_or(SortValue::Null, |key| member(found, key));
        let made = match found.at {
            Some(at) if known.contains(&at) => SortValue::Null,
            _ => member(found, MADE),
        };
        (by_key, found.at, made)
    });
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::*;
    use crate::tenancy::resource::Resource;

    fn part(at: u16, uuid: &str, members: &Value) -> Found {
        let mut resource = Resource::read(&members.to_string().into()).unwrap();
        resource.set_text("uuid", uuid);
        Found {
            resource,
            at: Some(LocationId(at)),
        }
    }

    #[test]
    fn in_the_order_that_a_location_has() {
        let made = |node: &str, made: &str, address: &str| json!({"node_uuid": node, "created_at": made, "address": address});
        let parts = [
            part(0, "a", &made("n", "2026-01-02", "03")),
            part(0, "b", &made("n", "2026-01-04", "01")),
            part(0, "c", &made("m", "2026-01-01", "02")),
            part(0, "d", &made("m", "2026-01-03", "04")),
            // Its clock was put back; there is one node only, in its own order.
            part(1, "e", &made("o", "2026-01-09", "00")),
            part(1, "f", &made("o", "2026-01-08", "05")),
        ];
        for (key, expected) in [(None, "cadbef"), (Some("address"), "ebcadf")] {
            let mut parts = parts.to_vec();
            sort(&mut parts, key, &[LocationId(1)]);
            let order: String = parts
                .iter()
                .filter_map(|part| part.resource.text("uuid"))
                .collect();
            assert_eq!(order, expected, "{key:?}");
        }
    }

    #[test]
    fn which_lists_are_read_so() {
        let holders = crate::tenancy::facts::Holders::default;
        let is_so = |places: &[u16], query: &str| {
            let nodes = places.iter().enumerate();
            let visible: Visible = nodes
                .map(|(number, at)| ((LocationId(*at), number.to_string()), holders()))
                .collect();
            let query = Query::parse(Some(query)).unwrap();
            ByNode::of(Collection::Ports, &query, &visible).is_some()
        };
        let many: Vec<u16> = vec![0; FEW + 1];
        for (places, query, expected) in [
            (&[][..], "", true),
            (&[0, 1], "limit=3&detail=true", true),
            (&[0, 1, 0], "sort_key=address&sort_dir=desc", true),
            (&many, "sort_key=created_at", false),
            // Another choice or order of parts than ours.
            (&[0], "address=52:54:00:00:00:01", false),
            (&[0], "shard=a", false),
            (&[0], "sort_key=pxe_enabled", false),
            (&[0], "sort_key=node_uuid", false),
            (&[0], "sort_dir=up", false),
            (&[0], "limit=1&limit=2", false),
            (&[0], "limit=many", false),
            (&[0], "limit=0", false),
        ] {
            assert_eq!(is_so(places, query), expected, "{query}");
        }
    }
}
