//! `[trace]`: one span for a request, and one below it for each question that was put to a location for it.

use std::time::SystemTime;

use http::HeaderMap;
use http::Method;
use pingora::protocols::http::ServerSession;

use crate::api::trace::TraceContext;
use crate::api::trace::TraceParent;
use crate::api::trace::state;
use crate::gateway::context::Context;
use crate::locations::Locations;
use crate::locations::trail::Asked;
use crate::locations::trail::Trail;
use crate::metrics::template::Template;
use crate::telemetry::spans::Kind;
use crate::telemetry::spans::OUTBOX;
use crate::telemetry::spans::Span;
use crate::telemetry::spans::Value;

/// Which requests are recorded.
#[derive(Clone, Copy, Debug)]
pub struct Tracing {
    /// `[trace] sample_ratio`
    pub ratio: f64,
}

impl Tracing {
    /// The request becomes part of the client's trace, or begins one.
    pub fn begin(self, headers: &HeaderMap, context: &mut Context) {
        let above = TraceParent::of(headers);
        let trace = above.map_or_else(|| fastrand::u128(1..), |above| above.trace);
        let span = TraceParent {
            trace,
            span: fastrand::u64(1..),
            is_sampled: above.map_or_else(|| self.samples(trace), |above| above.is_sampled),
        };
        // Without a parent that can be read the state of somebody's trace says nothing (3.2.2.2).
        let state = above.and_then(|_| state(headers));
        context.span_above = above.map(|above| above.span);
        context.trace = TraceContext::below(span, state.clone());
        if span.is_sampled {
            context.trail = Trail::traced(span, state);
        }
    }

    /// As OpenTelemetry's `TraceIdRatioBased`, so that all who share the ratio decide alike.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a sample need not be exact to the last of 63 bits"
    )]
    fn samples(self, trace: u128) -> bool {
        const ALL: f64 = (1_u64 << 63) as f64;
        let low = u64::try_from(trace & u128::from(u64::MAX)).unwrap_or_default() >> 1;
        self.ratio >= 1.0 || (low as f64) < self.ratio * ALL
    }
}

/// The request has ended: its spans go to the collector.
pub fn record(session: &ServerSession, context: &Context, locations: &Locations) {
    let Some((server, state, asked)) = context.trail.recorded() else {
        return;
    };
    if context.template == Template::HEALTHCHECK {
        return;
    }
    let state = state.and_then(|state| state.to_str().ok().map(str::to_owned));
    let took = context.took;
    let head = session.req_header();
    let status = session
        .response_written()
        .map_or(0, |head| head.status.as_u16());
    let route = context.template.text();
    let mut attributes = vec![
        ("http.request.method", method(&head.method)),
        ("http.route", Value::Text(route.to_owned())),
        ("url.path", Value::Text(head.uri.path().to_owned())),
        (
            "openstack.request_id",
            Value::Text(context.request_id.ours().to_owned()),
        ),
    ];
    // Of a client that left there is none.
    if status > 0 {
        attributes.push(("http.response.status_code", Value::Number(status.into())));
    }
    let client = context
        .client
        .or_else(|| crate::gateway::access_log::client(session));
    if let Some(client) = client {
        attributes.push(("client.address", Value::Text(client.to_string())));
    }
    let mut spans = Vec::with_capacity(asked.len() + 1);
    spans.extend(
        asked
            .into_iter()
            .map(|asked| below(server, state.as_ref(), asked, locations)),
    );
    spans.push(Span {
        context: server,
        parent: context.span_above,
        state,
        kind: Kind::Server,
        name: format!("{} {route}", head.method),
        began: SystemTime::now()
            .checked_sub(took)
            .unwrap_or(SystemTime::UNIX_EPOCH),
        took,
        attributes,
        // A server's 4xx is the client's error.
        is_error: status == 0 || status >= 500,
    });
    OUTBOX.put(spans);
}

fn below(server: TraceParent, state: Option<&String>, asked: Asked, locations: &Locations) -> Span {
    let location = locations.location(asked.location).name();
    let mut attributes = vec![
        ("http.request.method", method(&asked.method)),
        ("url.path", Value::Text(asked.path)),
        ("ironic_proxy.location", Value::Text(location.to_owned())),
    ];
    let is_error = match asked.outcome {
        Ok(status) => {
            let status = status.as_u16();
            attributes.push(("http.response.status_code", Value::Number(status.into())));
            status >= 400
        }
        Err(reason) => {
            attributes.push(("error.type", Value::Text(reason.word().to_owned())));
            true
        }
    };
    Span {
        context: asked.span,
        parent: Some(server.span),
        state: state.cloned(),
        kind: Kind::Client,
        name: format!("{} {location}", asked.method),
        began: asked.began,
        took: asked.took,
        attributes,
        is_error,
    }
}

/// OpenTelemetry wants words of clients' own kept out of it.
fn method(method: &Method) -> Value {
    let known = matches!(
        *method,
        Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::PATCH
            | Method::DELETE
            | Method::OPTIONS
    );
    Value::Text(if known { method.as_str() } else { "_OTHER" }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_kept_and_decided_by_the_trace() {
        for (ratio, least, most) in [(0.0, 0, 0), (1.0, 1000, 1000), (0.25, 180, 320)] {
            let tracing = Tracing { ratio };
            let mut random = fastrand::Rng::with_seed(7);
            let traces: Vec<_> = (0..1000).map(|_| random.u128(1..)).collect();
            let sampled = traces
                .iter()
                .filter(|trace| tracing.samples(**trace))
                .count();
            assert!((least..=most).contains(&sampled), "{ratio}: {sampled}");
        }
    }
}
