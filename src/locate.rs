//! Which location has it? "Nobody has it" and "not everybody could be asked" are different answers.
//!
//! - [`directory`]: where things were seen last, and how far that is believed;
//! - [`polls`]: concurrent questions about one thing are asked once;
//! - [`verdict`]: what the answers of several locations mean together;
//! - [`lesson`]: what the directory learns from it;
//! - [`state`]: what survives a restart;
//! - [`lookups`], [`tally`]: how look-ups ended and what the directory holds, counted.

pub mod directory;
pub mod lesson;
pub mod lookups;
pub mod polls;
pub mod state;
pub mod tally;
pub mod verdict;

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use http::HeaderValue;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use log::error;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::api::collection::Collection;
use crate::api::fault::Fault;
use crate::api::json;
use crate::api::microversion::Microversion;
use crate::api::query::encode_segment;
use crate::api::route;
use crate::config::DirectoryConfig;
use crate::config::LocationId;
use crate::locate::directory::Asked;
use crate::locate::directory::Directory;
use crate::locate::directory::Hint;
use crate::locate::directory::Ident;
use crate::locate::directory::Key;
use crate::locate::directory::Learnt;
use crate::locate::directory::Place;
use crate::locate::directory::Remembered;
use crate::locate::directory::Sighting;
use crate::locate::lesson::Known;
use crate::locate::lesson::Lesson;
use crate::locate::lookups::Lookups;
use crate::locate::polls::Polls;
use crate::locate::polls::Turn;
use crate::locate::tally::Counted;
pub use crate::locate::verdict::LocateError;
pub use crate::locate::verdict::Owner;
pub use crate::locate::verdict::Source;
use crate::locate::verdict::Tally;
use crate::locate::verdict::Verdict;
use crate::locations::Locations;
use crate::locations::location::Location;
use crate::locations::question::Asker;
use crate::locations::question::Question;
use crate::locations::speech::Said;
use crate::locations::speech::Words;
use crate::locations::window::AT_ONCE;
use crate::locations::window::PATIENCE;
use crate::wire::transport::Reply;

/// Finds things and remembers where they are.
#[derive(Debug)]
pub struct Locator {
    pub directory: Arc<Directory>,
    pub lookups: Arc<Lookups>,
    locations: Arc<Locations>,
    /// What the directory calls each of them, by id, and back.
    places: Vec<Place>,
    ids: Vec<Option<LocationId>>,
    /// The directory's generation when these became the locations.
    generation: u32,
    polls: Polls<(Key, Breadth), Verdict>,
    nodes: Counted<HashMap<LocationId, usize>>,
}

/// How many answers a poll waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Breadth {
    /// An unknown UUID: the first location that has it is taken, and the other questions are dropped.
    First,
    /// A name, which two things may have, or anything in doubt: all answers are needed.
    All,
    /// The same, whatever is remembered. Nobody else is believed while who had it before is silent.
    Anew(Option<LocationId>),
}

/// What a poll brought in; the reply only for who polled.
type Found = Result<(Owner, Option<Reply>), LocateError>;

impl Locator {
    /// With what was known of the same locations before, if anything was.
    pub fn new(config: &DirectoryConfig, locations: Arc<Locations>, before: Option<&Self>) -> Self {
        let kept = before.map(|before| Arc::clone(&before.directory));
        let name = |location: &Location| location.name().to_owned();
        let names: Vec<_> = locations.iter().map(name).collect();
        let places = |directory: &Directory| -> Option<Vec<Place>> {
            names.iter().map(|name| directory.place(name)).collect()
        };
        let new = || Arc::new(Directory::new(config));
        let mut directory = kept.unwrap_or_else(new);
        let mut known = places(&directory);
        if known.is_none() {
            // 65536 location names were used since the start. An empty directory costs polls, nothing else.
            directory = new();
            known = places(&directory);
        }
        let places = known.unwrap_or_default();
        let mut ids = Vec::new();
        for (id, place) in (0..).map(LocationId).zip(&places) {
            let place = usize::from(place.0);
            ids.resize(ids.len().max(place + 1), None);
            ids[place] = Some(id);
        }
        if before.is_some_and(|before| !before.locations.include(&locations)) {
            directory.begin_generation(Instant::now());
        }
        Self {
            generation: directory.generation(),
            directory,
            lookups: before.map_or_else(Arc::default, |before| Arc::clone(&before.lookups)),
            locations,
            places,
            ids,
            polls: Polls::default(),
            nodes: Counted::default(),
        }
    }

