//! Nodes, and what is below one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Deref;

use bytes::Bytes;
use http::Method;
use http::StatusCode;

use crate::api::body::Object;
use crate::api::body::Patch;
use crate::api::body::Value as Member;
use crate::api::collection::Collection;
use crate::api::json;
use crate::api::microversion::Microversion;
use crate::api::query::Query;
use crate::api::rules::Rule;
use crate::auth::access::attributes;
use crate::auth::access::attributes::Change;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::located::create::PARENT_NODE_SINCE;
use crate::federate::located::home::home_of;
use crate::federate::objection::Objection;
use crate::federate::plan::Plan;
use crate::locate::LocateError;
use crate::policy::caller::Project;
use crate::policy::targets::Target;
use crate::request::Answer;
use crate::tenancy::case::Case;
use crate::tenancy::case::Errand;
use crate::tenancy::case::LESSEE;
use crate::tenancy::case::OWNER;
use crate::tenancy::case::path;
use crate::tenancy::facts::Holders;
use crate::tenancy::facts::Node;
use crate::tenancy::lists::Lists;
use crate::tenancy::masks::Sight;
use crate::tenancy::provision::Provision;
use crate::tenancy::refusal;
use crate::tenancy::resource;

/// From this version on a new node is in state `enroll`; before, it is `available` at once.
const ENROLL: Microversion = Microversion::new(1, 11);

/// Members that came after the first version and no later than `owner` (Ironic's `VERSIONED_FIELDS`): a body for an
/// older version that is sent at 1.50 must not get them in.
const YOUNG: &[(&str, i64)] = &[
    ("driver_internal_info", 3),
    ("name", 5),
    ("inspection_finished_at", 6),
    ("inspection_started_at", 6),
    ("clean_step", 7),
    ("raid_config", 12),
    ("target_raid_config", 12),
    ("network_interface", 20),
    ("resource_class", 21),
    ("boot_interface", 31),
    ("console_interface", 31),
    ("deploy_interface", 31),
    ("inspect_interface", 31),
    ("management_interface", 31),
    ("power_interface", 31),
    ("raid_interface", 31),
    ("vendor_interface", 31),
    ("storage_interface", 33),
    ("traits", 37),
    ("rescue_interface", 38),
    ("bios_interface", 40),
    ("fault", 42),
    ("deploy_step", 44),
    ("conductor_group", 46),
    ("automated_clean", 47),
    ("protected", 48),
    ("protected_reason", 48),
    ("conductor", 49),
    ("owner", 50),
];

/// Requests about nodes and what is below one.
pub(crate) struct Nodes<'c>(pub(crate) &'c Case<'c>);

impl<'c> Deref for Nodes<'c> {
    type Target = Case<'c>;

    fn deref(&self) -> &Case<'c> {
        self.0
    }
}

