//! The best items of many, as many as a page holds.

use std::collections::BTreeSet;

use crate::federate::merged::order::Direction;
use crate::federate::merged::order::SortValue;

/// An item that may be on the page, written already.
pub(super) struct Candidate {
    pub(super) value: SortValue,
    pub(super) location: usize,
    /// Its place in its location's default order.
    pub(super) sequence: usize,
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) text: Vec<u8>,
}

impl Candidate {
    fn rank(&self) -> (&SortValue, usize, usize) {
        (&self.value, self.location, self.sequence)
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// The best items so far: a page, and one more to know whether there is one.
pub(super) struct Best {
    pub(super) kept: BTreeSet<Candidate>,
    pub(super) room: usize,
    pub(super) direction: Direction,
}

impl Best {
    pub(super) fn new(limit: usize, direction: Direction) -> Self {
        Self {
            kept: BTreeSet::new(),
            room: limit.saturating_add(1),
            direction,
        }
    }

    fn worst(&self) -> Option<&Candidate> {
        match self.direction {
            Direction::Ascending => self.kept.last(),
            Direction::Descending => self.kept.first(),
        }
    }

    pub(super) fn accepts(&self, value: &SortValue, location: usize, sequence: usize) -> bool {
        self.kept.len() < self.room
            || self.worst().is_some_and(|worst| {
                self.direction
                    .apply((value, location, sequence).cmp(&worst.rank()))
                    .is_lt()
            })
    }

    pub(super) fn offer(&mut self, candidate: Candidate) {
        if !self.accepts(&candidate.value, candidate.location, candidate.sequence) {
            return;
        }
        self.kept.insert(candidate);
        if self.kept.len() > self.room {
            match self.direction {
                Direction::Ascending => self.kept.pop_last(),
                Direction::Descending => self.kept.pop_first(),
            };
        }
    }
}
