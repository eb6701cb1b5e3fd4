//! The one table of routes, to be held beside Ironic's API reference and `ironic/api/controllers/v1/*.py`.
//!
//! A row is all that is to be said of a route. To add one, add its row and, unless an [`Action`] fits, its handler.

use std::str::Split;

use crate::api::collection::Collection;
use crate::api::rules::Rule;

/// What the gateway does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Merge the lists of all locations.
    List(Collection),
    /// Merge the nodes of a chassis, which every location may have some of.
    ChassisNodes,
    /// Make one: where, the collection decides.
    Create(Collection),
    /// Show, change or delete one member; the identifier is the first parameter.
    Member(Collection),
    /// Something below one member: goes to where the member is.
    Below(Collection),
    /// The same, but Ironic wants the member's UUID and answers with a list of another collection.
    ListBelow {
        of: Collection,
        items: Collection,
    },
    /// A node's events: a list by UUID or name.
    History,
    /// The node is named in the query.
    ValidateNode,
    /// One driver, and what is told of it: united.
    Driver,
    DriverBelow,
    /// Goes to the only location that has the driver.
    DriverPassthru,
    Shards,
    VolumeRoot,
    /// Told to every location.
    Events,
    /// What a ramdisk asks, without credentials.
    Lookup,
    Heartbeat,
    ContinueInspection,
}

/// What a request's body may be, which is what bounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    Ordinary,
    /// With a configuration drive.
    Provision,
    /// What a ramdisk found out.
    Inspection,
    /// A driver's business: it need not be JSON.
    Vendor,
}

/// What Ironic says where a microversion does not know the route yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    /// The function itself decides, once it has found the thing: the location's business.
    ByLocation,
    /// 404, before the request's arguments are looked at (`validation.api_version`).
    NotFound,
    /// 405, likewise.
    NotAllowed,
    /// The whole controller is not there: 404 from the routing layer (`_lookup`), or what its `_route` says.
    Controller,
    /// The path is read as if it were a member's field (`NodesController._lookup` about traits).
    Unseen,
}

/// How a parameter of Ironic's is validated (`ironic/common/args.py`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `args.uuid_or_name`
    Name,
    /// `args.uuid`
    Uuid,
    Text,
}

impl Form {
    /// What Ironic says that it expects.
    pub fn wanted(self) -> &'static str {
        match self {
            Self::Name => "UUID or name",
            Self::Uuid => "UUID",
            Self::Text => "a text without / ; and %",
        }
    }
}

/// Whose thing a rule is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Nobody's.
    Nothing,
    /// All that there are; with this rule only, those of a caller's own project.
    All(Rule),
    /// Likewise, of what is at the node in the path.
    AllOfNode(Rule),
    /// Likewise, of what is at the member in the path.
    AllOf(Collection, Rule),
    /// The node in the path, which has to be seen first.
    Node,
    /// The node that the query names.
    NodeOfQuery,
    /// The node that the body names.
    NodeOfBody,
    /// The node of the member in the path.
    NodeOf(Collection),
    NewNode,
    Allocation,
    /// The allocation of the node in the path.
    AllocationOfNode,
    NewAllocation,
    Runbook,
    NewRunbook,
}

/// One route.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// `*` is any.
    pub method: &'static str,
    /// Below `/v1/`; `{}` is one segment that the client chooses.
    pub template: &'static str,
    pub action: Action,
    /// Ironic's function, its controllers before it: `.` leads to an attribute, `/` to what a `_lookup` finds. Its
    /// parameters in their order, as far as a path may give them; `{}` is what a `_lookup` took.
    function: &'static str,
    /// The minor version that first has it.
    pub since: i64,
    pub below: Below,
    /// The statuses of success.
    pub answers: &'static [u16],
    pub payload: Payload,
    pub rule: Rule,
    pub about: About,
}

impl Row {
    pub fn serves(&self, method: &http::Method) -> bool {
        self.method == "*" || self.method == method.as_str()
    }

