//! What is counted, for whoever watches the gateway. Each counter is a plain field that its own place bumps: nothing is
//! looked up by name, hashed or allocated while a request is served. `admin/exposition.rs` makes text of it; the names
//! are in docs/metrics.md.
//!
//! - [`counter`]: what counts;
//! - [`template`]: the routes that requests are counted by;
//! - [`requests`]: requests by route, method and status;
//! - [`denials`]: refusals by rule;
//! - [`history`]: the last hour, and what changed last;
//! - [`process`]: what the kernel knows of this process.

pub mod counter;
pub mod denials;
pub mod history;
pub mod process;
pub mod requests;
pub mod template;

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;

use jiff::Timestamp;

use crate::metrics::counter::Counter;
use crate::metrics::denials::Denials;
use crate::metrics::history::History;
use crate::metrics::requests::Requests;

/// What is counted once in a process. What is counted by location is at the location.
#[derive(Debug)]
pub struct Metrics {
    pub requests: Requests,
    pub denials: Denials,
    /// Requests above `[limits]`, by what was counted.
    pub limited: Denials,
    /// Writes whose uniqueness some location could not confirm.
    pub unverified: Counter,
    pub reloads: Reloads,
    pub history: History,
}

/// What became of the last reload.
#[derive(Debug)]
pub struct Reloads {
    successful: AtomicBool,
    /// Microseconds since 1970.
    succeeded_at: AtomicI64,
}

impl Metrics {
    /// The configuration of the start counts as the first one that was loaded.
    pub fn new() -> Self {
        Self {
            requests: Requests::new(),
            denials: Denials::default(),
            limited: Denials::default(),
            unverified: Counter::new(),
            reloads: Reloads {
                successful: AtomicBool::new(true),
                succeeded_at: AtomicI64::new(Timestamp::now().as_microsecond()),
            },
            history: History::default(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Reloads {
    pub fn ended(&self, successful: bool) {
        if successful {
            let now = Timestamp::now().as_microsecond();
            self.succeeded_at.store(now, Ordering::Relaxed);
        }
        self.successful.store(successful, Ordering::Relaxed);
    }

    pub fn was_successful(&self) -> bool {
        self.successful.load(Ordering::Relaxed)
    }

    pub fn last_success(&self) -> Timestamp {
        let at = self.succeeded_at.load(Ordering::Relaxed);
        Timestamp::from_microsecond(at).unwrap_or_default()
    }
}
