//! How far a run has come, for whoever waits for it, and the way to stop it.

use tokio::sync::watch;

use crate::sync::report::Finding;
use crate::sync::report::Outcome;
use crate::sync::report::Report;
use crate::sync::report::Silent;
use crate::sync::report::Swept;

/// Of one run; shared by all who know of it.
#[derive(Clone, Debug)]
pub struct Progress {
    report: watch::Sender<Report>,
    stop: watch::Sender<bool>,
}

impl Default for Progress {
    fn default() -> Self {
        let report = Report {
            doing: Some("beginning".to_owned()),
            ..Report::default()
        };
        Self {
            report: watch::Sender::new(report),
            stop: watch::Sender::new(false),
        }
    }
}

impl Progress {
    pub fn watch(&self) -> watch::Receiver<Report> {
        self.report.subscribe()
    }

    pub fn now(&self) -> Report {
        self.report.borrow().clone()
    }

    pub fn is_over(&self) -> bool {
        self.report.borrow().doing.is_none()
    }

    /// What is in hand is finished, and nothing more begun.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    pub async fn stopped(&self) {
        // `self` holds the sender.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    pub fn doing(&self, what: impl Into<String>) {
        let what = what.into();
        self.report.send_modify(|report| report.doing = Some(what));
    }

    pub fn swept(&self, swept: Vec<Swept>) {
        self.report.send_modify(|report| report.swept = swept);
    }

    pub(super) fn add(&self, finding: Finding) {
        self.report.send_modify(|report| {
            match finding.outcome {
                Outcome::Copied => report.copied += 1,
                Outcome::Left => report.left += 1,
            }
            report.findings.push(finding);
        });
    }

    /// Things that are left as they are and not told one by one.
    pub(super) fn leave(&self, count: usize) {
        self.report.send_modify(|report| report.left += count);
    }

    pub(super) fn note(&self, text: String) {
        self.report.send_modify(|report| report.notes.push(text));
    }

    pub(super) fn unanswered(&self, location: &str, reason: &str) {
        let silent = Silent {
            location: location.to_owned(),
            reason: reason.to_owned(),
        };
        self.report
            .send_modify(|report| report.unanswered.push(silent));
    }

    pub(super) fn end(&self, interrupted: bool, summary: String) {
        self.report.send_modify(|report| {
            report.interrupted = interrupted;
            report.summary = Some(summary);
            report.doing = None;
        });
    }
}