    /// Controllers and function: `nodes.states.power`.
    pub fn function(&self) -> &'static str {
        self.function
            .split_once('(')
            .map_or(self.function, |(path, _)| path)
    }

    /// What identifies, and how it is validated; in Ironic's order.
    pub fn parameters(&self) -> Parameters {
        let list = self
            .function
            .split_once('(')
            .map_or("", |(_, list)| list.trim_end_matches(')'));
        Parameters(list.split(", "))
    }

    /// Whether it is a path of the template's.
    pub fn fits(&self, segments: &[String]) -> bool {
        let mut wanted = self.template.split('/');
        segments.iter().all(|segment| {
            wanted
                .next()
                .is_some_and(|want| want == "{}" || want == segment)
        }) && wanted.next().is_none()
    }

    /// A path of the template's.
    pub fn spell(&self, parameters: &[String]) -> Vec<String> {
        self.spells(parameters).map(str::to_owned).collect()
    }

    /// The same, segment by segment.
    pub fn spells<'a>(&'a self, parameters: &'a [String]) -> impl Iterator<Item = &'a str> {
        let mut chosen = parameters.iter();
        self.template.split('/').map(move |segment| match segment {
            "{}" => chosen.next().map_or("", String::as_str),
            literal => literal,
        })
    }

    /// How many segments the client chooses.
    pub fn arity(&self) -> usize {
        self.template.bytes().filter(|byte| *byte == b'{').count()
    }

    const fn answers(mut self, statuses: &'static [u16]) -> Self {
        self.answers = statuses;
        self
    }

    const fn since(mut self, minor: i64, below: Below) -> Self {
        self.since = minor;
        self.below = below;
        self
    }

    const fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }
}

/// Name and form of each parameter of a function.
#[derive(Clone, Debug)]
pub struct Parameters(Split<'static, &'static str>);

