//! The door: what a client sends is understood here, once, or refused.

use std::sync::Arc;

use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use pingora::http::RequestHeader;
use pingora_proxy::Session;

use crate::api::body::Patch;
use crate::api::fault::Fault;
use crate::api::header;
use crate::api::link::Base;
use crate::api::microversion::Microversion;
use crate::api::microversion::NotAcceptable;
use crate::api::microversion::Requested;
use crate::api::microversion::VersionRange;
use crate::api::query::Query;
use crate::api::route::Action;
use crate::api::route::PathError;
use crate::api::route::Route;
use crate::api::route::Target;
use crate::api::version_document;
use crate::auth::access::Access;
use crate::auth::access::Change;
use crate::auth::access::Denied;
use crate::config::Config;
use crate::config::LocationId;
use crate::config::Partial;
use crate::gateway::Context;
use crate::gateway::Gateway;
use crate::gateway::respond;
use crate::gateway::respond::BodyLimits;
use crate::locations::question::Asker;
use crate::locations::question::Standpoint;
use crate::request::Answer;
use crate::request::Request;

/// Query parameters that decide where a request goes: repeated, they could be read two ways.
const ROUTING: &[&str] = &["node", "node_uuid", "portgroup", "marker"];

/// What the door needs of the configuration.
#[derive(Debug)]
pub struct Door {
    public_endpoint: Option<Base>,
    proxy_headers: bool,
    scheme: &'static str,
    partial: Partial,
    healthcheck: bool,
    ramdisk: bool,
    max_body: usize,
    max_body_provision: usize,
    max_body_inspection: usize,
    max_depth: usize,
}

/// A request that came in.
#[derive(Debug)]
pub struct Admitted {
    pub request: Request,
    pub limits: BodyLimits,
}

impl Door {
    pub fn new(config: &Config) -> Self {
        Self {
            public_endpoint: config
                .api
                .public_endpoint
                .as_deref()
                .and_then(|text| Base::parse(text).ok()),
            proxy_headers: config.proxy_headers,
            scheme: if config.api.tls.is_some() {
                "https"
            } else {
                "http"
            },
            partial: config.api.partial_lists,
            healthcheck: config.healthcheck,
            ramdisk: config.api.ramdisk,
            max_body: config.api.max_body,
            max_body_provision: config.api.max_body_provision,
            max_body_inspection: config.api.max_body_inspection,
            max_depth: config.api.max_depth,
        }
    }

    /// Everything that is decided by the head of a request, in Ironic's order: who asks, then which version, then what.
    /// The other outcome is an answer from right here: a document, or a refusal.
    pub async fn enter(
        &self,
        gateway: &Gateway,
        session: &Session,
        context: &mut Context,
    ) -> Result<Admitted, Box<Answer>> {
        let head = session.req_header();
        check_framing(head, &session.as_downstream().to_h1_raw()).map_err(refuse)?;
        if let Some(answer) = self.answer_early(gateway, head) {
            return Err(Box::new(answer));
        }
        let target = Target::parse(&head.method, head.uri.path());
        if !self.is_public(&target) {
            match gateway.authenticator.authenticate(&head.headers).await {
                Ok(identity) => context.identity = Some(identity),
                Err(error) => return Err(Box::new(challenge(error.answer()))),
            }
        }
        let spoken = Self::speak(gateway, head, &target, context)?;
        let target = target.map_err(|error| refuse(bad_path(&error)))?;
        let (range, version) = spoken.map_err(refuse)?;
        if let Route::WrongMethod { allowed } = &target.route {
            return Err(Box::new(wrong_method(&target, allowed)));
        }
        let base = self.base(head).map_err(refuse)?;
        let document = match target.route {
            Route::Root => Some(version_document::root(base.as_str(), range)),
            Route::V1 => Some(version_document::v1(base.as_str(), range, version)),
            Route::Known { .. }
            | Route::UnknownBelow { .. }
            | Route::UnknownCollection
            | Route::WrongMethod { .. } => None,
        };
        if let Some(text) = document {
            return Err(Box::new(Answer::json(StatusCode::OK, text.into())));
        }
        if is_ramdisk(&target) && !self.ramdisk {
            return Err(refuse(Fault::new(StatusCode::FORBIDDEN, RAMDISK_OFF)));
        }
        self.admit(gateway, head, context, target, base, (range, version))
            .map_err(refuse)
    }

