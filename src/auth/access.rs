//! Who may do what: Ironic's default policies for system scope, as one table beside the one of the routes.
//!
//! The gateway goes to a location with a credential that may do everything there, so this is the only gate. Ironic's
//! rules about owners and lessees are not in it: they would have to be applied inside every list and every answer.
//! Hence tokens scoped to a project open nothing, unless the configuration says otherwise. The source is Ironic 39's
//! `ironic/common/policy.py`.

use http::Method;
use http::StatusCode;
use serde_json::Value;
use thiserror::Error;

use crate::api::fault::Fault;
use crate::auth::identity::Identity;
use crate::config::AuthStrategy;
use crate::config::ProjectScoped;
use crate::keystone::message::Validated;

/// Whom a policy lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// The ramdisks' routes ask for no identity.
    Anyone,
    /// `SYSTEM_READER`
    Reader,
    /// `SYSTEM_MEMBER`
    Member,
    /// `SYSTEM_MEMBER or SYSTEM_SERVICE`, most of what changes something.
    MemberOrService,
    /// `SYSTEM_ADMIN or SYSTEM_SERVICE`
    AdminOrService,
    /// `SYSTEM_ADMIN`
    Admin,
}

/// What becomes of a request by a policy.
#[derive(Debug)]
struct Rule {
    /// Methods, separated by blanks; `*` is any.
    methods: &'static str,
    /// As in the table of routes.
    template: &'static str,
    policy: &'static str,
    who: Who,
}

const fn rule(
    methods: &'static str,
    template: &'static str,
    policy: &'static str,
    who: Who,
) -> Rule {
    Rule {
        methods,
        template,
        policy,
        who,
    }
}

