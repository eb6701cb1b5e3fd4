//! One answer made of the answers of all locations (drivers and their details, shards), and requests that go to every
//! location.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::StatusCode;
use indexmap::IndexMap;
use indexmap::map::Entry;

use crate::api::accept::Words;
use crate::api::body::Object as Json;
use crate::api::collection::Collection;
use crate::api::json;
use crate::api::link;
use crate::api::link::Kind;
use crate::api::page::Keep;
use crate::api::query::encode_segment;
use crate::api::resource::Resource;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::Federation;
use crate::federate::Subject;
use crate::federate::fan_out::Told;
use crate::federate::fan_out::announce;
use crate::federate::fan_out::ask_each;
use crate::federate::fan_out::let_all;
use crate::federate::fan_out::refusal;
use crate::federate::fan_out::tolerate;
use crate::federate::objection::Objection;
use crate::federate::plan::Forward;
use crate::federate::plan::Plan;
use crate::locate::LocateError;
use crate::locate::Source;
use crate::locations::question::Expect;
use crate::locations::question::Purpose;
use crate::locations::question::Question;
use crate::locations::silence::Silence;
use crate::locations::speech::Said;
use crate::locations::walk::Halt;
use crate::locations::walk::List;
use crate::locations::walk::Walk;
use crate::request::Answer;
use crate::request::Request;
use crate::wire::transport::Reply;

/// A request whose answer is made from several locations, or whose owner is not known.
#[derive(Clone, Copy, Debug)]
pub struct United<'a> {
    pub federation: &'a Federation,
    pub request: &'a Request,
}

