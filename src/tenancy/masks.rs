//! What is hidden within a resource that the caller sees.

use bytes::Bytes;

use crate::api::json;
use crate::api::json::Malformed;
use crate::api::json::Span;
use crate::api::link::Mask;
use crate::api::page::Item;
use crate::api::page::Noted;
use crate::api::rules::Rule;
use crate::policy::caller::Caller;
use crate::policy::in_force::Rules;
use crate::policy::language::Verdict;
use crate::policy::targets::Target;
use crate::tenancy::facts::Holders;
use crate::tenancy::resource::Resource;

/// Members of a node that are masked for those who may not see them, and what decides that: Ironic's `node_sanitize`, with
/// its texts as they are: capital R in some, "Value" in one.
const MASKED: [(&str, Rule, &str); 4] = [
    (
        "driver_info",
        Rule::NodeGetDriverInfo,
        r#"{"content": "** Redacted - requires baremetal:node:get:driver_info permission. **"}"#,
    ),
    (
        "driver_internal_info",
        Rule::NodeGetDriverInternalInfo,
        r#"{"content": "** Redacted - Requires baremetal:node:get:driver_internal_info permission. **"}"#,
    ),
    (
        "last_error",
        Rule::NodeGetLastError,
        r#""** Value Redacted - Requires baremetal:node:get:last_error permission. **""#,
    ),
    (
        "reservation",
        Rule::NodeGetReservation,
        r#""** Redacted - requires baremetal:node:get:reservation permission. **""#,
    ),
];

/// Members that are read of each node on a list, in this order: those of [`MASKED`], and what decides about them.
pub(crate) const NOTED: &[&str] = &[
    "driver_info",
    "driver_internal_info",
    "last_error",
    "reservation",
    INSTANCE_INFO,
    "owner",
    "lessee",
];
const INSTANCE_INFO: &str = "instance_info";
const OWNER: usize = 5;
const LESSEE: usize = 6;

/// Members that hold passwords of machines.
const WITH_PASSWORDS: [&str; 2] = ["driver_info", "driver_internal_info"];
/// Replaced whole: a configdrive may be a dict, and an image's URL may be a temporary one with its key.
const REPLACED: [&str; 2] = ["configdrive", "image_url"];
const HIDDEN: &str = r#""******""#;

/// What a caller sees of a node, by whose it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    /// Which of [`MASKED`].
    members: [bool; MASKED.len()],
    /// Secrets that a location's looser policy shows to our credential and the caller must not see: Ironic's
    /// `show_password` and `show_instance_secrets`.
    passwords: bool,
    instance_secrets: bool,
}

impl Sight {
    pub(crate) fn of(rules: &Rules, caller: &Caller<'_>, target: &Target<'_>) -> Self {
        let allows = |rule| rules.judge(rule, caller, target) == Verdict::Yes;
        // Ironic's short cut: who passes this rule (system readers) skips the four checks, and no others.
        let all = allows(Rule::NodeGetFilterThreshold);
        Self {
            members: MASKED.map(|(_, rule, _)| all || allows(rule)),
            passwords: allows(Rule::ShowPassword),
            instance_secrets: allows(Rule::ShowInstanceSecrets),
        }
    }

    /// Hides the rest of a node.
    pub(crate) fn mask(self, node: &mut Resource) -> Result<(), Malformed> {
        let mut masking = Masking::default();
        for (place, name) in NOTED[..OWNER].iter().enumerate() {
            let Some(raw) = node.raw(name) else {
                continue;
            };
            let mut masks = Vec::new();
            masking.member((place, Noted::alone(raw)), self, &mut masks)?;
            if !masks.is_empty() {
                let masked = masked(raw, &masks);
                node.set(name, masked);
            }
        }
        Ok(())
    }
}

/// Masks of nodes, which are not taken apart: their secrets are hidden where they stand.
#[derive(Debug, Default)]
pub(crate) struct Masking {
    /// Names that were met. Nodes have the same few ones, and to look for each of [`SECRET`] in one takes half a microsecond.
    names: Vec<(Box<[u8]>, bool)>,
}

/// Names that are remembered.
const MOST_NAMES: usize = 64;

