//! Finds the one location that has a thing, wherever it is named: in a path, a query or a body. Since the directory
//! may be out of date, a location's *no* counts only after all locations were asked again.

use std::collections::HashSet;

use http::StatusCode;
use log::warn;

use crate::api::collection::Collection;
use crate::api::fault;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::claim::Claim;
use crate::federate::claim::Stake;
use crate::federate::hold::Hold;
use crate::locate::LocateError;
use crate::locate::Locator;
use crate::locate::Owner;
use crate::locate::Source;
use crate::locate::directory::Ident;
use crate::locate::directory::Key;
use crate::locations::question::Asker;
use crate::locations::silence::Reason;
use crate::locations::silence::Silence;
use crate::request::Answer;
use crate::request::Request;

/// More moves than this within one request mean that locations contradict each other.
const MOVES: usize = 3;

/// A request for a thing, and the location that is thought to have it.
#[derive(Debug)]
pub struct Visit<'a> {
    locator: &'a Locator,
    asker: &'a Asker,
    pub key: Key,
    pub owner: Owner,
    moves: usize,
    /// The location denied what it had just confirmed, and is being asked once more.
    repeated: bool,
    /// The client speaks a version in which Ironic knows nothing by its name, so a *no* to a name is no contradiction.
    is_blind: bool,
}

/// Why the thing may be elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The location says that it does not have it.
    Absent,
    /// The location refuses, for this or another reason.
    Perhaps,
    /// We refuse, and would not if it was elsewhere.
    Ours,
}

impl Denial {
    /// What an error about a member, or about something below it, says of the member itself.
    pub fn of(collection: Collection, body: &[u8]) -> Self {
        let text = fault::text_of(body).unwrap_or_default();
        // "Node inventory record for node x could not be found." is about something else. Identifiers hold no blanks.
        let named = text
            .strip_prefix(collection.facts().noun)
            .and_then(|rest| rest.strip_suffix(" could not be found."))
            .and_then(|rest| rest.strip_prefix(' '));
        if named.is_some_and(|named| !named.contains(' ')) {
            Self::Absent
        } else {
            Self::Perhaps
        }
    }

    /// What an answer says of it; `None`: nothing. For a node that is named in a query or a body, and for one whose
    /// allocation is asked for, Ironic says with a 400 that it is not there.
    pub fn in_reply(collection: Collection, status: StatusCode, body: &[u8]) -> Option<Self> {
        match status {
            StatusCode::NOT_FOUND => Some(Self::of(collection, body)),
            StatusCode::BAD_REQUEST => {
                Some(Self::of(collection, body)).filter(|denial| *denial == Self::Absent)
            }
            _ => None,
        }
    }

    /// The same of a whole answer.
    pub fn in_answer(collection: Collection, answer: &Result<Answer, Error>) -> Option<Self> {
        match answer {
            Ok(answer) => Self::in_reply(collection, answer.status, answer.body.whole()),
            Err(Error::Reply(answer)) => {
                Self::in_reply(collection, answer.status, answer.body.whole())
            }
            Err(_) => None,
        }
    }
}

/// What follows from a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The owner is another one, or is asked once more.
    Again,
    /// It is right.
    Believe,
}

impl Visit<'_> {
    pub fn location(&self) -> LocationId {
        self.owner.location
    }

    /// What to do about it: everybody is asked anew.
    pub async fn denied(&mut self, denial: Denial) -> Result<Next, Error> {
        if self.is_blind {
            return Ok(Next::Believe);
        }
        // Who names a location wants its word and nobody else's; and where everybody was asked a moment ago, only a
        // plain "it is not here" is worth asking again.
        match (self.owner.source, denial) {
            (Source::Pinned, _) | (Source::Asked, Denial::Perhaps | Denial::Ours) => {
                return Ok(Next::Believe);
            }
            (Source::Asked, Denial::Absent) | (Source::Remembered, _) => {}
        }
        let before = self.owner.location;
        self.owner = match self.locator.owner_anew(self.asker, &self.key).await {
            Ok(owner) => owner,
            // Nobody has it, so the 404 that the location gave is the right answer.
            Err(LocateError::Nobody { .. }) if denial != Denial::Ours => return Ok(Next::Believe),
            Err(error) => return Err(error.into()),
        };
        let moved = self.owner.location != before;
        match denial {
            Denial::Perhaps | Denial::Ours if !moved => Ok(Next::Believe),
            _ if moved && self.moves < MOVES => {
                self.moves += 1;
                Ok(Next::Again)
            }
            _ if !moved && !self.repeated => {
                self.repeated = true;
                Ok(Next::Again)
            }
            _ => {
                warn!(
                    "{} {}: its location says that it is there, and then that it is not",
                    self.key.collection.facts().noun,
                    self.key.ident
                );
                Err(Silence {
                    location: self.owner.location,
                    reason: Reason::Body,
                    sent: false,
                    reply: None,
                }
                .into())
            }
        }
    }
}

