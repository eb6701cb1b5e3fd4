//! Merged lists. A marker is an item's identifier, so any replica of the gateway answers any page.
//!
//! Two ways, by what the client sorts by:
//! - *concatenate*: no sort key; the locations' own orders, one location after the other. A page asks those that fill
//!   it ([`plan`]).
//! - *sorted*: a visible key, a collection that is the same everywhere, or the nodes of one conductor; all keys are read
//!   once (*scan*) into an order of ours ([`index`]), and each page's bodies when it is asked for (*gather*).
//!
//! What a walk learnt is kept for its next page ([`memory`]), as a hint only.

mod best;
mod concatenate;
mod gather;
pub mod index;
pub mod listing;
pub mod marker;
pub mod memory;
mod merge;
pub mod order;
pub mod plan;
mod position;
mod scan;
mod sorted;
mod stops;
mod wish;

use crate::api::collection::Collection;
use crate::api::collection::Spread;
use crate::api::groups::Unnamable;
use crate::api::microversion::Microversion;
use crate::federate::Error;
use crate::federate::merged::listing::Listing;
use crate::federate::merged::marker::Marker;
use crate::federate::merged::marker::WALK;
use crate::federate::merged::marker::WalkName;
use crate::federate::merged::memory::Memory;
use crate::federate::merged::merge::Merge;
use crate::federate::merged::wish::Wish;
use crate::federate::merged::wish::direction;
use crate::federate::objection::Objection;
use crate::locate::Locator;
use crate::locate::directory::Ident;
use crate::locations::Locations;
use crate::locations::speech::Said;
use crate::request::Answer;
use crate::request::Request;

/// Parameters that the merge interprets itself. Repeated, the gateway and Ironic could read different ones.
const INTERPRETED: &[&str] = &["limit", "marker", WALK, "sort_key", "sort_dir", "detail"];

/// `fields` is refused below it (`ironic/api/controllers/v1/utils.py`, `check_allow_specify_fields`).
const FIELDS_SINCE: Microversion = Microversion::new(1, 8);

/// Where lists come from.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    pub locations: &'a Locations,
    pub locator: &'a Locator,
    pub memory: &'a Memory,
    /// Items on one page.
    pub max_limit: usize,
    /// `[api] collection_links`
    pub links: bool,
}

impl Lists<'_> {
    /// One page of a merged list.
    pub async fn page(&self, request: &Request, listing: &Listing<'_>) -> Result<Answer, Error> {
        if let Some(fault) = unnamable(request, listing) {
            return Err(fault.into());
        }
        let wish = match self.understand(request, listing) {
            Ok(wish) => wish,
            // Ironic checks in its own order and may report another fault than ours, so it is asked for the wording.
            Err(ours) => return word_refusal(request, listing, &ours).await,
        };
        let marker = wish
            .marker
            .as_deref()
            .map(|text| Marker::parse(text, self.locations));
        let is_malformed = |marker: &Marker| {
            listing.facts.id == "uuid" && !Ident::new(&marker.item).is_uuid_like()
        };
        if let Some(Marker { item, .. }) = marker.as_ref().filter(|marker| is_malformed(marker)) {
            let ours = format!("Expected UUID for marker: {item}");
            return word_refusal(request, listing, &ours).await;
        }
        let merge = Merge {
            locations: self.locations,
            locator: self.locator,
            memory: self.memory,
            request,
            listing,
            wish: &wish,
            marker: marker.as_ref(),
            links: self.links,
        };
        // Replicated objects are listed once, which needs all of them. Conductors are identified by hostname, and two
        // locations may both have a `conductor-0`.
        let is_one_order = listing.facts.spread == Spread::Replicated
            || listing.collection == Collection::Conductors;
        if is_one_order || wish.sort_key.is_some() || wish.only.is_some() {
            Box::pin(sorted::page(merge)).await
        } else {
            Box::pin(concatenate::page(merge)).await
        }
    }

    fn understand(&self, request: &Request, listing: &Listing<'_>) -> Result<Wish, String> {
        if let Some(name) = request.query.repeated(INTERPRETED) {
            return Err(format!("Unexpected repeated argument: {name}"));
        }
        if request.query.value("fields").is_some() && request.version < FIELDS_SINCE {
            // Without `fields` the merge would read whole items and cut them, showing what Ironic refuses.
            return Err("`fields` is not known in this version".to_owned());
        }
        let direction = direction(&request.query).ok_or("Invalid sort direction")?;
        Wish::new(request, listing, direction, self.max_limit)
    }
}

/// Ironic's filter of ports cannot name the default group, so a group that is the default one of a location cannot be
/// asked for there. Without the filter the list would hold too much, and with another one too little.
fn unnamable(request: &Request, listing: &Listing<'_>) -> Option<Objection> {
    // Of each: Ironic joins what is repeated, as openstacksdk sends it.
    let mut each = request.query.values("conductor_groups").flat_map(|value| {
        let renamed = listing.scope.iter();
        renamed.filter_map(move |location| {
            let Unnamable { ours } = location.groups.as_deref()?.sought_list(value).err()?;
            Some((location.name(), ours))
        })
    });
    let (location, group) = each.next()?;
    let refused = |at: &str| {
        format!(
            "conductor_groups cannot ask for {group}: at {at} it is the default group, which Ironic does not filter by. \
             List the nodes with conductor_group={group}, and what belongs to each with node=."
        )
    };
    Some(Objection::Misplaced {
        text: refused(&format!("location {location}")),
        plain: refused("its location"),
    })
}

/// Asks one location for Ironic's wording of what is wrong with the client's question.
async fn word_refusal(
    request: &Request,
    listing: &Listing<'_>,
    ours: &str,
) -> Result<Answer, Error> {
    let mut question = request.shared();
    question.path.clone_from(&listing.path);
    // A walk's name is ours alone: a location would refuse the argument, and not what is wrong. What is no name, or two,
    // it is to refuse.
    let names: Vec<_> = request.query.values(WALK).map(WalkName::parse).collect();
    let query = match names[..] {
        [Some(_)] => request.query.without(&[WALK]),
        _ => request.query.clone(),
    };
    query.append_to(&mut question.path);
    let mut silent = Vec::new();
    for location in &listing.scope {
        match location.ask(&request.asker, &question).await {
            Ok(Said::Has(_)) => return Err(Objection::Invalid(ours.to_owned()).into()),
            Ok(said) => {
                return Ok(Answer {
                    location: None,
                    ..Answer::relay(said.into_reply(), location.id)
                });
            }
            Err(silence) => silent.push(silence),
        }
    }
    if silent.is_empty() {
        // None of them may be asked for a project.
        return Err(Objection::Invalid(ours.to_owned()).into());
    }
    Err(Error::Silent(silent))
}
