//! The sockets of the admin listener, and the thread that serves them.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use http::Response;
use http::StatusCode;
use log::info;
use log::warn;
use pingora::apps::ServerApp as _;
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream;
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::watch;

use crate::admin::answer::Call;
use crate::admin::answer::Desk;
use crate::admin::answer::From;
use crate::admin::answer::told;
use crate::config::AdminConfig;
use crate::lifecycle::Stage;
use crate::listening::open;
use crate::listening::open::Families;
use crate::listening::open::Unplaced;
use crate::oslo::passing::is_passing;

/// Connections at the same time, on the socket and on loopback each.
const CONNECTIONS: usize = 64;
/// Bound on a whole connection, so that idle ones cannot use up `CONNECTIONS`.
const LONGEST: Duration = Duration::from_mins(5);
/// Largest body of a request.
const BODY: usize = 64 << 10;
/// Pause after a failed accept, which usually means EMFILE and would otherwise spin.
const PAUSE: Duration = Duration::from_millis(100);

/// Why the admin listener cannot be opened.
#[derive(Debug, Error)]
pub enum AdminError {
    #[error("[admin] socket: {path}: {source}", path = path.display())]
    Socket { path: PathBuf, source: io::Error },
    #[error("[admin] socket: {0}")]
    Place(io::Error),
    #[error("[admin] listen: {0}")]
    Copy(io::Error),
    #[error("[admin] listen: cannot listen on {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("[admin]: no thread can be started: {0}")]
    Thread(io::Error),
}

impl AdminError {
    /// Whether it may be otherwise a moment later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Socket { source, .. } | Self::Listen { source, .. } => is_passing(source),
            Self::Place(_) | Self::Copy(_) | Self::Thread(_) => false,
        }
    }
}

/// The sockets, open.
#[derive(Debug)]
pub struct Doors {
    unix: Option<UnixListener>,
    loopback: Vec<TcpListener>,
    callers: Callers,
}

/// Who is connected.
#[derive(Clone, Debug, Default)]
pub struct Callers(Arc<Called>);

#[derive(Debug, Default)]
struct Called {
    connected: AtomicUsize,
    /// Another process lets them in.
    elsewhere: AtomicBool,
}

impl Callers {
    pub fn are_there(&self) -> bool {
        self.0.connected.load(Ordering::SeqCst) > 0
    }

    /// Whether those who come from now on come to the process that has replaced this one.
    pub fn come_elsewhere(&self) -> bool {
        self.0.elsewhere.load(Ordering::SeqCst)
    }
}

impl Doors {
    /// Opens them, or takes over those that are open already. The unix socket is to be placed yet.
    pub fn open(
        config: &AdminConfig,
        mut inherited: Vec<TcpListener>,
    ) -> Result<(Self, Option<Unplaced>), AdminError> {
        let unix = config
            .served()
            .map(|path| {
                let opened = open::unplaced(&path, 0o600);
                opened.map_err(|source| AdminError::Socket { path, source })
            })
            .transpose()?;
        let (unix, unplaced) = unix.unzip();
        let loopback = config
            .listen
            .iter()
            .map(|&address| {
                listen(address, &mut inherited)
                    .map_err(|source| AdminError::Listen { address, source })
            })
            .collect::<Result<_, _>>()?;
        let doors = Self {
            unix,
            loopback,
            callers: Callers::default(),
        };
        Ok((doors, unplaced))
    }

    /// Copies of the sockets on loopback.
    pub fn loopback(&self) -> io::Result<Vec<TcpListener>> {
        self.loopback.iter().map(TcpListener::try_clone).collect()
    }

    pub fn callers(&self) -> Callers {
        self.callers.clone()
    }

