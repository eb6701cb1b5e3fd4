//! Builds the process and runs it until it is told to stop.

mod assemble;
mod controls;
mod heartbeat;
mod master;
mod reload;
mod sockets;

use std::io;
use std::mem;
use std::sync::Arc;
use std::thread;

use arc_swap::ArcSwap;
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
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::admin::answer::Desk;
use crate::admin::listen::AdminError;
use crate::admin::listen::Doors;
use crate::app::assemble::AssembleError;
use crate::app::controls::Running;
use crate::app::master::Accession;
use crate::app::master::Master;
use crate::app::master::Signals;
use crate::app::master::Stop;
use crate::app::reload::Read;
use crate::app::reload::Reloader;
use crate::app::sockets::ListenError;
use crate::app::sockets::OnSockets;
use crate::app::sockets::Sockets;
use crate::app::sockets::listen;
use crate::config::Config;
use crate::control;
use crate::current::Current;
use crate::current::Follow;
use crate::current::Lead;
use crate::gateway::Gateway;
use crate::gateway::connection::Connections;
use crate::gateway::context::Surroundings;
use crate::gateway::crowd::Bounds;
use crate::gateway::crowd::Crowd;
use crate::keystone;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::Stage;
use crate::listening::inherited::Inherited;
use crate::listening::open::Unplaced;
use crate::listening::successor::Estate;
use crate::locate::state;
use crate::metrics::Metrics;
use crate::oslo::passing::is_passing;
use crate::sync::board;
use crate::sync::board::Order;
use crate::telemetry;
use crate::tls::listener::Listener;
use crate::tls::listener::Secured;
use crate::tls::pem::TlsError;
use crate::upkeep::certificates::CertificateWatch;
use crate::upkeep::chronicle::Chronicle;
use crate::upkeep::coordination::Coordination;
use crate::upkeep::health::HealthCheck;
use crate::upkeep::policy::PolicyWatch;
use crate::upkeep::spans::SpanExport;
use crate::upkeep::sweep::Sweep;
use crate::upkeep::sync::Synchronisation;
use crate::wire::budget::Budget;
use crate::wire::budget::Incoming;
use crate::wire::transport::Transport;

/// Attempts for one request: other peers, a renewed token, a moved node.
const MAX_ATTEMPTS: usize = 8;
/// Idle connections kept for each worker.
const POOL_SIZE: usize = 128;
/// Pingora's grace period, an unconditional sleep after the stop signal. The process ends before, see `app/master.rs`.
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
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    #[error("[api] cert_file, key_file, client_ca_file: {0}")]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Admin(#[from] AdminError),
}

impl AppError {
    /// Whether another start a moment later may succeed with the same configuration.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Log(error) => is_passing(error),
            Self::Listen(error) => error.is_passing(),
            Self::Admin(error) => error.is_passing(),
            // Their files were there when the configuration was read.
            Self::Assemble(_) | Self::Tls(_) | Self::Signals(_) => false,
        }
    }
}

/// Serves until it is told to end. `read` reads the configuration again for a reload.
pub fn run(config: Config, read: Read) -> Result<(), AppError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(AppError::Signals)?;
    // Before anything else: until it is caught, a signal ends the process without a drain.
    let signals = Signals::catch(&runtime).map_err(AppError::Signals)?;
    telemetry::start(&config.log).map_err(AppError::Log)?;
    // Without a process-wide provider rustls may panic when TLS is first configured.
    keystone::client::install_crypto_provider();
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let files = open_files();
    let budget = Budget::new(config.api.max_buffered);
    let surroundings = Arc::new(Surroundings {
        crowd: Crowd::new(Bounds::new(files, config.api.max_connections_per_address)),
        lifecycle: Arc::default(),
        transport: Arc::new(Transport::new(POOL_SIZE, budget.clone())),
        incoming: Incoming::new(&budget, config.api.max_buffered),
        metrics: Arc::default(),
    });
    let server_conf = server_conf(&config);
    let tls = config.api.tls.as_ref();
    let listener = tls.map(Listener::load).transpose()?.map(Arc::new);
    let (current, service) = assemble::assemble(config, &surroundings, None)?;
    recall(&current);
    let opening = Opening::new(&current.config)?;
    current.federation.locations.begin();

    let in_flight = Arc::default();
    let service = Arc::new(ArcSwap::from_pointee(service));
    let lead = Lead::new(Arc::new(current));
    let follow = lead.subscribe();
    let gateway = Gateway {
        service: Arc::clone(&service),
        in_flight: Arc::clone(&in_flight),
    };
    let lifecycle = Arc::clone(&surroundings.lifecycle);
    let (handle, commands) = control::channel();
    let (board, orders) = board::channel();
    let running = Running {
        handle,
        service: Arc::clone(&service),
        follow: follow.clone(),
        surroundings: Arc::clone(&surroundings),
        in_flight: Arc::clone(&in_flight),
        board,
    };
    let callers = opening.admin.callers();
    let desk = Desk::new(Arc::new(running));
    opening
        .admin
        .serve(desk, lifecycle.watch(), opening.begin)?;
    // `Server::new` would take its settings from a YAML file of Pingora's.
    let mut server = Server::new_with_opt_and_conf(None, server_conf);
    let proxy = http_proxy(&server.configuration, gateway);
    let api = Connections::new(proxy, Arc::clone(&lifecycle));
    let crowd = Arc::clone(&surroundings.crowd);
    server.bootstrap();
    let sockets = opening.sockets;
    match &listener {
        None => server.add_service(OnSockets {
            application: Arc::new(api),
            sockets,
            crowd,
            lifecycle: Arc::clone(&lifecycle),
        }),
        Some(listener) => server.add_service(OnSockets {
            application: Arc::new(Secured::new(api, Arc::clone(listener))),
            sockets,
            crowd,
            lifecycle: Arc::clone(&lifecycle),
        }),
    };
    let upkeep = Upkeep {
        listener: listener.clone(),
        follow,
        budget: budget.clone(),
        lifecycle: Arc::clone(&lifecycle),
        orders,
        metrics: Arc::clone(&surroundings.metrics),
    };
    let keeper = upkeep.add_to(&mut server);
    let master = Master {
        commands,
        surroundings: Arc::clone(&surroundings),
        in_flight,
        keeper,
        reloader: Reloader {
            read,
            lead,
            service,
            surroundings,
            listener,
            budget,
            files,
        },
        accession: Some(opening.accession),
        estate: opening.estate,
        callers,
    };
    thread::spawn(move || runtime.block_on(master.run(signals)));
    // `run_forever` would install Pingora's signals: it dies of SIGHUP and swallows a second SIGTERM.
    server.run(RunArgs {
        shutdown_signal: Box::new(Stop(lifecycle)),
    });
    Ok(())
}

