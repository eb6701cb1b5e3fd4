//! Who may do what: the rules in force, applied to a request.
//!
//! The gateway goes to a location with a credential that may do everything there, so this is the only gate. What a rule
//! says of owners and lessees has to be asked of the location first; until that is done for a request, whatever depends
//! on it is denied.

pub mod attributes;
mod beside;

use std::sync::Arc;
use std::sync::OnceLock;

use thiserror::Error;

use crate::api::route::table::About;
use crate::api::route::table::Row;
use crate::api::rules::Rule;
use crate::auth::access::attributes::Change;
use crate::auth::identity::Identity;
use crate::config::PolicyConfig;
use crate::config::ProjectScoped;
use crate::policy::caller::Caller;
use crate::policy::caller::Scope;
use crate::policy::in_force::Policy;
use crate::policy::in_force::Rules;
use crate::policy::language::Verdict;
use crate::policy::targets::Target;

/// Routes that a newer Ironic may have are for those who may do everything.
pub const UNKNOWN: &str = "baremetal:unknown_route";

/// The rule that forbids it, in the words of Ironic's `HTTPForbidden`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("Access was denied to the following resource: {policy}")]
pub struct Denied {
    pub policy: &'static str,
}

impl From<Rule> for Denied {
    fn from(rule: Rule) -> Self {
        Self {
            policy: rule.name(),
        }
    }
}

/// The rules in force, and what the configuration says of whom they are for.
#[derive(Debug)]
pub struct Gate {
    policy: Arc<Policy>,
    projects: ProjectScoped,
    /// Admins of projects may enroll nodes.
    own_nodes: bool,
    /// Who is of a project may know where things are.
    tells_location: bool,
}

/// How far the rules let a request.
#[derive(Debug)]
pub enum Passage {
    /// Whatever it is about.
    Whole,
    /// It depends on what it is about.
    ByThing(Judged),
}

/// What is needed to judge a request by the thing that it is about.
#[derive(Debug)]
pub struct Judged {
    /// The same ones for a whole request.
    pub rules: Arc<Rules>,
    /// `None`: no route that we know.
    pub row: Option<&'static Row>,
    /// `[api] project_admin_can_manage_own_nodes`
    pub own_nodes: bool,
    /// The rule that hides or forbids it, once one does.
    pub denied: OnceLock<&'static str>,
}

