//! Whose a thing is, asked now and never remembered: owners and lessees change.

use std::collections::HashMap;

use crate::api::collection::Collection;
use crate::api::microversion::Microversion;
use crate::api::query::Query;
use crate::api::rules::Rule;
use crate::federate::Error;
use crate::policy::targets::Target;
use crate::tenancy::case::Case;
use crate::tenancy::case::Errand;
use crate::tenancy::case::Resource;
use crate::tenancy::case::path;
use crate::tenancy::case::text;
use crate::tenancy::refusal;

pub(crate) const OWNER: Microversion = Microversion::new(1, 50);
pub(crate) const LESSEE: Microversion = Microversion::new(1, 65);
pub(crate) const ALLOCATION_OWNER: Microversion = Microversion::new(1, 60);
const CHILDREN: Microversion = Microversion::new(1, 83);

/// Whose a node is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holders {
    pub(crate) owner: Option<String>,
    pub(crate) lessee: Option<String>,
}

impl Holders {
    pub(crate) fn of(node: &Resource) -> Self {
        Self {
            owner: text(node, "owner").map(str::to_owned),
            lessee: text(node, "lessee").map(str::to_owned),
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
}

/// Something at a node.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) uuid: String,
    pub(crate) node: Node,
}

/// Something that has an owner of its own.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) uuid: String,
    pub(crate) owner: Option<String>,
    pub(crate) public: bool,
}

impl Owned {
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

impl Case<'_> {
    /// Members of a node that tell whose it is, as far as all locations have them. What has no owner is nobody's.
    fn holder_fields(&self) -> &'static str {
        match self.newest() {
            version if version >= LESSEE => "uuid,owner,lessee",
            version if version >= OWNER => "uuid,owner",
            _ => "uuid",
        }
    }

    /// `None`: nobody has it.
    pub(crate) async fn node(&self, ident: &str) -> Result<Option<Node>, Error> {
        let found = self
            .look_up(&["nodes", ident], self.holder_fields())
            .await?;
        Ok(found.and_then(|node| {
            Some(Node {
                uuid: text(&node, "uuid")?.to_owned(),
                holders: Holders::of(&node),
            })
        }))
    }

    pub(crate) fn sees(&self, holders: &Holders) -> bool {
        self.allows(Rule::NodeGet, &holders.target())
    }

    /// `None`: it is not there for this caller.
    pub(crate) async fn visible_node(&self, ident: &str) -> Result<Option<Node>, Error> {
        let node = self.node(ident).await?;
        Ok(node.filter(|node| self.sees(&node.holders)))
    }

    /// A node whose things a caller may list: Ironic asks whether it is his project's, whatever his roles.
    pub(crate) async fn listed_node(&self, ident: &str) -> Result<Node, Error> {
        let project = self.project().map(|project| project.id);
        let node = self.node(ident).await?.filter(|node| {
            let holders = &node.holders;
            let mine = holders.owner.as_deref() == project || holders.lessee.as_deref() == project;
            (project.is_some() && mine) || self.sees(holders)
        });
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
        let absent = || refusal::absent(collection, ident);
        let segments: Vec<&str> = collection.facts().path.split('/').chain([ident]).collect();
        let found = self.look_up(&segments, "uuid,node_uuid").await?;
        let part = found.ok_or_else(absent)?;
        let (Some(uuid), Some(node)) = (text(&part, "uuid"), text(&part, "node_uuid")) else {
            return Err(absent());
        };
        let node = self.visible_node(node).await?.ok_or_else(absent)?;
        Ok(Part {
            uuid: uuid.to_owned(),
            node,
        })
    }

    /// `None`: nobody has it.
    pub(crate) async fn allocation(&self, ident: &str) -> Result<Option<Owned>, Error> {
        let fields = if self.newest() >= ALLOCATION_OWNER {
            "uuid,owner"
        } else {
            "uuid"
        };
        self.owned(&["allocations", ident], fields).await
    }

    /// `None`: nobody has it.
    pub(crate) async fn runbook(&self, ident: &str) -> Result<Option<Owned>, Error> {
        self.owned(&["runbooks", ident], "uuid,owner,public").await
    }

    /// Ironic's 404 if there is none: runbooks are not hidden.
    pub(crate) async fn known_runbook(&self, ident: &str) -> Result<Owned, Error> {
        let runbook = self.runbook(ident).await?;
        runbook.ok_or_else(|| refusal::absent(Collection::Runbooks, ident))
    }

    async fn owned(&self, segments: &[&str], fields: &str) -> Result<Option<Owned>, Error> {
        let found = self.look_up(segments, fields).await?;
        Ok(found.and_then(|thing| {
            Some(Owned {
                uuid: text(&thing, "uuid")?.to_owned(),
                owner: text(&thing, "owner").map(str::to_owned),
                public: thing.get("public") == Some(&serde_json::Value::Bool(true)),
            })
        }))
    }

    /// All nodes that this project owns or leases, or those of them that `filter` names.
    pub(crate) async fn visible_nodes(
        &self,
        filter: Query,
    ) -> Result<HashMap<String, Holders>, Error> {
        let Some(project) = self.project() else {
            return Ok(HashMap::new());
        };
        let mut query = filter
            .with("project", project.id)
            .with("fields", self.holder_fields());
        if self.newest() >= CHILDREN && query.value("parent_node").is_none() {
            query = query.with("include_children", "true");
        }
        let mut nodes = HashMap::new();
        self.each_page("nodes", query, |node| {
            if let Some(uuid) = text(&node, "uuid") {
                nodes.insert(uuid.to_owned(), Holders::of(&node));
            }
        })
        .await?;
        Ok(nodes)
    }

    /// All items of a list, at the newest version, page by page.
    pub(crate) async fn each_page(
        &self,
        collection: &str,
        query: Query,
        mut each: impl FnMut(Resource),
    ) -> Result<(), Error> {
        let mut marker: Option<String> = None;
        loop {
            let query = match &marker {
                Some(marker) => query.clone().with("marker", marker),
                None => query.clone(),
            };
            let errand = Errand::get(path(&[collection]), query, self.newest());
            let Some(mut page) = self.read(errand).await? else {
                return Ok(());
            };
            let more = page.contains_key("next");
            let items = match page.remove(collection) {
                Some(serde_json::Value::Array(items)) => items,
                _ => Vec::new(),
            };
            let before = marker.clone();
            for item in items {
                if let serde_json::Value::Object(item) = item {
                    if let Some(uuid) = text(&item, "uuid") {
                        marker = Some(uuid.to_owned());
                    }
                    each(item);
                }
            }
            if !more || marker == before {
                return Ok(());
            }
        }
    }
}
