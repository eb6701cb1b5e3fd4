//! What is kept between two pages. All of it is a hint: another replica of the gateway, one that was restarted or one
//! whose memory is full starts anew from the marker.

use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::api::collection::Collection;
use crate::api::microversion::Microversion;
use crate::api::query::Query;
use crate::config::LocationId;
use crate::federate::merged::index::Index;
use crate::federate::merged::marker::PAGING;
use crate::federate::merged::marker::WalkName;
use crate::request::Request;

/// A client that takes longer between two pages pays for a new scan.
const LIFETIME: Duration = Duration::from_mins(5);

/// A list as a client asks for it, without its paging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Hash of the caller's token, since a location may show different users different things.
    caller: Option<u64>,
    path: String,
    query: Query,
    version: Microversion,
    scope: Vec<LocationId>,
}

/// What is known of an unsorted walk: where it is, and what it learnt of the locations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// The location of the page's last item, counted in the order of the walk.
    pub place: usize,
    /// Items of that location that were given.
    pub given: usize,
    /// Items that each location has, as far as this walk found out.
    pub totals: Vec<Option<u32>>,
    /// The last location that had an item when this walk looked, counted in the same way. If it has none any more, the
    /// walk ends with an empty page, as Ironic's do.
    pub ahead: Option<usize>,
}

#[derive(Debug)]
enum Known {
    /// And the item that the page ended with.
    Course(Course, String, LocationId),
    Index(Arc<Index>, WalkName),
}

#[derive(Debug)]
struct Kept {
    walked: Walked,
    known: Known,
    weight: usize,
    used: Instant,
}

#[derive(Debug)]
struct Walks {
    /// Least recently used first.
    kept: VecDeque<Kept>,
    weight: usize,
    /// Bytes for all of them.
    budget: usize,
}

/// Walks under way, and how many items locations have.
#[derive(Debug)]
pub struct Memory {
    walks: Mutex<Walks>,
    totals: Mutex<HashMap<(Collection, LocationId), usize>>,
    /// Sort keys that Ironic accepted. Bounded by the number of its columns.
    sortable: Mutex<HashSet<(&'static str, String, Microversion)>>,
    hasher: RandomState,
    /// How many names were given.
    names: AtomicU64,
}

impl Memory {
    pub fn new(budget: usize) -> Self {
        Self {
            walks: Mutex::new(Walks {
                kept: VecDeque::new(),
                weight: 0,
                budget,
            }),
            totals: Mutex::default(),
            sortable: Mutex::default(),
            hasher: RandomState::new(),
            names: AtomicU64::new(0),
        }
    }

    /// What is beyond the new bound is forgotten.
    pub fn resize(&self, budget: usize) {
        self.walks().resize(budget);
    }

    pub fn walked(&self, request: &Request, path: &str, scope: Vec<LocationId>) -> Walked {
        let token = request.asker.token.as_ref();
        Walked {
            // Keyed with a random state, so the token itself is not kept and a colliding one cannot be prepared.
            caller: token.map(|token| self.hasher.hash_one(token.as_bytes())),
            path: path.to_owned(),
            query: request.query.without(PAGING),
            version: request.version,
            scope,
        }
    }

    /// Ironic sorts by that key in that version.
    pub fn sortable(&self, path: &'static str, key: &str, version: Microversion) {
        let mut known = self.sortable.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((path, key.to_owned(), version));
    }

    pub fn is_sortable(&self, path: &'static str, key: &str, version: Microversion) -> bool {
        let known = self.sortable.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&(path, key.to_owned(), version))
    }

    /// A location was read to its end, without filters.
    pub fn counted(&self, collection: Collection, location: LocationId, total: usize) {
        self.totals().insert((collection, location), total);
    }

    /// How many items locations have, as far as any list or sweep found out.
    pub fn totals_of(
        &self,
        collection: Collection,
        locations: impl Iterator<Item = LocationId>,
    ) -> Vec<Option<usize>> {
        let totals = self.totals();
        locations
            .map(|location| totals.get(&(collection, location)).copied())
            .collect()
    }

