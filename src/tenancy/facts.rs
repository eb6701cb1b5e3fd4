//! Who owns or leases a thing. Always asked, never cached: owners and lessees change.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::HashMap;

use crate::api::collection::Collection;
use crate::api::query::Query;
use crate::api::rules::Rule;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::fan_out::tolerate;
use crate::federate::merged::marker::onward;
use crate::locations::walk::CHILDREN_SINCE;
use crate::locations::walk::with_children;
use crate::locations::window::ask_all;
use crate::policy::targets::Target;
use crate::request::Missing;
use crate::request::join;
use crate::tenancy::case::Case;
use crate::tenancy::case::Errand;
use crate::tenancy::case::Found;
use crate::tenancy::case::LESSEE;
use crate::tenancy::case::known_in;
use crate::tenancy::case::path;
use crate::tenancy::page::Page;
use crate::tenancy::refusal;
use crate::tenancy::resource::Resource;
use crate::tenancy::sought::Search;
use crate::tenancy::sought::Sighted;
use crate::tenancy::sought::Sought;

/// Members of a node that say whose it is.
const HOLDERS: &str = "uuid,owner,lessee";

/// Whose a node is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Holders {
    pub(crate) owner: Option<String>,
    pub(crate) lessee: Option<String>,
}

impl Holders {
    pub(crate) fn of(node: &Resource) -> Self {
        Self {
            owner: node.text("owner").map(Cow::into_owned),
            lessee: node.text("lessee").map(Cow::into_owned),
        }
    }

    pub(crate) fn target(&self) -> Target<'_> {
        Target::Node {
            owner: self.owner.as_deref(),
            lessee: self.lessee.as_deref(),
        }
    }
}

/// A node that was looked up.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) uuid: String,
    pub(crate) holders: Holders,
    /// Where it was found.
    pub(crate) at: Option<LocationId>,
}

impl Node {
    fn of(found: &Found) -> Option<Self> {
        Some(Self {
            uuid: found.resource.text("uuid")?.into_owned(),
            holders: Holders::of(&found.resource),
            at: found.at,
        })
    }
}

impl Sighted for Node {
    const FIELDS: &str = HOLDERS;

    async fn read(_: &Case<'_>, found: Found) -> Result<Option<Self>, Error> {
        Ok(Self::of(&found))
    }

    fn at(&self) -> Option<LocationId> {
        self.at
    }
}

/// Something at a node.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) uuid: String,
    pub(crate) node: Node,
}

impl Sighted for Part {
    const FIELDS: &str = "uuid,node_uuid";

    async fn read(case: &Case<'_>, Found { resource, at }: Found) -> Result<Option<Self>, Error> {
        let (Some(uuid), Some(node)) = (resource.text("uuid"), resource.text("node_uuid")) else {
            return Ok(None);
        };
        // The node is asked for at the part's own location: another one could claim its UUID with another owner.
        let node = case.node_beside(&node, at).await?;
        let uuid = uuid.into_owned();
        Ok(node.map(|node| Self { uuid, node }))
    }

    fn at(&self) -> Option<LocationId> {
        self.node.at
    }
}

/// Nodes that a caller sees in lists, by location: another location's node of the same UUID may be someone else's.
#[derive(Debug, Default)]
pub(crate) struct Visible(HashMap<(LocationId, String), Holders>);

impl Visible {
    pub(crate) fn get(&self, at: Option<LocationId>, uuid: &str) -> Option<&Holders> {
        self.0.get(&(at?, uuid.to_owned()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of each location, in an order that stays.
    pub(crate) fn by_location(&self) -> Vec<(LocationId, Vec<&str>)> {
        let mut homes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (at, uuid) in self.0.keys() {
            homes.entry(*at).or_default().push(uuid.as_str());
        }
        for nodes in homes.values_mut() {
            nodes.sort_unstable();
        }
        homes.into_iter().collect()
    }
}

impl FromIterator<((LocationId, String), Holders)> for Visible {
    fn from_iter<I: IntoIterator<Item = ((LocationId, String), Holders)>>(nodes: I) -> Self {
        Self(nodes.into_iter().collect())
    }
}

/// Something that has an owner of its own.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) uuid: String,
    pub(crate) owner: Option<String>,
    pub(crate) public: bool,
    /// Where it was found: copies of what is the same everywhere may differ in whose they are.
    pub(crate) at: Option<LocationId>,
}

impl Owned {
    pub(crate) fn of(found: &Found) -> Option<Self> {
        let thing = &found.resource;
        Some(Self {
            uuid: thing.text("uuid")?.into_owned(),
            owner: thing.text("owner").map(Cow::into_owned),
            public: thing.is_true("public"),
            at: found.at,
        })
    }

    pub(crate) fn allocation(&self) -> Target<'_> {
        Target::Allocation {
            owner: self.owner.as_deref(),
        }
    }

    pub(crate) fn runbook(&self) -> Target<'_> {
        Target::Runbook {
            owner: self.owner.as_deref(),
        }
    }
}

