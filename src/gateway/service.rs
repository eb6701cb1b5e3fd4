//! What becomes of one request: the door, the body, the plan, the answer.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use log::error;
use pingora::Error as PingoraError;
use pingora::ErrorSource;
use pingora::ErrorType;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::api::link::Base;
use crate::auth::access::Judged;
use crate::auth::access::Passage;
use crate::auth::identity::Identity;
use crate::config::Config;
use crate::config::CorsConfig;
use crate::federate;
use crate::federate::Federation;
use crate::federate::dispatch::BodyUse;
use crate::federate::dispatch::body_use;
use crate::federate::objection::Objection;
use crate::federate::plan::Plan;
use crate::gateway::access_log;
use crate::gateway::audit::Audit;
use crate::gateway::audit::Audited;
use crate::gateway::body;
use crate::gateway::body::BodyLimits;
use crate::gateway::compress::Compressing;
use crate::gateway::context::Context;
use crate::gateway::context::InFlight;
use crate::gateway::context::Surroundings;
use crate::gateway::cors::Cors;
use crate::gateway::door::Admitted;
use crate::gateway::door::Door;
use crate::gateway::door::Entry;
use crate::gateway::door::Guard;
use crate::gateway::door::Refusal;
use crate::gateway::forward::Forwarding;
use crate::gateway::rescue;
use crate::gateway::rescue::Names;
use crate::gateway::rescue::Trouble;
use crate::gateway::reservations;
use crate::gateway::respond::Respond;
use crate::gateway::tracing::Tracing;
use crate::locations::question::Body;
use crate::locations::question::Standpoint;
use crate::metrics::template::Template;
use crate::request::Answer;
use crate::request::Request;
use crate::tenancy::serve::serve;
use crate::wire::upload;

/// What is left to put an answer together when the last location was given up.
const SPARE: Duration = Duration::from_millis(500);
/// How long a client is served that has said that it sends nothing more. It may still read (RFC 9112, 9.6: `nc -N`), or
/// have left: the kernel tells the two apart only when something is written.
const HALF_CLOSED: Duration = Duration::from_secs(2);

/// Where a request is.
#[derive(Debug)]
pub(super) enum Stage {
    Received,
    /// On its way through Pingora's proxy.
    Forwarding(Box<Forwarding>),
    /// Our answer is written, or nobody is left to read it.
    Answered,
}

/// One request on its way.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) context: Context,
    pub(super) stage: Stage,
    /// Its record, if there is to be one.
    audited: Option<Box<Audited>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Course {
    pub(super) fn new(in_flight: &Arc<InFlight>) -> Self {
        Self {
            context: Context::new(in_flight),
            stage: Stage::Received,
            audited: None,
            permit: None,
        }
    }

    /// The request has come to its end.
    pub(super) fn done(&mut self, session: &ServerSession) {
        self.permit = None;
        if let Some(audited) = self.audited.take() {
            let written = session.response_written();
            audited.end(written.map_or(0, |head| head.status.as_u16()));
        }
    }

    pub(super) fn forwarding(&mut self) -> Result<&mut Forwarding> {
        match &mut self.stage {
            Stage::Forwarding(forwarding) => Ok(forwarding),
            Stage::Received | Stage::Answered => {
                Err(PingoraError::new_in(ErrorType::InternalError))
            }
        }
    }
}

/// What becomes of a request next.
pub(super) enum Next {
    Answer(Answer),
    Forward(Box<Forwarding>),
}

