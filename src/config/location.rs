//! The locations and the conductor groups that they serve.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::api::groups::GroupNames;
use crate::api::groups::OneGroup;
use crate::config::adapter::EndpointSource;
use crate::config::adapter::endpoints;
use crate::config::bmc::BmcRange;
use crate::config::credential::LocationAuth;
use crate::config::credential::Session;
use crate::config::endpoint::Endpoint;
use crate::config::groups::GroupError;
use crate::config::groups::GroupMap;
use crate::config::groups::LocationId;
use crate::config::groups::group_name;
use crate::config::groups::written;
use crate::config::inbound::AuthStrategy;
use crate::config::keystoneauth::AuthType;
use crate::config::keystoneauth::auth_section;
use crate::config::keystoneauth::auth_type;
use crate::config::keystoneauth::location_auth;
use crate::config::keystoneauth::session;
use crate::config::options::LOCATION_PREFIX;
use crate::oslo::reader::Reader;
use crate::oslo::record::Faulted;
use crate::oslo::section::Section;

/// What the gateway's credential can see at a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectScope {
    /// All of it: what is not there is nowhere at this location.
    System,
    /// One project's part of it; the gateway is not meant to see the rest.
    Project,
}

/// What the operator wants a location to be used for, not whether it can be reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    #[default]
    Enabled,
    /// Nothing new is made there.
    Draining,
    /// It is asked, and not written to.
    ReadOnly,
    /// It is not asked.
    Maintenance,
}

impl State {
    pub const ALL: [(&'static str, Self); 4] = [
        ("enabled", Self::Enabled),
        ("draining", Self::Draining),
        ("read_only", Self::ReadOnly),
        ("maintenance", Self::Maintenance),
    ];

    pub fn word(self) -> &'static str {
        Self::ALL
            .iter()
            .find_map(|(word, state)| (*state == self).then_some(*word))
            .unwrap_or_default()
    }
}

/// One independent Ironic installation.
#[derive(Debug, Clone, PartialEq)]
pub struct LocationConfig {
    /// In lower case, of `[a-z0-9_.-]+`.
    pub name: String,
    /// How we prove ourselves there.
    pub auth: LocationAuth,
    /// TLS towards it, and towards its Keystone.
    pub session: Session,
    /// Where it is.
    pub endpoints: EndpointSource,
    /// What it is used for; an order through the admin socket overrides it.
    pub state: State,
    /// Whether a list fails if this location cannot be asked.
    pub required: bool,
    /// Whether the user's own token goes there instead of our credential.
    pub forward_user_token: bool,
    /// What the gateway's own token there has to be scoped to.
    pub expect_scope: ExpectScope,
    /// Bound on making one connection.
    pub connect_timeout: Duration,
    /// Bound on waiting for the head of an answer, and for the location to take a part of what it is sent.
    pub response_timeout: Duration,
    /// The same for what Ironic reads from its database; at most as long.
    pub read_timeout: Duration,
    /// Bound on the pause between two parts of an answer.
    pub timeout: Duration,
    /// Exchanges at the same time, at least one.
    pub max_concurrent: usize,
    /// Failures in a row that open the breaker, at least one.
    pub breaker_failures: u32,
    /// How long the breaker stays open.
    pub breaker_reset: Duration,
    /// Pause between two probes.
    pub probe_interval: Duration,
    /// Largest answer taken, in bytes.
    pub max_response_size: usize,
    /// Where the BMCs of its nodes are.
    pub bmc_addresses: Vec<BmcRange>,
    /// What it calls conductor groups; `None`: as the gateway does.
    pub groups: Option<Arc<GroupNames>>,
}

impl LocationConfig {
    /// Whether both are one place and the same way there, whatever it is used for and whatever is called how there.
    pub fn is_same_place(&self, other: &Self) -> bool {
        let used_alike = Self {
            state: other.state,
            required: other.required,
            bmc_addresses: other.bmc_addresses.clone(),
            groups: other.groups.clone(),
            ..self.clone()
        };
        used_alike == *other
    }
}

