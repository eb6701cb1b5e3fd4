//! Lists of ports, port groups, connectors and targets: of what is at visible nodes.

use std::slice;

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::StatusCode;

use crate::api::collection::Collection;
use crate::api::microversion::Microversion;
use crate::api::query::Query;
use crate::api::route::Action;
use crate::api::rules::Rule;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::merged::marker::Marker;
use crate::federate::merged::marker::PAGING;
use crate::federate::owner::Denial;
use crate::locations::window::Window;
use crate::policy::targets::Target;
use crate::request::Answer;
use crate::request::Missing;
use crate::request::join;
use crate::tenancy::by_node;
use crate::tenancy::by_node::ByNode;
use crate::tenancy::case::Errand;
use crate::tenancy::case::Found;
use crate::tenancy::facts::Node;
use crate::tenancy::facts::Visible;
use crate::tenancy::lists::Lists;
use crate::tenancy::lists::Share;
use crate::tenancy::lists::Sieve;
use crate::tenancy::page::Page;
use crate::tenancy::refusal;

/// From here on ports can be listed with `fields`.
const PORT_FIELDS: Microversion = Microversion::new(1, 8);

/// What the visible nodes of one location have.
struct PartsAt {
    items: Vec<Found>,
    /// The location, if it did not answer and need not.
    missing: Missing,
    /// As the location would list them, not node by node.
    are_in_order: bool,
}

