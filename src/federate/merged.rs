//! Merged lists. A marker is an item's identifier and nothing else, so any replica of the gateway answers any page.
//!
//! Three ways, by what the client sorts by:
//! - *concatenate*: nothing visible; the locations' own orders, one location after the other;
//! - *scan*: a visible key; every location is read in its own default order and the best items are kept, because
//!   Ironic's sorted paging loses rows whose key is NULL and locations sort differently;
//! - *gather*: small collections whose items several locations have.

mod best;
mod concatenate;
mod gather;
pub mod order;
mod scan;
mod wish;

use std::collections::HashMap;
use std::collections::HashSet;

use bytes::Bytes;
use http::StatusCode;
use log::warn;

use crate::api::collection::Collection;
use crate::api::collection::Facts;
use crate::api::collection::Spread;
use crate::api::fault::Fault;
use crate::api::link::Base;
use crate::api::page::Item;
use crate::api::page::Keep;
use crate::api::page::ListWriter;
use crate::api::page::Need;
use crate::api::page::Page;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::UNKNOWN_BASE;
use crate::federate::merged::order::Direction;
use crate::federate::merged::wish::Wish;
use crate::federate::merged::wish::direction;
use crate::locate::directory::Asked;
use crate::locate::directory::Ident;
use crate::locate::directory::Sighting;
use crate::locations::location::Location;
use crate::locations::silence::Silence;
use crate::locations::speech::Standing;
use crate::request::Answer;
use crate::request::Request;
use crate::wire::transport::Reply;

/// Parameters that the merge interprets itself; twice, they could be read two ways.
const INTERPRETED: &[&str] = &["limit", "marker", "sort_key", "sort_dir", "detail"];

/// What is listed, and where.
#[derive(Debug)]
pub struct Listing<'a> {
    pub collection: Collection,
    /// Below the endpoint, encoded: `/v1/nodes`, `/v1/nodes/<uuid>/ports`.
    pub path: String,
    pub scope: Vec<&'a Location>,
    /// Key of the list and kind of the items, where they are not the collection's.
    pub facts: &'static Facts,
}

/// What one location said.
enum Told {
    Page(Page),
    /// A 404: it does not know the marker, or what is filtered by.
    Unknown(Reply),
    /// Another error of Ironic's: the client's to mend.
    Refusal(Reply),
}

impl Federation {
    /// One page of a merged list.
    pub async fn list(&self, request: &Request, listing: &Listing<'_>) -> Result<Answer, Error> {
        if let Some(name) = request.query.repeated(INTERPRETED) {
            return self
                .word_refusal(
                    request,
                    listing,
                    &format!("Unexpected repeated argument: {name}"),
                )
                .await;
        }
        let Some(direction) = direction(&request.query) else {
            return self
                .word_refusal(request, listing, "Invalid sort direction")
                .await;
        };
        let wish = match Wish::new(request, listing.facts, direction, self.max_limit) {
            Ok(wish) => wish,
            // Ironic may find another fault first.
            Err(fault) => return self.word_refusal(request, listing, fault.text()).await,
        };
        let malformed = wish
            .marker
            .as_deref()
            .is_some_and(|marker| listing.facts.id == "uuid" && !Ident::new(marker).is_uuid_like());
        if malformed {
            return self
                .word_refusal(request, listing, "Expected UUID for marker")
                .await;
        }
        let merge = Merge {
            federation: self,
            request,
            listing,
            wish: &wish,
            shown: wish.shown(),
        };
        if listing.facts.spread == Spread::Replicated
            || listing.collection == Collection::Conductors
        {
            Box::pin(merge.gather()).await
        } else if wish.sort_key.is_some() {
            Box::pin(merge.scan()).await
        } else {
            Box::pin(merge.concatenate()).await
        }
    }

    /// One location puts into Ironic's words what is wrong with the client's own question.
    async fn word_refusal(
        &self,
        request: &Request,
        listing: &Listing<'_>,
        ours: &str,
    ) -> Result<Answer, Error> {
        let mut path = listing.path.clone();
        request.query.append_to(&mut path);
        let question = request.ask(http::Method::GET, path);
        let mut silent = Vec::new();
        for location in &listing.scope {
            match location.reply(&request.asker, &question).await {
                Ok(reply) if reply.status.is_success() => {
                    return Err(Fault::bad_request(ours).into());
                }
                Ok(reply) => {
                    return Ok(Answer {
                        location: None,
                        ..Answer::relay(reply, location.id)
                    });
                }
                Err(silence) => silent.push(silence),
            }
        }
        Err(Error::Silent(silent))
    }
}

