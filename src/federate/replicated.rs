//! Objects that nodes of any location refer to: the same at every location, under one UUID. Written everywhere or
//! nowhere: what fails midway is undone as far as that is possible, and the error names every location and its state.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use uuid::Uuid;

use crate::api::body::Object;
use crate::api::body::Patch;
use crate::api::body::Value;
use crate::api::collection::Collection;
use crate::api::fault;
use crate::api::fault::Fault;
use crate::api::json;
use crate::api::link::Kind;
use crate::api::query::encode_segment;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::fan_out::ask_each;
use crate::federate::fan_out::refusal;
use crate::federate::located::create::singular;
use crate::federate::located::unique::Claim;
use crate::federate::located::unique::claims_of;
use crate::locate::LocateError;
use crate::locate::directory::Ident;
use crate::locations::location::Location;
use crate::locations::question::Body;
use crate::locations::question::Question;
use crate::locations::silence::Silence;
use crate::request::Answer;
use crate::request::Request;
use crate::wire::transport::Reply;

/// What a location has of an object, before it is changed.
struct Copy {
    location: LocationId,
    uuid: String,
    document: Map<String, Json>,
    /// Of a runbook whose traits are about to change.
    traits: Option<Json>,
}

impl Copy {
    /// Where what is about to change can be seen.
    fn path(&self, collection: Collection) -> String {
        let path = member(collection, &self.uuid);
        if self.traits.is_some() {
            format!("{path}/traits")
        } else {
            path
        }
    }

    /// Whether `reply`, to a question for [`Self::path`] after a write, tells that nothing was written.
    fn is_as_before(&self, method: &Method, reply: &Reply) -> bool {
        let told = || serde_json::from_slice::<Json>(&reply.body).unwrap_or_default();
        reply.status == StatusCode::OK
            && match &self.traits {
                Some(traits) => told()["traits"] == *traits,
                None => *method == Method::DELETE || told().as_object() == Some(&self.document),
            }
    }
}

/// How a location took its part of a write.
enum Outcome {
    Done(Reply),
    /// Not done, with what it said instead.
    Failed(String),
    /// Nobody can tell whether it was done.
    Doubtful(String),
}

impl Federation {
    /// `GET` of one object, or of something below it: any location's copy will do.
    pub async fn fetch_replicated(
        &self,
        request: &Request,
        ident: &str,
        kind: Kind,
    ) -> Result<Answer, Error> {
        let scope = self.scope(request);
        let question = request.shared();
        if !Ident::new(ident).is_uuid_like() {
            return self.fetch_by_name(request, &scope, &question, kind).await;
        }
        let mut asked: FuturesUnordered<_> = scope
            .iter()
            .map(|location| async move {
                (
                    location.id,
                    location.reply(&request.asker, &request.shared()).await,
                )
            })
            .collect();
        let mut silent = Vec::new();
        let mut refused: Option<(LocationId, Reply)> = None;
        while let Some((location, answer)) = asked.next().await {
            match answer {
                Ok(reply) if reply.status == StatusCode::OK => {
                    return self.copy(request, location, kind, reply);
                }
                Ok(reply) => {
                    if refused.as_ref().is_none_or(|(first, _)| location < *first) {
                        refused = Some((location, reply));
                    }
                }
                Err(silence) => silent.push(silence),
            }
        }
        match refused {
            Some((location, reply))
                if silent.is_empty() || reply.status != StatusCode::NOT_FOUND =>
            {
                Err(refusal(reply, location))
            }
            _ => Err(Error::Silent(silent)),
        }
    }

    /// Objects made before there was a gateway may share a name and nothing else.
    async fn fetch_by_name(
        &self,
        request: &Request,
        scope: &[&Location],
        question: &Question,
        kind: Kind,
    ) -> Result<Answer, Error> {
        let found = ask_each(scope, &request.asker, question)
            .await
            .found()?
            .replies;
        let uuids: BTreeSet<_> = found
            .iter()
            .filter_map(|(_, reply)| json::member(&reply.body, "uuid").ok().flatten())
            .collect();
        if uuids.len() > 1 {
            let owners = found.iter().map(|(location, _)| *location).collect();
            return Err(LocateError::Ambiguous { owners }.into());
        }
        drop(uuids);
        match found.into_iter().next() {
            Some((location, reply)) => self.copy(request, location, kind, reply),
            None => Err(Fault::not_found().into()),
        }
    }

