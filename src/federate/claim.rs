//! The unique values that a request body claims: names, UUIDs and addresses. Within one Ironic the database keeps them
//! unique; between Ironics the gateway has to ask ([`super::located::unique`]).

use std::iter;

use crate::api::body::Object;
use crate::api::body::Patch;
use crate::api::body::Value;
use crate::api::collection::Collection;
use crate::api::collection::Facts;
use crate::api::json;
use crate::api::json::Reader;
use crate::api::microversion::Microversion;
use crate::api::query::Query;
use crate::api::query::encode_segment;
use crate::locations::walk::with_children;
use crate::request::Reach;
use crate::request::Request;

/// A value in a body that has to be unique over all locations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub stake: Stake,
    /// Ironic's words for the conflict.
    pub conflict: String,
}

/// What is claimed. Two requests whose stakes have the same text are served one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stake {
    pub collection: Collection,
    pub column: Column,
    pub value: String,
    /// Volume connectors only: their uniqueness is by type and identifier together.
    pub of_type: Option<String>,
    /// A copy of this may have the value.
    pub copy_of: Option<Original>,
}

/// What is the same everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Original {
    pub uuid: String,
    /// Only what is this project's; `None`: whosever it is.
    pub owner: Option<String>,
}

impl Original {
    /// What a request may write copies of.
    pub fn of(request: &Request, uuid: String) -> Option<Self> {
        let owner = match &request.reach {
            Reach::Everything => None,
            Reach::Own(project) => Some(project.clone()?),
        };
        Some(Self { uuid, owner })
    }

    fn is_shown_by(&self, item: &[u8]) -> bool {
        let Ok([uuid, owner]) = json::strings(item, ["uuid", "owner"]) else {
            return false;
        };
        uuid.is_some_and(|uuid| uuid.eq_ignore_ascii_case(&self.uuid))
            && (self.owner.is_none() || self.owner.as_deref() == owner.as_deref())
    }
}

/// A unique column of `ironic/db/sqlalchemy/models.py` that is unique beyond one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Column {
    /// The thing can be asked for by it.
    Uuid,
    Name,
    /// It is a filter of the list, and shown.
    Instance,
    Address,
    /// It is shown in the list, which has to be read.
    Connector,
}

impl Column {
    const ALL: [Self; 5] = [
        Self::Uuid,
        Self::Name,
        Self::Instance,
        Self::Address,
        Self::Connector,
    ];

    /// As Ironic calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Name => "name",
            Self::Instance => "instance_uuid",
            Self::Address => "address",
            Self::Connector => "connector_id",
        }
    }

    const fn is_of(self, collection: Collection) -> bool {
        use Collection::{
            Allocations, DeployTemplates, Nodes, Portgroups, Ports, Runbooks, VolumeConnectors,
        };
        match self {
            Self::Uuid => true,
            Self::Name => matches!(
                collection,
                Nodes | Ports | Portgroups | Allocations | DeployTemplates | Runbooks
            ),
            Self::Instance => matches!(collection, Nodes | Allocations),
            Self::Address => matches!(collection, Ports | Portgroups),
            Self::Connector => matches!(collection, VolumeConnectors),
        }
    }
}

impl Stake {
    /// The whole collection: whatever is written there waits.
    pub fn all_of(collection: Collection) -> Self {
        Self {
            collection,
            column: Column::Uuid,
            value: String::new(),
            of_type: None,
            copy_of: None,
        }
    }

    /// What has to be held to write it, here and among gateways.
    pub fn text(&self) -> String {
        let collection = self.facts().path;
        let of_type = self.of_type.as_deref().unwrap_or_default();
        // MySQL takes values for the same that differ in case only.
        let value = self.value.to_lowercase();
        format!("{collection} {} {of_type} {value}", self.column.name())
    }

