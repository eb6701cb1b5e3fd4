//! Merged lists. A marker is an item's identifier and nothing else, so any replica of the gateway answers any page.
//!
//! Three ways, by what the client sorts by:
//! - *concatenate*: nothing visible; the locations' own orders, one location after the other;
//! - *scan*: a visible key; every location is read in its own default order and the best items are kept, because
//!   Ironic's sorted paging loses rows whose key is NULL and locations sort differently;
//! - *gather*: small collections whose items several locations have.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;

use bytes::Bytes;
use futures_util::future::join_all;
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
use crate::api::query::Query;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::UNKNOWN_BASE;
use crate::federate::order::Direction;
use crate::federate::order::SortValue;
use crate::locate::LocateError;
use crate::locate::directory::Ident;
use crate::locate::directory::Key;
use crate::location::Location;
use crate::location::Silence;
use crate::location::Standing;
use crate::request::Answer;
use crate::request::Request;
use crate::transport::Reply;

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

/// The client's paging and selection, parsed.
struct Wish {
    /// Items wanted on the page; at least one.
    limit: usize,
    marker: Option<String>,
    /// A key whose values clients can see; `None`: the locations' own order.
    sort_key: Option<String>,
    direction: Direction,
    /// Filters: everything that is only handed on.
    filters: Query,
    selection: Selection,
}

/// How locations are asked for what the merge and the client need.
struct Selection {
    /// `fields` and `detail` as they are sent.
    parameters: Query,
    /// The collection's `/detail` is asked instead of the collection.
    detail_path: bool,
    /// What the client is shown, if that is less than what is asked for.
    shown: Option<Vec<String>>,
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
            need: Needs::new(listing, &wish),
        };
        if listing.facts.spread == Spread::Replicated
            || listing.collection == Collection::Conductors
        {
            merge.gather().await
        } else if wish.sort_key.is_some() {
            merge.scan().await
        } else {
            merge.concatenate().await
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
            match location.exchange(&request.asker, &question).await {
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

/// `None`: neither of Ironic's two words.
fn direction(query: &Query) -> Option<Direction> {
    match query.value("sort_dir") {
        None | Some("asc") => Some(Direction::Ascending),
        Some("desc") => Some(Direction::Descending),
        Some(_) => None,
    }
}

/// Python's `int()`: blanks, a sign and single underscores between digits are fine.
fn limit(text: &str) -> Result<usize, Fault> {
    let not_a_number = || Fault::bad_request(format!("Expected an integer for limit: {text}"));
    let trimmed = text.trim();
    let (negative, digits) = match trimmed.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let groups_of_digits = digits
        .split('_')
        .all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    if !groups_of_digits {
        return Err(not_a_number());
    }
    let number = digits.replace('_', "").parse().unwrap_or(usize::MAX);
    if negative || number == 0 {
        return Err(Fault::bad_request("Limit must be positive"));
    }
    Ok(number)
}

impl Wish {
    fn new(
        request: &Request,
        facts: &Facts,
        direction: Direction,
        max_limit: usize,
    ) -> Result<Self, Fault> {
        let query = &request.query;
        let sort_key = query
            .value("sort_key")
            .filter(|key| !Collection::HIDDEN_SORT_KEYS.contains(key))
            .map(str::to_owned);
        Ok(Self {
            limit: query
                .value("limit")
                .map(limit)
                .transpose()?
                .unwrap_or(max_limit)
                .min(max_limit),
            marker: query.value("marker").map(str::to_owned),
            direction,
            filters: query.without(&[
                "limit", "marker", "sort_key", "sort_dir", "fields", "detail",
            ]),
            selection: Selection::new(request, facts, sort_key.as_deref()),
            sort_key,
        })
    }
}

impl Selection {
    /// Adds what the merge needs to what the client asks for.
    fn new(request: &Request, facts: &Facts, sort_key: Option<&str>) -> Self {
        let query = &request.query;
        let mut parameters = Query::default();
        for name in ["fields", "detail"] {
            for value in query.values(name) {
                parameters = parameters.with(name, value);
            }
        }
        let as_asked = Self {
            parameters,
            detail_path: false,
            shown: None,
        };
        let detailed = query.value("detail").is_some_and(is_true)
            || request
                .target
                .segments()
                .last()
                .is_some_and(|segment| segment == "detail");
        let asked: Option<Vec<String>> = query.value("fields").is_some().then(|| {
            let split = |value: &str| {
                value
                    .split(',')
                    .map(|field| field.trim().to_lowercase())
                    .collect::<Vec<_>>()
            };
            query
                .values("fields")
                .flat_map(split)
                .filter(|field| !field.is_empty())
                .collect()
        });
        let shown: Vec<String> = match asked {
            // Both at once is an error of the client's, for Ironic to word; detail shows all there is.
            _ if detailed => return as_asked,
            Some(asked) => asked,
            None if facts.default_fields.is_empty() => return as_asked,
            None => facts
                .default_fields
                .iter()
                .map(|&field| field.to_owned())
                .collect(),
        };
        let mut needed = shown.clone();
        for field in [Some(facts.id), sort_key].into_iter().flatten() {
            if !needed.iter().any(|known| known == field) {
                needed.push(field.to_owned());
            }
        }
        if needed.len() == shown.len() {
            return as_asked;
        }
        let selectable = request.version.minor >= 8;
        if sort_key.is_some_and(|key| facts.detail_only.contains(&key)) || !selectable {
            return Self {
                parameters: Query::default(),
                detail_path: true,
                shown: Some(shown),
            };
        }
        let detail = query.value("detail");
        let mut parameters = Query::default().with("fields", needed.join(","));
        if let Some(detail) = detail {
            parameters = parameters.with("detail", detail);
        }
        Self {
            parameters,
            detail_path: false,
            shown: Some(shown),
        }
    }
}

/// Ironic's `strutils.bool_from_string`, as far as true goes.
fn is_true(text: &str) -> bool {
    ["1", "t", "true", "on", "y", "yes"].contains(&text.to_lowercase().as_str())
}

/// What every page is decoded with.
struct Needs<'a> {
    shown: Option<Vec<&'a str>>,
}

impl<'a> Needs<'a> {
    fn new(_listing: &Listing<'_>, wish: &'a Wish) -> Self {
        let shown = wish.selection.shown.as_ref();
        Self {
            shown: shown.map(|fields| fields.iter().map(String::as_str).collect()),
        }
    }
}

/// One merge under way.
struct Merge<'a> {
    federation: &'a Federation,
    request: &'a Request,
    listing: &'a Listing<'a>,
    wish: &'a Wish,
    need: Needs<'a>,
}

