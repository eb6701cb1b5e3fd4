//! Creates a resource at the one location where it belongs. Its UUID is chosen beforehand, so that after a lost answer
//! the gateway can ask for it instead of sending the create again.

use std::borrow::Cow;

use http::HeaderValue;
use http::Method;
use http::StatusCode;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::api::body::Object;
use crate::api::body::Value;
use crate::api::collection::Collection;
use crate::api::collection::Spread;
use crate::api::identifier::Alias;
use crate::api::identifier::is_uuid_like;
use crate::api::identifier::is_uuid_or_name;
use crate::api::json;
use crate::api::microversion::Microversion;
use crate::api::query::encode_segment;
use crate::api::route;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::Subject;
use crate::federate::claim::Column;
use crate::federate::claim::Original;
use crate::federate::claim::Stake;
use crate::federate::claim::claims_of;
use crate::federate::located::beside::check_beside;
use crate::federate::located::home::home_of;
use crate::federate::located::unique::Free;
use crate::federate::located::unique::is_required;
use crate::federate::located::unique::look_for_twins;
use crate::federate::objection::Objection;
use crate::federate::owner::Denial;
use crate::federate::owner::Next;
use crate::federate::owner::Visit;
use crate::federate::replicated::copy::SECRET;
use crate::federate::wording::Wording;
use crate::locate::LocateError;
use crate::locations::question::Body;
use crate::locations::silence::Silence;
use crate::request::Answer;
use crate::request::Request;

/// Before this version Ironic refuses the member, whatever it says (`api_utils.VERSIONED_FIELDS`).
pub const PARENT_NODE_SINCE: Microversion = Microversion::new(1, 83);

/// From here on a new port may name its node by `node_ident`.
const NODE_IDENT_SINCE: Microversion = Microversion::new(1, 94);

/// The members that name the node of what is at one.
const NODE_NAMED_BY: [&str; 2] = ["node_uuid", "node_ident"];

/// A resource that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Creation<'a> {
    pub federation: &'a Federation,
    pub request: &'a Request,
    pub collection: Collection,
}