/// `[DEFAULT] groups`, and the locations that it names before those that it does not.
pub(crate) fn groups(reader: &mut Reader) -> Result<(GroupMap, Vec<String>), Faulted> {
    let mut default = reader.section("DEFAULT");
    let pairs = default.dict("groups")?;
    if pairs.is_empty() {
        let text = "which location serves which conductor group, such as _:loc1,grp1:loc2";
        return Err(default.missing("groups", text));
    }
    let mut outcome = Ok(());
    let mut map = GroupMap::new();
    let mut names: Vec<String> = Vec::new();
    for (group, location) in pairs {
        // The name stands in headers, section names and the state file, and means one location whatever its case.
        let location = location.to_lowercase();
        if !is_name(&location) {
            let text = format!("`{}` {NAME_WORDS}", location.escape_debug());
            outcome = Err(reader.section("DEFAULT").fault("groups", text));
            continue;
        }
        let section = format!("{LOCATION_PREFIX}{location}");
        if !reader.has(&section) {
            let text = format!("`{location}` is not a location: there is no section [{section}]");
            outcome = Err(reader.section("DEFAULT").fault("groups", text));
        }
        // So that a misspelt section can be told what it should be called.
        reader.section(&section);
        let known = names.iter().position(|name| *name == location);
        let index = known.unwrap_or_else(|| {
            names.push(location);
            names.len() - 1
        });
        let entry = location_id(index, reader).map(|id| map.insert(&group, id));
        match entry {
            Ok(Ok(())) => {}
            Ok(Err(error)) => outcome = Err(reader.section("DEFAULT").fault("groups", error)),
            Err(faulted) => outcome = Err(faulted),
        }
    }
    outcome.map(|()| (map, names))
}

/// All locations: `named` ones first, then the rest in the order of the files.
pub(crate) fn locations(
    reader: &mut Reader,
    groups: Option<&(GroupMap, Vec<String>)>,
    inbound: Option<&AuthStrategy>,
) -> Result<Vec<LocationConfig>, Faulted> {
    let named = groups.map_or(&[][..], |(_, names)| names);
    let written = reader.prefixed();
    let rest = written.iter().filter(|name| !named.contains(name));
    let present = named.iter().filter(|name| written.contains(name));
    let all: Vec<_> = present.chain(rest).collect();
    // Collected before the first `?`, so that the faults of all locations are reported at once.
    let locations: Vec<_> = all
        .iter()
        .map(|name| location(reader, name, inbound))
        .collect();
    // One fault for too many locations, not one for each beyond the last.
    if let Some(last) = all.len().checked_sub(1) {
        location_id(last, reader)?;
    }
    let all_groups = groups.map(|(map, _)| map.iter().map(|(group, _)| group.into()).collect());
    let all_groups = Arc::new(all_groups.unwrap_or_default());
    let renamed: Vec<_> = all
        .iter()
        .zip(0..)
        .map(|(name, index)| match groups {
            Some((map, _)) => local_groups(reader, name, (map, LocationId(index)), &all_groups),
            None => Ok(None),
        })
        .collect();
    let mut seen = BTreeMap::new();
    let ranges: Vec<_> = all
        .iter()
        .zip(0..)
        .map(|(name, index)| {
            let serves = groups.is_none_or(|(map, _)| map.first(LocationId(index)).is_some());
            bmc_addresses(reader, (name, serves), &mut seen)
        })
        .collect();
    let mut locations: Vec<_> = locations.into_iter().collect::<Result<_, _>>()?;
    for (location, ranges) in locations.iter_mut().zip(ranges) {
        location.bmc_addresses = ranges?;
    }
    for (location, renamed) in locations.iter_mut().zip(renamed) {
        location.groups = renamed?.map(Arc::new);
    }
    shared_endpoints(reader, &locations);
    Ok(locations)
}

