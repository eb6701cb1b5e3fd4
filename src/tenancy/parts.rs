//! Ports, port groups, volume connectors and targets: they are as visible as their node, and as much one's own.

use std::ops::Deref;

use bytes::Bytes;
use http::Method;

use crate::api::body::Object;
use crate::api::body::Patch;
use crate::api::collection::Collection;
use crate::api::rules::Rule;
use crate::federate::Error;
use crate::request::Answer;
use crate::tenancy::case::Case;
use crate::tenancy::facts::Holders;
use crate::tenancy::facts::Node;
use crate::tenancy::lists::Lists;
use crate::tenancy::refusal;

/// Requests about what is at a node.
pub(crate) struct Parts<'c>(pub(crate) &'c Case<'c>);

impl<'c> Deref for Parts<'c> {
    type Target = Case<'c>;

    fn deref(&self) -> &Case<'c> {
        self.0
    }
}

impl Parts<'_> {
    /// Shows, changes or deletes one; or, of a port group, lists what it holds.
    pub(crate) async fn part(
        &self,
        collection: Collection,
        ident: &str,
        rule: Rule,
        body: Bytes,
    ) -> Result<Answer, Error> {
        let part = self.seen_part(collection, ident).await?;
        self.permit_at(rule, &part.node)?;
        if self.request.method == Method::PATCH {
            self.check_node_link(&part.node, &body).await?;
        }
        let mut errand = self.errand(body);
        errand.path = self.request.target.path_for(collection, &part.uuid);
        let answer = self.send(errand.at(part.node.at)).await?;
        if self.request.method == Method::DELETE {
            return Ok(answer);
        }
        Lists(self.0).mask_targets(answer)
    }

    /// Where a part is moved to must be seen, and be its owner's: the location checks that too, but not of a node that is
    /// at another one.
    async fn check_node_link(&self, node: &Node, body: &[u8]) -> Result<(), Error> {
        for (path, value) in Patch::parse(body)?.changes() {
            let Some(serde_json::Value::String(to)) = value.filter(|_| path == "/node_uuid") else {
                continue;
            };
            let found = self.visible_node(&to).await?;
            if found.is_none_or(|found| found.holders.owner != node.holders.owner) {
                return Err(refusal::unlinkable("node_uuid", &to));
            }
        }
        Ok(())
    }

    /// Makes one at the node that the body names. What is wrong with a body without one is the location's to say.
    pub(crate) async fn new_part(&self, rule: Rule, body: &[u8]) -> Result<Answer, Error> {
        // What is judged is what is sent: of a member written twice the last one.
        let object = Object::parse("body", body)?;
        let mut at = None;
        if let Some(ident) = object.text("node_uuid") {
            match self.visible_node(&ident).await? {
                Some(node) => {
                    self.permit_at(rule, &node)?;
                    at = node.at;
                }
                // As of a node that is nobody's.
                None => self.permit(rule, &Holders::default().target())?,
            }
        }
        self.send(self.errand(object.to_bytes()).at(at)).await
    }
}
