//! One question to one location, and in whose name it is asked.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;

use crate::api::header;
use crate::api::microversion::Microversion;
use crate::wire::transport::Transport;

/// In whose name, and on whose connections, a location is asked.
#[derive(Clone, Debug)]
pub struct Asker {
    pub transport: Arc<Transport>,
    /// Stands in the location's log.
    pub request_id: HeaderValue,
    /// The client's own token, for locations that are to see it.
    pub token: Option<HeaderValue>,
    pub standing: Standpoint,
    /// When nobody waits any longer; `None`: our own business, which ends by its own bounds.
    pub deadline: Option<Instant>,
}

/// With which rights a location is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standpoint {
    /// Ours, or the client's own where its token is forwarded.
    Authorised,
    /// None at all: what a ramdisk asks.
    Anonymous,
}

impl Asker {
    /// The gateway itself.
    pub fn gateway(transport: &Arc<Transport>) -> Self {
        let request_id = header::RequestId::new(&HeaderMap::new()).for_client();
        Self {
            transport: Arc::clone(transport),
            request_id,
            token: None,
            standing: Standpoint::Authorised,
            deadline: None,
        }
    }
}

/// One question to one location.
#[derive(Clone, Debug)]
pub struct Question {
    pub method: Method,
    /// Path and query below the endpoint's prefix, encoded.
    pub path: String,
    pub version: Microversion,
    /// What of the client's headers passes.
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
}

impl Question {
    pub fn get(path: String, version: Microversion) -> Self {
        Self {
            method: Method::GET,
            path,
            version,
            headers: HeaderMap::new(),
            body: None,
        }
    }
}