    /// What is asked of the gateway itself, by anybody.
    fn answer_early(&self, gateway: &Gateway, head: &RequestHeader) -> Option<Answer> {
        let path = head.uri.path();
        if head.method == Method::OPTIONS && path != "/" {
            return Some(Answer::default());
        }
        let health_is_asked = self.healthcheck && path.trim_end_matches('/') == "/healthcheck";
        health_is_asked.then(|| health(gateway, &head.method))
    }

    fn is_public(&self, target: &Result<Target, PathError>) -> bool {
        target.as_ref().is_ok_and(|target| {
            matches!(target.route, Route::Root | Route::V1) || (self.ramdisk && is_ramdisk(target))
        })
    }

    /// The version to speak. A path that is refused is refused first, whatever the version.
    fn speak(
        gateway: &Gateway,
        head: &RequestHeader,
        target: &Result<Target, PathError>,
        context: &mut Context,
    ) -> Result<Result<(VersionRange, Microversion), Fault>, Box<Answer>> {
        let Some(range) = gateway.federation.locations.common() else {
            let text = "No location has told its API versions yet, please retry.";
            return Err(refuse(Fault::new(StatusCode::SERVICE_UNAVAILABLE, text)));
        };
        match range.resolve(Requested::from_headers(&head.headers)) {
            Ok(version) => {
                context.versions = Some((range, Some(version)));
                Ok(Ok((range, version)))
            }
            Err(error) => {
                context.versions = (error != NotAcceptable::Invalid).then_some((range, None));
                let at_root = target
                    .as_ref()
                    .is_ok_and(|target| target.route == Route::Root);
                let (status, text) = (StatusCode::NOT_ACCEPTABLE, error.to_string());
                Ok(Err(if at_root {
                    Fault::new(status, text)
                } else {
                    Fault::routing(status, text)
                }))
            }
        }
    }

    fn admit(
        &self,
        gateway: &Gateway,
        head: &RequestHeader,
        context: &Context,
        target: Target,
        base: Base,
        (range, version): (VersionRange, Microversion),
    ) -> Result<Admitted, Fault> {
        let pinned = pinned(gateway, &head.headers)?;
        if is_gated(gateway, &head.method, pinned) {
            authorise(gateway, context, &head.method, &target.route)?;
        }
        let query = Query::parse(head.uri.query())
            .map_err(|error| Fault::bad_request(error.to_string()))?;
        if let Some(name) = query.repeated(ROUTING) {
            return Err(Fault::bad_request(format!(
                "Unexpected repeated argument: {name}"
            )));
        }
        let limits = self.limits(&target.route);
        let announced = head
            .headers
            .get(http::header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: usize| length > limits.size) {
            return Err(respond::too_large());
        }
        let standing = if is_ramdisk(&target) {
            Standpoint::Anonymous
        } else {
            Standpoint::Authorised
        };
        let request = Request {
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            query,
            range,
            version,
            pinned,
            partial: self.partial(&head.headers)?,
            base,
            headers: passing(&head.headers),
            asker: Asker {
                transport: Arc::clone(&gateway.transport),
                request_id: context.request_id.for_locations(),
                token: gateway.authenticator.user_token(&head.headers),
                standing,
            },
            target,
        };
        Ok(Admitted { request, limits })
    }

    /// What a patch may change depends on who sends it.
    pub fn check_patch(
        &self,
        gateway: &Gateway,
        request: &Request,
        context: &Context,
        body: &[u8],
    ) -> Result<(), Fault> {
        // What is sent to a vendor's method is no patch, whatever the HTTP method.
        let (
            Some(identity),
            Route::Known {
                action: Action::Member(_),
                template,
                ..
            },
        ) = (&context.identity, &request.target.route)
        else {
            return Ok(());
        };
        if request.method != Method::PATCH || !is_gated(gateway, &request.method, request.pinned) {
            return Ok(());
        }
        let patch = Patch::parse(body).map_err(|error| Fault::bad_request(error.to_string()))?;
        let changes = patch.changes();
        let changes = changes.iter().map(|(path, value)| Change {
            path,
            value: value.as_ref(),
        });
        gateway
            .gate
            .check_patch(identity, template, changes)
            .map_err(Denied::fault)
    }

    fn limits(&self, route: &Route) -> BodyLimits {
        let depth = Some(self.max_depth);
        match route {
            Route::Known {
                template: "nodes/{}/states/provision",
                ..
            } => BodyLimits {
                size: self.max_body_provision,
                depth,
            },
            Route::Known {
                action: Action::ContinueInspection,
                ..
            } => BodyLimits {
                size: self.max_body_inspection,
                depth,
            },
            Route::Known { template, .. } if template.contains("vendor_passthru") => BodyLimits {
                size: self.max_body,
                depth: None,
            },
            _ => BodyLimits {
                size: self.max_body,
                depth,
            },
        }
    }