#[rustfmt::skip]
static RULES: &[Rule] = {
    use Who::{Admin, AdminOrService, Anyone, Member, MemberOrService, Reader};
    &[
        rule("GET",        "nodes",                                     "baremetal:node:list",                    Reader),
        rule("GET",        "nodes/detail",                              "baremetal:node:list",                    Reader),
        rule("POST",       "nodes",                                     "baremetal:node:create",                  AdminOrService),
        rule("GET",        "nodes/validate",                            "baremetal:node:validate",                MemberOrService),
        rule("GET",        "nodes/{}",                                  "baremetal:node:get",                     Reader),
        // And the table of attributes below, for what the patch names.
        rule("PATCH",      "nodes/{}",                                  "baremetal:node:update",                  MemberOrService),
        rule("DELETE",     "nodes/{}",                                  "baremetal:node:delete",                  Admin),
        rule("GET",        "nodes/{}/validate",                         "baremetal:node:validate",                MemberOrService),
        rule("GET",        "nodes/{}/states",                           "baremetal:node:get_states",              Reader),
        rule("PUT",        "nodes/{}/states/power",                     "baremetal:node:set_power_state",         MemberOrService),
        rule("PUT",        "nodes/{}/states/provision",                 "baremetal:node:set_provision_state",     MemberOrService),
        rule("PUT",        "nodes/{}/states/raid",                      "baremetal:node:set_raid_state",          MemberOrService),
        rule("PUT",        "nodes/{}/states/boot_mode",                 "baremetal:node:set_boot_mode",           MemberOrService),
        rule("PUT",        "nodes/{}/states/secure_boot",               "baremetal:node:set_secure_boot",         MemberOrService),
        rule("GET",        "nodes/{}/states/console",                   "baremetal:node:get_console",             MemberOrService),
        rule("PUT",        "nodes/{}/states/console",                   "baremetal:node:set_console_state",       MemberOrService),
        rule("PUT",        "nodes/{}/maintenance",                      "baremetal:node:set_maintenance",         MemberOrService),
        rule("DELETE",     "nodes/{}/maintenance",                      "baremetal:node:clear_maintenance",       MemberOrService),
        rule("GET",        "nodes/{}/management/boot_device",           "baremetal:node:get_boot_device",         MemberOrService),
        rule("GET",        "nodes/{}/management/boot_device/supported", "baremetal:node:get_boot_device",         MemberOrService),
        rule("PUT",        "nodes/{}/management/boot_device",           "baremetal:node:set_boot_device",         MemberOrService),
        rule("PUT",        "nodes/{}/management/inject_nmi",            "baremetal:node:inject_nmi",              MemberOrService),
        rule("GET",        "nodes/{}/management/indicators",            "baremetal:node:get_indicator_state",     Reader),
        rule("GET",        "nodes/{}/management/indicators/{}",         "baremetal:node:get_indicator_state",     Reader),
        rule("PUT",        "nodes/{}/management/indicators/{}",         "baremetal:node:set_indicator_state",     MemberOrService),
        rule("GET",        "nodes/{}/vendor_passthru/methods",          "baremetal:node:vendor_passthru",         Admin),
        rule("*",          "nodes/{}/vendor_passthru",                  "baremetal:node:vendor_passthru",         Admin),
        rule("*",          "nodes/{}/vendor_passthru/{}",               "baremetal:node:vendor_passthru",         Admin),
        rule("GET",        "nodes/{}/traits",                           "baremetal:node:traits:list",             Reader),
        rule("PUT",        "nodes/{}/traits",                           "baremetal:node:traits:set",              MemberOrService),
        rule("PUT",        "nodes/{}/traits/{}",                        "baremetal:node:traits:set",              MemberOrService),
        rule("DELETE",     "nodes/{}/traits",                           "baremetal:node:traits:delete",           MemberOrService),
        rule("DELETE",     "nodes/{}/traits/{}",                        "baremetal:node:traits:delete",           MemberOrService),
        rule("GET",        "nodes/{}/vifs",                             "baremetal:node:vif:list",                Reader),
        rule("POST",       "nodes/{}/vifs",                             "baremetal:node:vif:attach",              MemberOrService),
        rule("DELETE",     "nodes/{}/vifs/{}",                          "baremetal:node:vif:detach",              MemberOrService),
        rule("GET",        "nodes/{}/ports",                            "baremetal:port:list",                    Reader),
        rule("GET",        "nodes/{}/ports/detail",                     "baremetal:port:list",                    Reader),
        rule("GET",        "nodes/{}/portgroups",                       "baremetal:portgroup:list",               Reader),
        rule("GET",        "nodes/{}/portgroups/detail",                "baremetal:portgroup:list",               Reader),
        rule("GET",        "nodes/{}/portgroups/{}/ports",              "baremetal:port:list",                    Reader),
        rule("GET",        "nodes/{}/volume",                           "baremetal:volume:get",                   Reader),
        rule("GET",        "nodes/{}/volume/connectors",                "baremetal:volume:list",                  Reader),
        rule("GET",        "nodes/{}/volume/targets",                   "baremetal:volume:list",                  Reader),
        rule("GET",        "nodes/{}/bios",                             "baremetal:node:bios:get",                Reader),
        rule("GET",        "nodes/{}/bios/{}",                          "baremetal:node:bios:get",                Reader),
        rule("GET",        "nodes/{}/firmware",                         "baremetal:node:firmware:get",            Reader),
        rule("GET",        "nodes/{}/allocation",                       "baremetal:allocation:get",               Reader),
        rule("DELETE",     "nodes/{}/allocation",                       "baremetal:allocation:delete",            Member),
        rule("GET",        "nodes/{}/history",                          "baremetal:node:history:get",             Reader),
        rule("GET",        "nodes/{}/history/{}",                       "baremetal:node:history:get",             Reader),
        rule("GET",        "nodes/{}/inventory",                        "baremetal:node:inventory:get",           Reader),
        rule("GET",        "nodes/{}/children",                         "baremetal:node:get",                     Reader),
        rule("GET",        "nodes/{}/vmedia",                           "baremetal:node:vmedia:get",              Reader),
        rule("POST",       "nodes/{}/vmedia",                           "baremetal:node:vmedia:attach",           MemberOrService),
        rule("DELETE",     "nodes/{}/vmedia",                           "baremetal:node:vmedia:detach",           MemberOrService),

        rule("GET",        "ports",                                     "baremetal:port:list",                    Reader),
        rule("GET",        "ports/detail",                              "baremetal:port:list",                    Reader),
        rule("POST",       "ports",                                     "baremetal:port:create",                  AdminOrService),
        rule("GET",        "ports/{}",                                  "baremetal:port:get",                     Reader),
        rule("PATCH",      "ports/{}",                                  "baremetal:port:update",                  MemberOrService),
        rule("DELETE",     "ports/{}",                                  "baremetal:port:delete",                  AdminOrService),

        rule("GET",        "portgroups",                                "baremetal:portgroup:list",               Reader),
        rule("GET",        "portgroups/detail",                         "baremetal:portgroup:list",               Reader),
        rule("POST",       "portgroups",                                "baremetal:portgroup:create",             AdminOrService),
        rule("GET",        "portgroups/{}",                             "baremetal:portgroup:get",                Reader),
        rule("PATCH",      "portgroups/{}",                             "baremetal:portgroup:update",             MemberOrService),
        rule("DELETE",     "portgroups/{}",                             "baremetal:portgroup:delete",             AdminOrService),
        rule("GET",        "portgroups/{}/ports",                       "baremetal:port:list",                    Reader),
        rule("GET",        "portgroups/{}/ports/detail",                "baremetal:port:list",                    Reader),

        rule("GET",        "volume",                                    "baremetal:volume:get",                   Reader),
        rule("GET",        "volume/connectors",                         "baremetal:volume:list",                  Reader),
        rule("POST",       "volume/connectors",                         "baremetal:volume:create",                MemberOrService),
        rule("GET",        "volume/connectors/{}",                      "baremetal:volume:get",                   Reader),
        rule("PATCH",      "volume/connectors/{}",                      "baremetal:volume:update",                MemberOrService),
        rule("DELETE",     "volume/connectors/{}",                      "baremetal:volume:delete",                MemberOrService),
        rule("GET",        "volume/targets",                            "baremetal:volume:list",                  Reader),
        rule("POST",       "volume/targets",                            "baremetal:volume:create",                MemberOrService),
        rule("GET",        "volume/targets/{}",                         "baremetal:volume:get",                   Reader),
        rule("PATCH",      "volume/targets/{}",                         "baremetal:volume:update",                MemberOrService),
        rule("DELETE",     "volume/targets/{}",                         "baremetal:volume:delete",                MemberOrService),

        rule("GET",        "allocations",                               "baremetal:allocation:list",              Reader),
        rule("POST",       "allocations",                               "baremetal:allocation:create",            Member),
        rule("GET",        "allocations/{}",                            "baremetal:allocation:get",               Reader),
        rule("PATCH",      "allocations/{}",                            "baremetal:allocation:update",            Member),
        rule("DELETE",     "allocations/{}",                            "baremetal:allocation:delete",            Member),

        rule("GET",        "chassis",                                   "baremetal:chassis:get",                  Reader),
        rule("GET",        "chassis/detail",                            "baremetal:chassis:get",                  Reader),
        rule("POST",       "chassis",                                   "baremetal:chassis:create",               Admin),
        rule("GET",        "chassis/{}",                                "baremetal:chassis:get",                  Reader),
        rule("PATCH",      "chassis/{}",                                "baremetal:chassis:update",               Member),
        rule("DELETE",     "chassis/{}",                                "baremetal:chassis:delete",               Admin),
        rule("GET",        "chassis/{}/nodes",                          "baremetal:node:list",                    Reader),
        rule("GET",        "chassis/{}/nodes/detail",                   "baremetal:node:list",                    Reader),

        rule("GET",        "deploy_templates",                          "baremetal:deploy_template:get",          Reader),
        rule("POST",       "deploy_templates",                          "baremetal:deploy_template:create",       Admin),
        rule("GET",        "deploy_templates/{}",                       "baremetal:deploy_template:get",          Reader),
        rule("PATCH",      "deploy_templates/{}",                       "baremetal:deploy_template:update",       Admin),
        rule("DELETE",     "deploy_templates/{}",                       "baremetal:deploy_template:delete",       Admin),

        rule("GET",        "runbooks",                                  "baremetal:runbook:list",                 Reader),
        rule("POST",       "runbooks",                                  "baremetal:runbook:create",               MemberOrService),
        rule("GET",        "runbooks/{}",                               "baremetal:runbook:get",                  Reader),
        rule("PATCH",      "runbooks/{}",                               "baremetal:runbook:update",               MemberOrService),
        rule("DELETE",     "runbooks/{}",                               "baremetal:runbook:delete",               MemberOrService),
        rule("GET",        "runbooks/{}/traits",                        "baremetal:runbook:get",                  Reader),
        rule("PUT DELETE", "runbooks/{}/traits",                        "baremetal:runbook:update",               MemberOrService),
        rule("PUT DELETE", "runbooks/{}/traits/{}",                     "baremetal:runbook:update",               MemberOrService),

        rule("GET",        "inspection_rules",                          "baremetal:inspection_rule:get",          Reader),
        rule("POST",       "inspection_rules",                          "baremetal:inspection_rule:create",       Admin),
        rule("GET",        "inspection_rules/{}",                       "baremetal:inspection_rule:get",          Reader),
        rule("PATCH",      "inspection_rules/{}",                       "baremetal:inspection_rule:update",       Admin),
        rule("DELETE",     "inspection_rules/{}",                       "baremetal:inspection_rule:delete",       Admin),

        rule("GET",        "drivers",                                   "baremetal:driver:get",                   Reader),
        rule("GET",        "drivers/{}",                                "baremetal:driver:get",                   Reader),
        rule("GET",        "drivers/{}/properties",                     "baremetal:driver:get_properties",        Reader),
        rule("GET",        "drivers/{}/raid/logical_disk_properties",   "baremetal:driver:get_raid_logical_disk_properties", Reader),
        rule("GET",        "drivers/{}/vendor_passthru/methods",        "baremetal:driver:vendor_passthru",       Admin),
        rule("*",          "drivers/{}/vendor_passthru",                "baremetal:driver:vendor_passthru",       Admin),
        rule("*",          "drivers/{}/vendor_passthru/{}",             "baremetal:driver:vendor_passthru",       Admin),

        rule("GET",        "conductors",                                "baremetal:conductor:get",                Reader),
        rule("GET",        "conductors/{}",                             "baremetal:conductor:get",                Reader),
        rule("GET",        "shards",                                    "baremetal:shards:get",                   Reader),
        rule("POST",       "events",                                    "baremetal:events:post",                  Admin),

        rule("GET",        "lookup",                                    "baremetal:driver:ipa_lookup",            Anyone),
        rule("POST",       "heartbeat/{}",                              "baremetal:node:ipa_heartbeat",           Anyone),
        rule("POST",       "continue_inspection",                       "baremetal:driver:ipa_continue_inspection", Anyone),
    ]
};

