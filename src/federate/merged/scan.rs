//! Reads everything from all locations, each in its own order: Ironic's sorted paging loses rows whose key is NULL, and
//! locations compare differently.

use std::collections::HashMap;

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
    Entries(Vec<Entry>, Vec<(u32, Taken)>),
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
        let (list, first) = (&list, self.first);
        let scope = self.merge.scope().iter().enumerate();
        let scans = scope.map(|(place, location)| async move {
            let read = self.scan_one(list, location).await;
            // Another one may have been before.
            let _ = first.set(place);
            read
        });
        let mut entries = Vec::with_capacity(self.merge.scope().len());
        let mut found = HashMap::new();
        let (mut silent, mut unknown) = (Vec::new(), None);
        let mut is_known = false;
        for (place, read) in (0..).zip(ask_all(scans).await) {
            let location = self.merge.scope()[place as usize].id;
            match read {
                Ok(Read::Entries(read, bodies)) => {
                    is_known = true;
                    entries.push(read);
                    let at = |sequence| Spot { place, sequence };
                    found.extend(
                        bodies
                            .into_iter()
                            .map(|(sequence, body)| (at(sequence), body)),
                    );
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

    async fn scan_one(&self, list: &List<'_>, location: &Location) -> Result<Read, Halt> {
        let room = match self.bodies {
            Bodies::None => 0,
            Bodies::First => self.merge.wish.limit,
            Bodies::All => usize::MAX,
        };
        let mut best = Best::new(room, self.merge.wish.direction);
        let mut entries: Vec<Entry> = Vec::new();
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
            for item in page.items() {
                // The identifier is always among the fields asked for, so an item without one is not Ironic's.
                let Some(id) = item.id() else {
                    return Err(location.misspoke().into());
                };
                let value = SortValue::new(item.sort_value());
                if room > 0 {
                    let sequence = u32::try_from(entries.len()).unwrap_or(u32::MAX);
                    best.offer(&value, sequence, || Taken::alone(&item));
                }
                entries.push(Entry {
                    id: (&*id).into(),
                    value,
                });
            }
        }
        if !self.merge.wish.is_filtered() && self.merge.listing.is_of_collection() {
            let total = entries.len();
            self.merge
                .memory
                .counted(self.merge.listing.collection, location.id, total);
        }
        Ok(Read::Entries(entries, best.into_bodies().collect()))
    }
}
