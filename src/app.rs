//! Builds everything once and runs it until it is told to stop.

mod controls;
mod master;
mod sockets;

use std::io;
use std::sync::Arc;
use std::thread;

use log::warn;
use pingora::server::RunArgs;
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::services::background::background_service;
use pingora_proxy::http_proxy;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;
use thiserror::Error;
use tokio::runtime;

use crate::admin::answer::Desk;
use crate::admin::listen::AdminError;
use crate::admin::listen::Doors;
use crate::app::controls::Running;
use crate::app::master::Master;
use crate::app::master::Signals;
use crate::app::master::Stop;
use crate::app::sockets::ListenError;
use crate::app::sockets::OnSocket;
use crate::app::sockets::listen;
use crate::auth::AuthSetupError;
use crate::auth::Authenticator;
use crate::auth::access::Gate;
use crate::config::Config;
use crate::control;
use crate::federate::Federation;
use crate::gateway::Gateway;
use crate::gateway::connection::Connections;
use crate::gateway::context::Surroundings;
use crate::gateway::crowd::Bounded;
use crate::gateway::crowd::Bounds;
use crate::gateway::crowd::Crowd;
use crate::gateway::door::Guard;
use crate::keystone;
use crate::lifecycle::Lifecycle;
use crate::locate::state;
use crate::locations::Locations;
use crate::locations::location::LocationError;
use crate::policy::in_force::Policy;
use crate::policy::in_force::PolicyError;
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
/// How long Pingora sleeps once it was told to stop. The process ends before, see `app/master.rs`.
const FOR_EVER: u64 = 1 << 32;

/// Why the program does not start.
#[derive(Debug, Error)]
pub enum AppError {
    #[error("[DEFAULT] log_file: {0}")]
    Log(io::Error),
    #[error("signals cannot be caught: {0}")]
    Signals(io::Error),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("{0}")]
    Location(#[from] LocationError),
    #[error("{0}: {source}", source = std::error::Error::source(.0).map_or_else(String::new, ToString::to_string))]
    Auth(#[from] AuthSetupError),
    #[error("[oslo_policy] {0}")]
    Policy(#[from] PolicyError),
    #[error("[api] cert_file, key_file, client_ca_file: {0}")]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Admin(#[from] AdminError),
}

/// Serves until it is told to end.
pub fn run(config: &Config) -> Result<(), AppError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(AppError::Signals)?;
    // First of all: a signal that came earlier would end the process by its default, without a drain.
    let signals = Signals::catch(&runtime).map_err(AppError::Signals)?;
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
    // A restart would otherwise ask every location about every node again.
    if let Err(error) = state::load(&config.state_path, &locations, &federation.locator) {
        warn!("The saved node cache cannot be used: {error}");
    }
    let listener = listener(config)?;
    let (socket, listening) = listen(config)?;
    let admin = Doors::open(&config.admin)?;

    let guard = Guard {
        authenticator: Arc::clone(&authenticator),
        gate: Gate::new(&config.policy, Arc::clone(&policy)),
    };
    let crowd = Crowd::new(Bounds::new(
        open_files(),
        config.api.max_connections_per_address,
    ));
    let lifecycle = Arc::new(Lifecycle::default());
    let gateway = Gateway::new(
        config,
        Arc::clone(&federation),
        guard,
        Surroundings {
            crowd: Arc::clone(&crowd),
            lifecycle: Arc::clone(&lifecycle),
            transport: Arc::new(Transport::new(POOL_SIZE, budget.clone())),
        },
    );
    let in_flight = gateway.in_flight();
    let (handle, commands) = control::channel();
    admin.serve(Desk::new(Arc::new(Running::of(&gateway, handle))))?;
    let mut server = Server::new_with_opt_and_conf(None, server_conf(config));
    let proxy = http_proxy(&server.configuration, gateway);
    let api = Connections::new(proxy, Arc::clone(&lifecycle));
    let sweep = Sweep {
        federation: Arc::clone(&federation),
        interval: config.directory.sweep_interval,
        state_path: config.state_path.clone(),
        budget: budget.clone(),
    };
    server.bootstrap();
    match &listener {
        None => server.add_service(OnSocket::new(
            Bounded::new(api, Arc::clone(&crowd)),
            socket,
            Arc::clone(&lifecycle),
        )),
        Some(listener) => {
            let secured = Secured::new(api, Arc::clone(listener));
            let bounded = Bounded::new(secured, Arc::clone(&crowd));
            server.add_service(OnSocket::new(bounded, socket, Arc::clone(&lifecycle)))
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
            lifecycle: Arc::clone(&lifecycle),
            listening,
        },
    ));
    let sweep = background_service("sweep", sweep);
    let keeper = sweep.task();
    server.add_service(sweep);
    let master = Master {
        commands,
        lifecycle: Arc::clone(&lifecycle),
        in_flight,
        crowd,
        keeper,
        log: config.log.clone(),
        shutdown_delay: config.api.shutdown_delay,
        drain_timeout: config.drain_timeout,
    };
    thread::spawn(move || runtime.block_on(master.run(signals)));
    server.run(RunArgs {
        shutdown_signal: Box::new(Stop(lifecycle)),
    });
    Ok(())
}

fn listener(config: &Config) -> Result<Option<Arc<Listener>>, TlsError> {
    let loaded = config.api.tls.as_ref().map(Listener::load).transpose()?;
    Ok(loaded.map(Arc::new))
}

fn server_conf(config: &Config) -> ServerConf {
    ServerConf {
        threads: config.api.workers,
        grace_period_seconds: Some(FOR_EVER),
        graceful_shutdown_timeout_seconds: Some(1),
        upstream_keepalive_pool_size: POOL_SIZE,
        // Pingora counts attempts, not repetitions: 0 would send nothing at all.
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
