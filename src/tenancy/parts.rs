//! Ports, port groups, volume connectors and targets: judged by the owner and lessee of their node.

use std::collections::HashSet;
use std::ops::Deref;

use bytes::Bytes;
use http::Method;

use crate::api::body::Object;
use crate::api::body::Patch;
use crate::api::collection::Collection;
use crate::api::identifier::Alias;
use crate::api::rules::Rule;
use crate::federate::Error;
use crate::federate::located::create::node_of;
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
        Lists(self.0).check_marker_below(&part.node).await?;
        let errand = self.errand(body).at(part.node.at);
        let answer = self.send_by(collection, &part.uuid, errand).await?;
        // Ironic masks a target's GET, list and PATCH answers (`ironic/api/controllers/v1/volume_target.py`); a 204 has
        // none.
        if self.request.method == Method::DELETE {
            return Ok(answer);
        }
        Lists(self.0).mask_targets(answer)
    }

    /// The node that a part is moved to must be visible and have the same owner. It is looked up where the part is:
    /// that is where the UUID will be read. Ironic judges only the first of several (`authorize_node_link_patch` of
    /// `ironic/api/controllers/v1/utils.py`) and applies all, so that the last one counts: here each is judged.
    async fn check_node_link(&self, node: &Node, body: &[u8]) -> Result<(), Error> {
        // A patch may name one node thousands of times, and each look-up is a question.
        let mut allowed = HashSet::new();
        for (path, value) in Patch::parse(body)?.changes() {
            let Some(serde_json::Value::String(to)) = value.filter(|_| path == "/node_uuid") else {
                continue;
            };
            if allowed.contains(&to) {
                continue;
            }
            let found = self.visible_node_at(&to, node.at).await?;
            if found.is_none_or(|found| found.holders.owner != node.holders.owner) {
                return Err(refusal::unlinkable("node_uuid", &to));
            }
            allowed.insert(to);
        }
        Ok(())
    }

    /// Creates a part at the node in the body. A body without one is refused by the location, in its words.
    pub(crate) async fn new_part(
        &self,
        collection: Collection,
        rule: Rule,
        body: &[u8],
    ) -> Result<Answer, Error> {
        // Parsed and written again, so that what was judged is what is sent, also with duplicate members.
        let mut object = Object::parse("body", body)?;
        let (mut at, mut hidden) = (None, None);
        if let Some((member, ident)) = node_of(collection, self.request.version, &object) {
            if let Some(node) = self.visible_node(&ident).await? {
                self.permit_at(rule, &node)?;
                if member == "node_ident" {
                    // Here Ironic takes a name too, which could mean another node by now.
                    object.set(member, &node.uuid);
                }
                at = node.at;
            } else {
                // Ironic judges an unseen node like one without an owner: 403 for tenants, 400 for who passes without
                // one.
                self.permit(rule, &Holders::default().target())?;
                // We do see it.
                let alias = Alias::of(&ident);
                object.set(member, &alias.ident);
                hidden = Some(alias);
            }
        }
        let answer = self.send(self.errand(object.to_bytes()).at(at)).await?;
        Ok(match hidden {
            Some(alias) => answer.reworded(&alias),
            None => answer,
        })
    }
}