/// What Ironic may have learnt since is for those who may do everything.
static UNKNOWN: Rule = rule("*", "", "baremetal:unknown_route", Who::Admin);

/// Start of a path in a patch, the policy, whom it lets in.
type Attribute = (&'static str, &'static str, Who);

/// The first that fits counts; what none fits is under the policy of the route. Order as in Ironic's
/// `_authorize_patch_and_get_node`.
#[rustfmt::skip]
static NODE_ATTRIBUTES: &[Attribute] = &[
    ("/instance_info",     "baremetal:node:update_instance_info",     Who::MemberOrService),
    ("/extra",             "baremetal:node:update_extra",             Who::MemberOrService),
    ("/driver_info",       "baremetal:node:update:driver_info",       Who::MemberOrService),
    ("/properties",        "baremetal:node:update:properties",        Who::MemberOrService),
    ("/chassis_uuid",      "baremetal:node:update:chassis_uuid",      Who::Admin),
    ("/instance_uuid",     "baremetal:node:update:instance_uuid",     Who::MemberOrService),
    ("/instance_name",     "baremetal:node:update_instance_info",     Who::MemberOrService),
    ("/lessee",            "baremetal:node:update:lessee",            Who::MemberOrService),
    ("/owner",             "baremetal:node:update:owner",             Who::Member),
    ("/driver",            "baremetal:node:update:driver_interfaces", Who::MemberOrService),
    ("/network_data",      "baremetal:node:update:network_data",      Who::MemberOrService),
    ("/conductor_group",   "baremetal:node:update:conductor_group",   Who::Member),
    ("/name",              "baremetal:node:update:name",              Who::MemberOrService),
    ("/retired",           "baremetal:node:update:retired",           Who::MemberOrService),
    ("/shard",             "baremetal:node:update:shard",             Who::Admin),
    ("/parent_node",       "baremetal:node:update:parent_node",       Who::Member),
    ("/disable_power_off", "baremetal:node:update:disable_power_off", Who::Admin),
];

