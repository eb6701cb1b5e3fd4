//! Asks several locations the same question, and decides what missing answers mean.

use http::StatusCode;

use crate::api::fault;
use crate::config::LocationId;
use crate::config::Partial;
use crate::federate::Error;
use crate::federate::objection::Objection;
use crate::locations::Locations;
use crate::locations::location::Location;
use crate::locations::order::Act;
use crate::locations::question::Asker;
use crate::locations::question::Question;
use crate::locations::silence::Reason;
use crate::locations::silence::Silence;
use crate::locations::window::ask_all;
use crate::request::Answer;
use crate::request::Request;
use crate::wire::transport::Reply;

/// What locations said, in the order of the configuration.
#[derive(Debug, Default)]
pub struct Told {
    pub replies: Vec<(LocationId, Reply)>,
    pub silent: Vec<Silence>,
}

/// Asks all of `scope`, whoever is slow beside the others.
pub async fn ask_each(scope: &[&Location], asker: &Asker, question: &Question) -> Told {
    let answers = ask_all(scope.iter().map(|location| location.reply(asker, question))).await;
    let mut told = Told::default();
    for (location, answer) in scope.iter().zip(answers) {
        match answer {
            Ok(reply) => told.replies.push((location.id, reply)),
            Err(silence) => told.silent.push(silence),
        }
    }
    told
}

/// What has to happen everywhere is not begun if a location's operator keeps it from that.
pub fn let_all<'a>(parts: impl Iterator<Item = (&'a Location, &'a Question)>) -> Result<(), Error> {
    let forbidden: Vec<_> = parts
        .filter_map(|(location, question)| {
            let reason = location.forbids(Act::of(question))?;
            Some(location.silent(reason))
        })
        .collect();
    if forbidden.is_empty() {
        Ok(())
    } else {
        Err(Error::Silent(forbidden))
    }
}

impl Told {
    /// What the first one said, if all say no.
    pub fn denied(&self) -> Option<(LocationId, &Reply)> {
        let says_no = |(_, reply): &(_, Reply)| reply.status == StatusCode::NOT_FOUND;
        let all = self.silent.is_empty() && self.replies.iter().all(says_no);
        let (first, reply) = self.replies.first().filter(|_| all)?;
        Some((*first, reply))
    }

    /// The answers with a 200. A 404 counts only if every location gave one; any other error of Ironic's is the answer.
    pub fn found(self) -> Result<Self, Error> {
        self.found_beside(|status| status == StatusCode::NOT_FOUND)
    }

    /// The same of what any location may show.
    pub fn shown(self) -> Result<Self, Error> {
        self.found_beside(shows_none)
    }

    fn found_beside(self, is_none: impl Fn(StatusCode) -> bool) -> Result<Self, Error> {
        let mut found = Vec::new();
        let mut none = Vec::new();
        for (location, reply) in self.replies {
            match reply.status {
                StatusCode::OK => found.push((location, reply)),
                status if is_none(status) => none.push((location, reply)),
                _ => return Err(refusal(reply, location)),
            }
        }
        // A refusal comes first: that location did not say no.
        let none = none
            .into_iter()
            .min_by_key(|(location, reply)| (reply.status == StatusCode::NOT_FOUND, *location));
        if !found.is_empty() {
            return Ok(Self {
                replies: found,
                silent: self.silent,
            });
        }
        match none {
            Some((location, reply)) if self.silent.is_empty() => Err(refusal(reply, location)),
            // What every Ironic fails at is the client's business, however many of them there are.
            _ => Err(match self.silent.iter().find_map(malformed) {
                Some(fault) => fault.into(),
                None => Error::Silent(self.silent),
            }),
        }
    }
}

/// Whether a location shows nothing of it to the caller: it has none, or, judging the user's own token, somebody else's. Of
/// what others have neither says anything.
pub fn shows_none(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
    )
}

/// A location's error is the client's, as it is; every location would have said the same.
pub fn refusal(reply: Reply, location: LocationId) -> Error {
    Error::Reply(Box::new(Answer {
        location: None,
        ..Answer::relay(reply, location)
    }))
}

/// Decides whether an answer may lack the silent locations: then they are announced, else it is a 503. `asked`: how
/// many locations were.
pub fn tolerate(
    locations: &Locations,
    request: &Request,
    asked: usize,
    silent: Vec<Silence>,
) -> Result<Vec<Silence>, Error> {
    if silent.is_empty() {
        return Ok(silent);
    }
    // Before anything else: every location fails at such a question, however often it is asked.
    if let Some(fault) = silent.iter().find_map(malformed) {
        return Err(fault.into());
    }
    let required = |silence: &Silence| locations.location(silence.location).required;
    let only_optional = !silent.iter().any(required);
    // If nobody answered there is no partial list, whatever the client accepts.
    if silent.len() < asked && (request.partial == Partial::Allow || only_optional) {
        return Ok(silent);
    }
    Err(Error::Silent(silent))
}

/// Says which locations an answer lacks.
pub fn announce(locations: &Locations, mut answer: Answer, missing: &[Silence]) -> Answer {
    // A location that shows us one project's part answers 200 and cannot know that something is missing.
    let narrow = locations.iter().filter(|location| {
        location.is_narrow() && answer.location.is_none_or(|only| only == location.id)
    });
    let narrow: Vec<_> = narrow
        .map(|location| (location.id, Reason::Scope))
        .collect();
    let missing = missing.iter();
    let missing = missing.map(|silence| (silence.location, silence.reason));
    answer.lacks(missing.chain(narrow));
    answer
}

/// Ironic 39 fails with a 500 where it is asked for a field that there is not (`type object 'Node' has no attribute
/// 'foo'`) or with an argument that a controller does not take (`ShardController.get_all() got an unexpected keyword
/// argument 'foo'`). That is the client's to mend. Other errors of a location are its own, and hold what clients must
/// not see.
fn malformed(silence: &Silence) -> Option<Objection> {
    let reply = silence.reply.as_ref()?;
    let text = fault::text_of(&reply.body)?;
    let quoted = |(_, rest): (&str, &str)| rest.strip_suffix('\'').map(str::to_owned);
    let is_word = |word: &String| {
        word.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    let field = text
        .strip_prefix("type object '")
        .and_then(|rest| rest.split_once("' has no attribute '"))
        .and_then(quoted)
        .filter(is_word);
    if let Some(field) = field {
        let text = format!("Field {field} is not a valid field.");
        return Some(Objection::Invalid(text));
    }
    let argument = text
        .split_once("() got an unexpected keyword argument '")
        .and_then(quoted)
        .filter(is_word)?;
    Some(Objection::Invalid(format!(
        "Unexpected arguments: {argument}"
    )))
}
