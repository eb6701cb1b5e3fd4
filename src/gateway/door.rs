//! The door: parses the head of a request once, or refuses it.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use thiserror::Error;

use crate::api::accept::Accept;
use crate::api::accept::Words;
use crate::api::body::BodyError;
use crate::api::body::Patch;
use crate::api::header;
use crate::api::link::Base;
use crate::api::media::Media;
use crate::api::microversion::Microversion;
use crate::api::microversion::NotAcceptable;
use crate::api::microversion::Requested;
use crate::api::microversion::VersionRange;
use crate::api::query::Query;
use crate::api::query::QueryError;
use crate::api::route::Action;
use crate::api::route::Route;
use crate::api::route::Target;
use crate::api::route::Unrouted;
use crate::api::route::path::Path;
use crate::api::route::path::PathError;
use crate::api::route::table::About;
use crate::api::route::table::Payload;
use crate::api::route::table::Row;
use crate::api::version_document;
use crate::auth::AuthError;
use crate::auth::Authenticator;
use crate::auth::access::Denied;
use crate::auth::access::Gate;
use crate::auth::access::Passage;
use crate::auth::access::attributes::Change;
use crate::auth::identity::Identity;
use crate::config::Config;
use crate::config::LocationId;
use crate::config::Partial;
use crate::gateway::arrival::Arrival;
use crate::gateway::body::BodyLimits;
use crate::gateway::body::Oversized;
use crate::gateway::context::Context;
use crate::gateway::context::Surroundings;
use crate::gateway::endpoint::BadHost;
use crate::gateway::endpoint::Endpoint;
use crate::gateway::framing;
use crate::gateway::framing::FramingError;
use crate::gateway::health::Health;
use crate::gateway::limits::Limited;
use crate::gateway::limits::Limits;
use crate::locations::Locations;
use crate::locations::order::Act;
use crate::locations::question::Asker;
use crate::locations::question::Body;
use crate::locations::question::Standpoint;
use crate::metrics::template::Template;
use crate::request::Answer;
use crate::request::Reach;
use crate::request::Request;
use crate::request::Review;
use crate::wire::transport::Transport;

/// Query parameters that decide where a request goes: repeated, they could be read two ways.
const ROUTING: &[&str] = &["node", "node_uuid", "portgroup", "marker"];

/// What the paths of locations begin with.
const LOCATIONS: &str = "/locations/";

/// Why a request does not come in.
#[derive(Debug, Error)]
pub enum Refusal {
    #[error(transparent)]
    Framing(#[from] FramingError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Limited(#[from] Limited),
    #[error(transparent)]
    Denied(#[from] Denied),
    /// No location has told its versions, so it is not known what may be spoken.
    #[error("No location has reported its API versions yet, please retry.")]
    Unready,
    /// Ironic words it differently at `/` than below.
    #[error("{error}")]
    NotAcceptable { error: NotAcceptable, at_root: bool },
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Route(#[from] Unrouted),
    /// Ironic has nothing but JSON.
    #[error("nothing but JSON is here")]
    Accept(Accept),
    /// Nobody who may not be anybody gets further than `/`, `/v1` and the ramdisks' routes.
    #[error("no such path")]
    Anonymous,
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("Unexpected repeated argument: {0}")]
    RepeatedArgument(String),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Oversized(#[from] Oversized),
    #[error(transparent)]
    Host(#[from] BadHost),
    #[error("There is no location {0:?}")]
    NoLocation(String),
    /// Below `/locations/`.
    #[error("no such location")]
    NoEndpoint,
    #[error("The path names location {path}, and X-Ironic-Proxy-Location another one")]
    TwoLocations { path: String },
    /// `[DEFAULT] read_only`
    #[error("The gateway is read-only: its operator allows no writes ([DEFAULT] read_only).")]
    ReadOnly,
    #[error("X-Ironic-Proxy-Partial must be allow or deny")]
    Partial,
    /// Ironic takes each of its pairs for an argument, and these functions have none but the whole body.
    #[error(
        "Unexpected arguments: the body is a form. It has to be JSON, with the Content-Type application/json."
    )]
    Form,
    /// In Ironic's words (`[api] enable_ramdisk_endpoints`).
    #[error(
        "Ramdisk endpoints are disabled on this API: a ramdisk talks to the Ironic of its own location."
    )]
    RamdiskOff,
}

