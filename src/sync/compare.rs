//! Compares what the locations have. Pure: takes what was read and returns what to report.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

use serde_json::Map;
use serde_json::Value;

use crate::api::collection::Collection;
use crate::api::microversion::Microversion;
use crate::config::LocationId;
use crate::federate::replicated::copy::SET_BY_IRONIC;
use crate::federate::replicated::copy::hidden;

/// Traits of a runbook; Ironic sets them at a path of their own.
pub const TRAITS: &str = "traits";
/// Member of `extra` that marks a copy as incomplete.
pub const UNFINISHED: &str = "ironic_proxy_sync_unfinished";
/// Members that Ironic hides in a sensitive inspection rule.
const SENSITIVE: [&str; 2] = ["actions", "conditions"];

pub type Object = Map<String, Value>;

/// What one location has of a collection, each as its newest version shows it.
#[derive(Debug)]
pub struct Shelf {
    pub location: LocationId,
    pub newest: Microversion,
    pub objects: BTreeMap<String, Object>,
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Title {
    pub collection: Collection,
    pub uuid: String,
    pub name: Option<String>,
}

impl fmt::Display for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = self.collection.facts().noun;
        match &self.name {
            Some(name) => write!(f, "{noun} {name} ({})", self.uuid),
            None => write!(f, "{noun} {}", self.uuid),
        }
    }
}

/// One thing that is not the same everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// To be copied from where it is.
    Missing { from: LocationId, at: LocationId },
    /// An earlier run ended in the middle of this copy. `from`: a location with a complete one.
    Unfinished {
        from: Option<LocationId>,
        at: LocationId,
    },
    /// Copies differ; only people know which one is right. `absent`: locations without one.
    Differs {
        attributes: Vec<String>,
        absent: Vec<LocationId>,
    },
    /// Created independently: one name under several UUIDs, with the locations of each.
    Conflict {
        name: String,
        holders: Vec<(String, Vec<LocationId>)>,
    },
    /// Ironic does not show all of it, so it cannot be copied.
    Sensitive { absent: Vec<LocationId> },
}

/// All of a collection.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    pub drift: Vec<(Title, Drift)>,
    /// Attributes that a location is too old to show.
    pub too_old: BTreeMap<LocationId, BTreeSet<String>>,
}

/// Each pair of locations is compared by what both know.
pub fn compare(collection: Collection, shelves: &[Shelf]) -> Comparison {
    let mut comparison = Comparison::default();
    let uuids: BTreeSet<&String> = shelves
        .iter()
        .flat_map(|shelf| shelf.objects.keys())
        .collect();
    let conflicts = conflicts(shelves);
    let mut told = BTreeSet::new();
    for uuid in uuids {
        let held: Vec<(&Shelf, &Object)> = shelves
            .iter()
            .filter_map(|shelf| Some((shelf, shelf.objects.get(uuid)?)))
            .collect();
        let title = title(collection, uuid, &held);
        let (unfinished, whole): (Vec<_>, Vec<_>) =
            held.iter().partition(|(_, object)| is_unfinished(object));
        // The newest version shows the most members, so the least is lost in the copy.
        let best = whole
            .iter()
            // `max_by_key` returns the last maximum; reversed it is the first location in the configuration.
            .rev()
            .max_by_key(|(shelf, _)| shelf.newest)
            .map(|(shelf, _)| shelf.location);
        let is_hidden = (whole.iter()).any(|(_, object)| !unshown(collection, object).is_empty());
        for (shelf, _) in unfinished {
            let at = shelf.location;
            let from = best.filter(|_| !is_hidden);
            let drift = Drift::Unfinished { from, at };
            comparison.drift.push((title.clone(), drift));
        }
        let Some(from) = best else {
            continue;
        };
        let attributes = differences(&whole, &mut comparison.too_old);
        let absent: Vec<LocationId> = shelves
            .iter()
            .filter(|shelf| !shelf.objects.contains_key(uuid))
            .map(|shelf| shelf.location)
            .collect();
        let conflict = title.name.as_deref().and_then(|name| {
            let holders = conflicts.get(name)?;
            Some((name.to_owned(), holders.clone()))
        });
        if let Some((name, holders)) = conflict {
            if told.insert(name.clone()) {
                let drift = Drift::Conflict { name, holders };
                comparison.drift.push((title.clone(), drift));
            }
            if !attributes.is_empty() {
                let absent = Vec::new();
                let drift = Drift::Differs { attributes, absent };
                comparison.drift.push((title, drift));
            }
        } else if !attributes.is_empty() {
            let drift = Drift::Differs { attributes, absent };
            comparison.drift.push((title, drift));
        } else if is_hidden {
            if !absent.is_empty() {
                comparison.drift.push((title, Drift::Sensitive { absent }));
            }
        } else {
            for at in absent {
                let drift = Drift::Missing { from, at };
                comparison.drift.push((title.clone(), drift));
            }
        }
    }
    comparison
}

