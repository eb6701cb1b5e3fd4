//! The sockets that clients connect to: those that systemd or our predecessor hands over, or our own.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::IntoRawFd;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::listeners::L4BufferSettings;
use pingora::listeners::ListenerConfig;
use pingora::server::ListenFds;
use pingora::server::ShutdownWatch;
use pingora::services::Service;
use pingora::services::listening::Service as ListeningService;
use thiserror::Error;

use crate::config::Config;
use crate::config::Listen;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::Stage;
use crate::listening::inherited::Inherited;
use crate::listening::open;
use crate::listening::open::Families;
use crate::listening::open::Stream;
use crate::listening::successor::Estate;

/// What Pingora calls the service.
const SERVICE: &str = "api";

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

/// An open socket, and the name under which Pingora finds it.
#[derive(Debug)]
pub(super) struct Opened {
    name: String,
    socket: RawFd,
    /// Mode of a unix socket: Pingora would set 0666 (`ListenerConfig::uds` without permissions).
    permissions: Option<Permissions>,
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
    for stream in estate.managed.iter().chain(&estate.own) {
        let one = stream.try_clone().and_then(prepare);
        let one = one.map_err(ListenError::Handed)?;
        let scheme = one.permissions.as_ref().map_or(scheme, |_| "unix");
        places.push(format!("{scheme}://{}", one.name));
        opened.push(one);
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

/// Gives the socket away: Pingora makes a listener of its number, and that one closes it (`listeners/l4.rs`).
fn prepare(stream: Stream) -> io::Result<Opened> {
    // systemd hands over blocking sockets unless the unit says otherwise, and tokio needs non-blocking ones.
    let (name, socket, permissions) = match stream {
        Stream::Tcp(listener) => {
            listener.set_nonblocking(true)?;
            let name = listener.local_addr()?.to_string();
            (name, listener.into_raw_fd(), None)
        }
        Stream::Unix(listener) => {
            listener.set_nonblocking(true)?;
            let stream = Stream::Unix(listener.try_clone()?);
            let path = stream
                .path()
                .ok_or_else(|| io::Error::other("a unix socket without a path"))?;
            let permissions = path.metadata()?.permissions();
            let name = path.to_string_lossy().into_owned();
            (name, listener.into_raw_fd(), Some(permissions))
        }
    };
    Ok(Opened {
        name,
        socket,
        permissions,
    })
}

/// A service on sockets that are open already.
pub(super) struct OnSockets<A> {
    service: ListeningService<A>,
    sockets: Sockets,
    lifecycle: Arc<Lifecycle>,
}

impl<A> OnSockets<A> {
    pub(super) fn new(application: A, sockets: Sockets, lifecycle: Arc<Lifecycle>) -> Self {
        let mut service = ListeningService::new(SERVICE.to_owned(), application);
        for opened in &sockets.opened {
            let name = opened.name.as_str();
            let listener = match &opened.permissions {
                None => ListenerConfig::tcp(name),
                Some(permissions) => ListenerConfig::uds(name).permissions(permissions.clone()),
            };
            // What is read and written here is buffered by `wire::downstream`, for as long as a request lasts; buffers below
            // it would cost a copy, and each idle client two pages and more.
            let listener = listener.l4_buffer(L4BufferSettings::unbuffered());
            service.endpoints().add_listener(listener);
        }
        Self {
            service,
            sockets,
            lifecycle,
        }
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> Service for OnSockets<A> {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        shutdown: ShutdownWatch,
        listeners_per_fd: usize,
    ) {
        if let Some(fds) = &fds {
            let mut fds = fds.lock();
            for opened in &self.sockets.opened {
                // Pingora looks a listener up by this name before it binds: the table of its hot upgrade.
                fds.add(opened.name.clone(), opened.socket);
            }
        }
        // The pulse runs on the runtime that serves requests, so it stops if those threads are blocked.
        let lifecycle = Arc::clone(&self.lifecycle);
        tokio::spawn(async move { lifecycle.pulse("api").await });
        let (mut stages, begin) = (self.lifecycle.watch(), self.sockets.begin);
        // Cannot fail: `self` holds the sender.
        let _ = stages.wait_for(|stage| *stage >= begin).await;
        Service::start_service(&mut self.service, fds, shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        SERVICE
    }
}
