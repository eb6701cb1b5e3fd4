//! The collections of the Bare Metal API and how each is spread over the locations: one row for each collection.

use crate::api::link::Kind;
use crate::api::microversion::Microversion;

/// A collection that the gateway knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Collection {
    Nodes,
    Ports,
    Portgroups,
    VolumeConnectors,
    VolumeTargets,
    Allocations,
    Chassis,
    DeployTemplates,
    Runbooks,
    InspectionRules,
    Drivers,
    Conductors,
    Shards,
}

/// Where the members of a collection live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Each member at one location; lists are merged, members are found.
    Located,
    /// Each member at every location, under one UUID; listed once, written everywhere.
    Replicated,
    /// One answer made of all locations' answers.
    United,
}

/// What the gateway must know of a collection: the rest is Ironic's business.
#[derive(Debug, PartialEq, Eq)]
pub struct Facts {
    /// Below `/v1/`.
    pub path: &'static str,
    /// The member of a list body that holds the items.
    pub key: &'static str,
    /// As Ironic's errors call a member.
    pub noun: &'static str,
    /// The member that identifies an item, and what a marker names.
    pub id: &'static str,
    /// What an item shows when a list is asked for neither fields nor detail. Empty: everything.
    pub default_fields: &'static [&'static str],
    /// Not shown by a list without detail, and not selectable there: it refuses them, or fails (`conductor`).
    pub detail_only: &'static [&'static str],
    /// Items have names that they can be asked for by, and since which minor version these are shown.
    pub name_since: Option<i64>,
    pub spread: Spread,
    pub kind: Kind,
}

const NONE: &[&str] = &[];
const OF_NODES: &[&str] = &["created_at", "updated_at", "conductor"];

impl Facts {
    /// Whether a list shows all of these by `fields`.
    pub fn selects(&self, members: &[&str]) -> bool {
        !members
            .iter()
            .any(|member| self.detail_only.contains(member))
    }
}

impl Collection {
    pub const ALL: [Self; 13] = [
        Self::Nodes,
        Self::Ports,
        Self::Portgroups,
        Self::VolumeConnectors,
        Self::VolumeTargets,
        Self::Allocations,
        Self::Chassis,
        Self::DeployTemplates,
        Self::Runbooks,
        Self::InspectionRules,
        Self::Drivers,
        Self::Conductors,
        Self::Shards,
    ];

    /// The table (Ironic's `api/controllers/v1/*.py`, `_DEFAULT_RETURN_FIELDS`).
    #[rustfmt::skip]
    pub fn facts(self) -> &'static Facts {
        use Spread::{Located, Replicated, United};
        match self {
            Self::Nodes => &Facts { path: "nodes", key: "nodes", noun: "Node", id: "uuid", name_since: Some(5), spread: Located, kind: Kind::Node, detail_only: OF_NODES,
                default_fields: &["instance_uuid", "maintenance", "power_state", "provision_state", "uuid", "name"] },
            Self::Ports => &Facts { path: "ports", key: "ports", noun: "Port", id: "uuid", name_since: Some(88), spread: Located, kind: Kind::Plain, detail_only: NONE,
                default_fields: &["uuid", "address"] },
            Self::Portgroups => &Facts { path: "portgroups", key: "portgroups", noun: "Portgroup", id: "uuid", name_since: Some(23), spread: Located, kind: Kind::Portgroup, detail_only: NONE,
                default_fields: &["uuid", "address", "name"] },
            Self::VolumeConnectors => &Facts { path: "volume/connectors", key: "connectors", noun: "Volume connector", id: "uuid", name_since: None, spread: Located, kind: Kind::Plain, detail_only: NONE,
                default_fields: &["uuid", "node_uuid", "type", "connector_id"] },
            Self::VolumeTargets => &Facts { path: "volume/targets", key: "targets", noun: "Volume target", id: "uuid", name_since: None, spread: Located, kind: Kind::Plain, detail_only: NONE,
                default_fields: &["uuid", "node_uuid", "volume_type", "boot_index", "volume_id"] },
            Self::Allocations => &Facts { path: "allocations", key: "allocations", noun: "Allocation", id: "uuid", name_since: Some(52), spread: Located, kind: Kind::Plain, detail_only: NONE,
                default_fields: NONE },
            Self::Chassis => &Facts { path: "chassis", key: "chassis", noun: "Chassis", id: "uuid", name_since: None, spread: Replicated, kind: Kind::Chassis, detail_only: NONE,
                default_fields: &["uuid", "description"] },
            Self::DeployTemplates => &Facts { path: "deploy_templates", key: "deploy_templates", noun: "Deploy template", id: "uuid", name_since: Some(55), spread: Replicated, kind: Kind::Plain, detail_only: NONE,
                default_fields: &["uuid", "name"] },
            Self::Runbooks => &Facts { path: "runbooks", key: "runbooks", noun: "Runbook", id: "uuid", name_since: Some(92), spread: Replicated, kind: Kind::Plain, detail_only: NONE,
                default_fields: &["uuid", "name"] },
            Self::InspectionRules => &Facts { path: "inspection_rules", key: "inspection_rules", noun: "Rule", id: "uuid", name_since: None, spread: Replicated, kind: Kind::InspectionRule, detail_only: NONE,
                default_fields: &["uuid", "priority", "phase", "description"] },
            Self::Drivers => &Facts { path: "drivers", key: "drivers", noun: "Driver", id: "name", name_since: None, spread: United, kind: Kind::Driver, detail_only: NONE,
                default_fields: NONE },
            Self::Conductors => &Facts { path: "conductors", key: "conductors", noun: "Conductor", id: "hostname", name_since: None, spread: Located, kind: Kind::Conductor, detail_only: NONE,
                default_fields: &["hostname", "conductor_group", "alive"] },
            Self::Shards => &Facts { path: "shards", key: "shards", noun: "Shard", id: "name", name_since: None, spread: United, kind: Kind::Plain, detail_only: NONE,
                default_fields: NONE },
        }
    }

    /// The microversion that first has it.
    pub fn since(self) -> Microversion {
        Microversion::new(
            1,
            match self {
                Self::Nodes | Self::Ports | Self::Chassis | Self::Drivers => 1,
                Self::Portgroups => 23,
                Self::VolumeConnectors | Self::VolumeTargets => 32,
                Self::Conductors => 49,
                Self::Allocations => 52,
                Self::DeployTemplates => 55,
                Self::Shards => 82,
                Self::Runbooks => 92,
                Self::InspectionRules => 96,
            },
        )
    }

    /// Whether an Ironic shows the names of members in this version, and lets `fields` select them.
    pub fn shows_names(self, version: Microversion) -> bool {
        let since = self.facts().name_since;
        since.is_some_and(|since| version.minor >= since)
    }

    /// Whether it finds members by name. It does ports in every version (`Port.get` in `objects/port.py`), also where it does
    /// not show what they are called.
    pub fn finds_names(self, version: Microversion) -> bool {
        self == Self::Ports || self.shows_names(version)
    }

    /// By an integer Ironic finds the member with this number in its database, whatever is called so (`get` of its
    /// `objects/port.py`, `portgroup.py`, `volume_connector.py` and `volume_target.py`).
    pub fn is_numbered(self) -> bool {
        matches!(
            self,
            Self::Ports | Self::Portgroups | Self::VolumeConnectors | Self::VolumeTargets
        )
    }

    /// Members are remembered in the node cache.
    pub fn is_cached(self) -> bool {
        // Hostnames are unique within one Ironic only: two locations may both have a `conductor-0`.
        self.facts().spread == Spread::Located && self != Self::Conductors
    }
}
