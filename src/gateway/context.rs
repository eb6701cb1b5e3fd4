//! What is known of a request, from its first byte to its line in the access log.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::api::header::RequestId;
use crate::api::microversion::Microversion;
use crate::api::microversion::VersionRange;
use crate::api::trace::TraceContext;
use crate::auth::identity::Identity;
use crate::config::LocationId;
use crate::gateway::crowd::Crowd;
use crate::lifecycle::Lifecycle;
use crate::locations::trail::Trail;
use crate::metrics::Metrics;
use crate::metrics::template::Template;
use crate::wire::budget::Incoming;
use crate::wire::transport::Transport;

/// What there is one of in a process.
#[derive(Debug)]
pub struct Surroundings {
    pub crowd: Arc<Crowd>,
    pub lifecycle: Arc<Lifecycle>,
    pub transport: Arc<Transport>,
    /// For bodies of clients.
    pub incoming: Incoming,
    pub metrics: Arc<Metrics>,
}

/// Requests that are being served.
#[derive(Debug, Default)]
pub struct InFlight(AtomicUsize);

impl InFlight {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

/// One of them; counted until it is dropped, however the request ends.
#[derive(Debug)]
struct Served(Arc<InFlight>);

impl Served {
    fn new(all: &Arc<InFlight>) -> Self {
        all.0.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(all))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One request.
#[derive(Debug)]
pub struct Context {
    pub started: Instant,
    /// How long it took, once it has come to its end.
    pub took: Duration,
    pub request_id: RequestId,
    pub identity: Option<Identity>,
    /// Who is at the other side of the proxy in front, if it is believed.
    pub client: Option<IpAddr>,
    /// Who was asked for it.
    pub trail: Trail,
    /// What locations are told of the trace that it is part of.
    pub trace: Option<TraceContext>,
    /// The client's own span, where ours are recorded.
    pub span_above: Option<u64>,
    /// What it is counted under.
    pub template: Template,
    /// What the version headers of the answer say.
    pub versions: Option<(VersionRange, Option<Microversion>)>,
    /// The one location that the client wants asked.
    pub pinned: Option<LocationId>,
    /// The one location that answers.
    pub location: Option<LocationId>,
    /// The client is not to know which that is.
    pub hides_location: bool,
    _served: Served,
}

impl Context {
    pub fn new(in_flight: &Arc<InFlight>) -> Self {
        Self {
            started: Instant::now(),
            took: Duration::ZERO,
            request_id: RequestId::default(),
            identity: None,
            client: None,
            trail: Trail::default(),
            trace: None,
            span_above: None,
            template: Template::NONE,
            versions: None,
            pinned: None,
            location: None,
            hides_location: false,
            _served: Served::new(in_flight),
        }
    }
}
