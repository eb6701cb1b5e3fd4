//! The locations as `sync` uses them: each is read in full, and written one object at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::Method;

use crate::api::collection::Collection;
use crate::api::fault;
use crate::api::microversion::Microversion;
use crate::api::query::Query;
use crate::api::resource::Resource;
use crate::api::resource::tree;
use crate::api::route::identifies;
use crate::config::Config;
use crate::config::LocationId;
use crate::coordination::Backend;
use crate::federate::Federation;
use crate::federate::claim::Stake;
use crate::federate::hold::Hold;
use crate::federate::replicated::copy::SET_BY_IRONIC;
use crate::federate::replicated::member;
use crate::federate::turns::Turns;
use crate::locations::Locations;
use crate::locations::location::Location;
use crate::locations::location::LocationError;
use crate::locations::order::Act;
use crate::locations::question::Asker;
use crate::locations::question::Expect;
use crate::locations::question::Purpose;
use crate::locations::question::Question;
use crate::locations::silence::Reason;
use crate::locations::silence::Silence;
use crate::locations::speech::Said;
use crate::locations::speech::Words;
use crate::locations::walk::List;
use crate::locations::walk::Walk;
use crate::locations::window::ask_all;
use crate::sync::compare::Drift;
use crate::sync::compare::Object;
use crate::sync::compare::Shelf;
use crate::sync::compare::TRAITS;
use crate::sync::compare::Title;
use crate::sync::compare::UNFINISHED;
use crate::sync::compare::compare;
use crate::wire::budget::Budget;
use crate::wire::transport::Transport;

/// A location that did not answer, and why.
#[derive(Clone, Copy, Debug)]
pub struct Unanswered {
    pub location: LocationId,
    pub reason: Reason,
}

/// Why an object was not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Our credential may not write there, so no other object is tried.
    Refused,
    /// The location could not be asked. `maybe`: it may have been executed.
    Silent { reason: Reason, maybe: bool },
    /// The location that it is to be copied from could not be asked.
    Unread(Reason),
    /// Ironic's own words.
    Said(String),
    /// It was deleted at the location that it was to be copied from.
    Gone,
    /// It is no longer as it was compared.
    Changed,
    /// Others write its collection all the time.
    Contended,
    /// Other gateways cannot be kept from writing it meanwhile.
    Uncoordinated,
    /// The copy has no traits yet and could not be taken back.
    Half(String),
}

impl Trouble {
    /// The same, of a question to the location that it is to be copied from.
    fn at_source(self) -> Self {
        match self {
            Self::Refused => Self::Unread(Reason::Refused),
            Self::Silent { reason, .. } => Self::Unread(reason),
            trouble => trouble,
        }
    }

    pub fn words(&self) -> String {
        match self {
            Self::Refused => "our credential may not write there".to_owned(),
            Self::Silent {
                reason,
                maybe: false,
            } => format!("the location could not be asked ({})", words(*reason)),
            Self::Silent {
                reason,
                maybe: true,
            } => format!(
                "it may have been, the location gave no answer ({})",
                words(*reason)
            ),
            Self::Unread(reason) => format!(
                "the location that has it could not be asked ({})",
                words(*reason)
            ),
            Self::Said(text) => text.clone(),
            Self::Gone => "it is no longer where it was".to_owned(),
            Self::Changed => "it was changed meanwhile, and the next run will tell".to_owned(),
            Self::Contended => "others were writing there all the time".to_owned(),
            Self::Uncoordinated => {
                "the coordination backend cannot be used, so another gateway may be writing it"
                    .to_owned()
            }
            Self::Half(text) => {
                format!("it is there without its traits and could not be taken back: {text}")
            }
        }
    }
}

/// A reason in words for people.
pub fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::Connect => "connect: none of its endpoints can be connected to",
        Reason::Timeout => "timeout: no answer in time",
        Reason::Status => "status: it answers with a 5xx, or with 429 (too many requests)",
        Reason::Body => {
            "body: what answers is not an Ironic, or its answer is cut off or too large"
        }
        Reason::Refused => {
            "refused: it does not accept our credential, or its Keystone issues no token"
        }
        Reason::Scope => "its token is not scoped to the system",
        Reason::Busy => "busy: too many exchanges at the same time",
        Reason::Breaker => "breaker: it failed too often in a row",
        Reason::Versions => "versions: its API versions have just changed",
        Reason::Gateway => "gateway: this machine ran out of descriptors, memory or routes",
        Reason::Quarantine => "quarantine: its versions do not fit",
        Reason::Maintenance => "maintenance: its operator has taken it out of service",
        Reason::ReadOnly => "read_only: its operator allows no changes there",
        Reason::Draining => "draining: its operator allows nothing new to be created there",
    }
}

