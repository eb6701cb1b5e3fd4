//! Ironic 39's rules (`ironic/common/policy.py`), each with its name, check and scopes.
//!
//! A test compares this table with `list_policies()` of a real Ironic.

/// One of Ironic's rules.
#[derive(Debug)]
pub(crate) struct Default {
    pub(crate) name: &'static str,
    pub(crate) scopes: Scopes,
    pub(crate) check: &'static str,
}

/// Which tokens a rule is for. A file cannot change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scopes {
    pub(crate) system: bool,
    pub(crate) project: bool,
    /// Nobody looks at the scope.
    pub(crate) any: bool,
}

const SYSTEM: Scopes = Scopes {
    system: true,
    project: false,
    any: false,
};
const PROJECT: Scopes = Scopes {
    system: false,
    project: true,
    any: false,
};
const SYSTEM_OR_PROJECT: Scopes = Scopes {
    system: true,
    project: true,
    any: false,
};
const ANY: Scopes = Scopes {
    system: true,
    project: true,
    any: true,
};

impl Scopes {
    /// A rule that only a file has.
    pub(crate) const UNREGISTERED: Self = ANY;

    /// oslo.policy's names.
    pub(crate) fn names(self) -> &'static str {
        match (self.any, self.system, self.project) {
            (false, true, true) => "system,project",
            (false, true, false) => "system",
            (false, false, _) => "project",
            (true, ..) => "-",
        }
    }
}

const SYSTEM_ADMIN: &str = "role:admin and system_scope:all";
const SYSTEM_MEMBER: &str = "(role:member and system_scope:all) or rule:service_role";
const SYSTEM_READER: &str = "(role:reader and system_scope:all) or (role:service and system_scope:all) or rule:service_role";
const SYSTEM_OR_PROJECT_MEMBER: &str = "((role:member and system_scope:all) or rule:service_role) \
    or (role:member and (project_id:%(node.owner)s or project_id:%(node.lessee)s)) \
    or (role:service and system_scope:all)";
const SYSTEM_OR_PROJECT_READER: &str = "((role:reader and system_scope:all) or (role:service and system_scope:all) \
    or rule:service_role) or (role:reader and (project_id:%(node.owner)s \
    or project_id:%(node.lessee)s)) or (role:service and project_id:%(node.owner)s)";
const PROJECT_OWNER_ADMIN: &str = "role:admin and project_id:%(node.owner)s";
const RUNBOOK_ADMIN: &str = "((role:member and system_scope:all) or rule:service_role) \
    or (role:manager and project_id:%(runbook.owner)s) or role:service";
const RUNBOOK_READER: &str = "((role:reader and system_scope:all) or (role:service and system_scope:all) \
    or rule:service_role) or (role:reader and project_id:%(runbook.owner)s) or role:service";
const RUNBOOK_CREATOR: &str =
    "((role:member and system_scope:all) or rule:service_role) or role:manager or role:service";
const SYSTEM_OR_OWNER_MEMBER_AND_LESSEE_ADMIN: &str = "((role:member and system_scope:all) or rule:service_role) \
    or (role:service and system_scope:all) or (role:member and project_id:%(node.owner)s) \
    or (role:admin and project_id:%(node.lessee)s) or (role:manager and project_id:%(node.lessee)s) \
    or (role:service and project_id:%(node.owner)s)";
const SYSTEM_ADMIN_OR_OWNER_ADMIN: &str = "(role:admin and system_scope:all) or (role:service and system_scope:all) \
    or (role:admin and project_id:%(node.owner)s) or (role:manager and project_id:%(node.owner)s) \
    or (role:service and project_id:%(node.owner)s)";
const SYSTEM_MEMBER_OR_OWNER_ADMIN: &str = "((role:member and system_scope:all) or rule:service_role) \
    or (role:service and system_scope:all) or (role:admin and project_id:%(node.owner)s) \
    or (role:manager and project_id:%(node.owner)s) or (role:service and project_id:%(node.owner)s)";
const SYSTEM_MEMBER_OR_OWNER_MEMBER: &str = "((role:member and system_scope:all) or rule:service_role) \
    or (role:service and system_scope:all) or (role:member and project_id:%(node.owner)s) \
    or (role:service and project_id:%(node.owner)s)";