impl Creation<'_> {
    /// `POST /v1/nodes`: the conductor group decides, or the BMC.
    pub async fn node(&self) -> Result<Answer, Error> {
        let Self {
            federation,
            request,
            ..
        } = *self;
        let mut node = Object::parse("node", request.body.held())?;
        let home = home_of(federation, request, &mut node)?;
        home.tell();
        let home = home.location;
        if let Some(parent) = node.text("parent_node")
            && request.version >= PARENT_NODE_SINCE
        {
            check_beside(federation, request, home, ("parent_node", &parent)).await?;
        }
        self.at(home, node).await
    }

    /// A resource of a node: goes to where the node is.
    pub async fn of_node(&self) -> Result<Answer, Error> {
        let Self {
            federation,
            request,
            collection,
        } = *self;
        let object = Object::parse(singular(collection), request.body.held())?;
        let Some((_, node)) = node_of(collection, request.version, &object) else {
            return self.refused(LocationId(0), object).await;
        };
        match federation.visit(request, Collection::Nodes, &node).await {
            Ok(visit) => self.beside(visit, object).await,
            Err(Error::Locate(LocateError::Nobody { first, .. })) => {
                self.refused(first, object).await
            }
            Err(error) => Err(error),
        }
    }

    /// Where no node is named, or one that nobody has, Ironic refuses it before it looks at what is taken. So nobody is asked
    /// that, which would tell it to whoever may create nothing; and nothing is made, should the node be there by now.
    async fn refused(&self, first: LocationId, mut object: Object) -> Result<Answer, Error> {
        let mut aliases = Vec::new();
        for member in NODE_NAMED_BY {
            if let Some(node) = object.text(member).filter(|node| !node.is_empty()) {
                let alias = Alias::of(&node);
                object.set(member, &alias.ident);
                aliases.push(alias);
            }
        }
        let wording = Wording {
            federation: self.federation,
            request: self.request,
        };
        let answer = wording.of_body(first, object.to_bytes()).await?;
        Ok(aliases.iter().fold(answer, Answer::reworded))
    }

    /// Creates it where a node is. Ironic answers 400 if the node has gone, as it does for many other faults.
    pub async fn beside(&self, mut node: Visit<'_>, object: Object) -> Result<Answer, Error> {
        loop {
            let answer = self.at(node.location(), object.clone()).await?;
            if answer.status != StatusCode::BAD_REQUEST {
                return Ok(answer);
            }
            let denial = Denial::of(Collection::Nodes, answer.body.whole());
            if node.denied(denial).await? == Next::Believe {
                return Ok(answer);
            }
        }
    }

    pub async fn at(&self, home: LocationId, mut object: Object) -> Result<Answer, Error> {
        let Self {
            federation,
            request,
            collection,
        } = *self;
        if let Some(instance) = self.instance_at(home, &object).await? {
            object.set("uuid", &instance);
        }
        let given = is_given(collection, &object);
        let new = Uuid::new_v4().to_string();
        // A version 4 UUID that was drawn just now needs no question.
        let uuid = object.text("uuid").filter(|_| given);
        let mut claims = claims_of(collection, uuid.as_ref().unwrap_or(&new), &object);
        let is_replicated = collection.facts().spread == Spread::Replicated;
        if is_replicated {
            // At one location it may be made as the copy of what the others have.
            if !request.reach.is_own() {
                claims.retain(|claim| claim.stake.column != Column::Uuid);
            }
            let original = uuid.and_then(|uuid| Original::of(request, uuid));
            for claim in &mut claims {
                claim.stake.copy_of.clone_from(&original);
            }
        }
        // A UUID of our own makes an ambiguous failure answerable: it is asked for instead of sent again.
        if !given {
            object.set("uuid", &new);
        }
        // Held until the answer: of two creates that claim one name the second must see the first.
        let hold = if is_replicated {
            // Beside what is written everywhere.
            let all = [Stake::all_of(collection)];
            federation.hold_stakes(request, all.into()).await?
        } else {
            federation.hold(request, &claims).await?
        };
        let answer = async {
            hold.suffices(is_required(federation, request))?;
            let free = Free::elsewhere(federation, request, home, &claims).await?;
            let mut question = request.question();
            question.body = Body::Whole(object.to_bytes());
            let location = federation.locations.location(home);
            hold.suffices(is_required(federation, request))?;
            let reply = match location.reply(&request.asker, &question).await {
                Ok(reply) => reply,
                Err(silence) => {
                    let made = self.was_it_made(object, given, silence).await;
                    // What may have been made may have a twin as well.
                    if made.as_ref().err().is_none_or(Error::is_ambiguous) {
                        look_for_twins(federation, request, home, (&claims, &hold, &free)).await;
                    }
                    let answer = made?;
                    let answer = free.flag(&federation.locations, answer, singular(collection));
                    return Ok(hold.flag(answer));
                }
            };
            let answer = federation.relay(request, home, Subject::Member(collection), reply);
            if !answer.status.is_success() {
                return Ok(answer);
            }
            let (uuid, name) = (object.text("uuid"), object.text("name"));
            let idents = (uuid.as_deref(), name.as_deref());
            free.vouch(&federation.locator, collection, idents, home);
            look_for_twins(federation, request, home, (&claims, &hold, &free)).await;
            let answer = free.flag(&federation.locations, answer, singular(collection));
            Ok(hold.flag(answer))
        }
        .await;
        hold.release().await;
        answer
    }

    /// What an allocation for a node in use is called, if the client does not say it: like the node's instance, which its
    /// UUID becomes (`post` of `api/controllers/v1/allocation.py`). By another UUID Ironic refuses it, and keeps it.
    async fn instance_at(
        &self,
        home: LocationId,
        object: &Object,
    ) -> Result<Option<String>, Error> {
        let is_named = is_given(self.collection, object);
        let node = object
            .text("node")
            .filter(|node| route::identifies(Collection::Nodes, node));
        let (Collection::Allocations, false, Some(node)) = (self.collection, is_named, node) else {
            return Ok(None);
        };
        let path = format!(
            "/v1/nodes/{}?fields=uuid,name,instance_uuid",
            encode_segment(&node)
        );
        let question = self.request.ask(Method::GET, path);
        let question = question.for_member(Collection::Nodes, &node);
        let there = self.federation.locations.location(home);
        let reply = there.reply(&self.request.asker, &question).await?;
        // Why a node is not shown, the refusal of the allocation says better.
        if reply.status != StatusCode::OK {
            return Ok(None);
        }
        let instance = json::member(&reply.body, "instance_uuid").map_err(|_| there.misspoke())?;
        Ok(instance
            .map(Cow::into_owned)
            .filter(|instance| !instance.is_empty()))
    }

    /// The answer to a create was lost. The create is not repeated; its UUID is asked for.
    async fn was_it_made(
        &self,
        sent: Object,
        given: bool,
        silence: Silence,
    ) -> Result<Answer, Error> {
        let Self {
            federation,
            request,
            collection,
        } = *self;
        let (true, Some(uuid)) = (silence.sent, sent.text("uuid")) else {
            return Err(silence.into());
        };
        let location = federation.locations.location(silence.location);
        let path = format!("/v1/{}/{}", collection.facts().path, encode_segment(&uuid));
        let made = location
            .reply(
                &request.asker.afterwards(),
                &request
                    .ask(Method::GET, path.clone())
                    .for_member(collection, &uuid),
            )
            .await;
        let reply = match made {
            Ok(reply) if reply.status == StatusCode::OK => reply,
            _ => return Err(silence.into()),
        };
        let mut answer = federation.relay(
            request,
            silence.location,
            Subject::Member(collection),
            reply,
        );
        // A UUID of the client's may have existed before, and this create been refused: then what is there differs.
        if given && !shows(answer.body.whole(), &sent) {
            let claims = claims_of(collection, &uuid, &sent);
            // The UUID is the first claim, and it is the one that was taken.
            let conflict = claims.into_iter().next().map(|claim| claim.conflict);
            return Err(Objection::Taken {
                text: conflict.unwrap_or_default(),
                is_sent: true,
            }
            .into());
        }
        // The GET says 200; the client asked for a create and gets its status and `Location`.
        answer.status = StatusCode::CREATED;
        if let Ok(href) = HeaderValue::from_str(&format!("{}{path}", request.base.as_str())) {
            answer.headers.insert(http::header::LOCATION, href);
        }
        Ok(answer)
    }
}

