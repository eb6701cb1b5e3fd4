//! What we say to Keystone and what it says to us, as values.
//!
//! Requests and answers are made and read by the `openstack-sdk-auth-*` crates. The exchange itself is ours: their
//! `auth()` reads an answer of any size, and their errors carry it into the log.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderValue;
use openstack_sdk_auth_core::AuthResponse;
use openstack_sdk_auth_core::AuthToken;
use openstack_sdk_auth_core::AuthTokenScope;
use openstack_sdk_auth_core::OpenStackMultifactorAuthMethod;
use openstack_sdk_auth_core::types::Domain;
use openstack_sdk_auth_core::types::Project;
use openstack_sdk_auth_core::types::System;
use openstack_sdk_auth_password::PasswordAuthenticator;
use openstack_sdk_auth_token::TokenAuthenticator;
use secrecy::ExposeSecret;
use serde_json::Value;
use serde_json::json;
use thiserror::Error;

use crate::config::CredentialRef;
use crate::config::DomainRef;
use crate::config::KeystoneAuth;
use crate::config::KeystoneMethod;
use crate::config::ProjectRef;
use crate::config::Scope;
use crate::config::Secret;
use crate::config::UserRef;
use crate::keystone::catalog::Catalog;

/// An answer that says not what it should. Never holds what it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the answer of Keystone {0}")]
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
}

/// What Keystone says about a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validated {
    pub user_id: String,
    pub user_name: String,
    pub user_domain_id: Option<String>,
    pub project: Option<ProjectScope>,
    /// Of a domain-scoped token.
    pub domain_id: Option<String>,
    /// The token is scoped to the whole system.
    pub system: bool,
    pub roles: Vec<String>,
    pub expires_at: SystemTime,
}

/// The project a token is scoped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectScope {
    pub id: String,
    pub name: String,
    pub domain_id: Option<String>,
}

/// The body of `POST /v3/auth/tokens`.
pub(crate) fn request_body(auth: &KeystoneAuth) -> Result<Value, Unusable> {
    let (method, data) = match &auth.method {
        KeystoneMethod::Password { user, password } => {
            let mut values = user_values(user);
            values.insert("password".into(), password.clone());
            OpenStackMultifactorAuthMethod::get_auth_data(&PasswordAuthenticator, &values)
        }
        KeystoneMethod::Token(token) => {
            let values = HashMap::from([("token".into(), token.clone())]);
            OpenStackMultifactorAuthMethod::get_auth_data(&TokenAuthenticator, &values)
        }
        KeystoneMethod::ApplicationCredential { credential, secret } => {
            Ok(application_credential(credential, secret))
        }
    }
    .map_err(|_| Unusable("was not asked for: the credential lacks a part"))?;
    let mut body = json!({"auth": {"identity": data}});
    body["auth"]["identity"]["methods"] = json!([method]);
    if let Some(scope) = scope(&auth.scope) {
        body["auth"]["scope"] = scope;
    }
    Ok(body)
}

fn user_values(user: &UserRef) -> HashMap<String, Secret> {
    let (name, domain) = match user {
        UserRef::Id(id) => return HashMap::from([("user_id".into(), id.as_str().into())]),
        UserRef::Name { name, domain } => (name, domain),
    };
    let (key, domain) = match domain {
        DomainRef::Id(id) => ("user_domain_id", id),
        DomainRef::Name(name) => ("user_domain_name", name),
    };
    HashMap::from([
        ("username".into(), name.as_str().into()),
        (key.into(), domain.as_str().into()),
    ])
}

/// Ours, not the crate's: that one writes the domain of a user where Keystone does not look for it.
fn application_credential(credential: &CredentialRef, secret: &Secret) -> (&'static str, Value) {
    let secret = secret.expose_secret();
    let data = match credential {
        CredentialRef::Id(id) => json!({"id": id, "secret": secret}),
        CredentialRef::Name {
            name,
            user: UserRef::Id(id),
        } => {
            json!({"name": name, "secret": secret, "user": {"id": id}})
        }
        CredentialRef::Name {
            name,
            user: UserRef::Name { name: user, domain },
        } => {
            json!({"name": name, "secret": secret, "user": {"name": user, "domain": domain_scope(domain)}})
        }
    };
    (
        "application_credential",
        json!({"application_credential": data}),
    )
}

/// `None`: the method brings its own scope, or Keystone takes the user's default.
fn scope(scope: &Scope) -> Option<Value> {
    let scope = match scope {
        Scope::Unscoped => return None,
        Scope::Trust(id) => return Some(json!({"OS-TRUST:trust": {"id": id}})),
        Scope::System => AuthTokenScope::System(System { all: Some(true) }),
        Scope::Domain(domain) => AuthTokenScope::Domain(domain_scope(domain)),
        Scope::Project(ProjectRef::Id(id)) => AuthTokenScope::Project(Project {
            id: Some(id.clone()),
            name: None,
            domain: None,
        }),
        Scope::Project(ProjectRef::Name { name, domain }) => AuthTokenScope::Project(Project {
            id: None,
            name: Some(name.clone()),
            domain: Some(domain_scope(domain)),
        }),
    };
    serde_json::to_value(scope).ok()
}

fn domain_scope(domain: &DomainRef) -> Domain {
    match domain {
        DomainRef::Id(id) => Domain {
            id: Some(id.clone()),
            name: None,
        },
        DomainRef::Name(name) => Domain {
            id: None,
            name: Some(name.clone()),
        },
    }
}

pub(crate) fn token(answer: http::Response<Bytes>, asked: Instant) -> Result<Token, Unusable> {
    let answer = AuthToken::try_from(answer).map_err(|_| Unusable("holds no token"))?;
    let mut header = HeaderValue::from_str(answer.token.expose_secret())
        .map_err(|_| Unusable("holds a token that no header can carry"))?;
    header.set_sensitive(true);
    let info = answer
        .auth_info
        .ok_or(Unusable("says nothing about the token"))?
        .token;
    let expires_at = SystemTime::from(info.expires_at);
    let issued_at = info
        .issued_at
        .map_or_else(SystemTime::now, SystemTime::from);
    let lifetime = expires_at
        .duration_since(issued_at)
        .map_err(|_| Unusable("holds a token that has already expired"))?;
    Ok(Token {
        header,
        asked,
        lifetime,
        is_system: info.system.and_then(|system| system.all).unwrap_or(false),
        catalog: Catalog(info.catalog.unwrap_or_default()),
    })
}

pub(crate) fn validated(body: &[u8]) -> Result<Validated, Unusable> {
    let answer: AuthResponse =
        serde_json::from_slice(body).map_err(|_| Unusable("does not describe a token"))?;
    let info = answer.token;
    let project = info.project.map(|project| {
        Some(ProjectScope {
            id: project.id?,
            name: project.name.unwrap_or_default(),
            domain_id: project.domain.and_then(|domain| domain.id),
        })
    });
    Ok(Validated {
        user_id: info.user.id,
        user_name: info.user.name,
        user_domain_id: info.user.domain.and_then(|domain| domain.id),
        project: match project {
            Some(None) => return Err(Unusable("names a project without an id")),
            Some(project) => project,
            None => None,
        },
        domain_id: info.domain.and_then(|domain| domain.id),
        system: info.system.and_then(|system| system.all).unwrap_or(false),
        roles: info
            .roles
            .unwrap_or_default()
            .into_iter()
            .map(|role| role.name)
            .collect(),
        expires_at: SystemTime::from(info.expires_at),
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
            let mut body = request_body(&auth).unwrap();
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