    /// The walk whose page ended with this item.
    pub fn course(
        &self,
        walked: &Walked,
        item: &str,
        location: Option<LocationId>,
    ) -> Option<Course> {
        let now = Instant::now();
        let walks = self.walks();
        walks.kept.iter().rev().find_map(|kept| match &kept.known {
            Known::Course(course, end, there)
                if kept.is_fresh(now)
                    && end == item
                    && location.is_none_or(|location| location == *there)
                    && kept.walked == *walked =>
            {
                Some(course.clone())
            }
            _ => None,
        })
    }

    pub fn keep_course(&self, walked: Walked, end: (String, LocationId), course: Course) {
        // 200 bytes stand for path and query.
        let weight = size_of::<Kept>() + 200 + course.totals.len() * size_of::<Option<u32>>();
        let kept = Kept {
            walked,
            known: Known::Course(course, end.0, end.1),
            weight,
            used: Instant::now(),
        };
        self.walks().keep(kept);
    }

    /// The index with this name, and where it goes on behind the item.
    pub fn named_index(
        &self,
        walked: &Walked,
        name: WalkName,
        item: &str,
        place: Option<usize>,
    ) -> Option<(Arc<Index>, usize)> {
        let mut walks = self.walks();
        let (index, _) = walks.find(walked, |_, known| known == name)?;
        let behind = index.behind(item, place)?;
        Some((index, behind))
    }

    /// A page of it was given, and there are more; it may be known already. Its name, unless it is too large to be kept.
    /// Walks that list alike share what they go on in.
    pub fn keep_index(&self, walked: Walked, index: Arc<Index>) -> Option<WalkName> {
        let mut walks = self.walks();
        let is_it = |one: &Arc<Index>, _| Arc::ptr_eq(one, &index) || one.is_like(&index);
        if let Some((_, name)) = walks.find(&walked, is_it) {
            return Some(name);
        }
        let name = self.new_name();
        let weight = size_of::<Kept>() + 200 + index.weight();
        let kept = Kept {
            walked,
            known: Known::Index(index, name),
            weight,
            used: Instant::now(),
        };
        walks.keep(kept).then_some(name)
    }

    /// Another gateway's index has this one by chance only: the state of the hasher is this process's own.
    fn new_name(&self) -> WalkName {
        WalkName(
            self.hasher
                .hash_one(self.names.fetch_add(1, Ordering::Relaxed)),
        )
    }

    fn walks(&self) -> MutexGuard<'_, Walks> {
        self.walks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn totals(&self) -> MutexGuard<'_, HashMap<(Collection, LocationId), usize>> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Walks {
    /// Whether there is room for it.
    fn keep(&mut self, new: Kept) -> bool {
        // An index larger than the whole budget would evict every other walk and then itself.
        if new.weight > self.budget {
            return false;
        }
        while self.weight + new.weight > self.budget
            || self
                .kept
                .front()
                .is_some_and(|kept| !kept.is_fresh(new.used))
        {
            self.drop_oldest();
        }
        self.weight += new.weight;
        self.kept.push_back(new);
        true
    }

    /// That index of such a walk, which is used now: many other walks may not push it out.
    fn find(
        &mut self,
        walked: &Walked,
        is_it: impl Fn(&Arc<Index>, WalkName) -> bool,
    ) -> Option<(Arc<Index>, WalkName)> {
        let now = Instant::now();
        let (at, found) = self.kept.iter().enumerate().find_map(|(at, kept)| {
            let Known::Index(index, name) = &kept.known else {
                return None;
            };
            let is_found = kept.is_fresh(now) && kept.walked == *walked && is_it(index, *name);
            is_found.then(|| (at, (Arc::clone(index), *name)))
        })?;
        let kept = self.kept.remove(at)?;
        self.kept.push_back(Kept { used: now, ..kept });
        Some(found)
    }

    fn resize(&mut self, budget: usize) {
        self.budget = budget;
        while self.weight > budget {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(kept) = self.kept.pop_front() {
            self.weight -= kept.weight;
        }
    }
}

impl Kept {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) < LIFETIME
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federate::merged::index::Entry;
    use crate::federate::merged::order::Direction;
    use crate::federate::merged::order::SortValue;

