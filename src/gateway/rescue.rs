//! The only table from errors to statuses.
//!
//! A status is chosen by what clients do with it. openstacksdk and ironicclient repeat a write on 503 and do not on 504,
//! so 503 says that nothing was sent, 504 that a write may have been executed.

use bytes::Bytes;
use http::HeaderValue;
use http::StatusCode;
use http::header;
use pingora::Error as PingoraError;
use pingora::ErrorType;
use serde_json::json;
use thiserror::Error;

use crate::api::fault::Fault;
use crate::api::route::Unrouted;
use crate::api::route::path::PathError;
use crate::auth::AuthError;
use crate::auth::http_basic::BasicError;
use crate::auth::token::TokenError;
use crate::config::LocationId;
use crate::federate;
use crate::federate::objection::Objection;
use crate::gateway::body::Oversized;
use crate::gateway::body::Unread;
use crate::gateway::door::Refusal;
use crate::gateway::framing::FramingError;
use crate::gateway::limits::Limited;
use crate::locate::LocateError;
use crate::locations::Locations;
use crate::locations::and_more;
use crate::locations::first_of;
use crate::locations::silence::Reason;
use crate::locations::silence::Silence;
use crate::request::Answer;
use crate::wire::head::HeadError;

/// Why a request is not answered by what it asked for.
#[derive(Debug, Error)]
pub enum Trouble {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Oversized(#[from] Oversized),
    #[error(transparent)]
    Federation(federate::Error),
    #[error("The gateway is serving too many requests, please retry.")]
    Busy,
    #[error("It is at another location now, please retry.")]
    Moved,
    /// A read, so nothing was changed.
    #[error("The request could not be answered in time ([api] request_deadline).")]
    Deadline,
    #[error("The request did not arrive in time.")]
    Late,
    #[error("The request is not valid HTTP.")]
    NotHttp,
    #[error("The gateway failed to serve the request.")]
    Internal,
}

impl From<Unread> for Trouble {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Oversized(oversized) => oversized.into(),
            Unread::Exhausted(_) => Self::Busy,
            Unread::Dripping => Self::Late,
        }
    }
}

impl Trouble {
    /// Why a location was silent, if that is why.
    pub fn silence(&self) -> Option<Reason> {
        match self {
            Self::Federation(
                federate::Error::Silent(silent) | federate::Error::Unverified(silent),
            ) => silent.first().map(|silence| silence.reason),
            _ => None,
        }
    }

    /// The limit that is used up, if that is why.
    pub fn limited_by(&self) -> Option<Limited> {
        match self {
            Self::Refused(Refusal::Limited(limited)) => Some(*limited),
            _ => None,
        }
    }

    /// The rule of policy that was not met, if that is why.
    pub fn denied_by(&self) -> Option<&'static str> {
        match self {
            Self::Refused(Refusal::Denied(denied)) => Some(denied.policy),
            Self::Federation(federate::Error::Objection(Objection::Denied(denied))) => {
                Some(denied.policy)
            }
            _ => None,
        }
    }
}

impl<E: Into<federate::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Federation(error.into())
    }
}

/// What a client made us fail at; `None`: it is gone, and nobody is left to tell.
pub fn of_client(error: &PingoraError) -> Option<Trouble> {
    match error.etype() {
        ErrorType::ConnectionClosed
        | ErrorType::ReadError
        | ErrorType::WriteError
        | ErrorType::WriteTimedout => None,
        ErrorType::ReadTimedout => Some(Trouble::Late),
        _ => Some(Trouble::NotHttp),
    }
}

/// What is told of a head that is not read any further.
pub fn unreadable(error: HeadError) -> Answer {
    let status = match error {
        // RFC 6585, 5.
        HeadError::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        HeadError::Late => StatusCode::REQUEST_TIMEOUT,
    };
    Answer::from(&Fault::new(status, error.to_string()))
}

/// What locations are called before a client.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    pub locations: &'a Locations,
    /// Not at all (`[api] tell_location`).
    pub are_hidden: bool,
}

impl Names<'_> {
    fn one(&self, id: LocationId) -> &str {
        if self.are_hidden {
            "a location"
        } else {
            self.locations.location(id).name()
        }
    }
}

/// What the client is told.
pub fn rescue(names: Names<'_>, trouble: Trouble) -> Answer {
    let text = trouble.to_string();
    let fault = match trouble {
        Trouble::Refused(refusal) => return refused(refusal),
        Trouble::Oversized(oversized) => return Answer::from(&too_much(oversized)),
        Trouble::Federation(error) => return federation(names, error),
        Trouble::Busy | Trouble::Moved => Fault::new(StatusCode::SERVICE_UNAVAILABLE, text),
        Trouble::Deadline => Fault::new(StatusCode::GATEWAY_TIMEOUT, text),
        Trouble::Late => Fault::new(StatusCode::REQUEST_TIMEOUT, text),
        Trouble::NotHttp => Fault::bad_request(text),
        Trouble::Internal => Fault::new(StatusCode::INTERNAL_SERVER_ERROR, text),
    };
    Answer::from(&fault)
}

