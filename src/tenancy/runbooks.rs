//! Runbooks: private to their owner, or public to read. Ironic does not hide them: a private one is a 403, not a 404.

use std::ops::Deref;

use bytes::Bytes;

use crate::api::body::Object;
use crate::api::body::Patch;
use crate::api::body::Value;
use crate::api::collection::Collection;
use crate::api::rules::Rule;
use crate::auth::access::attributes;
use crate::auth::access::attributes::Change;
use crate::federate::Error;
use crate::policy::targets::Target;
use crate::request::Answer;
use crate::tenancy::case::Case;
use crate::tenancy::facts::Owned;
use crate::tenancy::provision::Provision;
use crate::tenancy::refusal;

/// Requests about runbooks.
pub(crate) struct Runbooks<'c>(pub(crate) &'c Case<'c>);

impl<'c> Deref for Runbooks<'c> {
    type Target = Case<'c>;

    fn deref(&self) -> &Case<'c> {
        self.0
    }
}

impl Runbooks<'_> {
    pub(crate) async fn one_runbook(
        &self,
        ident: &str,
        rule: Rule,
        body: Bytes,
    ) -> Result<Answer, Error> {
        let runbook = self.known_runbook(ident).await?;
        let target = runbook.runbook();
        if self.judges_itself(self.request.pinned) {
            self.leave(rule, &target);
            return self.send_to_runbook(&runbook, body).await;
        }
        match rule {
            // Only the runbook itself is public; its traits need the rule (both are `baremetal:runbook:get`).
            Rule::RunbookGet if self.request.target.segments().len() == 2 => {
                if !self.allows(rule, &target) && !runbook.public {
                    self.tell(rule.name(), None);
                    return Err(refusal::forbidden_runbook());
                }
            }
            Rule::RunbookUpdate if self.request.method == http::Method::PATCH => {
                let patch = Patch::parse(&body)?;
                let changes = patch.changes();
                let changes = changes.iter().map(|(path, value)| Change {
                    path,
                    value: value.as_ref(),
                });
                // Owner and public have rules of their own, beside the one for the runbook as a whole.
                for rule in attributes::rules("runbooks/{}", Rule::RunbookUpdate, changes) {
                    self.permit(rule, &target)?;
                }
                Provision(self.0)
                    .check_patched_steps(&patch, &runbook.uuid)
                    .await?;
                return self.send_to_runbook(&runbook, patch.to_bytes()).await;
            }
            _ => self.permit(rule, &target)?,
        }
        self.send_to_runbook(&runbook, body).await
    }

    async fn send_to_runbook(&self, runbook: &Owned, body: Bytes) -> Result<Answer, Error> {
        let errand = self.errand(body);
        self.send_by(Collection::Runbooks, &runbook.uuid, errand)
            .await
    }

    pub(crate) async fn new_runbook(&self, rule: Rule, body: &[u8]) -> Result<Answer, Error> {
        if self.judges_itself(self.request.pinned) {
            self.leave(rule, &Target::Nothing);
            let object = Object::parse("runbook", body)?;
            return self.send(self.errand(object.to_bytes())).await;
        }
        self.permit(rule, &Target::Nothing)?;
        let mut object = Object::parse("runbook", body)?;
        Provision(self.0).check_steps(&object, "steps", &Target::Nothing)?;
        // Ironic's schema refuses an owner that is no text.
        let is_refused = object.value("owner") == Value::Other;
        if let Some(project) = self.project().filter(|_| !is_refused) {
            let wanted = object.text("owner").filter(|owner| !owner.is_empty());
            if wanted.is_some_and(|wanted| wanted != project.id) {
                return Err(refusal::invalid(
                    "Cannot create a runbook as a project scoped admin with an owner other than your own project.",
                ));
            }
            if object.is_true("public") {
                return Err(refusal::invalid(
                    "Cannot create a public runbook as a project scoped admin.",
                ));
            }
            // Ironic fills the owner in for a project's token; our system-scoped credential has to send it.
            object.set("owner", project.id);
            let answer = self.told(self.errand(object.to_bytes())).await?;
            if !refusal::is_refused_owner(&answer) {
                return Ok(answer);
            }
            // For an Ironic without Keystone nobody is of the system, so nobody may name an owner at once.
            object.remove("owner");
            let errand = self.errand(object.to_bytes());
            return (self.make_and_give(errand, Collection::Runbooks, project)).await;
        }
        self.send(self.errand(object.to_bytes())).await
    }
}
