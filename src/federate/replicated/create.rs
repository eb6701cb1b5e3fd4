//! `POST`: everywhere, under one UUID.

use bytes::Bytes;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use uuid::Uuid;

use crate::api::body::Object;
use crate::api::body::Value;
use crate::api::collection::Collection;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::claim::Stake;
use crate::federate::claim::claims_of;
use crate::federate::hold::Hold;
use crate::federate::located::create::Creation;
use crate::federate::located::create::is_drawn;
use crate::federate::located::create::singular;
use crate::federate::located::unique::ask_whether_free;
use crate::federate::replicated::Replicated;
use crate::federate::replicated::member;
use crate::federate::replicated::write::Before;
use crate::federate::replicated::write::Goal;
use crate::federate::replicated::write::Part;
use crate::federate::replicated::write::Write;
use crate::locations::location::Location;
use crate::locations::question::Body;
use crate::locations::question::Expect;
use crate::locations::silence::Silence;
use crate::request::Answer;

impl Replicated<'_> {
    pub async fn create(&self) -> Result<Answer, Error> {
        let collection = self.collection;
        let mut object = Object::parse(singular(collection), self.request.body.held())?;
        if collection == Collection::InspectionRules && !object.contains("conditions") {
            // Ironic 39 answers 500 to a rule without conditions after it has created it.
            object.set("conditions", &[(); 0]);
        }
        let alone = Creation {
            federation: self.federation,
            request: self.request,
            collection,
        };
        if let Some(pinned) = self.request.pinned {
            return alone.at(pinned, object).await;
        }
        let uuid = match object.value("uuid") {
            // Elsewhere an empty one is Ironic's 400; here each location would draw its own.
            Value::Text(uuid) if !is_drawn(collection, &uuid) => uuid,
            // A UUID that is no string: Ironic's schema error says so.
            Value::Other => return alone.at(self.first(), object).await,
            Value::Absent | Value::Null | Value::Text(_) => {
                let uuid = Uuid::new_v4().to_string();
                object.set("uuid", &uuid);
                uuid
            }
        };
        let stakes = [Stake::all_of(collection)];
        let hold = self.federation.hold_stakes(self.request, stakes.into());
        let hold = hold.await?;
        hold.suffices(self.federation.require_unique)?;
        let made = self.make(&hold, &uuid, &object).await;
        hold.release().await;
        made
    }

    async fn make(&self, hold: &Hold<'_>, uuid: &str, object: &Object) -> Result<Answer, Error> {
        let collection = self.collection;
        // Every location has to say that nothing is in the way; before that nothing is written.
        let claims = claims_of(collection, uuid, object);
        let all = self.federation.locations.iter();
        let silent = ask_whether_free(self.request, all.clone(), &claims).await?;
        if !silent.is_empty() {
            return Err(Error::Unverified(silent));
        }
        let mut parts: Vec<_> = all
            .map(|location| self.making(location, uuid, object))
            .collect();
        // The first location is written alone, and its error is the one that the client sees.
        parts.sort_by_key(|part| part.location != self.first());
        let write = Write {
            locations: &self.federation.locations,
            asker: &self.request.asker,
            collection,
            ident: uuid,
            goal: Goal::Made,
        };
        hold.suffices(self.federation.require_unique)?;
        match write.everywhere(&parts).await? {
            Some(reply) => Ok(hold.flag(self.everywhere(self.first(), reply))),
            None => Ok(hold.flag(self.as_made(uuid).await?)),
        }
    }

    /// Where the first copy is written.
    fn first(&self) -> LocationId {
        let default = self.federation.groups.default_location();
        default.unwrap_or(LocationId(0))
    }

    fn making(&self, location: &Location, uuid: &str, object: &Object) -> Part {
        let path = member(self.collection, uuid);
        let body = object.to_bytes();
        let mut act = self.request.question();
        act.body = Body::Whole(Bytes::clone(&body));
        Part {
            location: location.id,
            act,
            look: self
                .request
                .ask(Method::GET, path.clone())
                .for_member(self.collection, uuid),
            before: Before::Nothing {
                sent: object.clone(),
            },
            undo: vec![
                self.request
                    .ask(Method::DELETE, path)
                    .expecting(Expect::Effect),
            ],
        }
    }

    /// The object was created, but the answer was lost: it is read instead.
    async fn as_made(&self, uuid: &str) -> Result<Answer, Error> {
        let path = member(self.collection, uuid);
        let location = self.federation.locations.location(self.first());
        let question = self
            .request
            .ask(Method::GET, path.clone())
            .for_member(self.collection, uuid);
        let asker = self.request.asker.afterwards();
        let reply = location.reply(&asker, &question).await;
        let mut reply = reply.map_err(Silence::after_a_write)?;
        reply.status = StatusCode::CREATED;
        if let Ok(href) = HeaderValue::from_str(&format!("{}{path}", self.request.base.as_str())) {
            reply.headers.insert(http::header::LOCATION, href);
        }
        Ok(self.everywhere(location.id, reply))
    }
}
