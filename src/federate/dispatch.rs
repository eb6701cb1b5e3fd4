//! What becomes of a request: one arm a kind of route.

use http::Method;
use http::StatusCode;

use crate::api::collection::Collection;
use crate::api::collection::Facts;
use crate::api::collection::Spread;
use crate::api::fault::Fault;
use crate::api::link::Kind;
use crate::api::route::Action;
use crate::api::route::Route;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::list::Listing;
use crate::locate::Owner;
use crate::locate::Source;
use crate::locate::directory::Key;
use crate::request::Answer;
use crate::request::Request;

/// What to do next.
#[derive(Debug)]
pub enum Plan {
    /// It is answered.
    Answer(Answer),
    /// It goes to one location, through Pingora's proxy.
    Forward(Forward),
}

/// A request for one location.
#[derive(Debug)]
pub struct Forward {
    pub location: LocationId,
    /// Path and query to send.
    pub path: String,
    /// What it is about: that may turn out to be elsewhere.
    pub key: Key,
    pub source: Source,
    /// It is about the very member of this collection, not about something below it.
    pub member_of: Option<Collection>,
}

/// How much of a request's body must be read before it can be decided where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyUse {
    /// None: it is streamed.
    Streamed,
    Read,
}

/// Decided before the body is touched.
pub fn body_use(method: &Method, route: &Route) -> BodyUse {
    let read = match route {
        Route::Known { action, .. } => match action {
            Action::Create(_) | Action::Events | Action::Lookup | Action::Heartbeat | Action::ContinueInspection => true,
            Action::Member(_) => method == Method::PATCH,
            Action::Below(collection) => {
                collection.facts().spread == Spread::Replicated && *method != Method::GET
            }
            Action::DriverPassthru => false,
            _ => false,
        },
        Route::UnknownBelow { .. } => method == Method::PATCH,
        Route::Root | Route::V1 | Route::UnknownCollection | Route::WrongMethod => false,
    };
    if read { BodyUse::Read } else { BodyUse::Streamed }
}

impl Federation {
    /// `body` is the whole body where [`body_use`] says that it is read, else empty.
    pub async fn dispatch(&self, request: &Request, body: &[u8]) -> Result<Plan, Error> {
        match &request.target.route {
            Route::Known { action, parameters, .. } => self.act(request, *action, parameters, body).await,
            Route::UnknownBelow { of, ident } if request.method == Method::PATCH => {
                self.update(request, *of, ident, body).await.map(Plan::Answer)
            }
            Route::UnknownBelow { of, ident } => {
                self.forward(request, Key::new(*of, ident), request.target.path(), Kind::Plain, None).await
            }
            Route::UnknownCollection => Err(Fault::not_found().into()),
            Route::WrongMethod | Route::Root | Route::V1 => {
                Err(Fault::routing(StatusCode::METHOD_NOT_ALLOWED, "").into())
            }
        }
    }

