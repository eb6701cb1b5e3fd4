//! Changes a resource where it is, and refuses changes that would move it.

use http::StatusCode;
use log::warn;

use crate::api::bmc::Bmc;
use crate::api::bmc::bmcs;
use crate::api::body::Patch;
use crate::api::body::Value;
use crate::api::collection::Collection;
use crate::api::json;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::Subject;
use crate::federate::claim::Claim;
use crate::federate::claim::claims_in;
use crate::federate::hold::Hold;
use crate::federate::located::beside::check_beside;
use crate::federate::located::create::PARENT_NODE_SINCE;
use crate::federate::located::home::GROUPS_SINCE;
use crate::federate::located::home::conductor_group;
use crate::federate::located::unique::Free;
use crate::federate::located::unique::look_for_twins;
use crate::federate::objection::Objection;
use crate::federate::owner::Denial;
use crate::federate::owner::Next;
use crate::federate::owner::Visit;
use crate::locations::question::Body;
use crate::request::Answer;
use crate::request::Request;
use crate::wire::transport::Reply;

/// A member, or anything below it that Ironic might read as one, that is about to be changed.
#[derive(Debug)]
pub struct Update<'a> {
    federation: &'a Federation,
    request: &'a Request,
    collection: Collection,
    ident: &'a str,
    patch: Patch,
}