impl United<'_> {
    /// `GET /v1/drivers`
    pub async fn drivers(&self) -> Result<Answer, Error> {
        let unite = |known: &mut Driver, driver: Resource, location| {
            known.unite(&driver, self.is_default(location));
        };
        self.each_name_once((Kind::Drivers, "drivers"), unite, Driver::whole)
            .await
    }

    /// `GET /v1/drivers/{d}`
    pub async fn driver(&self) -> Result<Answer, Error> {
        let (bodies, missing) = self.bodies(Kind::Driver).await?;
        let mut bodies = bodies.into_iter();
        let Some((_, driver)) = bodies.next() else {
            return Err(Error::Silent(missing));
        };
        let mut driver = Driver::from(driver);
        for (location, other) in bodies {
            driver.unite(&other, self.is_default(location));
        }
        Ok(announce(
            &self.federation.locations,
            united(&driver.whole()),
            &missing,
        ))
    }

    /// Properties, RAID and passthru methods of a driver: if two locations have the same key, the first one counts.
    pub async fn driver_below(&self) -> Result<Answer, Error> {
        let (bodies, missing) = self.bodies(Kind::Plain).await?;
        let mut whole = Resource::default();
        for (_, body) in bodies {
            for (name, value) in body.members() {
                // In the order of the configuration, so that the answer does not depend on who was faster.
                if whole.raw(name).is_none() {
                    whole.set(name, value.clone());
                }
            }
        }
        Ok(announce(
            &self.federation.locations,
            united(&whole),
            &missing,
        ))
    }

    /// `GET /v1/shards`: nodes of a shard are counted wherever they are.
    pub async fn shards(&self) -> Result<Answer, Error> {
        let unite = |known: &mut Resource, shard: Resource, _| unite_shards(known, &shard);
        self.each_name_once((Kind::Plain, "shards"), unite, |shard| shard)
            .await
    }

    /// Where nodes without a conductor group are made.
    fn is_default(&self, location: LocationId) -> bool {
        self.federation.groups.default_location() == Some(location)
    }

    /// The lists of all locations as one; `unite` adds what another location says of a name that is there already.
    async fn each_name_once<T: From<Resource>>(
        &self,
        (kind, key): (Kind, &str),
        unite: impl Fn(&mut T, Resource, LocationId),
        whole: impl Fn(T) -> Resource,
    ) -> Result<Answer, Error> {
        let locations = &self.federation.locations;
        // Without their names all of them would be one.
        let (query, unshown) = self.request.query.with_fields(&["name"]);
        let mut question = self.request.shared();
        question.path = self.request.target.path();
        query.append_to(&mut question.path);
        let (bodies, missing) = self.bodies_of(&question, kind).await?;
        // By name, since a location may list any number of them. What has none all the same is one of its own.
        let mut items: IndexMap<(Option<Bytes>, usize), T> = IndexMap::new();
        for (location, body) in bodies {
            if body.elements(key).is_none() {
                return Err(locations.location(location).misspoke().into());
            }
            // Ironic lists objects only; anything else has no name to unite by.
            for item in body.resources(key) {
                let name = item.raw("name").cloned();
                let place = if name.is_none() { items.len() } else { 0 };
                match items.entry((name, place)) {
                    Entry::Occupied(mut known) => unite(known.get_mut(), item, location),
                    Entry::Vacant(new) => {
                        new.insert(item.into());
                    }
                }
            }
        }
        let items: Vec<Bytes> = items
            .into_values()
            .map(|item| {
                let mut item = whole(item);
                for name in &unshown {
                    item.remove(name);
                }
                item.to_bytes()
            })
            .collect();
        let mut list = Resource::default();
        list.set_list(key, items.iter().map(|item| &**item));
        Ok(announce(locations, united(&list), &missing))
    }

    /// Vendor passthru of a driver goes to the only location that has the driver.
    pub async fn driver_passthru(&self, driver: &str) -> Result<Plan, Error> {
        let request = self.request;
        let location = if let Some(location) = request.pinned {
            location
        } else {
            let path = format!("/v1/drivers/{}", encode_segment(driver));
            let scope = self.federation.scope(request);
            let question = request.probe(path).for_member(Collection::Drivers, driver);
            let Told {
                replies: having,
                silent,
            } = ask_each(&scope, &request.asker, &question).await.found()?;
            match &having[..] {
                [(location, _)] if silent.is_empty() => *location,
                // A silent location may have the driver too, and then the call would be ambiguous.
                [] | [_] => return Err(Error::Silent(silent)),
                _ => {
                    let owners = having.iter().map(|(location, _)| *location).collect();
                    return Err(LocateError::Ambiguous { owners }.into());
                }
            }
        };
        Ok(Plan::Forward(forward_to(request, location)))
    }

    /// Links below `/v1/volume`: every location has the same.
    pub async fn volume_root(&self) -> Result<Answer, Error> {
        let request = self.request;
        let mut silent = Vec::new();
        let mut failed = None;
        for location in self.federation.scope(request) {
            match location.ask(&request.asker, &request.question()).await {
                // Ironic answers 500 instead of 400 to a query that it does not know here.
                Ok(Said::Fails(reply)) => {
                    failed.get_or_insert((location.id, reply));
                }
                Ok(said) => {
                    let reply = said.into_reply();
                    let answer = self
                        .federation
                        .adopt(
                            request,
                            location.id,
                            Subject::Other(Kind::VolumeRoot),
                            reply,
                        )
                        .map_err(|_| location.misspoke())?;
                    return Ok(Answer {
                        location: request.pinned,
                        ..answer
                    });
                }
                Err(silence) => silent.push(silence),
            }
        }
        Err(match failed {
            Some((location, reply)) => refusal(reply, location),
            None => Error::Silent(silent),
        })
    }

    /// Sent to every location; each has to accept it.
    pub async fn events(&self) -> Result<Answer, Error> {
        let request = self.request;
        // Ironic answers 500 to a body that is not JSON.
        Json::parse("event", request.body.held())?;
        let question = request.question();
        let scope = self.federation.scope(request);
        let_all(scope.iter().map(|location| (*location, &question)))?;
        let told = ask_each(&scope, &request.asker, &question).await;
        if let Some((location, reply)) = told
            .replies
            .iter()
            .find(|(_, reply)| !reply.status.is_success())
        {
            return Err(refusal(reply.clone(), *location));
        }
        match told.replies.into_iter().next() {
            Some((location, reply)) if told.silent.is_empty() => Ok(Answer {
                location: request.pinned,
                ..Answer::relay(reply, location)
            }),
            // Who took them must not get them again.
            Some(_) => {
                let silent = told.silent.into_iter().map(Silence::after_a_write);
                Err(Error::Silent(silent.collect()))
            }
            None => Err(Error::Silent(told.silent)),
        }
    }

    /// A collection that the gateway does not know, of a newer Ironic: lists are put together, members are looked for;
    /// what changes something must name its location.
    pub async fn unknown(&self) -> Result<Plan, Error> {
        let request = self.request;
        if let Some(location) = request.pinned {
            let there = self.federation.locations.location(location);
            let reply = there.reply(&request.asker, &request.question()).await?;
            if request.words != Words::Json && reply.status == StatusCode::NOT_FOUND {
                return Err(Objection::NoRoute(request.words).into());
            }
            return Ok(Plan::Answer(self.federation.relay(
                request,
                location,
                Subject::Other(Kind::Plain),
                reply,
            )));
        }
        if request.method != http::Method::GET {
            return Err(Objection::Invalid(
                "It is not known where this belongs: name the location in X-Ironic-Proxy-Location."
                    .to_owned(),
            )
            .into());
        }
        let scope = self.federation.scope(request);
        let told = ask_each(&scope, &request.asker, &request.shared()).await;
        if request.words != Words::Json && told.denied().is_some() {
            return Err(Objection::NoRoute(request.words).into());
        }
        let told = told.found()?;
        if request.target.segments().len() > 1 {
            return self.one_of(told.replies, told.silent).map(Plan::Answer);
        }
        let (bodies, mut silent) = self.understand(Kind::Listing, told);
        let mut whole = Lists::default();
        for (location, mut body) in bodies {
            match self.complete(location, &mut body).await {
                Ok(()) => whole.unite(&body),
                Err(Error::Silent(more)) => silent.extend(more),
                Err(error) => return Err(error),
            }
        }
        let missing = tolerate(&self.federation.locations, request, scope.len(), silent)?;
        Ok(Plan::Answer(announce(
            &self.federation.locations,
            united(&whole.whole()),
            &missing,
        )))
    }

    /// Appends the further pages of a location's list. Pages of our own need an order, and that of an unknown collection
    /// is not known; a location's own `next` leads nowhere here.
    async fn complete(&self, location: LocationId, body: &mut Resource) -> Result<(), Error> {
        let request = self.request;
        if body.remove("next").is_none_or(|next| *next == *b"null") {
            return Ok(());
        }
        let there = self.federation.locations.location(location);
        // It says that more follows, and not behind what.
        let last = last_ident(body).ok_or_else(|| there.unreadable(&Expect::Unknown))?;
        let list = List {
            path: request.target.path(),
            query: request.query.without(&["limit", "marker"]),
            version: request.version,
            purpose: Purpose::Shared,
            expect: Expect::Unknown,
            key: &last.list,
            kind: Kind::Plain,
            id: last.member,
            sort_key: None,
            keep: Keep::All,
            note: &[],
            only: None,
        };
        let mut walk = Walk::behind(&list, &request.asker, there, Some(last.ident));
        let mut items = body.elements(list.key).unwrap_or_default();
        loop {
            let page = match walk.next(None).await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(Halt::Silent(silence)) => return Err(silence.into()),
                Err(Halt::Unknown(reply) | Halt::Refusal(reply)) => {
                    return Err(refusal(reply, location));
                }
            };
            for item in page.items() {
                let mut text = Vec::new();
                item.write(&mut text, &request.base);
                items.push(text.into());
            }
        }
        body.set_list(list.key, items.iter().map(|item| &**item));
        Ok(())
    }

    fn one_of(
        &self,
        found: Vec<(LocationId, Reply)>,
        silent: Vec<Silence>,
    ) -> Result<Answer, Error> {
        let request = self.request;
        if found.len() > 1 {
            let owners = found.iter().map(|(location, _)| *location).collect();
            return Err(LocateError::Ambiguous { owners }.into());
        }
        let Some((location, reply)) = found.into_iter().next() else {
            return Err(Error::Silent(silent));
        };
        let there = self.federation.locations.location(location);
        Ok(self
            .federation
            .adopt(request, location, Subject::Other(Kind::Plain), reply)
            .map_err(|_| there.unreadable(&Expect::Unknown))?)
    }

    /// Every location's answer to the client's own question, with links that point at us.
    async fn bodies(
        &self,
        kind: Kind,
    ) -> Result<(Vec<(LocationId, Resource)>, Vec<Silence>), Error> {
        self.bodies_of(&self.request.shared(), kind).await
    }

    async fn bodies_of(
        &self,
        question: &Question,
        kind: Kind,
    ) -> Result<(Vec<(LocationId, Resource)>, Vec<Silence>), Error> {
        let request = self.request;
        let scope = self.federation.scope(request);
        let told: Told = ask_each(&scope, &request.asker, question).await;
        let (bodies, silent) = self.understand(kind, told.found()?);
        Ok((
            bodies,
            tolerate(&self.federation.locations, request, scope.len(), silent)?,
        ))
    }

    /// An answer that cannot be read counts as none.
    fn understand(&self, kind: Kind, told: Told) -> (Vec<(LocationId, Resource)>, Vec<Silence>) {
        let mut silent = told.silent;
        let mut bodies = Vec::new();
        for (location, reply) in told.replies {
            match self.body(location, kind, &reply) {
                Ok(body) => bodies.push((location, body)),
                Err(silence) => silent.push(silence),
            }
        }
        (bodies, silent)
    }

    fn body(&self, location: LocationId, kind: Kind, reply: &Reply) -> Result<Resource, Silence> {
        let request = self.request;
        let location = self.federation.locations.location(location);
        let standing = location.standing();
        let from = location.dialect(standing.as_deref());
        let unreadable = |_| location.unreadable(&request.question().expect);
        let rewritten =
            link::rewrite_document(kind, &reply.body, from, &request.base).map_err(unreadable)?;
        let body = rewritten.map_or_else(|| reply.body.clone(), Bytes::from);
        Resource::read(&body).map_err(unreadable)
    }
}

