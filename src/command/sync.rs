//! `ironic-proxy sync`: shows objects that should be the same at every location and differ; `--apply` copies missing
//! ones. Copies that differ are shown and left alone, since only people know which one is right.

pub(in crate::command) mod compare;
mod report;
pub(in crate::command) mod sites;

use std::collections::BTreeMap;
use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use thiserror::Error;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use crate::api::collection::Collection;
use crate::api::collection::Spread;
use crate::command::sync::compare::Comparison;
use crate::command::sync::compare::Drift;
use crate::command::sync::compare::Title;
use crate::command::sync::compare::compare;
use crate::command::sync::report::Finding;
use crate::command::sync::report::Outcome;
use crate::command::sync::report::Report;
use crate::command::sync::sites::Sites;
use crate::command::sync::sites::Trouble;
use crate::command::sync::sites::Unanswered;
use crate::command::sync::sites::Way;
use crate::command::sync::sites::words;
use crate::command::terminal;
use crate::config::Config;
use crate::config::LocationId;
use crate::keystone;
use crate::locations::location::LocationError;

pub use crate::command::sync::report::Format;

/// What to do about missing objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Show,
    Apply,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything is the same everywhere, or is now.
    Same,
    /// Something differs.
    Drift,
    /// A location did not answer.
    Unanswered,
    /// Stopped by a signal.
    Interrupted,
}

impl End {
    /// `EX_UNAVAILABLE` of sysexits.h for a location that did not answer, a shell's own code for SIGINT.
    pub fn code(self) -> u8 {
        match self {
            Self::Same => 0,
            Self::Drift => 1,
            Self::Unanswered => 69,
            Self::Interrupted => INTERRUPTED,
        }
    }
}

const INTERRUPTED: u8 = 130;

