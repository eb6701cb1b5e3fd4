//! Making a resource: at the one location where it belongs, under a UUID that is known beforehand, so that a lost answer
//! can be asked for instead of sent again.

use http::HeaderValue;
use http::Method;
use http::StatusCode;
use log::warn;
use uuid::Uuid;

use crate::api::body::Object;
use crate::api::body::Value;
use crate::api::collection::Collection;
use crate::api::fault::Fault;
use crate::api::header;
use crate::api::query::encode_segment;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::located::unique::claims_of;
use crate::locate::LocateError;
use crate::locate::Owner;
use crate::locate::Source;
use crate::locate::directory::Key;
use crate::locations::question::Body;
use crate::locations::silence::Silence;
use crate::request::Answer;
use crate::request::Request;

/// A conductor group as a body names it, folded to lower case; the empty text is the default group.
pub fn conductor_group(value: Value) -> Result<Option<String>, Fault> {
    match value {
        Value::Absent => Ok(None),
        Value::Null => Ok(Some(String::new())),
        // The pattern of `ironic.common.args.string` for conductor groups.
        Value::Text(group)
            if group
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) =>
        {
            Ok(Some(group.to_ascii_lowercase()))
        }
        Value::Text(group) => Err(Fault::bad_request(format!(
            "Expected a conductor group but received {group}."
        ))),
        Value::Other => Err(Fault::bad_request(
            "Expected a conductor group but received something that is no string.",
        )),
    }
}

impl Federation {
    /// `POST /v1/nodes`: the conductor group decides.
    pub async fn create_node(&self, request: &Request, body: &[u8]) -> Result<Answer, Error> {
        let mut node = Object::parse("node", body)?;
        let group = conductor_group(node.value("conductor_group"))?;
        let Some(home) = self.groups.location(group.as_deref().unwrap_or_default()) else {
            let group = group.unwrap_or_default();
            return Err(Fault::bad_request(format!(
                "No valid host was found. Reason: conductor group \"{group}\" is not mapped to any location."
            ))
            .into());
        };
        if let Some(pinned) = request.pinned.filter(|pinned| *pinned != home) {
            return Err(Fault::bad_request(format!(
                "Conductor group \"{}\" belongs to location {}, not to {}.",
                group.unwrap_or_default(),
                self.locations.location(home).name(),
                self.locations.location(pinned).name()
            ))
            .into());
        }
        if let Some(group) = group {
            node.set("conductor_group", &group);
        }
        if let Some(parent) = node.text("parent_node") {
            self.check_beside(request, home, "parent_node", &parent)
                .await?;
        }
        self.create_at(request, Collection::Nodes, home, node).await
    }

    /// A resource of a node: goes to where the node is.
    pub async fn create_of_node(
        &self,
        request: &Request,
        collection: Collection,
        body: &[u8],
    ) -> Result<Answer, Error> {
        let object = Object::parse(singular(collection), body)?;
        let node = object
            .text("node_uuid")
            .or_else(|| object.text("node_ident"));
        let home = match (request.pinned, node) {
            (Some(pinned), _) => pinned,
            // Ironic words what is missing.
            (None, None) => LocationId(0),
            (None, Some(node)) => {
                let key = Key::new(Collection::Nodes, &node);
                match self.locator.locate(&request.asker, &key).await {
                    Ok(owner) => {
                        return self
                            .create_beside(request, collection, &key, &owner, object)
                            .await;
                    }
                    Err(LocateError::Nobody { first, .. }) => first,
                    Err(error) => return Err(error.into()),
                }
            }
        };
        self.create_at(request, collection, home, object).await
    }

    /// Makes it where the node `key` is. That the node is not there any more Ironic says with a 400, as much else.
    pub(crate) async fn create_beside(
        &self,
        request: &Request,
        collection: Collection,
        key: &Key,
        owner: &Owner,
        object: Object,
    ) -> Result<Answer, Error> {
        let answer = self
            .create_at(request, collection, owner.location, object.clone())
            .await?;
        if answer.status != StatusCode::BAD_REQUEST || owner.source != Source::Remembered {
            return Ok(answer);
        }
        match self.locator.locate_again(&request.asker, key).await {
            Ok(found) if found.location != owner.location => {
                self.create_at(request, collection, found.location, object)
                    .await
            }
            Ok(_) | Err(_) => Ok(answer),
        }
    }

    pub(crate) async fn create_at(
        &self,
        request: &Request,
        collection: Collection,
        home: LocationId,
        mut object: Object,
    ) -> Result<Answer, Error> {
        let given = matches!(object.value("uuid"), Value::Text(_) | Value::Other);
        let new = Uuid::new_v4().to_string();
        // A UUID that nobody can have seen need not be looked for.
        let claims = claims_of(
            collection,
            &object.text("uuid").unwrap_or_else(|| new.clone()),
            &object,
        );
        if !given {
            object.set("uuid", &new);
        }
        let uuid = object.text("uuid");
        let unverified = self.verify_unique(request, home, &claims).await?;
        let location = self.locations.location(home);
        let mut question = request.question();
        question.body = Body::Whole(object.to_bytes());
        let reply = match location.reply(&request.asker, &question).await {
            Ok(reply) => reply,
            Err(silence) => return self.was_it_made(request, collection, uuid, silence).await,
        };
        let mut answer = self.relay(
            request,
            home,
            collection.facts().kind,
            Some(collection),
            reply,
        );
        if answer.status.is_success() && !unverified.is_empty() {
            let names = self.locations.names(&unverified);
            warn!(
                "A {} was made without asking {names} whether it is unique",
                singular(collection)
            );
            answer = answer.with(header::UNVERIFIED, &names);
        }
        Ok(answer)
    }

    /// The answer to a create was lost. It was sent once; now it is asked for.
    async fn was_it_made(
        &self,
        request: &Request,
        collection: Collection,
        uuid: Option<String>,
        silence: Silence,
    ) -> Result<Answer, Error> {
        let (true, Some(uuid)) = (silence.sent, uuid) else {
            return Err(silence.into());
        };
        let location = self.locations.location(silence.location);
        let path = format!("/v1/{}/{}", collection.facts().path, encode_segment(&uuid));
        let made = location
            .reply(&request.asker, &request.ask(Method::GET, path.clone()))
            .await;
        match made {
            Ok(reply) if reply.status == StatusCode::OK => {
                let mut answer = self.relay(
                    request,
                    silence.location,
                    collection.facts().kind,
                    Some(collection),
                    reply,
                );
                answer.status = StatusCode::CREATED;
                if let Ok(href) = HeaderValue::from_str(&format!("{}{path}", request.base.as_str()))
                {
                    answer.headers.insert(http::header::LOCATION, href);
                }
                Ok(answer)
            }
            _ => Err(silence.into()),
        }
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
