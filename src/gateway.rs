//! The front: Pingora's phases, each handed on to the room that knows.

pub mod access_log;
pub mod door;
pub mod forward;
pub mod rescue;
pub mod respond;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use log::error;
use pingora::Error as PingoraError;
use pingora::ErrorSource;
use pingora::ErrorType;
use pingora::Result;
use pingora::RetryType;
use pingora::http::RequestHeader;
use pingora::http::ResponseHeader;
use pingora::modules::http::HttpModules;
use pingora::upstreams::peer::HttpPeer;
use pingora_proxy::FailToProxy;
use pingora_proxy::ProxyHttp;
use pingora_proxy::Session;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::api::fault::Fault;
use crate::api::header::RequestId;
use crate::api::microversion::Microversion;
use crate::api::microversion::VersionRange;
use crate::auth::Authenticator;
use crate::auth::access::Gate;
use crate::auth::identity::Identity;
use crate::config::Config;
use crate::config::LocationId;
use crate::federate::Federation;
use crate::federate::dispatch::BodyUse;
use crate::federate::dispatch::Plan;
use crate::federate::dispatch::body_use;
use crate::gateway::door::Admitted;
use crate::gateway::door::Door;
use crate::gateway::forward::Forwarding;
use crate::request::Answer;
use crate::request::Versions;
use crate::wire::transport::Transport;

/// Seconds that an idle client connection is kept.
const KEEPALIVE: u64 = 65;
/// A client that takes longer for a part of an answer is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an unwanted body that are read so that the connection can be used again.
const DRAINED: u64 = 64 << 10;

/// Requests that are being served.
#[derive(Debug, Default)]
pub struct InFlight(AtomicUsize);

impl InFlight {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

/// One of them; counted until it is dropped, however the request ends.
#[derive(Debug)]
struct Served(Arc<InFlight>);

impl Served {
    fn new(all: &Arc<InFlight>) -> Self {
        all.0.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(all))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Where a request is.
#[derive(Debug)]
enum Stage {
    Received,
    /// On its way through Pingora's proxy.
    Forwarding(Box<Forwarding>),
    /// Our answer is written, or nobody is left to read it.
    Answered,
}

/// One request.
#[derive(Debug)]
pub struct Context {
    started: Instant,
    request_id: RequestId,
    identity: Option<Identity>,
    /// What the version headers of the answer say.
    versions: Option<(VersionRange, Option<Microversion>)>,
    /// The one location that answers.
    location: Option<LocationId>,
    stage: Stage,
    permit: Option<OwnedSemaphorePermit>,
    _served: Served,
}

/// The gateway: built once, borrowed by every request.
#[derive(Debug)]
pub struct Gateway {
    pub federation: Arc<Federation>,
    door: Door,
    authenticator: Arc<Authenticator>,
    gate: Gate,
    transport: Arc<Transport>,
    permits: Arc<Semaphore>,
    pub in_flight: Arc<InFlight>,
}

impl Gateway {
    pub fn new(
        config: &Config,
        federation: Arc<Federation>,
        authenticator: Arc<Authenticator>,
    ) -> Self {
        Self {
            door: Door::new(config),
            gate: Gate::new(&config.auth),
            authenticator,
            federation,
            transport: Arc::new(Transport::new(128)),
            permits: Arc::new(Semaphore::new(config.api.max_in_flight)),
            in_flight: Arc::default(),
        }
    }

