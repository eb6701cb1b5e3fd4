//! One question to one location: what is asked, on whose behalf, and what the answer must contain.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;

use crate::api::collection::Collection;
use crate::api::header;
use crate::api::media::Media;
use crate::api::microversion::Microversion;
use crate::api::route::JSON_IS_A_NAME;
use crate::api::route::path::SUFFIX;
use crate::api::trace::TraceContext;
use crate::locations::trail::Asking;
use crate::locations::trail::Trail;
use crate::wire::transport::Sent;
use crate::wire::transport::Transport;
use crate::wire::upload::Upload;

/// For what has to be found out or undone when a write has taken all of a request's time.
const AFTERMATH: Duration = Duration::from_secs(10);

/// From it on a ramdisk's first look-up makes the token of its agent, and only the first one is told it.
pub const TOKENS_SINCE: Microversion = Microversion::new(1, 62);

/// In whose name, and on whose connections, a location is asked.
#[derive(Clone, Debug)]
pub struct Asker {
    pub transport: Arc<Transport>,
    /// Stands in the location's log.
    pub request_id: HeaderValue,
    /// The client's own token, for locations that are to see it.
    pub token: Option<HeaderValue>,
    pub standing: Standpoint,
    /// Whether a read may be asked of a second endpoint beside a slow first one, whose database may be ahead.
    pub hedges: bool,
    /// When the request ends, whatever it is made of: pages, endpoints, retries, polls.
    pub deadline: Instant,
    /// Who was asked for it.
    pub trail: Trail,
    /// The trace that it is part of.
    pub trace: Option<TraceContext>,
}

/// With which rights a location is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standpoint {
    /// Ours, or the client's own where its token is forwarded.
    Authorised,
    /// Always ours: what a client's token may not see would look free, or absent.
    Ours,
    /// None at all: what a ramdisk asks.
    Anonymous,
}

impl Asker {
    /// The gateway itself, for one piece of work that may take `patience`.
    pub fn gateway(transport: &Arc<Transport>, patience: Duration) -> Self {
        let request_id = header::RequestId::new(&HeaderMap::new()).for_client();
        Self {
            transport: Arc::clone(transport),
            request_id,
            token: None,
            standing: Standpoint::Ours,
            hedges: true,
            deadline: Instant::now() + patience,
            trail: Trail::default(),
            trace: None,
        }
    }

    /// The same request, asked with our own credential.
    #[must_use]
    pub fn ours(&self) -> Self {
        Self {
            standing: Standpoint::Ours,
            ..self.clone()
        }
    }

    /// The same for one question, which is a span of its own where that is recorded.
    pub fn spanned(&self) -> Option<(Asking, Self)> {
        let (asking, trace) = self.trail.begin()?;
        let asker = Self {
            trace,
            ..self.clone()
        };
        Some((asking, asker))
    }

    /// To find out what a write came to, or to undo it: one that was given up has used up the request's own time. What was
    /// just written a second endpoint may not show yet.
    #[must_use]
    pub fn afterwards(&self) -> Self {
        Self {
            hedges: false,
            deadline: self.deadline.max(Instant::now() + AFTERMATH),
            ..self.clone()
        }
    }

    /// Time that is left.
    pub fn patience(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// What a question is for. It decides what an error of Ironic's own means, and whether silence is the location's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Ours, with parameters of ours only: polls, uniqueness, sweeps, trials.
    Own,
    /// A client's question that several locations answer a part of: an error of one is no answer.
    Shared,
    /// The same of what a driver answers, as with [`Self::RoutedBelow`].
    SharedBelow,
    /// A client's request to the one location that it is about: what Ironic says is the answer.
    Routed,
    /// The same below a member, where a driver or a store of the site answers rather than Ironic: its slowness or
    /// failure is not the location's.
    RoutedBelow,
}

/// What an answer must hold to be one. Not every 200 is Ironic's: portals, API gateways and catch-alls give them too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Ironic's root document.
    Versions,
    /// 200 or 201 with a member of the collection; `ident`: the UUID or name that it was asked by.
    Member {
        collection: Collection,
        ident: Option<String>,
    },
    /// 200 with a list under this key. Only who reads the items knows whether all of it can be read.
    List {
        key: &'static str,
        since: Microversion,
    },
    /// 200 with an object, which has this member if it is known which ones there are.
    Document { member: Option<&'static str> },
    /// 200 with what a ramdisk is told of its machine.
    Machine,
    /// 202 or 204 and no body.
    Effect,
    /// Of a route whose answers the gateway does not know: 2xx with a JSON list or object, or 202 or 204 with nothing.
    Unknown,
}

/// What is sent with a question.
#[derive(Clone, Debug, Default)]
pub enum Body {
    #[default]
    None,
    Whole(Bytes),
    /// A large one of the client's, which is not held.
    Streamed(Arc<Upload>),
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::None
        } else {
            Self::Whole(bytes)
        }
    }
}