    async fn act(
        &self,
        request: &Request,
        action: Action,
        parameters: &[String],
        body: &[u8],
    ) -> Result<Plan, Error> {
        let ident = parameters.first().map(String::as_str).unwrap_or_default();
        match action {
            Action::List(collection) => self.list_all(request, collection).await.map(Plan::Answer),
            Action::Create(Collection::Nodes) => self.create_node(request, body).await.map(Plan::Answer),
            Action::Create(
                collection @ (Collection::Ports
                | Collection::Portgroups
                | Collection::VolumeConnectors
                | Collection::VolumeTargets),
            ) => self.create_of_node(request, collection, body).await.map(Plan::Answer),
            Action::Member(collection) if request.method == Method::PATCH => {
                self.update(request, collection, ident, body).await.map(Plan::Answer)
            }
            Action::Member(collection) => {
                let kind = collection.facts().kind;
                self.forward(request, Key::new(collection, ident), request.target.path(), kind, Some(collection)).await
            }
            Action::Below(collection) => {
                self.forward(request, Key::new(collection, ident), request.target.path(), Kind::Plain, None).await
            }
            Action::ListBelow { of, items } => {
                let owner = self.owner(request, &Key::new(of, ident)).await?;
                let path = match owner.uuid {
                    Some(uuid) => request.target.path_for(of, &uuid.to_string()),
                    None => request.target.path(),
                };
                self.list_at(request, items, items.facts(), path, owner.location).await.map(Plan::Answer)
            }
            Action::History => {
                let owner = self.owner(request, &Key::new(Collection::Nodes, ident)).await?;
                self.list_at(request, Collection::Nodes, &HISTORY, request.target.path(), owner.location)
                    .await
                    .map(Plan::Answer)
            }
            Action::ValidateNode => {
                let node = request.query.value("node_uuid").or_else(|| request.query.value("node")).unwrap_or_default();
                self.forward(request, Key::new(Collection::Nodes, node), request.target.path(), Kind::Plain, None).await
            }
            _ => Err(Fault::not_found().into()),
        }
    }

    /// Sends it to where the thing is: what changes something through Pingora's proxy, streamed; a question from here,
    /// since its answer is judged as a whole before a status is passed on.
    async fn forward(
        &self,
        request: &Request,
        key: Key,
        mut path: String,
        kind: Kind,
        member_of: Option<Collection>,
    ) -> Result<Plan, Error> {
        let owner = self.owner(request, &key).await?;
        request.query.append_to(&mut path);
        if request.method.is_safe() && !path.contains("/vendor_passthru") {
            return self.fetch(request, &key, owner, path, kind, member_of).await.map(Plan::Answer);
        }
        Ok(Plan::Forward(Forward { location: owner.location, path, key, source: owner.source, member_of }))
    }

    async fn owner(&self, request: &Request, key: &Key) -> Result<Owner, Error> {
        match request.pinned {
            Some(location) => Ok(Owner { location, uuid: None, source: Source::Asked }),
            None => Ok(self.locator.locate(&request.asker, key).await?),
        }
    }

    /// A question for the one location that has the thing; for the right one, should it have moved.
    async fn fetch(
        &self,
        request: &Request,
        key: &Key,
        mut owner: Owner,
        path: String,
        kind: Kind,
        member_of: Option<Collection>,
    ) -> Result<Answer, Error> {
        let question = request.ask(request.method.clone(), path);
        loop {
            let location = self.locations.location(owner.location);
            let reply = location.exchange(&request.asker, &question).await?;
            if reply.status == StatusCode::NOT_FOUND && owner.source == Source::Remembered {
                let found = self.locator.locate_again(&request.asker, key).await?;
                if found.location != owner.location {
                    owner = found;
                    continue;
                }
            }
            if reply.status == StatusCode::OK && reply.body.is_empty() {
                return Err(location.misspoke().into());
            }
            return self
                .adopt(request, owner.location, kind, member_of, reply)
                .map_err(|_| location.misspoke().into());
        }
    }

    async fn list_all(&self, request: &Request, collection: Collection) -> Result<Answer, Error> {
        let listing = Listing {
            collection,
            path: request.target.path(),
            scope: self.scope(request),
            facts: collection.facts(),
        };
        self.list(request, &listing).await
    }

    async fn list_at(
        &self,
        request: &Request,
        collection: Collection,
        facts: &'static Facts,
        path: String,
        location: LocationId,
    ) -> Result<Answer, Error> {
        let listing = Listing { collection, path, scope: vec![self.locations.location(location)], facts };
        self.list(request, &listing).await
    }
}

/// A node's events. They are listed as the location orders them.
static HISTORY: Facts = Facts {
    path: "history",
    key: "history",
    noun: "Event",
    id: "uuid",
    default_fields: &[],
    detail_only: &[],
    name_since: None,
    spread: Spread::Located,
    kind: Kind::Plain,
};