    fn copy(
        &self,
        request: &Request,
        location: LocationId,
        kind: Kind,
        reply: Reply,
    ) -> Result<Answer, Error> {
        let misspoke = |_| self.locations.location(location).misspoke();
        let answer = self
            .adopt(request, location, kind, None, reply)
            .map_err(misspoke)?;
        Ok(Answer {
            location: request.pinned,
            ..answer
        })
    }

    /// `POST`: everywhere, under one UUID.
    pub async fn create_replicated(
        &self,
        request: &Request,
        collection: Collection,
        body: &[u8],
    ) -> Result<Answer, Error> {
        let mut object = Object::parse(singular(collection), body)?;
        if collection == Collection::InspectionRules && !object.contains("conditions") {
            // Without them Ironic 39 answers 500, having made the rule.
            object.set("conditions", &[(); 0]);
        }
        if let Some(pinned) = request.pinned {
            return self.create_at(request, collection, pinned, object).await;
        }
        let uuid = match object.value("uuid") {
            Value::Text(uuid) => uuid,
            Value::Other => {
                return self
                    .create_at(request, collection, self.first(), object)
                    .await;
            }
            Value::Absent | Value::Null => {
                let uuid = Uuid::new_v4().to_string();
                object.set("uuid", &uuid);
                uuid
            }
        };
        self.check_free(request, &claims_of(collection, &uuid, &object))
            .await?;

        let mut question = request.question();
        question.body = Body::Whole(object.to_bytes());
        let first = self.locations.location(self.first());
        let made = match self
            .make(request, collection, first, &question, &uuid)
            .await
        {
            Outcome::Done(reply) if reply.status.is_success() => reply,
            // The first location's word about the request is the client's answer.
            Outcome::Done(reply) => return Err(refusal(reply, first.id)),
            Outcome::Failed(state) => {
                return Err(self
                    .state_of(collection, &uuid, vec![(first.id, state)])
                    .into());
            }
            Outcome::Doubtful(state) => {
                let question = request.ask(Method::DELETE, member(collection, &uuid));
                let undone = self
                    .undo(request, first.id, vec![question], Some(state))
                    .await;
                return Err(self.state_of(collection, &uuid, vec![undone]).into());
            }
        };
        let others: Vec<_> = self
            .locations
            .iter()
            .filter(|location| location.id != first.id)
            .collect();
        let outcomes = join_all(
            others
                .iter()
                .map(|location| self.make(request, collection, location, &question, &uuid)),
        )
        .await;
        let mut to_undo = vec![(first.id, None)];
        let mut states = Vec::new();
        for (location, outcome) in others.iter().zip(outcomes) {
            match outcome {
                Outcome::Done(reply) if reply.status.is_success() => {
                    to_undo.push((location.id, None));
                }
                Outcome::Done(reply) => states.push((location.id, said(&reply))),
                Outcome::Failed(state) => states.push((location.id, state)),
                Outcome::Doubtful(state) => to_undo.push((location.id, Some(state))),
            }
        }
        if to_undo.len() == self.locations.iter().count()
            && to_undo.iter().all(|(_, doubt)| doubt.is_none())
        {
            let answer = self.relay(request, first.id, collection.facts().kind, None, made);
            return Ok(Answer {
                location: None,
                ..answer
            });
        }
        let path = member(collection, &uuid);
        let undone = join_all(to_undo.into_iter().map(|(id, doubt)| {
            self.undo(
                request,
                id,
                vec![request.ask(Method::DELETE, path.clone())],
                doubt,
            )
        }))
        .await;
        states.extend(undone);
        Err(self.state_of(collection, &uuid, states).into())
    }

    /// Where the first copy is written: its errors are the client's.
    fn first(&self) -> LocationId {
        self.groups.default_location().unwrap_or(LocationId(0))
    }

    /// Every location has to say that nothing is in the way; before that nothing is written.
    async fn check_free(&self, request: &Request, claims: &[Claim]) -> Result<(), Error> {
        let scope: Vec<_> = self.locations.iter().collect();
        for claim in claims {
            let told = ask_each(&scope, &request.asker, &request.probe(claim.path.clone())).await;
            if told
                .replies
                .iter()
                .any(|(_, reply)| reply.status == StatusCode::OK)
            {
                return Err(Fault::new(StatusCode::CONFLICT, claim.conflict.clone()).into());
            }
            if !told.silent.is_empty() {
                return Err(Error::Silent(told.silent));
            }
        }
        Ok(())
    }

