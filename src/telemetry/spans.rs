//! Spans on their way to a collector, and how OTLP writes them (JSON Protobuf encoding, OTLP 1.x).

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use serde_json::Value as Json;
use serde_json::json;
use tokio::sync::Notify;

use crate::api::trace::TraceParent;

/// Spans that may wait, about 500 bytes each; further ones are dropped.
const WAITING: usize = 8192;
/// Spans in one request to the collector.
pub const BATCH: usize = 512;

/// Which side of an exchange a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Server,
    Client,
}

/// A value of one of a span's attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Number(i64),
}

/// One span, ended.
#[derive(Clone, Debug)]
pub struct Span {
    pub context: TraceParent,
    /// The span above it.
    pub parent: Option<u64>,
    /// `tracestate`
    pub state: Option<String>,
    pub kind: Kind,
    pub name: String,
    pub began: SystemTime,
    pub took: Duration,
    pub attributes: Vec<(&'static str, Value)>,
    /// It failed.
    pub is_error: bool,
}

/// Where spans wait for the collector. Putting one there never waits.
#[derive(Debug)]
pub struct Outbox {
    waiting: Mutex<VecDeque<Span>>,
    enough: Notify,
    exported: AtomicU64,
    dropped: AtomicU64,
}

/// The one of this process.
pub static OUTBOX: Outbox = Outbox::new();

impl Outbox {
    const fn new() -> Self {
        Self {
            waiting: Mutex::new(VecDeque::new()),
            enough: Notify::const_new(),
            exported: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    pub fn put(&self, spans: Vec<Span>) {
        let mut waiting = self.waiting();
        if waiting.len() + spans.len() > WAITING {
            self.lose(spans.len());
            return;
        }
        waiting.extend(spans);
        if waiting.len() >= BATCH {
            self.enough.notify_one();
        }
    }

    /// The next ones to send.
    pub fn take(&self) -> Vec<Span> {
        let mut waiting = self.waiting();
        let some = waiting.len().min(BATCH);
        waiting.drain(..some).collect()
    }

    /// Until there is a whole batch.
    pub async fn is_full(&self) {
        self.enough.notified().await;
    }

    pub fn lose(&self, spans: usize) {
        self.dropped.fetch_add(spans as u64, Ordering::Relaxed);
    }

    pub fn sent(&self, spans: usize) {
        self.exported.fetch_add(spans as u64, Ordering::Relaxed);
    }

    /// How many a collector took, and how many nobody got.
    pub fn counts(&self) -> [(&'static str, u64); 2] {
        [
            ("exported", self.exported.load(Ordering::Relaxed)),
            ("dropped", self.dropped.load(Ordering::Relaxed)),
        ]
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Span>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `ExportTraceServiceRequest`
pub fn request(service: &str, spans: &[Span]) -> Json {
    let version = env!("CARGO_PKG_VERSION");
    let resource = [
        ("service.name", Value::Text(service.to_owned())),
        ("service.version", Value::Text(version.to_owned())),
    ];
    json!({
        "resourceSpans": [{
            "resource": {"attributes": attributes(&resource)},
            "scopeSpans": [{
                "scope": {"name": "ironic-proxy", "version": version},
                "spans": spans.iter().map(written).collect::<Vec<_>>(),
            }],
        }],
    })
}

fn written(span: &Span) -> Json {
    let began = span.began.duration_since(UNIX_EPOCH).unwrap_or_default();
    let ended = began + span.took;
    let mut written = json!({
        // OTLP: ids are hexadecimal in JSON, not base64; whole numbers of 64 bits are texts; enums are numbers, here
        // SPAN_KIND_SERVER and _CLIENT, and STATUS_CODE_ERROR below.
        "traceId": format!("{:032x}", span.context.trace),
        "spanId": format!("{:016x}", span.context.span),
        "flags": u8::from(span.context.is_sampled),
        "name": span.name,
        "kind": match span.kind { Kind::Server => 2, Kind::Client => 3 },
        "startTimeUnixNano": began.as_nanos().to_string(),
        "endTimeUnixNano": ended.as_nanos().to_string(),
        "attributes": attributes(&span.attributes),
        "status": if span.is_error { json!({"code": 2}) } else { json!({}) },
    });
    if let Some(parent) = span.parent {
        written["parentSpanId"] = format!("{parent:016x}").into();
    }
    if let Some(state) = &span.state {
        written["traceState"] = state.as_str().into();
    }
    written
}

fn attributes(all: &[(&'static str, Value)]) -> Vec<Json> {
    all.iter()
        .map(|(key, value)| {
            let value = match value {
                Value::Text(text) => json!({"stringValue": text}),
                Value::Number(number) => json!({"intValue": number.to_string()}),
            };
            json!({"key": key, "value": value})
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span() -> Span {
        Span {
            context: TraceParent {
                trace: 1,
                span: 2,
                is_sampled: true,
            },
            parent: None,
            state: None,
            kind: Kind::Server,
            name: "GET".to_owned(),
            began: UNIX_EPOCH,
            took: Duration::from_millis(1),
            attributes: Vec::new(),
            is_error: false,
        }
    }

    #[test]
    fn what_has_no_room_is_dropped_and_counted() {
        let outbox = Outbox::new();
        outbox.put(vec![span(); WAITING - 1]);
        outbox.put(vec![span(); 2]);
        outbox.put(vec![span()]);
        assert_eq!(outbox.counts(), [("exported", 0), ("dropped", 2)]);
        let taken: Vec<_> = std::iter::repeat_with(|| outbox.take().len())
            .take_while(|some| *some > 0)
            .collect();
        assert_eq!(taken, vec![BATCH; WAITING / BATCH]);
    }
}
