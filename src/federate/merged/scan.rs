//! Reads everything from all locations, each in its own order: Ironic's sorted paging loses rows whose key is NULL, and
//! locations compare differently.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::SetOnce;

use crate::api::merged_page::Taken;
use crate::api::page::Keep;
use crate::federate::Error;
use crate::federate::merged::best::Best;
use crate::federate::merged::index::Entry;
use crate::federate::merged::index::Index;
use crate::federate::merged::index::Spot;
use crate::federate::merged::merge::Merge;
use crate::federate::merged::order::SortValue;
use crate::locations::location::Location;
use crate::locations::silence::Silence;
use crate::locations::walk::Halt;
use crate::locations::walk::List;
use crate::locations::walk::Walk;
use crate::locations::window::ask_all;
use crate::wire::transport::Reply;

/// Which bodies are read together with the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bodies {
    /// None: only identifiers and keys are asked for.
    None,
    /// Those of the first page.
    First,
    All,
}

/// What was read.
pub(super) struct Scan {
    pub(super) index: Index,
    pub(super) bodies: HashMap<Spot, Taken>,
    /// Locations that are not in it.
    pub(super) missing: Vec<Silence>,
}

/// What was read of one location.
enum Read {
    Entries(Vec<Entry>, Vec<(Spot, Taken)>),
    Unknown(Reply),
}

/// Reading everything.
pub(super) struct Scanning<'a> {
    pub(super) merge: &'a Merge<'a>,
    pub(super) bodies: Bodies,
    /// The place of the location that was read first: a further question there needs no other connection.
    pub(super) first: &'a SetOnce<usize>,
}

impl Scanning<'_> {
    pub(super) async fn scan(&self) -> Result<Scan, Error> {
        let shown = self.merge.wish.bodies.shown();
        let list = match self.bodies {
            Bodies::None => self.merge.list(&self.merge.wish.keys, Keep::All),
            Bodies::First | Bodies::All => self.merge.list(
                &self.merge.wish.bodies,
                shown.as_deref().map_or(Keep::All, Keep::Only),
            ),
        };
        let room = match self.bodies {
            Bodies::First => self.merge.wish.limit,
            Bodies::None | Bodies::All => 0,
        };
        let best = Mutex::new(Best::new(room, self.merge.wish.direction));
        let (list, first, kept) = (&list, self.first, &best);
        let scope = (0..).zip(self.merge.scope());
        let scans = scope.map(|(place, location)| async move {
            let read = self.scan_one(list, place, location, kept).await;
            // Another one may have been before.
            let _ = first.set(place as usize);
            read
        });
        let mut entries = Vec::with_capacity(self.merge.scope().len());
        let mut found = HashMap::new();
        let (mut silent, mut unknown) = (Vec::new(), None);
        let mut is_known = false;
        for (location, read) in self.merge.scope().iter().zip(ask_all(scans).await) {
            let location = location.id;
            match read {
                Ok(Read::Entries(read, bodies)) => {
                    is_known = true;
                    entries.push(read);
                    found.extend(bodies);
                    continue;
                }
                Ok(Read::Unknown(reply)) => {
                    unknown.get_or_insert((location, reply));
                }
                Err(Halt::Refusal(reply) | Halt::Unknown(reply)) => {
                    return Err(self.merge.refuse(reply, location));
                }
                Err(Halt::Silent(silence)) => silent.push(silence),
            }
            entries.push(Vec::new());
        }
        match unknown {
            Some((location, reply)) if !is_known && silent.is_empty() => {
                return Err(self.merge.refuse(reply, location));
            }
            // Every location that answered gave a 404, and others are silent: that is unknown, not an empty list.
            Some(_) if !is_known => return Err(Error::Silent(silent)),
            _ => {}
        }
        let missing = self.merge.tolerate(silent)?;
        // Those of a location that fell silent meanwhile are at no place of the index.
        let best = best.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.extend(best.into_bodies());
        let once = self.merge.lists_once();
        let index = Index::new(entries, self.merge.wish.direction, once);
        let twins = (!self.merge.is_replicated()).then(|| index.twice());
        for (id, places) in twins.into_iter().flatten() {
            let at: Vec<_> = places
                .iter()
                .map(|&place| self.merge.scope()[place].id)
                .collect();
            self.merge.warn_of_twins(id, &at);
        }
        Ok(Scan {
            index,
            bodies: found,
            missing,
        })
    }

    async fn scan_one(
        &self,
        list: &List<'_>,
        place: u32,
        location: &Location,
        best: &Mutex<Best>,
    ) -> Result<Read, Halt> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut bodies = Vec::new();
        let mut walk = Walk::new(list, &self.merge.request.asker, location);
        loop {
            let page = match walk.next(None).await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(Halt::Unknown(reply)) if entries.is_empty() => {
                    return Ok(Read::Unknown(reply));
                }
                Err(halt) => return Err(halt),
            };
            let begin = u32::try_from(entries.len()).unwrap_or(u32::MAX);
            let spots = (begin..).map(|sequence| Spot { place, sequence });
            for (item, spot) in page.items().zip(spots.clone()) {
                // The identifier is always among the fields asked for, so an item without one is not Ironic's.
                let Some(id) = item.id() else {
                    return Err(location.misspoke().into());
                };
                let value = SortValue::new(item.sort_value());
                if self.bodies == Bodies::First {
                    let mut best = best.lock().unwrap_or_else(PoisonError::into_inner);
                    best.offer(&value, spot, || Taken::alone(&item));
                }
                entries.push(Entry {
                    id: (&*id).into(),
                    value,
                });
            }
            if self.bodies == Bodies::All {
                bodies.extend(spots.zip(Taken::all(&Arc::new(page))));
            }
        }
        if !self.merge.wish.is_filtered() && self.merge.listing.is_of_collection() {
            let total = entries.len();
            self.merge
                .memory
                .counted(self.merge.listing.collection, location.id, total);
        }
        Ok(Read::Entries(entries, bodies))
    }
}
