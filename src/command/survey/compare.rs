//! Values that have to be unique and that two locations have. Pure functions.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde::Serialize;

use crate::api::bmc::Host;
use crate::api::microversion::VersionRange;

/// What one location has.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Holding {
    pub(super) name: String,
    #[serde(serialize_with = "as_versions")]
    pub(super) versions: VersionRange,
    pub(super) nodes: usize,
    pub(super) conductors: usize,
    /// The location's own names; the empty text is its default group.
    pub(super) groups: BTreeSet<String>,
    #[serde(skip)]
    pub(super) bmcs: BTreeSet<Host>,
    /// Values that have to be unique, with their kind. In lower case, since some databases compare them so.
    #[serde(skip)]
    pub(super) unique: BTreeSet<(&'static str, String)>,
}

fn as_versions<S: serde::Serializer>(
    range: &VersionRange,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{} to {}", range.min(), range.max()))
}

/// A value that two locations have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Clash {
    pub(super) kind: &'static str,
    pub(super) value: String,
    pub(super) locations: Vec<String>,
}

/// The API versions that all locations have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Versions {
    /// `None`: nothing.
    pub(super) common: Option<[String; 2]>,
    /// Locations without which the newest common version would be higher.
    pub(super) held_back_by: Vec<String>,
}

pub(super) fn clashes(holdings: &[Holding]) -> Vec<Clash> {
    let mut holders: BTreeMap<&(&str, String), Vec<String>> = BTreeMap::new();
    for holding in holdings {
        for value in &holding.unique {
            holders.entry(value).or_default().push(holding.name.clone());
        }
    }
    holders
        .into_iter()
        .filter(|(_, locations)| locations.len() > 1)
        .map(|((kind, value), locations)| Clash {
            kind,
            value: value.clone(),
            locations,
        })
        .collect()
}

pub(super) fn versions(holdings: &[Holding]) -> Versions {
    let mut ranges = holdings.iter().map(|holding| holding.versions);
    let Some(first) = ranges.next() else {
        return Versions::default();
    };
    let common = ranges.try_fold(first, VersionRange::intersect);
    let oldest = holdings.iter().map(|holding| holding.versions.max()).min();
    let newest = holdings.iter().map(|holding| holding.versions.max()).max();
    let holds_back = |holding: &&Holding| Some(holding.versions.max()) == oldest && oldest < newest;
    Versions {
        common: common.map(|range| [range.min().to_string(), range.max().to_string()]),
        held_back_by: holdings
            .iter()
            .filter(holds_back)
            .map(|holding| holding.name.clone())
            .collect(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::api::microversion::Microversion;

    pub(in crate::command::survey) fn holding(name: &str, max: i64, groups: &[&str]) -> Holding {
        Holding {
            name: name.to_owned(),
            versions: VersionRange::new(Microversion::new(1, 1), Microversion::new(1, max))
                .unwrap(),
            nodes: 0,
            conductors: 0,
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            bmcs: BTreeSet::new(),
            unique: BTreeSet::new(),
        }
    }

    #[test]
    fn what_two_have_both() {
        let mut all = [
            holding("a", 115, &[]),
            holding("b", 115, &[]),
            holding("c", 115, &[]),
        ];
        for (at, kind, value) in [
            (0, "node name", "n"),
            (1, "node name", "n"),
            (2, "port MAC", "n"),
            (2, "node name", "m"),
        ] {
            all[at].unique.insert((kind, value.to_owned()));
        }
        let found = clashes(&all);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].kind, &*found[0].value), ("node name", "n"));
        assert_eq!(found[0].locations, ["a", "b"]);
    }

    #[test]
    fn who_holds_the_others_back() {
        let told = versions(&[holding("a", 115, &[]), holding("b", 82, &[])]);
        assert_eq!(told.common, Some(["1.1".to_owned(), "1.82".to_owned()]));
        assert_eq!(told.held_back_by, ["b"]);
        assert!(
            versions(&[holding("a", 82, &[]), holding("b", 82, &[])])
                .held_back_by
                .is_empty()
        );
    }
}