/// Where an object is, and where it is to be.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub from: LocationId,
    pub to: LocationId,
}

/// All locations, and connections of our own to them.
#[derive(Debug)]
pub struct Sites {
    pub locations: Arc<Locations>,
    transport: Arc<Transport>,
    /// What requests of this process are writing.
    turns: Arc<Turns<String>>,
    /// What other gateways are writing.
    backend: Option<Arc<Backend>>,
}

/// Bound on one list, or on one object with its traits.
const PATIENCE: Duration = Duration::from_mins(10);
/// How long others are waited for that write the same collection; `[api] request_deadline` ends each of them.
const WAIT: Duration = Duration::from_mins(2);

impl Sites {
    pub fn asker(&self) -> Asker {
        Asker::gateway(&self.transport, PATIENCE)
    }

    pub fn new(config: &Config) -> Result<Self, LocationError> {
        let budget = Budget::new(config.api.max_buffered);
        let transport = Arc::new(Transport::new(config.locations.len(), budget));
        Ok(Self {
            locations: Arc::new(Locations::new(config, None)?),
            transport,
            turns: Arc::default(),
            backend: None,
        })
    }

    /// Those of a gateway that runs, with connections of its own.
    pub fn of(federation: &Federation, transport: Arc<Transport>) -> Self {
        Self {
            locations: Arc::clone(&federation.locations),
            transport,
            turns: Arc::clone(&federation.turns),
            backend: federation.backend.clone(),
        }
    }

    /// Beside gateways that share this backend.
    #[must_use]
    pub fn beside(self, backend: Option<Arc<Backend>>) -> Self {
        Self { backend, ..self }
    }

    pub fn name(&self, id: LocationId) -> &str {
        self.locations.location(id).name()
    }

    pub fn names(&self, ids: &[LocationId]) -> String {
        // All of them, however many: it is what the operator asked for.
        let names: Vec<_> = ids.iter().map(|id| self.name(*id)).collect();
        names.join(", ")
    }

    /// Asks each location for its versions. The versions in common do not matter here: each pair is compared for
    /// itself, so none is in quarantine.
    pub async fn meet(&self) -> Vec<Unanswered> {
        let each = self.locations.iter().map(async |location| {
            if let Some(reason) = location.forbids(Act::Read) {
                return Some(Unanswered {
                    location: location.id,
                    reason,
                });
            }
            location.resolve().await;
            match location.probe(&self.asker()).await {
                Some(standing) => {
                    location.learn(standing);
                    None
                }
                None => Some(Unanswered {
                    location: location.id,
                    reason: location.last_failure(),
                }),
            }
        });
        ask_all(each).await.into_iter().flatten().collect()
    }

    pub fn newest(&self, id: LocationId) -> Microversion {
        let standing = self.locations.location(id).standing();
        standing.map_or(Microversion::new(1, 1), |standing| standing.range.max())
    }

    /// Reads the collection from every location that has it.
    pub async fn read(&self, collection: Collection) -> Result<Vec<Shelf>, Vec<Unanswered>> {
        let knowing = self
            .locations
            .iter()
            .filter(|location| self.newest(location.id) >= collection.since());
        let each = ask_all(knowing.map(|location| self.read_one(location, collection))).await;
        let (mut shelves, mut unanswered) = (Vec::new(), Vec::new());
        for outcome in each {
            match outcome {
                Ok(shelf) => shelves.push(shelf),
                Err(silence) => unanswered.push(Unanswered {
                    location: silence.location,
                    reason: silence.reason,
                }),
            }
        }
        if unanswered.is_empty() {
            Ok(shelves)
        } else {
            Err(unanswered)
        }
    }

