//! The target of a request, as policies see it.

use crate::policy::caller::Caller;
use crate::policy::caller::Credential;

/// The thing that a rule is asked about, and whose it is.
///
/// An owner that is not there is left out, where Ironic writes `None`: nobody's node must never be taken for that of a
/// caller without a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Nobody was asked yet: what depends on it stays open.
    Unasked,
    /// There is no thing: the rules of lists and of most creates.
    Nothing,
    Node {
        owner: Option<&'a str>,
        lessee: Option<&'a str>,
    },
    Allocation {
        owner: Option<&'a str>,
    },
    Runbook {
        owner: Option<&'a str>,
    },
}

/// What a check can ask of a target: the caller's own credentials are in it too (`check_owner_policy` in
/// `ironic/api/controllers/v1/utils.py`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    NodeOwner,
    NodeLessee,
    AllocationOwner,
    RunbookOwner,
    Of(Credential),
    /// No target has it.
    Absent,
}

impl Fact {
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "node.owner" => Self::NodeOwner,
            "node.lessee" => Self::NodeLessee,
            "allocation.owner" => Self::AllocationOwner,
            "runbook.owner" => Self::RunbookOwner,
            // `enforce` adds it to the credentials only.
            "system" => Self::Absent,
            _ => Credential::named(name).map_or(Self::Absent, Self::Of),
        }
    }
}

/// What is known of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known<'a> {
    Is(&'a str),
    Absent,
    NotYet,
}

impl<'a> Target<'a> {
    pub(crate) fn fact(&self, fact: Fact, caller: &Caller<'a>) -> Known<'a> {
        let value = match (fact, self) {
            (Fact::Of(credential), _) => caller.value(credential),
            (Fact::Absent, _) => None,
            (_, Self::Unasked) => return Known::NotYet,
            (Fact::NodeOwner, Self::Node { owner, .. })
            | (Fact::AllocationOwner, Self::Allocation { owner })
            | (Fact::RunbookOwner, Self::Runbook { owner }) => *owner,
            (Fact::NodeLessee, Self::Node { lessee, .. }) => *lessee,
            (
                Fact::NodeOwner | Fact::NodeLessee | Fact::AllocationOwner | Fact::RunbookOwner,
                Self::Nothing | Self::Node { .. } | Self::Allocation { .. } | Self::Runbook { .. },
            ) => None,
        };
        value.map_or(Known::Absent, Known::Is)
    }
}
