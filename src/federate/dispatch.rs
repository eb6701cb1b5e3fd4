//! Chooses how a request is served: one arm for each kind of route.

use http::Method;

use crate::api::body::Patch;
use crate::api::collection::Collection;
use crate::api::collection::Facts;
use crate::api::collection::Spread;
use crate::api::identifier;
use crate::api::identifier::Alias;
use crate::api::link::Kind;
use crate::api::route::Action;
use crate::api::route::Route;
use crate::api::route::table::Payload;
use crate::api::route::table::Row;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::Subject;
use crate::federate::located::allocate::Allocations;
use crate::federate::located::create::Creation;
use crate::federate::located::update::Update;
use crate::federate::merged::Lists;
use crate::federate::merged::listing::Listing;
use crate::federate::objection::Objection;
use crate::federate::owner::Denial;
use crate::federate::owner::Next;
use crate::federate::owner::Visit;
use crate::federate::plan::Forward;
use crate::federate::plan::Plan;
use crate::federate::ramdisk::Ramdisk;
use crate::federate::replicated::Replicated;
use crate::federate::united::United;
use crate::locate::LocateError;
use crate::locate::Owner;
use crate::locate::Source;
use crate::locate::directory::Key;
use crate::locations::location::Location;
use crate::locations::order::Act;
use crate::locations::speech::Said;
use crate::request::Answer;
use crate::request::Request;

/// How much of a request's body must be read before it can be decided where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyUse {
    /// The body of a GET has no meaning and is not read.
    None,
    Read,
    /// No decision depends on it and it may be large, such as a configdrive: forwarded while it arrives.
    Streamed,
    /// Streamed by Pingora's proxy, as the answer is.
    Proxied,
}

/// One thing, as a path or a query names it.
#[derive(Clone, Copy, Debug)]
struct Member<'a> {
    collection: Collection,
    ident: &'a str,
}

impl<'a> Member<'a> {
    fn node(ident: &'a str) -> Self {
        Self {
            collection: Collection::Nodes,
            ident,
        }
    }
}

/// What a list contains.
#[derive(Clone, Copy, Debug)]
struct Items {
    collection: Collection,
    /// Those of the collection, but for a node's events.
    facts: &'static Facts,
}

impl Items {
    fn of(collection: Collection) -> Self {
        Self {
            collection,
            facts: collection.facts(),
        }
    }
}

/// Decided before the body is touched.
pub fn body_use(method: &Method, route: &Route) -> BodyUse {
    let row = match route {
        Route::Known { row, .. } => Some(row),
        _ => None,
    };
    match row.map(|row| row.payload) {
        Some(Payload::Vendor) => BodyUse::Proxied,
        _ if *method == Method::GET => BodyUse::None,
        // Ironic accepts 64 MiB here, against 1 MiB elsewhere.
        Some(Payload::Provision) => BodyUse::Streamed,
        _ => BodyUse::Read,
    }
}

impl Federation {
    pub async fn dispatch(&self, request: &Request) -> Result<Plan, Error> {
        match Box::pin(self.plan(request)).await {
            Err(Error::Locate(LocateError::Nobody { first, reply }))
                if !said_all_there_is(request) =>
            {
                match self.who_may_say(request, first) {
                    Some(location) => self.let_one_say(request, location).await,
                    None => Err(LocateError::Nobody { first, reply }.into()),
                }
            }
            planned => planned,
        }
    }

    /// Any location that can be asked, to get Ironic's wording of a refusal.
    fn anyone(&self, request: &Request) -> LocationId {
        self.who_may_say(request, LocationId(0))
            .unwrap_or(LocationId(0))
    }

    /// The same: this one, or another one if its operator does not let it be asked that. `None`: none of them.
    fn who_may_say(&self, request: &Request, wanted: LocationId) -> Option<LocationId> {
        let act = Act::of(&request.question());
        let may = |location: &&Location| location.is_reachable() && location.forbids(act).is_none();
        let wanted = self.locations.location(wanted);
        [wanted]
            .into_iter()
            .chain(self.locations.iter())
            .find(may)
            .map(|location| location.id)
    }

