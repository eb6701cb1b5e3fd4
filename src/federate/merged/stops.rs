//! The locations of an unsorted walk: what each gave, and what is known of it.

use std::sync::Arc;

use crate::api::page::Page;
use crate::federate::merged::memory::Course;
use crate::federate::merged::plan;
use crate::federate::merged::plan::Ask;
use crate::federate::merged::plan::Manner;
use crate::federate::merged::plan::Outlook;
use crate::locations::silence::Silence;
use crate::locations::walk::Walk;
use crate::wire::transport::Reply;

/// A location on the way, and what it gave so far.
pub(super) struct Stop<'a> {
    pub(super) walk: Walk<'a>,
    pub(super) pages: Vec<Arc<Page>>,
    pub(super) state: State,
}

pub(super) enum State {
    /// It may have more.
    Open,
    Ended,
    /// It answers 404 for what the filter names, a chassis or a node: none of its items can pass.
    Unknown(Reply),
    Silent(Silence),
}

impl Stop<'_> {
    pub(super) fn count(&self) -> usize {
        self.pages.iter().map(|page| page.len()).sum()
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    pub(super) fn silence(&self) -> Option<Silence> {
        match &self.state {
            State::Silent(silence) => Some(silence.clone()),
            State::Open | State::Ended | State::Unknown(_) => None,
        }
    }
}

/// What is asked for in a round.
pub(super) struct Need {
    pub(super) wanted: usize,
    pub(super) least: usize,
    pub(super) manner: Manner,
}

/// What is known of the locations before they are asked.
pub(super) struct Known {
    /// Items that each has.
    pub(super) totals: Vec<Option<usize>>,
    pub(super) first: usize,
    /// Items of the first location that earlier pages gave.
    pub(super) given: Option<usize>,
    /// A location far ahead that had an item when this walk looked.
    pub(super) ahead: Option<usize>,
}

impl Known {
    /// Whom to ask next, and for how much each.
    pub(super) fn plan(&self, stops: &[Stop<'_>], from: usize, need: &Need) -> Vec<Ask> {
        let totals: Vec<Option<usize>> = stops
            .iter()
            .enumerate()
            .map(|(place, stop)| self.total_of(place, stop))
            .collect();
        // An unknown location is taken to have the mean of the known ones.
        let counted: Vec<usize> = totals.iter().copied().flatten().collect();
        let typical = match counted.len() {
            0 => None,
            count => Some(counted.iter().sum::<usize>().div_ceil(count).max(1)),
        };
        let open: Vec<usize> = (from..stops.len())
            .filter(|&place| stops[place].is_open())
            .collect();
        let ahead: Vec<Outlook> = open
            .iter()
            .map(|&place| {
                let passed = self.given(place) + stops[place].count();
                match totals[place].or(typical) {
                    Some(total) => Outlook::About(total.saturating_sub(passed)),
                    None => Outlook::Unknown,
                }
            })
            .collect();
        plan::round(&ahead, need.wanted, need.least, need.manner)
            .into_iter()
            .map(|ask| Ask {
                ahead: open[ask.ahead],
                limit: ask.limit,
            })
            .collect()
    }

    /// Whether something follows behind that location.
    pub(super) fn has_more_behind(&self, stops: &[Stop<'_>], place: usize) -> bool {
        let is_behind = |ahead| ahead > place;
        self.ahead.is_some_and(is_behind) || farthest(stops).is_some_and(is_behind)
    }

    /// The last location that may have anything, behind this one.
    pub(super) fn last_behind(&self, stops: &[Stop<'_>], place: usize) -> Option<usize> {
        let may_have = |&place: &usize| {
            stops[place].is_open() && self.total_of(place, &stops[place]) != Some(0)
        };
        (place + 1..stops.len()).rev().find(may_have)
    }

    pub(super) fn given(&self, place: usize) -> usize {
        self.given
            .filter(|_| place == self.first)
            .unwrap_or_default()
    }

    /// The items that a location has, once it was read to its end.
    pub(super) fn total_of(&self, place: usize, stop: &Stop<'_>) -> Option<usize> {
        let is_exact = place > self.first || (place == self.first && self.given.is_some());
        match stop.state {
            State::Ended if is_exact => Some(self.given(place) + stop.count()),
            State::Unknown(_) => Some(0),
            _ => self.totals[place],
        }
    }

    /// What the walk knows behind a page that ended at that location, after so many of its items.
    pub(super) fn after(&self, stops: &[Stop<'_>], last: usize, given: usize) -> Course {
        let totals = stops.iter().enumerate().map(|(place, stop)| {
            let total = self.total_of(place, stop)?;
            u32::try_from(total).ok()
        });
        Course {
            place: last,
            given: self.given(last) + given,
            totals: totals.collect(),
            ahead: self.ahead.max(farthest(stops)),
        }
    }
}

/// The last location that gave anything.
fn farthest(stops: &[Stop<'_>]) -> Option<usize> {
    stops.iter().rposition(|stop| stop.count() > 0)
}

/// How far the items lead without a gap: how many there are, and the first location that may have more.
pub(super) struct Reached {
    pub(super) count: usize,
    pub(super) place: usize,
}

pub(super) fn reached(stops: &[Stop<'_>], first: usize, wanted: usize) -> Reached {
    let mut count = 0;
    for (place, stop) in stops.iter().enumerate().skip(first) {
        count += stop.count();
        let waits = matches!(stop.state, State::Open | State::Silent(_));
        if count >= wanted || waits {
            // A silent location is passed over, unless the page is full without it.
            if count < wanted - 1 && matches!(stop.state, State::Silent(_)) {
                continue;
            }
            return Reached { count, place };
        }
    }
    Reached {
        count,
        place: stops.len(),
    }
}
