//! What we say to Keystone and what it says to us, as values (Identity API v3, `POST` and `GET /v3/auth/tokens`).

use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use http::HeaderValue;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::de::Error;
use serde_json::Value;
use serde_json::json;

use crate::api::header::SUBJECT_TOKEN;
use crate::config::CredentialRef;
use crate::config::DomainRef;
use crate::config::KeystoneAuth;
use crate::config::KeystoneMethod;
use crate::config::ProjectRef;
use crate::config::Scope;
use crate::config::Secret;
use crate::config::UserRef;
use crate::keystone::catalog::Catalog;
use crate::wire::transport::Reply;

/// An answer that says not what it should. Never holds what it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Keystone's answer {0}")]
pub struct Unusable(pub(crate) &'static str);

/// A token of ours. `Debug` does not show it.
#[derive(Debug)]
pub struct Token {
    /// The value of `X-Auth-Token`, marked sensitive.
    pub header: HeaderValue,
    /// When we asked for it. Counted from here on our own monotonic clock, `lifetime` depends on nobody's calendar.
    pub asked: Instant,
    pub lifetime: Duration,
    pub catalog: Catalog,
    /// It is scoped to the whole system.
    pub is_system: bool,
    /// What it gives us there; empty: that was not told.
    pub roles: Vec<String>,
}

/// What Keystone says about a valid token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validated {
    pub user_id: String,
    pub user_name: String,
    pub user_domain_id: Option<String>,
    pub project: Option<ProjectScope>,
    /// Of a domain-scoped token.
    pub domain_id: Option<String>,
    /// The token is scoped to the whole system.
    pub system: bool,
    /// Of any project where Keystone knows no admin project: then it does not say so.
    pub is_admin_project: bool,
    pub roles: Vec<String>,
    pub expires_at: SystemTime,
}

/// The project a token is scoped to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectScope {
    pub id: String,
    pub name: String,
    pub domain_id: Option<String>,
}

/// The body of `POST /v3/auth/tokens`.
pub(crate) fn request_body(auth: &KeystoneAuth) -> Value {
    let identity = match &auth.method {
        KeystoneMethod::Password { user, password } => {
            let mut user = reference(user);
            user["password"] = json!(password.expose_secret());
            json!({"methods": ["password"], "password": {"user": user}})
        }
        KeystoneMethod::Token(token) => {
            json!({"methods": ["token"], "token": {"id": token.expose_secret()}})
        }
        KeystoneMethod::ApplicationCredential { credential, secret } => json!({
            "methods": ["application_credential"],
            "application_credential": application_credential(credential, secret),
        }),
    };
    let mut body = json!({"auth": {"identity": identity}});
    if let Some(scope) = scope(&auth.scope) {
        body["auth"]["scope"] = scope;
    }
    body
}

fn reference(user: &UserRef) -> Value {
    match user {
        UserRef::Id(id) => json!({"id": id}),
        UserRef::Name { name, domain } => json!({"name": name, "domain": domain_scope(domain)}),
    }
}

fn application_credential(credential: &CredentialRef, secret: &Secret) -> Value {
    let secret = secret.expose_secret();
    match credential {
        CredentialRef::Id(id) => json!({"id": id, "secret": secret}),
        CredentialRef::Name { name, user } => {
            json!({"name": name, "secret": secret, "user": reference(user)})
        }
    }
}

/// `None`: the method brings its own scope, or Keystone takes the user's default.
fn scope(scope: &Scope) -> Option<Value> {
    Some(match scope {
        Scope::Unscoped => return None,
        Scope::Trust(id) => json!({"OS-TRUST:trust": {"id": id}}),
        Scope::System => json!({"system": {"all": true}}),
        Scope::Domain(domain) => json!({"domain": domain_scope(domain)}),
        Scope::Project(ProjectRef::Id(id)) => json!({"project": {"id": id}}),
        Scope::Project(ProjectRef::Name { name, domain }) => {
            json!({"project": {"name": name, "domain": domain_scope(domain)}})
        }
    })
}

