//! PEM files, read in full and checked before they are used, since Pingora panics on what it cannot parse.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use pingora::tls::CryptoProvider;
use pingora::tls::install_default_crypto_provider;
use pingora::tls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;

/// A file that TLS needs cannot be used. Never shows what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {what}", path.display())]
pub struct TlsError {
    path: PathBuf,
    what: &'static str,
}

impl TlsError {
    pub fn new(path: &Path, what: &'static str) -> Self {
        Self {
            path: path.to_owned(),
            what,
        }
    }
}

/// A certificate with those that vouch for it, leaf first, and its key. `Debug` does not show the key.
#[derive(Debug)]
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads both files; they may be one and the same. Fails unless the key is that of the first certificate.
    pub fn read(certfile: &Path, keyfile: &Path) -> Result<Self, TlsError> {
        let chain = certificates(certfile)?;
        let key = PrivateKeyDer::from_pem_slice(&read(keyfile)?)
            .map_err(|_| TlsError::new(keyfile, "holds no private key, or an encrypted one"))?;
        // Subcommands come here before anything else has chosen one.
        install_default_crypto_provider();
        let Some(provider) = CryptoProvider::get_default() else {
            return Err(TlsError::new(
                keyfile,
                "cannot be judged without cryptography",
            ));
        };
        CertifiedKey::from_der(chain.clone(), key.clone_key(), provider).map_err(|_| {
            TlsError::new(
                keyfile,
                "holds no usable key, or not that of the certificate",
            )
        })?;
        Ok(Self { chain, key })
    }
}

/// Every certificate of a file; there is at least one, and each can be parsed.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::new(path, "is not PEM"))?;
    if found.is_empty() {
        return Err(TlsError::new(path, "holds no certificate"));
    }
    if found
        .iter()
        .any(|der| x509_parser::parse_x509_certificate(der).is_err())
    {
        return Err(TlsError::new(
            path,
            "holds a certificate that cannot be parsed",
        ));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|_| TlsError::new(path, "cannot be read"))
}
