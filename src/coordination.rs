//! What gateways in front of the same locations share by a Redis or Valkey: who is writing a value that has to be unique,
//! and the states that operators set. Without it each gateway is right by itself; while it is away all go on alone, and
//! say so.
//!
//! - `dial`: one connection to it, through sentinels if need be;
//! - [`claims`]: values that are held for the time of a write;
//! - [`board`]: texts that the newest writer replaces.

mod away;
pub mod board;
pub mod claims;
mod dial;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use log::info;
use log::warn;
use redis::Cmd;
use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::config::CoordinationConfig;
pub use crate::coordination::away::Away;
use crate::coordination::dial::Dialled;
use crate::coordination::dial::dial;
use crate::coordination::dial::load;
use crate::metrics::counter::Counter;
use crate::tls::pem::TlsError;

/// Whether it can be used.
#[derive(Clone, Debug)]
enum Link {
    Up(Arc<Line>),
    Away(Away),
}

/// One connection. Ends when the last who waits for an answer on it has let go of it.
#[derive(Debug)]
struct Line {
    connection: MultiplexedConnection,
    driver: AbortHandle,
}

impl Drop for Line {
    fn drop(&mut self) {
        // A server that is frozen would keep its task and its socket for ever.
        self.driver.abort();
    }
}

/// How it is, for those who run the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `None`: it can be used.
    pub why: Option<Away>,
    pub since: Timestamp,
}

/// What became of claims.
#[derive(Debug, Default)]
pub struct Counts {
    /// Nobody else had it.
    pub held: Counter,
    /// Another gateway had it first.
    pub waited: Counter,
    /// The backend could not be used, so the write went on alone.
    pub unheld: Counter,
    /// Ended before the write did.
    pub lost: Counter,
}

/// The backend of one configuration.
#[derive(Debug)]
pub struct Backend {
    config: CoordinationConfig,
    link: watch::Sender<(Link, Timestamp)>,
    /// Something is to be told to the others now.
    pub news: Notify,
    pub counts: Counts,
}

impl Backend {
    /// Reads the certificates, speaks to nobody.
    ///
    /// # Errors
    /// A file of the TLS options cannot be used.
    pub fn new(config: &CoordinationConfig) -> Result<Self, TlsError> {
        if let Some(tls) = &config.tls {
            load(tls)?;
        }
        Ok(Self {
            config: config.clone(),
            link: watch::Sender::new((Link::Away(Away::Starting), Timestamp::now())),
            news: Notify::new(),
            counts: Counts::default(),
        })
    }

    /// Whether it is the one that a configuration means.
    pub fn is_of(&self, config: &CoordinationConfig) -> bool {
        self.config == *config
    }

    /// Whether it can be used, as far as is known.
    pub fn is_up(&self) -> bool {
        matches!(self.link.borrow().0, Link::Up(_))
    }

    pub fn condition(&self) -> Condition {
        let (link, since) = &*self.link.borrow();
        Condition {
            why: match link {
                Link::Up(_) => None,
                Link::Away(why) => Some(why.clone()),
            },
            since: *since,
        }
    }

    /// Connects. Returns whether it can be used now.
    pub async fn connect(&self) -> bool {
        match dial(&self.config).await {
            Ok(Dialled { connection, driver }) => {
                let driver = tokio::spawn(driver).abort_handle();
                let line = Arc::new(Line { connection, driver });
                if let Err(why) = self.try_out(&line).await {
                    self.lose(None, &why);
                    return false;
                }
                info!(
                    "The coordination backend is connected: writes of unique values are serialised with other gateways"
                );
                self.link.send_replace((Link::Up(line), Timestamp::now()));
                true
            }
            Err(why) => {
                self.lose(None, &why);
                false
            }
        }
    }

    /// A server that is full, read only or forbids scripts takes logins all the same.
    async fn try_out(&self, line: &Line) -> Result<(), Away> {
        let mut command = redis::cmd("EVAL");
        command
            .arg("return redis.call('SET', KEYS[1], '', 'PX', 1)")
            .arg(1)
            .arg(self.key("trial"));
        self.answer(line, &command).await
    }

    /// Its answer to one command.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Away> {
        self.answer(&*self.line().await?, command).await
    }

    async fn answer<T: FromRedisValue>(&self, line: &Line, command: &Cmd) -> Result<T, Away> {
        let mut connection = line.connection.clone();
        let answer = timeout(self.config.timeout, command.query_async(&mut connection)).await;
        let answer = answer.map_err(|_| Away::Late)?;
        answer.map_err(Away::from)
    }

    /// The same; who gave no answer is not asked again until it is connected anew.
    async fn told<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Away> {
        let line = self.line().await?;
        let answer = self.answer(&line, command).await;
        if let Err(why) = &answer {
            self.lose(Some(&line), why);
        }
        answer
    }

    /// Right after the start the first attempt is waited for.
    async fn line(&self) -> Result<Arc<Line>, Away> {
        let mut link = self.link.subscribe();
        let begun = link.wait_for(|(link, _)| !matches!(link, Link::Away(Away::Starting)));
        let found = timeout(self.config.timeout, begun).await;
        match found {
            Ok(Ok(found)) => match &found.0 {
                Link::Up(line) => Ok(Arc::clone(line)),
                Link::Away(why) => Err(why.clone()),
            },
            Ok(Err(_)) | Err(_) => Err(Away::Starting),
        }
    }

    /// An attempt to connect failed, or a command on this line. Tells of it once an outage, not once a request.
    fn lose(&self, line: Option<&Arc<Line>>, why: &Away) {
        let was_used = self.link.send_if_modified(|(link, since)| {
            // Who waited on an old line must not take the new one down.
            let is_in_force = match (&*link, line) {
                (Link::Up(link), Some(line)) => Arc::ptr_eq(link, line),
                (Link::Away(_), None) => true,
                _ => false,
            };
            if !is_in_force {
                return false;
            }
            let was_away = matches!(link, Link::Away(known) if *known != Away::Starting);
            *link = Link::Away(why.clone());
            if !was_away {
                *since = Timestamp::now();
            }
            !was_away
        });
        if was_used {
            warn!(
                "The coordination backend cannot be used: {why}. Creates that other gateways might make as well go on alone, and \
                 states of locations hold for this gateway only"
            );
        }
    }

    /// Pause before it is tried again.
    pub fn pause() -> Duration {
        // Many gateways must not fall into step.
        Duration::from_secs(1).mul_f64(0.8 + 0.4 * fastrand::f64())
    }

    fn key(&self, rest: &str) -> String {
        format!("{}:{rest}", self.config.namespace)
    }
}

/// Two configurations mean the same one, so it is kept with its connection.
///
/// # Errors
/// A file of the TLS options cannot be used.
pub fn backend(
    config: Option<&CoordinationConfig>,
    before: Option<&Arc<Backend>>,
) -> Result<Option<Arc<Backend>>, TlsError> {
    let Some(config) = config else {
        return Ok(None);
    };
    match before.filter(|before| before.is_of(config)) {
        Some(before) => Ok(Some(Arc::clone(before))),
        None => Ok(Some(Arc::new(Backend::new(config)?))),
    }
}
