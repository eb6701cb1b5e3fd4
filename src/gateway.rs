//! The front: the phases of Pingora's proxy, each delegated to the file that implements it.

pub mod access_log;
pub mod arrival;
pub mod body;
pub mod connection;
pub mod context;
pub mod crowd;
pub mod door;
pub mod endpoint;
pub mod explain;
pub mod forward;
pub mod framing;
pub mod health;
pub mod rescue;
pub mod respond;

use std::sync::Arc;
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

use crate::api::header::RequestId;
use crate::auth::access::Judged;
use crate::auth::access::Passage;
use crate::auth::identity::Identity;
use crate::config::Config;
use crate::federate::Federation;
use crate::federate::dispatch::BodyUse;
use crate::federate::dispatch::body_use;
use crate::federate::plan::Plan;
use crate::gateway::body::BodyLimits;
use crate::gateway::connection::KEEPALIVE;
use crate::gateway::context::Context;
use crate::gateway::context::InFlight;
use crate::gateway::context::Surroundings;
use crate::gateway::door::Admitted;
use crate::gateway::door::Door;
use crate::gateway::door::Entry;
use crate::gateway::door::Guard;
use crate::gateway::forward::Forwarding;
use crate::gateway::rescue::Trouble;
use crate::gateway::respond::Respond;
use crate::lifecycle;
use crate::locations::question::Body;
use crate::request::Answer;
use crate::request::Request;
use crate::request::Versions;
use crate::tenancy::serve::serve;
use crate::wire::upload;

/// What is left to put an answer together when the last location was given up.
const SPARE: Duration = Duration::from_millis(500);
/// A client that takes longer for a part of an answer is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a request is.
#[derive(Debug)]
enum Stage {
    Received,
    /// On its way through Pingora's proxy.
    Forwarding(Box<Forwarding>),
    /// Our answer is written, or nobody is left to read it.
    Answered,
}

/// What Pingora carries from phase to phase.
#[derive(Debug)]
pub struct Exchange {
    context: Context,
    stage: Stage,
    permit: Option<OwnedSemaphorePermit>,
}

impl Exchange {
    fn forwarding(&mut self) -> Result<&mut Forwarding> {
        match &mut self.stage {
            Stage::Forwarding(forwarding) => Ok(forwarding),
            Stage::Received | Stage::Answered => {
                Err(PingoraError::new_in(ErrorType::InternalError))
            }
        }
    }
}

/// What becomes of a request next.
enum Next {
    Answer(Answer),
    Forward(Box<Forwarding>),
}

/// Why nothing becomes of it: the client is to be told, or is gone.
enum Stop {
    Trouble(Trouble),
    Broken(Box<PingoraError>),
}

impl<T: Into<Trouble>> From<T> for Stop {
    fn from(trouble: T) -> Self {
        Self::Trouble(trouble.into())
    }
}

impl From<Box<PingoraError>> for Stop {
    fn from(error: Box<PingoraError>) -> Self {
        Self::Broken(error)
    }
}

/// The gateway: built once, borrowed by every request.
#[derive(Debug)]
pub struct Gateway {
    federation: Arc<Federation>,
    door: Arc<Door>,
    permits: Arc<Semaphore>,
    respond: Respond,
    in_flight: Arc<InFlight>,
    surroundings: Surroundings,
}

impl Gateway {
    pub fn new(
        config: &Config,
        federation: Arc<Federation>,
        guard: Guard,
        surroundings: Surroundings,
    ) -> Self {
        Self {
            door: Arc::new(Door::new(
                config,
                guard,
                Arc::clone(&federation.locations),
                &surroundings,
            )),
            respond: Respond {
                locations: Arc::clone(&federation.locations),
                retry_after: config.api.retry_after,
            },
            federation,
            permits: Arc::new(Semaphore::new(config.api.max_in_flight)),
            in_flight: Arc::default(),
            surroundings,
        }
    }

    pub fn federation(&self) -> Arc<Federation> {
        Arc::clone(&self.federation)
    }

    pub fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    pub fn door(&self) -> Arc<Door> {
        Arc::clone(&self.door)
    }

    pub fn in_flight(&self) -> Arc<InFlight> {
        Arc::clone(&self.in_flight)
    }

    /// Who may come in makes its address known.
    fn vouch(&self, session: &Session, context: &Context) {
        let known = context
            .identity
            .as_ref()
            .is_some_and(|identity| *identity != Identity::Anonymous);
        if let Some(address) = access_log::client(session).filter(|_| known) {
            self.surroundings.crowd.vouch(address, context.started);
        }
    }

