//! The running gateway, as the admin listener sees it.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::http::RequestHeader;
use serde_json::Value;
use serde_json::json;

use crate::admin::controls::Asked;
use crate::admin::controls::Controls;
use crate::control::Handle;
use crate::current::Current;
use crate::current::Follow;
use crate::federate::Federation;
use crate::gateway::context::InFlight;
use crate::gateway::context::Surroundings;
use crate::gateway::explain::Imagined;
use crate::gateway::explain::explain;
use crate::gateway::service::Service;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::sync::board::Board;
use crate::wire::transport::Transport;

/// The parts of the process that operators can read and control.
pub(super) struct Running {
    pub(super) handle: Handle,
    /// Replaced at each reload.
    pub(super) service: Arc<ArcSwap<Service>>,
    pub(super) follow: Follow,
    pub(super) surroundings: Arc<Surroundings>,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) board: Board,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

#[async_trait]
impl Controls for Running {
    fn lifecycle(&self) -> &Lifecycle {
        &self.surroundings.lifecycle
    }

    fn handle(&self) -> &Handle {
        &self.handle
    }

    fn federation(&self) -> Arc<Federation> {
        Arc::clone(&self.service.load().federation)
    }

    fn transport(&self) -> Arc<Transport> {
        Arc::clone(&self.surroundings.transport)
    }

    fn board(&self) -> &Board {
        &self.board
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.follow.borrow())
    }

    fn metrics(&self) -> &Metrics {
        &self.surroundings.metrics
    }

    fn connections(&self) -> usize {
        self.surroundings.crowd.open()
    }

    fn in_flight(&self) -> usize {
        self.in_flight.count()
    }

    async fn explain(&self, asked: Asked) -> Value {
        let target = asked.target.to_string();
        let Ok(mut head) = RequestHeader::build(asked.method, target.as_bytes(), None) else {
            return json!({"error": "the path is not a valid request target"});
        };
        for (name, value) in &asked.headers {
            if head.append_header(name.clone(), value.clone()).is_err() {
                return json!({"error": "a header is not valid"});
            }
        }
        // `load` would hold one of arc-swap's few debt slots of this thread across the await.
        let service = self.service.load_full();
        let asked = Imagined {
            head: &head,
            body: asked.body.unwrap_or_default().into(),
        };
        json!(explain(&service.door, &service.federation, asked).await)
    }
}
