//! Who may do what: the rules in force, applied to a request.
//!
//! The gateway goes to a location with a credential that may do everything there, so this is the only gate. What a rule
//! says of owners and lessees has to be asked of the location first; until that is done for a request, whatever depends
//! on it is denied.

pub mod attributes;
pub mod routes;

use std::sync::Arc;

use http::Method;
use http::StatusCode;
use thiserror::Error;

use crate::api::fault::Fault;
use crate::auth::access::attributes::Change;
use crate::auth::access::routes::About;
use crate::auth::access::routes::Row;
use crate::auth::identity::Identity;
use crate::config::PolicyConfig;
use crate::config::ProjectScoped;
use crate::policy::caller::Caller;
use crate::policy::caller::Scope;
use crate::policy::in_force::Policy;
use crate::policy::in_force::Rules;
use crate::policy::language::Verdict;
use crate::policy::rules::Rule;
use crate::policy::targets::Target;

/// What Ironic may have learnt since is for those who may do everything.
const UNKNOWN: &str = "baremetal:unknown_route";

/// What a request wants, as the routes name it.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    /// A row of the table of routes.
    Known {
        method: &'a Method,
        template: &'a str,
    },
    /// Nothing that the gateway knows.
    Unknown,
}

/// The rule that forbids it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("Access was denied to the following resource: {policy}")]
pub struct Denied {
    pub policy: &'static str,
}

impl Denied {
    /// As Ironic's `HTTPForbidden`.
    pub fn fault(self) -> Fault {
        Fault::new(StatusCode::FORBIDDEN, self.to_string())
    }
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
}

/// How somebody is looked at.
enum Standing<'a> {
    /// Without Keystone Ironic has no policies at all; admins of the time before scopes.
    Everything,
    /// As the rules have it.
    Ruled(Caller<'a>),
    /// Not at all.
    Nothing(Caller<'a>),
}

impl Gate {
    pub fn new(config: &PolicyConfig, policy: Arc<Policy>) -> Self {
        Self {
            policy,
            projects: config.project_scoped_access,
            own_nodes: config.own_nodes,
        }
    }

    /// Whether this identity may do this. A patch of a node or a runbook is judged by [`Self::check_patch`] only, once
    /// its body is there.
    pub fn check(&self, identity: &Identity, access: Access<'_>) -> Result<(), Denied> {
        let rules = self.policy.in_force();
        let standing = self.standing(identity, &rules);
        let row = match access {
            Access::Known { method, template } if is_patch(method, template) => {
                return match standing {
                    Standing::Nothing(_) => Err(general(template).into()),
                    Standing::Everything | Standing::Ruled(_) => Ok(()),
                };
            }
            Access::Known { method, template } => Row::of(method, template),
            Access::Unknown => None,
        };
        let denied = |caller: &Caller<'_>| match row.map(|row| (row.about, row.rule)) {
            // Ironic tries the rule of a project's own things last.
            Some((About::All(own) | About::AllOfNode(own) | About::AllOf(_, own), _))
                if caller.scope != Scope::System =>
            {
                own.into()
            }
            Some((_, rule)) => rule.into(),
            None => Denied { policy: UNKNOWN },
        };
        match standing {
            Standing::Everything => Ok(()),
            Standing::Nothing(caller) => Err(denied(&caller)),
            Standing::Ruled(caller) => {
                let may = |rule| rules.judge(rule, &caller, &Target::Unasked) == Verdict::Yes;
                let allowed = match row {
                    Some(row) if row.about == About::NewNode => {
                        (self.own_nodes
                            && caller.scope == Scope::System
                            && may(Rule::NodeCreateSelfOwnedNode))
                            || may(row.rule)
                    }
                    Some(row) => may(row.rule),
                    None => caller.scope == Scope::System && caller.has_role("admin"),
                };
                if allowed {
                    Ok(())
                } else {
                    Err(denied(&caller))
                }
            }
        }
    }

    /// Whether this identity may change these attributes of a member of `template`.
    pub fn check_patch<'a>(
        &self,
        identity: &Identity,
        template: &str,
        changes: impl IntoIterator<Item = Change<'a>>,
    ) -> Result<(), Denied> {
        if !is_patch(&Method::PATCH, template) {
            return Ok(());
        }
        let rules = self.policy.in_force();
        let caller = match self.standing(identity, &rules) {
            Standing::Everything => return Ok(()),
            Standing::Nothing(_) => return Err(general(template).into()),
            Standing::Ruled(caller) => caller,
        };
        attributes::rules(template, general(template), changes)
            .into_iter()
            .find(|rule| rules.judge(*rule, &caller, &Target::Unasked) != Verdict::Yes)
            .map_or(Ok(()), |rule| Err(rule.into()))
    }

    fn standing<'a>(&self, identity: &'a Identity, rules: &Rules) -> Standing<'a> {
        let Some(caller) = identity.caller() else {
            return Standing::Everything;
        };
        match caller.scope {
            Scope::System => Standing::Ruled(caller),
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
fn is_patch(method: &Method, template: &str) -> bool {
    method == Method::PATCH && matches!(template, "nodes/{}" | "runbooks/{}")
}

/// The rule of changes without a rule of their own.
fn general(template: &str) -> Rule {
    match template {
        "runbooks/{}" => Rule::RunbookUpdate,
        _ => Rule::NodeUpdate,
    }
}

#[cfg(test)]
mod tests;