/// What became of a request at the door.
#[derive(Debug)]
pub enum Entry {
    Admitted(Box<Admitted>),
    /// The gateway itself is asked, and this is its answer.
    Answered(Answer),
}

/// A request that came in.
#[derive(Debug)]
pub struct Admitted {
    pub request: Request,
    pub passage: Passage,
    pub limits: BodyLimits,
}

/// Whom the door asks who somebody is, and what they may.
#[derive(Debug)]
pub struct Guard {
    pub authenticator: Arc<Authenticator>,
    pub gate: Gate,
}

#[derive(Debug)]
pub struct Door {
    guard: Guard,
    locations: Arc<Locations>,
    transport: Arc<Transport>,
    /// `[limits]`
    limits: Option<Limits>,
    request_deadline: Duration,
    endpoint: Endpoint,
    body: MaxBody,
    partial: Partial,
    health: Health,
    ramdisk: bool,
    writing: Writing,
    /// `[api] location_endpoints`
    location_endpoints: bool,
}

/// Whether anything may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    Allowed,
    Refused,
}

/// Which part of the federation a request is for, and what its path is there.
#[derive(Debug)]
struct Aim<'h> {
    location: Option<LocationId>,
    path: &'h str,
    /// It was the path that named the location, with this before the location's own API.
    prefix: Option<String>,
}

/// Ironic's `[api] max_json_body_*`.
#[derive(Debug)]
struct MaxBody {
    plain: usize,
    provision: usize,
    inspection: usize,
    depth: usize,
}

impl Door {
    pub fn new(
        config: &Config,
        guard: Guard,
        locations: Arc<Locations>,
        surroundings: &Surroundings,
        before: Option<&Self>,
    ) -> Self {
        let counted = before.and_then(|before| before.limits.as_ref());
        Self {
            limits: config
                .limits
                .as_ref()
                .map(|limits| Limits::new(limits, counted)),
            guard,
            health: Health {
                config: config.healthcheck.clone(),
                locations: Arc::clone(&locations),
                lifecycle: Arc::clone(&surroundings.lifecycle),
            },
            locations,
            transport: Arc::clone(&surroundings.transport),
            endpoint: Endpoint::new(config),
            body: MaxBody {
                plain: config.api.max_body,
                provision: config.api.max_body_provision,
                inspection: config.api.max_body_inspection,
                depth: config.api.max_depth,
            },
            partial: config.api.partial_lists,
            ramdisk: config.api.ramdisk,
            writing: if config.read_only {
                Writing::Refused
            } else {
                Writing::Allowed
            },
            location_endpoints: config.api.extras.location_endpoints,
            request_deadline: config.api.request_deadline,
        }
    }

    /// Whatever 401 a client gets, it is we who tell where tokens come from: a location knows only its own side.
    pub fn challenge(&self, status: StatusCode) -> Option<HeaderValue> {
        (status == StatusCode::UNAUTHORIZED)
            .then(|| self.guard.authenticator.challenge())
            .flatten()
    }

    /// The gateway as this client sees it.
    pub fn base(&self, session: &ServerSession) -> Option<Base> {
        let arrival = Arrival::of(session);
        self.endpoint.of(&arrival.head.headers, arrival.at).ok()
    }

    /// Everything that is decided by the head of a request that came in.
    pub async fn enter(
        &self,
        session: &ServerSession,
        context: &mut Context,
    ) -> Result<Entry, Refusal> {
        let arrival = Arrival::of(session);
        context.client = self.endpoint.client(&arrival.head.headers);
        framing::check(arrival.head, &session.to_h1_raw())?;
        self.admit(&arrival, context).await
    }

