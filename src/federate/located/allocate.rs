//! Allocations. An allocation is created at one location, which picks one of its own nodes. The gateway chooses the
//! location by the criteria that `ironic/conductor/allocations.py` applies within one.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use futures_util::future::join_all;
use http::Method;
use http::StatusCode;
use serde::Deserialize;

use crate::api::body::Object;
use crate::api::collection::Collection;
use crate::api::json;
use crate::api::microversion::Microversion;
use crate::api::page::Keep;
use crate::api::query::Query;
use crate::api::query::encode_segment;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::Subject;
use crate::federate::fan_out::refusal;
use crate::federate::located::create::Creation;
use crate::federate::merged::marker::Marker;
use crate::federate::objection::Objection;
use crate::federate::owner::Denial;
use crate::federate::owner::Next;
use crate::locate::LocateError;
use crate::locate::Owner;
use crate::locate::Source;
use crate::locate::directory::Key;
use crate::locations::location::Location;
use crate::locations::order::Act;
use crate::locations::question::Expect;
use crate::locations::question::Purpose;
use crate::locations::silence::Silence;
use crate::locations::speech::Said;
use crate::locations::walk::Halt;
use crate::locations::walk::List;
use crate::locations::walk::Walk;
use crate::locations::window::ask_all;
use crate::request::Answer;
use crate::request::Request;

const LESSEE_SINCE: Microversion = Microversion::new(1, 65);

/// Candidates that are looked for at once. A MiB of body names 25,000 of them, and each that is not known is a question
/// to every location: all at once would leave no permit to anybody else. The first that nobody has ends it.
const AT_ONCE: usize = 16;

/// A node that may be allocated, as the list shows it.
#[derive(Deserialize)]
struct Available {
    uuid: String,
    name: Option<String>,
    power_state: Option<String>,
    #[serde(default)]
    traits: Vec<String>,
    owner: Option<String>,
    lessee: Option<String>,
}

/// What an allocation wants of a node.
struct Wanted {
    name: Option<String>,
    traits: BTreeSet<String>,
    owner: Option<String>,
    /// UUIDs or names; `None`: any node.
    candidates: Option<BTreeSet<String>>,
}

impl Wanted {
    fn is_met_by(&self, node: &Available) -> bool {
        let owned = |owner: &String| {
            node.owner.as_ref() == Some(owner) || node.lessee.as_ref() == Some(owner)
        };
        let named = |candidates: &BTreeSet<String>| {
            candidates.contains(&node.uuid)
                || node
                    .name
                    .as_ref()
                    .is_some_and(|name| candidates.contains(name))
        };
        // The conditions of `_candidate_nodes` in `ironic/conductor/allocations.py`, as far as no filter of the list
        // has them.
        node.power_state.is_some()
            && self
                .traits
                .iter()
                .all(|wanted| node.traits.contains(wanted))
            && self.owner.as_ref().is_none_or(owned)
            && self.candidates.as_ref().is_none_or(named)
    }
}

/// What one location offers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Offer {
    nodes: usize,
    /// One of them is called like the allocation: Ironic prefers it.
    namesake: bool,
}

/// Where the candidates are; without any, they are anywhere.
#[derive(Default)]
struct Homes {
    by_location: Option<BTreeMap<LocationId, Vec<String>>>,
    is_remembered: bool,
}

/// What is believed of where a node is.
#[derive(Clone, Copy)]
enum Trust {
    Memory,
    Nothing,
}

/// The location to ask: the one with the namesake, else a random one weighted by the nodes that it offers, so that load
/// spreads. `chance` is between 0 and 1.
fn choose(offers: &BTreeMap<LocationId, Offer>, chance: f64) -> Option<LocationId> {
    if let Some((location, _)) = offers.iter().find(|(_, offer)| offer.namesake) {
        return Some(*location);
    }
    let total: usize = offers.values().map(|offer| offer.nodes).sum();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a lot"
    )]
    let mut drawn = (total as f64 * chance) as usize;
    offers.iter().find_map(|(location, offer)| {
        let here = drawn < offer.nodes;
        drawn = drawn.saturating_sub(offer.nodes);
        here.then_some(*location)
    })
}

