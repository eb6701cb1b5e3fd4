//! No sort key: the locations' own orders, one location after the other. A page needs the location of its marker and as
//! many after it as fill it; which these are is planned, asked, and planned anew.

use std::sync::Arc;

use tokio::time::timeout;

use crate::api::merged_page::Taken;
use crate::api::page::Keep;
use crate::api::page::Page;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::merged::marker::Marker;
use crate::federate::merged::memory::Course;
use crate::federate::merged::merge::Finished;
use crate::federate::merged::merge::Merge;
use crate::federate::merged::order::Direction;
use crate::federate::merged::plan::Ask;
use crate::federate::merged::plan::Manner;
use crate::federate::merged::stops::Known;
use crate::federate::merged::stops::Need;
use crate::federate::merged::stops::Reached;
use crate::federate::merged::stops::State;
use crate::federate::merged::stops::Stop;
use crate::federate::merged::stops::reached;
use crate::locate::directory::Key;
use crate::locations::location::Location;
use crate::locations::silence::Silence;
use crate::locations::walk::Halt;
use crate::locations::walk::List;
use crate::locations::walk::PageReply;
use crate::locations::walk::Walk;
use crate::locations::window::PATIENCE;
use crate::locations::window::ask_all;
use crate::request::Answer;

/// Where a page begins.
#[derive(Default)]
struct Start {
    place: usize,
    /// Items of that location on earlier pages, as far as is remembered.
    course: Option<Course>,
    /// What follows there, if the location had to be asked to find the marker.
    page: Option<Page>,
    /// Whether the place is a guess.
    is_hint: bool,
}

/// The merge of a page.
pub(super) struct Concatenation<'a> {
    merge: Merge<'a>,
    list: &'a List<'a>,
    /// The scope in the order of the walk.
    order: &'a [&'a Location],
}

/// One page of the locations' own orders, one location after the other.
pub(super) async fn page(merge: Merge<'_>) -> Result<Answer, Error> {
    let shown = merge.wish.bodies.shown();
    let keep = shown.as_deref().map_or(Keep::All, Keep::Only);
    let mut list = merge.list(&merge.wish.bodies, keep);
    let mut order = merge.scope().to_vec();
    if merge.wish.direction == Direction::Descending {
        list.query = list.query.with("sort_dir", merge.wish.direction.as_str());
        order.reverse();
    }
    let concatenation = Concatenation {
        merge,
        list: &list,
        order: &order,
    };
    concatenation.page().await
}

