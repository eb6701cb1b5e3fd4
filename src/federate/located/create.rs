//! Creates a resource at the one location where it belongs. Its UUID is chosen beforehand, so that after a lost answer
//! the gateway can ask for it instead of sending the create again.

use http::HeaderValue;
use http::Method;
use http::StatusCode;
use log::info;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::api::bmc::bmcs;
use crate::api::body::Object;
use crate::api::body::Value;
use crate::api::collection::Collection;
use crate::api::microversion::Microversion;
use crate::api::query::encode_segment;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::Subject;
use crate::federate::claim::claims_of;
use crate::federate::located::beside::check_beside;
use crate::federate::located::unique::Free;
use crate::federate::objection::Objection;
use crate::federate::owner::Denial;
use crate::federate::owner::Next;
use crate::federate::owner::Visit;
use crate::locate::LocateError;
use crate::locations::question::Body;
use crate::locations::silence::Silence;
use crate::request::Answer;
use crate::request::Request;

/// Before these versions Ironic refuses the members, whatever they say (`api_utils.VERSIONED_FIELDS`).
pub const GROUPS_SINCE: Microversion = Microversion::new(1, 46);
pub const PARENT_NODE_SINCE: Microversion = Microversion::new(1, 83);

/// A conductor group as a body names it, folded to lower case; the empty text is the default group.
pub fn conductor_group(value: Value) -> Result<Option<String>, Objection> {
    match value {
        Value::Absent => Ok(None),
        // Ironic 39: `conductor_group: null` and "" are the default group on create; null in a PATCH is a 500.
        Value::Null => Ok(Some(String::new())),
        // The pattern of `ironic.common.args.string` for conductor groups.
        Value::Text(group)
            if group
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) =>
        {
            Ok(Some(group.to_ascii_lowercase()))
        }
        Value::Text(group) => Err(Objection::Invalid(format!(
            "Expected a conductor group but received {group}."
        ))),
        Value::Other => Err(Objection::Invalid(
            "Expected a conductor group but received something that is no string.".to_owned(),
        )),
    }
}

/// Where the BMC of a new node is. A group that is given decides, and the BMC is compared with it.
fn placed(
    federation: &Federation,
    node: &Object,
    group: Option<&str>,
) -> Result<Option<LocationId>, Objection> {
    let placement = &federation.placement;
    let bmcs = node
        .json("driver_info")
        .map_or_else(Vec::new, |driver_info| bmcs(&driver_info));
    let who = node.text("name").or_else(|| node.text("uuid"));
    let who = who.as_deref().unwrap_or("a new node");
    if let Some(home) = group.and_then(|group| federation.groups.location(group)) {
        placement.check(&federation.locations, (who, home), &bmcs)?;
        return Ok(None);
    }
    let places = placement.places(&bmcs);
    match &places[..] {
        [] if placement.rules.refuses_unmatched && group.is_none() => {
            let named: Vec<_> = bmcs.iter().map(ToString::to_string).collect();
            let named = if named.is_empty() {
                "driver_info names no BMC".to_owned()
            } else {
                format!("{} is in no location's bmc_addresses", named.join(", "))
            };
            Err(Objection::Invalid(format!(
                "Where the node belongs is not known: {named}, and there is no conductor_group."
            )))
        }
        [] => Ok(None),
        [place] => {
            info!(
                "{who} goes to location `{}`, since {} is in {}",
                federation.locations.location(place.location).name(),
                place.bmc,
                place.range
            );
            Ok(Some(place.location))
        }
        several => {
            let ids: Vec<_> = several.iter().map(|place| place.location).collect();
            let ranges: Vec<_> = several
                .iter()
                .map(|place| format!("{} is in {}", place.bmc, place.range))
                .collect();
            Err(Objection::Invalid(format!(
                "Where the node belongs is not known: its BMC is at locations {} ({}). Name a conductor_group.",
                federation.locations.names(&ids),
                ranges.join(", ")
            )))
        }
    }
}

