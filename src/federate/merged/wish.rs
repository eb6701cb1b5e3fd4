//! What the client asks of a list: paging, order and selection of fields.

use crate::api::collection::Collection;
use crate::api::collection::Facts;
use crate::api::microversion::Microversion;
use crate::api::query::Query;
use crate::federate::merged::listing::Listing;
use crate::federate::merged::marker::PAGING;
use crate::federate::merged::marker::WALK;
use crate::federate::merged::marker::WalkName;
use crate::federate::merged::order::Direction;
use crate::request::Request;

/// The client's paging and selection, parsed.
pub(super) struct Wish {
    /// Items wanted on the page; at least one.
    pub(super) limit: usize,
    /// The client said how many.
    pub(super) is_limited: bool,
    /// As the client spells it.
    pub(super) marker: Option<String>,
    /// Which walk the page belongs to, if the link said.
    pub(super) walk: Option<WalkName>,
    /// A key whose values clients can see; `None`: the locations' own order.
    pub(super) sort_key: Option<String>,
    pub(super) direction: Direction,
    /// Filters: everything that is only handed on.
    pub(super) filters: Query,
    /// Members that are read of each item.
    pub(super) noted: Vec<&'static str>,
    /// A filter that locations are not asked for: a member that is noted, and its text.
    pub(super) only: Option<(usize, String)>,
    /// For the items of the page.
    pub(super) bodies: Selection,
    /// For identifiers and sort keys only.
    pub(super) keys: Selection,
}

/// How locations are asked for what the merge and the client need.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    /// `fields` and `detail` as they are sent.
    pub(super) parameters: Query,
    /// The collection's `/detail` is asked instead of the collection.
    pub(super) detail_path: bool,
    /// What the client is shown, if that is less than what is asked for.
    pub(super) shown: Option<Vec<String>>,
    /// Details are asked for: much more than an identifier and a key.
    pub(super) is_detailed: bool,
}

/// The versions that first have `fields`, and `detail` as a parameter.
const FIELDS_SINCE: i64 = 8;
const DETAIL_SINCE: i64 = 43;

/// Columns that a collection can be sorted by and that no answer shows: sorting by them is sorting by nothing a client
/// can see (Ironic's `db/sqlalchemy/models.py`).
fn is_hidden(collection: Collection, key: &str) -> bool {
    let hidden: &[&str] = match collection {
        Collection::Nodes => &["chassis_id", "conductor_affinity", "allocation_id"],
        Collection::Ports => &["node_id", "portgroup_id"],
        Collection::Portgroups | Collection::VolumeConnectors | Collection::VolumeTargets => {
            &["node_id"]
        }
        Collection::Allocations => &["node_id", "conductor_affinity"],
        Collection::Conductors => &["online"],
        Collection::InspectionRules => &["scope"],
        Collection::Chassis
        | Collection::DeployTemplates
        | Collection::Runbooks
        | Collection::Drivers
        | Collection::Shards => &[],
    };
    matches!(key, "" | "id" | "version") || hidden.contains(&key)
}

/// `None`: neither `asc` nor `desc`.
pub(super) fn direction(query: &Query) -> Option<Direction> {
    match query.value("sort_dir") {
        None | Some("asc") => Some(Direction::Ascending),
        Some("desc") => Some(Direction::Descending),
        Some(_) => None,
    }
}

const CONDUCTOR: &str = "conductor";
const CONDUCTOR_SINCE: Microversion = Microversion::new(1, 49);

/// The conductor whose nodes alone are asked for (`_filter_by_conductor` of Ironic's `api/controllers/v1/node.py`). What is
/// no such filter, or one too many, is for Ironic to refuse or to pass over.
fn conductor<'r>(request: &'r Request, listing: &Listing<'_>) -> Option<&'r str> {
    let query = &request.query;
    query
        .value(CONDUCTOR)
        .filter(|host| !host.is_empty() && query.repeated(&[CONDUCTOR]).is_none())
        .filter(|_| listing.facts == Collection::Nodes.facts())
        .filter(|_| request.version >= CONDUCTOR_SINCE)
}

/// Where a member is among those that are read.
fn place_of(member: &'static str, noted: &mut Vec<&'static str>) -> usize {
    let known = noted.iter().position(|one| *one == member);
    known.unwrap_or_else(|| {
        noted.push(member);
        noted.len() - 1
    })
}

