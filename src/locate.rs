//! Which location has it? "Nobody has it" and "not everybody could be asked" are different answers.

pub mod directory;
pub mod state;

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::StatusCode;
use thiserror::Error;
use tokio::sync::watch;
use uuid::Uuid;

use crate::api::collection::Collection;
use crate::api::json;
use crate::api::microversion::Microversion;
use crate::api::query::encode_segment;
use crate::config::DirectoryConfig;
use crate::config::LocationId;
use crate::locate::directory::Directory;
use crate::locate::directory::Key;
use crate::locations::Locations;
use crate::locations::question::Asker;
use crate::locations::question::Question;
use crate::locations::silence::Reason;
use crate::locations::silence::Silence;
use crate::locations::speech::Said;
use crate::wire::transport::Reply;

/// Who has a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub location: LocationId,
    /// What the location calls it; unknown if only a name was ever seen.
    pub uuid: Option<Uuid>,
    pub source: Source,
}

/// How we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the directory: it may be gone.
    Remembered,
    /// The location has just said so.
    Asked,
}

/// Why no single location is known to have it.
#[derive(Clone, Debug, Error)]
pub enum LocateError {
    /// Every location was asked, now, and said no: the words of the first one.
    #[error("no location has it")]
    Nobody {
        first: LocationId,
        reply: Box<Reply>,
    },
    #[error("more than one location has it")]
    Ambiguous { owners: Vec<LocationId> },
    /// Some said no, these could not be asked.
    #[error("not every location could be asked")]
    Unasked { silent: Vec<Silence> },
    /// No location ever told its versions.
    #[error("no location is known")]
    Unready,
}

type Verdict = Result<Owner, LocateError>;

/// Finds things and remembers where they are.
#[derive(Debug)]
pub struct Locator {
    pub directory: Directory,
    locations: Arc<Locations>,
    /// Polls under way: who wants the same thing waits for the same poll.
    polls: Mutex<HashMap<Key, watch::Receiver<Option<Verdict>>>>,
}

impl Locator {
    pub fn new(config: &DirectoryConfig, locations: Arc<Locations>) -> Self {
        Self {
            directory: Directory::new(config),
            locations,
            polls: Mutex::default(),
        }
    }

    /// What passed by tells where things are. Where answers depend on the user, nothing is learnt from them.
    pub fn learn(
        &self,
        collection: Collection,
        uuid: Option<&str>,
        name: Option<&str>,
        location: LocationId,
    ) {
        if collection.is_cached() && !self.locations.location(location).config.forward_user_token {
            self.directory
                .learn(collection, uuid, name, location, Instant::now());
        }
    }

    /// Learns from the body of one resource.
    pub fn learn_document(&self, collection: Collection, body: &[u8], location: LocationId) {
        if let Ok([uuid, name]) = json::strings(body, ["uuid", "name"]) {
            self.learn(collection, uuid.as_deref(), name.as_deref(), location);
        }
    }

    /// Who has it, as far as is remembered, else as the locations say.
    pub async fn locate(&self, asker: &Asker, key: &Key) -> Verdict {
        match self.remembered(key) {
            Some(owner) => Ok(owner),
            None => self.poll(asker, key).await,
        }
    }

    pub fn remembered(&self, key: &Key) -> Option<Owner> {
        let entry = self.directory.entry(key, Instant::now())?;
        let uuid = match key.ident {
            directory::Ident::Uuid(uuid) => Some(uuid),
            directory::Ident::Text(_) => entry.uuid(),
        };
        Some(Owner {
            location: entry.location,
            uuid,
            source: Source::Remembered,
        })
    }

    /// Asks the locations, whatever is remembered. Concurrent calls for one thing share one poll.
    pub async fn poll(&self, asker: &Asker, key: &Key) -> Verdict {
        let Some(common) = self.locations.common() else {
            return Err(LocateError::Unready);
        };
        let question = question(key, common.max());
        self.poll_with(asker, key, &question)
            .await
            .map(|(owner, _)| owner)
    }