    /// The same of a head that is well-formed, in Ironic's order: who asks, then which version, then what.
    pub async fn admit(
        &self,
        arrival: &Arrival<'_>,
        context: &mut Context,
    ) -> Result<Entry, Refusal> {
        let head = arrival.head;
        if let Some(answer) = self.answer_early(arrival, context) {
            return Ok(Entry::Answered(answer));
        }
        let aim = self.aim(head);
        let path = match &aim {
            Ok(aim) => Path::read(aim.path),
            Err(_) => Path::read(head.uri.path()),
        };
        // Who names a location that is not there is asked for credentials first. Documents are for anybody, as Ironic's
        // are, so a stranger who guesses a name still sees that it is one.
        let public = aim.is_ok() && self.is_public(&path);
        if public {
            self.count_anybody(&path, arrival, context)?;
        } else {
            self.identify(arrival, context).await?;
        }
        let aim = aim?;
        if self.locations.range(aim.location).is_none() {
            // Only a gateway that has just started waits here.
            let deadline = Instant::now() + self.request_deadline;
            self.locations.range_by(aim.location, deadline).await;
        }
        context.pinned = aim.location;
        let spoken = self.speak(head, &path, context)?;
        let path = path?;
        let (range, version) = spoken?;
        let query = Query::parse(head.uri.query())?;
        let accept = Accept::of(&head.headers);
        let (target, query) = Target::read(&head.method, path, query, version)
            .map_err(|unrouted| unrouted.worded(accept.words()))?;
        context.template = Template::of(&target.route);
        let words = match target.route {
            Route::UnknownCollection => accept.words(),
            // Whatever is found has nothing but JSON.
            _ => Words::Json,
        };
        if !accept.takes_json() {
            return Err(match target.route {
                Route::UnknownCollection => Unrouted::nowhere(words).into(),
                _ => Refusal::Accept(accept),
            });
        }
        let mut base = self.endpoint.of(&head.headers, arrival.at)?;
        if let Some(prefix) = &aim.prefix {
            base = base.below(prefix);
        }
        let document = match target.route {
            Route::Root => Some(version_document::root(base.as_str(), range)),
            Route::V1 => Some(version_document::v1(base.as_str(), range, version)),
            Route::Known { .. }
            | Route::NotPermitted
            | Route::UnknownBelow { .. }
            | Route::UnknownCollection => None,
        };
        if let Some(text) = document {
            return Ok(Entry::Answered(Answer::json(StatusCode::OK, text)));
        }
        // What begins like a path of ramdisks may be something else, and nobody was asked who is there.
        if public && !is_ramdisk(&target) {
            return Err(Refusal::Anonymous);
        }
        if is_ramdisk(&target) && !self.ramdisk {
            return Err(Refusal::RamdiskOff);
        }
        let passage = if self.is_gated(&head.method, aim.location) {
            self.authorise(context.identity.as_ref(), target.row())?
        } else {
            Passage::Whole
        };
        if let Some(name) = query.repeated(ROUTING) {
            return Err(Refusal::RepeatedArgument(name.to_owned()));
        }
        // An announced length is judged here, before a byte of the body is read.
        let limits = self.body.limits(target.row().map(|row| row.payload));
        limits.allow(&head.headers)?;
        let request = Request {
            method: head.method.clone(),
            path: aim.path.to_owned(),
            query,
            range: self.locations.common().unwrap_or(range),
            version,
            pinned: aim.location,
            left_out: Vec::new(),
            placed: Vec::new(),
            partial: self.partial(&head.headers)?,
            base,
            body: Body::None,
            media: Media::of(&head.headers),
            words,
            review: Review::default(),
            reach: self.reach(context.identity.as_ref(), &target),
            follows_a_write: false,
            asker: self.asker(head, context, &target),
            target,
        };
        if self.writing == Writing::Refused && Act::of(&request.question()) != Act::Read {
            return Err(Refusal::ReadOnly);
        }
        Ok(Entry::Admitted(Box::new(Admitted {
            request,
            passage,
            limits,
        })))
    }

