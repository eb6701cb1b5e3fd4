//! Tells systemd when the gateway is ready or stopping, and takes over a socket that systemd holds. Pingora does
//! neither.

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use log::warn;
use sd_notify::NotifyState;

/// Requests can be served.
pub fn ready() {
    notify(NotifyState::Ready);
}

/// No new request is taken.
pub fn stopping() {
    notify(NotifyState::Stopping);
}

fn notify(state: NotifyState<'_>) {
    // Without a service manager this does nothing.
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!("The service manager could not be notified: {error}");
    }
}

/// The socket of `ironic-proxy.socket`, if systemd started us with one.
pub fn socket() -> io::Result<Option<TcpListener>> {
    ListenFd::from_env().take_tcp_listener(0)
}
