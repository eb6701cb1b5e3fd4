//! Places a new node without a conductor group by the address of its BMC. A pure decision: no name is resolved.

use crate::api::bmc::Bmc;
use crate::config::BmcConfig;
use crate::config::BmcRange;
use crate::config::Config;
use crate::config::Fit;
use crate::config::LocationConfig;
use crate::config::LocationId;
use crate::federate::objection::Objection;
use crate::locations::Locations;

/// Which location has which BMCs.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    ranges: Vec<(BmcRange, LocationId)>,
    pub rules: BmcConfig,
}

/// The location of a BMC, and the range that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    pub location: LocationId,
    pub bmc: &'a Bmc,
    pub range: &'a BmcRange,
}

impl Placement {
    pub fn new(config: &Config) -> Self {
        let of_one = |(location, id): (&LocationConfig, u16)| {
            let ranges = location.bmc_addresses.clone().into_iter();
            ranges.map(move |range| (range, LocationId(id)))
        };
        Self {
            ranges: config.locations.iter().zip(0..).flat_map(of_one).collect(),
            rules: config.bmcs,
        }
    }

    /// Nothing is known of BMCs.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// A BMC that is at another location only: the node would be managed from afar, or not at all. A node is what it is
    /// called, and where. What is not forbidden is a text for the log.
    pub fn check(
        &self,
        locations: &Locations,
        (who, home): (&str, LocationId),
        bmcs: &[Bmc],
    ) -> Result<Option<String>, Objection> {
        let places = self.places(bmcs);
        let Some(place) = places.first() else {
            return Ok(None);
        };
        // A node may name more than one BMC address; one at its own location is enough.
        if places.iter().any(|place| place.location == home) {
            return Ok(None);
        }
        let name = |id| locations.location(id).name();
        let text = format!(
            "{} is in {}, which is of location {}, and {who} is at location {}",
            place.bmc,
            place.range,
            name(place.location),
            name(home)
        );
        if self.rules.verifies {
            return Err(Objection::Misplaced {
                text: format!("{text}."),
                plain: format!("{} is at another location than {who}.", place.bmc),
            });
        }
        Ok(Some(text))
    }

    /// The places of the closest fit, one for each location. More than one: it is not known which.
    pub fn places<'a>(&'a self, bmcs: &'a [Bmc]) -> Vec<Place<'a>> {
        let mut closest: Option<Fit> = None;
        let mut places: Vec<Place<'a>> = Vec::new();
        for bmc in bmcs {
            for (range, location) in &self.ranges {
                let Some(fit) = range.fit(&bmc.host) else {
                    continue;
                };
                // The longest prefix wins, as in a routing table; `Fit` orders every address above every name.
                if closest < Some(fit) {
                    closest = Some(fit);
                    places.clear();
                }
                let is_known = places.iter().any(|place| place.location == *location);
                if closest == Some(fit) && !is_known {
                    places.push(Place {
                        location: *location,
                        bmc,
                        range,
                    });
                }
            }
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::bmc::Host;

    fn placement(ranges: &[(&str, u16)]) -> Placement {
        let range = |text: &str| BmcRange::parse(text).unwrap().0;
        Placement {
            ranges: ranges
                .iter()
                .map(|(text, id)| (range(text), LocationId(*id)))
                .collect(),
            ..Placement::default()
        }
    }

    fn placed(placement: &Placement, hosts: &[&str]) -> Vec<u16> {
        let bmcs: Vec<_> = hosts
            .iter()
            .map(|text| Bmc {
                member: "ipmi_address",
                host: Host::read(text).unwrap(),
            })
            .collect();
        placement
            .places(&bmcs)
            .iter()
            .map(|place| place.location.0)
            .collect()
    }

    #[test]
    fn the_closest_fit_wins() {
        let placement = placement(&[
            ("10.20.0.0/16", 1),
            ("10.20.7.0/24", 2),
            ("10.20.7.9", 3),
            ("2001:db8:20::/48", 1),
            ("2001:db8::/32", 2),
            ("*.bmc.example.com", 1),
            ("*.lyon.bmc.example.com", 2),
            ("odd.lyon.bmc.example.com", 3),
            ("10.30.0.0/16", 1),
            ("10.40.0.0/16", 2),
        ]);
        for (hosts, expected) in [
            (&["10.20.0.1"][..], &[1][..]),
            (&["10.20.7.1"], &[2]),
            (&["10.20.7.9"], &[3]),
            (&["::ffff:10.20.7.9"], &[3]),
            (&["2001:db8:20::1"], &[1]),
            (&["2001:db8:21::1"], &[2]),
            (&["a.bmc.example.com"], &[1]),
            (&["a.lyon.bmc.example.com"], &[2]),
            (&["odd.lyon.bmc.example.com"], &[3]),
            (&["bmc.example.com"], &[]),
            (&["abmc.example.com"], &[]),
            (&["11.0.0.1"], &[]),
            (&[], &[]),
            // An address before a name, whichever comes first.
            (&["odd.lyon.bmc.example.com", "10.20.0.1"], &[1]),
            // Equally close.
            (&["10.30.0.1", "10.40.0.1"], &[1, 2]),
            (&["10.30.0.1", "10.30.0.2"], &[1]),
            (&["10.30.0.1", "10.40.0.1", "10.20.7.1"], &[2]),
        ] {
            assert_eq!(placed(&placement, hosts), expected, "{hosts:?}");
        }
    }

    proptest! {
        /// The order of the configuration and of the members decides nothing.
        #[test]
        fn order_does_not_matter(
            ranges in prop::collection::vec((0_u8..3, 0_u8..3, 16_u8..25, 0_u16..3), 0..6),
            hosts in prop::collection::vec((0_u8..3, 0_u8..3), 0..3),
        ) {
            let texts: Vec<_> = ranges
                .iter()
                .map(|(one, two, bits, id)| (format!("10.{one}.{two}.0/{bits}"), *id))
                .collect();
            let hosts: Vec<_> = hosts.iter().map(|(one, two)| format!("10.{one}.{two}.1")).collect();
            let build = |texts: &[(String, u16)]| {
                placement(&texts.iter().map(|(text, id)| (text.as_str(), *id)).collect::<Vec<_>>())
            };
            let mut one = placed(&build(&texts), &hosts.iter().map(String::as_str).collect::<Vec<_>>());
            let backwards: Vec<_> = texts.iter().rev().cloned().collect();
            let mut two = placed(&build(&backwards), &hosts.iter().rev().map(String::as_str).collect::<Vec<_>>());
            one.sort_unstable();
            two.sort_unstable();
            prop_assert_eq!(one, two);
        }
    }
}
