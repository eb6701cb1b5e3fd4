//! A client's request once it is parsed, and the answer before it is written.

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;

use crate::api::accept::Words;
use crate::api::collection::Collection;
use crate::api::fault::Fault;
use crate::api::header;
use crate::api::identifier::Alias;
use crate::api::link::Base;
use crate::api::media::Media;
use crate::api::merged_page::MergedPage;
use crate::api::merged_page::Parts;
use crate::api::microversion::Microversion;
use crate::api::microversion::VersionRange;
use crate::api::query::Query;
use crate::api::route::Action;
use crate::api::route::Route;
use crate::api::route::Target;
use crate::config::LocationId;
use crate::config::Partial;
use crate::locations::question::Asker;
use crate::locations::question::Body;
use crate::locations::question::Expect;
use crate::locations::question::Purpose;
use crate::locations::question::Question;
use crate::locations::silence::Reason;
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
    /// Locations that have nothing for the client.
    pub left_out: Vec<LocationId>,
    /// Nodes that its body names by UUID, and where each was looked up: another location's of the same UUID is not meant.
    pub placed: Vec<(String, LocationId)>,
    /// Whether a list may lack a location.
    pub partial: Partial,
    /// Where the client finds us.
    pub base: Base,
    pub asker: Asker,
    /// As it is sent on; a vendor's method is streamed by Pingora's proxy, and has none here.
    pub body: Body,
    /// What Ironic takes the body for.
    pub media: Media,
    /// How it is told that nobody has the collection.
    pub words: Words,
    pub review: Review,
    pub reach: Reach,
    /// It finishes what was just made, or takes it away again.
    pub follows_a_write: bool,
}

/// What of the same everywhere is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    Everything,
    /// A project's own: no copy of what another location has of somebody else's, or may have while it is silent. Who is of no
    /// project has none.
    Own(Option<String>),
}

impl Reach {
    pub fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }
}

/// What is read of a list's items before they are shown, by who judges them.
#[derive(Clone, Debug, Default)]
pub struct Review {
    pub noted: &'static [&'static str],
    /// Fields that are asked for with the client's and not shown.
    pub unshown: Vec<&'static str>,
    /// Of what is the same everywhere each copy is listed, since copies may differ in what the judgement is about.
    pub each_copy: bool,
}

impl Request {
    /// The client's own question, for the one location that it is about.
    pub fn question(&self) -> Question {
        let mut path = self.target.path();
        self.query.append_to(&mut path);
        let (purpose, mut expect) = expected(&self.method, &self.target);
        if matches!(expect, Expect::Member { .. }) && self.query.value("fields").is_some() {
            // What is selected need not say who it is; only links are always there.
            expect = Expect::Document {
                member: Some("links"),
            };
        }
        Question {
            method: self.method.clone(),
            path,
            version: self.version,
            body: self.body.clone(),
            media: match (self.media, &self.body) {
                (Media::Form, Body::Whole(_) | Body::Streamed(_)) => Media::Form,
                // A client that says less of its JSON is served all the same, and what we make ourselves is JSON.
                (Media::Json | Media::Form | Media::Other, _) => Media::Json,
            },
            purpose,
            expect,
        }
    }

    /// The same, of which several locations answer a part.
    pub fn shared(&self) -> Question {
        self.question().shared()
    }

    /// A question in the client's version, of which several locations answer a part.
    pub fn ask(&self, method: Method, path: String) -> Question {
        Question {
            method,
            ..Question::get(path, self.version).with_purpose(Purpose::Shared)
        }
    }

    /// Where a node of the body was looked up.
    pub fn place_of(&self, node: &str) -> Option<LocationId> {
        let mut placed = self.placed.iter();
        placed.find(|(uuid, _)| uuid == node).map(|(_, at)| *at)
    }

    /// A question of ours, in the newest version that all locations have.
    pub fn probe(&self, path: String) -> Question {
        Question::get(path, self.range.max())
    }
}

const HISTORY_SINCE: Microversion = Microversion::new(1, 78);

/// What an answer to a client's request holds.
fn expected(method: &Method, target: &Target) -> (Purpose, Expect) {
    let Route::Known { row, parameters } = &target.route else {
        return (Purpose::RoutedBelow, Expect::Unknown);
    };
    let asked_by = parameters
        .first()
        .filter(|ident| target.fallback(ident).is_none());
    let member = |collection, ident| Expect::Member { collection, ident };
    match row.action {
        Action::Member(_) if *method == Method::DELETE => (Purpose::Routed, Expect::Effect),
        // A patch may change the name that it was asked by.
        Action::Member(collection) if method == Method::PATCH => {
            (Purpose::Routed, member(collection, None))
        }
        Action::Member(collection) => (Purpose::Routed, member(collection, asked_by.cloned())),
        Action::Create(collection) => (Purpose::Routed, member(collection, None)),
        Action::Driver => (
            Purpose::Routed,
            member(Collection::Drivers, asked_by.cloned()),
        ),
        Action::List(collection) => (Purpose::Routed, Expect::list(collection)),
        Action::ListBelow { items, .. } => (Purpose::Routed, Expect::list(items)),
        Action::ChassisNodes => (Purpose::Routed, Expect::list(Collection::Nodes)),
        Action::Shards => (Purpose::Routed, Expect::list(Collection::Shards)),
        Action::History => (
            Purpose::Routed,
            Expect::List {
                key: "history",
                since: HISTORY_SINCE,
            },
        ),
        Action::Below(_) if method == Method::GET => {
            (Purpose::RoutedBelow, document_below(row.template))
        }
        Action::ValidateNode => (Purpose::RoutedBelow, document_below("nodes/{}/validate")),
        Action::DriverBelow => (Purpose::RoutedBelow, Expect::Document { member: None }),
        Action::VolumeRoot => (Purpose::Routed, document_below("nodes/{}/volume")),
        Action::Lookup => (Purpose::RoutedBelow, Expect::Machine),
        Action::Below(_) | Action::Events | Action::Heartbeat => {
            (Purpose::RoutedBelow, Expect::Effect)
        }
        Action::ContinueInspection | Action::DriverPassthru => {
            (Purpose::RoutedBelow, Expect::Unknown)
        }
    }
}