    /// Who is asking. `noauth` and known tokens cost nothing; strangers wait for their turn.
    async fn identify(&self, arrival: &Arrival<'_>, context: &mut Context) -> Result<(), Refusal> {
        let headers = &arrival.head.headers;
        let authenticator = &self.guard.authenticator;
        let limits = self.counting(arrival);
        let from = context.client.or(arrival.from);
        if let Some(limits) = limits
            && !authenticator.knows(headers)
        {
            limits.count_stranger(from)?;
        }
        let identity = authenticator.authenticate(headers, from).await?;
        context.hides_location = !self.guard.gate.tells_location(&identity);
        // A refusal is returned last, so that the log knows whose request it was.
        let counted = limits.map(|limits| limits.count_user(&identity));
        context.identity = Some(identity);
        Ok(counted.unwrap_or(Ok(()))?)
    }

    /// A version document costs less than a refusal of it, and every client begins with one.
    fn count_anybody(
        &self,
        path: &Result<Path, PathError>,
        arrival: &Arrival<'_>,
        context: &Context,
    ) -> Result<(), Limited> {
        let is_document = path.as_ref().is_ok_and(Path::is_root);
        match self.counting(arrival).filter(|_| !is_document) {
            Some(limits) => limits.count_stranger(context.client.or(arrival.from)),
            None => Ok(()),
        }
    }

    fn counting(&self, arrival: &Arrival<'_>) -> Option<&Limits> {
        self.limits.as_ref().filter(|_| arrival.counts)
    }

    /// What is asked of the gateway itself, by anybody.
    fn answer_early(&self, arrival: &Arrival<'_>, context: &mut Context) -> Option<Answer> {
        let head = arrival.head;
        // The CORS middleware stands before Ironic's authentication and answers these (`ironic/api/app.py`).
        if head.method == Method::OPTIONS && head.uri.path() != "/" {
            return Some(Answer::default());
        }
        let answer = self.health.answer(arrival)?;
        context.template = Template::HEALTHCHECK;
        Some(answer)
    }

    fn is_public(&self, path: &Result<Path, PathError>) -> bool {
        path.as_ref()
            .is_ok_and(|path| path.is_root() || (self.ramdisk && path.is_ramdisks()))
    }

    /// The version to speak. A path that is refused is refused first, whatever the version.
    fn speak(
        &self,
        head: &RequestHeader,
        path: &Result<Path, PathError>,
        context: &mut Context,
    ) -> Result<Result<(VersionRange, Microversion), Refusal>, Refusal> {
        let range = self
            .locations
            .range(context.pinned)
            .ok_or(Refusal::Unready)?;
        match range.resolve(Requested::from_headers(&head.headers)) {
            Ok(version) => {
                context.versions = Some((range, Some(version)));
                Ok(Ok((range, version)))
            }
            Err(error) => {
                context.versions = (error != NotAcceptable::Invalid).then_some((range, None));
                let at_root = path.as_ref().is_ok_and(Path::is_top);
                Ok(Err(Refusal::NotAcceptable { error, at_root }))
            }
        }
    }

    /// A location's range changed under way: what the client wants is judged by what all have in common now.
    pub fn negotiate_again(
        &self,
        headers: &HeaderMap,
        request: &mut Request,
        context: &mut Context,
    ) -> Result<(), Refusal> {
        let range = self
            .locations
            .range(request.pinned)
            .ok_or(Refusal::Unready)?;
        match range.resolve(Requested::from_headers(headers)) {
            Ok(version) => {
                context.versions = Some((range, Some(version)));
                request.range = self.locations.common().unwrap_or(range);
                request.version = version;
                Ok(())
            }
            Err(error) => {
                context.versions = Some((range, None));
                Err(Refusal::NotAcceptable {
                    error,
                    at_root: false,
                })
            }
        }
    }

