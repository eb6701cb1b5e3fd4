//! One client connection: reads a head, serves its request, reads the next head.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use log::debug;
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

/// Serves an HTTP application on connections whose heads are bounded.
#[derive(Debug)]
pub struct Connections<A> {
    application: Arc<A>,
    lifecycle: Arc<Lifecycle>,
}

impl<A> Connections<A> {
    pub fn new(application: A, lifecycle: Arc<Lifecycle>) -> Self {
        Self {
            application: Arc::new(application),
            lifecycle,
        }
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for Connections<A> {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let mut downstream = Box::new(Downstream::new(stream));
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
                    // Apart from what each idle connection holds.
                    Box::pin(refuse(*downstream, error)).await;
                    return None;
                }
            };
            let mut session = ServerSession::new_http1(downstream);
            session.set_keepalive(Some(KEEPALIVE.as_secs()));
            // Pingora parses the head itself; it gets one that is known to be whole and bounded.
            session.set_pipelined_prefix(head);
            // `None`: the answer said `close`, or the client is gone.
            let reused = self.application.process_new_http(session, shutdown).await?;
            // Pingora gives back the very stream that it was given.
            let (stream, _) = reused.consume();
            downstream = stream.into_any().downcast().ok()?;
        }
    }
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
    let length = answer.body.length();
    let _ = write!(
        head,
        "content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    [head.as_bytes(), &answer.body.bytes()].concat()
}
