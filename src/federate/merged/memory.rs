//! What is kept between two pages. All of it is a hint: another replica of the gateway, one that was restarted or one
//! whose memory is full starts anew from the marker.

use std::collections::HashMap;
use std::collections::HashSet;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use lru::LruCache;

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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Walked {
    /// Hash of the caller's token, since a location may show different users different things.
    caller: Option<u64>,
    path: String,
    query: Query,
    version: Microversion,
    scope: Vec<LocationId>,
}

impl Walked {
    /// Bytes that it takes. A client's query may be as long as a head.
    fn weight(&self) -> usize {
        self.path.len() + self.query.weight() + self.scope.len() * size_of::<LocationId>()
    }
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
    Index(Arc<Index>),
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
    /// By a hash of the walk and of where it goes on.
    kept: LruCache<u64, Kept>,
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
    /// Its state is this process's own: no client can prepare what collides, and another gateway's name of a walk is one
    /// of ours by chance only.
    hasher: RandomState,
}

impl Memory {
    pub fn new(budget: usize) -> Self {
        Self {
            walks: Mutex::new(Walks {
                kept: LruCache::unbounded(),
                weight: 0,
                budget,
            }),
            totals: Mutex::default(),
            sortable: Mutex::default(),
            hasher: RandomState::new(),
        }
    }

    /// What is beyond the new bound is forgotten.
    pub fn resize(&self, budget: usize) {
        self.walks().resize(budget);
    }

    pub fn walked(&self, request: &Request, path: &str, scope: Vec<LocationId>) -> Walked {
        let token = request.asker.token.as_ref();
        Walked {
            // The token itself is not kept.
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
        let key = self.hasher.hash_one((walked, item));
        let walks = self.walks();
        let kept = walks.kept.peek(&key)?;
        match &kept.known {
            Known::Course(course, end, there)
                if kept.is_fresh(Instant::now())
                    && end == item
                    && location.is_none_or(|location| location == *there)
                    && kept.walked == *walked =>
            {
                Some(course.clone())
            }
            _ => None,
        }
    }

    pub fn keep_course(&self, walked: Walked, end: (String, LocationId), course: Course) {
        let key = self.hasher.hash_one((&walked, &*end.0));
        let weight = end.0.len() + course.totals.len() * size_of::<Option<u32>>();
        let known = Known::Course(course, end.0, end.1);
        self.walks().keep(key, Kept::new(walked, known, weight));
    }

    /// The index with this name, and where it goes on behind the item.
    pub fn named_index(
        &self,
        walked: &Walked,
        name: WalkName,
        item: &str,
        place: Option<usize>,
    ) -> Option<(Arc<Index>, usize)> {
        let index = self.walks().find(walked, name)?;
        let behind = index.behind(item, place)?;
        Some((index, behind))
    }

    /// A page of it was given, and there are more; it may be known already. Its name, unless it is too large to be kept.
    /// Walks that list alike share what they go on in.
    pub fn keep_index(&self, walked: Walked, index: Arc<Index>) -> Option<WalkName> {
        let name = WalkName(self.hasher.hash_one((&walked, index.likeness())));
        let mut walks = self.walks();
        if let Some(known) = walks.find(&walked, name)
            && (Arc::ptr_eq(&known, &index) || known.is_like(&index))
        {
            return Some(name);
        }
        let weight = index.weight();
        let kept = Kept::new(walked, Known::Index(index), weight);
        walks.keep(name.0, kept).then_some(name)
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
    fn keep(&mut self, key: u64, new: Kept) -> bool {
        // An index larger than the whole budget would evict every other walk and then itself.
        if new.weight > self.budget {
            return false;
        }
        // The same walk of before.
        if let Some(old) = self.kept.pop(&key) {
            self.weight -= old.weight;
        }
        let is_over = |kept: &Kept| !kept.is_fresh(new.used);
        while self.weight + new.weight > self.budget
            || self.kept.peek_lru().is_some_and(|(_, kept)| is_over(kept))
        {
            self.drop_oldest();
        }
        self.weight += new.weight;
        self.kept.put(key, new);
        true
    }

    /// That index of such a walk, which is used now: many other walks may not push it out.
    fn find(&mut self, walked: &Walked, name: WalkName) -> Option<Arc<Index>> {
        let now = Instant::now();
        let kept = self.kept.peek_mut(&name.0)?;
        let Known::Index(index) = &kept.known else {
            return None;
        };
        if !kept.is_fresh(now) || kept.walked != *walked {
            return None;
        }
        let index = Arc::clone(index);
        kept.used = now;
        self.kept.promote(&name.0);
        Some(index)
    }

    fn resize(&mut self, budget: usize) {
        self.budget = budget;
        while self.weight > budget {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, kept)) = self.kept.pop_lru() {
            self.weight -= kept.weight;
        }
    }
}

impl Kept {
    /// `weight`: bytes of what is known of it.
    fn new(walked: Walked, known: Known, weight: usize) -> Self {
        Self {
            // Two links and a slot of a table besides.
            weight: size_of::<Self>() + 64 + walked.weight() + weight,
            walked,
            known,
            used: Instant::now(),
        }
    }

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
        let weight = Kept::new(
            walked("/v1/nodes"),
            Known::Index(Arc::clone(&one)),
            one.weight(),
        )
        .weight;
        let memory = Memory::new(10 * weight);
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
    fn a_long_query_weighs_what_it_holds() {
        let budget = 1 << 20;
        let memory = Memory::new(budget);
        let raw = "fields=uuid&".repeat(680);
        let course = Course {
            place: 0,
            given: 1,
            totals: Vec::new(),
            ahead: None,
        };
        for number in 0..1000 {
            let walked = Walked {
                query: Query::parse(Some(&format!("{raw}limit={number}"))).unwrap(),
                ..walked("/v1/nodes")
            };
            let end = ("a".to_owned(), LocationId(0));
            memory.keep_course(walked.clone(), end.clone(), course.clone());
            // The same walk again takes no more.
            let before = memory.walks().weight;
            memory.keep_course(walked, end, course.clone());
            assert_eq!(memory.walks().weight, before);
        }
        let walks = memory.walks();
        let held: usize = walks
            .kept
            .iter()
            .map(|(_, kept)| kept.walked.weight())
            .sum();
        assert!(held <= budget && held > budget / 2, "{held}");
        assert_eq!(
            walks.kept.iter().next().unwrap().1.walked.query.weight(),
            681 * 48 + 680 * 10 + 8
        );
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
        let weight: usize = memory
            .walks()
            .kept
            .iter()
            .map(|(_, kept)| kept.weight)
            .sum();
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
