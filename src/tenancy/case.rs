//! One request under way: the caller, the rules, and the requests that are sent to the federation for it.

use std::sync::OnceLock;

use bytes::Bytes;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header::LOCATION;
use log::info;

use crate::api::collection::Collection;
use crate::api::identifier::is_uuid_like;
use crate::api::media::Media;
use crate::api::microversion::Microversion;
use crate::api::query::Query;
use crate::api::query::encode_segment;
use crate::api::route::Action;
use crate::api::route::Target as Route;
use crate::api::route::path::Path;
use crate::api::route::table::About;
use crate::api::rules::Rule;
use crate::auth::access::Denied;
use crate::auth::access::Judged;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::objection::Objection;
use crate::federate::owner::Denial;
use crate::federate::plan::Plan;
use crate::locate::LocateError;
use crate::locations::question::Body;
use crate::policy::caller::Caller;
use crate::policy::caller::Project;
use crate::policy::in_force::Rules;
use crate::policy::language::Verdict;
use crate::policy::targets::Target;
use crate::request::Answer;
use crate::request::Request;
use crate::request::Review;
use crate::tenancy::refusal;
use crate::tenancy::resource;
use crate::tenancy::resource::Resource;

/// From here on nodes have owners, and lessees.
pub(crate) const OWNER: Microversion = Microversion::new(1, 50);
pub(crate) const LESSEE: Microversion = Microversion::new(1, 65);
pub(crate) const ALLOCATION_OWNER: Microversion = Microversion::new(1, 60);

/// Members that say whose a thing is, and since when: below that Ironic answers 406 to whoever selects them.
const HOLDERS: &[(Collection, &str, Microversion)] = &[
    (Collection::Nodes, "owner", OWNER),
    (Collection::Nodes, "lessee", LESSEE),
    (Collection::Allocations, "owner", ALLOCATION_OWNER),
];

/// One request of a caller with limited rights.
pub(crate) struct Case<'a> {
    pub(crate) federation: &'a Federation,
    pub(crate) request: &'a Request,
    pub(crate) caller: Caller<'a>,
    pub(crate) rules: &'a Rules,
    /// `[api] project_admin_can_manage_own_nodes`
    pub(crate) own_nodes: bool,
    /// Locations whose API has no lessees: for a project their things are nobody's.
    pub(crate) too_old: Vec<LocationId>,
    /// Who is shown whatever there is, such as a service with elevated access, needs no owner to see a thing by.
    sees_all: bool,
    denied: &'a OnceLock<&'static str>,
    /// A rule that says no here, about something whose location judges itself.
    doubt: OnceLock<Rule>,
}

/// A request to the federation.
#[derive(Clone)]
pub(crate) struct Errand {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) version: Microversion,
    pub(crate) body: Bytes,
    /// The location where its thing was found and judged.
    pub(crate) at: Option<LocationId>,
    /// Nodes in the body, and where each was found and judged.
    pub(crate) placed: Vec<(String, LocationId)>,
    /// Only to locations that judge the caller themselves.
    pub(crate) is_for_judges: bool,
    /// What has to be done once something was made, however long that took.
    pub(crate) follows_a_write: bool,
    pub(crate) review: Review,
}

impl Errand {
    pub(crate) fn get(path: String, query: Query, version: Microversion) -> Self {
        Self {
            method: Method::GET,
            path,
            query,
            version,
            body: Bytes::new(),
            at: None,
            placed: Vec::new(),
            is_for_judges: false,
            follows_a_write: false,
            review: Review::default(),
        }
    }

    pub(crate) fn afterwards(self) -> Self {
        Self {
            follows_a_write: true,
            ..self
        }
    }

    pub(crate) fn at(self, at: Option<LocationId>) -> Self {
        Self { at, ..self }
    }
}

/// A resource, and the location that has it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) resource: Resource,
    pub(crate) at: Option<LocationId>,
}