    /// Makes one copy. An error may hide that it was made: the UUID tells.
    async fn make(
        &self,
        request: &Request,
        collection: Collection,
        location: &Location,
        question: &Question,
        uuid: &str,
    ) -> Outcome {
        let answered = location.reply(&request.asker, question).await;
        let conflicts = matches!(&answered, Ok(reply) if reply.status == StatusCode::CONFLICT);
        if !is_doubtful(&answered) && !conflicts {
            return outcome(answered);
        }
        let path = member(collection, uuid);
        let there = location
            .reply(&request.asker, &request.ask(Method::GET, path.clone()))
            .await;
        match there {
            Ok(mut reply) if reply.status == StatusCode::OK => {
                reply.status = StatusCode::CREATED;
                if let Ok(href) = HeaderValue::from_str(&format!("{}{path}", request.base.as_str()))
                {
                    reply.headers.insert(http::header::LOCATION, href);
                }
                Outcome::Done(reply)
            }
            Ok(reply) if reply.status == StatusCode::NOT_FOUND => outcome(answered),
            Ok(_) | Err(_) if conflicts => outcome(answered),
            Ok(_) | Err(_) => in_doubt(answered),
        }
    }

    /// `PATCH`, `DELETE`, and what changes something below an object: at every location that has it.
    pub async fn change_replicated(
        &self,
        request: &Request,
        collection: Collection,
        ident: &str,
        body: &[u8],
    ) -> Result<Answer, Error> {
        let patch = if request.method == Method::PATCH {
            Some(Patch::parse(body)?)
        } else {
            None
        };
        let question = request.question();
        if let Some(pinned) = request.pinned {
            let reply = self
                .locations
                .location(pinned)
                .reply(&request.asker, &question)
                .await?;
            return Ok(self.relay(request, pinned, collection.facts().kind, None, reply));
        }
        let copies = self.copies(request, collection, ident).await?;
        if collection == Collection::Chassis && request.method == Method::DELETE {
            self.check_empty(request, ident, &copies).await?;
        }
        let Some(first) = copies.first() else {
            return Err(Fault::not_found().into());
        };
        let undo = |copy: &Copy, doubt| {
            let questions = inverse(request, collection, copy, patch.as_ref());
            self.undo(request, copy.location, questions, doubt)
        };
        let made = match self.change(request, collection, first, &question).await {
            Outcome::Done(reply) if reply.status.is_success() => reply,
            Outcome::Done(reply) => return Err(refusal(reply, first.location)),
            Outcome::Failed(state) => {
                return Err(self
                    .state_of(collection, ident, vec![(first.location, state)])
                    .into());
            }
            Outcome::Doubtful(state) => {
                let undone = undo(first, Some(state)).await;
                return Err(self.state_of(collection, ident, vec![undone]).into());
            }
        };
        let others = &copies[1..];
        let outcomes = join_all(
            others
                .iter()
                .map(|copy| self.change(request, collection, copy, &question)),
        )
        .await;
        let gone = |reply: &Reply| {
            request.method == Method::DELETE && reply.status == StatusCode::NOT_FOUND
        };
        let mut to_undo = vec![(first, None)];
        let mut states = Vec::new();
        for (copy, outcome) in others.iter().zip(outcomes) {
            match outcome {
                Outcome::Done(reply) if reply.status.is_success() || gone(&reply) => {
                    to_undo.push((copy, None));
                }
                Outcome::Done(reply) => states.push((copy.location, said(&reply))),
                Outcome::Failed(state) => states.push((copy.location, state)),
                Outcome::Doubtful(state) => to_undo.push((copy, Some(state))),
            }
        }
        if to_undo.len() == copies.len() && to_undo.iter().all(|(_, doubt)| doubt.is_none()) {
            let answer = self.relay(request, first.location, collection.facts().kind, None, made);
            return Ok(Answer {
                location: None,
                ..answer
            });
        }
        states.extend(join_all(to_undo.into_iter().map(|(copy, doubt)| undo(copy, doubt))).await);
        Err(self.state_of(collection, ident, states).into())
    }

