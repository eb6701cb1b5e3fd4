//! Many locations as one API: builds answers out of several locations, and finds the right location for everything
//! else.

pub mod claim;
pub mod dispatch;
pub mod fan_out;
pub mod hold;
mod listed;
pub mod located;
pub mod merged;
pub mod objection;
pub mod owner;
pub mod plan;
pub mod ramdisk;
pub mod replicated;
pub mod turns;
pub mod twins;
pub mod united;
mod wording;

use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use crate::api::body::BodyError;
use crate::api::collection::Collection;
use crate::api::groups::agree;
use crate::api::json::Malformed;
use crate::api::link;
use crate::api::link::Base;
use crate::api::link::Kind;
use crate::api::page::Document;
use crate::api::page::Keep;
use crate::api::page::Need;
use crate::api::route::Unrouted;
use crate::config::Config;
use crate::config::GroupMap;
use crate::config::LocationId;
use crate::coordination::Backend;
use crate::federate::located::place::Placement;
use crate::federate::merged::memory::Memory;
use crate::federate::objection::Objection;
use crate::federate::turns::Turns;
use crate::federate::twins::Twins;
use crate::locate::LocateError;
use crate::locate::Locator;
use crate::locations::Locations;
use crate::locations::location::Location;
use crate::locations::silence::Reason;
use crate::locations::silence::Silence;
use crate::locations::speech::Words;
use crate::request::Answer;
use crate::request::Request;

/// What an answer is about; that decides where its links are and what the directory learns from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Member(Collection),
    /// Anything else, with links of this kind.
    Other(Kind),
}

/// Why there is no answer; the gateway's one table turns it into a status.
#[derive(Clone, Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Objection(#[from] Objection),
    #[error(transparent)]
    Unrouted(#[from] Unrouted),
    #[error("the thing was not located")]
    Locate(#[from] LocateError),
    /// These locations had to answer and did not.
    #[error("not every location could be asked")]
    Silent(Vec<Silence>),
    /// These could not say whether they have already what has to be new.
    #[error("not every location could be asked whether it is taken")]
    Unverified(Vec<Silence>),
    /// Somebody else is writing the same for longer than this request may take.
    #[error(
        "Another request is writing the same name, UUID, MAC address or instance. Nothing was sent, please retry."
    )]
    Contended,
    /// Other gateways cannot be kept from writing the same, and have to be.
    #[error(
        "The coordination backend of the gateways cannot be used, so nobody can say whether the name, UUID, MAC address or \
         instance is free. Nothing was sent, please retry."
    )]
    Uncoordinated,
    /// A location's own error, which is the answer.
    #[error("a location refuses")]
    Reply(Box<Answer>),
    /// The thing has moved, and the body was streamed to its old location and cannot be sent again.
    #[error("It is at another location now, please retry.")]
    Moved,
    #[error("bad request body")]
    Body(#[from] BodyError),
    /// Written at some locations and not at others, with the state of each as far as that is known.
    #[error("{what} could not be changed everywhere.")]
    NotEverywhere {
        what: String,
        states: Vec<(LocationId, String)>,
        /// What was done somewhere is not undone there, or may not be.
        is_torn: bool,
        /// To repeat it makes nothing better: its fate is unknown, or a part of it was made and is still there.
        is_final: bool,
    },
    #[error("{0}")]
    LeftBehind(LeftBehind),
    #[error("A location's answer cannot be read.")]
    Unreadable,
}

/// A thing that was made, and neither finished nor taken away again.
#[derive(Clone, Debug, Error)]
#[error("{what} was created, but {why}.")]
pub struct LeftBehind {
    pub what: String,
    pub at: Option<LocationId>,
    pub why: String,
}

impl Error {
    /// A location's API versions changed after the version of this request was chosen, and nothing of it was executed.
    pub fn is_outdated(&self) -> bool {
        match self {
            Self::Silent(silent)
            | Self::Unverified(silent)
            | Self::Locate(LocateError::Unasked { silent }) => {
                let is_outdated = |silence: &Silence| silence.reason == Reason::Versions;
                silent.iter().any(is_outdated) && !silent.iter().any(|silence| silence.sent)
            }
            _ => false,
        }
    }

    /// It says what others have, or may have.
    pub fn is_about_others(&self) -> bool {
        matches!(
            self,
            Self::Objection(Objection::Taken { .. })
                | Self::Unverified(_)
                | Self::Contended
                | Self::Uncoordinated
        )
    }

    /// The same, and it was sent, so that a location that judges its callers has done so.
    pub fn was_judged(&self) -> bool {
        matches!(
            self,
            Self::Objection(Objection::Taken { is_sent: true, .. })
        )
    }

    /// A write whose answer was lost, so that it may have been executed.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Silent(silent) if silent.iter().any(|silence| silence.sent))
    }
}

impl From<Silence> for Error {
    fn from(silence: Silence) -> Self {
        Self::Silent(vec![silence])
    }
}

