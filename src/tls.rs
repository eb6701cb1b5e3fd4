//! TLS of the listener, and what all certificates have in common: files that change and expire.

pub mod expiry;
pub mod listener;
pub mod pem;

use std::path::PathBuf;

/// Somebody whose certificates are in files.
pub trait Certified: Send + Sync {
    /// For the log: `the listener`.
    fn title(&self) -> String;

    /// Certificates, keys, authorities.
    fn files(&self) -> Vec<PathBuf>;

    /// Those of them that prove us, leaf first: no use once they are over.
    fn proofs(&self) -> Vec<PathBuf>;

    /// Reads them again. If one cannot be used everything stays as it was, and the text says why.
    fn reload(&self) -> Result<(), String>;
}
