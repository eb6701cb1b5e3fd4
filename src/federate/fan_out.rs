//! One question to several locations, and what becomes of those that stay silent.

use std::fmt::Write;

use futures_util::future::join_all;
use http::StatusCode;

use crate::api::header;
use crate::config::LocationId;
use crate::config::Partial;
use crate::federate::Error;
use crate::federate::Federation;
use crate::locations::location::Location;
use crate::locations::question::Asker;
use crate::locations::question::Question;
use crate::locations::silence::Reason;
use crate::locations::silence::Silence;
use crate::request::Answer;
use crate::request::Request;
use crate::wire::transport::Reply;

/// What locations said, in the order of the configuration.
#[derive(Debug, Default)]
pub struct Told {
    pub replies: Vec<(LocationId, Reply)>,
    pub silent: Vec<Silence>,
}

/// Asks all of `scope` at the same time.
pub async fn ask_each(scope: &[&Location], asker: &Asker, question: &Question) -> Told {
    let answers = join_all(scope.iter().map(|location| location.reply(asker, question))).await;
    let mut told = Told::default();
    for (location, answer) in scope.iter().zip(answers) {
        match answer {
            Ok(reply) => told.replies.push((location.id, reply)),
            Err(silence) => told.silent.push(silence),
        }
    }
    told
}

impl Told {
    /// Those with a 200. A 404 is "no" unless everybody says so; another error of Ironic's ends it.
    pub fn found(self) -> Result<Self, Error> {
        let mut found = Vec::new();
        let mut unknown = None;
        for (location, reply) in self.replies {
            match reply.status {
                StatusCode::OK => found.push((location, reply)),
                StatusCode::NOT_FOUND => {
                    unknown.get_or_insert((location, reply));
                }
                _ => return Err(refusal(reply, location)),
            }
        }
        match unknown {
            Some((location, reply)) if found.is_empty() && self.silent.is_empty() => {
                Err(refusal(reply, location))
            }
            Some(_) if found.is_empty() => Err(Error::Silent(self.silent)),
            _ => Ok(Self {
                replies: found,
                silent: self.silent,
            }),
        }
    }
}

/// A location's error is the client's, as it is; every location would have said the same.
pub fn refusal(reply: Reply, location: LocationId) -> Error {
    Error::Reply(Box::new(Answer {
        location: None,
        ..Answer::relay(reply, location)
    }))
}

impl Federation {
    /// Silent locations: missing and announced where that is allowed, else the answer is their silence. `asked`: how
    /// many locations were.
    pub fn tolerate(
        &self,
        request: &Request,
        asked: usize,
        silent: Vec<Silence>,
    ) -> Result<Vec<Silence>, Error> {
        if silent.is_empty() {
            return Ok(silent);
        }
        let required =
            |silence: &Silence| self.locations.location(silence.location).config.required;
        let only_optional = !silent.iter().any(required);
        if silent.len() < asked && (request.partial == Partial::Allow || only_optional) {
            return Ok(silent);
        }
        let (location, reply) = unanimous(silent, asked)?;
        Err(refusal(reply, location))
    }

    /// Says which locations an answer lacks.
    pub fn announce(&self, answer: Answer, missing: &[Silence]) -> Answer {
        if missing.is_empty() {
            return answer;
        }
        let mut announced = String::new();
        for silence in missing {
            let separator = if announced.is_empty() { "" } else { ", " };
            let name = self.locations.location(silence.location).name();
            // Writing to a String cannot fail.
            let _ = write!(announced, "{separator}{name};reason={}", silence.reason);
        }
        answer.with(header::INCOMPLETE, &announced)
    }
}

/// What is said when every location that was asked gave no answer: if each gave the very same error of Ironic's, that
/// is the answer, else it is their silence.
fn unanimous(silent: Vec<Silence>, asked: usize) -> Result<(LocationId, Reply), Error> {
    let mut replies = silent.iter().filter_map(|silence| {
        let reply = silence
            .reply
            .as_ref()
            .filter(|_| silence.reason == Reason::Status)?;
        (reply.status == StatusCode::INTERNAL_SERVER_ERROR).then_some((silence.location, reply))
    });
    let first = replies.next();
    let same = replies
        .filter(|(_, reply)| {
            first
                .as_ref()
                .is_some_and(|(_, one)| one.body == reply.body)
        })
        .count();
    match first {
        Some((location, reply)) if same + 1 == asked => Ok((location, Reply::clone(reply))),
        _ => Err(Error::Silent(silent)),
    }
}
