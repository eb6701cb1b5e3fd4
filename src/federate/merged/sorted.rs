//! A sort key, or a collection that is the same everywhere: all keys are read once and put into one order, and the
//! bodies of each page are read when it is asked for.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::SetOnce;

use crate::api::merged_page::Taken;
use crate::api::page::Keep;
use crate::federate::Error;
use crate::federate::merged::gather::Gathered;
use crate::federate::merged::gather::Gathering;
use crate::federate::merged::index::Index;
use crate::federate::merged::index::Spot;
use crate::federate::merged::marker::Marker;
use crate::federate::merged::marker::PAGING;
use crate::federate::merged::marker::WalkName;
use crate::federate::merged::merge::Finished;
use crate::federate::merged::merge::Merge;
use crate::federate::merged::position::Position;
use crate::federate::merged::scan::Bodies;
use crate::federate::merged::scan::Scanning;
use crate::federate::objection::Objection;
use crate::locations::silence::Silence;
use crate::locations::speech::Said;
use crate::locations::walk::PageReply;
use crate::request::Answer;

/// An index, and where a page of it begins.
struct Reading {
    index: Arc<Index>,
    behind: usize,
    /// It was made for an earlier page.
    is_remembered: bool,
    bodies: HashMap<Spot, Taken>,
    missing: Vec<Silence>,
}

/// One page of all items in one order.
pub(super) async fn page(merge: Merge<'_>) -> Result<Answer, Error> {
    Sorted { merge }.page().await
}

/// The merge of a page.
struct Sorted<'a> {
    merge: Merge<'a>,
}