static CLEANING_OFF: Attribute = (
    "/automated_clean",
    "baremetal:node:disable_cleaning",
    Who::Admin,
);

static RUNBOOK_ATTRIBUTES: &[Attribute] = &[
    ("/owner", "baremetal:runbook:update:owner", Who::Member),
    ("/public", "baremetal:runbook:update:public", Who::Member),
];

/// What a request wants, as the routes name it.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    /// A row of the table of routes.
    Known {
        method: &'a Method,
        template: &'a str,
    },
    /// Nothing that the gateway knows.
    Unknown,
}

/// One operation of a JSON patch, as far as policies look at it. Of members written twice the last one counts, as it
/// does for Ironic.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub path: &'a str,
    pub value: Option<&'a Value>,
}

/// The policy that forbids it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("Access was denied to the following resource: {policy}")]
pub struct Denied {
    pub policy: &'static str,
}

impl Denied {
    /// As Ironic's `HTTPForbidden`.
    pub fn fault(self) -> Fault {
        Fault::new(StatusCode::FORBIDDEN, self.to_string())
    }
}

/// Ironic's policies under this configuration.
#[derive(Clone, Debug)]
pub struct Gate {
    legacy_admin: bool,
    /// The project whose service users are members of the system.
    service_project: Option<String>,
}

