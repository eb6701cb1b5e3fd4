//! The process that replaces this one: the same command line, with the binary and the configuration that are there now.
//!
//! Pingora has an upgrade of its own. There the old process stops before it is known whether the new one can serve, both
//! need a socket at a path that they agree on, and the service manager learns nothing. Here the new process inherits the
//! listening sockets, as from systemd, and the old one serves until the new one says that it can.

use std::env;
use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use command_fds::CommandFdExt as _;
use command_fds::FdMapping;
use thiserror::Error;
use tokio::net::UnixDatagram;
use tokio::process::Child;
use tokio::process::Command;
use tokio::time::timeout;

use crate::listening::inherited::ADMIN;
use crate::listening::inherited::OWN;
use crate::listening::inherited::PREDECESSOR;
use crate::listening::inherited::READY;
use crate::listening::open::Stream;

/// How long it may take to check its configuration, and as long again to be ready.
const PATIENCE: Duration = Duration::from_secs(25);
/// `SD_LISTEN_FDS_START`
const FIRST: i32 = 3;
/// As `FileDescriptorName=` of our socket unit.
const MANAGED: &str = "api";

/// Why this process goes on.
#[derive(Debug, Error)]
pub enum SuccessionError {
    #[error("the first process of a container cannot be replaced: start another container")]
    First,
    #[error("{} cannot be started: {source}", .program.display())]
    Start {
        program: OsString,
        source: io::Error,
    },
    /// In its own words, a line each.
    #[error("the new process refuses to start: {}", .0.join("; "))]
    Refused(Vec<String>),
    #[error("the new process has ended with {0}: its last lines in the log say why")]
    Ended(ExitStatus),
    #[error("the new process was not ready after {PATIENCE:?}")]
    Late,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Copies of all listening sockets. As long as they are open the kernel lets clients in.
#[derive(Debug, Default)]
pub struct Estate {
    /// The service manager's.
    pub managed: Vec<Stream>,
    /// Of `[api]`.
    pub own: Vec<Stream>,
    /// Of `[admin] listen`.
    pub admin: Vec<TcpListener>,
}

impl Estate {
    fn copies(&self) -> io::Result<Vec<(&'static str, OwnedFd)>> {
        let mut copies = Vec::new();
        for (name, streams) in [(MANAGED, &self.managed), (OWN, &self.own)] {
            for stream in streams {
                let fd = std::os::fd::AsFd::as_fd(stream);
                copies.push((name, fd.try_clone_to_owned()?));
            }
        }
        for listener in &self.admin {
            copies.push((ADMIN, listener.try_clone()?.into()));
        }
        Ok(copies)
    }
}

/// It can serve, and waits for [`Successor::begin`] to speak for us.
#[derive(Debug)]
pub struct Successor {
    child: Child,
    channel: UnixDatagram,
}

impl Successor {
    /// Starts it and waits until it is ready. On an error nothing is left of it.
    pub async fn start(estate: &Estate) -> Result<Self, SuccessionError> {
        // With it the container ends, and the kernel kills whatever is left.
        if std::process::id() == 1 {
            return Err(SuccessionError::First);
        }
        let mut typed = env::args_os();
        let program = typed.next().unwrap_or_default();
        let arguments: Vec<_> = typed.collect();
        let start = |source| SuccessionError::Start {
            program: program.clone(),
            source,
        };
        let command = || {
            let mut command = Command::new(&program);
            command.args(&arguments).stdin(Stdio::null());
            for name in ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_PID"] {
                // The PIDs are this process's own, and the child's is not known yet; without one listenfd takes the
                // sockets all the same.
                command.env_remove(name);
            }
            command
        };
        check(command()).await.map_err(start)??;
        let (ours, theirs) = StdUnixDatagram::pair()?;
        ours.set_nonblocking(true)?;
        let channel = UnixDatagram::from_std(ours)?;
        let mut handed = estate.copies()?;
        handed.push((PREDECESSOR, theirs.into()));
        let mut command = command();
        let names: Vec<_> = handed.iter().map(|(name, _)| *name).collect();
        command.env("LISTEN_FDS", handed.len().to_string());
        command.env("LISTEN_FDNAMES", names.join(":"));
        let mappings = (FIRST..)
            .zip(handed)
            .map(|(child_fd, (_, parent_fd))| FdMapping {
                parent_fd,
                child_fd,
            });
        command
            .fd_mappings(mappings.collect())
            .map_err(io::Error::other)?
            // If this process is told to end meanwhile, the new one must not stay.
            .kill_on_drop(true);
        let child = command.spawn().map_err(start)?;
        // It holds the child's end of the channel: while that is open here, `begin` would succeed though the child has
        // ended.
        drop(command);
        let mut successor = Self { child, channel };
        match successor.ready().await {
            Ok(()) => Ok(successor),
            Err(error) => {
                let _ = successor.child.kill().await;
                Err(error)
            }
        }
    }

    async fn ready(&mut self) -> Result<(), SuccessionError> {
        let mut word = [0; READY.len()];
        tokio::select! {
            said = timeout(PATIENCE, self.channel.recv(&mut word)) => match said {
                Ok(said) => Ok(said.map(drop)?),
                Err(_) => Err(SuccessionError::Late),
            },
            ended = self.child.wait() => Err(SuccessionError::Ended(ended?)),
        }
    }

    /// `None`: it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Lets it speak for us. From here on it outlives us.
    pub fn begin(self) -> io::Result<()> {
        let sent = self.channel.try_send(READY).map(drop);
        // Dropped, it would be killed (`kill_on_drop`).
        std::mem::forget(self.child);
        sent
    }
}

/// Asks the new binary what it thinks of the configuration, since its reasons not to start would only be in the log.
async fn check(mut command: Command) -> io::Result<Result<(), SuccessionError>> {
    command
        .arg("--check-config")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let Ok(checked) = timeout(PATIENCE, command.spawn()?.wait_with_output()).await else {
        return Ok(Err(SuccessionError::Late));
    };
    let checked = checked?;
    if checked.status.success() {
        return Ok(Ok(()));
    }
    let said = String::from_utf8_lossy(&checked.stderr);
    let lines = said.lines().filter(|line| !line.starts_with("warning: "));
    let mut lines: Vec<_> = lines.map(str::to_owned).collect();
    if lines.is_empty() {
        lines.push(format!("--check-config ends with {}", checked.status));
    }
    Ok(Err(SuccessionError::Refused(lines)))
}
