//! In the background: writes down what people want to see later, which is what changed and how each minute was.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use jiff::Timestamp;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::config::State;
use crate::current::Current;
use crate::current::Follow;
use crate::locations::location::Location;
use crate::locations::order::Order;
use crate::locations::record::Observed;
use crate::locations::silence::Reason;
use crate::metrics::Metrics;
use crate::metrics::history::Change;
use crate::metrics::history::Totals;
use crate::metrics::history::Turn;

/// Between two looks at the locations. What fails and recovers in between stands in the log only.
const LOOK: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
/// Most locations that one change names: a failing network may take all of them away at once.
const NAMED: usize = 5;

/// Keeps the history.
#[derive(Debug)]
pub struct Chronicle {
    pub follow: Follow,
    pub metrics: Arc<Metrics>,
}

#[async_trait]
impl BackgroundService for Chronicle {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut known = Known::default();
        let mut minute = Instant::now() + MINUTE;
        loop {
            let current = Arc::clone(&self.follow.borrow());
            for change in known.changes(&current) {
                self.metrics.history.changed(change);
            }
            let now = Instant::now();
            if now >= minute {
                minute = now + MINUTE;
                self.tick(&current, now);
            }
            drop(current);
            tokio::select! {
                _ = shutdown.changed() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

impl Chronicle {
    fn tick(&self, current: &Current, now: Instant) {
        let totals = Totals::of(&self.metrics.requests);
        self.metrics.history.tick(Timestamp::now(), totals);
        for location in current.federation.locations.iter() {
            location.traffic.pace.tick(location.record.pace(now));
        }
    }
}

/// How a location was at the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    observed: Observed,
    order: Arc<Order>,
}

impl Condition {
    fn of(location: &Location) -> Self {
        Self {
            observed: location.observed().0,
            order: location.order(),
        }
    }

    /// How it differs from what it was `before`.
    fn differences(&self, before: &Self) -> Vec<(Turn, String)> {
        let mut told = Vec::new();
        if self.order != before.order {
            told.push((Turn::Wanted, ordered(&self.order)));
        }
        match (before.observed, self.observed) {
            (Observed::Down(before), Observed::Down(now)) if before == now => {}
            (_, Observed::Down(Reason::Quarantine)) => {
                told.push((Turn::Worse, "is in quarantine".to_owned()));
            }
            (_, Observed::Down(reason)) => told.push((Turn::Worse, format!("is down: {reason}"))),
            (Observed::Down(_), Observed::Up) => {
                told.push((Turn::Better, "answers again".to_owned()));
            }
            // How each of them begins is no news.
            (_, Observed::Unknown) | (Observed::Unknown | Observed::Up, Observed::Up) => {}
        }
        told
    }
}

/// `is set to maintenance by alice (uid 1000): new disks`
fn ordered(order: &Order) -> String {
    let mut text = match order.state {
        State::Enabled => "is enabled".to_owned(),
        State::Draining => "is drained".to_owned(),
        State::ReadOnly => "is read-only".to_owned(),
        State::Maintenance => "is in maintenance".to_owned(),
    };
    for (between, more) in [(", set by ", &order.by), (": ", &order.reason)] {
        if let Some(more) = more {
            text.push_str(between);
            text.push_str(more);
        }
    }
    text
}

/// How all of them were, by name: a reload may number them otherwise.
#[derive(Debug, Default)]
struct Known(HashMap<String, Condition>);

impl Known {
    fn changes(&mut self, current: &Current) -> Vec<Change> {
        let locations = &current.federation.locations;
        let mut told: BTreeMap<(Turn, String), Vec<&str>> = BTreeMap::new();
        for location in locations.iter() {
            let now = Condition::of(location);
            match self.0.get_mut(location.name()) {
                Some(before) if *before == now => {}
                Some(before) => {
                    for change in now.differences(before) {
                        told.entry(change).or_default().push(location.name());
                    }
                    *before = now;
                }
                None => {
                    self.0.insert(location.name().to_owned(), now);
                }
            }
        }
        if self.0.len() > locations.iter().len() {
            self.0.retain(|name, _| locations.by_name(name).is_some());
        }
        let at = Timestamp::now();
        told.into_iter()
            .map(|((turn, what), names)| Change {
                at,
                of: some(&names),
                what,
                turn,
            })
            .collect()
    }
}

/// `loc1, loc2 and 4998 more`
fn some(names: &[&str]) -> String {
    match names.split_at_checked(NAMED) {
        Some((named, more)) if !more.is_empty() => {
            format!("{} and {} more", named.join(", "), more.len())
        }
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(observed: Observed, state: State) -> Condition {
        Condition {
            observed,
            order: Arc::new(Order {
                by: Some("alice".to_owned()),
                reason: Some("disks".to_owned()),
                ..Order::of_file(state)
            }),
        }
    }

    #[test]
    fn what_is_told_of_a_change() {
        use Observed::*;
        use State::*;
        let timeout = Down(Reason::Timeout);
        for (before, after, told) in [
            ((Unknown, Enabled), (Up, Enabled), vec![]),
            ((Up, Enabled), (Up, Enabled), vec![]),
            ((timeout, Enabled), (timeout, Enabled), vec![]),
            ((Up, Enabled), (Unknown, Enabled), vec![]),
            (
                (Unknown, Enabled),
                (timeout, Enabled),
                vec![(Turn::Worse, "is down: timeout")],
            ),
            (
                (timeout, Enabled),
                (Down(Reason::Connect), Enabled),
                vec![(Turn::Worse, "is down: connect")],
            ),
            (
                (Up, Enabled),
                (Down(Reason::Quarantine), Enabled),
                vec![(Turn::Worse, "is in quarantine")],
            ),
            (
                (timeout, Enabled),
                (Up, Enabled),
                vec![(Turn::Better, "answers again")],
            ),
            (
                (timeout, Enabled),
                (Up, Maintenance),
                vec![
                    (Turn::Wanted, "is in maintenance, set by alice: disks"),
                    (Turn::Better, "answers again"),
                ],
            ),
        ] {
            let (before, after) = (condition(before.0, before.1), condition(after.0, after.1));
            let told: Vec<_> = told
                .into_iter()
                .map(|(turn, text)| (turn, text.to_owned()))
                .collect();
            assert_eq!(after.differences(&before), told, "{before:?} {after:?}");
        }
    }

    #[test]
    fn many_are_not_all_named() {
        assert_eq!(some(&["a", "b", "c", "d", "e"]), "a, b, c, d, e");
        assert_eq!(
            some(&["a", "b", "c", "d", "e", "f", "g"]),
            "a, b, c, d, e and 2 more"
        );
    }
}