    /// The same by a question whose answer is of use itself: it comes back, unless somebody else polled. The question
    /// must be one that every location answers with the thing's identifier if it has it, and with a 404 if not.
    pub async fn poll_with(
        &self,
        asker: &Asker,
        key: &Key,
        question: &Question,
    ) -> Result<(Owner, Option<Reply>), LocateError> {
        if self
            .locations
            .iter()
            .any(|location| location.config.forward_user_token)
        {
            // What is there depends on who asks.
            let (owner, reply) = self.ask_all(asker, key, question).await?;
            return Ok((owner, Some(reply)));
        }
        loop {
            let leader = {
                let mut polls = self.polls();
                // A poll may have ended since the directory was looked into.
                if let Some(owner) = self.remembered(key) {
                    return Ok((owner, None));
                }
                if let Some(verdict) = polls.get(key) {
                    Err(verdict.clone())
                } else {
                    let (sender, receiver) = watch::channel(None);
                    polls.insert(key.clone(), receiver);
                    Ok(Poll {
                        locator: self,
                        key,
                        sender,
                    })
                }
            };
            match leader {
                Ok(poll) => {
                    let found = self.ask_all(asker, key, question).await;
                    let verdict = found.as_ref().map(|(owner, _)| owner.clone());
                    poll.sender
                        .send_replace(Some(verdict.map_err(Clone::clone)));
                    return found.map(|(owner, reply)| (owner, Some(reply)));
                }
                Err(mut verdict) => {
                    // An error means that whoever polled went away before the answer: then it is our turn.
                    if let Ok(verdict) = verdict.wait_for(Option::is_some).await
                        && let Some(verdict) = verdict.clone()
                    {
                        return verdict.map(|owner| (owner, None));
                    }
                }
            }
        }
    }

    fn polls(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Option<Verdict>>>> {
        self.polls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask_all(
        &self,
        asker: &Asker,
        key: &Key,
        question: &Question,
    ) -> Result<(Owner, Reply), LocateError> {
        let mut answers: FuturesUnordered<_> = self
            .locations
            .iter()
            .map(|location| async { (location.id, location.ask(asker, question).await) })
            .collect();
        let mut poll = Tally::default();
        while let Some((location, answer)) = answers.next().await {
            match answer {
                Ok(Said::Has(reply)) => {
                    let Some(owner) = owner(key.collection, location, &reply) else {
                        poll.silent
                            .push(self.locations.location(location).misspoke());
                        continue;
                    };
                    if key.ident.is_uuid_like() {
                        // The other questions are dropped with the stream.
                        self.remember(key, &owner, &reply);
                        return Ok((owner, reply));
                    }
                    poll.owners.push((owner, reply));
                }
                Ok(Said::No(reply)) => poll.refusals.push((location, reply)),
                // A 400 is Ironic's way to say that nothing can have such a name.
                Ok(Said::Refuses(reply)) if reply.status == StatusCode::BAD_REQUEST => {
                    poll.refusals.push((location, reply));
                }
                // Where the user's token is shown, Ironic may refuse the user.
                Ok(Said::Refuses(reply))
                    if matches!(
                        reply.status,
                        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
                    ) =>
                {
                    poll.refusals.push((location, reply));
                }
                Ok(Said::Refuses(_) | Said::Fails(_)) => {
                    let location = self.locations.location(location);
                    poll.silent.push(location.silent(Reason::Status));
                }
                Err(silence) => poll.silent.push(silence),
            }
        }
        let found = poll.verdict();
        found.inspect(|(owner, reply)| self.remember(key, owner, reply))
    }

    /// Under the very identifier that was asked for: a location may match it in other spellings.
    fn remember(&self, key: &Key, owner: &Owner, reply: &Reply) {
        self.learn_document(key.collection, &reply.body, owner.location);
        match &key.ident {
            directory::Ident::Uuid(uuid) if self.directory.entry(key, Instant::now()).is_none() => {
                self.learn(
                    key.collection,
                    Some(&uuid.to_string()),
                    None,
                    owner.location,
                );
            }
            directory::Ident::Uuid(_) => {}
            directory::Ident::Text(text) => {
                let uuid = owner.uuid.map(|uuid| uuid.to_string());
                self.learn(key.collection, uuid.as_deref(), Some(text), owner.location);
            }
        }
    }

    /// What one location calls it. It need not be there: then the location says so to whatever is asked next.
    pub async fn identify(&self, asker: &Asker, location: LocationId, key: &Key) -> Verdict {
        let Some(common) = self.locations.common() else {
            return Err(LocateError::Unready);
        };
        let question = question(key, common.max());
        let unknown = Owner {
            location,
            uuid: None,
            source: Source::Asked,
        };
        match self
            .locations
            .location(location)
            .reply(asker, &question)
            .await
        {
            Ok(reply) if reply.status == StatusCode::OK => {
                Ok(owner(key.collection, location, &reply).unwrap_or(unknown))
            }
            Ok(_) => Ok(unknown),
            Err(silence) => Err(LocateError::Unasked {
                silent: vec![silence],
            }),
        }
    }

    /// It is not where it was: forgotten, and looked for.
    pub async fn locate_again(&self, asker: &Asker, key: &Key) -> Verdict {
        self.directory.forget(key);
        self.poll(asker, key).await
    }
}

/// Who says that it has the thing; `None`: what it says is no resource.
fn owner(collection: Collection, location: LocationId, reply: &Reply) -> Option<Owner> {
    let id = json::member(&reply.body, collection.facts().id).ok()??;
    let uuid = Uuid::try_parse(&id).ok();
    Some(Owner {
        location,
        uuid,
        source: Source::Asked,
    })
}

/// A poll under way, taken off the list however it ends.
struct Poll<'a> {
    locator: &'a Locator,
    key: &'a Key,
    sender: watch::Sender<Option<Verdict>>,
}

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        self.locator.polls().remove(self.key);
    }
}

