//! Requests of ramdisks. They carry no credential and the gateway adds none; the operator decides whether they are
//! served at all.

use std::time::Duration;

use futures_util::StreamExt;
use http::Method;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use tokio::time::timeout_at;

use crate::api::bmc::Bmc;
use crate::api::bmc::Host;
use crate::api::collection::Collection;
use crate::api::link::Kind;
use crate::api::microversion::Microversion;
use crate::api::query::Query;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::Subject;
use crate::federate::located::place::Place;
use crate::federate::objection::Objection;
use crate::federate::owner::Denial;
use crate::federate::owner::Next;
use crate::federate::owner::Visit;
use crate::locate::LocateError;
use crate::locate::verdict::says_no;
use crate::locations::question::Asker;
use crate::locations::question::Expect;
use crate::locations::question::Purpose;
use crate::locations::question::Question;
use crate::locations::question::TOKENS_SINCE;
use crate::locations::silence::Reason;
use crate::locations::window::ask_any;
use crate::request::Answer;
use crate::request::Request;
use crate::wire::transport::Reply;

/// The last version before [`TOKENS_SINCE`].
const LAST_QUIET_LOOKUP: Microversion = Microversion::new(1, 61);

/// Strangers send these requests, so they are bounded; no machine that boots an inspection ramdisk was seen with more.
const MOST_ADDRESSES: usize = 64;

/// How long the other locations are waited for once one knows the machine. Its agent hangs up after 30 s
/// (`ipa-http-request-timeout`), and the token is lost.
const PATIENCE: Duration = Duration::from_secs(3);

/// The members of inspection data that identify the machine.
#[derive(Deserialize)]
struct InspectionData {
    inventory: Option<Inventory>,
}

#[derive(Deserialize)]
struct Inventory {
    #[serde(default)]
    interfaces: Vec<Interface>,
    #[serde(default)]
    bmc_address: Value,
    #[serde(default)]
    bmc_v6address: Value,
}

#[derive(Deserialize)]
struct Interface {
    mac_address: Option<String>,
}

/// What identifies it.
#[derive(Debug, Default)]
struct Machine {
    addresses: Vec<String>,
    bmcs: Vec<Bmc>,
}

impl Machine {
    fn of(inventory: Inventory) -> Self {
        let addresses = inventory.interfaces.into_iter();
        let addresses = addresses.filter_map(|one| one.mac_address);
        let bmc = |member, address: &Value| {
            let host = Host::read(address.as_str()?)?;
            Some(Bmc { member, host })
        };
        let bmcs = [
            bmc("bmc_address", &inventory.bmc_address),
            bmc("bmc_v6address", &inventory.bmc_v6address),
        ];
        Self {
            addresses: addresses.filter(|address| !address.is_empty()).collect(),
            bmcs: bmcs.into_iter().flatten().collect(),
        }
    }
}

/// In Ironic's words; they do not tell whether nobody has it or more than one.
fn not_found() -> Objection {
    Objection::Absent("Resource could not be found.".to_owned())
}

/// A ramdisk's request.
#[derive(Clone, Copy, Debug)]
pub struct Ramdisk<'a> {
    pub federation: &'a Federation,
    pub request: &'a Request,
}

impl<'a> Ramdisk<'a> {
    /// `GET /v1/lookup`
    pub async fn lookup(&self) -> Result<Answer, Error> {
        let request = self.request;
        // It would be told a stored token in clear again.
        if request.version < TOKENS_SINCE {
            return Err(not_found().into());
        }
        if request.pinned.is_some() || request.query.value("node_uuid").is_some() {
            let location = self.machine(&Machine::default()).await?;
            return self.pass(location).await;
        }
        let addresses = request.query.value("addresses").unwrap_or_default();
        let addresses = addresses.split(',').map(str::trim);
        let addresses: Vec<_> = addresses
            .filter(|address| !address.is_empty())
            .map(str::to_owned)
            .collect();
        let path = lookup_path(&addresses)?;
        let question = request.ask(Method::GET, path);
        // The node's conductor makes the token: its slowness is not the location's.
        let question = question
            .with_purpose(Purpose::RoutedBelow)
            .expecting(Expect::Machine);
        // The location that knows the machine has made its agent token and gives it out once only: the answer is
        // relayed even if another location was silent.
        match self.knowing(&question, &addresses).await? {
            Some((location, reply)) => Ok(self.anonymous(location, reply)),
            None => Err(not_found().into()),
        }
    }

    /// `POST /v1/heartbeat/{n}`
    pub async fn heartbeat(&self, node: &str) -> Result<Answer, Error> {
        let asker = self.request.asker.ours();
        let mut visit = self.node(&asker, node).await?;
        loop {
            let answer = self.pass(visit.location()).await;
            match Denial::in_answer(Collection::Nodes, &answer) {
                Some(denial) if visit.denied(denial).await? == Next::Again => {}
                _ => return answer,
            }
        }
    }

