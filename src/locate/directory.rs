//! The node cache: where things were seen last, by UUID and by name. It says where to ask first, never that a thing is
//! not there.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;
use quick_cache::sync::DefaultLifecycle;
use uuid::Uuid;

use crate::api::collection::Collection;
use crate::config::DirectoryConfig;
use crate::config::LocationId;

/// How a path or a body names a thing. UUIDs are compared verbatim, as Ironic's databases do: only the canonical
/// spelling is kept as a number, any other is a text of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ident {
    Uuid(Uuid),
    Text(Arc<str>),
}

impl std::fmt::Display for Ident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uuid(uuid) => uuid.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
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

/// Where a thing was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub location: LocationId,
    /// Seconds since the directory began.
    learnt: u32,
    /// The same thing by its other identifier.
    other: Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Other {
    Unknown,
    Uuid(Uuid),
    Name(Arc<str>),
    /// Of a name: two things have it, so it leads nowhere.
    Contested,
}

impl Entry {
    /// The UUID, of an entry that was found by name.
    pub fn uuid(&self) -> Option<Uuid> {
        match self.other {
            Other::Uuid(uuid) => Some(uuid),
            Other::Name(_) | Other::Unknown | Other::Contested => None,
        }
    }

    pub fn name(&self) -> Option<&str> {
        match &self.other {
            Other::Name(name) => Some(name),
            Other::Uuid(_) | Other::Unknown | Other::Contested => None,
        }
    }
}

/// A bounded map from identifiers to locations, for all collections whose members live at one location each.
#[derive(Debug)]
pub struct Directory {
    entries: Cache<Slot, Entry>,
    began: Instant,
    name_lifetime: Duration,
}