/// What a look-up brought.
#[derive(Debug, Default)]
pub(crate) struct LookUp {
    pub(crate) found: Vec<Found>,
    /// Who has it, whether or not that is shown; without any, everybody was asked and nobody has it.
    pub(crate) owners: Vec<LocationId>,
}

impl From<Option<Found>> for LookUp {
    fn from(found: Option<Found>) -> Self {
        let found = Vec::from_iter(found);
        Self {
            owners: found.iter().filter_map(|found| found.at).collect(),
            found,
        }
    }
}

/// A path of one collection's member, and what is below it.
pub(crate) fn path(segments: &[&str]) -> String {
    let mut path = "/v1".to_owned();
    for segment in segments {
        path.push('/');
        path.push_str(&encode_segment(segment));
    }
    path
}

/// The path of one thing.
fn path_of(collection: Collection, ident: &str) -> String {
    let kind = collection.facts().path;
    let segments: Vec<_> = kind.split('/').chain([ident]).collect();
    path(&segments)
}

/// Those of these members of a thing that it has in a version.
pub(crate) fn known_in(version: Microversion, collection: Collection, fields: &str) -> Vec<&str> {
    let is_known = |member: &&str| {
        let mut holders = HOLDERS.iter();
        holders.all(|(of, name, since)| (*of, name) != (collection, member) || version >= *since)
    };
    fields.split(',').filter(is_known).collect()
}

impl<'a> Case<'a> {
    pub(crate) fn new(
        federation: &'a Federation,
        request: &'a Request,
        judged: &'a Judged,
        caller: Caller<'a>,
    ) -> Self {
        // What a rule about nobody's things lets a project see has no owner either.
        let is_nobodys = judged.row.is_some_and(|row| row.about == About::Nothing);
        let sees_all = is_nobodys
            || caller.project().is_none()
            || judged
                .rules
                .judge(Rule::NodeListAll, &caller, &Target::Unasked)
                == Verdict::Yes;
        Self {
            federation,
            request,
            caller,
            rules: &judged.rules,
            own_nodes: judged.own_nodes,
            // Who is of no project needs no owner anywhere.
            too_old: match caller.project() {
                Some(_) => too_old(federation, request),
                None => Vec::new(),
            },
            sees_all,
            denied: &judged.denied,
            doubt: OnceLock::new(),
        }
    }

