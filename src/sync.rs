//! Brings into step what should be: the directory with the locations ([`sweep`]), and the locations with each other.
//! Objects that should be the same everywhere and differ are shown; those that are missing can be copied. Copies that
//! differ are shown and left alone, since only people know which one is right.

pub mod board;
pub mod compare;
pub mod progress;
pub mod report;
pub mod sites;
pub mod sweep;

use std::collections::BTreeMap;

use crate::api::collection::Collection;
use crate::api::collection::Spread;
use crate::config::LocationId;
use crate::sync::compare::Comparison;
use crate::sync::compare::Drift;
use crate::sync::compare::Title;
use crate::sync::compare::compare;
use crate::sync::progress::Progress;
use crate::sync::report::Finding;
use crate::sync::report::Kind;
use crate::sync::report::Outcome;
use crate::sync::report::Report;
use crate::sync::sites::Sites;
use crate::sync::sites::Trouble;
use crate::sync::sites::Unanswered;
use crate::sync::sites::Way;
use crate::sync::sites::words;

/// What to do about missing objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Show,
    Apply,
}

/// Compares all locations. Nothing is copied unless every one was read.
pub async fn run(sites: Sites, mode: Mode, progress: Progress) {
    let mut run = Run {
        sites,
        mode,
        progress,
        closed: BTreeMap::new(),
    };
    let end = run.everything().await;
    let summary = run.summary(end);
    run.progress.end(end == End::Interrupted, summary);
}

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    /// A location did not answer.
    Unanswered,
    Interrupted,
}

/// A run under way.
struct Run {
    sites: Sites,
    mode: Mode,
    progress: Progress,
    /// Locations that failed: nothing more is copied there, nor from there.
    closed: BTreeMap<LocationId, Trouble>,
}

impl Run {
    async fn everything(&mut self) -> End {
        self.progress.doing("asking the locations who they are");
        let unanswered = tokio::select! {
            unanswered = self.sites.meet() => unanswered,
            () = self.progress.stopped() => return End::Interrupted,
        };
        if !unanswered.is_empty() {
            return self.silent(&unanswered);
        }
        let mut comparisons = Vec::new();
        for collection in Collection::ALL {
            if collection.facts().spread != Spread::Replicated {
                continue;
            }
            self.progress
                .doing(format!("reading {}", collection.facts().path));
            let read = tokio::select! {
                read = self.sites.read(collection) => read,
                () = self.progress.stopped() => return End::Interrupted,
            };
            match read {
                Ok(shelves) => comparisons.push((collection, compare(collection, &shelves))),
                Err(unanswered) => return self.silent(&unanswered),
            }
        }
        for (collection, comparison) in &comparisons {
            self.not_compared(*collection, comparison);
        }
        let all: Vec<_> = comparisons
            .into_iter()
            .flat_map(|(_, comparison)| comparison.drift)
            .collect();
        let total = all.len();
        for (done, (title, drift)) in all.into_iter().enumerate() {
            if self.progress.is_stopped() {
                self.progress.leave(total - done);
                return End::Interrupted;
            }
            if self.mode == Mode::Apply {
                self.progress.doing(format!("{done} of {total}: {title}"));
            }
            self.settle(&title, drift).await;
        }
        let silent =
            |trouble: &Trouble| matches!(trouble, Trouble::Silent { .. } | Trouble::Unread(_));
        if self.progress.is_stopped() {
            End::Interrupted
        } else if self.closed.values().any(silent) {
            End::Unanswered
        } else {
            End::Whole
        }
    }

    fn silent(&self, unanswered: &[Unanswered]) -> End {
        for Unanswered { location, reason } in unanswered {
            let name = self.sites.name(*location).to_owned();
            self.progress.unanswered(&name, words(*reason));
        }
        End::Unanswered
    }

    /// Notes once what an old location does not know, instead of once per object.
    fn not_compared(&self, collection: Collection, comparison: &Comparison) {
        let path = collection.facts().path;
        let since = collection.since();
        let old: Vec<_> = self
            .sites
            .locations
            .iter()
            .map(|location| location.id)
            .filter(|id| self.sites.newest(*id) < since)
            .collect();
        if !old.is_empty() && old.len() < self.sites.locations.iter().len() {
            let names = self.sites.names(&old);
            self.progress.note(format!(
                "{path} came with version {since}: not compared with {names}"
            ));
        }
        for (id, attributes) in &comparison.too_old {
            let name = self.sites.name(*id);
            let newest = self.sites.newest(*id);
            let attributes: Vec<_> = attributes.iter().map(String::as_str).collect();
            let attributes = attributes.join(", ");
            self.progress.note(format!(
                "{path}: {attributes} not compared with {name}, whose newest version {newest} does not know it"
            ));
        }
    }

