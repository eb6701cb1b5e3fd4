//! TLS on either side of what is measured.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use pingora::tls::ClientConfig;
use pingora::tls::RootCertStore;
use pingora::tls::ServerConfig;
use pingora::tls::TlsAcceptor;
use pingora::tls::TlsConnector;
use pingora::tls::install_default_crypto_provider;
use pingora::tls::load_native_certs;
use rustls::client::Resumption;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use tempfile::TempDir;

/// The certificate of 127.0.0.1, and its own authority.
#[derive(Debug)]
pub(crate) struct Certificate {
    directory: TempDir,
}

impl Certificate {
    /// Where there is no `openssl`, none is made.
    pub(crate) fn make() -> io::Result<Self> {
        let made = Self {
            directory: TempDir::new()?,
        };
        // An ECDSA key, as most certificates have today. What calls itself an authority is no server to rustls.
        let done = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args([
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=load",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
            ])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(made.key())
            .arg("-out")
            .arg(made.chain())
            .output()?;
        if !done.status.success() {
            return Err(io::Error::other(
                String::from_utf8_lossy(&done.stderr).into_owned(),
            ));
        }
        let both = [fs::read(made.chain())?, fs::read(made.key())?].concat();
        fs::write(made.both(), both)?;
        Ok(made)
    }

    pub(crate) fn chain(&self) -> PathBuf {
        self.path("chain.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.path("key.pem")
    }

    /// Chain and key in one file, as `HAProxy` wants them.
    pub(crate) fn both(&self) -> PathBuf {
        self.path("both.pem")
    }

    /// What a gateway is told so that it trusts so many locations that have it.
    pub(crate) fn trusted_by(&self, locations: u32) -> String {
        let chain = self.chain();
        let sections = (0..locations)
            .map(|index| format!("[group:loc{index}]\ncafile = {}\n", chain.display()));
        sections.collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Clients of a server that has it; they come back to a session, or make each anew.
    pub(crate) fn connector(&self, resumed: bool) -> io::Result<TlsConnector> {
        let mut authorities = RootCertStore::empty();
        authorities
            .add(read(&self.chain())?)
            .map_err(io::Error::other)?;
        let mut config = client(authorities);
        if !resumed {
            config.resumption = Resumption::disabled();
        }
        Ok(Arc::new(config).into())
    }

    /// A server that has it.
    pub(crate) fn acceptor(&self) -> io::Result<TlsAcceptor> {
        install_default_crypto_provider();
        let key = PrivateKeyDer::from_pem_file(self.key()).map_err(io::Error::other)?;
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![read(&self.chain())?], key)
            .map_err(io::Error::other)?;
        Ok(Arc::new(config).into())
    }
}

fn read(path: &Path) -> io::Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(path).map_err(io::Error::other)
}

/// Clients that trust whom this machine trusts.
pub(crate) fn of_the_system() -> io::Result<TlsConnector> {
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(load_native_certs()?);
    Ok(Arc::new(client(authorities)).into())
}

fn client(authorities: RootCertStore) -> ClientConfig {
    install_default_crypto_provider();
    ClientConfig::builder()
        .with_root_certificates(authorities)
        .with_no_client_auth()
}