/// A driver as several locations have it. Sets are put together at the end: among thousands of locations each host would be
/// read again for every other one.
struct Driver {
    first: Resource,
    sets: IndexMap<String, BTreeSet<String>>,
}

impl From<Resource> for Driver {
    fn from(first: Resource) -> Self {
        Self {
            first,
            sets: IndexMap::new(),
        }
    }
}

impl Driver {
    /// Hosts and interfaces of both; of defaults that differ those of the default location.
    fn unite(&mut self, other: &Resource, is_default: bool) {
        for (name, value) in other.members() {
            let is_set =
                name == "hosts" || (name.starts_with("enabled_") && name.ends_with("_interfaces"));
            let default = name.starts_with("default_") && name.ends_with("_interface");
            if self.first.raw(name).is_none() || (default && is_default) {
                self.first.set(name, value.clone());
            } else if is_set && let (Some(ours), Some(theirs)) = (self.set(name), set(other, name))
            {
                ours.extend(theirs);
            }
        }
    }

    fn set(&mut self, name: &str) -> Option<&mut BTreeSet<String>> {
        if !self.sets.contains_key(name) {
            self.sets.insert(name.to_owned(), set(&self.first, name)?);
        }
        self.sets.get_mut(name)
    }

    fn whole(mut self) -> Resource {
        for (name, set) in self.sets {
            self.first.set_list(&name, set.iter().map(String::as_bytes));
        }
        self.first
    }
}

