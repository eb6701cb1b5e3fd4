//! Opens listening sockets.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::num::NonZeroU32;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::process;

use rustix::fs::Mode;
use rustix::process::umask;
use socket2::Domain;
use socket2::Protocol;
use socket2::SockRef;
use socket2::Socket;
use socket2::Type;

/// Clients that may wait to be accepted; the kernel takes less if `net.core.somaxconn` says so. With the 128 of the
/// standard library a burst of connections waits a second for its repeated SYN.
pub const BACKLOG: i32 = 65_535;

/// No interface has this number.
const NOWHERE: NonZeroU32 = NonZeroU32::new(i32::MAX.unsigned_abs()).unwrap();

/// A listening socket.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Stream {
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Unix(listener) => Self::Unix(listener.try_clone()?),
        })
    }

    /// Whether it is what a configuration with this address asks for.
    pub fn is_at(&self, wanted: SocketAddr) -> bool {
        match self {
            Self::Tcp(listener) => listener.local_addr().is_ok_and(|at| serves(at, wanted)),
            Self::Unix(_) => false,
        }
    }

    /// Nobody new is let in: at a socket of ours that nobody takes over. Whoever the kernel has let in can still be
    /// accepted. Merely closed, a socket resets those who wait to be accepted, and those whose handshake is half done,
    /// with requests that they may have sent.
    ///
    /// # Errors
    /// The kernel cannot (Linux before 5.7 wants a capability): then a few may be reset.
    pub fn close_door(&self) -> io::Result<()> {
        match self {
            // A SYN is only for a socket that is bound to its interface, or to none; handshakes that have begun have their
            // own. A filter of packets would need a capability on hardened kernels, which the unit does not have.
            Self::Tcp(listener) => SockRef::from(listener).bind_device_by_index_v4(Some(NOWHERE)),
            Self::Unix(_) => self.path().map_or(Ok(()), fs::remove_file),
        }
    }

    /// Of a unix socket.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(listener) => Some(listener.local_addr().ok()?.as_pathname()?.to_owned()),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Which families of addresses a socket on `[::]` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// What the kernel's `net.ipv6.bindv6only` says: usually both.
    AsUsual,
    /// There is a socket for IPv4 beside it.
    OnlyV6,
}

impl Families {
    pub fn beside(addresses: &[SocketAddr]) -> Self {
        if addresses.iter().any(SocketAddr::is_ipv4) {
            Self::OnlyV6
        } else {
            Self::AsUsual
        }
    }
}

/// Whether what is bound to the first address is what the second one asks for.
pub fn serves(bound: SocketAddr, wanted: SocketAddr) -> bool {
    bound.ip() == wanted.ip() && (wanted.port() == 0 || bound.port() == wanted.port())
}

pub fn tcp(address: SocketAddr, families: Families) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() && families == Families::OnlyV6 {
        socket.set_only_v6(true)?;
    }
    // As the standard library does: connections of the process before us linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A unix socket, in place of one that nobody serves any longer. The kernel keeps the name that it is bound under, and
/// whoever inherits it knows it by that name: so it is not bound beside its place and renamed.
pub fn unix(path: &Path, mode: Option<u32>) -> io::Result<UnixListener> {
    // The file outlives its process: only connecting tells whether somebody serves it.
    if UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    if is_there(path)? {
        fs::remove_file(path)?;
    }
    // With a chmod after the bind, others could connect in between. The mask is the whole process's, so it is put back
    // at once.
    let usual = mode.map(|mode| umask(Mode::from_bits_truncate(!mode & 0o777)));
    let bound = UnixListener::bind(path);
    if let Some(usual) = usual {
        umask(usual);
    }
    let listener = bound?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// # Errors
/// What is there is no socket.
fn is_there(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => Ok(true),
        Ok(_) => {
            let text = "what is there is no socket";
            Err(io::Error::new(io::ErrorKind::AlreadyExists, text))
        }
        Err(_) => Ok(false),
    }
}

/// A unix socket that nobody can connect to before it is placed.
#[derive(Debug)]
pub struct Unplaced {
    beside: PathBuf,
    path: PathBuf,
}

/// Binds it beside its place, where another process may serve.
pub fn unplaced(path: &Path, mode: u32) -> io::Result<(UnixListener, Unplaced)> {
    // In the same directory: rename(2) cannot cross file systems.
    let beside = path.with_extension(process::id().to_string());
    let listener = unix(&beside, Some(mode))?;
    let unplaced = Unplaced {
        beside,
        path: path.to_owned(),
    };
    Ok((listener, unplaced))
}

impl Unplaced {
    /// In place of whatever socket is there.
    pub fn place(self) -> io::Result<()> {
        is_there(&self.path)?;
        fs::rename(&self.beside, &self.path)
    }
}

impl Drop for Unplaced {
    fn drop(&mut self) {
        // There only if it was not placed.
        let _ = fs::remove_file(&self.beside);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_unix_socket_replaces_what_nobody_serves() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let kind = |path| unix(path, None).unwrap_err().kind();
        let first = unix(&path, Some(0o660)).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        assert_eq!(kind(&path), io::ErrorKind::AddrInUse);
        let (second, other) = unplaced(&path, 0o600).unwrap();
        other.place().unwrap();
        assert_eq!(kind(&path), io::ErrorKind::AddrInUse);
        drop((first, second));
        unix(&path, None).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        assert_eq!(kind(&path), io::ErrorKind::AlreadyExists);
        unplaced(&path, 0o600).unwrap().1.place().unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn both_families_can_be_listened_on_at_one_port() {
        let four: SocketAddr = "0.0.0.0:0".parse().unwrap();
        let first = tcp(four, Families::AsUsual).unwrap();
        let six = SocketAddr::new("::".parse().unwrap(), first.local_addr().unwrap().port());
        tcp(six, Families::beside(&[four, six])).unwrap();
        let both = tcp(six, Families::beside(&[six])).unwrap_err();
        assert_eq!(both.kind(), io::ErrorKind::AddrInUse);
    }
}