const SYSTEM_OR_OWNER_READER: &str = "((role:reader and system_scope:all) or (role:service and system_scope:all) \
    or rule:service_role) or (role:service and system_scope:all) \
    or (role:reader and project_id:%(node.owner)s) or (role:service and project_id:%(node.owner)s)";
const SYSTEM_MEMBER_OR_OWNER_LESSEE_ADMIN: &str = "((role:member and system_scope:all) or rule:service_role) \
    or (role:service and system_scope:all) or (role:admin and project_id:%(node.owner)s) \
    or (role:manager and project_id:%(node.owner)s) or (role:admin and project_id:%(node.lessee)s) \
    or (role:manager and project_id:%(node.lessee)s) \
    or (role:service and project_id:%(node.owner)s)";
const ALLOCATION_MEMBER: &str = "((role:member and system_scope:all) or rule:service_role) \
    or (role:member and project_id:%(allocation.owner)s)";
const ALLOCATION_READER: &str = "((role:reader and system_scope:all) or (role:service and system_scope:all) \
    or rule:service_role) or (role:reader and project_id:%(allocation.owner)s)";
const ALLOCATION_CREATOR: &str =
    "((role:member and system_scope:all) or rule:service_role) or (role:member)";
const API_READER: &str = "(role:reader) or (role:service)";
const TARGET_PROPERTIES_READER: &str = "((role:reader and system_scope:all) or (role:service and system_scope:all) \
    or rule:service_role) or (role:admin)";

/// A rule that Ironic has made others of (`deprecated_rule` in its policies).
#[derive(Debug)]
pub(crate) struct Former {
    pub(crate) rule: Rule,
    /// What it said by default when it was all of them.
    pub(crate) check: &'static str,
    pub(crate) heirs: &'static [Rule],
}

const ADMIN: &str = "rule:is_admin";
const ADMIN_OR_OBSERVER: &str = "rule:is_admin or rule:is_observer";

pub(crate) const FORMER: &[Former] = &[
    Former {
        rule: Rule::NodeGet,
        check: ADMIN_OR_OBSERVER,
        heirs: &[
            Rule::NodeGetFilterThreshold,
            Rule::NodeGetLastError,
            Rule::NodeGetReservation,
            Rule::NodeGetDriverInternalInfo,
            Rule::NodeGetDriverInfo,
            Rule::NodeHistoryGet,
            Rule::NodeInventoryGet,
        ],
    },
    Former {
        rule: Rule::NodeUpdate,
        check: ADMIN,
        heirs: &[
            Rule::NodeUpdateDriverInfo,
            Rule::NodeUpdateProperties,
            Rule::NodeUpdateChassisUuid,
            Rule::NodeUpdateInstanceUuid,
            Rule::NodeUpdateLessee,
            Rule::NodeUpdateOwner,
            Rule::NodeUpdateDriverInterfaces,
            Rule::NodeUpdateNetworkData,
            Rule::NodeUpdateConductorGroup,
            Rule::NodeUpdateName,
            Rule::NodeUpdateRetired,
        ],
    },
    Former {
        rule: Rule::NodeSetMaintenance,
        check: ADMIN,
        heirs: &[Rule::NodeSetBootDevice],
    },
    Former {
        rule: Rule::NodeSetPowerState,
        check: ADMIN,
        heirs: &[Rule::NodeSetBootMode, Rule::NodeSetSecureBoot],
    },
    Former {
        rule: Rule::PortgroupGet,
        check: ADMIN_OR_OBSERVER,
        heirs: &[Rule::PortgroupList, Rule::PortgroupListAll],
    },
    Former {
        rule: Rule::VolumeGet,
        check: ADMIN_OR_OBSERVER,
        heirs: &[Rule::VolumeList, Rule::VolumeListAll],
    },
    Former {
        rule: Rule::VolumeUpdate,
        check: ADMIN,
        heirs: &[Rule::VolumeViewTargetProperties],
    },
];

macro_rules! rules {
    ($($rule:ident $name:literal $scopes:ident $check:expr;)*) => {
        /// The name of a rule of Ironic.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rule {
            $($rule,)*
        }

        impl Rule {
            pub const ALL: &[Self] = &[$(Self::$rule,)*];
        }

        pub(crate) static DEFAULTS: &[Default] = &[
            $(Default { name: $name, scopes: $scopes, check: $check },)*
        ];
    };
}