    /// A request that no location can own: any of them words the refusal.
    async fn let_any_say(&self, request: &Request) -> Result<Plan, Error> {
        let location = request.pinned.unwrap_or_else(|| self.anyone(request));
        self.let_one_say(request, location).await
    }

    /// Every location would refuse this request, so one of them is asked for Ironic's wording.
    async fn let_one_say(&self, request: &Request, location: LocationId) -> Result<Plan, Error> {
        let mut question = request.question();
        // Nobody serves it, so the body is sent as the client declared it and Ironic judges that too.
        question.media = request.media;
        let mut alias = request.target.alias().cloned();
        if let Some((of, ident)) = changed_everywhere(request) {
            // If the object is created there meanwhile, this write would change one copy only; a name that cannot exist
            // prevents it.
            let other = Alias::of(ident);
            question.path = request.target.path_for(of, &other.ident);
            request.query.append_to(&mut question.path);
            alias = Some(other);
        }
        // The made-up name has to be replaced in the answer, which needs its body; without either it can be streamed.
        if request.target.is_vendors() && (alias.is_none() || request.method == Method::HEAD) {
            return Ok(Plan::Forward(Forward {
                location,
                path: question.path,
                key: None,
                source: Source::Asked,
            }));
        }
        let mut reply = self
            .locations
            .location(location)
            .ask(&request.asker, &question)
            .await?
            .into_reply();
        if let Some(alias) = alias {
            reply.body = alias.reword(&reply.body);
        }
        Ok(Plan::Answer(Answer {
            // No location has it, so the location header would mislead.
            location: None,
            ..self.relay(request, location, Subject::Other(Kind::Plain), reply)
        }))
    }

    async fn plan(&self, request: &Request) -> Result<Plan, Error> {
        match &request.target.route {
            _ if request.target.alias().is_some() => self.let_any_say(request).await,
            Route::Known { row, parameters } => self.act(request, row, parameters).await,
            Route::UnknownBelow { of, ident } => self.below_unknown(request, *of, ident).await,
            Route::NotPermitted => self.let_any_say(request).await,
            Route::UnknownCollection => self.united(request).unknown().await,
            Route::Root | Route::V1 => Err(Objection::NoMethod.into()),
        }
    }

    async fn act(
        &self,
        request: &Request,
        row: &Row,
        parameters: &[String],
    ) -> Result<Plan, Error> {
        let ident = parameters.first().map(String::as_str).unwrap_or_default();
        // Boxed, since the future of one arm would be as large as that of the largest.
        let answer = match row.action {
            Action::List(collection) => Box::pin(self.list_collection(request, collection)).await,
            Action::ChassisNodes => Box::pin(self.list_all(request, Collection::Nodes)).await,
            Action::Create(collection) => Box::pin(self.create(request, collection)).await,
            Action::Member(collection) => {
                let member = Member { collection, ident };
                return Box::pin(self.member(request, member)).await;
            }
            Action::Below(collection) => {
                let member = Member { collection, ident };
                return Box::pin(self.below(request, member, row.template)).await;
            }
            Action::ListBelow { of, items } => {
                let member = Member {
                    collection: of,
                    ident,
                };
                Box::pin(self.list_below(request, member, items)).await
            }
            Action::History => {
                let items = Items {
                    collection: Collection::Nodes,
                    facts: &HISTORY,
                };
                Box::pin(self.list_of(request, items, Member::node(ident))).await
            }
            Action::ValidateNode => {
                let node = request
                    .query
                    .value("node_uuid")
                    .or_else(|| request.query.value("node"))
                    .unwrap_or_default();
                let node = Member::node(node);
                return Box::pin(self.forward(request, node, Subject::Other(Kind::Plain))).await;
            }
            Action::Driver => Box::pin(self.united(request).driver()).await,
            Action::DriverBelow => Box::pin(self.united(request).driver_below()).await,
            Action::DriverPassthru => {
                return Box::pin(self.united(request).driver_passthru(ident)).await;
            }
            Action::Shards => Box::pin(self.united(request).shards()).await,
            Action::VolumeRoot => Box::pin(self.united(request).volume_root()).await,
            Action::Events => Box::pin(self.united(request).events()).await,
            Action::Lookup => Box::pin(self.ramdisk(request).lookup()).await,
            Action::Heartbeat => Box::pin(self.ramdisk(request).heartbeat(ident)).await,
            Action::ContinueInspection => {
                Box::pin(self.ramdisk(request).continue_inspection()).await
            }
        };
        answer.map(Plan::Answer)
    }

