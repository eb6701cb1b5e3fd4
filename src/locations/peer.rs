//! The endpoints of a location, as peers that Pingora can connect to.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use pingora::upstreams::peer::HttpPeer;

use crate::config::Endpoint;
use crate::config::LocationConfig;
use crate::locations::speed::Speed;
use crate::wire::peer::Clocks;
use crate::wire::peer::Tls;
use crate::wire::peer::dial;
use crate::wire::peer::host;
use crate::wire::peer::secure;

/// How long a connection is kept, unless the location closes it: until after the next probe, so that one that nobody asks
/// is not dialled anew for each.
const IDLE: Duration = Duration::from_secs(90);

/// One address of one endpoint.
#[derive(Clone, Debug)]
pub struct Peer {
    /// A template: whoever dials it clones it.
    pub http: HttpPeer,
    /// What the location is told of itself.
    pub host: HeaderValue,
    /// Path prefix of the endpoint.
    pub prefix: String,
    /// Known as long as the endpoint is.
    pub speed: Arc<Speed>,
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
            idle: IDLE,
        };
        Self {
            http: dial(endpoint, address, tls, clocks),
            host: host(endpoint),
            prefix: endpoint.prefix.clone(),
            speed: Arc::default(),
            address,
        }
    }

    /// The same, but with certificates that were read since.
    #[must_use]
    pub fn secured_by(&self, tls: &Tls) -> Self {
        let mut secured = self.clone();
        secure(&mut secured.http, tls);
        secured
    }

    /// Whether both lead to one place, whatever certificates are shown there.
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.address == other.address
            && self.host == other.host
            && self.prefix == other.prefix
            && self.http.is_tls() == other.http.is_tls()
    }
}
