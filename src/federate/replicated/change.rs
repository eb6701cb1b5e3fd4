//! `PATCH`, `DELETE` and changes below an object, at every location that has it.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::Method;
use http::StatusCode;

use crate::api::body::Patch;
use crate::api::collection::Collection;
use crate::api::json;
use crate::api::resource::Resource;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Subject;
use crate::federate::claim::Claim;
use crate::federate::claim::Original;
use crate::federate::claim::Stake;
use crate::federate::claim::claims_in;
use crate::federate::fan_out::Told;
use crate::federate::fan_out::ask_each;
use crate::federate::fan_out::refusal;
use crate::federate::hold::Hold;
use crate::federate::located::create::singular;
use crate::federate::located::unique::Free;
use crate::federate::located::unique::ask_whether_free;
use crate::federate::located::unique::is_required;
use crate::federate::located::unique::look_for_twins;
use crate::federate::objection::Objection;
use crate::federate::replicated::Replicated;
use crate::federate::replicated::copy::Change;
use crate::federate::replicated::copy::Copy;
use crate::federate::replicated::member;
use crate::federate::replicated::write::Before;
use crate::federate::replicated::write::Goal;
use crate::federate::replicated::write::Part;
use crate::federate::replicated::write::Write;
use crate::locate::LocateError;
use crate::locate::directory::Ident;
use crate::locations::question::Question;
use crate::locations::silence::Silence;
use crate::locations::window::ask_all;
use crate::request::Answer;
use crate::wire::transport::Reply;

