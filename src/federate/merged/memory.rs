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

/// Pages of one index whose next ones are remembered: whoever asks for the first one again and again leaves one each time.
const ENDS: usize = 100;
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
    Course(Course),
    Index(Arc<Index>, Reach),
}

/// Walks that go on in one index, since it listed alike what there was when each of them began; and how far they went.
#[derive(Debug, Default)]
struct Reach {
    name: Option<WalkName>,
    /// The ends of pages that were given, and whose next ones were not asked for yet; of two walks in step each has its own.
    ends: Vec<usize>,
    /// Walks whose last page was not given yet.
    under_way: usize,
}

impl Reach {
    fn given(&mut self, end: usize) {
        if self.ends.len() == ENDS {
            self.ends.remove(0);
        }
        self.ends.push(end);
    }
}

#[derive(Debug)]
struct Kept {
    walked: Walked,
    /// The item that the page ended with; of an index, its [`Reach`] tells.
    end: Option<(String, LocationId)>,
    known: Known,
    weight: usize,
    used: Instant,
}

#[derive(Debug, Default)]
struct Walks {
    /// Oldest first.
    kept: VecDeque<Kept>,
    weight: usize,
}

/// Walks under way, and how many items locations have.
#[derive(Debug)]
pub struct Memory {
    /// Bytes for walks.
    budget: usize,
    walks: Mutex<Walks>,
    totals: Mutex<HashMap<(Collection, LocationId), usize>>,
    /// Sort keys that Ironic accepted. Bounded by the number of its columns.
    sortable: Mutex<HashSet<(&'static str, String, Microversion)>>,
    hasher: RandomState,
    /// How many walks were given a name.
    names: AtomicU64,
}

impl Memory {
    pub fn new(budget: usize) -> Self {
        Self {
            budget,
            walks: Mutex::default(),
            totals: Mutex::default(),
            sortable: Mutex::default(),
            hasher: RandomState::new(),
            names: AtomicU64::new(0),
        }
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
            Known::Course(course)
                if kept.is_fresh(now)
                    && kept.ends_with(item, location)
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
            end: Some(end),
            known: Known::Course(course),
            weight,
            used: Instant::now(),
        };
        self.walks().keep(kept, self.budget);
    }

    /// The index of the walk with this name, and where it goes on behind the item.
    pub fn named_index(
        &self,
        walked: &Walked,
        name: WalkName,
        item: &str,
        place: Option<usize>,
    ) -> Option<(Arc<Index>, usize)> {
        let now = Instant::now();
        self.walks().kept.iter_mut().find_map(|kept| {
            let is_walked = kept.is_fresh(now) && kept.walked == *walked;
            let Known::Index(index, reach) = &mut kept.known else {
                return None;
            };
            if !is_walked || reach.name != Some(name) {
                return None;
            }
            let behind = index.behind(item, place)?;
            reach.ends.retain(|end| *end != behind);
            let index = Arc::clone(index);
            kept.used = now;
            Some((index, behind))
        })
    }

    /// The index of the walk whose page ended with this item, and where it goes on. It is taken once: who asks for the
    /// same page again may be on another walk, begun at another replica after things were made that this index lacks.
    pub fn take_index(
        &self,
        walked: &Walked,
        item: &str,
        place: Option<usize>,
    ) -> Option<(Arc<Index>, usize)> {
        let mut walks = self.walks();
        // Who follows the links of a walk that has a name comes with the name.
        [false, true]
            .into_iter()
            .find_map(|is_named| walks.take_index(is_named, walked, item, place))
    }

    /// A page was given that ended there; the index may be known already. The name of the walk, if it needs one: if
    /// another walk is under way that lists otherwise and may have a page that ends alike.
    pub fn keep_index(&self, walked: Walked, index: Arc<Index>, end: usize) -> Option<WalkName> {
        let now = Instant::now();
        let mut walks = self.walks();
        let mut has_rival = false;
        for kept in &mut walks.kept {
            let is_walked = kept.is_fresh(now) && kept.walked == walked;
            let Known::Index(one, reach) = &mut kept.known else {
                continue;
            };
            let is_its_own = Arc::ptr_eq(one, &index);
            let is_under_way = is_walked && reach.under_way > 0;
            if is_its_own || (is_under_way && one.is_like(&index)) {
                reach.under_way += usize::from(!is_its_own);
                reach.given(end);
                kept.used = now;
                return reach.name;
            }
            has_rival |= is_under_way;
        }
        let weight = size_of::<Kept>() + 200 + index.weight();
        let name = has_rival.then(|| self.new_name());
        let reach = Reach {
            name,
            ends: vec![end],
            under_way: 1,
        };
        let kept = Kept {
            walked,
            end: None,
            known: Known::Index(index, reach),
            weight,
            used: now,
        };
        walks.keep(kept, self.budget);
        name
    }

    /// The last page was given.
    pub fn ended(&self, index: &Arc<Index>) {
        for kept in &mut self.walks().kept {
            if let Some(reach) = kept.reach_in(index) {
                reach.under_way = reach.under_way.saturating_sub(1);
            }
        }
    }