/// Without the saved directory the first request for each node would poll every location.
fn recall(current: &Current) {
    let Current {
        config, federation, ..
    } = current;
    if let Err(error) = state::load(
        &config.state_path,
        &federation.locations,
        &federation.locator,
    ) {
        warn!("The saved node cache cannot be used: {error}");
    }
}

/// All listening sockets.
struct Opening {
    sockets: Sockets,
    estate: Estate,
    admin: Doors,
    accession: Accession,
    /// Nothing is accepted before: until then our predecessor, if there is one, serves.
    begin: Stage,
}

impl Opening {
    /// Opened here and not by Pingora, whose service signals that it is ready before it binds.
    fn new(config: &Config) -> Result<Self, AppError> {
        let mut inherited = Inherited::from_env().map_err(ListenError::Handed)?;
        let predecessor = inherited.predecessor.take();
        let begin = predecessor
            .as_ref()
            .map_or(Stage::Starting, |_| Stage::Serving);
        let loopback = mem::take(&mut inherited.admin);
        let (sockets, mut estate, listening) = listen(config, inherited, begin)?;
        let (admin, mut unplaced) = Doors::open(&config.admin, loopback)?;
        estate.admin = admin.loopback().map_err(AdminError::Copy)?;
        if predecessor.is_none() {
            let placed = unplaced.take().map(Unplaced::place).transpose();
            placed.map_err(AdminError::Place)?;
        }
        Ok(Self {
            sockets,
            estate,
            admin,
            accession: Accession {
                predecessor,
                unplaced,
                listening,
            },
            begin,
        })
    }
}

/// What the background services need.
struct Upkeep {
    listener: Option<Arc<Listener>>,
    follow: Follow,
    budget: Budget,
    lifecycle: Arc<Lifecycle>,
    orders: UnboundedReceiver<Order>,
    metrics: Arc<Metrics>,
}

impl Upkeep {
    /// Returns the task that writes the state file, for the end of the process.
    fn add_to(self, server: &mut Server) -> Arc<Sweep> {
        let certificates = CertificateWatch {
            listener: self.listener,
            follow: self.follow.clone(),
        };
        server.add_service(background_service("certificates", certificates));
        let policy = PolicyWatch {
            follow: self.follow.clone(),
        };
        server.add_service(background_service("policy", policy));
        let chronicle = Chronicle {
            follow: self.follow.clone(),
            metrics: self.metrics,
        };
        server.add_service(background_service("chronicle", chronicle));
        let health = HealthCheck {
            follow: self.follow.clone(),
            budget: self.budget.clone(),
            lifecycle: self.lifecycle,
        };
        server.add_service(background_service("health", health));
        let synchronisation = Synchronisation {
            follow: self.follow.clone(),
            budget: self.budget.clone(),
            orders: Mutex::new(self.orders),
        };
        server.add_service(background_service("sync", synchronisation));
        let coordination = Coordination {
            follow: self.follow.clone(),
        };
        server.add_service(background_service("coordination", coordination));
        let spans = SpanExport {
            follow: self.follow.clone(),
            budget: self.budget.clone(),
        };
        server.add_service(background_service("spans", spans));
        let sweep = Sweep {
            follow: self.follow,
            budget: self.budget,
        };
        let sweep = background_service("sweep", sweep);
        let keeper = sweep.task();
        server.add_service(sweep);
        keeper
    }
}

fn server_conf(config: &Config) -> ServerConf {
    ServerConf {
        // Pingora's default is one thread.
        threads: config.api.workers,
        grace_period_seconds: Some(FOR_EVER),
        // Pingora's own way to end is never reached: `Master::end` exits the process.
        graceful_shutdown_timeout_seconds: Some(1),
        upstream_keepalive_pool_size: POOL_SIZE,
        // Pingora counts attempts, not repetitions: 0 would send nothing at all.
        max_retries: MAX_ATTEMPTS,
        ..ServerConf::default()
    }
}

/// Raises the soft limit of open files to the hard one and returns it: a shell's soft limit of 1024 is fewer than there
/// may be clients.
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
