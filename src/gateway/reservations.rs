//! What an answer does not vouch for, in its head.

use http::HeaderName;
use http::HeaderValue;

use crate::api::header;
use crate::config::LocationId;
use crate::gateway::rescue::Names;
use crate::locations::first_of;
use crate::request::Answer;

/// What `X-Ironic-Proxy-Unverified` says beside the names of locations.
const COORDINATION: &str = "coordination";

/// Says which locations a list lacks, and where a write could not be verified.
pub fn announce(names: Names<'_>, answer: &mut Answer) {
    let Some(reservations) = answer.reservations.take() else {
        return;
    };
    let name = |id: LocationId| {
        if names.are_hidden {
            "*"
        } else {
            names.locations.location(id).name()
        }
    };
    let more = |more| format!("*;more={more}");
    let missing = reservations.missing.iter();
    let missing = missing.map(|(id, reason)| format!("{};reason={reason}", name(*id)));
    let incomplete = first_of(missing, more).join(", ");
    let unverified = reservations.unverified.iter();
    let unverified = unverified.map(|id| name(*id));
    let mut unverified = first_of(unverified, more).join(", ");
    if reservations.is_uncoordinated {
        let separator = if unverified.is_empty() { "" } else { ", " };
        let who = if names.are_hidden { "*" } else { COORDINATION };
        unverified = format!("{unverified}{separator}{who}");
    }
    let mut say = |header: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text)
            && !text.is_empty()
        {
            answer.headers.insert(header, value);
        }
    };
    say(header::INCOMPLETE, &incomplete);
    say(header::UNVERIFIED, &unverified);
}
