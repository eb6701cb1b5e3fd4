//! The gateway's credential for a service, and TLS towards it.

use std::path::PathBuf;

use crate::oslo::secret::Secret;

/// How we prove ourselves at a location.
#[derive(Debug, Clone, PartialEq)]
pub enum LocationAuth {
    /// Not at all.
    None,
    /// RFC 7617.
    HttpBasic {
        /// Without a colon.
        username: String,
        /// Any text.
        password: Secret,
    },
    /// A fixed `X-Auth-Token`.
    AdminToken(Secret),
    /// A token of the location's Keystone.
    Keystone(KeystoneAuth),
}

/// How a token is got from a Keystone.
#[derive(Debug, Clone, PartialEq)]
pub struct KeystoneAuth {
    /// Ends in `/v3/`.
    pub auth_url: String,
    /// What proves us.
    pub method: KeystoneMethod,
    /// What the token is for.
    pub scope: Scope,
}

/// What proves us to a Keystone.
#[derive(Debug, Clone, PartialEq)]
pub enum KeystoneMethod {
    /// `password`
    Password {
        /// Who.
        user: UserRef,
        /// The password.
        password: Secret,
    },
    /// `v3applicationcredential`
    ApplicationCredential {
        /// Which.
        credential: CredentialRef,
        /// Its secret.
        secret: Secret,
    },
    /// `v3token`; cannot be renewed beyond its expiry.
    // keystoneauth's `token` plugin rescopes the token it was given; Keystone keeps the expiry of the first one.
    Token(Secret),
}

/// A user as Keystone's API takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRef {
    /// Unique by itself.
    Id(String),
    /// Unique in its domain.
    Name {
        /// The user's name.
        name: String,
        /// The user's domain.
        domain: DomainRef,
    },
}

/// An application credential as Keystone's API takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialRef {
    /// Unique by itself.
    Id(String),
    /// Unique at its user.
    Name {
        /// The credential's name.
        name: String,
        /// Its owner.
        user: UserRef,
    },
}

/// A domain as Keystone's API takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainRef {
    /// By id.
    Id(String),
    /// By name.
    Name(String),
}

/// A project as Keystone's API takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectRef {
    /// Unique by itself.
    Id(String),
    /// Unique in its domain.
    Name {
        /// The project's name.
        name: String,
        /// The project's domain.
        domain: DomainRef,
    },
}

/// What a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// `system_scope = all`
    System,
    /// A domain.
    Domain(DomainRef),
    /// A project.
    Project(ProjectRef),
    /// A trust, by id.
    Trust(String),
    /// As the application credential or the token says.
    Unscoped,
}

/// TLS towards a service; the files were readable at load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    /// PEM authorities instead of the system's.
    pub cafile: Option<PathBuf>,
    /// PEM client certificate; holds the key too if `keyfile` is `None`.
    pub certfile: Option<PathBuf>,
    /// PEM key of the client certificate.
    pub keyfile: Option<PathBuf>,
    /// Nothing is verified.
    pub insecure: bool,
}

impl Session {
    /// Everything that is read from disk.
    pub fn files(&self) -> Vec<PathBuf> {
        [&self.cafile, &self.certfile, &self.keyfile]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }
}

/// Which of a service's endpoints in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interface {
    /// `public`
    Public,
    /// `internal`
    Internal,
    /// `admin`
    Admin,
}

impl Interface {
    /// As the catalog spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
        }
    }
}
