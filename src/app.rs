//! Builds everything once and runs it until it is told to stop.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::fd::IntoRawFd;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use log::info;
use log::warn;
use pingora::apps::ServerApp;
use pingora::server::ExecutionPhase;
use pingora::server::ListenFds;
use pingora::server::RunArgs;
use pingora::server::Server;
use pingora::server::ShutdownSignal;
use pingora::server::ShutdownSignalWatch;
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use pingora::services::Service;
use pingora::services::background::background_service;
use pingora::services::listening::Service as ListeningService;
use pingora_proxy::http_proxy;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;
use thiserror::Error;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use crate::auth::AuthSetupError;
use crate::auth::Authenticator;
use crate::auth::access::Gate;
use crate::config::Config;
use crate::federate::Federation;
use crate::gateway::Gateway;
use crate::gateway::connection::Connections;
use crate::gateway::context::InFlight;
use crate::gateway::crowd::Bounded;
use crate::gateway::crowd::Bounds;
use crate::gateway::crowd::Crowd;
use crate::gateway::door::Guard;
use crate::keystone;
use crate::locate::state;
use crate::locations::Locations;
use crate::locations::location::LocationError;
use crate::policy::in_force::Policy;
use crate::policy::in_force::PolicyError;
use crate::systemd;
use crate::telemetry;
use crate::tls::listener::Listener;
use crate::tls::listener::Secured;
use crate::tls::pem::TlsError;
use crate::upkeep::certificates::CertificateWatch;
use crate::upkeep::health::HealthCheck;
use crate::upkeep::policy::PolicyWatch;
use crate::upkeep::sweep::Sweep;
use crate::wire::budget::Budget;
use crate::wire::transport::Transport;

/// Attempts of one request, over peers, new tokens and moves.
const MAX_ATTEMPTS: usize = 8;
/// Idle connections kept for each worker.
const POOL_SIZE: usize = 128;
/// The name under which Pingora knows our socket.
const SOCKET: &str = "api";

