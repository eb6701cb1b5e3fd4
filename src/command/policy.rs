//! `ironic-proxy policy`: which rules are in force, and what they say about a caller.

use clap::Args;
use thiserror::Error;

use crate::config::Config;
use crate::policy::caller::Caller;
use crate::policy::caller::Project;
use crate::policy::caller::Scope;
use crate::policy::in_force::Policy;
use crate::policy::in_force::PolicyError;
use crate::policy::language::Verdict;
use crate::policy::targets::Target;

/// The token and the thing that the rules are asked about.
#[derive(Debug, Clone, Default, Args, PartialEq, Eq)]
pub struct Inquiry {
    /// Roles of the token, separated by commas; include implied roles, as Keystone's tokens do.
    #[arg(long, value_delimiter = ',')]
    roles: Vec<String>,
    /// The token is scoped to the system.
    #[arg(long, conflicts_with_all = ["project", "domain"])]
    system: bool,
    /// The token is scoped to the project with this id.
    #[arg(long, value_name = "ID", conflicts_with = "domain")]
    project: Option<String>,
    /// The project's name.
    #[arg(long, value_name = "NAME", requires = "project")]
    project_name: Option<String>,
    /// Id of the project's domain.
    #[arg(long, value_name = "ID", requires = "project")]
    project_domain: Option<String>,
    /// The token is scoped to the domain with this id.
    #[arg(long, value_name = "ID")]
    domain: Option<String>,
    /// Keystone has an admin project, and the token is for another one.
    #[arg(long)]
    not_admin_project: bool,
    /// Id of the user.
    #[arg(long, value_name = "ID", default_value = "")]
    user: String,
    /// Id of the user's domain.
    #[arg(long, value_name = "ID")]
    user_domain: Option<String>,
    /// Owner or lessee of the thing: node.owner=ID, node.lessee=ID, allocation.owner=ID or runbook.owner=ID.
    #[arg(long, value_name = "NAME=ID")]
    target: Vec<String>,
    /// Rules to check; all if none is given.
    #[arg(value_name = "RULE")]
    rules: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum InquiryError {
    #[error("[oslo_policy] {0}")]
    Policy(#[from] PolicyError),
    #[error(
        "--target {0}: node.owner=ID, node.lessee=ID, allocation.owner=ID or runbook.owner=ID is expected, and one kind of thing only"
    )]
    Target(String),
    #[error("there is no rule {0}")]
    NoRule(String),
}

/// Every rule with its scopes, where it is from and its check.
pub fn show(config: &Config) -> Result<String, InquiryError> {
    Ok(Policy::load(&config.policy)?.in_force().to_string())
}

/// The verdict of each rule, and whether all allow.
pub fn check(config: &Config, inquiry: &Inquiry) -> Result<(String, bool), InquiryError> {
    let rules = Policy::load(&config.policy)?.in_force();
    let target = inquiry.target()?;
    let caller = inquiry.caller();
    let names: Vec<&str> = if inquiry.rules.is_empty() {
        rules.names().collect()
    } else {
        inquiry.rules.iter().map(String::as_str).collect()
    };
    let (mut text, mut all) = (String::new(), true);
    for name in names {
        let verdict = rules
            .judge_named(name, &caller, &target)
            .ok_or_else(|| InquiryError::NoRule(name.to_owned()))?;
        // A wrong scope counts as denied: the gateway answers 403 where Ironic has an unhandled 500.
        let may = verdict == Verdict::Yes;
        all &= may;
        text.push_str(if may { "allowed\t" } else { "denied\t" });
        text.push_str(name);
        text.push('\n');
    }
    Ok((text, all))
}

impl Inquiry {
    fn caller(&self) -> Caller<'_> {
        let scope = match (&self.project, &self.domain) {
            // In Ironic the system scope wins over a project.
            _ if self.system => Scope::System,
            (Some(id), _) => Scope::Project(Project {
                id,
                name: self.project_name.as_deref().unwrap_or_default(),
                domain_id: self.project_domain.as_deref(),
            }),
            (None, Some(id)) => Scope::Domain(id),
            (None, None) => Scope::Nothing,
        };
        Caller {
            roles: &self.roles,
            user_id: &self.user,
            user_domain_id: self.user_domain.as_deref(),
            scope,
            is_admin_project: !self.not_admin_project,
            is_public_api: false,
        }
    }

    fn target(&self) -> Result<Target<'_>, InquiryError> {
        let mut target = Target::Nothing;
        for text in &self.target {
            let wrong = || InquiryError::Target(text.clone());
            let (name, id) = text.split_once('=').ok_or_else(wrong)?;
            target = match (name, target) {
                ("node.owner", Target::Nothing) => Target::Node {
                    owner: Some(id),
                    lessee: None,
                },
                ("node.lessee", Target::Nothing) => Target::Node {
                    owner: None,
                    lessee: Some(id),
                },
                ("node.owner", Target::Node { lessee, .. }) => Target::Node {
                    owner: Some(id),
                    lessee,
                },
                ("node.lessee", Target::Node { owner, .. }) => Target::Node {
                    owner,
                    lessee: Some(id),
                },
                ("allocation.owner", Target::Nothing) => Target::Allocation { owner: Some(id) },
                ("runbook.owner", Target::Nothing) => Target::Runbook { owner: Some(id) },
                _ => return Err(wrong()),
            };
        }
        Ok(target)
    }
}
