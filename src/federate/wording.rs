//! Refusals in Ironic's own words: where no location has a thing, one of them is asked all the same for what it says of
//! the request.

use bytes::Bytes;
use http::Method;

use crate::api::body::Patch;
use crate::api::identifier;
use crate::api::identifier::Alias;
use crate::api::link::Kind;
use crate::api::route::Action;
use crate::api::route::Route;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::Subject;
use crate::federate::plan::Forward;
use crate::federate::plan::Plan;
use crate::locate::Source;
use crate::locations::location::Location;
use crate::locations::order::Act;
use crate::locations::question::Body;
use crate::locations::question::Question;
use crate::request::Answer;
use crate::request::Request;

/// A request that no location owns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wording<'a> {
    pub(super) federation: &'a Federation,
    pub(super) request: &'a Request,
}

impl Wording<'_> {
    /// Any location that can be asked, to get Ironic's wording of a refusal.
    fn anyone(&self) -> LocationId {
        self.who(LocationId(0)).unwrap_or(LocationId(0))
    }

    /// The same: this one, or another one if its operator does not let it be asked that. `None`: none of them.
    pub(super) fn who(&self, wanted: LocationId) -> Option<LocationId> {
        let act = Act::of(&self.request.question());
        let may = |location: &&Location| location.is_reachable() && location.forbids(act).is_none();
        let wanted = self.federation.locations.location(wanted);
        [wanted]
            .into_iter()
            .chain(self.federation.locations.iter())
            .find(may)
            .map(|location| location.id)
    }

    /// A request that no location can own: any of them words the refusal.
    pub(super) async fn by_any(&self) -> Result<Plan, Error> {
        let location = self.request.pinned.unwrap_or_else(|| self.anyone());
        self.by(location).await
    }

    /// Every location would refuse this request, so one of them is asked for Ironic's wording.
    pub(super) async fn by(&self, location: LocationId) -> Result<Plan, Error> {
        let mut question = self.request.question();
        // Nobody serves it, so the body is sent as the client declared it and Ironic judges that too.
        question.media = self.request.media;
        let mut alias = self.request.target.alias().cloned();
        if alias.is_none()
            && !self.request.method.is_safe()
            && let Some((of, ident)) = self.request.target.member()
        {
            // It may be there meanwhile, or be found by other ways than a read is. Then the write would be done, unchecked, to
            // one copy of several or to something else; by a name that cannot exist it is not.
            let whole = self.request.target.fallback(ident);
            let other = Alias::of(whole.as_deref().unwrap_or(ident));
            question.path = self.request.target.path_for(of, &other.ident);
            self.request.query.append_to(&mut question.path);
            alias = Some(other);
        }
        // The made-up name has to be replaced in the answer, which needs its body; without either it can be streamed.
        if self.request.target.is_vendors()
            && (alias.is_none() || self.request.method == Method::HEAD)
        {
            return Ok(Plan::Forward(Forward {
                location,
                path: question.path,
                key: None,
                source: Source::Asked,
            }));
        }
        let answer = self.said(location, question).await?;
        Ok(Plan::Answer(match alias {
            Some(alias) => answer.reworded(&alias),
            None => answer,
        }))
    }

    /// The same of a create, as it would be sent to this location, or to another one that can be asked.
    pub(super) async fn of_body(&self, first: LocationId, body: Bytes) -> Result<Answer, Error> {
        let location = self.request.pinned.or_else(|| self.who(first));
        let mut question = self.request.question();
        question.body = Body::Whole(body);
        self.said(location.unwrap_or(first), question).await
    }

    async fn said(&self, location: LocationId, question: Question) -> Result<Answer, Error> {
        let reply = self
            .federation
            .locations
            .location(location)
            .ask(&self.request.asker, &question)
            .await?
            .into_reply();
        Ok(Answer {
            // No location has it, so the location header would mislead.
            location: None,
            ..self
                .federation
                .relay(self.request, location, Subject::Other(Kind::Plain), reply)
        })
    }
}

/// Attributes that every version lets a client patch: for these an unknown node is the only possible error.
const PLAIN: &[&str] = &["/extra", "/properties", "/driver_info", "/instance_info"];

/// Whether "nobody has it" is what one Ironic would say, too: what is wrong with a request is often found before the
/// thing is looked for. Then one location says it, about the client's own request.
pub(super) fn said_all_there_is(request: &Request) -> bool {
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
