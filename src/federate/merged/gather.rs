//! Small collections: everything of everybody, each replicated object once.

use std::collections::HashSet;

use futures_util::future::join_all;
use http::StatusCode;

use crate::api::collection::Spread;
use crate::api::fault::Fault;
use crate::api::page::Item;
use crate::api::page::Page;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::merged::Merge;
use crate::federate::merged::More;
use crate::federate::merged::Output;
use crate::federate::merged::Told;
use crate::federate::merged::Walk;
use crate::federate::merged::order::Direction;
use crate::federate::merged::order::SortValue;
use crate::locations::location::Location;
use crate::request::Answer;

impl Merge<'_> {
    /// Everything of everybody, each replicated object once.
    pub(super) async fn gather(&self) -> Result<Answer, Error> {
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
        self.finish(output, more, missing)
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
