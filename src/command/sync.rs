//! `ironic-proxy sync`: has the running gateway sweep its locations and compare what should be the same at all of them;
//! where none runs, the comparison is made from here.

use std::io;
use std::path::Path;
use std::process;
use std::time::Duration;

use serde_json::json;
use thiserror::Error;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use crate::command::socket;
use crate::command::socket::Said;
use crate::command::socket::SocketError;
use crate::command::terminal;
use crate::command::terminal::Format;
use crate::config::Config;
use crate::coordination::backend;
use crate::keystone;
use crate::locations::location::LocationError;
use crate::sync;
use crate::sync::Mode;
use crate::sync::board;
use crate::sync::progress::Progress;
use crate::sync::report::End;
use crate::sync::report::Report;
use crate::sync::report::Swept;
use crate::sync::sites::Sites;
use crate::tls::pem::TlsError;

/// Between two looks at how far the gateway is.
const LOOK: Duration = Duration::from_millis(200);
/// A shell's own code for SIGINT.
const INTERRUPTED: u8 = 130;
/// `EX_UNAVAILABLE` of sysexits.h.
const UNAVAILABLE: u8 = 69;

/// Who does it.
#[derive(Clone, Copy, Debug)]
pub enum Way<'a> {
    /// The gateway that answers at this socket.
    Through(&'a Path),
    /// This process.
    Alone(&'a Config),
}

impl Way<'_> {
    /// Exit code. `EX_UNAVAILABLE` of sysexits.h if whoever is asked from here does not answer: that is the gateway, or
    /// where none does it a location.
    pub fn code(self, end: End) -> u8 {
        match (end, self) {
            (End::Well, _) => 0,
            (End::Unwell, _) | (End::Unanswered, Self::Through(_)) => 1,
            (End::Unanswered, Self::Alone(_)) => UNAVAILABLE,
            (End::Interrupted, _) => INTERRUPTED,
        }
    }
}

