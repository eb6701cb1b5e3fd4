//! What becomes of a request: one arm a kind of route.

use http::Method;
use http::StatusCode;

use crate::api::collection::Collection;
use crate::api::collection::Facts;
use crate::api::collection::Spread;
use crate::api::fault::Fault;
use crate::api::link::Kind;
use crate::api::microversion::Microversion;
use crate::api::route::Action;
use crate::api::route::Route;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::merged::Listing;
use crate::locate::LocateError;
use crate::locate::Owner;
use crate::locate::Source;
use crate::locate::directory::Ident;
use crate::locate::directory::Key;
use crate::locations::speech::Said;
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
    /// What it is about, if that may turn out to be elsewhere.
    pub key: Option<Key>,
    pub source: Source,
}

/// How much of a request's body must be read before it can be decided where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyUse {
    /// A question has none that matters.
    None,
    Read,
    /// Nothing depends on it and it may be large, such as a configdrive: handed on while it comes in.
    Streamed,
    /// Streamed by Pingora's proxy, as the answer is.
    Proxied,
}

/// Decided before the body is touched.
pub fn body_use(method: &Method, route: &Route) -> BodyUse {
    let (action, template) = match route {
        Route::Known {
            action, template, ..
        } => (Some(*action), *template),
        _ => (None, ""),
    };
    if action == Some(Action::DriverPassthru) || is_vendors(template) {
        BodyUse::Proxied
    } else if *method == Method::GET {
        BodyUse::None
    } else if template == "nodes/{}/states/provision" {
        BodyUse::Streamed
    } else {
        BodyUse::Read
    }
}

/// A driver's own method: what it is sent and what it answers only the driver knows.
fn is_vendors(template: &str) -> bool {
    matches!(
        template,
        "nodes/{}/vendor_passthru" | "nodes/{}/vendor_passthru/{}"
    )
}

impl Federation {
    /// `body` is the whole body where [`body_use`] says that it is read, else empty.
    pub async fn dispatch(&self, request: &Request, body: &[u8]) -> Result<Plan, Error> {
        match &request.target.route {
            Route::Known {
                action,
                template,
                parameters,
            } => self.act(request, *action, template, parameters, body).await,
            Route::UnknownBelow { of, ident } => {
                self.below_unknown(request, *of, ident, body).await
            }
            Route::UnknownCollection => self.unknown(request).await,
            Route::WrongMethod { .. } | Route::Root | Route::V1 => {
                Err(Fault::routing(StatusCode::METHOD_NOT_ALLOWED, "").into())
            }
        }
    }

    async fn act(
        &self,
        request: &Request,
        action: Action,
        template: &str,
        parameters: &[String],
        body: &[u8],
    ) -> Result<Plan, Error> {
        let ident = parameters.first().map(String::as_str).unwrap_or_default();
        // Boxed, since the future of one arm would be as large as that of the largest.
        let answer = match action {
            Action::List(collection) => Box::pin(self.list_collection(request, collection)).await,
            Action::ChassisNodes => Box::pin(self.list_all(request, Collection::Nodes)).await,
            Action::Create(collection) => Box::pin(self.create(request, collection, body)).await,
            Action::Member(collection) => {
                return Box::pin(self.member(request, collection, ident, body)).await;
            }
            Action::Below(collection) => {
                return Box::pin(self.below(request, collection, template, ident, body)).await;
            }
            Action::ListBelow { of, items } => {
                Box::pin(self.list_below(request, of, items, ident)).await
            }
            Action::History => {
                let owner = self.owner(request, Collection::Nodes, ident).await?;
                Box::pin(self.list_at(
                    request,
                    Collection::Nodes,
                    &HISTORY,
                    request.target.path(),
                    owner.location,
                ))
                .await
            }
            Action::ValidateNode => {
                let node = request
                    .query
                    .value("node_uuid")
                    .or_else(|| request.query.value("node"))
                    .unwrap_or_default();
                return Box::pin(self.forward(request, Collection::Nodes, node, Kind::Plain, None))
                    .await;
            }
            Action::Driver => Box::pin(self.driver(request)).await,
            Action::DriverBelow => Box::pin(self.driver_below(request)).await,
            Action::DriverPassthru => return Box::pin(self.driver_passthru(request, ident)).await,
            Action::Shards => Box::pin(self.shards(request)).await,
            Action::VolumeRoot => Box::pin(self.volume_root(request)).await,
            Action::Events => Box::pin(self.events(request, body)).await,
            Action::Lookup => Box::pin(self.lookup(request)).await,
            Action::Heartbeat => Box::pin(self.heartbeat(request, ident)).await,
            Action::ContinueInspection => Box::pin(self.continue_inspection(request, body)).await,
        };
        answer.map(Plan::Answer)
    }

