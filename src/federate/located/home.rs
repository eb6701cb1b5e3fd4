//! Where a new node goes, and why: by its conductor group, else by the address of its BMC, else to the default group. A
//! pure decision, for a create and for `explain`.

use std::borrow::Cow;
use std::fmt;

use log::info;
use log::warn;

use crate::api::bmc::Bmc;
use crate::api::bmc::bmcs;
use crate::api::body::Object;
use crate::api::body::Value;
use crate::api::identifier::is_uuid_or_name;
use crate::api::microversion::Microversion;
use crate::config::LocationId;
use crate::federate::Federation;
use crate::federate::objection::Objection;
use crate::request::Request;

/// Before this version Ironic refuses the member, whatever it says (`api_utils.VERSIONED_FIELDS`).
pub const GROUPS_SINCE: Microversion = Microversion::new(1, 46);

/// The location of a new node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    pub location: LocationId,
    pub why: Why,
    /// What there is to be said against it, which forbids nothing.
    doubt: Option<String>,
}

/// What decides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Ironic has no conductor groups in this version and says so, whichever one is asked.
    TooOld,
    Group(String),
    /// A sentence about the node, its BMC and the range.
    Bmc(String),
    /// The client names it.
    Pinned,
    /// Nothing else is known of it.
    Default,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooOld => write!(
                f,
                "conductor groups come with version {GROUPS_SINCE}; one location words the refusal"
            ),
            Self::Group(group) if group.is_empty() => {
                f.write_str("the body asks for the default group, which [DEFAULT] groups maps there")
            }
            Self::Group(group) => write!(
                f,
                "the body asks for conductor group {group}, which [DEFAULT] groups maps there"
            ),
            Self::Bmc(sentence) => f.write_str(sentence),
            Self::Pinned => f.write_str("the request names the location, and the body no conductor group"),
            Self::Default => f.write_str(
                "the body names no conductor group and no BMC in a location's bmc_addresses: the default group",
            ),
        }
    }
}

impl Home {
    fn new(location: LocationId, why: Why) -> Self {
        Self {
            location,
            why,
            doubt: None,
        }
    }

    /// Writes to the log what an operator may wonder about later.
    pub fn tell(&self) {
        if let Why::Bmc(sentence) = &self.why {
            info!("{sentence}");
        }
        if let Some(doubt) = &self.doubt {
            warn!("{doubt}");
        }
    }
}

/// A conductor group as a body names it, folded to lower case; the empty text is the default group.
pub fn conductor_group(value: Value) -> Result<Option<String>, Objection> {
    match value {
        Value::Absent => Ok(None),
        // Ironic 39: `conductor_group: null` and "" are the default group on create; null in a PATCH is a 500.
        Value::Null => Ok(Some(String::new())),
        // The pattern of `ironic.common.args.string` for conductor groups.
        Value::Text(group)
            if group
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) =>
        {
            Ok(Some(group.to_ascii_lowercase()))
        }
        Value::Text(group) => Err(Objection::Invalid(format!(
            "Expected a conductor group but received {group}."
        ))),
        Value::Other => Err(Objection::Invalid(
            "Expected a conductor group but received something that is not a string.".to_owned(),
        )),
    }
}

/// Decides it. What is sent there stands in the body afterwards.
pub fn home_of(
    federation: &Federation,
    request: &Request,
    node: &mut Object,
) -> Result<Home, Objection> {
    let named = node.value("conductor_group");
    let is_default = match &named {
        Value::Absent => true,
        Value::Text(group) => group.is_empty(),
        Value::Null | Value::Other => false,
    };
    if request.version < GROUPS_SINCE && !is_default {
        let location = request.pinned.unwrap_or(LocationId(0));
        return Ok(Home::new(location, Why::TooOld));
    }
    let given = match named {
        Value::Absent | Value::Null => None,
        named => conductor_group(named)?,
    };
    // An absent group and null may be placed by the BMC; "" is an explicit wish for the default group.
    let home = match &given {
        Some(group) => by_group(federation, node, group)?,
        None => by_bmc(federation, request.pinned, node)?,
    };
    let there = federation.locations.location(home.location);
    if let Some(pinned) = request.pinned.filter(|pinned| *pinned != home.location) {
        let what = match home.why {
            Why::Bmc(_) => "The BMC".to_owned(),
            _ => format!("Conductor group \"{}\"", given.unwrap_or_default()),
        };
        return Err(Objection::Misplaced {
            text: format!(
                "{what} belongs to location {}, not to {}.",
                there.name(),
                federation.locations.location(pinned).name()
            ),
            plain: format!("{what} does not belong to the location that the request names."),
        });
    }
    let called = |ours: &str| match &there.groups {
        Some(names) => names.theirs(ours).into_owned(),
        None => ours.to_owned(),
    };
    // A location whose own default group has a name here is sent the node without a group.
    let group = given.clone().or_else(|| {
        let mut groups = federation.groups.groups_of(home.location);
        let default = groups.find(|ours| called(ours).is_empty());
        let group = default.or_else(|| federation.groups.first(home.location));
        group
            .filter(|_| matches!(home.why, Why::Bmc(_) | Why::Pinned))
            .map(str::to_owned)
    });
    let theirs = called(group.as_deref().unwrap_or_default());
    if !theirs.is_empty() && request.version < GROUPS_SINCE {
        let needs = format!(
            "a node needs a conductor group, which version {} does not have: use version {GROUPS_SINCE} or later.",
            request.version
        );
        return Err(Objection::Misplaced {
            text: format!("At location {} {needs}", there.name()),
            plain: format!("There {needs}"),
        });
    }
    match group {
        Some(group) if given.is_some() || !theirs.is_empty() || !called("").is_empty() => {
            node.set("conductor_group", &group);
        }
        // The default group, however it is asked for.
        None if node.contains("conductor_group") => node.set("conductor_group", ""),
        Some(_) => node.remove("conductor_group"),
        None => {}
    }
    Ok(home)
}