fn refused(refusal: Refusal) -> Answer {
    let text = refusal.to_string();
    let fault = match refusal {
        Refusal::Auth(error) => return unauthenticated(&error),
        Refusal::Route(unrouted) => return nowhere(unrouted),
        Refusal::Limited(limited) => return too_often(limited),
        Refusal::Accept(accept) => Fault::not_acceptable(&accept),
        Refusal::Oversized(oversized) => too_much(oversized),
        // RFC 9110, 8.4: a content coding that is not acceptable.
        Refusal::Framing(FramingError::Encoding) => {
            Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
        }
        Refusal::Denied(_) | Refusal::RamdiskOff | Refusal::ReadOnly => {
            Fault::new(StatusCode::FORBIDDEN, text)
        }
        Refusal::Unready => Fault::new(StatusCode::SERVICE_UNAVAILABLE, text),
        Refusal::NotAcceptable { at_root: true, .. } => {
            Fault::new(StatusCode::NOT_ACCEPTABLE, text)
        }
        Refusal::NotAcceptable { at_root: false, .. } => {
            Fault::routing(StatusCode::NOT_ACCEPTABLE, text)
        }
        Refusal::Path(PathError::NotFound) | Refusal::Anonymous | Refusal::NoEndpoint => {
            Fault::not_found()
        }
        Refusal::Path(PathError::Unreadable(_)) => Fault::routing(StatusCode::BAD_REQUEST, text),
        Refusal::Framing(_)
        | Refusal::Query(_)
        | Refusal::RepeatedArgument(_)
        | Refusal::Body(_)
        | Refusal::Form
        | Refusal::Host(_)
        | Refusal::NoLocation(_)
        | Refusal::TwoLocations { .. }
        | Refusal::Partial => Fault::bad_request(text),
    };
    Answer::from(&fault)
}

fn nowhere(Unrouted { fault, allow }: Unrouted) -> Answer {
    let answer = Answer::from(&fault);
    match allow {
        Some(allow) => answer.with(header::ALLOW, &allow),
        None => answer,
    }
}

/// Nothing of it was done. Whatever `[api] retry_after` says of a 503, here the client cannot know otherwise when to come
/// again (RFC 6585, 4).
fn too_often(limited: Limited) -> Answer {
    let fault = Fault::new(StatusCode::TOO_MANY_REQUESTS, limited.to_string());
    Answer::from(&fault).with(header::RETRY_AFTER, &limited.wait.to_string())
}

fn too_much(oversized: Oversized) -> Fault {
    let status = match oversized {
        Oversized::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Oversized::TooDeep => StatusCode::BAD_REQUEST,
    };
    Fault::flat(status, oversized.to_string())
}

/// The answer Ironic gives, byte for byte; the 503, which is HTML there, in the shape of its other errors.
fn unauthenticated(error: &AuthError) -> Answer {
    let challenged = |status, body, challenge: &HeaderValue| {
        let mut answer = Answer::json(status, body);
        answer
            .headers
            .insert(header::WWW_AUTHENTICATE, challenge.clone());
        answer
    };
    match error {
        AuthError::Basic(BasicError::Missing | BasicError::Incorrect) => challenged(
            StatusCode::UNAUTHORIZED,
            basic_fault(StatusCode::UNAUTHORIZED, error),
            &crate::auth::BASIC_CHALLENGE,
        ),
        AuthError::Basic(
            BasicError::Unparsable | BasicError::Unsupported(_) | BasicError::Undecodable,
        ) => Answer::json(
            StatusCode::BAD_REQUEST,
            basic_fault(StatusCode::BAD_REQUEST, error),
        ),
        AuthError::Token(TokenError::Unauthorized { challenge }) => challenged(
            StatusCode::UNAUTHORIZED,
            Bytes::from_static(KEYSTONE_UNAUTHORIZED.as_bytes()),
            challenge,
        ),
        AuthError::Token(TokenError::Repeated(_)) => {
            Answer::from(&Fault::bad_request(error.to_string()))
        }
        AuthError::Basic(BasicError::Busy) | AuthError::Token(TokenError::Unavailable) => {
            let fault = Fault::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
            Answer::from(&fault)
        }
    }
}

const KEYSTONE_UNAUTHORIZED: &str = r#"{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}"#;

/// The shape of `ironic_lib`'s basic authentication.
fn basic_fault(status: StatusCode, error: &AuthError) -> Bytes {
    let message = json!(error.to_string());
    let code = status.as_u16();
    format!("{{\"error\":{{\"message\":{message},\"code\":{code}}}}}").into()
}

