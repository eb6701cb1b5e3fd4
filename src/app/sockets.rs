//! The sockets that clients connect to: those that systemd or our predecessor hands over, or our own.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use log::error;
use pingora::apps::ServerApp;
use pingora::protocols::GetSocketDigest as _;
use pingora::protocols::l4::listener::Listener;
use pingora::protocols::l4::stream::Stream as Connection;
use pingora::server::ListenFds;
use pingora::server::ShutdownWatch;
use pingora::services::Service;
use socket2::SockRef;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio::time::timeout;

use crate::config::Config;
use crate::config::Listen;
use crate::gateway::connection::PARTING;
use crate::gateway::crowd::Crowd;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::Stage;
use crate::listening::inherited::Inherited;
use crate::listening::open;
use crate::listening::open::Families;
use crate::listening::open::Stream;
use crate::listening::successor::Estate;
use crate::oslo::passing::is_passing;
use crate::telemetry::spool;

/// What Pingora calls the service.
const SERVICE: &str = "api";

/// How long a closed door is watched: whoever has begun a handshake before ends it within a round trip.
const HANDSHAKES: Duration = Duration::from_millis(100);
/// Pause after a failed accept, which usually means EMFILE and would otherwise spin.
const PAUSE: Duration = Duration::from_secs(1);

/// No socket can be opened.
#[derive(Debug, Error)]
pub enum ListenError {
    #[error("[api] host_ip, port: cannot listen on {address}: {source}")]
    Tcp {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("[api] unix_socket: cannot listen on {}: {source}", .path.display())]
    Unix { path: PathBuf, source: io::Error },
    #[error("cannot listen on a socket of the service manager: {0}")]
    Handed(io::Error),
}

impl ListenError {
    /// Whether it may be otherwise a moment later: a network that comes up, an address that keepalived brings.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Tcp { source, .. } | Self::Unix { source, .. } => is_passing(source),
            Self::Handed(_) => false,
        }
    }
}