    /// Serves them on a thread of its own, until the process ends or is replaced. What was taken over is served when the
    /// process it was taken from need not any longer.
    pub fn serve(
        self,
        desk: Desk,
        mut stages: watch::Receiver<Stage>,
        begin: Stage,
    ) -> Result<(), AdminError> {
        if self.unix.is_none() && self.loopback.is_empty() {
            self.callers.0.elsewhere.store(true, Ordering::SeqCst);
            return Ok(());
        }
        // A runtime of its own: if the API's worker threads are blocked, `/live` must still be able to say so.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(AdminError::Thread)?;
        let serve = async move {
            let _ = stages.wait_for(|stage| *stage >= begin).await;
            self.accept_all(Arc::new(desk), stages).await;
            // Whoever is connected is still answered.
            std::future::pending::<()>().await;
        };
        thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || runtime.block_on(serve))
            .map_err(AdminError::Thread)?;
        Ok(())
    }

    async fn accept_all(self, desk: Arc<Desk>, mut stages: watch::Receiver<Stage>) {
        let mut doors = tokio::task::JoinSet::new();
        if let Some(listener) = self
            .unix
            .and_then(|one| tokio::net::UnixListener::from_std(one).ok())
        {
            let (desk, places) = (Arc::clone(&desk), Arc::new(Semaphore::new(CONNECTIONS)));
            let callers = self.callers.clone();
            doors.spawn(async move {
                while let Some(place) = place(&places).await {
                    match listener.accept().await {
                        Ok((stream, _)) => {
                            let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                            let connection = Connection {
                                desk: Arc::clone(&desk),
                                from: From::Socket { uid },
                                callers: callers.clone(),
                            };
                            connection.spawn(stream.into(), place);
                        }
                        Err(error) => wait_after(&error).await,
                    }
                }
            });
        }
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        for listener in self.loopback {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                continue;
            };
            let (desk, places) = (Arc::clone(&desk), Arc::clone(&places));
            let callers = self.callers.clone();
            doors.spawn(async move {
                while let Some(place) = place(&places).await {
                    match listener.accept().await {
                        Ok((stream, _)) => {
                            let connection = Connection {
                                desk: Arc::clone(&desk),
                                from: From::Loopback,
                                callers: callers.clone(),
                            };
                            connection.spawn(stream.into(), place);
                        }
                        Err(error) => wait_after(&error).await,
                    }
                }
            });
        }
        // Its sockets are another process's then; aborting the tasks closes them here.
        let _ = stages.wait_for(|stage| *stage == Stage::Replaced).await;
        doors.shutdown().await;
        self.callers.0.elsewhere.store(true, Ordering::SeqCst);
    }
}

async fn place(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(places).acquire_owned().await.ok()
}

async fn wait_after(error: &io::Error) {
    warn!("The admin door cannot take a connection: {error}");
    tokio::time::sleep(PAUSE).await;
}

fn listen(address: SocketAddr, inherited: &mut Vec<TcpListener>) -> io::Result<TcpListener> {
    let is_there = |listener: &TcpListener| {
        let at = listener.local_addr().ok();
        at.is_some_and(|at| open::serves(at, address))
    };
    let listener = match inherited.iter().position(is_there) {
        Some(place) => inherited.swap_remove(place),
        None => open::tcp(address, Families::AsUsual)?,
    };
    info!(
        "The admin door can be read on http://{}",
        listener.local_addr()?
    );
    Ok(listener)
}

/// One connection of somebody's.
#[derive(Debug)]
struct Connection {
    desk: Arc<Desk>,
    from: From,
    callers: Callers,
}

impl Connection {
    fn spawn(self, stream: Stream, place: OwnedSemaphorePermit) {
        let callers = self.callers.clone();
        callers.0.connected.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            // Never told to shut down: operators need this listener most while the API drains.
            let (_running, shutdown) = watch::channel(false);
            let app = Arc::new(self);
            let _visit = app.desk.visit();
            let served = app.process_new(Box::new(stream), &shutdown);
            let _ = tokio::time::timeout(LONGEST, served).await;
            callers.0.connected.fetch_sub(1, Ordering::SeqCst);
            drop(place);
        });
    }
}

#[async_trait]
impl ServeHttp for Connection {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let mut body = BytesMut::new();
        while let Ok(Some(part)) = session.read_request_body().await {
            // The rest is read, since who is writing would not read the answer (a unix socket: ECONNRESET).
            if body.len() <= BODY {
                body.extend_from_slice(&part);
            }
        }
        let call = Call {
            head: session.req_header(),
            body: &body,
            from: &self.from,
        };
        let is_head = call.head.method == http::Method::HEAD;
        let mut answer = if body.len() > BODY {
            told(StatusCode::PAYLOAD_TOO_LARGE, "a body may have 64 KiB")
        } else {
            self.desk.answer(call).await
        };
        let length = answer.body().len();
        answer
            .headers_mut()
            .insert(http::header::CONTENT_LENGTH, length.into());
        // RFC 9110 9.3.2: the header fields of the GET, without its content.
        if is_head {
            answer.body_mut().clear();
        }
        answer
    }
}
