//! In the background: keeps the connection to the backend that gateways share, and brings the states that operators set
//! into step with the other gateways.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use jiff::Timestamp;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::coordination::Away;
use crate::coordination::Backend;
use crate::coordination::board::Edition;
use crate::coordination::board::Note;
use crate::current::Follow;
use crate::federate::Federation;
use crate::locations::Locations;
use crate::locations::location::Location;

const BOARD: &str = "states";
/// How long a state that another gateway was told may go unnoticed.
const PAUSE: Duration = Duration::from_millis(500);
/// Everything is compared again after this long, whatever the backend says has changed: it may have lost its memory.
const WHOLE: Duration = Duration::from_mins(1);

/// Follows the backend of the configuration in force.
#[derive(Debug)]
pub struct Coordination {
    pub follow: Follow,
}

#[async_trait]
impl BackgroundService for Coordination {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut follow = self.follow.clone();
        loop {
            let current = Arc::clone(&follow.borrow_and_update());
            tokio::select! {
                _ = shutdown.changed() => return,
                _ = follow.changed() => {}
                _ = keep(&current.federation) => return,
            }
        }
    }
}

async fn keep(federation: &Federation) -> Infallible {
    let Some(backend) = &federation.backend else {
        return pending().await;
    };
    loop {
        if backend.is_up() || backend.connect().await {
            share(&federation.locations, backend).await;
        }
        tokio::time::sleep(Backend::pause()).await;
    }
}

/// Until the backend is away.
async fn share(locations: &Locations, backend: &Backend) {
    let mut board = Board::default();
    let mut compared = Instant::now();
    while backend.is_up() {
        if compared.elapsed() >= WHOLE {
            compared = Instant::now();
            board = Board::default();
        }
        if board.exchange(locations, backend).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = backend.news.notified() => {}
        }
    }
}

/// What is known of the board.
#[derive(Default)]
struct Board {
    edition: Edition,
    /// When the state there was set, by location.
    there: HashMap<String, Timestamp>,
}

impl Board {
    async fn exchange(&mut self, locations: &Locations, backend: &Backend) -> Result<(), Away> {
        let names: Vec<&str> = locations.iter().map(Location::name).collect();
        if let Some(found) = backend.read(BOARD, &names, &mut self.edition).await? {
            self.there.clear();
            for (name, note) in found {
                locations.hear(&name, &note.text);
                self.there.insert(name, note.at);
            }
        }
        for told in locations.told() {
            if self
                .there
                .get(&told.name)
                .is_none_or(|at| *at < micros(told.at))
            {
                let (at, text) = (micros(told.at), told.text);
                backend.pin(BOARD, &told.name, &Note { at, text }).await?;
                self.there.insert(told.name, at);
            }
        }
        Ok(())
    }
}

/// As the board keeps it.
fn micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}
