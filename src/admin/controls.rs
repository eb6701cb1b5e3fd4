//! What the admin listener can read and order. A trait, so that `admin` does not depend on `app`, which implements it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::control::Handle;
use crate::current::Current;
use crate::federate::Federation;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::sync::board::Board;
use crate::wire::transport::Transport;

/// The gateway as its operators see it.
#[async_trait]
pub trait Controls: fmt::Debug + Send + Sync {
    fn lifecycle(&self) -> &Lifecycle;

    /// What the process can be told to do.
    fn handle(&self) -> &Handle;

    /// The locations of the configuration in force.
    fn federation(&self) -> Arc<Federation>;

    /// Connections for questions that operators ask.
    fn transport(&self) -> Arc<Transport>;

    /// Where runs are ordered.
    fn board(&self) -> &Board;

    /// What is in force.
    fn current(&self) -> Arc<Current>;

    fn metrics(&self) -> &Metrics;

    /// Connections of clients.
    fn connections(&self) -> usize;

    /// Requests that are being served.
    fn in_flight(&self) -> usize;

    /// What would be done with a request. Nothing is sent.
    async fn explain(&self, request: Asked) -> Value;
}

/// A request that is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub method: http::Method,
    pub target: http::Uri,
    pub headers: http::HeaderMap,
    /// As it would be sent; where a new node goes depends on it.
    pub body: Option<bytes::Bytes>,
}