impl Nodes<'_> {
    /// Shows, changes or deletes one.
    pub(crate) async fn one_node(
        &self,
        ident: &str,
        rule: Rule,
        body: Bytes,
    ) -> Result<Answer, Error> {
        match self.request.method {
            Method::GET => self.show_node(ident).await,
            Method::PATCH => self.patch_node(ident, &body).await,
            _ => {
                let node = self.seen_node(ident).await?;
                if !self.may(rule, &node) {
                    let last = if self.own_nodes {
                        // Ironic's 403 names the rule that it tried last.
                        Rule::NodeDeleteSelfOwnedNode
                    } else {
                        rule
                    };
                    self.permit_at(last, &node)?;
                }
                self.below_node(&node, body).await
            }
        }
    }

    /// From 1.65 on the answer itself shows the holders; below, they are asked for first.
    async fn show_node(&self, ident: &str) -> Result<Answer, Error> {
        if self.request.version < LESSEE {
            return self.show_seen(ident).await;
        }
        let (query, strip) = self.request.query.with_fields(&["uuid", "owner", "lessee"]);
        let mut errand = self.errand(Bytes::new());
        errand.query = query;
        match self.send(errand).await {
            Ok(answer) if answer.status == StatusCode::OK => {
                let shown = resource::shown(&answer)?;
                let node = Node {
                    uuid: shown.text("uuid").unwrap_or_default().into_owned(),
                    holders: Holders::of(&shown),
                    at: answer.location,
                };
                let found = node.clone();
                // The caller's may be called so, too.
                match self.visible_node_or(ident, found).await? {
                    Some(seen) if seen.at == node.at => self.masked(answer, &node, &strip),
                    Some(seen) => self.show_at(&seen).await,
                    None => Err(refusal::absent(Collection::Nodes, ident)),
                }
            }
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => {
                Err(refusal::absent(Collection::Nodes, ident))
            }
            Err(Error::Locate(LocateError::Nobody { .. })) => {
                Err(refusal::absent(Collection::Nodes, ident))
            }
            // Two locations claim it, but the caller may see only one of them, and then it is unique.
            Err(Error::Locate(LocateError::Ambiguous { .. } | LocateError::Contested { .. })) => {
                self.show_seen(ident).await
            }
            // Ironic's 400 about the query would tell that a hidden node exists.
            other => {
                self.seen_node(ident).await?;
                other
            }
        }
    }

    async fn show_seen(&self, ident: &str) -> Result<Answer, Error> {
        let node = self.seen_node(ident).await?;
        self.show_at(&node).await
    }

    async fn show_at(&self, node: &Node) -> Result<Answer, Error> {
        let answer = self.below_node(node, Bytes::new()).await?;
        self.masked(answer, node, &[])
    }

    fn masked(
        &self,
        answer: Answer,
        whose: &Node,
        strip: &[&'static str],
    ) -> Result<Answer, Error> {
        if !answer.status.is_success() || answer.body.is_empty() {
            return Ok(answer);
        }
        let mut node = resource::shown(&answer)?;
        if !self.judges_itself(whose.at) {
            let target = whose.holders.target();
            let sight = Sight::of(self.rules, &self.caller, &target);
            sight.mask(&mut node).map_err(|_| Error::Unreadable)?;
        }
        for name in strip {
            node.remove(name);
        }
        Ok(resource::showing(answer, &node))
    }

    async fn patch_node(&self, ident: &str, body: &[u8]) -> Result<Answer, Error> {
        let mut patch = Patch::parse(body)?;
        // Parsed before the node is looked up: Ironic checks bodies before policy, so a bad patch is a 400 for a hidden
        // node too.
        let changes = patch.changes();
        let changes = changes.iter().map(|(path, value)| Change {
            path,
            value: value.as_ref(),
        });
        let rules = attributes::rules("nodes/{}", Rule::NodeUpdate, changes);
        let node = self.seen_node(ident).await?;
        for rule in rules {
            self.permit_at(rule, &node)?;
        }
        if patch.sets("/owner") && !self.may(Rule::NodeUpdateOwnerProvisioned, &node) {
            self.check_idle(&node).await?;
        }
        let mut parents = HashMap::new();
        for parent in patch.texts("/parent_node") {
            let uuid = self.parent(&parent, node.at).await?;
            parents.insert(parent, uuid);
        }
        // The one that was judged, whatever has its name by now.
        patch.rename("/parent_node", |parent| {
            let known = parents.get(parent).cloned();
            known.unwrap_or_else(|| parent.to_owned())
        });
        let answer = self.below_node(&node, patch.to_bytes()).await?;
        self.masked(answer, &node, &[])
    }

    /// A machine in use stays with its owner (`_patch` of `ironic/api/controllers/v1/node.py`).
    async fn check_idle(&self, node: &Node) -> Result<(), Error> {
        let query = Query::default().with("fields", "provision_state");
        let path = path(&["nodes", &node.uuid]);
        let errand = Errand::get(path, query, self.newest_at(node.at)).at(node.at);
        let shown = self.read(errand).await?;
        let shown = shown.ok_or_else(|| refusal::absent(Collection::Nodes, &node.uuid))?;
        if shown.says("provision_state", "active") {
            let uuid = &node.uuid;
            self.tell(Rule::NodeUpdateOwnerProvisioned.name(), Some(uuid));
            let text =
                format!("Cannot update owner of node \"{uuid}\" while it is in state \"active\".");
            return Err(Objection::Untimely(text).into());
        }
        Ok(())
    }

    /// The UUID of a parent, which is looked up where its child is: that is where it will be linked. A node that is hidden
    /// is refused as one is that is absent, before anything else could be found wrong: another location's is refused by
    /// this gateway, whatever the rest of the body says.
    async fn parent(&self, ident: &str, at: Option<LocationId>) -> Result<String, Error> {
        if ident.is_empty() {
            return Ok(String::new());
        }
        let found = self.visible_node_at(ident, at).await?;
        let found = found.ok_or_else(|| refusal::unlinkable("parent_node", ident))?;
        Ok(found.uuid)
    }

    async fn below_node(&self, node: &Node, body: Bytes) -> Result<Answer, Error> {
        let errand = self.errand(body).at(node.at);
        self.send_by(Collection::Nodes, &node.uuid, errand).await
    }

    /// A vendor's method of one, whose body only the driver reads.
    pub(crate) async fn vendors(&self, ident: &str, rule: Rule) -> Result<Plan, Error> {
        let node = self.seen_node(ident).await?;
        self.permit_at(rule, &node)?;
        let path = self.request.target.path_for(Collection::Nodes, &node.uuid);
        let errand = self.errand(Bytes::new()).at(node.at);
        self.plan(Errand { path, ..errand }).await
    }

    /// What is below one, under one rule.
    pub(crate) async fn at_node(
        &self,
        ident: &str,
        rule: Rule,
        body: Bytes,
    ) -> Result<Answer, Error> {
        let node = self.seen_node(ident).await?;
        let segments = self.request.target.segments();
        let below: Vec<&str> = segments[2..].iter().map(String::as_str).collect();
        match below[..] {
            ["states", "provision"] => return Provision(self.0).change(&node, &body).await,
            ["children"] => return self.children(&node).await,
            _ => self.permit_at(rule, &node)?,
        }
        if let ["history", event] = below[..] {
            self.check_event(&node, event).await?;
        }
        if let (["history"], Some(marker)) = (&below[..], self.request.query.value("marker")) {
            self.check_event(&node, marker).await?;
        }
        let has_body = !body.is_empty();
        let body = if has_body { canonical(&body) } else { body };
        self.below_node(&node, body).await
    }

    /// Ironic finds an event by its UUID alone (`get_node_history_by_uuid` of `ironic/db/sqlalchemy/api.py`), so
    /// `history/EVENT` would show another node's event below one's own. Here it has to be the node's own.
    async fn check_event(&self, node: &Node, event: &str) -> Result<(), Error> {
        let mut marker: Option<String> = None;
        loop {
            let mut query = Query::default();
            if let Some(marker) = &marker {
                query = query.with("marker", marker);
            }
            let errand = Errand::get(
                path(&["nodes", &node.uuid, "history"]),
                query,
                self.newest_at(node.at),
            )
            .at(node.at);
            let page = self.read(errand).await?.unwrap_or_default();
            let events = page.resources("history");
            if events.iter().any(|known| known.says("uuid", event)) {
                return Ok(());
            }
            let last = events.last().and_then(|known| known.text("uuid"));
            let last = last.map(Cow::into_owned);
            if page.raw("next").is_none() || last.is_none() || last == marker {
                return Err(Objection::Absent(format!(
                    "Node history record {event} could not be found."
                ))
                .into());
            }
            marker = last;
        }
    }

    /// The children of a node, as far as the caller may see them.
    async fn children(&self, node: &Node) -> Result<Answer, Error> {
        let answer = self.below_node(node, Bytes::new()).await?;
        let sees_all =
            self.judges_itself(node.at) || self.allows(Rule::NodeListAll, &Target::Nothing);
        if !answer.status.is_success() || sees_all {
            return Ok(answer);
        }
        if self.project().is_none() {
            return Err(self.deny(Rule::NodeListAll));
        }
        let filter = Query::default().with("parent_node", &node.uuid);
        // Where the node is its children are; who else is silent takes none of them away.
        let (visible, _) = self.visible_nodes_at(filter, node.at).await?;
        let mut body = resource::shown(&answer)?;
        if let Some(mut children) = body.elements("children") {
            children.retain(|child| {
                json::decode(child).is_some_and(|child| visible.get(node.at, &child).is_some())
            });
            body.set_list("children", children.iter().map(|child| &**child));
        }
        Ok(resource::showing(answer, &body))
    }

    /// A list of what is at one node: whoever sees the node sees it.
    pub(crate) async fn list_at_node(
        &self,
        ident: &str,
        all: Rule,
        own: Rule,
    ) -> Result<Answer, Error> {
        let node = self.seen_node(ident).await?;
        if !self.judges_itself(node.at) && !self.allows(all, &Target::Nothing) {
            self.permit(own, &Target::Nothing)?;
        }
        // Ironic does not check that the port group belongs to the node in the path.
        if let [_, _, portgroups, group, _] = self.request.target.segments()
            && portgroups == "portgroups"
        {
            let part = self.seen_part(Collection::Portgroups, group).await?;
            if part.node.uuid != node.uuid {
                return Err(refusal::absent(Collection::Portgroups, group));
            }
        }
        Lists(self.0).check_marker_below(&node).await?;
        let answer = self.below_node(&node, Bytes::new()).await?;
        Lists(self.0).mask_targets(answer)
    }

    /// `/nodes/validate?node=`
    pub(crate) async fn validate(&self, rule: Rule) -> Result<Answer, Error> {
        let query = &self.request.query;
        let name = if query.value("node_uuid").is_some() {
            "node_uuid"
        } else {
            "node"
        };
        let node = self
            .seen_node(query.value(name).unwrap_or_default())
            .await?;
        self.permit_at(rule, &node)?;
        let mut errand = self.errand(Bytes::new()).at(node.at);
        errand.query = query.without(&["node", "node_uuid"]).with(name, node.uuid);
        self.send(errand).await
    }

    pub(crate) async fn new_node(&self, body: &[u8]) -> Result<Answer, Error> {
        // Ironic tries this rule first; its default lets role admin or service of any scope through.
        let own = self.own_nodes && self.allows(Rule::NodeCreateSelfOwnedNode, &Target::Nothing);
        let mut object = Object::parse("node", body)?;
        // Where it would go. What is wrong with that is told after the policy.
        let home = home_of(self.federation, self.request, &mut object.clone()).ok();
        let home = home.map(|home| home.location).or(self.request.pinned);
        if self.judges_itself(home) {
            // With the client's token the location gives the node to its project, if it may.
            if !own {
                self.leave(Rule::NodeCreate, &Target::Nothing);
            }
            if let Some(parent) = parent_of(&object, self.request.version) {
                let uuid = self.parent(&parent, home).await?;
                object.set("parent_node", &uuid);
            }
            return self.send(self.errand(object.to_bytes())).await;
        }
        if !own {
            self.permit(Rule::NodeCreate, &Target::Nothing)?;
        }
        if self.is_too_old(home) {
            return Err(refusal::invalid(
                "This conductor group is at a location whose API is older than 1.65: projects cannot own nodes there.",
            ));
        }
        let Some(project) = self.project().filter(|_| own) else {
            let answer = self.send(self.errand(object.to_bytes())).await?;
            let holders = Holders {
                owner: object.text("owner"),
                lessee: object.text("lessee"),
            };
            return self.masked_new(answer, holders);
        };
        let version = self.request.version;
        if is_too_young(&object, version) {
            // It is for the location to refuse, in its words and after its schema: nothing is added, nor lifted.
            return self.new_old_node(&object, project).await;
        }
        let wanted = object.text("owner").filter(|owner| !owner.is_empty());
        if wanted.is_some_and(|wanted| wanted != project.id) {
            return Err(refusal::invalid(
                "Cannot create a node as a project scoped admin with an owner other than your own project.",
            ));
        }
        if let Some(parent) = parent_of(&object, version) {
            let node = self.visible_node_at(&parent, home).await?;
            // Ironic's `authorize_node_link`: parent and child must have the same owner.
            let mine = node.filter(|node| node.holders.owner.as_deref() == Some(project.id));
            let node = mine.ok_or_else(|| refusal::unlinkable("parent_node", &parent))?;
            object.set("parent_node", &node.uuid);
        }
        // An owner that is no text is for the location to refuse too, but not before the parent is judged: where it is
        // would tell that it exists.
        if version < ENROLL || object.value("owner") == Member::Other {
            return self.new_old_node(&object, project).await;
        }
        object.set("owner", project.id);
        let mut errand = self.errand(object.to_bytes());
        errand.version = version.max(OWNER);
        let answer = self.send(errand).await?;
        if refusal::is_refused_owner(&answer) {
            // An Ironic with `noauth` sees no system scope and refuses an owner in the body; a PATCH may set it.
            object.remove("owner");
            return self.new_old_node(&object, project).await;
        }
        let answer = self
            .at_the_client_s_version(answer, Collection::Nodes, version < OWNER)
            .await?;
        let holders = Holders {
            owner: Some(project.id.to_owned()),
            lessee: object.text("lessee"),
        };
        self.masked_new(answer, holders)
    }

    fn masked_new(&self, answer: Answer, holders: Holders) -> Result<Answer, Error> {
        let node = Node {
            // Masking looks at the holders only.
            uuid: String::new(),
            holders,
            at: answer.location,
        };
        self.masked(answer, &node, &[])
    }

    /// Creates a node and then sets its owner, or deletes it: a version that makes nodes available at once cannot be
    /// lifted to one that names the owner.
    async fn new_old_node(&self, object: &Object, project: Project<'_>) -> Result<Answer, Error> {
        let errand = self.errand(object.to_bytes());
        self.make_and_give(errand, Collection::Nodes, project).await
    }
}

fn parent_of(node: &Object, version: Microversion) -> Option<String> {
    let parent = node.text("parent_node")?;
    (version >= PARENT_NODE_SINCE && !parent.is_empty()).then_some(parent)
}

/// Whether Ironic refuses a member of a new node at this version (`reject_fields_in_newer_versions` of
/// `ironic/api/controllers/v1/node.py`): whatever it says but null, or "" for the conductor group.
fn is_too_young(node: &Object, version: Microversion) -> bool {
    YOUNG.iter().any(|(name, minor)| {
        let is_blank = match node.value(name) {
            Member::Absent => true,
            Member::Null => *name != "conductor_group",
            Member::Text(text) => text.is_empty() && *name == "conductor_group",
            Member::Other => false,
        };
        version < Microversion::new(1, *minor) && !is_blank
    })
}

/// The body as Ironic reads it: Python's `json` takes the last of duplicate members. Anything but an object is
/// unchanged.
fn canonical(body: &Bytes) -> Bytes {
    Object::parse("body", body).map_or_else(|_| body.clone(), |object| object.to_bytes())
}
