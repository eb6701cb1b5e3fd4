//! Keeps the best items out of many, as many as fit on a page.

use std::collections::BTreeMap;

use crate::api::merged_page::Taken;
use crate::federate::merged::index::Spot;
use crate::federate::merged::order::Direction;
use crate::federate::merged::order::SortValue;

/// The first items of all locations in the order of the walk. They are copies that no budget counts: one page of them,
/// however many locations there are.
pub(super) struct Best {
    kept: BTreeMap<(SortValue, Spot), Taken>,
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

    /// Keeps an item, by its value and where it is, if it is among the best so far.
    pub(super) fn offer(&mut self, value: &SortValue, spot: Spot, body: impl FnOnce() -> Taken) {
        if self.kept.len() >= self.room {
            let worst = match self.direction {
                Direction::Ascending => self.kept.last_entry(),
                Direction::Descending => self.kept.first_entry(),
            };
            let Some(worst) = worst else { return };
            let (worst_value, worst_spot) = worst.key();
            let order = (value, spot).cmp(&(worst_value, *worst_spot));
            // Equal keys go by the order of locations, and there by the location's own; `desc` is the exact reverse, so
            // that is reversed too.
            if !self.direction.apply(order).is_lt() {
                return;
            }
            worst.remove();
        }
        self.kept.insert((value.clone(), spot), body());
    }

    pub(super) fn into_bodies(self) -> impl Iterator<Item = (Spot, Taken)> {
        self.kept.into_iter().map(|((_, spot), body)| (spot, body))
    }
}
