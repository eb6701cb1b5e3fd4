//! Tells systemd when the gateway is ready or stopping, and takes over sockets that systemd holds. Pingora does
//! neither.

use std::ffi::OsStr;
use std::io;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::os::unix::net::UnixListener;
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

/// A listening socket that the service manager holds.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The streams of `ironic-proxy.socket`, in its order; none if we were started without.
///
/// # Errors
/// One is neither TCP nor a unix stream.
pub fn streams() -> io::Result<Vec<Stream>> {
    let mut handed = ListenFd::from_env();
    let mut streams = Vec::new();
    for index in 0..handed.len() {
        // What is no TCP socket stays where it is.
        if let Ok(Some(tcp)) = handed.take_tcp_listener(index) {
            streams.push(Stream::Tcp(tcp));
        } else if let Some(unix) = handed.take_unix_listener(index)? {
            streams.push(Stream::Unix(unix));
        }
    }
    Ok(streams)
}
