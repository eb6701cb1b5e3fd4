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

/// A certificate that somebody has shown.
#[derive(Clone, Debug)]
struct Shown {
    place: String,
    end: Timestamp,
}

/// By what tells peers apart in a pool: address, name, group of settings. All transports of the process see the same
/// certificates.
static SHOWN: Lazy<Mutex<HashMap<u64, Shown>>> = Lazy::new(Mutex::default);

fn shown() -> MutexGuard<'static, HashMap<u64, Shown>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection to this peer was made.
pub(super) fn note(peer: &HttpPeer, stream: &Stream) {
    let certificate = stream.get_ssl().and_then(|tls| tls.peer_certificate_der());
    if let Some(end) = certificate.and_then(expiry::end) {
        let place = place(peer);
        shown().insert(peer.reuse_hash(), Shown { place, end });
    }
}

/// Who that is: `keystone.example.com:5000`.
pub fn place(peer: &HttpPeer) -> String {
    let port = peer
        .address()
        .as_inet()
        .map_or(0, std::net::SocketAddr::port);
    format!("{}:{port}", peer.sni)
}

/// When the certificate ends that it showed last; `None`: it has shown none.
pub fn end(peer: &HttpPeer) -> Option<Timestamp> {
    if !peer.is_tls() {
        return None;
    }
    shown().get(&peer.reuse_hash()).map(|shown| shown.end)
}

/// All that were shown, in the order of their places.
pub fn all() -> Vec<(String, Timestamp)> {
    let mut all: Vec<_> = shown()
        .values()
        .map(|shown| (shown.place.clone(), shown.end))
        .collect();
    all.sort();
    all.dedup();
    all
}