impl Gate {
    pub fn new(strategy: &AuthStrategy) -> Self {
        match strategy {
            AuthStrategy::Noauth | AuthStrategy::HttpBasic { .. } => Self {
                legacy_admin: false,
                service_project: None,
            },
            AuthStrategy::Keystone(keystone) => Self {
                legacy_admin: keystone.project_scoped_access == ProjectScoped::LegacyAdmin,
                service_project: keystone
                    .service_role_elevated
                    .then(|| keystone.service_project.clone()),
            },
        }
    }

    /// Whether this identity may do this. A patch of a node or a runbook is to be shown to [`Self::check_patch`] too.
    pub fn check(&self, identity: &Identity, access: Access<'_>) -> Result<(), Denied> {
        let rule = match access {
            Access::Known { method, template } => RULES
                .iter()
                .find(|rule| rule.template == template && rule.covers(method))
                .unwrap_or(&UNKNOWN),
            Access::Unknown => &UNKNOWN,
        };
        self.rights(identity).allow(rule.who, rule.policy)
    }

    /// Whether this identity may change these attributes of a member of `template`.
    pub fn check_patch<'a>(
        &self,
        identity: &Identity,
        template: &str,
        changes: impl IntoIterator<Item = Change<'a>>,
    ) -> Result<(), Denied> {
        let rights = self.rights(identity);
        changes
            .into_iter()
            .filter_map(|change| attribute(template, &change))
            .try_for_each(|(_, policy, who)| rights.allow(*who, policy))
    }

    fn rights(&self, identity: &Identity) -> Rights {
        match identity {
            // Without Keystone Ironic has no policies at all.
            Identity::Anonymous | Identity::Basic(_) => Rights::ALL,
            Identity::Keystone(token) if token.system => Rights::system(token),
            Identity::Keystone(token) => {
                let Some(project) = &token.project else {
                    return Rights::NONE;
                };
                let elevated = self
                    .service_project
                    .as_ref()
                    .is_some_and(|service| *service == project.name);
                if self.legacy_admin && has(token, "admin") {
                    Rights::ALL
                } else if elevated && has(token, "service") {
                    Rights {
                        level: Level::Member,
                        service: false,
                    }
                } else {
                    Rights::NONE
                }
            }
        }
    }
}

impl Rule {
    fn covers(&self, method: &Method) -> bool {
        self.methods == "*"
            || self
                .methods
                .split(' ')
                .any(|known| known == method.as_str())
    }
}

