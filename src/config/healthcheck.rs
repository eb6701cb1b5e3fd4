//! `[healthcheck]`, as oslo.middleware has it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;

use crate::oslo::record::Faulted;
use crate::oslo::section::Section;

/// What `/healthcheck` answers, and whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthcheckConfig {
    /// Whether it is served.
    pub enabled: bool,
    /// Whether it names the locations.
    pub detailed: bool,
    /// While this file is there the gateway calls itself disabled.
    pub disabled_by: Option<PathBuf>,
    /// The same for one port each.
    pub disabled_by_port: Vec<(u16, PathBuf)>,
    /// Unless all of these are there the gateway calls itself disabled.
    pub enabled_by: Vec<PathBuf>,
    /// Networks that may ask; empty: everybody.
    pub ranges: Vec<Network>,
    /// Whether requests that came through a proxy are refused.
    pub ignore_proxied: bool,
}

/// Addresses with a common beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    pub fn contains(self, other: IpAddr) -> bool {
        // A dual-stack listener sees IPv4 clients as `::ffff:a.b.c.d`.
        self.0.contains(&other.to_canonical())
    }
}

impl FromStr for Network {
    type Err = ();

    /// `192.0.2.0/24`, or one address. As Python's `ip_network`, a bit behind the prefix is a mistake.
    fn from_str(text: &str) -> Result<Self, ()> {
        let one = || text.parse::<IpAddr>().map(IpNet::from);
        let network = text.parse::<IpNet>().or_else(|_| one()).map_err(|_| ())?;
        (network.trunc() == network)
            .then_some(Self(network))
            .ok_or(())
    }
}

/// oslo.middleware's, and the one that Ironic's own sample names.
// `healthcheck` is no backend of oslo.middleware, but files copied from Ironic's sample hold it.
const BACKENDS: &[&str] = &[
    "disable_by_file",
    "disable_by_files_ports",
    "enable_by_files",
    "healthcheck",
];

/// Reads the section.
pub(crate) fn healthcheck(section: &mut Section<'_>) -> Result<HealthcheckConfig, Faulted> {
    let enabled = section.flag("enabled");
    let detailed = section.flag("detailed");
    let disabled_by = section.path("disable_by_file_path");
    let disabled_by_port = by_port(section);
    let enabled_by = section.list("enable_by_file_paths");
    let ranges = ranges(section);
    let ignore_proxied = section.flag("ignore_proxied_requests");
    let backends = backends(section);
    let config = HealthcheckConfig {
        enabled: enabled?,
        detailed: detailed?,
        disabled_by: disabled_by?,
        disabled_by_port: disabled_by_port?,
        enabled_by: enabled_by?.into_iter().map(PathBuf::from).collect(),
        ranges: ranges?,
        ignore_proxied: ignore_proxied?,
    };
    backends?;
    if config.disabled_by.is_some() && !config.enabled_by.is_empty() {
        let text = "and disable_by_file_path exclude each other";
        return Err(section.fault("enable_by_file_paths", text));
    }
    Ok(config)
}

/// The files that are configured count, whether their backend is named or not: whoever writes one means it.
fn backends(section: &mut Section<'_>) -> Result<(), Faulted> {
    let mut outcome = Ok(());
    for name in section.list("backends")? {
        if !BACKENDS.contains(&name.as_str()) {
            let text = format!(
                "`{name}` is not supported: there are {}",
                BACKENDS.join(", ")
            );
            outcome = Err(section.fault("backends", text));
        }
    }
    outcome
}

fn by_port(section: &mut Section<'_>) -> Result<Vec<(u16, PathBuf)>, Faulted> {
    let option = "disable_by_file_paths";
    let mut outcome = Ok(Vec::new());
    for text in section.list(option)? {
        let parsed = text
            .split_once(':')
            .and_then(|(port, path)| Some((port.trim().parse().ok()?, path)));
        match (parsed, &mut outcome) {
            (Some((port, path)), Ok(paths)) if !path.is_empty() => {
                paths.push((port, PathBuf::from(path)));
            }
            (Some((_, path)), Err(_)) if !path.is_empty() => {}
            _ => {
                let text = format!("`{text}` is not PORT:PATH, such as 6385:/run/disabled");
                outcome = Err(section.fault(option, text));
            }
        }
    }
    outcome
}

fn ranges(section: &mut Section<'_>) -> Result<Vec<Network>, Faulted> {
    let option = "allowed_source_ranges";
    let mut outcome = Ok(Vec::new());
    for text in section.list(option)? {
        match (text.parse(), &mut outcome) {
            (Ok(network), Ok(networks)) => networks.push(network),
            (Ok(_), Err(_)) => {}
            (Err(()), _) => {
                let text = format!("`{text}` is not a network, such as 192.0.2.0/24");
                outcome = Err(section.fault(option, text));
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (network, address, inside) in [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.0/24", "::ffff:192.0.2.1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:ffff::", true),
            ("2001:db8::/32", "2001:db9::", false),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                inside,
                "{network:?} {address}"
            );
        }
        for text in [
            "",
            "192.0.2.1/24",
            "192.0.2.0/33",
            "::/129",
            "a",
            "192.0.2.0/",
            "192.0.2.0/-1",
        ] {
            assert_eq!(text.parse::<Network>(), Err(()), "{text}");
        }
    }
}