    /// From the head of a request to what becomes of it.
    async fn receive(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> std::result::Result<Next, Stop> {
        let Admitted {
            mut request,
            mut passage,
            limits,
        } = match self.door.enter(session, &mut exchange.context).await? {
            Entry::Admitted(admitted) => *admitted,
            Entry::Answered(answer) => return Ok(Next::Answer(answer)),
        };
        let is_judged = matches!(passage, Passage::ByThing(_));
        let mut feed = None;
        let started = Instant::now();
        self.vouch(session, &exchange.context);
        request.body = match body_use(&request.method, &request.target.route) {
            BodyUse::None => Body::None,
            // What is judged has to be known.
            _ if is_judged => body::read(session, limits).await??.into(),
            BodyUse::Proxied => Body::None,
            BodyUse::Streamed if !body::is_small(session) => {
                let (sender, upload) = upload::channel(body::length(session));
                feed = Some(sender);
                Body::Streamed(Arc::new(upload))
            }
            BodyUse::Streamed | BodyUse::Read => body::read(session, limits).await??.into(),
        };
        self.door.check_media(&request)?;
        // How long a client takes to send is its own affair.
        request.asker.deadline += started.elapsed();
        let identity = exchange.context.identity.clone();
        if !is_judged {
            passage = self.door.check_patch(&request, identity.as_ref())?;
        }
        // Work begins: nothing was held while the client was waited for, or while it was found out who it is. A body that
        // is handed on while it comes in is bounded at its location.
        if feed.is_none() {
            match Arc::clone(&self.permits).try_acquire_owned() {
                Ok(permit) => exchange.permit = Some(permit),
                Err(_) => return Err(Trouble::Busy.into()),
            }
        }
        let tenant = match &passage {
            Passage::ByThing(judged) => identity.as_ref().map(|identity| (identity, judged)),
            Passage::Whole => None,
        };
        let mut negotiated = false;
        let plan = loop {
            let planned = self.plan(session, (&request, limits), tenant, feed.take());
            match planned.await {
                // Nothing was executed: the client's wish is read anew against the range that there is now.
                Err(Stop::Trouble(Trouble::Federation(error)))
                    if error.is_outdated() && !negotiated && request.body.is_at_hand().await =>
                {
                    negotiated = true;
                    let headers = &session.req_header().headers;
                    self.door
                        .negotiate_again(headers, &mut request, &mut exchange.context)?;
                }
                planned => break planned?,
            }
        };
        match plan {
            Plan::Answer(answer) => Ok(Next::Answer(answer)),
            Plan::Forward(forward) => {
                let prepared = Forwarding::prepare(&self.federation, request, forward, limits);
                Ok(Next::Forward(Box::new(prepared.await?)))
            }
        }
    }

    /// Dispatches a request while its client is listened to: for the rest of its body, or for its leaving.
    async fn plan(
        &self,
        session: &mut Session,
        (request, limits): (&Request, BodyLimits),
        tenant: Option<(&Identity, &Judged)>,
        feed: Option<upload::Feed>,
    ) -> std::result::Result<Plan, Stop> {
        let dispatch = async {
            match tenant {
                None => self.federation.dispatch(request).await,
                Some((identity, judged)) => {
                    let served = serve(&self.federation, request, identity, judged);
                    served.await.map(Plan::Answer)
                }
            }
        };
        let mut dispatched = Box::pin(dispatch);
        if let Some(feed) = feed {
            return tokio::select! {
                biased;
                fed = body::feed(session, limits, feed) => {
                    fed??;
                    Ok(dispatched.await?)
                }
                planned = &mut dispatched => Ok(planned?),
            };
        }
        // A body that comes with a question may be meant for the location.
        if !request.method.is_safe() || !session.is_body_empty() {
            return Ok(dispatched.await?);
        }
        let deadline = request.asker.deadline + SPARE;
        tokio::select! {
            planned = &mut dispatched => Ok(planned?),
            () = tokio::time::sleep_until(deadline.into()) => Err(Trouble::Deadline.into()),
            // The client left: its questions are dropped, and with them their connections.
            left = session.downstream_session.read_body_or_idle(true) => {
                left?;
                Err(PingoraError::new_down(ErrorType::ConnectionClosed).into())
            }
        }
    }

    async fn answer(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        mut answer: Answer,
    ) -> Result<()> {
        if let Some(challenge) = self.door.challenge(answer.status) {
            answer
                .headers
                .insert(http::header::WWW_AUTHENTICATE, challenge);
        }
        exchange.stage = Stage::Answered;
        self.close_while_draining(session);
        // The work is done; the client may take its time.
        exchange.permit = None;
        let context = &mut exchange.context;
        context.location = answer.location;
        if answer.status == http::StatusCode::NOT_ACCEPTABLE {
            // A location may have told of another range just now.
            let range = self.federation.locations.range(context.pinned);
            context.versions = context
                .versions
                .and_then(|(_, spoken)| Some((range?, spoken)));
        }
        self.respond.write(session, context, answer).await
    }

    /// No client is to send another request where nobody will be.
    fn close_while_draining(&self, session: &mut Session) {
        if self.surroundings.lifecycle.stage() == lifecycle::Stage::Draining {
            session.set_keepalive(None);
        }
    }

    fn rescue(&self, trouble: Trouble) -> Answer {
        rescue::rescue(&self.federation.locations, trouble)
    }

    /// What the client is told when proxying failed; nothing if it is gone.
    async fn explain(
        &self,
        session: &Session,
        error: &PingoraError,
        exchange: &mut Exchange,
    ) -> Option<Answer> {
        if *error.esource() == ErrorSource::Downstream {
            return rescue::of_client(error).map(|trouble| self.rescue(trouble));
        }
        if let Stage::Forwarding(forwarding) = &mut exchange.stage {
            let body = session.as_downstream().get_retry_buffer();
            let truncated = session.as_downstream().retry_buffer_truncated();
            let explained = forwarding
                .explain(&self.federation, error, body.filter(|_| !truncated))
                .await;
            return Some(explained.unwrap_or_else(|trouble| self.rescue(trouble)));
        }
        error!("A request failed within the gateway: {error}");
        Some(self.rescue(Trouble::Internal))
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange {
            context: Context::new(&self.in_flight),
            stage: Stage::Received,
            permit: None,
        }
    }

    // No module is wanted, and the default one costs a box for each request.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if session
            .req_header()
            .headers
            .contains_key(http::header::TRANSFER_ENCODING)
        {
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
        session.as_downstream_mut().set_ignore_info_resp(true);
        session.set_write_timeout(Some(WRITE_TIMEOUT));
        exchange.context.request_id = RequestId::new(&session.req_header().headers);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        let answer = match self.receive(session, exchange).await {
            Ok(Next::Forward(forwarding)) => {
                exchange.stage = Stage::Forwarding(forwarding);
                // A write that was sent is finished, also if nobody waits for it any longer.
                let safe = session.req_header().method.is_safe();
                session.as_downstream_mut().set_abort_on_close(safe);
                return Ok(false);
            }
            Ok(Next::Answer(answer)) => answer,
            Err(Stop::Trouble(trouble)) => self.rescue(trouble),
            Err(Stop::Broken(error)) => return Err(error.into_down()),
        };
        // Whatever goes wrong with writing is the client's doing.
        let written = self.answer(session, exchange, answer).await;
        written.map_err(PingoraError::into_down)?;
        Ok(true)
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<Box<HttpPeer>> {
        exchange.forwarding()?.dial(&self.federation)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        exchange: &mut Exchange,
        error: Box<PingoraError>,
    ) -> Box<PingoraError> {
        match exchange.forwarding() {
            Ok(forwarding) => forwarding.not_connected(&self.federation, error),
            Err(_) => error,
        }
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        head: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        exchange.forwarding()?.dress(&self.federation, head)
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
        exchange.forwarding()?.measure(body.as_ref(), end)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        // Nobody offered an upgrade, so a 101 is no answer; other 1xx are followed by one.
        if head.status.is_informational() && head.status != http::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        let replayable = !session.as_downstream().retry_buffer_truncated();
        exchange
            .forwarding()?
            .judge(&self.federation, head, replayable)
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
        self.close_while_draining(session);
        let versions = Versions::of(&head.headers);
        let location = exchange.forwarding()?.relay_head(&self.federation, head)?;
        exchange.context.location = location;
        if let Some(challenge) = self.door.challenge(head.status) {
            head.insert_header(http::header::WWW_AUTHENTICATE, challenge)?;
        }
        self.respond.sign(head, &exchange.context, versions)
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        _end: bool,
        exchange: &mut Exchange,
    ) -> Result<Option<Duration>> {
        exchange.forwarding()?.relay_body()?;
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
        if !safe || matches!(error.retry, RetryType::ReusedOnly) {
            error.set_retry(false);
        }
        if *error.esource() == ErrorSource::Upstream
            && !error.retry()
            && let Ok(forwarding) = exchange.forwarding()
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
        let answer = self.explain(session, error, exchange).await;
        let error_code = answer.as_ref().map_or(0, |answer| answer.status.as_u16());
        if let Some(answer) = answer.filter(|_| session.response_written().is_none()) {
            // Pingora closes the connection after an attempt upstream: the client is told so.
            session.set_keepalive(None);
            if let Err(error) = self.answer(session, exchange, answer).await {
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
        access_log::record(
            session,
            error,
            &exchange.context,
            &self.federation.locations,
        );
        exchange.permit = None;
    }
}
