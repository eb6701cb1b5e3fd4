//! Keeps the best items out of many, as many as fit on a page.

use std::collections::BTreeMap;

use crate::api::merged_page::Taken;
use crate::federate::merged::order::Direction;
use crate::federate::merged::order::SortValue;

/// The first of a location's items in the order of the walk: a page, and one more to know whether there is one.
pub(super) struct Best {
    kept: BTreeMap<(SortValue, u32), Taken>,
    room: usize,
    direction: Direction,
}

impl Best {
    pub(super) fn new(room: usize, direction: Direction) -> Self {
        Self {
            kept: BTreeMap::new(),
            room,
            direction,
        }
    }

    /// Keeps an item, by its value and its place in the location's own order, if it is among the best so far.
    pub(super) fn offer(&mut self, value: &SortValue, sequence: u32, body: impl FnOnce() -> Taken) {
        if self.kept.len() >= self.room {
            let worst = match self.direction {
                Direction::Ascending => self.kept.last_entry(),
                Direction::Descending => self.kept.first_entry(),
            };
            let Some(worst) = worst else { return };
            let (worst_value, worst_sequence) = worst.key();
            let order = (value, sequence).cmp(&(worst_value, *worst_sequence));
            // Equal keys go by the location's own order; `desc` is the exact reverse, so that is reversed too.
            if !self.direction.apply(order).is_lt() {
                return;
            }
            worst.remove();
        }
        self.kept.insert((value.clone(), sequence), body());
    }

    pub(super) fn into_bodies(self) -> impl Iterator<Item = (u32, Taken)> {
        self.kept
            .into_iter()
            .map(|((_, sequence), body)| (sequence, body))
    }
}
