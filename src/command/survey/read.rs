//! Reads what each location has, page by page; sends GET requests only.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::Value;

use crate::api::bmc::bmcs;
use crate::api::collection::Collection;
use crate::api::query::Query;
use crate::api::resource::tree;
use crate::command::survey::compare::Holding;
use crate::locations::location::Location;
use crate::locations::silence::Silence;
use crate::locations::walk::List;
use crate::locations::walk::Walk;
use crate::locations::window::ask_all;
use crate::sync::sites::Sites;
use crate::sync::sites::Unanswered;

/// A value that only one location may have, or values that only one has together.
struct Column {
    collection: Collection,
    members: &'static [&'static str],
    kind: &'static str,
}

const fn column(
    collection: Collection,
    members: &'static [&'static str],
    kind: &'static str,
) -> Column {
    Column {
        collection,
        members,
        kind,
    }
}

impl Column {
    fn value(&self, item: &Value) -> Option<String> {
        let each = self.members.iter().map(|member| item[member].as_str());
        let words: Option<Vec<_>> = each
            .map(|text| text.filter(|text| !text.is_empty()))
            .collect();
        // MySQL compares without regard to case, so "Node-A" and "node-a" can be one name.
        words.map(|words| words.join(" ").to_lowercase())
    }
}

/// The unique columns of `ironic/db/sqlalchemy/models.py` that are unique beyond one node.
const UNIQUE: &[Column] = &[
    column(Collection::Nodes, &["uuid"], "node UUID"),
    column(Collection::Nodes, &["name"], "node name"),
    column(Collection::Nodes, &["instance_uuid"], "instance UUID"),
    column(Collection::Ports, &["uuid"], "port UUID"),
    column(Collection::Ports, &["name"], "port name"),
    column(Collection::Ports, &["address"], "port MAC"),
    column(Collection::Portgroups, &["uuid"], "portgroup UUID"),
    column(Collection::Portgroups, &["name"], "portgroup name"),
    column(Collection::Portgroups, &["address"], "portgroup MAC"),
    column(
        Collection::VolumeConnectors,
        &["uuid"],
        "volume connector UUID",
    ),
    column(
        Collection::VolumeConnectors,
        &["type", "connector_id"],
        "volume connector",
    ),
    column(Collection::VolumeTargets, &["uuid"], "volume target UUID"),
    column(Collection::Allocations, &["uuid"], "allocation UUID"),
    column(Collection::Allocations, &["name"], "allocation name"),
];

/// Which version first shows a member (Ironic's `VERSIONED_FIELDS`).
const GROUPS_SINCE: i64 = 46;

pub(super) async fn read(sites: &Sites) -> Result<Vec<Holding>, Vec<Unanswered>> {
    let each = sites
        .locations
        .iter()
        .map(|location| read_one(sites, location));
    let (mut holdings, mut unanswered) = (Vec::new(), Vec::new());
    for outcome in ask_all(each).await {
        match outcome {
            Ok(holding) => holdings.push(holding),
            Err(Silence {
                location, reason, ..
            }) => unanswered.push(Unanswered { location, reason }),
        }
    }
    if unanswered.is_empty() {
        Ok(holdings)
    } else {
        Err(unanswered)
    }
}

async fn read_one(sites: &Sites, location: &Location) -> Result<Holding, Silence> {
    let standing = location.standing().ok_or_else(|| location.misspoke())?;
    let mut holding = Holding {
        name: location.name().to_owned(),
        versions: standing.range,
        nodes: 0,
        conductors: 0,
        groups: BTreeSet::new(),
        bmcs: BTreeSet::new(),
        unique: BTreeSet::new(),
    };
    for collection in [
        Collection::Nodes,
        Collection::Ports,
        Collection::Portgroups,
        Collection::VolumeConnectors,
        Collection::VolumeTargets,
        Collection::Allocations,
        Collection::Conductors,
    ] {
        // A collection that a location's newest version lacks has nothing to clash.
        if standing.range.max() < collection.since() {
            continue;
        }
        read_all(sites, location, collection, |item| {
            note(&mut holding, collection, item);
        })
        .await?;
    }
    Ok(holding)
}

fn note(holding: &mut Holding, collection: Collection, item: &Value) {
    for column in UNIQUE
        .iter()
        .filter(|column| column.collection == collection)
    {
        if let Some(value) = column.value(item) {
            holding.unique.insert((column.kind, value));
        }
    }
    match collection {
        Collection::Nodes => {
            holding.nodes += 1;
            let hosts = bmcs(&item["driver_info"]).into_iter().map(|bmc| bmc.host);
            holding.bmcs.extend(hosts);
        }
        Collection::Conductors => holding.conductors += 1,
        _ => {}
    }
    if let Some(group) = item["conductor_group"].as_str() {
        holding.groups.insert(group.to_lowercase());
    }
}

async fn read_all(
    sites: &Sites,
    location: &Location,
    collection: Collection,
    mut note: impl FnMut(&Value),
) -> Result<(), Silence> {
    let version = sites.newest(location.id);
    let unique = UNIQUE
        .iter()
        .filter(|column| column.collection == collection);
    let named = collection.facts().name_since;
    let is_named = named.is_some_and(|since| version.minor >= since);
    let mut fields: Vec<_> = unique
        .flat_map(|column| column.members.iter().copied())
        .filter(|member| *member != "name" || is_named)
        .collect();
    match collection {
        Collection::Conductors => fields.extend(["hostname", "conductor_group"]),
        Collection::Nodes if version.minor >= GROUPS_SINCE => {
            fields.extend(["driver_info", "conductor_group"]);
        }
        Collection::Nodes => fields.push("driver_info"),
        _ => {}
    }
    let query = Query::default().with("fields", fields.join(","));
    let list = List::own(collection, version, query);
    let asker = sites.asker();
    let mut walk = Walk::new(&list, &asker, location);
    while let Some(page) = walk
        .next(None)
        .await
        .map_err(|halt| halt.silence(location))?
    {
        for item in page.items() {
            // As the location wrote it: with its own names of groups.
            note(&tree(&Bytes::copy_from_slice(item.text())));
        }
    }
    Ok(())
}
