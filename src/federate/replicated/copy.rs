//! The copy of an object at one location, and how to restore it.

use std::collections::BTreeSet;

use http::Method;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use crate::api::body::Patch;
use crate::api::collection::Collection;
use crate::api::microversion::Microversion;
use crate::config::LocationId;
use crate::federate::replicated::member;
use crate::locations::question::Body;
use crate::locations::question::Expect;
use crate::locations::question::Question;

/// Members that Ironic sets itself and refuses in a body.
pub const SET_BY_IRONIC: &[&str] = &["links", "created_at", "updated_at", "nodes", "traits"];

/// What an inspection rule that is sensitive does not show.
const HIDDEN: &[&str] = &["actions", "conditions", "sensitive"];

/// An object as one location shows it at its newest version, which shows all that there is of it.
#[derive(Clone, Debug)]
pub struct Copy {
    pub location: LocationId,
    pub version: Microversion,
    pub uuid: String,
    pub document: Map<String, Json>,
}

/// What is about to happen to a copy.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    Patch(&'a Patch),
    Delete,
    /// Something below it; runbook traits are the only such thing.
    Traits,
}

impl Copy {
    pub fn question(&self, method: Method, path: String, body: Option<Json>) -> Question {
        Question {
            method,
            body: body.map_or(Body::None, |body| Body::Whole(body.to_string().into())),
            ..Question::get(path, self.version)
        }
    }

    /// Whether a document shows the same: all but when it was written, and what it is called in links.
    pub fn is(&self, document: &Map<String, Json>) -> bool {
        let matters = |name: &&String| *name == "traits" || !SET_BY_IRONIC.contains(&name.as_str());
        let names: BTreeSet<_> = self.document.keys().chain(document.keys()).collect();
        let shown = |document: &Map<String, Json>, name: &String| {
            let value = document.get(name).cloned().unwrap_or_default();
            // No traits are the same as none shown.
            if value == json!([]) {
                Json::Null
            } else {
                value
            }
        };
        names
            .into_iter()
            .filter(matters)
            .all(|name| shown(&self.document, name) == shown(document, name))
    }

    /// Whether the change touches what Ironic does not show: it could not be restored, so the write is refused.
    pub fn is_beyond_undoing(&self, collection: Collection, change: Change<'_>) -> bool {
        let sensitive = self.document.get("sensitive") == Some(&Json::Bool(true));
        if collection != Collection::InspectionRules {
            return false;
        }
        match change {
            Change::Delete => sensitive,
            Change::Patch(patch) => touched(patch).iter().any(|name| {
                // Ironic does not let `sensitive` be unset, so setting it could not be undone.
                HIDDEN.contains(&name.as_str()) && (sensitive || name == "sensitive")
            }),
            Change::Traits => false,
        }
    }

    /// The requests that put it back as it was.
    pub fn inverse(&self, collection: Collection, change: Change<'_>) -> Vec<Question> {
        let path = member(collection, &self.uuid);
        let traits = self.document.get("traits");
        let set_traits = |traits: &Json| {
            let body = json!({ "traits": traits });
            self.question(Method::PUT, format!("{path}/traits"), Some(body))
                .expecting(Expect::Effect)
        };
        match change {
            Change::Patch(patch) => {
                let body = Json::Array(self.undo_patch(patch));
                vec![
                    self.question(Method::PATCH, path, Some(body))
                        .for_member(collection, &self.uuid),
                ]
            }
            Change::Traits => vec![set_traits(traits.unwrap_or(&json!([])))],
            Change::Delete => {
                let mut document = self.document.clone();
                // Ironic shows members that are null, but does not take them in a POST.
                document.retain(|name, value| {
                    !SET_BY_IRONIC.contains(&name.as_str()) && !value.is_null()
                });
                let all = format!("/v1/{}", collection.facts().path);
                let again = self
                    .question(Method::POST, all, Some(Json::Object(document)))
                    .for_member(collection, &self.uuid);
                let has_some =
                    |traits: &&Json| traits.as_array().is_some_and(|all| !all.is_empty());
                let traits = traits.filter(has_some).map(set_traits);
                [again].into_iter().chain(traits).collect()
            }
        }
    }