impl Wish {
    pub(super) fn new(
        request: &Request,
        listing: &Listing<'_>,
        direction: Direction,
        max_limit: usize,
    ) -> Result<Self, String> {
        let query = &request.query;
        let facts = listing.facts;
        let is_own = facts == listing.collection.facts();
        let sort_key = query
            .value("sort_key")
            .filter(|key| {
                if is_own {
                    !is_hidden(listing.collection, key)
                } else {
                    // A list with facts of its own, such as a node's history: the columns above are not its own.
                    !matches!(*key, "" | "id")
                }
            })
            .map(str::to_owned);
        let mut noted = request.review.noted.to_vec();
        let host = conductor(request, listing).map(str::to_owned);
        let only = host.map(|host| (place_of(CONDUCTOR, &mut noted), host));
        let read: Vec<&str> = [facts.id]
            .into_iter()
            .chain(sort_key.as_deref().filter(|key| *key != facts.id))
            .chain(only.as_ref().map(|_| CONDUCTOR))
            .collect();
        let bodies = Selection::new(request, facts, &read);
        // Ironic's collections alone take `fields`, a node's history does not.
        let keys = if is_own {
            Selection::of_keys(request, facts, &read)
        } else {
            None
        };
        let walk = match query.value(WALK) {
            None => None,
            Some(text) => {
                let name = WalkName::parse(text);
                Some(name.ok_or_else(|| format!("Unknown argument: {WALK}"))?)
            }
        };
        Ok(Self {
            limit: query.limit()?.unwrap_or(max_limit).min(max_limit),
            is_limited: query.value("limit").is_some(),
            marker: query
                .value("marker")
                // Its controller alone takes an empty one for none (`api/controllers/v1/inspection_rule.py`).
                .filter(|marker| {
                    !marker.is_empty() || listing.collection != Collection::InspectionRules
                })
                .map(str::to_owned),
            walk,
            direction,
            filters: query
                .without(PAGING)
                .without(&["sort_key", "sort_dir", "fields", "detail"])
                .without(if only.is_some() { &[CONDUCTOR] } else { &[] }),
            keys: keys.unwrap_or_else(|| bodies.clone()),
            bodies,
            sort_key,
            noted,
            only,
        })
    }

    /// With a filter, the number of items at a location says little about how many it will list.
    pub(super) fn is_filtered(&self) -> bool {
        !self.filters.is_empty() || self.only.is_some()
    }
}

impl Selection {
    /// Adds what the merge reads to what the client asks for.
    fn new(request: &Request, facts: &Facts, read: &[&str]) -> Self {
        let query = &request.query;
        let mut parameters = Query::default();
        for name in ["fields", "detail"] {
            for value in query.values(name) {
                parameters = parameters.with(name, value);
            }
        }
        let as_asked = Self {
            parameters,
            detail_path: false,
            shown: None,
            is_detailed: is_detailed(request),
        };
        let detailed = as_asked.is_detailed;
        let asked = query.fields();
        let mut shown: Vec<String> = match asked {
            // `fields` with `detail` is a 400 of Ironic's, which words it.
            _ if detailed => return as_asked,
            Some(asked) => asked,
            None if facts.default_fields.is_empty() => return as_asked,
            None => facts
                .default_fields
                .iter()
                .map(|&field| field.to_owned())
                .collect(),
        };
        let mut needed = shown.clone();
        shown.retain(|field| !request.review.unshown.contains(&field.as_str()));
        for &field in read {
            if !needed.iter().any(|known| known == field) {
                needed.push(field.to_owned());
            }
        }
        if needed.len() == shown.len() {
            return as_asked;
        }
        let selectable = request.version.minor >= FIELDS_SINCE;
        if !facts.selects(read) || !selectable {
            // `/detail` shows children that the plain list does not; where it is the only way there are no children.
            let by_parameter = request.version.minor >= DETAIL_SINCE;
            let parameters = Query::default();
            return Self {
                parameters: if by_parameter {
                    parameters.with("detail", "True")
                } else {
                    parameters
                },
                detail_path: !by_parameter,
                shown: Some(shown),
                is_detailed: true,
            };
        }
        let detail = query.value("detail");
        let mut parameters = Query::default().with("fields", needed.join(","));
        if let Some(detail) = detail {
            parameters = parameters.with("detail", detail);
        }
        Self {
            parameters,
            detail_path: false,
            shown: Some(shown),
            is_detailed: false,
        }
    }

    /// The smallest selection that shows what the merge reads; `None`: nothing less than the bodies does.
    fn of_keys(request: &Request, facts: &Facts, read: &[&str]) -> Option<Self> {
        let is_selectable = request.version.minor >= FIELDS_SINCE && facts.selects(read);
        if !is_selectable || has_detail_path(request) {
            return None;
        }
        Some(Self {
            parameters: Query::default().with("fields", read.join(",")),
            detail_path: false,
            shown: None,
            is_detailed: false,
        })
    }

    /// The members that items are written with; `None`: all.
    pub(super) fn shown(&self) -> Option<Vec<&str>> {
        let shown = self.shown.as_ref();
        shown.map(|fields| fields.iter().map(String::as_str).collect())
    }
}

fn has_detail_path(request: &Request) -> bool {
    let segments = request.target.segments();
    segments.last().is_some_and(|segment| segment == "detail")
}

fn is_detailed(request: &Request) -> bool {
    request.query.is_on("detail") || has_detail_path(request)
}
