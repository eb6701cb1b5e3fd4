//! The front: the phases of Pingora's proxy, each delegated to the file that implements it.

pub mod access_log;
pub mod arrival;
pub mod audit;
pub mod body;
pub mod compress;
pub mod connection;
pub mod context;
pub mod cors;
pub mod crowd;
pub mod door;
pub mod endpoint;
pub mod explain;
pub mod forward;
pub mod framing;
pub mod health;
pub mod limits;
pub mod rescue;
pub mod reservations;
pub mod respond;
pub mod service;
pub mod tracing;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use pingora::Error as PingoraError;
use pingora::ErrorSource;
use pingora::Result;
use pingora::RetryType;
use pingora::http::RequestHeader;
use pingora::http::ResponseHeader;
use pingora::modules::http::HttpModules;
use pingora::upstreams::peer::HttpPeer;
use pingora_proxy::FailToProxy;
use pingora_proxy::ProxyHttp;
use pingora_proxy::Session;

use crate::api::header::RequestId;
use crate::api::trace::TraceContext;
use crate::gateway::connection::KEEPALIVE;
use crate::gateway::context::InFlight;
use crate::gateway::respond::WRITE_TIMEOUT;
use crate::gateway::service::Course;
use crate::gateway::service::Next;
use crate::gateway::service::Service;
use crate::gateway::service::Stage;
use crate::gateway::service::Stop;
use crate::request::Versions;

/// What Pingora carries from phase to phase.
#[derive(Debug)]
pub struct Exchange {
    service: Arc<Service>,
    course: Course,
}

