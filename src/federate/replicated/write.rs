//! A write at every location. It is tried at the first location alone; if that refuses, the others are not asked. If a
//! later location fails, the write is undone where it was done, and the error names the state of every location.

use std::cmp::Reverse;

use http::Method;
use http::StatusCode;

use crate::api::body::Object;
use crate::api::collection::Collection;
use crate::api::fault;
use crate::api::resource::Resource;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::fan_out::let_all;
use crate::federate::fan_out::refusal;
use crate::federate::located::create::shows;
use crate::federate::objection::Objection;
use crate::federate::owner::Denial;
use crate::federate::replicated::copy::Copy;
use crate::locations::Locations;
use crate::locations::question::Asker;
use crate::locations::question::Question;
use crate::locations::silence::Silence;
use crate::locations::window::ask_all;
use crate::wire::transport::Reply;

/// One location's part of a write.
#[derive(Debug)]
pub struct Part {
    pub location: LocationId,
    pub act: Question,
    /// Shows the object at the location's newest version.
    pub look: Question,
    /// What is there before it.
    pub before: Before,
    /// Takes it back; empty where nothing does, since Ironic does not show what is changed.
    pub undo: Vec<Question>,
}

/// What a location has before the write.
#[derive(Debug)]
pub enum Before {
    /// Nothing: this is made.
    Nothing {
        sent: Object,
    },
    Copy(Copy),
}

/// A write under way.
#[derive(Debug)]
pub struct Write<'a> {
    pub locations: &'a Locations,
    pub asker: &'a Asker,
    pub collection: Collection,
    /// As the client calls the object.
    pub ident: &'a str,
    pub goal: Goal,
}

/// What is to be there afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    Made,
    Changed,
    Gone,
}

/// How a location took its part.
#[derive(Debug)]
enum Outcome {
    /// `None`: the answer was lost, and the object looks as if it was done.
    Done(Option<Reply>),
    /// Not done: the client's own fault, in Ironic's words.
    Refused(Reply),
    /// Not done: something below the object is not there.
    Absent(Reply),
    /// Not done, with what it said instead.
    Failed(String),
    /// It is unknown whether it was done.
    Doubtful(String),
    /// It was sent and not answered, and does not show: it may still be done.
    Late(String),
}

/// Where a write that failed leaves a location.
#[derive(Debug)]
struct State {
    location: LocationId,
    text: String,
    left: Left,
}

/// What a failed write leaves behind; what an operator has to know of comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    /// Nothing: it was done, and undone because of others.
    Undone,
    /// Nothing, since it failed there.
    Nothing,
    /// It was done and not undone.
    Done,
    Unknown,
}