    /// `POST /v1/continue_inspection`. Never sent to more than one location: with auto-discovery each would create a
    /// node.
    pub async fn continue_inspection(&self) -> Result<Answer, Error> {
        let data = serde_json::from_slice::<InspectionData>(self.request.body.held());
        let inventory = data.ok().and_then(|data| data.inventory);
        let machine = inventory.map(Machine::of).unwrap_or_default();
        let location = self.machine(&machine).await?;
        self.pass(location).await
    }

    /// The one location that knows a machine with any of these addresses. One that no location knows has no ports yet:
    /// Ironic knows it by its BMC (`inspect_utils.lookup_node`), and the operator has said where that is. Strangers do
    /// not learn which it is, nor whether nobody has it or more than one.
    async fn machine(&self, machine: &Machine) -> Result<LocationId, Error> {
        let request = self.request;
        if let Some(node) = request.query.value("node_uuid") {
            let asker = request.asker.ours();
            return Ok(self.node(&asker, node).await?.location());
        }
        if let Some(pinned) = request.pinned {
            return Ok(pinned);
        }
        let path = lookup_path(&machine.addresses)?;
        let question = Question::get(path, quiet_version(request)).expecting(Expect::Machine);
        if let Some((location, _)) = self.knowing(&question, &machine.addresses).await? {
            return Ok(location);
        }
        match self.federation.placement.places(&machine.bmcs)[..] {
            [Place { location, .. }] => Ok(location),
            _ => Err(not_found().into()),
        }
    }

    /// Asks each location once, with all addresses, and without any credential: the only one that knows one. `None`: all
    /// say no.
    async fn knowing(
        &self,
        question: &Question,
        addresses: &[String],
    ) -> Result<Option<(LocationId, Reply)>, Error> {
        if addresses.is_empty() {
            return Ok(None);
        }
        let asker = &self.request.asker;
        let scope = self.federation.scope(self.request);
        let asked = scope
            .iter()
            .map(|location| async move { (location, location.reply(asker, question).await) });
        let mut answers = ask_any(asked);
        let mut known = None;
        let mut silent = Vec::new();
        let mut until = None;
        while let Some((location, answer)) = match until {
            None => answers.next().await,
            Some(until) => timeout_at(until, answers.next()).await.unwrap_or(None),
        } {
            match answer {
                Ok(reply) if reply.status == StatusCode::OK => {
                    if known.replace((location.id, reply)).is_some() {
                        return Err(not_found().into());
                    }
                    until = Some(Instant::now() + PATIENCE);
                }
                Ok(reply) if says_no(reply.status) => {}
                Ok(_) => silent.push(location.silent(Reason::Status)),
                Err(silence) => silent.push(silence),
            }
        }
        if known.is_none() && !silent.is_empty() {
            return Err(Error::Silent(silent));
        }
        Ok(known)
    }

    /// Finding out where to send it is our own question, with our own credentials, whatever a location gets otherwise; what
    /// is sent there has none.
    async fn node<'b>(&self, asker: &'b Asker, node: &str) -> Result<Visit<'b>, Error>
    where
        'a: 'b,
    {
        let visit = self
            .federation
            .visit_as(self.request, asker, Collection::Nodes, node)
            .await;
        visit.map_err(|error| match error {
            Error::Locate(LocateError::Refused { by, .. }) => {
                let refusing = self.federation.locations.location(by);
                Error::Silent(vec![refusing.silent(Reason::Status)])
            }
            Error::Locate(
                LocateError::Nobody { .. }
                | LocateError::Ambiguous { .. }
                | LocateError::Contested { .. },
            ) => not_found().into(),
            error => error,
        })
    }

    async fn pass(&self, location: LocationId) -> Result<Answer, Error> {
        let question = self.request.question();
        let reply = self
            .federation
            .locations
            .location(location)
            .reply(&self.request.asker, &question)
            .await?;
        Ok(self.anonymous(location, reply))
    }

    /// Without the location header: a caller without a credential does not learn where a machine is.
    fn anonymous(&self, location: LocationId, reply: Reply) -> Answer {
        Answer {
            location: None,
            ..self
                .federation
                .relay(self.request, location, Subject::Other(Kind::Ramdisk), reply)
        }
    }
}

/// A version in which a look-up changes nothing.
fn quiet_version(request: &Request) -> Microversion {
    LAST_QUIET_LOOKUP.clamp(request.range.min(), request.range.max())
}

/// One question with all addresses of a machine. A stranger's request does not become more than that.
fn lookup_path(addresses: &[String]) -> Result<String, Objection> {
    if addresses.len() > MOST_ADDRESSES {
        let text = format!("More than {MOST_ADDRESSES} addresses of one machine.");
        return Err(Objection::Invalid(text));
    }
    let mut path = "/v1/lookup".to_owned();
    Query::default()
        .with("addresses", addresses.join(","))
        .append_to(&mut path);
    Ok(path)
}
