//! `ironic-proxy sync`: what should be the same at every location and is not; with `--apply`, copies what is missing.
//! Copies that differ are shown and left alone: which one is right, only people know.

use std::collections::BTreeMap;
use std::io;
use std::io::IsTerminal;
use std::io::Write;
use std::sync::Arc;

use futures_util::future::join_all;
use http::Method;
use http::StatusCode;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use thiserror::Error;

use crate::api::collection::Collection;
use crate::api::collection::Spread;
use crate::api::microversion::Microversion;
use crate::api::query::Query;
use crate::api::query::encode_segment;
use crate::config::Config;
use crate::config::LocationId;
use crate::federate::replicated::SET_BY_IRONIC;
use crate::keystone;
use crate::locations::Locations;
use crate::locations::location::Location;
use crate::locations::location::LocationError;
use crate::locations::question::Asker;
use crate::locations::question::Body;
use crate::locations::question::Question;
use crate::wire::budget::Budget;
use crate::wire::transport::Transport;

/// Of a runbook; Ironic takes them at a path of their own.
const TRAITS: &str = "traits";

/// Why drift cannot be told or mended. Nothing is copied unless every location was read.
#[derive(Debug, Error)]
pub enum SyncError {
    #[error("{0}")]
    Location(#[from] LocationError),
    #[error("location {0} could not be asked: nothing was changed")]
    Silent(String),
    #[error("{0} could not be copied")]
    NotCopied(usize),
    #[error("{0}")]
    Output(#[from] io::Error),
}

/// What to do about what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Show,
    Apply,
}

/// What a whole run may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_hours(1);

type Object = Map<String, Value>;
/// UUID to what each location has under it.
type Copies = BTreeMap<String, BTreeMap<LocationId, Object>>;

/// Runs the subcommand and prints what it finds.
pub async fn run(config: &Config, mode: Mode) -> Result<(), SyncError> {
    keystone::client::install_crypto_provider();
    let locations = Locations::new(config)?;
    let transport = Transport::new(config.locations.len(), Budget::new(config.api.max_buffered));
    let asker = Asker::gateway(&Arc::new(transport), PATIENCE);
    for location in locations.iter() {
        location.resolve().await;
        let standing = location
            .probe(&asker)
            .await
            .ok_or_else(|| SyncError::Silent(location.name().to_owned()))?;
        locations.learn(location.id, standing);
    }
    let Some(common) = locations.common() else {
        return Ok(());
    };
    let (mut missing, mut failed) = (0, 0);
    let replicated = Collection::ALL
        .into_iter()
        .filter(|collection| collection.facts().spread == Spread::Replicated);
    for collection in replicated.filter(|collection| collection.since() <= common.max()) {
        progress(&format!("reading {}", collection.facts().path));
        let copies = read(&locations, &asker, collection, common.max()).await?;
        for (uuid, held) in &copies {
            let absent: Vec<&Location> = locations
                .iter()
                .filter(|location| !held.contains_key(&location.id))
                .collect();
            let Some(original) = held.values().next() else {
                continue;
            };
            let title = title(collection, uuid, original);
            let differing = differences(held);
            if !differing.is_empty() {
                say(&format!(
                    "{title} differs between locations: {}",
                    differing.join(", ")
                ))?;
            }
            for location in absent {
                missing += 1;
                if mode == Mode::Show {
                    say(&format!("{title} is missing at {}", location.name()))?;
                    continue;
                }
                progress(&format!("copying {title} to {}", location.name()));
                match copy(&asker, location, collection, original, common.max()).await {
                    Ok(()) => say(&format!("{title} copied to {}", location.name()))?,
                    Err(why) => {
                        failed += 1;
                        say(&format!("{title} not copied to {}: {why}", location.name()))?;
                    }
                }
            }
        }
    }
    progress("");
    match mode {
        Mode::Show => say(&format!(
            "{missing} missing; `ironic-proxy sync --apply` copies what is missing"
        ))?,
        Mode::Apply => say(&format!("{} copied, {failed} not", missing - failed))?,
    }
    if failed > 0 {
        Err(SyncError::NotCopied(failed))
    } else {
        Ok(())
    }
}

async fn read(
    locations: &Locations,
    asker: &Asker,
    collection: Collection,
    version: Microversion,
) -> Result<Copies, SyncError> {
    let each = join_all(
        locations
            .iter()
            .map(|location| read_one(asker, location, collection, version)),
    )
    .await;
    let mut copies = Copies::new();
    for (location, objects) in locations.iter().zip(each) {
        let objects = objects.ok_or_else(|| SyncError::Silent(location.name().to_owned()))?;
        for object in objects {
            let uuid = object
                .get("uuid")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            copies.entry(uuid).or_default().insert(location.id, object);
        }
    }
    Ok(copies)
}

/// `None`: it could not be read to the end.
async fn read_one(
    asker: &Asker,
    location: &Location,
    collection: Collection,
    version: Microversion,
) -> Option<Vec<Object>> {
    let facts = collection.facts();
    let mut objects: Vec<Object> = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        // The chassis is older than the parameter.
        let mut path = format!("/v1/{}", facts.path);
        let mut query = Query::default();
        if collection == Collection::Chassis {
            path.push_str("/detail");
        } else {
            query = query.with("detail", "True");
        }
        if let Some(marker) = &marker {
            query = query.with("marker", marker.as_str());
        }
        query.append_to(&mut path);
        let reply = location
            .reply(asker, &Question::get(path, version))
            .await
            .ok()?;
        if reply.status != StatusCode::OK {
            return None;
        }
        let mut body: Object = serde_json::from_slice(&reply.body).ok()?;
        let Some(Value::Array(items)) = body.remove(facts.key) else {
            return None;
        };
        let before = objects.len();
        objects.extend(items.into_iter().filter_map(|item| match item {
            Value::Object(object) => Some(object),
            _ => None,
        }));
        let last = objects[before..]
            .last()
            .and_then(|object| object.get("uuid")?.as_str())
            .map(str::to_owned);
        match last.filter(|last| body.contains_key("next") && marker.as_ref() != Some(last)) {
            Some(last) => marker = Some(last),
            None => return Some(objects),
        }
    }
}