/// `local_groups`: what the location calls groups that are mapped to it. Each group of the location has one name.
fn local_groups(
    reader: &mut Reader,
    name: &str,
    (map, id): (&GroupMap, LocationId),
    all: &Arc<BTreeSet<Box<str>>>,
) -> Result<Option<GroupNames>, Faulted> {
    const OPTION: &str = "local_groups";
    let mut section = reader.section(&format!("{LOCATION_PREFIX}{name}"));
    let pairs = section.dict(OPTION)?;
    if pairs.is_empty() {
        return Ok(None);
    }
    let mut theirs: BTreeMap<String, String> = map
        .groups_of(id)
        .map(|group| (group.to_owned(), group.to_owned()))
        .collect();
    let mut renamed = BTreeSet::new();
    for (ours, local) in &pairs {
        let read = |written: &str| {
            group_name(written).ok_or_else(|| GroupError::Malformed(written.to_owned()))
        };
        let (ours, local) = match (read(ours), read(local)) {
            (Ok(ours), Ok(local)) => (ours, local),
            (Err(error), _) | (_, Err(error)) => return Err(section.fault(OPTION, error)),
        };
        let shown = written(&ours);
        if !renamed.insert(ours.clone()) {
            return Err(section.fault(OPTION, GroupError::Duplicate(shown.to_owned())));
        }
        let Some(known) = theirs.get_mut(&ours) else {
            let text = format!("[DEFAULT] groups does not map `{shown}` to location {name}");
            return Err(section.fault(OPTION, text));
        };
        *known = local;
    }
    let mapped = theirs
        .iter()
        .map(|(ours, theirs)| (ours.as_str(), theirs.as_str()));
    GroupNames::new(name, mapped, all).map(Some).map_err(
        |OneGroup {
             ours: [one, two],
             theirs,
         }| {
            let text = format!(
                "`{}` and `{}` would both be the location's group `{}`",
                written(&one),
                written(&two),
                written(&theirs)
            );
            section.fault(OPTION, text)
        },
    )
}

/// `bmc_addresses`. `seen`: those of the locations before, each with its location.
fn bmc_addresses(
    reader: &mut Reader,
    (name, serves_a_group): (&str, bool),
    seen: &mut BTreeMap<BmcRange, String>,
) -> Result<Vec<BmcRange>, Faulted> {
    const OPTION: &str = "bmc_addresses";
    let mut section = reader.section(&format!("{LOCATION_PREFIX}{name}"));
    let mut ranges = Vec::new();
    let mut outcome = Ok(());
    for text in section.list(OPTION)? {
        let (range, has_more_bits) = match BmcRange::parse(&text) {
            Ok(parsed) => parsed,
            Err(error) => {
                outcome = Err(section.fault(OPTION, error));
                continue;
            }
        };
        if has_more_bits {
            section.warn(OPTION, format!("`{text}` is taken for the network {range}"));
        }
        match seen.insert(range.clone(), name.to_owned()) {
            // The same range twice at one location is harmless; at two it decides nothing.
            Some(other) if other != name => {
                let text = format!(
                    "{range} also belongs to location {other}, so it cannot decide where a node is placed"
                );
                outcome = Err(section.fault(OPTION, text));
            }
            _ => ranges.push(range),
        }
    }
    if !ranges.is_empty() && !serves_a_group {
        let text = "no node can be created here: [DEFAULT] groups maps no group to this location";
        return Err(section.fault(OPTION, text));
    }
    outcome.map(|()| ranges)
}

/// One Ironic behind two locations would have each of its nodes twice.
fn shared_endpoints(reader: &mut Reader, locations: &[LocationConfig]) {
    let mut seen: HashMap<&Endpoint, &str> = HashMap::new();
    for location in locations {
        // What a catalog will say is not known before a token is had.
        let EndpointSource::Fixed(endpoints) = &location.endpoints else {
            continue;
        };
        for endpoint in endpoints {
            let Some(first) = seen.insert(endpoint, &location.name) else {
                continue;
            };
            let text = if first == location.name {
                format!("{endpoint} is there twice")
            } else {
                format!(
                    "{endpoint} is also an endpoint of location {first}: each node would appear twice"
                )
            };
            let mut section = reader.section(&format!("{LOCATION_PREFIX}{}", location.name));
            section.warn("endpoint_override", text);
        }
    }
}

/// Of oslo.messaging (`rpc_response_timeout`): as long as Ironic's API waits for a conductor, for writes and for what a
/// driver answers. Who gives up sooner does not know what became of a write that was done a moment later.
const RPC_TIMEOUT: Duration = Duration::from_mins(1);
/// Pause in an answer: what has begun is at hand at the location, and only the link is in between.
const SILENCE: Duration = Duration::from_secs(10);