    async fn create(
        &self,
        request: &Request,
        collection: Collection,
        body: &[u8],
    ) -> Result<Answer, Error> {
        match collection {
            Collection::Nodes => self.create_node(request, body).await,
            Collection::Ports
            | Collection::Portgroups
            | Collection::VolumeConnectors
            | Collection::VolumeTargets => self.create_of_node(request, collection, body).await,
            Collection::Allocations => self.create_allocation(request, body).await,
            Collection::Chassis
            | Collection::DeployTemplates
            | Collection::Runbooks
            | Collection::InspectionRules => {
                self.create_replicated(request, collection, body).await
            }
            Collection::Drivers | Collection::Conductors | Collection::Shards => {
                Err(Fault::not_found().into())
            }
        }
    }

    async fn member(
        &self,
        request: &Request,
        collection: Collection,
        ident: &str,
        body: &[u8],
    ) -> Result<Plan, Error> {
        let facts = collection.facts();
        match (facts.spread, &request.method) {
            (Spread::Replicated, &Method::GET) => self
                .fetch_replicated(request, ident, facts.kind)
                .await
                .map(Plan::Answer),
            (Spread::Replicated, _) => self
                .change_replicated(request, collection, ident, body)
                .await
                .map(Plan::Answer),
            (_, &Method::PATCH) => self
                .update(request, collection, ident, body)
                .await
                .map(Plan::Answer),
            _ => {
                self.forward(request, collection, ident, facts.kind, Some(collection))
                    .await
            }
        }
    }

    async fn below(
        &self,
        request: &Request,
        collection: Collection,
        template: &str,
        ident: &str,
        body: &[u8],
    ) -> Result<Plan, Error> {
        if collection.facts().spread != Spread::Replicated {
            let kind = match template {
                "nodes/{}/volume" => Kind::VolumeRoot,
                "nodes/{}/bios/{}" => Kind::BiosSetting,
                "nodes/{}/bios" | "nodes/{}/management/indicators" => Kind::Listing,
                _ => Kind::Plain,
            };
            return self.forward(request, collection, ident, kind, None).await;
        }
        let answer = if request.method == Method::GET {
            self.fetch_replicated(request, ident, Kind::Plain).await
        } else {
            self.change_replicated(request, collection, ident, body)
                .await
        };
        answer.map(Plan::Answer)
    }

    /// What a newer Ironic may have below a member that we know.
    async fn below_unknown(
        &self,
        request: &Request,
        of: Collection,
        ident: &str,
        body: &[u8],
    ) -> Result<Plan, Error> {
        match (of.facts().spread, &request.method) {
            (Spread::Located, &Method::PATCH) => self
                .update(request, of, ident, body)
                .await
                .map(Plan::Answer),
            (Spread::Located, _) => self.forward(request, of, ident, Kind::Plain, None).await,
            (Spread::Replicated, &Method::GET) => self
                .fetch_replicated(request, ident, Kind::Plain)
                .await
                .map(Plan::Answer),
            (Spread::Replicated | Spread::United, _) => self.unknown(request).await,
        }
    }

    async fn list_collection(
        &self,
        request: &Request,
        collection: Collection,
    ) -> Result<Answer, Error> {
        if collection == Collection::Drivers {
            return self.drivers(request).await;
        }
        // A node, or a portgroup, named in the query: the list is where that is.
        let node = match collection {
            Collection::Ports => request
                .query
                .value("node_uuid")
                .or_else(|| request.query.value("node")),
            Collection::Portgroups | Collection::VolumeConnectors | Collection::VolumeTargets => {
                request.query.value("node")
            }
            Collection::Allocations => {
                if let Some(node) = request.query.value("node") {
                    return self.allocations_of(request, node).await;
                }
                None
            }
            _ => None,
        };
        let group = request
            .query
            .value("portgroup")
            .filter(|_| collection == Collection::Ports);
        let owner = match (node, group) {
            (Some(node), _) => Some(
                self.owner_or_first(request, Collection::Nodes, node)
                    .await?,
            ),
            (None, Some(group)) => Some(
                self.owner_or_first(request, Collection::Portgroups, group)
                    .await?,
            ),
            (None, None) => None,
        };
        match owner {
            Some(location) => {
                self.list_at(
                    request,
                    collection,
                    collection.facts(),
                    request.target.path(),
                    location,
                )
                .await
            }
            None => self.list_all(request, collection).await,
        }
    }

    /// The first location words that nobody has it.
    async fn owner_or_first(
        &self,
        request: &Request,
        collection: Collection,
        ident: &str,
    ) -> Result<LocationId, Error> {
        match self.owner(request, collection, ident).await {
            Ok(owner) => Ok(owner.location),
            Err(Error::Locate(LocateError::Nobody { first, .. })) => Ok(first),
            Err(error) => Err(error),
        }
    }