    async fn read_one(
        &self,
        location: &Location,
        collection: Collection,
    ) -> Result<Shelf, Silence> {
        let facts = collection.facts();
        let newest = self.newest(location.id);
        // The `/detail` path of chassis is there at every version, the parameter only since 1.43.
        let (path, query) = if collection == Collection::Chassis {
            (format!("/v1/{}/detail", facts.path), Query::default())
        } else {
            let query = Query::default().with("detail", "True");
            (format!("/v1/{}", facts.path), query)
        };
        let list = List {
            path,
            ..List::own(collection, newest, query)
        };
        let asker = self.asker();
        let mut objects: BTreeMap<String, Object> = BTreeMap::new();
        let mut walk = Walk::new(&list, &asker, location);
        while let Some(page) = walk
            .next(None)
            .await
            .map_err(|halt| halt.silence(location))?
        {
            for item in page.items() {
                // It stands in paths that other locations are asked by.
                let uuid = item.id().filter(|uuid| identifies(collection, uuid));
                let uuid = uuid.ok_or_else(|| location.misspoke())?;
                let object = object(&Bytes::copy_from_slice(item.text()), location)?;
                objects.insert(uuid.into_owned(), object);
            }
        }
        Ok(Shelf {
            location: location.id,
            newest,
            objects,
        })
    }

