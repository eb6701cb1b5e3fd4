//! One question to one Ironic: admission, credential, head, peer after peer, and what the outcome means for the breaker.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use http::HeaderValue;
use http::StatusCode;
use log::info;
use log::warn;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::SemaphorePermit;

use crate::api::fault;
use crate::api::header;
use crate::api::json;
use crate::api::microversion::Microversion;
use crate::api::route::path::is_straight;
use crate::api::trace::TRACEPARENT;
use crate::api::trace::TRACESTATE;
use crate::config::LocationAuth;
use crate::locations::credentials::Proof;
use crate::locations::location::Location;
use crate::locations::location::attempt::Attempt;
use crate::locations::location::attempt::Shown;
use crate::locations::order::Act;
use crate::locations::peer::Peer;
use crate::locations::question::Asker;
use crate::locations::question::Body;
use crate::locations::question::Expect;
use crate::locations::question::Pace;
use crate::locations::question::Purpose;
use crate::locations::question::Question;
use crate::locations::question::Standpoint;
use crate::locations::silence::Reason;
use crate::locations::silence::Silence;
use crate::locations::speech::Heard;
use crate::locations::speech::Said;
use crate::locations::speech::Standing;
use crate::locations::speech::Words;
use crate::locations::speech::head_too_large;
use crate::locations::speech::range_of;
use crate::locations::traffic::Outcome;
use crate::locations::translation::in_their_words;
use crate::wire::message::NoPath;
use crate::wire::transport::Bounds;
use crate::wire::transport::Failure;
use crate::wire::transport::Head;
use crate::wire::transport::Reply;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");
const ALL: HeaderValue = HeaderValue::from_static("all");

impl Location {
    /// May it be asked? Waits for what it first says of itself, since nothing is entrusted to what may be no Ironic.
    pub async fn admit(&self, asker: &Asker, act: Act) -> Result<(), Silence> {
        if let Some(reason) = self.forbids(act) {
            return Err(self.silent(reason));
        }
        if self.standing.load().is_none() {
            self.first_round(asker).await;
        }
        self.found(asker).await;
        if self.is_quarantined() {
            return Err(self.silent(Reason::Quarantine));
        }
        if self.standing.load().is_none() || self.is_foreign.load(Ordering::Relaxed) {
            return Err(self.silent(*self.failure.lock().unwrap_or_else(PoisonError::into_inner)));
        }
        if !self.breaker().is_closed() {
            return Err(self.silent(Reason::Breaker));
        }
        Ok(())
    }

    /// The newest version that it speaks, whatever all have in common. Right after the start its first word is waited
    /// for, as [`Self::admit`] does before the question.
    pub async fn newest(&self, asker: &Asker) -> Option<Microversion> {
        if self.standing.load().is_none() && self.forbids(Act::Read).is_none() {
            self.first_round(asker).await;
        }
        self.standing().map(|standing| standing.range.max())
    }

    /// Until addresses were looked up and a first probe has ended, however it did; no longer than the request may take.
    async fn first_round(&self, asker: &Asker) {
        let _ = tokio::time::timeout_at(asker.deadline.into(), self.probed()).await;
    }

    /// Until its addresses were looked up once. After a restart what it says of itself is known already, and its probe is
    /// one of thousands: whoever asks looks for itself.
    pub(super) async fn found(&self, asker: &Asker) {
        if self.was_probed() || !self.endpoints.is_empty() {
            return;
        }
        let looked = async {
            let _one = self.looking.lock().await;
            if self.endpoints.is_empty() {
                self.resolve().await;
            }
        };
        let _ = tokio::time::timeout_at(asker.deadline.into(), looked).await;
    }

    /// A connection's worth of the location. Taken last, when nothing else has to be waited for.
    /// Bodies that are handed on at their clients' pace have some of their own: clients that stall would take all others.
    pub async fn permit(&self, asker: &Asker, pace: Pace) -> Result<OwnedSemaphorePermit, Silence> {
        let permits = match pace {
            Pace::Ours => &self.permits,
            Pace::Clients => &self.uploads,
        };
        if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
            return Ok(permit);
        }
        let patience = self.config.connect_timeout.min(asker.patience());
        match tokio::time::timeout(patience, Arc::clone(permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(self.silent(Reason::Busy)),
        }
    }