    /// From the head of a request to a plan; what is answered right away, refusals included, is an answer.
    async fn receive(&self, session: &mut Session, context: &mut Context) -> Result<Option<Plan>> {
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => context.permit = Some(permit),
            Err(_) => return Ok(Some(Plan::Answer(respond::busy()))),
        }
        let Admitted { request, limits } = match self.door.enter(self, session, context).await {
            Ok(admitted) => admitted,
            Err(answer) => return Ok(Some(Plan::Answer(*answer))),
        };
        let body = match body_use(&request.method, &request.target.route) {
            BodyUse::Streamed => Bytes::new(),
            BodyUse::Read => match respond::read_body(session, limits).await? {
                Ok(body) => body,
                Err(fault) => return Ok(Some(Plan::Answer(respond::fault(&fault)))),
            },
        };
        if let Err(fault) = self.door.check_patch(self, &request, context, &body) {
            return Ok(Some(Plan::Answer(respond::fault(&fault))));
        }
        // A body that comes with a question may be meant for the location.
        let planned = if request.method.is_safe() && session.is_body_empty() {
            tokio::select! {
                planned = Box::pin(self.federation.dispatch(&request, &body)) => planned,
                // The client left: its questions are dropped, and with them their connections.
                left = session.downstream_session.read_body_or_idle(true) => {
                    return match left {
                        Err(error) => Err(error),
                        Ok(_) => Err(PingoraError::new_down(ErrorType::ConnectionClosed)),
                    };
                }
            }
        } else {
            Box::pin(self.federation.dispatch(&request, &body)).await
        };
        match planned {
            Ok(Plan::Forward(forward)) => {
                match Forwarding::prepare(&self.federation, request, forward, limits).await {
                    Ok(forwarding) => {
                        context.stage = Stage::Forwarding(Box::new(forwarding));
                        Ok(None)
                    }
                    Err(error) => Ok(Some(Plan::Answer(rescue::rescue(
                        &self.federation.locations,
                        error,
                    )))),
                }
            }
            Ok(answer) => Ok(Some(answer)),
            Err(error) => Ok(Some(Plan::Answer(rescue::rescue(
                &self.federation.locations,
                error,
            )))),
        }
    }

    async fn answer(
        &self,
        session: &mut Session,
        context: &mut Context,
        mut answer: Answer,
    ) -> Result<()> {
        if let Some(challenge) = self.challenge(answer.status) {
            answer
                .headers
                .insert(http::header::WWW_AUTHENTICATE, challenge);
        }
        context.location = answer.location;
        context.stage = Stage::Answered;
        respond::write(session, context, &self.federation.locations, answer).await
    }
}

impl Gateway {
    /// Whatever 401 a client gets, it is we who tell where tokens come from: a location knows only its own side.
    fn challenge(&self, status: http::StatusCode) -> Option<http::HeaderValue> {
        (status == http::StatusCode::UNAUTHORIZED)
            .then(|| self.authenticator.challenge())
            .flatten()
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context {
            started: Instant::now(),
            request_id: RequestId::default(),
            identity: None,
            versions: None,
            location: None,
            stage: Stage::Received,
            permit: None,
            _served: Served::new(&self.in_flight),
        }
    }

    // No module is wanted, and the default one costs a box for each request.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(
        &self,
        session: &mut Session,
        context: &mut Context,
    ) -> Result<()> {
        // Pingora's default is to wait for ever.
        session.set_keepalive(Some(KEEPALIVE));
        session.set_write_timeout(Some(WRITE_TIMEOUT));
        context.request_id = RequestId::new(&session.req_header().headers);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> Result<bool> {
        match self.receive(session, context).await? {
            Some(Plan::Answer(answer)) => {
                if answer.status == http::StatusCode::NOT_ACCEPTABLE {
                    // A location may have told of another range just now.
                    let common = self.federation.locations.common();
                    context.versions = context
                        .versions
                        .and_then(|(_, spoken)| Some((common?, spoken)));
                }
                self.answer(session, context, answer).await?;
                Ok(true)
            }
            Some(Plan::Forward(_)) => Err(PingoraError::new_in(ErrorType::InternalError)),
            None => {
                // A write that was sent is finished, also if nobody waits for it any longer.
                let safe = session.req_header().method.is_safe();
                session.as_downstream_mut().set_abort_on_close(safe);
                Ok(false)
            }
        }
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        context: &mut Context,
    ) -> Result<Box<HttpPeer>> {
        context.forwarding()?.dial(&self.federation)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        context: &mut Context,
        error: Box<PingoraError>,
    ) -> Box<PingoraError> {
        match context.forwarding() {
            Ok(forwarding) => forwarding.not_connected(&self.federation, error),
            Err(_) => error,
        }
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        head: &mut RequestHeader,
        context: &mut Context,
    ) -> Result<()> {
        context.forwarding()?.dress(&self.federation, head)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        context: &mut Context,
    ) -> Result<()> {
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            // Pingora issue 935: an empty last part would be written as a second end.
            *body = None;
        }
        context.forwarding()?.measure(body.as_ref(), end)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        context: &mut Context,
    ) -> Result<()> {
        if head.status.is_informational() {
            return Ok(());
        }
        let replayable = !session.as_downstream().retry_buffer_truncated();
        context
            .forwarding()?
            .judge(&self.federation, head, replayable)
            .await
    }