    /// Another gateway's walk has this one by chance only: the state of the hasher is this process's own.
    fn new_name(&self) -> WalkName {
        WalkName(
            self.hasher
                .hash_one(self.names.fetch_add(1, Ordering::Relaxed)),
        )
    }

    /// A walk goes on in another index, since this one turned out to be wrong about where things are. Others that are on their
    /// way in it have markers of their own.
    pub fn left_index(&self, index: &Arc<Index>) {
        self.ended(index);
        self.walks().drop_where(|kept| {
            kept.reach_in(index)
                .is_some_and(|reach| reach.under_way == 0)
        });
    }

    fn walks(&self) -> MutexGuard<'_, Walks> {
        self.walks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn totals(&self) -> MutexGuard<'_, HashMap<(Collection, LocationId), usize>> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Walks {
    fn keep(&mut self, new: Kept, budget: usize) {
        // An index larger than the whole budget would evict every other walk and then itself.
        if new.weight > budget {
            return;
        }
        while self.weight + new.weight > budget
            || self
                .kept
                .front()
                .is_some_and(|kept| !kept.is_fresh(new.used))
        {
            self.drop_oldest();
        }
        self.weight += new.weight;
        self.kept.push_back(new);
    }

    fn take_index(
        &mut self,
        is_named: bool,
        walked: &Walked,
        item: &str,
        place: Option<usize>,
    ) -> Option<(Arc<Index>, usize)> {
        let now = Instant::now();
        let mut found = None;
        // Of two walks whose pages end alike nobody knows which one goes on: the newer index lacks nothing of either.
        for kept in self.kept.iter_mut().rev() {
            let is_fresh = kept.is_fresh(now);
            let Known::Index(index, reach) = &mut kept.known else {
                continue;
            };
            if !is_fresh || kept.walked != *walked || reach.name.is_some() != is_named {
                continue;
            }
            let is_it = |end: &usize| {
                index.before(*end).is_some_and(|spot| {
                    *index.entry(spot).id == *item
                        && place.is_none_or(|place| place == spot.place as usize)
                })
            };
            if let Some(at) = reach.ends.iter().rposition(is_it) {
                let behind = reach.ends.remove(at);
                kept.used = now;
                found.get_or_insert_with(|| (Arc::clone(index), behind));
            }
        }
        found
    }

    fn drop_oldest(&mut self) {
        if let Some(kept) = self.kept.pop_front() {
            self.weight -= kept.weight;
        }
    }

    fn drop_where(&mut self, is_it: impl Fn(&mut Kept) -> bool) {
        let weight = &mut self.weight;
        self.kept.retain_mut(|kept| {
            let goes = is_it(kept);
            *weight -= if goes { kept.weight } else { 0 };
            !goes
        });
    }
}

impl Kept {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) < LIFETIME
    }

    fn reach_in(&mut self, index: &Arc<Index>) -> Option<&mut Reach> {
        match &mut self.known {
            Known::Index(one, reach) if Arc::ptr_eq(one, index) => Some(reach),
            _ => None,
        }
    }

    fn ends_with(&self, item: &str, location: Option<LocationId>) -> bool {
        self.end.as_ref().is_some_and(|(known, there)| {
            known == item && location.is_none_or(|location| location == *there)
        })
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
    fn a_walk_goes_on_where_its_page_ended() {
        let memory = Memory::new(1 << 20);
        let (one, other) = (index(&["a", "b", "c"]), index(&["b", "a", "c"]));
        memory.keep_index(walked("/v1/nodes"), Arc::clone(&one), 2);
        memory.keep_index(walked("/v1/nodes"), Arc::clone(&other), 2);
        let found = |path: &str, item: &str| memory.take_index(&walked(path), item, None);
        // Of two walks the one whose page ended so.
        let (found_one, behind) = found("/v1/nodes", "b").unwrap();
        assert!(Arc::ptr_eq(&found_one, &one) && behind == 2);
        let (found_other, _) = found("/v1/nodes", "a").unwrap();
        assert!(Arc::ptr_eq(&found_other, &other));
        assert!(found("/v1/nodes", "b").is_none(), "taken once");
        assert!(found("/v1/nodes", "c").is_none() && found("/v1/ports", "b").is_none());
        memory.keep_index(walked("/v1/nodes"), Arc::clone(&one), 3);
        assert!(found("/v1/nodes", "c").is_some());
        memory.keep_index(walked("/v1/nodes"), Arc::clone(&one), 3);
        memory.left_index(&one);
        assert!(found("/v1/nodes", "c").is_none());
        // Two whose pages ended alike: the newer one, and neither a second time.
        memory.keep_index(walked("/v1/nodes"), Arc::clone(&one), 3);
        let newer = index(&["a", "b", "b2", "c"]);
        memory.keep_index(walked("/v1/nodes"), Arc::clone(&newer), 4);
        let (found_newer, behind) = found("/v1/nodes", "c").unwrap();
        assert!(Arc::ptr_eq(&found_newer, &newer) && behind == 4);
        assert!(found("/v1/nodes", "c").is_none());
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
        let none = Memory::new(0);
        none.keep_index(walked("/v1/nodes"), index(&["a"]), 1);
        assert!(none.take_index(&walked("/v1/nodes"), "a", None).is_none());
    }
}