impl Directory {
    pub fn new(config: &DirectoryConfig) -> Self {
        let entries = Cache::with(
            1024.min(config.max_entries),
            config.max_entries as u64,
            UnitWeighter,
            quick_cache::DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        );
        Self {
            entries,
            began: Instant::now(),
            name_lifetime: config.name_lifetime,
        }
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

    /// Names expire sooner than UUIDs: another thing may get the name, at another location.
    pub fn entry(&self, key: &Key, now: Instant) -> Option<Entry> {
        let entry = self.entries.get(&Slot::of(key))?;
        let expired = !key.ident.is_uuid_like() && self.age(&entry, now) >= self.name_lifetime;
        (!expired && entry.other != Other::Contested).then_some(entry)
    }

    /// Another thing has the name too, as far as is remembered.
    fn is_contested(
        &self,
        name: &Slot,
        location: LocationId,
        uuid: Option<Uuid>,
        now: Instant,
    ) -> bool {
        self.entries.peek(name).is_some_and(|entry| {
            let fresh = self.age(&entry, now) < self.name_lifetime;
            let another =
                entry.location != location && entry.uuid().is_none_or(|known| Some(known) != uuid);
            fresh && (another || entry.other == Other::Contested)
        })
    }

    /// This very thing was learnt a moment ago. Lists tell the same of thousands, again and again, and to read costs half
    /// of what it costs to write.
    fn is_fresh(&self, slot: &Slot, location: LocationId, other: &Other, now: u32) -> bool {
        self.entries.peek(slot).is_some_and(|entry| {
            let age = Duration::from_secs(now.saturating_sub(entry.learnt).into());
            entry.location == location && entry.other == *other && age < self.name_lifetime / 8
        })
    }

    /// Something was seen at a location, under either identifier or both. What it was called before is forgotten.
    pub fn learn(
        &self,
        collection: Collection,
        uuid: Option<&str>,
        name: Option<&str>,
        location: LocationId,
        now: Instant,
    ) {
        let learnt =
            u32::try_from(now.saturating_duration_since(self.began).as_secs()).unwrap_or(u32::MAX);
        let uuid = uuid.map(Ident::new);
        let canonical = match &uuid {
            Some(Ident::Uuid(uuid)) => Some(*uuid),
            Some(Ident::Text(_)) | None => None,
        };
        let name: Option<Arc<str>> = name.filter(|name| !name.is_empty()).map(Arc::from);
        if let (Some(uuid), Some(name)) = (canonical, &name)
            && self.is_fresh(
                &Slot::Uuid(collection, uuid),
                location,
                &Other::Name(Arc::clone(name)),
                learnt,
            )
            && self.is_fresh(
                &Slot::Text(collection, Arc::clone(name)),
                location,
                &Other::Uuid(uuid),
                learnt,
            )
        {
            return;
        }
        // A name alone tells less than what may be known already.
        let known = |name: &Arc<str>| {
            let slot = || Slot::new(collection, &Ident::new(name));
            canonical.is_none() && self.entries.peek(&slot()).is_some()
        };
        if let Some(name) = name.as_ref().filter(|name| !known(name)) {
            let key = Slot::Text(collection, Arc::clone(name));
            let other = if self.is_contested(&key, location, canonical, now) {
                Other::Contested
            } else {
                canonical.map_or(Other::Unknown, Other::Uuid)
            };
            self.entries.insert(
                key,
                Entry {
                    location,
                    learnt,
                    other,
                },
            );
        }
        if let Some(ident) = uuid {
            let key = Slot::new(collection, &ident);
            let before = self.entries.peek(&key).and_then(|entry| match entry.other {
                Other::Name(before) => Some(before),
                Other::Uuid(_) | Other::Unknown | Other::Contested => None,
            });
            if let Some(before) =
                before.filter(|before| name.as_ref().is_some_and(|name| name != before))
            {
                self.entries.remove(&Slot::Text(collection, before));
            }
            let other = name.map_or(Other::Unknown, Other::Name);
            self.entries.insert(
                key,
                Entry {
                    location,
                    learnt,
                    other,
                },
            );
        }
    }

    /// The thing is not where it was: neither of its identifiers is believed any longer.
    pub fn forget(&self, key: &Key) {
        let Some((_, entry)) = self.entries.remove(&Slot::of(key)) else {
            return;
        };
        let other = match entry.other {
            Other::Unknown | Other::Contested => return,
            Other::Uuid(uuid) => Slot::Uuid(key.collection, uuid),
            Other::Name(name) => Slot::Text(key.collection, name),
        };
        self.entries.remove(&other);
    }

    /// Everything that is known by UUID, with its name.
    pub fn known(&self) -> impl Iterator<Item = (Collection, Uuid, Option<Arc<str>>, LocationId)> {
        self.entries.iter().filter_map(|(key, entry)| {
            let Slot::Uuid(collection, uuid) = key else {
                return None;
            };
            let name = match entry.other {
                Other::Name(name) => Some(name),
                Other::Uuid(_) | Other::Unknown | Other::Contested => None,
            };
            Some((collection, uuid, name, entry.location))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "00000001-0000-4000-8000-000000000001";

    fn directory(max_entries: usize) -> Directory {
        let name_lifetime = Duration::from_mins(1);
        Directory::new(&DirectoryConfig {
            max_entries,
            name_lifetime,
            sweep_interval: None,
        })
    }

    fn key(ident: &str) -> Key {
        Key::new(Collection::Nodes, ident)
    }

    #[test]
    fn both_identifiers_lead_there() {
        let directory = directory(100);
        let now = Instant::now();
        directory.learn(Collection::Nodes, Some(UUID), Some("a"), LocationId(1), now);
        assert_eq!(
            directory.entry(&key(UUID), now).map(|entry| entry.location),
            Some(LocationId(1))
        );
        let by_name = directory.entry(&key("a"), now).unwrap();
        assert_eq!(
            (by_name.location, by_name.uuid()),
            (LocationId(1), Some(Uuid::try_parse(UUID).unwrap()))
        );
        assert_eq!(
            directory.entry(&Key::new(Collection::Ports, "a"), now),
            None,
            "of another collection"
        );
        assert_eq!(
            directory.entry(&key(&UUID.to_uppercase().replace('0', "A")), now),
            None
        );
    }

    #[test]
    fn names_expire_sooner() {
        let directory = directory(100);
        let now = Instant::now();
        directory.learn(Collection::Nodes, Some(UUID), Some("a"), LocationId(1), now);
        let later = now + Duration::from_secs(62);
        assert_eq!(directory.entry(&key("a"), later), None);
        assert!(directory.entry(&key(UUID), later).is_some());
    }

    #[test]
    fn a_rename_forgets_the_old_name() {
        let directory = directory(100);
        let now = Instant::now();
        directory.learn(Collection::Nodes, Some(UUID), Some("a"), LocationId(1), now);
        directory.learn(Collection::Nodes, Some(UUID), Some("b"), LocationId(1), now);
        assert_eq!(directory.entry(&key("a"), now), None);
        assert!(directory.entry(&key("b"), now).is_some());
    }

    #[test]
    fn a_name_of_two_things_leads_nowhere() {
        let directory = directory(100);
        let now = Instant::now();
        let other = UUID.replace('1', "2");
        directory.learn(Collection::Nodes, Some(UUID), Some("a"), LocationId(1), now);
        directory.learn(
            Collection::Nodes,
            Some(&other),
            Some("a"),
            LocationId(2),
            now,
        );
        assert_eq!(directory.entry(&key("a"), now), None);
        assert!(
            directory.entry(&key(UUID), now).is_some()
                && directory.entry(&key(&other), now).is_some()
        );
        let later = now + Duration::from_mins(1);
        directory.learn(
            Collection::Nodes,
            Some(&other),
            Some("a"),
            LocationId(2),
            later,
        );
        assert!(
            directory.entry(&key("a"), later).is_some(),
            "the other one may be gone by then"
        );
    }

    #[test]
    fn forgetting_one_identifier_forgets_both() {
        for forgotten in ["a", UUID] {
            let directory = directory(100);
            let now = Instant::now();
            directory.learn(Collection::Nodes, Some(UUID), Some("a"), LocationId(1), now);
            directory.forget(&key(forgotten));
            assert!(directory.is_empty(), "{forgotten}");
        }
    }

    #[test]
    fn spellings_are_different_things() {
        let upper = UUID.replace('1', "A");
        assert!(matches!(key(UUID).ident, Ident::Uuid(_)));
        assert!(matches!(key(&upper).ident, Ident::Text(_)));
        for like in [
            UUID,
            &upper,
            &UUID.replace('-', ""),
            &format!("{{{UUID}}}"),
            &format!("urn:uuid:{UUID}"),
        ] {
            assert!(key(like).ident.is_uuid_like(), "{like}");
        }
        assert!(!key("node-1").ident.is_uuid_like());
    }

    #[test]
    fn it_is_bounded() {
        let directory = directory(500);
        let now = Instant::now();
        for n in 0..5000_u128 {
            directory.learn(
                Collection::Nodes,
                Some(&Uuid::from_u128(n).to_string()),
                None,
                LocationId(0),
                now,
            );
        }
        // The cache counts by shards, so the bound is not met to the very entry.
        assert!(directory.len() <= 600, "{}", directory.len());
    }
}