fn federation(names: Names<'_>, error: federate::Error) -> Answer {
    let fault = match error {
        federate::Error::Reply(answer) => return *answer,
        federate::Error::Objection(objection) => objected(names, &objection),
        federate::Error::Unrouted(unrouted) => return nowhere(unrouted),
        // Clients repeat on a 503, and never on a 504.
        federate::Error::NotEverywhere {
            ref states,
            is_final,
            ..
        } => {
            let states = states.iter();
            let each = states.map(|(id, state)| format!("{}: {state}", names.one(*id)));
            let each = first_of(each, and_more);
            let text = format!("{error} {}.", each.join("; "));
            if is_final {
                let text = format!("{text} Compare the locations with `ironic-proxy sync`.");
                Fault::new(StatusCode::GATEWAY_TIMEOUT, text)
            } else {
                Fault::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("{text} Please retry."),
                )
            }
        }
        // Not 503: a client that repeats it makes another one.
        federate::Error::LeftBehind(left) => {
            let there = left
                .at
                .map_or_else(String::new, |at| format!(" It is at {}.", names.one(at)));
            Fault::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!(
                    "{left}{there} Nobody but an administrator can see it, who has to set its owner or delete it."
                ),
            )
        }
        error @ federate::Error::Unreadable => {
            Fault::new(StatusCode::BAD_GATEWAY, error.to_string())
        }
        federate::Error::Body(error) => Fault::bad_request(error.to_string()),
        error @ (federate::Error::Moved
        | federate::Error::Contended
        | federate::Error::Uncoordinated) => {
            Fault::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
        federate::Error::Silent(silent)
        | federate::Error::Unverified(silent)
        | federate::Error::Locate(LocateError::Unasked { silent }) => {
            return unavailable(names, &silent);
        }
        federate::Error::Locate(
            LocateError::Nobody { reply, first } | LocateError::Refused { reply, by: first },
        ) => {
            return Answer {
                location: None,
                ..Answer::relay(*reply, first)
            };
        }
        // No 409: ironicclient repeats on it (`_RETRY_EXCEPTIONS` in `ironicclient/common/http.py`), and it would
        // stay so.
        federate::Error::Locate(LocateError::Ambiguous { .. }) if names.are_hidden => {
            Fault::bad_request("More than one thing is called so. Use its UUID.")
        }
        federate::Error::Locate(LocateError::Contested { .. }) if names.are_hidden => {
            Fault::bad_request("More than one thing has this UUID.")
        }
        federate::Error::Locate(LocateError::Ambiguous { owners }) => Fault::bad_request(format!(
            "More than one location has it: {}. Use its UUID, or name the location in X-Ironic-Proxy-Location.",
            names.locations.names(&owners)
        )),
        federate::Error::Locate(LocateError::Contested { owners }) => Fault::bad_request(format!(
            "More than one location claims it: {}. Name the location in X-Ironic-Proxy-Location.",
            names.locations.names(&owners)
        )),
        federate::Error::Locate(LocateError::Unready) => Fault::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Unready.to_string(),
        ),
    };
    Answer::from(&fault)
}

fn objected(names: Names<'_>, objection: &Objection) -> Fault {
    let text = objection.to_string();
    match objection {
        Objection::Misplaced { plain, .. } if names.are_hidden => Fault::bad_request(plain.clone()),
        Objection::Invalid(_) | Objection::Misplaced { .. } => Fault::bad_request(text),
        Objection::Absent(_) => Fault::new(StatusCode::NOT_FOUND, text),
        Objection::Taken { .. } | Objection::Untimely(_) => Fault::new(StatusCode::CONFLICT, text),
        Objection::TooNew(_) => Fault::new(StatusCode::NOT_ACCEPTABLE, text),
        Objection::NoRoute(words) => Fault::not_found().worded(*words),
        Objection::NoMethod => Fault::routing(StatusCode::METHOD_NOT_ALLOWED, ""),
        Objection::Denied(_) | Objection::Forbidden(_) => Fault::new(StatusCode::FORBIDDEN, text),
    }
}