/// First pages, and who gave none.
struct Sorted<'l> {
    pages: Vec<(&'l Location, Page)>,
    silent: Vec<Silence>,
}

/// The page so far.
struct Output {
    writer: ListWriter,
    count: usize,
    last: Option<String>,
    seen: HashMap<String, LocationId>,
}

impl Output {
    fn new(key: &str, capacity: usize) -> Self {
        Self {
            writer: ListWriter::new(key, capacity),
            count: 0,
            last: None,
            seen: HashMap::new(),
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
        let reply = location.ask(&self.request.asker, &question).await?;
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
            keep: self.need.shown.as_deref().map_or(Keep::All, Keep::Only),
        };
        Page::decode(body, self.listing.facts.key, &need).map_err(|error| {
            warn!(
                "A list of location `{}` cannot be read: {error}",
                location.name()
            );
        })
    }

    /// Writes an item into the page and learns where it lives.
    fn write(&self, output: &mut Output, item: &Item<'_>, location: LocationId) {
        item_seen(self, output, item, location);
        output.writer.push(item, &self.request.base);
        output.count += 1;
        output.last = item.id().map(std::borrow::Cow::into_owned);
    }

    /// The whole answer; `missing` locations are announced.
    fn finish(&self, output: Output, more: More, missing: &[Silence]) -> Answer {
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
        self.federation.announce(answer, missing)
    }