    fn facts(&self) -> &'static Facts {
        self.collection.facts()
    }

    /// A question that finds who has it already, in a version.
    pub fn path(&self, version: Microversion) -> String {
        let collection = self.facts().path;
        match self.column {
            Column::Uuid | Column::Name => {
                let ident = encode_segment(&self.value);
                format!(
                    "/v1/{collection}/{ident}?fields={}",
                    self.fields().join(",")
                )
            }
            Column::Instance | Column::Address => {
                let column = self.column.name();
                let mut path = format!("/v1/{collection}");
                let query = Query::default()
                    .with(column, self.value.as_str())
                    .with("fields", column);
                let query = match self.column {
                    Column::Instance => with_children(query, version),
                    _ => query,
                };
                query.append_to(&mut path);
                path
            }
            Column::Connector => format!("/v1/{collection}"),
        }
    }

    /// What tells whether a thing has the value, and whether it may.
    fn fields(&self) -> Vec<&'static str> {
        let mut fields = match &self.copy_of {
            _ if self.of_type.is_some() => vec!["type"],
            Some(Original { owner: Some(_), .. }) => vec!["uuid", "owner"],
            Some(_) => vec!["uuid"],
            None => Vec::new(),
        };
        if self.column != Column::Uuid || fields.is_empty() {
            fields.push(self.column.name());
        }
        fields
    }

    /// The same for a list, whose items have to be told apart.
    pub fn listed(&self) -> Query {
        let more = self.fields().into_iter().filter(|field| *field != "uuid");
        let fields: Vec<_> = iter::once("uuid").chain(more).collect();
        Query::default().with("fields", fields.join(","))
    }

    /// Whether an item of a list shows it, and is no copy that may have it.
    pub fn is_shown_by(&self, item: &[u8]) -> bool {
        let is_of = |of_type: &str| {
            json::member(item, "type").is_ok_and(|shown| shown.as_deref() == Some(of_type))
        };
        self.shows(item) && self.of_type.as_deref().is_none_or(is_of) && !self.is_of_copy(item)
    }

    fn shows(&self, item: &[u8]) -> bool {
        // MySQL compares without regard to case, so at such a location "Node-A" finds "node-a" and would refuse it.
        json::member(item, self.column.name())
            .is_ok_and(|shown| shown.is_some_and(|shown| shown.eq_ignore_ascii_case(&self.value)))
    }

    /// Whether an answer shows that the value is taken. `None`: it is no answer to this question.
    pub fn is_taken(&self, body: &[u8]) -> Option<bool> {
        match self.column {
            Column::Uuid | Column::Name => self.shows(body).then(|| !self.is_of_copy(body)),
            Column::Instance | Column::Address | Column::Connector => {
                let [found] = json::raw_members(body, [self.facts().key]).ok()?;
                let found = found?;
                // An item that does not match the filter means that the location ignored it; its emptiness would mean
                // nothing then.
                let (mut any, mut all) = (false, true);
                let read = Reader::again(found).elements(|reader| {
                    any = true;
                    all &= self.shows(reader.value()?.of(found));
                    Ok(())
                });
                (read.is_ok() && all).then_some(any)
            }
        }
    }

    fn is_of_copy(&self, item: &[u8]) -> bool {
        self.copy_of
            .as_ref()
            .is_some_and(|original| original.is_shown_by(item))
    }

    /// Ironic's words. `uuid`: of the thing that claims it.
    fn conflict(&self, uuid: &str) -> String {
        // The texts of `ironic/common/exception.py`, so that this 409 reads like one Ironic's.
        let noun = self.facts().noun.to_lowercase();
        let article = if noun.starts_with('a') { "An" } else { "A" };
        let value = &self.value;
        match self.column {
            Column::Uuid => format!("{article} {noun} with UUID {value} already exists."),
            Column::Name => format!("{article} {noun} with name {value} already exists."),
            Column::Address => format!("{article} {noun} with MAC address {value} already exists."),
            Column::Connector => format!(
                "A volume connector with type {} and connector ID {value} already exists.",
                self.of_type.as_deref().unwrap_or_default()
            ),
            Column::Instance if uuid == value => {
                format!("Instance {value} is already associated with a node.")
            }
            Column::Instance => format!(
                "Instance {value} is already associated with a node, it cannot be associated with this other node \
                 {uuid}"
            ),
        }
    }
}

fn claims(collection: Collection, uuid: &str, member: impl Fn(&str) -> Value) -> Vec<Claim> {
    let columns = Column::ALL.into_iter();
    let claim = |column: Column| {
        // An allocation's UUID becomes the instance of its node (`update_allocation` of `db/sqlalchemy/api.py`).
        let (collection, name) = match (column, collection) {
            (Column::Instance, Collection::Allocations) => (Collection::Nodes, "uuid"),
            _ => (collection, column.name()),
        };
        let value = match member(name) {
            Value::Text(text) if !text.is_empty() => text,
            _ => return None,
        };
        let of_type = match (column, member("type")) {
            (Column::Connector, Value::Text(of_type)) => Some(of_type),
            // A patch that does not set the type: only the location knows the other half of the key.
            (Column::Connector, _) => return None,
            _ => None,
        };
        let stake = Stake {
            collection,
            column,
            of_type,
            copy_of: None,
            value: match column {
                // As Ironic stores it.
                Column::Address => value.to_lowercase(),
                _ => value,
            },
        };
        let conflict = stake.conflict(uuid);
        Some(Claim { stake, conflict })
    };
    columns
        .filter(|column| column.is_of(collection))
        .filter_map(claim)
        .collect()
}

/// What a new resource claims.
pub fn claims_of(collection: Collection, uuid: &str, object: &Object) -> Vec<Claim> {
    claims(collection, uuid, |name| object.value(name))
}