/// The locations and what is known of them.
#[derive(Debug)]
pub struct Federation {
    pub locations: Arc<Locations>,
    pub locator: Locator,
    pub groups: GroupMap,
    /// Where nodes belong that name no group.
    pub placement: Placement,
    /// Items on one page of a list.
    pub max_limit: usize,
    /// Lists also carry gophercloud's `<collection>_links` with the next page.
    pub collection_links: bool,
    /// What is remembered of walks through lists.
    pub walks: Arc<Memory>,
    /// A create fails if one location cannot confirm that the name is free.
    pub require_unique: bool,
    /// What other gateways share with this one.
    pub backend: Option<Arc<Backend>>,
    pub twins: Arc<Twins>,
    /// Values that requests in flight are about to take, as [`claim::Stake::text`] has them.
    pub turns: Arc<Turns<String>>,
}

impl Federation {
    /// Keeps what was learnt `before` about the same locations.
    pub fn new(
        config: &Config,
        locations: Arc<Locations>,
        backend: Option<Arc<Backend>>,
        before: Option<&Self>,
    ) -> Self {
        // Walks name locations by their index, and groups as clients know them, so they survive a reload only if every
        // index still means the same location, whose groups have the same names here.
        let same = before.filter(|before| {
            let pairs = before.locations.iter().zip(locations.iter());
            let is_map_the_same = before.groups == config.groups;
            before.locations.iter().len() == locations.iter().len()
                && pairs.into_iter().all(|(one, other)| {
                    one.is(other)
                        && agree(one.groups.as_deref(), other.groups.as_deref())
                        && (one.groups.is_none() || is_map_the_same)
                })
        });
        let locator = before.map(|before| &before.locator);
        Self {
            locator: Locator::new(&config.directory, Arc::clone(&locations), locator),
            locations,
            groups: config.groups.clone(),
            placement: Placement::new(config),
            max_limit: config.api.max_limit,
            collection_links: config.api.extras.collection_links,
            walks: same.map_or_else(
                || Arc::new(Memory::new(config.api.walk_memory)),
                |before| Arc::clone(&before.walks),
            ),
            require_unique: config.api.require_unique,
            backend,
            twins: before.map_or_else(Arc::default, |before| Arc::clone(&before.twins)),
            // Requests that began before a reload still run, and still claim their values.
            turns: before.map_or_else(Arc::default, |before| Arc::clone(&before.turns)),
        }
    }

    /// Those to ask: the pinned one, or all.
    fn scope(&self, request: &Request) -> Vec<&Location> {
        let is_asked = |location: &&Location| {
            request.pinned.is_none_or(|id| location.id == id)
                && !request.left_out.contains(&location.id)
        };
        self.locations.iter().filter(is_asked).collect()
    }

    /// Turns a location's answer into ours: links point at us, and the directory learns from members of a collection.
    /// Fails if the answer should hold one resource and does not: every one is an object, and only below one is anything a
    /// list.
    fn adopt(
        &self,
        request: &Request,
        location: LocationId,
        subject: Subject,
        words: impl Into<Words>,
    ) -> Result<Answer, Malformed> {
        let Words { reply, member } = words.into();
        let there = self.locations.location(location);
        let standing = there.standing();
        let from = there.dialect(standing.as_deref());
        let mut answer = Answer::relay(reply, location);
        relink(&mut answer.headers, from.base, &request.base);
        if !answer.status.is_success() || answer.body.is_empty() {
            return Ok(answer);
        }
        let (kind, id) = match subject {
            Subject::Member(collection) => (collection.facts().kind, collection.facts().id),
            Subject::Other(kind) => (kind, "uuid"),
        };
        let need = Need {
            kind,
            from,
            id,
            sort_key: None,
            keep: Keep::All,
            note: &[],
        };
        let body = mem::take(&mut answer.body).into_bytes();
        if matches!(subject, Subject::Other(_)) && body.trim_ascii_start().first() == Some(&b'[') {
            // What virtual media a node has, for one.
            let rewritten = link::rewrite_document(kind, &body, from, &request.base)?;
            answer.body = rewritten.map_or(body, Bytes::from).into();
            return Ok(answer);
        }
        let document = match (subject, member) {
            // It was read already, to judge the answer.
            (Subject::Member(_), Some(member)) => member,
            _ => Document::decode(body, &need)?,
        };
        there.tell_strangers(document.strangers());
        if let Subject::Member(collection) = subject {
            let item = document.item();
            self.locator.learn(
                collection,
                item.id().as_deref(),
                item.name().as_deref(),
                location,
            );
        }
        answer.body = document.into_body(&request.base).into();
        Ok(answer)
    }

    /// The same for a request that was executed: an answer that cannot be read goes to the client as it is, since a 503
    /// would make clients repeat the write.
    pub fn relay(
        &self,
        request: &Request,
        location: LocationId,
        subject: Subject,
        words: impl Into<Words>,
    ) -> Answer {
        let words = words.into();
        let as_it_is = Answer::relay(words.reply.clone(), location);
        self.adopt(request, location, subject, words)
            .unwrap_or(as_it_is)
    }
}

/// Points `Location` at us.
pub fn relink(headers: &mut http::HeaderMap, from: &Base, to: &Base) {
    let relinked = headers.get(http::header::LOCATION).and_then(|value| {
        http::HeaderValue::from_str(&link::rewrite_location(value.to_str().ok()?, from, to)).ok()
    });
    if let Some(value) = relinked {
        headers.insert(http::header::LOCATION, value);
    }
}