    fn tolerate(&self, silent: Vec<Silence>) -> Result<Vec<Silence>, Error> {
        self.federation
            .tolerate(self.request, self.listing.scope.len(), silent)
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

    /// The location's own order, one location after the other.
    async fn concatenate(&self) -> Result<Answer, Error> {
        let mut order: Vec<&Location> = self.listing.scope.clone();
        if self.wish.direction == Direction::Descending {
            order.reverse();
        }
        let ahead = Some(self.wish.limit.saturating_add(1));
        let mut first = None;
        if let Some(marker) = &self.wish.marker {
            let (index, page) = self.resume(&order, marker).await?;
            order.drain(..index);
            first = Some(page);
        }
        let rest = if first.is_some() {
            &order[1..]
        } else {
            &order[..]
        };
        let mut told = Vec::with_capacity(order.len());
        told.extend(first.map(|page| Ok(Told::Page(page))));
        told.extend(join_all(rest.iter().map(|location| self.page(location, ahead, None))).await);

        let Sorted { pages, silent } = self.sort(&order, told)?;
        let mut missing = self.tolerate(silent)?;
        let mut output = Output::new(self.listing.facts.key, self.expected_length(&pages));
        for (location, mut page) in pages {
            let mut walk = Walk::default();
            loop {
                for item in page.items() {
                    if output.count == self.wish.limit {
                        return Ok(self.finish(output, More::Yes, &missing));
                    }
                    self.write(&mut output, &item, location.id);
                }
                let Some(last) = walk.next(location, &page)? else {
                    break;
                };
                let left = self.wish.limit - output.count;
                page = match self
                    .page(location, Some(left.saturating_add(1)), Some(&last))
                    .await
                {
                    Ok(Told::Page(page)) => page,
                    Ok(Told::Unknown(reply) | Told::Refusal(reply)) => {
                        return Err(self.refuse(reply, location.id));
                    }
                    Err(silence) => {
                        missing.extend(self.tolerate(vec![silence])?);
                        break;
                    }
                };
            }
        }
        Ok(self.finish(output, More::No, &missing))
    }

    fn expected_length(&self, pages: &[(&Location, Page)]) -> usize {
        pages
            .iter()
            .flat_map(|(_, page)| page.items())
            .take(self.wish.limit)
            .map(|item| item.length(&self.request.base) + 2)
            .sum()
    }

    /// Splits what was told into pages and silence; an error of the client's making ends it. A 404 is an empty page
    /// unless everybody says so: it is about what is filtered by (a chassis), which may be unknown somewhere.
    fn sort<'l>(
        &self,
        order: &[&'l Location],
        told: Vec<Result<Told, Silence>>,
    ) -> Result<Sorted<'l>, Error> {
        let mut pages = Vec::new();
        let mut silent = Vec::new();
        let mut unknown = None;
        for (location, told) in order.iter().zip(told) {
            match told {
                Ok(Told::Page(page)) => pages.push((*location, page)),
                Ok(Told::Unknown(reply)) => {
                    unknown.get_or_insert((location.id, reply));
                }
                Ok(Told::Refusal(reply)) => return Err(self.refuse(reply, location.id)),
                Err(silence) => silent.push(silence),
            }
        }
        match unknown {
            Some((location, reply)) if pages.is_empty() && silent.is_empty() => {
                Err(self.refuse(reply, location))
            }
            // Nobody has any, as far as could be asked: that is no empty list.
            Some(_) if pages.is_empty() => Err(Error::Silent(silent)),
            _ => Ok(Sorted { pages, silent }),
        }
    }