    fn allocations<'a>(&'a self, request: &'a Request) -> Allocations<'a> {
        Allocations {
            federation: self,
            request,
        }
    }

    fn united<'a>(&'a self, request: &'a Request) -> United<'a> {
        United {
            federation: self,
            request,
        }
    }

    fn ramdisk<'a>(&'a self, request: &'a Request) -> Ramdisk<'a> {
        Ramdisk {
            federation: self,
            request,
        }
    }

    async fn create(&self, request: &Request, collection: Collection) -> Result<Answer, Error> {
        let creation = Creation {
            federation: self,
            request,
            collection,
        };
        match collection {
            Collection::Nodes => creation.node().await,
            Collection::Ports
            | Collection::Portgroups
            | Collection::VolumeConnectors
            | Collection::VolumeTargets => creation.of_node().await,
            Collection::Allocations => self.allocations(request).create().await,
            Collection::Chassis
            | Collection::DeployTemplates
            | Collection::Runbooks
            | Collection::InspectionRules => {
                let kind = Replicated::new(self, request, collection);
                kind.create().await
            }
            Collection::Drivers | Collection::Conductors | Collection::Shards => {
                Err(Objection::NOWHERE.into())
            }
        }
    }

    async fn member(&self, request: &Request, member: Member<'_>) -> Result<Plan, Error> {
        let Member { collection, ident } = member;
        let facts = collection.facts();
        match (facts.spread, &request.method) {
            (Spread::Replicated, &Method::GET) => Replicated::new(self, request, collection)
                .read(ident, facts.kind)
                .await
                .map(Plan::Answer),
            (Spread::Replicated, _) => Replicated::new(self, request, collection)
                .change(ident)
                .await
                .map(Plan::Answer),
            (_, &Method::PATCH) => Update::new(self, request, (collection, ident))?
                .send()
                .await
                .map(Plan::Answer),
            _ => {
                self.forward(request, member, Subject::Member(collection))
                    .await
            }
        }
    }

    async fn below(
        &self,
        request: &Request,
        member: Member<'_>,
        template: &str,
    ) -> Result<Plan, Error> {
        let Member { collection, ident } = member;
        if collection.facts().spread != Spread::Replicated {
            let kind = match template {
                "nodes/{}/volume" => Kind::VolumeRoot,
                "nodes/{}/bios/{}" => Kind::BiosSetting,
                "nodes/{}/bios" | "nodes/{}/management/indicators" => Kind::Listing,
                _ => Kind::Plain,
            };
            return self.forward(request, member, Subject::Other(kind)).await;
        }
        let kind = Replicated::new(self, request, collection);
        let answer = if request.method == Method::GET {
            kind.read(ident, Kind::Plain).await
        } else {
            kind.change(ident).await
        };
        answer.map(Plan::Answer)
    }

    /// What a newer Ironic may have below a member that we know.
    async fn below_unknown(
        &self,
        request: &Request,
        of: Collection,
        ident: &str,
    ) -> Result<Plan, Error> {
        match (of.facts().spread, &request.method) {
            // An empty PATCH holds no group and no node to be checked.
            (Spread::Located, &Method::PATCH) if !request.body.held().is_empty() => {
                Update::new(self, request, (of, ident))?
                    .send()
                    .await
                    .map(Plan::Answer)
            }
            (Spread::Located, _) => {
                let member = Member {
                    collection: of,
                    ident,
                };
                self.forward(request, member, Subject::Other(Kind::Plain))
                    .await
            }
            (Spread::Replicated, &Method::GET) => Replicated::new(self, request, of)
                .read(ident, Kind::Plain)
                .await
                .map(Plan::Answer),
            (Spread::Replicated | Spread::United, _) => self.united(request).unknown().await,
        }
    }