impl Write<'_> {
    /// Returns what the first location said; `None`: nothing, but it did it.
    pub async fn everywhere(&self, parts: &[Part]) -> Result<Option<Reply>, Error> {
        let Some((first, others)) = parts.split_first() else {
            return Err(Objection::NOWHERE.into());
        };
        let_all(
            parts
                .iter()
                .map(|part| (self.locations.location(part.location), &part.act)),
        )?;
        // One alone at first: what is wrong with the request itself shows there, and nothing has to be undone
        // elsewhere.
        let made = match self.act(first).await {
            Outcome::Done(reply) => reply,
            // The first location lacks something below the object, such as a trait: the client's 404. From a later
            // location it is a difference between them.
            Outcome::Absent(reply) => return Err(refusal(reply, first.location)),
            outcome => return Err(self.broken(vec![(first, outcome)]).await),
        };
        let outcomes = ask_all(others.iter().map(|part| self.act(part))).await;
        let done = |outcome: &Outcome| matches!(outcome, Outcome::Done(_));
        if outcomes.iter().all(done) {
            return Ok(made);
        }
        let all = others.iter().zip(outcomes);
        let all = [(first, Outcome::Done(made))].into_iter().chain(all);
        Err(self.broken(all.collect()).await)
    }

    /// Does one part. After an error the object is read, since an error may hide that the write was done.
    async fn act(&self, part: &Part) -> Outcome {
        let location = self.locations.location(part.location);
        if self.asker.patience().is_zero() {
            return Outcome::Failed("was not asked: no time was left".to_owned());
        }
        let answered = location.reply(self.asker, &part.act).await;
        let is_doubtful = match &answered {
            Ok(reply) if reply.status.is_success() => return Outcome::Done(answered.ok()),
            Ok(reply) if reply.status == StatusCode::NOT_FOUND && self.goal == Goal::Gone => {
                return Outcome::Done(None);
            }
            // The UUID was free a moment ago, so the 409 may be about this very request, whose answer was lost.
            Ok(reply) if reply.status == StatusCode::CONFLICT && self.goal == Goal::Made => true,
            Ok(reply) => reply.status.is_server_error(),
            Err(silence) => silence.sent,
        };
        match answered {
            Ok(reply) if self.is_about_something_below(&reply) => return Outcome::Absent(reply),
            answered if !is_doubtful => return not_done(answered),
            _ => {}
        }
        match (self.is_done(part).await, answered) {
            (Some(true), _) => Outcome::Done(None),
            // Whoever is slow may still do it, whether it is we who gave up or a web server between, and a connection that
            // breaks stops no Ironic either.
            (_, Err(silence)) => Outcome::Late(format!("could not be asked ({})", silence.reason)),
            (Some(false), answered) => not_done(answered),
            (None, answered) => in_doubt(answered),
        }
    }

    fn is_about_something_below(&self, reply: &Reply) -> bool {
        reply.status == StatusCode::NOT_FOUND
            && Denial::of(self.collection, &reply.body) != Denial::Absent
    }

    /// Whether it was done; `None`: that cannot be seen.
    async fn is_done(&self, part: &Part) -> Option<bool> {
        let location = self.locations.location(part.location);
        let asker = self.asker.afterwards();
        let there = location.reply(&asker, &part.look).await.ok()?;
        match (&part.before, there.status) {
            (Before::Nothing { .. }, StatusCode::NOT_FOUND) => Some(false),
            (Before::Copy(_), StatusCode::NOT_FOUND) => Some(self.goal == Goal::Gone),
            (Before::Nothing { sent }, StatusCode::OK) => {
                Resource::read(&there.body).ok()?;
                Some(shows(&there.body, sent))
            }
            (Before::Copy(copy), StatusCode::OK) => {
                let shown = Resource::read(&there.body).ok()?;
                match self.goal {
                    Goal::Changed if !copy.is(&shown) => Some(true),
                    Goal::Changed if part.undo.is_empty() => None,
                    _ => Some(false),
                }
            }
            _ => None,
        }
    }

    /// Undoes what was done, and reports the state of every location.
    async fn broken(&self, outcomes: Vec<(&Part, Outcome)>) -> Error {
        let mut refused = None;
        let states = ask_all(outcomes.into_iter().map(|(part, outcome)| {
            if let Outcome::Refused(reply) = &outcome {
                refused.get_or_insert((part.location, reply.clone()));
            }
            self.leave(part, outcome)
        }))
        .await;
        match refused {
            // Everything was undone, so the one refusal is the answer, as from a single Ironic.
            Some((location, reply)) if states.iter().all(|state| state.left <= Left::Nothing) => {
                refusal(reply, location)
            }
            _ => self.explain(states),
        }
    }

    async fn leave(&self, part: &Part, outcome: Outcome) -> State {
        let location = part.location;
        let doubt = match outcome {
            Outcome::Done(_) => None,
            Outcome::Doubtful(text) => Some(text),
            Outcome::Late(text) => {
                self.undo(part).await;
                return State {
                    location,
                    text: format!("{text}, may still be done"),
                    left: Left::Unknown,
                };
            }
            Outcome::Refused(reply) | Outcome::Absent(reply) => {
                let text = said(&reply);
                return State {
                    location,
                    text,
                    left: Left::Nothing,
                };
            }
            Outcome::Failed(text) => {
                return State {
                    location,
                    text,
                    left: Left::Nothing,
                };
            }
        };
        let undone = self.undo(part).await;
        let (text, left) = match (doubt, undone) {
            (None, true) => ("undone".to_owned(), Left::Undone),
            (None, false) => ("done, could not be undone".to_owned(), Left::Done),
            (Some(doubt), true) => (format!("{doubt}, undone"), Left::Nothing),
            (Some(doubt), false) => (
                format!("{doubt}, perhaps done, could not be undone"),
                Left::Unknown,
            ),
        };
        State {
            location,
            text,
            left,
        }
    }

    /// Whether the old state is restored: judged by reading the object, or by the answers if it cannot be read.
    async fn undo(&self, part: &Part) -> bool {
        if part.undo.is_empty() {
            return false;
        }
        let location = self.locations.location(part.location);
        let asker = self.asker.afterwards();
        let mut says_so = true;
        for question in &part.undo {
            let answer = location.reply(&asker, question).await;
            says_so &= answer.is_ok_and(|reply| {
                let is_gone = reply.status == StatusCode::NOT_FOUND;
                reply.status.is_success() || (is_gone && question.method == Method::DELETE)
            });
        }
        let Ok(there) = location.reply(&asker, &part.look).await else {
            return says_so;
        };
        match (&part.before, there.status) {
            (Before::Nothing { .. }, StatusCode::NOT_FOUND) => true,
            (Before::Copy(copy), StatusCode::OK) => {
                Resource::read(&there.body).is_ok_and(|shown| copy.is(&shown))
            }
            _ => false,
        }
    }

    fn explain(&self, mut states: Vec<State>) -> Error {
        // Of many only the first are named, and "undone" of so many tells nobody which one failed.
        states.sort_by_key(|state| (Reverse(state.left), state.location));
        let left = states.first().map(|state| state.left);
        let is_torn = left > Some(Left::Nothing);
        let states = states.into_iter();
        Error::NotEverywhere {
            what: format!("{} {}", self.collection.facts().noun, self.ident),
            states: states.map(|state| (state.location, state.text)).collect(),
            is_torn,
            // What was made and is still there is made once more, or in its own way, by who repeats it.
            is_final: match self.goal {
                Goal::Made => is_torn,
                Goal::Changed | Goal::Gone => left == Some(Left::Unknown),
            },
        }
    }
}

fn not_done(answered: Result<Reply, Silence>) -> Outcome {
    match answered {
        Ok(reply) if is_clients_fault(reply.status) => Outcome::Refused(reply),
        Ok(reply) => Outcome::Failed(said(&reply)),
        Err(silence) => Outcome::Failed(format!("could not be asked ({})", silence.reason)),
    }
}

fn in_doubt(answered: Result<Reply, Silence>) -> Outcome {
    match not_done(answered) {
        Outcome::Failed(text) => Outcome::Doubtful(text),
        other => other,
    }
}

/// Errors that a repetition would meet again.
fn is_clients_fault(status: StatusCode) -> bool {
    status.is_client_error() && status != StatusCode::NOT_FOUND
}

fn said(reply: &Reply) -> String {
    format!(
        "refused with {} {}",
        reply.status.as_u16(),
        fault::text_of(&reply.body).unwrap_or_default()
    )
}
