//! Which locations were asked for one request, and what each took: for the log.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use crate::config::LocationId;
use crate::locations::silence::Reason;

/// Shared by all who ask for the same request.
#[derive(Clone, Debug, Default)]
pub struct Trail(Arc<Mutex<Vec<Step>>>);

/// All questions to one location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    location: LocationId,
    /// Of all of them together.
    took: Duration,
    /// Why one of them was not answered.
    reason: Option<Reason>,
}

/// So many are told one by one: a list of 5000 locations is one line, too.
const TOLD: usize = 16;

impl Trail {
    pub fn note(&self, location: LocationId, took: Duration, reason: Option<Reason>) {
        let mut steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match steps.iter_mut().find(|step| step.location == location) {
            Some(step) => {
                step.took += took;
                step.reason = reason.or(step.reason);
            }
            None => steps.push(Step {
                location,
                took,
                reason,
            }),
        }
    }

    /// The same with names.
    pub fn told<'a>(&self, name: impl Fn(LocationId) -> &'a str) -> Told<'a> {
        let steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let named = steps.iter().map(|step| (name(step.location), *step));
        Told(named.collect())
    }
}

/// `loc1:0.012,loc3:timeout:5.000`; `-` if none was asked. Of many the slowest, and how many more there were: `+4984`.
#[derive(Debug)]
pub struct Told<'a>(Vec<(&'a str, Step)>);

impl Told<'_> {
    /// The one that took the longest.
    pub fn slowest(&self) -> Option<&str> {
        let slowest = self.0.iter().max_by_key(|(_, step)| step.took)?;
        Some(slowest.0)
    }
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        let more = self.0.len().saturating_sub(TOLD);
        let mut slowest;
        let steps = if more == 0 {
            &self.0[..]
        } else {
            slowest = self.0.clone();
            slowest.sort_by_key(|(_, step)| std::cmp::Reverse(step.took));
            &slowest[..TOLD]
        };
        for (place, (name, step)) in steps.iter().enumerate() {
            let separator = if place == 0 { "" } else { "," };
            write!(f, "{separator}{name}:")?;
            if let Some(reason) = step.reason {
                write!(f, "{reason}:")?;
            }
            write!(f, "{:.3}", step.took.as_secs_f64())?;
        }
        if more > 0 {
            write!(f, ",+{more}")?;
        }
        Ok(())
    }
}
