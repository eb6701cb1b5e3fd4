//! In the background: reads files of certificates and keys again when they change, and logs when certificates expire.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use log::error;
use log::info;
use log::warn;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::auth::Authenticator;
use crate::current::Current;
use crate::current::Follow;
use crate::locations::Locations;
use crate::locations::location::Location;
use crate::tls::Certified;
use crate::tls::expiry;
use crate::tls::listener::Listener;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);
/// Between two attempts with files that could not be used: a certificate may only be too young.
const RETRY: Duration = Duration::from_mins(1);
/// Between two times that ends are told.
const TELL: Duration = Duration::from_hours(24);

/// Everybody who has certificates.
#[derive(Debug)]
pub struct CertificateWatch {
    pub listener: Option<Arc<Listener>>,
    pub follow: Follow,
}

#[async_trait]
impl BackgroundService for CertificateWatch {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut follow = self.follow.clone();
        let mut watched = self.watched(&follow.borrow_and_update(), Vec::new());
        let mut told = None;
        let mut servers = Servers::default();
        loop {
            servers.tell(&follow.borrow().federation.locations);
            if !watched.is_empty() && told.is_none_or(|told: Instant| told.elapsed() >= TELL) {
                tell(&watched.iter().collect::<Vec<_>>());
                told = Some(Instant::now());
            }
            tokio::select! {
                _ = shutdown.changed() => return,
                _ = follow.changed() => watched = self.watched(&follow.borrow_and_update(), watched),
                () = tokio::time::sleep(LOOK) => look(&mut watched),
            }
        }
    }
}

impl CertificateWatch {
    /// Everybody who has certificates now; what was seen of the files of those who had `before` still counts.
    fn watched(&self, current: &Current, before: Vec<Watched>) -> Vec<Watched> {
        let listener = self.listener.iter().cloned().map(Owner::Listener);
        let locations = current.federation.locations.iter();
        let locations = locations.map(|location| Owner::Location(location.clone()));
        let door = Owner::Door(Arc::clone(&current.authenticator));
        let mut before: Vec<_> = before.into_iter().map(Some).collect();
        listener
            .chain(locations)
            .chain([door])
            .filter(|owner| !owner.files().is_empty())
            .map(|owner| {
                let known = before.iter_mut().find(|known| {
                    known
                        .as_ref()
                        .is_some_and(|known| known.owner.is(&owner) && known.files == owner.files())
                });
                known
                    .and_then(Option::take)
                    .unwrap_or_else(|| Watched::new(owner))
            })
            .collect()
    }
}

/// What was said of the certificates that locations show.
#[derive(Default)]
struct Servers {
    told: BTreeMap<String, String>,
    looked: Option<Instant>,
}

impl Servers {
    /// Says of each that ends soon, once a day.
    fn tell(&mut self, locations: &Locations) {
        if self.looked.is_some_and(|looked| looked.elapsed() < RETRY) {
            return;
        }
        let mut now = BTreeMap::new();
        for location in locations.iter() {
            let Some(end) = location.certificate_end() else {
                continue;
            };
            // Nothing is seen before the first handshakes.
            self.looked = Some(Instant::now());
            if let Some(text) = expiry::soon(end) {
                now.insert(location.name().to_owned(), text);
            }
        }
        for (name, text) in &now {
            // The text counts the days.
            if self.told.get(name) != Some(text) {
                warn!("The certificate that location `{name}` shows {text}");
            }
        }
        self.told = now;
    }
}

/// What tells one state of a file from another; `None`: it is not there. A file that was replaced has another inode.
type State = Option<(u64, u64, i64, i64)>;

