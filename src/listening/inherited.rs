//! Sockets that are open when the program starts: the service manager's, or those of the process that it replaces.

use std::env;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use listenfd::ListenFd;

use crate::listening::open::Stream;

/// What a predecessor calls the sockets of `[api]` in `LISTEN_FDNAMES`.
pub(super) const OWN: &str = "ironic-proxy-own";
/// The sockets of `[admin] listen`.
pub(super) const ADMIN: &str = "ironic-proxy-admin";
/// The channel between the two processes.
pub(super) const PREDECESSOR: &str = "ironic-proxy-predecessor";
/// The one word that either says there.
pub(super) const READY: &[u8] = b"ready";

/// A predecessor that does not answer in this time is gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was handed over.
#[derive(Debug, Default)]
pub struct Inherited {
    /// The service manager's, in the order of its unit.
    pub managed: Vec<Stream>,
    /// Of `[api]`, as the predecessor's configuration said.
    pub own: Vec<Stream>,
    /// Of `[admin] listen`, likewise.
    pub admin: Vec<TcpListener>,
    pub predecessor: Option<Predecessor>,
}

impl Inherited {
    /// # Errors
    /// One of the sockets is neither TCP nor a unix stream.
    pub fn from_env() -> io::Result<Self> {
        let mut handed = ListenFd::from_env();
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut inherited = Self::default();
        for index in 0..handed.len() {
            match names.next() {
                Some(OWN) => inherited.own.push(stream(&mut handed, index)?),
                Some(ADMIN) => inherited.admin.extend(handed.take_tcp_listener(index)?),
                Some(PREDECESSOR) => {
                    let channel = handed.take_unix_datagram(index)?;
                    inherited.predecessor = channel.map(Predecessor);
                }
                // The unit may name its sockets as it likes (`FileDescriptorName=`).
                Some(_) | None => inherited.managed.push(stream(&mut handed, index)?),
            }
        }
        Ok(inherited)
    }
}

fn stream(handed: &mut ListenFd, index: usize) -> io::Result<Stream> {
    // listenfd checks the kind first: a socket of another kind is not taken.
    if let Ok(Some(tcp)) = handed.take_tcp_listener(index) {
        return Ok(Stream::Tcp(tcp));
    }
    let unix = handed.take_unix_listener(index)?;
    unix.map(Stream::Unix)
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// The process that this one replaces. It serves until it is told that this one can.
#[derive(Debug)]
pub struct Predecessor(UnixDatagram);

impl Predecessor {
    /// Tells it, and waits until it has told the service manager whom to listen to.
    ///
    /// # Errors
    /// It is gone.
    pub fn take_over(&self) -> io::Result<()> {
        self.0.set_read_timeout(Some(PATIENCE))?;
        self.0.set_write_timeout(Some(PATIENCE))?;
        self.0.send(READY)?;
        self.0.recv(&mut [0; READY.len()]).map(drop)
    }
}