    fn asker(&self, head: &RequestHeader, context: &Context, target: &Target) -> Asker {
        let standing = if is_ramdisk(target) {
            Standpoint::Anonymous
        } else {
            Standpoint::Authorised
        };
        Asker {
            transport: Arc::clone(&self.transport),
            request_id: context.request_id.for_locations(),
            token: self.guard.authenticator.user_token(&head.headers),
            standing,
            // What a write needs to know must not come from a second endpoint, whose database may be behind.
            hedges: head.method.is_safe(),
            deadline: Instant::now() + self.request_deadline,
            trail: context.trail.clone(),
            trace: context.trace.clone(),
        }
    }

    /// What makes or changes something is one document.
    pub fn check_media(&self, request: &Request) -> Result<(), Refusal> {
        let is_whole = matches!(request.method, Method::POST | Method::PATCH)
            && request
                .target
                .row()
                .is_some_and(|row| matches!(row.action, Action::Create(_) | Action::Member(_)));
        if request.media != Media::Form || request.target.is_vendors() {
            return Ok(());
        }
        // What is not held cannot be judged.
        if matches!(request.body, Body::Streamed(_)) {
            return Err(Refusal::Form);
        }
        let body = request.body.held();
        // Pecan would take another method than the one that was judged (`pecan/rest.py`). An old Python's parser has `;`
        // between pairs, too.
        let mut pairs = body
            .split(|byte| *byte == b';')
            .flat_map(url::form_urlencoded::parse);
        if pairs.any(|(name, _)| name == "_method") {
            return Err(QueryError::MethodOverride.into());
        }
        if is_whole && !body.is_empty() {
            return Err(Refusal::Form);
        }
        Ok(())
    }

    /// What a patch may change depends on who sends it.
    pub fn check_patch(
        &self,
        request: &Request,
        identity: Option<&Identity>,
    ) -> Result<Passage, Refusal> {
        if self.is_gated(&request.method, request.pinned) {
            self.judge_patch(request, identity)
        } else {
            Ok(Passage::Whole)
        }
    }

    /// What our rules say of a request that was let through for its location to judge.
    pub fn judge_anew(
        &self,
        request: &Request,
        identity: Option<&Identity>,
    ) -> Result<Passage, Refusal> {
        let is_judged = self.is_gated(&request.method, request.pinned);
        let Some(known) = identity.filter(|_| !is_judged) else {
            return Ok(Passage::Whole);
        };
        match self.guard.gate.judge_anew(known, request.target.row())? {
            Passage::Whole => self.judge_patch(request, identity),
            by_thing @ Passage::ByThing(_) => Ok(by_thing),
        }
    }

    fn judge_patch(
        &self,
        request: &Request,
        identity: Option<&Identity>,
    ) -> Result<Passage, Refusal> {
        // What is sent to a vendor's method is no patch, whatever the HTTP method.
        let (
            Some(identity),
            Some(
                row @ Row {
                    action: Action::Member(_),
                    ..
                },
            ),
        ) = (identity, request.target.row())
        else {
            return Ok(Passage::Whole);
        };
        if request.method != Method::PATCH {
            return Ok(Passage::Whole);
        }
        let patch = Patch::parse(request.body.held())?;
        let changes = patch.changes();
        let changes = changes.iter().map(|(path, value)| Change {
            path,
            value: value.as_ref(),
        });
        Ok(self.guard.gate.check_patch(identity, row, changes)?)
    }

    fn authorise(
        &self,
        identity: Option<&Identity>,
        row: Option<&'static Row>,
    ) -> Result<Passage, Denied> {
        match (identity, row) {
            (Some(identity), row) => self.guard.gate.check(identity, row),
            (None, Some(row)) if self.guard.authenticator.knows_rights() => {
                self.guard.gate.check_public(row)
            }
            (None, _) => Ok(Passage::Whole),
        }
    }

