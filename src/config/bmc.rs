//! Where the BMCs of a location are: networks, names and ends of names.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::api::bmc::Host;
use crate::oslo::record::Faulted;
use crate::oslo::section::Section;

/// One entry of `bmc_addresses`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BmcRange {
    Network(IpNet),
    /// `.bmc.example.com`: all names with this ending.
    Suffix(String),
    Name(String),
}

/// How closely a range fits; the larger, the closer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// Bytes of the name that are given.
    Name(usize),
    /// Bits of the address that are given.
    Address(u8),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is none of these: a network such as 10.20.0.0/16 or 2001:db8:20::/48, an address, a name, `*.` and the \
     end of names"
)]
pub(crate) struct NoRange(String);

/// What is made of a node's BMC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BmcConfig {
    /// Whether a new node is refused if it names no group and no location claims its BMC.
    pub refuses_unmatched: bool,
    /// Whether a BMC of another location than the node's is refused.
    pub verifies: bool,
}

/// Reads what `[DEFAULT]` says of them.
pub(crate) fn bmcs(section: &mut Section<'_>) -> Result<BmcConfig, Faulted> {
    let refuses_unmatched = section.choice("unmatched", &[("default", false), ("refuse", true)]);
    let verifies = section.flag("verify_bmc_address");
    Ok(BmcConfig {
        refuses_unmatched: refuses_unmatched?,
        verifies: verifies?,
    })
}

impl BmcRange {
    /// Whether bits behind the network's were given too.
    pub(crate) fn parse(text: &str) -> Result<(Self, bool), NoRange> {
        if let Ok(network) = text.parse::<IpNet>() {
            // Not a fault as in Python's `ip_network`: the operator sees a warning with the network that is meant.
            let range = network.trunc();
            return Ok((Self::Network(range), range != network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            // `::ffff:192.0.2.1` and 192.0.2.1 are one BMC.
            return Ok((Self::Network(address.to_canonical().into()), false));
        }
        let no_range = || NoRange(text.to_owned());
        let (suffix, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        // A name needs a letter and has no `/` or `:`: `10.20.0.0.16`, `10.20/16` and `https://bmc` are typing errors.
        let is_clean = name.contains(|c: char| c.is_ascii_alphabetic())
            && name.split('.').all(|label| !label.is_empty())
            && !name.contains(['/', ':']);
        match Host::read(name) {
            Some(Host::Name(name)) if is_clean && suffix => {
                Ok((Self::Suffix(format!(".{name}")), false))
            }
            Some(Host::Name(name)) if is_clean => Ok((Self::Name(name), false)),
            _ => Err(no_range()),
        }
    }

    /// `None`: the host is not in it.
    pub fn fit(&self, host: &Host) -> Option<Fit> {
        match (self, host) {
            (Self::Network(network), Host::Address(address)) => network
                .contains(address)
                .then(|| Fit::Address(network.prefix_len())),
            // The suffix begins with its dot, so `*.example.com` covers neither `example.com` nor `badexample.com`.
            (Self::Suffix(suffix), Host::Name(name)) => (name.len() > suffix.len()
                && name.ends_with(suffix))
            .then_some(Fit::Name(suffix.len())),
            (Self::Name(known), Host::Name(name)) => {
                (known == name).then_some(Fit::Name(name.len()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for BmcRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}
