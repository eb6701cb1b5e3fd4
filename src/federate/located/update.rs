//! Changing a resource: where it is, and only so that it stays there.

use bytes::Bytes;
use http::StatusCode;
use log::warn;

use crate::api::body::Patch;
use crate::api::body::Value;
use crate::api::collection::Collection;
use crate::api::fault::Fault;
use crate::api::header;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::located::create::conductor_group;
use crate::federate::located::unique::claims_in;
use crate::locate::LocateError;
use crate::locate::Owner;
use crate::locate::Source;
use crate::locate::directory::Key;
use crate::locations::question::Body;
use crate::request::Answer;
use crate::request::Request;

impl Federation {
    /// `PATCH` of a member, or of anything below it that Ironic might read as one.
    pub async fn update(
        &self,
        request: &Request,
        collection: Collection,
        ident: &str,
        body: &[u8],
    ) -> Result<Answer, Error> {
        let mut patch = Patch::parse(body)?;
        if collection == Collection::Nodes {
            patch.spell_out_removal("/conductor_group");
        }
        let key = Key::new(collection, ident);
        let mut owner = match request.pinned {
            Some(location) => Owner {
                location,
                uuid: None,
                source: Source::Asked,
            },
            None => self.locator.locate(&request.asker, &key).await?,
        };
        loop {
            self.check_stays(request, collection, ident, owner.location, &patch)
                .await?;
            let claims = claims_in(collection, ident, &patch);
            let unverified = self.verify_unique(request, owner.location, &claims).await?;
            let reply = self
                .send_patch(request, owner.location, patch.to_bytes())
                .await?;
            if reply.status == StatusCode::NOT_FOUND && owner.source == Source::Remembered {
                // Refused, so nothing was changed: it may be sent to where the thing is now.
                match self.locator.locate_again(&request.asker, &key).await {
                    Ok(found) if found.location != owner.location => {
                        owner = found;
                        continue;
                    }
                    Ok(_) | Err(LocateError::Nobody { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let mut answer = self.relay(
                request,
                owner.location,
                collection.facts().kind,
                Some(collection),
                reply,
            );
            if answer.status.is_success() && !unverified.is_empty() {
                let names = self.locations.names(&unverified);
                warn!("A name or address was given without asking {names} whether it is unique");
                answer = answer.with(header::UNVERIFIED, &names);
            }
            return Ok(answer);
        }
    }

    async fn send_patch(
        &self,
        request: &Request,
        location: LocationId,
        body: Bytes,
    ) -> Result<crate::wire::transport::Reply, Error> {
        let mut question = request.question();
        question.body = Body::Whole(body);
        Ok(self
            .locations
            .location(location)
            .reply(&request.asker, &question)
            .await?)
    }

    /// Nodes cannot move between Ironics, nor can what belongs to a node.
    async fn check_stays(
        &self,
        request: &Request,
        collection: Collection,
        ident: &str,
        home: LocationId,
        patch: &Patch,
    ) -> Result<(), Error> {
        if collection == Collection::Nodes
            && let Some(group) = conductor_group(patch.outcome("/conductor_group"))?
        {
            let target = self.groups.location(&group);
            if target != Some(home) {
                return Err(cannot_move(self, ident, home, &group, target).into());
            }
        }
        let reference = match collection {
            Collection::Nodes => "parent_node",
            _ => "node_uuid",
        };
        match patch.outcome(&format!("/{reference}")) {
            Value::Text(node) => self.check_beside(request, home, reference, &node).await,
            Value::Absent | Value::Null | Value::Other => Ok(()),
        }
    }

    /// A node that another one refers to is at the same location.
    pub(crate) async fn check_beside(
        &self,
        request: &Request,
        home: LocationId,
        reference: &str,
        node: &str,
    ) -> Result<(), Error> {
        if node.is_empty() {
            return Ok(());
        }
        match self
            .locator
            .locate(&request.asker, &Key::new(Collection::Nodes, node))
            .await
        {
            Ok(owner) if owner.location != home => Err(Fault::bad_request(format!(
                "Unable to apply the requested {reference} '{node}'. Requested value was invalid."
            ))
            .into()),
            // The location itself judges the rest.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn cannot_move(
    federation: &Federation,
    ident: &str,
    home: LocationId,
    group: &str,
    target: Option<LocationId>,
) -> Fault {
    let belongs = match target {
        Some(target) => format!(
            "belongs to location {}",
            federation.locations.location(target).name()
        ),
        None => "is not mapped to any location".to_owned(),
    };
    Fault::bad_request(format!(
        "Node {ident} is in location {}; conductor group \"{group}\" {belongs}. Nodes cannot be moved between \
         locations; delete and re-enrol.",
        federation.locations.location(home).name()
    ))
}
