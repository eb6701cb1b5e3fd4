//! In the background: resolves addresses, asks for versions, tries troubled locations again, and renews tokens.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::future::join_all;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::current::Current;
use crate::current::Follow;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::Stage;
use crate::locations::Locations;
use crate::locations::location::Location;
use crate::locations::order::Act;
use crate::locations::question::Asker;
use crate::wire::budget::Budget;
use crate::wire::transport::Transport;

/// Silence for longer than this does not keep the gateway from saying that it is ready.
// docs/performance.md bounds a start by one second; this leaves 0.3 s for everything else.
const FIRST_ROUND: Duration = Duration::from_millis(700);
/// What a probe and a trial may take together.
const PATIENCE: Duration = Duration::from_mins(1);
/// Pause before a location that does not answer is asked again, unless its own interval is shorter.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// What traffic shows is a location's health and versions, not its addresses: those are looked up again after this many
/// probes that were left out.
const LEFT_OUT: u32 = 10;

/// Probes every location, each in a loop of its own.
#[derive(Debug)]
pub struct HealthCheck {
    pub follow: Follow,
    pub budget: Budget,
    pub lifecycle: Arc<Lifecycle>,
}

#[async_trait]
impl BackgroundService for HealthCheck {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut follow = self.follow.clone();
        let mut current = Arc::clone(&follow.borrow_and_update());
        let transport = Arc::new(Transport::new(
            current.federation.locations.iter().len(),
            self.budget.clone(),
        ));
        let pulse = self.lifecycle.pulse("health");
        tokio::pin!(pulse);
        loop {
            tokio::select! {
                _ = shutdown.changed() => return,
                () = &mut pulse => return,
                // Each location goes on as it is, unless it is another one.
                _ = follow.changed() => current = Arc::clone(&follow.borrow_and_update()),
                () = self.keep(&current, &transport) => return,
            }
        }
    }
}

impl HealthCheck {
    /// Never ends.
    async fn keep(&self, current: &Current, transport: &Arc<Transport>) {
        let locations = &current.federation.locations;
        let probes = locations
            .iter()
            .map(|location| watch(locations, transport, location));
        let tokens = locations.iter().map(keep_fresh);
        let own_token = async {
            loop {
                sleep_until(current.authenticator.keep_fresh().await).await;
            }
        };
        let ready = async {
            if self.lifecycle.stage() == Stage::Starting {
                let first = join_all(locations.iter().map(Location::probed));
                // Whoever is silent is waited for no longer than this; its loop goes on.
                let _ = tokio::time::timeout(FIRST_ROUND, first).await;
                self.lifecycle.reach(Stage::Serving);
            }
        };
        tokio::join!(join_all(probes), join_all(tokens), own_token, ready);
    }
}

async fn probe(locations: &Locations, transport: &Arc<Transport>, location: &Location) {
    if location.forbids(Act::Read).is_some() {
        // Whoever works on it is not disturbed; what it was last known to speak still counts.
        return;
    }
    let asker = Asker::gateway(transport, PATIENCE);
    location.resolve().await;
    let begun = Instant::now();
    if let Some(standing) = location.probe(&asker).await {
        location.record.probed(Instant::now(), begun.elapsed());
        locations.learn(location.id, standing);
    }
    if location
        .trial_due()
        .is_some_and(|due| due <= Instant::now())
    {
        location.try_again(&asker).await;
    }
}

async fn watch(locations: &Locations, transport: &Arc<Transport>, location: &Location) {
    if !location.was_probed() {
        probe(locations, transport, location).await;
    }
    let mut left_out = 0;
    loop {
        // One that is not to be asked says when it is to be asked again.
        let well = location.forbids(Act::Read).is_some()
            || location.standing().is_some() && location.is_reachable() && !location.is_troubled();
        let pause = if well {
            location.config.probe_interval
        } else {
            location.config.probe_interval.min(IMPATIENCE)
        };
        // Many gateways and many locations must not fall into step.
        let jittered = pause.mul_f64(0.8 + 0.4 * fastrand::f64());
        tokio::select! {
            () = tokio::time::sleep(jittered) => {
                let shown = Instant::now()
                    .checked_sub(jittered)
                    .is_some_and(|since| location.record.answered_since(since));
                if well && shown && left_out < LEFT_OUT {
                    left_out += 1;
                    continue;
                }
            }
            () = location.back.notified() => {}
            () = location.look_again.notified() => tokio::time::sleep(IMPATIENCE.min(pause)).await,
        }
        left_out = 0;
        probe(locations, transport, location).await;
    }
}

async fn keep_fresh(location: &Location) {
    loop {
        sleep_until(location.credentials.keep_fresh().await).await;
    }
}

async fn sleep_until(due: Instant) {
    // Never a busy loop, whatever is due.
    let due = due.max(Instant::now() + Duration::from_secs(1));
    tokio::time::sleep_until(due.into()).await;
}
