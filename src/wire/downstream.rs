//! A client's connection, between its socket and Pingora.
//!
//! Requests are passed on one at a time, since Pingora would read a head of any length and drop a request that was
//! sent ahead of its answer. An answer that is complete before it is sent leaves in one piece, since Pingora writes
//! head and body separately, which costs a system call and a packet each.

use std::fmt;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Buf;
use bytes::BytesMut;
use pingora::protocols::ALPN;
use pingora::protocols::GetProxyDigest;
use pingora::protocols::GetSocketDigest;
use pingora::protocols::GetTimingDigest;
use pingora::protocols::Peek;
use pingora::protocols::Shutdown;
use pingora::protocols::SocketDigest;
use pingora::protocols::Ssl;
use pingora::protocols::Stream;
use pingora::protocols::TimingDigest;
use pingora::protocols::UniqueID;
use pingora::protocols::UniqueIDType;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::time::Instant;
use tokio::time::timeout;
use tokio::time::timeout_at;

use crate::wire::head;
use crate::wire::head::Body;
use crate::wire::head::HeadError;
use crate::wire::head::Search;
use crate::wire::reading;

/// Bytes that are held back at most. What is larger gains nothing from waiting.
const HELD: usize = 16 << 10;
/// Bytes of later requests that are kept while one is answered.
const AHEAD: usize = 64 << 10;

/// A client's connection.
pub struct Downstream {
    stream: Stream,
    /// To be sent.
    held: BytesMut,
    /// Sent by the client, not yet handed on.
    unread: BytesMut,
    /// What of the request's body is still to come.
    rest: Body,
}

impl fmt::Debug for Downstream {
    // What clients send is theirs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Downstream({} bytes held)", self.held.len())
    }
}