    fn partial(&self, headers: &HeaderMap) -> Result<Partial, Fault> {
        match headers.get(header::PARTIAL).map(HeaderValue::as_bytes) {
            None => Ok(self.partial),
            Some(word) if word.eq_ignore_ascii_case(b"allow") => Ok(Partial::Allow),
            Some(word) if word.eq_ignore_ascii_case(b"deny") => Ok(Partial::Deny),
            Some(_) => Err(Fault::bad_request(
                "X-Ironic-Proxy-Partial must be allow or deny",
            )),
        }
    }

    /// Where the client finds us: as configured, else as a proxy in front says, else as the client says.
    fn base(&self, head: &RequestHeader) -> Result<Base, Fault> {
        if let Some(base) = &self.public_endpoint {
            return Ok(base.clone());
        }
        let text = |name: &str| {
            head.headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::trim)
        };
        let host = text("host").unwrap_or_default();
        let forwarded = if self.proxy_headers {
            Forwarded::read(&head.headers)
        } else {
            Forwarded::default()
        };
        let base = format!(
            "{}://{}{}",
            forwarded.proto.as_deref().unwrap_or(self.scheme),
            forwarded.host.as_deref().unwrap_or(host),
            forwarded
                .prefix
                .as_deref()
                .unwrap_or_default()
                .trim_end_matches('/'),
        );
        let authority = forwarded.host.as_deref().unwrap_or(host);
        let plain = authority
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
        Base::parse(&base)
            .ok()
            .filter(|_| plain)
            .ok_or_else(|| Fault::bad_request("The Host header is not valid"))
    }
}

fn authorise(
    gateway: &Gateway,
    context: &Context,
    method: &Method,
    route: &Route,
) -> Result<(), Fault> {
    let Some(identity) = &context.identity else {
        return Ok(());
    };
    let access = match route {
        Route::Known { template, .. } => Access::Known { method, template },
        _ => Access::Unknown,
    };
    gateway.gate.check(identity, access).map_err(Denied::fault)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn refuse(fault: Fault) -> Box<Answer> {
    Box::new(respond::fault(&fault))
}

fn wrong_method(target: &Target, allowed: &str) -> Answer {
    let fault = if target.segments().is_empty() {
        Fault::new(StatusCode::METHOD_NOT_ALLOWED, MALFORMED)
    } else {
        Fault::routing(StatusCode::METHOD_NOT_ALLOWED, "")
    };
    respond::wrong_method(&fault, allowed)
}

/// What a proxy in front of us tells of the client's own request (RFC 7239, else `X-Forwarded-*`); of a list the first
/// entry, which is the client's.
#[derive(Default)]
struct Forwarded {
    proto: Option<String>,
    host: Option<String>,
    prefix: Option<String>,
}

impl Forwarded {
    fn read(headers: &HeaderMap) -> Self {
        let first = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?.split(',').next()?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let prefix = first("x-forwarded-prefix");
        if let Some(entry) = first("forwarded") {
            let parameter = |wanted: &str| {
                entry.split(';').find_map(|pair| {
                    let (name, value) = pair.split_once('=')?;
                    name.trim()
                        .eq_ignore_ascii_case(wanted)
                        .then(|| value.trim().trim_matches('"').to_owned())
                })
            };
            return Self {
                proto: parameter("proto"),
                host: parameter("host"),
                prefix,
            };
        }
        Self {
            proto: first("x-forwarded-proto"),
            host: first("x-forwarded-host"),
            prefix,
        }
    }
}

/// What Ironic says to other methods on `/v1`.
const MALFORMED: &str = "The server could not comply with the request since it is either malformed or otherwise incorrect.";

/// In Ironic's words (`[api] enable_ramdisk_endpoints`).
const RAMDISK_OFF: &str = "Ramdisk endpoints are disabled on this API: a ramdisk talks to the Ironic of its own location.";

fn is_ramdisk(target: &Target) -> bool {
    matches!(
        target.route,
        Route::Known {
            action: Action::Lookup | Action::Heartbeat | Action::ContinueInspection,
            ..
        }
    )
}

/// What two HTTP parsers could understand differently.
fn check_framing(head: &RequestHeader, raw: &[u8]) -> Result<(), Fault> {
    // Pingora takes more than it shows afterwards: blanks and fragments in a target, a length beside chunks.
    let mut lines = raw.split(|&byte| byte == b'\n');
    let request_line: Vec<&[u8]> = lines
        .next()
        .unwrap_or_default()
        .trim_ascii_end()
        .split(|&byte| byte == b' ')
        .collect();
    let target_is_path = matches!(request_line[..], [_, target, _] if target.starts_with(b"/") && !target.contains(&b'#'));
    if !target_is_path {
        return Err(Fault::bad_request(
            "Exactly one path is expected as the request target",
        ));
    }
    let length_line = |line: &[u8]| {
        line.get(..15)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"content-length:"))
    };
    if head.headers.contains_key(http::header::TRANSFER_ENCODING) && lines.any(length_line) {
        return Err(Fault::bad_request(
            "Exactly one of Content-Length and Transfer-Encoding is expected",
        ));
    }
    let count = |name: &str| head.headers.get_all(name).iter().count();
    let hosts = count("host");
    if hosts != 1 {
        return Err(Fault::bad_request("Exactly one Host header is expected"));
    }
    if count("content-length") > 1 {
        return Err(Fault::bad_request("More than one Content-Length header"));
    }
    if count("upgrade") > 0 {
        return Err(Fault::bad_request("Upgrade is not supported"));
    }
    for name in [
        "x-auth-token",
        "authorization",
        "x-ironic-proxy-location",
        "x-ironic-proxy-partial",
    ] {
        if count(name) > 1 {
            return Err(Fault::bad_request(format!("More than one {name} header")));
        }
    }
    // What is not ASCII is lost when the path is read as an URI.
    if !head.raw_path().is_ascii() {
        return Err(Fault::bad_request(
            "The path is not valid percent-encoded UTF-8",
        ));
    }
    if count("content-encoding") > 0
        && head
            .headers
            .get("content-encoding")
            .is_some_and(|value| value != "identity")
    {
        return Err(Fault::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Encoding is not supported",
        ));
    }
    Ok(())
}

