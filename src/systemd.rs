//! Tells systemd when the gateway is ready or stopping, and takes over a socket that systemd holds. Pingora does
//! neither.

use std::ffi::OsStr;
use std::io;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use listenfd::ListenFd;
use log::warn;
use sd_notify::NotifyState;

/// A service manager that does not read in this time is not told.
const PATIENCE: Duration = Duration::from_secs(1);

/// Requests can be served.
pub fn ready() {
    notify(NotifyState::Ready);
}

/// The configuration is read anew; [`ready`] ends that.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify_all(&[NotifyState::Reloading, now]),
        Err(error) => warn!("The service manager could not be notified: {error}"),
    }
}

/// No new request is taken.
pub fn stopping() {
    notify(NotifyState::Stopping);
}

fn notify(state: NotifyState<'_>) {
    notify_all(&[state]);
}

fn notify_all(states: &[NotifyState<'_>]) {
    // Without a service manager this does nothing.
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let text: Vec<_> = states.iter().map(ToString::to_string).collect();
    if let Err(error) = send(path.as_bytes(), text.join("\n").as_bytes()) {
        warn!("The service manager could not be notified: {error}");
    }
}

/// As `sd_notify` of the library, which would wait for a service manager that does not read.
fn send(path: &[u8], text: &[u8]) -> io::Result<()> {
    let address = match path {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.send_to_addr(text, &address).map(drop)
}

/// The socket of `ironic-proxy.socket`, if systemd started us with one.
pub fn socket() -> io::Result<Option<TcpListener>> {
    ListenFd::from_env().take_tcp_listener(0)
}
