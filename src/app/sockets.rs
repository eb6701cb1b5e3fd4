//! The sockets that clients connect to: systemd's, or our own.

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

/// The name under which Pingora knows our socket.
const SOCKET: &str = "api";

/// There is nothing to listen on.
#[derive(Debug, Error)]
#[error("[api] host_ip, port: cannot listen on {address}: {source}")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// The socket to serve on: systemd's, or one of our own. Pingora would go on without it.
pub(super) fn listen(config: &Config) -> Result<(RawFd, String), ListenError> {
    let address = SocketAddr::new(config.api.host_ip, config.api.port);
    let error = |source| ListenError { address, source };
    let listener = match systemd::socket().map_err(error)? {
        Some(listener) => listener,
        None => TcpListener::bind(address).map_err(error)?,
    };
    // A socket of systemd's blocks unless its unit says otherwise.
    listener.set_nonblocking(true).map_err(error)?;
    let bound = listener.local_addr().map_err(error)?;
    let scheme = if config.api.tls.is_some() {
        "https"
    } else {
        "http"
    };
    Ok((listener.into_raw_fd(), format!("{scheme}://{bound}")))
}

/// A service on a socket that is open already.
pub(super) struct OnSocket<A> {
    service: ListeningService<A>,
    socket: RawFd,
    lifecycle: Arc<Lifecycle>,
}

impl<A> OnSocket<A> {
    pub(super) fn new(application: A, socket: RawFd, lifecycle: Arc<Lifecycle>) -> Self {
        let mut service = ListeningService::new(SOCKET.to_owned(), application);
        service.add_tcp(SOCKET);
        Self {
            service,
            socket,
            lifecycle,
        }
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> Service for OnSocket<A> {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        shutdown: ShutdownWatch,
        listeners_per_fd: usize,
    ) {
        if let Some(fds) = &fds {
            fds.lock().add(SOCKET.to_owned(), self.socket);
        }
        // On the runtime that serves requests.
        let lifecycle = Arc::clone(&self.lifecycle);
        tokio::spawn(async move { lifecycle.pulse("api").await });
        Service::start_service(&mut self.service, fds, shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        SOCKET
    }
}
