//! Carries out signals and orders of the admin listener, on a thread of its own, so that requests cannot block it.

use std::io;
use std::mem;
use std::process;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use log::error;
use log::info;
use log::warn;
use pingora::server::ShutdownSignal;
use pingora::server::ShutdownSignalWatch;
use rustix::process::Pid;
use rustix::process::kill_process;
use tokio::runtime::Runtime;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio::time::timeout;

use crate::admin::listen::Callers;
use crate::app::heartbeat::Heartbeat;
use crate::app::reload::Reloader;
use crate::command::socket;
use crate::control::Changes;
use crate::control::Command;
use crate::control::ReloadError;
use crate::control::UpgradeError;
use crate::gateway::connection::PARTING;
use crate::gateway::context::InFlight;
use crate::gateway::context::Surroundings;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::Stage;
use crate::listening::inherited::Predecessor;
use crate::listening::open::Stream;
use crate::listening::open::Unplaced;
use crate::listening::successor::Estate;
use crate::listening::successor::SuccessionError;
use crate::listening::successor::Successor;
use crate::systemd;
use crate::telemetry;
use crate::telemetry::spool;
use crate::upkeep::sweep::Sweep;

/// Pause between two checks of whether the last request is done.
const LOOK: Duration = Duration::from_millis(5);

/// The signals that mean something here. Any of them that is not caught would kill the process.
pub(super) struct Signals {
    terminate: Signal,
    quit: Signal,
    interrupt: Signal,
    hangup: Signal,
    reopen: Signal,
    upgrade: Signal,
}

impl Signals {
    /// Catches them from now on; tokio needs its runtime for that.
    pub(super) fn catch(runtime: &Runtime) -> io::Result<Self> {
        let _within = runtime.enter();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Meant {
        tokio::select! {
            _ = self.terminate.recv() => Meant::Drain,
            _ = self.quit.recv() => Meant::Drain,
            _ = self.interrupt.recv() => Meant::End,
            _ = self.hangup.recv() => Meant::Reload,
            _ = self.reopen.recv() => Meant::Reopen,
            _ = self.upgrade.recv() => Meant::Upgrade,
        }
    }
}

/// What a signal means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meant {
    Drain,
    End,
    Reload,
    Reopen,
    Upgrade,
}

/// What becomes of the process.
enum Next {
    Serve,
    End(Cause),
}

/// Why it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// A signal, as the service manager gives it.
    Told,
    /// An order at the admin door.
    Ordered,
    /// Another process serves.
    Replaced,
}

/// Whoever waits for the end of an upgrade.
type Tell = oneshot::Sender<Result<u32, UpgradeError>>;

/// Carries out signals and orders.
pub(super) struct Master {
    pub(super) commands: UnboundedReceiver<Command>,
    pub(super) surroundings: Arc<Surroundings>,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) keeper: Arc<Sweep>,
    pub(super) reloader: Reloader,
    /// Until it has acceded.
    pub(super) accession: Option<Accession>,
    /// What a successor inherits.
    pub(super) estate: Estate,
    /// Of the admin listener.
    pub(super) callers: Callers,
}

impl Master {
    /// Serves until the end of the process.
    pub(super) async fn run(mut self, mut signals: Signals) {
        let mut stages = self.surroundings.lifecycle.watch();
        let mut accession = self.accession.take();
        loop {
            let next = tokio::select! {
                _ = stages.wait_for(|stage| *stage != Stage::Starting), if accession.is_some() => {
                    if let Some(accession) = accession.take() {
                        accession.accede();
                    }
                    socket::note(&self.reloader.current().config);
                    self.heartbeat().begin();
                    Next::Serve
                },
                meant = signals.next() => match meant {
                    Meant::Drain => Next::End(Cause::Told),
                    Meant::End => self.end(),
                    Meant::Reload => self.hang_up(),
                    Meant::Reopen => self.reopen(),
                    Meant::Upgrade => self.upgrade(&mut signals, None).await,
                },
                Some(command) = self.commands.recv() => match command {
                    Command::Reload(tell) => {
                        // The client of the admin socket may have hung up.
                        let _ = tell.send(self.reload());
                        Next::Serve
                    }
                    Command::Upgrade(tell) => self.upgrade(&mut signals, Some(tell)).await,
                    Command::Drain => Next::End(Cause::Ordered),
                },
            };
            match next {
                Next::Serve => {}
                Next::End(cause) => return self.finish(signals, cause).await,
            }
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            lifecycle: Arc::clone(&self.surroundings.lifecycle),
            follow: self.reloader.lead.subscribe(),
        }
    }

