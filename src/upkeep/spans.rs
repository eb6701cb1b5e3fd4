//! In the background: hands spans to the collector (OTLP over HTTP, in JSON).

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header;
use log::info;
use log::warn;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::config::Session;
use crate::config::TraceConfig;
use crate::current::Follow;
use crate::telemetry::spans;
use crate::telemetry::spans::OUTBOX;
use crate::telemetry::spans::Span;
use crate::tls::pem::TlsError;
use crate::wire::budget::Budget;
use crate::wire::peer::Clocks;
use crate::wire::peer::Tls;
use crate::wire::peer::dial;
use crate::wire::peer::host;
use crate::wire::peer::resolve;
use crate::wire::transport::Bounds;
use crate::wire::transport::Failure;
use crate::wire::transport::Head;
use crate::wire::transport::Message;
use crate::wire::transport::Sent;
use crate::wire::transport::Transport;

/// How long a span waits for others.
const PAUSE: Duration = Duration::from_secs(1);
/// For one batch; OTLP's own default.
const PATIENCE: Duration = Duration::from_secs(10);
/// A collector has a word or two to say.
const MAX_ANSWER: usize = 64 << 10;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Sends what waits in [`OUTBOX`].
#[derive(Debug)]
pub struct SpanExport {
    pub follow: Follow,
    pub budget: Budget,
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("{0}")]
    Exchange(#[from] Failure),
    #[error("its address cannot be found: {0}")]
    Resolve(#[from] std::io::Error),
    #[error("[trace] cafile: {0}")]
    Tls(#[from] TlsError),
    #[error("it answers {0}")]
    Status(StatusCode),
}

impl ExportError {
    /// Whether the same may be taken later (OTLP, failures).
    fn is_passing(&self) -> bool {
        match self {
            Self::Exchange(_) | Self::Resolve(_) | Self::Tls(_) => true,
            Self::Status(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
        }
    }
}

#[async_trait]
impl BackgroundService for SpanExport {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let transport = Transport::new(1, self.budget.clone());
        let mut batch = Vec::new();
        let mut is_failing = false;
        loop {
            let is_over = tokio::select! {
                _ = shutdown.changed() => true,
                () = tokio::time::sleep(PAUSE) => false,
                // While nobody takes them a full box is no reason to try more often.
                () = OUTBOX.is_full(), if !is_failing => false,
            };
            loop {
                // Looked at for each batch: under load the box is never empty.
                let current = Arc::clone(&self.follow.borrow());
                let Some(config) = &current.config.trace else {
                    break;
                };
                if batch.is_empty() {
                    batch = OUTBOX.take();
                }
                if batch.is_empty() {
                    break;
                }
                match export(&transport, config, &batch).await {
                    Ok(()) => {
                        OUTBOX.sent(batch.len());
                        batch.clear();
                        if is_failing {
                            info!("Spans are exported again");
                        }
                        is_failing = false;
                    }
                    Err(error) => {
                        if !is_failing {
                            warn!("Spans cannot be exported to {}: {error}", config.endpoint);
                        }
                        is_failing = true;
                        if error.is_passing() && !is_over {
                            break;
                        }
                        OUTBOX.lose(batch.len());
                        batch.clear();
                    }
                }
            }
            if is_over {
                return;
            }
        }
    }
}

async fn export(
    transport: &Transport,
    config: &TraceConfig,
    batch: &[Span],
) -> Result<(), ExportError> {
    let endpoint = &config.endpoint;
    let body = Bytes::from(spans::request(&config.service, batch).to_string());
    let path = format!("{}/v1/traces", endpoint.prefix);
    // An endpoint's prefix is one that a request line can hold.
    let mut head = Head::new(Method::POST, &path).map_err(|_| Failure::Local)?;
    head.field(&header::HOST, &host(endpoint));
    head.field(&header::CONTENT_TYPE, &JSON);
    head.field(&header::ACCEPT, &JSON);
    head.number(&header::CONTENT_LENGTH, body.len());
    let session = Session {
        cafile: config.cafile.clone(),
        certfile: None,
        keyfile: None,
        insecure: false,
    };
    // Read anew for each batch, so that a replaced file counts without anybody watching it.
    let tls = Tls::load(&session)?;
    let bounds = Bounds {
        response: PATIENCE,
        silence: PATIENCE,
        deadline: Instant::now() + PATIENCE,
        size: MAX_ANSWER,
    };
    let clocks = Clocks {
        connect: PATIENCE,
        response: PATIENCE,
        idle: PATIENCE,
    };
    let message = Message {
        head: &head,
        body: Sent::Whole(&body),
        begun: None,
    };
    let mut failure = Failure::Connect;
    for address in resolve(endpoint).await? {
        let mut peer = dial(endpoint, address, &tls, clocks);
        // Nobody shares this pool.
        peer.group_key = 0;
        match transport.exchange(&peer, message, bounds).await {
            Ok(reply) if reply.status.is_success() => return Ok(()),
            Ok(reply) => return Err(ExportError::Status(reply.status)),
            Err(error) => failure = error,
        }
        if failure.was_sent() {
            break;
        }
    }
    Err(failure.into())
}
