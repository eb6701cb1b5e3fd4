//! One question on its way to the endpoints of a location, one after the other or, where a read is waited for, two at once.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::Either;
use futures_util::future::select;

use crate::locations::credentials::Proof;
use crate::locations::endpoints::Line;
use crate::locations::location::Location;
use crate::locations::peer::Peer;
use crate::locations::question::Asker;
use crate::locations::question::Expect;
use crate::locations::question::Purpose;
use crate::locations::question::Question;
use crate::locations::speech::Heard;
use crate::locations::speech::Said;
use crate::locations::speech::judge;
use crate::locations::speed::Kind;
use crate::locations::translation::in_our_words;
use crate::wire::transport::Begun;
use crate::wire::transport::Bounds;
use crate::wire::transport::Failure;
use crate::wire::transport::Message;

/// What is shown to a location of who asks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown<'a> {
    pub(super) proof: Option<&'a Proof>,
    /// It is our own credential.
    pub(super) ours: bool,
}

/// A question, all that is said with it, and its bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'a> {
    pub(super) location: &'a Location,
    pub(super) asker: &'a Asker,
    pub(super) question: &'a Question,
    pub(super) shown: Shown<'a>,
    pub(super) bounds: Bounds,
}

/// What came of it at one endpoint, or at two.
struct Outcome {
    /// Whose answer or failure it is, in the line.
    by: usize,
    /// How many were asked.
    asked: usize,
    heard: Result<Heard, Failure>,
    /// Somebody before it has not failed, but was slower.
    overtook: bool,
}