/// An open socket.
#[derive(Debug)]
struct Opened {
    stream: Stream,
    /// Nobody serves it after us, unless a process has taken over.
    is_own: bool,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Sockets {
    opened: Vec<Opened>,
    /// From this stage on: what was taken over is served by the process before us until we can.
    begin: Stage,
}

/// The sockets to serve on, what may be handed on, and where clients find us. Opened here, since Pingora would run on
/// without a socket that it cannot bind.
pub(super) fn listen(
    config: &Config,
    inherited: Inherited,
    begin: Stage,
) -> Result<(Sockets, Estate, String), ListenError> {
    let mut estate = Estate {
        managed: inherited.managed,
        ..Estate::default()
    };
    if estate.managed.is_empty() {
        estate.own = own(&config.api.listen, inherited.own)?;
    }
    let scheme = if config.api.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let mut opened = Vec::new();
    let mut places = Vec::new();
    for (streams, is_own) in [(&estate.managed, false), (&estate.own, true)] {
        for stream in streams {
            let (stream, name) = prepare(stream).map_err(ListenError::Handed)?;
            let scheme = match stream {
                Stream::Tcp(_) => scheme,
                Stream::Unix(_) => "unix",
            };
            places.push(format!("{scheme}://{name}"));
            opened.push(Opened { stream, is_own });
        }
    }
    let sockets = Sockets { opened, begin };
    Ok((sockets, estate, places.join(", ")))
}

/// Those that the configuration names; of the predecessor's what is at the same place.
fn own(listen: &Listen, mut inherited: Vec<Stream>) -> Result<Vec<Stream>, ListenError> {
    match listen {
        Listen::Addresses(addresses) => {
            let families = Families::beside(addresses);
            let open = |address: &SocketAddr| {
                let is_there = |stream: &Stream| stream.is_at(*address);
                if let Some(place) = inherited.iter().position(is_there) {
                    return Ok(inherited.swap_remove(place));
                }
                let opened = open::tcp(*address, families).map(Stream::Tcp);
                opened.map_err(|source| ListenError::Tcp {
                    address: *address,
                    source,
                })
            };
            addresses.iter().map(open).collect()
        }
        Listen::Unix { path, mode } => {
            let is_there = |stream: &Stream| stream.path().as_deref() == Some(path);
            let stream = match inherited.iter().position(is_there) {
                Some(place) => Ok(inherited.swap_remove(place)),
                None => open::unix(path, *mode).map(Stream::Unix),
            };
            let stream = stream.map_err(|source| ListenError::Unix {
                path: path.clone(),
                source,
            })?;
            Ok(vec![stream])
        }
    }
}

/// A copy to accept on, and its name for people.
fn prepare(stream: &Stream) -> io::Result<(Stream, String)> {
    let stream = stream.try_clone()?;
    SockRef::from(&stream).listen(open::BACKLOG)?;
    // systemd hands over blocking sockets unless the unit says otherwise, and tokio needs non-blocking ones.
    let name = match &stream {
        Stream::Tcp(listener) => {
            listener.set_nonblocking(true)?;
            listener.local_addr()?.to_string()
        }
        Stream::Unix(listener) => {
            listener.set_nonblocking(true)?;
            let path = stream
                .path()
                .ok_or_else(|| io::Error::other("a unix socket without a path"))?;
            path.to_string_lossy().into_owned()
        }
    };
    Ok((stream, name))
}

/// A service on sockets that are open already.
///
/// Pingora's own one tells nobody of a client between accept(2) and the first line of the application: a process that ends
/// would not know whom it has let in. Its task also has room for a handshake of its own (9 KB as long as a client stays),
/// and buffers, which would cost a copy and each idle client two pages and more: what is read and written is buffered by
/// `wire::downstream`, for as long as a request lasts.
pub(super) struct OnSockets<A> {
    pub(super) application: Arc<A>,
    pub(super) sockets: Sockets,
    pub(super) crowd: Arc<Crowd>,
    pub(super) lifecycle: Arc<Lifecycle>,
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> Service for OnSockets<A> {
    async fn start_service(&mut self, _: Option<ListenFds>, shutdown: ShutdownWatch, _: usize) {
        // The pulse runs on the runtime that serves requests, so it stops if those threads are blocked.
        let lifecycle = Arc::clone(&self.lifecycle);
        tokio::spawn(async move { lifecycle.pulse("api").await });
        let (mut stages, begin) = (self.lifecycle.watch(), self.sockets.begin);
        // Cannot fail: `self` holds the sender.
        let _ = stages.wait_for(|stage| *stage >= begin).await;
        let mut doors = JoinSet::new();
        for opened in self.sockets.opened.drain(..) {
            let door = Door {
                is_own: opened.is_own,
                application: Arc::clone(&self.application),
                crowd: Arc::clone(&self.crowd),
                shutdown: shutdown.clone(),
            };
            match listener(opened.stream) {
                Ok(listener) => doors.spawn(door.keep(listener, self.lifecycle.watch())),
                Err(error) => {
                    error!("[api]: no client can be let in: {error}");
                    spool::finish();
                    process::exit(1);
                }
            };
        }
        while doors.join_next().await.is_some() {}
        // Pingora would have the application drop requests that are being read (`HttpProxy::http_cleanup`).
        self.crowd.close();
    }

    fn name(&self) -> &str {
        SERVICE
    }
}

/// Within a runtime.
fn listener(stream: Stream) -> io::Result<Listener> {
    Ok(match stream {
        Stream::Tcp(listener) => TcpListener::from_std(listener)?.into(),
        Stream::Unix(listener) => UnixListener::from_std(listener)?.into(),
    })
}

/// Where clients are let in.
struct Door<A> {
    is_own: bool,
    application: Arc<A>,
    crowd: Arc<Crowd>,
    shutdown: ShutdownWatch,
}

impl<A: ServerApp + Send + Sync + 'static> Door<A> {
    /// Lets clients in until the process drains.
    async fn keep(self, listener: Listener, mut stages: watch::Receiver<Stage>) {
        loop {
            let came = tokio::select! {
                came = listener.accept() => came,
                // Cannot fail: the sender lives as long as the process.
                _ = stages.wait_for(|stage| stage.is_draining()) => break,
            };
            self.welcome(came).await;
        }
        let is_replaced = *stages.borrow() == Stage::Replaced;
        if self.is_own && !is_replaced {
            // The door is closed, and nobody will serve those who wait behind it.
            let last = async {
                while let Ok(came) = timeout(HANDSHAKES, listener.accept()).await {
                    self.welcome(came).await;
                }
            };
            // Where the kernel cannot close it, they go on coming.
            let _ = timeout(PARTING, last).await;
        }
    }

    async fn welcome(&self, came: io::Result<Connection>) {
        let mut connection = match came {
            Ok(connection) => connection,
            Err(error) if is_of_client(&error) => return,
            Err(error) => {
                error!("No client can be let in: {error}");
                return sleep(PAUSE).await;
            }
        };
        let digest = connection.get_socket_digest();
        let address = digest.and_then(|digest| Some(digest.peer_addr()?.as_inet()?.ip()));
        // Counted at once, so that the process does not end before it has said a word. Who finds no room is closed to without
        // a word: an answer would cost what is short.
        let Some(place) = self.crowd.admit(address, Instant::now()) else {
            return;
        };
        // Whoever has left by now is noticed by whoever reads.
        let _ = connection.set_nodelay();
        let connection = Box::new(connection);
        let (application, shutdown) = (Arc::clone(&self.application), self.shutdown.clone());
        tokio::spawn(async move {
            application.process_new(connection, &shutdown).await;
            drop(place);
        });
    }
}

/// What went wrong with one client is no reason to let others wait.
fn is_of_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
