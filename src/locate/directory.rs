//! The node cache: where things were last seen, by UUID and by name. It says where to ask first, and never that a
//! thing does not exist.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;
use quick_cache::sync::DefaultLifecycle;
use uuid::Uuid;

use crate::api::collection::Collection;
use crate::config::DirectoryConfig;
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
}

/// A key as it is kept: collection and identifier side by side take 8 bytes less, of which a million nodes need two
/// million.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Slot {
    Uuid(Collection, Uuid),
    Text(Collection, Arc<str>),
}

impl Slot {
    fn new(collection: Collection, ident: &Ident) -> Self {
        match ident {
            Ident::Uuid(uuid) => Self::Uuid(collection, *uuid),
            Ident::Text(text) => Self::Text(collection, Arc::clone(text)),
        }
    }

    fn of(key: &Key) -> Self {
        Self::new(key.collection, &key.ident)
    }
}

/// A location's number for the life of the process. A reload may change its index in the configuration, not its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place(pub u16);

/// Where a thing was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    location: Place,
    /// Seconds since the directory began.
    learnt: u32,
    belief: Belief,
    /// The same thing by its other identifier.
    other: Other,
}

/// How far an entry is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Belief {
    /// For a name: it was seen there, and other locations may have it too.
    Seen,
    /// For a UUID: no other location claims it. For a name: every location was asked.
    Sure,
    /// Another location was seen to have it as well.
    Contested,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Other {
    Unknown,
    Uuid(Uuid),
    Name(Arc<str>),
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

/// Bytes that `quick_cache` keeps beside an entry: its place in the table and in the queue.
const AROUND: usize = 24;

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
    entries: Cache<Slot, Entry>,
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
        // The first number is quick_cache's estimate for its first allocation; the bound is the second.
        let entries = Cache::with(
            1024.min(config.max_entries),
            config.max_entries as u64,
            UnitWeighter,
            quick_cache::DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        );
        Self {
            entries,
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

    fn is_trusted(&self, entry: &Entry) -> bool {
        entry.learnt >= self.trusted_from.load(Ordering::Acquire)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn age(&self, entry: &Entry, now: Instant) -> Duration {
        let since_start = now.saturating_duration_since(self.began);
        since_start.saturating_sub(Duration::from_secs(entry.learnt.into()))
    }

    fn is_live_name(&self, entry: &Entry, now: Instant) -> bool {
        self.age(entry, now) < self.name_lifetime && self.is_trusted(entry)
    }

    /// Where it was seen last. A name counts only if every location was asked for it, and not for long: another thing
    /// may get the name, at another location.
    pub fn hint(&self, key: &Key, now: Instant) -> Option<Hint> {
        let entry = self.entries.get(&Slot::of(key))?;
        if key.ident.is_uuid_like() {
            return Some(match entry.belief {
                Belief::Contested => Hint::Contested {
                    known: entry.location,
                },
                Belief::Seen | Belief::Sure => Hint::At(entry.location),
            });
        }
        (entry.belief == Belief::Sure && self.is_live_name(&entry, now))
            .then_some(Hint::At(entry.location))
    }

    /// Where it was seen last, whatever that is worth.
    pub fn remembered(&self, key: &Key, now: Instant) -> Option<Remembered> {
        // `peek` does not count as a use, so an operator's question does not keep an entry alive.
        let entry = self.entries.peek(&Slot::of(key))?;
        let (uuid, name) = match (&key.ident, &entry.other) {
            (Ident::Uuid(uuid), Other::Name(name)) | (Ident::Text(name), Other::Uuid(uuid)) => {
                (Some(*uuid), Some(Arc::clone(name)))
            }
            (Ident::Uuid(uuid), _) => (Some(*uuid), None),
            (Ident::Text(name), _) => (None, Some(Arc::clone(name))),
        };
        Some(Remembered {
            location: entry.location,
            age: self.age(&entry, now),
            belief: match entry.belief {
                Belief::Seen => "seen",
                Belief::Sure => "sure",
                Belief::Contested => "contested",
            },
            uuid,
            name,
        })
    }

    /// What there is, counted anew.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for (slot, entry) in self.entries.iter() {
            let (collection, name) = match &slot {
                Slot::Uuid(collection, _) => (*collection, None),
                Slot::Text(collection, name) => (*collection, Some(name)),
            };
            let kind = Collection::ALL
                .iter()
                .position(|known| *known == collection);
            if let Some(entries) = kind.and_then(|kind| tally.entries.get_mut(kind)) {
                *entries += 1;
            }
            let contested = usize::from(entry.belief == Belief::Contested);
            tally.bytes += size_of::<(Slot, Entry)>() + AROUND;
            match name {
                None => tally.contested_uuids += contested,
                Some(name) => {
                    tally.contested_names += contested;
                    // Two counters stand before the text of an `Arc<str>`.
                    tally.bytes += name.len() + 2 * size_of::<usize>();
                }
            }
        }
        tally
    }

    /// How many nodes were seen at each location.
    pub fn nodes_by_place(&self) -> HashMap<Place, usize> {
        let mut counts = HashMap::new();
        for (slot, entry) in self.entries.iter() {
            if matches!(slot, Slot::Uuid(Collection::Nodes, _)) {
                *counts.entry(entry.location).or_default() += 1;
            }
        }
        counts
    }

    /// Whether the same was learnt recently. Lists repeat the same thousands of items, and a read costs half of what it
    /// costs to write.
    fn is_fresh(&self, slot: &Slot, seen: &Entry) -> bool {
        self.entries.peek(slot).is_some_and(|entry| {
            let age = Duration::from_secs(seen.learnt.saturating_sub(entry.learnt).into());
            entry.location == seen.location
                && entry.other == seen.other
                && (entry.belief == seen.belief || entry.belief == Belief::Sure)
                && age < self.name_lifetime / 8
                && self.is_trusted(&entry)
        })
    }

    /// Something was seen at a location, under either identifier or both. What it was called before is forgotten. What is
    /// known at another location stays known there: who merely shows a thing does not draw it to itself.
    pub fn learn(&self, collection: Collection, sighting: Sighting<'_>, now: Instant) -> Learnt {
        let learnt = self.second(now);
        let location = sighting.location;
        let uuid = sighting.uuid.map(Ident::new);
        let canonical = match &uuid {
            Some(Ident::Uuid(uuid)) => Some(*uuid),
            Some(Ident::Text(_)) | None => None,
        };
        let name: Option<Arc<str>> = sighting.name.filter(|name| !name.is_empty()).map(Arc::from);
        let by_name = Entry {
            location,
            learnt,
            belief: match sighting.asked {
                Asked::Some => Belief::Seen,
                Asked::All => Belief::Sure,
            },
            other: canonical.map_or(Other::Unknown, Other::Uuid),
        };
        let by_uuid = Entry {
            belief: Belief::Sure,
            other: name.clone().map_or(Other::Unknown, Other::Name),
            ..by_name
        };
        if let (Some(uuid), Some(name)) = (canonical, &name)
            && self.is_fresh(&Slot::Uuid(collection, uuid), &by_uuid)
            && self.is_fresh(&Slot::Text(collection, Arc::clone(name)), &by_name)
        {
            return Learnt::Agreed;
        }
        let learnt = uuid.map_or(Learnt::Agreed, |uuid| {
            self.learn_uuid(Slot::new(collection, &uuid), by_uuid, collection)
        });
        if let Some(name) = name {
            self.learn_name(Slot::Text(collection, name), by_name, now);
        }
        learnt
    }

    fn learn_uuid(&self, slot: Slot, seen: Entry, collection: Collection) -> Learnt {
        let Some(known) = self.entries.peek(&slot) else {
            self.entries.insert(slot, seen);
            return Learnt::Agreed;
        };
        // Neither is believed more for being newer: a location could draw nodes to itself by listing them.
        if known.location != seen.location {
            // Reported once, when it became contested.
            if known.belief == Belief::Contested {
                return Learnt::Agreed;
            }
            let contested = Learnt::Contested {
                known: known.location,
            };
            let belief = Belief::Contested;
            self.entries.insert(slot, Entry { belief, ..known });
            return contested;
        }
        if let Other::Name(before) = &known.other
            && matches!(&seen.other, Other::Name(name) if name != before)
        {
            self.entries
                .remove(&Slot::Text(collection, Arc::clone(before)));
        }
        let belief = known.belief;
        self.entries.insert(slot, Entry { belief, ..seen });
        Learnt::Agreed
    }

    fn learn_name(&self, slot: Slot, seen: Entry, now: Instant) {
        let Some(known) = self
            .entries
            .peek(&slot)
            .filter(|known| self.is_live_name(known, now))
        else {
            self.entries.insert(slot, seen);
            return;
        };
        let other = match seen.other {
            Other::Unknown => known.other.clone(),
            ref other => other.clone(),
        };
        let entry = match (known.belief, seen.belief) {
            // Seen at a second location: two things have this name, or one moved. Only asking everybody tells.
            _ if known.location != seen.location => Entry {
                belief: Belief::Contested,
                ..known
            },
            (Belief::Contested, _) => return,
            // A sighting must not renew the entry: what expires is the knowledge that every location was asked.
            (Belief::Sure, Belief::Seen) if known.other == other => return,
            _ => Entry { other, ..seen },
        };
        self.entries.insert(slot, entry);
    }

    /// Every location was asked for it, and only this one has it, whatever was known before.
    pub fn settle(&self, key: &Key, location: Place, now: Instant) {
        let slot = Slot::of(key);
        let belongs_there = self
            .entries
            .peek(&slot)
            .is_some_and(|entry| entry.location == location && entry.belief != Belief::Contested);
        if !belongs_there {
            self.forget(key);
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
        let Some((_, entry)) = self.entries.remove(&Slot::of(key)) else {
            return;
        };
        let other = match entry.other {
            Other::Unknown => return,
            Other::Uuid(uuid) => Slot::Uuid(key.collection, uuid),
            Other::Name(name) => Slot::Text(key.collection, name),
        };
        self.entries.remove(&other);
    }

    /// Everything that is known by UUID, with its name.
    pub fn known(&self) -> impl Iterator<Item = (Collection, Uuid, Option<Arc<str>>, Place)> {
        self.entries.iter().filter_map(|(key, entry)| {
            let Slot::Uuid(collection, uuid) = key else {
                return None;
            };
            let name = match entry.other {
                Other::Name(name) => Some(name),
                Other::Uuid(_) | Other::Unknown => None,
            };
            Some((collection, uuid, name, entry.location))
        })
    }
}

#[cfg(test)]
mod tests;
