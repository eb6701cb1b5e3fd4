//! How everything is, in one sentence.

use jiff::Timestamp;

use crate::admin::overview::condition::Condition;
use crate::admin::overview::condition::Tone;
use crate::admin::overview::wording::Clock;
use crate::admin::overview::wording::count;
use crate::admin::overview::wording::names;
use crate::lifecycle::Stage;
use crate::locations::record::Observed;

/// Most locations that a sentence names.
const NAMED: usize = 3;

/// A location, as far as it is told of here.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub name: &'a str,
    pub observed: (Observed, Timestamp),
    pub conditions: &'a [Condition],
}

/// The sentence, and how it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    pub tone: &'static str,
    pub text: String,
    /// What else is to be known, a sentence each.
    pub more: Vec<String>,
}

/// The first thing that somebody has to look at, or that all is well.
pub fn headline(all: &[Subject<'_>], stage: Stage, clock: &Clock) -> Headline {
    let mut told = of_the_gateway(stage);
    told.extend(of_locations(all, stage, clock));
    let answer = answering(all);
    let urgent = |(tone, _): &(Tone, String)| matches!(tone, Tone::Bad | Tone::Doubtful);
    let bad = told.iter().position(|(tone, _)| *tone == Tone::Bad);
    let Some(first) = bad.or_else(|| told.iter().position(urgent)) else {
        return Headline {
            tone: Tone::Good.word(),
            text: answer,
            more: told.into_iter().map(|(_, text)| text).collect(),
        };
    };
    let (tone, text) = told.remove(first);
    let others = told.into_iter().map(|(_, text)| text);
    Headline {
        tone: tone.word(),
        text,
        more: std::iter::once(answer).chain(others).collect(),
    }
}

fn answering(all: &[Subject<'_>]) -> String {
    let answering = having(all, Condition::Up).len();
    match all.len() {
        1 if answering == 1 => "The location answers".to_owned(),
        number if answering == number => format!("All {} locations answer", count(number as u64)),
        number => format!(
            "{} of {} locations answer",
            count(answering as u64),
            count(number as u64)
        ),
    }
}

fn of_the_gateway(stage: Stage) -> Vec<(Tone, String)> {
    let text = match stage {
        Stage::Serving => return Vec::new(),
        Stage::Starting => "The gateway is starting: the locations have not been asked yet",
        Stage::Leaving | Stage::Draining => "The gateway is draining: it is about to end",
        Stage::Replaced => "Another process has taken over",
    };
    vec![(Tone::Doubtful, text.to_owned())]
}

/// In the order of their urgency.
fn of_locations(all: &[Subject<'_>], stage: Stage, clock: &Clock) -> Vec<(Tone, String)> {
    Condition::ALL
        .into_iter()
        .filter_map(|condition| {
            let some = having(all, condition);
            let named: Vec<_> = some.iter().map(|one| one.name).collect();
            let named = names(&named, NAMED);
            let are = if some.len() == 1 { "is" } else { "are" };
            let text = match (condition, &some[..]) {
                (_, []) | (Condition::Up | Condition::ReadOnly | Condition::Draining, _) => {
                    return None;
                }
                (Condition::Unknown, _) if stage == Stage::Starting => return None,
                (Condition::Down, [one]) => down(one, clock),
                (Condition::Down, some) => format!(
                    "{} of {} locations are down: {named}",
                    count(some.len() as u64),
                    count(all.len() as u64)
                ),
                (Condition::Quarantine, _) => format!(
                    "{named} {are} in quarantine, with API versions that the others do not have"
                ),
                (Condition::Over, _) => format!("A certificate of {named} is over"),
                (Condition::Slow, _) => format!("{named} {are} slow"),
                (Condition::Ends, _) => format!("A certificate of {named} ends soon"),
                (Condition::Maintenance, _) => format!("{named} {are} in maintenance"),
                (Condition::Unknown, _) => format!("{named} {are} still to be asked"),
            };
            Some((condition.tone(), text))
        })
        .collect()
}

fn having<'a, 'b>(all: &'b [Subject<'a>], condition: Condition) -> Vec<&'b Subject<'a>> {
    all.iter()
        .filter(|one| one.conditions.contains(&condition))
        .collect()
}

/// `loc3 is down since 14:02: timeout`
fn down(one: &Subject<'_>, clock: &Clock) -> String {
    let (observed, since) = one.observed;
    let why = match observed {
        Observed::Down(reason) => format!(": {reason}"),
        Observed::Up | Observed::Unknown => String::new(),
    };
    format!(
        "{} is down since {}{why}",
        one.name,
        clock.moment(since).short
    )
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::locations::silence::Reason;

    #[test]
    fn what_comes_first() {
        use Condition::*;
        let clock = Clock {
            now: "2026-11-26T14:05:00Z".parse().unwrap(),
            zone: TimeZone::UTC,
        };
        let since = "2026-11-26T14:02:00Z".parse().unwrap();
        let well: &[Condition] = &[Up];
        for (conditions, stage, tone, text, more) in [
            (
                vec![well],
                Stage::Serving,
                "good",
                "The location answers",
                vec![],
            ),
            (
                vec![well; 3],
                Stage::Serving,
                "good",
                "All 3 locations answer",
                vec![],
            ),
            (
                vec![well, &[Down], well],
                Stage::Serving,
                "bad",
                "loc2 is down since 14:02: timeout",
                vec!["2 of 3 locations answer"],
            ),
            (
                vec![&[Down], &[Down, Over], &[Down], &[Down], &[Slow, Up]],
                Stage::Serving,
                "bad",
                "4 of 5 locations are down: loc1, loc2, loc3 and 1 more",
                vec![
                    "1 of 5 locations answer",
                    "A certificate of loc2 is over",
                    "loc5 is slow",
                ],
            ),
            (
                vec![well, &[Maintenance], &[ReadOnly, Up], &[Draining, Up]],
                Stage::Serving,
                "good",
                "3 of 4 locations answer",
                vec!["loc2 is in maintenance"],
            ),
            (
                vec![&[Slow, Ends, Up], &[Quarantine]],
                Stage::Serving,
                "bad",
                "loc2 is in quarantine, with API versions that the others do not have",
                vec![
                    "1 of 2 locations answer",
                    "loc1 is slow",
                    "A certificate of loc1 ends soon",
                ],
            ),
            (
                vec![&[Unknown], &[Unknown]],
                Stage::Starting,
                "doubtful",
                "The gateway is starting: the locations have not been asked yet",
                vec!["0 of 2 locations answer"],
            ),
            (
                vec![well, &[Down]],
                Stage::Draining,
                "bad",
                "loc2 is down since 14:02: timeout",
                vec![
                    "1 of 2 locations answer",
                    "The gateway is draining: it is about to end",
                ],
            ),
        ] {
            let names: Vec<String> = (1..=conditions.len())
                .map(|number| format!("loc{number}"))
                .collect();
            let all: Vec<_> = conditions
                .iter()
                .zip(&names)
                .map(|(conditions, name)| Subject {
                    name,
                    observed: (Observed::Down(Reason::Timeout), since),
                    conditions,
                })
                .collect();
            let told = headline(&all, stage, &clock);
            assert_eq!((told.tone, &*told.text), (tone, text));
            let mut others = told.more;
            others.sort_unstable();
            let mut more = more;
            more.sort_unstable();
            assert_eq!(others, more, "{text}");
        }
    }
}
