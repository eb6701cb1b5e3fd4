//! Tells systemd how the gateway is. Pingora does not.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use log::warn;
use sd_notify::NotifyState;

/// A service manager that does not read in this time is not told.
const PATIENCE: Duration = Duration::from_secs(1);

/// Requests can be served.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The configuration is read anew; [`ready`] ends that.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => warn!("The service manager could not be notified: {error}"),
    }
}

/// No new request is taken.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// One line for `systemctl status`.
pub fn status(line: &str) {
    notify(&[NotifyState::Status(line)]);
}

/// How long it waits for the next [`alive`] (`WatchdogSec=`), if it does.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// All loops turn.
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// Another process of the service is the main one from now on, and the only one that is listened to.
pub fn replaced_by(pid: u32) {
    notify(&[NotifyState::MainPid(pid)]);
}

fn notify(states: &[NotifyState<'_>]) {
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
