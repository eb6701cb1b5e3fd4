//! What is hidden within a resource that the caller sees.

use serde_json::Value;
use serde_json::json;

use crate::api::rules::Rule;
use crate::policy::caller::Caller;
use crate::policy::in_force::Rules;
use crate::policy::language::Verdict;
use crate::policy::targets::Target;
use crate::tenancy::case::Resource;

/// Members of a node that only its owner's readers see; for a lessee they are masked.
pub(crate) const MASKED: &[&str] = &[
    "driver_info",
    "driver_internal_info",
    "last_error",
    "reservation",
];

/// Ironic's `node_sanitize`, with its texts as they are: capital R in some, "Value" in one.
pub(crate) fn node(node: &mut Resource, rules: &Rules, caller: &Caller<'_>, target: &Target<'_>) {
    let allows = |rule| rules.judge(rule, caller, target) == Verdict::Yes;
    // Ironic's short cut: who passes this rule (system readers) skips the four checks below.
    if allows(Rule::NodeGetFilterThreshold) {
        return;
    }
    let masks = [
        (
            "driver_info",
            Rule::NodeGetDriverInfo,
            json!({"content": "** Redacted - requires baremetal:node:get:driver_info permission. **"}),
        ),
        (
            "driver_internal_info",
            Rule::NodeGetDriverInternalInfo,
            json!({"content": "** Redacted - Requires baremetal:node:get:driver_internal_info permission. **"}),
        ),
        (
            "last_error",
            Rule::NodeGetLastError,
            json!("** Value Redacted - Requires baremetal:node:get:last_error permission. **"),
        ),
        (
            "reservation",
            Rule::NodeGetReservation,
            json!("** Redacted - requires baremetal:node:get:reservation permission. **"),
        ),
    ];
    for (name, rule, mask) in masks {
        // Also null: Ironic replaces the value without looking at it.
        if let Some(value) = node.get_mut(name)
            && !allows(rule)
        {
            *value = mask;
        }
    }
    secrets(node, rules, caller, target);
}

/// Secrets that a location's looser policy shows to our credential and the caller must not see: Ironic's
/// `show_password` and `show_instance_secrets`.
fn secrets(node: &mut Resource, rules: &Rules, caller: &Caller<'_>, target: &Target<'_>) {
    let allows = |rule| rules.judge(rule, caller, target) == Verdict::Yes;
    if !allows(Rule::ShowPassword) {
        for name in ["driver_info", "driver_internal_info"] {
            if let Some(Value::Object(info)) = node.get_mut(name) {
                mask_passwords(info);
            }
        }
    }
    if !allows(Rule::ShowInstanceSecrets)
        && let Some(Value::Object(info)) = node.get_mut("instance_info")
    {
        for name in ["configdrive", "image_url"] {
            // Replaced whole: a configdrive may be a dict, and an image's URL may be a temporary one with its key.
            if let Some(value) = info.get_mut(name)
                && !matches!(value, Value::Null)
            {
                *value = json!("******");
            }
        }
        mask_passwords(info);
    }
}

/// oslo.utils' `mask_dict_password`, by the names of keys, and the two more that Ironic names.
fn mask_passwords(info: &mut Resource) {
    for (name, value) in info.iter_mut() {
        // oslo.utils compares key names without regard to case, and as parts of a longer name.
        let name = name.to_lowercase();
        if let Value::Object(inner) = value {
            mask_passwords(inner);
        } else if SECRET.iter().any(|secret| name.contains(secret)) {
            *value = json!("******");
        }
    }
}

#[rustfmt::skip]
const SECRET: &[&str] = &[
    "adminpass", "admin_pass", "password", "auth_token", "new_pass", "secret", "sys_pswd", "token", "configdrive",
    "encrypted_key", "private_key", "fernetkey", "sslkey", "passphrase", "cephclusterfsid", "octaviaheartbeatkey",
    "rabbitcookie", "cephmanilaclientkey", "pacemakerremoteauthkey", "designaterndckey", "cephadminkey",
    "heatauthencryptionkey", "cephclientkey", "keystonecredential", "barbicansimplecryptokek", "cephrgwkey",
    "swifthashsuffix", "migrationsshkey", "cephmdskey", "cephmonkey", "snmp_auth_key", "snmp_priv_key",
];

/// The properties of a volume target. Ironic judges by role alone, so an owner's reader does not see them and any
/// project's admin does.
pub(crate) fn target(target: &mut Resource, rules: &Rules, caller: &Caller<'_>) {
    let allowed = rules.judge(Rule::VolumeViewTargetProperties, caller, &Target::Nothing);
    if allowed != Verdict::Yes
        && let Some(value) = target.get_mut("properties")
    {
        *value = json!({"redacted_contents": "** Value redacted: Requires permission baremetal:volume:view_target_properties access. Permission denied. **"});
    }
}