/// On the whole system.
#[derive(Clone, Copy, Debug)]
struct Rights {
    level: Level,
    /// Beside the levels: it implies none of them.
    service: bool,
}

/// Each may what the ones before it may. Keystone writes the lower roles beside the higher ones anyway; where it does
/// not, admins must not be locked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    None,
    Reader,
    Member,
    Admin,
}

impl Rights {
    const ALL: Self = Self {
        level: Level::Admin,
        service: true,
    };
    const NONE: Self = Self {
        level: Level::None,
        service: false,
    };

    fn system(token: &Validated) -> Self {
        let level = if has(token, "admin") {
            Level::Admin
        } else if has(token, "member") {
            Level::Member
        } else if has(token, "reader") {
            Level::Reader
        } else {
            Level::None
        };
        Self {
            level,
            service: has(token, "service"),
        }
    }

    fn allow(self, who: Who, policy: &'static str) -> Result<(), Denied> {
        let allowed = match who {
            Who::Anyone => true,
            Who::Reader => self.level >= Level::Reader || self.service,
            Who::Member => self.level >= Level::Member,
            Who::MemberOrService => self.level >= Level::Member || self.service,
            Who::AdminOrService => self.level >= Level::Admin || self.service,
            Who::Admin => self.level >= Level::Admin,
        };
        if allowed {
            Ok(())
        } else {
            Err(Denied { policy })
        }
    }
}

/// oslo.policy does not look at the case of roles.
fn has(token: &Validated, role: &str) -> bool {
    token
        .roles
        .iter()
        .any(|held| held.eq_ignore_ascii_case(role))
}