fn domain_scope(domain: &DomainRef) -> Value {
    match domain {
        DomainRef::Id(id) => json!({"id": id}),
        DomainRef::Name(name) => json!({"name": name}),
    }
}

/// The body of an answer about a token.
#[derive(Deserialize)]
struct Answer {
    token: Info,
}

#[derive(Deserialize)]
struct Info {
    user: Named,
    #[serde(deserialize_with = "moment")]
    expires_at: SystemTime,
    #[serde(default, deserialize_with = "some_moment")]
    issued_at: Option<SystemTime>,
    catalog: Option<Catalog>,
    project: Option<Named>,
    domain: Option<Named>,
    system: Option<System>,
    is_admin_project: Option<bool>,
    roles: Option<Vec<Role>>,
}

/// A user, a project or a domain.
#[derive(Deserialize)]
struct Named {
    id: String,
    #[serde(default)]
    name: String,
    domain: Option<DomainId>,
}

#[derive(Deserialize)]
struct DomainId {
    id: Option<String>,
}

#[derive(Deserialize)]
struct System {
    all: Option<bool>,
}

#[derive(Deserialize)]
struct Role {
    name: String,
}

impl Info {
    fn is_system(&self) -> bool {
        self.system
            .as_ref()
            .and_then(|system| system.all)
            .unwrap_or(false)
    }
}

/// RFC 3339, as Keystone writes times.
fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse::<Timestamp>()
        .and_then(SystemTime::try_from)
        .map_err(D::Error::custom)
}

fn some_moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
    moment(deserializer).map(Some)
}

/// The answer to `POST /v3/auth/tokens`.
///
/// # Errors
/// It gives no token that can be used.
pub fn token(answer: &Reply, asked: Instant) -> Result<Token, Unusable> {
    // Copied: it is kept for hours, and all that it was read with would be, too.
    let mut header = answer
        .headers
        .get(SUBJECT_TOKEN)
        .and_then(|header| HeaderValue::from_bytes(header.as_bytes()).ok())
        .ok_or(Unusable("holds no token"))?;
    // `Debug` of a head leaves out what is marked.
    header.set_sensitive(true);
    let info = serde_json::from_slice::<Answer>(&answer.body)
        .map_err(|_| Unusable("holds no token"))?
        .token;
    let lifetime = info
        .expires_at
        // The difference of two times of Keystone's own, so that its clock and ours need not agree.
        .duration_since(info.issued_at.unwrap_or_else(SystemTime::now))
        .map_err(|_| Unusable("holds a token that has already expired"))?;
    Ok(Token {
        header,
        asked,
        lifetime,
        is_system: info.is_system(),
        roles: names_of(info.roles),
        catalog: info.catalog.unwrap_or_default(),
    })
}

fn names_of(roles: Option<Vec<Role>>) -> Vec<String> {
    let roles = roles.unwrap_or_default().into_iter();
    roles.map(|role| role.name).collect()
}