/// Texts, each as JSON has it.
fn set(driver: &Resource, name: &str) -> Option<BTreeSet<String>> {
    let elements = driver.elements(name)?;
    let texts = elements.iter().filter_map(|text| json::decode(text));
    Some(
        texts
            .map(|text| format!("\"{}\"", json::escape(&text)))
            .collect(),
    )
}

/// A shard is a label of nodes, so the same name at two locations is one shard.
fn unite_shards(known: &mut Resource, other: &Resource) {
    let count = |shard: &Resource| {
        let count = shard
            .raw("count")
            .and_then(|count| serde_json::from_slice(count).ok());
        count.unwrap_or(0_u64)
    };
    // What a location says may be any number.
    let sum = count(known).saturating_add(count(other));
    known.set("count", sum.to_string());
}

/// The items of all, and of the rest what came first. Written once, at the end, as [`Driver`]'s sets are.
#[derive(Default)]
struct Lists {
    first: Resource,
    items: IndexMap<String, Vec<Bytes>>,
}

impl Lists {
    fn unite(&mut self, other: &Resource) {
        for (name, value) in other.members() {
            match (other.elements(name), self.items.get_mut(name)) {
                (Some(more), Some(items)) => items.extend(more),
                (more, None) if self.first.raw(name).is_none() => {
                    self.first.set(name, value.clone());
                    self.items.extend(more.map(|more| (name.to_owned(), more)));
                }
                _ => {}
            }
        }
    }