    /// A list that Ironic has below a UUID only.
    async fn list_below(
        &self,
        request: &Request,
        of: Collection,
        items: Collection,
        ident: &str,
    ) -> Result<Answer, Error> {
        let mut owner = self.owner(request, of, ident).await?;
        let named = !Ident::new(ident).is_uuid_like();
        if named && owner.uuid.is_none() {
            // Only its name was ever seen, or it is pinned.
            owner = match request.pinned {
                Some(pinned) => {
                    self.locator
                        .identify(&request.asker, pinned, &Key::new(of, ident))
                        .await?
                }
                None => {
                    self.locator
                        .locate_again(&request.asker, &Key::new(of, ident))
                        .await?
                }
            };
        }
        let path = match owner.uuid {
            Some(uuid) if named => request.target.path_for(of, &uuid.to_string()),
            _ => request.target.path(),
        };
        self.list_at(request, items, items.facts(), path, owner.location)
            .await
    }

    /// Sends it to where the thing is: what changes something through Pingora's proxy, streamed; a question from here,
    /// since its answer is judged as a whole before a status is passed on.
    async fn forward(
        &self,
        request: &Request,
        collection: Collection,
        ident: &str,
        kind: Kind,
        member_of: Option<Collection>,
    ) -> Result<Plan, Error> {
        let key = Key::new(collection, ident);
        if member_of.is_some() && self.is_its_own_poll(request, &key) {
            let question = request.question();
            let found = self
                .locator
                .poll_with(&request.asker, &key, &question)
                .await?;
            if let (Owner { location, .. }, Some(reply)) = found {
                let misspoke = |_| self.locations.location(location).misspoke();
                let answer = self
                    .adopt(request, location, kind, member_of, reply)
                    .map_err(misspoke)?;
                return Ok(Plan::Answer(answer));
            }
        }
        let owner = self.owner(request, collection, ident).await?;
        let vendors =
            matches!(&request.target.route, Route::Known { template, .. } if is_vendors(template));
        if !vendors {
            return self
                .fetch(request, &key, owner, kind, member_of)
                .await
                .map(Plan::Answer);
        }
        let mut path = request.target.path();
        request.query.append_to(&mut path);
        Ok(Plan::Forward(Forward {
            location: owner.location,
            path,
            key: Some(key),
            source: owner.source,
        }))
    }

    /// Whether the client's own question, put to every location, finds the thing and is answered in one round trip. A
    /// name, or a version that lacks the collection, could make a location say no that has it.
    fn is_its_own_poll(&self, request: &Request, key: &Key) -> bool {
        request.method == Method::GET
            && request.pinned.is_none()
            && request.query.is_empty()
            && key.ident.is_uuid_like()
            && request.version >= key.collection.since()
            && self.locator.remembered(key).is_none()
    }

    async fn owner(
        &self,
        request: &Request,
        collection: Collection,
        ident: &str,
    ) -> Result<Owner, Error> {
        if let Some(location) = request.pinned {
            return Ok(Owner {
                location,
                uuid: None,
                source: Source::Asked,
            });
        }
        // Before 1.91 Ironic takes `.json` for a suffix first, and for a part of the name second.
        if let Some(stripped) = ident
            .strip_suffix(".json")
            .filter(|_| request.version < JSON_IS_A_NAME)
        {
            match self
                .locator
                .locate(&request.asker, &Key::new(collection, stripped))
                .await
            {
                Err(LocateError::Nobody { .. }) => {}
                other => return Ok(other?),
            }
        }
        Ok(self
            .locator
            .locate(&request.asker, &Key::new(collection, ident))
            .await?)
    }

    /// A request to the one location that has the thing; to the right one, should it have moved. A 404 of Ironic's is
    /// proof that nothing was executed, so a write is repeated too.
    async fn fetch(
        &self,
        request: &Request,
        key: &Key,
        mut owner: Owner,
        kind: Kind,
        member_of: Option<Collection>,
    ) -> Result<Answer, Error> {
        let question = request.question();
        loop {
            let location = self.locations.location(owner.location);
            let said = location.ask(&request.asker, &question).await?;
            if matches!(said, Said::No(_)) && owner.source == Source::Remembered {
                let found = self.locator.locate_again(&request.asker, key).await?;
                if found.location != owner.location {
                    if !question.body.is_at_hand().await {
                        return Err(Error::Moved);
                    }
                    owner = found;
                    continue;
                }
            }
            if matches!(said, Said::Has(_))
                && request.method == Method::DELETE
                && member_of.is_some()
            {
                self.locator.directory.forget(key);
            }
            let reply = said.into_reply();
            if request.method.is_safe() {
                return self
                    .adopt(request, owner.location, kind, member_of, reply)
                    .map_err(|_| location.misspoke().into());
            }
            return Ok(self.relay(request, owner.location, kind, member_of, reply));
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
        let listing = Listing {
            collection,
            path,
            scope: vec![self.locations.location(location)],
            facts,
        };
        self.list(request, &listing).await
    }
}

/// From this version on `.json` at the end of a name is part of it.
const JSON_IS_A_NAME: Microversion = Microversion::new(1, 91);

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
