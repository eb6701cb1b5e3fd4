//! Reading a body that must be read, writing an answer.

use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora_proxy::Session;

use crate::api::body::DepthGauge;
use crate::api::fault::Fault;
use crate::api::header;
use crate::gateway::Context;
use crate::gateway::DRAINED;
use crate::locations::Locations;
use crate::request::Answer;
use crate::request::Versions;

/// For how long a body that nobody wants is read.
const SMALL_BODY_TIME: Duration = Duration::from_secs(5);
const LARGE_BODY_TIME: Duration = Duration::from_secs(1);

/// How large and how deeply nested a client's body may be (Ironic's `[api] max_json_body_*`).
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes.
    pub size: usize,
    /// `None`: it need not be JSON.
    pub depth: Option<usize>,
}

/// In Ironic's words (`ironic/api/middleware/json_ext.py`).
pub fn too_large() -> Fault {
    Fault::flat(
        StatusCode::PAYLOAD_TOO_LARGE,
        "Request body is too large. Please contact the service administrator.",
    )
}

/// In Ironic's words.
pub fn too_deep() -> Fault {
    Fault::flat(
        StatusCode::BAD_REQUEST,
        "Request body JSON is nested too deeply. Please contact the service administrator.",
    )
}

pub fn fault(fault: &Fault) -> Answer {
    let mut answer = Answer::json(fault.status, fault.body());
    if fault.is_unversioned() {
        answer.versions = Versions::Hidden;
    }
    if let Some(seconds) = fault.retry_after {
        answer
            .headers
            .insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// In Ironic's words; `methods` are those that the path has.
pub fn wrong_method(fault: &Fault, methods: &str) -> Answer {
    self::fault(fault).with(http::header::ALLOW, methods)
}

pub fn busy() -> Answer {
    fault(&Fault::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "The gateway serves too many requests, please retry.",
    ))
}

/// The whole body of a request, within its limits.
pub async fn read_body(
    session: &mut Session,
    limits: BodyLimits,
) -> Result<std::result::Result<Bytes, Fault>> {
    if session
        .get_header_bytes("expect")
        .eq_ignore_ascii_case(b"100-continue")
    {
        session.write_continue_response().await?;
    }
    let mut body = BytesMut::new();
    let mut gauge = DepthGauge::default();
    while let Some(part) = session.read_request_body().await? {
        if body.len() + part.len() > limits.size {
            // Nothing more is read, so the connection cannot be used again.
            session.set_keepalive(None);
            return Ok(Err(too_large()));
        }
        if limits
            .depth
            .is_some_and(|depth| !gauge.within(&part, depth))
        {
            session.set_keepalive(None);
            return Ok(Err(too_deep()));
        }
        body.extend_from_slice(&part);
    }
    Ok(Ok(body.freeze()))
}

/// Adds what every answer of the gateway carries.
pub fn sign(
    head: &mut ResponseHeader,
    context: &Context,
    locations: &Locations,
    versions: Versions,
) -> Result<()> {
    if let Some((range, spoken)) = context.versions.filter(|_| versions == Versions::Shown) {
        head.insert_header(header::API_MIN_VERSION, range.min().to_string())?;
        head.insert_header(header::API_MAX_VERSION, range.max().to_string())?;
        if let Some(spoken) = spoken {
            head.insert_header(header::API_VERSION, spoken.to_string())?;
        }
    }
    for name in [header::REQUEST_ID, header::LEGACY_REQUEST_ID] {
        // A location's own id goes on: it is what its operators look for.
        if !head.headers.contains_key(&name) {
            head.insert_header(name, context.request_id.for_client())?;
        }
    }
    if let Some(location) = context.location {
        head.insert_header(header::LOCATION, locations.location(location).name())?;
    }
    Ok(())
}

pub async fn write(
    session: &mut Session,
    context: &Context,
    locations: &Locations,
    answer: Answer,
) -> Result<()> {
    drain(session).await;
    let mut head = ResponseHeader::build_no_case(answer.status, Some(answer.headers.len() + 8))?;
    for (name, value) in &answer.headers {
        let framing = matches!(
            name.as_str(),
            "content-length" | "transfer-encoding" | "date"
        );
        if !framing {
            head.append_header(name.clone(), value.clone())?;
        }
    }
    sign(&mut head, context, locations, answer.versions)?;
    let bodiless = matches!(
        answer.status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    if !bodiless {
        head.set_content_length(answer.body.len())?;
    }
    let silent = bodiless || answer.body.is_empty() || session.req_header().method == Method::HEAD;
    session
        .write_response_header(Box::new(head), silent)
        .await?;
    if !silent {
        session.write_response_body(Some(answer.body), true).await?;
    }
    Ok(())
}

/// Reads what the client still sends, so that it sees the answer and not a reset: all of a small body, of a large one as
/// much as comes in a moment.
async fn drain(session: &mut Session) {
    let headers = &session.req_header().headers;
    if headers.contains_key(http::header::EXPECT) {
        // The client sends its body only once it is told to, and that it will not be.
        session.set_keepalive(None);
        return;
    }
    let announced = headers
        .get(http::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let chunked = headers.contains_key(http::header::TRANSFER_ENCODING);
    if announced.unwrap_or_default() == 0 && !chunked {
        return;
    }
    let small = announced.is_some_and(|length| length <= DRAINED);
    let patience = if small {
        SMALL_BODY_TIME
    } else {
        LARGE_BODY_TIME
    };
    session
        .as_downstream_mut()
        .set_total_drain_timeout(Some(patience));
    if session.drain_request_body().await.is_err() || !small {
        session.set_keepalive(None);
    }
}
