//! The answers of the admin listener.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Instant;

use http::Response;
use http::StatusCode;
use http::header;
use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use serde_json::json;

use crate::admin::controls::Asked;
use crate::admin::controls::Controls;
use crate::admin::documents;
use crate::admin::documents::Process;
use crate::admin::exposition::Exposition;
use crate::admin::exposition::Form;
use crate::admin::finding;
use crate::admin::overview;
use crate::admin::overview::view::View;
use crate::admin::route::Route;
use crate::admin::route::Unrouted;
use crate::api::accept::Accept;
use crate::config::State;
use crate::control::ReloadError;
use crate::control::UpgradeError;
use crate::federate::Federation;
use crate::locations::location::Location;
use crate::locations::order::Order;
use crate::locations::question::Asker;
use crate::sync::Mode;
use crate::sync::board;
use crate::sync::board::Refusal;

/// The origin of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// On the socket, whose mode says who may; the user's number as the kernel tells it.
    Socket { uid: Option<u32> },
    /// On loopback, where everybody on this machine may read.
    Loopback,
}

/// A request to the admin listener.
#[derive(Debug)]
pub struct Call<'a> {
    pub head: &'a pingora::http::RequestHeader,
    pub body: &'a [u8],
    pub from: &'a From,
}

/// Answers requests of operators.
#[derive(Debug)]
pub struct Desk {
    controls: Arc<dyn Controls>,
    started: Timestamp,
    exposition: Exposition,
    /// Connections that are open.
    visits: AtomicUsize,
}

/// A connection, until it is dropped.
#[derive(Debug)]
pub struct Visit<'a>(&'a AtomicUsize);

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// `PUT /locations/NAME/state`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewState {
    state: State,
    reason: Option<String>,
    /// The caller's own name for the log; the uid beside it comes from the kernel (`SO_PEERCRED`).
    by: Option<String>,
}

/// `POST /sync`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRun {
    /// Whether what is missing is copied.
    #[serde(default)]
    apply: bool,
}

/// `POST /explain`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToExplain {
    method: String,
    path: String,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    /// The JSON document that would be sent.
    body: Option<Box<serde_json::value::RawValue>>,
}

type Answer = Response<Vec<u8>>;

impl Desk {
    pub fn new(controls: Arc<dyn Controls>) -> Self {
        let started = Timestamp::now();
        Self {
            controls,
            started,
            exposition: Exposition::new(started),
            visits: AtomicUsize::new(0),
        }
    }

