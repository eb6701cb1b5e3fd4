//! An answer that is whole before it is sent leaves in one piece: Pingora writes head and body one after the other, which
//! is a system call and a packet each.

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
use pingora::apps::ServerApp;
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
use pingora::server::ShutdownWatch;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;

/// Bytes that are held back at most. What is larger gains nothing from waiting.
const HELD: usize = 16 << 10;

/// A server whose connections hold back what is written until they are flushed.
#[derive(Debug)]
pub struct Corked<A>(Arc<A>);

impl<A> Corked<A> {
    pub fn new(application: A) -> Self {
        Self(Arc::new(application))
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for Corked<A> {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        // Pingora hands a connection that can be used again back to us.
        let stream = if (*stream).as_any().is::<Cork>() {
            stream
        } else {
            Box::new(Cork {
                stream,
                held: BytesMut::new(),
            })
        };
        self.0.process_new(stream, shutdown).await
    }

    async fn cleanup(&self) {
        self.0.cleanup().await;
    }
}

struct Cork {
    stream: Stream,
    held: BytesMut,
}

impl fmt::Debug for Cork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cork({} bytes held)", self.held.len())
    }
}

impl Cork {
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

impl AsyncWrite for Cork {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        part: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.held.len() + part.len() <= HELD {
            if self.held.is_empty() {
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

impl AsyncRead for Cork {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

#[async_trait]
impl Shutdown for Cork {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl UniqueID for Cork {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Cork {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Cork {
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

impl GetProxyDigest for Cork {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Cork {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

#[async_trait]
impl Peek for Cork {
    async fn try_peek(&mut self, into: &mut [u8]) -> io::Result<bool> {
        self.stream.try_peek(into).await
    }
}

#[cfg(test)]
mod tests {
    use pingora::protocols::l4::stream::Stream as Socket;
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::net::TcpStream;

    use super::*;

    async fn pair() -> (Cork, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (
            Cork {
                stream: Box::new(Socket::from(server)),
                held: BytesMut::new(),
            },
            client,
        )
    }

    #[tokio::test]
    async fn small_parts_leave_together_when_flushed() {
        let (mut cork, mut client) = pair().await;
        let body = vec![b'x'; 3000];
        cork.write_all(b"head").await.unwrap();
        cork.write_all(&body).await.unwrap();
        assert_eq!(cork.held.len(), 3004, "nothing is sent yet");
        cork.flush().await.unwrap();
        assert_eq!(cork.held.capacity(), 0, "nothing is kept");
        let mut read = vec![0; 8192];
        assert_eq!(client.read(&mut read).await.unwrap(), 3004, "one piece");
        assert_eq!(read[..4], *b"head");
    }

    #[tokio::test]
    async fn large_parts_come_whole_and_in_order() {
        let (mut cork, mut client) = pair().await;
        let body: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let sent = body.clone();
        let sender = tokio::spawn(async move {
            cork.write_all(b"head").await.unwrap();
            cork.write_all(&sent).await.unwrap();
            cork.write_all(b"tail").await.unwrap();
            cork.flush().await.unwrap();
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
}
