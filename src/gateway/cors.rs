//! What browsers are told about pages of other origins, by the rules of oslo.middleware's `cors.py`. A pure decision on
//! heads; nothing of it lets anybody in who had not come in without it.

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header;

use crate::config::CorsConfig;
use crate::request::Answer;

/// Let in without being named: oslo.middleware's, and those that `IronicCORS` adds (`ironic/api/app.py`).
const SIMPLE: [&str; 12] = [
    "accept",
    "accept-language",
    "content-type",
    "cache-control",
    "content-language",
    "expires",
    "last-modified",
    "pragma",
    "x-auth-token",
    "x-openstack-ironic-api-maximum-version",
    "x-openstack-ironic-api-minimum-version",
    "x-openstack-ironic-api-version",
];
const EVERY: HeaderValue = HeaderValue::from_static("*");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const ORIGIN: HeaderValue = HeaderValue::from_static("Origin");

/// The request of a browser, and what it is to be told.
#[derive(Debug, Clone, Copy)]
pub struct Cors<'a> {
    pub config: &'a CorsConfig,
    pub method: &'a Method,
    pub asked: &'a HeaderMap,
}

impl Cors<'_> {
    /// An answer of our own, as browsers want it.
    pub fn answer(&self, answer: &mut Answer) {
        if self.method == Method::OPTIONS {
            // What refuses an OPTIONS refuses a question that browsers ask without any credential.
            if !answer.status.is_success() {
                *answer = Answer::empty(StatusCode::OK);
            }
            self.preflight(&mut answer.headers);
        } else {
            self.head(&mut answer.headers);
        }
    }

    /// The head of an answer, whoever gives it.
    pub fn head(&self, head: &mut HeaderMap) {
        let Some(origin) = self.origin() else {
            return;
        };
        // Caches must not give one origin's answer to another (Fetch standard, CORS protocol and HTTP caches).
        head.append(header::VARY, ORIGIN);
        self.allow(origin, head);
        if let Some(exposed) = &self.config.exposed {
            head.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }

    /// Fetch standard, CORS-preflight request: may a request with this method and these headers follow?
    fn preflight(&self, head: &mut HeaderMap) {
        let Some(origin) = self.origin() else {
            return;
        };
        let Some(method) = self.asked.get(header::ACCESS_CONTROL_REQUEST_METHOD) else {
            return;
        };
        if !self
            .config
            .methods
            .iter()
            .any(|allowed| allowed.as_bytes() == method.as_bytes())
        {
            return;
        }
        let Some(wanted) = names(self.asked, &header::ACCESS_CONTROL_REQUEST_HEADERS) else {
            return;
        };
        if !wanted.iter().all(|name| self.lets(name)) {
            return;
        }
        head.insert(header::VARY, ORIGIN);
        self.allow(origin, head);
        if let Some(seconds) = self.config.max_age {
            head.insert(header::ACCESS_CONTROL_MAX_AGE, seconds.into());
        }
        head.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
        if let (false, Ok(wanted)) = (wanted.is_empty(), wanted.join(",").try_into()) {
            head.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
        }
    }

    fn allow(&self, origin: HeaderValue, head: &mut HeaderMap) {
        head.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.config.credentials {
            head.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
    }

    /// The origin that is let in.
    fn origin(&self) -> Option<HeaderValue> {
        let origin = self.asked.get(header::ORIGIN)?;
        let origins = &self.config.origins;
        if origins.contains(origin) {
            Some(origin.clone())
        } else {
            origins.contains(&EVERY).then_some(EVERY)
        }
    }

    fn lets(&self, name: &str) -> bool {
        let is = |other: &str| other.eq_ignore_ascii_case(name);
        SIMPLE.iter().any(|simple| is(simple)) || self.config.headers.iter().any(|one| is(one))
    }
}

/// The names in a list; `None`: it cannot be read.
fn names<'a>(asked: &'a HeaderMap, list: &HeaderName) -> Option<Vec<&'a str>> {
    let Some(value) = asked.get(list) else {
        return Some(Vec::new());
    };
    let names = value.to_str().ok()?.split(',').map(str::trim);
    Some(names.filter(|name| !name.is_empty()).collect())
}