impl Replicated<'_> {
    pub async fn change(&self, ident: &str) -> Result<Answer, Error> {
        let patch = match self.request.method {
            Method::PATCH => Some(Patch::parse(self.request.body.held())?),
            _ => None,
        };
        let change = match &patch {
            Some(patch) => Change::Patch(patch),
            None if self.is_below() => Change::Traits,
            None => Change::Delete,
        };
        let act = self.request.question();
        // The whole collection, since two writes in different orders at two locations would leave them different.
        let stakes = [Stake::all_of(self.collection)];
        let hold = self.federation.hold_stakes(self.request, stakes.into());
        let hold = hold.await?;
        let answer = self.change_under(&hold, ident, change, act).await;
        hold.release().await;
        answer
    }

    async fn change_under(
        &self,
        hold: &Hold<'_>,
        ident: &str,
        change: Change<'_>,
        mut act: Question,
    ) -> Result<Answer, Error> {
        if let Some(pinned) = self.request.pinned {
            let claims = self.claims_at(pinned, ident, change).await?;
            return self.change_at(pinned, &claims, hold, act).await;
        }
        let copies = self.copies_of(ident).await?;
        self.check(ident, &copies, change).await?;
        // Two gateways that give it different names in different orders would leave it with both.
        let is_renamed = matches!(change, Change::Patch(patch) if !claims_in(self.collection, ident, patch).is_empty());
        hold.suffices(is_renamed && self.federation.require_unique)?;
        let goal = match change {
            Change::Delete => Goal::Gone,
            Change::Patch(_) | Change::Traits => Goal::Changed,
        };
        let write = Write {
            locations: &self.federation.locations,
            asker: &self.request.asker,
            collection: self.collection,
            ident,
            goal,
        };
        let Some(first) = copies.first().map(|copy| copy.location) else {
            return Err(Objection::NOWHERE.into());
        };
        let uuid = copies[0].uuid.clone();
        act.path = self.path_for(&uuid);
        let parts: Vec<_> = copies
            .into_iter()
            .map(|copy| self.changing(copy, change, act.clone()))
            .collect();
        let reply = match write.everywhere(&parts).await? {
            Some(reply) => reply,
            None if matches!(change, Change::Patch(_)) => {
                let question = self
                    .request
                    .ask(Method::GET, member(self.collection, &uuid))
                    .for_member(self.collection, &uuid);
                let location = self.federation.locations.location(first);
                let asker = self.request.asker.afterwards();
                let reply = location.reply(&asker, &question).await;
                reply.map_err(Silence::after_a_write)?
            }
            // It was done and its answer was lost: what Ironic says to a DELETE, and to traits.
            None => Reply {
                status: StatusCode::NO_CONTENT,
                headers: http::HeaderMap::new(),
                body: Bytes::new(),
            },
        };
        Ok(hold.flag(self.everywhere(first, reply)))
    }

    /// What the change claims at one location, as a create there does.
    async fn claims_at(
        &self,
        at: LocationId,
        ident: &str,
        change: Change<'_>,
    ) -> Result<Vec<Claim>, Error> {
        let Change::Patch(patch) = change else {
            return Ok(Vec::new());
        };
        let mut claims = claims_in(self.collection, ident, patch);
        if claims.is_empty() {
            return Ok(claims);
        }
        let path = format!("{}?fields=uuid,name", member(self.collection, ident));
        let question = self.request.ask(Method::GET, path);
        let question = question.for_member(self.collection, ident);
        let location = self.federation.locations.location(at);
        let reply = location.reply(&self.request.asker, &question).await?;
        match reply.status {
            StatusCode::OK => {}
            // It says so itself.
            StatusCode::NOT_FOUND => return Ok(Vec::new()),
            // One that judges the caller itself need not show what it lets be changed.
            _ => return Ok(claims),
        }
        let shown = json::strings(&reply.body, ["uuid", "name"]);
        let [uuid, name] = shown.map_err(|_| location.misspoke())?;
        // That it is called so already takes it from nobody.
        claims.retain(|claim| Some(claim.stake.value.as_str()) != name.as_deref());
        let original = uuid.and_then(|uuid| Original::of(self.request, uuid.into_owned()));
        for claim in &mut claims {
            claim.stake.copy_of.clone_from(&original);
        }
        Ok(claims)
    }

    /// Named by the location header the object is an ordinary one of that location: nothing is replicated or undone.
    async fn change_at(
        &self,
        at: LocationId,
        claims: &[Claim],
        hold: &Hold<'_>,
        act: Question,
    ) -> Result<Answer, Error> {
        let Self {
            federation,
            request,
            collection,
        } = *self;
        let kind = collection.facts().kind;
        let location = federation.locations.location(at);
        let relay = |reply| federation.relay(request, at, Subject::Other(kind), reply);
        if claims.is_empty() {
            return Ok(relay(location.reply(&request.asker, &act).await?));
        }
        let required = is_required(federation, request);
        hold.suffices(required)?;
        let free = Free::elsewhere(federation, request, at, claims).await?;
        hold.suffices(required)?;
        let reply = location.reply(&request.asker, &act).await;
        // What may have been written may have a twin as well.
        if reply
            .as_ref()
            .map_or_else(|silence| silence.sent, |reply| reply.status.is_success())
        {
            look_for_twins(federation, request, at, (claims, hold, &free)).await;
        }
        let answer = relay(reply?);
        if !answer.status.is_success() {
            return Ok(answer);
        }
        Ok(hold.flag(free.flag(&federation.locations, answer, singular(collection))))
    }

    fn changing(&self, copy: Copy, change: Change<'_>, act: Question) -> Part {
        let path = member(self.collection, &copy.uuid);
        Part {
            location: copy.location,
            act,
            look: copy
                .question(Method::GET, path, None)
                .for_member(self.collection, &copy.uuid),
            undo: copy.inverse(self.collection, change),
            before: Before::Copy(copy),
        }
    }

    /// The copies of what is called so. One of them may have another name, after a rename say that could not be undone.
    async fn copies_of(&self, ident: &str) -> Result<Vec<Copy>, Error> {
        let called = self.copies(ident).await?;
        let are_all = called.len() == self.federation.locations.iter().len();
        match called.first() {
            Some(copy) if !are_all && !Ident::new(ident).is_uuid_like() => {
                self.copies(&copy.uuid).await
            }
            _ => Ok(called),
        }
    }

    /// The copies, each at its location's newest version, so that an undo can restore every field. Every location has
    /// to answer before anything is written.
    async fn copies(&self, ident: &str) -> Result<Vec<Copy>, Error> {
        let path = member(self.collection, ident);
        let asked = self.federation.locations.iter().map(async |location| {
            let newest = location.newest(&self.request.asker).await;
            let version = newest.unwrap_or(self.request.range.max());
            let question = Question::get(path.clone(), version).for_member(self.collection, ident);
            let answer = location.reply(&self.request.asker, &question).await;
            (location, version, answer)
        });
        let mut told = Told::default();
        let mut copies = Vec::new();
        for (location, version, answer) in ask_all(asked).await {
            let reply = match answer {
                Ok(reply) => reply,
                Err(silence) => {
                    told.silent.push(silence);
                    continue;
                }
            };
            if reply.status == StatusCode::OK {
                let document = Resource::read(&reply.body).map_err(|_| location.misspoke())?;
                let uuid = document.text("uuid").ok_or_else(|| location.misspoke())?;
                let uuid = uuid.into_owned();
                copies.push(Copy {
                    location: location.id,
                    version,
                    uuid,
                    document,
                });
            }
            told.replies.push((location.id, reply));
        }
        // A copy that is not seen now would stay as it is.
        if !told.silent.is_empty() {
            return Err(Error::Silent(told.silent));
        }
        if let Some((first, reply)) = told.denied() {
            let reply = Box::new(reply.clone());
            return Err(LocateError::Nobody { first, reply }.into());
        }
        told.found()?;
        let uuids: BTreeSet<_> = copies.iter().map(|copy| &copy.uuid).collect();
        if uuids.len() > 1 {
            let owners = copies.iter().map(|copy| copy.location).collect();
            return Err(LocateError::Ambiguous { owners }.into());
        }
        Ok(copies)
    }

    /// Refuses what can be known to fail before anything is written.
    async fn check(&self, ident: &str, copies: &[Copy], change: Change<'_>) -> Result<(), Error> {
        let beyond = |copy: &Copy| copy.is_beyond_undoing(self.collection, change);
        // What was made a moment ago, and is not finished, nobody wants back.
        let is_kept = !self.request.follows_a_write;
        if is_kept && copies.len() > 1 && copies.iter().any(beyond) {
            return Err(Objection::Invalid(format!(
                "{} {ident} holds what Ironic does not show, which could not be put back if a location failed. \
                 Change it at each location, named in X-Ironic-Proxy-Location.",
                self.collection.facts().noun
            ))
            .into());
        }
        match change {
            Change::Delete if self.collection == Collection::Chassis => {
                self.check_empty(ident, copies).await
            }
            Change::Patch(patch) => {
                let claims = claims_in(self.collection, ident, patch);
                // A location that has the object checks the new name against its own database.
                let others = self
                    .federation
                    .locations
                    .iter()
                    .filter(|location| copies.iter().all(|copy| copy.location != location.id));
                let silent = ask_whether_free(self.request, others, &claims).await?;
                if silent.is_empty() {
                    Ok(())
                } else {
                    Err(Error::Unverified(silent))
                }
            }
            Change::Delete | Change::Traits => Ok(()),
        }
    }

    /// Ironic refuses to delete a chassis with nodes; one location's refusal must come before another's delete.
    async fn check_empty(&self, ident: &str, copies: &[Copy]) -> Result<(), Error> {
        let scope: Vec<_> = copies
            .iter()
            .map(|copy| self.federation.locations.location(copy.location))
            .collect();
        let path = format!(
            "{}/nodes?limit=1&fields=uuid",
            member(Collection::Chassis, ident)
        );
        let question = self.request.probe(path).for_list(Collection::Nodes);
        let told = ask_each(&scope, &self.request.asker, &question).await;
        if !told.silent.is_empty() {
            return Err(Error::Silent(told.silent));
        }
        for (location, reply) in told.replies {
            match reply.status {
                StatusCode::OK => {}
                // It has gone there meanwhile.
                StatusCode::NOT_FOUND => continue,
                _ => return Err(refusal(reply, location)),
            }
            let body = Resource::read(&reply.body).ok();
            let nodes = body.and_then(|body| body.elements("nodes"));
            let nodes =
                nodes.ok_or_else(|| self.federation.locations.location(location).misspoke())?;
            if !nodes.is_empty() {
                let text = format!(
                    "Cannot complete the requested action because chassis {ident} contains nodes."
                );
                return Err(Objection::Invalid(text).into());
            }
        }
        Ok(())
    }
}