    /// An id comes from this very configuration, so it always has a place.
    fn place(&self, id: LocationId) -> Place {
        self.places[usize::from(id.0)]
    }

    /// `None`: that location is none of ours any longer, or not yet.
    fn id(&self, place: Place) -> Option<LocationId> {
        self.ids.get(usize::from(place.0)).copied().flatten()
    }

    /// Where to ask first, if that place is one of these locations.
    fn hint(&self, key: &Key) -> Option<Hint<LocationId>> {
        Some(match self.directory.hint(key, Instant::now())? {
            Hint::At(place) => Hint::At(self.id(place)?),
            Hint::Contested { known } => Hint::Contested {
                known: self.id(known)?,
            },
        })
    }

    /// Where it was seen last, whatever that is worth, if that is one of these locations.
    pub fn seen(&self, key: &Key, now: Instant) -> Option<Remembered<LocationId>> {
        let seen = self.directory.remembered(key, now)?;
        Some(Remembered {
            location: self.id(seen.location)?,
            age: seen.age,
            belief: seen.belief,
            uuid: seen.uuid,
            name: seen.name,
        })
    }

    /// How many nodes were seen at each location.
    pub fn nodes_by_location(&self) -> HashMap<LocationId, usize> {
        self.nodes.get(|| {
            let counts = self.directory.nodes_by_place().into_iter();
            counts
                .filter_map(|(place, count)| Some((self.id(place)?, count)))
                .collect()
        })
    }

    /// Everything that is known by UUID, with its name.
    pub fn known(&self) -> impl Iterator<Item = (Collection, Uuid, Option<Arc<str>>, LocationId)> {
        self.directory
            .known()
            .filter_map(|(collection, uuid, name, place)| {
                Some((collection, uuid, name, self.id(place)?))
            })
    }

    /// Learns where a thing is from an answer that passes.
    pub fn learn(
        &self,
        collection: Collection,
        uuid: Option<&str>,
        name: Option<&str>,
        location: LocationId,
    ) {
        let sighting = Sighting {
            uuid,
            name,
            location,
            asked: Asked::Some,
        };
        self.note(collection, sighting);
    }

    /// Something was seen. Where answers depend on the user, nothing is learnt from them.
    pub fn note(&self, collection: Collection, sighting: Sighting<'_, LocationId>) {
        let forwards = |id| self.locations.location(id).config.forward_user_token;
        if !collection.is_cached() || forwards(sighting.location) {
            return;
        }
        // Taken before the generation is read: a reload in between makes this sighting older than the new generation.
        let now = Instant::now();
        let seen = Sighting {
            uuid: sighting.uuid,
            name: sighting.name,
            location: self.place(sighting.location),
            asked: if self.is_current() {
                sighting.asked
            } else {
                Asked::Some
            },
        };
        if let Learnt::Contested { known } = self.directory.learn(collection, seen, now)
            && let Some(known) = self.id(known)
        {
            self.report_contest(collection, sighting.uuid, [known, sighting.location]);
        }
    }

    /// With a user's own token one caller's 404 is not another's, so no poll is shared.
    fn depends_on_users(&self) -> bool {
        let mut locations = self.locations.iter();
        locations.any(|location| location.config.forward_user_token)
    }

    /// Whether all answers to this asker together tell of everything. To a user a location may show a part of what it has,
    /// and its *no* then proves nothing to another one.
    pub fn is_told_everything(&self, asker: &Asker) -> bool {
        let mut locations = self.locations.iter();
        locations.all(|location| location.shows_ours(asker))
    }

    /// Whether no location was added since: then "all of ours answered" still means all.
    fn is_current(&self) -> bool {
        self.directory.generation() == self.generation
    }

    fn report_contest(&self, collection: Collection, uuid: Option<&str>, at: [LocationId; 2]) {
        let [known, claiming] = at.map(|id| self.locations.location(id).name());
        error!(
            "{} {} is known at location `{known}` and location `{claiming}` shows it too: if both have it, it is not \
             changed without X-Ironic-Proxy-Location",
            collection.facts().noun,
            uuid.unwrap_or_default()
        );
    }

    /// The way from an identifier to a location, wherever the identifier stands: as far as is remembered, else as the
    /// locations say.
    pub async fn owner(&self, asker: &Asker, key: &Key) -> Verdict {
        self.check(key, None)?;
        match self.recalled(key) {
            Some(owner) => Ok(owner),
            None => self.poll(asker, key).await,
        }
    }

