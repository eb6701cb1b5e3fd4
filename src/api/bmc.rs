//! Where a node's BMC is, as its `driver_info` says.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv6Addr;

use serde_json::Value;

/// The members of `driver_info` that name a BMC: `ipmi_address` and `redfish_address` of Ironic 39
/// (`ironic/drivers/modules/ipmitool.py`, `redfish/utils.py`), and those of drivers that older releases had (`drac`
/// until 26, `ibmc` and `xclarity` until 24, `ilo` and `irmc` until 30). `ipmi_target_address`, `ipmi_transit_address`
/// and `ipmi_local_address` are addresses on a bus, and `snmp_address` is that of a power strip.
pub const MEMBERS: [&str; 7] = [
    "ipmi_address",
    "redfish_address",
    "drac_address",
    "ilo_address",
    "irmc_address",
    "ibmc_address",
    "xclarity_manager_ip",
];

/// A BMC as `driver_info` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bmc {
    pub member: &'static str,
    pub host: Host,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    Address(IpAddr),
    /// In lower case, without a dot at the end.
    Name(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Bmc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.member, self.host)
    }
}

impl Host {
    /// Of a URL its host; else an address in brackets or not, or a name, with a port and a path or without. `None`: no
    /// host is in it.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
        let authority = after_scheme.split(['/', '?', '#']).next()?;
        let place = authority
            .rsplit_once('@')
            .map_or(authority, |(_, place)| place);
        let host = if let Some(bracketed) = place.strip_prefix('[') {
            bracketed.split_once(']')?.0
        } else if without_zone(place).parse::<Ipv6Addr>().is_ok() {
            place
        } else {
            place.split(':').next()?
        };
        if let Ok(address) = without_zone(host).parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        (is_name && !name.is_empty()).then_some(Self::Name(name))
    }
}

/// `fe80::1%eth0` is an address of one interface (RFC 4007).
fn without_zone(host: &str) -> &str {
    host.split_once('%').map_or(host, |(address, _)| address)
}

/// All BMCs that a `driver_info` names.
pub fn bmcs(driver_info: &Value) -> Vec<Bmc> {
    let bmc = |member| {
        let host = Host::read(driver_info.get(member)?.as_str()?)?;
        Some(Bmc { member, host })
    };
    MEMBERS.into_iter().filter_map(bmc).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn hosts() {
        for (text, host) in [
            ("10.20.0.5", "10.20.0.5"),
            (" 10.20.0.5 ", "10.20.0.5"),
            ("10.20.0.5:623", "10.20.0.5"),
            ("https://10.20.0.5/redfish", "10.20.0.5"),
            ("https://10.20.0.5:8443", "10.20.0.5"),
            ("10.20.0.5/redfish/v1", "10.20.0.5"),
            ("2001:DB8:20::5", "2001:db8:20::5"),
            ("[2001:db8:20::5]:623", "2001:db8:20::5"),
            ("https://[2001:db8:20::5]/redfish", "2001:db8:20::5"),
            (
                "https://user:p@ss@[2001:db8:20::5]:8443/redfish?a=b",
                "2001:db8:20::5",
            ),
            ("fe80::1%eth0", "fe80::1"),
            ("https://[fe80::1%25eth0]", "fe80::1"),
            ("::ffff:10.20.0.5", "10.20.0.5"),
            (
                "redfish+https://Rack7.BMC.example.com.:443/redfish/v1/Systems/1",
                "rack7.bmc.example.com",
            ),
            ("rack7_b.bmc.example.com", "rack7_b.bmc.example.com"),
        ] {
            let read = Host::read(text).map(|host| host.to_string());
            assert_eq!(read.as_deref(), Some(host), "{text}");
        }
        for text in [
            "",
            "https://",
            "https:///redfish",
            "[2001:db8::5",
            "a b",
            "ä",
            ":623",
            ".",
        ] {
            assert_eq!(Host::read(text), None, "{text}");
        }
        assert_eq!(
            Host::read("10.20.300.5"),
            Some(Host::Name("10.20.300.5".to_owned()))
        );
    }

    #[test]
    fn only_bmcs_are_bmcs() {
        let found = bmcs(&json!({
            "redfish_address": "https://10.1.0.1",
            "ipmi_address": "10.1.0.2",
            "ipmi_target_address": "10.1.0.3",
            "ipmi_transit_address": "10.1.0.4",
            "ipmi_local_address": "10.1.0.5",
            "snmp_address": "10.1.0.6",
            "ilo_address": 7,
            "irmc_address": null,
            "deploy_kernel": "http://10.1.0.8/kernel",
        }));
        let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["ipmi_address 10.1.0.2", "redfish_address 10.1.0.1"]);
        assert_eq!(bmcs(&json!([])), []);
    }

    proptest! {
        #[test]
        fn an_address_is_found_in_every_spelling(address: IpAddr, port: u16, spelling in 0..5) {
            let bracketed = match address {
                IpAddr::V4(_) => address.to_string(),
                IpAddr::V6(_) => format!("[{address}]"),
            };
            let text = match spelling {
                0 => address.to_string(),
                1 => format!("{bracketed}:{port}"),
                2 => format!("https://{bracketed}"),
                3 => format!("http://u:p@{bracketed}:{port}/redfish"),
                _ => format!("{bracketed}/redfish/v1"),
            };
            prop_assert_eq!(Host::read(&text), Some(Host::Address(address.to_canonical())));
        }

        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = Host::read(&text);
        }
    }
}