/// What a poll brought in.
#[derive(Default)]
struct Tally {
    owners: Vec<(Owner, Reply)>,
    refusals: Vec<(LocationId, Reply)>,
    silent: Vec<Silence>,
}

impl Tally {
    fn verdict(mut self) -> Result<(Owner, Reply), LocateError> {
        match self.owners.len() {
            1 => Ok(self.owners.remove(0)),
            0 => {
                // Who refuses the user's token did not say no.
                let first = self.refusals.into_iter().min_by_key(|(location, reply)| {
                    let said_no = matches!(
                        reply.status,
                        StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST
                    );
                    (said_no, *location)
                });
                if let (true, Some((first, reply))) = (self.silent.is_empty(), first) {
                    return Err(LocateError::Nobody {
                        first,
                        reply: Box::new(reply),
                    });
                }
                self.silent.sort_by_key(|silence| silence.location);
                Err(LocateError::Unasked {
                    silent: self.silent,
                })
            }
            _ => {
                let mut owners: Vec<_> = self
                    .owners
                    .iter()
                    .map(|(owner, _)| owner.location)
                    .collect();
                owners.sort_unstable();
                Err(LocateError::Ambiguous { owners })
            }
        }
    }
}

/// What the answer has to hold is the thing that was asked for, whoever answers.
fn question(key: &Key, version: Microversion) -> Question {
    Question::get(path(key, version), version).for_member(key.collection, &key.ident.to_string())
}

/// The question for one thing: as little of it as the version can select.
fn path(key: &Key, version: Microversion) -> String {
    let facts = key.collection.facts();
    let ident = match &key.ident {
        directory::Ident::Uuid(uuid) => uuid.to_string(),
        directory::Ident::Text(text) => encode_segment(text).into_owned(),
    };
    let mut path = format!("/v1/{}/{ident}", facts.path);
    if version.minor >= 8 {
        let named = facts.name_since.is_some_and(|since| version.minor >= since);
        // Writing to a String cannot fail.
        let _ = write!(
            path,
            "?fields={}{}",
            facts.id,
            if named { ",name" } else { "" }
        );
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let owner = |location| Owner {
            location: LocationId(location),
            uuid: None,
            source: Source::Asked,
        };
        let silent = |location| Silence {
            location: LocationId(location),
            reason: Reason::Timeout,
            sent: false,
            reply: None,
        };
        let verdict = |owners: &[u16], silences: &[u16]| {
            let reply = Reply {
                status: StatusCode::NOT_FOUND,
                headers: http::HeaderMap::new(),
                body: "no".into(),
            };
            let owners = owners
                .iter()
                .map(|location| (owner(*location), reply.clone()))
                .collect();
            let refusals = vec![(LocationId(3), reply.clone()), (LocationId(2), reply)];
            Tally {
                owners,
                refusals,
                silent: silences.iter().copied().map(silent).collect(),
            }
            .verdict()
            .map(|(owner, _)| owner)
        };
        assert!(matches!(
            verdict(&[], &[]),
            Err(LocateError::Nobody {
                first: LocationId(2),
                ..
            })
        ));
        assert!(
            matches!(verdict(&[], &[2, 1]), Err(LocateError::Unasked { silent }) if silent[0].location == LocationId(1))
        );
        assert_eq!(verdict(&[1], &[]).unwrap(), owner(1));
        assert_eq!(
            verdict(&[1], &[0, 2]).unwrap(),
            owner(1),
            "one owner is served, whoever is silent"
        );
        assert!(
            matches!(verdict(&[2, 1], &[]), Err(LocateError::Ambiguous { owners }) if owners == [LocationId(1), LocationId(2)])
        );
    }

    #[test]
    fn as_little_as_the_version_can_select() {
        let version = |minor| Microversion::new(1, minor);
        for (collection, ident, minor, expected) in [
            (
                Collection::Nodes,
                "a b",
                115,
                "/v1/nodes/a%20b?fields=uuid,name",
            ),
            (Collection::Nodes, "a", 7, "/v1/nodes/a"),
            (Collection::Ports, "a", 87, "/v1/ports/a?fields=uuid"),
            (
                Collection::VolumeTargets,
                "a",
                115,
                "/v1/volume/targets/a?fields=uuid",
            ),
            (
                Collection::Conductors,
                "h",
                115,
                "/v1/conductors/h?fields=hostname",
            ),
        ] {
            assert_eq!(path(&Key::new(collection, ident), version(minor)), expected);
        }
    }
}
