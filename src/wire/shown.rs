//! Until when the certificates hold that peers have shown. Seen at each new connection, at no cost but a look.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use jiff::Timestamp;
use once_cell::sync::Lazy;
use pingora::protocols::Stream;
use pingora::upstreams::peer::HttpPeer;
use pingora::upstreams::peer::Peer as _;

use crate::tls::expiry;

/// By what tells peers apart in a pool: address, name, group of settings. All transports of the process see the same
/// certificates.
static ENDS: Lazy<Mutex<HashMap<u64, Timestamp>>> = Lazy::new(Mutex::default);

fn ends() -> MutexGuard<'static, HashMap<u64, Timestamp>> {
    ENDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection to this peer was made.
pub(super) fn note(peer: &HttpPeer, stream: &Stream) {
    let shown = stream.get_ssl().and_then(|tls| tls.peer_certificate_der());
    if let Some(end) = shown.and_then(expiry::end) {
        ends().insert(peer.reuse_hash(), end);
    }
}

/// When the certificate ends that it showed last; `None`: it has shown none.
pub fn end(peer: &HttpPeer) -> Option<Timestamp> {
    if !peer.is_tls() {
        return None;
    }
    ends().get(&peer.reuse_hash()).copied()
}
