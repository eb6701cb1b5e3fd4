//! TLS with those that have authorities of their own. Pingora makes its settings anew for each connection to them, reads the
//! authorities once more, and forgets the session with the settings (`connect` in pingora-core's
//! `connectors/tls/rustls/mod.rs`); here they are made once, and a site that is known is spared the whole handshake.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use pingora::Error;
use pingora::ErrorType;
use pingora::Result;
use pingora::connectors::ConnectorOptions;
use pingora::connectors::TransportConnector;
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::protocols::tls::client::handshake;
use pingora::tls::ClientConfig;
use pingora::tls::RootCertStore;
use pingora::tls::TlsConnector;
use pingora::tls::version::TLS12;
use pingora::tls::version::TLS13;
use pingora::upstreams::peer::HttpPeer;
use pingora::upstreams::peer::Scheme;
use pingora::utils::tls::CertKey;
use pingora::utils::tls::WrappedX509;
use rustls::client::Resumption;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;

/// Sessions of one location: those of its endpoints. Each takes memory from the start, and there may be thousands of
/// locations.
const SESSIONS: usize = 32;

/// Makes connections.
pub(super) struct Handshakes {
    connector: TransportConnector,
    known: Mutex<HashMap<Settings, Known>>,
}

/// Whose settings: where what was read from its files is in memory. The same files read again are other settings, so no
/// session outlives the authorities that it was trusted by.
type Settings = (usize, Option<usize>);

struct Known {
    connector: TlsConnector,
    /// As long as these are held, nothing else can be at their address.
    authorities: Arc<[WrappedX509]>,
    _certificate: Option<Arc<CertKey>>,
}

impl fmt::Debug for Handshakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handshakes")
    }
}

impl Default for Handshakes {
    fn default() -> Self {
        Self {
            // Idle connections are kept elsewhere.
            connector: TransportConnector::new(Some(ConnectorOptions::new(0))),
            known: Mutex::default(),
        }
    }
}

impl Handshakes {
    /// A connection that nobody has used, within the peer's own time.
    pub(super) async fn connect(&self, peer: &HttpPeer) -> Result<Stream> {
        let Some(connector) = self.settings(peer)? else {
            return self.connector.new_stream(peer).await;
        };
        let secured = async {
            let mut plain = peer.clone();
            plain.scheme = Scheme::HTTP;
            let stream = self.connector.new_stream(&plain).await?;
            let Ok(stream) = stream.into_any().downcast::<TcpStream>() else {
                return Error::e_explain(ErrorType::InternalError, "not a TCP connection");
            };
            let secured = handshake(&connector, &peer.sni, *stream).await?;
            Ok(Box::new(secured) as Stream)
        };
        match peer.options.total_connection_timeout {
            None => secured.await,
            Some(patience) => tokio::time::timeout(patience, secured)
                .await
                .unwrap_or_else(|_| {
                    let text = format!("connecting to {peer}, in {patience:?}");
                    Error::e_explain(ErrorType::ConnectTimedout, text)
                }),
        }
    }

    /// What speaks TLS with it; `None`: whom the system trusts, or anybody, is what Pingora has settings for.
    fn settings(&self, peer: &HttpPeer) -> Result<Option<TlsConnector>> {
        let options = &peer.options;
        let Some(authorities) = options
            .ca
            .as_ref()
            .filter(|_| peer.is_tls() && options.verify_cert && options.verify_hostname)
        else {
            return Ok(None);
        };
        let certificate = &peer.client_cert_key;
        let settings = (
            Arc::as_ptr(authorities).addr(),
            certificate
                .as_ref()
                .map(|certificate| Arc::as_ptr(certificate).addr()),
        );
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&settings) {
            return Ok(Some(known.connector.clone()));
        }
        let config = config(authorities, certificate.as_deref())?;
        let connector = TlsConnector::from(Arc::new(config));
        // Those of files that were read again since.
        known.retain(|_, known| Arc::strong_count(&known.authorities) > 1);
        known.insert(
            settings,
            Known {
                connector: connector.clone(),
                authorities: Arc::clone(authorities),
                _certificate: certificate.clone(),
            },
        );
        Ok(Some(connector))
    }
}

fn config(authorities: &[WrappedX509], certificate: Option<&CertKey>) -> Result<ClientConfig> {
    let bad = |text: String| Error::explain(ErrorType::InvalidCert, text);
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots
            .add(CertificateDer::from(authority))
            .map_err(|error| bad(format!("an authority cannot be one: {error}")))?;
    }
    let builder = ClientConfig::builder_with_protocol_versions(&[&TLS12, &TLS13])
        .with_root_certificates(roots);
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = std::iter::once(own.leaf()).chain(own.intermediates());
            let chain = chain.map(CertificateDer::from);
            let key = PrivateKeyDer::try_from(own.key().clone())
                .map_err(|error| bad(format!("not a private key: {error}")))?;
            builder
                .with_client_auth_cert(chain.collect(), key)
                .map_err(|error| bad(format!("the client certificate is refused: {error}")))?
        }
    };
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