    /// Whose marker is it? The index of its location, and the page that follows there.
    async fn resume(&self, order: &[&Location], marker: &str) -> Result<(usize, Page), Error> {
        let ahead = Some(self.wish.limit.saturating_add(1));
        let key = Key::new(self.listing.collection, marker);
        let remembered = self
            .federation
            .locator
            .remembered(&key)
            .map(|owner| owner.location);
        if let Some(index) = order
            .iter()
            .position(|location| Some(location.id) == remembered)
        {
            match self.page(order[index], ahead, Some(marker)).await {
                Ok(Told::Page(page)) => return Ok((index, page)),
                Ok(Told::Refusal(reply)) => return Err(self.refuse(reply, order[index].id)),
                Ok(Told::Unknown(_)) => self.federation.locator.directory.forget(&key),
                Err(silence) => return Err(silence.into()),
            }
        }
        let asked = join_all(
            order
                .iter()
                .map(|location| self.page(location, ahead, Some(marker))),
        )
        .await;
        let mut silent = Vec::new();
        let mut unknown = None;
        for (index, told) in asked.into_iter().enumerate() {
            match told {
                Ok(Told::Page(page)) => return Ok((index, page)),
                Ok(Told::Refusal(reply)) => return Err(self.refuse(reply, order[index].id)),
                Ok(Told::Unknown(reply)) => {
                    unknown.get_or_insert((order[index].id, reply));
                }
                Err(silence) => silent.push(silence),
            }
        }
        match unknown {
            Some((location, reply)) if silent.is_empty() => Err(self.refuse(reply, location)),
            _ => Err(Error::Silent(silent)),
        }
    }

    /// Reads all of every location in its default order and keeps the best.
    async fn scan(&self) -> Result<Answer, Error> {
        let (valid, start) = futures_util::join!(self.validate(), self.start());
        valid?;
        let start = start?;
        let scans = self
            .listing
            .scope
            .iter()
            .enumerate()
            .map(|(index, location)| {
                let start = start.as_ref();
                async move { self.scan_location(location, index, start).await }
            });
        let mut best = Best::new(self.wish.limit, self.wish.direction);
        let mut silent = Vec::new();
        let mut unknown = Vec::new();
        for (location, scanned) in self.listing.scope.iter().zip(join_all(scans).await) {
            match scanned {
                Ok(Scanned::Items(found)) => found
                    .kept
                    .into_iter()
                    .for_each(|candidate| best.offer(candidate)),
                Ok(Scanned::Unknown(reply)) => unknown.push((location.id, reply)),
                Err(Error::Silent(more)) => silent.extend(more),
                Err(error) => return Err(error),
            }
        }
        if unknown.len() == self.listing.scope.len() {
            let (location, reply) = unknown.swap_remove(0);
            return Err(self.refuse(reply, location));
        }
        let missing = self.tolerate(silent)?;
        let more = if best.kept.len() > self.wish.limit {
            More::Yes
        } else {
            More::No
        };
        let ordered: Vec<Candidate> = match self.wish.direction {
            Direction::Ascending => best.kept.into_iter().collect(),
            Direction::Descending => best.kept.into_iter().rev().collect(),
        };
        let length = ordered
            .iter()
            .map(|candidate| candidate.text.len() + 2)
            .sum();
        let mut output = Output::new(self.listing.facts.key, length);
        for candidate in ordered.into_iter().take(self.wish.limit) {
            let location = self.listing.scope[candidate.location].id;
            notice(
                self,
                &mut output,
                candidate.id.as_deref(),
                candidate.name.as_deref(),
                location,
            );
            output.writer.push_raw(&candidate.text);
            output.last = candidate.id;
        }
        Ok(self.finish(output, more, &missing))
    }

    /// Ironic says whether it can sort by that key; the scan itself never asks it to.
    async fn validate(&self) -> Result<(), Error> {
        let query = self
            .request
            .query
            .without(&["limit", "marker"])
            .with("limit", "1");
        let mut path = self.listing.path.clone();
        query.append_to(&mut path);
        let question = self.request.ask(http::Method::GET, path);
        for location in &self.listing.scope {
            match location.exchange(&self.request.asker, &question).await {
                // Unknown there is what is filtered by, not the key.
                Ok(reply) if reply.status == StatusCode::NOT_FOUND => {}
                Ok(reply) if reply.status.is_success() => return Ok(()),
                Ok(reply) if reply.status == StatusCode::SERVICE_UNAVAILABLE => {}
                Ok(reply) => return Err(self.refuse(reply, location.id)),
                Err(_) => {}
            }
        }
        // Whoever is silent will be found silent by the scan.
        Ok(())
    }

