//! The reasons why a location gave no answer.

use std::fmt;

use crate::config::LocationId;
use crate::wire::transport::Reply;

/// Why a location could not be asked, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Connect,
    Timeout,
    /// 5xx or 429.
    Status,
    /// The answer is not Ironic's, or cut off, or too large.
    Body,
    Breaker,
    Quarantine,
    /// Our credentials.
    Refused,
    /// Our credentials are shown a project's part only.
    Scope,
    /// Too many exchanges at the same time.
    Busy,
    /// Its range of API versions is another one than it was: the request has to be made anew.
    Versions,
    /// Its operator has taken it out of service.
    Maintenance,
    /// Its operator lets nothing be changed there.
    ReadOnly,
    /// Its operator lets nothing new be made there.
    Draining,
    /// We ran out of something ourselves: descriptors, memory, a route to any network.
    Gateway,
}

impl Reason {
    pub fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::Body => "body",
            Self::Breaker => "breaker",
            Self::Quarantine => "quarantine",
            Self::Refused => "refused",
            Self::Scope => "scope",
            Self::Busy => "busy",
            Self::Versions => "versions",
            Self::Maintenance => "maintenance",
            Self::ReadOnly => "read_only",
            Self::Draining => "draining",
            Self::Gateway => "gateway",
        }
    }

    /// Whether the operator wants it so.
    pub fn is_ordered(self) -> bool {
        matches!(self, Self::Maintenance | Self::ReadOnly | Self::Draining)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A location could not be asked.
#[derive(Clone, Debug)]
pub struct Silence {
    pub location: LocationId,
    pub reason: Reason,
    /// It was a write and may have been executed.
    pub sent: bool,
    /// An error of Ironic's own, if that is what it said.
    pub reply: Option<Box<Reply>>,
}

impl Silence {
    /// Of who was asked about what was done before: that must not be repeated.
    #[must_use]
    pub fn after_a_write(self) -> Self {
        Self { sent: true, ..self }
    }
}
