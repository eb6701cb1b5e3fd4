//! A client of one keep-alive connection, as cheap as can be: whatever it costs is not the gateway's.

use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Buf;
use bytes::Bytes;
use bytes::BytesMut;
use memchr::memmem;
use pingora::tls::ServerName;
use pingora::tls::TlsConnector;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::net::lookup_host;
use url::Url;

use crate::secured;

/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(70);

/// Where requests go, and what each carries.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    host: String,
    prefix: String,
    /// What speaks TLS, and to whom.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    headers: String,
    /// The address that connections come from.
    from: Option<IpAddr>,
    /// Whether a connection is kept for the next request.
    keep: bool,
}

impl Target {
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            host: address.to_string(),
            prefix: String::new(),
            tls: None,
            headers: "X-OpenStack-Ironic-API-Version: latest\r\n".to_owned(),
            from: None,
            keep: true,
        }
    }

    /// The same, through TLS.
    pub(crate) fn secured(address: SocketAddr, connector: TlsConnector) -> Self {
        Self {
            tls: Some((connector, ServerName::IpAddress(address.ip().into()))),
            ..Self::plain(address)
        }
    }

    /// The same from a client of that address.
    pub(crate) fn from(self, client: IpAddr) -> Self {
        Self {
            from: Some(client),
            ..self
        }
    }

    /// The same with a connection for each request.
    pub(crate) fn anew(self) -> Self {
        Self {
            keep: false,
            ..self
        }
    }

    /// An operator's gateway, and headers such as `X-Auth-Token: …` that it wants.
    pub(crate) async fn of(url: &Url, headers: &[String]) -> io::Result<Self> {
        let bad = || io::Error::new(io::ErrorKind::InvalidInput, "not an http(s) URL");
        let host = url.host_str().ok_or_else(bad)?;
        let port = url.port_or_known_default().ok_or_else(bad)?;
        let address = lookup_host((host.trim_matches(['[', ']']), port))
            .await?
            .next();
        let mut target = Self::plain(address.ok_or_else(bad)?);
        target.host = url
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        url.path()
            .trim_end_matches('/')
            .clone_into(&mut target.prefix);
        if url.scheme() == "https" {
            let name = host.trim_matches(['[', ']']).to_owned();
            let name = ServerName::try_from(name).map_err(io::Error::other)?;
            target.tls = Some((secured::of_the_system()?, name));
        }
        for header in headers {
            target.headers.push_str(header.trim());
            target.headers.push_str("\r\n");
        }
        Ok(target)
    }

    /// The same, as who has this token.
    pub(crate) fn with_token(mut self, token: &str) -> Self {
        self.headers.push_str("X-Auth-Token: ");
        self.headers.push_str(token);
        self.headers.push_str("\r\n");
        self
    }

    /// A whole request.
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> Bytes {
        let Self {
            prefix,
            host,
            headers,
            ..
        } = self;
        let length = if body.is_empty() {
            String::new()
        } else {
            format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            )
        };
        format!(
            "{method} {prefix}{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: load\r\n\
             Accept: application/json\r\n{headers}{length}\r\n{body}"
        )
        .into()
    }

    pub(crate) fn get(&self, path: &str) -> Bytes {
        self.request("GET", path, "")
    }

    async fn connect(&self) -> io::Result<Box<dyn Io>> {
        let stream = match self.from {
            None => TcpStream::connect(self.address).await?,
            Some(client) => {
                let socket = TcpSocket::new_v4()?;
                socket.bind((client, 0).into())?;
                socket.connect(self.address).await?
            }
        };
        stream.set_nodelay(true)?;
        let Some((connector, name)) = &self.tls else {
            return Ok(Box::new(stream));
        };
        Ok(Box::new(connector.connect(name.clone(), stream).await?))
    }
}

/// The marker in the `next` of a page, and what stands behind it: the name of the walk.
pub(crate) fn next_marker(page: &[u8]) -> Option<String> {
    let page = String::from_utf8_lossy(page);
    let (_, rest) = page.rsplit_once("marker=")?;
    let end = rest.find('"').unwrap_or(rest.len());
    Some(rest[..end].to_owned())
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// What came back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    /// Of the body.
    pub(crate) bytes: u64,
}

