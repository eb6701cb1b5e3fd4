//! Pingora without any code of ours: what the gateway would cost if it did nothing.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::fd::IntoRawFd;
use std::os::fd::RawFd;
use std::thread;

use async_trait::async_trait;
use pingora::Result;
use pingora::apps::ServerApp;
use pingora::modules::http::HttpModules;
use pingora::server::ListenFds;
use pingora::server::RunArgs;
use pingora::server::Server;
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use pingora::services::Service;
use pingora::services::listening::Service as ListeningService;
use pingora::upstreams::peer::HttpPeer;
use pingora_proxy::ProxyHttp;
use pingora_proxy::Session;
use pingora_proxy::http_proxy;

const SOCKET: &str = "pass-through";

struct PassThrough {
    to: HttpPeer,
}

#[async_trait]
impl ProxyHttp for PassThrough {
    type CTX = ();

    fn new_ctx(&self) {}

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.to.clone()))
    }
}

/// A service on a socket that is open already: Pingora itself cannot be given port 0.
struct OnSocket<A> {
    service: ListeningService<A>,
    socket: RawFd,
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> Service for OnSocket<A> {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        shutdown: ShutdownWatch,
        listeners: usize,
    ) {
        if let Some(fds) = &fds {
            fds.lock().add(SOCKET.to_owned(), self.socket);
        }
        Service::start_service(&mut self.service, fds, shutdown, listeners).await;
    }

    fn name(&self) -> &'static str {
        SOCKET
    }
}

/// Prints its address and serves until whoever started it is gone.
pub(crate) fn serve(to: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?);
    thread::spawn(|| {
        // Nothing is ever written there.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    let conf = ServerConf {
        threads: thread::available_parallelism().map_or(1, usize::from),
        upstream_keepalive_pool_size: 128,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    let app = PassThrough {
        to: HttpPeer::new(to, false, String::new()),
    };
    let mut service =
        ListeningService::new(SOCKET.to_owned(), http_proxy(&server.configuration, app));
    service.add_tcp(SOCKET);
    server.bootstrap();
    server.add_service(OnSocket {
        service,
        socket: listener.into_raw_fd(),
    });
    server.run(RunArgs::default());
    Ok(())
}
