//! TLS of the listener, and what all certificates have in common: files that change, and an end.

pub mod expiry;
pub mod listener;
pub mod pem;
pub mod watch;