    async fn list_collection(
        &self,
        request: &Request,
        collection: Collection,
    ) -> Result<Answer, Error> {
        if collection == Collection::Drivers {
            return self.united(request).drivers().await;
        }
        // A node or a portgroup in the query: only its location has items.
        let node = match collection {
            // Ironic prefers `node_uuid` if a request has both (`ironic/api/controllers/v1/port.py`).
            Collection::Ports => request
                .query
                .value("node_uuid")
                .or_else(|| request.query.value("node")),
            Collection::Portgroups | Collection::VolumeConnectors | Collection::VolumeTargets => {
                request.query.value("node")
            }
            Collection::Allocations => {
                if let Some(node) = request.query.value("node") {
                    return self.allocations(request).of_node(node).await;
                }
                None
            }
            _ => None,
        };
        let group = request
            .query
            .value("portgroup")
            .filter(|_| collection == Collection::Ports);
        let named = node.map(Member::node).or_else(|| {
            group.map(|ident| Member {
                collection: Collection::Portgroups,
                ident,
            })
        });
        match named {
            Some(named) => self.list_of(request, Items::of(collection), named).await,
            None => self.list_all(request, collection).await,
        }
    }

    /// A list of what belongs to one thing is where that thing is.
    async fn list_of(
        &self,
        request: &Request,
        items: Items,
        of: Member<'_>,
    ) -> Result<Answer, Error> {
        let path = || request.target.path();
        let mut visit = match self.visit(request, of.collection, of.ident).await {
            Ok(visit) => visit,
            // One location's error about the unknown node is what one Ironic would answer.
            Err(Error::Locate(LocateError::Nobody { first, .. })) => {
                return self.list_at(request, items, path(), first).await;
            }
            Err(error) => return Err(error),
        };
        loop {
            let home = visit.location();
            let answer = self.list_at(request, items, path(), home).await;
            match Denial::in_answer(of.collection, &answer) {
                Some(denial) if visit.denied(denial).await? == Next::Again => {}
                _ => return answer,
            }
        }
    }

    /// A list that Ironic serves below a UUID only, such as `/v1/nodes/<uuid>/ports`.
    async fn list_below(
        &self,
        request: &Request,
        of: Member<'_>,
        items: Collection,
    ) -> Result<Answer, Error> {
        let mut visit = self.visit(request, of.collection, of.ident).await?;
        let named = !visit.key.ident.is_uuid_like();
        loop {
            let home = visit.location();
            let mut path = request.target.path();
            if named {
                // Ironic 39 answers 404 "Portgroup None could not be found." to a name here. A remembered name may
                // meanwhile belong to another thing, so its location is asked.
                let uuid = match visit.owner.uuid {
                    Some(uuid) => Some(uuid),
                    None => {
                        self.locator
                            .identify(&request.asker, home, &visit.key)
                            .await?
                    }
                };
                match uuid {
                    Some(uuid) => path = request.target.path_for(of.collection, &uuid.to_string()),
                    None if visit.denied(Denial::Absent).await? == Next::Again => continue,
                    None => {}
                }
            }
            let answer = self.list_at(request, Items::of(items), path, home).await;
            match Denial::in_answer(of.collection, &answer) {
                Some(denial) if visit.denied(denial).await? == Next::Again => {}
                _ => return answer,
            }
        }
    }

