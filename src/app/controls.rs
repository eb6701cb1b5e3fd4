//! The gateway as the admin door sees it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::http::RequestHeader;
use serde_json::Value;
use serde_json::json;

use crate::admin::controls::Asked;
use crate::admin::controls::Controls;
use crate::control::Handle;
use crate::federate::Federation;
use crate::gateway::Gateway;
use crate::gateway::context::InFlight;
use crate::gateway::door::Door;
use crate::gateway::explain::explain;
use crate::lifecycle::Lifecycle;
use crate::wire::transport::Transport;

/// What there is to look at, and to tell what to do.
pub(super) struct Running {
    lifecycle: Arc<Lifecycle>,
    handle: Handle,
    federation: Arc<Federation>,
    transport: Arc<Transport>,
    in_flight: Arc<InFlight>,
    door: Arc<Door>,
}

impl Running {
    pub(super) fn of(gateway: &Gateway, handle: Handle) -> Self {
        Self {
            lifecycle: Arc::clone(&gateway.surroundings().lifecycle),
            handle,
            federation: gateway.federation(),
            transport: Arc::clone(&gateway.surroundings().transport),
            in_flight: gateway.in_flight(),
            door: gateway.door(),
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

#[async_trait]
impl Controls for Running {
    fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    fn handle(&self) -> &Handle {
        &self.handle
    }

    fn federation(&self) -> Arc<Federation> {
        Arc::clone(&self.federation)
    }

    fn transport(&self) -> Arc<Transport> {
        Arc::clone(&self.transport)
    }

    fn in_flight(&self) -> usize {
        self.in_flight.count()
    }

    async fn explain(&self, asked: Asked) -> Value {
        let target = asked.target.to_string();
        let Ok(mut head) = RequestHeader::build(asked.method, target.as_bytes(), None) else {
            return json!({"error": "the path is no valid target of a request"});
        };
        for (name, value) in &asked.headers {
            if head.append_header(name.clone(), value.clone()).is_err() {
                return json!({"error": "a header is not valid"});
            }
        }
        json!(explain(&self.door, &self.federation, &head).await)
    }
}
