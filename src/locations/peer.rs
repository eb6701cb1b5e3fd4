//! The endpoints of a location, as peers that Pingora can connect to.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use http::HeaderValue;
use pingora::upstreams::peer::HttpPeer;

use crate::config::Endpoint;
use crate::config::LocationConfig;
use crate::wire::peer::Clocks;
use crate::wire::peer::Tls;
use crate::wire::peer::dial;
use crate::wire::peer::host;
use crate::wire::peer::secure;

/// How long a connection is kept, unless the location closes it: until after the next probe, so that one that nobody asks
/// is not dialled anew for each.
const IDLE: Duration = Duration::from_secs(90);

/// One address of one endpoint.
#[derive(Debug)]
pub struct Peer {
    /// A template: whoever dials it clones it.
    pub http: HttpPeer,
    /// What the location is told of itself.
    pub host: HeaderValue,
    /// Path prefix of the endpoint.
    pub prefix: String,
    address: SocketAddr,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.http.is_tls() { "https" } else { "http" };
        let host = self.host.to_str().unwrap_or_default();
        write!(
            f,
            "{scheme}://{host}{} ({})",
            self.prefix,
            self.address.ip()
        )
    }
}

impl Peer {
    pub fn new(
        endpoint: &Endpoint,
        address: SocketAddr,
        tls: &Tls,
        config: &LocationConfig,
    ) -> Self {
        let clocks = Clocks {
            connect: config.connect_timeout,
            response: config.response_timeout,
            silence: config.timeout,
            idle: IDLE,
        };
        Self {
            http: dial(endpoint, address, tls, clocks),
            host: host(endpoint),
            prefix: endpoint.prefix.clone(),
            address,
        }
    }

    /// The same, but with certificates that were read since.
    #[must_use]
    pub fn secured_by(&self, tls: &Tls) -> Self {
        let mut http = self.http.clone();
        secure(&mut http, tls);
        Self {
            http,
            host: self.host.clone(),
            prefix: self.prefix.clone(),
            address: self.address,
        }
    }
}