fn title(collection: Collection, uuid: &str, held: &[(&Shelf, &Object)]) -> Title {
    let text = |member: &str| {
        held.iter()
            .find_map(|(_, object)| object.get(member)?.as_str())
            .map(str::to_owned)
    };
    Title {
        collection,
        uuid: uuid.to_owned(),
        name: text("name").or_else(|| text("description")),
    }
}

/// Names that more than one UUID has, with the locations of each.
fn conflicts(shelves: &[Shelf]) -> BTreeMap<String, Vec<(String, Vec<LocationId>)>> {
    let mut names: BTreeMap<&str, BTreeMap<&str, Vec<LocationId>>> = BTreeMap::new();
    for shelf in shelves {
        for (uuid, object) in &shelf.objects {
            if let Some(name) = object.get("name").and_then(Value::as_str) {
                let holders = names.entry(name).or_default();
                holders.entry(uuid).or_default().push(shelf.location);
            }
        }
    }
    names.retain(|_, holders| holders.len() > 1);
    names
        .into_iter()
        .map(|(name, holders)| {
            let holders = holders
                .into_iter()
                .map(|(uuid, at)| (uuid.to_owned(), at))
                .collect();
            (name.to_owned(), holders)
        })
        .collect()
}

fn is_unfinished(object: &Object) -> bool {
    object
        .get("extra")
        .and_then(Value::as_object)
        .is_some_and(|extra| extra.contains_key(UNFINISHED))
}

fn is_sensitive(object: &Object) -> bool {
    object.get("sensitive") == Some(&Value::Bool(true))
}

/// Members that Ironic does not show as they are.
fn unshown(collection: Collection, object: &Object) -> &'static [&'static str] {
    let steps = object.get("steps").map(Value::to_string);
    hidden(
        collection,
        is_sensitive(object),
        steps.as_deref().map(str::as_bytes),
    )
}

/// Attributes that differ, among those that clients set and that both locations of a pair know.
fn differences(
    held: &[(&Shelf, &Object)],
    too_old: &mut BTreeMap<LocationId, BTreeSet<String>>,
) -> Vec<String> {
    let mut names = BTreeSet::new();
    for (index, (shelf, object)) in held.iter().enumerate() {
        for (other_shelf, other) in &held[index + 1..] {
            for (old, old_object, new_object) in
                [(shelf, object, other), (other_shelf, other, object)]
            {
                for name in new_object.keys().filter(|name| is_clients(name)) {
                    match old_object.get(name) {
                        None => {
                            let unknown = too_old.entry(old.location).or_default();
                            unknown.insert(name.clone());
                        }
                        Some(value) if is_same(name, value, &new_object[name]) => {}
                        // Ironic hides these members, so they cannot be compared.
                        Some(_)
                            if SENSITIVE.contains(&name.as_str())
                                && (is_sensitive(old_object) || is_sensitive(new_object)) => {}
                        Some(_) => {
                            names.insert(name.clone());
                        }
                    }
                }
            }
        }
    }
    names.into_iter().collect()
}

/// Traits are set apart from the rest, but by clients too.
fn is_clients(name: &str) -> bool {
    name == TRAITS || !SET_BY_IRONIC.contains(&name)
}