impl Sorted<'_> {
    async fn page(&self) -> Result<Answer, Error> {
        if let Some((index, behind)) = self.remembered() {
            let reading = Reading {
                index,
                behind,
                is_remembered: true,
                bodies: HashMap::new(),
                missing: Vec::new(),
            };
            if let Some(answer) = self.read(reading).await? {
                return Ok(answer);
            }
            // The marker was deleted or moved since, so the whole index is suspect.
        }
        let reading = self.anew().await?;
        // A fresh index holds its marker.
        let answer = self.read(reading).await?;
        answer.ok_or_else(|| Objection::NOWHERE.into())
    }

    /// A marker alone does not tell: the client may have its page from another replica, which read it after things were
    /// made that an index here lacks.
    fn remembered(&self) -> Option<(Arc<Index>, usize)> {
        let merge = &self.merge;
        let (marker, walk) = (merge.marker?, merge.wish.walk?);
        let place = match marker.location {
            None => None,
            Some(location) => Some(merge.place(location)?),
        };
        let memory = merge.memory;
        memory.named_index(&merge.walked(), walk, &marker.item, place)
    }

    /// Collections that are usually smaller than a page: everything is read each time.
    fn is_small(&self) -> bool {
        let listing = &self.merge.listing;
        listing.facts != listing.collection.facts() || !listing.collection.is_cached()
    }

    /// Reads everything, and finds the marker in it.
    async fn anew(&self) -> Result<Reading, Error> {
        let first = SetOnce::new();
        let bodies = self.bodies_along();
        let is_validated = !self.is_known_to_sort() || self.is_selection_replaced();
        let scanning = Scanning {
            merge: &self.merge,
            bodies,
            first: &first,
        };
        let (valid, scan) = futures_util::join!(
            async {
                if !is_validated || self.merge.scope().is_empty() {
                    return Ok(());
                }
                // Beside the scan it would need a second connection, which over TLS takes two round trips to make.
                self.validate(*first.wait().await).await
            },
            scanning.scan()
        );
        valid?;
        let scan = scan?;
        let behind = match self.merge.marker {
            None => 0,
            Some(marker) => {
                self.position(marker, &scan.missing)
                    .behind(&scan.index)
                    .await?
            }
        };
        let is_page_read = bodies != Bodies::None || behind < scan.index.len();
        if !is_validated && !is_page_read && self.is_selecting() && first.initialized() {
            self.validate(*first.wait().await).await?;
        }
        Ok(Reading {
            index: Arc::new(scan.index),
            behind,
            is_remembered: false,
            bodies: scan.bodies,
            missing: scan.missing,
        })
    }

    /// Reading bodies with the keys saves a round trip if most of them are on the page.
    fn bodies_along(&self) -> Bodies {
        if self.is_small() {
            return Bodies::All;
        }
        if self.merge.marker.is_some() {
            return Bodies::None;
        }
        // What details are read for in any case.
        if self.merge.wish.only.is_some() {
            return Bodies::First;
        }
        let scope = self.merge.scope().iter().map(|location| location.id);
        let totals = self
            .merge
            .memory
            .totals_of(self.merge.listing.collection, scope);
        let known: usize = totals.iter().flatten().sum();
        let is_known = totals.iter().all(Option::is_some);
        let fits = if is_known {
            known <= self.merge.wish.limit
        } else {
            known <= self.merge.wish.limit && !self.merge.wish.bodies.is_detailed
        };
        if fits { Bodies::First } else { Bodies::None }
    }

    fn position<'p>(&'p self, marker: &'p Marker, missing: &'p [Silence]) -> Position<'p> {
        Position {
            merge: &self.merge,
            marker,
            missing,
            is_small: self.is_small(),
        }
    }

    fn is_known_to_sort(&self) -> bool {
        let facts = self.merge.listing.facts;
        self.merge.wish.sort_key.as_ref().is_none_or(|key| {
            self.merge
                .memory
                .is_sortable(facts.path, key, self.merge.request.version)
        })
    }

    /// What is wrong with the client's selection Ironic says when bodies are read with it.
    fn is_selecting(&self) -> bool {
        let query = &self.merge.request.query;
        ["fields", "detail"]
            .iter()
            .any(|name| query.value(name).is_some())
    }

    /// Bodies are read with all details instead, since only those show the sort key.
    fn is_selection_replaced(&self) -> bool {
        let bodies = &self.merge.wish.bodies;
        self.is_selecting() && bodies.is_detailed && bodies.shown.is_some()
    }

    /// Lets Ironic accept or refuse the sort key and the selection: the scan reads in the order of creation and never sends it. `first`:
    /// whom to ask first.
    async fn validate(&self, first: usize) -> Result<(), Error> {
        let query = self.merge.request.query.without(PAGING).with("limit", "1");
        let mut question = self.merge.request.shared();
        question.path.clone_from(&self.merge.listing.path);
        query.append_to(&mut question.path);
        let (before, from) = self.merge.scope().split_at(first);
        for location in from.iter().chain(before) {
            match location.ask(&self.merge.request.asker, &question).await {
                Ok(Said::Has(_)) => {
                    if let Some(key) = &self.merge.wish.sort_key {
                        self.merge.memory.sortable(
                            self.merge.listing.facts.path,
                            key,
                            self.merge.request.version,
                        );
                    }
                    return Ok(());
                }
                Ok(Said::Refuses(reply)) => return Err(self.merge.refuse(reply, location.id)),
                // A 404 is about the filter (an unknown chassis), not about the key. The scan reports silent locations
                // itself.
                Ok(Said::No(_) | Said::Fails(_)) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// The page that begins there; `None`: its marker is gone from where it was.
    async fn read(&self, reading: Reading) -> Result<Option<Answer>, Error> {
        let index = &*reading.index;
        let gathering = Gathering {
            merge: &self.merge,
            index,
        };
        let mut page = Page {
            limit: self.merge.wish.limit,
            rows: Vec::new(),
            end: reading.behind,
            more: false,
            missing: reading.missing.clone(),
        };
        let mut bodies = reading.bodies;
        let mut at = reading.behind;
        // Items of a remembered index may be gone: one more is read to know whether anything follows.
        let ahead = usize::from(reading.is_remembered);
        let marker = index.before(at);
        while page.rows.len() < page.limit + ahead && !page.more {
            let wanted = page.limit + ahead - page.rows.len();
            let spots = index.spots(at..at.saturating_add(wanted));
            let unread: Vec<Spot> = spots
                .iter()
                .copied()
                .filter(|spot| !bodies.contains_key(spot))
                .collect();
            let is_first = at == reading.behind && reading.is_remembered;
            let marker = marker.filter(|_| is_first);
            let (gathered, is_there) = futures_util::join!(
                gathering.gather(&unread),
                self.is_there_beside(index, marker, &unread)
            );
            let gathered = gathered?;
            if let Some(marker) = marker
                && !self.is_there(index, marker, &gathered, is_there?).await?
            {
                return Ok(None);
            }
            bodies.extend(gathered.bodies);
            page.take(at, spots, &mut bodies, &gathered.silent);
            if spots.len() < wanted {
                break;
            }
            at += spots.len();
        }
        if !reading.is_remembered {
            page.more |= page.end < index.len();
        }
        let missing = self.merge.tolerate(std::mem::take(&mut page.missing))?;
        // The page may lack bodies that it could not read; the index is whole all the same.
        let is_whole = reading.missing.is_empty();
        let walk = if page.more && is_whole {
            let memory = self.merge.memory;
            memory.keep_index(self.merge.walked(), Arc::clone(&reading.index))
        } else {
            None
        };
        self.answer(index, page, walk, missing).map(Some)
    }

    /// Whether the marker is still there, where nothing is asked for that tells.
    async fn is_there_beside(
        &self,
        index: &Index,
        marker: Option<Spot>,
        wanted: &[Spot],
    ) -> Result<Option<bool>, Error> {
        match marker {
            Some(marker) if wanted.iter().all(|spot| spot.place != marker.place) => {
                self.is_marker(index, marker).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    async fn is_there(
        &self,
        index: &Index,
        marker: Spot,
        gathered: &Gathered,
        known: Option<bool>,
    ) -> Result<bool, Error> {
        if let Some(silence) = gathered.silent.get(&marker.place) {
            // A silent location can confirm neither its marker nor what follows it.
            return Err(silence.clone().into());
        }
        match known.or_else(|| gathered.proven.get(&marker).copied()) {
            Some(true) => Ok(true),
            // A 404 may only mean that the location's collation was guessed wrong, so the marker itself is asked for.
            _ => self.is_marker(index, marker).await,
        }
    }

    async fn is_marker(&self, index: &Index, marker: Spot) -> Result<bool, Error> {
        let location = self.merge.scope()[marker.place as usize];
        let list = self.merge.list(&self.merge.wish.keys, Keep::All);
        let id = &index.entry(marker).id;
        match list
            .page(&self.merge.request.asker, location, Some(1), Some(id))
            .await?
        {
            PageReply::Page(_) => Ok(true),
            PageReply::Unknown(_) => Ok(false),
            PageReply::Refusal(reply) => Err(self.merge.refuse(reply, location.id)),
        }
    }

    fn answer(
        &self,
        index: &Index,
        page: Page,
        walk: Option<WalkName>,
        missing: Vec<Silence>,
    ) -> Result<Answer, Error> {
        let once = self.merge.lists_once();
        let last = page.rows.last().map(|(spot, _)| *spot);
        let at = |spot: &Spot| self.merge.scope()[spot.place as usize].id;
        let places = page.rows.iter().map(|(spot, _)| at(spot)).collect();
        let items = page.rows.into_iter().map(|(_, taken)| taken).collect();
        let next = last.filter(|_| page.more).map(|spot| {
            let item = index.entry(spot).id.to_string();
            let location = self.merge.scope()[spot.place as usize].id;
            let is_twice = !once && index.is_twice(&item);
            Marker {
                item,
                location: Some(location).filter(|_| is_twice),
            }
        });
        self.merge.finish(Finished {
            items,
            places,
            next,
            walk,
            missing,
        })
    }
}

/// A page under way.
struct Page {
    limit: usize,
    rows: Vec<(Spot, Taken)>,
    /// Behind the last row.
    end: usize,
    more: bool,
    missing: Vec<Silence>,
}

impl Page {
    /// Takes what was read of these spots, the first of which is at `at`. What is gone meanwhile is passed over.
    fn take(
        &mut self,
        at: usize,
        spots: &[Spot],
        bodies: &mut HashMap<Spot, Taken>,
        silent: &HashMap<u32, Silence>,
    ) {
        for (offset, spot) in spots.iter().enumerate() {
            let body = bodies.remove(spot);
            let silence = silent.get(&spot.place).filter(|_| body.is_none());
            if body.is_none() && silence.is_none() {
                continue;
            }
            if self.rows.len() == self.limit {
                // A full page lacks nothing, even if the location of the next item is silent.
                self.more = true;
                return;
            }
            if let Some(body) = body {
                self.rows.push((*spot, body));
                self.end = at + offset + 1;
            } else if let Some(silence) = silence
                && self
                    .missing
                    .iter()
                    .all(|known| known.location != silence.location)
            {
                self.missing.push(silence.clone());
            }
        }
    }
}