impl Outcome {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A connection, made when it is first needed and again when it was closed.
pub(crate) struct Wire {
    target: Target,
    stream: Option<Box<dyn Io>>,
    received: BytesMut,
}

enum Body {
    Length(u64),
    Chunked,
}

impl Wire {
    pub(crate) fn new(target: &Target) -> Self {
        Self {
            target: target.clone(),
            stream: None,
            received: BytesMut::with_capacity(64 << 10),
        }
    }

    /// One request and its whole answer. The body is kept only if there is somewhere to keep it.
    pub(crate) async fn exchange(
        &mut self,
        request: &Bytes,
        mut keep: Option<&mut Vec<u8>>,
    ) -> io::Result<Outcome> {
        let exchanged = tokio::time::timeout(PATIENCE, self.once(request, &mut keep)).await;
        let result = exchanged.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if result.is_err() {
            self.stream = None;
            self.received.clear();
        }
        result
    }

    async fn once(
        &mut self,
        request: &Bytes,
        keep: &mut Option<&mut Vec<u8>>,
    ) -> io::Result<Outcome> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.target.connect().await?,
        };
        stream.write_all(request).await?;
        // What rustls has encrypted may still be ours when the runtime has given this task its share.
        stream.flush().await?;
        let end = loop {
            if let Some(end) = memmem::find(&self.received, b"\r\n\r\n") {
                break end + 4;
            }
            more(&mut stream, &mut self.received).await?;
        };
        let head = self.received.split_to(end);
        let (status, body, close) = read_head(&head)?;
        let bytes = match body {
            Body::Length(length) => {
                take(&mut stream, &mut self.received, length, keep).await?;
                length
            }
            Body::Chunked => {
                let mut bytes = 0;
                loop {
                    let end = loop {
                        if let Some(end) = memmem::find(&self.received, b"\r\n") {
                            break end;
                        }
                        more(&mut stream, &mut self.received).await?;
                    };
                    let size = chunk_size(&self.received[..end])?;
                    self.received.advance(end + 2);
                    take(&mut stream, &mut self.received, size, keep).await?;
                    take(&mut stream, &mut self.received, 2, &mut None).await?;
                    bytes += size;
                    if size == 0 {
                        break bytes;
                    }
                }
            }
        };
        if self.target.keep && !close {
            self.stream = Some(stream);
        }
        Ok(Outcome { status, bytes })
    }
}

async fn more(stream: &mut Box<dyn Io>, received: &mut BytesMut) -> io::Result<()> {
    received.reserve(32 << 10);
    match stream.read_buf(received).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

async fn take(
    stream: &mut Box<dyn Io>,
    received: &mut BytesMut,
    mut length: u64,
    keep: &mut Option<&mut Vec<u8>>,
) -> io::Result<()> {
    while length > 0 {
        if received.is_empty() {
            more(stream, received).await?;
        }
        let part = received
            .len()
            .min(usize::try_from(length).unwrap_or(usize::MAX));
        if let Some(kept) = keep {
            kept.extend_from_slice(&received[..part]);
        }
        received.advance(part);
        length -= part as u64;
    }
    Ok(())
}

fn not_http() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP")
}

fn chunk_size(line: &[u8]) -> io::Result<u64> {
    let text = std::str::from_utf8(line).map_err(|_| not_http())?;
    let digits = text.split(';').next().unwrap_or_default().trim();
    u64::from_str_radix(digits, 16).map_err(|_| not_http())
}

fn read_head(head: &[u8]) -> io::Result<(u16, Body, bool)> {
    let text = std::str::from_utf8(head).map_err(|_| not_http())?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let (mut body, mut close) = (Body::Length(0), false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            body = Body::Length(value.parse().map_err(|_| not_http())?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            body = Body::Chunked;
        } else if name.eq_ignore_ascii_case("connection") {
            close = value.eq_ignore_ascii_case("close");
        }
    }
    Ok((status.ok_or_else(not_http)?, body, close))
}