/// Who decides how fast a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    Ours,
    Clients,
}

impl Body {
    pub fn pace(&self) -> Pace {
        match self {
            Self::None | Self::Whole(_) => Pace::Ours,
            Self::Streamed(_) => Pace::Clients,
        }
    }

    /// What of it is at hand to be read: all, or nothing of one that is handed on.
    pub fn held(&self) -> &Bytes {
        static NOTHING: Bytes = Bytes::new();
        match self {
            Self::Whole(bytes) => bytes,
            Self::None | Self::Streamed(_) => &NOTHING,
        }
    }

    /// Whether it can be sent from its beginning.
    pub async fn is_at_hand(&self) -> bool {
        match self {
            Self::None | Self::Whole(_) => true,
            Self::Streamed(upload) => upload.is_at_hand().await,
        }
    }

    pub fn sent(&self) -> Sent<'_> {
        match self {
            Self::None => Sent::Nothing,
            Self::Whole(bytes) => Sent::Whole(bytes),
            Self::Streamed(upload) => Sent::Streamed(upload),
        }
    }
}

impl Expect {
    pub fn list(collection: Collection) -> Self {
        Self::List {
            key: collection.facts().key,
            since: collection.since(),
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
    pub body: Body,
    pub media: Media,
    pub purpose: Purpose,
    pub expect: Expect,
}

impl Question {
    /// Of ours; to be narrowed by [`Self::expecting`].
    pub fn get(path: String, version: Microversion) -> Self {
        Self {
            method: Method::GET,
            path,
            version,
            body: Body::None,
            media: Media::Json,
            purpose: Purpose::Own,
            expect: Expect::Unknown,
        }
    }

    #[must_use]
    pub fn expecting(self, expect: Expect) -> Self {
        Self { expect, ..self }
    }

    /// For a member by its UUID or name.
    #[must_use]
    pub fn for_member(mut self, collection: Collection, ident: &str) -> Self {
        if self.version < JSON_IS_A_NAME && ident.ends_with(SUFFIX) {
            // One is taken off the end of the path.
            let end = self.path.find('?').unwrap_or(self.path.len());
            self.path.insert_str(end, SUFFIX);
        }
        self.expecting(Expect::Member {
            collection,
            ident: Some(ident.to_owned()),
        })
    }

    /// For a list of a collection's members.
    #[must_use]
    pub fn for_list(self, collection: Collection) -> Self {
        self.expecting(Expect::list(collection))
    }

    #[must_use]
    pub fn with_purpose(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    /// The same, of which several locations answer a part.
    #[must_use]
    pub fn shared(self) -> Self {
        let purpose = if self.is_below() {
            Purpose::SharedBelow
        } else {
            Purpose::Shared
        };
        self.with_purpose(purpose)
    }

    /// When it is given up. One of many polls must leave time for what the poll is for.
    pub fn deadline(&self, asker: &Asker, silence: Duration) -> Instant {
        match (&self.expect, self.purpose) {
            (Expect::Member { .. }, Purpose::Own) => {
                Instant::now() + silence.min(asker.patience() / 2)
            }
            _ => asker.deadline,
        }
    }

    /// Bytes of an answer that are taken, at most. `page` is the configured bound of the largest, a page of a list.
    pub fn bound(&self, page: usize) -> usize {
        let bound = match (&self.expect, self.purpose) {
            (Expect::Versions, _) => 64 << 10,
            (Expect::List { .. }, _) => page,
            (Expect::Member { .. }, Purpose::Own) => 1 << 20,
            _ => 16 << 20,
        };
        bound.min(page)
    }

    /// Whether what Ironic says is the client's answer, errors of its own included.
    pub fn is_routed(&self) -> bool {
        matches!(self.purpose, Purpose::Routed | Purpose::RoutedBelow)
    }

    /// Whether a driver or a store of the site answers rather than Ironic.
    pub fn is_below(&self) -> bool {
        matches!(self.purpose, Purpose::SharedBelow | Purpose::RoutedBelow)
    }

    /// Whether the location's API waits for a conductor before it answers, as it does with all that changes something. That
    /// one hangs says nothing of the API.
    pub fn is_a_conductors(&self) -> bool {
        self.is_below() || !self.method.is_safe()
    }

    /// Whether an Ironic of this version has the route, so that a 404 of its router cannot be Ironic's.
    pub fn is_served(&self) -> bool {
        let since = match &self.expect {
            Expect::Versions => Microversion::new(1, 1),
            Expect::Member { collection, .. } => collection.since(),
            Expect::List { since, .. } => *since,
            Expect::Document { .. } | Expect::Machine | Expect::Effect | Expect::Unknown => {
                return false;
            }
        };
        self.version >= since
    }
}