impl Rule {
    pub fn name(self) -> &'static str {
        DEFAULTS[self as usize].name
    }
}

#[rustfmt::skip]
rules! {
    AdminApi                           "admin_api"                                         ANY               "role:admin or role:administrator";
    PublicApi                          "public_api"                                        ANY               "is_public_api:True";
    ShowPassword                       "show_password"                                     ANY               "!";
    ShowInstanceSecrets                "show_instance_secrets"                             ANY               "!";
    ServiceRole                        "service_role"                                      ANY               "role:service and project_name:%(config.service_project_name)s";
    IsMember                           "is_member"                                         ANY               "(project_domain_id:default or project_domain_id:None) and (project_name:demo or project_name:baremetal)";
    IsObserver                         "is_observer"                                       ANY               "rule:is_member and (role:observer or role:baremetal_observer)";
    IsAdmin                            "is_admin"                                          ANY               "rule:admin_api or (rule:is_member and role:baremetal_admin)";
    IsNodeOwner                        "is_node_owner"                                     ANY               "project_id:%(node.owner)s";
    IsNodeLessee                       "is_node_lessee"                                    ANY               "project_id:%(node.lessee)s";
    IsAllocationOwner                  "is_allocation_owner"                               ANY               "project_id:%(allocation.owner)s";
    NodeCreate                         "baremetal:node:create"                             SYSTEM_OR_PROJECT "(role:admin and system_scope:all) or (role:service and system_scope:all)";
    NodeCreateSelfOwnedNode            "baremetal:node:create:self_owned_node"             SYSTEM_OR_PROJECT "(role:admin) or (role:service)";
    NodeList                           "baremetal:node:list"                               SYSTEM_OR_PROJECT API_READER;
    NodeListAll                        "baremetal:node:list_all"                           SYSTEM_OR_PROJECT SYSTEM_READER;
    NodeGet                            "baremetal:node:get"                                SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_READER;
    NodeGetFilterThreshold             "baremetal:node:get:filter_threshold"               SYSTEM_OR_PROJECT SYSTEM_READER;
    NodeGetLastError                   "baremetal:node:get:last_error"                     SYSTEM_OR_PROJECT SYSTEM_OR_OWNER_READER;
    NodeGetReservation                 "baremetal:node:get:reservation"                    SYSTEM_OR_PROJECT SYSTEM_OR_OWNER_READER;
    NodeGetDriverInternalInfo          "baremetal:node:get:driver_internal_info"           SYSTEM_OR_PROJECT SYSTEM_OR_OWNER_READER;
    NodeGetDriverInfo                  "baremetal:node:get:driver_info"                    SYSTEM_OR_PROJECT SYSTEM_OR_OWNER_READER;
    NodeUpdateDriverInfo               "baremetal:node:update:driver_info"                 SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_MEMBER;
    NodeUpdateProperties               "baremetal:node:update:properties"                  SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_MEMBER;
    NodeUpdateChassisUuid              "baremetal:node:update:chassis_uuid"                SYSTEM_OR_PROJECT SYSTEM_ADMIN;
    NodeUpdateInstanceUuid             "baremetal:node:update:instance_uuid"               SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_MEMBER;
    NodeUpdateLessee                   "baremetal:node:update:lessee"                      SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_MEMBER;
    NodeUpdateOwner                    "baremetal:node:update:owner"                       SYSTEM_OR_PROJECT SYSTEM_MEMBER;
    NodeUpdateDriverInterfaces         "baremetal:node:update:driver_interfaces"           SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_ADMIN;
    NodeUpdateNetworkData              "baremetal:node:update:network_data"                SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_MEMBER;
    NodeUpdateConductorGroup           "baremetal:node:update:conductor_group"             SYSTEM_OR_PROJECT SYSTEM_MEMBER;
    NodeUpdateName                     "baremetal:node:update:name"                        SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_MEMBER;
    NodeUpdateRetired                  "baremetal:node:update:retired"                     SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_MEMBER;
    NodeUpdate                         "baremetal:node:update"                             SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_MEMBER;
    NodeUpdateExtra                    "baremetal:node:update_extra"                       SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_MEMBER;
    NodeUpdateInstanceInfo             "baremetal:node:update_instance_info"               SYSTEM_OR_PROJECT SYSTEM_OR_OWNER_MEMBER_AND_LESSEE_ADMIN;
    NodeUpdateOwnerProvisioned         "baremetal:node:update_owner_provisioned"           SYSTEM            SYSTEM_ADMIN;
    NodeDelete                         "baremetal:node:delete"                             SYSTEM_OR_PROJECT SYSTEM_ADMIN;
    NodeDeleteSelfOwnedNode            "baremetal:node:delete:self_owned_node"             SYSTEM_OR_PROJECT PROJECT_OWNER_ADMIN;
    NodeValidate                       "baremetal:node:validate"                           SYSTEM_OR_PROJECT SYSTEM_OR_OWNER_MEMBER_AND_LESSEE_ADMIN;
    NodeSetMaintenance                 "baremetal:node:set_maintenance"                    SYSTEM_OR_PROJECT SYSTEM_OR_OWNER_MEMBER_AND_LESSEE_ADMIN;
    NodeClearMaintenance               "baremetal:node:clear_maintenance"                  SYSTEM_OR_PROJECT SYSTEM_OR_OWNER_MEMBER_AND_LESSEE_ADMIN;
    NodeGetBootDevice                  "baremetal:node:get_boot_device"                    SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_ADMIN;
    NodeSetBootDevice                  "baremetal:node:set_boot_device"                    SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_ADMIN;
    NodeGetIndicatorState              "baremetal:node:get_indicator_state"                SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_READER;
    NodeSetIndicatorState              "baremetal:node:set_indicator_state"                SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_MEMBER;
    NodeInjectNmi                      "baremetal:node:inject_nmi"                         SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_ADMIN;
    NodeGetStates                      "baremetal:node:get_states"                         SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_READER;
    NodeSetPowerState                  "baremetal:node:set_power_state"                    SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_MEMBER;
    NodeSetBootMode                    "baremetal:node:set_boot_mode"                      SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_MEMBER;
    NodeSetSecureBoot                  "baremetal:node:set_secure_boot"                    SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_MEMBER;
    NodeSetProvisionState              "baremetal:node:set_provision_state"                SYSTEM_OR_PROJECT SYSTEM_OR_OWNER_MEMBER_AND_LESSEE_ADMIN;
    NodeSetProvisionStateCleanSteps    "baremetal:node:set_provision_state:clean_steps"    SYSTEM_OR_PROJECT SYSTEM_OR_OWNER_MEMBER_AND_LESSEE_ADMIN;
    NodeSetProvisionStateServiceSteps  "baremetal:node:set_provision_state:service_steps"  SYSTEM_OR_PROJECT SYSTEM_OR_OWNER_MEMBER_AND_LESSEE_ADMIN;
    NodeSetRaidState                   "baremetal:node:set_raid_state"                     SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_MEMBER;
    NodeGetConsole                     "baremetal:node:get_console"                        SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_MEMBER;
    NodeSetConsoleState                "baremetal:node:set_console_state"                  SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_MEMBER;
    NodeVifList                        "baremetal:node:vif:list"                           SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_READER;
    NodeVifAttach                      "baremetal:node:vif:attach"                         SYSTEM_OR_PROJECT SYSTEM_OR_OWNER_MEMBER_AND_LESSEE_ADMIN;
    NodeVifDetach                      "baremetal:node:vif:detach"                         SYSTEM_OR_PROJECT SYSTEM_OR_OWNER_MEMBER_AND_LESSEE_ADMIN;
    NodeTraitsList                     "baremetal:node:traits:list"                        SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_READER;
    NodeTraitsSet                      "baremetal:node:traits:set"                         SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_ADMIN;
    NodeTraitsDelete                   "baremetal:node:traits:delete"                      SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_ADMIN;
    NodeBiosGet                        "baremetal:node:bios:get"                           SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_READER;
    NodeDisableCleaning                "baremetal:node:disable_cleaning"                   SYSTEM_OR_PROJECT SYSTEM_ADMIN;
    NodeHistoryGet                     "baremetal:node:history:get"                        SYSTEM_OR_PROJECT SYSTEM_OR_OWNER_READER;
    NodeInventoryGet                   "baremetal:node:inventory:get"                      SYSTEM_OR_PROJECT SYSTEM_OR_OWNER_READER;
    NodeUpdateShard                    "baremetal:node:update:shard"                       SYSTEM_OR_PROJECT SYSTEM_ADMIN;
    ShardsGet                          "baremetal:shards:get"                              SYSTEM_OR_PROJECT SYSTEM_READER;
    NodeUpdateParentNode               "baremetal:node:update:parent_node"                 SYSTEM_OR_PROJECT SYSTEM_MEMBER;
    NodeUpdateDisablePowerOff          "baremetal:node:update:disable_power_off"           SYSTEM_OR_PROJECT SYSTEM_ADMIN;
    NodeFirmwareGet                    "baremetal:node:firmware:get"                       SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_READER;
    NodeVmediaAttach                   "baremetal:node:vmedia:attach"                      SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_MEMBER;
    NodeVmediaDetach                   "baremetal:node:vmedia:detach"                      SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_MEMBER;
    NodeVmediaGet                      "baremetal:node:vmedia:get"                         SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_READER;
    PortGet                            "baremetal:port:get"                                SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_READER;
    PortList                           "baremetal:port:list"                               SYSTEM_OR_PROJECT API_READER;
    PortListAll                        "baremetal:port:list_all"                           SYSTEM_OR_PROJECT SYSTEM_READER;
    PortCreate                         "baremetal:port:create"                             SYSTEM_OR_PROJECT SYSTEM_ADMIN_OR_OWNER_ADMIN;
    PortDelete                         "baremetal:port:delete"                             SYSTEM_OR_PROJECT SYSTEM_ADMIN_OR_OWNER_ADMIN;
    PortUpdate                         "baremetal:port:update"                             SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_ADMIN;
    PortgroupGet                       "baremetal:portgroup:get"                           SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_READER;
    PortgroupCreate                    "baremetal:portgroup:create"                        SYSTEM_OR_PROJECT SYSTEM_ADMIN_OR_OWNER_ADMIN;
    PortgroupDelete                    "baremetal:portgroup:delete"                        SYSTEM_OR_PROJECT SYSTEM_ADMIN_OR_OWNER_ADMIN;
    PortgroupUpdate                    "baremetal:portgroup:update"                        SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_ADMIN;
    PortgroupList                      "baremetal:portgroup:list"                          SYSTEM_OR_PROJECT API_READER;
    PortgroupListAll                   "baremetal:portgroup:list_all"                      SYSTEM_OR_PROJECT SYSTEM_READER;
    ChassisGet                         "baremetal:chassis:get"                             SYSTEM            SYSTEM_READER;
    ChassisCreate                      "baremetal:chassis:create"                          SYSTEM            SYSTEM_ADMIN;
    ChassisDelete                      "baremetal:chassis:delete"                          SYSTEM            SYSTEM_ADMIN;
    ChassisUpdate                      "baremetal:chassis:update"                          SYSTEM            SYSTEM_MEMBER;
    DriverGet                          "baremetal:driver:get"                              SYSTEM            SYSTEM_READER;
    DriverGetProperties                "baremetal:driver:get_properties"                   SYSTEM            SYSTEM_READER;
    DriverGetRaidLogicalDiskProperties "baremetal:driver:get_raid_logical_disk_properties" SYSTEM            SYSTEM_READER;
    NodeVendorPassthru                 "baremetal:node:vendor_passthru"                    SYSTEM_OR_PROJECT SYSTEM_ADMIN;
    DriverVendorPassthru               "baremetal:driver:vendor_passthru"                  SYSTEM            SYSTEM_ADMIN;
    NodeIpaHeartbeat                   "baremetal:node:ipa_heartbeat"                      ANY               "";
    DriverIpaLookup                    "baremetal:driver:ipa_lookup"                       ANY               "";
    DriverIpaContinueInspection        "baremetal:driver:ipa_continue_inspection"          ANY               "";
    VolumeListAll                      "baremetal:volume:list_all"                         SYSTEM_OR_PROJECT SYSTEM_READER;
    VolumeList                         "baremetal:volume:list"                             SYSTEM_OR_PROJECT API_READER;
    VolumeGet                          "baremetal:volume:get"                              SYSTEM_OR_PROJECT SYSTEM_OR_PROJECT_READER;
    VolumeCreate                       "baremetal:volume:create"                           SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_LESSEE_ADMIN;
    VolumeDelete                       "baremetal:volume:delete"                           SYSTEM_OR_PROJECT SYSTEM_MEMBER_OR_OWNER_LESSEE_ADMIN;
    VolumeUpdate                       "baremetal:volume:update"                           SYSTEM_OR_PROJECT SYSTEM_OR_OWNER_MEMBER_AND_LESSEE_ADMIN;
    VolumeViewTargetProperties         "baremetal:volume:view_target_properties"           SYSTEM_OR_PROJECT TARGET_PROPERTIES_READER;
    ConductorGet                       "baremetal:conductor:get"                           SYSTEM_OR_PROJECT SYSTEM_READER;
    AllocationGet                      "baremetal:allocation:get"                          SYSTEM_OR_PROJECT ALLOCATION_READER;
    AllocationList                     "baremetal:allocation:list"                         SYSTEM_OR_PROJECT API_READER;
    AllocationListAll                  "baremetal:allocation:list_all"                     SYSTEM_OR_PROJECT SYSTEM_READER;
    AllocationCreate                   "baremetal:allocation:create"                       SYSTEM_OR_PROJECT ALLOCATION_CREATOR;
    AllocationCreateRestricted         "baremetal:allocation:create_restricted"            SYSTEM_OR_PROJECT SYSTEM_MEMBER;
    AllocationDelete                   "baremetal:allocation:delete"                       SYSTEM_OR_PROJECT ALLOCATION_MEMBER;
    AllocationUpdate                   "baremetal:allocation:update"                       SYSTEM_OR_PROJECT ALLOCATION_MEMBER;
    AllocationCreatePreRbac            "baremetal:allocation:create_pre_rbac"              PROJECT           "(rule:is_member and role:baremetal_admin) or (is_admin_project:True and role:admin)";
    EventsPost                         "baremetal:events:post"                             SYSTEM            SYSTEM_ADMIN;
    DeployTemplateGet                  "baremetal:deploy_template:get"                     SYSTEM_OR_PROJECT SYSTEM_READER;
    DeployTemplateCreate               "baremetal:deploy_template:create"                  SYSTEM_OR_PROJECT SYSTEM_ADMIN;
    DeployTemplateDelete               "baremetal:deploy_template:delete"                  SYSTEM_OR_PROJECT SYSTEM_ADMIN;
    DeployTemplateUpdate               "baremetal:deploy_template:update"                  SYSTEM_OR_PROJECT SYSTEM_ADMIN;
    RunbookGet                         "baremetal:runbook:get"                             SYSTEM_OR_PROJECT RUNBOOK_READER;
    RunbookList                        "baremetal:runbook:list"                            SYSTEM_OR_PROJECT API_READER;
    RunbookListAll                     "baremetal:runbook:list_all"                        SYSTEM_OR_PROJECT SYSTEM_READER;
    RunbookCreate                      "baremetal:runbook:create"                          SYSTEM_OR_PROJECT RUNBOOK_CREATOR;
    RunbookDelete                      "baremetal:runbook:delete"                          SYSTEM_OR_PROJECT RUNBOOK_ADMIN;
    RunbookUpdate                      "baremetal:runbook:update"                          SYSTEM_OR_PROJECT RUNBOOK_ADMIN;
    RunbookUpdatePublic                "baremetal:runbook:update:public"                   SYSTEM_OR_PROJECT SYSTEM_MEMBER;
    RunbookUpdateOwner                 "baremetal:runbook:update:owner"                    SYSTEM_OR_PROJECT SYSTEM_MEMBER;
    RunbookUse                         "baremetal:runbook:use"                             SYSTEM_OR_PROJECT RUNBOOK_ADMIN;
    InspectionRuleGet                  "baremetal:inspection_rule:get"                     SYSTEM_OR_PROJECT SYSTEM_READER;
    InspectionRuleListAll              "baremetal:inspection_rule:list_all"                SYSTEM_OR_PROJECT SYSTEM_READER;
    InspectionRuleCreate               "baremetal:inspection_rule:create"                  SYSTEM_OR_PROJECT SYSTEM_ADMIN;
    InspectionRuleUpdate               "baremetal:inspection_rule:update"                  SYSTEM_OR_PROJECT SYSTEM_ADMIN;
    InspectionRuleDelete               "baremetal:inspection_rule:delete"                  SYSTEM_OR_PROJECT SYSTEM_ADMIN;
}
