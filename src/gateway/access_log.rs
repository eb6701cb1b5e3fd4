//! The access log: one line for each request.

use std::borrow::Cow;
use std::net::IpAddr;

use log::info;
use pingora::Error;
use pingora::protocols::http::ServerSession;

use crate::auth::identity::Identity;
use crate::gateway::context::Context;
use crate::locations::Locations;

/// The target of access lines, to be told apart in the log.
pub const TARGET: &str = "ironic_proxy.access";

/// The address at the other end of the connection.
pub fn client(session: &ServerSession) -> Option<IpAddr> {
    Some(session.client_addr()?.as_inet()?.ip())
}

pub fn record(
    session: &ServerSession,
    error: Option<&Error>,
    context: &Context,
    locations: &Locations,
) {
    let head = session.req_header();
    let status = session
        .response_written()
        .map_or(0, |head| head.status.as_u16());
    let client = session.client_addr().map_or_else(
        || "-".to_owned(),
        |address| {
            address
                .as_inet()
                .map_or_else(|| address.to_string(), |address| address.ip().to_string())
        },
    );
    let identity = context
        .identity
        .as_ref()
        .unwrap_or(&Identity::Anonymous)
        .user_identity()
        .to_string();
    let location = context
        .location
        .map_or("-", |id| locations.location(id).name());
    let target = head
        .uri
        .path_and_query()
        .map_or_else(|| head.uri.path(), |target| target.as_str());
    let failure = error.map_or(Cow::Borrowed("-"), |error| {
        Cow::Owned(error.etype().as_str().to_owned())
    });
    let took = context.started.elapsed();
    info!(
        target: TARGET,
        global_request_id = context.request_id.global().unwrap_or("-"),
        request_id = context.request_id.ours(),
        user_identity = identity.as_str(),
        status = status,
        location = location;
        "{client} \"{} {} {:?}\" status: {status} len: {} time: {}.{:07} location: {location} error: {failure}",
        head.method,
        printable(target),
        head.version,
        session.body_bytes_sent(),
        took.as_secs(),
        took.subsec_nanos() / 100,
    );
}

/// What a client sent must not be able to begin a line of its own.
fn printable(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars()
            .map(|character| {
                if character.is_ascii_graphic() {
                    character
                } else {
                    '?'
                }
            })
            .collect(),
    )
}
