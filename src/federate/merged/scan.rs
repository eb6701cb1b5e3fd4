//! A visible key to sort by: every location is read in its default order, and the best items are kept.

use std::collections::HashMap;

use futures_util::future::join_all;
use http::StatusCode;

use crate::api::fault::Fault;
use crate::api::query::Query;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::merged::Merge;
use crate::federate::merged::More;
use crate::federate::merged::Output;
use crate::federate::merged::Told;
use crate::federate::merged::Walk;
use crate::federate::merged::best::Best;
use crate::federate::merged::best::Candidate;
use crate::federate::merged::order::Direction;
use crate::federate::merged::order::SortValue;
use crate::locate::LocateError;
use crate::locate::directory::Key;
use crate::locations::location::Location;
use crate::request::Answer;
use crate::wire::transport::Reply;

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

impl Merge<'_> {
    /// Reads all of every location in its default order and keeps the best.
    pub(super) async fn scan(&self) -> Result<Answer, Error> {
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
            let (id, name) = (candidate.id.as_deref(), candidate.name.as_deref());
            output.see(id, name, location);
            output.writer.push_raw(&candidate.text);
        }
        self.finish(output, more, missing)
    }

    /// Ironic says whether it can sort by that key; the scan itself never asks it to.
    pub(super) async fn validate(&self) -> Result<(), Error> {
        let query = self
            .request
            .query
            .without(&["limit", "marker"])
            .with("limit", "1");
        let mut path = self.listing.path.clone();
        query.append_to(&mut path);
        let question = self.request.ask(http::Method::GET, path);
        for location in &self.listing.scope {
            match location.reply(&self.request.asker, &question).await {
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
        let reply = location.reply(&self.request.asker, &question).await?;
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
}