/// Attributes that are not the same everywhere, as far as clients set them.
fn differences(held: &BTreeMap<LocationId, Object>) -> Vec<String> {
    let mut copies = held.values();
    let Some(first) = copies.next() else {
        return Vec::new();
    };
    // Traits are set apart from the rest, but by clients too.
    let own = |name: &&String| *name == TRAITS || !SET_BY_IRONIC.contains(&name.as_str());
    let mut names: Vec<String> = copies
        .flat_map(|other| {
            first
                .keys()
                .filter(own)
                .filter(|name| !is_same(name, other.get(*name), first.get(*name)))
        })
        .cloned()
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Traits have no order.
fn is_same(name: &str, one: Option<&Value>, other: Option<&Value>) -> bool {
    let sorted = |value: Option<&Value>| {
        let mut traits: Vec<String> = value?.as_array()?.iter().map(Value::to_string).collect();
        traits.sort_unstable();
        Some(traits)
    };
    if name == TRAITS {
        sorted(one) == sorted(other)
    } else {
        one == other
    }
}

async fn copy(
    asker: &Asker,
    location: &Location,
    collection: Collection,
    original: &Object,
    version: Microversion,
) -> Result<(), String> {
    let mut object = original.clone();
    object.retain(|name, value| !SET_BY_IRONIC.contains(&name.as_str()) && !value.is_null());
    let path = format!("/v1/{}", collection.facts().path);
    write(
        asker,
        location,
        Method::POST,
        path.clone(),
        version,
        Value::Object(object),
    )
    .await?;
    let traits = original.get(TRAITS).and_then(Value::as_array);
    let uuid = original.get("uuid").and_then(Value::as_str);
    match (traits, uuid) {
        (Some(traits), Some(uuid)) if !traits.is_empty() => {
            let path = format!("{path}/{}/{TRAITS}", encode_segment(uuid));
            write(
                asker,
                location,
                Method::PUT,
                path,
                version,
                json!({ TRAITS: traits }),
            )
            .await
        }
        _ => Ok(()),
    }
}

async fn write(
    asker: &Asker,
    location: &Location,
    method: Method,
    path: String,
    version: Microversion,
    body: Value,
) -> Result<(), String> {
    let mut question = Question::get(path, version);
    question.method = method;
    question.body = Body::Whole(body.to_string().into());
    match location.reply(asker, &question).await {
        Ok(reply) if reply.status.is_success() => Ok(()),
        Ok(reply) => {
            Err(crate::api::fault::text_of(&reply.body).unwrap_or_else(|| reply.status.to_string()))
        }
        Err(silence) => Err(format!("could not be asked ({})", silence.reason)),
    }
}

fn title(collection: Collection, uuid: &str, object: &Object) -> String {
    let noun = collection.facts().noun;
    match object
        .get("name")
        .or_else(|| object.get("description"))
        .and_then(Value::as_str)
    {
        Some(name) => format!("{noun} {name} ({uuid})"),
        None => format!("{noun} {uuid}"),
    }
}

fn say(line: &str) -> io::Result<()> {
    progress("");
    writeln!(io::stdout(), "{line}")
}

/// One line that is written over, where somebody watches.
fn progress(line: &str) {
    let mut terminal = io::stderr();
    if terminal.is_terminal() {
        // A terminal that is gone is nobody watching.
        let _ = write!(terminal, "\r\x1b[K{line}").and_then(|()| terminal.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_what_clients_set() {
        let copy = |text: &str| serde_json::from_str::<Object>(text).unwrap();
        let held = BTreeMap::from([
            (
                LocationId(0),
                copy(
                    r#"{"uuid": "u", "name": "a", "steps": [1], "created_at": "x", "links": [1]}"#,
                ),
            ),
            (
                LocationId(1),
                copy(
                    r#"{"uuid": "u", "name": "a", "steps": [2], "created_at": "y", "links": [2]}"#,
                ),
            ),
        ]);
        assert_eq!(differences(&held), ["steps"]);
    }
}
