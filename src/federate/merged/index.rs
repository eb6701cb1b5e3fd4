//! What a sorted walk knows: the items in its order, and the location of each. It holds identifiers and keys; bodies
//! are read page by page, so that they are never old.

use std::collections::HashSet;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;

use crate::federate::merged::order::Collation;
use crate::federate::merged::order::Direction;
use crate::federate::merged::order::SortValue;

/// Reading this many unneeded items is preferred to a second question.
const GAP: u32 = 10;

/// One item.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: Box<str>,
    /// NULL for every item if there is no sort key.
    pub value: SortValue,
}

/// Where an item is: at which location of the scope, and at which place in that location's own order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    pub place: u32,
    pub sequence: u32,
}

/// An order in which a location lists its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// That of their creation.
    Own,
    /// By the key, in the collation that the location is guessed to use.
    Key(Collation),
}

/// Some of a location's items that stand together in one of its orders: one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub way: Way,
    pub direction: Direction,
    /// The item before them; `None`: they are the first.
    pub behind: Option<u32>,
    pub count: usize,
    /// Those of them that are wanted.
    pub wanted: Vec<u32>,
}

/// The items of one location, in its own order.
#[derive(Debug, Default)]
struct Shelf {
    entries: Vec<Entry>,
    /// Sequences by key, without NULLs, for each collation.
    by_key: [OnceLock<Vec<u32>>; 2],
    /// How many collations were tried and found wrong.
    wrong: AtomicU8,
}

/// Every item of a list, in the order of the walk.
#[derive(Debug)]
pub struct Index {
    shelves: Vec<Shelf>,
    order: Vec<Spot>,
    direction: Direction,
    /// Identifiers that more than one location has.
    twice: HashSet<Box<str>>,
    likeness: OnceLock<u64>,
}

