//! A few memcached servers, by their text protocol. Whatever goes wrong is a miss, and whoever failed is left alone for a
//! while: nobody waits for a cache.
//!
//! The crates that speak it keep no pool, take values of any size into memory, and know no servers that are away; what is
//! left of them is two commands.

use std::fmt::Write as _;
use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use log::info;
use log::warn;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::MemcacheConfig;
use crate::config::ServerAddress;

/// To look up a name and connect: who is away costs it once in `dead_retry`.
const CONNECT: Duration = Duration::from_secs(1);

/// No value of ours comes near; a longer one is somebody else's.
const LONGEST: usize = 64 << 10;

/// Servers, each key at one of them.
#[derive(Debug)]
pub(super) struct Memcached {
    servers: Vec<Server>,
    timeout: Duration,
    dead_retry: Duration,
}

#[derive(Debug)]
struct Server {
    address: ServerAddress,
    idle: Mutex<Vec<Box<dyn Stream>>>,
    connections: Semaphore,
    dead_until: Mutex<Option<Instant>>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug> Stream for S {}

impl Memcached {
    pub(super) fn new(config: &MemcacheConfig) -> Self {
        let server = |address: &ServerAddress| Server {
            address: address.clone(),
            idle: Mutex::default(),
            connections: Semaphore::new(config.connections),
            dead_until: Mutex::default(),
        };
        Self {
            servers: config.servers.iter().map(server).collect(),
            timeout: config.timeout,
            dead_retry: config.dead_retry,
        }
    }

    /// `key` is plain ASCII without blanks.
    pub(super) async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let command = format!("get {key}\r\n").into_bytes();
        match self.ask(key, &command).await? {
            Said::Value(value) => Some(value),
            Said::Nothing => None,
        }
    }

    /// For a time below 30 days: what is longer memcached takes for a date.
    pub(super) async fn set(&self, key: &str, value: &[u8], lifetime: Duration) {
        let seconds = lifetime.as_secs();
        if value.len() > LONGEST || seconds == 0 {
            return;
        }
        let mut command = String::new();
        // Writing to a String cannot fail.
        let _ = write!(command, "set {key} 0 {seconds} {}\r\n", value.len());
        let command = [command.as_bytes(), value, b"\r\n"].concat();
        self.ask(key, &command).await;
    }

    async fn ask(&self, key: &str, command: &[u8]) -> Option<Said> {
        let now = Instant::now();
        let first = key.bytes().fold(0, |sum: usize, byte| {
            sum.wrapping_mul(31) + usize::from(byte)
        });
        let places =
            (0..self.servers.len()).map(|place| (first.wrapping_add(place)) % self.servers.len());
        let server = places
            .map(|place| &self.servers[place])
            .find(|server| !server.is_dead(now))?;
        // A burst of new tokens that waits for connections is no server's fault.
        let place = timeout(self.timeout, server.connections.acquire()).await;
        let _place = place.ok()?.ok()?;
        match server.exchange(command, self.timeout).await {
            Ok(said) => {
                server.answered();
                Some(said)
            }
            // Whoever can write there could otherwise switch it off for all tokens with one.
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => None,
            Err(error) => {
                server.failed(&error.kind().to_string(), self.dead_retry);
                None
            }
        }
    }
}

impl Server {
    fn is_dead(&self, now: Instant) -> bool {
        let until = *self
            .dead_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| now < until)
    }

    fn answered(&self) {
        let mut until = self
            .dead_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if until.take().is_some() {
            info!("A server of memcached_servers answers again");
        }
    }

    fn failed(&self, why: &str, dead_retry: Duration) {
        let mut until = self
            .dead_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if until.replace(Instant::now() + dead_retry).is_none() {
            warn!("A server of memcached_servers is not asked for {dead_retry:?} at a time: {why}");
        }
    }

    async fn exchange(&self, command: &[u8], patience: Duration) -> io::Result<Said> {
        // One that was kept may have been closed by a server that was restarted.
        while let Some(mut stream) = self.kept() {
            if let Ok(said) = timeout(patience, converse(&mut stream, command)).await? {
                self.keep(stream);
                return Ok(said);
            }
        }
        let mut stream = timeout(CONNECT.max(patience), self.connect()).await??;
        let said = timeout(patience, converse(&mut stream, command)).await??;
        self.keep(stream);
        Ok(said)
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match &self.address {
            ServerAddress::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            ServerAddress::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }

    fn kept(&self) -> Option<Box<dyn Stream>> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }

    fn keep(&self, stream: Box<dyn Stream>) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(stream);
    }
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Value(Vec<u8>),
    /// It has none, or it did what it was told.
    Nothing,
}

