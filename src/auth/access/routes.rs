//! The policy rule of each route in the table of routes.

use std::collections::HashMap;
use std::sync::LazyLock;

use http::Method;

use crate::api::collection::Collection;
use crate::policy::rules::Rule;

/// One route and its rule.
#[derive(Debug)]
pub struct Row {
    /// Methods, separated by blanks; `*` is any.
    pub methods: &'static str,
    /// As in the table of routes.
    pub template: &'static str,
    pub rule: Rule,
    pub about: About,
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

const fn row(methods: &'static str, template: &'static str, rule: Rule, about: About) -> Row {
    Row {
        methods,
        template,
        rule,
        about,
    }
}

#[rustfmt::skip]
pub(crate) static ROWS: &[Row] = {
    use About::{All, AllOf, AllOfNode, Allocation, AllocationOfNode, NewAllocation, NewNode, NewRunbook, Node, NodeOf, NodeOfBody, NodeOfQuery, Nothing, Runbook};
    use Collection::{Portgroups, Ports, VolumeConnectors, VolumeTargets};
    &[
        row("GET",        "nodes",                                     Rule::NodeListAll,                        All(Rule::NodeList)),
        row("GET",        "nodes/detail",                              Rule::NodeListAll,                        All(Rule::NodeList)),
        row("POST",       "nodes",                                     Rule::NodeCreate,                         NewNode),
        row("GET",        "nodes/validate",                            Rule::NodeValidate,                       NodeOfQuery),
        row("GET",        "nodes/{}",                                  Rule::NodeGet,                            Node),
        row("PATCH",      "nodes/{}",                                  Rule::NodeUpdate,                         Node),
        row("DELETE",     "nodes/{}",                                  Rule::NodeDelete,                         Node),
        row("GET",        "nodes/{}/validate",                         Rule::NodeValidate,                       Node),
        row("GET",        "nodes/{}/states",                           Rule::NodeGetStates,                      Node),
        row("PUT",        "nodes/{}/states/power",                     Rule::NodeSetPowerState,                  Node),
        row("PUT",        "nodes/{}/states/provision",                 Rule::NodeSetProvisionState,              Node),
        row("PUT",        "nodes/{}/states/raid",                      Rule::NodeSetRaidState,                   Node),
        row("PUT",        "nodes/{}/states/boot_mode",                 Rule::NodeSetBootMode,                    Node),
        row("PUT",        "nodes/{}/states/secure_boot",               Rule::NodeSetSecureBoot,                  Node),
        row("GET",        "nodes/{}/states/console",                   Rule::NodeGetConsole,                     Node),
        row("PUT",        "nodes/{}/states/console",                   Rule::NodeSetConsoleState,                Node),
        row("PUT",        "nodes/{}/maintenance",                      Rule::NodeSetMaintenance,                 Node),
        row("DELETE",     "nodes/{}/maintenance",                      Rule::NodeClearMaintenance,               Node),
        row("GET",        "nodes/{}/management/boot_device",           Rule::NodeGetBootDevice,                  Node),
        row("GET",        "nodes/{}/management/boot_device/supported", Rule::NodeGetBootDevice,                  Node),
        row("PUT",        "nodes/{}/management/boot_device",           Rule::NodeSetBootDevice,                  Node),
        row("PUT",        "nodes/{}/management/inject_nmi",            Rule::NodeInjectNmi,                      Node),
        row("GET",        "nodes/{}/management/indicators",            Rule::NodeGetIndicatorState,              Node),
        row("GET",        "nodes/{}/management/indicators/{}",         Rule::NodeGetIndicatorState,              Node),
        row("PUT",        "nodes/{}/management/indicators/{}",         Rule::NodeSetIndicatorState,              Node),
        row("GET",        "nodes/{}/vendor_passthru/methods",          Rule::NodeVendorPassthru,                 Node),
        row("*",          "nodes/{}/vendor_passthru",                  Rule::NodeVendorPassthru,                 Node),
        row("*",          "nodes/{}/vendor_passthru/{}",               Rule::NodeVendorPassthru,                 Node),
        row("GET",        "nodes/{}/traits",                           Rule::NodeTraitsList,                     Node),
        row("PUT",        "nodes/{}/traits",                           Rule::NodeTraitsSet,                      Node),
        row("PUT",        "nodes/{}/traits/{}",                        Rule::NodeTraitsSet,                      Node),
        row("DELETE",     "nodes/{}/traits",                           Rule::NodeTraitsDelete,                   Node),
        row("DELETE",     "nodes/{}/traits/{}",                        Rule::NodeTraitsDelete,                   Node),
        row("GET",        "nodes/{}/vifs",                             Rule::NodeVifList,                        Node),
        row("POST",       "nodes/{}/vifs",                             Rule::NodeVifAttach,                      Node),
        row("DELETE",     "nodes/{}/vifs/{}",                          Rule::NodeVifDetach,                      Node),
        row("GET",        "nodes/{}/ports",                            Rule::PortListAll,                        AllOfNode(Rule::PortList)),
        row("GET",        "nodes/{}/ports/detail",                     Rule::PortListAll,                        AllOfNode(Rule::PortList)),
        row("GET",        "nodes/{}/portgroups",                       Rule::PortgroupListAll,                   AllOfNode(Rule::PortgroupList)),
        row("GET",        "nodes/{}/portgroups/detail",                Rule::PortgroupListAll,                   AllOfNode(Rule::PortgroupList)),
        row("GET",        "nodes/{}/portgroups/{}/ports",              Rule::PortListAll,                        AllOfNode(Rule::PortList)),
        row("GET",        "nodes/{}/volume",                           Rule::VolumeGet,                          Nothing),
        row("GET",        "nodes/{}/volume/connectors",                Rule::VolumeListAll,                      AllOfNode(Rule::VolumeList)),
        row("GET",        "nodes/{}/volume/targets",                   Rule::VolumeListAll,                      AllOfNode(Rule::VolumeList)),
        row("GET",        "nodes/{}/bios",                             Rule::NodeBiosGet,                        Node),
        row("GET",        "nodes/{}/bios/{}",                          Rule::NodeBiosGet,                        Node),
        row("GET",        "nodes/{}/firmware",                         Rule::NodeFirmwareGet,                    Node),
        row("GET",        "nodes/{}/allocation",                       Rule::AllocationGet,                      AllocationOfNode),
        row("DELETE",     "nodes/{}/allocation",                       Rule::AllocationDelete,                   AllocationOfNode),
        row("GET",        "nodes/{}/history",                          Rule::NodeHistoryGet,                     Node),
        row("GET",        "nodes/{}/history/{}",                       Rule::NodeHistoryGet,                     Node),
        row("GET",        "nodes/{}/inventory",                        Rule::NodeInventoryGet,                   Node),
        row("GET",        "nodes/{}/children",                         Rule::NodeGet,                            Node),
        row("GET",        "nodes/{}/vmedia",                           Rule::NodeVmediaGet,                      Node),
        row("POST",       "nodes/{}/vmedia",                           Rule::NodeVmediaAttach,                   Node),
        row("DELETE",     "nodes/{}/vmedia",                           Rule::NodeVmediaDetach,                   Node),

        row("GET",        "ports",                                     Rule::PortListAll,                        All(Rule::PortList)),
        row("GET",        "ports/detail",                              Rule::PortListAll,                        All(Rule::PortList)),
        row("POST",       "ports",                                     Rule::PortCreate,                         NodeOfBody),
        row("GET",        "ports/{}",                                  Rule::PortGet,                            NodeOf(Ports)),
        row("PATCH",      "ports/{}",                                  Rule::PortUpdate,                         NodeOf(Ports)),
        row("DELETE",     "ports/{}",                                  Rule::PortDelete,                         NodeOf(Ports)),

        row("GET",        "portgroups",                                Rule::PortgroupListAll,                   All(Rule::PortgroupList)),
        row("GET",        "portgroups/detail",                         Rule::PortgroupListAll,                   All(Rule::PortgroupList)),
        row("POST",       "portgroups",                                Rule::PortgroupCreate,                    NodeOfBody),
        row("GET",        "portgroups/{}",                             Rule::PortgroupGet,                       NodeOf(Portgroups)),
        row("PATCH",      "portgroups/{}",                             Rule::PortgroupUpdate,                    NodeOf(Portgroups)),
        row("DELETE",     "portgroups/{}",                             Rule::PortgroupDelete,                    NodeOf(Portgroups)),
        row("GET",        "portgroups/{}/ports",                       Rule::PortListAll,                        AllOf(Portgroups, Rule::PortList)),
        row("GET",        "portgroups/{}/ports/detail",                Rule::PortListAll,                        AllOf(Portgroups, Rule::PortList)),

        row("GET",        "volume",                                    Rule::VolumeGet,                          Nothing),
        row("GET",        "volume/connectors",                         Rule::VolumeListAll,                      All(Rule::VolumeList)),
        row("POST",       "volume/connectors",                         Rule::VolumeCreate,                       NodeOfBody),
        row("GET",        "volume/connectors/{}",                      Rule::VolumeGet,                          NodeOf(VolumeConnectors)),
        row("PATCH",      "volume/connectors/{}",                      Rule::VolumeUpdate,                       NodeOf(VolumeConnectors)),
        row("DELETE",     "volume/connectors/{}",                      Rule::VolumeDelete,                       NodeOf(VolumeConnectors)),
        row("GET",        "volume/targets",                            Rule::VolumeListAll,                      All(Rule::VolumeList)),
        row("POST",       "volume/targets",                            Rule::VolumeCreate,                       NodeOfBody),
        row("GET",        "volume/targets/{}",                         Rule::VolumeGet,                          NodeOf(VolumeTargets)),
        row("PATCH",      "volume/targets/{}",                         Rule::VolumeUpdate,                       NodeOf(VolumeTargets)),
        row("DELETE",     "volume/targets/{}",                         Rule::VolumeDelete,                       NodeOf(VolumeTargets)),

        row("GET",        "allocations",                               Rule::AllocationListAll,                  All(Rule::AllocationList)),
        row("POST",       "allocations",                               Rule::AllocationCreate,                   NewAllocation),
        row("GET",        "allocations/{}",                            Rule::AllocationGet,                      Allocation),
        row("PATCH",      "allocations/{}",                            Rule::AllocationUpdate,                   Allocation),
        row("DELETE",     "allocations/{}",                            Rule::AllocationDelete,                   Allocation),

        row("GET",        "chassis",                                   Rule::ChassisGet,                         Nothing),
        row("GET",        "chassis/detail",                            Rule::ChassisGet,                         Nothing),
        row("POST",       "chassis",                                   Rule::ChassisCreate,                      Nothing),
        row("GET",        "chassis/{}",                                Rule::ChassisGet,                         Nothing),
        row("PATCH",      "chassis/{}",                                Rule::ChassisUpdate,                      Nothing),
        row("DELETE",     "chassis/{}",                                Rule::ChassisDelete,                      Nothing),
        row("GET",        "chassis/{}/nodes",                          Rule::NodeListAll,                        All(Rule::NodeList)),
        row("GET",        "chassis/{}/nodes/detail",                   Rule::NodeListAll,                        All(Rule::NodeList)),

        row("GET",        "deploy_templates",                          Rule::DeployTemplateGet,                  Nothing),
        row("POST",       "deploy_templates",                          Rule::DeployTemplateCreate,               Nothing),
        row("GET",        "deploy_templates/{}",                       Rule::DeployTemplateGet,                  Nothing),
        row("PATCH",      "deploy_templates/{}",                       Rule::DeployTemplateUpdate,               Nothing),
        row("DELETE",     "deploy_templates/{}",                       Rule::DeployTemplateDelete,               Nothing),

        row("GET",        "runbooks",                                  Rule::RunbookListAll,                     All(Rule::RunbookList)),
        row("POST",       "runbooks",                                  Rule::RunbookCreate,                      NewRunbook),
        row("GET",        "runbooks/{}",                               Rule::RunbookGet,                         Runbook),
        row("PATCH",      "runbooks/{}",                               Rule::RunbookUpdate,                      Runbook),
        row("DELETE",     "runbooks/{}",                               Rule::RunbookDelete,                      Runbook),
        row("GET",        "runbooks/{}/traits",                        Rule::RunbookGet,                         Runbook),
        row("PUT DELETE", "runbooks/{}/traits",                        Rule::RunbookUpdate,                      Runbook),
        row("PUT DELETE", "runbooks/{}/traits/{}",                     Rule::RunbookUpdate,                      Runbook),

        row("GET",        "inspection_rules",                          Rule::InspectionRuleGet,                  Nothing),
        row("POST",       "inspection_rules",                          Rule::InspectionRuleCreate,               Nothing),
        row("GET",        "inspection_rules/{}",                       Rule::InspectionRuleGet,                  Nothing),
        row("PATCH",      "inspection_rules/{}",                       Rule::InspectionRuleUpdate,               Nothing),
        row("DELETE",     "inspection_rules/{}",                       Rule::InspectionRuleDelete,               Nothing),

        row("GET",        "drivers",                                   Rule::DriverGet,                          Nothing),
        row("GET",        "drivers/{}",                                Rule::DriverGet,                          Nothing),
        row("GET",        "drivers/{}/properties",                     Rule::DriverGetProperties,                Nothing),
        row("GET",        "drivers/{}/raid/logical_disk_properties",   Rule::DriverGetRaidLogicalDiskProperties, Nothing),
        row("GET",        "drivers/{}/vendor_passthru/methods",        Rule::DriverVendorPassthru,               Nothing),
        row("*",          "drivers/{}/vendor_passthru",                Rule::DriverVendorPassthru,               Nothing),
        row("*",          "drivers/{}/vendor_passthru/{}",             Rule::DriverVendorPassthru,               Nothing),

        row("GET",        "conductors",                                Rule::ConductorGet,                       Nothing),
        row("GET",        "conductors/{}",                             Rule::ConductorGet,                       Nothing),

        row("GET",        "shards",                                    Rule::ShardsGet,                          Nothing),

        row("POST",       "events",                                    Rule::EventsPost,                         Nothing),

        row("GET",        "lookup",                                    Rule::DriverIpaLookup,                    Nothing),

        row("POST",       "heartbeat/{}",                              Rule::NodeIpaHeartbeat,                   Nothing),

        row("POST",       "continue_inspection",                       Rule::DriverIpaContinueInspection,        Nothing),
    ]
};

/// Rows by their template: this is asked for every request.
static INDEX: LazyLock<HashMap<&'static str, Vec<&'static Row>>> = LazyLock::new(|| {
    let mut index: HashMap<_, Vec<_>> = HashMap::new();
    for row in ROWS {
        index.entry(row.template).or_default().push(row);
    }
    index
});

impl Row {
    /// `None`: nothing that we know.
    pub fn of(method: &Method, template: &str) -> Option<&'static Self> {
        INDEX
            .get(template)?
            .iter()
            .find(|row| row.covers(method))
            .copied()
    }

    fn covers(&self, method: &Method) -> bool {
        self.methods == "*"
            || self
                .methods
                .split(' ')
                .any(|known| known == method.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::api::route::TABLE;

    #[test]
    fn every_route_has_one_rule_and_every_rule_a_route() {
        let pairs = |methods: &'static str, template| {
            methods.split(' ').map(move |method| (method, template))
        };
        let routes: HashSet<_> = TABLE
            .iter()
            .flat_map(|row| pairs(row.method, row.template))
            .collect();
        let rows: Vec<_> = ROWS
            .iter()
            .flat_map(|row| pairs(row.methods, row.template))
            .collect();
        assert_eq!(
            rows.len(),
            rows.iter().collect::<HashSet<_>>().len(),
            "two rules for one route"
        );
        assert_eq!(rows.into_iter().collect::<HashSet<_>>(), routes);
    }
}
