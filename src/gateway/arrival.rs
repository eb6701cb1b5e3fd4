//! The head of a request, and between which addresses it travelled.

use std::net::IpAddr;
use std::net::SocketAddr;

use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use crate::gateway::access_log;

/// What is known of a request before anything is decided.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    pub head: &'a RequestHeader,
    pub from: Option<IpAddr>,
    /// Whether `[limits]` count it: not what is only explained.
    pub counts: bool,
    /// The address of ours that the client connected to.
    pub at: Option<SocketAddr>,
}

impl<'a> Arrival<'a> {
    pub fn of(session: &'a ServerSession) -> Self {
        let at = session.server_addr().and_then(|address| address.as_inet());
        Self {
            head: session.req_header(),
            counts: true,
            from: access_log::client(session),
            at: at.copied(),
        }
    }
}
