//! Asks locations for the identifiers of all that they have, so that the directory knows what is there, and no longer
//! what is not.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use log::debug;
use uuid::Uuid;

use crate::api::collection::Collection;
use crate::api::query::Query;
use crate::config::LocationId;
use crate::federate::Federation;
use crate::locate::directory::Key;
use crate::locations::location::Location;
use crate::locations::order::Act;
use crate::locations::question::Asker;
use crate::locations::silence::Reason;
use crate::locations::walk::Halt;
use crate::locations::walk::List;
use crate::locations::walk::Walk;
use crate::locations::window::ask_all;
use crate::sync::report::Swept;

/// What was seen of a collection at a location that showed all of it, sorted.
type Shown = HashMap<(LocationId, Collection), Vec<Uuid>>;

/// What a location had to show.
struct Sight<'a> {
    location: &'a Location,
    shown: Vec<(Collection, Vec<Uuid>)>,
    things: usize,
    new: usize,
    took: Duration,
    why: Option<Reason>,
}

/// What is done about a location that has not spoken since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Somebody waits for the end: it is told of.
    Prompt,
    /// It is waited for, for a time.
    Patient,
}

/// How long a location is waited for, and how often it is looked at meanwhile. One that comes later has its turn at the
/// next sweep.
const FIRST_WORD: Duration = Duration::from_mins(5);
const LOOK: Duration = Duration::from_secs(1);

/// Reads all that all locations have. `done` is told after each of them how many are done.
pub async fn sweep(
    federation: &Federation,
    asker: &Asker,
    manner: Manner,
    done: impl Fn(usize),
) -> Vec<Swept> {
    let begun = Instant::now();
    let count = AtomicUsize::new(0);
    // Where only users have rights nothing is learnt, so nothing is asked.
    let ours = federation
        .locations
        .iter()
        .filter(|location| !location.config.forward_user_token);
    let sights = ask_all(ours.map(async |location| {
        if manner == Manner::Patient {
            // Who never speaks must not keep the others from their next sweep.
            let _ = tokio::time::timeout(FIRST_WORD, spoken(location)).await;
        }
        let sight = look(federation, asker, location).await;
        done(count.fetch_add(1, Ordering::Relaxed) + 1);
        sight
    }))
    .await;
    let mut shown = Shown::new();
    let mut swept = Vec::new();
    for sight in sights {
        let at = sight.location.id;
        let each = sight.shown.into_iter();
        shown.extend(each.map(|(collection, uuids)| ((at, collection), uuids)));
        swept.push((
            at,
            Swept {
                location: sight.location.name().to_owned(),
                things: sight.things,
                new: sight.new,
                gone: 0,
                // Milliseconds, without the binary tail.
                seconds: (sight.took.as_secs_f64() * 1e3).round() / 1e3,
                why: sight.why.map(|reason| reason.to_string()),
            },
        ));
    }
    let mut gone = forget_what_is_gone(federation, &shown, begun);
    let counted = swept.into_iter().map(|(at, swept)| Swept {
        gone: gone.remove(&at).unwrap_or_default(),
        ..swept
    });
    counted.collect()
}

/// Until it has told its versions, or is not to be asked.
async fn spoken(location: &Location) {
    while location.standing().is_none() && location.forbids(Act::Read).is_none() {
        tokio::time::sleep(LOOK).await;
    }
}

async fn look<'a>(federation: &Federation, asker: &Asker, location: &'a Location) -> Sight<'a> {
    let begun = Instant::now();
    let mut sight = Sight {
        location,
        shown: Vec::new(),
        things: 0,
        new: 0,
        took: Duration::ZERO,
        why: location.forbids(Act::Read),
    };
    if sight.why.is_none() && location.standing().is_none() {
        sight.why = Some(location.last_failure());
    }
    if sight.why.is_none() {
        for collection in Collection::ALL
            .into_iter()
            .filter(|collection| collection.is_cached())
        {
            if let Err(reason) = read(federation, asker, &mut sight, collection).await {
                sight.why = Some(reason);
                debug!(
                    "The sweep of {} at `{}` was cut short ({reason})",
                    collection.facts().path,
                    location.name()
                );
            }
        }
    }
    if sight.why.is_none() {
        location.record.swept();
    }
    sight.took = begun.elapsed();
    sight
}

async fn read(
    federation: &Federation,
    asker: &Asker,
    sight: &mut Sight<'_>,
    collection: Collection,
) -> Result<(), Reason> {
    let location = sight.location;
    let Some(standing) = location.standing() else {
        return Err(location.last_failure());
    };
    let version = standing.range.max();
    if version < collection.since() {
        // An Ironic that does not know them has none.
        return Ok(());
    }
    let fields = if collection.shows_names(version) {
        "uuid,name"
    } else {
        "uuid"
    };
    let mut query = Query::default();
    // Ironic knows `fields` from 1.8 on.
    if version.minor >= 8 {
        query = query.with("fields", fields);
    }
    let list = List::own(collection, version, query);
    let mut walk = Walk::new(&list, asker, location);
    let mut uuids = Vec::new();
    let mut total = 0;
    loop {
        let page = match walk.next(None).await {
            Ok(Some(page)) => page,
            Err(Halt::Silent(silence)) => return Err(silence.reason),
            // Of a collection that it does not have Ironic says that it is not there.
            Ok(None) | Err(Halt::Unknown(_)) => break,
            Err(Halt::Refusal(_)) => return Err(Reason::Body),
        };
        total += page.len();
        sight.things += page.len();
        for item in page.items() {
            let id = item.id();
            let now = Instant::now();
            let known = id
                .as_deref()
                .and_then(|id| federation.locator.seen(&Key::new(collection, id), now));
            if known.is_none_or(|known| known.location != location.id) {
                sight.new += 1;
            }
            uuids.extend(id.as_deref().and_then(|id| Uuid::try_parse(id).ok()));
            federation.locator.learn(
                collection,
                id.as_deref(),
                item.name().as_deref(),
                location.id,
            );
        }
    }
    federation.walks.counted(collection, location.id, total);
    uuids.sort_unstable();
    sight.shown.push((collection, uuids));
    Ok(())
}

/// What was known before the sweep at a location that showed all that it has, and was not among that. Forgotten it costs
/// one question to all, if anybody asks for it; kept it would be counted as there.
fn forget_what_is_gone(
    federation: &Federation,
    shown: &Shown,
    begun: Instant,
) -> HashMap<LocationId, usize> {
    let gone: Vec<_> = federation
        .locator
        .known()
        .filter(|(collection, uuid, _, at)| {
            let all = shown.get(&(*at, *collection));
            all.is_some_and(|all| all.binary_search(uuid).is_err())
        })
        .map(|(collection, uuid, _, at)| (Key::new(collection, &uuid.to_string()), at))
        .collect();
    let mut counts = HashMap::new();
    for (key, at) in gone {
        let now = Instant::now();
        let known = federation.locator.seen(&key, now);
        // Ages are whole seconds: what was made during the sweep is not gone.
        let before = now.saturating_duration_since(begun) + Duration::from_secs(1);
        if known.is_some_and(|known| known.age > before) {
            federation.locator.directory.forget(&key);
            *counts.entry(at).or_default() += 1;
        }
    }
    counts
}