    /// One more exchange, if nobody has to wait for it.
    pub(super) fn spare(&self) -> Option<SemaphorePermit<'_>> {
        self.permits.try_acquire().ok()
    }

    /// Whether a credential of ours is shown to the location in this asker's name.
    pub fn shows_ours(&self, asker: &Asker) -> bool {
        match asker.standing {
            Standpoint::Ours => true,
            Standpoint::Authorised => !self.config.forward_user_token,
            Standpoint::Anonymous => false,
        }
    }

    /// What lets us in: the client's own token where that is forwarded, else our credentials. A Keystone that does not
    /// answer is the location's failure, and costs no more than a connection would.
    pub async fn proof(&self, asker: &Asker) -> Result<Option<Proof>, Silence> {
        if asker.standing == Standpoint::Anonymous {
            return Ok(None);
        }
        if !self.shows_ours(asker) {
            return asker.token.as_ref().map_or_else(
                || Err(self.silent(Reason::Refused)),
                |token| {
                    Ok(Some(Proof {
                        name: header::AUTH_TOKEN,
                        value: token.clone(),
                        generation: 0,
                    }))
                },
            );
        }
        let patience = self.config.connect_timeout.min(asker.patience());
        match tokio::time::timeout(patience, self.credentials.header()).await {
            Ok(Ok(proof)) => {
                self.check_scope();
                if self.keyless.is_over() {
                    info!("There are credentials for location `{}` again", self.name());
                }
                Ok(proof)
            }
            Ok(Err(error)) => Err(self.without_credentials(&error.to_string())),
            Err(_) => Err(self.without_credentials("its Keystone does not answer")),
        }
    }

    fn without_credentials(&self, why: &str) -> Silence {
        if self.keyless.is_news(why) {
            warn!("No credentials for location `{}`: {why}", self.name());
        }
        self.failed(Reason::Refused);
        self.silent(Reason::Refused)
    }

    /// The one place where the head of a request to this location is made. Nothing of a client's head is in it: what we
    /// mean is asked, not what a client happened to send.
    pub fn head(
        &self,
        peer: &Peer,
        asker: &Asker,
        question: &Question,
        proof: Option<&Proof>,
    ) -> Result<Head, NoPath> {
        let path = &question.path;
        // The last line: whoever made this path had to judge what stands in it.
        if !is_straight(path.split('?').next().unwrap_or_default()) {
            return Err(NoPath);
        }
        let mut head = if peer.prefix.is_empty() {
            Head::new(question.method.clone(), path)?
        } else {
            Head::new(question.method.clone(), &format!("{}{path}", peer.prefix))?
        };
        head.field(&http::header::HOST, &peer.host);
        head.field(&http::header::ACCEPT, &JSON);
        head.number(&header::API_VERSION, question.version);
        head.field(&header::REQUEST_ID, &asker.request_id);
        if let Some(trace) = &asker.trace {
            head.field(&TRACEPARENT, &trace.parent);
            if let Some(state) = &trace.state {
                head.field(&TRACESTATE, state);
            }
        }
        let length = match &question.body {
            Body::None if question.method.is_safe() => None,
            // RFC 9110, 8.6: a method that may have a body says so when it has none.
            Body::None => Some(0),
            Body::Whole(bytes) => Some(bytes.len() as u64),
            Body::Streamed(upload) => upload.length,
        };
        match length {
            Some(length) => head.number(&http::header::CONTENT_LENGTH, length),
            None if matches!(question.body, Body::Streamed(_)) => {
                head.field(&http::header::TRANSFER_ENCODING, &CHUNKED);
            }
            None => {}
        }
        if !matches!(question.body, Body::None) {
            // Without a body it would make WSGI servers with an unbounded input wait for one.
            head.field(&http::header::CONTENT_TYPE, &question.media.name());
        }
        if let Some(proof) = proof {
            head.field(&proof.name, &proof.value);
        }
        if self.needs_scope(asker) {
            // Without it Ironic takes us for a project's user and refuses owners, though it asks for no proof.
            head.field(&header::SYSTEM_SCOPE, &ALL);
        }
        Ok(head)
    }

    fn needs_scope(&self, asker: &Asker) -> bool {
        matches!(
            self.config.auth,
            LocationAuth::None | LocationAuth::HttpBasic { .. }
        ) && self.shows_ours(asker)
    }

    /// Asks one question. What Ironic says is an answer, whichever; what anybody else says, or nothing, is silence.
    /// Our credential is renewed once if it is refused.
    ///
    /// # Errors
    /// Why it could not be asked. Whether that counts against the location is decided here.
    pub async fn ask(&self, asker: &Asker, question: &Question) -> Result<Said, Silence> {
        if let Err(silence) = self.admit(asker, Act::of(question)).await {
            self.traffic.not_asked(Outcome::Silent(silence.reason));
            let reason = Some(silence.reason);
            asker.trail.note(self.id, Duration::ZERO, reason);
            return Err(silence);
        }
        let spanned = asker.spanned();
        let begun = Instant::now();
        let asking = spanned.as_ref().map_or(asker, |(_, asker)| asker);
        let said = self.ask_anyway(asking, question, false).await;
        let now = Instant::now();
        let took = now.saturating_duration_since(begun);
        self.traffic.asked(Outcome::of(&said), took);
        let reason = said.as_ref().err().map(|silence| silence.reason);
        asker.trail.note(self.id, took, reason);
        if let Some((span, _)) = spanned {
            let outcome = said.as_ref().map(Said::status);
            let outcome = outcome.map_err(|silence| silence.reason);
            let put = (&question.method, question.path.as_str());
            asker.trail.end(span.ended(self.id, put, took, outcome));
        }
        if said.is_ok() {
            self.record.answered(now, took);
        }
        said
    }

    /// The same, for who passes on whatever Ironic says.
    pub async fn reply(&self, asker: &Asker, question: &Question) -> Result<Reply, Silence> {
        self.ask(asker, question).await.map(Said::into_reply)
    }

    pub(super) async fn ask_anyway(
        &self,
        asker: &Asker,
        question: &Question,
        is_trial: bool,
    ) -> Result<Said, Silence> {
        let question = &*self
            .groups
            .as_deref()
            .map_or(Cow::Borrowed(question), |groups| {
                in_their_words(question, groups)
            });
        let ours = self.shows_ours(asker);
        let mut renewed = false;
        loop {
            let proof = self.proof(asker).await?;
            let permit = self.permit(asker, question.body.pace()).await?;
            let shown = Shown {
                proof: proof.as_ref(),
                ours,
            };
            let heard = match self.send(asker, question, shown).await {
                Ok(heard) => heard,
                // Of a write nobody can tell whether the server closed the connection before or after it had read it.
                Err(Failure::HeadRefused) if question.method.is_safe() => {
                    return Ok(Said::Refuses(head_too_large()));
                }
                Err(failure) => return Err(self.no_answer(question, failure, is_trial)),
            };
            drop(permit);
            match heard {
                Heard::Said(said) => return self.heard(question, said),
                Heard::RefusesUs(status) => {
                    if let Some(proof) = proof.filter(|_| !renewed) {
                        // It may have been revoked before its time: once more with a new one.
                        self.credentials.refused(proof.generation, Instant::now());
                        renewed = true;
                        // What was streamed and not kept cannot be sent again; the next request has the new
                        // credential.
                        if question.body.is_at_hand().await {
                            continue;
                        }
                    } else {
                        self.refused(status);
                    }
                    return Err(self.silent(Reason::Refused));
                }
                Heard::Unusable(reason, reply) => {
                    let is_ironics = fault::read(&reply.body).is_some();
                    if is_its_fault(question, reply.status, is_ironics) {
                        self.count_failure(reason, is_trial);
                    }
                    return Err(Silence {
                        sent: !question.method.is_safe(),
                        reply: Some(Box::new(reply)).filter(|_| is_ironics),
                        ..self.silent(reason)
                    });
                }
            }
        }
    }

    fn heard(&self, question: &Question, said: Said) -> Result<Said, Silence> {
        let (Said::Has(Words { reply, .. })
        | Said::No(reply)
        | Said::Refuses(reply)
        | Said::Fails(reply)) = &said;
        if self.speaks_otherwise(reply) {
            // Upgraded, and traffic keeps the probe from asking.
            self.look_again.notify_one();
        }
        match &said {
            Said::Refuses(reply) => {
                if reply.status == StatusCode::NOT_ACCEPTABLE && self.correct_range(reply) {
                    return Err(self.silent(Reason::Versions));
                }
            }
            // A conductor or a driver failed, which says nothing of the API that told us so.
            Said::Fails(_) => {}
            // Reading a list twice would cost more than the rest of a merge: only what was in trouble has to show that it
            // is one.
            Said::Has(Words { reply, .. }) => match question.expect {
                Expect::List { key, .. }
                    if self.is_troubled() && !json::is_list_under(&reply.body, key) => {}
                _ => self.understood(),
            },
            Said::No(_) => self.understood(),
        }
        Ok(said)
    }

    pub(super) fn no_answer(
        &self,
        question: &Question,
        failure: Failure,
        is_trial: bool,
    ) -> Silence {
        let reason = match failure {
            Failure::Connect | Failure::Broken | Failure::HeadRefused => Reason::Connect,
            Failure::ConnectTimeout | Failure::Timeout | Failure::Deadline | Failure::TooLate => {
                Reason::Timeout
            }
            Failure::CutOff | Failure::TooLarge => Reason::Body,
            Failure::Local | Failure::Unheld | Failure::Abandoned => Reason::Gateway,
        };
        let counts = match failure {
            // No connection at all says something of the location, whatever was to be asked.
            Failure::Connect | Failure::ConnectTimeout => true,
            Failure::Deadline
            | Failure::TooLate
            | Failure::Local
            | Failure::Unheld
            | Failure::Abandoned
            | Failure::HeadRefused => false,
            Failure::Timeout => !question.is_a_conductors(),
            // Below a member it may be a store of inspection data that is down.
            Failure::Broken | Failure::CutOff | Failure::TooLarge => !question.is_below(),
        };
        if counts {
            self.count_failure(reason, is_trial);
        }
        if failure == Failure::Connect || failure == Failure::ConnectTimeout {
            // Its catalog may name another address by now.
            self.credentials.endpoint_is_dead(Instant::now());
        }
        Silence {
            // What is safe changes nothing, executed or not.
            sent: failure.was_sent() && !question.method.is_safe(),
            ..self.silent(reason)
        }
    }

    /// Sees to it that the next question finds a connection. Whoever asks it is told what is wrong, if it does not.
    pub async fn make_ready(&self, asker: &Asker) {
        if !self.breaker().is_closed() {
            return;
        }
        if let Some(peer) = self.line().get(0) {
            let patience = self.config.connect_timeout.min(asker.patience());
            let connecting = asker.transport.make_ready(&peer.http);
            let _ = tokio::time::timeout(patience, connecting).await;
        }
    }

    /// A read may be asked again, so it need not be waited for as long as a write, whose fate would be unknown. What a
    /// conductor answers may take as long whatever it is.
    fn response_clock(&self, question: &Question) -> Duration {
        if question.is_a_conductors() {
            self.config.response_timeout
        } else {
            self.config.read_timeout
        }
    }

    /// What one of its endpoints says.
    pub(super) async fn send(
        &self,
        asker: &Asker,
        question: &Question,
        shown: Shown<'_>,
    ) -> Result<Heard, Failure> {
        // Probes come here without having been admitted.
        self.found(asker).await;
        let bounds = Bounds {
            response: self.response_clock(question),
            silence: self.config.timeout,
            deadline: question.deadline(asker, self.config.read_timeout),
            size: question.bound(self.config.max_response_size),
        };
        let attempt = Attempt {
            location: self,
            asker,
            question,
            shown,
            bounds,
        };
        attempt.make().await
    }

    /// Whether an answer tells of other versions than are known.
    fn speaks_otherwise(&self, reply: &Reply) -> bool {
        let told = range_of(&reply.headers);
        told.zip(self.standing.load().as_ref())
            .is_some_and(|(range, known)| range != known.range)
    }

    /// A 406 tells the range: it may be another one since the last probe. Returns whether it is.
    fn correct_range(&self, reply: &Reply) -> bool {
        let (Some(range), Some(known)) = (range_of(&reply.headers), self.standing()) else {
            return false;
        };
        if range == known.range {
            return false;
        }
        self.learn(Standing {
            range,
            base: known.base.clone(),
        });
        self.look_again.notify_one();
        true
    }
}

/// An error of Ironic's own may come from a client's parameters, and slowness of a driver from the driver: the
/// location is judged by what says something of all of it.
fn is_its_fault(question: &Question, status: StatusCode, is_ironics: bool) -> bool {
    if status == StatusCode::GATEWAY_TIMEOUT && question.is_a_conductors() {
        // A balancer in front has less patience than we have.
        return false;
    }
    match question.purpose {
        Purpose::Own => true,
        Purpose::Shared | Purpose::Routed => !is_ironics,
        Purpose::SharedBelow | Purpose::RoutedBelow => false,
    }
}