    /// Nobody is asked for what cannot be asked for by its path: pecan would dispatch such a name to a sub-controller
    /// (`/v1/nodes/states`) instead of looking a node up, and web servers take dots for a way up.
    /// `pinned`: the one that would have been asked, whose word it then is.
    pub fn check(&self, key: &Key, pinned: Option<LocationId>) -> Result<(), LocateError> {
        match &key.ident {
            Ident::Text(text) if !route::identifies(key.collection, text) => {
                Err(self.nobody(key.collection, text, pinned))
            }
            _ => Ok(()),
        }
    }

    /// The same without asking anybody; `None` if nobody is remembered.
    pub fn recalled(&self, key: &Key) -> Option<Owner> {
        let owner = self.remembered(key)?;
        self.lookups.ended(Ok(&owner));
        Some(owner)
    }

    /// What no location can have, in Ironic's words.
    fn nobody(
        &self,
        collection: Collection,
        text: &str,
        pinned: Option<LocationId>,
    ) -> LocateError {
        let text = format!("{} {text} could not be found.", collection.facts().noun);
        let fault = Fault::new(StatusCode::NOT_FOUND, text);
        let json = HeaderValue::from_static("application/json");
        let mut locations = self.locations.iter();
        let mut anyone = || locations.find(|location| location.is_reachable());
        LocateError::Nobody {
            first: pinned
                .or_else(|| Some(anyone()?.id))
                .unwrap_or(LocationId(0)),
            reply: Box::new(Reply {
                status: fault.status,
                headers: HeaderMap::from_iter([(CONTENT_TYPE, json)]),
                body: fault.body(),
            }),
        }
    }

    /// The remembered owner said no: the entry is dropped, and every location is asked.
    pub async fn owner_anew(&self, asker: &Asker, key: &Key) -> Verdict {
        self.lookups.stale();
        let verdict = self.ask_anew(asker, key).await;
        self.lookups.ended(verdict.as_ref());
        verdict
    }

    /// Every location is asked, whatever is remembered.
    pub async fn ask_anew(&self, asker: &Asker, key: &Key) -> Verdict {
        let question = self.question(key)?;
        let before = self.remembered(key).map(|owner| owner.location);
        let breadth = Breadth::Anew(before);
        if self.depends_on_users() {
            let found = self.ask_all(asker, key, &question, breadth).await;
            return found.map(|(owner, _)| owner);
        }
        let came = self.polls.arrive();
        loop {
            match self.polls.turn(&(key.clone(), breadth), came) {
                Turn::Lead(poll) => {
                    let verdict = self.ask_all(asker, key, &question, breadth).await;
                    let verdict = verdict.map(|(owner, _)| owner);
                    poll.tell(verdict.clone());
                    return verdict;
                }
                Turn::Join(mut shared) => {
                    // A poll that began before this request's 404 may report the state from before the thing was
                    // deleted.
                    let verdict = shared.verdict().await;
                    if let (true, Some(verdict)) = (shared.is_later, verdict) {
                        return verdict;
                    }
                }
            }
        }
    }

    /// Nothing is remembered of it, not even a doubt.
    pub fn is_unknown(&self, key: &Key) -> bool {
        self.hint(key).is_none()
    }

    pub fn remembered(&self, key: &Key) -> Option<Owner> {
        match self.hint(key)? {
            Hint::At(location) => Some(Owner {
                location,
                uuid: None,
                source: Source::Remembered,
            }),
            Hint::Contested { .. } => None,
        }
    }

    /// Asks the locations. Concurrent calls for one thing share one poll.
    pub async fn poll(&self, asker: &Asker, key: &Key) -> Verdict {
        let found = match self.question(key) {
            Ok(question) => self.find_with(asker, key, &question).await,
            Err(error) => Err(error),
        };
        let verdict = found.map(|(owner, _)| owner);
        self.lookups.ended(verdict.as_ref());
        verdict
    }

    /// The same by a question whose answer is of use itself: it comes back, unless somebody else polled. The question
    /// must be one that every location answers with the thing's identifier if it has it, and with a 404 if not.
    pub async fn poll_with(&self, asker: &Asker, key: &Key, question: &Question) -> Found {
        let found = self.find_with(asker, key, question).await;
        match &found {
            // Whoever gets no reply asks the owner next, and looks it up again for that.
            Ok((_, None)) => {}
            Ok((owner, Some(_))) => self.lookups.ended(Ok(owner)),
            Err(error) => self.lookups.ended(Err(error)),
        }
        found
    }