/// Traits have no order.
fn is_same(name: &str, one: &Value, other: &Value) -> bool {
    let sorted = |value: &Value| {
        let mut traits: Vec<String> = value.as_array()?.iter().map(Value::to_string).collect();
        traits.sort_unstable();
        Some(traits)
    };
    if name == TRAITS {
        sorted(one) == sorted(other)
    } else {
        one == other
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const A: LocationId = LocationId(0);
    const B: LocationId = LocationId(1);
    const C: LocationId = LocationId(2);

    fn shelf(location: LocationId, minor: i64, objects: &Value) -> Shelf {
        let objects = objects.as_array().unwrap().iter().map(|object| {
            let object = object.as_object().unwrap().clone();
            (object["uuid"].as_str().unwrap().to_owned(), object)
        });
        Shelf {
            location,
            newest: Microversion::new(1, minor),
            objects: objects.collect(),
        }
    }

    fn drift(shelves: &[Shelf]) -> Vec<(String, Drift)> {
        drift_of(Collection::Runbooks, shelves)
    }

    fn drift_of(collection: Collection, shelves: &[Shelf]) -> Vec<(String, Drift)> {
        compare(collection, shelves)
            .drift
            .into_iter()
            .map(|(title, drift)| (title.uuid, drift))
            .collect()
    }

    #[test]
    fn what_is_missing_comes_from_where_most_is_known() {
        let shelves = [
            shelf(A, 100, &json!([{"uuid": "u", "name": "n", "links": [1]}])),
            shelf(
                B,
                115,
                &json!([{"uuid": "u", "name": "n", "links": [2], "description": "d"}]),
            ),
            shelf(C, 115, &json!([])),
        ];
        let missing = Drift::Missing { from: B, at: C };
        assert_eq!(drift(&shelves), [("u".to_owned(), missing)]);
        let comparison = compare(Collection::Runbooks, &shelves);
        assert_eq!(
            comparison.too_old,
            BTreeMap::from([(A, BTreeSet::from(["description".to_owned()]))])
        );
        assert_eq!(comparison.drift[0].0.to_string(), "Runbook n (u)");
    }

    #[test]
    fn drift_is_what_clients_set() {
        let shelves = [
            shelf(
                A,
                115,
                &json!([{"uuid": "u", "name": "a", "steps": [1], "traits": ["x", "y"], "created_at": "x"}]),
            ),
            shelf(
                B,
                115,
                &json!([{"uuid": "u", "name": "a", "steps": [2], "traits": ["y", "x"], "created_at": "y"}]),
            ),
            shelf(C, 115, &json!([])),
        ];
        let differs = Drift::Differs {
            attributes: vec!["steps".to_owned()],
            absent: vec![C],
        };
        assert_eq!(drift(&shelves), [("u".to_owned(), differs)]);
    }

    #[test]
    fn one_name_under_two_uuids_is_one_conflict() {
        let shelves = [
            shelf(A, 115, &json!([{"uuid": "u", "name": "n"}])),
            shelf(B, 115, &json!([{"uuid": "v", "name": "n"}])),
            shelf(C, 115, &json!([])),
        ];
        let conflict = Drift::Conflict {
            name: "n".to_owned(),
            holders: vec![("u".to_owned(), vec![A]), ("v".to_owned(), vec![B])],
        };
        assert_eq!(drift(&shelves), [("u".to_owned(), conflict)]);
    }

    #[test]
    fn a_half_copy_is_known_by_its_mark() {
        let half = json!({"uuid": "u", "name": "n", "traits": [], "extra": {UNFINISHED: true}});
        let whole = json!({"uuid": "u", "name": "n", "traits": ["x"], "extra": {}});
        for (first, from) in [(json!([whole]), Some(A)), (json!([]), None)] {
            let shelves = [shelf(A, 115, &first), shelf(B, 115, &json!([half]))];
            let unfinished = Drift::Unfinished { from, at: B };
            assert_eq!(drift(&shelves), [("u".to_owned(), unfinished)]);
        }
    }

    #[test]
    fn a_sensitive_rule_is_neither_compared_nor_copied() {
        let rule = |actions: Value| json!([{"uuid": "u", "sensitive": true, "actions": actions}]);
        let shelves = [
            shelf(A, 115, &rule(Value::Null)),
            shelf(B, 115, &rule(json!([1]))),
            shelf(C, 115, &json!([])),
        ];
        let sensitive = Drift::Sensitive { absent: vec![C] };
        let drift = |shelves| drift_of(Collection::InspectionRules, shelves);
        assert_eq!(drift(&shelves), [("u".to_owned(), sensitive)]);
        assert_eq!(drift(&shelves[..2]), []);
    }
}