/// An allocation.
impl Sighted for Owned {
    const FIELDS: &str = "uuid,owner";

    async fn read(_: &Case<'_>, found: Found) -> Result<Option<Self>, Error> {
        Ok(Self::of(&found))
    }

    fn at(&self) -> Option<LocationId> {
        self.at
    }
}

impl<'c> Case<'c> {
    fn search<'s>(&'s self, thing: (Collection, &'s str)) -> Search<'s, 'c> {
        Search { case: self, thing }
    }

    fn sees(&self, node: &Node) -> bool {
        self.may(Rule::NodeGet, node)
    }

    /// The audit is told of what is hidden, once no other one was meant.
    fn told_of_node(&self, sought: Sought<Node>) -> Option<Node> {
        if let Sought::Hidden(node) = &sought {
            self.tell(Rule::NodeGet.name(), Some(&node.uuid));
        }
        sought.one()
    }

    /// What the rules say of a node, or its location does, if that gets the user's token.
    pub(crate) fn may(&self, rule: Rule, node: &Node) -> bool {
        self.judges_itself(node.at) || self.allows(rule, &node.holders.target())
    }

    /// Ironic's 403 unless the caller may.
    pub(crate) fn permit_at(&self, rule: Rule, node: &Node) -> Result<(), Error> {
        if self.may(rule, node) {
            if self.judges_itself(node.at) {
                self.leave(rule, &node.holders.target());
            }
            Ok(())
        } else {
            Err(self.deny_at(rule, &node.uuid))
        }
    }

    /// `None`: it is not there for this caller.
    pub(crate) async fn visible_node(&self, ident: &str) -> Result<Option<Node>, Error> {
        self.visible_node_at(ident, None).await
    }

    /// The same at one location, if one is named.
    pub(crate) async fn visible_node_at(
        &self,
        ident: &str,
        at: Option<LocationId>,
    ) -> Result<Option<Node>, Error> {
        let thing = (Collection::Nodes, ident);
        let sought = self.search(thing).seek(at, |node| self.sees(node)).await?;
        Ok(self.told_of_node(sought))
    }

    /// The same where this one was found, by the client's own question.
    pub(crate) async fn visible_node_or(
        &self,
        ident: &str,
        found: Node,
    ) -> Result<Option<Node>, Error> {
        let sees = |node: &Node| self.sees(node);
        let sought = if sees(&found) {
            Sought::One(found)
        } else {
            let thing = (Collection::Nodes, ident);
            let owners = Vec::from_iter(found.at);
            let beside = self.search(thing).seek_beside(&owners, sees).await?;
            Sought::Hidden(found).or(beside)
        };
        Ok(self.told_of_node(sought))
    }

    /// Owned or leased by the caller's project, whatever the roles.
    pub(crate) fn is_of_project(&self, node: &Node) -> bool {
        self.project().is_some_and(|project| {
            let held_by = |holder: &Option<String>| holder.as_deref() == Some(project.id);
            held_by(&node.holders.owner) || held_by(&node.holders.lessee)
        })
    }

    /// `None`: there is none that is of the caller's project, or that a location shows which judges itself.
    pub(crate) async fn node_of_project(&self, ident: &str) -> Result<Option<Node>, Error> {
        let is_meant = |node: &Node| self.is_of_project(node) || self.judges_itself(node.at);
        let sought = self.search((Collection::Nodes, ident)).seek(None, is_meant);
        Ok(sought.await?.one())
    }

    /// A node whose things a caller may list: Ironic checks only whether it is the project's, not the roles.
    pub(crate) async fn listed_node(&self, ident: &str) -> Result<Node, Error> {
        self.listed_node_at(ident, None).await
    }

    /// The same, at the location that a marker names.
    pub(crate) async fn listed_node_at(
        &self,
        ident: &str,
        at: Option<LocationId>,
    ) -> Result<Node, Error> {
        let is_meant = |node: &Node| self.is_of_project(node) || self.sees(node);
        let sought = self
            .search((Collection::Nodes, ident))
            .seek(at, is_meant)
            .await?;
        let node = self.told_of_node(sought);
        node.ok_or_else(|| refusal::absent(Collection::Nodes, ident))
    }

    /// Ironic's 404 if it is not there for this caller.
    pub(crate) async fn seen_node(&self, ident: &str) -> Result<Node, Error> {
        let node = self.visible_node(ident).await?;
        node.ok_or_else(|| refusal::absent(Collection::Nodes, ident))
    }