/// Why there is no report.
#[derive(Debug, Error)]
pub enum SyncError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("{0}")]
    Location(#[from] LocationError),
    #[error("[coordination] backend_url: {0}")]
    Backend(#[from] TlsError),
    #[error("{0}")]
    Output(#[from] io::Error),
    /// In the gateway's own words, or as it would.
    #[error("{0}")]
    Refused(String),
}

impl SyncError {
    pub fn code(&self) -> u8 {
        match self {
            Self::Socket(_) => UNAVAILABLE,
            Self::Location(_) | Self::Backend(_) | Self::Output(_) | Self::Refused(_) => 1,
        }
    }
}

/// Runs the subcommand and prints what it finds.
pub async fn run(way: Way<'_>, mode: Mode, format: Format) -> Result<End, SyncError> {
    match way {
        Way::Through(socket) => through(socket, mode, format).await,
        Way::Alone(config) => alone(config, mode, format).await,
    }
}

/// Has the gateway do it. If this process is killed the run goes on to its end.
async fn through(socket: &Path, mode: Mode, format: Format) -> Result<End, SyncError> {
    let mut stop = Stop::listen()?;
    let wanted = json!({"apply": mode == Mode::Apply});
    let mut report = read(socket::ask(socket, "POST", "/sync", Some(&wanted))?)?;
    let mut shown = Shown::new(format);
    loop {
        shown.show(&report)?;
        if report.doing.is_none() {
            return shown.end(&report);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.asked() => {
                socket::ask(socket, "DELETE", "/sync", None)?;
            }
        }
        report = read(socket::ask(socket, "GET", "/sync", None)?)?;
    }
}

fn read(said: Said) -> Result<Report, SyncError> {
    if !said.is_success() {
        return Err(SyncError::Refused(said.error()));
    }
    serde_json::from_value(said.document)
        .map_err(|error| SyncError::Refused(format!("the gateway is of another version: {error}")))
}

/// Does it from here: nobody remembers what a sweep would find.
async fn alone(config: &Config, mode: Mode, format: Format) -> Result<End, SyncError> {
    board::allow(mode, config).map_err(|refusal| SyncError::Refused(refusal.to_string()))?;
    keystone::client::install_crypto_provider();
    let mut stop = Stop::listen()?;
    let backend = match mode {
        Mode::Apply => backend(config.coordination.as_ref(), None)?,
        Mode::Show => None,
    };
    if let Some(backend) = &backend {
        // What it says is in the log; what cannot be copied then says why.
        backend.connect().await;
    }
    let sites = Sites::new(config)?.beside(backend);
    let progress = Progress::default();
    let mut reports = progress.watch();
    let running = tokio::spawn(sync::run(sites, mode, progress.clone()));
    let mut shown = Shown::new(format);
    loop {
        let report = reports.borrow_and_update().clone();
        if let Err(error) = shown.show(&report) {
            // Nobody reads any longer. What is in hand is finished.
            progress.stop();
            let _ = running.await;
            return Err(error.into());
        }
        if report.doing.is_none() {
            return shown.end(&report);
        }
        tokio::select! {
            // `progress` holds the sender.
            _ = reports.changed() => {}
            () = stop.asked() => progress.stop(),
        }
    }
}

/// What of a report was shown already.
struct Shown {
    format: Format,
    swept: bool,
    notes: usize,
    findings: usize,
    unanswered: usize,
}

impl Shown {
    fn new(format: Format) -> Self {
        Self {
            format,
            swept: false,
            notes: 0,
            findings: 0,
            unanswered: 0,
        }
    }

    /// What is new in it. A long run shows what it does.
    fn show(&mut self, report: &Report) -> io::Result<()> {
        // Also on standard error, for those who pipe the report.
        for silent in report.unanswered.iter().skip(self.unanswered) {
            terminal::tell(&format!(
                "ironic-proxy: location {} could not be asked ({})",
                silent.location, silent.reason
            ));
        }
        self.unanswered = report.unanswered.len();
        if self.format == Format::Text {
            if !self.swept && !report.swept.is_empty() {
                self.swept = true;
                for line in table(&report.swept) {
                    terminal::say(&line)?;
                }
            }
            for note in report.notes.iter().skip(self.notes) {
                terminal::say(note)?;
            }
            for finding in report.findings.iter().skip(self.findings) {
                terminal::say(&finding.text)?;
            }
            (self.notes, self.findings) = (report.notes.len(), report.findings.len());
        }
        if let Some(doing) = &report.doing {
            terminal::progress(doing);
        }
        Ok(())
    }

    fn end(&self, report: &Report) -> Result<End, SyncError> {
        terminal::clear();
        match self.format {
            Format::Text => terminal::say(report.summary.as_deref().unwrap_or_default())?,
            Format::Json => {
                let text = serde_json::to_string(report).map_err(io::Error::from)?;
                terminal::say(&text)?;
            }
        }
        Ok(report.end())
    }
}

fn table(swept: &[Swept]) -> Vec<String> {
    let head = ["LOCATION", "THINGS", "NEW", "GONE", "TOOK", "TROUBLE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(swept.iter().map(|swept| {
        vec![
            swept.location.clone(),
            swept.things.to_string(),
            swept.new.to_string(),
            swept.gone.to_string(),
            format!("{:.3} s", swept.seconds),
            swept.why.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }));
    terminal::table(&rows)
}

/// SIGINT and SIGTERM: the first one ends the run after the object in hand, a second one at once.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
    asked: bool,
}

impl Stop {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            asked: false,
        })
    }

    /// The first one.
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        if self.asked {
            terminal::tell(
                "ironic-proxy: stopped at once; the object being copied may be incomplete, and the next run will tell",
            );
            process::exit(i32::from(INTERRUPTED));
        }
        self.asked = true;
        terminal::tell("ironic-proxy: stopping after the object that is being copied");
    }
}