    /// Gives every attribute that the patch touches its old value.
    fn undo_patch(&self, patch: &Patch) -> Vec<Json> {
        touched(patch)
            .into_iter()
            .map(|name| {
                let path = format!("/{name}");
                match self.document.get(&name) {
                    Some(value) if !value.is_null() => {
                        json!({"op": "add", "path": path, "value": value})
                    }
                    _ => json!({"op": "remove", "path": path}),
                }
            })
            .collect()
    }
}

/// The attributes that a patch touches.
fn touched(patch: &Patch) -> BTreeSet<String> {
    let changes = patch.changes().into_iter();
    let attribute = |(path, _): (String, _)| path.split('/').nth(1).map(str::to_owned);
    changes.filter_map(attribute).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(document: Json) -> Copy {
        let Json::Object(document) = document else {
            panic!("no object");
        };
        Copy {
            location: LocationId(0),
            version: Microversion::new(1, 115),
            uuid: "u".to_owned(),
            document,
        }
    }

    fn body(question: &Question) -> Json {
        let Body::Whole(body) = &question.body else {
            panic!("no body");
        };
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn a_patch_is_undone_by_old_values() {
        let patch = Patch::parse(
            br#"[{"op": "replace", "path": "/description", "value": "b"}, {"op": "add", "path": "/extra/x", "value": 1}, {"op": "add", "path": "/owner", "value": "p"}]"#,
        )
        .unwrap();
        let before = copy(json!({"description": "a", "extra": {"y": 2}, "owner": null}));
        let questions = before.inverse(Collection::Runbooks, Change::Patch(&patch));
        assert_eq!(
            body(&questions[0]),
            json!([
                {"op": "add", "path": "/description", "value": "a"},
                {"op": "add", "path": "/extra", "value": {"y": 2}},
                {"op": "remove", "path": "/owner"},
            ])
        );
    }

    #[test]
    fn what_was_deleted_is_made_again_with_all_that_was_shown() {
        let before = copy(json!({
            "uuid": "u", "name": "n", "owner": null, "links": [], "created_at": "then", "traits": ["CUSTOM_A"],
        }));
        let questions = before.inverse(Collection::Runbooks, Change::Delete);
        let told: Vec<_> = questions
            .iter()
            .map(|one| (one.method.as_str(), one.path.as_str(), body(one)))
            .collect();
        assert_eq!(
            told,
            [
                ("POST", "/v1/runbooks", json!({"uuid": "u", "name": "n"})),
                (
                    "PUT",
                    "/v1/runbooks/u/traits",
                    json!({"traits": ["CUSTOM_A"]})
                ),
            ]
        );
        assert!(
            questions
                .iter()
                .all(|one| one.version == Microversion::new(1, 115))
        );
    }

    #[test]
    fn what_is_the_same() {
        let before =
            copy(json!({"name": "n", "traits": [], "updated_at": null, "owner": null, "links": 1}));
        let same = |document: Json| before.is(document.as_object().unwrap());
        assert!(same(
            json!({"name": "n", "updated_at": "now", "links": 2, "owner": null})
        ));
        assert!(!same(json!({"name": "m"})));
        assert!(!same(json!({"name": "n", "traits": ["CUSTOM_A"]})));
        assert!(!same(json!({"name": "n", "more": 1})));
    }

    #[test]
    fn what_cannot_be_put_back() {
        let patch = |name: &str| {
            let body = format!(r#"[{{"op": "add", "path": "/{name}", "value": 1}}]"#);
            Patch::parse(body.as_bytes()).unwrap()
        };
        for (sensitive, name, beyond) in [
            (true, "", true),
            (true, "conditions", true),
            (true, "actions/0/op", true),
            (true, "description", false),
            (false, "", false),
            (false, "conditions", false),
            (false, "sensitive", true),
        ] {
            let rule = copy(json!({ "sensitive": sensitive }));
            let patch = patch(name);
            let change = if name.is_empty() {
                Change::Delete
            } else {
                Change::Patch(&patch)
            };
            assert_eq!(
                rule.is_beyond_undoing(Collection::InspectionRules, change),
                beyond,
                "{sensitive} {name}"
            );
        }
    }
}
