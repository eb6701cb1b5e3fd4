//! Where a sorted walk goes on: the place of its marker in an order that was read just now.

use std::borrow::Cow;

use http::Method;

use crate::api::json;
use crate::api::page::Keep;
use crate::api::query::Query;
use crate::api::query::encode_segment;
use crate::api::route;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::merged::index::Index;
use crate::federate::merged::marker::Marker;
use crate::federate::merged::merge::Merge;
use crate::federate::merged::order::SortValue;
use crate::federate::objection::Objection;
use crate::locate::LocateError;
use crate::locate::directory::Key;
use crate::locations::location::Location;
use crate::locations::question::Expect;
use crate::locations::silence::Silence;
use crate::locations::speech::Said;
use crate::locations::speech::Words;
use crate::locations::walk::Halt;
use crate::locations::walk::PageReply;
use crate::locations::walk::Walk;

/// Items read behind a marker that the filters hide, to find its place in the order.
const FOLLOWERS: usize = 100;

/// The first that follow. Of a list that we sift ourselves many pages may give nothing.
async fn followers(mut walk: Walk<'_>) -> Result<Vec<String>, Halt> {
    while let Some(page) = walk.next(Some(FOLLOWERS)).await? {
        if !page.is_empty() {
            let ids = page.items().filter_map(|item| item.id());
            return Ok(ids.map(Cow::into_owned).collect());
        }
    }
    Ok(Vec::new())
}

/// A marker, and what could not be read.
pub(super) struct Position<'a> {
    pub(super) merge: &'a Merge<'a>,
    pub(super) marker: &'a Marker,
    pub(super) missing: &'a [Silence],
    /// Nothing but this list knows its items, so a marker that is not in it does not exist.
    pub(super) is_small: bool,
}

impl Position<'_> {
    /// Where the walk goes on.
    pub(super) async fn behind(&self, index: &Index) -> Result<usize, Error> {
        let (marker, missing) = (self.marker, self.missing);
        let named = marker.location.and_then(|id| self.merge.place(id));
        // The item may have been deleted and enrolled elsewhere since the marker was made.
        if let Some(behind) = index
            .behind(&marker.item, named)
            .or_else(|| index.behind(&marker.item, None))
        {
            return Ok(behind);
        }
        if let Some(silence) = self.silent_owner() {
            return Err(silence.clone().into());
        }
        if self.is_small {
            return Err(self.unknown().await);
        }
        let place = self.owner().await?;
        let location = self.merge.scope()[place];
        if let Some(silence) = missing.iter().find(|one| one.location == location.id) {
            return Err(silence.clone().into());
        }
        let list = self.merge.list(&self.merge.wish.keys, Keep::All);
        let start = Some(marker.item.clone());
        let walk = Walk::behind(&list, &self.merge.request.asker, location, start);
        let (value, followers) =
            futures_util::join!(self.value(location, &marker.item), followers(walk));
        let followers = match followers {
            Ok(followers) => followers,
            Err(Halt::Unknown(reply) | Halt::Refusal(reply)) => {
                return Err(self.merge.refuse(reply, location.id));
            }
            Err(Halt::Silent(silence)) => return Err(silence.into()),
        };
        match value? {
            Some(value) => Ok(index.behind_unlisted(place, &value, &followers)),
            None => Err(self.unknown().await),
        }
    }

    /// The silent location that may have the marker.
    fn silent_owner(&self) -> Option<&Silence> {
        let key = Key::new(self.merge.listing.collection, &self.marker.item);
        let seen_at =
            |location: LocationId| self.missing.iter().find(|one| one.location == location);
        let remembered = || {
            self.merge
                .locator
                .remembered(&key)
                .map(|owner| owner.location)
        };
        self.marker.location.or_else(remembered).and_then(seen_at)
    }

    async fn owner(&self) -> Result<usize, Error> {
        if let [_] = self.merge.scope() {
            return Ok(0);
        }
        let key = Key::new(self.merge.listing.collection, &self.marker.item);
        let found = match self
            .merge
            .locator
            .poll(&self.merge.request.asker, &key)
            .await
        {
            Ok(owner) => owner.location,
            // That location's 404 about the marker is the answer.
            Err(LocateError::Nobody { first, .. }) => first,
            Err(error) => return Err(error.into()),
        };
        self.merge
            .place(found)
            .ok_or_else(|| Objection::NOWHERE.into())
    }

    /// A marker that nobody knows, in a location's own words.
    async fn unknown(&self) -> Error {
        if !self.missing.is_empty() {
            return Error::Silent(self.missing.to_vec());
        }
        let list = self.merge.list(&self.merge.wish.bodies, Keep::All);
        if let Some(location) = self.merge.scope().first() {
            let told = list.page(
                &self.merge.request.asker,
                location,
                Some(1),
                Some(&self.marker.item),
            );
            match told.await {
                Ok(PageReply::Unknown(reply) | PageReply::Refusal(reply)) => {
                    return self.merge.refuse(reply, location.id);
                }
                Ok(PageReply::Page(_)) => {}
                Err(silence) => return silence.into(),
            }
        }
        self.merge.nobody_has(self.marker)
    }

    /// What an item has of the sort key; `None`: it is not there.
    async fn value(&self, location: &Location, item: &str) -> Result<Option<SortValue>, Error> {
        let Some(sort_key) = self.merge.wish.sort_key.as_deref() else {
            return Ok(Some(SortValue::Null));
        };
        if !route::identifies(self.merge.listing.collection, item) {
            return Ok(None);
        }
        let facts = self.merge.listing.collection.facts();
        let mut path = format!("/v1/{}/{}", facts.path, encode_segment(item));
        let selectable =
            !facts.detail_only.contains(&sort_key) && self.merge.request.version.minor >= 8;
        if selectable {
            let fields = format!("{},{sort_key}", facts.id);
            Query::default().with("fields", fields).append_to(&mut path);
        }
        let question = self
            .merge
            .request
            .ask(Method::GET, path)
            .expecting(Expect::Member {
                collection: self.merge.listing.collection,
                ident: Some(item.to_owned()),
            });
        match location.ask(&self.merge.request.asker, &question).await? {
            Said::Has(Words { reply, .. }) => {
                let [value] =
                    json::raw_members(&reply.body, [sort_key]).map_err(|_| location.misspoke())?;
                Ok(Some(SortValue::new(value)))
            }
            Said::No(_) => Ok(None),
            Said::Refuses(reply) | Said::Fails(reply) => Err(self.merge.refuse(reply, location.id)),
        }
    }
}