/// Whether every sent member that a document shows has the value that was sent.
pub(crate) fn shows(document: &[u8], sent: &Object) -> bool {
    let Ok(shown) = json::all_members(document) else {
        return false;
    };
    sent.names().all(|name| {
        // Ironic accepts members that it never shows, such as `node_ident` of a port, where it shows `node_uuid`. What
        // Python alone reads (`NaN`) cannot be compared.
        let shown = shown.get(name.as_bytes()).copied();
        let shown = shown.and_then(|raw| serde_json::from_slice(raw).ok());
        let (Some(shown), Some(sent)) = (shown, sent.json(name)) else {
            return true;
        };
        match name {
            "candidate_nodes" => are_shown_as_nodes(&sent, &shown),
            "parent_node" => is_shown_as_node(&sent, &shown),
            _ => is_shown_as(&sent, &shown),
        }
    })
}

/// Ironic shows by UUID what was sent by name (`api/controllers/v1/node.py`).
fn is_shown_as_node(sent: &Json, shown: &Json) -> bool {
    let is_named = sent.as_str().is_some_and(|sent| !is_uuid_like(sent));
    is_named || is_shown_as(sent, shown)
}

/// The same of several, in the same order (`api/controllers/v1/allocation.py`).
fn are_shown_as_nodes(sent: &Json, shown: &Json) -> bool {
    let (Json::Array(sent), Json::Array(shown)) = (sent, shown) else {
        return is_shown_as(sent, shown);
    };
    let mut pairs = sent.iter().zip(shown);
    sent.len() == shown.len() && pairs.all(|(sent, shown)| is_shown_as_node(sent, shown))
}

/// Ironic hides passwords, also within a text, folds addresses and groups, and gives defaults to what is null.
fn is_shown_as(sent: &Json, shown: &Json) -> bool {
    match (sent, shown) {
        (Json::Null, _) => true,
        (_, Json::String(shown)) if shown.contains(SECRET) => true,
        (Json::String(sent), Json::String(shown)) => sent.eq_ignore_ascii_case(shown),
        (Json::Object(sent), Json::Object(shown)) => sent.iter().all(|(name, sent)| {
            shown
                .get(name)
                .is_some_and(|shown| is_shown_as(sent, shown))
        }),
        (Json::Array(sent), Json::Array(shown)) => {
            sent.len() == shown.len()
                && sent
                    .iter()
                    .zip(shown)
                    .all(|(sent, shown)| is_shown_as(sent, shown))
        }
        (sent, shown) => sent == shown,
    }
}