impl Masking {
    /// Whether anything is there that may be masked for its owner.
    pub(crate) fn is_about(item: &Item<'_>) -> bool {
        (0..MASKED.len()).any(|place| item.noted(place).is_some())
    }

    /// What a caller with this sight does not see of it.
    pub(crate) fn of(&mut self, item: &Item<'_>, sight: Sight) -> Result<Vec<Mask>, Malformed> {
        let mut masks = Vec::new();
        for place in 0..OWNER {
            if let Some(noted) = item.noted(place) {
                self.member((place, noted), sight, &mut masks)?;
            }
        }
        Ok(masks)
    }

    /// The same of the member that is at this place of [`NOTED`].
    fn member(
        &mut self,
        (place, noted): (usize, Noted<'_>),
        sight: Sight,
        masks: &mut Vec<Mask>,
    ) -> Result<(), Malformed> {
        let name = NOTED[place];
        if sight.members.get(place) == Some(&false) {
            // Also null: Ironic replaces the value without looking at it.
            masks.push(noted.mask(MASKED[place].2));
        } else if name == INSTANCE_INFO && !sight.instance_secrets {
            self.secrets(noted, &REPLACED, masks)?;
        } else if WITH_PASSWORDS.contains(&name) && !sight.passwords {
            self.secrets(noted, &[], masks)?;
        }
        Ok(())
    }

    fn secrets(
        &mut self,
        info: Noted<'_>,
        replaced: &[&str],
        masks: &mut Vec<Mask>,
    ) -> Result<(), Malformed> {
        info.members(|name, value| {
            if value.raw == HIDDEN.as_bytes() {
                return Ok(());
            }
            let is_replaced = replaced.iter().any(|known| name == known.as_bytes());
            if is_replaced && value.raw != b"null" || !value.is_object() && self.is_secret(name) {
                masks.push(value.mask(HIDDEN));
                Ok(())
            } else {
                self.within(value, masks)
            }
        })
    }

    /// As deep as oslo.utils goes: into objects, and into lists of them, as steps are.
    fn within(&mut self, value: Noted<'_>, masks: &mut Vec<Mask>) -> Result<(), Malformed> {
        self.secrets(value, &[], masks)?;
        value.elements(|one| self.within(one, masks))
    }

    fn is_secret(&mut self, name: &[u8]) -> bool {
        if let Some((_, is_secret)) = self.names.iter().find(|(known, _)| **known == *name) {
            return *is_secret;
        }
        // A name that no text can hold may say anything.
        let is_secret = name.is_empty() || is_secret(&String::from_utf8_lossy(name));
        if self.names.len() < MOST_NAMES {
            self.names.push((name.into(), is_secret));
        }
        is_secret
    }
}

/// Owner and lessee as a node on a list tells them, raw.
pub(crate) type SaidHolders<'p> = [Option<&'p [u8]>; 2];

pub(crate) fn holders<'p>(item: &Item<'p>) -> SaidHolders<'p> {
    [OWNER, LESSEE].map(|place| Some(item.noted(place)?.raw))
}

/// Whose a node is that says so.
pub(crate) fn understood(holders: SaidHolders<'_>) -> Holders {
    let [owner, lessee] = holders.map(|raw| {
        let text = json::decode(raw?)?;
        (!text.is_empty()).then(|| text.into_owned())
    });
    Holders { owner, lessee }
}

/// A value with these parts hidden, which are in order.
fn masked(raw: &[u8], masks: &[Mask]) -> Bytes {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    for mask in masks {
        out.extend_from_slice(Span::new(at, mask.at.start).of(raw));
        out.extend_from_slice(mask.text.as_bytes());
        at = mask.at.end;
    }
    out.extend_from_slice(raw.get(at as usize..).unwrap_or_default());
    out.into()
}

/// oslo.utils' `mask_dict_password` compares key names without regard to case, and as parts of a longer name.
fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET.iter().any(|secret| name.contains(secret))
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
    if allowed != Verdict::Yes && target.raw("properties").is_some() {
        target.set("properties", PROPERTIES);
    }
}

const PROPERTIES: &str = r#"{"redacted_contents": "** Value redacted: Requires permission baremetal:volume:view_target_properties access. Permission denied. **"}"#;
