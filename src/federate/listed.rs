//! Which locations a list is read from: all, or the one that has the thing it is about.

use crate::api::collection::Collection;
use crate::api::collection::Facts;
use crate::api::collection::Spread;
use crate::api::link::Kind;
use crate::api::route;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::located::allocate::Allocations;
use crate::federate::merged::Lists;
use crate::federate::merged::listing::Listing;
use crate::federate::owner::Denial;
use crate::federate::owner::Member;
use crate::federate::owner::Next;
use crate::federate::united::United;
use crate::locate::LocateError;
use crate::request::Answer;
use crate::request::Request;

/// What a list contains.
#[derive(Clone, Copy, Debug)]
struct Items {
    collection: Collection,
    /// Those of the collection, but for a node's events.
    facts: &'static Facts,
}

impl Items {
    fn of(collection: Collection) -> Self {
        Self {
            collection,
            facts: collection.facts(),
        }
    }
}

/// A request for a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed<'a> {
    pub(super) federation: &'a Federation,
    pub(super) request: &'a Request,
}

impl Listed<'_> {
    /// A node's events.
    pub(super) async fn history(&self, node: &str) -> Result<Answer, Error> {
        let items = Items {
            collection: Collection::Nodes,
            facts: &HISTORY,
        };
        self.of(items, Member::node(node)).await
    }

    pub(super) async fn collection(&self, collection: Collection) -> Result<Answer, Error> {
        if collection == Collection::Drivers {
            return United {
                federation: self.federation,
                request: self.request,
            }
            .drivers()
            .await;
        }
        // A node or a portgroup in the query: only its location has items.
        let query = &self.request.query;
        let node = match collection {
            // Ironic prefers `node_uuid` if a request has both (`ironic/api/controllers/v1/port.py`).
            Collection::Ports => query.value("node_uuid").or_else(|| query.value("node")),
            Collection::Portgroups | Collection::VolumeConnectors | Collection::VolumeTargets => {
                query.value("node")
            }
            Collection::Allocations => {
                if let Some(node) = self.request.query.value("node") {
                    return Allocations {
                        federation: self.federation,
                        request: self.request,
                    }
                    .of_node(node)
                    .await;
                }
                None
            }
            _ => None,
        };
        let group = (query.value("portgroup")).filter(|_| collection == Collection::Ports);
        let named = node.map(Member::node).or_else(|| {
            group.map(|ident| Member {
                collection: Collection::Portgroups,
                ident,
            })
        });
        match named {
            // Nobody's owner can be looked for: all are asked for a name that no path can ask for.
            Some(named) if !route::is_name_alone(named.collection, named.ident) => {
                self.of(Items::of(collection), named).await
            }
            _ => self.all(collection).await,
        }
    }

    /// A list of what belongs to one thing is where that thing is.
    async fn of(&self, items: Items, of: Member<'_>) -> Result<Answer, Error> {
        let path = || self.request.target.path();
        let mut visit = match self
            .federation
            .visit(self.request, of.collection, of.ident)
            .await
        {
            Ok(visit) => visit,
            // One location's error about the unknown node is what one Ironic would answer.
            Err(Error::Locate(LocateError::Nobody { first, .. })) => {
                return self.at(items, path(), first).await;
            }
            Err(error) => return Err(error),
        };
        loop {
            let home = visit.location();
            let answer = self.at(items, path(), home).await;
            match Denial::in_answer(of.collection, &answer) {
                Some(denial) if visit.denied(denial).await? == Next::Again => {}
                _ => return answer,
            }
        }
    }

    /// A list that Ironic serves below a UUID only, such as `/v1/nodes/<uuid>/ports`.
    pub(super) async fn below(&self, of: Member<'_>, items: Collection) -> Result<Answer, Error> {
        let mut visit = self
            .federation
            .visit(self.request, of.collection, of.ident)
            .await?;
        let named = !visit.key.ident.is_uuid_like();
        loop {
            let home = visit.location();
            let mut path = self.request.target.path();
            if named {
                // Ironic 39 answers 404 "Portgroup None could not be found." to a name here. A remembered name may
                // meanwhile belong to another thing, so its location is asked.
                let uuid = match visit.owner.uuid {
                    Some(uuid) => Some(uuid),
                    None => {
                        self.federation
                            .locator
                            .identify(&self.request.asker, home, &visit.key)
                            .await?
                    }
                };
                match uuid {
                    Some(uuid) => {
                        path = self
                            .request
                            .target
                            .path_for(of.collection, &uuid.to_string());
                    }
                    None if visit.denied(Denial::Absent).await? == Next::Again => continue,
                    None => {}
                }
            }
            let answer = self.at(Items::of(items), path, home).await;
            match Denial::in_answer(of.collection, &answer) {
                Some(denial) if visit.denied(denial).await? == Next::Again => {}
                _ => return answer,
            }
        }
    }

    fn lists(&self) -> Lists<'_> {
        Lists {
            locations: &self.federation.locations,
            locator: &self.federation.locator,
            memory: &self.federation.walks,
            max_limit: self.federation.max_limit,
            links: self.federation.collection_links,
        }
    }

    pub(super) async fn all(&self, collection: Collection) -> Result<Answer, Error> {
        let listing = Listing {
            collection,
            path: self.request.target.path(),
            scope: self.federation.scope(self.request),
            facts: collection.facts(),
        };
        self.lists().page(self.request, &listing).await
    }

    async fn at(&self, items: Items, path: String, location: LocationId) -> Result<Answer, Error> {
        let listing = Listing {
            collection: items.collection,
            path,
            scope: vec![self.federation.locations.location(location)],
            facts: items.facts,
        };
        self.lists().page(self.request, &listing).await
    }
}

/// A node's events, in the location's order. Its `next` link is unusable, so the merge makes ours.
static HISTORY: Facts = Facts {
    path: "history",
    key: "history",
    noun: "Event",
    id: "uuid",
    default_fields: &[],
    detail_only: &[],
    name_since: None,
    spread: Spread::Located,
    kind: Kind::Plain,
};