/// How somebody is looked at.
enum Standing<'a> {
    /// Without Keystone Ironic has no policies at all; admins of the time before scopes.
    Everything,
    /// As the rules have it, without things that belong to somebody.
    Ruled(Caller<'a>),
    /// As the rules have it, thing by thing.
    Tenant,
    /// Not at all.
    Nothing(Caller<'a>),
}

impl Gate {
    pub fn new(config: &PolicyConfig, policy: Arc<Policy>) -> Self {
        Self {
            policy,
            projects: config.project_scoped_access,
            own_nodes: config.own_nodes,
            tells_location: config.tell_location,
        }
    }

    /// Whether this identity may use this route; `None` is one that we do not know. A patch of a node or a runbook is
    /// judged by [`Self::check_patch`] only, once its body is there.
    pub fn check(&self, identity: &Identity, row: Option<&'static Row>) -> Result<Passage, Denied> {
        let rules = self.policy.in_force();
        let standing = self.standing(identity, &rules);
        let caller = match standing {
            Standing::Everything => return Ok(Passage::Whole),
            Standing::Tenant => return Ok(self.by_thing(rules, row)),
            Standing::Nothing(caller) => return Err(self.denied(row, &caller)),
            Standing::Ruled(caller) => caller,
        };
        if row.is_some_and(is_patch) {
            return Ok(Passage::Whole);
        }
        let judge = |rule| rules.judge(rule, &caller, &Target::Unasked);
        // The order is Ironic's (`post` and `delete` in `ironic/api/controllers/v1/node.py`): the rule about a node of
        // one's own is asked before the general one of a create, and after the general one of a delete.
        let verdict = match row {
            Some(row) if row.about == About::NewNode && caller.scope == Scope::System => {
                match judge(Rule::NodeCreateSelfOwnedNode) {
                    Verdict::Yes if self.own_nodes => Verdict::Yes,
                    _ => judge(row.rule),
                }
            }
            Some(row) if row.rule == Rule::NodeDelete && self.own_nodes => match judge(row.rule) {
                Verdict::Yes => Verdict::Yes,
                _ => judge(Rule::NodeDeleteSelfOwnedNode),
            },
            Some(row) if row.about == About::NewAllocation => match judge(row.rule) {
                Verdict::Yes => Verdict::Yes,
                _ => judge(Rule::AllocationCreateRestricted),
            },
            Some(row) => judge(row.rule),
            None => (caller.scope == Scope::System && caller.has_role("admin")).into(),
        };
        match verdict {
            // What the rules beside it say of the thing is looked at with the thing.
            Verdict::Yes if row.is_some_and(|row| !beside::are_met(row, &rules, &caller)) => {
                Ok(self.by_thing(rules, row))
            }
            Verdict::Yes => Ok(Passage::Whole),
            // Nobody's rights to a thing are looked up for whom the configuration shuts out.
            Verdict::Open if caller.scope == Scope::System => Ok(self.by_thing(rules, row)),
            Verdict::Open | Verdict::No => Err(self.denied(row, &caller)),
        }
    }

    /// The same of what was let through for its location to judge. There a project's token is not shut out by
    /// `project_scoped_access`, so its rights are looked at, whatever that says.
    pub fn judge_anew(
        &self,
        identity: &Identity,
        row: Option<&'static Row>,
    ) -> Result<Passage, Denied> {
        let rules = self.policy.in_force();
        match self.standing(identity, &rules) {
            Standing::Nothing(caller) | Standing::Ruled(caller) if caller.project().is_some() => {
                Ok(self.by_thing(rules, row))
            }
            _ => self.check(identity, row),
        }
    }

    /// Whether this route is open to ramdisks, of which nobody asks who they are.
    pub fn check_public(&self, row: &Row) -> Result<Passage, Denied> {
        let rules = self.policy.in_force();
        match rules.judge(row.rule, &Caller::PUBLIC, &Target::Nothing) {
            Verdict::Yes => Ok(Passage::Whole),
            Verdict::Open | Verdict::No => Err(row.rule.into()),
        }
    }

    /// Whether this identity may change these attributes of a member.
    pub fn check_patch<'a>(
        &self,
        identity: &Identity,
        row: &'static Row,
        changes: impl IntoIterator<Item = Change<'a>>,
    ) -> Result<Passage, Denied> {
        if !is_patch(row) {
            return Ok(Passage::Whole);
        }
        let rules = self.policy.in_force();
        let caller = match self.standing(identity, &rules) {
            Standing::Everything => return Ok(Passage::Whole),
            Standing::Tenant => return Ok(self.by_thing(rules, Some(row))),
            Standing::Nothing(caller) => return Err(self.denied(Some(row), &caller)),
            Standing::Ruled(caller) => caller,
        };
        let judge = |rule| rules.judge(rule, &caller, &Target::Unasked);
        let mut is_open = !beside::are_met(row, &rules, &caller);
        for rule in attributes::rules(row.template, row.rule, changes) {
            match judge(rule) {
                // Of a node in use it is under one more.
                Verdict::Yes if rule == Rule::NodeUpdateOwner => {
                    is_open |= judge(Rule::NodeUpdateOwnerProvisioned) != Verdict::Yes;
                }
                Verdict::Yes => {}
                Verdict::Open if caller.scope == Scope::System => is_open = true,
                Verdict::Open | Verdict::No => return Err(rule.into()),
            }
        }
        Ok(if is_open {
            self.by_thing(rules, Some(row))
        } else {
            Passage::Whole
        })
    }

    /// Of several rules Ironic names the one that it tried last.
    fn denied(&self, row: Option<&Row>, caller: &Caller<'_>) -> Denied {
        match row.map(|row| (row.about, row.rule)) {
            Some((About::All(own) | About::AllOfNode(own) | About::AllOf(_, own), _))
                if caller.scope != Scope::System =>
            {
                own.into()
            }
            Some((_, Rule::NodeDelete)) if self.own_nodes => Rule::NodeDeleteSelfOwnedNode.into(),
            Some((About::NewAllocation, _)) => Rule::AllocationCreateRestricted.into(),
            Some((_, rule)) => rule.into(),
            None => Denied { policy: UNKNOWN },
        }
    }

    /// Whether somebody sees no more than what is theirs.
    pub fn is_tenant(&self, identity: &Identity) -> bool {
        match self.standing(identity, &self.policy.in_force()) {
            Standing::Everything | Standing::Ruled(_) => false,
            Standing::Tenant | Standing::Nothing(_) => true,
        }
    }

    /// Whether an answer may name the location that it is from.
    pub fn tells_location(&self, identity: &Identity) -> bool {
        let caller = identity.caller();
        self.tells_location || caller.is_none_or(|caller| caller.project().is_none())
    }

    fn by_thing(&self, rules: Arc<Rules>, row: Option<&'static Row>) -> Passage {
        Passage::ByThing(Judged {
            rules,
            row,
            own_nodes: self.own_nodes,
            denied: OnceLock::new(),
        })
    }

    fn standing<'a>(&self, identity: &'a Identity, rules: &Rules) -> Standing<'a> {
        let Some(caller) = identity.caller() else {
            return Standing::Everything;
        };
        match caller.scope {
            Scope::System => Standing::Ruled(caller),
            Scope::Project(_) if self.projects == ProjectScoped::Policy => Standing::Tenant,
            Scope::Project(_) => {
                let elevated = rules.judge(Rule::ServiceRole, &caller, &Target::Nothing);
                if self.projects == ProjectScoped::LegacyAdmin && caller.has_role("admin") {
                    Standing::Everything
                } else if elevated == Verdict::Yes {
                    Standing::Ruled(caller)
                } else {
                    Standing::Nothing(caller)
                }
            }
            Scope::Domain(_) | Scope::Nothing => Standing::Nothing(caller),
        }
    }
}

/// Whether it is judged by what it changes.
fn is_patch(row: &Row) -> bool {
    row.method == "PATCH" && matches!(row.template, "nodes/{}" | "runbooks/{}")
}

#[cfg(test)]
mod tests;
