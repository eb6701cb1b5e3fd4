//! Provision states: the rights to the steps in the body, to the children they reach and to the runbook.

use std::collections::HashSet;
use std::ops::Deref;

use serde_json::Value;
use serde_json::json;

use crate::api::body::Object;
use crate::api::body::Patch;
use crate::api::collection::Collection;
use crate::api::query::Query;
use crate::api::rules::Rule;
use crate::federate::Error;
use crate::policy::language::Verdict;
use crate::policy::targets::Target;
use crate::request::Answer;
use crate::tenancy::case::Case;
use crate::tenancy::case::Errand;
use crate::tenancy::facts::Node;
use crate::tenancy::facts::Owned;
use crate::tenancy::refusal;
use crate::tenancy::resource::Resource;

/// Steps that may come of a patch, as far as they are judged one by one. Runbooks have a few dozen.
const MOST_JUDGED: usize = 4096;

/// Changes of provision states, and the steps they bring along.
pub(crate) struct Provision<'c>(pub(crate) &'c Case<'c>);

impl<'c> Deref for Provision<'c> {
    type Target = Case<'c>;

    fn deref(&self) -> &Case<'c> {
        self.0
    }
}

impl Provision<'_> {
    pub(crate) async fn change(&self, node: &Node, body: &[u8]) -> Result<Answer, Error> {
        self.permit_at(Rule::NodeSetProvisionState, node)?;
        let mut object = Object::parse("body", body)?;
        // Pecan takes what the function wants from either place (`NestedMultiDict` of `pecan/core.py`): what is judged is
        // all of it, and nothing else is sent.
        for (name, value) in self.request.query.iter() {
            if object.contains(name) {
                let text = format!("Unexpected repeated argument: {name}");
                return Err(refusal::invalid(text));
            }
            object.set(name, value);
        }
        for (steps, rule) in [
            ("clean_steps", Some(Rule::NodeSetProvisionStateCleanSteps)),
            (
                "service_steps",
                Some(Rule::NodeSetProvisionStateServiceSteps),
            ),
            // Deploy steps have no rule of their own in Ironic, only the rules per step.
            ("deploy_steps", None),
        ] {
            if !object.is_true(steps) {
                continue;
            }
            if let Some(rule) = rule {
                self.permit_at(rule, node)?;
            }
            self.check_children(&object, steps, node).await?;
            // Rules per step live in the location's policy; where the user's token goes, the location applies them
            // itself.
            if !self.judges_itself(node.at) {
                self.check_steps(&object, steps, &node.holders.target())?;
            }
        }
        let runbook = object.text("runbook").filter(|ident| !ident.is_empty());
        if let Some(ident) = runbook.filter(|_| !self.judges_itself(node.at)) {
            // Asked where it is to run: copies of it may differ.
            let told = self
                .look_up_at(
                    (Collection::Runbooks, &ident),
                    "uuid,owner,public,steps",
                    node.at,
                )
                .await?;
            let found = told.found.first();
            let runbook = found.and_then(Owned::of);
            let runbook = runbook.ok_or_else(|| refusal::absent(Collection::Runbooks, &ident))?;
            // No exception for public runbooks: Ironic 39 answers 403 to a project's manager for a public runbook
            // (run).
            self.permit(Rule::RunbookUse, &runbook.runbook())?;
            object.set("runbook", &runbook.uuid);
            // Ironic applies the rules per step only to a private runbook of a project.
            let approved = runbook.owner.is_none() || runbook.public;
            if !approved {
                let steps = found.map(|found| steps_of(&found.resource));
                self.check_each(steps.as_ref(), &node.holders.target())?;
            }
        }
        let errand = Errand {
            query: Query::default(),
            ..self.errand(object.to_bytes()).at(node.at)
        };
        self.send_by(Collection::Nodes, &node.uuid, errand).await
    }

    /// `execute_on_child_nodes` with a list needs the right to each child (`_check_steps` of
    /// `ironic/api/controllers/v1/node.py`); without a list Ironic checks no child.
    async fn check_children(
        &self,
        object: &Object,
        steps: &str,
        parent: &Node,
    ) -> Result<(), Error> {
        let Some(Value::Array(steps)) = object.json(steps) else {
            return Ok(());
        };
        for step in &steps {
            let (Some(run), Some(Value::Array(children))) = (
                step.get("execute_on_child_nodes"),
                step.get("limit_child_node_execution"),
            ) else {
                continue;
            };
            if matches!(run, Value::Null | Value::Bool(false)) {
                continue;
            }
            for child in children.iter().filter_map(Value::as_str) {
                // At the parent's location, which is where the steps will run.
                let found = self.visible_node_at(child, parent.at).await?;
                let child = found.ok_or_else(|| refusal::absent(Collection::Nodes, child))?;
                self.permit_at(Rule::NodeSetProvisionState, &child)?;
            }
        }
        Ok(())
    }

    /// Steps that have rules of their own (`baremetal:step:execute:…`).
    pub(crate) fn check_steps(
        &self,
        object: &Object,
        name: &str,
        target: &Target<'_>,
    ) -> Result<(), Error> {
        self.check_each(object.json(name).as_ref(), target)
    }

    /// Steps that a patch adds to a runbook, or makes of those that each copy has.
    pub(crate) fn check_patched_steps(&self, patch: &Patch, copies: &[Value]) -> Result<(), Error> {
        let mut steps = Vec::new();
        let mut members = Vec::new();
        for (path, value) in patch.changes() {
            let Some(value) = value else { continue };
            match path.strip_prefix("/steps") {
                Some("") => steps.extend(value.as_array().into_iter().flatten().cloned()),
                Some(below) if below.starts_with('/') => match below[1..].split_once('/') {
                    Some((_, member)) => members.push((member.to_owned(), value)),
                    None => steps.push(value),
                },
                _ => {}
            }
        }
        let word = |name: &str| -> HashSet<String> {
            let given = members.iter().filter(|(member, _)| member == name);
            let given = given.filter_map(|(_, value)| value.as_str());
            given.map(str::to_owned).collect()
        };
        let (interfaces, names) = (word("interface"), word("step"));
        if interfaces.is_empty() && names.is_empty() {
            return self.check_each(Some(&Value::Array(steps)), &Target::Nothing);
        }
        // Ironic judges the steps as the patch leaves them (`validate_user_steps_policy` of
        // `ironic/api/controllers/v1/runbook.py`). Which of them a number means depends on what the patch did before,
        // so each that could come of it is judged.
        let known = copies.iter().filter_map(Value::as_array).flatten();
        let all = |name: &str| -> HashSet<&str> {
            let each = steps.iter().chain(known.clone());
            each.filter_map(|step| step.get(name)?.as_str()).collect()
        };
        let (on, called) = (all("interface"), all("step"));
        if interfaces.len() * (called.len() + names.len()) + names.len() * on.len() > MOST_JUDGED {
            return Err(refusal::forbidden(format!(
                "insufficient privileges to execute {} steps on {} interfaces",
                names.len(),
                interfaces.len()
            )));
        }
        let mut made = steps.clone();
        let mut make = |interface: &str, name: &str| {
            made.push(json!({"interface": interface, "step": name}));
        };
        for name in &names {
            let each = on
                .iter()
                .copied()
                .chain(interfaces.iter().map(String::as_str));
            for interface in each {
                make(interface, name);
            }
        }
        for interface in &interfaces {
            for name in &called {
                make(interface, name);
            }
        }
        match self.forbidden(&made, &Target::Nothing).next() {
            // Not all of these come of it, so one is named.
            Some(error) => Err(self.refuse_steps(error)),
            None => Ok(()),
        }
    }

    /// Ironic names each forbidden one (`validate_user_steps_policy` of `ironic/conductor/steps.py`).
    fn check_each(&self, steps: Option<&Value>, target: &Target<'_>) -> Result<(), Error> {
        let Some(Value::Array(steps)) = steps else {
            return Ok(());
        };
        let errors: Vec<_> = self.forbidden(steps, target).collect();
        if errors.is_empty() {
            return Ok(());
        }
        Err(self.refuse_steps(errors.join("; ")))
    }

    fn forbidden(&self, steps: &[Value], target: &Target<'_>) -> impl Iterator<Item = String> {
        steps.iter().filter_map(move |step| {
            let word = |name| step.get(name).and_then(Value::as_str).unwrap_or_default();
            let (interface, name) = (word("interface"), word("step"));
            let verdict = self.rules.judge_step(interface, name, &self.caller, target);
            let text =
                format!("insufficient privileges to execute step {name} on interface {interface}");
            Some(text).filter(|_| verdict != Verdict::Yes)
        })
    }

    fn refuse_steps(&self, text: String) -> Error {
        self.tell("baremetal:step:execute", None);
        refusal::forbidden(text)
    }
}

/// The steps of a runbook, as far as rules look at them.
pub(crate) fn steps_of(runbook: &Resource) -> Value {
    let steps = runbook.resources("steps").into_iter();
    steps
        .map(|step| json!({"interface": step.text("interface"), "step": step.text("step")}))
        .collect()
}