/// Why nothing becomes of it: the client is to be told, or is gone.
pub(super) enum Stop {
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

/// All that one configuration makes of the gateway. Requests that came before a reload end with the one that they began
/// with.
#[derive(Debug)]
pub struct Service {
    pub federation: Arc<Federation>,
    pub door: Door,
    permits: Arc<Semaphore>,
    max_in_flight: usize,
    pub(super) respond: Respond,
    cors: Option<CorsConfig>,
    audit: Option<Arc<Audit>>,
    /// `[trace]`
    pub(super) tracing: Option<Tracing>,
    surroundings: Arc<Surroundings>,
    /// `[api] slow_request`
    pub(super) slow: Option<Duration>,
}

impl Service {
    pub fn new(
        config: &Config,
        federation: Arc<Federation>,
        guard: Guard,
        surroundings: Arc<Surroundings>,
        before: Option<&Self>,
    ) -> Self {
        let max_in_flight = config.api.max_in_flight;
        let same = before.filter(|before| before.max_in_flight == max_in_flight);
        Self {
            door: Door::new(
                config,
                guard,
                Arc::clone(&federation.locations),
                &surroundings,
                before.map(|before| &before.door),
            ),
            respond: Respond {
                locations: Arc::clone(&federation.locations),
                retry_after: config.api.retry_after,
                compressing: config.api.gzip.map(|least| Compressing { least }),
            },
            cors: config.cors.clone(),
            audit: config
                .audit
                .clone()
                .map(|config| Arc::new(Audit { config })),
            tracing: config
                .trace
                .as_ref()
                .map(|trace| Tracing { ratio: trace.ratio }),
            federation,
            permits: same.map_or_else(
                || Arc::new(Semaphore::new(max_in_flight)),
                |before| Arc::clone(&before.permits),
            ),
            max_in_flight,
            surroundings,
            slow: config.api.slow_request,
        }
    }

    /// Who may come in makes its address known.
    fn vouch(&self, session: &ServerSession, context: &Context) {
        let known = context
            .identity
            .as_ref()
            .is_some_and(|identity| *identity != Identity::Anonymous);
        if let Some(address) = access_log::client(session).filter(|_| known) {
            self.surroundings.crowd.vouch(address, context.started);
        }
    }

    /// From the head of a request to what becomes of it.
    pub(super) async fn receive(
        &self,
        session: &mut ServerSession,
        course: &mut Course,
    ) -> std::result::Result<Next, Stop> {
        let Admitted {
            mut request,
            mut passage,
            limits,
        } = match self.enter(session, course).await? {
            Entry::Admitted(admitted) => *admitted,
            Entry::Answered(answer) => return Ok(Next::Answer(answer)),
        };
        let is_judged = matches!(passage, Passage::ByThing(_));
        let mut feed = None;
        self.vouch(session, &course.context);
        let body_use = body_use(&request.method, &request.target.route);
        // Most requests have none.
        let started = (body_use != BodyUse::None).then(Instant::now);
        let is_strangers = request.asker.standing == Standpoint::Anonymous;
        let held = || self.surroundings.incoming.body(is_strangers);
        request.body = match body_use {
            BodyUse::None | BodyUse::Proxied => Body::None,
            // What is judged has to be known.
            _ if is_judged => body::read(session, limits, held()).await??.into(),
            BodyUse::Streamed if !body::is_small(session) => {
                let (sender, upload) = upload::channel(body::length(session));
                feed = Some(sender);
                Body::Streamed(Arc::new(upload))
            }
            BodyUse::Streamed | BodyUse::Read => body::read(session, limits, held()).await??.into(),
        };
        self.door.check_media(&request)?;
        // How long a client takes to send is its own affair.
        request.asker.deadline += started.map_or(Duration::ZERO, |started| started.elapsed());
        let identity = course.context.identity.clone();
        if !is_judged {
            passage = self.door.check_patch(&request, identity.as_ref())?;
        }
        // Work begins: nothing was held while the client was waited for, or while it was found out who it is. A body that
        // is handed on while it comes in is bounded at its location.
        if feed.is_none() {
            match Arc::clone(&self.permits).try_acquire_owned() {
                Ok(permit) => course.permit = Some(permit),
                Err(_) => return Err(Trouble::Busy.into()),
            }
        }
        let mut negotiated = false;
        let plan = loop {
            let tenant = match &passage {
                Passage::ByThing(judged) => identity.as_ref().map(|identity| (identity, judged)),
                Passage::Whole => None,
            };
            let planned = self.plan(session, (&request, limits), tenant, feed.take());
            match planned.await {
                // Nothing was executed: the client's wish is read anew against the range that there is now.
                Err(Stop::Trouble(Trouble::Federation(error)))
                    if error.is_outdated() && !negotiated && request.body.is_at_hand().await =>
                {
                    negotiated = true;
                    let headers = &session.req_header().headers;
                    self.door
                        .negotiate_again(headers, &mut request, &mut course.context)?;
                }
                // Nothing was sent. Where locations judge, none has: what others have is told to whom the rules of this
                // gateway would let, thing by thing if need be.
                Err(Stop::Trouble(Trouble::Federation(error)))
                    if error.is_about_others()
                        && !error.was_judged()
                        && matches!(passage, Passage::Whole) =>
                {
                    passage = self.door.judge_anew(&request, identity.as_ref())?;
                    if matches!(passage, Passage::Whole) {
                        return Err(Trouble::from(error).into());
                    }
                }
                planned => break planned?,
            }
        };
        match plan {
            Plan::Answer(answer) => Ok(Next::Answer(answer)),
            Plan::Forward(forward) => {
                // From here on the client sets the pace: what is forwarded is bounded at its location.
                course.permit = None;
                let prepared = Forwarding::prepare(&self.federation, request, forward, limits);
                let prepared = prepared.await?;
                // No location is told of it, so none would.
                body::go_on(session).await?;
                Ok(Next::Forward(Box::new(prepared)))
            }
        }
    }

