//! One page of a merged list under way: what all ways of merging share.

use std::borrow::Cow;
use std::collections::HashMap;

use http::StatusCode;
use log::warn;

use crate::api::collection::Collection;
use crate::api::collection::Spread;
use crate::api::merged_page::MergedPage;
use crate::api::merged_page::Taken;
use crate::api::page::Keep;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::fan_out;
use crate::federate::merged::listing::Listing;
use crate::federate::merged::marker::Marker;
use crate::federate::merged::marker::PAGING;
use crate::federate::merged::marker::WALK;
use crate::federate::merged::marker::WalkName;
use crate::federate::merged::memory::Memory;
use crate::federate::merged::memory::Walked;
use crate::federate::merged::wish::Selection;
use crate::federate::merged::wish::Wish;
use crate::federate::objection::Objection;
use crate::locate::Locator;
use crate::locate::directory::Asked;
use crate::locate::directory::Sighting;
use crate::locations::Locations;
use crate::locations::location::Location;
use crate::locations::question::Purpose;
use crate::locations::silence::Silence;
use crate::locations::walk::CHILDREN_SINCE;
use crate::locations::walk::List;
use crate::locations::walk::Only;
use crate::request::Answer;
use crate::request::Content;
use crate::request::Request;
use crate::wire::transport::Reply;

/// What is merged, for whom, and what there is to do it with.
#[derive(Clone, Copy)]
pub(super) struct Merge<'a> {
    pub(super) locations: &'a Locations,
    pub(super) locator: &'a Locator,
    pub(super) memory: &'a Memory,
    pub(super) request: &'a Request,
    pub(super) listing: &'a Listing<'a>,
    pub(super) wish: &'a Wish,
    pub(super) marker: Option<&'a Marker>,
    /// Pages also carry gophercloud's `<collection>_links`.
    pub(super) links: bool,
}

/// A page that is ready to be answered.
pub(super) struct Finished {
    pub(super) items: Vec<Taken>,
    /// Where each of them is.
    pub(super) places: Vec<LocationId>,
    /// The last item, if something follows.
    pub(super) next: Option<Marker>,
    pub(super) walk: Option<WalkName>,
    pub(super) missing: Vec<Silence>,
}

