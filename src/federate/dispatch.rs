//! Chooses how a request is served: one arm for each kind of route.

use http::Method;

use crate::api::collection::Collection;
use crate::api::collection::Spread;
use crate::api::link::Kind;
use crate::api::route::Action;
use crate::api::route::Route;
use crate::api::route::table::Payload;
use crate::api::route::table::Row;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::Subject;
use crate::federate::listed::Listed;
use crate::federate::located::allocate::Allocations;
use crate::federate::located::create::Creation;
use crate::federate::located::update::Update;
use crate::federate::objection::Objection;
use crate::federate::owner::Denial;
use crate::federate::owner::Member;
use crate::federate::owner::Next;
use crate::federate::owner::Visit;
use crate::federate::plan::Forward;
use crate::federate::plan::Plan;
use crate::federate::ramdisk::Ramdisk;
use crate::federate::replicated::Replicated;
use crate::federate::united::United;
use crate::federate::wording::Wording;
use crate::federate::wording::said_all_there_is;
use crate::locate::LocateError;
use crate::locate::Owner;
use crate::locate::directory::Key;
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
                let wording = self.wording(request);
                match request.pinned.or_else(|| wording.who(first)) {
                    Some(location) => wording.by(location).await,
                    None => Err(LocateError::Nobody { first, reply }.into()),
                }
            }
            planned => planned,
        }
    }

    async fn plan(&self, request: &Request) -> Result<Plan, Error> {
        match &request.target.route {
            // Nothing can have such an identifier; what else is wrong with the request any location can say.
            _ if request.target.alias().is_some() => self.wording(request).by_any().await,
            Route::Known { row, parameters } => self.act(request, row, parameters).await,
            Route::UnknownBelow { of, ident } => self.below_unknown(request, *of, ident).await,
            Route::NotPermitted => self.wording(request).by_any().await,
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
            Action::List(collection) => Box::pin(self.listed(request).collection(collection)).await,
            Action::ChassisNodes => Box::pin(self.listed(request).all(Collection::Nodes)).await,
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
                Box::pin(self.listed(request).below(member, items)).await
            }
            Action::History => Box::pin(self.listed(request).history(ident)).await,
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

    fn listed<'a>(&'a self, request: &'a Request) -> Listed<'a> {
        Listed {
            federation: self,
            request,
        }
    }

    fn wording<'a>(&'a self, request: &'a Request) -> Wording<'a> {
        Wording {
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

    /// Sends a request to the location of the thing. Vendor passthru is streamed by Pingora's proxy; the rest is asked
    /// from here, since its answer is judged as a whole before a status is passed on.
    async fn forward(
        &self,
        request: &Request,
        member: Member<'_>,
        subject: Subject,
    ) -> Result<Plan, Error> {
        let key = Key::new(member.collection, member.ident);
        let remembered = self.revisit(request, &key);
        if remembered.is_none()
            && matches!(subject, Subject::Member(_))
            && self.is_its_own_poll(request, &key)
        {
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
        let visit = match remembered {
            Some(visit) => visit,
            None => self.visit(request, member.collection, member.ident).await?,
        };
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
            // A read that follows is not to be sent where the thing was.
            if has_it && request.method == Method::DELETE && matches!(subject, Subject::Member(_)) {
                self.locator.directory.forget(&visit.key);
            }
            // A read can be asked for again, so an answer that cannot be read is none. Of a write see `relay`.
            if request.method.is_safe() {
                return self
                    .adopt(request, location.id, subject, words)
                    .map_err(|_| location.unreadable(&question.expect).into());
            }
            return Ok(self.relay(request, location.id, subject, words));
        }
    }
}
