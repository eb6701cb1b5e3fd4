//! The copy of an object at one location, and how to restore it.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::Method;
use memchr::memmem;

use crate::api::body::Patch;
use crate::api::collection::Collection;
use crate::api::json;
use crate::api::microversion::Microversion;
use crate::api::resource::Resource;
use crate::config::LocationId;
use crate::federate::replicated::member;
use crate::locations::question::Body;
use crate::locations::question::Expect;
use crate::locations::question::Question;

/// Members that Ironic sets itself and refuses in a body.
pub const SET_BY_IRONIC: &[&str] = &["links", "created_at", "updated_at", "nodes", "traits"];

/// What stands in place of a secret (`step_sanitize` of `ironic/api/controllers/v1/runbook.py`).
pub const SECRET: &str = "******";

/// Members that Ironic does not show as they are, to nobody: neither can they be put back, nor copied. `steps`: as they
/// are shown.
pub fn hidden(
    collection: Collection,
    is_sensitive: bool,
    steps: Option<&[u8]>,
) -> &'static [&'static str] {
    let holds_secrets = |steps: &[u8]| memmem::find(steps, SECRET.as_bytes()).is_some();
    match collection {
        Collection::InspectionRules if is_sensitive => &["actions", "conditions"],
        Collection::Runbooks | Collection::DeployTemplates if steps.is_some_and(holds_secrets) => {
            &["steps"]
        }
        _ => &[],
    }
}

/// An object as one location shows it at its newest version, which shows all that there is of it.
#[derive(Clone, Debug)]
pub struct Copy {
    pub location: LocationId,
    pub version: Microversion,
    pub uuid: String,
    pub document: Resource,
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
    pub fn question(&self, method: Method, path: String, body: Option<Bytes>) -> Question {
        Question {
            method,
            body: body.map_or(Body::None, Body::Whole),
            ..Question::get(path, self.version)
        }
    }

    /// Whether a document shows the same: all but when it was written, and what it is called in links.
    pub fn is(&self, document: &Resource) -> bool {
        let matters = |name: &&str| *name == "traits" || !SET_BY_IRONIC.contains(name);
        let names: BTreeSet<_> = self.document.names().chain(document.names()).collect();
        names.into_iter().filter(matters).all(|name| {
            match (something(&self.document, name), something(document, name)) {
                (Some(ours), Some(theirs)) => json::is_same(ours, theirs),
                (ours, theirs) => ours == theirs,
            }
        })
    }

    /// Whether the change touches what Ironic does not show: it could not be restored.
    pub fn is_beyond_undoing(&self, collection: Collection, change: Change<'_>) -> bool {
        let steps = self.document.raw("steps").map(|steps| &steps[..]);
        let hidden = hidden(collection, self.document.is_true("sensitive"), steps);
        match change {
            Change::Delete => !hidden.is_empty(),
            Change::Patch(patch) => touched(patch).iter().any(|name| {
                // Ironic does not let `sensitive` be unset, so setting it could not be undone.
                hidden.contains(&name.as_str())
                    || (collection == Collection::InspectionRules && name == "sensitive")
            }),
            Change::Traits => false,
        }
    }

    /// The requests that put it back as it was; none if nothing does.
    pub fn inverse(&self, collection: Collection, change: Change<'_>) -> Vec<Question> {
        if self.is_beyond_undoing(collection, change) {
            return Vec::new();
        }
        let path = member(collection, &self.uuid);
        let traits = something(&self.document, "traits");
        let set_traits = |traits: &[u8]| {
            let body = [b"{\"traits\": ", traits, b"}"].concat();
            self.question(Method::PUT, format!("{path}/traits"), Some(body.into()))
                .expecting(Expect::Effect)
        };
        match change {
            Change::Patch(patch) => {
                let body = self.undo_patch(collection, patch);
                vec![
                    self.question(Method::PATCH, path, Some(body))
                        .for_member(collection, &self.uuid),
                ]
            }
            Change::Traits => vec![set_traits(traits.unwrap_or(b"[]"))],
            Change::Delete => {
                let mut document = self.document.clone();
                // Ironic shows members that are null, but does not take them in a POST.
                document.retain(|name, value| !SET_BY_IRONIC.contains(&name) && value != b"null");
                let all = format!("/v1/{}", collection.facts().path);
                let again = self
                    .question(Method::POST, all, Some(document.to_bytes()))
                    .for_member(collection, &self.uuid);
                [again].into_iter().chain(traits.map(set_traits)).collect()
            }
        }
    }

    /// Gives every attribute that the patch touches its old value.
    fn undo_patch(&self, collection: Collection, patch: &Patch) -> Bytes {
        let mut out = Vec::new();
        let mut touched = touched(patch);
        // Ironic takes a runbook's owner away with each patch of `public`, before it applies the patch.
        let is_owned =
            collection == Collection::Runbooks && something(&self.document, "owner").is_some();
        if is_owned && touched.contains("public") {
            touched.insert("owner".to_owned());
        }
        for name in touched {
            let path = json::escape(&format!("/{name}"));
            out.extend_from_slice(if out.is_empty() { b"[" } else { b", " });
            let value = self.document.raw(&name);
            if let Some(value) = value.filter(|value| value[..] != *b"null") {
                let start = format!("{{\"op\": \"add\", \"path\": \"{path}\", \"value\": ");
                out.extend_from_slice(start.as_bytes());
                out.extend_from_slice(value);
            } else {
                let whole = format!("{{\"op\": \"remove\", \"path\": \"{path}\"");
                out.extend_from_slice(whole.as_bytes());
            }
            out.push(b'}');
        }
        out.extend_from_slice(if out.is_empty() { b"[]" } else { b"]" });
        out.into()
    }
}

