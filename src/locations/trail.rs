//! Which locations were asked for one request, and what each took: for the log, and for `[trace]`.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::SystemTime;

use http::HeaderValue;
use http::Method;
use http::StatusCode;
use smallvec::SmallVec;

use crate::api::trace::TraceContext;
use crate::api::trace::TraceParent;
use crate::config::LocationId;
use crate::locations::silence::Reason;

/// Shared by all who ask for the same request.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    steps: Arc<Mutex<SmallVec<[Step; 2]>>>,
    /// `None`: no span of it is recorded.
    traced: Option<Arc<Traced>>,
}

/// A request whose spans are recorded.
#[derive(Debug)]
struct Traced {
    server: TraceParent,
    state: Option<HeaderValue>,
    asked: Mutex<Vec<Asked>>,
}

/// A question that is being asked: the span that the location gets to know.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    span: TraceParent,
    began: SystemTime,
}

/// A question that was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub span: TraceParent,
    pub began: SystemTime,
    pub location: LocationId,
    pub took: Duration,
    pub method: Method,
    /// Without its query, which may name what is nobody else's business.
    pub path: String,
    pub outcome: Result<StatusCode, Reason>,
}

impl Asking {
    pub fn ended(
        self,
        location: LocationId,
        question: (&Method, &str),
        took: Duration,
        outcome: Result<StatusCode, Reason>,
    ) -> Asked {
        let (method, path) = question;
        Asked {
            span: self.span,
            began: self.began,
            location,
            took,
            method: method.clone(),
            path: path.split('?').next().unwrap_or_default().to_owned(),
            outcome,
        }
    }
}

/// All questions to one location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    location: LocationId,
    /// Of all of them together.
    took: Duration,
    /// Why one of them was not answered.
    reason: Option<Reason>,
}

impl Step {
    fn add(&mut self, took: Duration, reason: Option<Reason>) {
        self.took += took;
        // A retry that worked does not hide that there was a failure before.
        self.reason = reason.or(self.reason);
    }
}

/// All questions to a location as one step, where there are so many that a location may have several.
fn join(steps: &mut SmallVec<[Step; 2]>) {
    if steps.len() <= TOLD {
        return;
    }
    steps.sort_by_key(|step| step.location);
    steps.dedup_by(|later, step| {
        let same = later.location == step.location;
        if same {
            step.add(later.took, later.reason);
        }
        same
    });
}

/// So many are told one by one: a list of 5000 locations is one line, too.
const TOLD: usize = 16;
/// So many questions of one request are spans of their own.
const TRACED: usize = 1024;

impl Trail {
    /// Of a request whose span is `server`.
    pub fn traced(server: TraceParent, state: Option<HeaderValue>) -> Self {
        let asked = Mutex::default();
        let traced = Traced {
            server,
            state,
            asked,
        };
        Self {
            traced: Some(Arc::new(traced)),
            ..Self::default()
        }
    }

    /// A question begins; with what its location is to be told.
    pub fn begin(&self) -> Option<(Asking, Option<TraceContext>)> {
        let traced = self.traced.as_ref()?;
        let span = TraceParent {
            span: fastrand::u64(1..),
            ..traced.server
        };
        let asking = Asking {
            span,
            began: SystemTime::now(),
        };
        Some((asking, TraceContext::below(span, traced.state.clone())))
    }

    pub fn end(&self, asked: Asked) {
        if let Some(traced) = &self.traced {
            let mut all = traced.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() < TRACED {
                all.push(asked);
            }
        }
    }

    /// The request's own span, and the questions that were asked for it. `None`: they are not recorded.
    pub fn recorded(&self) -> Option<(TraceParent, Option<&HeaderValue>, Vec<Asked>)> {
        let traced = self.traced.as_ref()?;
        let mut all = traced.asked.lock().unwrap_or_else(PoisonError::into_inner);
        Some((traced.server, traced.state.as_ref(), mem::take(&mut all)))
    }

    pub fn note(&self, location: LocationId, took: Duration, reason: Option<Reason>) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody is looked for among thousands: `told` joins what stands further apart.
        let last = steps.iter_mut().rev().take(TOLD);
        if let Some(step) = last.into_iter().find(|step| step.location == location) {
            return step.add(took, reason);
        }
        // A walk of many pages does not hold a step for each.
        if steps.len() == steps.capacity() {
            join(&mut steps);
            let held = steps.len();
            steps.reserve(held);
        }
        steps.push(Step {
            location,
            took,
            reason,
        });
    }

    /// The same with names.
    pub fn told<'a>(&self, name: impl Fn(LocationId) -> &'a str) -> NamedTrail<'a> {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        join(&mut steps);
        let named = steps.iter().map(|step| (name(step.location), *step));
        NamedTrail(named.collect())
    }
}

/// `loc1:0.012,loc3:timeout:5.000`; `-` if none was asked. Of many the slowest, and how many more there were: `+4984`.
#[derive(Debug)]
pub struct NamedTrail<'a>(SmallVec<[(&'a str, Step); 2]>);

impl NamedTrail<'_> {
    /// The one that took the longest.
    pub fn slowest(&self) -> Option<&str> {
        let slowest = self.0.iter().max_by_key(|(_, step)| step.took)?;
        Some(slowest.0)
    }
}

impl fmt::Display for NamedTrail<'_> {
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
            // To the nearest millisecond; as a float it would take 1,000 instructions more.
            let millis = (step.took.as_micros() + 500) / 1000;
            write!(f, "{}.{:03}", millis / 1000, millis % 1000)?;
        }
        if more > 0 {
            write!(f, ",+{more}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_through_many_locations_is_told_of_by_location() {
        let trail = Trail::default();
        for page in 0..100_u64 {
            for id in 0..40 {
                let reason = (page == 0 && id == 39).then_some(Reason::Timeout);
                let took = Duration::from_millis(u64::from(id));
                trail.note(LocationId(id), took, reason);
            }
        }
        assert!(trail.steps.lock().unwrap().capacity() < 200, "bounded");
        let names: Vec<_> = (0..40).map(|id| format!("loc{id}")).collect();
        let told = trail.told(|id| &names[usize::from(id.0)]);
        assert_eq!(told.slowest(), Some("loc39"));
        let told = told.to_string();
        assert!(
            told.starts_with("loc39:timeout:3.900,loc38:3.800,"),
            "{told}"
        );
        assert!(told.ends_with("loc24:2.400,+24"), "{told}");
    }
}