/// Why the program does not start.
#[derive(Debug, Error)]
pub enum AppError {
    #[error("[DEFAULT] log_file: {0}")]
    Log(io::Error),
    #[error("[api] host_ip, port: cannot listen on {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("{0}")]
    Location(#[from] LocationError),
    #[error("{0}: {source}", source = std::error::Error::source(.0).map_or_else(String::new, ToString::to_string))]
    Auth(#[from] AuthSetupError),
    #[error("[oslo_policy] {0}")]
    Policy(#[from] PolicyError),
    #[error("[api] cert_file, key_file, client_ca_file: {0}")]
    Tls(#[from] TlsError),
}

/// Serves until SIGTERM or SIGINT, then drains.
pub fn run(config: &Config) -> Result<(), AppError> {
    telemetry::start(&config.log).map_err(AppError::Log)?;
    keystone::client::install_crypto_provider();
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let locations = Arc::new(Locations::new(config)?);
    let authenticator = Arc::new(Authenticator::new(&config.auth)?);
    let policy = Arc::new(Policy::load(&config.policy)?);
    let budget = Budget::new(config.api.max_buffered);
    let federation = Arc::new(Federation::new(config, Arc::clone(&locations)));
    if let Err(error) = state::load(&config.state_path, &locations, &federation.locator) {
        warn!("The saved node cache cannot be used: {error}");
    }
    let listener = config
        .api
        .tls
        .as_ref()
        .map(Listener::load)
        .transpose()?
        .map(Arc::new);
    let (socket, listening) = listen(config)?;

    let guard = Guard {
        authenticator: Arc::clone(&authenticator),
        gate: Gate::new(&config.policy, Arc::clone(&policy)),
    };
    let crowd = Crowd::new(Bounds::new(
        open_files(),
        config.api.max_connections_per_address,
    ));
    let gateway = Gateway::new(
        config,
        Arc::clone(&federation),
        guard,
        Arc::clone(&crowd),
        Arc::new(Transport::new(POOL_SIZE, budget.clone())),
    );
    let in_flight = gateway.in_flight();
    let mut server = Server::new_with_opt_and_conf(None, server_conf(config));
    let api = Connections::new(http_proxy(&server.configuration, gateway));
    let sweep = Sweep {
        federation: Arc::clone(&federation),
        interval: config.directory.sweep_interval,
        state_path: config.state_path.clone(),
        budget: budget.clone(),
    };
    server.bootstrap();
    match &listener {
        None => server.add_service(OnSocket::new(Bounded::new(api, crowd), socket)),
        Some(listener) => {
            let secured = Secured::new(api, Arc::clone(listener));
            server.add_service(OnSocket::new(Bounded::new(secured, crowd), socket))
        }
    };
    let certificates = CertificateWatch {
        listener,
        locations: Arc::clone(&locations),
        authenticator: Arc::clone(&authenticator),
    };
    server.add_service(background_service("certificates", certificates));
    server.add_service(background_service("policy", PolicyWatch { policy }));
    server.add_service(background_service(
        "health",
        HealthCheck {
            locations,
            authenticator,
            budget: budget.clone(),
            listening,
        },
    ));
    let sweep = background_service("sweep", sweep);
    let keeper = sweep.task();
    server.add_service(sweep);
    leave_early(
        &server,
        in_flight,
        config.drain_timeout,
        Arc::clone(&keeper),
    );
    server.run(RunArgs {
        shutdown_signal: Box::new(Stop),
    });
    keeper.save();
    Ok(())
}

fn server_conf(config: &Config) -> ServerConf {
    ServerConf {
        threads: config.api.workers,
        grace_period_seconds: Some(config.drain_timeout.as_secs()),
        graceful_shutdown_timeout_seconds: Some(1),
        upstream_keepalive_pool_size: POOL_SIZE,
        max_retries: MAX_ATTEMPTS,
        ..ServerConf::default()
    }
}

/// How many files this process may have open, from now on as many as the hard limit has: a shell's soft limit of 1024 is
/// fewer than there may be clients.
fn open_files() -> u64 {
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limits.maximum,
        ..limits
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current.unwrap_or(u64::MAX),
        Err(error) => {
            warn!("The limit of open files cannot be raised: {error}");
            limits.current.unwrap_or(u64::MAX)
        }
    }
}

/// The socket to serve on: systemd's, or one of our own. Pingora would go on without it.
fn listen(config: &Config) -> Result<(RawFd, String), AppError> {
    let address = SocketAddr::new(config.api.host_ip, config.api.port);
    let error = |source| AppError::Listen { address, source };
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
struct OnSocket<A> {
    service: ListeningService<A>,
    socket: RawFd,
}

impl<A> OnSocket<A> {
    fn new(application: A, socket: RawFd) -> Self {
        let mut service = ListeningService::new(SOCKET.to_owned(), application);
        service.add_tcp(SOCKET);
        Self { service, socket }
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
        Service::start_service(&mut self.service, fds, shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        SOCKET
    }
}

/// SIGTERM and SIGINT both drain.
struct Stop;

#[async_trait]
impl ShutdownSignalWatch for Stop {
    async fn recv(&self) -> ShutdownSignal {
        let (Ok(mut terminate), Ok(mut interrupt)) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
        ) else {
            return ShutdownSignal::FastShutdown;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        systemd::stopping();
        info!("Stopping: no new requests are taken");
        ShutdownSignal::GracefulTerminate
    }
}

/// Pingora sleeps through the whole grace period, also when nothing is left to do. This ends the process as soon as the
/// last request is done.
fn leave_early(server: &Server, in_flight: Arc<InFlight>, grace: Duration, keeper: Arc<Sweep>) {
    let mut phases = server.watch_execution_phase();
    thread::spawn(move || {
        loop {
            match phases.blocking_recv() {
                Ok(ExecutionPhase::ShutdownGracePeriod) => break,
                Ok(_) => {}
                Err(_) => return,
            }
        }
        let over = Instant::now() + grace;
        while in_flight.count() > 0 && Instant::now() < over {
            thread::park_timeout(Duration::from_millis(5));
        }
        if in_flight.count() == 0 {
            keeper.save();
            info!("Stopped");
            telemetry::spool::finish();
            std::process::exit(0);
        }
    });
}
