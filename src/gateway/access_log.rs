//! The access log: one line for each request.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use log::Level;
use log::log;
use log::log_enabled;
use pingora::Error;
use pingora::protocols::http::ServerSession;

use crate::auth::identity::Identity;
use crate::gateway::context::Context;
use crate::locations::Locations;
use crate::metrics::template::Template;

/// The target of access lines, to be told apart in the log.
pub const TARGET: &str = "ironic_proxy.access";

/// The address at the other end of the connection.
pub fn client(session: &ServerSession) -> Option<IpAddr> {
    Some(session.client_addr()?.as_inet()?.ip())
}

/// The line of a request that has ended; one that took `slow` or longer is a warning.
pub fn record(
    session: &ServerSession,
    error: Option<&Error>,
    context: &Context,
    locations: &Locations,
    slow: Option<Duration>,
) {
    let took = context.took;
    let is_slow = slow.is_some_and(|slow| took >= slow);
    let level = match context.template {
        // Somebody asks every few seconds.
        Template::HEALTHCHECK => Level::Debug,
        _ if is_slow => Level::Warn,
        _ => Level::Info,
    };
    if !log_enabled!(target: TARGET, level) {
        return;
    }
    let head = session.req_header();
    let status = session
        .response_written()
        .map_or(0, |head| head.status.as_u16());
    let client = context
        .client
        .map_or_else(|| peer(session), |client| Cow::Owned(spell(client)));
    let identity = context.identity.as_ref().unwrap_or(&Identity::Anonymous);
    let user_identity = identity.user_identity().to_string();
    let (user, project) = identity.ids();
    let location = context
        .location
        .map_or("-", |id| locations.location(id).name());
    let target = head
        .uri
        .path_and_query()
        .map_or_else(|| head.uri.path(), |target| target.as_str());
    let failure = error.map_or("-", |error| error.etype().as_str());
    let told = context.trail.told(|id| locations.location(id).name());
    let asked = told.to_string();
    let waited_for = told.slowest().filter(|_| is_slow);
    let (route, method, bytes) = (
        context.template.text(),
        head.method.as_str(),
        session.body_bytes_sent(),
    );
    log!(
        target: TARGET,
        level,
        global_request_id = context.request_id.global().unwrap_or("-"),
        request_id = context.request_id.ours(),
        user_identity = user_identity.as_str(),
        user_id = user.unwrap_or("-"),
        project_id = project.unwrap_or("-"),
        client = client.as_ref(),
        method = method,
        route = route,
        status = status,
        bytes = bytes,
        seconds = took.as_secs_f64(),
        location = location,
        locations = asked.as_str(),
        slow = waited_for.unwrap_or("-");
        "{client} \"{method} {} {:?}\" status: {status} len: {bytes} time: {}.{:07} location: {location} error: {failure} \
         route: {route} locations={asked}{}",
        printable(target),
        head.version,
        took.as_secs(),
        took.subsec_nanos() / 100,
        Slow(waited_for),
    );
}

/// Who is at the other end of the connection; `-` on a unix socket.
fn peer(session: &ServerSession) -> Cow<'static, str> {
    session.client_addr().map_or(Cow::Borrowed("-"), |address| {
        Cow::Owned(
            address
                .as_inet()
                .map_or_else(|| address.to_string(), |address| spell(address.ip())),
        )
    })
}

/// An address as the library writes it, for whose way of padding it 1,300 instructions are spent on one of IPv4.
fn spell(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else {
        return address.to_string();
    };
    let mut text = String::with_capacity(15);
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        for (unit, least) in [(100, 100), (10, 10), (1, 0)] {
            if octet >= least {
                text.push(char::from(b'0' + octet / unit % 10));
            }
        }
    }
    text
}

/// What a slow request waited for the longest.
struct Slow<'a>(Option<&'a str>);

impl fmt::Display for Slow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(location) => write!(f, " slow: {location}"),
            None => Ok(()),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_spelled_as_the_library_does() {
        for text in [
            "0.0.0.0",
            "10.100.9.99",
            "255.1.20.205",
            "::1",
            "fe80::1:20",
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(spell(address), address.to_string());
        }
    }
}