    async fn enter(
        &self,
        session: &ServerSession,
        course: &mut Course,
    ) -> std::result::Result<Entry, Refusal> {
        let context = &mut course.context;
        let entered = self.door.enter(session, context).await;
        if let Some(audit) = &self.audit {
            // As within Ironic: behind authentication, and beside /healthcheck.
            let is_public = matches!(entered, Ok(Entry::Admitted(_)))
                || (matches!(entered, Ok(Entry::Answered(_)))
                    && context.template != Template::HEALTHCHECK
                    && session.req_header().method != http::Method::OPTIONS);
            if context.identity.is_some() || is_public {
                let base = self.door.base(session);
                let base = base.as_ref().map(Base::as_str);
                course.audited = audit.begin(session, context, base);
            }
        }
        entered
    }

    /// Dispatches a request while its client is listened to: for the rest of its body, or for its leaving.
    async fn plan(
        &self,
        session: &mut ServerSession,
        (request, limits): (&Request, BodyLimits),
        tenant: Option<(&Identity, &Judged)>,
        feed: Option<upload::Feed>,
    ) -> std::result::Result<Plan, Stop> {
        let dispatch = async {
            match tenant {
                None => self.federation.dispatch(request).await,
                Some((identity, judged)) => {
                    let served = serve(&self.federation, request, identity, judged).await;
                    self.count_hidden(&served, judged);
                    served
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
            // What is done is done: neither the clock nor the client is looked at again when the answer has come.
            biased;
            planned = &mut dispatched => Ok(planned?),
            () = tokio::time::sleep_until(deadline.into()) => Err(Trouble::Deadline.into()),
            // The client left: its questions are dropped, and with them their connections.
            left = left(session) => Err(left.into()),
        }
    }

    pub(super) async fn answer(
        &self,
        session: &mut ServerSession,
        course: &mut Course,
        mut answer: Answer,
    ) -> Result<()> {
        if let Some(challenge) = self.door.challenge(answer.status) {
            answer
                .headers
                .insert(http::header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(cors) = self.cors(session) {
            cors.answer(&mut answer);
        }
        course.stage = Stage::Answered;
        self.close_while_draining(session);
        // The work is done; the client may take its time.
        course.permit = None;
        self.count_reservations(&answer);
        let context = &mut course.context;
        let names = Names {
            locations: &self.federation.locations,
            are_hidden: context.hides_location,
        };
        reservations::announce(names, &mut answer);
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

    fn cors<'a>(&'a self, session: &'a ServerSession) -> Option<Cors<'a>> {
        let asked = session.req_header();
        Some(Cors {
            config: self.cors.as_ref()?,
            method: &asked.method,
            asked: &asked.headers,
        })
    }

    /// What browsers need to know of an answer that is passed on.
    pub(super) fn share(&self, session: &ServerSession, head: &mut ResponseHeader) {
        let Some(cors) = self.cors(session) else {
            return;
        };
        let mut shared = http::HeaderMap::new();
        cors.head(&mut shared);
        for (name, value) in &shared {
            // A name of our own and a value that was one: it cannot fail.
            let _ = head.append_header(name, value);
        }
    }

    /// No client is to send another request where nobody will be.
    pub(super) fn close_while_draining(&self, session: &mut ServerSession) {
        if self.surroundings.lifecycle.stage().is_draining() {
            session.set_keepalive(None);
        }
    }

    /// What the answer lacks.
    fn count_reservations(&self, answer: &Answer) {
        let Some(reservations) = &answer.reservations else {
            return;
        };
        if reservations.is_uncoordinated || !reservations.unverified.is_empty() {
            self.surroundings.metrics.unverified.bump();
        }
        for (location, _) in &reservations.missing {
            let location = self.federation.locations.location(*location);
            location.traffic.missing.bump();
        }
    }

    /// The request has come to its end.
    pub(super) fn count(&self, session: &ServerSession, course: &Course) {
        let status = session
            .response_written()
            .map_or(0, |head| head.status.as_u16());
        let context = &course.context;
        let method = &session.req_header().method;
        let requests = &self.surroundings.metrics.requests;
        requests.count(context.template, method, status, context.took);
    }

    pub(super) fn rescue(&self, context: &Context, trouble: Trouble) -> Answer {
        if let Some(rule) = trouble.denied_by() {
            self.surroundings.metrics.denials.bump(rule);
        }
        if let Some(limited) = trouble.limited_by() {
            self.surroundings.metrics.limited.bump(limited.by);
        }
        let names = Names {
            locations: &self.federation.locations,
            are_hidden: context.hides_location,
        };
        rescue::rescue(names, trouble)
    }

    /// What is hidden from somebody is denied, whatever the answer calls it.
    fn count_hidden(&self, served: &std::result::Result<Plan, federate::Error>, judged: &Judged) {
        let is_counted = |error: &federate::Error| {
            matches!(error, federate::Error::Objection(Objection::Denied(_)))
        };
        if let (Err(error), Some(rule)) = (served, judged.denied.get())
            && !is_counted(error)
        {
            self.surroundings.metrics.denials.bump(rule);
        }
    }

    /// What the client is told when proxying failed; nothing if it is gone.
    pub(super) async fn explain(
        &self,
        session: &ServerSession,
        error: &PingoraError,
        course: &mut Course,
    ) -> Option<Answer> {
        if *error.esource() == ErrorSource::Downstream {
            return rescue::of_client(error).map(|trouble| self.rescue(&course.context, trouble));
        }
        if let Stage::Forwarding(forwarding) = &mut course.stage {
            let body = session.get_retry_buffer();
            let truncated = session.retry_buffer_truncated();
            let explained = forwarding
                .explain(&self.federation, error, body.filter(|_| !truncated))
                .await;
            return Some(explained.unwrap_or_else(|trouble| self.rescue(&course.context, trouble)));
        }
        error!("A request failed within the gateway: {error}");
        Some(self.rescue(&course.context, Trouble::Internal))
    }
}

/// Until a client that has sent its request can be given up.
async fn left(session: &mut ServerSession) -> Box<PingoraError> {
    match session.read_body_or_idle(true).await {
        Ok(_) => PingoraError::new_down(ErrorType::ConnectionClosed),
        Err(error) => {
            if *error.etype() == ErrorType::ConnectionClosed {
                tokio::time::sleep(HALF_CLOSED).await;
            }
            error
        }
    }
}