    /// A port, a port group, a connector or a target, if its node can be seen.
    pub(crate) async fn seen_part(
        &self,
        collection: Collection,
        ident: &str,
    ) -> Result<Part, Error> {
        let is_meant = |part: &Part| self.sees(&part.node);
        let sought = self
            .search((collection, ident))
            .seek(None, is_meant)
            .await?;
        if let Sought::Hidden(part) = &sought {
            self.tell(Rule::NodeGet.name(), Some(&part.node.uuid));
        }
        let absent = || refusal::absent(collection, ident);
        sought.one().ok_or_else(absent)
    }

    /// A node at the location that spoke of it.
    async fn node_beside(&self, uuid: &str, at: Option<LocationId>) -> Result<Option<Node>, Error> {
        let errand = self.looking((Collection::Nodes, uuid), HOLDERS, at);
        let found = self.read(errand).await?;
        Ok(found.and_then(|resource| Node::of(&Found { resource, at })))
    }

    /// The one that the caller may know of.
    pub(crate) async fn visible_allocation(&self, ident: &str) -> Result<Option<Owned>, Error> {
        let is_meant = |found: &Owned| {
            self.judges_itself(found.at) || self.allows(Rule::AllocationGet, &found.allocation())
        };
        let sought = self
            .search((Collection::Allocations, ident))
            .seek(None, is_meant);
        Ok(sought.await?.one())
    }

    /// All nodes that this project owns or leases, or those of them that match `filter`, and the locations that were
    /// not asked.
    pub(crate) async fn visible_nodes(&self, filter: Query) -> Result<(Visible, Missing), Error> {
        self.visible_nodes_at(filter, None).await
    }

    /// The same at one location.
    pub(crate) async fn visible_nodes_at(
        &self,
        filter: Query,
        at: Option<LocationId>,
    ) -> Result<(Visible, Missing), Error> {
        let mut nodes = Visible::default();
        let Some(project) = self.project() else {
            return Ok((nodes, Missing::new()));
        };
        let errand = |at| {
            let version = self.newest_at(at);
            // Exactly `owner == project or lessee == project` at every version, ANDed with other filters (run on Ironic
            // 39).
            let query = filter.clone().with("project", project.id);
            let query = query.with(
                "fields",
                known_in(version, Collection::Nodes, HOLDERS).join(","),
            );
            // Ports of a child are visible all the same.
            let query = with_children(query, version);
            Errand::get(path(&["nodes"]), query, version).at(at)
        };
        let mut take = |found: Found| {
            if let (Some(at), Some(node)) = (found.at, Node::of(&found)) {
                nodes.0.insert((at, node.uuid), node.holders);
            }
        };
        let mut missing = self.each_of(errand(at), "nodes", &mut take).await?;
        // Who knows children leaves them out of a question in an older version, and who knows lessees does not tell them.
        let is_beside = |home: &LocationId| {
            let (common, own) = (self.newest_at(None), self.newest_at(Some(*home)));
            at.or(self.request.pinned).is_none()
                && [LESSEE, CHILDREN_SINCE]
                    .into_iter()
                    .any(|since| common < since && own >= since)
        };
        let errand = &errand;
        let asked = self.locations().filter(is_beside).map(|home| async move {
            let mut found = Vec::new();
            let each = |one| found.push(one);
            let told = self.each_of(errand(Some(home)), "nodes", each).await;
            told.map(|_| found)
        });
        let mut silent = Vec::new();
        for told in ask_all(asked).await {
            match told {
                Ok(found) => found.into_iter().for_each(&mut take),
                Err(Error::Silent(more)) => silent.extend(more),
                Err(error) => return Err(error),
            }
        }
        let locations = &self.federation.locations;
        let silent = tolerate(locations, self.request, locations.iter().len(), silent)?;
        join(
            &mut missing,
            silent.iter().map(|one| (one.location, one.reason)),
        );
        Ok((nodes, missing))
    }

    /// All items of a list, page by page, and which locations any page lacked; `key`: where the items stand.
    pub(crate) async fn each_of(
        &self,
        errand: Errand,
        key: &str,
        mut each: impl FnMut(Found),
    ) -> Result<Missing, Error> {
        let mut begin = Query::default();
        let mut missing = Missing::new();
        loop {
            let query = errand.query.clone().and(&begin);
            let errand = Errand {
                query,
                ..errand.clone()
            };
            let mut page = Page::of(self.send(errand).await?, key)?;
            let next = page.next.take().and_then(|next| onward(&next));
            join(&mut missing, page.missing());
            page.items.into_iter().for_each(&mut each);
            // A `next` with the marker that was just sent would never end.
            match next.filter(|next| next.value("marker") != begin.value("marker")) {
                Some(next) => begin = next,
                None => return Ok(missing),
            }
        }
    }
}