/// One merge under way.
struct Merge<'a> {
    federation: &'a Federation,
    request: &'a Request,
    listing: &'a Listing<'a>,
    wish: &'a Wish,
    /// What an item is written with, if that is not all of it.
    shown: Option<Vec<&'a str>>,
}

/// The page so far.
struct Output {
    writer: ListWriter,
    count: usize,
    last: Option<String>,
    seen: Vec<Seen>,
}

/// An item of the page: its identifier and name, and where it lives.
struct Seen {
    id: Option<String>,
    name: Option<String>,
    location: LocationId,
}

impl Output {
    fn see(&mut self, id: Option<&str>, name: Option<&str>, location: LocationId) {
        self.last = id.map(str::to_owned);
        self.seen.push(Seen {
            id: self.last.clone(),
            name: name.map(str::to_owned),
            location,
        });
    }

    fn new(key: &str, capacity: usize) -> Self {
        Self {
            writer: ListWriter::new(key, capacity),
            count: 0,
            last: None,
            seen: Vec::new(),
        }
    }
}

impl Merge<'_> {
    fn path(&self, limit: Option<usize>, marker: Option<&str>) -> String {
        let mut query = self.wish.filters.clone();
        for (name, value) in self.wish.selection.parameters.iter() {
            query = query.with(name, value);
        }
        if self.wish.sort_key.is_none() && self.wish.direction == Direction::Descending {
            query = query.with("sort_dir", self.wish.direction.as_str());
        }
        if let Some(limit) = limit {
            query = query.with("limit", limit.to_string());
        }
        if let Some(marker) = marker {
            query = query.with("marker", marker);
        }
        let mut path = self.listing.path.clone();
        if self.wish.selection.detail_path {
            path.push_str("/detail");
        }
        query.append_to(&mut path);
        path
    }

    /// Asks one location for one page of its own.
    async fn page(
        &self,
        location: &Location,
        limit: Option<usize>,
        marker: Option<&str>,
    ) -> Result<Told, Silence> {
        let question = self
            .request
            .ask(http::Method::GET, self.path(limit, marker));
        let reply = location.reply(&self.request.asker, &question).await?;
        if reply.status == StatusCode::NOT_FOUND {
            return Ok(Told::Unknown(reply));
        }
        if !reply.status.is_success() {
            return Ok(Told::Refusal(reply));
        }
        self.decode(location, reply.body)
            .map(Told::Page)
            .map_err(|()| location.misspoke())
    }

    fn decode(&self, location: &Location, body: Bytes) -> Result<Page, ()> {
        let standing = location.standing();
        let need = Need {
            kind: self.listing.facts.kind,
            base: base_of(standing.as_deref()),
            id: self.listing.facts.id,
            sort_key: self.wish.sort_key.as_deref(),
            keep: self.shown.as_deref().map_or(Keep::All, Keep::Only),
        };
        Page::decode(body, self.listing.facts.key, &need).map_err(|error| {
            warn!(
                "A list of location `{}` cannot be read: {error}",
                location.name()
            );
        })
    }

    /// Writes an item into the page.
    fn write(&self, output: &mut Output, item: &Item<'_>, location: LocationId) {
        output.writer.push(item, &self.request.base);
        output.count += 1;
        output.see(item.id().as_deref(), item.name().as_deref(), location);
    }

    /// Learns where items live, and tells the operators of one that lives twice.
    fn notice(&self, seen: &[Seen], asked: Asked) {
        let mut known: HashMap<&str, LocationId> = HashMap::new();
        for one in seen {
            let sighting = Sighting {
                uuid: one.id.as_deref(),
                name: one.name.as_deref(),
                location: one.location,
                asked,
            };
            self.federation
                .locator
                .note(self.listing.collection, sighting);
            let id = one.id.as_deref().filter(|_| self.listing.scope.len() > 1);
            if let Some(id) = id
                && let Some(other) = known.insert(id, one.location)
            {
                let names = self.federation.locations.names([&other, &one.location]);
                warn!(
                    "{} {id} is at more than one location: {names}",
                    self.listing.facts.noun
                );
            }
        }
    }

    /// Whether every location was asked for all that it has: then nobody else has a name that was seen.
    fn is_of_everything(&self, more: More, missing: &[Silence]) -> bool {
        let whole = format!("/v1/{}", self.listing.collection.facts().path);
        matches!(more, More::No)
            && missing.is_empty()
            && self.wish.marker.is_none()
            && self.listing.scope.len() == self.federation.locations.iter().len()
            && self.listing.path.trim_end_matches("/detail") == whole
            && self
                .wish
                .filters
                .iter()
                .all(|(name, _)| name == "include_children")
    }

    /// The whole answer; `missing` locations are announced.
    fn finish(&self, output: Output, more: More, missing: Vec<Silence>) -> Result<Answer, Error> {
        let missing = match self.is_look_up() {
            // There is one thing of this kind, and here it is.
            true if !output.seen.is_empty() => Vec::new(),
            true => self.refuse_incomplete(missing)?,
            false => missing,
        };
        let asked = if self.is_of_everything(more, &missing) {
            Asked::All
        } else {
            Asked::Some
        };
        self.notice(&output.seen, asked);
        let next = match (more, &output.last) {
            (More::Yes, Some(last)) => {
                let query = self.request.query.without(&["limit", "marker"]);
                let query = query
                    .with("limit", self.wish.limit.to_string())
                    .with("marker", last.as_str());
                let mut next = format!(
                    "{}{}",
                    self.request.base.as_str(),
                    self.request.path.trim_end_matches('/')
                );
                query.append_to(&mut next);
                Some(next)
            }
            _ => None,
        };
        let mut answer = Answer::json(StatusCode::OK, output.writer.finish(next.as_deref()));
        if let [only] = &self.listing.scope[..] {
            answer.location = Some(only.id);
        }
        Ok(self.federation.announce(answer, &missing))
    }

    /// Those that may be missing, if any may.
    fn tolerate(&self, silent: Vec<Silence>) -> Result<Vec<Silence>, Error> {
        // Whether something is missing in a look-up is not known before the end.
        if self.is_look_up() {
            Ok(silent)
        } else {
            self.refuse_incomplete(silent)
        }
    }

    fn refuse_incomplete(&self, silent: Vec<Silence>) -> Result<Vec<Silence>, Error> {
        self.federation
            .tolerate(self.request, self.listing.scope.len(), silent)
    }

    /// A filter that one thing passes at most makes a look-up of a list: it is whole when the thing was found.
    fn is_look_up(&self) -> bool {
        let unique = match self.listing.collection {
            Collection::Nodes => "instance_uuid",
            Collection::Ports | Collection::Portgroups => "address",
            _ => return false,
        };
        self.wish.filters.value(unique).is_some()
    }

    /// An error that locations gave is the client's, as it is.
    fn refuse(&self, reply: Reply, location: LocationId) -> Error {
        let only = self.listing.scope.len() == 1;
        let answer = Answer::relay(reply, location);
        Error::Reply(Box::new(Answer {
            location: answer.location.filter(|_| only),
            ..answer
        }))
    }
}

/// A walk through the pages of one location. It ends, whatever the location says.
#[derive(Default)]
struct Walk {
    markers: HashSet<String>,
}

impl Walk {
    /// The marker for the page after this one, if there is one. A marker that comes again would lead round and round.
    fn next(&mut self, location: &Location, page: &Page) -> Result<Option<String>, Silence> {
        if !page.has_next() {
            return Ok(None);
        }
        let last = page
            .items()
            .next_back()
            .and_then(|item| item.id().map(std::borrow::Cow::into_owned));
        match last {
            Some(last) if self.markers.insert(last.clone()) => Ok(Some(last)),
            Some(_) => Err(location.misspoke()),
            None => Ok(None),
        }
    }
}

fn base_of(standing: Option<&Standing>) -> &Base {
    standing
        .and_then(|standing| standing.base.as_ref())
        .unwrap_or(&UNKNOWN_BASE)
}

/// Whether there is another page.
#[derive(Clone, Copy)]
enum More {
    Yes,
    No,
}
