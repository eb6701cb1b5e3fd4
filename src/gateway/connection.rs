//! One client connection: reads a head, serves its request, reads the next head.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use log::debug;
use pingora::ErrorType;
use pingora::apps::HttpServerApp;
use pingora::apps::ServerApp;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::gateway::rescue;
use crate::lifecycle::Lifecycle;
use crate::lifecycle::Stage;
use crate::request::Answer;
use crate::wire::downstream::Downstream;
use crate::wire::head::HeadError;

/// How long an idle client connection is kept.
pub const KEEPALIVE: Duration = Duration::from_secs(65);
/// How long a client may still begin a request on a connection that it was not told will end.
pub const PARTING: Duration = Duration::from_secs(1);
/// For how long, and how many bytes of, a refused head are read so that the client sees the answer and not a reset.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

/// Answers requests by itself.
#[async_trait]
pub trait Answering {
    /// `session`: its head has been read. The connection, if it can be used again.
    async fn serve(&self, session: ServerSession) -> Option<Stream>;
}

/// Serves an HTTP application on connections whose heads are bounded.
#[derive(Debug)]
pub struct Connections<A, P> {
    answering: A,
    /// What streams bodies both ways.
    proxy: Arc<P>,
    lifecycle: Arc<Lifecycle>,
}

impl<A, P> Connections<A, P> {
    pub fn new(answering: A, proxy: P, lifecycle: Arc<Lifecycle>) -> Self {
        Self {
            answering,
            proxy: Arc::new(proxy),
            lifecycle,
        }
    }
}

#[async_trait]
impl<A, P> ServerApp for Connections<A, P>
where
    A: Answering + Send + Sync + 'static,
    P: HttpServerApp + Send + Sync + 'static,
{
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let mut downstream = Downstream::new(stream);
        let mut stages = self.lifecycle.watch();
        loop {
            let begins = tokio::select! {
                // What is here already is served.
                biased;
                begins = downstream.begins(KEEPALIVE) => begins,
                // A request may be on its way: it is answered, and the answer says that it is the last one.
                () = drain_begins(&mut stages) => downstream.begins(PARTING).await,
            };
            if !begins {
                return None;
            }
            let head = match downstream.head().await {
                Ok(head) => head?,
                Err(error) => {
                    refuse(downstream, error).await;
                    return None;
                }
            };
            let may_be_proxied = may_be_proxied(&head);
            let mut session = ServerSession::new_http1(Box::new(downstream));
            session.set_keepalive(Some(KEEPALIVE.as_secs()));
            // Pingora parses the head itself; it gets one that is known to be whole and bounded.
            session.set_pipelined_prefix(head);
            // `None`: the answer said `close`, or the client is gone.
            let stream = if may_be_proxied {
                let reused = self.proxy.process_new_http(session, shutdown).await?;
                reused.consume().0
            } else {
                let mut session = parsed(session).await?;
                if *shutdown.borrow() {
                    session.set_keepalive(None);
                }
                self.answering.serve(session).await?
            };
            downstream = *stream.into_any().downcast().ok()?;
        }
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

/// Whether a request may have to go through Pingora's proxy: vendor passthru alone is streamed both ways (`BodyUse::Proxied`),
/// and its path says so, unless it is encoded. The proxy keeps 14 KB of state for each request, which it copies twice, and
/// most of a request's 20,000 instructions there are for what is not used.
fn may_be_proxied(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let path = line.split(|byte| *byte == b'?').next().unwrap_or_default();
    path.contains(&b'%')
        || memchr::memmem::find(path, b"passthru").is_some()
        // Refused by the proxy.
        || path.starts_with(b"CONNECT")
}

/// Has Pingora parse the head. `None`: it cannot be parsed, and its sender was told so.
async fn parsed(mut session: ServerSession) -> Option<ServerSession> {
    match session.read_request().await {
        Ok(true) => return Some(session),
        Ok(false) => return None,
        Err(error) if *error.etype() == ErrorType::InvalidHTTPHeader => {
            if let Err(error) = session.respond_error(400).await {
                debug!("A client did not take the answer: {error}");
            }
        }
        Err(error) => debug!("A client left: {error}"),
    }
    session.shutdown().await;
    None
}

async fn drain_begins(stages: &mut watch::Receiver<Stage>) {
    // Whoever would tell lives as long as the process.
    let _ = stages.wait_for(|stage| stage.is_draining()).await;
}

/// Says why, and waits a moment for the client to have read it.
async fn refuse(mut downstream: Downstream, error: HeadError) {
    debug!("A client is refused: {error}");
    let answer = serialize(&rescue::unreadable(error));
    let told = async {
        downstream.write_all(&answer).await?;
        downstream.shutdown().await?;
        downstream.discard(LINGER_BYTES).await
    };
    // A client that is gone, or goes on and on, has been told as much as it can be.
    let _ = timeout(LINGER, told).await;
}

/// An answer to what is no request yet, so Pingora has no session to write it to.
fn serialize(answer: &Answer) -> Vec<u8> {
    let reason = answer.status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", answer.status.as_u16());
    for (name, value) in &answer.headers {
        // Writing to a String cannot fail.
        let _ = write!(head, "{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    let length = answer.body.len();
    let _ = write!(
        head,
        "content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    [head.as_bytes(), &answer.body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::route::table::Payload;
    use crate::api::route::table::TABLE;

    #[test]
    fn what_is_streamed_says_so_in_its_path() {
        for row in TABLE {
            let line = format!("GET /v1/{} HTTP/1.1\r\n", row.template);
            if row.payload == Payload::Vendor {
                assert!(may_be_proxied(line.as_bytes()), "{line}");
            }
        }
        for (line, proxied) in [
            ("GET /v1/nodes/a/vendor_p%61ssthru?method=b HTTP/1.1", true),
            ("GET /v1/nodes/vendor_passthru?node_ident=a HTTP/1.1", true),
            ("CONNECT /v1/nodes HTTP/1.1", true),
            (
                "GET /v1/nodes?fields=a%2Cb&x=vendor_passthru HTTP/1.1",
                false,
            ),
            ("GET /v1/nodes/a HTTP/1.1\nX: vendor_passthru", false),
        ] {
            assert_eq!(may_be_proxied(line.as_bytes()), proxied, "{line}");
        }
    }
}
