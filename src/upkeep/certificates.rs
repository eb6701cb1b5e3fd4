//! In the background: files of certificates and keys are read again when they change, and their ends are told.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use log::error;
use log::info;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::auth::Authenticator;
use crate::locations::Locations;
use crate::tls::Certified;
use crate::tls::expiry;
use crate::tls::listener::Listener;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);
/// Between two times that ends are told.
const TELL: Duration = Duration::from_hours(24);

/// Everybody who has certificates.
#[derive(Debug)]
pub struct CertificateWatch {
    pub listener: Option<Arc<Listener>>,
    pub locations: Arc<Locations>,
    pub authenticator: Arc<Authenticator>,
}

#[async_trait]
impl BackgroundService for CertificateWatch {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let listener = self
            .listener
            .iter()
            .map(|listener| &**listener as &dyn Certified);
        let locations = self
            .locations
            .iter()
            .map(|location| location as &dyn Certified);
        let mut watched: Vec<_> = listener
            .chain(locations)
            .chain([&*self.authenticator as &dyn Certified])
            .map(Watched::new)
            .filter(|watched| !watched.files.is_empty())
            .collect();
        if watched.is_empty() {
            return;
        }
        let mut told = None;
        loop {
            if told.is_none_or(|told: Instant| told.elapsed() >= TELL) {
                watched.iter().for_each(Watched::tell);
                told = Some(Instant::now());
            }
            tokio::select! {
                _ = shutdown.changed() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            watched.iter_mut().for_each(Watched::look);
        }
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

struct Watched<'a> {
    owner: &'a dyn Certified,
    files: Vec<PathBuf>,
    /// As they were when they were read last, well or not.
    read: Vec<State>,
    /// As they were at the last look.
    seen: Vec<State>,
}

impl<'a> Watched<'a> {
    fn new(owner: &'a dyn Certified) -> Self {
        let files = owner.files();
        let read = states(&files);
        Self {
            owner,
            seen: read.clone(),
            read,
            files,
        }
    }

    fn look(&mut self) {
        let now = states(&self.files);
        // A certificate and its key are two files: they are read once both have come to rest.
        let at_rest = now == self.seen;
        self.seen.clone_from(&now);
        if !at_rest || now == self.read {
            return;
        }
        self.read = now;
        match self.owner.reload() {
            Ok(()) => {
                info!("The certificates of {} were read again", self.owner.title());
                self.tell();
            }
            Err(error) => {
                error!(
                    "The new certificates of {} are not used, the old ones stay: {error}",
                    self.owner.title()
                );
            }
        }
    }

    fn tell(&self) {
        let title = self.owner.title();
        let mut told: Vec<&PathBuf> = Vec::new();
        for path in &self.files {
            // Certificate and key may be one file.
            if !told.contains(&path) {
                told.push(path);
                expiry::tell(&title, path);
            }
        }
    }
}