/// Names locations and reasons, never addresses or what they said.
fn unavailable(names: Names<'_>, silent: &[Silence]) -> Answer {
    if silent.is_empty() {
        // Trying again does not help: those that are there may not be asked this.
        let text = "No location is left that could be asked.";
        return Answer::from(&Fault::new(StatusCode::SERVICE_UNAVAILABLE, text));
    }
    let locations = names.locations;
    let each = silent.iter().map(|silence| {
        if names.are_hidden {
            silence.reason.to_string()
        } else {
            format!("{} ({})", names.one(silence.location), silence.reason)
        }
    });
    let each = first_of(each, and_more).join(", ");
    let who = match (each, silent.len(), names.are_hidden) {
        (reason, 1, true) => format!("A location ({reason})"),
        (reasons, number, true) => format!("{number} locations ({reasons})"),
        (name, 1, false) => format!("Location {name}"),
        (names, _, false) => format!("Locations {names}"),
    };
    let fate_unknown = silent.iter().any(|silence| silence.sent);
    let ordered = silent.iter().all(|silence| silence.reason.is_ordered());
    let fault = if fate_unknown {
        Fault::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!("{who} did not answer; the request may have been executed."),
        )
    } else if ordered {
        Fault::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{who}: {}", what_operators_want(silent)),
        )
    } else {
        Fault::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{who} could not be asked{}", what_helps(silent)),
        )
    };
    // When the first of them may be back.
    let reset = silent
        .iter()
        .filter(|silence| silence.reason == Reason::Breaker)
        .map(|silence| locations.location(silence.location).config.breaker_reset)
        .min()
        .and_then(|reset| u32::try_from(reset.as_secs().max(1)).ok());
    let answer = Answer::from(&fault);
    Answer {
        retry_after: reset.or(answer.retry_after),
        ..answer
    }
}

/// Nothing was sent, and will not be until the state is another one.
fn what_operators_want(silent: &[Silence]) -> &'static str {
    let any = |reason| silent.iter().any(|silence| silence.reason == reason);
    if any(Reason::Maintenance) {
        "taken out of service by the gateway's operator, so it was not asked."
    } else if any(Reason::ReadOnly) {
        "the gateway's operator allows no changes there at present, so nothing was sent."
    } else {
        "the gateway's operator allows nothing new to be created there at present, so nothing was sent."
    }
}

/// Retrying is of no use where only an operator can put it right.
fn what_helps(silent: &[Silence]) -> &'static str {
    let any = |reason| silent.iter().any(|silence| silence.reason == reason);
    if any(Reason::Quarantine) {
        ". Retrying does not help: its API versions do not fit those of the other locations; the gateway's operator has \
         to upgrade it, lower [api] min_max_version or take it out."
    } else if any(Reason::Refused) {
        ". Retrying does not help: it does not accept the gateway's credential; the gateway's operator has to \
         correct the section of that location."
    } else {
        ", please retry."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_get_in_is_told_as_ironic_tells() {
        let challenge = HeaderValue::from_static("Keystone uri=\"http://k/v3\"");
        let keystone = "Keystone uri=\"http://k/v3\"";
        let basic = "Basic realm=\"Baremetal API\"";
        #[rustfmt::skip]
        let cases: [(AuthError, u16, Option<&str>, &str); 9] = [
            (TokenError::Unauthorized { challenge }.into(), 401, Some(keystone),
                r#"{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}"#),
            (TokenError::Unavailable.into(), 503, None,
                r#"{"error_message": "{\"faultcode\": \"Server\", \"faultstring\": \"The Keystone service is temporarily unavailable.\", \"debuginfo\": null}"}"#),
            (TokenError::Repeated(header::HOST).into(), 400, None,
                r#"{"error_message": "{\"faultcode\": \"Client\", \"faultstring\": \"More than one host header.\", \"debuginfo\": null}"}"#),
            (BasicError::Missing.into(), 401, Some(basic),
                r#"{"error":{"message":"Authorization required","code":401}}"#),
            (BasicError::Incorrect.into(), 401, Some(basic),
                r#"{"error":{"message":"Incorrect username or password","code":401}}"#),
            (BasicError::Unparsable.into(), 400, None,
                r#"{"error":{"message":"Could not parse Authorization header","code":400}}"#),
            (BasicError::Undecodable.into(), 400, None,
                r#"{"error":{"message":"Could not decode authorization token","code":400}}"#),
            (BasicError::Unsupported(r"Be\arer".into()).into(), 400, None,
                r#"{"error":{"message":"Unsupported authorization type \"Be\\arer\"","code":400}}"#),
            (BasicError::Busy.into(), 503, None,
                r#"{"error_message": "{\"faultcode\": \"Server\", \"faultstring\": \"Too many passwords are being checked, please retry.\", \"debuginfo\": null}"}"#),
        ];
        for (error, status, challenge, body) in cases {
            let answer = unauthenticated(&error);
            assert_eq!(answer.status.as_u16(), status, "{error}");
            assert_eq!(
                answer
                    .headers
                    .get(header::WWW_AUTHENTICATE)
                    .map(|value| value.to_str().unwrap()),
                challenge,
                "{error}"
            );
            assert_eq!(answer.retry_after.is_some(), status == 503, "{error}");
            assert_eq!(answer.body.whole(), body.as_bytes());
        }
    }
}
