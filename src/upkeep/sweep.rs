//! In the background: asks every location for the identifiers of all that it has, so that the directory is filled
//! before anybody asks, and writes the state file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use log::debug;
use log::info;
use log::warn;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::api::collection::Collection;
use crate::api::page::Keep;
use crate::api::query::Query;
use crate::federate::Federation;
use crate::locate::state;
use crate::locations::location::Location;
use crate::locations::order::Act;
use crate::locations::question::Asker;
use crate::locations::question::Expect;
use crate::locations::question::Purpose;
use crate::locations::walk::List;
use crate::locations::walk::Walk;
use crate::wire::budget::Budget;
use crate::wire::transport::Transport;

/// When what is known is first written down; by then locations that answer have told their versions.
const FIRST_SAVE: Duration = Duration::from_secs(3);
/// What a whole sweep may take.
const PATIENCE: Duration = Duration::from_hours(1);
/// How often what is known is written down.
const SAVE_INTERVAL: Duration = Duration::from_mins(5);

/// Keeps the directory full and on disk.
#[derive(Debug)]
pub struct Sweep {
    pub federation: Arc<Federation>,
    /// Pause between two sweeps; `None`: there are none.
    pub interval: Option<Duration>,
    pub state_path: PathBuf,
    pub budget: Budget,
}

#[async_trait]
impl BackgroundService for Sweep {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let sweeps = async {
            let Some(interval) = self.interval else {
                return std::future::pending().await;
            };
            let transport = Arc::new(Transport::new(
                self.federation.locations.iter().len(),
                self.budget.clone(),
            ));
            loop {
                self.sweep(&Asker::gateway(&transport, PATIENCE)).await;
                self.save();
                // Gateways that were started together would otherwise sweep together for ever.
                tokio::time::sleep(interval.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
            }
        };
        let saves = async {
            tokio::time::sleep(FIRST_SAVE).await;
            loop {
                self.save();
                tokio::time::sleep(SAVE_INTERVAL).await;
            }
        };
        tokio::select! {
            _ = shutdown.changed() => {}
            () = sweeps => {}
            () = saves => {}
        }
    }
}

impl Sweep {
    /// Writes down what is known.
    pub fn save(&self) {
        if let Err(error) = state::save(
            &self.state_path,
            &self.federation.locations,
            &self.federation.locator,
        ) {
            warn!("The node cache cannot be saved for the next start: {error}");
        }
    }

    async fn sweep(&self, asker: &Asker) {
        let known = self.federation.locator.directory.len();
        // Where only users have rights nothing is learnt, so nothing is asked.
        let ours = self
            .federation
            .locations
            .iter()
            .filter(|location| !location.config.forward_user_token);
        join_all(ours.map(|location| async move {
            while location.standing().is_none() {
                if location.forbids(Act::Read).is_some() {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let mut whole = true;
            for collection in Collection::ALL
                .into_iter()
                .filter(|collection| collection.is_cached())
            {
                if self.read(asker, location, collection).await.is_none() {
                    whole = false;
                    debug!(
                        "The sweep of {} at `{}` was cut short",
                        collection.facts().path,
                        location.name()
                    );
                }
            }
            if whole {
                location.record.swept();
            }
        }))
        .await;
        info!(
            "Swept: {} identifiers known, {known} before",
            self.federation.locator.directory.len()
        );
    }

    /// `None`: something was silent, or not there in its version; the next sweep may tell.
    async fn read(&self, asker: &Asker, location: &Location, collection: Collection) -> Option<()> {
        let version = location.standing()?.range.max();
        let facts = collection.facts();
        let named = facts.name_since.is_some_and(|since| version.minor >= since);
        let fields = if named { "uuid,name" } else { "uuid" };
        let mut query = Query::default();
        // Ironic knows `fields` from 1.8 on.
        if version.minor >= 8 {
            query = query.with("fields", fields);
        }
        let list = List {
            path: format!("/v1/{}", facts.path),
            query,
            version,
            purpose: Purpose::Own,
            expect: Expect::list(collection),
            key: facts.key,
            kind: facts.kind,
            id: facts.id,
            sort_key: None,
            keep: Keep::All,
        };
        let mut walk = Walk::new(&list, asker, location);
        let mut total = 0;
        while let Some(page) = walk.next(None).await.ok()? {
            total += page.len();
            for item in page.items() {
                self.federation.locator.learn(
                    collection,
                    item.id().as_deref(),
                    item.name().as_deref(),
                    location.id,
                );
            }
        }
        self.federation
            .walks
            .counted(collection, location.id, total);
        Some(())
    }
}