    /// Changes one copy. An error may hide that it was done: what is there now tells.
    async fn change(
        &self,
        request: &Request,
        collection: Collection,
        copy: &Copy,
        question: &Question,
    ) -> Outcome {
        let location = self.locations.location(copy.location);
        let answered = location.reply(&request.asker, question).await;
        if !is_doubtful(&answered) {
            return outcome(answered);
        }
        let path = copy.path(collection);
        let there = location
            .reply(&request.asker, &request.ask(Method::GET, path))
            .await;
        match there {
            Ok(reply) if copy.is_as_before(&request.method, &reply) => outcome(answered),
            Ok(reply) if request.method == Method::PATCH && reply.status == StatusCode::OK => {
                Outcome::Done(reply)
            }
            Ok(mut reply) if matches!(reply.status, StatusCode::OK | StatusCode::NOT_FOUND) => {
                reply.status = StatusCode::NO_CONTENT;
                reply.headers.remove(http::header::CONTENT_TYPE);
                reply.body = Bytes::new();
                Outcome::Done(reply)
            }
            Ok(_) | Err(_) => in_doubt(answered),
        }
    }

    /// Who has it, and what it is there. Every location has to answer before anything is written.
    async fn copies(
        &self,
        request: &Request,
        collection: Collection,
        ident: &str,
    ) -> Result<Vec<Copy>, Error> {
        let scope: Vec<_> = self.locations.iter().collect();
        let path = member(collection, ident);
        let told = ask_each(
            &scope,
            &request.asker,
            &request.ask(Method::GET, path.clone()),
        )
        .await;
        if !told.silent.is_empty() {
            return Err(Error::Silent(told.silent));
        }
        let found = told.found()?.replies;
        let below = request.target.path() != path;
        let mut copies = Vec::new();
        for (location, reply) in found {
            let misspoke = |_| -> Silence { self.locations.location(location).misspoke() };
            let document: Map<String, Json> =
                serde_json::from_slice(&reply.body).map_err(misspoke)?;
            let uuid = document
                .get("uuid")
                .and_then(Json::as_str)
                .unwrap_or_default()
                .to_owned();
            let traits = if below {
                let question =
                    request.ask(Method::GET, format!("{}/traits", member(collection, &uuid)));
                let reply = self
                    .locations
                    .location(location)
                    .reply(&request.asker, &question)
                    .await?;
                serde_json::from_slice::<Json>(&reply.body)
                    .ok()
                    .map(|body| body["traits"].clone())
            } else {
                None
            };
            copies.push(Copy {
                location,
                uuid,
                document,
                traits,
            });
        }
        let uuids: BTreeSet<_> = copies.iter().map(|copy| &copy.uuid).collect();
        if uuids.len() > 1 {
            return Err(LocateError::Ambiguous {
                owners: copies.iter().map(|copy| copy.location).collect(),
            }
            .into());
        }
        Ok(copies)
    }

    /// A chassis with nodes at any location is not deleted at the others.
    async fn check_empty(
        &self,
        request: &Request,
        ident: &str,
        copies: &[Copy],
    ) -> Result<(), Error> {
        let scope: Vec<_> = copies
            .iter()
            .map(|copy| self.locations.location(copy.location))
            .collect();
        let path = format!(
            "{}/nodes?limit=1&fields=uuid",
            member(Collection::Chassis, ident)
        );
        let told = ask_each(&scope, &request.asker, &request.probe(path)).await;
        if !told.silent.is_empty() {
            return Err(Error::Silent(told.silent));
        }
        for (_, reply) in told.replies {
            let body: Json = serde_json::from_slice(&reply.body).unwrap_or_default();
            if body["nodes"]
                .as_array()
                .is_some_and(|nodes| !nodes.is_empty())
            {
                let text = format!(
                    "Cannot complete the requested action because chassis {ident} contains nodes."
                );
                return Err(Fault::bad_request(text).into());
            }
        }
        Ok(())
    }

    /// Takes a part back, and tells in which state that leaves the location; `doubt`: nobody knows whether it was done.
    async fn undo(
        &self,
        request: &Request,
        location: LocationId,
        questions: Vec<Question>,
        doubt: Option<String>,
    ) -> (LocationId, String) {
        let mut undone = true;
        for question in &questions {
            let there = self.locations.location(location);
            undone &= there
                .reply(&request.asker, question)
                .await
                .is_ok_and(|reply| {
                    reply.status.is_success() || reply.status == StatusCode::NOT_FOUND
                });
        }
        let state = match (doubt, undone) {
            (None, true) => "undone".to_owned(),
            (None, false) => "done, could not be undone".to_owned(),
            (Some(doubt), true) => format!("{doubt}, undone"),
            (Some(doubt), false) => format!("{doubt}, perhaps done, could not be undone"),
        };
        (location, state)
    }

