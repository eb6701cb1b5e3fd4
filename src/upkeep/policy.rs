//! In the background: reads policy files again when they change.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::policy::in_force::Policy;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct PolicyWatch {
    pub policy: Arc<Policy>,
}

#[async_trait]
impl BackgroundService for PolicyWatch {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        loop {
            tokio::select! {
                _ = shutdown.changed() => return,
                () = tokio::time::sleep(LOOK) => self.policy.look(),
            }
        }
    }
}