/// The policy of its own that a change is under.
fn attribute(template: &str, change: &Change<'_>) -> Option<&'static Attribute> {
    let attributes = match template {
        "nodes/{}" => NODE_ATTRIBUTES,
        "runbooks/{}" => RUNBOOK_ATTRIBUTES,
        _ => return None,
    };
    let cleaning_off = || {
        let off = template == "nodes/{}"
            && change.path.starts_with(CLEANING_OFF.0)
            && change.value.is_some_and(is_false);
        off.then_some(&CLEANING_OFF)
    };
    attributes
        .iter()
        .find(|(path, ..)| change.path.starts_with(path))
        .or_else(cleaning_off)
}

/// oslo.utils' `bool_from_string`.
fn is_false(value: &Value) -> bool {
    let text = match value {
        Value::Bool(value) => return !value,
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_lowercase(),
        Value::Null | Value::Array(_) | Value::Object(_) => return false,
    };
    matches!(text.as_str(), "0" | "f" | "false" | "off" | "n" | "no")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;
    use std::time::SystemTime;

    use serde_json::json;

    use super::*;
    use crate::api::route::TABLE;
    use crate::keystone::message::ProjectScope;

    const NATIVE: Gate = Gate {
        legacy_admin: false,
        service_project: None,
    };

    fn token(roles: &[&str], system: bool, project: Option<&str>) -> Identity {
        Identity::Keystone(Arc::new(Validated {
            user_id: "u".into(),
            user_name: "n".into(),
            user_domain_id: None,
            project: project.map(|name| ProjectScope {
                id: "p".into(),
                name: name.into(),
                domain_id: None,
            }),
            domain_id: None,
            system,
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
            expires_at: SystemTime::UNIX_EPOCH,
        }))
    }

    fn system(roles: &[&str]) -> Identity {
        token(roles, true, None)
    }

    fn project(roles: &[&str], name: &str) -> Identity {
        token(roles, false, Some(name))
    }

    fn allowed(gate: &Gate, identity: &Identity, method: &str, template: &str) -> bool {
        let method = method.parse().unwrap();
        gate.check(
            identity,
            Access::Known {
                method: &method,
                template,
            },
        )
        .is_ok()
    }

    #[test]
    fn every_route_has_one_rule_and_every_rule_a_route() {
        let pairs = |methods: &'static str, template| {
            methods.split(' ').map(move |method| (method, template))
        };
        let routes: HashSet<_> = TABLE
            .iter()
            .flat_map(|row| pairs(row.methods, row.template))
            .collect();
        let rules: Vec<_> = RULES
            .iter()
            .flat_map(|rule| pairs(rule.methods, rule.template))
            .collect();
        assert_eq!(
            rules.len(),
            rules.iter().collect::<HashSet<_>>().len(),
            "two rules for one route"
        );
        assert_eq!(rules.into_iter().collect::<HashSet<_>>(), routes);
    }

    /// The personas of Ironic's own tests of its policies, row by row.
    #[test]
    fn system_roles_may_what_ironic_lets_them() {
        let admin = system(&["admin", "manager", "member", "reader"]);
        let bare_admin = system(&["Admin"]);
        let member = system(&["member", "reader"]);
        let service = system(&["service"]);
        let reader = system(&["reader"]);
        let nobody = system(&["observer"]);
        let personas = [&admin, &bare_admin, &member, &service, &reader, &nobody];
        #[rustfmt::skip]
        let rows = [
            ("GET",    "nodes",                              [true, true, true,  true,  true,  false]),
            ("GET",    "nodes/{}",                           [true, true, true,  true,  true,  false]),
            ("GET",    "conductors",                         [true, true, true,  true,  true,  false]),
            ("GET",    "drivers/{}/properties",              [true, true, true,  true,  true,  false]),
            ("GET",    "nodes/{}/inventory",                 [true, true, true,  true,  true,  false]),
            ("GET",    "nodes/{}/states/console",            [true, true, true,  true,  false, false]),
            ("GET",    "nodes/{}/validate",                  [true, true, true,  true,  false, false]),
            ("GET",    "nodes/{}/management/boot_device",    [true, true, true,  true,  false, false]),
            ("GET",    "nodes/{}/vendor_passthru/{}",        [true, true, false, false, false, false]),
            ("GET",    "nodes/{}/vendor_passthru/methods",   [true, true, false, false, false, false]),
            ("POST",   "drivers/{}/vendor_passthru",         [true, true, false, false, false, false]),
            ("POST",   "nodes",                              [true, true, false, true,  false, false]),
            ("PATCH",  "nodes/{}",                           [true, true, true,  true,  false, false]),
            ("DELETE", "nodes/{}",                           [true, true, false, false, false, false]),
            ("PUT",    "nodes/{}/states/power",              [true, true, true,  true,  false, false]),
            ("PUT",    "nodes/{}/states/provision",          [true, true, true,  true,  false, false]),
            ("DELETE", "nodes/{}/allocation",                [true, true, true,  false, false, false]),
            ("POST",   "ports",                              [true, true, false, true,  false, false]),
            ("PATCH",  "ports/{}",                           [true, true, true,  true,  false, false]),
            ("DELETE", "portgroups/{}",                      [true, true, false, true,  false, false]),
            ("POST",   "volume/targets",                     [true, true, true,  true,  false, false]),
            ("POST",   "allocations",                        [true, true, true,  false, false, false]),
            ("POST",   "chassis",                            [true, true, false, false, false, false]),
            ("PATCH",  "chassis/{}",                         [true, true, true,  false, false, false]),
            ("POST",   "deploy_templates",                   [true, true, false, false, false, false]),
            ("POST",   "runbooks",                           [true, true, true,  true,  false, false]),
            ("DELETE", "inspection_rules/{}",                [true, true, false, false, false, false]),
            ("POST",   "events",                             [true, true, false, false, false, false]),
            ("POST",   "heartbeat/{}",                       [true, true, true,  true,  true,  true]),
            ("PUT",    "nodes/{}/novelty",                   [true, true, false, false, false, false]),
            ("TRACE",  "nodes",                              [true, true, false, false, false, false]),
        ];
        for (method, template, expected) in rows {
            let found = personas.map(|persona| allowed(&NATIVE, persona, method, template));
            assert_eq!(found, expected, "{method} {template}");
        }
        let unknown = personas.map(|persona| NATIVE.check(persona, Access::Unknown).is_ok());
        assert_eq!(unknown, [true, true, false, false, false, false]);
    }

    #[test]
    fn a_project_opens_nothing_unless_the_configuration_says_so() {
        let legacy = Gate {
            legacy_admin: true,
            ..NATIVE
        };
        let elevated = Gate {
            service_project: Some("service".into()),
            ..NATIVE
        };
        let all = ["admin", "manager", "member", "reader", "service"];
        for (gate, identity, may) in [
            // list, power, create, delete
            (
                &NATIVE,
                project(&all, "service"),
                [false, false, false, false],
            ),
            (
                &NATIVE,
                token(&all, false, None),
                [false, false, false, false],
            ),
            (
                &legacy,
                project(&["admin"], "any"),
                [true, true, true, true],
            ),
            (
                &legacy,
                project(&["member", "reader", "service"], "service"),
                [false, false, false, false],
            ),
            (
                &legacy,
                token(&["admin"], false, None),
                [false, false, false, false],
            ),
            (
                &elevated,
                project(&["service"], "service"),
                [true, true, false, false],
            ),
            (
                &elevated,
                project(&["admin", "member"], "service"),
                [false, false, false, false],
            ),
            (
                &elevated,
                project(&["service"], "other"),
                [false, false, false, false],
            ),
            (&NATIVE, Identity::Anonymous, [true, true, true, true]),
            (
                &NATIVE,
                Identity::Basic("ann".into()),
                [true, true, true, true],
            ),
        ] {
            let found = [
                ("GET", "nodes"),
                ("PUT", "nodes/{}/states/power"),
                ("POST", "nodes"),
                ("DELETE", "nodes/{}"),
            ]
            .map(|(method, template)| allowed(gate, &identity, method, template));
            assert_eq!(found, may, "{gate:?} {identity:?}");
        }
    }

    #[test]
    fn some_attributes_are_not_for_everybody_who_may_patch() {
        let admin = system(&["admin"]);
        let member = system(&["member"]);
        let service = system(&["service"]);
        let node = "nodes/{}";
        let runbook = "runbooks/{}";
        for (template, path, value, expected) in [
            (node, "/extra/a", json!(1), [true, true, true]),
            (node, "/description", json!("x"), [true, true, true]),
            (node, "/driver", json!("x"), [true, true, true]),
            (node, "/bios_interface", json!("x"), [true, true, true]),
            (node, "/owner", json!("x"), [true, true, false]),
            (node, "/conductor_group", json!("x"), [true, true, false]),
            (node, "/parent_node", json!("x"), [true, true, false]),
            (node, "/chassis_uuid", json!("x"), [true, false, false]),
            (node, "/shard", json!("x"), [true, false, false]),
            (
                node,
                "/disable_power_off",
                json!(true),
                [true, false, false],
            ),
            (node, "/automated_clean", json!(true), [true, true, true]),
            (node, "/automated_clean", json!(null), [true, true, true]),
            (node, "/automated_clean", json!(false), [true, false, false]),
            (
                node,
                "/automated_clean",
                json!(" Off "),
                [true, false, false],
            ),
            (node, "/automated_clean", json!(0), [true, false, false]),
            (runbook, "/public", json!(true), [true, true, false]),
            (runbook, "/owner", json!("x"), [true, true, false]),
            (runbook, "/name", json!("x"), [true, true, true]),
            ("ports/{}", "/shard", json!("x"), [true, true, true]),
        ] {
            let first = Change {
                path: "/extra/first",
                value: None,
            };
            let found = [&admin, &member, &service].map(|persona| {
                NATIVE
                    .check_patch(
                        persona,
                        template,
                        [
                            first,
                            Change {
                                path,
                                value: Some(&value),
                            },
                        ],
                    )
                    .is_ok()
            });
            assert_eq!(found, expected, "{template} {path} {value}");
        }
    }

    #[test]
    fn the_answer_names_the_policy_as_ironic_does() {
        let method = Method::PUT;
        let access = Access::Known {
            method: &method,
            template: "nodes/{}/states/power",
        };
        let fault = NATIVE
            .check(&system(&["reader"]), access)
            .unwrap_err()
            .fault();
        assert_eq!(fault.status, StatusCode::FORBIDDEN);
        assert_eq!(
            fault.text(),
            "Access was denied to the following resource: baremetal:node:set_power_state"
        );
    }
}