    fn hang_up(&self) -> Next {
        // The result is in the log; a signal has no other answer.
        let _ = self.reload();
        Next::Serve
    }

    fn reload(&self) -> Result<Changes, ReloadError> {
        // systemd waits for READY=1 after RELOADING=1, also if the reload fails.
        systemd::reloading();
        let reloaded = self.reloader.reload();
        if self.surroundings.lifecycle.stage() != Stage::Starting {
            systemd::ready();
        }
        reloaded
    }

    fn reopen(&self) -> Next {
        match telemetry::reopen(&self.reloader.current().config.log) {
            Ok(()) => info!("The log file is reopened"),
            Err(error) => {
                error!("Not reopened, so what goes there goes on into the old file: {error}");
            }
        }
        Next::Serve
    }

    /// Has another process take over, or serves on.
    async fn upgrade(&self, signals: &mut Signals, tell: Option<Tell>) -> Next {
        let mut to_reload = false;
        let put_off = |meant| {
            if meant == Meant::Reload {
                to_reload = true;
                info!("An upgrade is under way; a reload waits for its end");
            } else {
                info!("An upgrade is under way");
            }
        };
        let (next, told) = tokio::select! {
            succeeded = self.succeed() => match succeeded {
                Ok(pid) => (Next::End(Cause::Replaced), Ok(pid)),
                Err(error) => {
                    error!("Not upgraded, this process serves on: {error}");
                    (Next::Serve, Err(error))
                }
            },
            meant = self.told_to_end(signals, put_off) => match meant {
                Meant::End => self.end(),
                _ => (Next::End(Cause::Told), Err(UpgradeError::NotNow)),
            },
        };
        match (&next, &told) {
            // It may have read the files before they were what the signal speaks of.
            (Next::End(_), Ok(pid)) if to_reload => pass_on(*pid),
            (Next::Serve, _) if to_reload => {
                let _ = self.reload();
            }
            _ => {}
        }
        if let Some(tell) = tell {
            // Its client may have hung up.
            let _ = tell.send(told);
        }
        next
    }

    async fn succeed(&self) -> Result<u32, UpgradeError> {
        let lifecycle = &self.surroundings.lifecycle;
        if lifecycle.stage() != Stage::Serving {
            return Err(UpgradeError::NotNow);
        }
        info!("Upgrading: starting the next process");
        lifecycle.bequeath(true);
        self.keeper.save();
        let succeeded = async {
            let successor = Successor::start(&self.estate).await?;
            // 0 if it has just ended: then `begin` fails, and the service manager is told to listen to us again.
            let pid = successor.pid().unwrap_or_default();
            // Before it begins: until then the service manager does not listen to it.
            systemd::replaced_by(pid);
            successor
                .begin()
                .inspect_err(|_| systemd::replaced_by(process::id()))?;
            Ok(pid)
        };
        let succeeded = succeeded.await;
        lifecycle.bequeath(succeeded.is_ok());
        succeeded.map_err(|error: SuccessionError| UpgradeError::Failed(error.to_string()))
    }

    /// The next signal that ends the process; others are seen to meanwhile, or `put_off`.
    async fn told_to_end(&self, signals: &mut Signals, mut put_off: impl FnMut(Meant)) -> Meant {
        loop {
            match signals.next().await {
                meant @ (Meant::Drain | Meant::End) => return meant,
                Meant::Reopen => {
                    self.reopen();
                }
                meant @ (Meant::Reload | Meant::Upgrade) => put_off(meant),
            }
        }
    }

    /// No successor can start from here on. While copies of the sockets are open, the kernel lets in clients whom nobody
    /// serves.
    fn disinherit(&mut self) {
        self.estate = Estate::default();
        self.commands.close();
        // Dropping a command tells whoever waits for its end.
        while self.commands.try_recv().is_ok() {}
    }

    /// Announces the end, finishes the requests in flight and exits.
    async fn finish(mut self, mut signals: Signals, cause: Cause) {
        let mut doors = Vec::new();
        if cause != Cause::Replaced {
            systemd::stopping();
            // Those of the service manager stay open: whoever comes waits for the next process.
            doors = mem::take(&mut self.estate.own);
        }
        self.disinherit();
        tokio::select! {
            () = self.drain(cause, doors) => {}
            () = self.hurried(&mut signals, cause) => {
                info!("Told to stop: {} requests in flight are cut off", self.in_flight.count());
            }
        }
        self.end();
    }