    async fn find_with(&self, asker: &Asker, key: &Key, question: &Question) -> Found {
        let hint = self.hint(key);
        let breadth = match hint {
            Some(Hint::Contested { .. }) => Breadth::All,
            _ if key.ident.is_uuid_like() => Breadth::First,
            _ => Breadth::All,
        };
        if self.depends_on_users() {
            let (owner, reply) = self.ask_all(asker, key, question, breadth).await?;
            return Ok((owner, Some(reply)));
        }
        let came = self.polls.arrive();
        loop {
            // Another request's poll may have filled the directory since the first look.
            if let Some(owner) = self.remembered(key) {
                return Ok((owner, None));
            }
            match self.polls.turn(&(key.clone(), breadth), came) {
                Turn::Lead(poll) => {
                    let found = self.ask_all(asker, key, question, breadth).await;
                    let verdict = found.as_ref().map(|(owner, _)| owner.clone());
                    poll.tell(verdict.map_err(Clone::clone));
                    return found.map(|(owner, reply)| (owner, Some(reply)));
                }
                Turn::Join(mut shared) => match shared.verdict().await {
                    // The shared poll began before this request, and the thing may have been created since: its *no*
                    // does not count.
                    Some(Err(LocateError::Nobody { .. })) if !shared.is_later => {}
                    Some(verdict) => return verdict.map(|owner| (owner, None)),
                    None => {}
                },
            }
        }
    }

    fn question(&self, key: &Key) -> Result<Question, LocateError> {
        self.check(key, None)?;
        let common = self.locations.common().ok_or(LocateError::Unready)?;
        let question = Question::get(path(key, common.max()), common.max());
        Ok(question.for_member(key.collection, &key.ident.to_string()))
    }

    async fn ask_all(
        &self,
        asker: &Asker,
        key: &Key,
        question: &Question,
        breadth: Breadth,
    ) -> Result<(Owner, Reply), LocateError> {
        let is_enough = breadth == Breadth::First;
        let locations = self.locations.iter();
        let mut tally = self
            .gather(asker, (key, question), locations, is_enough)
            .await?;
        if is_enough && let Some((owner, reply)) = tally.owners.pop() {
            self.remember(key, &owner, &reply, Asked::Some);
            return Ok((owner, reply));
        }
        self.conclude(asker, key, breadth, tally)
    }

    /// What these say of it, each of them now. Nothing is learnt from a part of all.
    pub async fn ask_these(
        &self,
        asker: &Asker,
        key: &Key,
        these: impl Iterator<Item = LocationId>,
    ) -> Result<Tally, LocateError> {
        let question = self.question(key)?;
        let these = these.map(|id| self.locations.location(id));
        self.gather(asker, (key, &question), these, false).await
    }