fn location(
    reader: &mut Reader,
    name: &str,
    inbound: Option<&AuthStrategy>,
) -> Result<LocationConfig, Faulted> {
    let section_name = format!("{LOCATION_PREFIX}{name}");
    let named = if is_name(name) {
        Ok(name.to_owned())
    } else {
        let text = format!("`{}` {NAME_WORDS}", name.escape_debug());
        Err(reader.section(&section_name).fault("NAME", text))
    };
    let proof = proof(reader, &section_name);
    let mut section = reader.section(&section_name);
    let session = session(&mut section);
    tls_version(&mut section);
    let state = section.choice("state", &State::ALL);
    let required = section.flag("required");
    let forward_user_token = section.flag("forward_user_token");
    if matches!(forward_user_token, Ok(true))
        && matches!(
            inbound,
            Some(AuthStrategy::Noauth | AuthStrategy::HttpBasic { .. })
        )
    {
        let text = "needs auth_strategy = keystone: without it no user has a token";
        section.fault("forward_user_token", text);
    }
    let expect_scope = section.choice(
        "expect_scope",
        &[
            ("system", ExpectScope::System),
            ("project", ExpectScope::Project),
        ],
    );
    let connect_timeout = section.seconds("connect_timeout");
    // keystoneauth's session option. A deployment that sets only this one means the wait for the head as well.
    let written = |section: &mut Section<'_>, option| {
        let is_set = section.sets(option);
        is_set.then(|| section.seconds(option)).transpose()
    };
    let timeout = written(&mut section, "timeout");
    let response_timeout = written(&mut section, "response_timeout");
    let read_timeout = section.seconds("read_timeout");
    let max_concurrent = section.number("max_concurrent", 1..=1_000_000);
    let breaker_failures = section.number("breaker_failures", 1..=1_000_000);
    let breaker_reset = section.seconds("breaker_reset");
    let probe_interval = section.seconds("probe_interval");
    let max_response_size = section.number("max_response_size", 1..=usize::MAX);
    let (auth, endpoints) = proof?;
    let timeout = timeout?;
    let response_timeout = response_timeout?.or(timeout).unwrap_or(RPC_TIMEOUT);
    Ok(LocationConfig {
        name: named?,
        auth,
        session: session?,
        endpoints,
        state: state?,
        required: required?,
        forward_user_token: forward_user_token?,
        expect_scope: expect_scope?,
        connect_timeout: connect_timeout?,
        response_timeout,
        read_timeout: read_timeout?.min(response_timeout),
        timeout: timeout.unwrap_or(SILENCE),
        max_concurrent: max_concurrent?,
        breaker_failures: breaker_failures?,
        breaker_reset: breaker_reset?,
        probe_interval: probe_interval?,
        max_response_size: max_response_size?,
        bmc_addresses: Vec::new(),
        groups: None,
    })
}

fn proof(reader: &mut Reader, section: &str) -> Result<(LocationAuth, EndpointSource), Faulted> {
    let auth_name = auth_section(reader, section)?;
    let auth_type: AuthType = auth_type(&mut reader.section(&auth_name))?;
    let auth = location_auth(&mut reader.section(&auth_name), auth_type);
    let endpoints = endpoints(reader, section, &auth_name, auth_type);
    Ok((auth?, endpoints?))
}

/// rustls has no lower bound per connection in Pingora; a stricter wish must not pass silently.
fn tls_version(section: &mut Section<'_>) {
    if section
        .choice("tls_min_version", &[("1.2", ()), ("1.3", ())])
        .is_ok()
        && section
            .text("tls_min_version")
            .is_ok_and(|text| text.as_deref() == Some("1.3"))
    {
        section.fault(
            "tls_min_version",
            "1.3 cannot be enforced towards a location",
        );
    }
}

fn location_id(index: usize, reader: &mut Reader) -> Result<LocationId, Faulted> {
    u16::try_from(index).map(LocationId).map_err(|_| {
        let text = "more than 65536 locations";
        reader.section("DEFAULT").fault("groups", text)
    })
}

const NAME_WORDS: &str =
    "is not a valid name of a location: letters, digits, `_`, `.` and `-` only";

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}
