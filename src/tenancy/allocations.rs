//! Allocations: each has an owner of its own, and takes only nodes that its owner owns or leases.

use std::ops::Deref;

use bytes::Bytes;
use http::Method;

use crate::api::body::Object;
use crate::api::body::Value;
use crate::api::collection::Collection;
use crate::api::microversion::Microversion;
use crate::api::query::Query;
use crate::api::rules::Rule;
use crate::config::LocationId;
use crate::federate::Error;
use crate::policy::targets::Target;
use crate::request::Answer;
use crate::tenancy::case::ALLOCATION_OWNER;
use crate::tenancy::case::Case;
use crate::tenancy::case::Errand;
use crate::tenancy::case::path;
use crate::tenancy::refusal;

/// From here on an allocation may be made for a node that is in use.
const BACKFILL: Microversion = Microversion::new(1, 58);

/// Requests about allocations.
pub(crate) struct Allocations<'c>(pub(crate) &'c Case<'c>);

impl<'c> Deref for Allocations<'c> {
    type Target = Case<'c>;

    fn deref(&self) -> &Case<'c> {
        self.0
    }
}

impl Allocations<'_> {
    pub(crate) async fn one_allocation(
        &self,
        ident: &str,
        rule: Rule,
        body: Bytes,
    ) -> Result<Answer, Error> {
        let found = self.visible_allocation(ident).await?;
        let allocation = found.ok_or_else(|| refusal::absent(Collection::Allocations, ident))?;
        if self.judges_itself(allocation.at) {
            self.leave(rule, &allocation.allocation());
        } else {
            self.permit(rule, &allocation.allocation())?;
        }
        let errand = self.errand(body).at(allocation.at);
        self.send_by(Collection::Allocations, &allocation.uuid, errand)
            .await
    }

    /// `/nodes/{}/allocation`
    pub(crate) async fn allocation_of(&self, ident: &str, rule: Rule) -> Result<Answer, Error> {
        let node = match self.visible_node(ident).await? {
            Some(node) => node,
            // Ironic words the GET of an unseen node differently from the DELETE.
            None if self.request.method == Method::GET => return Err(refusal::no_resource()),
            None => return Err(refusal::absent(Collection::Nodes, ident)),
        };
        let mut errand = self.errand(Bytes::new());
        errand.path = path(&["nodes", &node.uuid, "allocation"]);
        let found = self
            .read(
                Errand::get(
                    errand.path.clone(),
                    Query::default(),
                    self.newest_at(node.at),
                )
                .at(node.at),
            )
            .await?;
        // Without an allocation there is nothing to judge, and the location's own 404 is the answer.
        if let Some(found) = found.filter(|_| !self.judges_itself(node.at)) {
            let owner = found.text("owner");
            let target = Target::Allocation {
                owner: owner.as_deref(),
            };
            self.permit(rule, &target)?;
        }
        self.send(errand.at(node.at)).await
    }

    pub(crate) async fn new_allocation(&self, body: &[u8]) -> Result<Answer, Error> {
        let mut object = Object::parse("allocation", body)?;
        let project = self.project();
        let wanted = object.text("owner").filter(|owner| !owner.is_empty());
        // The rule that lets a caller name another owner; by default only role service with elevated access passes it.
        let restricted = self.allows(Rule::AllocationCreateRestricted, &Target::Nothing);
        if let Some(errand) = self.for_judges(&object, restricted).await? {
            return self.send(errand).await;
        }
        if let Some(rule) = self.forbidden(wanted.as_deref(), restricted) {
            return Err(self.deny(rule));
        }
        let Some(project) = project else {
            // Candidates are looked up by the project, so of the system's all are.
            let placed = self.check_candidates(&mut object, true).await?;
            let mut errand = self.errand(object.to_bytes());
            errand.placed = placed;
            return self.send(errand).await;
        };
        // Ironic's schema refuses an owner that is no text, first of all.
        let is_refused = object.value("owner") == Value::Other;
        if object.contains("owner") && !is_refused && self.request.version < ALLOCATION_OWNER {
            // Below 1.60 `owner` is no member of the body.
            return Err(refusal::too_new());
        }
        if object.contains("node") && self.request.version < BACKFILL {
            // The schema of that version, which the one that the owner is sent at has no more.
            return Err(refusal::invalid(
                "Schema error for allocation: Additional properties are not allowed ('node' was unexpected)",
            ));
        }
        match (&wanted, restricted) {
            (Some(wanted), false) if wanted != project.id => {
                self.tell(Rule::AllocationCreateRestricted.name(), None);
                return Err(refusal::forbidden(format!(
                    "Cannot create allocation with an owner Project ID value {wanted} not matching the requester \
                     Project ID {}. Policy baremetal:allocation:create_restricted is required for this capability.",
                    project.id
                )));
            }
            (Some(_), _) => {}
            // The conductor takes only nodes of the allocation's owner, so with it the location chooses right
            // (`ironic/conductor/allocations.py`).
            (None, _) if is_refused => {}
            (None, _) => object.set("owner", project.id),
        }
        let placed = self.check_candidates(&mut object, restricted).await?;
        let mut errand = self.errand(object.to_bytes());
        errand.placed = placed;
        // Ironic fills the owner in for clients of any version; with our credential it has to be sent, which needs
        // 1.60.
        let lifted = errand.version < ALLOCATION_OWNER;
        if lifted {
            errand.version = ALLOCATION_OWNER;
        }
        let answer = self.send(errand).await?;
        self.at_the_client_s_version(answer, Collection::Allocations, lifted)
            .await
    }

    fn are_for_judges(&self, placed: &[(String, LocationId)]) -> bool {
        let mut at = placed.iter().map(|(_, at)| *at);
        !placed.is_empty() && at.all(|at| self.judges_itself(Some(at)))
    }

    /// The rule of ours that forbids the create, in the order of `_authorize_create_allocation`
    /// (`ironic/api/controllers/v1/allocation.py`): who may not create at all may still pass the restricted rule, but not
    /// for another project.
    fn forbidden(&self, wanted: Option<&str>, restricted: bool) -> Option<Rule> {
        if self.allows(Rule::AllocationCreate, &Target::Nothing) {
            return None;
        }
        let project = self.project();
        let other = wanted.is_some_and(|wanted| project.is_some_and(|one| one.id != wanted));
        if other {
            Some(Rule::AllocationCreate)
        } else {
            (!restricted).then_some(Rule::AllocationCreateRestricted)
        }
    }

    /// The create, as the client wants it, for locations that judge the caller themselves: if all nodes that it names
    /// are at such, or if it names none and may be made nowhere else.
    async fn for_judges(&self, object: &Object, restricted: bool) -> Result<Option<Errand>, Error> {
        if !self.has_judges() {
            return Ok(None);
        }
        let forbidden = self.forbidden(object.text("owner").as_deref(), restricted);
        let mut object = object.clone();
        let names_nodes = object.is_true("node") || object.is_true("candidate_nodes");
        let placed = if self.judges_itself(self.request.pinned) {
            Vec::new()
        } else if names_nodes {
            match self.check_candidates(&mut object, restricted).await {
                Ok(placed) if self.are_for_judges(&placed) => placed,
                Err(error) if forbidden.is_none() => return Err(error),
                // Our own policy comes before what is wrong with the nodes.
                Ok(_) | Err(_) => return Ok(None),
            }
        } else if forbidden.is_none() {
            return Ok(None);
        } else {
            Vec::new()
        };
        if let Some(rule) = forbidden {
            self.leave(rule, &Target::Nothing);
        }
        let mut errand = self.errand(object.to_bytes());
        errand.placed = placed;
        errand.is_for_judges = true;
        Ok(Some(errand))
    }

    /// Nodes in the body must be visible to the caller; they are sent by UUID, so that a rename in between changes
    /// nothing. Where each was found is told too: another location may claim the same UUID for somebody else.
    async fn check_candidates(
        &self,
        object: &mut Object,
        restricted: bool,
    ) -> Result<Vec<(String, LocationId)>, Error> {
        let mut placed = Vec::new();
        if let Value::Text(ident) = object.value("node")
            && !ident.is_empty()
        {
            let node = self.visible_node(&ident).await?;
            let node = node.ok_or_else(|| refusal::no_such_node(&ident))?;
            object.set("node", &node.uuid);
            placed.extend(node.at.map(|at| (node.uuid, at)));
        }
        let Some(candidates) = object.texts("candidate_nodes").filter(|_| !restricted) else {
            return Ok(placed);
        };
        let (mut uuids, mut lost) = (Vec::new(), Vec::new());
        for ident in candidates {
            // Ironic looks candidates up with the project as a filter, so roles do not matter here.
            match self.node_of_project(&ident).await? {
                Some(node) => {
                    placed.extend(node.at.map(|at| (node.uuid.clone(), at)));
                    uuids.push(node.uuid);
                }
                None => lost.push(ident),
            }
        }
        if !lost.is_empty() {
            return Err(refusal::invalid(format!(
                "Nodes cannot be found: {}",
                lost.join(", ")
            )));
        }
        object.set("candidate_nodes", &uuids);
        Ok(placed)
    }
}