impl Downstream {
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            held: BytesMut::new(),
            unread: BytesMut::new(),
            rest: Body::Length(0),
        }
    }

    /// Waits for the next request to begin. `false`: the client left, or did not begin one.
    pub async fn begins(&mut self, idle: Duration) -> bool {
        loop {
            // An empty line before a request is no part of it (RFC 9112, 2.2).
            while let [b'\r' | b'\n', ..] = self.unread[..] {
                self.unread.advance(1);
            }
            if !self.unread.is_empty() {
                return true;
            }
            match timeout(idle, self.read_more()).await {
                Ok(Ok(read)) if read > 0 => {}
                Ok(_) | Err(_) => return false,
            }
        }
    }

    /// The head of the request that has begun, with what of its body came along. `None`: the client left.
    pub async fn head(&mut self) -> Result<Option<BytesMut>, HeadError> {
        let deadline = Instant::now() + head::PATIENCE;
        let mut search = Search::default();
        let end = loop {
            if let Some(end) = search.end(&self.unread)? {
                break end;
            }
            // The first byte of a TLS greeting, say: whoever parses it says so at once.
            if !self.unread.first().is_some_and(u8::is_ascii_graphic) {
                break self.unread.len();
            }
            match timeout_at(deadline, self.read_more()).await {
                Ok(Ok(read)) if read > 0 => {}
                Ok(_) => return Ok(None),
                Err(_) => return Err(HeadError::Late),
            }
        };
        let come_along = self.unread.len() - end;
        let (taken, rest) = match head::body(&self.unread[..end]) {
            Body::Length(length) => {
                let taken =
                    usize::try_from(length).map_or(come_along, |length| length.min(come_along));
                (taken, Body::Length(length - taken as u64))
            }
            Body::Unclear => (come_along, Body::Unclear),
        };
        self.rest = rest;
        let taken = self.unread.split_to(end + taken);
        if self.unread.is_empty() {
            // An idle connection holds no memory.
            self.unread = BytesMut::new();
        }
        Ok(Some(taken))
    }

    /// Reads what nobody wants, until the client leaves.
    pub async fn discard(&mut self, most: usize) -> io::Result<()> {
        self.unread = BytesMut::new();
        let (mut part, mut discarded) = ([0; 2048], 0);
        while discarded < most {
            match self.stream.read(&mut part).await? {
                0 => break,
                read => discarded += read,
            }
        }
        Ok(())
    }

    async fn read_more(&mut self) -> io::Result<usize> {
        reading::more(&mut self.stream, &mut self.unread).await
    }

    /// The request is here: what comes now is the next one, which waits, or the end.
    fn poll_ahead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unread.len() < AHEAD {
            let mut part = [0; 2048];
            let mut part = ReadBuf::new(&mut part);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
            if part.filled().is_empty() {
                if self.unread.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                // Whoever has sent the next request before the end waits for both answers.
                break;
            }
            self.unread.extend_from_slice(part.filled());
        }
        // Woken by what else its reader waits for.
        Poll::Pending
    }

    fn poll_release(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &self.held))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.held.advance(written),
            }
        }
        // An idle connection holds no memory.
        drop(mem::take(&mut self.held));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Downstream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        part: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.held.len() + part.len() <= HELD {
            if self.held.is_empty() {
                // The first part is a head, and a small body mostly follows.
                self.held.reserve(part.len() + 4096);
            }
            self.held.extend_from_slice(part);
            return Poll::Ready(Ok(part.len()));
        }
        ready!(self.poll_release(context))?;
        Pin::new(&mut self.stream).poll_write(context, part)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_release(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_release(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncRead for Downstream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = match self.rest {
            Body::Unclear => return Pin::new(&mut self.stream).poll_read(context, into),
            Body::Length(0) => return self.poll_ahead(context),
            Body::Length(left) => left,
        };
        let most =
            usize::try_from(left).map_or(into.remaining(), |left| left.min(into.remaining()));
        let mut part = ReadBuf::new(into.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        let read = part.filled().len();
        into.advance(read);
        self.rest = Body::Length(left - read as u64);
        Poll::Ready(Ok(()))
    }
}

#[async_trait]
impl Shutdown for Downstream {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl UniqueID for Downstream {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Downstream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Downstream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.stream.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.stream.get_write_pending_time()
    }
}

impl GetProxyDigest for Downstream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Downstream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

#[async_trait]
impl Peek for Downstream {
    async fn try_peek(&mut self, into: &mut [u8]) -> io::Result<bool> {
        self.stream.try_peek(into).await
    }
}

#[cfg(test)]
mod tests {
    use pingora::protocols::l4::stream::Stream as Socket;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::net::TcpStream;

    use super::*;

    async fn pair() -> (Downstream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (Downstream::new(Box::new(Socket::from(server))), client)
    }

    #[tokio::test]
    async fn small_parts_leave_together_when_flushed() {
        let (mut downstream, mut client) = pair().await;
        let body = vec![b'x'; 3000];
        downstream.write_all(b"head").await.unwrap();
        downstream.write_all(&body).await.unwrap();
        assert_eq!(downstream.held.len(), 3004, "nothing is sent yet");
        downstream.flush().await.unwrap();
        assert_eq!(downstream.held.capacity(), 0, "nothing is kept");
        let mut read = vec![0; 8192];
        assert_eq!(client.read(&mut read).await.unwrap(), 3004, "one piece");
        assert_eq!(read[..4], *b"head");
    }

    #[tokio::test]
    async fn large_parts_come_whole_and_in_order() {
        let (mut downstream, mut client) = pair().await;
        let body: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let sent = body.clone();
        let sender = tokio::spawn(async move {
            downstream.write_all(b"head").await.unwrap();
            downstream.write_all(&sent).await.unwrap();
            downstream.write_all(b"tail").await.unwrap();
            downstream.flush().await.unwrap();
        });
        let mut read = vec![0; body.len() + 8];
        client.read_exact(&mut read).await.unwrap();
        assert_eq!(
            (&read[..4], &read[4 + body.len()..]),
            (&b"head"[..], &b"tail"[..])
        );
        assert!(read[4..4 + body.len()] == body);
        sender.await.unwrap();
    }

    #[tokio::test]
    async fn requests_are_handed_on_one_at_a_time() {
        let (mut downstream, mut client) = pair().await;
        let first = b"PUT /a HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc";
        client.write_all(b"\r\n").await.unwrap();
        client.write_all(first).await.unwrap();
        assert!(downstream.begins(Duration::from_secs(5)).await);
        let head = downstream.head().await.unwrap().unwrap();
        assert_eq!(head, first[..]);
        client
            .write_all(b"defGET /b HTTP/1.1\r\n\r\nGET")
            .await
            .unwrap();
        let mut body = Vec::new();
        while body.len() < 3 {
            downstream.read_buf(&mut body).await.unwrap();
        }
        assert_eq!(body, b"def", "and no byte of the next one");
        let nothing = timeout(Duration::from_millis(50), downstream.read_buf(&mut body)).await;
        assert!(nothing.is_err(), "it waits");
        assert!(downstream.begins(Duration::ZERO).await);
        let head = downstream.head().await.unwrap().unwrap();
        assert_eq!(head, b"GET /b HTTP/1.1\r\n\r\n"[..]);
        assert!(downstream.begins(Duration::ZERO).await);
        drop(client);
        assert_eq!(downstream.head().await, Ok(None));
    }

    #[tokio::test]
    async fn a_client_that_leaves_is_noticed() {
        let (mut downstream, mut client) = pair().await;
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert!(downstream.begins(Duration::from_secs(5)).await);
        downstream.head().await.unwrap().unwrap();
        drop(client);
        let read = downstream.read_buf(&mut Vec::new()).await.unwrap();
        assert_eq!(read, 0);
        assert!(!downstream.begins(Duration::from_secs(5)).await);
    }
}
