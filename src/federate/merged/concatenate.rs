//! Nothing visible to sort by: the locations' own orders, one location after the other.

use futures_util::future::join_all;

use crate::api::page::Page;
use crate::federate::Error;
use crate::federate::merged::Merge;
use crate::federate::merged::More;
use crate::federate::merged::Output;
use crate::federate::merged::Told;
use crate::federate::merged::Walk;
use crate::federate::merged::order::Direction;
use crate::locate::directory::Key;
use crate::locations::location::Location;
use crate::locations::silence::Silence;
use crate::request::Answer;

/// First pages, and who gave none.
struct Sorted<'l> {
    pages: Vec<(&'l Location, Page)>,
    silent: Vec<Silence>,
}

impl Merge<'_> {
    /// The location's own order, one location after the other.
    pub(super) async fn concatenate(&self) -> Result<Answer, Error> {
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
                        return self.finish(output, More::Yes, missing);
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
        self.finish(output, More::No, missing)
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
}
