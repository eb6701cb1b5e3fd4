//! Objects that nodes of any location may refer to. They are the same at every location, under one UUID. Reads take
//! any copy; a write is done at every location or at none ([`mod@write`]).

pub mod change;
pub mod copy;
pub mod create;
pub mod write;

use std::collections::BTreeSet;

use futures_util::StreamExt;
use http::Method;
use http::StatusCode;

use crate::api::collection::Collection;
use crate::api::json;
use crate::api::link::Kind;
use crate::api::query::Query;
use crate::api::query::encode_segment;
use crate::api::resource::Resource;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::Subject;
use crate::federate::fan_out::ask_each;
use crate::federate::fan_out::refusal;
use crate::federate::fan_out::shows_none;
use crate::federate::objection::Objection;
use crate::locate::LocateError;
use crate::locate::directory::Ident;
use crate::locations::location::Location;
use crate::locations::question::Expect;
use crate::locations::question::Question;
use crate::locations::window::ask_any;
use crate::request::Answer;
use crate::request::Request;
use crate::wire::transport::Reply;

/// A request about such objects.
#[derive(Clone, Copy, Debug)]
pub struct Replicated<'a> {
    pub(crate) federation: &'a Federation,
    pub(crate) request: &'a Request,
    pub(crate) collection: Collection,
}

impl<'a> Replicated<'a> {
    pub fn new(federation: &'a Federation, request: &'a Request, collection: Collection) -> Self {
        Self {
            federation,
            request,
            collection,
        }
    }

    /// `GET` of one object, or of something below it: any location's copy will do.
    pub async fn read(&self, ident: &str, kind: Kind) -> Result<Answer, Error> {
        let scope = self.federation.scope(self.request);
        let mut question = self.reading(&scope);
        if !Ident::new(ident).is_uuid_like() {
            if scope.len() < 2 || !self.is_below() {
                return self.read_by_name(&scope, question, kind).await;
            }
            // What is below does not say whose it is.
            let uuid = self.uuid_of(&scope, ident).await?;
            question.path = self.path_for(&uuid);
        }
        let asker = &self.request.asker;
        let asked = scope
            .iter()
            .map(|location| async { (location.id, location.reply(asker, &question).await) });
        let mut asked = ask_any(asked);
        let mut silent = Vec::new();
        let mut refused: Option<(LocationId, Reply)> = None;
        // The first 200 wins, so a slow location costs nothing; dropping the rest cancels their questions.
        while let Some((location, answer)) = asked.next().await {
            match answer {
                Ok(reply) if reply.status == StatusCode::OK => {
                    return self.copy(location, kind, reply);
                }
                Ok(reply) => {
                    // "Not found" is no answer of all where one refuses to say. Else the first in the order of the
                    // configuration, so that repeated requests get the same words.
                    let rank = |(location, reply): &(LocationId, Reply)| {
                        (reply.status == StatusCode::NOT_FOUND, *location)
                    };
                    let said = (location, reply);
                    if refused
                        .as_ref()
                        .is_none_or(|known| rank(&said) < rank(known))
                    {
                        refused = Some(said);
                    }
                }
                Err(silence) => silent.push(silence),
            }
        }
        match refused {
            Some((location, reply)) if silent.is_empty() || !shows_none(reply.status) => {
                Err(refusal(reply, location))
            }
            _ => Err(Error::Silent(silent)),
        }
    }

    /// An error of one of several is no answer: another one may have it.
    fn reading(&self, scope: &[&Location]) -> Question {
        if scope.len() > 1 {
            self.request.shared()
        } else {
            self.request.question()
        }
    }

    /// Whether it is about something of the object, and not about the object.
    fn is_below(&self) -> bool {
        // Not by its text: below 1.91 that may end in `.json`.
        let member = self.collection.facts().path.split('/').count() + 1;
        self.request.target.segments().len() > member
    }

    /// The client's own path with what it names by its UUID.
    fn path_for(&self, uuid: &str) -> String {
        let mut path = self.request.target.path_for(self.collection, uuid);
        self.request.query.append_to(&mut path);
        path
    }

    /// What is called so.
    async fn uuid_of(&self, scope: &[&Location], ident: &str) -> Result<String, Error> {
        let mut path = member(self.collection, ident);
        Query::default().with("fields", "uuid").append_to(&mut path);
        let question = self.request.ask(Method::GET, path);
        let question = question.expecting(Expect::Document {
            member: Some("uuid"),
        });
        let told = ask_each(scope, &self.request.asker, &question).await;
        let uuid = one_uuid(&told.shown()?.replies)?;
        uuid.ok_or_else(|| Objection::NOWHERE.into())
    }

    async fn read_by_name(
        &self,
        scope: &[&Location],
        mut question: Question,
        kind: Kind,
    ) -> Result<Answer, Error> {
        let (query, unshown) = self.request.query.with_fields(&["uuid"]);
        if !unshown.is_empty() {
            question.path = self.request.target.path();
            query.append_to(&mut question.path);
        }
        let told = ask_each(scope, &self.request.asker, &question).await;
        let found = told.shown()?.replies;
        one_uuid(&found)?;
        match found.into_iter().next() {
            Some((location, mut reply)) => {
                if !unshown.is_empty() {
                    let there = self.federation.locations.location(location);
                    let unreadable = |_| there.unreadable(&question.expect);
                    let mut shown = Resource::read(&reply.body).map_err(unreadable)?;
                    shown.remove("uuid");
                    reply.body = shown.to_bytes();
                }
                self.copy(location, kind, reply)
            }
            None => Err(Objection::NOWHERE.into()),
        }
    }

    fn copy(&self, location: LocationId, kind: Kind, reply: Reply) -> Result<Answer, Error> {
        let there = self.federation.locations.location(location);
        let answer = self
            .federation
            .adopt(self.request, location, Subject::Other(kind), reply)
            .map_err(|_| there.unreadable(&self.request.question().expect))?;
        Ok(Answer {
            location: self.request.pinned,
            places: vec![location],
            ..answer
        })
    }

    /// What the first location said of a write that was done everywhere.
    pub(crate) fn everywhere(&self, location: LocationId, reply: Reply) -> Answer {
        let kind = self.collection.facts().kind;
        let answer = self
            .federation
            .relay(self.request, location, Subject::Other(kind), reply);
        Answer {
            location: None,
            ..answer
        }
    }
}

/// Objects made before there was a gateway may share a name and nothing else.
fn one_uuid(found: &[(LocationId, Reply)]) -> Result<Option<String>, Error> {
    let uuids: BTreeSet<_> = found
        .iter()
        .filter_map(|(_, reply)| json::member(&reply.body, "uuid").ok().flatten())
        .collect();
    if uuids.len() > 1 {
        let owners = found.iter().map(|(location, _)| *location).collect();
        return Err(LocateError::Ambiguous { owners }.into());
    }
    Ok(uuids.into_iter().next().map(Into::into))
}

/// The path of an object.
pub(crate) fn member(collection: Collection, ident: &str) -> String {
    format!("/v1/{}/{}", collection.facts().path, encode_segment(ident))
}
