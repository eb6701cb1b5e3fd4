//! Carries out signals and orders of the admin listener, on a thread of its own, so that requests cannot block it.

use std::io;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use log::error;
use log::info;
use log::warn;
use pingora::server::ShutdownSignal;
use pingora::server::ShutdownSignalWatch;
use tokio::runtime::Runtime;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;

use crate::app::reload::Reloader;
use crate::control::Changes;
use crate::control::Command;
use crate::control::ReloadError;
use crate::gateway::connection::PARTING;
use crate::gateway::context::InFlight;
use crate::gateway::context::Surroundings;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::Stage;
use crate::systemd;
use crate::telemetry;
use crate::telemetry::spool;
use crate::upkeep::sweep::Sweep;

/// Pause between two checks whether the last request is done.
const LOOK: Duration = Duration::from_millis(5);

/// The signals that mean something here. Any of them that is not caught would kill the process.
pub(super) struct Signals {
    terminate: Signal,
    quit: Signal,
    interrupt: Signal,
    hangup: Signal,
    reopen: Signal,
    unused: Signal,
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
            unused: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Meant {
        tokio::select! {
            _ = self.terminate.recv() => Meant::Drain,
            _ = self.quit.recv() => Meant::Drain,
            _ = self.interrupt.recv() => Meant::End,
            _ = self.hangup.recv() => Meant::Reload,
            _ = self.reopen.recv() => Meant::Reopen,
            _ = self.unused.recv() => Meant::Nothing,
        }
    }
}

/// What a signal means.
#[derive(Clone, Copy)]
enum Meant {
    Drain,
    End,
    Reload,
    Reopen,
    Nothing,
}

/// Carries out signals and orders.
pub(super) struct Master {
    pub(super) commands: UnboundedReceiver<Command>,
    pub(super) surroundings: Arc<Surroundings>,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) keeper: Arc<Sweep>,
    pub(super) reloader: Reloader,
}

impl Master {
    /// Serves until the end of the process.
    pub(super) async fn run(mut self, mut signals: Signals) {
        loop {
            tokio::select! {
                meant = signals.next() => match meant {
                    Meant::Drain => return self.leave(signals).await,
                    Meant::End => self.end(),
                    Meant::Reload => self.hang_up(),
                    Meant::Reopen => self.reopen(),
                    Meant::Nothing => info!("SIGUSR2 means nothing here"),
                },
                Some(command) = self.commands.recv() => match command {
                    Command::Reload(tell) => {
                        // The client of the admin socket may have hung up.
                        let _ = tell.send(self.reload());
                    }
                    Command::Drain => return self.leave(signals).await,
                },
            }
        }
    }

    fn hang_up(&self) {
        // The result is in the log; a signal has no other answer.
        let _ = self.reload();
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

    fn reopen(&self) {
        match telemetry::reopen(&self.reloader.current().config.log) {
            Ok(()) => info!("The log is opened again"),
            Err(error) => error!("The log cannot be opened again, so the old one is used: {error}"),
        }
    }

    /// Announces the end, finishes the requests in flight and exits. Another signal ends at once.
    async fn leave(self, mut signals: Signals) {
        let hurried = async {
            loop {
                match signals.next().await {
                    Meant::Drain | Meant::End => break,
                    Meant::Reopen => self.reopen(),
                    Meant::Reload | Meant::Nothing => {}
                }
            }
        };
        tokio::select! {
            () = self.drain() => {}
            () = hurried => info!("Told to end at once: {} requests are cut", self.in_flight.count()),
        }
        self.end();
    }

    async fn drain(&self) {
        systemd::stopping();
        let current = self.reloader.current();
        let delay = current.config.api.shutdown_delay;
        let patience = current.config.drain_timeout;
        let lifecycle = &self.surroundings.lifecycle;
        // From here on readiness fails while the listener still accepts: load balancers look elsewhere before
        // connections fail.
        lifecycle.reach(Stage::Leaving);
        if !delay.is_zero() {
            info!("Stopping in {delay:?}: neighbours are told to go elsewhere");
            sleep(delay).await;
        }
        info!("Stopping: no new connections are taken");
        let begun = Instant::now();
        lifecycle.reach(Stage::Draining);
        while !self.is_done(begun) {
            if begun.elapsed() >= patience {
                let left = self.in_flight.count();
                warn!(
                    "{left} requests are not done after {patience:?} ([DEFAULT] graceful_shutdown_timeout): they are cut"
                );
                return;
            }
            sleep(LOOK).await;
        }
    }

    /// No request is left, and every client had time to read that its connection closes.
    fn is_done(&self, begun: Instant) -> bool {
        self.in_flight.count() == 0
            && (self.surroundings.crowd.open() == 0 || begun.elapsed() > PARTING)
    }

    /// Exits instead of returning: Pingora sleeps through its whole grace period, even if nothing is left to do.
    fn end(&self) -> ! {
        self.keeper.save();
        info!("Stopped");
        spool::finish();
        std::process::exit(0);
    }
}

/// Tells Pingora when to stop accepting.
pub(super) struct Stop(pub(super) Arc<Lifecycle>);

#[async_trait]
impl ShutdownSignalWatch for Stop {
    async fn recv(&self) -> ShutdownSignal {
        let mut stages = self.0.watch();
        // Cannot fail: `self` holds the sender.
        let _ = stages.wait_for(|stage| *stage == Stage::Draining).await;
        // The fast way would drop the tasks of requests in flight.
        ShutdownSignal::GracefulTerminate
    }
}