/// A resource that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Creation<'a> {
    pub federation: &'a Federation,
    pub request: &'a Request,
    pub collection: Collection,
}

impl Creation<'_> {
    /// `POST /v1/nodes`: the conductor group decides.
    pub async fn node(&self) -> Result<Answer, Error> {
        let Self {
            federation,
            request,
            ..
        } = *self;
        let mut node = Object::parse("node", request.body.held())?;
        let named = node.value("conductor_group");
        let is_default = match &named {
            Value::Absent => true,
            Value::Text(group) => group.is_empty(),
            Value::Null | Value::Other => false,
        };
        if request.version < GROUPS_SINCE && !is_default {
            // Ironic answers 406 to any group below 1.46, so any location words it.
            let home = request.pinned.unwrap_or(LocationId(0));
            return self.at(home, node).await;
        }
        let given = match named {
            Value::Absent | Value::Null => None,
            named => conductor_group(named)?,
        };
        // An absent group and null may be placed by the BMC; "" is an explicit wish for the default group.
        let placed = placed(federation, &node, given.as_deref())?;
        let home = match (&given, placed) {
            (None, Some(placed)) => placed,
            _ => self.home_of(given.as_deref().unwrap_or_default())?,
        };
        let there = federation.locations.location(home);
        if let Some(pinned) = request.pinned.filter(|pinned| *pinned != home) {
            let what = match (&given, placed) {
                (None, Some(_)) => "The BMC".to_owned(),
                _ => format!("Conductor group \"{}\"", given.unwrap_or_default()),
            };
            return Err(Objection::Invalid(format!(
                "{what} belongs to location {}, not to {}.",
                there.name(),
                federation.locations.location(pinned).name()
            ))
            .into());
        }
        let called = |ours: &str| match &there.config.groups {
            Some(names) => names.theirs(ours).into_owned(),
            None => ours.to_owned(),
        };
        // A location whose own default group has a name here is sent the node without a group.
        let group = given.clone().or_else(|| {
            let mut groups = federation.groups.groups_of(home);
            let default = groups.find(|ours| called(ours).is_empty());
            let group = default.or_else(|| federation.groups.first(home));
            group.filter(|_| placed.is_some()).map(str::to_owned)
        });
        let theirs = called(group.as_deref().unwrap_or_default());
        if !theirs.is_empty() && request.version < GROUPS_SINCE {
            return Err(Objection::Invalid(format!(
                "At location {} a node needs a conductor group, which version {} does not have: ask in {GROUPS_SINCE} or \
                 later.",
                there.name(),
                request.version
            ))
            .into());
        }
        match group {
            Some(group) if given.is_some() || !theirs.is_empty() || !called("").is_empty() => {
                node.set("conductor_group", &group);
            }
            // The default group, however it is asked for.
            None if node.contains("conductor_group") => node.set("conductor_group", ""),
            Some(_) => node.remove("conductor_group"),
            None => {}
        }
        if let Some(parent) = node.text("parent_node")
            && request.version >= PARENT_NODE_SINCE
        {
            check_beside(federation, request, home, ("parent_node", &parent)).await?;
        }
        self.at(home, node).await
    }

    fn home_of(&self, group: &str) -> Result<LocationId, Objection> {
        let home = self.federation.groups.location(group);
        home.ok_or_else(|| {
            Objection::Invalid(format!(
                "No valid host was found. Reason: conductor group \"{group}\" is not mapped to any location."
            ))
        })
    }

    /// A resource of a node: goes to where the node is.
    pub async fn of_node(&self) -> Result<Answer, Error> {
        let Self {
            federation,
            request,
            collection,
        } = *self;
        let object = Object::parse(singular(collection), request.body.held())?;
        let node = object
            .text("node_uuid")
            .or_else(|| object.text("node_ident"))
            .filter(|node| !node.is_empty());
        let Some(node) = node else {
            // Ironic's schema error names the missing member.
            let home = request.pinned.unwrap_or(LocationId(0));
            return self.at(home, object).await;
        };
        match federation.visit(request, Collection::Nodes, &node).await {
            Ok(visit) => self.beside(visit, object).await,
            Err(Error::Locate(LocateError::Nobody { first, .. })) => self.at(first, object).await,
            Err(error) => Err(error),
        }
    }

    /// Creates it where a node is. Ironic answers 400 if the node has gone, as it does for many other faults.
    pub async fn beside(&self, mut node: Visit<'_>, object: Object) -> Result<Answer, Error> {
        loop {
            let answer = self.at(node.location(), object.clone()).await?;
            if answer.status != StatusCode::BAD_REQUEST {
                return Ok(answer);
            }
            let denial = Denial::of(Collection::Nodes, &answer.body);
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
        let given = matches!(object.value("uuid"), Value::Text(_) | Value::Other);
        let new = Uuid::new_v4().to_string();
        // A version 4 UUID that was drawn just now needs no question.
        let claims = claims_of(
            collection,
            &object.text("uuid").unwrap_or_else(|| new.clone()),
            &object,
        );
        // A UUID of our own makes an ambiguous failure answerable: it is asked for instead of sent again.
        if !given {
            object.set("uuid", &new);
        }
        // Held until the answer: of two creates that claim one name the second must see the first.
        let _turn = federation.turn(&claims).await;
        let free = Free::elsewhere(federation, request, home, &claims).await?;
        let mut question = request.question();
        question.body = Body::Whole(object.to_bytes());
        let location = federation.locations.location(home);
        let reply = match location.reply(&request.asker, &question).await {
            Ok(reply) => reply,
            Err(silence) => return self.was_it_made(object, given, silence).await,
        };
        let answer = federation.relay(request, home, Subject::Member(collection), reply);
        if !answer.status.is_success() {
            return Ok(answer);
        }
        let (uuid, name) = (object.text("uuid"), object.text("name"));
        let idents = (uuid.as_deref(), name.as_deref());
        free.vouch(&federation.locator, collection, idents, home);
        Ok(free.flag(&federation.locations, answer, singular(collection)))
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
                &request.asker,
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
        if given && !shows(&answer.body, &sent) {
            let claims = claims_of(collection, &uuid, &sent);
            // The UUID is the first claim, and it is the one that was taken.
            let conflict = claims.into_iter().next().map(|claim| claim.conflict);
            return Err(Objection::Taken(conflict.unwrap_or_default()).into());
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
fn shows(document: &[u8], sent: &Object) -> bool {
    let parsed = (
        serde_json::from_slice::<Json>(document),
        serde_json::from_slice::<Json>(&sent.to_bytes()),
    );
    let (Ok(Json::Object(shown)), Ok(Json::Object(sent))) = parsed else {
        return false;
    };
    sent.iter().all(|(name, sent)| {
        // Ironic accepts members that it never shows, such as `node_ident` of a port, where it shows `node_uuid`.
        shown.get(name).is_none_or(|shown| is_shown_as(sent, shown))
    })
}

/// Ironic hides passwords, folds addresses and groups, and gives defaults to what is null.
fn is_shown_as(sent: &Json, shown: &Json) -> bool {
    match (sent, shown) {
        (Json::Null, _) => true,
        (_, Json::String(shown)) if shown == "******" => true,
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
    }

    #[test]
    fn conductor_groups_as_ironic_takes_them() {
        let text = |text: &str| Value::Text(text.to_owned());
        for (value, expected) in [
            (Value::Absent, Ok(None)),
            (Value::Null, Ok(Some(""))),
            (text(""), Ok(Some(""))),
            (text("Grp-1.a_B"), Ok(Some("grp-1.a_b"))),
            (text("_"), Ok(Some("_"))),
            (text("a b"), Err(())),
            (text("grp1\n"), Err(())),
            (text("grü"), Err(())),
            (Value::Other, Err(())),
        ] {
            let found = conductor_group(value.clone());
            assert_eq!(
                found.as_ref().map(|group| group.as_deref()).map_err(|_| ()),
                expected,
                "{value:?}"
            );
        }
    }
}
