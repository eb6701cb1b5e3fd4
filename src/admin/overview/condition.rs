//! How a location is, at a glance.

use std::time::Duration;

use jiff::Timestamp;

use crate::config::State;
use crate::locations::record::Observed;
use crate::locations::silence::Reason;

/// An end that is nearer than this many days is told; the alert of conf/prometheus has the same.
const SOON: i64 = 14;

/// Something that is true of a location, the more urgent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    Down,
    Quarantine,
    /// Its certificate, or one of its authorities, is over.
    Over,
    Slow,
    /// The same, soon.
    Ends,
    Maintenance,
    ReadOnly,
    Draining,
    Unknown,
    Up,
}

/// How something is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Wanted,
    Doubtful,
    Bad,
}

impl Tone {
    /// Its class in the style sheet.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Wanted => "wanted",
            Self::Doubtful => "doubtful",
            Self::Bad => "bad",
        }
    }
}

impl Condition {
    pub const ALL: [Self; 10] = [
        Self::Down,
        Self::Quarantine,
        Self::Over,
        Self::Slow,
        Self::Ends,
        Self::Maintenance,
        Self::ReadOnly,
        Self::Draining,
        Self::Unknown,
        Self::Up,
    ];

    /// As the query says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Quarantine => "quarantine",
            Self::Over => "certificate-over",
            Self::Slow => "slow",
            Self::Ends => "certificate-ends",
            Self::Maintenance => "maintenance",
            Self::ReadOnly => "read-only",
            Self::Draining => "draining",
            Self::Unknown => "unknown",
            Self::Up => "up",
        }
    }

    pub fn read(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|condition| condition.word() == word)
    }

    /// As people read it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Down => "Down",
            Self::Quarantine => "Quarantine",
            Self::Over => "Certificate over",
            Self::Slow => "Slow",
            Self::Ends => "Certificate ends",
            Self::Maintenance => "Maintenance",
            Self::ReadOnly => "Read-only",
            Self::Draining => "Draining",
            Self::Unknown => "Not asked yet",
            Self::Up => "Up",
        }
    }

    pub fn tone(self) -> Tone {
        match self {
            Self::Down | Self::Quarantine | Self::Over => Tone::Bad,
            Self::Slow | Self::Ends => Tone::Doubtful,
            Self::Maintenance | Self::ReadOnly | Self::Draining | Self::Unknown => Tone::Wanted,
            Self::Up => Tone::Good,
        }
    }
}

/// What a location is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    pub wanted: State,
    pub observed: Observed,
    /// What nine of ten answers of the last minute stayed below.
    pub p90: Option<Duration>,
    /// When the first of its certificates and authorities ends.
    pub end: Option<Timestamp>,
}

/// What the signs are measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    pub now: Timestamp,
    /// `[api] slow_request`
    pub slow: Option<Duration>,
}

impl Measure {
    /// Everything that is true of it, the most urgent first; never nothing.
    pub fn judge(&self, signs: &Signs) -> Vec<Condition> {
        let mut found = Vec::new();
        // Whoever works on it knows that it does not answer.
        let is_asked = signs.wanted != State::Maintenance;
        match signs.observed {
            Observed::Down(Reason::Quarantine) if is_asked => found.push(Condition::Quarantine),
            Observed::Down(_) if is_asked => found.push(Condition::Down),
            Observed::Unknown if is_asked => found.push(Condition::Unknown),
            Observed::Unknown | Observed::Down(_) => {}
            Observed::Up => {
                if is_asked
                    && signs
                        .p90
                        .zip(self.slow)
                        .is_some_and(|(took, slow)| took >= slow)
                {
                    found.push(Condition::Slow);
                }
                if is_asked {
                    found.push(Condition::Up);
                }
            }
        }
        found.extend(match signs.wanted {
            State::Enabled => None,
            State::Draining => Some(Condition::Draining),
            State::ReadOnly => Some(Condition::ReadOnly),
            State::Maintenance => Some(Condition::Maintenance),
        });
        found.extend(signs.end.and_then(|end| ending(self.now, end)));
        found.sort_unstable();
        found
    }
}

/// What is to be said of an end, if anything.
pub fn ending(now: Timestamp, end: Timestamp) -> Option<Condition> {
    let left = end.as_second() - now.as_second();
    if left <= 0 {
        Some(Condition::Over)
    } else {
        (left < SOON * 86_400).then_some(Condition::Ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_location_is() {
        use Condition::*;
        let measure = Measure {
            now: Timestamp::UNIX_EPOCH,
            slow: Some(Duration::from_secs(1)),
        };
        let timeout = Observed::Down(Reason::Timeout);
        let quarantine = Observed::Down(Reason::Quarantine);
        let days = |days: i64| Some(Timestamp::from_second(days * 86_400).unwrap());
        let millis = |millis| Some(Duration::from_millis(millis));
        let up = Observed::Up;
        for (wanted, observed, p90, end, expected) in [
            (State::Enabled, up, None, None, vec![Up]),
            (State::Enabled, up, millis(999), days(14), vec![Up]),
            (State::Enabled, up, millis(1000), None, vec![Slow, Up]),
            (
                State::Enabled,
                up,
                millis(1000),
                days(13),
                vec![Slow, Ends, Up],
            ),
            (State::Enabled, up, None, days(0), vec![Over, Up]),
            (State::Enabled, timeout, millis(1000), None, vec![Down]),
            (State::Enabled, timeout, None, days(-1), vec![Down, Over]),
            (State::Enabled, quarantine, None, None, vec![Quarantine]),
            (State::Enabled, Observed::Unknown, None, None, vec![Unknown]),
            (State::Maintenance, timeout, None, None, vec![Maintenance]),
            (
                State::Maintenance,
                up,
                millis(1000),
                days(2),
                vec![Ends, Maintenance],
            ),
            (
                State::ReadOnly,
                up,
                millis(2000),
                None,
                vec![Slow, ReadOnly, Up],
            ),
            (State::Draining, timeout, None, None, vec![Down, Draining]),
        ] {
            let signs = Signs {
                wanted,
                observed,
                p90,
                end,
            };
            assert_eq!(measure.judge(&signs), expected, "{signs:?}");
        }
        let never = Measure {
            slow: None,
            ..measure
        };
        let signs = Signs {
            wanted: State::Enabled,
            observed: up,
            p90: millis(60_000),
            end: None,
        };
        assert_eq!(never.judge(&signs), [Up], "slow_request is off");
    }

    #[test]
    fn each_condition_has_its_word() {
        for condition in Condition::ALL {
            assert_eq!(Condition::read(condition.word()), Some(condition));
        }
        assert!(Condition::ALL.is_sorted());
        assert_eq!(Condition::read("Down"), None);
    }
}