    /// Where a walk goes on: the marker's own place in the order.
    async fn start(&self) -> Result<Option<Start>, Error> {
        let (Some(marker), Some(sort_key)) = (&self.wish.marker, &self.wish.sort_key) else {
            return Ok(None);
        };
        let key = Key::new(self.listing.collection, marker);
        let mut remembered = self.federation.locator.remembered(&key);
        loop {
            let owner = match remembered
                .take()
                .filter(|owner| self.index(owner.location).is_some())
            {
                Some(owner) => owner.location,
                None => self.marker_owner(&key, marker).await?,
            };
            let Some(index) = self.index(owner) else {
                return Err(Fault::not_found().into());
            };
            let location = self.listing.scope[index];
            let (item, successor) = futures_util::join!(
                self.marker_value(location, marker, sort_key),
                self.successor(location, marker)
            );
            match (item?, successor?) {
                (Some(value), Some(successor)) => {
                    return Ok(Some(Start {
                        location: index,
                        marker: marker.clone(),
                        value,
                        successor,
                    }));
                }
                // It is no longer where it was.
                _ => self.federation.locator.directory.forget(&key),
            }
        }
    }

    fn index(&self, id: LocationId) -> Option<usize> {
        self.listing
            .scope
            .iter()
            .position(|location| location.id == id)
    }

