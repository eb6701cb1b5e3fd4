//! Endpoints of a location as peers that Pingora can dial.

use std::fs;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use pingora::protocols::TcpKeepalive;
use pingora::upstreams::peer::HttpPeer;
use pingora::upstreams::peer::HttpUpstreamRequestPolicy;
use pingora::utils::tls::CertKey;
use pingora::utils::tls::WrappedX509;
use pingora::utils::tls::parse_x509;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;

use crate::config::Endpoint;
use crate::config::LocationConfig;
use crate::config::Session;

/// Below the keep-alive of the web servers that Ironic runs in (cheroot 10 s, Apache 5 s): the pool closes first.
const IDLE: Duration = Duration::from_secs(4);

/// One address of one endpoint.
#[derive(Debug)]
pub struct Peer {
    /// A template: whoever dials it clones it.
    pub http: HttpPeer,
    /// What the location is told of itself.
    pub host: HeaderValue,
    /// Path prefix of the endpoint.
    pub prefix: String,
}

/// A file that TLS towards a location needs cannot be used.
#[derive(Debug, Error)]
#[error("{}: {what}", path.display())]
pub struct TlsError {
    path: PathBuf,
    what: &'static str,
}

/// What TLS towards one location needs.
#[derive(Clone)]
pub struct Tls {
    authorities: Option<Arc<[WrappedX509]>>,
    certificate: Option<Arc<CertKey>>,
    insecure: bool,
    /// Retires pooled connections of other settings: Pingora's pool does not tell authorities apart.
    group: u64,
}

impl Tls {
    /// `group` is distinct for each location and each reading of the files.
    pub fn load(session: &Session, group: u64) -> Result<Self, TlsError> {
        let authorities = session.cafile.as_deref().map(certificates).transpose()?.map(|found| {
            found.into_iter().map(|der| WrappedX509::new(der, parse_x509)).collect()
        });
        let certificate = session.certfile.as_deref().map(|certfile| {
            let chain = certificates(certfile)?;
            let keyfile = session.keyfile.as_deref().unwrap_or(certfile);
            let key = PrivateKeyDer::from_pem_slice(&read(keyfile)?)
                .map_err(|_| TlsError { path: keyfile.to_owned(), what: "holds no private key" })?;
            Ok(Arc::new(CertKey::new(chain, key.secret_der().to_vec())))
        });
        Ok(Self { authorities, certificate: certificate.transpose()?, insecure: session.insecure, group })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls(group {})", self.group)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|_| TlsError { path: path.to_owned(), what: "cannot be read" })
}

/// Every certificate of a PEM file; each is parsed here, since Pingora panics on one it cannot parse.
fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, TlsError> {
    let error = |what| TlsError { path: path.to_owned(), what };
    let pem = read(path)?;
    let found: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(&pem)
        .map(|der| der.map(|der| der.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|_| error("is not PEM"))?;
    if found.is_empty() {
        return Err(error("holds no certificate"));
    }
    if found.iter().any(|der| x509_parser::parse_x509_certificate(der).is_err()) {
        return Err(error("holds a certificate that cannot be parsed"));
    }
    Ok(found)
}

/// Addresses of a host. Pingora's own look-up blocks and panics.
pub async fn resolve(endpoint: &Endpoint) -> std::io::Result<Vec<SocketAddr>> {
    if let Ok(address) = endpoint.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, endpoint.port)]);
    }
    Ok(tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await?.collect())
}

impl Peer {
    pub fn new(endpoint: &Endpoint, address: SocketAddr, tls: &Tls, config: &LocationConfig) -> Self {
        let mut http = HttpPeer::new(address, endpoint.tls, endpoint.host.clone());
        http.group_key = tls.group;
        http.client_cert_key = tls.certificate.clone();
        let options = &mut http.options;
        options.ca = tls.authorities.clone();
        options.verify_cert = !tls.insecure;
        options.verify_hostname = !tls.insecure;
        options.connection_timeout = Some(config.connect_timeout);
        options.total_connection_timeout = Some(config.connect_timeout);
        options.read_timeout = Some(config.response_timeout);
        options.write_timeout = Some(config.timeout);
        options.idle_timeout = Some(IDLE);
        options.tcp_keepalive = Some(TcpKeepalive {
            idle: Duration::from_secs(15),
            interval: Duration::from_secs(5),
            count: 3,
            user_timeout: Duration::from_secs(30),
        });
        options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
        let bracketed = if endpoint.host.contains(':') { format!("[{}]", endpoint.host) } else { endpoint.host.clone() };
        let host = match (endpoint.tls, endpoint.port) {
            (true, 443) | (false, 80) => bracketed,
            (_, port) => format!("{bracketed}:{port}"),
        };
        Self {
            http,
            // An endpoint's host is of host name characters only.
            host: HeaderValue::from_str(&host).unwrap_or_else(|_| HeaderValue::from_static("localhost")),
            prefix: endpoint.prefix.clone(),
        }
    }
}
