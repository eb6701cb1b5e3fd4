//! What became of the questions to one location, counted for as long as the process lives.

use std::time::Duration;

use crate::locations::silence::Reason;
use crate::locations::silence::Silence;
use crate::locations::speech::Said;
use crate::metrics::counter::Counter;
use crate::metrics::counter::Histogram;
use crate::metrics::history::Pace;

/// One location's share of the questions.
#[derive(Debug, Default)]
pub struct Traffic {
    outcomes: [Counter; Outcome::ALL.len()],
    /// From the question to the last byte of the answer, or until it was given up.
    pub took: Histogram,
    /// Lists that were given out without this location's part.
    pub missing: Counter,
    /// What nine of ten answers stayed below, minute by minute.
    pub pace: Pace,
}

/// What became of one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has it, or did it.
    Has,
    /// It says that it does not have it.
    No,
    /// It refuses the question, in Ironic's words: the client's business.
    Rejected,
    /// It fails, in Ironic's words: a node's conductor, a driver.
    Failed,
    /// It could not be asked.
    Silent(Reason),
}

impl Outcome {
    pub const ALL: [Self; 18] = [
        Self::Has,
        Self::No,
        Self::Rejected,
        Self::Failed,
        Self::Silent(Reason::Connect),
        Self::Silent(Reason::Timeout),
        Self::Silent(Reason::Status),
        Self::Silent(Reason::Body),
        Self::Silent(Reason::Breaker),
        Self::Silent(Reason::Quarantine),
        Self::Silent(Reason::Refused),
        Self::Silent(Reason::Scope),
        Self::Silent(Reason::Busy),
        Self::Silent(Reason::Versions),
        Self::Silent(Reason::Maintenance),
        Self::Silent(Reason::ReadOnly),
        Self::Silent(Reason::Draining),
        Self::Silent(Reason::Gateway),
    ];

    pub fn of(said: &Result<Said, Silence>) -> Self {
        match said {
            Ok(Said::Has(_)) => Self::Has,
            Ok(Said::No(_)) => Self::No,
            Ok(Said::Refuses(_)) => Self::Rejected,
            Ok(Said::Fails(_)) => Self::Failed,
            Err(silence) => Self::Silent(silence.reason),
        }
    }

    /// Why there was no answer, if there was none.
    pub fn silence(self) -> Option<Reason> {
        match self {
            Self::Silent(reason) => Some(reason),
            Self::Has | Self::No | Self::Rejected | Self::Failed => None,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Has => "ok",
            Self::No => "no",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Silent(reason) => reason.word(),
        }
    }

    /// Its place among all.
    fn number(self) -> usize {
        match self {
            Self::Has => 0,
            Self::No => 1,
            Self::Rejected => 2,
            Self::Failed => 3,
            // Reasons are numbered in the order of their declaration, as above.
            Self::Silent(reason) => 4 + reason as usize,
        }
    }
}

impl Traffic {
    /// A question was put, and this became of it.
    pub fn asked(&self, outcome: Outcome, took: Duration) {
        self.not_asked(outcome);
        self.took.observe(took);
    }

    /// A question was not put, so it took no time.
    pub fn not_asked(&self, outcome: Outcome) {
        self.outcomes[outcome.number()].bump();
    }

    /// How often each thing became of a question; what never did is left out, but for the first: 5000 locations have
    /// few outcomes each.
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Outcome::ALL
            .into_iter()
            .zip(&self.outcomes)
            .map(|(outcome, counter)| (outcome, counter.count()))
            .filter(|(outcome, count)| *count > 0 || *outcome == Outcome::Has)
            .map(|(outcome, count)| (outcome.word(), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_own_place() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.number(), place, "{outcome:?}");
            let traffic = Traffic::default();
            traffic.asked(outcome, Duration::from_secs(1));
            let counted: Vec<_> = traffic.outcomes().filter(|(_, count)| *count > 0).collect();
            assert_eq!(counted, [(outcome.word(), 1)]);
        }
    }
}