/// A member that is not null, nor an empty list: no traits are the same as none shown.
fn something<'d>(document: &'d Resource, name: &str) -> Option<&'d [u8]> {
    let is_empty = || document.elements(name).is_some_and(|list| list.is_empty());
    let value = document.raw(name)?;
    (**value != *b"null" && !is_empty()).then_some(value)
}

/// The attributes that a patch touches.
fn touched(patch: &Patch) -> BTreeSet<String> {
    let changes = patch.changes().into_iter();
    let attribute = |(path, _): (String, _)| path.split('/').nth(1).map(str::to_owned);
    changes.filter_map(attribute).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;
    use serde_json::json;

    use super::*;

    fn resource(document: &str) -> Resource {
        Resource::read(&Bytes::copy_from_slice(document.as_bytes())).unwrap()
    }

    fn copy(document: &Json) -> Copy {
        Copy {
            location: LocationId(0),
            version: Microversion::new(1, 115),
            uuid: "u".to_owned(),
            document: resource(&document.to_string()),
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
        let before = copy(&json!({"description": "a", "extra": {"y": 2}, "owner": null}));
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
        let before = copy(&json!({
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
        let before = copy(
            &json!({"name": "n", "traits": [], "updated_at": null, "owner": null, "links": 1}),
        );
        let same = |document: Json| before.is(&resource(&document.to_string()));
        assert!(same(
            json!({"name": "n", "updated_at": "now", "links": 2, "owner": null})
        ));
        assert!(!same(json!({"name": "m"})));
        assert!(!same(json!({"name": "n", "traits": ["CUSTOM_A"]})));
        assert!(!same(json!({"name": "n", "more": 1})));
    }

    #[test]
    fn what_only_python_reads_is_put_back_as_it_was() {
        let odd = r#"{"uuid": "u", "name": "n", "extra": {"a": NaN, "b": "\ud800"}, "steps": [1e400], "updated_at": null}"#;
        let before = Copy {
            document: resource(odd),
            ..copy(&json!({}))
        };
        assert!(before.is(&resource(odd)));
        assert!(!before.is(&resource(&odd.replace("NaN", "Infinity"))));
        let text = |change: Change<'_>| {
            let questions = before.inverse(Collection::Runbooks, change);
            let Body::Whole(body) = &questions[0].body else {
                panic!("no body");
            };
            String::from_utf8(body.to_vec()).unwrap()
        };
        let patch = Patch::parse(
            br#"[{"op": "remove", "path": "/extra/a"}, {"op": "add", "path": "/owner", "value": "p"}]"#,
        )
        .unwrap();
        assert_eq!(
            text(Change::Patch(&patch)),
            r#"[{"op": "add", "path": "/extra", "value": {"a": NaN, "b": "\ud800"}}, {"op": "remove", "path": "/owner"}]"#
        );
        assert_eq!(
            text(Change::Delete),
            r#"{"uuid": "u", "name": "n", "extra": {"a": NaN, "b": "\ud800"}, "steps": [1e400]}"#
        );
    }

    #[test]
    fn an_owner_that_a_patch_of_public_takes_away_is_put_back() {
        let patch = Patch::parse(br#"[{"op": "replace", "path": "/public", "value": true}]"#);
        let patch = patch.unwrap();
        for (owner, undone) in [
            (
                json!("p"),
                json!([
                    {"op": "add", "path": "/owner", "value": "p"},
                    {"op": "add", "path": "/public", "value": false},
                ]),
            ),
            (
                json!(null),
                json!([{"op": "add", "path": "/public", "value": false}]),
            ),
        ] {
            let before = copy(&json!({"public": false, "owner": owner}));
            let questions = before.inverse(Collection::Runbooks, Change::Patch(&patch));
            assert_eq!(body(&questions[0]), undone);
        }
    }

    #[test]
    fn secrets_in_steps_cannot_be_put_back() {
        let patch = |name: &str| {
            let body = format!(r#"[{{"op": "add", "path": "/{name}", "value": 1}}]"#);
            Patch::parse(body.as_bytes()).unwrap()
        };
        let (steps, extra) = (patch("steps/0/order"), patch("extra"));
        let shown = |args: Json| copy(&json!({"steps": [{"step": "a", "args": args}]}));
        let hidden = shown(json!({"a": {"b": "--password ******"}}));
        for collection in [Collection::Runbooks, Collection::DeployTemplates] {
            for change in [Change::Delete, Change::Patch(&steps)] {
                assert!(hidden.is_beyond_undoing(collection, change));
                assert!(hidden.inverse(collection, change).is_empty());
                let plain = shown(json!({"a": "*"}));
                assert!(!plain.is_beyond_undoing(collection, change));
            }
            for change in [Change::Traits, Change::Patch(&extra)] {
                assert!(!hidden.is_beyond_undoing(collection, change));
            }
        }
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
            let rule = copy(&json!({ "sensitive": sensitive }));
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
