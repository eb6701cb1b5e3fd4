//! Header names, which headers of a location's answer pass, and request ids. Of a client's head none does: what a
//! location is sent is made anew (`locations/location/ask.rs`).

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use smallvec::SmallVec;
use uuid::Uuid;

pub const API_VERSION: HeaderName = HeaderName::from_static("x-openstack-ironic-api-version");
pub const API_MIN_VERSION: HeaderName =
    HeaderName::from_static("x-openstack-ironic-api-minimum-version");
pub const API_MAX_VERSION: HeaderName =
    HeaderName::from_static("x-openstack-ironic-api-maximum-version");
pub const OPENSTACK_API_VERSION: HeaderName = HeaderName::from_static("openstack-api-version");
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");
/// Ironic's older spelling of the same, answers only.
pub const LEGACY_REQUEST_ID: HeaderName = HeaderName::from_static("openstack-request-id");
pub const SYSTEM_SCOPE: HeaderName = HeaderName::from_static("openstack-system-scope");
/// In Keystone's answer: the token itself.
pub const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
pub const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// In a request: ask only there. In an answer: it came from there and from nowhere else.
pub const LOCATION: HeaderName = HeaderName::from_static("x-ironic-proxy-location");
/// In a request: `allow` or `deny` a list that is not whole.
pub const PARTIAL: HeaderName = HeaderName::from_static("x-ironic-proxy-partial");
/// In an answer: which locations a list lacks, and why.
pub const INCOMPLETE: HeaderName = HeaderName::from_static("x-ironic-proxy-incomplete");
/// In an answer: where uniqueness could not be verified.
pub const UNVERIFIED: HeaderName = HeaderName::from_static("x-ironic-proxy-unverified");

/// What is read of an answer's head, beside what says how the answer ends: what may go on to the client, what Keystone names
/// its tokens with, and the time of day.
pub static HEEDED: [HeaderName; 12] = [
    http::header::CONTENT_TYPE,
    API_VERSION,
    API_MIN_VERSION,
    API_MAX_VERSION,
    REQUEST_ID,
    LEGACY_REQUEST_ID,
    http::header::ALLOW,
    http::header::CONTENT_ENCODING,
    http::header::CONTENT_LANGUAGE,
    http::header::DATE,
    http::header::LOCATION,
    SUBJECT_TOKEN,
];

/// What of a location's answer may reach the client. An allow-list: a location, or what stands before it, could else set
/// our cookies, our HSTS, our CORS, hand out tokens, or send browsers elsewhere. What Ironic says of itself (versions,
/// request ids) is passed on or said anew by us.
fn passes_downstream(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "allow"
            | "content-encoding"
            | "content-language"
            | "content-length"
            | "content-type"
            | "location"
            | "openstack-request-id"
            | "transfer-encoding"
            | "x-openstack-ironic-api-maximum-version"
            | "x-openstack-ironic-api-minimum-version"
            | "x-openstack-ironic-api-version"
            | "x-openstack-request-id"
    )
}

/// The fields of an answer that stay here.
pub fn kept_back(headers: &HeaderMap) -> SmallVec<[HeaderName; 4]> {
    headers
        .keys()
        .filter(|name| !passes_downstream(name))
        .cloned()
        .collect()
}

const UNPRINTABLE: HeaderValue = HeaderValue::from_static("req-unprintable");

/// The id under which a request stands in the logs of the gateway and, as the global id, of the locations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId {
    /// `req-<uuid>`; empty as long as there is no request. The value shares its text with all that it is sent in.
    ours: HeaderValue,
    /// The client's own, if it sent a well-formed one.
    global: Option<HeaderValue>,
}

impl RequestId {
    pub fn new(headers: &HeaderMap) -> Self {
        let well_formed = |value: &&HeaderValue| {
            value
                .to_str()
                .ok()
                .and_then(|text| text.strip_prefix("req-"))
                // oslo.middleware takes the hyphenated form alone; `try_parse` knows others.
                .is_some_and(|uuid| uuid.len() == 36 && Uuid::try_parse(uuid).is_ok())
        };
        let mut text = *b"req-00000000-0000-0000-0000-000000000000";
        // An id is no secret and is made for every request: the system is not asked for it.
        let random =
            Uuid::from_u128((u128::from(fastrand::u64(..)) << 64) | u128::from(fastrand::u64(..)));
        let ours = uuid::Builder::from_random_bytes(*random.as_bytes()).into_uuid();
        ours.hyphenated().encode_lower(&mut text["req-".len()..]);
        Self {
            ours: HeaderValue::from_bytes(&text).unwrap_or(UNPRINTABLE),
            global: headers.get(REQUEST_ID).filter(well_formed).cloned(),
        }
    }

    pub fn ours(&self) -> &str {
        self.ours.to_str().unwrap_or_default()
    }

    pub fn global(&self) -> Option<&str> {
        self.global.as_ref().and_then(|value| value.to_str().ok())
    }

    /// What a location is told: the client's id, so that one id joins all logs; else ours.
    pub fn for_locations(&self) -> HeaderValue {
        self.global.clone().unwrap_or_else(|| self.for_client())
    }

    pub fn for_client(&self) -> HeaderValue {
        self.ours.clone()
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self {
            ours: HeaderValue::from_static(""),
            global: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_id_is_taken_over() {
        for (sent, taken) in [
            ("req-00000001-0000-4000-8000-000000000001", true),
            ("req-1", false),
            ("00000001-0000-4000-8000-000000000001", false),
            ("req-00000001-0000-4000-8000-000000000001 x", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_static(sent));
            let id = RequestId::new(&headers);
            assert_eq!(id.for_locations() == sent, taken, "{sent}");
            assert_ne!(id.ours(), sent);
        }
    }

    #[test]
    fn nothing_that_sets_or_shows_more_than_ironic_does_comes_back() {
        for name in [
            "access-control-allow-origin",
            "alt-svc",
            "clear-site-data",
            "date",
            "keep-alive",
            "link",
            "refresh",
            "retry-after",
            "server",
            "set-cookie",
            "set-cookie2",
            "strict-transport-security",
            "www-authenticate",
            "x-auth-token",
            "x-ironic-proxy-location",
            "x-subject-token",
        ] {
            assert!(!passes_downstream(&HeaderName::from_static(name)), "{name}");
        }
        assert!(passes_downstream(&HeaderName::from_static("location")));
        let stay = HEEDED.iter().filter(|name| !passes_downstream(name));
        assert_eq!(
            stay.collect::<Vec<_>>(),
            [http::header::DATE, SUBJECT_TOKEN]
        );
    }
}
