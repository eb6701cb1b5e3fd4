//! The node cache: where things were last seen, by UUID and by name. It says where to ask first, and never that a
//! thing does not exist.

mod things;

use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::sync::RwLockWriteGuard;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use uuid::Uuid;

use crate::api::collection::Collection;
use crate::config::DirectoryConfig;
use crate::locate::directory::things::Id;
use crate::locate::directory::things::Kind;
use crate::locate::directory::things::Number;
use crate::locate::directory::things::Thing;
use crate::locate::directory::things::Things;
use crate::locate::tally::Tally;

/// How a path or a body names a thing. UUIDs are compared verbatim, as Ironic's databases do: only the canonical
/// spelling is kept as a number, any other is a text of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ident {
    Uuid(Uuid),
    Text(Arc<str>),
}

impl Ident {
    pub fn new(text: &str) -> Self {
        let canonical =
            |uuid: &Uuid| *uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *text;
        match Uuid::try_parse(text).ok().filter(canonical) {
            Some(uuid) => Self::Uuid(uuid),
            None => Self::Text(text.into()),
        }
    }

    fn as_id(&self) -> Id<'_> {
        match self {
            Self::Uuid(uuid) => Id::Uuid(*uuid),
            Self::Text(text) => Id::Text(text),
        }
    }

    /// Ironic's `is_uuid_like`: such an identifier is never a name.
    pub fn is_uuid_like(&self) -> bool {
        match self {
            Self::Uuid(_) => true,
            Self::Text(text) => Uuid::try_parse(text).is_ok(),
        }
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => uuid.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A thing that a client names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub collection: Collection,
    pub ident: Ident,
}

impl Key {
    pub fn new(collection: Collection, ident: &str) -> Self {
        Self {
            collection,
            ident: Ident::new(ident),
        }
    }

    fn find<'a>(&self, things: &'a Things<Sight>) -> Option<(&'a Thing<Sight>, Sight)> {
        let id = self.ident.as_id();
        let thing = things.get(things.find(self.collection, id)?);
        Some((thing, thing.under(id.kind())?))
    }
}

/// A location's number for the life of the process. A reload may change its index in the configuration, not its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place(pub u16);

/// Where a thing was seen under one of its identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sight {
    location: Place,
    /// Seconds since the directory began.
    learnt: u32,
    belief: Belief,
}

/// A sighting, with what it says of each identifier.
struct Seen<'a> {
    collection: Collection,
    uuid: Option<Id<'a>>,
    name: Option<&'a str>,
    by_uuid: Sight,
    by_name: Sight,
}

/// How far an identifier is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Belief {
    /// For a name: it was seen there, and other locations may have it too.
    Seen,
    /// For a UUID: no other location claims it. For a name: every location was asked.
    Sure,
    /// Another location was seen to have it as well.
    Contested,
}

/// Where to ask first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint<L = Place> {
    At(L),
    /// It was known at one location, and another one claims it: both are to be asked.
    Contested {
        known: L,
    },
}

/// A thing as it was seen.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a, L = Place> {
    pub uuid: Option<&'a str>,
    pub name: Option<&'a str>,
    pub location: L,
    /// Who was asked when the name was seen.
    pub asked: Asked,
}

/// How much was asked when something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// This location, or not all: another one may have the name too.
    Some,
    /// Every location, and every one answered.
    All,
}

/// To so many bytes the allocator rounds the text of a name.
const ALLOCATED: usize = 16;

/// What a sighting changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learnt {
    Agreed,
    /// The UUID was known at this location, and now another one claims it.
    Contested {
        known: Place,
    },
}

/// A bounded map from identifiers to locations, for all collections whose members live at one location each.
#[derive(Debug)]
pub struct Directory {
    things: RwLock<Things<Sight>>,
    /// By [`Place`].
    names: Mutex<Vec<String>>,
    began: Instant,
    name_lifetime: Duration,
    /// Names that were learnt before this second are ignored.
    trusted_from: AtomicU32,
    /// Counts the reloads that added locations.
    generation: AtomicU32,
}