    /// Sends a request to the location of the thing. Vendor passthru is streamed by Pingora's proxy; the rest is asked
    /// from here, since its answer is judged as a whole before a status is passed on.
    async fn forward(
        &self,
        request: &Request,
        member: Member<'_>,
        subject: Subject,
    ) -> Result<Plan, Error> {
        let key = Key::new(member.collection, member.ident);
        if matches!(subject, Subject::Member(_)) && self.is_its_own_poll(request, &key) {
            let question = request.question();
            let found = self
                .locator
                .poll_with(&request.asker, &key, &question)
                .await?;
            if let (Owner { location, .. }, Some(reply)) = found {
                let misspoke = |_| self.locations.location(location).misspoke();
                let answer = self
                    .adopt(request, location, subject, reply)
                    .map_err(misspoke)?;
                return Ok(Plan::Answer(answer));
            }
        }
        let visit = self.visit(request, member.collection, member.ident).await?;
        if !request.target.is_vendors() {
            return self.fetch(request, visit, subject).await.map(Plan::Answer);
        }
        let mut path = request.target.path();
        request.query.append_to(&mut path);
        Ok(Plan::Forward(Forward {
            location: visit.location(),
            path,
            source: visit.owner.source,
            key: Some(visit.key),
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
            && self.locator.is_unknown(key)
    }

    /// A request to the one location that has the thing. A 404 of Ironic's is proof that nothing was executed, so a write
    /// is repeated too.
    async fn fetch(
        &self,
        request: &Request,
        mut visit: Visit<'_>,
        subject: Subject,
    ) -> Result<Answer, Error> {
        let question = request.question();
        loop {
            let location = self.locations.location(visit.location());
            let said = location.ask(&request.asker, &question).await?;
            let has_it = matches!(said, Said::Has(_));
            let words = said.into_words();
            let reply = &words.reply;
            let denial = Denial::in_reply(visit.key.collection, reply.status, &reply.body);
            if let Some(denial) = denial
                && visit.denied(denial).await? == Next::Again
            {
                if !question.body.is_at_hand().await {
                    return Err(Error::Moved);
                }
                continue;
            }
            if has_it && request.method == Method::DELETE && matches!(subject, Subject::Member(_)) {
                self.locator.directory.forget(&visit.key);
            }
            if request.method.is_safe() {
                return self
                    .adopt(request, location.id, subject, words)
                    .map_err(|_| location.misspoke().into());
            }
            return Ok(self.relay(request, location.id, subject, words));
        }
    }

    fn lists(&self) -> Lists<'_> {
        Lists {
            locations: &self.locations,
            locator: &self.locator,
            memory: &self.walks,
            max_limit: self.max_limit,
            links: self.collection_links,
        }
    }

    async fn list_all(&self, request: &Request, collection: Collection) -> Result<Answer, Error> {
        let listing = Listing {
            collection,
            path: request.target.path(),
            scope: self.scope(request),
            facts: collection.facts(),
        };
        self.lists().page(request, &listing).await
    }

    async fn list_at(
        &self,
        request: &Request,
        items: Items,
        path: String,
        location: LocationId,
    ) -> Result<Answer, Error> {
        let listing = Listing {
            collection: items.collection,
            path,
            scope: vec![self.locations.location(location)],
            facts: items.facts,
        };
        self.lists().page(request, &listing).await
    }
}

/// Attributes that every version lets a client patch: for these an unknown node is the only possible error.
const PLAIN: &[&str] = &["/extra", "/properties", "/driver_info", "/instance_info"];

/// Whether "nobody has it" is what one Ironic would say, too: what is wrong with a request is often found before the
/// thing is looked for. Then one location says it, about the client's own request.
fn said_all_there_is(request: &Request) -> bool {
    let body = request.body.held();
    let Route::Known { row, parameters } = &request.target.route else {
        return false;
    };
    let is_member = matches!(row.action, Action::Member(_));
    let is_uuid = parameters
        .first()
        .is_some_and(|ident| identifier::is_uuid_like(ident));
    let says_nothing_else = match request.method {
        Method::GET | Method::DELETE => body.is_empty(),
        Method::PATCH => Patch::parse(body)
            .is_ok_and(|patch| !patch.changes().is_empty() && patch.is_within(PLAIN)),
        _ => false,
    };
    is_member && is_uuid && request.query.is_empty() && says_nothing_else
}

/// The object that a write is about which every location has.
fn changed_everywhere(request: &Request) -> Option<(Collection, &str)> {
    let Route::Known { row, parameters } = &request.target.route else {
        return None;
    };
    match row.action {
        Action::Member(of) | Action::Below(of)
            if of.facts().spread == Spread::Replicated && !request.method.is_safe() =>
        {
            Some((of, parameters.first()?))
        }
        _ => None,
    }
}

/// A node's events, in the location's order. Its `next` link is unusable, so the merge makes ours.
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
