//! A client's request, understood; and our answer, before it is written.

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;

use crate::api::fault::Fault;
use crate::api::header;
use crate::api::link::Base;
use crate::api::microversion::Microversion;
use crate::api::microversion::VersionRange;
use crate::api::query::Query;
use crate::api::route::Target;
use crate::config::LocationId;
use crate::config::Partial;
use crate::locations::question::Asker;
use crate::locations::question::Question;
use crate::wire::transport::Reply;

/// A request that passed the door.
#[derive(Debug)]
pub struct Request {
    pub method: Method,
    pub target: Target,
    /// As the client spelled it.
    pub path: String,
    pub query: Query,
    /// What all locations have in common, and what is spoken for this request.
    pub range: VersionRange,
    pub version: Microversion,
    /// The only location that the client wants asked.
    pub pinned: Option<LocationId>,
    /// Whether a list may lack a location.
    pub partial: Partial,
    /// Where the client finds us.
    pub base: Base,
    /// What of the client's headers passes.
    pub headers: HeaderMap,
    pub asker: Asker,
}

impl Request {
    /// The client's own question, for one location to answer.
    pub fn question(&self) -> Question {
        let mut path = self.target.path();
        self.query.append_to(&mut path);
        self.ask(self.method.clone(), path)
    }

    /// A question in the client's name and version.
    pub fn ask(&self, method: Method, path: String) -> Question {
        Question {
            method,
            path,
            version: self.version,
            headers: self.headers.clone(),
            body: None,
        }
    }

    /// A question of ours, in the newest version that all locations have.
    pub fn probe(&self, path: String) -> Question {
        Question::get(path, self.range.max())
    }
}

/// An answer that is whole before it is written.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The one location it came from.
    pub location: Option<LocationId>,
    /// Seconds after which the same may be asked again, for those who want to be told.
    pub retry_after: Option<u32>,
    pub versions: Versions,
}

/// Seconds until what could not be answered now is worth asking again.
const RETRY_AFTER: u32 = 5;

impl From<&Fault> for Answer {
    fn from(fault: &Fault) -> Self {
        let unavailable = fault.status == StatusCode::SERVICE_UNAVAILABLE;
        Self {
            versions: if fault.is_unversioned() {
                Versions::Hidden
            } else {
                Versions::Shown
            },
            retry_after: unavailable.then_some(RETRY_AFTER),
            ..Self::json(fault.status, fault.body())
        }
    }
}

/// Whether an answer carries the version headers. Ironic's routing layer and what stands before it send none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    #[default]
    Shown,
    Hidden,
}

impl Versions {
    /// As the location itself did.
    pub fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key(header::API_MIN_VERSION) {
            Self::Shown
        } else {
            Self::Hidden
        }
    }
}

impl Answer {
    pub fn json(status: StatusCode, body: Bytes) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        Self {
            status,
            headers,
            body,
            ..Self::default()
        }
    }

    /// A location's answer; links are the caller's business.
    pub fn relay(reply: Reply, location: LocationId) -> Self {
        let mut headers = reply.headers;
        let versions = Versions::of(&headers);
        for name in header::kept_back(&headers) {
            headers.remove(name);
        }
        Self {
            status: reply.status,
            headers,
            body: reply.body,
            location: Some(location),
            retry_after: None,
            versions,
        }
    }

    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}
