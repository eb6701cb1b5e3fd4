//! What the running process can be told to do, whether a signal says it or the admin door.

use thiserror::Error;
use tokio::sync::mpsc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// What a reload changed, and what it could not, a line each. Empty: all is as it was.
pub type Changes = Vec<String>;

/// Why a reload changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReloadError {
    /// What is wrong with the new configuration, a line each.
    #[error("the configuration has faults: {}", .0.join("; "))]
    Faults(Vec<String>),
    #[error("the gateway is stopping")]
    Stopping,
}

/// Why the process was not replaced. It serves on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UpgradeError {
    #[error("{0}")]
    Failed(String),
    #[error("the gateway is starting or stopping")]
    NotNow,
}

/// Something to do.
#[derive(Debug)]
pub enum Command {
    Reload(oneshot::Sender<Result<Changes, ReloadError>>),
    Upgrade(oneshot::Sender<Result<u32, UpgradeError>>),
    Drain,
}

/// Tells the process what to do. Commands are carried out one after the other.
#[derive(Clone, Debug)]
pub struct Handle(UnboundedSender<Command>);

/// The two ends of one process.
pub fn channel() -> (Handle, UnboundedReceiver<Command>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Handle(sender), receiver)
}

impl Handle {
    /// Reads the configuration anew, and takes it as a whole or not at all.
    pub async fn reload(&self) -> Result<Changes, ReloadError> {
        let (tell, told) = oneshot::channel();
        if self.0.send(Command::Reload(tell)).is_err() {
            return Err(ReloadError::Stopping);
        }
        told.await.unwrap_or(Err(ReloadError::Stopping))
    }

    /// Replaces the process by one of the binary and the configuration that are there now. Returns its number.
    pub async fn upgrade(&self) -> Result<u32, UpgradeError> {
        let (tell, told) = oneshot::channel();
        if self.0.send(Command::Upgrade(tell)).is_err() {
            return Err(UpgradeError::NotNow);
        }
        told.await.unwrap_or(Err(UpgradeError::NotNow))
    }

    /// Finishes what is in flight and ends the process, as SIGTERM does. Returns at once.
    pub fn drain(&self) {
        // Who carries out commands is gone only when the process is.
        let _ = self.0.send(Command::Drain);
    }
}