    /// Keeps others from writing the collection, here and at the gateways that share a backend.
    pub async fn hold(&self, collection: Collection) -> Result<Hold<'_>, Trouble> {
        let stakes = [Stake::all_of(collection)].into();
        let deadline = Instant::now() + WAIT;
        Hold::take(&self.turns, self.backend.as_ref(), stakes, deadline)
            .await
            .map_err(|_| Trouble::Contended)
    }

    /// Copies one object if it is still to be copied: clients went on writing while it was compared with others.
    pub async fn settle(&self, hold: &Hold<'_>, title: &Title, way: Way) -> Result<(), Trouble> {
        let collection = title.collection;
        let (here, there) =
            futures_util::join!(self.shelf_of(title, way.from), self.shelf_of(title, way.to));
        let (here, there) = (here.map_err(Trouble::at_source)?, there?);
        if here.objects.is_empty() {
            return Err(Trouble::Gone);
        }
        let drift = compare(collection, &[here, there]).drift;
        // Right before the write, since the questions may have outlasted a claim that could not be renewed.
        hold.suffices(true).map_err(|_| Trouble::Uncoordinated)?;
        match drift.first() {
            Some((_, Drift::Missing { .. })) => self.copy(collection, &title.uuid, way).await,
            Some((
                _,
                Drift::Unfinished {
                    from: Some(from), ..
                },
            )) if *from == way.from => self.finish(collection, &title.uuid, way).await,
            _ => Err(Trouble::Changed),
        }
    }

    /// What a location has of one object now.
    async fn shelf_of(&self, title: &Title, at: LocationId) -> Result<Shelf, Trouble> {
        let location = self.locations.location(at);
        let newest = self.newest(at);
        let path = member(title.collection, &title.uuid);
        let question = Question::get(path, newest).for_member(title.collection, &title.uuid);
        let mut objects = BTreeMap::new();
        match location.ask(&self.asker(), &question).await {
            Ok(Said::No(_)) => {}
            said => {
                let body = body_of(said)?;
                objects.insert(title.uuid.clone(), object(&body, location)?);
            }
        }
        Ok(Shelf {
            location: at,
            newest,
            objects,
        })
    }

    /// Copies one object with all that both locations know of it.
    ///
    /// Traits are set by a request of their own. In between the copy is marked, so that it is not taken for whole if we
    /// are killed; if only the traits fail it is taken back.
    async fn copy(&self, collection: Collection, uuid: &str, way: Way) -> Result<(), Trouble> {
        // A newer member would be refused by the older location.
        let version = self.newest(way.from).min(self.newest(way.to));
        let (from, to) = (
            self.locations.location(way.from),
            self.locations.location(way.to),
        );
        let path = format!("/v1/{}", collection.facts().path);
        let member = member(collection, uuid);
        let original = match self
            .send(
                from,
                Question::get(member.clone(), version).for_member(collection, uuid),
            )
            .await
        {
            Ok(reply) => reply,
            Err(Trouble::Said(_)) => return Err(Trouble::Gone),
            Err(trouble) => return Err(trouble.at_source()),
        };
        // As it is written, since Python writes values that no tree of ours holds, and reads them again.
        let mut object = Resource::read(&original).map_err(|_| Trouble::Gone)?;
        let traits = object.remove(TRAITS).filter(|traits| **traits != *b"[]");
        let traits = traits.filter(|traits| **traits != *b"null");
        // Ironic shows members that are null, but does not take them in a POST.
        object.retain(|name, value| !SET_BY_IRONIC.contains(&name) && value != b"null");
        let Some(traits) = traits else {
            let create = written(Method::POST, path, version, object.to_bytes())
                .for_member(collection, uuid);
            return self.send(to, create).await.map(drop);
        };
        let extra = object.raw("extra").cloned();
        let extra = extra.unwrap_or_else(|| Bytes::from_static(b"{}"));
        // No Ironic has another one, but it is a location that says so.
        let mut marked = Resource::read(&extra)
            .map_err(|_| Trouble::Said("its extra is no object".to_owned()))?;
        marked.set(UNFINISHED, "true");
        object.set("extra", marked.to_bytes());
        let create =
            written(Method::POST, path, version, object.to_bytes()).for_member(collection, uuid);
        self.send(to, create).await?;
        let mut all = Resource::default();
        all.set(TRAITS, traits);
        let set_traits = written(
            Method::PUT,
            format!("{member}/{TRAITS}"),
            version,
            all.to_bytes(),
        )
        .expecting(Expect::Effect);
        let mut unmark = Resource::default();
        unmark.set_text("op", "replace");
        unmark.set_text("path", "/extra");
        unmark.set("value", extra);
        let unmark = [b"[", &*unmark.to_bytes(), b"]"].concat();
        let unmark = written(Method::PATCH, member.clone(), version, unmark.into())
            .for_member(collection, uuid);
        let finished = match self.send(to, set_traits).await {
            Ok(_) => self.send(to, unmark).await.map(drop),
            Err(trouble) => Err(trouble),
        };
        let Err(trouble) = finished else {
            return Ok(());
        };
        match self.remove(collection, uuid, way.to, version).await {
            Ok(()) => Err(trouble),
            Err(_) => Err(Trouble::Half(trouble.words())),
        }
    }

    /// Replaces a copy that an earlier run left unfinished.
    async fn finish(&self, collection: Collection, uuid: &str, way: Way) -> Result<(), Trouble> {
        let version = self.newest(way.to);
        self.remove(collection, uuid, way.to, version).await?;
        self.copy(collection, uuid, way).await
    }

    async fn remove(
        &self,
        collection: Collection,
        uuid: &str,
        at: LocationId,
        version: Microversion,
    ) -> Result<(), Trouble> {
        let path = member(collection, uuid);
        let mut question = Question::get(path, version)
            .with_purpose(Purpose::Routed)
            .expecting(Expect::Effect);
        question.method = Method::DELETE;
        self.send(self.locations.location(at), question)
            .await
            .map(drop)
    }

    /// The body of a success.
    async fn send(&self, location: &Location, question: Question) -> Result<Bytes, Trouble> {
        body_of(location.ask(&self.asker(), &question).await)
    }
}

impl From<Silence> for Trouble {
    fn from(silence: Silence) -> Self {
        match silence.reason {
            Reason::Refused => Self::Refused,
            reason => Self::Silent {
                reason,
                maybe: silence.sent,
            },
        }
    }
}

fn body_of(said: Result<Said, Silence>) -> Result<Bytes, Trouble> {
    match said? {
        Said::Has(Words { reply, .. }) => Ok(reply.body),
        Said::No(reply) | Said::Refuses(reply) | Said::Fails(reply) => Err(Trouble::Said(
            fault::text_of(&reply.body).unwrap_or_else(|| reply.status.to_string()),
        )),
    }
}

fn object(text: &Bytes, location: &Location) -> Result<Object, Silence> {
    let object = Resource::read(text).map_err(|_| location.misspoke())?;
    let members = object.members();
    Ok(members
        .map(|(name, value)| (name.to_owned(), tree(value)))
        .collect())
}

fn written(method: Method, path: String, version: Microversion, body: Bytes) -> Question {
    let mut question = Question::get(path, version).with_purpose(Purpose::Routed);
    question.method = method;
    question.body = body.into();
    question
}
