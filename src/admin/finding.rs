//! `GET /locate/IDENT`: where a thing is, where that knowledge comes from, and since when.

use std::time::Duration;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use crate::api::collection::Collection;
use crate::api::microversion::VersionRange;
use crate::config::LocationId;
use crate::federate::Federation;
use crate::locate::LocateError;
use crate::locate::directory::Key;
use crate::locate::directory::Remembered;
use crate::locations::question::Asker;

/// What is known of an identifier, in each collection that has it.
#[derive(Debug, Serialize)]
pub struct Finding {
    ident: String,
    /// Whether the locations were asked, or only the directory.
    asked: bool,
    found: Vec<Found>,
    /// Locations that could not be asked, so that there may be more.
    unknown: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Found {
    collection: &'static str,
    location: String,
    /// `directory`: it was seen there; `asked`: it was there a moment ago.
    known_by: &'static str,
    /// How far the directory is believed: `sure`, `seen` (a name that another location may have, too) or `contested`.
    belief: Option<&'static str>,
    since: Option<Timestamp>,
    uuid: Option<String>,
    name: Option<String>,
}

/// What the directory knows.
pub fn remembered(federation: &Federation, ident: &str) -> Finding {
    let now = Instant::now();
    let found = cached().filter_map(|collection| {
        let key = Key::new(collection, ident);
        let known = federation.locator.seen(&key, now)?;
        Some(as_remembered(federation, collection, known))
    });
    Finding {
        ident: ident.to_owned(),
        asked: false,
        found: found.collect(),
        unknown: Vec::new(),
    }
}

fn as_remembered(
    federation: &Federation,
    collection: Collection,
    known: Remembered<LocationId>,
) -> Found {
    let age = jiff::SignedDuration::try_from(known.age).unwrap_or_default();
    Found {
        collection: collection.facts().path,
        location: federation
            .locations
            .location(known.location)
            .name()
            .to_owned(),
        known_by: "directory",
        belief: Some(known.belief),
        since: Timestamp::now().checked_sub(age).ok(),
        uuid: known.uuid.map(|uuid| uuid.to_string()),
        name: known.name.map(|name| name.to_string()),
    }
}

/// What every location says now.
pub async fn asked(federation: &Federation, asker: &Asker, ident: &str) -> Finding {
    let mut finding = Finding {
        ident: ident.to_owned(),
        asked: true,
        found: Vec::new(),
        unknown: Vec::new(),
    };
    let newest = federation.locations.common().map(VersionRange::max);
    for collection in
        cached().filter(|collection| newest.is_none_or(|newest| newest >= collection.since()))
    {
        let key = Key::new(collection, ident);
        match federation.locator.ask_anew(asker, &key).await {
            Ok(owner) => finding.found.push(Found {
                collection: collection.facts().path,
                location: federation
                    .locations
                    .location(owner.location)
                    .name()
                    .to_owned(),
                known_by: "asked",
                belief: None,
                since: Some(Timestamp::now()),
                uuid: owner.uuid.map(|uuid| uuid.to_string()),
                name: None,
            }),
            // Not an error here: an identifier is usually of one collection, and all are tried.
            Err(LocateError::Nobody { .. }) => {}
            Err(LocateError::Ambiguous { owners } | LocateError::Contested { owners }) => {
                finding.found.extend(owners.iter().map(|owner| Found {
                    collection: collection.facts().path,
                    location: federation.locations.location(*owner).name().to_owned(),
                    known_by: "asked",
                    belief: Some("contested"),
                    since: Some(Timestamp::now()),
                    uuid: None,
                    name: None,
                }));
            }
            Err(LocateError::Unasked { silent }) => {
                let each = silent.iter().map(|silence| {
                    let name = federation.locations.location(silence.location).name();
                    format!("{}: {name} ({})", collection.facts().path, silence.reason)
                });
                finding.unknown.extend(each);
            }
            Err(LocateError::Refused { by, reply }) => {
                let (path, name) = (
                    collection.facts().path,
                    federation.locations.location(by).name(),
                );
                finding
                    .unknown
                    .push(format!("{path}: {name} ({})", reply.status.as_u16()));
            }
            Err(LocateError::Unready) => {
                let text = format!(
                    "{}: no location has told its versions",
                    collection.facts().path
                );
                finding.unknown.push(text);
            }
        }
    }
    finding
}

fn cached() -> impl Iterator<Item = Collection> {
    Collection::ALL
        .into_iter()
        .filter(|collection| collection.is_cached())
}

/// Bound on one such question.
pub const PATIENCE: Duration = Duration::from_secs(30);