/// The member by which a document below another one is known to be it (Ironic's `api/controllers/v1/node.py`).
fn document_below(template: &str) -> Expect {
    let member = match template {
        // What virtual media a node has is a list (`drivers/modules/redfish/boot.py`).
        "nodes/{}/vmedia" => return Expect::Unknown,
        "nodes/{}/validate" => "power",
        "nodes/{}/states" => "power_state",
        "nodes/{}/states/console" => "console_enabled",
        "nodes/{}/management/boot_device" => "boot_device",
        "nodes/{}/management/boot_device/supported" => "supported_boot_devices",
        "nodes/{}/traits" | "runbooks/{}/traits" => "traits",
        "nodes/{}/vifs" => "vifs",
        "nodes/{}/bios" => "bios",
        "nodes/{}/firmware" => "firmware",
        "nodes/{}/volume" => "links",
        "nodes/{}/inventory" => "inventory",
        "nodes/{}/children" => "children",
        // Named by the client (a setting, an indicator), or selected with `fields`.
        _ => return Expect::Document { member: None },
    };
    Expect::Document {
        member: Some(member),
    }
}

/// Locations that are not in a list, each once, and why.
pub type Missing = Vec<(LocationId, Reason)>;

/// What is missing in either of two lists; of a location that is in both, the reason that was known first.
pub fn join(known: &mut Missing, more: impl IntoIterator<Item = (LocationId, Reason)>) {
    known.extend(more);
    known.sort_by_key(|(location, _)| *location);
    known.dedup_by_key(|(location, _)| *location);
}

/// What an answer does not vouch for.
#[derive(Clone, Debug, Default)]
pub struct Reservations {
    /// Of a list: what it lacks.
    pub missing: Missing,
    /// Of a write: those that could not say whether what it made unique is there already.
    pub unverified: Vec<LocationId>,
    /// Of a write: other gateways could not be kept from writing the same.
    pub is_uncoordinated: bool,
}

/// An answer that is whole before it is written.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Content,
    /// The one location it came from.
    pub location: Option<LocationId>,
    /// Of a merged list: where each item is, in their order. Of what is the same everywhere: whose copy it is.
    pub places: Vec<LocationId>,
    /// Few answers have any.
    pub reservations: Option<Box<Reservations>>,
    /// Seconds after which the same may be asked again, for those who want to be told.
    pub retry_after: Option<u32>,
    pub versions: Versions,
}

/// What an answer says.
#[derive(Clone, Debug)]
pub enum Content {
    Whole(Bytes),
    /// A list that is written when it is sent.
    List(Box<MergedPage>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Whole(bytes.into())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Whole(text.into())
    }
}

impl Content {
    pub fn length(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::List(page) => page.length(),
        }
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    /// What is no list.
    pub fn whole(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) => bytes,
            Self::List(_) => &[],
        }
    }

    /// All of it.
    pub fn bytes(&self) -> Bytes {
        match self {
            Self::Whole(bytes) => bytes.clone(),
            Self::List(page) => page.to_bytes(),
        }
    }

    /// The same of what is kept no longer.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Whole(bytes) => bytes,
            Self::List(page) => page.to_bytes(),
        }
    }

    /// As it is sent, `size` bytes at a time.
    pub fn into_parts(self, size: usize) -> Parts {
        match self {
            Self::Whole(bytes) => Parts::of(bytes, size),
            Self::List(page) => page.into_parts(size),
        }
    }
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
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub fn json(status: StatusCode, body: impl Into<Content>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        Self {
            status,
            headers,
            body: body.into(),
            ..Self::default()
        }
    }

    /// The client's own word in place of what stood in for it.
    #[must_use]
    pub fn reworded(self, alias: &Alias) -> Self {
        Self {
            body: alias.reword(self.body.whole()).into(),
            ..self
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
            body: reply.body.into(),
            location: Some(location),
            retry_after: None,
            versions,
            ..Self::default()
        }
    }

    pub fn reservations(&mut self) -> &mut Reservations {
        self.reservations.get_or_insert_default()
    }

    /// Of a list: what it lacks.
    pub fn missing(&self) -> &[(LocationId, Reason)] {
        self.reservations
            .as_ref()
            .map_or(&[], |reservations| &reservations.missing)
    }

    /// It lacks these locations too.
    pub fn lacks(&mut self, missing: impl IntoIterator<Item = (LocationId, Reason)>) {
        let mut missing = missing.into_iter().peekable();
        if missing.peek().is_some() {
            join(&mut self.reservations().missing, missing);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_once_and_for_the_reason_that_was_known_first() {
        let (one, two) = (LocationId(1), LocationId(2));
        let mut answer = Answer::default();
        answer.lacks([]);
        assert!(answer.reservations.is_none());
        answer.lacks([(two, Reason::Timeout)]);
        answer.lacks([(one, Reason::Connect), (two, Reason::Scope)]);
        answer.lacks([(one, Reason::Scope)]);
        assert_eq!(
            answer.missing(),
            [(one, Reason::Connect), (two, Reason::Timeout)]
        );
    }
}