    /// Somebody has connected.
    pub fn visit(&self) -> Visit<'_> {
        self.visits.fetch_add(1, Ordering::Relaxed);
        Visit(&self.visits)
    }

    pub async fn answer(&self, call: Call<'_>) -> Answer {
        let uri = &call.head.uri;
        let route = match Route::read(&call.head.method, uri.path(), uri.query()) {
            Ok(route) => route,
            Err(Unrouted::NotFound) => return told(StatusCode::NOT_FOUND, "there is no such path"),
            Err(Unrouted::Path) => return told(StatusCode::BAD_REQUEST, "the path is not UTF-8"),
            Err(Unrouted::Method(method)) => {
                let mut answer = told(
                    StatusCode::METHOD_NOT_ALLOWED,
                    &format!("{method} is expected"),
                );
                let allow = http::HeaderValue::from_static(method);
                answer.headers_mut().insert(header::ALLOW, allow);
                return answer;
            }
        };
        if let Err(error) = may_come(&route, &call) {
            return told(StatusCode::FORBIDDEN, error);
        }
        Box::pin(self.serve(route, call)).await
    }

    async fn serve(&self, route: Route, call: Call<'_>) -> Answer {
        let federation = self.controls.federation();
        let process = Process {
            lifecycle: self.controls.lifecycle(),
            federation: &federation,
            started: self.started,
            in_flight: self.controls.in_flight(),
        };
        match route {
            // Liveness is about this process alone: a location that is down must not make Kubernetes restart the
            // gateway.
            Route::Live => match process.lifecycle.stuck(Instant::now()) {
                None => text(StatusCode::OK, "OK"),
                Some(name) => text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    &format!("the background task {name} is stuck"),
                ),
            },
            Route::Ready => match process.readiness() {
                Ok(()) => text(StatusCode::OK, "OK"),
                Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, &reason),
            },
            Route::Status if prefers_html(call.head) => self.page(&process, call.head.uri.query()),
            Route::Status => document(&process.status()),
            Route::Metrics => self.metrics(call.head),
            Route::Locations => document(&json!({"locations": documents::sites(&federation)})),
            Route::Location(name) => match federation.locations.by_name(&name) {
                Some(location) => document(&one(&federation, location)),
                None => no_location(&name),
            },
            Route::SetState(_) | Route::Drain if process.lifecycle.is_bequeathed() => told(
                StatusCode::SERVICE_UNAVAILABLE,
                "an upgrade is under way: say it again",
            ),
            Route::SetState(name) => match federation.locations.by_name(&name) {
                Some(location) => set_state(&federation, location, &call),
                None => no_location(&name),
            },
            Route::Locate { ident, ask: false } => {
                document(&finding::remembered(&federation, &ident))
            }
            Route::Locate { ident, ask: true } => {
                let asker = Asker::gateway(&self.controls.transport(), finding::PATIENCE);
                document(&finding::asked(&federation, &asker, &ident).await)
            }
            Route::Explain => self.explain(call.body).await,
            Route::Sync => match self.controls.board().latest() {
                Some(progress) => document(&progress.now()),
                None => told(StatusCode::NOT_FOUND, "there was no run since the start"),
            },
            Route::BeginSync => self.begin_sync(call.body),
            Route::StopSync => self.stop_sync(),
            Route::Reload => self.reload().await,
            Route::Upgrade => self.upgrade().await,
            Route::Drain => {
                self.controls.handle().drain();
                answer(StatusCode::ACCEPTED, &json!({"stage": "draining"}))
            }
        }
    }

    fn page(&self, process: &Process<'_>, query: Option<&str>) -> Answer {
        let view = View::read(query);
        let page = match overview::page(&*self.controls, process, &view) {
            Ok(page) => page,
            Err(error) => return told(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        };
        let mut answer = with_type(StatusCode::OK, "text/html; charset=UTF-8", page.into());
        let headers = answer.headers_mut();
        if let Ok(policy) = http::HeaderValue::from_str(&overview::POLICY) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        if view.pause > 0 {
            // As a header and not in the document, which so can be saved as it was.
            headers.insert(header::REFRESH, view.pause.into());
        }
        answer
    }

    fn metrics(&self, head: &pingora::http::RequestHeader) -> Answer {
        let form = Form::of(&Accept::of(&head.headers));
        let visits = self.visits.load(Ordering::Relaxed);
        match self.exposition.page(&self.controls, visits, form) {
            Ok(page) => with_type(StatusCode::OK, form.content_type(), page.into()),
            Err(error) => told(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    async fn explain(&self, body: &[u8]) -> Answer {
        let wanted: ToExplain = match serde_json::from_slice(body) {
            Ok(wanted) => wanted,
            Err(error) => return told(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        let parsed = (|| {
            let mut headers = http::HeaderMap::new();
            for (name, value) in &wanted.headers {
                headers.append(
                    http::HeaderName::try_from(name).ok()?,
                    http::HeaderValue::try_from(value).ok()?,
                );
            }
            Some(Asked {
                method: wanted.method.parse().ok()?,
                target: wanted.path.parse().ok()?,
                headers,
                body: wanted
                    .body
                    .as_ref()
                    .map(|body| body.get().to_owned().into()),
            })
        })();
        match parsed {
            Some(asked) => document(&self.controls.explain(asked).await),
            None => told(
                StatusCode::BAD_REQUEST,
                "method, path or headers are not valid HTTP",
            ),
        }
    }

    fn begin_sync(&self, body: &[u8]) -> Answer {
        let wanted = if body.is_empty() {
            Ok(NewRun::default())
        } else {
            serde_json::from_slice(body)
        };
        let mode = match wanted {
            Ok(NewRun { apply: false }) => Mode::Show,
            Ok(NewRun { apply: true }) => Mode::Apply,
            Err(error) => return told(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        let begun = board::allow(mode, &self.controls.current().config)
            .and_then(|()| self.controls.board().begin(mode));
        match begun {
            Ok(progress) => answer(StatusCode::ACCEPTED, &progress.now()),
            Err(error @ (Refusal::UnderWay | Refusal::ReadOnly)) => {
                told(StatusCode::CONFLICT, &error.to_string())
            }
            Err(error @ Refusal::Stopping) => {
                told(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
            }
        }
    }

    fn stop_sync(&self) -> Answer {
        match self.controls.board().latest() {
            Some(progress) => {
                progress.stop();
                answer(StatusCode::ACCEPTED, &progress.now())
            }
            None => told(StatusCode::NOT_FOUND, "there was no run since the start"),
        }
    }

    async fn reload(&self) -> Answer {
        match self.controls.handle().reload().await {
            Ok(changes) => document(&json!({"reloaded": true, "changes": changes})),
            Err(ReloadError::Faults(faults)) => {
                let body = json!({"reloaded": false, "faults": faults});
                answer(StatusCode::UNPROCESSABLE_ENTITY, &body)
            }
            Err(error @ ReloadError::Stopping) => {
                told(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
            }
        }
    }

    async fn upgrade(&self) -> Answer {
        match self.controls.handle().upgrade().await {
            Ok(pid) => document(&json!({"upgraded": true, "pid": pid})),
            Err(error @ UpgradeError::Failed(_)) => {
                let body = json!({"upgraded": false, "error": error.to_string()});
                answer(StatusCode::UNPROCESSABLE_ENTITY, &body)
            }
            Err(error @ UpgradeError::NotNow) => {
                told(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
            }
        }
    }
}

fn one(federation: &Federation, location: &Location) -> documents::Site {
    let counts = federation.locator.nodes_by_location();
    let nodes = counts.get(&location.id).copied().unwrap_or_default();
    documents::site(federation, location, nodes)
}

fn set_state(federation: &Federation, location: &Location, call: &Call<'_>) -> Answer {
    let wanted: NewState = match serde_json::from_slice(call.body) {
        Ok(wanted) => wanted,
        Err(error) => return told(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let uid = match call.from {
        From::Socket { uid } => *uid,
        From::Loopback => None,
    };
    let by = match (wanted.by, uid) {
        (Some(name), Some(uid)) => Some(format!("{name} (uid {uid})")),
        (Some(name), None) => Some(name),
        (None, uid) => uid.map(|uid| format!("uid {uid}")),
    };
    let order = Order {
        state: wanted.state,
        reason: wanted.reason.filter(|reason| !reason.is_empty()),
        by,
        since: Some(Timestamp::now()),
    };
    let kept = federation.locations.order(location.id, order);
    let mut body = json!(one(federation, location));
    // The state is in force, so these are no errors; they are no plain success either.
    let lost = kept
        .err()
        .map(|error| format!("will be lost at a restart: {error}"));
    let unheard = federation.backend.as_ref().and_then(|backend| {
        backend.news.notify_one();
        let why = backend.condition().why?;
        Some(format!(
            "will be known to the other gateways once the coordination backend can be used: {why}"
        ))
    });
    let reservations: Vec<_> = lost.into_iter().chain(unheard).collect();
    if !reservations.is_empty() {
        let text = format!("the state is in force, and {}", reservations.join("; and "));
        body["warning"] = json!(text);
    }
    document(&body)
}

fn no_location(name: &str) -> Answer {
    told(
        StatusCode::NOT_FOUND,
        &format!("there is no location {name:?}"),
    )
}

fn document(body: &impl Serialize) -> Answer {
    answer(StatusCode::OK, body)
}

pub(super) fn told(status: StatusCode, error: &str) -> Answer {
    answer(status, &json!({"error": error}))
}

fn answer(status: StatusCode, body: &impl Serialize) -> Answer {
    let mut body = serde_json::to_vec(body).unwrap_or_default();
    body.push(b'\n');
    with_type(status, "application/json", body)
}

fn text(status: StatusCode, line: &str) -> Answer {
    with_type(
        status,
        "text/plain; charset=UTF-8",
        format!("{line}\n").into(),
    )
}

fn with_type(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        http::HeaderValue::from_static(content_type),
    );
    headers.insert(
        header::CACHE_CONTROL,
        // The answers are about this moment, and `/explain` may show what a caller may do.
        http::HeaderValue::from_static("no-store"),
    );
    for (name, value) in [
        (header::VARY, "accept"),
        // They quote names and texts that come from elsewhere, and are opened in browsers.
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, http::HeaderValue::from_static(value));
    }
    answer
}

/// `/status` is a page for those who want HTML more than JSON, as browsers do.
fn prefers_html(head: &pingora::http::RequestHeader) -> bool {
    let accept = Accept::of(&head.headers);
    accept.quality("text", "html") > accept.quality("application", "json")
}

/// Who may ask this. The loopback listener is read only, and a browser may be at the other end of either door, whose pages
/// come from anywhere: `ssh -L` makes an address of the socket.
fn may_come(route: &Route, call: &Call<'_>) -> Result<(), &'static str> {
    let headers = &call.head.headers;
    let name = headers.get(header::HOST).map(Name::of);
    match (call.from, name) {
        // Browsers always send `Host`, so a request without one comes from a tool. For a socket tools write anything, and
        // nobody's domain is without a dot.
        (_, None | Some(Name::Loopback)) | (From::Socket { .. }, Some(Name::Bare)) => {}
        // DNS rebinding: a web page's own name can resolve to 127.0.0.1, and the browser sends that name as Host.
        (_, Some(Name::Bare | Name::Other)) => {
            return Err("Host must be a loopback address or localhost");
        }
    }
    if *call.from == From::Loopback && route.changes() {
        return Err("changes are taken on the admin socket only");
    }
    // Browsers let any page post a form or a text; they say whose page it is (Fetch, 3.2).
    if !call.head.method.is_safe() && headers.contains_key(header::ORIGIN) {
        return Err("a page in a browser has no say here");
    }
    Ok(())
}

/// What a request calls us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Loopback,
    /// Without a dot.
    Bare,
    Other,
}

impl Name {
    fn of(host: &http::HeaderValue) -> Self {
        let host = host.to_str().ok();
        let Some(authority) = host.and_then(|host| host.parse::<http::uri::Authority>().ok())
        else {
            return Self::Other;
        };
        let name = authority.host();
        let bare = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .unwrap_or(name);
        match bare.parse::<std::net::IpAddr>() {
            Ok(address) if address.is_loopback() => Self::Loopback,
            Ok(_) => Self::Other,
            Err(_) if name.eq_ignore_ascii_case("localhost") => Self::Loopback,
            Err(_) if name.contains('.') => Self::Other,
            Err(_) => Self::Bare,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_are_called() {
        for (host, name) in [
            ("localhost", Name::Loopback),
            ("LOCALHOST:9385", Name::Loopback),
            ("127.0.0.1:9385", Name::Loopback),
            ("127.8.8.8", Name::Loopback),
            ("[::1]:9385", Name::Loopback),
            ("socket", Name::Bare),
            ("evil.example:9385", Name::Other),
            ("localhost.evil.example", Name::Other),
            ("192.0.2.1", Name::Other),
            ("0.0.0.0:9385", Name::Other),
            ("[2001:db8::1]", Name::Other),
            ("", Name::Other),
            ("a b", Name::Other),
        ] {
            let value = http::HeaderValue::from_static(host);
            assert_eq!(Name::of(&value), name, "{host}");
        }
    }
}