fn states(files: &[PathBuf]) -> Vec<State> {
    let state = |path| {
        fs::metadata(path)
            .ok()
            .map(|file| (file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
    };
    files.iter().map(state).collect()
}

/// Owners of one kind that share a file are told of together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Listener,
    Location,
    Door,
}

/// Whose files they are.
enum Owner {
    Listener(Arc<Listener>),
    Location(Location),
    Door(Arc<Authenticator>),
}

impl Owner {
    fn kind(&self) -> Kind {
        match self {
            Self::Listener(_) => Kind::Listener,
            Self::Location(_) => Kind::Location,
            Self::Door(_) => Kind::Door,
        }
    }

    /// Whether both are one, which has read its files once.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Listener(one), Self::Listener(other)) => Arc::ptr_eq(one, other),
            (Self::Location(one), Self::Location(other)) => one.is(other),
            (Self::Door(one), Self::Door(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Deref for Owner {
    type Target = dyn Certified;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Listener(listener) => &**listener,
            Self::Location(location) => location,
            Self::Door(authenticator) => &**authenticator,
        }
    }
}

struct Watched {
    kind: Kind,
    owner: Owner,
    files: Vec<PathBuf>,
    /// As they were when they were read last, well or not.
    read: Vec<State>,
    /// As they were at the last look.
    seen: Vec<State>,
    /// When they could not be used, and why.
    failed: Option<(Instant, String)>,
}

impl Watched {
    fn new(owner: Owner) -> Self {
        let files = owner.files();
        let read = states(&files);
        Self {
            kind: owner.kind(),
            owner,
            seen: read.clone(),
            read,
            files,
            failed: None,
        }
    }

    /// What is new: that the files were read again, or why not.
    fn look(&mut self) -> Option<Result<(), String>> {
        let now = states(&self.files);
        // A certificate and its key are two files: they are read once both have come to rest.
        let at_rest = now == self.seen;
        self.seen.clone_from(&now);
        // Nothing in the file changes when a certificate becomes valid.
        let again = self
            .failed
            .as_ref()
            .is_some_and(|(when, _)| when.elapsed() >= RETRY);
        if !at_rest || (now == self.read && !again) {
            return None;
        }
        self.read = now;
        let outcome = self.reload();
        let before = self.failed.take().map(|(_, why)| why);
        if let Err(why) = &outcome {
            self.failed = Some((Instant::now(), why.clone()));
            if before.as_ref() == Some(why) && again {
                return None;
            }
        }
        Some(outcome)
    }

    /// A pair that works is not given up for one that is over or not valid yet.
    fn reload(&self) -> Result<(), String> {
        let proofs = self.owner.proofs();
        for path in &self.files {
            expiry::is_current(path, proofs.contains(path))?;
        }
        self.owner.reload()
    }
}

/// What became of which files.
type News = (Kind, Vec<PathBuf>, Result<(), String>);

/// Reads what has changed. Many locations may share a file: what is the same for all of them is said once.
fn look(watched: &mut [Watched]) {
    let mut news: BTreeMap<News, Vec<&Watched>> = BTreeMap::new();
    for watched in watched.iter_mut() {
        if let Some(outcome) = watched.look() {
            let files = watched.files.clone();
            news.entry((watched.kind, files, outcome))
                .or_default()
                .push(watched);
        }
    }
    for ((_, _, outcome), owners) in &news {
        let titles = titles(owners);
        match outcome {
            Ok(()) => {
                info!("The certificates of {titles} were read again");
                tell(owners);
            }
            Err(error) => {
                error!("The new certificates of {titles} are not used, the old ones stay: {error}");
            }
        }
    }
}

/// When certificates end, once for each file and kind of owner.
fn tell(watched: &[&Watched]) {
    let mut owners: BTreeMap<(Kind, &PathBuf), Vec<&Watched>> = BTreeMap::new();
    for watched in watched {
        for path in &watched.files {
            let known = owners.entry((watched.kind, path)).or_default();
            // Certificate and key may be one file.
            if !known.iter().any(|other| std::ptr::eq(*other, *watched)) {
                known.push(watched);
            }
        }
    }
    for ((_, path), owners) in owners {
        expiry::tell(&titles(&owners), path);
    }
}

fn titles(owners: &[&Watched]) -> String {
    let first = owners
        .first()
        .map_or_else(String::new, |first| first.owner.title());
    match owners.len() {
        0 | 1 => first,
        more => format!("{first} and {} more", more - 1),
    }
}
