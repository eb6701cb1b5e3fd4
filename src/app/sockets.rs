//! The sockets that clients connect to: those that systemd hands over, or one of our own.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::fd::IntoRawFd;
use std::os::fd::RawFd;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::server::ListenFds;
use pingora::server::ShutdownWatch;
use pingora::services::Service;
use pingora::services::listening::Service as ListeningService;
use thiserror::Error;

use crate::config::Config;
use crate::lifecycle::Lifecycle;
use crate::systemd;
use crate::systemd::Stream;

/// What Pingora calls the service.
const SERVICE: &str = "api";

/// No socket can be opened.
#[derive(Debug, Error)]
#[error("[api] host_ip, port: cannot listen on {address}: {source}")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// An open socket, and the name under which Pingora finds it.
#[derive(Debug)]
pub(super) struct Opened {
    name: String,
    socket: RawFd,
    /// Mode of a unix socket: Pingora would set 0666 (`add_uds` without permissions).
    permissions: Option<Permissions>,
}

/// The sockets to serve on, systemd's or one of our own, and where clients find them. Opened here, since Pingora would
/// run on without a socket that it cannot bind.
pub(super) fn listen(config: &Config) -> Result<(Vec<Opened>, String), ListenError> {
    let address = SocketAddr::new(config.api.host_ip, config.api.port);
    let error = |source| ListenError { address, source };
    let mut streams = systemd::streams().map_err(error)?;
    if streams.is_empty() {
        streams.push(Stream::Tcp(TcpListener::bind(address).map_err(error)?));
    }
    let scheme = if config.api.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let mut sockets = Vec::new();
    let mut places = Vec::new();
    for stream in streams {
        let opened = open(stream).map_err(error)?;
        let scheme = opened.permissions.as_ref().map_or(scheme, |_| "unix");
        places.push(format!("{scheme}://{}", opened.name));
        sockets.push(opened);
    }
    Ok((sockets, places.join(", ")))
}

fn open(stream: Stream) -> io::Result<Opened> {
    // systemd hands over blocking sockets unless the unit says otherwise, and tokio needs non-blocking ones.
    let (name, socket, permissions) = match stream {
        Stream::Tcp(listener) => {
            listener.set_nonblocking(true)?;
            let name = listener.local_addr()?.to_string();
            (name, listener.into_raw_fd(), None)
        }
        Stream::Unix(listener) => {
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            let path = address
                .as_pathname()
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
    sockets: Vec<Opened>,
    lifecycle: Arc<Lifecycle>,
}

impl<A> OnSockets<A> {
    pub(super) fn new(application: A, sockets: Vec<Opened>, lifecycle: Arc<Lifecycle>) -> Self {
        let mut service = ListeningService::new(SERVICE.to_owned(), application);
        for opened in &sockets {
            match &opened.permissions {
                None => service.add_tcp(&opened.name),
                Some(permissions) => service.add_uds(&opened.name, Some(permissions.clone())),
            }
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
            for opened in &self.sockets {
                // Pingora looks a listener up by this name before it binds: the table of its hot upgrade.
                fds.add(opened.name.clone(), opened.socket);
            }
        }
        // The pulse runs on the runtime that serves requests, so it stops if those threads are blocked.
        let lifecycle = Arc::clone(&self.lifecycle);
        tokio::spawn(async move { lifecycle.pulse("api").await });
        Service::start_service(&mut self.service, fds, shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        SERVICE
    }
}
