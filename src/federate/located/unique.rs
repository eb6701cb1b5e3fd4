//! Asks every other location, with the gateway's own credential, whether a name, UUID or address is free.

use std::time::Duration;

use http::StatusCode;
use log::error;
use log::warn;
use tokio::time::timeout;

use crate::api::collection::Collection;
use crate::api::microversion::Microversion;
use crate::api::route;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::claim::Claim;
use crate::federate::claim::Column;
use crate::federate::claim::Stake;
use crate::federate::hold::Hold;
use crate::federate::objection::Objection;
use crate::locate::Locator;
use crate::locate::directory::Asked;
use crate::locate::directory::Sighting;
use crate::locations::Locations;
use crate::locations::location::Location;
use crate::locations::question::Asker;
use crate::locations::question::Question;
use crate::locations::silence::Reason;
use crate::locations::silence::Silence;
use crate::locations::speech::Said;
use crate::locations::speech::Words;
use crate::locations::walk::Halt;
use crate::locations::walk::List;
use crate::locations::walk::Walk;
use crate::locations::window::ask_all;
use crate::request::Answer;
use crate::request::Request;

/// How long a client whose write is done waits for a second look at the other locations.
const PATIENCE: Duration = Duration::from_secs(3);

/// Proof that no location that could be asked has the value.
#[derive(Debug)]
pub struct Free {
    /// Those that could not be asked, in the order of the configuration.
    unverified: Vec<LocationId>,
}

impl Free {
    /// Asks every location but `home`. One has it: 409.
    pub async fn elsewhere(
        federation: &Federation,
        request: &Request,
        home: LocationId,
        claims: &[Claim],
    ) -> Result<Self, Error> {
        let others = federation
            .locations
            .iter()
            .filter(move |location| location.id != home);
        // `home` is left out: its own database answers 409 in the same words. Meanwhile a connection to it is made, which
        // would cost the write one or two round trips more.
        let home = federation.locations.location(home);
        let asked = ask_whether_free(request, others, claims);
        let silent = if claims.is_empty() {
            asked.await?
        } else {
            futures_util::join!(asked, home.make_ready(&request.asker)).0?
        };
        // Without the option a create goes on: one site's outage must not stop enrolment at all others.
        if is_required(federation, request) && !silent.is_empty() {
            return Err(Error::Unverified(silent));
        }
        let unverified = silent.iter().map(|silence| silence.location).collect();
        Ok(Self { unverified })
    }

    /// The resource was created or renamed. If every location was asked, its name is known to be unique.
    pub fn vouch(
        &self,
        locator: &Locator,
        collection: Collection,
        (uuid, name): (Option<&str>, Option<&str>),
        location: LocationId,
    ) {
        if self.unverified.is_empty() {
            let sighting = Sighting {
                uuid,
                name,
                location,
                asked: Asked::All,
            };
            locator.note(collection, sighting);
        }
    }

    /// Announces the locations that could not be asked.
    pub fn flag(&self, locations: &Locations, mut answer: Answer, what: &str) -> Answer {
        if self.unverified.is_empty() {
            return answer;
        }
        let names = locations.names(&self.unverified);
        warn!("{what}: {names} could not be asked whether it is unique");
        answer
            .reservations()
            .unverified
            .clone_from(&self.unverified);
        answer
    }
}

/// Whether nothing is written while somebody may have it.
pub fn is_required(federation: &Federation, request: &Request) -> bool {
    federation.require_unique || request.reach.is_own()
}

/// One of `scope` has it: 409. Returns those that could not be asked.
pub async fn ask_whether_free<'a>(
    request: &Request,
    scope: impl Iterator<Item = &'a Location>,
    claims: &[Claim],
) -> Result<Vec<Silence>, Error> {
    if claims.is_empty() {
        return Ok(Vec::new());
    }
    let asker = &request.asker.ours();
    let questions: Vec<(&Location, &Claim)> = scope
        .flat_map(|location| claims.iter().map(move |claim| (location, claim)))
        .collect();
    let asked = questions
        .iter()
        .map(|(location, claim)| is_taken((request, asker), location, &claim.stake));
    let mut silent: Vec<Silence> = Vec::new();
    for ((_, claim), answer) in questions.iter().zip(ask_all(asked).await) {
        match answer {
            Ok(true) => {
                let conflict = claim.conflict.clone();
                return Err(Objection::Taken {
                    text: conflict,
                    is_sent: false,
                }
                .into());
            }
            Ok(false) => {}
            Err(silence) => silent.push(silence),
        }
    }
    // The questions to a location stand beside each other.
    silent.dedup_by_key(|silence| silence.location);
    Ok(silent)
}