    fn whole(mut self) -> Resource {
        for (name, items) in self.items {
            self.first.set_list(&name, items.iter().map(|item| &**item));
        }
        self.first
    }
}

/// The last item of a list, as a marker calls it.
#[derive(Debug, PartialEq, Eq)]
struct Last {
    /// The member of the body that is the list.
    list: String,
    /// The member of the item that identifies it: whatever Ironic identifies anything by.
    member: &'static str,
    ident: String,
}

fn last_ident(body: &Resource) -> Option<Last> {
    let (list, items) = body
        .names()
        .find_map(|name| Some((name, body.elements(name)?)))?;
    let last = Resource::read(items.last()?).ok()?;
    ["uuid", "name", "hostname"].into_iter().find_map(|member| {
        Some(Last {
            list: list.to_owned(),
            member,
            ident: last.text(member)?.into_owned(),
        })
    })
}

fn united(body: &Resource) -> Answer {
    Answer::json(StatusCode::OK, body.to_bytes())
}

/// The client's own request, for one location.
pub fn forward_to(request: &Request, location: LocationId) -> Forward {
    let mut path = request.target.path();
    request.query.append_to(&mut path);
    Forward {
        location,
        path,
        key: None,
        source: Source::Asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(text: &str) -> Resource {
        Resource::read(&Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[test]
    fn sets_are_united_and_sorted() {
        let mut known = Driver::from(resource(r#"{"hosts": ["noop", "fake"]}"#));
        known.unite(&resource(r#"{"hosts": ["fake", "agent"]}"#), false);
        assert_eq!(
            known.whole().to_bytes(),
            r#"{"hosts": ["agent", "fake", "noop"]}"#
        );
    }

    #[test]
    fn counts_of_a_shard_are_added_whatever_they_are() {
        for (one, other, both) in [
            ("2", "3", "5"),
            ("18446744073709551615", "1", "18446744073709551615"),
            ("\"many\"", "3", "3"),
            ("NaN", "3", "3"),
        ] {
            let shard = |count: &str| resource(&format!("{{\"count\": {count}}}"));
            let mut known = shard(one);
            unite_shards(&mut known, &shard(other));
            assert_eq!(known.raw("count").unwrap(), both);
        }
    }

    #[test]
    fn lists_are_put_together_as_they_were_written() {
        let mut known = Lists::default();
        for text in [
            r#"{"x": [{"a": NaN}], "y": 1}"#,
            r#"{"x": [{"a": "\ud800"}, 1e400], "y": 2, "z": null}"#,
            r#"{"y": [3], "x": [], "z": []}"#,
        ] {
            known.unite(&resource(text));
        }
        assert_eq!(
            known.whole().to_bytes(),
            r#"{"x": [{"a": NaN}, {"a": "\ud800"}, 1e400], "y": 1, "z": null}"#
        );
    }

    #[test]
    fn what_a_marker_calls_an_item() {
        let ident = |text: &str| last_ident(&resource(text)).map(|last| last.ident);
        for (body, expected) in [
            (
                r#"{"x": [{"uuid": "a"}, {"name": "n", "uuid": "b", "extra": NaN}]}"#,
                Some("b"),
            ),
            (r#"{"x": [{"name": "n"}]}"#, Some("n")),
            (r#"{"x": [{"id": 5}]}"#, None),
            (r#"{"x": []}"#, None),
        ] {
            assert_eq!(ident(body).as_deref(), expected, "{body}");
        }
    }
}