impl Concatenation<'_> {
    async fn page(&self) -> Result<Answer, Error> {
        let Some(marker) = self.merge.marker else {
            return self.fill(Start::default()).await;
        };
        if let Some(start) = self.remembered(marker) {
            match self.fill(start).await {
                Err(Error::Reply(answer)) if answer.status == http::StatusCode::NOT_FOUND => {
                    // The item is not where the hint says. Only the hint was wrong, so this 404 is not the client's.
                    let key = Key::new(self.merge.listing.collection, &marker.item);
                    self.merge.locator.directory.forget(&key);
                }
                other => return other,
            }
        }
        self.fill(self.found(marker).await?).await
    }

    fn place(&self, id: LocationId) -> Option<usize> {
        self.order.iter().position(|location| location.id == id)
    }

    /// The location that the marker names, or where the item was seen last.
    fn remembered(&self, marker: &Marker) -> Option<Start> {
        let merge = &self.merge;
        let course = merge
            .memory
            .course(&merge.walked(), &marker.item, marker.location);
        let at = |place| Start {
            place,
            course: course.clone(),
            page: None,
            is_hint: true,
        };
        if let Some(place) = marker.location.and_then(|id| self.place(id)) {
            return Some(at(place));
        }
        if let Some(course) = &course {
            return Some(at(course.place));
        }
        let key = Key::new(merge.listing.collection, &marker.item);
        let owner = merge.locator.remembered(&key)?;
        self.place(owner.location).map(at)
    }

    /// Asks everybody for what follows the marker.
    async fn found(&self, marker: &Marker) -> Result<Start, Error> {
        let merge = &self.merge;
        let wanted = Some(merge.wish.limit.saturating_add(1));
        let asked = self.order.iter().map(|location| {
            self.list
                .page(&merge.request.asker, location, wanted, Some(&marker.item))
        });
        let (mut found, mut unknown, mut silent) = (None, None, Vec::new());
        for (place, told) in ask_all(asked).await.into_iter().enumerate() {
            let location = self.order[place].id;
            match told {
                // Two locations with this item: going on at the first would list the second's copy again, for ever.
                Ok(PageReply::Page(page)) => found = Some((place, page)),
                Ok(PageReply::Refusal(reply)) => return Err(merge.refuse(reply, location)),
                Ok(PageReply::Unknown(reply)) => {
                    unknown.get_or_insert((location, reply));
                }
                Err(silence) => silent.push(silence),
            }
        }
        match (found, unknown) {
            (Some((place, page)), _) => Ok(Start {
                place,
                course: None,
                page: Some(page),
                is_hint: false,
            }),
            (None, Some((location, reply))) if silent.is_empty() => {
                Err(merge.refuse(reply, location))
            }
            (None, None) if silent.is_empty() => Err(merge.nobody_has(marker)),
            (None, _) => Err(Error::Silent(silent)),
        }
    }

    /// Asks until the page is full and it is known whether more follows, or until nobody has more.
    async fn fill(&self, start: Start) -> Result<Answer, Error> {
        let merge = &self.merge;
        let asker = &merge.request.asker;
        let mut stops: Vec<Stop<'_>> = self
            .order
            .iter()
            .enumerate()
            .map(|(place, location)| {
                let marker = merge.marker.filter(|_| place == start.place);
                let from = marker.map(|marker| marker.item.clone());
                Stop {
                    walk: Walk::behind(self.list, asker, location, from),
                    pages: Vec::new(),
                    state: State::Open,
                }
            })
            .collect();
        if let Some(page) = start.page {
            let stop = &mut stops[start.place];
            match stop.walk.begin_with(page) {
                Ok(page) => stop.pages.push(Arc::new(page)),
                Err(silence) => stop.state = State::Silent(silence),
            }
            if stop.walk.has_ended() {
                stop.state = State::Ended;
            }
        }
        let known = self.known(start.place, start.course.as_ref());
        // One more than the page: `next` is present exactly when something follows. Ironic has it after a full last
        // page too.
        let limit = merge.wish.limit;
        let wanted = limit.saturating_add(1);
        let mut least = 1;
        let mut manner =
            if start.course.is_none() && (merge.wish.is_filtered() || !merge.wish.is_limited) {
                Manner::Spreading
            } else {
                Manner::Sparing
            };
        loop {
            let Reached { count, place } = reached(&stops, start.place, wanted);
            let is_full =
                count >= wanted || (count == limit && known.has_more_behind(&stops, place));
            let is_silent = stops
                .get(place)
                .is_some_and(|stop| matches!(stop.state, State::Silent(_)));
            // What a silent location has is unknown, but it belongs on a later page if this one is full.
            if is_full || place == stops.len() || (is_silent && count >= limit) {
                break;
            }
            let need = |wanted| Need {
                wanted,
                least,
                manner,
            };
            let is_proof = count == limit && least == 1;
            // Whether anything follows a full page tells the location where it ended, and for all the pages that follow
            // the last one: a location that gives no more than a page would otherwise be asked twice for each.
            let last = (is_proof && start.course.is_none())
                .then(|| known.last_behind(&stops, place))
                .flatten();
            let asks = if is_proof {
                let both = [place].into_iter().chain(last);
                both.map(|ahead| Ask { ahead, limit: 1 }).collect()
            } else {
                let asks = known.plan(&stops, place, &need((limit - count).max(1)));
                let end = asks.last().map_or(place, |ask| ask.ahead);
                if count < limit && known.has_more_behind(&stops, end) {
                    asks
                } else {
                    known.plan(&stops, place, &need(wanted - count))
                }
            };
            manner = Manner::Sparing;
            let hint = start.is_hint.then_some(start.place);
            self.ask(&mut stops, &asks, hint, last).await?;
            // The locations asked had nothing, as with a filter: ask twice as many next, so that 100 of them take 7
            // rounds.
            let is_vain = reached(&stops, start.place, wanted).count == count;
            least = if is_vain { asks.len() * 2 } else { 1 };
            if self.is_denied(&stops[start.place..]) {
                break;
            }
        }
        self.answer(&stops, start.place, &known)
    }

    /// If a required location is silent the answer is a 503 already, and further questions are useless.
    fn is_denied(&self, stops: &[Stop<'_>]) -> bool {
        let reached = stops.iter().take_while(|stop| !stop.is_open());
        let silent: Vec<Silence> = reached.filter_map(Stop::silence).collect();
        !silent.is_empty() && self.merge.tolerate(silent).is_err()
    }

    /// `hint`: whose 404 may only mean that the walk is not there. `beside`: who is not waited for if it is slow.
    async fn ask(
        &self,
        stops: &mut [Stop<'_>],
        asks: &[Ask],
        hint: Option<usize>,
        beside: Option<usize>,
    ) -> Result<(), Error> {
        let limits: Vec<Option<usize>> = (0..stops.len())
            .map(|place| {
                let ask = asks.iter().find(|ask| ask.ahead == place);
                ask.map(|ask| ask.limit)
            })
            .collect();
        let asked = stops.iter_mut().zip(limits).enumerate();
        let asked = asked.filter_map(|(place, (stop, limit))| {
            limit.map(|limit| async move {
                let told = stop.walk.next(Some(limit));
                let told = if beside == Some(place) {
                    timeout(PATIENCE, told).await.ok()
                } else {
                    Some(told.await)
                };
                (place, stop, told)
            })
        });
        for (place, stop, told) in ask_all(asked).await {
            let location = stop.walk.location().id;
            let Some(told) = told else {
                continue;
            };
            match told {
                Ok(page) => {
                    stop.pages.extend(page.map(Arc::new));
                    if stop.walk.has_ended() {
                        stop.state = State::Ended;
                    }
                }
                Err(Halt::Silent(silence)) => stop.state = State::Silent(silence),
                Err(Halt::Refusal(reply)) => return Err(self.merge.refuse(reply, location)),
                Err(Halt::Unknown(reply)) if hint == Some(place) => {
                    return Err(self.merge.refuse(reply, location));
                }
                Err(Halt::Unknown(reply)) => stop.state = State::Unknown(reply),
            }
        }
        Ok(())
    }

    /// How many items locations have, as far as is remembered.
    fn known(&self, first: usize, course: Option<&Course>) -> Known {
        let merge = &self.merge;
        let is_counted = !merge.wish.is_filtered() && merge.listing.is_of_collection();
        let mut totals = if is_counted {
            let scope = self.order.iter().map(|location| location.id);
            merge.memory.totals_of(merge.listing.collection, scope)
        } else {
            vec![None; self.order.len()]
        };
        // What this walk counted is newer than what earlier lists and sweeps did.
        for (total, found) in totals
            .iter_mut()
            .zip(course.iter().flat_map(|course| &course.totals))
        {
            *total = found.map(|found| found as usize).or(*total);
        }
        Known {
            totals,
            first,
            given: match (course, merge.marker) {
                (Some(course), _) => Some(course.given),
                (None, None) => Some(0),
                (None, Some(_)) => None,
            },
            ahead: course.and_then(|course| course.ahead),
        }
    }

    fn answer(&self, stops: &[Stop<'_>], first: usize, known: &Known) -> Result<Answer, Error> {
        let merge = &self.merge;
        let limit = merge.wish.limit;
        // Without a location there is no first one.
        if let (Some(_), Some(stop)) = (merge.marker, stops.get(first))
            && let (State::Silent(silence), []) = (&stop.state, &stop.pages[..])
        {
            // Only the marker's own location knows what follows it: 503 instead of an empty page.
            return Err(silence.clone().into());
        }
        let mut items: Vec<Taken> = Vec::new();
        let mut places = Vec::new();
        let (mut silent, mut unknown) = (Vec::new(), None);
        let (mut last, mut more) = (first, false);
        for (place, stop) in stops.iter().enumerate().skip(first) {
            let location = stop.walk.location().id;
            for item in stop.pages.iter().flat_map(Taken::all) {
                if items.len() == limit {
                    more = true;
                    break;
                }
                items.push(item);
                places.push(location);
                last = place;
            }
            match &stop.state {
                _ if more => break,
                State::Open | State::Silent(_) if items.len() == limit => {
                    more = true;
                    break;
                }
                State::Silent(silence) => silent.push(silence.clone()),
                State::Unknown(reply) => {
                    unknown.get_or_insert((location, reply.clone()));
                }
                State::Open | State::Ended => {}
            }
        }
        let nobody = stops[first..]
            .iter()
            .all(|stop| matches!(stop.state, State::Unknown(_) | State::Silent(_)));
        match unknown {
            Some((location, reply)) if nobody && silent.is_empty() => {
                return Err(merge.refuse(reply, location));
            }
            // Every location that answered gave a 404, and others are silent: that is unknown, not an empty list.
            Some(_) if nobody => return Err(Error::Silent(silent)),
            _ => {}
        }
        let missing = merge.tolerate(silent)?;
        self.count(stops, first);
        let end = items.last().filter(|_| more).and_then(|end| {
            let id = end.item().id()?.into_owned();
            Some((id, *places.last()?))
        });
        let next = end.map(|(item, location)| {
            if missing.is_empty() {
                let given = places.iter().filter(|&&at| at == location).count();
                let course = known.after(stops, last, given);
                let end = (item.clone(), location);
                merge.memory.keep_course(merge.walked(), end, course);
            }
            let is_only = self.is_only(stops, &item);
            Marker {
                item,
                location: Some(location).filter(|_| !is_only),
            }
        });
        merge.finish(Finished {
            items,
            places,
            next,
            walk: None,
            missing,
        })
    }

    /// Whether it is known that no other location has an item with this identifier: only then does the plain marker say
    /// where the walk goes on. Most pages end before all was read.
    fn is_only(&self, stops: &[Stop<'_>], item: &str) -> bool {
        let is_whole = !self.merge.wish.is_filtered() && self.merge.marker.is_none();
        let of_that_name = || {
            let items = stops
                .iter()
                .flat_map(|stop| &stop.pages)
                .flat_map(|page| page.items());
            items
                .filter(|one| one.id().as_deref() == Some(item))
                .count()
        };
        stops.len() == 1
            || (is_whole
                && stops.iter().all(|stop| matches!(stop.state, State::Ended))
                && of_that_name() == 1)
    }

    /// What locations have that were read from the start to the end.
    fn count(&self, stops: &[Stop<'_>], first: usize) {
        let merge = &self.merge;
        if merge.wish.is_filtered() || !merge.listing.is_of_collection() {
            return;
        }
        for (place, stop) in stops.iter().enumerate() {
            let is_whole = place != first || merge.marker.is_none();
            if is_whole && matches!(stop.state, State::Ended) {
                let location = stop.walk.location().id;
                merge
                    .memory
                    .counted(merge.listing.collection, location, stop.count());
            }
        }
    }
}
