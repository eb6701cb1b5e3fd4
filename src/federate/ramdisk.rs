//! What a ramdisk asks. It shows no proof and gets none of ours; that it is let through at all is the operator's choice.

use std::collections::BTreeSet;

use http::StatusCode;
use serde::Deserialize;

use crate::api::collection::Collection;
use crate::api::fault::Fault;
use crate::api::link::Kind;
use crate::api::microversion::Microversion;
use crate::api::query::Query;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::fan_out::ask_each;
use crate::locate::LocateError;
use crate::locate::directory::Key;
use crate::locations::question::Asker;
use crate::locations::question::Standpoint;
use crate::request::Answer;
use crate::request::Request;

/// Below it, Ironic returns a stored agent token in clear again.
const LOOKUP_SINCE: Microversion = Microversion::new(1, 62);

/// What inspection data tells of the machine that sends them.
#[derive(Deserialize)]
struct InspectionData {
    inventory: Option<Inventory>,
}

#[derive(Deserialize)]
struct Inventory {
    #[serde(default)]
    interfaces: Vec<Interface>,
}

#[derive(Deserialize)]
struct Interface {
    mac_address: Option<String>,
}

/// In Ironic's words; they do not tell whether nobody has it or more than one.
fn not_found() -> Fault {
    Fault::new(StatusCode::NOT_FOUND, "Resource could not be found.")
}

impl Federation {
    /// `GET /v1/lookup`
    pub async fn lookup(&self, request: &Request) -> Result<Answer, Error> {
        if request.version < LOOKUP_SINCE {
            return Err(not_found().into());
        }
        let addresses = request.query.value("addresses").unwrap_or_default();
        let addresses = addresses
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty());
        let location = self
            .machine(request, addresses.map(str::to_owned).collect())
            .await?;
        self.pass(request, location).await
    }

    /// `POST /v1/heartbeat/{n}`
    pub async fn heartbeat(&self, request: &Request, node: &str) -> Result<Answer, Error> {
        let location = self.node(request, node).await?;
        self.pass(request, location).await
    }

    /// `POST /v1/continue_inspection`. Never told to more than one: with auto-discovery Ironic makes a node of it.
    pub async fn continue_inspection(
        &self,
        request: &Request,
        body: &[u8],
    ) -> Result<Answer, Error> {
        let addresses = serde_json::from_slice::<InspectionData>(body)
            .ok()
            .and_then(|data| data.inventory)
            .map(|inventory| {
                inventory
                    .interfaces
                    .into_iter()
                    .filter_map(|one| one.mac_address)
                    .collect()
            })
            .unwrap_or_default();
        let location = self.machine(request, addresses).await?;
        self.pass(request, location).await
    }

    async fn machine(
        &self,
        request: &Request,
        addresses: Vec<String>,
    ) -> Result<LocationId, Error> {
        if let Some(node) = request.query.value("node_uuid") {
            return self.node(request, node).await;
        }
        if let Some(pinned) = request.pinned {
            return Ok(pinned);
        }
        let scope = self.scope(request);
        let asker = ours(request);
        let mut owners = BTreeSet::new();
        for address in addresses {
            let mut path = "/v1/ports".to_owned();
            Query::default()
                .with("address", address.to_lowercase())
                .with("fields", "uuid")
                .append_to(&mut path);
            let told = ask_each(&scope, &asker, &request.probe(path)).await;
            if !told.silent.is_empty() {
                return Err(Error::Silent(told.silent));
            }
            owners.extend(told.replies.into_iter().filter_map(|(location, reply)| {
                let body: serde_json::Value = serde_json::from_slice(&reply.body).ok()?;
                (!body["ports"].as_array()?.is_empty()).then_some(location)
            }));
        }
        match owners.len() {
            1 => owners.pop_first().ok_or_else(|| not_found().into()),
            _ => Err(not_found().into()),
        }
    }

    async fn node(&self, request: &Request, node: &str) -> Result<LocationId, Error> {
        if let Some(pinned) = request.pinned {
            return Ok(pinned);
        }
        match self
            .locator
            .locate(&ours(request), &Key::new(Collection::Nodes, node))
            .await
        {
            Ok(owner) => Ok(owner.location),
            Err(LocateError::Nobody { .. } | LocateError::Ambiguous { .. }) => {
                Err(not_found().into())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn pass(&self, request: &Request, location: LocationId) -> Result<Answer, Error> {
        let question = request.question();

        let reply = self
            .locations
            .location(location)
            .reply(&request.asker, &question)
            .await?;
        // Which location it is, is nobody's business here.
        Ok(Answer {
            location: None,
            ..self.relay(request, location, Kind::Ramdisk, None, reply)
        })
    }
}

/// Finding out where to send it is our own question, with our own credentials; what is sent there has none.
fn ours(request: &Request) -> Asker {
    Asker {
        standing: Standpoint::Authorised,
        ..request.asker.clone()
    }
}