    /// What others may have, too, and hide, a project makes and changes as its own.
    fn reach(&self, identity: Option<&Identity>, target: &Target) -> Reach {
        let is_hidden = |row: &Row| matches!(row.about, About::NewRunbook | About::Runbook);
        let is_tenant = |identity: &&Identity| self.guard.gate.is_tenant(identity);
        match identity.filter(is_tenant) {
            Some(tenant) if target.row().is_some_and(is_hidden) => {
                let project = tenant.caller().and_then(|caller| caller.project());
                Reach::Own(project.map(|project| project.id.to_owned()))
            }
            _ => Reach::Everything,
        }
    }

    /// Whether our own credentials may be used for this: then it is for us to say who may. A location that gets the
    /// user's token says so itself; but a write asks the other locations too, whether what it claims is taken.
    fn is_gated(&self, method: &Method, pinned: Option<LocationId>) -> bool {
        match pinned {
            Some(id) if method.is_safe() => !self.locations.location(id).config.forward_user_token,
            _ => !self
                .locations
                .iter()
                .all(|location| location.config.forward_user_token),
        }
    }

    /// A location that is named by the header is asked in versions of its own, and so is one that is named by the path.
    fn aim<'h>(&self, head: &'h RequestHeader) -> Result<Aim<'h>, Refusal> {
        let pinned = self.pinned(&head.headers)?;
        let path = head.uri.path();
        let Some(below) = path
            .strip_prefix(LOCATIONS)
            .filter(|_| self.location_endpoints)
        else {
            return Ok(Aim {
                location: pinned,
                path,
                prefix: None,
            });
        };
        let end = below.find('/').unwrap_or(below.len());
        let (name, rest) = below.split_at(end);
        let location = self.locations.by_name(name).ok_or(Refusal::NoEndpoint)?;
        if pinned.is_some_and(|pinned| pinned != location.id) {
            return Err(Refusal::TwoLocations {
                path: location.name().to_owned(),
            });
        }
        Ok(Aim {
            location: Some(location.id),
            path: if rest.is_empty() { "/" } else { rest },
            prefix: Some(format!("{LOCATIONS}{}", location.name())),
        })
    }

    fn pinned(&self, headers: &HeaderMap) -> Result<Option<LocationId>, Refusal> {
        let Some(value) = headers.get(header::LOCATION) else {
            return Ok(None);
        };
        // No location has an empty name.
        let name = value.to_str().unwrap_or_default();
        match self.locations.by_name(name) {
            Some(location) => Ok(Some(location.id)),
            None => Err(Refusal::NoLocation(name.to_owned())),
        }
    }

    fn partial(&self, headers: &HeaderMap) -> Result<Partial, Refusal> {
        match headers.get(header::PARTIAL).map(HeaderValue::as_bytes) {
            None => Ok(self.partial),
            Some(word) if word.eq_ignore_ascii_case(b"allow") => Ok(Partial::Allow),
            Some(word) if word.eq_ignore_ascii_case(b"deny") => Ok(Partial::Deny),
            Some(_) => Err(Refusal::Partial),
        }
    }
}

impl MaxBody {
    fn limits(&self, payload: Option<Payload>) -> BodyLimits {
        BodyLimits {
            size: match payload {
                Some(Payload::Provision) => self.provision,
                Some(Payload::Inspection) => self.inspection,
                Some(Payload::Ordinary | Payload::Vendor) | None => self.plain,
            },
            // What a driver's own method takes may be anything.
            depth: (payload != Some(Payload::Vendor)).then_some(self.depth),
        }
    }
}

fn is_ramdisk(target: &Target) -> bool {
    target.row().is_some_and(|row| {
        matches!(
            row.action,
            Action::Lookup | Action::Heartbeat | Action::ContinueInspection
        )
    })
}
