//! Addresses as peers that Pingora can dial.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::HeaderValue;
use pingora::protocols::TcpKeepalive;
use pingora::upstreams::peer::HttpPeer;
use pingora::upstreams::peer::HttpUpstreamRequestPolicy;
use pingora::utils::tls::CertKey;
use pingora::utils::tls::WrappedX509;
use pingora::utils::tls::parse_x509;

use crate::config::Endpoint;
use crate::config::Session;
use crate::tls::pem;
use crate::tls::pem::Identity;
use crate::tls::pem::TlsError;

/// Connections of one group are kept apart from those of all others.
static NEXT_GROUP: AtomicU64 = AtomicU64::new(1);

/// One that nothing has yet.
pub fn new_group() -> u64 {
    NEXT_GROUP.fetch_add(1, Ordering::Relaxed)
}

/// What TLS towards one location or Keystone needs.
#[derive(Clone)]
pub struct Tls {
    authorities: Option<Arc<[WrappedX509]>>,
    certificate: Option<Arc<CertKey>>,
    insecure: bool,
    /// Retires pooled connections of other settings, and of what was in the files before: Pingora's pool does not tell
    /// authorities apart.
    group: u64,
}

impl Tls {
    /// Reads the files, for connections that are not mixed with any others.
    pub fn load(session: &Session) -> Result<Self, TlsError> {
        let authorities = session
            .cafile
            .as_deref()
            .map(pem::certificates)
            .transpose()?
            .map(|found| {
                found
                    .into_iter()
                    .map(|der| WrappedX509::new(der.to_vec(), parse_x509))
                    .collect()
            });
        let certificate = session.certfile.as_deref().map(|certfile| {
            let identity =
                Identity::read(certfile, session.keyfile.as_deref().unwrap_or(certfile))?;
            let chain = identity.chain.iter().map(|der| der.to_vec()).collect();
            Ok(Arc::new(CertKey::new(
                chain,
                identity.key.secret_der().to_vec(),
            )))
        });
        Ok(Self {
            authorities,
            certificate: certificate.transpose()?,
            insecure: session.insecure,
            group: new_group(),
        })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls(group {})", self.group)
    }
}

/// Addresses of a host. Pingora's own look-up blocks and panics.
pub async fn resolve(endpoint: &Endpoint) -> std::io::Result<Vec<SocketAddr>> {
    if let Ok(address) = endpoint.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, endpoint.port)]);
    }
    Ok(
        tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port))
            .await?
            .collect(),
    )
}

/// After this much silence a peer is asked whether it is still there, so often.
const PROBED: Duration = Duration::from_secs(15);
const PROBE: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;

/// What bounds a connection and what is done on it.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    pub connect: Duration,
    /// Until the head of an answer, or until a part of the request is taken.
    pub response: Duration,
    /// How long a connection is kept that nobody uses.
    pub idle: Duration,
}

/// One address of an endpoint.
pub fn dial(endpoint: &Endpoint, address: SocketAddr, tls: &Tls, clocks: Clocks) -> HttpPeer {
    let mut http = HttpPeer::new(address, endpoint.tls, endpoint.host.clone());
    secure(&mut http, tls);
    let options = &mut http.options;
    // keystoneauth knows one switch for both.
    options.verify_cert = !tls.insecure;
    options.verify_hostname = !tls.insecure;
    options.connection_timeout = Some(clocks.connect);
    // The other one bounds TCP alone; a server that accepts and then says nothing hangs in the handshake.
    options.total_connection_timeout = Some(clocks.connect);
    options.read_timeout = Some(clocks.response);
    options.write_timeout = Some(clocks.response);
    options.idle_timeout = Some(clocks.idle);
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: PROBED,
        interval: PROBE,
        count: PROBES as usize,
        // With TCP_USER_TIMEOUT the kernel does not count probes: it ends a connection that is silent for as long and has
        // one unanswered (`tcp_keepalive_timer` of net/ipv4/tcp_timer.c). Less, and one lost packet would end a write that
        // waits for its answer. What is never acknowledged is noticed sooner, see `is_swallowed`.
        user_timeout: clocks.connect.max(PROBED + PROBE * PROBES),
    });
    options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
    http
}

/// For what may be sent again and is not looked after while it waits: what a black hole swallows on an idle connection is
/// noticed as soon as on a new one.
pub fn be_hasty(http: &mut HttpPeer) {
    if let (Some(keepalive), Some(patience)) = (
        &mut http.options.tcp_keepalive,
        http.options.connection_timeout,
    ) {
        keepalive.user_timeout = patience;
    }
}

/// For a large body. A server whose workers are busy takes nothing for a while, and the kernel ends such a connection as it
/// ends one into a black hole: `TCP_USER_TIMEOUT` counts a window of zero too (tcp(7)).
pub fn be_patient(http: &mut HttpPeer) {
    if let (Some(keepalive), Some(patience)) =
        (&mut http.options.tcp_keepalive, http.options.write_timeout)
    {
        keepalive.user_timeout = patience;
    }
}

/// Certificates that were read since.
pub fn secure(http: &mut HttpPeer, tls: &Tls) {
    http.group_key = tls.group;
    http.client_cert_key.clone_from(&tls.certificate);
    http.options.ca.clone_from(&tls.authorities);
}

/// What an endpoint is told of itself.
pub fn host(endpoint: &Endpoint) -> HeaderValue {
    let bracketed = if endpoint.host.contains(':') {
        format!("[{}]", endpoint.host)
    } else {
        endpoint.host.clone()
    };
    let host = match (endpoint.tls, endpoint.port) {
        (true, 443) | (false, 80) => bracketed,
        (_, port) => format!("{bracketed}:{port}"),
    };
    // An endpoint's host is of host name characters only.
    HeaderValue::from_str(&host).unwrap_or_else(|_| HeaderValue::from_static("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of 16 bits, one for each of them and above that one for each reading, came again.
    #[test]
    fn no_two_readings_share_connections() {
        let session = Session::default();
        let most = 1 << 16;
        let groups: std::collections::HashSet<_> = (0..=most)
            .map(|_| Tls::load(&session).unwrap().group)
            .collect();
        assert_eq!(groups.len(), most + 1);
    }
}