/// The node that something is to be made at, and the member that names it. `None`: whatever else is in the body, Ironic
/// refuses it for that, before its policy (`api/controllers/v1/port.py` and its like).
pub(crate) fn node_of(
    collection: Collection,
    version: Microversion,
    object: &Object,
) -> Option<(&'static str, String)> {
    let has_idents = collection == Collection::Ports && version >= NODE_IDENT_SINCE;
    let mut named = NODE_NAMED_BY
        .into_iter()
        .filter(|name| object.contains(name));
    let (member, None) = (named.next()?, named.next()) else {
        return None;
    };
    let node = object.text(member)?;
    let is_one = match member {
        "node_ident" => has_idents && is_uuid_or_name(&node),
        _ => is_uuid_like(&node),
    };
    is_one.then_some((member, node))
}

/// Whether the client says what it is called.
fn is_given(collection: Collection, object: &Object) -> bool {
    match object.value("uuid") {
        Value::Absent | Value::Null => false,
        Value::Text(uuid) => !is_drawn(collection, &uuid),
        Value::Other => true,
    }
}

/// Whether Ironic takes this UUID of a create for none, and draws one: in the schemas of these two it has no format, and of
/// the others an empty one is refused (`api/schemas/v1`).
pub(crate) fn is_drawn(collection: Collection, uuid: &str) -> bool {
    matches!(
        collection,
        Collection::Allocations | Collection::InspectionRules
    ) && uuid.is_empty()
}

/// As Ironic's schema errors call it.
pub(crate) fn singular(collection: Collection) -> &'static str {
    match collection {
        Collection::Nodes => "node",
        Collection::Ports => "port",
        Collection::Portgroups => "portgroup",
        Collection::VolumeConnectors => "volume connector",
        Collection::VolumeTargets => "volume target",
        Collection::Allocations => "allocation",
        Collection::Chassis => "chassis",
        Collection::DeployTemplates => "deploy template",
        Collection::Runbooks => "runbook",
        Collection::InspectionRules => "inspection rule",
        Collection::Drivers | Collection::Conductors | Collection::Shards => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_by_us() {
        let sent = Object::parse(
            "node",
            br#"{"uuid": "u", "name": "n", "driver_info": {"a": 1, "password": "x"}, "conductor_group": null, "node_ident": "m"}"#,
        )
        .unwrap();
        let made = r#"{"uuid": "u", "name": "n", "driver_info": {"a": 1, "password": "******", "b": 2}, "conductor_group": "", "extra": {}}"#;
        assert!(shows(made.as_bytes(), &sent));
        for (part, other) in [
            (r#""name": "n""#, r#""name": "m""#),
            (r#""name": "n""#, r#""name": null"#),
            (r#""a": 1"#, r#""a": 2"#),
            (r#""driver_info": {"a""#, r#""driver_info": {"c""#),
        ] {
            assert!(
                !shows(made.replace(part, other).as_bytes(), &sent),
                "{other}"
            );
        }
        assert!(!shows(b"[]", &sent));
        let (one, other) = (
            "6f1a3c5e-0000-4000-8000-000000000001",
            "6f1a3c5e-0000-4000-8000-000000000002",
        );
        let sent = format!(r#"{{"uuid": "u", "candidate_nodes": ["a", "{one}"]}}"#);
        let sent = Object::parse("allocation", sent.as_bytes()).unwrap();
        for (made, expected) in [
            (format!(r#"["{other}", "{one}"]"#), true),
            (format!(r#"["{other}", "{other}"]"#), false),
            (format!(r#"["{other}"]"#), false),
        ] {
            let made = format!(r#"{{"uuid": "u", "candidate_nodes": {made}}}"#);
            assert_eq!(shows(made.as_bytes(), &sent), expected, "{made}");
        }
        for (sent, expected) in [("rack", true), (other, true), (one, false)] {
            let sent = format!(r#"{{"uuid": "u", "parent_node": "{sent}"}}"#);
            let sent = Object::parse("node", sent.as_bytes()).unwrap();
            let made = format!(r#"{{"uuid": "u", "parent_node": "{other}"}}"#);
            assert_eq!(shows(made.as_bytes(), &sent), expected, "{made}");
        }
        let odd = Object::parse("node", br#"{"uuid": "u", "extra": {"a": 1e400}}"#).unwrap();
        for (made, expected) in [
            (&br#"{"uuid": "u", "extra": {"a": Infinity}}"#[..], true),
            (br#"{"uuid": "v", "extra": {"a": Infinity}}"#, false),
        ] {
            assert_eq!(shows(made, &odd), expected);
        }
    }
}
