//! The caller, as policies see it.

use crate::api::rules::Scopes;

/// One caller: parsed once from what Keystone said, borrowed by every check.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    pub roles: &'a [String],
    pub user_id: &'a str,
    pub user_domain_id: Option<&'a str>,
    pub scope: Scope<'a>,
    /// His project is Keystone's admin project, or there is none such.
    pub is_admin_project: bool,
    /// Of a route that asks nobody who he is.
    pub is_public_api: bool,
}

/// What a token is for. A token for both the system and a project is for the system, as oslo.policy has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    System,
    Project(Project<'a>),
    Domain(&'a str),
    /// Opens nothing. For Ironic the missing project of such a token *equals* the missing owner of a node.
    Nothing,
}

impl Scope<'_> {
    /// Whether a rule for these scopes may be asked with it at all.
    pub(crate) fn is_of(self, scopes: Scopes) -> bool {
        match self {
            Self::System => scopes.system,
            Self::Project(_) => scopes.project,
            Self::Domain(_) | Self::Nothing => scopes.any,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Project<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub domain_id: Option<&'a str>,
}

/// What a check can ask of a caller, besides his roles: the names of `RequestContext.to_policy_values`
/// (`ironic/common/context.py`), and `system`, which oslo.policy's `enforce` adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    UserId,
    UserDomainId,
    SystemScope,
    System,
    DomainId,
    ProjectId,
    ProjectName,
    ProjectDomainId,
    IsAdminProject,
    IsPublicApi,
    /// What a service token says: ours are none of the caller's rights.
    OfService,
}

impl Credential {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "user_id" => Self::UserId,
            "user_domain_id" => Self::UserDomainId,
            "system_scope" => Self::SystemScope,
            "system" => Self::System,
            "domain_id" => Self::DomainId,
            "project_id" => Self::ProjectId,
            "project_name" => Self::ProjectName,
            "project_domain_id" => Self::ProjectDomainId,
            "is_admin_project" => Self::IsAdminProject,
            "is_public_api" => Self::IsPublicApi,
            "service_user_id"
            | "service_user_domain_id"
            | "service_project_id"
            | "service_project_domain_id" => Self::OfService,
            _ => return None,
        })
    }
}

/// Python's word for what is not there; a check may name it.
pub(crate) const NONE: &str = "None";

impl<'a> Caller<'a> {
    /// On the routes of the ramdisks, which ask for no identity.
    pub const PUBLIC: Caller<'static> = Caller {
        roles: &[],
        user_id: "",
        user_domain_id: None,
        scope: Scope::Nothing,
        is_admin_project: true,
        is_public_api: true,
    };

    pub fn project(&self) -> Option<Project<'a>> {
        match self.scope {
            Scope::Project(project) => Some(project),
            Scope::System | Scope::Domain(_) | Scope::Nothing => None,
        }
    }

    /// oslo.policy does not look at the case of roles.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|held| same_role(held, role))
    }

    /// As Python's `str()` of it. `None`: the key is not there at all.
    pub(crate) fn value(&self, credential: Credential) -> Option<&'a str> {
        let project = self.project();
        let value = match credential {
            Credential::UserId => Some(self.user_id),
            Credential::UserDomainId => self.user_domain_id,
            Credential::SystemScope => (self.scope == Scope::System).then_some("all"),
            Credential::System => return (self.scope == Scope::System).then_some("all"),
            Credential::DomainId => match self.scope {
                Scope::Domain(id) => Some(id),
                Scope::System | Scope::Project(_) | Scope::Nothing => None,
            },
            Credential::ProjectId => project.map(|project| project.id),
            Credential::ProjectName => project.map(|project| project.name),
            Credential::ProjectDomainId => project.and_then(|project| project.domain_id),
            Credential::IsAdminProject => Some(word(self.is_admin_project)),
            Credential::IsPublicApi => Some(word(self.is_public_api)),
            Credential::OfService => None,
        };
        Some(value.unwrap_or(NONE))
    }
}

/// Python's word for it.
fn word(is_so: bool) -> &'static str {
    if is_so { "True" } else { "False" }
}

pub(crate) fn same_role(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    let lower = |role: &str| {
        role.chars()
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    lower(one) == lower(other)
}
