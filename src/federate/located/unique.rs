//! Names, UUIDs and addresses are unique within one Ironic by its database; between Ironics somebody has to look.

use futures_util::future::join_all;
use http::StatusCode;

use crate::api::body::Object;
use crate::api::body::Patch;
use crate::api::body::Value;
use crate::api::collection::Collection;
use crate::api::fault::Fault;
use crate::api::query::Query;
use crate::api::query::encode_segment;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::locations::silence::Silence;
use crate::request::Request;

/// Something that a body wants to be the only one of its kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Claim {
    /// A question that finds who has it already.
    pub path: String,
    /// The key of a list answer; `None`: the answer is one resource or a 404.
    list: Option<&'static str>,
    /// Ironic's words for the conflict.
    pub conflict: String,
}

/// What is unique in a collection, and what must not be asked of a version that does not have it.
const NAMED: &[Collection] = &[
    Collection::Nodes,
    Collection::Portgroups,
    Collection::Allocations,
    Collection::DeployTemplates,
    Collection::Runbooks,
];

fn claims(collection: Collection, uuid: &str, member: impl Fn(&str) -> Value) -> Vec<Claim> {
    let facts = collection.facts();
    let noun = facts.noun.to_lowercase();
    let article = if noun.starts_with('a') { "An" } else { "A" };
    let text = |name: &str| match member(name) {
        Value::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    };
    let one = |ident: &str, conflict| Claim {
        path: format!("/v1/{}/{}?fields=uuid", facts.path, encode_segment(ident)),
        list: None,
        conflict,
    };
    let mut claims = Vec::new();
    if let Some(uuid) = text("uuid") {
        claims.push(one(
            &uuid,
            format!("{article} {noun} with UUID {uuid} already exists."),
        ));
    }
    if let Some(name) = text("name").filter(|_| NAMED.contains(&collection)) {
        claims.push(one(
            &name,
            format!("{article} {noun} with name {name} already exists."),
        ));
    }
    if let Some(instance) = text("instance_uuid").filter(|_| collection == Collection::Nodes) {
        let mut path = "/v1/nodes".to_owned();
        Query::default()
            .with("instance_uuid", instance.as_str())
            .with("fields", "uuid")
            .append_to(&mut path);
        let conflict = format!(
            "Instance {instance} is already associated with a node, it cannot be associated with this other node {uuid}"
        );
        claims.push(Claim {
            path,
            list: Some("nodes"),
            conflict,
        });
    }
    if let Some(address) = text("address").filter(|_| collection == Collection::Ports) {
        let mut path = "/v1/ports".to_owned();
        Query::default()
            .with("address", address.to_lowercase())
            .with("fields", "uuid")
            .append_to(&mut path);
        let conflict = format!(
            "A port with MAC address {} already exists.",
            address.to_lowercase()
        );
        claims.push(Claim {
            path,
            list: Some("ports"),
            conflict,
        });
    }
    claims
}

/// What a new resource claims. A UUID that we gave it ourselves need not be looked for.
pub fn claims_of(collection: Collection, uuid: &str, object: &Object) -> Vec<Claim> {
    claims(collection, uuid, |name| object.value(name))
}

/// What a patch claims for the resource `ident`.
pub fn claims_in(collection: Collection, ident: &str, patch: &Patch) -> Vec<Claim> {
    claims(collection, ident, |name| match name {
        "uuid" => Value::Absent,
        _ => patch.outcome(&format!("/{name}")),
    })
}

impl Federation {
    /// Asks every location but `home`. One has it: 409. Returns those that could not be asked.
    pub async fn verify_unique(
        &self,
        request: &Request,
        home: LocationId,
        claims: &[Claim],
    ) -> Result<Vec<LocationId>, Error> {
        if claims.is_empty() {
            return Ok(Vec::new());
        }
        let others = self.locations.iter().filter(|location| location.id != home);
        let answers = join_all(others.map(|location| async move {
            join_all(claims.iter().map(|claim| async move {
                let reply = location
                    .reply(&request.asker, &request.probe(claim.path.clone()))
                    .await?;
                let taken = match claim.list {
                    _ if reply.status != StatusCode::OK => false,
                    None => true,
                    Some(key) => {
                        let body: serde_json::Value =
                            serde_json::from_slice(&reply.body).map_err(|_| location.misspoke())?;
                        body[key].as_array().is_some_and(|found| !found.is_empty())
                    }
                };
                Ok::<_, Silence>(taken.then_some(claim))
            }))
            .await
        }))
        .await;
        let mut silent: Vec<Silence> = Vec::new();
        for answer in answers.into_iter().flatten() {
            match answer {
                Ok(Some(claim)) => {
                    return Err(Fault::new(StatusCode::CONFLICT, claim.conflict.clone()).into());
                }
                Err(silence)
                    if silent
                        .iter()
                        .all(|known| known.location != silence.location) =>
                {
                    silent.push(silence);
                }
                Ok(None) | Err(_) => {}
            }
        }
        if self.require_unique && !silent.is_empty() {
            return Err(Error::Silent(silent));
        }
        Ok(silent.iter().map(|silence| silence.location).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_claimed() {
        let body = br#"{"uuid": "u", "name": "a b", "instance_uuid": "i", "address": "AA:BB", "extra": {"name": "z"}}"#;
        let object = Object::parse("node", body).unwrap();
        let paths = |collection| -> Vec<String> {
            claims_of(collection, "u", &object)
                .into_iter()
                .map(|claim| claim.path)
                .collect()
        };
        assert_eq!(
            paths(Collection::Nodes),
            [
                "/v1/nodes/u?fields=uuid",
                "/v1/nodes/a%20b?fields=uuid",
                "/v1/nodes?instance_uuid=i&fields=uuid"
            ]
        );
        assert_eq!(
            paths(Collection::Ports),
            [
                "/v1/ports/u?fields=uuid",
                "/v1/ports?address=aa:bb&fields=uuid"
            ]
        );
        let patch = Patch::parse(br#"[{"op": "add", "path": "/name", "value": "n"}, {"op": "remove", "path": "/instance_uuid"}]"#);
        let claims = claims_in(Collection::Nodes, "u", &patch.unwrap());
        assert_eq!(claims.len(), 1);
        assert_eq!(claims[0].conflict, "A node with name n already exists.");
    }
}
