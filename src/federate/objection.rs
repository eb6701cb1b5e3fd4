//! Why the gateway itself refuses a request, in Ironic's words where Ironic has some.

use thiserror::Error;

use crate::api::accept::Words;
use crate::auth::access::Denied;

/// Why the gateway refuses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Objection {
    /// Not as it is asked for.
    #[error("{0}")]
    Invalid(String),
    /// The same, for a reason that names locations; `plain` is told where they are not (`[api] tell_location`).
    #[error("{text}")]
    Misplaced { text: String, plain: String },
    /// It is not there, or not for this caller: the client is not told which.
    #[error("{0}")]
    Absent(String),
    /// Somebody else has it. `is_sent`: a location got the request all the same, and it is not repeated.
    #[error("{text}")]
    Taken { text: String, is_sent: bool },
    /// Not while it is as it is.
    #[error("{0}")]
    Untimely(String),
    /// The version that is spoken does not have it.
    #[error("{0}")]
    TooNew(String),
    /// Nothing is served under this path.
    #[error("no such path")]
    NoRoute(Words),
    /// Not by this method.
    #[error("no such method")]
    NoMethod,
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("{0}")]
    Forbidden(String),
}

impl Objection {
    /// As pecan answers a client that accepts JSON.
    pub const NOWHERE: Self = Self::NoRoute(Words::Json);
}
