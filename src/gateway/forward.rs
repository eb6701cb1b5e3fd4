//! Vendor passthru: a request on its way through Pingora's proxy to one location, and the answer on its way back. Only
//! the driver knows what they contain, so both are streamed unchanged. All other requests go through `Location::ask`,
//! which judges an answer as a whole.

use std::mem;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderValue;
use http::StatusCode;
use pingora::Error as PingoraError;
use pingora::ErrorType;
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::http::ResponseHeader;
use pingora::upstreams::peer::HttpPeer;
use tokio::sync::OwnedSemaphorePermit;

use crate::api::body::DepthGauge;
use crate::api::header;
use crate::api::link::Kind;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::Subject;
use crate::federate::plan::Forward;
use crate::federate::relink;
use crate::gateway::body::BodyLimits;
use crate::gateway::body::Oversized;
use crate::gateway::rescue::Trouble;
use crate::locate::LocateError;
use crate::locate::Source;
use crate::locations::credentials::Proof;
use crate::locations::endpoints::Line;
use crate::locations::location::Location;
use crate::locations::order::Act;
use crate::locations::peer::Peer;
use crate::locations::question::Body;
use crate::locations::question::Pace;
use crate::locations::question::Question;
use crate::locations::silence::Reason;
use crate::locations::silence::Silence;
use crate::locations::speech::base_of;
use crate::locations::traffic::Outcome;
use crate::locations::trail::Asking;
use crate::request::Answer;
use crate::request::Request;
use crate::wire::peer::be_hasty;
use crate::wire::peer::be_patient;
use crate::wire::transport::on_fresh_connection;

/// The same request again: with new credentials, or to where the thing is now. Nothing was executed.
pub const REPLAY: ErrorType = ErrorType::Custom("Replay");
/// The answer can only be understood with its body: it is asked for once more, outside of the proxy.
const INSPECT: ErrorType = ErrorType::Custom("Inspect");
/// Why is told beside it.
const GIVEN_UP: ErrorType = ErrorType::Custom("GivenUp");

/// A request under way.
#[derive(Debug)]
pub struct Forwarding {
    request: Request,
    forward: Forward,
    limits: BodyLimits,
    /// Given back when the exchange ends.
    permit: OwnedSemaphorePermit,
    proof: Option<Proof>,
    renewed: bool,
    /// The peers in the order of the first try: it may be another one by the second.
    line: Line,
    /// Peers of it that could not be reached.
    failed: usize,
    peer: Option<Arc<Peer>>,
    begun: Instant,
    /// The question's own, where spans are recorded.
    span: Option<Asking>,
    deadline: Instant,
    sent: usize,
    /// The client's body has come to its end.
    received: bool,
    gauge: DepthGauge,
    status: StatusCode,
    /// Why it was given up, once it was.
    reason: Option<Trouble>,
}

impl Forwarding {
    /// Everything that can be refused before a connection is made.
    pub async fn prepare(
        federation: &Federation,
        mut request: Request,
        forward: Forward,
        limits: BodyLimits,
    ) -> std::result::Result<Self, Error> {
        let location = federation.locations.location(forward.location);
        let (permit, proof) = let_in(location, &request).await?;
        let begun = Instant::now();
        let (span, asker) = request.asker.spanned().unzip();
        request.asker = asker.unwrap_or(request.asker);
        Ok(Self {
            span,
            limits,
            permit,
            proof,
            renewed: false,
            line: location.line(),
            failed: 0,
            peer: None,
            begun,
            deadline: request.asker.deadline,
            sent: 0,
            received: false,
            gauge: DepthGauge::default(),
            status: StatusCode::OK,
            reason: None,
            request,
            forward,
        })
    }