impl Lists<'_> {
    /// `/ports`, `/portgroups`, `/volume/connectors`, `/volume/targets`.
    pub(crate) async fn list_parts(
        &self,
        collection: Collection,
        all: Rule,
        own: Rule,
    ) -> Result<Answer, Error> {
        let share = self.share(all, own, None)?;
        let query = &self.request.query;
        if matches!(share, Share::All) {
            let answer = self.send(self.errand(Bytes::new())).await?;
            return self.mask_targets(answer);
        }
        let node = query.value("node_uuid").or_else(|| query.value("node"));
        let group = query
            .value("portgroup")
            .filter(|_| collection == Collection::Ports);
        if node.is_some() || group.is_some() {
            return self.list_parts_of(collection, node, group).await;
        }
        let (nodes, missing) = self.visible_nodes(Query::default()).await?;
        let keep = |found: &Found| self.is_at(found, &nodes);
        // What a location that judges itself would show is known only to it.
        let is_ours = !self.has_judges();
        let wish = ByNode::of(collection, query, &nodes);
        let wish = wish.filter(|_| is_ours && !self.marker_is_odd());
        let mut needed = vec!["uuid", "node_uuid"];
        needed.extend(wish.iter().flat_map(ByNode::needed));
        let mut sieve = self.parts_sieve(collection, &needed, &keep);
        sieve.is_vain = is_ours && nodes.is_empty();
        if sieve.is_vain && wish.is_some() {
            // In whatever order: a sorted list is read whole.
            let asked = sieve.query.without(&["limit", "sort_key", "sort_dir"]);
            sieve.query = asked.with("limit", "1");
        }
        let mut page = match &wish {
            Some(wish) if !sieve.is_vain => self.by_node(collection, wish, &sieve).await?,
            _ => {
                self.check_marker(collection, &nodes).await?;
                self.sift(&sieve).await?
            }
        };
        page.lacks(missing);
        self.mask_targets(page.into_answer(self.federation.collection_links))
    }

    /// The part that the client's page begins behind has to be visible.
    async fn check_marker(&self, collection: Collection, nodes: &Visible) -> Result<(), Error> {
        let Some(marker) = self.marker() else {
            return Ok(());
        };
        let found = self.look_up_part(collection, &marker).await?;
        if found.iter().any(|found| self.is_at(found, nodes)) {
            Ok(())
        } else {
            Err(refusal::absent(collection, &marker.item))
        }
    }

    /// Parts of one node or port group: visible if that is.
    async fn list_parts_of(
        &self,
        collection: Collection,
        node: Option<&str>,
        group: Option<&str>,
    ) -> Result<Answer, Error> {
        let mut errand = self.errand(Bytes::new());
        let mut nodes = Vec::new();
        if let Some(ident) = group {
            let group = self.seen_part(Collection::Portgroups, ident).await?;
            let query = errand.query.without(&["portgroup"]);
            errand.query = query.with("portgroup", group.uuid);
            nodes.push(group.node);
        }
        if let Some(ident) = node {
            let node = self.listed_node(ident).await?;
            for name in ["node", "node_uuid"] {
                if errand.query.value(name).is_some() {
                    errand.query = errand.query.without(&[name]).with(name, &node.uuid);
                }
            }
            nodes.push(node);
        }
        self.check_marker_at(collection, &nodes).await?;
        let at = nodes.last().and_then(|node| node.at);
        let answer = self.send(errand.at(at)).await?;
        self.mask_targets(answer)
    }

    /// A page of what is below a thing that is seen begins behind something of the same node.
    pub(crate) async fn check_marker_below(&self, node: &Node) -> Result<(), Error> {
        let row = self.request.target.row();
        let Some((Action::ListBelow { items, .. }, all)) = row.map(|row| (row.action, row.rule))
        else {
            return Ok(());
        };
        if self.judges_itself(node.at) || self.allows(all, &Target::Nothing) {
            return Ok(());
        }
        self.check_marker_at(items, slice::from_ref(node)).await
    }

    /// By a marker Ironic tells that a thing is there, whosever it is.
    async fn check_marker_at(&self, collection: Collection, nodes: &[Node]) -> Result<(), Error> {
        let Some(marker) = self.marker() else {
            return Ok(());
        };
        let found = self.look_up_part(collection, &marker).await?;
        let is_there = |found: &Found| {
            nodes
                .iter()
                .any(|node| node.at == found.at && found.resource.says("node_uuid", &node.uuid))
        };
        if found.iter().any(is_there) {
            Ok(())
        } else {
            Err(refusal::absent(collection, &marker.item))
        }
    }

    async fn look_up_part(
        &self,
        collection: Collection,
        marker: &Marker,
    ) -> Result<Vec<Found>, Error> {
        let thing = (collection, marker.item.as_str());
        let told = self.look_up_at(thing, "uuid,node_uuid", marker.location);
        Ok(told.await?.found)
    }

    fn is_at(&self, found: &Found, nodes: &Visible) -> bool {
        self.judges_itself(found.at)
            || (found.resource.text("node_uuid"))
                .is_some_and(|node| nodes.get(found.at, &node).is_some())
    }

    fn parts_sieve<'s>(
        &self,
        collection: Collection,
        needed: &[&'static str],
        keep: &'s (dyn Fn(&Found) -> bool + Sync),
    ) -> Sieve<'s> {
        let (query, strip) = self.request.query.with_fields(needed);
        let facts = collection.facts();
        let mut sieve = Sieve {
            key: facts.key,
            at: None,
            query,
            version: self.request.version,
            strip,
            keep,
            is_vain: false,
        };
        let detailed = self.request.target.segments().last().map(String::as_str) == Some("detail")
            || sieve.query.is_on("detail");
        if sieve.query.value("fields").is_none() && !detailed {
            // Ironic's short form may lack what is needed. Short form and these members are the same at every version.
            let short = facts.default_fields;
            let is_more = |name: &&&str| !short.contains(*name);
            sieve.strip = needed.iter().filter(is_more).copied().collect();
            if !sieve.strip.is_empty() {
                let fields = [short, &sieve.strip].concat().join(",");
                sieve.query = sieve.query.with("fields", fields);
                sieve.version = sieve.version.max(PORT_FIELDS);
            }
        }
        sieve
    }

    /// The client's page of what these nodes have.
    async fn by_node(
        &self,
        collection: Collection,
        wish: &ByNode<'_>,
        sieve: &Sieve<'_>,
    ) -> Result<Page, Error> {
        // One for the nodes of all locations: each is a question of its own.
        let window = Window::default();
        let homes = wish.homes.iter();
        let read = try_join_all(homes.map(|home| self.parts_at(home, sieve, &window))).await?;
        let mut page = Page::new(Answer::json(StatusCode::OK, Bytes::new()), sieve.key);
        let mut known = Vec::new();
        for (parts, (at, _)) in read.into_iter().zip(&wish.homes) {
            page.items.extend(parts.items);
            page.lacks(parts.missing);
            known.extend(parts.are_in_order.then_some(*at));
        }
        by_node::sort(&mut page.items, wish.sort_key, &known);
        let query = &self.request.query;
        if query.value("sort_dir") == Some("desc") {
            page.items.reverse();
        }
        if let Some(marker) = self.marker() {
            let is_marked = |found: &Found| {
                found.resource.says("uuid", &marker.item)
                    && (marker.location.is_none() || marker.location == found.at)
            };
            let Some(at) = page.items.iter().position(is_marked) else {
                // It may be at a location that could not be asked, and then nothing is known of it.
                self.look_up_part(collection, &marker).await?;
                return Err(refusal::absent(collection, &marker.item));
            };
            page.items.drain(..=at);
        }
        Ok(self.cut(page, sieve, &Query::default()))
    }

    /// What these nodes of one location have. Of several nodes a page of everything is read first, since most locations
    /// have no more than that; only then is each node asked for.
    async fn parts_at(
        &self,
        (at, nodes): &(LocationId, Vec<&str>),
        sieve: &Sieve<'_>,
        window: &Window,
    ) -> Result<PartsAt, Error> {
        let asked = (sieve.query.without(PAGING)).without(&["sort_key", "sort_dir"]);
        let errand = |query| {
            let path = self.request.target.path();
            Errand::get(path, query, sieve.version).at(Some(*at))
        };
        if nodes.len() > 1 {
            // One less than a page: whether another one follows is asked for along with it.
            let most = self.federation.max_limit.saturating_sub(1).max(1);
            let whole = errand(asked.clone().with("limit", most.to_string()));
            let mut page = Page::of(window.turn(self.send(whole)).await?, sieve.key)?;
            if page.next.is_none() {
                page.items.retain(|found| (sieve.keep)(found));
                return Ok(PartsAt {
                    missing: page.missing(),
                    items: page.items,
                    are_in_order: true,
                });
            }
        }
        let (asked, errand) = (&asked, &errand);
        let read = try_join_all(nodes.iter().map(|node| async move {
            let mut items = Vec::new();
            let errand = errand(asked.clone().with("node", *node));
            let parts = self.each_of(errand, sieve.key, |found| items.push(found));
            match window.turn(parts).await {
                Ok(missing) => Ok((items, missing)),
                // Deleted since it was listed.
                Err(Error::Reply(answer)) if is_gone(&answer) => Ok((Vec::new(), Missing::new())),
                Err(error) => Err(error),
            }
        }))
        .await?;
        let mut missing = Missing::new();
        for (_, more) in &read {
            join(&mut missing, more.iter().copied());
        }
        Ok(PartsAt {
            items: read.into_iter().flat_map(|(items, _)| items).collect(),
            missing,
            are_in_order: nodes.len() == 1,
        })
    }
}

fn is_gone(answer: &Answer) -> bool {
    answer.status == StatusCode::NOT_FOUND
        && Denial::of(Collection::Nodes, answer.body.whole()) == Denial::Absent
}