impl Attempt<'_> {
    /// What the first peer says that can be reached. What is safe is asked of the next one whatever went wrong.
    pub(super) async fn make(&self) -> Result<Heard, Failure> {
        let line = self.location.line();
        let is_safe = self.question.method.is_safe();
        let mut last = Failure::Connect;
        let mut tried = 0;
        while let Some(peer) = line.get(tried) {
            let outcome = match (self.kind(), line.get(1)) {
                (Some(kind), Some(second)) if tried == 0 => {
                    // Boxed: most locations have one endpoint, and need no room for two exchanges.
                    Box::pin(self.race(&line, [peer, second], kind)).await
                }
                _ => Outcome {
                    by: tried,
                    asked: 1,
                    heard: self.ask(peer, None).await,
                    overtook: false,
                },
            };
            tried += outcome.asked;
            match outcome.heard {
                Ok(heard) => {
                    // An endpoint that answers in somebody else's words, such as a balancer without servers, is
                    // passed over for the next one.
                    if matches!(heard, Heard::Said(_)) || !is_safe || line.get(tried).is_none() {
                        if let Some(peer) = line.get(outcome.by)
                            && outcome.by > 0
                            && !outcome.overtook
                        {
                            self.location.peer_answered(peer);
                        }
                        return Ok(heard);
                    }
                }
                Err(failure) => {
                    let is_final = matches!(
                        failure,
                        Failure::Local
                            | Failure::Unheld
                            | Failure::Deadline
                            | Failure::TooLate
                            | Failure::Abandoned
                    );
                    if is_final || failure.was_sent() && !is_safe {
                        return Err(failure);
                    }
                    last = failure;
                }
            }
        }
        Err(last)
    }

    /// What may be asked of two endpoints at once.
    fn kind(&self) -> Option<Kind> {
        let question = self.question;
        // It may be a driver that is slow, and then it is at all endpoints.
        let is_read = self.asker.hedges && !question.is_a_conductors();
        match question.expect {
            _ if !is_read => None,
            // Of probes, which nobody waits for. Of look-ups, the first answer alone has the agent's token (Ironic's
            // api/controllers/v1/ramdisk.py).
            Expect::Versions | Expect::Machine => None,
            // Whether something is free: a database that lags behind at the second would say so too early.
            Expect::List { .. } if question.purpose == Purpose::Own => None,
            Expect::List { .. } => Some(Kind::List),
            Expect::Member { .. } | Expect::Document { .. } | Expect::Effect | Expect::Unknown => {
                Some(Kind::Thing)
            }
        }
    }

    /// Asks the first of several, and the second as well if the first does not begin to answer in time. The first answer
    /// is the answer, and the other exchange is dropped; but nothing is said to be absent while the first may have it.
    async fn race(&self, line: &Line, [first, second]: [&Arc<Peer>; 2], kind: Kind) -> Outcome {
        let endpoints = &self.location.endpoints;
        let race = endpoints.race(line, kind);
        let asked_at = Instant::now();
        let begun = Begun::default();
        let mut leading = pin!(self.timed(first, kind, &begun));
        let mut pause = race.after;
        let permit = loop {
            let heard = tokio::select! {
                biased;
                heard = &mut leading => heard,
                () = tokio::time::sleep(pause) => {
                    let permit = begun.when().is_none().then(|| self.location.spare()).flatten();
                    match permit {
                        Some(permit) if endpoints.may_hedge(line) => break permit,
                        _ => {}
                    }
                    // It is being read, or there is nothing to pay with: until that may be otherwise.
                    pause *= 2;
                    continue;
                }
            };
            if is_said(&heard) {
                endpoints.held(line, race, false);
            }
            return Outcome {
                by: 0,
                asked: 1,
                heard,
                overtook: false,
            };
        };
        let later = Begun::default();
        let trailing = pin!(self.timed(second, kind, &later));
        let outcome = |by, heard, overtook| Outcome {
            by,
            asked: 2,
            heard,
            overtook,
        };
        let ended = select(leading, trailing).await;
        drop(permit);
        match ended {
            Either::Left((heard, _)) if is_said(&heard) => {
                endpoints.held(line, race, true);
                if later.when().is_none() {
                    self.keep_ready(second);
                }
                outcome(0, heard, false)
            }
            Either::Left((_, trailing)) => outcome(1, trailing.await, false),
            // Its database may lag behind the other's: "no such thing" is believed when the first says it too, or fails.
            Either::Right((absent @ Ok(Heard::Said(Said::No(_))), leading)) => {
                endpoints.won(line);
                match leading.await {
                    heard if is_said(&heard) => outcome(0, heard, false),
                    _ => outcome(1, absent, false),
                }
            }
            Either::Right((heard, _)) if is_said(&heard) => {
                // It took at least as long.
                first.speed.note(kind, asked_at.elapsed());
                endpoints.won(line);
                outcome(1, heard, true)
            }
            Either::Right((_, leading)) => outcome(0, leading.await, false),
        }
    }

    /// The exchange that was dropped took its connection along: without another, the next race would be lost by shaking
    /// hands.
    fn keep_ready(&self, peer: &Arc<Peer>) {
        let (transport, peer) = (Arc::clone(&self.asker.transport), Arc::clone(peer));
        tokio::spawn(async move { transport.make_ready(&peer.http).await });
    }

    async fn timed(&self, peer: &Peer, kind: Kind, begun: &Begun) -> Result<Heard, Failure> {
        let asked_at = Instant::now();
        let heard = self.ask(peer, Some(begun)).await;
        if let Some(when) = begun.when()
            && is_said(&heard)
        {
            let took = when.saturating_duration_since(asked_at);
            peer.speed.note(kind, took);
        }
        heard
    }

    async fn ask(&self, peer: &Peer, begun: Option<&Begun>) -> Result<Heard, Failure> {
        let head = self
            .location
            .head(peer, self.asker, self.question, self.shown.proof)
            .map_err(|_| Failure::Local)?;
        let message = Message {
            head: &head,
            body: self.question.body.sent(),
            begun,
        };
        let exchange = self
            .asker
            .transport
            .exchange(&peer.http, message, self.bounds);
        let mut reply = exchange.await?;
        if let Some(groups) = self.location.groups.as_deref() {
            in_our_words(&mut reply, groups);
        }
        let standing = self.location.standing();
        let from = self.location.dialect(standing.as_deref());
        Ok(judge(self.question, self.shown.ours, from, reply))
    }
}

fn is_said(heard: &Result<Heard, Failure>) -> bool {
    matches!(heard, Ok(Heard::Said(_)))
}
