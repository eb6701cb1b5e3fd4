//! Which of several endpoints is asked first: who proved to be the fastest.
//!
//! In *duels*, every few seconds, a read of one thing is asked of a challenger too, unless the first one answers within a
//! head start. A challenger that was faster in three races on end is asked first from then on.

use std::time::Duration;
use std::time::Instant;

/// Between two duels, if the first one won.
const TRUCE: Duration = Duration::from_secs(10);
/// Races on end that a challenger has to win.
const CONVINCING: u32 = 3;

/// Of endpoints that are known by their places.
#[derive(Debug)]
pub struct Contest {
    preferred: usize,
    /// Whose turn it is to challenge.
    turn: usize,
    /// Races on end that it won.
    wins: u32,
    /// When the next duel may be.
    due: Instant,
}

/// In which order one question tries so many endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    len: usize,
    pub first: usize,
    /// How many places behind the first one the second stands, counted in a ring.
    behind: usize,
}

impl Contest {
    pub fn new(now: Instant) -> Self {
        Self {
            preferred: 0,
            turn: 0,
            wins: 0,
            due: now,
        }
    }

    pub fn order(&self, len: usize) -> Order {
        Order {
            len,
            first: self.preferred % len.max(1),
            behind: 1 + self.turn % len.saturating_sub(1).max(1),
        }
    }

    /// Whether the next race is a duel. It is the only one for a while.
    pub fn is_duel(&mut self, now: Instant) -> bool {
        let is_due = self.due <= now;
        if is_due {
            self.due = now + TRUCE;
        }
        is_due
    }

    /// The second one was faster, though it was asked later.
    pub fn won(&mut self, order: Order, now: Instant) {
        // While they raced, another question may have settled it.
        if order != self.order(order.len) {
            return;
        }
        self.wins += 1;
        // Who may be faster does not wait for its next chance.
        self.due = now;
        if self.wins >= CONVINCING
            && let Some(place) = order.place(1)
        {
            self.prefer(place, now);
        }
    }

    /// The first one answered first, in a duel.
    pub fn held(&mut self, order: Order) {
        if order == self.order(order.len) {
            self.wins = 0;
            self.turn = self.turn.wrapping_add(1);
        }
    }

    /// The one in this place answered where others failed. Whether that is news.
    pub fn prefer(&mut self, place: usize, now: Instant) -> bool {
        let is_news = place != self.preferred;
        if is_news {
            self.moved(place);
            self.due = now + TRUCE;
        }
        is_news
    }

    /// The places are others, and the one that was preferred has this one.
    pub fn moved(&mut self, place: usize) {
        self.preferred = place;
        self.turn = 0;
        self.wins = 0;
    }
}

impl Order {
    /// The place of the one that is tried after `number` others.
    pub fn place(self, number: usize) -> Option<usize> {
        // The second one has changed places with who stands behind the first.
        let behind = match number {
            1 => self.behind,
            _ if number == self.behind => 1,
            _ => number,
        };
        (number < self.len).then(|| (self.first + behind) % self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(contest: &Contest, len: usize) -> Vec<usize> {
        let order = contest.order(len);
        (0..=len).map_while(|number| order.place(number)).collect()
    }

    #[test]
    fn three_races_on_end_convince() {
        let now = Instant::now();
        let mut contest = Contest::new(now);
        let order = contest.order(2);
        for _ in 0..2 {
            contest.won(order, now);
        }
        assert_eq!(places(&contest, 2), [0, 1]);
        contest.held(order);
        for _ in 0..2 {
            contest.won(order, now);
        }
        assert_eq!(places(&contest, 2), [0, 1], "not on end");
        contest.won(order, now);
        assert_eq!(places(&contest, 2), [1, 0]);
        contest.won(order, now);
        assert_eq!(contest.wins, 0, "of an order that is no more");
    }

    #[test]
    fn duels_are_apart_unless_the_challenger_wins() {
        let now = Instant::now();
        let mut contest = Contest::new(now);
        assert!(contest.is_duel(now));
        assert!(!contest.is_duel(now));
        contest.won(contest.order(2), now);
        assert!(contest.is_duel(now));
        contest.held(contest.order(2));
        assert!(!contest.is_duel(now));
        assert!(contest.is_duel(now + TRUCE));
    }

    #[test]
    fn each_has_its_turn_to_challenge() {
        let now = Instant::now();
        let mut contest = Contest::new(now);
        contest.prefer(1, now);
        assert_eq!(places(&contest, 4), [1, 2, 3, 0]);
        contest.held(contest.order(4));
        assert_eq!(places(&contest, 4), [1, 3, 2, 0]);
        contest.held(contest.order(4));
        assert_eq!(places(&contest, 4), [1, 0, 3, 2]);
        contest.held(contest.order(4));
        assert_eq!(places(&contest, 4), [1, 2, 3, 0]);
    }

    #[test]
    fn one_and_none_have_an_order_too() {
        let contest = Contest::new(Instant::now());
        assert_eq!(places(&contest, 0), [0; 0]);
        assert_eq!(places(&contest, 1), [0]);
    }
}