impl<'a> Merge<'a> {
    pub(super) fn scope(&self) -> &'a [&'a Location] {
        &self.listing.scope
    }

    /// What locations are asked for this selection; `keep`: the members that items are written with.
    pub(super) fn list(&self, selection: &Selection, keep: Keep<'a>) -> List<'a> {
        let mut path = self.listing.path.clone();
        if selection.detail_path {
            path.push_str("/detail");
        }
        let mut query = self.wish.filters.clone();
        for (name, value) in selection.parameters.iter() {
            query = query.with(name, value);
        }
        let question = self.request.shared();
        List {
            path,
            query,
            version: question.version,
            // A list at one location is that location's own answer, so its 5xx are relayed too.
            purpose: if self.scope().len() == 1 {
                Purpose::Routed
            } else {
                Purpose::Shared
            },
            expect: question.expect,
            key: self.listing.facts.key,
            kind: self.listing.facts.kind,
            id: self.listing.facts.id,
            sort_key: self.wish.sort_key.as_deref(),
            keep,
            note: &self.wish.noted,
            only: self.wish.only.as_ref().map(|(place, text)| Only {
                place: *place,
                text,
            }),
        }
    }

    pub(super) fn place(&self, id: LocationId) -> Option<usize> {
        self.scope().iter().position(|location| location.id == id)
    }

    /// Whether what several locations have is listed from the first of them.
    pub(super) fn lists_once(&self) -> bool {
        self.is_replicated() && !self.request.review.each_copy
    }

    pub(super) fn is_replicated(&self) -> bool {
        self.listing.facts.spread == Spread::Replicated
    }

    pub(super) fn walked(&self) -> Walked {
        let scope = self.scope().iter().map(|location| location.id).collect();
        self.memory.walked(self.request, &self.listing.path, scope)
    }

    /// An error that locations gave is the client's, as it is.
    pub(super) fn refuse(&self, reply: Reply, location: LocationId) -> Error {
        let only = self.scope().len() == 1;
        let answer = Answer::relay(reply, location);
        Error::Reply(Box::new(Answer {
            location: answer.location.filter(|_| only),
            ..answer
        }))
    }

    /// There is no item at which to go on.
    pub(super) fn nobody_has(&self, marker: &Marker) -> Error {
        let noun = self.listing.facts.noun;
        Objection::Absent(format!("{noun} {} could not be found.", marker.item)).into()
    }

    /// The silent locations that the answer may lack; fails if it may lack none.
    pub(super) fn tolerate(&self, silent: Vec<Silence>) -> Result<Vec<Silence>, Error> {
        // A look-up is whole once the one item is found, so silent locations are judged at the end.
        if self.is_look_up() {
            Ok(silent)
        } else {
            self.refuse_incomplete(silent)
        }
    }

    fn refuse_incomplete(&self, silent: Vec<Silence>) -> Result<Vec<Silence>, Error> {
        fan_out::tolerate(self.locations, self.request, self.scope().len(), silent)
    }

    /// A filter that one thing passes at most makes a look-up of a list: it is whole when the thing was found.
    fn is_look_up(&self) -> bool {
        let unique = match self.listing.collection {
            Collection::Nodes => "instance_uuid",
            Collection::Ports | Collection::Portgroups => "address",
            _ => return false,
        };
        self.wish.filters.value(unique).is_some()
    }

    /// The whole answer; what is missing is announced, and what was seen is learnt.
    pub(super) fn finish(&self, page: Finished) -> Result<Answer, Error> {
        let missing = match self.is_look_up() {
            // The value is unique and its item was found: no silent location can add another.
            true if !page.items.is_empty() => Vec::new(),
            true => self.refuse_incomplete(page.missing)?,
            false => page.missing,
        };
        let is_whole = self.is_of_everything() && page.next.is_none() && missing.is_empty();
        let next = page.next.map(|marker| self.link(&marker, page.walk));
        let base = self.request.base.clone();
        let merged = MergedPage::new(self.listing.facts.key, base, page.items)
            .with_next(next)
            .linked(self.links);
        let asked = if is_whole { Asked::All } else { Asked::Some };
        self.learn(&merged, &page.places, asked);
        let mut answer = Answer::json(StatusCode::OK, Content::List(Box::new(merged)));
        if let [only] = self.scope() {
            answer.location = Some(only.id);
        }
        answer.places = page.places;
        Ok(fan_out::announce(self.locations, answer, &missing))
    }

    /// Whether every location was asked for all that it has, if it answered: then nobody else has a name that was seen.
    fn is_of_everything(&self) -> bool {
        let mut filters = self.wish.filters.iter();
        self.marker.is_none()
            && self.wish.only.is_none()
            && self.scope().len() == self.locations.iter().len()
            && self.listing.is_of_collection()
            && self.locator.is_told_everything(&self.request.asker)
            // It widens the list and filters nothing.
            && filters.all(|(name, _)| name == "include_children")
            && self.has_children()
    }

    /// Whether no node was left out because it is another one's child. Ironic does so at every version, once it knows of
    /// children at all (`_add_nodes_filters` of `ironic/db/sqlalchemy/api.py`), and a child may have any name.
    fn has_children(&self) -> bool {
        let knows_none = |location: &&Location| {
            let standing = location.standing();
            standing.is_some_and(|standing| standing.range.max() < CHILDREN_SINCE)
        };
        self.listing.collection != Collection::Nodes
            || self.wish.filters.is_on("include_children")
            || self.scope().iter().all(knows_none)
    }

    /// The client's own question, for the page behind the marker.
    fn link(&self, marker: &Marker, walk: Option<WalkName>) -> String {
        let mut query = (self.request.query.without(PAGING))
            .with("limit", self.wish.limit.to_string())
            .with("marker", marker.text(self.locations));
        if let Some(walk) = walk {
            query = query.with(WALK, walk.to_string());
        }
        let mut next = format!(
            "{}{}",
            self.request.base.as_str(),
            // Ironic accepts one trailing slash on a collection, and its own links have none.
            self.request.path.trim_end_matches('/')
        );
        query.append_to(&mut next);
        next
    }

    /// Learns where items live, and tells the operators of one that lives twice.
    fn learn(&self, page: &MergedPage, places: &[LocationId], asked: Asked) {
        let mut known: HashMap<Cow<'_, str>, LocationId> = HashMap::new();
        for (item, &location) in page.items().zip(places) {
            let (id, name) = (item.id(), item.name());
            let sighting = Sighting {
                uuid: id.as_deref(),
                name: name.as_deref(),
                location,
                asked,
            };
            self.locator.note(self.listing.collection, sighting);
            if let Some(id) = id.filter(|_| self.scope().len() > 1)
                && let Some(other) = known.insert(id.clone(), location)
                && other != location
            {
                self.warn_of_twins(&id, &[other, location]);
            }
        }
    }

    pub(super) fn warn_of_twins(&self, id: &str, at: &[LocationId]) {
        warn!(
            "{} {id} is at more than one location: {}",
            self.listing.facts.noun,
            self.locations.names(at)
        );
    }
}