    fn walked(path: &str) -> Walked {
        Walked {
            caller: None,
            path: path.to_owned(),
            query: Query::default(),
            version: Microversion::new(1, 90),
            scope: vec![LocationId(0)],
        }
    }

    fn index(ids: &[&str]) -> Arc<Index> {
        let entry = |id: &&str| Entry {
            id: (*id).into(),
            value: SortValue::Null,
        };
        let read = vec![ids.iter().map(entry).collect()];
        Arc::new(Index::new(read, Direction::Ascending, false))
    }

    #[test]
    fn a_walk_goes_on_in_what_its_link_names() {
        let memory = Memory::new(1 << 20);
        let keep = |index: &Arc<Index>| {
            let name = memory.keep_index(walked("/v1/nodes"), Arc::clone(index));
            name.unwrap()
        };
        let (one, other) = (index(&["a", "b", "c"]), index(&["b", "a", "c"]));
        let (of_one, of_other) = (keep(&one), keep(&other));
        assert_ne!(of_one, of_other);
        let find = |path: &str, name, item: &str| {
            let found = memory.named_index(&walked(path), name, item, None);
            found.map(|(index, behind)| (Arc::as_ptr(&index), behind))
        };
        // As often as it is asked for.
        for _ in 0..2 {
            assert_eq!(find("/v1/nodes", of_one, "b"), Some((Arc::as_ptr(&one), 2)));
            let found = find("/v1/nodes", of_other, "b");
            assert_eq!(found, Some((Arc::as_ptr(&other), 1)));
        }
        assert_eq!(find("/v1/ports", of_one, "b"), None);
        assert_eq!(find("/v1/nodes", of_one, "d"), None);
        assert_eq!(find("/v1/nodes", WalkName(of_one.0 ^ 1), "b"), None);
        // Walks that list alike share one.
        assert_eq!(keep(&index(&["a", "b", "c"])), of_one);
        assert_eq!(keep(&one), of_one);
        assert_eq!(memory.walks().kept.len(), 2);
    }

    #[test]
    fn first_pages_push_no_walk_out_that_goes_on() {
        let one = index(&["a", "b", "c"]);
        let memory = Memory::new(10 * (size_of::<Kept>() + 200 + one.weight()));
        let name = memory.keep_index(walked("/v1/nodes"), one).unwrap();
        for other in 0..100 {
            let other = index(&["a", "b", &other.to_string()]);
            memory.keep_index(walked("/v1/nodes"), other).unwrap();
            let found = memory.named_index(&walked("/v1/nodes"), name, "b", None);
            assert!(found.is_some());
        }
        assert!(memory.walks().kept.len() <= 10);
    }

    #[test]
    fn it_is_bounded() {
        let memory = Memory::new(20_000);
        let course = |place| Course {
            place,
            given: 1,
            totals: vec![None; 100],
            ahead: None,
        };
        for place in 0..100 {
            memory.keep_course(
                walked("/v1/nodes"),
                (format!("{place}"), LocationId(0)),
                course(place),
            );
        }
        let weight: usize = memory.walks().kept.iter().map(|kept| kept.weight).sum();
        assert_eq!(weight, memory.walks().weight);
        assert!(weight <= 20_000 && weight > 10_000, "{weight}");
        assert_eq!(
            memory.course(&walked("/v1/nodes"), "99", None),
            Some(course(99))
        );
        assert_eq!(
            memory.course(&walked("/v1/nodes"), "99", Some(LocationId(1))),
            None
        );
        assert_eq!(memory.course(&walked("/v1/nodes"), "0", None), None);
        memory.resize(weight / 2);
        assert!(memory.walks().weight <= weight / 2);
        assert_eq!(
            memory.course(&walked("/v1/nodes"), "99", None),
            Some(course(99))
        );
        memory.resize(0);
        assert!(memory.walks().kept.is_empty());
        let none = Memory::new(0);
        let name = none.keep_index(walked("/v1/nodes"), index(&["a"]));
        assert_eq!(name, None, "a link names nothing that is not kept");
    }
}
