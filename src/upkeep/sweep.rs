//! In the background: sweeps all locations, so that the directory is filled before anybody asks, and writes the state file.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use log::info;
use log::warn;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::current::Follow;
use crate::locate::state;
use crate::locations::question::Asker;
use crate::sync::sweep::Manner;
use crate::sync::sweep::sweep;
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
                    let federation = &current.federation;
                    let before = federation.locator.directory.len();
                    sweep(federation, &asker, Manner::Patient, |_| {}).await;
                    info!(
                        "Swept: {} identifiers known, {before} before",
                        federation.locator.directory.len()
                    );
                    self.save();
                    // Gateways that were started together would otherwise sweep together for ever.
                    interval.mul_f64(0.8 + 0.4 * fastrand::f64())
                };
                tokio::select! {
                    pause = sweep => due = Instant::now() + pause,
                    // A sweep that this interrupts is begun again at once: `due` has passed and stays as it is.
                    _ = follow.changed() => {
                        let other = Arc::clone(&follow.borrow_and_update());
                        let known = &current.federation.locations;
                        // There is a new location, of which nothing is known.
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