async fn converse(stream: &mut Box<dyn Stream>, command: &[u8]) -> io::Result<Said> {
    stream.write_all(command).await?;
    stream.flush().await?;
    let mut read = Vec::with_capacity(1024);
    loop {
        if let Some(said) = parse(&read)? {
            return Ok(said);
        }
        if read.len() > LONGEST + 512 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// What follows a value.
const TAIL: &[u8] = b"\r\nEND\r\n";

/// `None`: there is more to come.
fn parse(read: &[u8]) -> io::Result<Option<Said>> {
    let Some(end) = memchr::memmem::find(read, b"\r\n") else {
        return Ok(None);
    };
    let (line, rest) = (&read[..end], &read[end + 2..]);
    match line {
        // What it has no memory for, it does not keep, and is well otherwise.
        _ if line.starts_with(b"SERVER_ERROR out of memory") => return Ok(Some(Said::Nothing)),
        b"END" | b"STORED" | b"NOT_STORED" => {
            return if rest.is_empty() {
                Ok(Some(Said::Nothing))
            } else {
                Err(odd())
            };
        }
        _ => {}
    }
    // VALUE <key> <flags> <bytes>
    let text = std::str::from_utf8(line).map_err(|_| odd())?;
    let mut words = text.split(' ');
    if words.next() != Some("VALUE") {
        return Err(odd());
    }
    let length: usize = words
        .nth(2)
        .and_then(|word| word.parse().ok())
        .ok_or_else(odd)?;
    if length > LONGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    if rest.len() < length + TAIL.len() {
        return Ok(None);
    }
    let (value, tail) = rest.split_at(length);
    if tail == TAIL {
        Ok(Some(Said::Value(value.to_vec())))
    } else {
        Err(odd())
    }
}

fn odd() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn what_servers_say() {
        for (read, expected) in [
            ("END\r\n", Some(Some(Said::Nothing))),
            ("STORED\r\n", Some(Some(Said::Nothing))),
            (
                "VALUE k 0 2\r\nab\r\nEND\r\n",
                Some(Some(Said::Value(b"ab".to_vec()))),
            ),
            (
                "VALUE k 0 4\r\n\r\n\r\n\r\nEND\r\n",
                Some(Some(Said::Value(b"\r\n\r\n".to_vec()))),
            ),
            (
                "SERVER_ERROR out of memory storing object\r\n",
                Some(Some(Said::Nothing)),
            ),
            ("SERVER_ERROR\r\n", None),
            ("", Some(None)),
            ("VALUE k 0 2\r\nab\r\nEN", Some(None)),
            ("ERROR\r\n", None),
            ("END\r\nEND\r\n", None),
            ("VALUE k 0 2\r\nabc\r\nEND\r\n", None),
            ("VALUE k 0 99999999\r\n", None),
            ("VALUE k 0\r\n", None),
        ] {
            assert_eq!(parse(read.as_bytes()).ok(), expected, "{read:?}");
        }
    }

    #[tokio::test]
    async fn who_waits_for_a_connection_switches_no_server_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = MemcacheConfig {
            servers: vec![ServerAddress::Tcp {
                host: "127.0.0.1".to_owned(),
                port: listener.local_addr().unwrap().port(),
            }],
            secret: String::from("k").into(),
            connections: 1,
            timeout: Duration::from_millis(20),
            dead_retry: Duration::from_mins(5),
        };
        let memcached = Memcached::new(&config);
        let busy = memcached.servers[0].connections.acquire().await.unwrap();
        assert_eq!(memcached.get("k").await, None);
        drop(busy);
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream
                .write_all(b"VALUE k 0 2\r\nab\r\nEND\r\n")
                .await
                .unwrap();
            stream
        };
        let (found, _stream) = tokio::join!(memcached.get("k"), serving);
        assert_eq!(found.as_deref(), Some(&b"ab"[..]));
    }

    proptest! {
        #[test]
        fn nothing_that_is_said_panics(read: Vec<u8>, line in "VALUE [ k0-9]{0,20}\r\n.{0,20}") {
            let _ = parse(&read);
            let _ = parse(line.as_bytes());
        }
    }
}