    /// Told to cut off what is in flight.
    async fn hurried(&self, signals: &mut Signals, cause: Cause) {
        let in_vain = |_| info!("Neither reloaded nor upgraded: the process is ending");
        let meant = self.told_to_end(signals, in_vain).await;
        // A service manager tells each process of a service once, also one that is ending by another word than its own.
        if meant == Meant::End || cause == Cause::Told {
            return;
        }
        let once_more = self.told_to_end(signals, in_vain);
        if cause == Cause::Replaced {
            // Nobody has waited for it until now.
            let patience = self.reloader.current().config.drain_timeout;
            let _ = timeout(patience, once_more).await;
        } else {
            once_more.await;
        }
    }

    /// `doors`: sockets that nobody serves after us.
    async fn drain(&self, cause: Cause, doors: Vec<Stream>) {
        let current = self.reloader.current();
        let delay = current.config.api.shutdown_delay;
        let patience = current.config.drain_timeout;
        let lifecycle = &self.surroundings.lifecycle;
        if cause != Cause::Replaced {
            // From here on readiness fails while the listener still accepts: load balancers look elsewhere before
            // connections fail.
            lifecycle.reach(Stage::Leaving);
            if !delay.is_zero() {
                info!(
                    "Stopping in {delay:?}: until then /healthcheck answers 503, so that load balancers send clients elsewhere"
                );
                sleep(delay).await;
            }
        }
        info!("Stopping: no new connections are accepted");
        for socket in doors {
            if let Err(error) = socket.close_door() {
                warn!("Clients that connect right now may be reset: {error}");
            }
        }
        if cause == Cause::Replaced {
            lifecycle.reach(Stage::Replaced);
            // Nobody waits for the end, so nothing has to be cut off for it.
            return self.all_served(Stage::Replaced).await;
        }
        lifecycle.reach(Stage::Draining);
        if timeout(patience, self.all_served(Stage::Draining))
            .await
            .is_err()
        {
            let left = self.in_flight.count();
            warn!(
                "{left} requests are still in flight after {patience:?} ([DEFAULT] graceful_shutdown_timeout): they are cut off"
            );
        }
    }

    /// No request is left, and every client had time to read that its connection closes.
    async fn all_served(&self, stage: Stage) {
        let Surroundings { crowd, .. } = &*self.surroundings;
        // Whoever is let in is counted from then on. The admin door is open as long as the process is there, or until
        // another one has it.
        let is_closed =
            || crowd.is_closed() && (stage == Stage::Draining || self.callers.come_elsewhere());
        while !is_closed() {
            sleep(LOOK).await;
        }
        let begun = Instant::now();
        // Connections end by themselves after `PARTING`, unless somebody has begun a request and does not go on.
        let is_anybody_there =
            || (crowd.open() > 0 || self.callers.are_there()) && begun.elapsed() < 2 * PARTING;
        while self.in_flight.count() > 0 || is_anybody_there() {
            sleep(LOOK).await;
        }
    }

    /// Exits instead of returning: Pingora sleeps through its whole grace period, even if nothing is left to do.
    fn end(&self) -> ! {
        // What the next process knows by now is newer.
        if self.surroundings.lifecycle.stage() != Stage::Replaced {
            self.keeper.save();
        }
        info!("Stopped");
        spool::finish();
        process::exit(0);
    }
}

/// Has the process that serves now reload.
fn pass_on(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(Err(error)) = pid.map(|pid| kill_process(pid, rustix::process::Signal::HUP)) {
        warn!("The new process could not be told to reload: {error}");
    }
}

/// What the process does for others once it can serve.
pub(super) struct Accession {
    pub(super) predecessor: Option<Predecessor>,
    /// The admin socket's, if the predecessor still has it.
    pub(super) unplaced: Option<Unplaced>,
    /// Where clients find us, for the log.
    pub(super) listening: String,
}

impl Accession {
    fn accede(self) {
        info!("Listening on {}", self.listening);
        if let Some(Err(error)) = self.unplaced.map(Unplaced::place) {
            error!("[admin] socket: {error}");
        }
        if let Some(Err(error)) = self.predecessor.as_ref().map(Predecessor::take_over) {
            warn!("The process before this one does not answer: {error}");
        }
        systemd::ready();
    }
}

/// Tells Pingora's services when to stop.
pub(super) struct Stop(pub(super) Arc<Lifecycle>);

#[async_trait]
impl ShutdownSignalWatch for Stop {
    async fn recv(&self) -> ShutdownSignal {
        let mut stages = self.0.watch();
        // Cannot fail: `self` holds the sender.
        let _ = stages.wait_for(|stage| stage.is_draining()).await;
        // The fast way would drop the tasks of requests in flight.
        ShutdownSignal::GracefulTerminate
    }
}
