//! Who is asking.

use std::fmt;
use std::sync::Arc;

use crate::keystone::message::Validated;
use crate::policy::caller::Caller;
use crate::policy::caller::Project;
use crate::policy::caller::Scope;

/// Who is asking, as far as the strategy of the gateway finds out. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// `noauth`: nobody was asked.
    Anonymous,
    /// `http_basic`: a user of the file.
    Basic(Arc<str>),
    /// `keystone`: whom a token stands for.
    Keystone(Arc<Validated>),
}

impl Identity {
    /// As policies see the caller. `None`: this strategy knows of no rights.
    pub fn caller(&self) -> Option<Caller<'_>> {
        let Self::Keystone(token) = self else {
            return None;
        };
        let scope = match (&token.project, &token.domain_id) {
            _ if token.system => Scope::System,
            (Some(project), _) => Scope::Project(Project {
                id: &project.id,
                name: &project.name,
                domain_id: project.domain_id.as_deref(),
            }),
            (None, Some(domain)) => Scope::Domain(domain),
            (None, None) => Scope::Nothing,
        };
        Some(Caller {
            roles: &token.roles,
            user_id: &token.user_id,
            user_domain_id: token.user_domain_id.as_deref(),
            scope,
            is_admin_project: token.is_admin_project,
            is_public_api: false,
        })
    }

    /// Ids of the user and of the project that the token is scoped to.
    pub fn ids(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Anonymous => (None, None),
            Self::Basic(user) => (Some(user), None),
            Self::Keystone(token) => {
                let project = token.project.as_ref();
                (Some(&token.user_id), project.map(|project| &*project.id))
            }
        }
    }

    /// As oslo.context's `user_identity` in Ironic's own log: user, project, domain, the user's domain and the
    /// project's, ids all of them.
    pub fn user_identity(&self) -> impl fmt::Display + '_ {
        UserIdentity(self)
    }
}

struct UserIdentity<'a>(&'a Identity);

impl fmt::Display for UserIdentity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Identity::Anonymous => f.write_str("- - - - -"),
            Identity::Basic(user) => write!(f, "{} - - - -", Word(user)),
            Identity::Keystone(token) => {
                let project = token.project.as_ref();
                for word in [
                    Some(token.user_id.as_str()),
                    project.map(|project| project.id.as_str()),
                    token.domain_id.as_deref(),
                    token.user_domain_id.as_deref(),
                ] {
                    write!(f, "{} ", Word(word.unwrap_or_default()))?;
                }
                write!(
                    f,
                    "{}",
                    Word(
                        project
                            .and_then(|project| project.domain_id.as_deref())
                            .unwrap_or_default()
                    )
                )
            }
        }
    }
}

/// One word of a log line: who chose the name must not be able to write a second word, or a second line.
struct Word<'a>(&'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        for character in self.0.chars() {
            if character.is_whitespace() || character.is_control() {
                f.write_str("?")?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::keystone::message::ProjectScope;

    #[test]
    fn the_log_names_who_asked_as_ironic_does() {
        let token = Validated {
            user_id: "u1".into(),
            user_name: "ann".into(),
            user_domain_id: Some("default".into()),
            project: Some(ProjectScope {
                id: "p1".into(),
                name: "prod".into(),
                domain_id: Some("d2".into()),
            }),
            domain_id: None,
            system: false,
            is_admin_project: true,
            roles: vec![],
            expires_at: SystemTime::UNIX_EPOCH,
        };
        let system = Validated {
            project: None,
            system: true,
            ..token.clone()
        };
        for (identity, line) in [
            (Identity::Anonymous, "- - - - -"),
            (Identity::Basic("ann".into()), "ann - - - -"),
            (Identity::Basic("a b\nc".into()), "a?b?c - - - -"),
            (Identity::Keystone(token.into()), "u1 p1 - default d2"),
            (Identity::Keystone(system.into()), "u1 - - default -"),
        ] {
            assert_eq!(identity.user_identity().to_string(), line);
        }
    }
}