    fn location<'a>(&self, federation: &'a Federation) -> &'a Location {
        federation.locations.location(self.forward.location)
    }

    fn give_up(&mut self, reason: impl Into<Trouble>) -> Box<PingoraError> {
        self.reason = Some(reason.into());
        PingoraError::new_up(GIVEN_UP)
    }

    /// What became of it is counted as that of every other question.
    fn count(&self, location: &Location, outcome: Outcome) {
        let took = self.begun.elapsed();
        location.traffic.asked(outcome, took);
        let trail = &self.request.asker.trail;
        let silence = outcome.silence();
        trail.note(location.id, took, silence);
        if let Some(span) = self.span {
            let put = (&self.request.method, self.forward.path.as_str());
            let outcome = silence.map_or(Ok(self.status), Err);
            trail.end(span.ended(location.id, put, took, outcome));
        }
    }

    fn silence(&self, reason: Reason, sent: bool) -> Silence {
        Silence {
            location: self.forward.location,
            reason,
            sent,
            reply: None,
        }
    }

    pub fn dial(&mut self, federation: &Federation) -> Result<Box<HttpPeer>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.give_up(self.silence(Reason::Timeout, false)));
        }
        let location = self.location(federation);
        if self.failed == 0 {
            self.line = location.line();
        }
        let Some(peer) = self.line.get(self.failed).cloned() else {
            location.failed(Reason::Connect);
            return Err(self.give_up(self.silence(Reason::Connect, false)));
        };
        self.sent = 0;
        // A repetition begins with the first byte again, and so do the counters.
        self.gauge = DepthGauge::default();
        let mut http = peer.http.clone();
        http.options.read_timeout = http.options.read_timeout.map(|silence| silence.min(left));
        if self.request.method.is_safe() {
            be_hasty(&mut http);
        } else {
            on_fresh_connection(&mut http);
            be_patient(&mut http);
        }
        self.peer = Some(peer);
        Ok(Box::new(http))
    }

    /// Nothing was sent: the next peer of the location is tried, if there is one.
    pub fn not_connected(
        &mut self,
        federation: &Federation,
        mut error: Box<PingoraError>,
    ) -> Box<PingoraError> {
        let location = self.location(federation);
        self.failed += 1;
        let another = self.line.get(self.failed).is_some();
        error.set_retry(another);
        if !another {
            let timeout = matches!(
                error.etype(),
                ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout
            );
            let reason = if timeout {
                Reason::Timeout
            } else {
                Reason::Connect
            };
            location.failed(reason);
            self.reason = Some(self.silence(reason, false).into());
        }
        error
    }

    pub fn dress(&mut self, federation: &Federation, head: &mut RequestHeader) -> Result<()> {
        let Some(peer) = &self.peer else {
            return Err(PingoraError::new_in(ErrorType::InternalError));
        };
        let ours = self.location(federation).head(
            peer,
            &self.request.asker,
            &self.question(Body::None),
            self.proof.as_ref(),
        );
        let ours = ours
            .map_err(|_| PingoraError::new_in(ErrorType::InvalidHTTPHeader))?
            .for_proxy()?;
        // What frames the body is the client's, since it is the client's body.
        let framing = [
            http::header::CONTENT_LENGTH,
            http::header::TRANSFER_ENCODING,
        ];
        let framed: Vec<_> = framing
            .into_iter()
            .filter_map(|name| Some((name.clone(), head.headers.get(name)?.clone())))
            .collect();
        let kind = head.headers.get(http::header::CONTENT_TYPE).cloned();
        // Only the driver knows what it takes.
        let kind = kind.unwrap_or(HeaderValue::from_static("application/json"));
        *head = ours;
        if !framed.is_empty() {
            // The question has no body of its own, so `Location::head` wrote a length of 0.
            head.remove_header(&http::header::CONTENT_LENGTH);
            head.insert_header(http::header::CONTENT_TYPE, kind)?;
        }
        for (name, value) in framed {
            head.insert_header(name, value)?;
        }
        if !self.request.method.is_safe() {
            // The connection belongs to this write alone, so the location need not keep it.
            head.insert_header(http::header::CONNECTION, "close")?;
        }
        Ok(())
    }

    fn question(&self, body: Body) -> Question {
        Question {
            path: self.forward.path.clone(),
            body,
            ..self.request.question()
        }
    }

    /// Counts what the client sends on.
    pub fn measure(&mut self, part: Option<&Bytes>, end: bool) -> Result<()> {
        self.received |= end;
        let Some(part) = part else { return Ok(()) };
        self.sent += part.len();
        if self.sent > self.limits.size {
            return Err(self.give_up(Oversized::TooLarge));
        }
        match self.limits.depth {
            Some(depth) if !self.gauge.within(part, depth) => Err(self.give_up(Oversized::TooDeep)),
            _ => Ok(()),
        }
    }

    /// What the head of the answer means. `replayable`: the client's body is still at hand.
    pub async fn judge(
        &mut self,
        federation: &Federation,
        head: &ResponseHeader,
        replayable: bool,
    ) -> Result<()> {
        let location = self.location(federation);
        if mem::take(&mut self.failed) > 0
            && let Some(peer) = &self.peer
        {
            location.peer_answered(peer);
        }
        self.status = head.status;
        if !is_ironics(head) {
            let reason =
                if head.status.is_server_error() || head.status == StatusCode::TOO_MANY_REQUESTS {
                    Reason::Status
                } else {
                    Reason::Body
                };
            // A driver's answer says nothing of the location.
            return Err(self.give_up(self.silence(reason, !self.request.method.is_safe())));
        }
        match head.status {
            StatusCode::UNAUTHORIZED if !location.config.forward_user_token => {
                self.renew(location, replayable).await
            }
            // Ironic's policy or Ironic's word about the request? Only the body tells.
            StatusCode::FORBIDDEN if !location.config.forward_user_token && replayable => {
                Err(PingoraError::new_up(INSPECT))
            }
            StatusCode::NOT_FOUND if self.forward.source == Source::Remembered => {
                self.find_again(federation, replayable).await
            }
            _ => Ok(()),
        }
    }

    /// Our credentials are refused: once more with new ones, where there can be new ones.
    async fn renew(&mut self, location: &Location, replayable: bool) -> Result<()> {
        let Some(proof) = self.proof.take().filter(|_| !self.renewed) else {
            location.refused(self.status);
            return Err(self.give_up(self.silence(Reason::Refused, false)));
        };
        self.renewed = true;
        location
            .credentials
            .refused(proof.generation, Instant::now());
        self.proof = match location.proof(&self.request.asker).await {
            Ok(proof) => proof,
            Err(silence) => return Err(self.give_up(silence)),
        };
        if !replayable {
            return Err(self.give_up(self.silence(Reason::Refused, false)));
        }
        Err(replay())
    }

    /// It may be elsewhere by now.
    async fn find_again(&mut self, federation: &Federation, replayable: bool) -> Result<()> {
        let Some(key) = self.forward.key.clone() else {
            return Ok(());
        };
        // Once: a second 404, from where it was found a moment ago, is the answer.
        self.forward.source = Source::Asked;
        match federation
            .locator
            .owner_anew(&self.request.asker, &key)
            .await
        {
            // Something else was not found there, or nobody has it any longer: this is the answer.
            Ok(owner) if owner.location == self.forward.location => Ok(()),
            Err(LocateError::Nobody { .. }) => Ok(()),
            Ok(owner) => {
                if !replayable {
                    return Err(self.give_up(Trouble::Moved));
                }
                self.forward.location = owner.location;
                let location = self.location(federation);
                match let_in(location, &self.request).await {
                    Ok((permit, proof)) => (self.permit, self.proof) = (permit, proof),
                    Err(silence) => return Err(self.give_up(silence)),
                }
                // Another location, another credential, which may have to be renewed as well.
                self.renewed = false;
                Err(replay())
            }
            Err(error) => Err(self.give_up(error)),
        }
    }

    /// Makes the head ours, but for what every answer carries. Returns where it came from.
    pub fn relay_head(
        &mut self,
        federation: &Federation,
        head: &mut ResponseHeader,
    ) -> Result<Option<LocationId>> {
        for name in header::kept_back(&head.headers) {
            head.remove_header(&name);
        }
        let location = self.location(federation);
        self.count(location, outcome(head.status));
        let standing = location.standing();
        let from = base_of(standing.as_deref());
        if let Some(value) = head.headers.get(http::header::LOCATION).cloned() {
            let mut one = http::HeaderMap::new();
            one.insert(http::header::LOCATION, value);
            relink(&mut one, from, &self.request.base);
            if let Some(value) = one.remove(http::header::LOCATION) {
                head.insert_header(http::header::LOCATION, value)?;
            }
        }
        Ok(Some(self.forward.location))
    }

    /// What comes goes on as it is, as long as it comes in time.
    pub fn keep_time(&mut self) -> Result<()> {
        if Instant::now() < self.deadline {
            return Ok(());
        }
        Err(self.give_up(self.silence(Reason::Timeout, true)))
    }

    /// The exchange broke, or took too long.
    pub fn broken(&mut self, error: &PingoraError) {
        if self.reason.is_some() || *error.etype() == INSPECT {
            return;
        }
        let timeout = matches!(
            error.etype(),
            ErrorType::ReadTimedout | ErrorType::WriteTimedout
        );
        if *error.etype() == ErrorType::ReadTimedout && !self.received {
            // The location waits for what the client does not send. One that takes nothing ends with a write.
            self.reason = Some(Trouble::Late);
            return;
        }
        let reason = if timeout {
            Reason::Timeout
        } else {
            Reason::Connect
        };
        self.reason = Some(self.silence(reason, !self.request.method.is_safe()).into());
    }

    /// What the client is told. `body`: what it sent, if that is at hand.
    pub async fn explain(
        &mut self,
        federation: &Federation,
        error: &PingoraError,
        body: Option<Bytes>,
    ) -> std::result::Result<Answer, Trouble> {
        if let Some(reason) = self.reason.take() {
            if let Some(reason) = reason.silence() {
                self.count(self.location(federation), Outcome::Silent(reason));
            }
            return Err(reason);
        }
        if *error.etype() == INSPECT {
            return Ok(self.inspect(federation, body).await?);
        }
        let sent = !self.request.method.is_safe();
        self.count(self.location(federation), Outcome::Silent(Reason::Connect));
        Err(self.silence(Reason::Connect, sent).into())
    }

    /// A 403: nothing was executed, so the same may be asked again where its words can be read before the status is
    /// passed on.
    async fn inspect(
        &self,
        federation: &Federation,
        body: Option<Bytes>,
    ) -> std::result::Result<Answer, Silence> {
        let question = self.question(body.map_or(Body::None, Body::Whole));
        let location = self.location(federation);
        let reply = location.reply(&self.request.asker, &question).await?;
        Ok(federation.relay(
            &self.request,
            location.id,
            Subject::Other(Kind::Plain),
            reply,
        ))
    }
}