impl Iterator for Parameters {
    type Item = (&'static str, Form);

    fn next(&mut self) -> Option<Self::Item> {
        let word = self.0.next().filter(|word| !word.is_empty())?;
        Some(match word.split_once(':') {
            Some((name, "name")) => (name, Form::Name),
            Some((name, "uuid")) => (name, Form::Uuid),
            Some((name, _)) => (name, Form::Text),
            None => (word, Form::Text),
        })
    }
}

/// A row that does not say yet who may: only [`Self::policy`] makes it one of the table.
struct Open {
    method: &'static str,
    template: &'static str,
    action: Action,
    function: &'static str,
}

const fn row(
    method: &'static str,
    template: &'static str,
    action: Action,
    function: &'static str,
) -> Open {
    Open {
        method,
        template,
        action,
        function,
    }
}

impl Open {
    const fn policy(self, rule: Rule, about: About) -> Row {
        Row {
            method: self.method,
            template: self.template,
            action: self.action,
            function: self.function,
            since: 1,
            below: Below::ByLocation,
            answers: &[200],
            payload: Payload::Ordinary,
            rule,
            about,
        }
    }
}

/// The table. `tests/outside` proves that each row was exercised against real Ironics.
#[rustfmt::skip]
pub static TABLE: &[Row] = {
    use Action::{ChassisNodes, ContinueInspection, Create, Driver, DriverBelow, DriverPassthru, Events, Heartbeat, History, List, ListBelow, Lookup, Member, Shards, ValidateNode, VolumeRoot};
    use Payload::{Inspection, Provision, Vendor};
    use Collection::{Allocations, Chassis, Conductors, DeployTemplates, Drivers, InspectionRules, Nodes, Portgroups, Ports, Runbooks, VolumeConnectors, VolumeTargets};
    use self::Below::{ByLocation, Controller, NotAllowed, NotFound, Unseen};
    &[
        row("GET",    "nodes",                                     List(Nodes),                                       "nodes.get_all()").policy(Rule::NodeListAll, About::All(Rule::NodeList)),
        row("GET",    "nodes/detail",                              List(Nodes),                                       "nodes.detail(chassis_uuid:uuid)").policy(Rule::NodeListAll, About::All(Rule::NodeList)),
        row("POST",   "nodes",                                     Create(Nodes),                                     "nodes.post()").policy(Rule::NodeCreate, About::NewNode).answers(&[201]),
        row("GET",    "nodes/validate",                            ValidateNode,                                      "nodes.validate(node:name, node_uuid:uuid)").policy(Rule::NodeValidate, About::NodeOfQuery),
        row("GET",    "nodes/{}/validate",                         Action::Below(Nodes),                              "nodes.validate(node:name, node_uuid:uuid)").policy(Rule::NodeValidate, About::Node),
        row("GET",    "nodes/{}",                                  Member(Nodes),                                     "nodes.get_one(node_ident:name, fields)").policy(Rule::NodeGet, About::Node),
        row("PATCH",  "nodes/{}",                                  Member(Nodes),                                     "nodes.patch(node_ident:name, reset_interfaces)").policy(Rule::NodeUpdate, About::Node),
        row("DELETE", "nodes/{}",                                  Member(Nodes),                                     "nodes.delete(node_ident:name)").policy(Rule::NodeDelete, About::Node).answers(&[204]),
        row("GET",    "nodes/{}/states",                           Action::Below(Nodes),                              "nodes.states.get(node_ident:name)").policy(Rule::NodeGetStates, About::Node),
        row("PUT",    "nodes/{}/states/power",                     Action::Below(Nodes),                              "nodes.states.power(node_ident:name, target, timeout)").policy(Rule::NodeSetPowerState, About::Node).answers(&[202]),
        row("PUT",    "nodes/{}/states/provision",                 Action::Below(Nodes),                              "nodes.states.provision(node_ident:name, target)").policy(Rule::NodeSetProvisionState, About::Node).answers(&[202]).payload(Provision),
        row("PUT",    "nodes/{}/states/raid",                      Action::Below(Nodes),                              "nodes.states.raid(node_ident:name)").policy(Rule::NodeSetRaidState, About::Node).answers(&[204]).since(12, ByLocation),
        row("PUT",    "nodes/{}/states/boot_mode",                 Action::Below(Nodes),                              "nodes.states.boot_mode(node_ident:name, target)").policy(Rule::NodeSetBootMode, About::Node).answers(&[202]).since(76, ByLocation),
        row("PUT",    "nodes/{}/states/secure_boot",               Action::Below(Nodes),                              "nodes.states.secure_boot(node_ident:name, target)").policy(Rule::NodeSetSecureBoot, About::Node).answers(&[202]).since(76, ByLocation),
        row("GET",    "nodes/{}/states/console",                   Action::Below(Nodes),                              "nodes.states.console.get(node_ident:name)").policy(Rule::NodeGetConsole, About::Node),
        row("PUT",    "nodes/{}/states/console",                   Action::Below(Nodes),                              "nodes.states.console.put(node_ident:name, enabled)").policy(Rule::NodeSetConsoleState, About::Node).answers(&[202]),
        row("PUT",    "nodes/{}/maintenance",                      Action::Below(Nodes),                              "nodes.maintenance.put(node_ident:name, reason)").policy(Rule::NodeSetMaintenance, About::Node).answers(&[202]),
        row("DELETE", "nodes/{}/maintenance",                      Action::Below(Nodes),                              "nodes.maintenance.delete(node_ident:name)").policy(Rule::NodeClearMaintenance, About::Node).answers(&[202]),
        row("GET",    "nodes/{}/management/boot_device",           Action::Below(Nodes),                              "nodes.management.boot_device.get(node_ident:name)").policy(Rule::NodeGetBootDevice, About::Node),
        row("PUT",    "nodes/{}/management/boot_device",           Action::Below(Nodes),                              "nodes.management.boot_device.put(node_ident:name, boot_device, persistent)").policy(Rule::NodeSetBootDevice, About::Node).answers(&[204]),
        row("GET",    "nodes/{}/management/boot_device/supported", Action::Below(Nodes),                              "nodes.management.boot_device.supported(node_ident:name)").policy(Rule::NodeGetBootDevice, About::Node),
        row("PUT",    "nodes/{}/management/inject_nmi",            Action::Below(Nodes),                              "nodes.management.inject_nmi.put(node_ident:name)").policy(Rule::NodeInjectNmi, About::Node).answers(&[204]).since(29, ByLocation),
        row("GET",    "nodes/{}/management/indicators",            Action::Below(Nodes),                              "nodes.management.indicators.get_all(node_ident:name)").policy(Rule::NodeGetIndicatorState, About::Node),
        row("GET",    "nodes/{}/management/indicators/{}",         Action::Below(Nodes),                              "nodes.management.indicators.get_one(node_ident:name, indicator)").policy(Rule::NodeGetIndicatorState, About::Node),
        row("PUT",    "nodes/{}/management/indicators/{}",         Action::Below(Nodes),                              "nodes.management.indicators.put(node_ident:name, indicator, state)").policy(Rule::NodeSetIndicatorState, About::Node).answers(&[204]),
        row("GET",    "nodes/{}/vendor_passthru/methods",          Action::Below(Nodes),                              "nodes.vendor_passthru.methods(node_ident:name)").policy(Rule::NodeVendorPassthru, About::Node),
        row("*",      "nodes/{}/vendor_passthru",                  Action::Below(Nodes),                              "nodes.vendor_passthru._default(node_ident:name, method)").policy(Rule::NodeVendorPassthru, About::Node).answers(&[200, 202, 204]).payload(Vendor),
        row("*",      "nodes/{}/vendor_passthru/{}",               Action::Below(Nodes),                              "nodes.vendor_passthru._default(node_ident:name, method)").policy(Rule::NodeVendorPassthru, About::Node).answers(&[200, 202, 204]).payload(Vendor),
        row("GET",    "nodes/{}/traits",                           Action::Below(Nodes),                              "nodes/traits.get_all({}:name)").policy(Rule::NodeTraitsList, About::Node).since(37, Unseen),
        row("PUT",    "nodes/{}/traits",                           Action::Below(Nodes),                              "nodes/traits.put({}:name, trait)").policy(Rule::NodeTraitsSet, About::Node).answers(&[204]).since(37, Unseen),
        row("DELETE", "nodes/{}/traits",                           Action::Below(Nodes),                              "nodes/traits.delete({}:name, trait)").policy(Rule::NodeTraitsDelete, About::Node).answers(&[204]).since(37, Unseen),
        row("PUT",    "nodes/{}/traits/{}",                        Action::Below(Nodes),                              "nodes/traits.put({}:name, trait)").policy(Rule::NodeTraitsSet, About::Node).answers(&[204]).since(37, Unseen),
        row("DELETE", "nodes/{}/traits/{}",                        Action::Below(Nodes),                              "nodes/traits.delete({}:name, trait)").policy(Rule::NodeTraitsDelete, About::Node).answers(&[204]).since(37, Unseen),
        row("GET",    "nodes/{}/vifs",                             Action::Below(Nodes),                              "nodes/vifs.get_all({}:name)").policy(Rule::NodeVifList, About::Node).since(28, Controller),
        row("POST",   "nodes/{}/vifs",                             Action::Below(Nodes),                              "nodes/vifs.post({}:name)").policy(Rule::NodeVifAttach, About::Node).answers(&[204]).since(28, Controller),
        row("DELETE", "nodes/{}/vifs/{}",                          Action::Below(Nodes),                              "nodes/vifs.delete({}:name, vif_id:name)").policy(Rule::NodeVifDetach, About::Node).answers(&[204]).since(28, Controller),
        row("GET",    "nodes/{}/ports",                            ListBelow { of: Nodes, items: Ports },             "nodes/ports.get_all({}:name)").policy(Rule::PortListAll, About::AllOfNode(Rule::PortList)),
        row("GET",    "nodes/{}/ports/detail",                     ListBelow { of: Nodes, items: Ports },             "nodes/ports.detail({}:name)").policy(Rule::PortListAll, About::AllOfNode(Rule::PortList)),
        row("GET",    "nodes/{}/portgroups",                       ListBelow { of: Nodes, items: Portgroups },        "nodes/portgroups.get_all({}:name)").policy(Rule::PortgroupListAll, About::AllOfNode(Rule::PortgroupList)).since(24, Controller),
        row("GET",    "nodes/{}/portgroups/detail",                ListBelow { of: Nodes, items: Portgroups },        "nodes/portgroups.detail({}:name)").policy(Rule::PortgroupListAll, About::AllOfNode(Rule::PortgroupList)).since(24, Controller),
        row("GET",    "nodes/{}/portgroups/{}/ports",              ListBelow { of: Nodes, items: Ports },             "nodes/portgroups/ports.get_all({}:name, {}:name)").policy(Rule::PortListAll, About::AllOfNode(Rule::PortList)).since(24, Controller),
        row("GET",    "nodes/{}/volume",                           Action::Below(Nodes),                              "nodes/volume.get({}:name)").policy(Rule::VolumeGet, About::Nothing).since(32, NotFound),
        row("GET",    "nodes/{}/volume/connectors",                ListBelow { of: Nodes, items: VolumeConnectors },  "nodes/volume/connectors.get_all({}:name)").policy(Rule::VolumeListAll, About::AllOfNode(Rule::VolumeList)).since(32, Controller),
        row("GET",    "nodes/{}/volume/targets",                   ListBelow { of: Nodes, items: VolumeTargets },     "nodes/volume/targets.get_all({}:name)").policy(Rule::VolumeListAll, About::AllOfNode(Rule::VolumeList)).since(32, Controller),
        row("GET",    "nodes/{}/bios",                             Action::Below(Nodes),                              "nodes/bios.get_all({}:name)").policy(Rule::NodeBiosGet, About::Node).since(40, Controller),
        row("GET",    "nodes/{}/bios/{}",                          Action::Below(Nodes),                              "nodes/bios.get_one({}:name, setting_name)").policy(Rule::NodeBiosGet, About::Node).since(40, Controller),
        row("GET",    "nodes/{}/firmware",                         Action::Below(Nodes),                              "nodes/firmware.get_all({}:name)").policy(Rule::NodeFirmwareGet, About::Node).since(86, Controller),
        row("GET",    "nodes/{}/allocation",                       Action::Below(Nodes),                              "nodes/allocation.get_all({}:name, fields)").policy(Rule::AllocationGet, About::AllocationOfNode).since(52, Controller),
        row("DELETE", "nodes/{}/allocation",                       Action::Below(Nodes),                              "nodes/allocation.delete({}:name)").policy(Rule::AllocationDelete, About::AllocationOfNode).answers(&[204]).since(52, Controller),
        row("GET",    "nodes/{}/history",                          History,                                           "nodes/history.get_all({}:name, detail, marker, limit, sort_key, sort_dir)").policy(Rule::NodeHistoryGet, About::Node).since(78, Controller),
        row("GET",    "nodes/{}/history/{}",                       Action::Below(Nodes),                              "nodes/history.get_one({}:name, event)").policy(Rule::NodeHistoryGet, About::Node).since(78, Controller),
        row("GET",    "nodes/{}/inventory",                        Action::Below(Nodes),                              "nodes/inventory.get({}:name)").policy(Rule::NodeInventoryGet, About::Node).since(81, Controller),
        row("GET",    "nodes/{}/children",                         Action::Below(Nodes),                              "nodes/children.get_all({}:name)").policy(Rule::NodeGet, About::Node).since(83, NotFound),
        row("GET",    "nodes/{}/vmedia",                           Action::Below(Nodes),                              "nodes/vmedia.get({}:name)").policy(Rule::NodeVmediaGet, About::Node).since(89, Controller),
        row("POST",   "nodes/{}/vmedia",                           Action::Below(Nodes),                              "nodes/vmedia.post({}:name)").policy(Rule::NodeVmediaAttach, About::Node).answers(&[204]).since(89, Controller),
        row("DELETE", "nodes/{}/vmedia",                           Action::Below(Nodes),                              "nodes/vmedia.delete({}:name, device_types)").policy(Rule::NodeVmediaDetach, About::Node).answers(&[204]).since(89, Controller),

        row("GET",    "ports",                                     List(Ports),                                       "ports.get_all(node:name, node_uuid:uuid, address, marker, limit, sort_key, sort_dir, fields, portgroup:name)").policy(Rule::PortListAll, About::All(Rule::PortList)),
        row("GET",    "ports/detail",                              List(Ports),                                       "ports.detail(node:name, node_uuid:uuid, address, marker, limit, sort_key, sort_dir, portgroup:name)").policy(Rule::PortListAll, About::All(Rule::PortList)),
        row("POST",   "ports",                                     Create(Ports),                                     "ports.post()").policy(Rule::PortCreate, About::NodeOfBody).answers(&[201]),
        row("GET",    "ports/{}",                                  Member(Ports),                                     "ports.get_one(port_ident:name, fields)").policy(Rule::PortGet, About::NodeOf(Ports)),
        row("PATCH",  "ports/{}",                                  Member(Ports),                                     "ports.patch(port_ident:name)").policy(Rule::PortUpdate, About::NodeOf(Ports)),
        row("DELETE", "ports/{}",                                  Member(Ports),                                     "ports.delete(port_uuid:uuid)").policy(Rule::PortDelete, About::NodeOf(Ports)).answers(&[204]),

        row("GET",    "portgroups",                                List(Portgroups),                                  "portgroups.get_all(node:name)").policy(Rule::PortgroupListAll, About::All(Rule::PortgroupList)).since(23, NotFound),
        row("GET",    "portgroups/detail",                         List(Portgroups),                                  "portgroups.detail(node:name)").policy(Rule::PortgroupListAll, About::All(Rule::PortgroupList)).since(23, NotFound),
        row("POST",   "portgroups",                                Create(Portgroups),                                "portgroups.post()").policy(Rule::PortgroupCreate, About::NodeOfBody).answers(&[201]).since(23, NotFound),
        row("GET",    "portgroups/{}",                             Member(Portgroups),                                "portgroups.get_one(portgroup_ident:name, fields)").policy(Rule::PortgroupGet, About::NodeOf(Portgroups)).since(23, NotFound),
        row("PATCH",  "portgroups/{}",                             Member(Portgroups),                                "portgroups.patch(portgroup_ident:name)").policy(Rule::PortgroupUpdate, About::NodeOf(Portgroups)).since(23, NotFound),
        row("DELETE", "portgroups/{}",                             Member(Portgroups),                                "portgroups.delete(portgroup_ident:name)").policy(Rule::PortgroupDelete, About::NodeOf(Portgroups)).answers(&[204]).since(23, NotFound),
        row("GET",    "portgroups/{}/ports",                       ListBelow { of: Portgroups, items: Ports },        "portgroups/ports.get_all({}:name)").policy(Rule::PortListAll, About::AllOf(Portgroups, Rule::PortList)).since(24, Controller),
        row("GET",    "portgroups/{}/ports/detail",                ListBelow { of: Portgroups, items: Ports },        "portgroups/ports.detail({}:name)").policy(Rule::PortListAll, About::AllOf(Portgroups, Rule::PortList)).since(24, Controller),

        row("GET",    "volume",                                    VolumeRoot,                                        "volume.get()").policy(Rule::VolumeGet, About::Nothing).since(32, NotFound),
        row("GET",    "volume/connectors",                         List(VolumeConnectors),                            "volume/connectors.get_all(node:name)").policy(Rule::VolumeListAll, About::All(Rule::VolumeList)).since(32, Controller),
        row("POST",   "volume/connectors",                         Create(VolumeConnectors),                          "volume/connectors.post()").policy(Rule::VolumeCreate, About::NodeOfBody).answers(&[201]).since(32, Controller),
        row("GET",    "volume/connectors/{}",                      Member(VolumeConnectors),                          "volume/connectors.get_one(connector_uuid:uuid, fields)").policy(Rule::VolumeGet, About::NodeOf(VolumeConnectors)).since(32, Controller),
        row("PATCH",  "volume/connectors/{}",                      Member(VolumeConnectors),                          "volume/connectors.patch(connector_uuid:uuid)").policy(Rule::VolumeUpdate, About::NodeOf(VolumeConnectors)).since(32, Controller),
        row("DELETE", "volume/connectors/{}",                      Member(VolumeConnectors),                          "volume/connectors.delete(connector_uuid:uuid)").policy(Rule::VolumeDelete, About::NodeOf(VolumeConnectors)).answers(&[204]).since(32, Controller),
        row("GET",    "volume/targets",                            List(VolumeTargets),                               "volume/targets.get_all(node:name)").policy(Rule::VolumeListAll, About::All(Rule::VolumeList)).since(32, Controller),
        row("POST",   "volume/targets",                            Create(VolumeTargets),                             "volume/targets.post()").policy(Rule::VolumeCreate, About::NodeOfBody).answers(&[201]).since(32, Controller),
        row("GET",    "volume/targets/{}",                         Member(VolumeTargets),                             "volume/targets.get_one(target_uuid:uuid, fields)").policy(Rule::VolumeGet, About::NodeOf(VolumeTargets)).since(32, Controller),
        row("PATCH",  "volume/targets/{}",                         Member(VolumeTargets),                             "volume/targets.patch(target_uuid:uuid)").policy(Rule::VolumeUpdate, About::NodeOf(VolumeTargets)).since(32, Controller),
        row("DELETE", "volume/targets/{}",                         Member(VolumeTargets),                             "volume/targets.delete(target_uuid:uuid)").policy(Rule::VolumeDelete, About::NodeOf(VolumeTargets)).answers(&[204]).since(32, Controller),

        row("GET",    "allocations",                               List(Allocations),                                 "allocations.get_all(node:name)").policy(Rule::AllocationListAll, About::All(Rule::AllocationList)).since(52, NotFound),
        row("POST",   "allocations",                               Create(Allocations),                               "allocations.post()").policy(Rule::AllocationCreate, About::NewAllocation).answers(&[201]).since(52, NotAllowed),
        row("GET",    "allocations/{}",                            Member(Allocations),                               "allocations.get_one(allocation_ident:name, fields)").policy(Rule::AllocationGet, About::Allocation).since(52, NotFound),
        row("PATCH",  "allocations/{}",                            Member(Allocations),                               "allocations.patch(allocation_ident:name)").policy(Rule::AllocationUpdate, About::Allocation).since(57, NotAllowed),
        row("DELETE", "allocations/{}",                            Member(Allocations),                               "allocations.delete(allocation_ident:name)").policy(Rule::AllocationDelete, About::Allocation).answers(&[204]).since(52, NotAllowed),

        row("GET",    "chassis",                                   List(Chassis),                                     "chassis.get_all()").policy(Rule::ChassisGet, About::Nothing),
        row("GET",    "chassis/detail",                            List(Chassis),                                     "chassis.detail()").policy(Rule::ChassisGet, About::Nothing),
        row("POST",   "chassis",                                   Create(Chassis),                                   "chassis.post()").policy(Rule::ChassisCreate, About::Nothing).answers(&[201]),
        row("GET",    "chassis/{}",                                Member(Chassis),                                   "chassis.get_one(chassis_uuid:uuid, fields)").policy(Rule::ChassisGet, About::Nothing),
        row("PATCH",  "chassis/{}",                                Member(Chassis),                                   "chassis.patch(chassis_uuid:uuid)").policy(Rule::ChassisUpdate, About::Nothing),
        row("DELETE", "chassis/{}",                                Member(Chassis),                                   "chassis.delete(chassis_uuid:uuid)").policy(Rule::ChassisDelete, About::Nothing).answers(&[204]),
        row("GET",    "chassis/{}/nodes",                          ChassisNodes,                                      "chassis.nodes.get_all(chassis_uuid:uuid)").policy(Rule::NodeListAll, About::All(Rule::NodeList)),
        row("GET",    "chassis/{}/nodes/detail",                   ChassisNodes,                                      "chassis.nodes.detail(chassis_uuid:uuid)").policy(Rule::NodeListAll, About::All(Rule::NodeList)),

        row("GET",    "deploy_templates",                          List(DeployTemplates),                             "deploy_templates.get_all()").policy(Rule::DeployTemplateGet, About::Nothing).since(55, Controller),
        row("POST",   "deploy_templates",                          Create(DeployTemplates),                           "deploy_templates.post()").policy(Rule::DeployTemplateCreate, About::Nothing).answers(&[201]).since(55, Controller),
        row("GET",    "deploy_templates/{}",                       Member(DeployTemplates),                           "deploy_templates.get_one(template_ident:name, fields)").policy(Rule::DeployTemplateGet, About::Nothing).since(55, Controller),
        row("PATCH",  "deploy_templates/{}",                       Member(DeployTemplates),                           "deploy_templates.patch(template_ident:name)").policy(Rule::DeployTemplateUpdate, About::Nothing).since(55, Controller),
        row("DELETE", "deploy_templates/{}",                       Member(DeployTemplates),                           "deploy_templates.delete(template_ident:name)").policy(Rule::DeployTemplateDelete, About::Nothing).answers(&[204]).since(55, Controller),

        row("GET",    "runbooks",                                  List(Runbooks),                                    "runbooks.get_all()").policy(Rule::RunbookListAll, About::All(Rule::RunbookList)).since(92, Controller),
        row("POST",   "runbooks",                                  Create(Runbooks),                                  "runbooks.post()").policy(Rule::RunbookCreate, About::NewRunbook).answers(&[201]).since(92, Controller),
        row("GET",    "runbooks/{}",                               Member(Runbooks),                                  "runbooks.get_one(runbook_ident:name, fields)").policy(Rule::RunbookGet, About::Runbook).since(92, Controller),
        row("PATCH",  "runbooks/{}",                               Member(Runbooks),                                  "runbooks.patch(runbook_ident:name)").policy(Rule::RunbookUpdate, About::Runbook).since(92, Controller),
        row("DELETE", "runbooks/{}",                               Member(Runbooks),                                  "runbooks.delete(runbook_ident:name)").policy(Rule::RunbookDelete, About::Runbook).answers(&[204]).since(92, Controller),
        row("GET",    "runbooks/{}/traits",                        Action::Below(Runbooks),                           "runbooks/traits.get_all({}:name)").policy(Rule::RunbookGet, About::Runbook).since(112, Controller),
        row("PUT",    "runbooks/{}/traits",                        Action::Below(Runbooks),                           "runbooks/traits.put({}:name, trait)").policy(Rule::RunbookUpdate, About::Runbook).answers(&[204]).since(112, Controller),
        row("DELETE", "runbooks/{}/traits",                        Action::Below(Runbooks),                           "runbooks/traits.delete({}:name, trait)").policy(Rule::RunbookUpdate, About::Runbook).answers(&[204]).since(112, Controller),
        row("PUT",    "runbooks/{}/traits/{}",                     Action::Below(Runbooks),                           "runbooks/traits.put({}:name, trait)").policy(Rule::RunbookUpdate, About::Runbook).answers(&[204]).since(112, Controller),
        row("DELETE", "runbooks/{}/traits/{}",                     Action::Below(Runbooks),                           "runbooks/traits.delete({}:name, trait)").policy(Rule::RunbookUpdate, About::Runbook).answers(&[204]).since(112, Controller),

        row("GET",    "inspection_rules",                          List(InspectionRules),                             "inspection_rules.get_all()").policy(Rule::InspectionRuleGet, About::Nothing).since(96, NotFound),
        row("POST",   "inspection_rules",                          Create(InspectionRules),                           "inspection_rules.post()").policy(Rule::InspectionRuleCreate, About::Nothing).answers(&[201]).since(96, NotAllowed),
        row("GET",    "inspection_rules/{}",                       Member(InspectionRules),                           "inspection_rules.get_one(inspection_rule_uuid:uuid, fields)").policy(Rule::InspectionRuleGet, About::Nothing).since(96, NotFound),
        row("PATCH",  "inspection_rules/{}",                       Member(InspectionRules),                           "inspection_rules.patch(inspection_rule_uuid:uuid)").policy(Rule::InspectionRuleUpdate, About::Nothing).since(96, NotAllowed),
        row("DELETE", "inspection_rules/{}",                       Member(InspectionRules),                           "inspection_rules.delete(inspection_rule_uuid:uuid)").policy(Rule::InspectionRuleDelete, About::Nothing).answers(&[204]).since(96, NotAllowed),

        row("GET",    "drivers",                                   List(Drivers),                                     "drivers.get_all()").policy(Rule::DriverGet, About::Nothing),
        row("GET",    "drivers/{}",                                Driver,                                            "drivers.get_one(driver_name, fields)").policy(Rule::DriverGet, About::Nothing),
        row("GET",    "drivers/{}/properties",                     DriverBelow,                                       "drivers.properties(driver_name)").policy(Rule::DriverGetProperties, About::Nothing),
        row("GET",    "drivers/{}/raid/logical_disk_properties",   DriverBelow,                                       "drivers.raid.logical_disk_properties(driver_name)").policy(Rule::DriverGetRaidLogicalDiskProperties, About::Nothing).since(12, ByLocation),
        row("GET",    "drivers/{}/vendor_passthru/methods",        DriverBelow,                                       "drivers.vendor_passthru.methods(driver_name)").policy(Rule::DriverVendorPassthru, About::Nothing),
        row("*",      "drivers/{}/vendor_passthru",                DriverPassthru,                                    "drivers.vendor_passthru._default(driver_name, method)").policy(Rule::DriverVendorPassthru, About::Nothing).answers(&[200, 202, 204]).payload(Vendor),
        row("*",      "drivers/{}/vendor_passthru/{}",             DriverPassthru,                                    "drivers.vendor_passthru._default(driver_name, method)").policy(Rule::DriverVendorPassthru, About::Nothing).answers(&[200, 202, 204]).payload(Vendor),

        row("GET",    "conductors",                                List(Conductors),                                  "conductors.get_all()").policy(Rule::ConductorGet, About::Nothing).since(49, NotFound),
        row("GET",    "conductors/{}",                             Member(Conductors),                                "conductors.get_one(hostname:host, fields)").policy(Rule::ConductorGet, About::Nothing).since(49, NotFound),

        row("GET",    "shards",                                    Shards,                                            "shards.get_all()").policy(Rule::ShardsGet, About::Nothing).since(82, NotFound),
        row("POST",   "events",                                    Events,                                            "events.post()").policy(Rule::EventsPost, About::Nothing).answers(&[204]).since(54, NotFound),

        row("GET",    "lookup",                                    Lookup,                                            "lookup.get_all(addresses, node_uuid:uuid)").policy(Rule::DriverIpaLookup, About::Nothing).since(22, ByLocation),
        row("POST",   "heartbeat/{}",                              Heartbeat,                                         "heartbeat.post(node_ident:name)").policy(Rule::NodeIpaHeartbeat, About::Nothing).answers(&[202]).since(22, ByLocation),
        row("POST",   "continue_inspection",                       ContinueInspection,                                "continue_inspection.post()").policy(Rule::DriverIpaContinueInspection, About::Nothing).answers(&[202]).payload(Inspection),
    ]
};

/// Functions that Ironic has beside those of the table, each only to say that there is nothing, or not there.
pub static REFUSED: &[&str] = &[
    "chassis.nodes.get_one",
    "chassis.nodes.post",
    "chassis.nodes.patch",
    "chassis.nodes.delete",
    "nodes/ports.get_one",
    "nodes/ports.post",
    "nodes/ports.patch",
    "nodes/ports.delete",
    "nodes/portgroups.get_one",
    "nodes/portgroups.post",
    "nodes/portgroups.patch",
    "nodes/portgroups.delete",
    "nodes/portgroups/ports.detail",
    "nodes/portgroups/ports.get_one",
    "nodes/portgroups/ports.post",
    "nodes/portgroups/ports.patch",
    "nodes/portgroups/ports.delete",
    "portgroups/ports.get_one",
    "portgroups/ports.post",
    "portgroups/ports.patch",
    "portgroups/ports.delete",
    "nodes/volume/connectors.get_one",
    "nodes/volume/connectors.post",
    "nodes/volume/connectors.patch",
    "nodes/volume/connectors.delete",
    "nodes/volume/targets.get_one",
    "nodes/volume/targets.post",
    "nodes/volume/targets.patch",
    "nodes/volume/targets.delete",
    "shards.get_one",
];

/// What Ironic finds under a controller without it being one: Python's own attributes and constants of the class.
pub static ATTRIBUTES: &[&str] = &[
    "_custom_actions",
    "_subcontroller_map",
    "advanced_net_fields",
    "invalid_sort_key_list",
    "__class__",
    "__delattr__",
    "__dict__",
    "__dir__",
    "__doc__",
    "__eq__",
    "__format__",
    "__ge__",
    "__getattribute__",
    "__getstate__",
    "__gt__",
    "__hash__",
    "__init__",
    "__init_subclass__",
    "__le__",
    "__lt__",
    "__module__",
    "__ne__",
    "__new__",
    "__reduce__",
    "__reduce_ex__",
    "__repr__",
    "__setattr__",
    "__sizeof__",
    "__str__",
    "__subclasshook__",
];