    async fn response_filter(
        &self,
        _session: &mut Session,
        head: &mut ResponseHeader,
        context: &mut Context,
    ) -> Result<()> {
        if head.status.is_informational() {
            return Ok(());
        }
        let versions = Versions::of(&head.headers);
        context.location = context.forwarding()?.relay_head(&self.federation, head)?;
        if let Some(challenge) = self.challenge(head.status) {
            head.insert_header(http::header::WWW_AUTHENTICATE, challenge)?;
        }
        respond::sign(head, context, &self.federation.locations, versions)
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        _end: bool,
        context: &mut Context,
    ) -> Result<Option<Duration>> {
        context.forwarding()?.relay_body()?;
        Ok(None)
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<PingoraError>,
        context: &mut Context,
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
        if !safe || matches!(error.retry, RetryType::ReusedOnly) {
            error.set_retry(false);
        }
        if *error.esource() == ErrorSource::Upstream
            && !error.retry()
            && let Ok(forwarding) = context.forwarding()
        {
            forwarding.broken(&self.federation, &error);
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &PingoraError,
        context: &mut Context,
    ) -> FailToProxy {
        let answer = self.explain(session, error, context).await;
        let error_code = answer.as_ref().map_or(0, |answer| answer.status.as_u16());
        if let Some(answer) = answer.filter(|_| session.response_written().is_none()) {
            // Pingora closes the connection after an attempt upstream: the client is told so.
            session.set_keepalive(None);
            if let Err(error) = self.answer(session, context, answer).await {
                log::debug!("The client did not take the answer: {error}");
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
        _context: &Context,
        _error: &PingoraError,
    ) -> bool {
        // Said once, in the access log.
        true
    }

    async fn logging(
        &self,
        session: &mut Session,
        error: Option<&PingoraError>,
        context: &mut Context,
    ) {
        access_log::record(session, error, context, &self.federation.locations);
        context.permit = None;
    }
}

impl Gateway {
    /// What the client is told when proxying failed; nothing if it is gone.
    async fn explain(
        &self,
        session: &Session,
        error: &PingoraError,
        context: &mut Context,
    ) -> Option<Answer> {
        if *error.esource() == ErrorSource::Downstream {
            return match error.etype() {
                ErrorType::ConnectionClosed
                | ErrorType::ReadError
                | ErrorType::WriteError
                | ErrorType::WriteTimedout => None,
                ErrorType::ReadTimedout => Some(respond::fault(&Fault::new(
                    http::StatusCode::REQUEST_TIMEOUT,
                    "The request did not arrive in time.",
                ))),
                _ => Some(respond::fault(&Fault::bad_request(
                    "The request is not valid HTTP.",
                ))),
            };
        }
        if let Stage::Forwarding(forwarding) = &mut context.stage {
            let body = session.as_downstream().get_retry_buffer();
            let truncated = session.as_downstream().retry_buffer_truncated();
            return Some(
                forwarding
                    .explain(&self.federation, error, body.filter(|_| !truncated))
                    .await,
            );
        }
        error!("A request failed within the gateway: {error}");
        let fault = Fault::new(
            http::StatusCode::INTERNAL_SERVER_ERROR,
            "The gateway failed to serve the request.",
        );
        Some(respond::fault(&fault))
    }
}

impl Context {
    fn forwarding(&mut self) -> Result<&mut Forwarding> {
        match &mut self.stage {
            Stage::Forwarding(forwarding) => Ok(forwarding),
            Stage::Received | Stage::Answered => {
                Err(PingoraError::new_in(ErrorType::InternalError))
            }
        }
    }
}