fn bad_path(error: &PathError) -> Fault {
    match error {
        PathError::NotFound => Fault::not_found(),
        PathError::NoSuchResource | PathError::NoSuchShard => {
            Fault::new(StatusCode::NOT_FOUND, error.to_string())
        }
        PathError::Unreadable(_) => Fault::routing(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

fn challenge(answer: crate::auth::Answer) -> Answer {
    let mut ours = Answer::json(answer.status, answer.body);
    if let Some(challenge) = answer.challenge {
        ours.headers
            .insert(http::header::WWW_AUTHENTICATE, challenge);
    }
    if let Some(seconds) = answer.retry_after {
        ours.headers
            .insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    ours
}

fn passing(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| header::passes_upstream(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Whether our own credentials may be used for this: then it is for us to say who may. A location that gets the user's
/// token says so itself; but a write asks the other locations too, whether what it claims is taken.
fn is_gated(gateway: &Gateway, method: &Method, pinned: Option<LocationId>) -> bool {
    let locations = &gateway.federation.locations;
    match pinned {
        Some(id) if method.is_safe() => !locations.location(id).config.forward_user_token,
        _ => !locations
            .iter()
            .all(|location| location.config.forward_user_token),
    }
}

fn pinned(gateway: &Gateway, headers: &HeaderMap) -> Result<Option<LocationId>, Fault> {
    let Some(value) = headers.get(header::LOCATION) else {
        return Ok(None);
    };
    let name = value.to_str().unwrap_or_default();
    match gateway.federation.locations.by_name(name) {
        Some(location) => Ok(Some(location.id)),
        None => Err(Fault::bad_request(format!("There is no location {name:?}"))),
    }
}

/// `oslo.middleware`'s health check: well as long as some location can be asked.
fn health(gateway: &Gateway, method: &Method) -> Answer {
    let well = gateway
        .federation
        .locations
        .iter()
        .any(|location| location.standing().is_some() && location.is_reachable());
    let (status, text) = match (well, method == Method::HEAD) {
        (true, true) => (StatusCode::NO_CONTENT, ""),
        (true, false) => (StatusCode::OK, "OK"),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "no location can be asked"),
    };
    let mut answer = Answer {
        status,
        body: text.into(),
        ..Answer::default()
    };
    answer.headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=UTF-8"),
    );
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer
            .headers
            .insert(http::header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    answer
}