/// What a patch claims for the resource `ident`.
pub fn claims_in(collection: Collection, ident: &str, patch: &Patch) -> Vec<Claim> {
    claims(collection, ident, |name| match name {
        // Ironic refuses a patch of `/uuid` itself.
        "uuid" => Value::Absent,
        _ => patch.outcome(&format!("/{name}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"uuid": "u", "name": "a b", "instance_uuid": "i", "address": "AA:BB", "extra": {"name": "z"}}"#;

    #[test]
    fn what_is_claimed() {
        let object = Object::parse("node", BODY).unwrap();
        for (collection, expected) in [
            (
                Collection::Nodes,
                &[
                    "/v1/nodes/u?fields=uuid",
                    "/v1/nodes/a%20b?fields=name",
                    "/v1/nodes?instance_uuid=i&fields=instance_uuid",
                ][..],
            ),
            (
                Collection::Portgroups,
                &[
                    "/v1/portgroups/u?fields=uuid",
                    "/v1/portgroups/a%20b?fields=name",
                    "/v1/portgroups?address=aa:bb&fields=address",
                ],
            ),
            (
                Collection::Allocations,
                &[
                    "/v1/allocations/u?fields=uuid",
                    "/v1/allocations/a%20b?fields=name",
                    "/v1/nodes?instance_uuid=u&fields=instance_uuid",
                ],
            ),
            (
                Collection::VolumeTargets,
                &["/v1/volume/targets/u?fields=uuid"],
            ),
        ] {
            let claims = claims_of(collection, "u", &object);
            let version = Microversion::new(1, 82);
            let paths = claims.iter().map(|claim| claim.stake.path(version));
            let paths: Vec<_> = paths.collect();
            assert_eq!(paths, expected);
        }
        let patch = Patch::parse(br#"[{"op": "add", "path": "/name", "value": "n"}, {"op": "remove", "path": "/instance_uuid"}]"#);
        let claims = claims_in(Collection::Nodes, "u", &patch.unwrap());
        assert_eq!(claims.len(), 1);
        assert_eq!(claims[0].conflict, "A node with name n already exists.");
    }

    #[test]
    fn a_child_has_an_instance_too() {
        let object = Object::parse("node", BODY).unwrap();
        let claims = claims_of(Collection::Nodes, "u", &object);
        let path = claims[2].stake.path(Microversion::new(1, 83));
        assert_eq!(
            path,
            "/v1/nodes?instance_uuid=i&fields=instance_uuid&include_children=True"
        );
    }

    #[test]
    fn a_copy_is_no_twin() {
        let object = Object::parse("runbook", BODY).unwrap();
        let [_, name] = &mut claims_of(Collection::Runbooks, "u", &object)[..] else {
            panic!("a runbook has a UUID and a name");
        };
        let (copy, other) = (
            br#"{"uuid": "U", "name": "a b", "owner": "p"}"#,
            br#"{"uuid": "v", "name": "a b", "owner": "p"}"#,
        );
        assert_eq!(name.stake.is_taken(copy), Some(true));
        let original = |owner: Option<&str>| {
            Some(Original {
                uuid: "u".to_owned(),
                owner: owner.map(str::to_owned),
            })
        };
        name.stake.copy_of = original(None);
        let path = name.stake.path(Microversion::new(1, 115));
        assert_eq!(path, "/v1/runbooks/a%20b?fields=uuid,name");
        assert_eq!(name.stake.is_taken(copy), Some(false));
        assert_eq!(name.stake.is_taken(other), Some(true));
        assert_eq!(name.stake.is_taken(br#"{"uuid": "u"}"#), None);
        for (owner, taken) in [("p", false), ("q", true)] {
            name.stake.copy_of = original(Some(owner));
            let path = name.stake.path(Microversion::new(1, 115));
            assert_eq!(path, "/v1/runbooks/a%20b?fields=uuid,owner,name");
            assert_eq!(name.stake.is_taken(copy), Some(taken));
            let nobodys = br#"{"uuid": "u", "name": "a b", "owner": null}"#;
            assert_eq!(name.stake.is_taken(nobodys), Some(true));
        }
    }

    #[test]
    fn whose_answer_it_is() {
        let object = Object::parse("port", BODY).unwrap();
        let claims = claims_of(Collection::Ports, "u", &object);
        for (column, body, taken) in [
            (Column::Uuid, r#"{"uuid": "U"}"#, Some(true)),
            (Column::Uuid, r#"{"uuid": "v"}"#, None),
            (Column::Name, r#"{"uuid": "v", "name": "a b"}"#, Some(true)),
            (Column::Name, "{}", None),
            (Column::Address, r#"{"ports": []}"#, Some(false)),
            (
                Column::Address,
                r#"{"ports": [{"address": "aa:bb"}]}"#,
                Some(true),
            ),
            (
                Column::Address,
                r#"{"ports": [{"address": "other"}]}"#,
                None,
            ),
            (Column::Address, "{}", None),
        ] {
            let claim = claims.iter().find(|claim| claim.stake.column == column);
            assert_eq!(
                claim.unwrap().stake.is_taken(body.as_bytes()),
                taken,
                "{body}"
            );
        }
    }
}
