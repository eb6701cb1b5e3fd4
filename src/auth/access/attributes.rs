//! The policy rules for single attributes in a patch.

use serde_json::Value;

use crate::api::rules::Rule;

/// One operation of a JSON patch, as far as rules look at it. Of members written twice the last one counts, as it does
/// for Ironic.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub path: &'a str,
    pub value: Option<&'a Value>,
}

/// The first that the path begins with counts. Order as in Ironic's `_authorize_patch_and_get_node`
/// (`ironic/api/controllers/v1/node.py`).
const OF_NODES: &[(&str, Rule)] = &[
    ("/instance_info", Rule::NodeUpdateInstanceInfo),
    ("/extra", Rule::NodeUpdateExtra),
    ("/driver_info", Rule::NodeUpdateDriverInfo),
    ("/properties", Rule::NodeUpdateProperties),
    ("/chassis_uuid", Rule::NodeUpdateChassisUuid),
    ("/instance_uuid", Rule::NodeUpdateInstanceUuid),
    ("/instance_name", Rule::NodeUpdateInstanceInfo),
    ("/lessee", Rule::NodeUpdateLessee),
    ("/owner", Rule::NodeUpdateOwner),
    ("/driver", Rule::NodeUpdateDriverInterfaces),
    ("/network_data", Rule::NodeUpdateNetworkData),
    ("/conductor_group", Rule::NodeUpdateConductorGroup),
    ("/name", Rule::NodeUpdateName),
    ("/retired", Rule::NodeUpdateRetired),
    ("/shard", Rule::NodeUpdateShard),
    ("/parent_node", Rule::NodeUpdateParentNode),
    ("/disable_power_off", Rule::NodeUpdateDisablePowerOff),
];

const OF_RUNBOOKS: &[(&str, Rule)] = &[
    ("/owner", Rule::RunbookUpdateOwner),
    ("/public", Rule::RunbookUpdatePublic),
];

/// `NAME_interface` (`ALL_INTERFACES` in `ironic/drivers/base.py`).
const INTERFACES: &[&str] = &[
    "bios",
    "boot",
    "console",
    "deploy",
    "firmware",
    "inspect",
    "management",
    "network",
    "power",
    "raid",
    "rescue",
    "storage",
    "vendor",
];

/// The rules that a whole patch of a member of `template` is under, each once in the order of its changes. Ironic asks
/// the general one only if a change has none of its own.
pub(crate) fn rules<'a>(
    template: &str,
    general: Rule,
    changes: impl IntoIterator<Item = Change<'a>>,
) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut is_general = false;
    for change in changes {
        match rule(template, &change) {
            None => is_general = true,
            Some(rule) if rules.contains(&rule) => {}
            Some(rule) => rules.push(rule),
        }
    }
    if is_general || rules.is_empty() {
        rules.push(general);
    }
    rules
}

/// The rule of its own that a change is under.
fn rule(template: &str, change: &Change<'_>) -> Option<Rule> {
    // Ironic's own `startswith`: `/driver` covers `/driver_internal_info` too, and `/retired` covers `/retired_reason`.
    let first = |attributes: &[(&str, Rule)]| {
        let found = attributes
            .iter()
            .find(|(path, _)| change.path.starts_with(path));
        found.map(|(_, rule)| *rule)
    };
    match template {
        "nodes/{}" => first(OF_NODES).or_else(|| {
            // As its `lstrip('/')`, which takes every slash: `//deploy_interface` is an interface too.
            let name = change.path.trim_start_matches('/');
            let interface = name.strip_suffix("_interface");
            if interface.is_some_and(|interface| INTERFACES.contains(&interface)) {
                return Some(Rule::NodeUpdateDriverInterfaces);
            }
            let off =
                change.path.starts_with("/automated_clean") && change.value.is_some_and(is_false);
            off.then_some(Rule::NodeDisableCleaning)
        }),
        "runbooks/{}" => first(OF_RUNBOOKS),
        _ => None,
    }
}

/// oslo.utils' `bool_from_string`.
// Ironic calls it with `default=None`: what is neither true nor false is not `False`, so the general rule is asked.
fn is_false(value: &Value) -> bool {
    let text = match value {
        Value::Bool(value) => return !value,
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_lowercase(),
        Value::Null | Value::Array(_) | Value::Object(_) => return false,
    };
    matches!(text.as_str(), "0" | "f" | "false" | "off" | "n" | "no")
}