/// The gateway: built once, borrowed by every request.
#[derive(Debug)]
pub struct Gateway {
    /// Another one after each reload.
    pub service: Arc<ArcSwap<Service>>,
    pub in_flight: Arc<InFlight>,
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange {
            service: self.service.load_full(),
            course: Course::new(&self.in_flight),
        }
    }

    // No module is wanted, and the default one costs a box for each request.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let session = session.as_downstream_mut();
        let head = session.req_header();
        let is_chunked = head.headers.contains_key(http::header::TRANSFER_ENCODING);
        if is_chunked {
            // Where chunks end is not known to wire/downstream.rs, which tells requests apart.
            session.set_keepalive(None);
        } else if session.get_keepalive().is_some() {
            // Pingora's default is to wait for ever. One that asks to be closed, as HTTP/1.0 does by saying nothing, is.
            session.set_keepalive(Some(KEEPALIVE.as_secs()));
        }
        // An upgrade is an offer, which may be ignored (RFC 9110, 7.8); Pingora would watch out for a 101.
        session
            .req_header_mut()
            .remove_header(&http::header::UPGRADE);
        // A location's 1xx are for us.
        session.set_ignore_info_resp(true);
        session.set_write_timeout(Some(WRITE_TIMEOUT));
        let Exchange { service, course } = exchange;
        let headers = &session.req_header().headers;
        course.context.request_id = RequestId::new(headers);
        match service.tracing {
            Some(tracing) => tracing.begin(headers, &mut course.context),
            None => course.context.trace = TraceContext::passed(headers),
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        let session = session.as_downstream_mut();
        let Exchange { service, course } = exchange;
        let answer = match service.receive(session, course).await {
            Ok(Next::Forward(forwarding)) => {
                course.stage = Stage::Forwarding(forwarding);
                // A write that was sent is finished, also if nobody waits for it any longer, and whoever sends nothing
                // more may still read (RFC 9112, 9.6). Who has left is noticed when the answer is written.
                session.set_abort_on_close(false);
                return Ok(false);
            }
            Ok(Next::Answer(answer)) => answer,
            Err(Stop::Trouble(trouble)) => service.rescue(&course.context, trouble),
            Err(Stop::Broken(error)) => return Err(error.into_down()),
        };
        // Whatever goes wrong with writing is the client's doing.
        let written = service.answer(session, course, answer).await;
        written.map_err(PingoraError::into_down)?;
        Ok(true)
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<Box<HttpPeer>> {
        exchange
            .course
            .forwarding()?
            .dial(&exchange.service.federation)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        exchange: &mut Exchange,
        error: Box<PingoraError>,
    ) -> Box<PingoraError> {
        match exchange.course.forwarding() {
            Ok(forwarding) => forwarding.not_connected(&exchange.service.federation, error),
            Err(_) => error,
        }
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        head: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange
            .course
            .forwarding()?
            .dress(&exchange.service.federation, head)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            // Pingora issue 935: an empty last part would be written as a second end.
            *body = None;
        }
        exchange.course.forwarding()?.measure(body.as_ref(), end)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        // Nobody offered an upgrade, so a 101 is no answer; other 1xx are followed by one. Pingora measures silence alone,
        // and each of them ends it.
        if head.status.is_informational() && head.status != http::StatusCode::SWITCHING_PROTOCOLS {
            return exchange.course.forwarding()?.keep_time();
        }
        let replayable = !session.as_downstream().retry_buffer_truncated();
        exchange
            .course
            .forwarding()?
            .judge(&exchange.service.federation, head, replayable)
            .await
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if head.status.is_informational() {
            return Ok(());
        }
        exchange.service.close_while_draining(session);
        let versions = Versions::of(&head.headers);
        let location = exchange
            .course
            .forwarding()?
            .relay_head(&exchange.service.federation, head)?;
        exchange.course.context.location = location;
        if let Some(challenge) = exchange.service.door.challenge(head.status) {
            head.insert_header(http::header::WWW_AUTHENTICATE, challenge)?;
        }
        exchange.service.share(session, head);
        let respond = &exchange.service.respond;
        for (name, value) in respond.signature(&head.headers, &exchange.course.context, versions)? {
            head.insert_header(name, value)?;
        }
        let knows_chunks = session.req_header().version >= http::Version::HTTP_11;
        if !knows_chunks
            && head
                .remove_header(&http::header::TRANSFER_ENCODING)
                .is_some()
        {
            // RFC 9112, 6.1 and 6.3: the body ends with the connection.
            session.set_keepalive(None);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        _end: bool,
        exchange: &mut Exchange,
    ) -> Result<Option<Duration>> {
        exchange.course.forwarding()?.keep_time()?;
        Ok(None)
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<PingoraError>,
        exchange: &mut Exchange,
        reused: bool,
    ) -> Box<PingoraError> {
        let mut error = error.more_context(format!("peer {peer}"));
        if *error.etype() == forward::REPLAY {
            return error;
        }
        let safe = session.req_header().method.is_safe()
            && !session.as_downstream().retry_buffer_truncated();
        if safe {
            error.retry.decide_reuse(reused);
        }
        // Pingora marks so what a stale connection explains. Only what is safe is sent again for that: whether a
        // write was executed there nobody knows.
        if !safe || matches!(error.retry, RetryType::ReusedOnly) {
            error.set_retry(false);
        }
        if *error.esource() == ErrorSource::Upstream
            && !error.retry()
            && let Ok(forwarding) = exchange.course.forwarding()
        {
            forwarding.broken(&error);
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &PingoraError,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        let session = session.as_downstream_mut();
        let Exchange { service, course } = exchange;
        let answer = service.explain(session, error, course).await;
        let error_code = answer.as_ref().map_or(0, |answer| answer.status.as_u16());
        if let Some(answer) = answer.filter(|_| session.response_written().is_none()) {
            // Pingora closes the connection after an attempt upstream: the client is told so.
            session.set_keepalive(None);
            if let Err(error) = service.answer(session, course, answer).await {
                log::debug!("The client did not read the answer: {error}");
            }
        }
        FailToProxy {
            error_code,
            can_reuse_downstream: false,
        }
    }

    fn suppress_error_log(
        &self,
        _session: &Session,
        _exchange: &Exchange,
        _error: &PingoraError,
    ) -> bool {
        // Said once, in the access log.
        true
    }

    async fn logging(
        &self,
        session: &mut Session,
        error: Option<&PingoraError>,
        exchange: &mut Exchange,
    ) {
        let session = session.as_downstream();
        let Exchange { service, course } = exchange;
        course.context.took = course.context.started.elapsed();
        service.count(session, course);
        tracing::record(session, &course.context, &service.federation.locations);
        access_log::record(
            session,
            error,
            &course.context,
            &service.federation.locations,
            service.slow,
        );
        course.done(session);
    }
}