    pub(crate) fn project(&self) -> Option<Project<'a>> {
        self.caller.project()
    }

    /// The newest version of all locations that a project can have things at, for questions of our own.
    fn newest(&self) -> Microversion {
        let newest = self.request.range.max();
        if self.too_old.is_empty() {
            newest
        } else {
            // The common maximum may be that of an old location, which is left out. Every other one has 1.65, unless it
            // judges itself.
            let others = self.locations().filter(|at| !self.is_too_old(Some(*at)));
            newest.max(
                others
                    .filter_map(|at| self.spoken_by(at))
                    .fold(LESSEE, Microversion::min),
            )
        }
    }

    /// The question for members of one thing, wherever it is or at one location. Without an owner it is nobody's.
    pub(crate) fn looking(
        &self,
        (collection, ident): (Collection, &str),
        fields: &str,
        at: Option<LocationId>,
    ) -> Errand {
        let version = self.newest_at(at);
        let mut fields = known_in(version, collection, fields);
        if self.is_too_old(at.or(self.request.pinned)) {
            fields.retain(|member| HOLDERS.iter().all(|(_, holder, _)| holder != member));
        }
        let query = Query::default().with("fields", fields.join(","));
        Errand::get(path_of(collection, ident), query, version).at(at)
    }

    /// The newest version that the location speaks which is asked; without one that of all of them.
    pub(crate) fn newest_at(&self, at: Option<LocationId>) -> Microversion {
        let own = at.or(self.request.pinned).and_then(|at| self.spoken_by(at));
        own.unwrap_or_else(|| self.newest())
    }

    fn spoken_by(&self, at: LocationId) -> Option<Microversion> {
        let standing = self.federation.locations.location(at).standing()?;
        Some(standing.range.max())
    }

    pub(crate) fn is_too_old(&self, at: Option<LocationId>) -> bool {
        at.is_some_and(|at| self.too_old.contains(&at))
    }

    /// A project can have nothing where things have no owners.
    pub(crate) fn may_have_at(&self, at: LocationId) -> bool {
        self.sees_all || !self.is_too_old(Some(at))
    }

    /// The client's own request.
    pub(crate) fn errand(&self, body: Bytes) -> Errand {
        Errand {
            method: self.request.method.clone(),
            path: self.request.target.path(),
            query: self.request.query.clone(),
            version: self.request.version,
            body,
            at: None,
            placed: Vec::new(),
            is_for_judges: false,
            follows_a_write: false,
            review: Review::default(),
        }
    }

    /// What becomes of a request of ours.
    pub(crate) async fn plan(&self, errand: Errand) -> Result<Plan, Error> {
        let (target, query) = read(&errand)?;
        // Nothing of a project is made where nobody could tell whose it is.
        let asks_all = self.sees_all && (errand.at.is_some() || errand.method != Method::POST);
        let pinned = errand.at.or(self.request.pinned);
        let speaks = pinned.is_some() || errand.version <= self.request.range.max();
        let mut left_out = if asks_all && speaks {
            Vec::new()
        } else {
            self.too_old.clone()
        };
        if errand.is_for_judges {
            let ours = self.locations().filter(|at| !self.judges_itself(Some(*at)));
            left_out.extend(ours);
        }
        let body = if errand.body.is_empty() {
            Body::None
        } else {
            Body::Whole(errand.body.clone())
        };
        let request = Request {
            method: errand.method,
            path: errand.path,
            target,
            query,
            range: self.request.range,
            version: errand.version,
            // Sent to where the thing was judged, so that a move in between cannot lead to an unjudged one.
            pinned,
            left_out,
            placed: errand.placed,
            partial: self.request.partial,
            base: self.request.base.clone(),
            asker: if errand.follows_a_write {
                self.request.asker.afterwards()
            } else {
                self.request.asker.clone()
            },
            body,
            // What was judged is JSON, so it is sent as JSON, whatever the client called it.
            media: Media::Json,
            words: self.request.words,
            review: errand.review,
            reach: self.request.reach.clone(),
            follows_a_write: errand.follows_a_write,
        };
        let planned = Box::pin(self.federation.dispatch(&request)).await;
        match (planned, self.doubt.get()) {
            // One Ironic would tell only those of what is taken who pass its policy, and the location has not said so.
            (Err(error), Some(rule)) if error.is_about_others() => Err(self.deny(*rule)),
            (planned, _) => planned,
        }
    }

    pub(crate) async fn send(&self, errand: Errand) -> Result<Answer, Error> {
        match self.plan(errand).await? {
            Plan::Answer(answer) => Ok(answer),
            // Only vendors' methods are streamed, and those are no errands that wait for an answer.
            Plan::Forward(_) => Err(Objection::NOWHERE.into()),
        }
    }

    /// The client's request by the UUID that was judged: a name could mean another thing by now. The answer calls it
    /// what the client called it, as Ironic does.
    pub(crate) async fn send_by(
        &self,
        collection: Collection,
        uuid: &str,
        errand: Errand,
    ) -> Result<Answer, Error> {
        let target = &self.request.target;
        let path = target.path_for(collection, uuid);
        let mut answer = self.send(Errand { path, ..errand }).await?;
        let kind = collection.facts().path;
        let Some(ident) = target.segments().get(kind.split('/').count()) else {
            return Ok(answer);
        };
        let is_gone = answer.status == StatusCode::NOT_FOUND
            && Denial::of(collection, answer.body.whole()) == Denial::Absent;
        if is_gone {
            return Err(refusal::absent(collection, ident));
        }
        let at = format!("{}/v1/{kind}/", self.request.base.as_str());
        let written = answer.headers.get(LOCATION).and_then(|value| {
            let below = value.to_str().ok()?.strip_prefix(&at)?.strip_prefix(uuid)?;
            HeaderValue::from_str(&format!("{at}{}{below}", encode_segment(ident))).ok()
        });
        if let Some(written) = written {
            answer.headers.insert(LOCATION, written);
        }
        Ok(answer)
    }

    /// One resource, or a list. `None`: everybody was asked and nobody has it.
    pub(crate) async fn read(&self, errand: Errand) -> Result<Option<Resource>, Error> {
        Ok(self.find(errand).await?.map(|found| found.resource))
    }

    pub(crate) async fn find(&self, errand: Errand) -> Result<Option<Found>, Error> {
        let answer = match self.send(errand).await {
            Ok(answer) => answer,
            Err(Error::Locate(LocateError::Nobody { .. })) => return Ok(None),
            // What all say of what is the same everywhere.
            Err(Error::Reply(answer)) if answer.status == StatusCode::NOT_FOUND => return Ok(None),
            Err(error) => return Err(error),
        };
        match answer.status {
            StatusCode::OK => Ok(Some(Found {
                resource: resource::shown(&answer)?,
                // A copy of what is the same everywhere names none to the client, though one of them had it.
                at: answer.location.or(answer.places.first().copied()),
            })),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(Error::Reply(Box::new(answer))),
        }
    }

    /// The things with this identifier, at the newest version, with these members. More than one if locations claim the
    /// same: which of them is meant depends on what the caller may see.
    pub(crate) async fn look_up(
        &self,
        thing: (Collection, &str),
        fields: &str,
    ) -> Result<LookUp, Error> {
        self.look_up_at(thing, fields, None).await
    }

    /// The same at one location, if one is named.
    pub(crate) async fn look_up_at(
        &self,
        (collection, ident): (Collection, &str),
        fields: &str,
        at: Option<LocationId>,
    ) -> Result<LookUp, Error> {
        if let Some(at) = at {
            // The question is made in its newest version: right after the start that has to be known first.
            let location = self.federation.locations.location(at);
            location.newest(&self.request.asker).await;
        }
        let told = self.look_up_so((collection, ident), fields, at).await?;
        // As in `Federation::visit_as`: the end of a path that was taken off may be the end of a name.
        match self.request.target.fallback(ident) {
            Some(whole) if told.owners.is_empty() => {
                self.look_up_so((collection, &whole), fields, at).await
            }
            _ => Ok(told),
        }
    }

    async fn look_up_so(
        &self,
        (collection, ident): (Collection, &str),
        fields: &str,
        at: Option<LocationId>,
    ) -> Result<LookUp, Error> {
        let errand = |at| self.looking((collection, ident), fields, at);
        // `nodes/detail` is a list, though it has the form of a node's path.
        let is_member = read(&errand(at)).is_ok_and(|(target, _)| {
            let row = target.row();
            row.is_some_and(|row| matches!(row.action, Action::Member(_)))
        });
        // An empty identifier would make the path that of the whole list.
        if !is_member || ident.is_empty() {
            return Ok(LookUp::default());
        }
        // With a question that old locations understand, where there are any; only then whose it is, which each is asked
        // as far as it knows.
        let is_named = at.or(self.request.pinned).is_some();
        let beside_old = !is_named && self.project().is_some() && self.request.range.max() < LESSEE;
        let asked = if beside_old {
            let query = Query::default().with("fields", "uuid");
            Errand::get(path_of(collection, ident), query, self.request.range.max())
        } else {
            errand(at)
        };
        let owners = match self.find(asked).await {
            Err(Error::Locate(
                LocateError::Ambiguous { owners } | LocateError::Contested { owners },
            )) => owners,
            // Whatever these call so is nothing of a project's: all others are asked.
            Err(Error::Locate(LocateError::Unasked { silent }))
                if beside_old
                    && !is_uuid_like(ident)
                    && !silent.is_empty()
                    && !silent.iter().any(|one| self.may_have_at(one.location)) =>
            {
                silent.iter().map(|one| one.location).collect()
            }
            found if beside_old => found?.and_then(|found| found.at).into_iter().collect(),
            found => return Ok(found?.into()),
        };
        let mut found = Vec::new();
        for owner in &owners {
            if self.may_have_at(*owner) {
                found.extend(self.find(errand(Some(*owner))).await?);
            }
        }
        Ok(LookUp { found, owners })
    }

    /// Whether a location gets the user's own token: then its own policy decides about its things.
    pub(crate) fn judges_itself(&self, at: Option<LocationId>) -> bool {
        at.is_some_and(|at| {
            self.federation
                .locations
                .location(at)
                .config
                .forward_user_token
        })
    }

    /// The location that is asked judges the caller; what our rules would have said counts only for what others have.
    pub(crate) fn leave(&self, rule: Rule, target: &Target<'_>) {
        if !self.allows(rule, target) {
            // The first one is the one that Ironic would name.
            let _ = self.doubt.set(rule);
        }
    }

    pub(crate) fn locations(&self) -> impl Iterator<Item = LocationId> {
        self.federation.locations.iter().map(|location| location.id)
    }

    /// Whether some location judges callers itself.
    pub(crate) fn has_judges(&self) -> bool {
        self.locations().any(|at| self.judges_itself(Some(at)))
    }

    pub(crate) fn allows(&self, rule: Rule, target: &Target<'_>) -> bool {
        self.rules.judge(rule, &self.caller, target) == Verdict::Yes
    }

    /// Ironic's 403 unless the rule says yes.
    pub(crate) fn permit(&self, rule: Rule, target: &Target<'_>) -> Result<(), Error> {
        if self.allows(rule, target) {
            Ok(())
        } else {
            Err(self.deny(rule))
        }
    }

    /// The same, unless the request is for one location that judges the caller itself.
    pub(crate) fn permit_unless_pinned(
        &self,
        rule: Rule,
        target: &Target<'_>,
    ) -> Result<(), Error> {
        if self.judges_itself(self.request.pinned) {
            self.leave(rule, target);
            return Ok(());
        }
        self.permit(rule, target)
    }

    pub(crate) fn deny(&self, rule: Rule) -> Error {
        self.tell(rule.name(), None);
        Objection::from(Denied::from(rule)).into()
    }

    /// The same, of a thing that was looked up.
    pub(crate) fn deny_at(&self, rule: Rule, uuid: &str) -> Error {
        self.tell(rule.name(), Some(uuid));
        Objection::from(Denied::from(rule)).into()
    }

    /// One line of the audit for every denial.
    pub(crate) fn tell(&self, rule: &'static str, target: Option<&str>) {
        let _ = self.denied.set(rule);
        info!(
            "Denied by {rule}: user {}, project {}, target {}, {} {}",
            self.caller.user_id,
            self.project().map_or("-", |project| project.id),
            target.unwrap_or("-"),
            self.request.method,
            self.request.target.path(),
        );
    }
}

/// Locations that cannot say who owns a thing: a project can have nothing there.
fn too_old(federation: &Federation, request: &Request) -> Vec<LocationId> {
    if request.range.max() >= LESSEE {
        return Vec::new();
    }
    let locations = federation.locations.iter();
    let old = locations.filter(|location| {
        // One that was never reached is not left out: its silence must be an error, not an absence. What is spoken goes by
        // what each said last, and so does this: else nobody would be asked who leases a thing.
        let newest = location
            .last_standing()
            .map(|standing| standing.range.max());
        !location.config.forward_user_token && newest.is_some_and(|newest| newest < LESSEE)
    });
    old.map(|location| {
        location.tell_too_old();
        location.id
    })
    .collect()
}

/// Parses a request of ours as the gateway parses a client's.
fn read(errand: &Errand) -> Result<(Route, Query), Error> {
    let path = Path::read(&errand.path).map_err(|_| Objection::NOWHERE)?;
    Route::read(&errand.method, path, errand.query.clone(), errand.version).map_err(Into::into)
}