/// The answer to `GET /v3/auth/tokens`.
///
/// # Errors
/// It describes no token.
pub fn validated(body: &[u8]) -> Result<Validated, Unusable> {
    let info = serde_json::from_slice::<Answer>(body)
        .map_err(|_| Unusable("does not describe a token"))?
        .token;
    Ok(Validated {
        system: info.is_system(),
        user_id: info.user.id,
        user_name: info.user.name,
        user_domain_id: info.user.domain.and_then(|domain| domain.id),
        project: info.project.map(|project| ProjectScope {
            id: project.id,
            name: project.name,
            domain_id: project.domain.and_then(|domain| domain.id),
        }),
        domain_id: info.domain.map(|domain| domain.id),
        // oslo.context's default.
        is_admin_project: info.is_admin_project.unwrap_or(true),
        roles: info
            .roles
            // An unscoped token has none.
            .unwrap_or_default()
            .into_iter()
            .map(|role| role.name)
            .collect(),
        expires_at: info.expires_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> UserRef {
        UserRef::Name {
            name: "ann".into(),
            domain: DomainRef::Name("Corp".into()),
        }
    }

    #[test]
    fn requests_are_as_the_identity_api_documents_them() {
        let password = |user| KeystoneMethod::Password {
            user,
            password: "pw".into(),
        };
        let credential = |credential| KeystoneMethod::ApplicationCredential {
            credential,
            secret: "s".into(),
        };
        let named = |user| CredentialRef::Name {
            name: "c".into(),
            user,
        };
        let project = ProjectRef::Name {
            name: "p".into(),
            domain: DomainRef::Id("d".into()),
        };
        for (method, scope, identity, scoped) in [
            (
                password(user()),
                Scope::System,
                json!({"methods": ["password"], "password": {"user":
                    {"name": "ann", "domain": {"name": "Corp"}, "password": "pw"}}}),
                json!({"system": {"all": true}}),
            ),
            (
                password(UserRef::Id("u".into())),
                Scope::Project(project),
                json!({"methods": ["password"], "password": {"user": {"id": "u", "password": "pw"}}}),
                json!({"project": {"name": "p", "domain": {"id": "d"}}}),
            ),
            (
                password(UserRef::Name {
                    name: "ann".into(),
                    domain: DomainRef::Id("d".into()),
                }),
                Scope::Domain(DomainRef::Name("D".into())),
                json!({"methods": ["password"], "password": {"user":
                    {"name": "ann", "domain": {"id": "d"}, "password": "pw"}}}),
                json!({"domain": {"name": "D"}}),
            ),
            (
                KeystoneMethod::Token("t".into()),
                Scope::Project(ProjectRef::Id("p".into())),
                json!({"methods": ["token"], "token": {"id": "t"}}),
                json!({"project": {"id": "p"}}),
            ),
            (
                password(UserRef::Id("u".into())),
                Scope::Trust("x".into()),
                json!({"methods": ["password"], "password": {"user": {"id": "u", "password": "pw"}}}),
                json!({"OS-TRUST:trust": {"id": "x"}}),
            ),
            (
                credential(CredentialRef::Id("i".into())),
                Scope::Unscoped,
                json!({"methods": ["application_credential"], "application_credential": {"id": "i", "secret": "s"}}),
                Value::Null,
            ),
            (
                credential(named(user())),
                Scope::Unscoped,
                json!({"methods": ["application_credential"], "application_credential":
                    {"name": "c", "secret": "s", "user": {"name": "ann", "domain": {"name": "Corp"}}}}),
                Value::Null,
            ),
            (
                credential(named(UserRef::Id("u".into()))),
                Scope::Unscoped,
                json!({"methods": ["application_credential"], "application_credential":
                    {"name": "c", "secret": "s", "user": {"id": "u"}}}),
                Value::Null,
            ),
        ] {
            let auth = KeystoneAuth {
                auth_url: "http://h/v3/".into(),
                method,
                scope,
            };
            let mut body = request_body(&auth);
            assert_eq!(body["auth"]["identity"].take(), identity);
            assert_eq!(body["auth"]["scope"].take(), scoped);
        }
    }

    #[test]
    fn what_does_not_describe_a_token_is_no_token() {
        let user = r#""user": {"id": "u", "name": "n"}"#;
        for (body, good) in [
            (
                format!(r#"{{"token": {{{user}, "expires_at": "2099-01-01T00:00:00.000000Z"}}}}"#),
                true,
            ),
            (
                format!(
                    r#"{{"token": {{{user}, "expires_at": "2099-01-01T00:00:00+00:00", "roles": []}}}}"#
                ),
                true,
            ),
            (format!(r#"{{"token": {{{user}}}}}"#), false),
            (
                format!(r#"{{"token": {{{user}, "expires_at": "soon"}}}}"#),
                false,
            ),
            (
                format!(
                    r#"{{"token": {{{user}, "expires_at": "2099-01-01T00:00:00Z", "project": {{}}}}}}"#
                ),
                false,
            ),
            (
                r#"{"token": {"expires_at": "2099-01-01T00:00:00Z"}}"#.to_owned(),
                false,
            ),
            ("{}".to_owned(), false),
            ("<html>".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(validated(body.as_bytes()).is_ok(), good, "{body}");
        }
    }
}