/// Something was written that other gateways could not be kept from writing as well: asks once more whether the others have
/// it too, and tells of what is there twice. The write stays: which of the two is wanted, only people know.
pub async fn look_for_twins(
    federation: &Federation,
    request: &Request,
    home: LocationId,
    (claims, hold, free): (&[Claim], &Hold<'_>, &Free),
) {
    hold.confirm().await;
    if hold.is_sure() {
        return;
    }
    // The client waits: who was silent a moment ago is not waited for once more.
    let others = federation
        .locations
        .iter()
        .filter(|location| location.id != home)
        .filter(|location| free.unverified.binary_search(&location.id).is_err());
    let pairs: Vec<(&Location, &Claim)> = others
        .flat_map(|location| claims.iter().map(move |claim| (location, claim)))
        .collect();
    let asker = &request.asker.ours().afterwards();
    let asked = pairs.into_iter().map(|(location, claim)| async move {
        let asked = is_taken((request, asker), location, &claim.stake);
        let found = timeout(PATIENCE, asked).await;
        (location, claim, matches!(found, Ok(Ok(true))))
    });
    for (location, claim, found) in ask_all(asked).await {
        let stake = &claim.stake;
        if !found {
            continue;
        }
        error!(
            "{} {:?} was sent to location `{}` and is at location `{}` as well: another gateway wrote it at the same time, and \
             the coordination backend could not be used. Change or delete one of the two",
            stake.column.name(),
            stake.value,
            federation.locations.location(home).name(),
            location.name()
        );
        federation.twins.found(stake.column);
        let (uuid, name) = match stake.column {
            Column::Uuid => (Some(&*stake.value), None),
            Column::Name => (None, Some(&*stake.value)),
            Column::Instance | Column::Address | Column::Connector => continue,
        };
        federation
            .locator
            .learn(stake.collection, uuid, name, location.id);
    }
}

/// Whether a location has it; only Ironic's 404 means no. Asked with our own credential: what a client's token may not
/// see would look free.
async fn is_taken(
    (request, asker): (&Request, &Asker),
    location: &Location,
    stake: &Stake,
) -> Result<bool, Silence> {
    // At its own newest: in an older version it may lack the collection, and an Ironic that knows children shows them only from
    // 1.83 on.
    let newest = location.newest(asker).await;
    let version = newest.unwrap_or(request.range.max());
    let question = match stake.column {
        Column::Name if route::is_name_alone(stake.collection, &stake.value) => {
            return is_listed(asker, location, stake, version).await;
        }
        // Nobody can have it, and home will refuse it in its own words.
        Column::Uuid | Column::Name if !route::identifies(stake.collection, &stake.value) => {
            return Ok(false);
        }
        Column::Uuid | Column::Name => {
            Question::get(stake.path(version), version).for_member(stake.collection, &stake.value)
        }
        Column::Instance | Column::Address => {
            Question::get(stake.path(version), version).for_list(stake.collection)
        }
        Column::Connector => return is_listed(asker, location, stake, version).await,
    };
    match location.ask(asker, &question).await? {
        Said::Has(Words { reply, .. }) => stake
            .is_taken(&reply.body)
            .ok_or_else(|| location.misspoke()),
        Said::No(_) => Ok(false),
        // Ironic answers 400 to what cannot be an identifier ("Expected UUID or name"), so nothing has that name.
        Said::Refuses(reply) if reply.status == StatusCode::BAD_REQUEST => Ok(false),
        Said::Refuses(_) | Said::Fails(_) => Err(location.silent(Reason::Status)),
    }
}

/// The same for values that Ironic has no filter for: the whole list is read.
async fn is_listed(
    asker: &Asker,
    location: &Location,
    stake: &Stake,
    version: Microversion,
) -> Result<bool, Silence> {
    let named_since = stake.collection.facts().name_since;
    if stake.column == Column::Name && named_since.is_some_and(|since| version.minor < since) {
        // Nothing has a name there.
        return Ok(false);
    }
    let list = List::own(stake.collection, version, stake.listed());
    let mut walk = Walk::new(&list, asker, location);
    loop {
        match walk.next(None).await {
            Ok(Some(page)) => {
                if page.items().any(|item| stake.is_shown_by(item.text())) {
                    return Ok(true);
                }
            }
            Ok(None) => return Ok(false),
            Err(Halt::Silent(silence)) => return Err(silence),
            Err(Halt::Unknown(_) | Halt::Refusal(_)) => {
                return Err(location.silent(Reason::Status));
            }
        }
    }
}