    fn state_of(
        &self,
        collection: Collection,
        ident: &str,
        mut states: Vec<(LocationId, String)>,
    ) -> Fault {
        states.sort_by_key(|(location, _)| *location);
        let each: Vec<_> = states
            .iter()
            .map(|(location, state)| {
                format!("{}: {state}", self.locations.location(*location).name())
            })
            .collect();
        let noun = collection.facts().noun;
        let text = format!(
            "{noun} {ident} could not be changed everywhere. {}. Please retry.",
            each.join("; ")
        );
        Fault::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

fn member(collection: Collection, ident: &str) -> String {
    format!("/v1/{}/{}", collection.facts().path, encode_segment(ident))
}

/// An error of the server's, or no answer, may come after the deed.
fn is_doubtful(answered: &Result<Reply, Silence>) -> bool {
    match answered {
        Ok(reply) => reply.status.is_server_error(),
        Err(silence) => silence.sent,
    }
}

fn outcome(answered: Result<Reply, Silence>) -> Outcome {
    match answered {
        Ok(reply) if reply.status.is_server_error() => Outcome::Failed(said(&reply)),
        Ok(reply) => Outcome::Done(reply),
        Err(silence) => Outcome::Failed(format!("could not be asked ({})", silence.reason)),
    }
}

fn in_doubt(answered: Result<Reply, Silence>) -> Outcome {
    match outcome(answered) {
        Outcome::Failed(state) => Outcome::Doubtful(state),
        other => other,
    }
}

fn said(reply: &Reply) -> String {
    format!(
        "refused with {} {}",
        reply.status.as_u16(),
        fault::text_of(&reply.body).unwrap_or_default()
    )
}

/// What Ironic sets itself and does not take back.
pub const SET_BY_IRONIC: &[&str] = &["links", "created_at", "updated_at", "nodes", "traits"];

/// The requests that put a copy back as it was.
fn inverse(
    request: &Request,
    collection: Collection,
    copy: &Copy,
    patch: Option<&Patch>,
) -> Vec<Question> {
    let path = member(collection, &copy.uuid);
    let ask = |method, path, body: Json| {
        let mut question = request.ask(method, path);
        question.body = Body::Whole(body.to_string().into());
        question
    };
    let set_traits = |traits: &Json| {
        ask(
            Method::PUT,
            format!("{path}/traits"),
            json!({ "traits": traits }),
        )
    };
    match (patch, &copy.traits) {
        (Some(patch), _) => {
            let body = Json::Array(undo_patch(patch, &copy.document));
            vec![ask(Method::PATCH, path, body)]
        }
        (None, Some(traits)) => vec![set_traits(traits)],
        (None, None) => {
            let mut document = copy.document.clone();
            // What is null Ironic shows, but does not take.
            document
                .retain(|name, value| !SET_BY_IRONIC.contains(&name.as_str()) && !value.is_null());
            let path = format!("/v1/{}", collection.facts().path);
            let traits = copy
                .document
                .get("traits")
                .filter(|traits| traits.as_array().is_some_and(|traits| !traits.is_empty()));
            let mut questions = vec![ask(Method::POST, path, Json::Object(document))];
            questions.extend(traits.map(set_traits));
            questions
        }
    }
}

/// Gives every attribute that the patch touches its old value.
fn undo_patch(patch: &Patch, before: &Map<String, Json>) -> Vec<Json> {
    let touched: BTreeSet<String> = patch
        .changes()
        .into_iter()
        .filter_map(|(path, _)| path.split('/').nth(1).map(str::to_owned))
        .collect();
    touched
        .into_iter()
        .map(|name| {
            let path = format!("/{name}");
            match before.get(&name) {
                Some(value) if !value.is_null() => {
                    json!({"op": "add", "path": path, "value": value})
                }
                _ => json!({"op": "remove", "path": path}),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_undone_by_old_values() {
        let patch = Patch::parse(
            br#"[{"op": "replace", "path": "/description", "value": "b"}, {"op": "add", "path": "/extra/x", "value": 1}, {"op": "add", "path": "/owner", "value": "p"}]"#,
        )
        .unwrap();
        let before =
            serde_json::from_str(r#"{"description": "a", "extra": {"y": 2}, "owner": null}"#)
                .unwrap();
        assert_eq!(
            Json::Array(undo_patch(&patch, &before)),
            json!([
                {"op": "add", "path": "/description", "value": "a"},
                {"op": "add", "path": "/extra", "value": {"y": 2}},
                {"op": "remove", "path": "/owner"},
            ])
        );
    }
}