/// A group that is given decides, and the BMC is compared with it.
fn by_group(federation: &Federation, node: &Object, group: &str) -> Result<Home, Objection> {
    let location = mapped(federation, group)?;
    let who = (&*name_of(node), location);
    Ok(Home {
        doubt: federation
            .placement
            .check(&federation.locations, who, &bmcs_of(node))?,
        ..Home::new(location, Why::Group(group.to_owned()))
    })
}

/// Where the BMC is, else where the client wants it, else the default group.
fn by_bmc(
    federation: &Federation,
    pinned: Option<LocationId>,
    node: &Object,
) -> Result<Home, Objection> {
    let bmcs = bmcs_of(node);
    let placement = &federation.placement;
    let places = placement.places(&bmcs);
    match (&places[..], pinned) {
        // A client that is pointed at one location by `/locations/NAME` need not know of groups.
        ([], Some(pinned)) => Ok(Home::new(pinned, Why::Pinned)),
        ([], None) if placement.rules.refuses_unmatched => {
            let named: Vec<_> = bmcs.iter().map(ToString::to_string).collect();
            let named = if named.is_empty() {
                "driver_info names no BMC".to_owned()
            } else {
                format!("{} is in no location's bmc_addresses", named.join(", "))
            };
            Err(Objection::Invalid(format!(
                "Where the node belongs is not known: {named}, and there is no conductor_group."
            )))
        }
        ([], None) => Ok(Home::new(mapped(federation, "")?, Why::Default)),
        ([place], _) => {
            let why = format!(
                "{} goes to location `{}`, since {} is in {}",
                name_of(node),
                federation.locations.location(place.location).name(),
                place.bmc,
                place.range
            );
            Ok(Home::new(place.location, Why::Bmc(why)))
        }
        (several, _) => {
            let ids: Vec<_> = several.iter().map(|place| place.location).collect();
            let ranges: Vec<_> = several
                .iter()
                .map(|place| format!("{} is in {}", place.bmc, place.range))
                .collect();
            let unknown = "Where the node belongs is not known: its BMC is at";
            Err(Objection::Misplaced {
                text: format!(
                    "{unknown} locations {} ({}). Name a conductor_group.",
                    federation.locations.names(&ids),
                    ranges.join(", ")
                ),
                plain: format!("{unknown} more than one location. Name a conductor_group."),
            })
        }
    }
}

fn mapped(federation: &Federation, group: &str) -> Result<LocationId, Objection> {
    federation.groups.location(group).ok_or_else(|| {
        Objection::Invalid(format!(
            "No valid host was found. Reason: conductor group \"{group}\" is not mapped to any location."
        ))
    })
}

fn bmcs_of(node: &Object) -> Vec<Bmc> {
    node.json("driver_info")
        .map_or_else(Vec::new, |driver_info| bmcs(&driver_info))
}

fn name_of(node: &Object) -> Cow<'static, str> {
    let name = node.text("name").or_else(|| node.text("uuid"));
    // Ironic has not judged it yet, and sentences with it are logged.
    name.filter(|name| is_uuid_or_name(name))
        .map_or(Cow::Borrowed("a new node"), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conductor_groups_as_ironic_takes_them() {
        let text = |text: &str| Value::Text(text.to_owned());
        for (value, expected) in [
            (Value::Absent, Ok(None)),
            (Value::Null, Ok(Some(""))),
            (text(""), Ok(Some(""))),
            (text("Grp-1.a_B"), Ok(Some("grp-1.a_b"))),
            (text("_"), Ok(Some("_"))),
            (text("a b"), Err(())),
            (text("grp1\n"), Err(())),
            (text("grü"), Err(())),
            (Value::Other, Err(())),
        ] {
            let found = conductor_group(value.clone());
            assert_eq!(
                found.as_ref().map(|group| group.as_deref()).map_err(|_| ()),
                expected,
                "{value:?}"
            );
        }
    }
}