    async fn marker_owner(&self, key: &Key, marker: &str) -> Result<LocationId, Error> {
        if let [only] = &self.listing.scope[..] {
            return match self.page(only, Some(1), Some(marker)).await? {
                Told::Page(_) => Ok(only.id),
                Told::Unknown(reply) | Told::Refusal(reply) => Err(self.refuse(reply, only.id)),
            };
        }
        match self.federation.locator.poll(&self.request.asker, key).await {
            Ok(owner) => Ok(owner.location),
            Err(LocateError::Nobody { first, .. }) => {
                let location = self.federation.locations.location(first);
                match self.page(location, Some(1), Some(marker)).await? {
                    Told::Page(_) => Ok(first),
                    Told::Unknown(reply) | Told::Refusal(reply) => Err(self.refuse(reply, first)),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The marker's own sort value; `None`: it is not there.
    async fn marker_value(
        &self,
        location: &Location,
        marker: &str,
        sort_key: &str,
    ) -> Result<Option<SortValue>, Error> {
        let facts = self.listing.collection.facts();
        let mut path = format!(
            "/v1/{}/{}",
            facts.path,
            crate::api::query::encode_segment(marker)
        );
        if !facts.detail_only.contains(&sort_key) && self.request.version.minor >= 8 {
            Query::default()
                .with("fields", sort_key)
                .append_to(&mut path);
        }
        let question = self.request.ask(http::Method::GET, path);
        let reply = location.ask(&self.request.asker, &question).await?;
        if reply.status != StatusCode::OK {
            return Ok(None);
        }
        let object: HashMap<&str, &serde_json::value::RawValue> =
            serde_json::from_slice(&reply.body).map_err(|_| location.misspoke())?;
        Ok(Some(SortValue::new(
            object.get(sort_key).map(|raw| raw.get().as_bytes()),
        )))
    }

    /// Who follows the marker in the location's default order, among those that pass the filters: `Some(None)`, nobody;
    /// `None`, the marker is not there.
    async fn successor(
        &self,
        location: &Location,
        marker: &str,
    ) -> Result<Option<Option<String>>, Error> {
        Ok(match self.page(location, Some(1), Some(marker)).await? {
            Told::Page(page) => Some(
                page.items()
                    .next()
                    .and_then(|item| item.id().map(std::borrow::Cow::into_owned)),
            ),
            Told::Unknown(_) => None,
            Told::Refusal(reply) => return Err(self.refuse(reply, location.id)),
        })
    }

    async fn scan_location(
        &self,
        location: &Location,
        index: usize,
        start: Option<&Start>,
    ) -> Result<Scanned, Error> {
        let mut best = Best::new(self.wish.limit, self.wish.direction);
        let mut position = Position::new(index, start, self.wish.direction);
        let mut marker: Option<String> = None;
        let mut walk = Walk::default();
        let mut sequence = 0;
        loop {
            let page = match self.page(location, None, marker.as_deref()).await? {
                Told::Page(page) => page,
                Told::Unknown(reply) if marker.is_none() => return Ok(Scanned::Unknown(reply)),
                Told::Unknown(reply) | Told::Refusal(reply) => {
                    return Err(self.refuse(reply, location.id));
                }
            };
            for item in page.items() {
                sequence += 1;
                let id = item.id();
                let value = SortValue::new(item.sort_value());
                if position.passes(id.as_deref(), &value) && best.accepts(&value, index, sequence) {
                    let mut text = Vec::with_capacity(item.length(&self.request.base));
                    item.write(&mut text, &self.request.base);
                    best.offer(Candidate {
                        value,
                        location: index,
                        sequence,
                        id: id.as_deref().map(str::to_owned),
                        name: item.name().map(std::borrow::Cow::into_owned),
                        text,
                    });
                }
            }
            marker = walk.next(location, &page)?;
            if marker.is_none() {
                return Ok(Scanned::Items(best));
            }
        }
    }

    /// Everything of everybody, each replicated object once.
    async fn gather(&self) -> Result<Answer, Error> {
        if self.wish.sort_key.is_some() {
            self.validate().await?;
        }
        let told = join_all(
            self.listing
                .scope
                .iter()
                .map(|location| self.read_all(location)),
        )
        .await;
        let mut pages: Vec<(&Location, Page)> = Vec::new();
        let mut silent = Vec::new();
        for (location, told) in self.listing.scope.iter().zip(told) {
            match told {
                Ok(read) => pages.extend(read.into_iter().map(|page| (*location, page))),
                Err(Error::Silent(more)) => silent.extend(more),
                Err(error) => return Err(error),
            }
        }
        let missing = self.tolerate(silent)?;
        let mut seen = HashSet::new();
        let mut items: Vec<(SortValue, LocationId, Item<'_>)> = Vec::new();
        for (location, page) in &pages {
            for item in page.items() {
                let replicated = self.listing.facts.spread == Spread::Replicated;
                if !replicated || item.id().is_none_or(|id| seen.insert(id.into_owned())) {
                    items.push((SortValue::new(item.sort_value()), location.id, item));
                }
            }
        }
        // Stable: equals stay in the order of the configuration.
        items.sort_by(|(one, ..), (two, ..)| one.cmp(two));
        if self.wish.direction == Direction::Descending {
            items.reverse();
        }
        let skipped = match &self.wish.marker {
            None => 0,
            Some(marker) => match items
                .iter()
                .rposition(|(_, _, item)| item.id().as_deref() == Some(marker))
            {
                Some(index) => index + 1,
                None if missing.is_empty() => {
                    let noun = self.listing.facts.noun;
                    let text = format!("{noun} {marker} could not be found.");
                    return Err(Fault::new(StatusCode::NOT_FOUND, text).into());
                }
                None => return Err(Error::Silent(missing)),
            },
        };
        let mut output = Output::new(self.listing.facts.key, 0);
        let more = if items.len() - skipped > self.wish.limit {
            More::Yes
        } else {
            More::No
        };
        for (_, location, item) in items.iter().skip(skipped).take(self.wish.limit) {
            self.write(&mut output, item, *location);
        }
        Ok(self.finish(output, more, &missing))
    }

    async fn read_all(&self, location: &Location) -> Result<Vec<Page>, Error> {
        let mut pages: Vec<Page> = Vec::new();
        let mut walk = Walk::default();
        let mut marker: Option<String> = None;
        loop {
            let page = match self.page(location, None, marker.as_deref()).await? {
                Told::Page(page) => page,
                Told::Unknown(reply) | Told::Refusal(reply) => {
                    return Err(self.refuse(reply, location.id));
                }
            };
            marker = walk.next(location, &page)?;
            pages.push(page);
            if marker.is_none() {
                return Ok(pages);
            }
        }
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

fn item_seen(merge: &Merge<'_>, output: &mut Output, item: &Item<'_>, location: LocationId) {
    notice(
        merge,
        output,
        item.id().as_deref(),
        item.name().as_deref(),
        location,
    );
}

/// Learns where an item lives, and tells the operators of one that lives twice.
fn notice(
    merge: &Merge<'_>,
    output: &mut Output,
    id: Option<&str>,
    name: Option<&str>,
    location: LocationId,
) {
    merge
        .federation
        .locator
        .learn(merge.listing.collection, id, name, location);
    let Some(id) = id.filter(|_| merge.listing.scope.len() > 1) else {
        return;
    };
    if let Some(other) = output.seen.insert(id.to_owned(), location) {
        let names = merge.federation.locations.names([&other, &location]);
        warn!(
            "{} {id} is at more than one location: {names}",
            merge.listing.facts.noun
        );
    }
}

/// Whether there is another page.
#[derive(Clone, Copy)]
enum More {
    Yes,
    No,
}

enum Scanned {
    Items(Best),
    Unknown(Reply),
}

/// The marker's place in the merged order.
struct Start {
    location: usize,
    marker: String,
    value: SortValue,
    /// Who follows it in its location's default order.
    successor: Option<String>,
}

/// Whether items come after the marker; fed with the items of one location in its default order.
struct Position<'a> {
    location: usize,
    start: Option<&'a Start>,
    direction: Direction,
    /// The walk through the marker's own location is past it.
    past: bool,
}

impl<'a> Position<'a> {
    fn new(location: usize, start: Option<&'a Start>, direction: Direction) -> Self {
        Self {
            location,
            start,
            direction,
            past: false,
        }
    }

    fn passes(&mut self, id: Option<&str>, value: &SortValue) -> bool {
        let Some(start) = self.start else { return true };
        let own = self.location == start.location;
        if own && id.is_some() && id == start.successor.as_deref() {
            self.past = true;
        }
        let order = self
            .direction
            .apply((value, self.location).cmp(&(&start.value, start.location)));
        match order {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => match self.direction {
                Direction::Ascending => self.past,
                Direction::Descending => !self.past && id != Some(&start.marker),
            },
        }
    }
}

/// An item that may be on the page, written already.
struct Candidate {
    value: SortValue,
    location: usize,
    /// Its place in its location's default order.
    sequence: usize,
    id: Option<String>,
    name: Option<String>,
    text: Vec<u8>,
}

impl Candidate {
    fn rank(&self) -> (&SortValue, usize, usize) {
        (&self.value, self.location, self.sequence)
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// The best items so far: a page, and one more to know whether there is one.
struct Best {
    kept: BTreeSet<Candidate>,
    room: usize,
    direction: Direction,
}

impl Best {
    fn new(limit: usize, direction: Direction) -> Self {
        Self {
            kept: BTreeSet::new(),
            room: limit.saturating_add(1),
            direction,
        }
    }

    fn worst(&self) -> Option<&Candidate> {
        match self.direction {
            Direction::Ascending => self.kept.last(),
            Direction::Descending => self.kept.first(),
        }
    }

    fn accepts(&self, value: &SortValue, location: usize, sequence: usize) -> bool {
        self.kept.len() < self.room
            || self.worst().is_some_and(|worst| {
                self.direction
                    .apply((value, location, sequence).cmp(&worst.rank()))
                    .is_lt()
            })
    }

    fn offer(&mut self, candidate: Candidate) {
        if !self.accepts(&candidate.value, candidate.location, candidate.sequence) {
            return;
        }
        self.kept.insert(candidate);
        if self.kept.len() > self.room {
            match self.direction {
                Direction::Ascending => self.kept.pop_last(),
                Direction::Descending => self.kept.pop_first(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_as_python_reads_it() {
        for (text, expected) in [
            ("1", 1),
            ("+1", 1),
            (" 2 ", 2),
            ("1_0", 10),
            ("99999999999999999999", usize::MAX),
        ] {
            assert_eq!(limit(text), Ok(expected), "{text}");
        }
        for text in ["", "abc", "1.5", "1__0", "_1", "+", "0x1"] {
            assert_eq!(
                limit(text).unwrap_err().text(),
                format!("Expected an integer for limit: {text}")
            );
        }
        for text in ["0", "-1", "-0"] {
            assert_eq!(limit(text).unwrap_err().text(), "Limit must be positive");
        }
    }
}