    async fn settle(&mut self, title: &Title, drift: Drift) {
        match drift {
            Drift::Missing { from, at } => {
                let way = Way { from, to: at };
                let shown = format!("{title} is missing at {}", self.sites.name(at));
                self.copy(title, Kind::Missing, shown, way).await;
            }
            Drift::Unfinished {
                from: Some(from),
                at,
            } => {
                let name = self.sites.name(at);
                let shown = format!("{title} is only half copied at {name}");
                let way = Way { from, to: at };
                self.copy(title, Kind::Unfinished, shown, way).await;
            }
            Drift::Unfinished { from: None, at } => {
                let name = self.sites.name(at);
                let text = format!(
                    "{title} is only half copied at {name}, and cannot be copied from anywhere: complete or delete it there"
                );
                self.left(title, Kind::Unfinished, &[at], text);
            }
            Drift::Differs { attributes, absent } => {
                let mut text = format!(
                    "{title} differs between locations: {}",
                    attributes.join(", ")
                );
                if !absent.is_empty() {
                    let names = self.sites.names(&absent);
                    text = format!(
                        "{text}; it is missing at {names}, and is not copied until the copies agree"
                    );
                }
                self.left(title, Kind::Differs, &absent, text);
            }
            Drift::Conflict { name, holders } => {
                let holders_said: Vec<_> = holders
                    .iter()
                    .map(|(uuid, at)| format!("{uuid} at {}", self.sites.names(at)))
                    .collect();
                let noun = title.collection.facts().noun;
                let text = format!(
                    "{noun} {name} is there under {} UUIDs: {}; keep one and delete the others, then it is copied",
                    holders.len(),
                    holders_said.join("; ")
                );
                let at: Vec<_> = holders.into_iter().flat_map(|(_, at)| at).collect();
                self.left(title, Kind::Conflict, &at, text);
            }
            Drift::Sensitive { absent } => {
                let names = self.sites.names(&absent);
                let text = format!(
                    "{title} is missing at {names} and cannot be copied: it is sensitive or holds secrets, which Ironic does not show; create it there by hand"
                );
                self.left(title, Kind::Sensitive, &absent, text);
            }
        }
    }

    /// Copies an object that is missing or incomplete, with `--apply`.
    async fn copy(&mut self, title: &Title, kind: Kind, shown: String, way: Way) {
        let at = &[way.to];
        if self.mode == Mode::Show {
            return self.left(title, kind, at, shown);
        }
        if self.closed.contains_key(&way.to) || self.closed.contains_key(&way.from) {
            self.progress.leave(1);
            return;
        }
        let held = tokio::select! {
            held = self.sites.hold(title.collection) => held,
            () = self.progress.stopped() => return self.progress.leave(1),
        };
        // Not raced against the signal: an interrupted copy would be incomplete. A second signal ends the process at
        // once.
        let copied = match held {
            Ok(hold) => {
                let settled = self.sites.settle(&hold, title, way).await;
                hold.release().await;
                settled
            }
            Err(trouble) => Err(trouble),
        };
        let name = self.sites.name(way.to).to_owned();
        let Err(trouble) = copied else {
            let text = format!("{title} copied to {name}");
            self.progress.add(Finding {
                outcome: Outcome::Copied,
                ..self.finding(title, kind, at, text)
            });
            return;
        };
        let why = trouble.words();
        self.left(
            title,
            kind,
            at,
            format!("{title} not copied to {name}: {why}"),
        );
        match trouble {
            Trouble::Refused => {
                self.progress.note(format!(
                    "nothing more is copied to {name}: the user of [group:{name}] needs the role admin on the system (system_scope = all) to write there"
                ));
                self.closed.insert(way.to, trouble);
            }
            Trouble::Silent { reason, .. } => {
                self.progress.unanswered(&name, words(reason));
                self.closed.insert(way.to, trouble);
            }
            Trouble::Unread(reason) => {
                let name = self.sites.name(way.from).to_owned();
                self.progress.unanswered(&name, words(reason));
                self.closed.insert(way.from, trouble);
            }
            Trouble::Said(_)
            | Trouble::Gone
            | Trouble::Changed
            | Trouble::Contended
            | Trouble::Uncoordinated
            | Trouble::Half(_) => {}
        }
    }

    fn left(&self, title: &Title, kind: Kind, at: &[LocationId], text: String) {
        let finding = self.finding(title, kind, at, text);
        self.progress.add(finding);
    }

    fn finding(&self, title: &Title, kind: Kind, at: &[LocationId], text: String) -> Finding {
        let locations = at.iter().map(|id| self.sites.name(*id).to_owned());
        Finding {
            kind,
            collection: title.collection.facts().path.to_owned(),
            uuid: title.uuid.clone(),
            name: title.name.clone(),
            locations: locations.collect(),
            outcome: Outcome::Left,
            text,
        }
    }

    fn summary(&self, end: End) -> String {
        let Report { copied, left, .. } = self.progress.now();
        match (end, self.mode) {
            (End::Unanswered, _) if self.closed.is_empty() => {
                "nothing was changed: a location could not be asked".to_owned()
            }
            (End::Interrupted, Mode::Show) => "interrupted".to_owned(),
            (End::Interrupted, Mode::Apply) => {
                format!("interrupted: {copied} copied, {left} not")
            }
            (_, Mode::Apply) => format!("{copied} copied, {left} not"),
            (_, Mode::Show) if left == 0 => "all locations have the same".to_owned(),
            (_, Mode::Show) => {
                format!("{left} to settle; `ironic-proxy sync --apply` copies what is missing")
            }
        }
    }
}
