//! In the background: asks every location for the identifiers of all that it has, so that the directory is filled
//! before anybody asks, and writes the state file.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::future::join_all;
use log::debug;
use log::info;
use log::warn;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::api::collection::Collection;
use crate::api::query::Query;
use crate::current::Follow;
use crate::federate::Federation;
use crate::locate::state;
use crate::locations::location::Location;
use crate::locations::order::Act;
use crate::locations::question::Asker;
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
    pub follow: Follow,
    pub budget: Budget,
}

#[async_trait]
impl BackgroundService for Sweep {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut follow = self.follow.clone();
        let mut current = Arc::clone(&follow.borrow_and_update());
        let transport = Arc::new(Transport::new(
            current.federation.locations.iter().len(),
            self.budget.clone(),
        ));
        let sweeps = async {
            let mut due = Instant::now();
            loop {
                let sweep = async {
                    // Pause between two sweeps; without one there are none.
                    let Some(interval) = current.config.directory.sweep_interval else {
                        return std::future::pending().await;
                    };
                    tokio::time::sleep_until(due.into()).await;
                    let asker = Asker::gateway(&transport, PATIENCE);
                    sweep(&current.federation, &asker).await;
                    self.save();
                    // Gateways that were started together would otherwise sweep together for ever.
                    interval.mul_f64(0.8 + 0.4 * fastrand::f64())
                };
                tokio::select! {
                    pause = sweep => due = Instant::now() + pause,
                    _ = follow.changed() => {
                        let other = Arc::clone(&follow.borrow_and_update());
                        let known = &current.federation.locations;
                        if !known.include(&other.federation.locations) {
                            due = Instant::now();
                        }
                        current = other;
                    }
                }
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
        let current = Arc::clone(&self.follow.borrow());
        let federation = &current.federation;
        if let Err(error) = state::save(
            &current.config.state_path,
            &federation.locations,
            &federation.locator,
        ) {
            warn!("The node cache cannot be saved for the next start: {error}");
        }
    }
}

async fn sweep(federation: &Federation, asker: &Asker) {
    let known = federation.locator.directory.len();
    // Where only users have rights nothing is learnt, so nothing is asked.
    let ours = federation
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
            if read(federation, asker, (location, collection))
                .await
                .is_none()
            {
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
        federation.locator.directory.len()
    );
}

/// `None`: something was silent, or not there in its version; the next sweep may tell.
async fn read(
    federation: &Federation,
    asker: &Asker,
    (location, collection): (&Location, Collection),
) -> Option<()> {
    let version = location.standing()?.range.max();
    let facts = collection.facts();
    let named = facts.name_since.is_some_and(|since| version.minor >= since);
    let fields = if named { "uuid,name" } else { "uuid" };
    let mut query = Query::default();
    // Ironic knows `fields` from 1.8 on.
    if version.minor >= 8 {
        query = query.with("fields", fields);
    }
    let list = List::own(collection, version, query);
    let mut walk = Walk::new(&list, asker, location);
    let mut total = 0;
    while let Some(page) = walk.next(None).await.ok()? {
        total += page.len();
        for item in page.items() {
            federation.locator.learn(
                collection,
                item.id().as_deref(),
                item.name().as_deref(),
                location.id,
            );
        }
    }
    federation.walks.counted(collection, location.id, total);
    Some(())
}