impl Index {
    /// From what was read at each location of the scope, in its own order. `once`: what several locations have is
    /// listed from the first.
    pub fn new(read: Vec<Vec<Entry>>, direction: Direction, once: bool) -> Self {
        let shelves: Vec<Shelf> = read
            .into_iter()
            .map(|entries| Shelf {
                entries,
                ..Shelf::default()
            })
            .collect();
        let mut seen = HashSet::new();
        let mut twice = HashSet::new();
        let mut order = Vec::with_capacity(shelves.iter().map(|shelf| shelf.entries.len()).sum());
        for (place, shelf) in (0..).zip(&shelves) {
            for (sequence, entry) in (0..).zip(&shelf.entries) {
                let is_new = shelves.len() == 1 || seen.insert(&*entry.id);
                if !is_new {
                    twice.insert(entry.id.clone());
                }
                if is_new || !once {
                    order.push(Spot { place, sequence });
                }
            }
        }
        if once {
            twice.clear();
        }
        let value =
            |spot: &Spot| &shelves[spot.place as usize].entries[spot.sequence as usize].value;
        // Stable: equals stay in the order of locations, and there in the location's own.
        order.sort_by(|one, two| value(one).cmp(value(two)));
        if direction == Direction::Descending {
            order.reverse();
        }
        Self {
            shelves,
            order,
            direction,
            twice,
            likeness: OnceLock::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// The same number for all that [`Self::is_like`] finds alike.
    pub fn likeness(&self) -> u64 {
        *self.likeness.get_or_init(|| {
            let mut hasher = DefaultHasher::new();
            for spot in &self.order {
                (spot.place, &self.entry(*spot).id).hash(&mut hasher);
            }
            hasher.finish()
        })
    }

    /// Whether a walk may go on in either of them.
    pub fn is_like(&self, other: &Self) -> bool {
        let is_same_item = |(one, two): (&Spot, &Spot)| {
            one.place == two.place && self.entry(*one).id == other.entry(*two).id
        };
        self.len() == other.len() && self.order.iter().zip(&other.order).all(is_same_item)
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The spots of a page; fewer at the end.
    pub fn spots(&self, range: Range<usize>) -> &[Spot] {
        let end = range.end.min(self.order.len());
        self.order.get(range.start..end).unwrap_or_default()
    }

    /// The last one before the next page.
    pub fn before(&self, end: usize) -> Option<Spot> {
        self.order.get(end.checked_sub(1)?).copied()
    }

    pub fn entry(&self, spot: Spot) -> &Entry {
        &self.shelves[spot.place as usize].entries[spot.sequence as usize]
    }

    /// Identifiers that more than one location has.
    pub fn twice(&self) -> impl Iterator<Item = (&str, Vec<usize>)> {
        self.twice.iter().map(|id| {
            let has = |shelf: &Shelf| shelf.entries.iter().any(|entry| entry.id == *id);
            let places = (0..self.shelves.len()).filter(|&place| has(&self.shelves[place]));
            (&**id, places.collect())
        })
    }

    pub fn is_twice(&self, id: &str) -> bool {
        self.twice.contains(id)
    }

    /// Where the walk goes on behind an item; `place`: its location, if known. Of several the last one counts, so that
    /// no walk goes round. `None`: it is not listed.
    pub fn behind(&self, id: &str, place: Option<usize>) -> Option<usize> {
        let is_it = |spot: &Spot| {
            place.is_none_or(|place| place == spot.place as usize) && *self.entry(*spot).id == *id
        };
        Some(self.order.iter().rposition(is_it)? + 1)
    }

    /// The same for an item that is there, and not listed since it does not match the filters: by its value, and by
    /// which items follow it in its location's own order.
    pub fn behind_unlisted(&self, place: usize, value: &SortValue, followers: &[String]) -> usize {
        let entries = &self.shelves[place].entries;
        let follows = |entry: &Entry| followers.iter().any(|id| **id == *entry.id);
        let sequence = entries.iter().position(follows).unwrap_or(entries.len());
        self.order.partition_point(|spot| {
            let here = (
                &self.entry(*spot).value,
                spot.place as usize,
                spot.sequence as usize,
            );
            let is_before = here < (value, place, sequence);
            match self.direction {
                Direction::Ascending => is_before,
                Direction::Descending => !is_before,
            }
        })
    }

    /// In which order a location is asked for what is sorted by a key.
    pub fn way(&self, place: usize) -> Way {
        match self.shelves[place].wrong.load(Ordering::Relaxed) {
            0 => Way::Key(Collation::Exact),
            1 => Way::Key(Collation::Folded),
            _ => Way::Own,
        }
    }

    /// A location does not list in that order.
    pub fn is_wrong(&self, place: usize, way: Way) {
        let guess = match way {
            Way::Key(Collation::Exact) => 0,
            Way::Key(Collation::Folded) => 1,
            Way::Own => return,
        };
        // Another question may have found out the same.
        let _ = self.shelves[place].wrong.compare_exchange(
            guess,
            guess + 1,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// The questions that bring these items of a location.
    pub fn runs(&self, place: usize, wanted: &[u32], way: Way) -> Vec<Run> {
        let shelf = &self.shelves[place];
        let Way::Key(collation) = way else {
            return own_runs(wanted.to_vec());
        };
        // Ironic loses rows when it pages by a key that is NULL, so those are read in the order of creation.
        let is_null = |sequence: &u32| shelf.entries[*sequence as usize].value.is_null();
        let (null, keyed): (Vec<u32>, Vec<u32>) = wanted.iter().partition(|&one| is_null(one));
        let mut runs = own_runs(null);
        runs.extend(shelf.keyed_runs(&keyed, collation, self.direction));
        runs
    }

    /// Bytes that it takes, about.
    pub fn weight(&self) -> usize {
        let entries = self.shelves.iter().flat_map(|shelf| &shelf.entries);
        let of_entry = |entry: &Entry| {
            // `by_key` holds one more u32 for each collation that is tried.
            size_of::<Entry>() + entry.id.len() + entry.value.weight() + 2 * size_of::<u32>()
        };
        entries.map(of_entry).sum::<usize>()
            + self.order.len() * size_of::<Spot>()
            + self.shelves.len() * size_of::<Shelf>()
    }
}

impl Shelf {
    fn keyed_runs(&self, wanted: &[u32], collation: Collation, direction: Direction) -> Vec<Run> {
        if wanted.is_empty() {
            return Vec::new();
        }
        let by_key = self.by_key(collation);
        let has_nulls = by_key.len() < self.entries.len();
        let wanted: HashSet<u32> = wanted.iter().copied().collect();
        let positions: Vec<u32> = (0..)
            .zip(by_key)
            .filter(|(_, sequence)| wanted.contains(*sequence))
            .map(|(position, _)| position)
            .collect();
        let at = |position: u32| by_key.get(position as usize).copied();
        together(&positions)
            .into_iter()
            .map(|range| {
                let before = (
                    Direction::Ascending,
                    range.start.checked_sub(1).and_then(at),
                );
                let after = (Direction::Descending, at(range.end));
                let (ahead, other) = match direction {
                    Direction::Ascending => (before, after),
                    Direction::Descending => (after, before),
                };
                // PostgreSQL sorts NULLs last, SQLite and MySQL first: with NULLs "the first items" are not the keyed
                // ones everywhere.
                let (direction, behind) = match (ahead.1, other.1) {
                    (None, Some(_)) if has_nulls => other,
                    (None, None) if has_nulls => after,
                    _ => ahead,
                };
                Run {
                    way: Way::Key(collation),
                    direction,
                    behind,
                    count: range.len(),
                    wanted: range
                        .filter_map(at)
                        .filter(|sequence| wanted.contains(sequence))
                        .collect(),
                }
            })
            .collect()
    }

    fn by_key(&self, collation: Collation) -> &[u32] {
        let slot = match collation {
            Collation::Exact => &self.by_key[0],
            Collation::Folded => &self.by_key[1],
        };
        slot.get_or_init(|| {
            let value = |sequence: u32| &self.entries[sequence as usize].value;
            let mut sorted: Vec<u32> = (0..)
                .zip(&self.entries)
                .filter(|(_, entry)| !entry.value.is_null())
                .map(|(sequence, _)| sequence)
                .collect();
            sorted.sort_by(|&one, &two| collation.compare(value(one), value(two)));
            sorted
        })
    }
}

/// In the order of creation, as the sequences are numbered; ascending, so that new items change no number.
fn own_runs(mut wanted: Vec<u32>) -> Vec<Run> {
    wanted.sort_unstable();
    together(&wanted)
        .into_iter()
        .map(|range| Run {
            way: Way::Own,
            direction: Direction::Ascending,
            behind: range.start.checked_sub(1),
            count: range.len(),
            wanted: wanted
                .iter()
                .copied()
                .filter(|one| range.contains(one))
                .collect(),
        })
        .collect()
}

/// Ascending positions as ranges, those that are close in one.
fn together(positions: &[u32]) -> Vec<Range<u32>> {
    let mut ranges: Vec<Range<u32>> = Vec::new();
    for &position in positions {
        match ranges.last_mut() {
            Some(range) if position - range.end <= GAP => range.end = position + 1,
            _ => ranges.push(position..position + 1),
        }
    }
    ranges
}

#[cfg(test)]
mod tests;
