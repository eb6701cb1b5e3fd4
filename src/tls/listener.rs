//! TLS towards clients. The handshake is ours, since Pingora would read the files only once and panic on bad ones.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use log::debug;
use pingora::apps::ServerApp;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::server::ShutdownWatch;
use pingora::tls::RootCertStore;
use pingora::tls::ServerConfig;
use pingora::tls::WebPkiClientVerifier;
use pingora::tls::install_default_crypto_provider;
use pingora::tls::version::TLS12;
use pingora::tls::version::TLS13;
use rustls::crypto::ring::Ticketer;
use tokio::time::timeout;

use crate::config::ListenerTls;
use crate::config::TlsVersion;
use crate::tls::Certified;
use crate::tls::pem;
use crate::tls::pem::Identity;
use crate::tls::pem::TlsError;

/// A client that does not finish its handshake in this time is gone.
const HANDSHAKE: Duration = Duration::from_secs(15);

/// The listener's certificate, key and client authorities, as last read.
pub struct Listener(ArcSwap<Read>);

/// What was read, and from where.
struct Read {
    config: ListenerTls,
    acceptor: Acceptor,
}

impl Listener {
    /// Reads the files.
    pub fn load(config: &ListenerTls) -> Result<Self, TlsError> {
        Ok(Self(ArcSwap::from_pointee(Read::new(config)?)))
    }

    /// Reads other files. Connections that are open keep what they were made with.
    pub fn replace(&self, config: &ListenerTls) -> Result<(), TlsError> {
        self.0.store(Arc::new(Read::new(config)?));
        Ok(())
    }
}

impl Read {
    fn new(config: &ListenerTls) -> Result<Self, TlsError> {
        Ok(Self {
            acceptor: acceptor(config)?,
            config: config.clone(),
        })
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("config", &self.0.load().config)
            .finish_non_exhaustive()
    }
}

impl Certified for Listener {
    fn title(&self) -> String {
        "the listener".to_owned()
    }

    fn files(&self) -> Vec<PathBuf> {
        let config = &self.0.load().config;
        let ours = [&config.cert_file, &config.key_file];
        ours.into_iter()
            .chain(&config.client_ca_file)
            .cloned()
            .collect()
    }

    fn proofs(&self) -> Vec<PathBuf> {
        vec![self.0.load().config.cert_file.clone()]
    }

    fn reload(&self) -> Result<(), String> {
        let config = self.0.load().config.clone();
        self.replace(&config).map_err(|error| error.to_string())
    }
}

fn acceptor(config: &ListenerTls) -> Result<Acceptor, TlsError> {
    install_default_crypto_provider();
    let identity = Identity::read(&config.cert_file, &config.key_file)?;
    let versions = match config.minimum {
        TlsVersion::V1_2 => &[&TLS12, &TLS13][..],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_protocol_versions(versions);
    let builder = match &config.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut authorities = RootCertStore::empty();
            for authority in pem::certificates(path)? {
                authorities.add(authority).map_err(|_| {
                    TlsError::new(path, "holds a certificate that cannot be an authority")
                })?;
            }
            let verifier = WebPkiClientVerifier::builder(Arc::new(authorities))
                .build()
                .map_err(|_| TlsError::new(path, "holds no authority of clients"))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut server = builder
        .with_single_cert(identity.chain, identity.key)
        .map_err(|_| TlsError::new(&config.cert_file, "cannot be served"))?;
    // The default remembers the sessions of the last hundred clients or so; what is in a ticket, the client remembers. Its
    // key lives as long as what was read: a session is not taken up again under other authorities.
    server.ticketer = Ticketer::new()
        .map_err(|_| TlsError::new(&config.cert_file, "cannot be served: no random numbers"))?;
    // Not h2: where a client ends a request with an empty DATA frame, Pingora 0.9.1 writes the last chunk to the location
    // twice and spoils that connection for the next request (cloudflare/pingora#935).
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Acceptor::from_server_config(Arc::new(server)))
}

/// An application that is only reached through TLS.
pub struct Secured<A> {
    application: Arc<A>,
    listener: Arc<Listener>,
}

impl<A> Secured<A> {
    pub fn new(application: A, listener: Arc<Listener>) -> Self {
        Self {
            application: Arc::new(application),
            listener,
        }
    }
}

impl<A> fmt::Debug for Secured<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secured")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for Secured<A> {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let stream = stream.into_any().downcast::<TcpStream>().ok()?;
        // Taken once: certificates that are replaced during the handshake are for the next one.
        let read = self.listener.0.load_full();
        // Boxed, since what it holds (10 KB) would otherwise be kept as long as the client stays.
        let handshake = Box::pin(read.acceptor.tls_handshake(*stream));
        match timeout(HANDSHAKE, handshake).await {
            Ok(Ok(secured)) => {
                self.application
                    .process_new(Box::new(secured), shutdown)
                    .await
            }
            Ok(Err(error)) => {
                // Whoever scans ports ends here; a warning each would fill the log.
                debug!("The TLS handshake of a client failed: {error}");
                None
            }
            Err(_) => {
                debug!("A client did not finish its TLS handshake in time");
                None
            }
        }
    }
}