/// What is remembered of a thing, for those who want to know why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered<L = Place> {
    pub location: L,
    pub age: Duration,
    pub belief: &'static str,
    pub uuid: Option<Uuid>,
    pub name: Option<Arc<str>>,
}

impl Directory {
    pub fn new(config: &DirectoryConfig) -> Self {
        Self {
            things: RwLock::new(Things::new(config.max_entries)),
            names: Mutex::default(),
            began: Instant::now(),
            name_lifetime: config.name_lifetime,
            trusted_from: AtomicU32::new(0),
            generation: AtomicU32::new(0),
        }
    }

    /// The place of a location of that name. `None`: too many names were used since the start.
    pub fn place(&self, name: &str) -> Option<Place> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let known = names.iter().position(|known| known == name);
        let place = Place(u16::try_from(known.unwrap_or(names.len())).ok()?);
        if known.is_none() {
            names.push(name.to_owned());
        }
        Some(place)
    }

    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// Locations were added, and they were not asked for the names that are known.
    pub fn begin_generation(&self, now: Instant) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        // Entries count whole seconds, so what was learnt within the current second is not trusted either.
        self.trusted_from
            .store(self.second(now).saturating_add(1), Ordering::Release);
    }

    fn second(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.began).as_secs()).unwrap_or(u32::MAX)
    }

    fn is_trusted(&self, sight: Sight) -> bool {
        sight.learnt >= self.trusted_from.load(Ordering::Acquire)
    }

    fn read(&self) -> RwLockReadGuard<'_, Things<Sight>> {
        self.things.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Things<Sight>> {
        self.things.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Identifiers; what is known by UUID and by name has two.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn age(&self, sight: Sight, now: Instant) -> Duration {
        let since_start = now.saturating_duration_since(self.began);
        since_start.saturating_sub(Duration::from_secs(sight.learnt.into()))
    }

    fn is_live_name(&self, sight: Sight, now: Instant) -> bool {
        self.age(sight, now) < self.name_lifetime && self.is_trusted(sight)
    }

    /// Where it was seen last. A name counts only if every location was asked for it, and not for long: another thing
    /// may get the name, at another location.
    pub fn hint(&self, key: &Key, now: Instant) -> Option<Hint> {
        let things = self.read();
        let (thing, sight) = key.find(&things)?;
        thing.touch();
        if key.ident.is_uuid_like() {
            return Some(match sight.belief {
                Belief::Contested => Hint::Contested {
                    known: sight.location,
                },
                Belief::Seen | Belief::Sure => Hint::At(sight.location),
            });
        }
        (sight.belief == Belief::Sure && self.is_live_name(sight, now))
            .then_some(Hint::At(sight.location))
    }

    /// Where it was seen last, whatever that is worth. An operator's question does not keep it alive.
    pub fn remembered(&self, key: &Key, now: Instant) -> Option<Remembered> {
        let things = self.read();
        let (thing, sight) = key.find(&things)?;
        Some(Remembered {
            location: sight.location,
            age: self.age(sight, now),
            belief: match sight.belief {
                Belief::Seen => "seen",
                Belief::Sure => "sure",
                Belief::Contested => "contested",
            },
            uuid: thing.uuid().map(|(uuid, _)| uuid),
            name: thing.text().map(|(text, _)| text.into()),
        })
    }

    /// What is told of each thing. The lock is given back now and then, so that a million of them stop nobody.
    fn each<T>(&self, tell: impl Fn(&Thing<Sight>) -> Option<T>) -> impl Iterator<Item = T> {
        let piece = move |number| {
            let things = self.read();
            let piece = things.piece(number)?.iter();
            Some(piece.filter_map(&tell).collect::<Vec<T>>())
        };
        (0..).map_while(piece).flatten()
    }

    /// What there is, counted anew.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally {
            bytes: self.read().bytes(),
            ..Tally::default()
        };
        let is_contested = |sight: Sight| usize::from(sight.belief == Belief::Contested);
        for (collection, uuid, name) in self.each(|thing| {
            let uuid = thing.uuid().map(|(_, sight)| is_contested(sight));
            let name = thing.text();
            let name = name.map(|(text, sight)| (text.len(), is_contested(sight)));
            Some((thing.collection, uuid, name))
        }) {
            let mut kinds = Collection::ALL.iter().zip(&mut tally.entries);
            if let Some((_, entries)) = kinds.find(|(kind, _)| **kind == collection) {
                *entries += usize::from(uuid.is_some()) + usize::from(name.is_some());
            }
            tally.contested_uuids += uuid.unwrap_or(0);
            if let Some((length, contested)) = name {
                tally.contested_names += contested;
                tally.bytes += length.next_multiple_of(ALLOCATED);
            }
        }
        tally
    }

    /// How many nodes were seen at each location.
    pub fn nodes_by_place(&self) -> HashMap<Place, usize> {
        let mut counts = HashMap::new();
        let nodes = self.each(|thing| {
            let (_, sight) = thing.uuid()?;
            (thing.collection == Collection::Nodes).then_some(sight.location)
        });
        for place in nodes {
            *counts.entry(place).or_default() += 1;
        }
        counts
    }

    /// Everything that is known by UUID, with its name.
    pub fn known(&self) -> impl Iterator<Item = (Collection, Uuid, Option<Arc<str>>, Place)> {
        self.each(|thing| {
            let (uuid, sight) = thing.uuid()?;
            let name = thing.text().map(|(text, _)| text.into());
            Some((thing.collection, uuid, name, sight.location))
        })
    }

    /// Something was seen at a location, under either identifier or both. What it was called before is forgotten. What is
    /// known at another location stays known there: who merely shows a thing does not draw it to itself.
    pub fn learn(&self, collection: Collection, sighting: Sighting<'_>, now: Instant) -> Learnt {
        let uuid = sighting.uuid.map(Ident::new);
        let by_uuid = Sight {
            location: sighting.location,
            learnt: self.second(now),
            belief: Belief::Sure,
        };
        let seen = Seen {
            collection,
            uuid: uuid.as_ref().map(Ident::as_id),
            name: sighting.name.filter(|name| !name.is_empty()),
            by_uuid,
            by_name: Sight {
                belief: match sighting.asked {
                    Asked::Some => Belief::Seen,
                    Asked::All => Belief::Sure,
                },
                ..by_uuid
            },
        };
        if self.is_fresh(&self.read(), &seen) {
            return Learnt::Agreed;
        }
        let mut things = self.write();
        things.make_room();
        let learnt = learn_uuid(&mut things, &seen);
        self.learn_name(&mut things, &seen, now);
        learnt
    }

    /// Whether the same was learnt recently. Lists repeat the same thousands of items, and readers stop nobody.
    fn is_fresh(&self, things: &Things<Sight>, seen: &Seen<'_>) -> bool {
        let is_fresh = |known: Sight, seen: Sight| {
            let age = Duration::from_secs(seen.learnt.saturating_sub(known.learnt).into());
            known.location == seen.location
                && (known.belief == seen.belief || known.belief == Belief::Sure)
                && age < self.name_lifetime / 8
                && self.is_trusted(known)
        };
        seen.uuid
            .and_then(|uuid| things.find(seen.collection, uuid))
            .is_some_and(|number| {
                let thing = things.get(number);
                let by_uuid = thing.uuid().map(|(_, known)| known);
                let text = thing.text().filter(|(text, _)| Some(*text) == seen.name);
                let by_name = text.map(|(_, known)| known);
                by_uuid.is_some_and(|known| is_fresh(known, seen.by_uuid))
                    && by_name.is_some_and(|known| is_fresh(known, seen.by_name))
            })
    }

    fn learn_name(&self, things: &mut Things<Sight>, seen: &Seen<'_>, now: Instant) {
        let Some(name) = seen.name else { return };
        let text = Id::Text(name);
        let here = |number: &Number, kind| {
            let known = things.get(*number).under(kind);
            known.is_some_and(|known| known.location == seen.by_name.location)
        };
        // A spelling that is not the canonical one is itself kept as a text, and the thing has no room for another.
        let uuid = seen.uuid.filter(|uuid| uuid.kind() == Kind::Uuid);
        let called = uuid.and_then(|uuid| things.find(seen.collection, uuid));
        let called = called.filter(|number| here(number, Kind::Uuid));
        let known = things.find(seen.collection, text);
        let holder = called.or(known.filter(|number| here(number, Kind::Text)));
        if let Some(called) = called.filter(|called| known != Some(*called)) {
            things.take(called, Kind::Text);
        }
        let known = known.and_then(|known| things.under_mut(known, Kind::Text));
        let sight = match known.filter(|known| self.is_live_name(**known, now)) {
            // Seen at a second location: two things have this name, or one moved. Only asking everybody tells.
            Some(known) if known.location != seen.by_name.location => {
                known.belief = Belief::Contested;
                return;
            }
            Some(known) if known.belief == Belief::Contested => return,
            // A sighting must not renew it: what expires is the knowledge that every location was asked.
            Some(known) if seen.by_name.belief == Belief::Seen && known.belief == Belief::Sure => {
                *known
            }
            _ => seen.by_name,
        };
        match holder {
            Some(holder) => things.give(holder, text, sight),
            None => things.insert(seen.collection, text, sight),
        }
    }

    /// Every location was asked for it, and only this one has it, whatever was known before.
    pub fn settle(&self, key: &Key, location: Place, now: Instant) {
        let belongs_there = key.find(&self.read()).is_some_and(|(_, sight)| {
            sight.location == location && sight.belief != Belief::Contested
        });
        if !belongs_there {
            let mut things = self.write();
            if let Some(number) = things.find(key.collection, key.ident.as_id()) {
                if key.ident.is_uuid_like() {
                    things.remove(number);
                } else {
                    // Who else has the UUID of what was called so is another question, which nobody was asked.
                    things.take(number, Kind::Text);
                }
            }
        }
        let ident = key.ident.to_string();
        let (uuid, name) = if key.ident.is_uuid_like() {
            (Some(&*ident), None)
        } else {
            (None, Some(&*ident))
        };
        let sighting = Sighting {
            uuid,
            name,
            location,
            asked: Asked::All,
        };
        self.learn(key.collection, sighting, now);
    }

    /// The thing is not where it was: neither of its identifiers is believed any longer.
    pub fn forget(&self, key: &Key) {
        let mut things = self.write();
        if let Some(number) = things.find(key.collection, key.ident.as_id()) {
            things.remove(number);
        }
    }
}

fn learn_uuid(things: &mut Things<Sight>, seen: &Seen<'_>) -> Learnt {
    let Some(uuid) = seen.uuid else {
        return Learnt::Agreed;
    };
    let known = things.find(seen.collection, uuid);
    let Some(known) = known.and_then(|known| things.under_mut(known, uuid.kind())) else {
        things.insert(seen.collection, uuid, seen.by_uuid);
        return Learnt::Agreed;
    };
    if known.location == seen.by_uuid.location {
        known.learnt = seen.by_uuid.learnt;
        return Learnt::Agreed;
    }
    // Neither is believed more for being newer: a location could draw nodes to itself by listing them. It is reported
    // once, when it becomes contested.
    let before = mem::replace(&mut known.belief, Belief::Contested);
    if before == Belief::Contested {
        return Learnt::Agreed;
    }
    Learnt::Contested {
        known: known.location,
    }
}

#[cfg(test)]
mod tests;