/// One thing, as a path or a query names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    pub(super) collection: Collection,
    pub(super) ident: &'a str,
}

impl<'a> Member<'a> {
    pub(super) fn node(ident: &'a str) -> Self {
        Self {
            collection: Collection::Nodes,
            ident,
        }
    }
}

impl Federation {
    /// The way from an identifier to a location.
    pub async fn owner(
        &self,
        request: &Request,
        collection: Collection,
        ident: &str,
    ) -> Result<Owner, Error> {
        Ok(self.visit(request, collection, ident).await?.owner)
    }

    /// The same, for a request that is about to be sent there.
    pub async fn visit<'a>(
        &'a self,
        request: &'a Request,
        collection: Collection,
        ident: &str,
    ) -> Result<Visit<'a>, Error> {
        self.visit_as(request, &request.asker, collection, ident)
            .await
    }

    /// The same of what is remembered by its UUID, or `None`.
    pub(super) fn revisit<'a>(&'a self, request: &'a Request, key: &Key) -> Option<Visit<'a>> {
        // By a name Ironic may mean something else.
        if request.pinned.is_some() || !key.ident.is_uuid_like() {
            return None;
        }
        Some(Visit {
            locator: &self.locator,
            asker: &request.asker,
            key: key.clone(),
            owner: self.locator.recalled(key)?,
            moves: 0,
            repeated: false,
            is_blind: false,
        })
    }

    /// The same, in another's name.
    pub async fn visit_as<'a>(
        &'a self,
        request: &Request,
        asker: &'a Asker,
        collection: Collection,
        ident: &str,
    ) -> Result<Visit<'a>, Error> {
        let visit = |key, owner| Visit {
            locator: &self.locator,
            asker,
            key,
            owner,
            moves: 0,
            repeated: false,
            is_blind: !Ident::new(ident).is_uuid_like()
                && collection.facts().name_since.is_some()
                && !collection.finds_names(request.version),
        };
        let key = Key::new(collection, ident);
        if let Some(location) = request.pinned {
            self.locator.check(&key, Some(location))?;
            let owner = Owner {
                location,
                uuid: None,
                source: Source::Pinned,
            };
            return Ok(visit(key, owner));
        }
        match self.locator.owner(asker, &key).await {
            // Below 1.91 Ironic takes `.json` off the end of a path, so `a.json` may mean a node called `a` or one
            // called `a.json`.
            Err(LocateError::Nobody { first, reply }) => {
                let Some(whole) = request.target.fallback(ident) else {
                    return Err(LocateError::Nobody { first, reply }.into());
                };
                let longer = Key::new(collection, &whole);
                match self.locator.owner(asker, &longer).await {
                    Ok(owner) => Ok(visit(longer, owner)),
                    Err(LocateError::Nobody { .. }) => {
                        Err(LocateError::Nobody { first, reply }.into())
                    }
                    Err(error) => Err(error.into()),
                }
            }
            owner => Ok(visit(key, owner?)),
        }
    }

    /// Waits until nobody else claims any of it, here or at a gateway that shares our backend. Refused if the latter cannot
    /// be made sure and has to be.
    pub async fn hold(&self, request: &Request, claims: &[Claim]) -> Result<Hold<'_>, Error> {
        let stakes = claims.iter().map(|claim| claim.stake.clone()).collect();
        let hold = self.hold_stakes(request, stakes).await?;
        hold.suffices(self.require_unique)?;
        Ok(hold)
    }

    /// The same for what need not be unique.
    pub async fn hold_stakes(
        &self,
        request: &Request,
        stakes: HashSet<Stake>,
    ) -> Result<Hold<'_>, Error> {
        let backend = self.backend.as_ref();
        Hold::take(&self.turns, backend, stakes, request.asker.deadline).await
    }

    /// Whether a node is at this location. A *no* is never taken from the directory alone.
    pub async fn is_at(
        &self,
        request: &Request,
        home: LocationId,
        node: &str,
    ) -> Result<bool, LocateError> {
        let key = Key::new(Collection::Nodes, node);
        let owner = self.locator.owner(&request.asker, &key).await?;
        if owner.location == home || owner.source != Source::Remembered {
            return Ok(owner.location == home);
        }
        let owner = self.locator.owner_anew(&request.asker, &key).await?;
        Ok(owner.location == home)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::fault::Fault;

    #[test]
    fn what_a_404_is_about() {
        for (text, denial) in [
            ("Node a could not be found.", Denial::Absent),
            ("Node u doesn't have a trait 'CUSTOM_A'", Denial::Perhaps),
            ("Portgroup None could not be found.", Denial::Perhaps),
            ("Node history record a could not be found.", Denial::Perhaps),
            (
                "Node inventory record for node a could not be found.",
                Denial::Perhaps,
            ),
            ("", Denial::Perhaps),
        ] {
            let body = Fault::new(StatusCode::NOT_FOUND, text).body();
            assert_eq!(Denial::of(Collection::Nodes, &body), denial, "{text}");
        }
    }
}