impl<'a> Update<'a> {
    pub fn new(
        federation: &'a Federation,
        request: &'a Request,
        (collection, ident): (Collection, &'a str),
    ) -> Result<Self, Error> {
        let mut patch = Patch::parse(request.body.held())?;
        if collection == Collection::Nodes {
            // Ironic 39 answers 500 to `remove` and to null here, so `baremetal node unset --conductor-group` fails; ""
            // works.
            patch.spell_out_removal("/conductor_group");
        }
        Ok(Self {
            federation,
            request,
            collection,
            ident,
            patch,
        })
    }

    /// `PATCH`
    pub async fn send(&self) -> Result<Answer, Error> {
        let federation = self.federation;
        let visit = federation
            .visit(self.request, self.collection, self.ident)
            .await?;
        let claims = claims_in(self.collection, self.ident, &self.patch);
        // Held until the answer: of two patches that claim one name the second must see the first.
        let hold = federation.hold(self.request, &claims).await?;
        let answer = self.send_under(&hold, &claims, visit).await;
        hold.release().await;
        answer
    }

    async fn send_under(
        &self,
        hold: &Hold<'_>,
        claims: &[Claim],
        mut visit: Visit<'_>,
    ) -> Result<Answer, Error> {
        let federation = self.federation;
        loop {
            let home = visit.location();
            let checked = async {
                self.check_stays(home).await?;
                Free::elsewhere(federation, self.request, home, claims).await
            };
            let free = match checked.await {
                Ok(free) => free,
                Err(error @ Error::Objection(_)) => {
                    // The refusal holds only if the node is where we think it is; a stale entry would make its own name
                    // a conflict.
                    if visit.denied(Denial::Ours).await? == Next::Again {
                        continue;
                    }
                    return Err(error);
                }
                Err(error) => return Err(error),
            };
            hold.suffices(federation.require_unique)?;
            let reply = match self.send_to(home).await {
                Ok(reply) => reply,
                Err(error) => {
                    // What may have been written may have a twin as well.
                    if error.is_ambiguous() {
                        let what = (claims, hold, &free);
                        look_for_twins(federation, self.request, home, what).await;
                    }
                    return Err(error);
                }
            };
            if reply.status == StatusCode::NOT_FOUND {
                // A 404 of Ironic's means that nothing was changed, so the patch may be sent to the new location.
                let denial = Denial::of(self.collection, &reply.body);
                if visit.denied(denial).await? == Next::Again {
                    continue;
                }
            }
            let answer = self.changed(home, &free, reply);
            if answer.status.is_success() {
                look_for_twins(federation, self.request, home, (claims, hold, &free)).await;
                return Ok(hold.flag(answer));
            }
            return Ok(answer);
        }
    }

    fn changed(&self, home: LocationId, free: &Free, reply: Reply) -> Answer {
        let answer =
            self.federation
                .relay(self.request, home, Subject::Member(self.collection), reply);
        if !answer.status.is_success() {
            return answer;
        }
        if let Value::Text(name) = self.patch.outcome("/name") {
            let uuid = json::member(answer.body.whole(), "uuid").ok().flatten();
            let idents = (uuid.as_deref(), Some(&*name));
            free.vouch(&self.federation.locator, self.collection, idents, home);
        }
        free.flag(&self.federation.locations, answer, self.ident)
    }

    async fn send_to(&self, location: LocationId) -> Result<Reply, Error> {
        let mut question = self.request.question();
        question.body = Body::Whole(self.patch.to_bytes());
        let location = self.federation.locations.location(location);
        Ok(location.reply(&self.request.asker, &question).await?)
    }

    /// Nodes cannot move between Ironics, nor can what belongs to a node.
    async fn check_stays(&self, home: LocationId) -> Result<(), Error> {
        let version = self.request.version;
        if self.collection == Collection::Nodes
            && version >= GROUPS_SINCE
            && let Some(group) = conductor_group(self.patch.outcome("/conductor_group"))?
        {
            // The location would accept any group that one of its own conductors serves, whatever the map says.
            let target = self.federation.groups.location(&group);
            if target != Some(home) {
                return Err(self.cannot_move(home, &group, target).into());
            }
        }
        // A patch of `driver_info` can move a node's BMC as a conductor group can move the node.
        if self.collection == Collection::Nodes && !self.federation.placement.is_empty() {
            let bmcs = bmcs_in(&self.patch.changes());
            let node = (self.ident, home);
            let placement = &self.federation.placement;
            if let Some(doubt) = placement.check(&self.federation.locations, node, &bmcs)? {
                warn!("{doubt}");
            }
        }
        let reference = match self.collection {
            // Ironic answers 406 to the member then, whichever node it names.
            Collection::Nodes if version < PARENT_NODE_SINCE => return Ok(()),
            Collection::Nodes => "parent_node",
            _ => "node_uuid",
        };
        for node in self.patch.texts(&format!("/{reference}")) {
            check_beside(self.federation, self.request, home, (reference, &node)).await?;
        }
        Ok(())
    }

    fn cannot_move(&self, home: LocationId, group: &str, target: Option<LocationId>) -> Objection {
        let name = |id| self.federation.locations.location(id).name();
        let belongs = match target {
            Some(target) => format!("belongs to location {}", name(target)),
            None => "is not mapped to any location".to_owned(),
        };
        let advice = "Nodes cannot be moved between locations; delete and re-enrol.";
        Objection::Misplaced {
            text: format!(
                "Node {} is in location {}; conductor group \"{group}\" {belongs}. {advice}",
                self.ident,
                name(home)
            ),
            plain: format!(
                "Conductor group \"{group}\" is not of the location of node {}. {advice}",
                self.ident
            ),
        }
    }
}

/// The BMCs that a patch names.
fn bmcs_in(changes: &[(String, Option<serde_json::Value>)]) -> Vec<Bmc> {
    let named = |(path, value): &(String, Option<serde_json::Value>)| {
        let value = value.as_ref()?;
        // Ironic's path pattern ends in `$`, which in Python also matches before a final newline.
        match path.trim_end_matches('\n').strip_prefix("/driver_info")? {
            "" => Some(bmcs(value)),
            member => {
                let member = member.strip_prefix('/')?.to_owned();
                let driver_info = serde_json::Map::from_iter([(member, value.clone())]);
                Some(bmcs(&driver_info.into()))
            }
        }
    };
    changes.iter().filter_map(named).flatten().collect()
}
