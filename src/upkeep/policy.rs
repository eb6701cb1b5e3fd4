//! In the background: reads policy files again when they change.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::current::Follow;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct PolicyWatch {
    pub follow: Follow,
}

#[async_trait]
impl BackgroundService for PolicyWatch {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        loop {
            tokio::select! {
                _ = shutdown.changed() => return,
                () = tokio::time::sleep(LOOK) => self.look(),
            }
        }
    }
}

impl PolicyWatch {
    fn look(&self) {
        let current = Arc::clone(&self.follow.borrow());
        current.policy.look();
    }
}