/// Why there is no report.
#[derive(Debug, Error)]
pub enum SyncError {
    #[error("{0}")]
    Location(#[from] LocationError),
    #[error("{0}")]
    Output(#[from] io::Error),
}

/// Runs the subcommand and prints what it finds. Nothing is copied unless every location was read.
pub async fn run(config: &Config, mode: Mode, format: Format) -> Result<End, SyncError> {
    keystone::client::install_crypto_provider();
    let mut run = Run {
        sites: Sites::new(config)?,
        mode,
        report: Report::new(format),
        closed: BTreeMap::new(),
        stop: Stop::listen()?,
    };
    let end = run.everything().await?;
    terminal::clear();
    run.report.interrupted = end == End::Interrupted;
    run.report.end(&run.summary(end))?;
    Ok(end)
}

/// A run under way.
struct Run {
    sites: Sites,
    mode: Mode,
    report: Report,
    /// Locations that failed and get no further writes.
    closed: BTreeMap<LocationId, Trouble>,
    stop: Stop,
}

impl Run {
    async fn everything(&mut self) -> Result<End, SyncError> {
        terminal::progress("asking the locations who they are");
        let unanswered = tokio::select! {
            unanswered = self.sites.meet() => unanswered,
            () = self.stop.asked() => return Ok(End::Interrupted),
        };
        if !unanswered.is_empty() {
            return Ok(self.silent(&unanswered));
        }
        let mut comparisons = Vec::new();
        for collection in Collection::ALL {
            if collection.facts().spread != Spread::Replicated {
                continue;
            }
            terminal::progress(&format!("reading {}", collection.facts().path));
            let read = tokio::select! {
                read = self.sites.read(collection) => read,
                () = self.stop.asked() => return Ok(End::Interrupted),
            };
            match read {
                Ok(shelves) => comparisons.push((collection, compare(collection, &shelves))),
                Err(unanswered) => return Ok(self.silent(&unanswered)),
            }
        }
        for (collection, comparison) in &comparisons {
            self.not_compared(*collection, comparison)?;
        }
        let all: Vec<_> = comparisons
            .into_iter()
            .flat_map(|(_, comparison)| comparison.drift)
            .collect();
        let total = all.len();
        for (done, (title, drift)) in all.into_iter().enumerate() {
            if self.stop.is_asked() {
                self.report.left += total - done;
                return Ok(End::Interrupted);
            }
            if self.mode == Mode::Apply {
                terminal::progress(&format!("{done} of {total}: {title}"));
            }
            self.settle(&title, drift).await?;
        }
        let silent = |trouble: &Trouble| matches!(trouble, Trouble::Silent { .. });
        if self.stop.is_asked() {
            Ok(End::Interrupted)
        } else if self.closed.values().any(silent) {
            Ok(End::Unanswered)
        } else if self.report.left > 0 {
            Ok(End::Drift)
        } else {
            Ok(End::Same)
        }
    }

    fn silent(&mut self, unanswered: &[Unanswered]) -> End {
        for Unanswered { location, reason } in unanswered {
            let name = self.sites.name(*location).to_owned();
            self.report.unanswered(&name, words(*reason));
        }
        End::Unanswered
    }

    /// Notes once what an old location does not know, instead of once per object.
    fn not_compared(&mut self, collection: Collection, comparison: &Comparison) -> io::Result<()> {
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
            self.report.note(format!(
                "{path} came with version {since}: not compared with {names}"
            ))?;
        }
        for (id, attributes) in &comparison.too_old {
            let name = self.sites.name(*id);
            let newest = self.sites.newest(*id);
            let attributes: Vec<_> = attributes.iter().map(String::as_str).collect();
            let attributes = attributes.join(", ");
            self.report.note(format!(
                "{path}: {attributes} not compared with {name}, whose newest version {newest} does not know it"
            ))?;
        }
        Ok(())
    }

    async fn settle(&mut self, title: &Title, drift: Drift) -> Result<(), SyncError> {
        match drift {
            Drift::Missing { from, at } => {
                let way = Way { from, to: at };
                let shown = format!("{title} is missing at {}", self.sites.name(at));
                self.copy(title, "missing", shown, way).await
            }
            Drift::Unfinished {
                from: Some(from),
                at,
            } => {
                let name = self.sites.name(at);
                let shown = format!("{title} is only half copied at {name}");
                let way = Way { from, to: at };
                self.copy(title, "unfinished", shown, way).await
            }
            Drift::Unfinished { from: None, at } => {
                let name = self.sites.name(at);
                let text = format!(
                    "{title} is only half copied at {name}, and no longer anywhere else: complete or delete it there"
                );
                self.left(title, "unfinished", &[at], text)
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
                self.left(title, "differs", &absent, text)
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
                self.left(title, "conflict", &at, text)
            }
            Drift::Sensitive { absent } => {
                let names = self.sites.names(&absent);
                let text = format!(
                    "{title} is missing at {names} and cannot be copied: it is sensitive, so Ironic does not show what it does; create it there by hand"
                );
                self.left(title, "sensitive", &absent, text)
            }
        }
    }

    /// Copies an object that is missing or incomplete, with `--apply`.
    async fn copy(
        &mut self,
        title: &Title,
        kind: &'static str,
        shown: String,
        way: Way,
    ) -> Result<(), SyncError> {
        let at = &[way.to];
        if self.mode == Mode::Show {
            return self.left(title, kind, at, shown);
        }
        if self.closed.contains_key(&way.to) {
            self.report.left += 1;
            return Ok(());
        }
        // Not raced against the signal: an interrupted copy would be incomplete. A second signal ends the process at
        // once.
        let copied = if kind == "missing" {
            self.sites.copy(title.collection, &title.uuid, way).await
        } else {
            self.sites.finish(title.collection, &title.uuid, way).await
        };
        let name = self.sites.name(way.to).to_owned();
        let Err(trouble) = copied else {
            let text = format!("{title} copied to {name}");
            return Ok(self.report.add(Finding {
                outcome: Outcome::Copied,
                ..self.finding(title, kind, at, text)
            })?);
        };
        let why = trouble.words();
        self.left(
            title,
            kind,
            at,
            format!("{title} not copied to {name}: {why}"),
        )?;
        match trouble {
            Trouble::Refused => {
                self.report.note(format!(
                    "nothing more is copied to {name}: the user of [group:{name}] needs the role admin on the system (system_scope = all) to write there"
                ))?;
                self.closed.insert(way.to, trouble);
            }
            Trouble::Silent { reason, .. } => {
                self.report.unanswered(&name, words(reason));
                self.closed.insert(way.to, trouble);
            }
            Trouble::Said(_) | Trouble::Gone | Trouble::Half(_) => {}
        }
        Ok(())
    }

    fn left(
        &mut self,
        title: &Title,
        kind: &'static str,
        at: &[LocationId],
        text: String,
    ) -> Result<(), SyncError> {
        let finding = self.finding(title, kind, at, text);
        Ok(self.report.add(finding)?)
    }

    fn finding(
        &self,
        title: &Title,
        kind: &'static str,
        at: &[LocationId],
        text: String,
    ) -> Finding {
        let locations = at.iter().map(|id| self.sites.name(*id).to_owned());
        Finding {
            kind,
            collection: title.collection.facts().path,
            uuid: title.uuid.clone(),
            name: title.name.clone(),
            locations: locations.collect(),
            outcome: Outcome::Left,
            text,
        }
    }

    fn summary(&self, end: End) -> String {
        let Report { copied, left, .. } = self.report;
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

/// SIGINT and SIGTERM: the first one ends the run after the object in hand, a second one at once.
#[derive(Clone, Debug)]
struct Stop {
    asked: Arc<AtomicBool>,
    bell: Arc<tokio::sync::Notify>,
}

impl Stop {
    fn listen() -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let stop = Self {
            asked: Arc::default(),
            bell: Arc::default(),
        };
        let ours = stop.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                // The flag says nothing about other memory, so no ordering is needed.
                if ours.asked.swap(true, Ordering::Relaxed) {
                    terminal::tell(
                        "ironic-proxy: stopped at once; the object being copied may be incomplete, and the next run \
                         will tell",
                    );
                    process::exit(i32::from(INTERRUPTED));
                }
                terminal::tell("ironic-proxy: stopping after the object that is being copied");
                ours.bell.notify_one();
            }
        });
        Ok(stop)
    }

    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    async fn asked(&self) {
        self.bell.notified().await;
    }
}