/// As [`Outcome::of`] has it, by the status alone: the body is the driver's.
fn outcome(status: StatusCode) -> Outcome {
    match status {
        StatusCode::NOT_FOUND => Outcome::No,
        _ if status.is_client_error() => Outcome::Rejected,
        _ if status.is_server_error() => Outcome::Failed,
        _ => Outcome::Has,
    }
}

/// Any success, whatever it holds; an error only in JSON, as Ironic wraps what a driver raises. Who asks too much is told
/// so by what stands before Ironic.
fn is_ironics(head: &ResponseHeader) -> bool {
    let json = head
        .headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    head.status.is_success()
        || (head.status != StatusCode::TOO_MANY_REQUESTS
            && (head.status.is_client_error() || head.status.is_server_error())
            && (json || head.status == StatusCode::BAD_REQUEST))
}

/// What an exchange with the location needs. One that is not let in is counted as any other question that was not put.
async fn let_in(
    location: &Location,
    request: &Request,
) -> std::result::Result<(OwnedSemaphorePermit, Option<Proof>), Silence> {
    let asker = &request.asker;
    let let_in = async {
        location.admit(asker, Act::by(&request.method)).await?;
        let proof = location.proof(asker).await?;
        // The client sends and reads at its own pace.
        Ok((location.permit(asker, Pace::Clients).await?, proof))
    };
    let_in.await.inspect_err(|silence: &Silence| {
        location.traffic.not_asked(Outcome::Silent(silence.reason));
        let reason = Some(silence.reason);
        asker.trail.note(location.id, Duration::ZERO, reason);
    })
}

fn replay() -> Box<PingoraError> {
    let mut error = PingoraError::new_up(REPLAY);
    error.set_retry(true);
    error
}