    /// What these say; `is_enough`: one that has it.
    async fn gather<'l>(
        &'l self,
        asker: &Asker,
        (key, question): (&Key, &Question),
        mut locations: impl Iterator<Item = &'l Location>,
        is_enough: bool,
    ) -> Result<Tally, LocateError> {
        // Half of the time left: a hanging location must not use up what the request itself needs.
        let asker = &Asker {
            deadline: Instant::now() + asker.patience() / 2,
            ..asker.clone()
        };
        let mut answers = JoinSet::new();
        let ask = |answers: &mut JoinSet<_>, location: &Location| {
            let (location, asker, question) = (location.clone(), asker.clone(), question.clone());
            answers.spawn(async move {
                let answer = location.ask(&asker, &question).await;
                (location, answer)
            });
        };
        for location in locations.by_ref().take(AT_ONCE) {
            ask(&mut answers, location);
        }
        let mut tally = Tally::default();
        loop {
            let answered = match timeout(PATIENCE, answers.join_next()).await {
                Ok(Some(answered)) => answered,
                Ok(None) => break,
                // None of them says anything: others need not be silent.
                Err(_) => {
                    for location in locations.by_ref().take(AT_ONCE) {
                        ask(&mut answers, location);
                    }
                    continue;
                }
            };
            // A task that panics has found nothing, and no *no* either.
            let (location, answer) = answered.map_err(|_| LocateError::Unready)?;
            if let Some(next) = locations.next() {
                ask(&mut answers, next);
            }
            match answer {
                Ok(Said::Has(Words { reply, .. })) => {
                    let Some(owner) = owner(key.collection, location.id, &reply) else {
                        tally.silent.push(location.misspoke());
                        continue;
                    };
                    tally.owners.push((owner, reply));
                    if is_enough {
                        // The other questions come to their end, and their connections stay: the next one to such a
                        // location would have to make another.
                        answers.detach_all();
                        return Ok(tally);
                    }
                }
                Ok(Said::No(reply)) => tally.says_no(location.id, reply),
                Ok(Said::Refuses(reply) | Said::Fails(reply)) => tally.refuses(location.id, reply),
                Err(silence) => tally.silent.push(silence),
            }
        }
        Ok(tally)
    }

    /// What everybody's answers mean, and what is remembered of them.
    fn conclude(
        &self,
        asker: &Asker,
        key: &Key,
        breadth: Breadth,
        tally: Tally,
    ) -> Result<(Owner, Reply), LocateError> {
        let hint = self.hint(key);
        let known = Known {
            at: match (hint, breadth) {
                (Some(Hint::Contested { known }), _) => Some(known),
                (_, Breadth::Anew(before)) => before,
                (_, Breadth::First | Breadth::All) => None,
            },
            is_contested: matches!(hint, Some(Hint::Contested { .. })),
            is_doubted: matches!(breadth, Breadth::Anew(_)),
        };
        let asked = if tally.silent.is_empty() && self.is_told_everything(asker) {
            Asked::All
        } else {
            Asked::Some
        };
        let is_uuid = key.ident.is_uuid_like();
        let found = tally.verdict(!is_uuid, known.at);
        match Lesson::of(&found, known, is_uuid, asked) {
            Lesson::Keep => {}
            Lesson::Forget => self.directory.forget(key),
            Lesson::Learn {
                found: (owner, reply),
                afresh,
                alone,
            } => {
                if afresh {
                    self.directory.forget(key);
                }
                if alone {
                    self.settle(key, owner.location);
                }
                self.remember(key, owner, reply, asked);
            }
            Lesson::Contest(owners) => {
                let ident = key.ident.to_string();
                for owner in owners {
                    self.learn(key.collection, Some(&ident), None, *owner);
                }
            }
        }
        found
    }

    /// Nobody else has it.
    fn settle(&self, key: &Key, owner: LocationId) {
        if key.collection.is_cached() && self.is_current() {
            let place = self.place(owner);
            self.directory.settle(key, place, Instant::now());
        }
    }

    /// Remembers the identifier as the client spelled it: some databases match other spellings of it, others do not.
    fn remember(&self, key: &Key, owner: &Owner, reply: &Reply, asked: Asked) {
        let Ok([uuid, name]) = json::strings(&reply.body, ["uuid", "name"]) else {
            return;
        };
        let ident = key.ident.to_string();
        let is_name = !key.ident.is_uuid_like();
        let named = if is_name { &name } else { &uuid };
        let is_spelled_so = named.as_deref() == Some(&*ident);
        let seen = Sighting {
            uuid: uuid.as_deref(),
            name: name.as_deref(),
            location: owner.location,
            // The other locations were asked for the name in the request only.
            asked: if is_name && is_spelled_so {
                asked
            } else {
                Asked::Some
            },
        };
        self.note(key.collection, seen);
        if !is_spelled_so {
            let spelled = Sighting {
                uuid: (!is_name).then_some(&ident),
                name: is_name.then_some(&ident),
                asked,
                ..seen
            };
            self.note(key.collection, spelled);
        }
    }

    /// What one location calls it now; `None`: it does not have it.
    pub async fn identify(
        &self,
        asker: &Asker,
        location: LocationId,
        key: &Key,
    ) -> Result<Option<Uuid>, LocateError> {
        let question = self.question(key)?;
        let location = self.locations.location(location);
        match location.ask(asker, &question).await {
            Ok(Said::Has(Words { reply, .. })) => {
                Ok(owner(key.collection, location.id, &reply).and_then(|owner| owner.uuid))
            }
            Ok(_) => Ok(None),
            Err(silence) => Err(LocateError::Unasked {
                silent: vec![silence],
            }),
        }
    }
}

/// The owner that an answer names; `None`: the answer is no resource.
fn owner(collection: Collection, location: LocationId, reply: &Reply) -> Option<Owner> {
    let id = json::member(&reply.body, collection.facts().id).ok()??;
    Some(Owner {
        location,
        uuid: Uuid::try_parse(&id).ok(),
        source: Source::Asked,
    })
}

/// The question for one thing: as little of it as the version can select.
fn path(key: &Key, version: Microversion) -> String {
    let facts = key.collection.facts();
    let ident = match &key.ident {
        Ident::Uuid(uuid) => uuid.to_string(),
        Ident::Text(text) => encode_segment(text).into_owned(),
    };
    let mut path = format!("/v1/{}/{ident}", facts.path);
    if version.minor >= 8 {
        let named = key.collection.shows_names(version);
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
