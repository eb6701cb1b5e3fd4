//! The only table from errors to statuses.

use std::fmt::Write;

use http::StatusCode;

use crate::api::fault::Fault;
use crate::federate::Error;
use crate::gateway::respond;
use crate::locate::LocateError;
use crate::locations::Locations;
use crate::locations::silence::Reason;
use crate::locations::silence::Silence;
use crate::request::Answer;

/// What the client is told.
pub fn rescue(locations: &Locations, error: Error) -> Answer {
    let fault = match error {
        Error::Reply(answer) => return *answer,
        Error::Fault(fault) => fault,
        Error::Body(error) => Fault::bad_request(error.to_string()),
        Error::Silent(silent) | Error::Locate(LocateError::Unasked { silent }) => {
            unavailable(locations, &silent)
        }
        Error::Locate(LocateError::Nobody { reply, first }) => {
            return Answer {
                location: None,
                ..Answer::relay(*reply, first)
            };
        }
        Error::Locate(LocateError::Ambiguous { owners }) => Fault::bad_request(format!(
            "More than one location has it: {}. Use its UUID, or name the location in X-Ironic-Proxy-Location.",
            locations.names(&owners)
        )),
        Error::Locate(LocateError::Unready) => Fault::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "No location has told its API versions yet, please retry.",
        ),
    };
    respond::fault(&fault)
}

/// Names locations and reasons, never addresses or what they said.
fn unavailable(locations: &Locations, silent: &[Silence]) -> Fault {
    let mut names = String::new();
    for silence in silent {
        let separator = if names.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(
            names,
            "{separator}{} ({})",
            locations.location(silence.location).name(),
            silence.reason
        );
    }
    let mut fault = match silent {
        [one] if one.sent && one.reason != Reason::Refused => Fault::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "Location {names} did not answer; the request may have been executed. Please retry."
            ),
        ),
        [_] => Fault::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("Location {names} could not be asked, please retry."),
        ),
        _ => Fault::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("Locations {names} could not be asked, please retry."),
        ),
    };
    if silent
        .iter()
        .any(|silence| silence.reason == Reason::Breaker)
    {
        let reset = silent
            .iter()
            .filter(|silence| silence.reason == Reason::Breaker)
            .map(|silence| {
                locations
                    .location(silence.location)
                    .config
                    .breaker_reset
                    .as_secs()
                    .max(1)
            })
            .min();
        fault.retry_after = reset
            .and_then(|seconds| u32::try_from(seconds).ok())
            .or(fault.retry_after);
    }
    fault
}