/// A request about allocations.
#[derive(Clone, Copy, Debug)]
pub struct Allocations<'a> {
    pub federation: &'a Federation,
    pub request: &'a Request,
}

impl<'a> Allocations<'a> {
    fn creation(&self) -> Creation<'a> {
        Creation {
            federation: self.federation,
            request: self.request,
            collection: Collection::Allocations,
        }
    }

    /// `POST /v1/allocations`
    pub async fn create(&self) -> Result<Answer, Error> {
        let Self {
            federation,
            request,
        } = *self;
        let allocation = Object::parse("allocation", self.request.body.held())?;
        if let Some(pinned) = request.pinned {
            return self.creation().at(pinned, allocation).await;
        }
        if let Some(node) = allocation.text("node").filter(|node| !node.is_empty()) {
            if let Some(home) = request.place_of(&node) {
                return self.creation().at(home, allocation).await;
            }
            return match federation.visit(request, Collection::Nodes, &node).await {
                Ok(visit) => self.creation().beside(visit, allocation).await,
                Err(Error::Locate(LocateError::Nobody { .. })) => Err(unknown_node(&node).into()),
                Err(error) => Err(error),
            };
        }
        let homes = self.homes(&allocation, Trust::Memory).await?;
        let answer = self
            .create_where_it_fits(allocation.clone(), &homes)
            .await?;
        if answer.status != StatusCode::BAD_REQUEST || !homes.is_remembered {
            return Ok(answer);
        }
        // A candidate that is gone is a 400, like many other faults: only asking again tells them apart.
        let found = self.homes(&allocation, Trust::Nothing).await?;
        if found.by_location == homes.by_location {
            return Ok(answer);
        }
        self.create_where_it_fits(allocation, &found).await
    }

    async fn create_where_it_fits(
        &self,
        mut allocation: Object,
        homes: &Homes,
    ) -> Result<Answer, Error> {
        let home = self.place(&mut allocation, homes).await?;
        self.creation().at(home, allocation).await
    }

    async fn place(&self, allocation: &mut Object, homes: &Homes) -> Result<LocationId, Error> {
        let Self {
            federation,
            request,
        } = *self;
        let candidates = candidates(allocation);
        let homes = homes.by_location.as_ref();
        if let Some(homes) = homes
            && let [only] = homes.keys().collect::<Vec<_>>()[..]
        {
            // Which of them fits its own Ironic knows best.
            return Ok(*only);
        }
        let wanted = Wanted {
            name: allocation.text("name"),
            traits: allocation
                .texts("traits")
                .unwrap_or_default()
                .into_iter()
                .collect(),
            owner: allocation.text("owner"),
            candidates: candidates.map(|candidates| candidates.into_iter().collect()),
        };
        let class = allocation.text("resource_class").unwrap_or_default();
        let open_to_it = federation.scope(request);
        let scope: Vec<&Location> = open_to_it
            .iter()
            .copied()
            .filter(|one| homes.is_none_or(|homes| homes.contains_key(&one.id)))
            .collect();
        let (class, wanted) = (&class, &wanted);
        let offers = ask_all(scope.iter().map(|location| async move {
            // An allocation is a create, which a draining or read-only location refuses.
            match location.forbids(Act::Create) {
                Some(reason) => Err(location.silent(reason).into()),
                None => offer(request, location, class, wanted).await,
            }
        }))
        .await;
        let mut silent = Vec::new();
        let mut open = BTreeMap::new();
        for (location, offer) in scope.iter().zip(offers) {
            match offer {
                Ok(offer) if offer.nodes > 0 => {
                    open.insert(location.id, offer);
                }
                Ok(_) => {}
                Err(Error::Silent(more)) => silent.extend(more),
                Err(error) => return Err(error),
            }
        }
        let chosen = match choose(&open, fastrand::f64()) {
            Some(location) => location,
            // A silent location may have the node, so "none fits" is not known.
            None if !silent.is_empty() => return Err(Error::Silent(silent)),
            // No node fits anywhere: a location then makes an allocation in state `error`, which is what clients wait
            // for.
            None => homes
                .and_then(|homes| homes.keys().next().copied())
                .or_else(|| federation.groups.default_location())
                .filter(|home| open_to_it.iter().any(|one| one.id == *home))
                .or_else(|| open_to_it.first().map(|one| one.id))
                .unwrap_or(LocationId(0)),
        };
        if let Some(there) = homes.and_then(|homes| homes.get(&chosen)) {
            // Ironic refuses the whole allocation if it does not know one of the candidates.
            allocation.set("candidate_nodes", there);
        }
        Ok(chosen)
    }

    /// Where the candidates are.
    async fn homes(&self, allocation: &Object, trust: Trust) -> Result<Homes, Error> {
        let Some(candidates) = candidates(allocation) else {
            return Ok(Homes::default());
        };
        let mut by_location: BTreeMap<LocationId, Vec<String>> = BTreeMap::new();
        let mut is_remembered = false;
        for some in candidates.chunks(AT_ONCE) {
            let looked_for = some.iter().map(|node| self.home_of(node, trust));
            for (node, owner) in some.iter().zip(join_all(looked_for).await) {
                match owner {
                    Ok(owner) => {
                        is_remembered |= owner.source == Source::Remembered;
                        let there = by_location.entry(owner.location).or_default();
                        there.push(node.clone());
                    }
                    Err(LocateError::Nobody { .. }) => {
                        let text = format!("Nodes cannot be found: {node}");
                        return Err(Objection::Invalid(text).into());
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(Homes {
            by_location: Some(by_location),
            is_remembered,
        })
    }

    async fn home_of(&self, node: &str, trust: Trust) -> Result<Owner, LocateError> {
        if let Some(home) = self.request.place_of(node) {
            return Ok(Owner::asked(home));
        }
        let (locator, asker) = (&self.federation.locator, &self.request.asker);
        let key = Key::new(Collection::Nodes, node);
        match trust {
            Trust::Memory => locator.owner(asker, &key).await,
            Trust::Nothing => locator.owner_anew(asker, &key).await,
        }
    }

    /// `GET /v1/allocations?node=`: for who sees the whole system Ironic drops this filter; a node has one allocation at
    /// most, so it is asked for that.
    pub async fn of_node(&self, node: &str) -> Result<Answer, Error> {
        let Self {
            federation,
            request,
        } = *self;
        let mut visit = match federation.visit(request, Collection::Nodes, node).await {
            Ok(visit) => visit,
            Err(Error::Locate(LocateError::Nobody { .. })) => return Err(unknown_node(node).into()),
            Err(error) => return Err(error),
        };
        let path = format!("/v1/nodes/{}/allocation", encode_segment(node));
        let allocation = Expect::Member {
            collection: Collection::Allocations,
            ident: None,
        };
        let question = request.ask(Method::GET, path).expecting(allocation);
        let reply = loop {
            let there = federation.locations.location(visit.location());
            let reply = there.reply(&request.asker, &question).await?;
            // Ironic answers 400 for an unknown node here; a 404 is about the allocation.
            if reply.status == StatusCode::BAD_REQUEST {
                let denial = Denial::of(Collection::Nodes, &reply.body);
                if visit.denied(denial).await? == Next::Again {
                    continue;
                }
            }
            break reply;
        };
        let location = visit.location();
        let there = federation.locations.location(location);
        let found = match reply.status {
            StatusCode::OK => Some(reply),
            StatusCode::NOT_FOUND => None,
            _ => return Err(refusal(reply, location)),
        };
        // The list is built here, but the other parameters still have to be refused as Ironic refuses them.
        let further = request.query.without(&["node"]);
        if !further.is_empty() {
            let mut path = "/v1/allocations".to_owned();
            further.append_to(&mut path);
            let question = request
                .ask(Method::GET, path)
                .for_list(Collection::Allocations);
            match there.ask(&request.asker, &question).await? {
                Said::Refuses(reply) => return Err(refusal(reply, location)),
                Said::No(reply) if request.pinned.is_some() => {
                    return Err(refusal(reply, location));
                }
                // The marker is another location's, or nobody's.
                Said::No(_) => self.check_marker().await?,
                Said::Has(_) | Said::Fails(_) => {}
            }
        }
        let mut body = String::from("{\"allocations\": [");
        if let Some(reply) = found {
            const FILTERS: [&str; 3] = ["resource_class", "state", "owner"];
            // No tree: `extra` may hold what Python alone reads.
            let said = json::strings(&reply.body, FILTERS).map_err(|_| there.misspoke())?;
            let meets = FILTERS.iter().zip(&said).all(|(filter, said)| {
                let wanted = request.query.value(filter);
                wanted.is_none_or(|wanted| said.as_deref() == Some(wanted))
            });
            // A node has one allocation at most, so nothing follows any marker.
            let after_marker = request.query.value("marker").is_some();
            if meets && !after_marker {
                let shown = self.shown(there, reply).await?;
                body.push_str(&shown);
            }
        }
        body.push_str("]}");
        Ok(Answer {
            location: Some(location),
            ..Answer::json(StatusCode::OK, body)
        })
    }

    async fn check_marker(&self) -> Result<(), Error> {
        if let Some(marker) = self.request.query.value("marker") {
            let marker = Marker::parse(marker, &self.federation.locations);
            let key = Key::new(Collection::Allocations, &marker.item);
            let locator = &self.federation.locator;
            locator.ask_anew(&self.request.asker, &key).await?;
        }
        Ok(())
    }

    /// As much of the allocation as the client asks for.
    async fn shown(
        &self,
        location: &Location,
        whole: crate::wire::transport::Reply,
    ) -> Result<String, Error> {
        let request = self.request;
        let reply = match request.query.value("fields") {
            None => whole,
            Some(fields) => {
                let uuid = json::member(&whole.body, "uuid").map_err(|_| location.misspoke())?;
                let uuid = uuid.unwrap_or_default();
                let mut path = format!("/v1/allocations/{}", encode_segment(&uuid));
                Query::default().with("fields", fields).append_to(&mut path);
                let selected = Expect::Document {
                    member: Some("links"),
                };
                let question = request.ask(Method::GET, path).expecting(selected);
                let reply = location.reply(&request.asker, &question).await?;
                if reply.status != StatusCode::OK {
                    return Err(refusal(reply, location.id));
                }
                reply
            }
        };
        let misspoke = |_| -> Silence { location.misspoke() };
        let answer = self
            .federation
            .adopt(
                request,
                location.id,
                Subject::Member(Collection::Allocations),
                reply,
            )
            .map_err(misspoke)?;
        Ok(String::from_utf8_lossy(answer.body.whole()).into_owned())
    }
}

/// How many nodes of a location would do.
async fn offer(
    request: &Request,
    location: &Location,
    class: &str,
    wanted: &Wanted,
) -> Result<Offer, Error> {
    let facts = Collection::Nodes.facts();
    // Its own newest, since a lessee's node counts here though another location may be too old for lessees.
    let newest = location.newest(&request.asker).await;
    let version = newest.unwrap_or(request.range.max());
    let list = List {
        path: "/v1/nodes".to_owned(),
        query: Query::default()
            .with("resource_class", class)
            .with("provision_state", "available")
            .with("associated", "False")
            .with("maintenance", "False")
            .with("fields", fields_at(version)),
        version,
        purpose: Purpose::Shared,
        expect: Expect::list(Collection::Nodes),
        key: facts.key,
        kind: facts.kind,
        id: facts.id,
        sort_key: None,
        keep: Keep::All,
        note: &[],
        only: None,
    };
    let mut offer = Offer::default();
    let mut walk = Walk::new(&list, &request.asker, location);
    loop {
        let page = match walk.next(None).await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(offer),
            Err(Halt::Silent(silence)) => return Err(silence.into()),
            Err(Halt::Unknown(reply) | Halt::Refusal(reply)) => {
                return Err(refusal(reply, location.id));
            }
        };
        for item in page.items() {
            let node: Available =
                serde_json::from_slice(item.text()).map_err(|_| location.misspoke())?;
            if wanted.is_met_by(&node) {
                offer.nodes += 1;
                offer.namesake |= wanted.name.is_some() && wanted.name == node.name;
            }
        }
    }
}

/// What [`Available`] needs, as far as that version can select it: of the others Ironic says 406. Allocations came with
/// 1.52, when all but lessees had been there.
fn fields_at(version: Microversion) -> &'static str {
    if version >= LESSEE_SINCE {
        "uuid,name,power_state,traits,owner,lessee"
    } else {
        "uuid,name,power_state,traits,owner"
    }
}

/// The nodes that it may be: UUIDs or names.
fn candidates(allocation: &Object) -> Option<Vec<String>> {
    let candidates = allocation.texts("candidate_nodes")?;
    (!candidates.is_empty()).then_some(candidates)
}

fn unknown_node(node: &str) -> Objection {
    Objection::Invalid(format!("Node {node} could not be found."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_it_offers_the_likelier() {
        let offers = |rows: &[(u16, usize, bool)]| -> BTreeMap<LocationId, Offer> {
            rows.iter()
                .map(|&(id, nodes, namesake)| (LocationId(id), Offer { nodes, namesake }))
                .collect()
        };
        let two = offers(&[(0, 1, false), (2, 3, false)]);
        for (chance, expected) in [(0.0, 0), (0.24, 0), (0.26, 2), (0.999, 2)] {
            assert_eq!(choose(&two, chance), Some(LocationId(expected)), "{chance}");
        }
        assert_eq!(
            choose(&offers(&[(0, 9, false), (1, 1, true)]), 0.0),
            Some(LocationId(1))
        );
        assert_eq!(choose(&offers(&[]), 0.5), None);
    }

    #[test]
    fn who_would_do() {
        let node = |json: &str| serde_json::from_str::<Available>(json).unwrap();
        let wanted = Wanted {
            name: None,
            traits: ["CUSTOM_A".to_owned()].into(),
            owner: Some("p".to_owned()),
            candidates: Some(["u".to_owned(), "n".to_owned()].into()),
        };
        let good = r#"{"uuid": "u", "name": null, "power_state": "power off", "traits": ["CUSTOM_A", "B"], "owner": "p", "lessee": null}"#;
        assert!(wanted.is_met_by(&node(good)));
        assert!(wanted.is_met_by(&node(&good.replace(
            r#""uuid": "u", "name": null"#,
            r#""uuid": "v", "name": "n""#
        ))));
        assert!(wanted.is_met_by(&node(&good.replace(
            r#""owner": "p", "lessee": null"#,
            r#""owner": null, "lessee": "p""#
        ))));
        for (part, other) in [
            (r#""power off""#, "null"),
            ("CUSTOM_A", "CUSTOM_B"),
            (r#""owner": "p""#, r#""owner": "q""#),
            (r#""uuid": "u""#, r#""uuid": "v""#),
        ] {
            assert!(
                !wanted.is_met_by(&node(&good.replace(part, other))),
                "{part}"
            );
        }
    }
}
