//! Which location serves which conductor group.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Index of a location in `Config::locations`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocationId(pub u16);

/// Conductor group, in lower case and empty for the default one, to location. Never dangling,
/// never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMap {
    locations: BTreeMap<String, LocationId>,
    /// The same by location: thousands of locations ask for their groups one after the other.
    groups: BTreeMap<LocationId, BTreeSet<String>>,
    /// The group of each location that the file names first.
    first: BTreeMap<LocationId, String>,
}

/// Why an entry cannot be in the map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GroupError {
    #[error(
        "`{0}` is not a conductor group: letters, digits, `_`, `.` and `-` only, and `_` alone for the default group"
    )]
    Malformed(String),
    #[error("conductor group `{0}` is there twice (upper and lower case are the same)")]
    Duplicate(String),
}

/// A group as files write it, in lower case and empty for `_`; `None`: Ironic takes no such name.
pub(crate) fn group_name(written: &str) -> Option<String> {
    // Ironic stores groups in lower case and documents them as case-insensitive.
    let folded = written.to_ascii_lowercase();
    let is_clean = folded
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    // A group that is literally called `_` is legal in Ironic and cannot be mapped: the file needs a word for "none".
    (is_clean && !folded.is_empty()).then(|| if folded == "_" { String::new() } else { folded })
}

/// As files write a group.
pub(crate) fn written(group: &str) -> &str {
    if group.is_empty() { "_" } else { group }
}

impl GroupMap {
    pub(crate) fn new() -> Self {
        Self {
            locations: BTreeMap::new(),
            groups: BTreeMap::new(),
            first: BTreeMap::new(),
        }
    }

    /// `written` is the name as in the file: `_` is the default group.
    pub(crate) fn insert(&mut self, written: &str, location: LocationId) -> Result<(), GroupError> {
        let group = group_name(written).ok_or_else(|| GroupError::Malformed(written.to_owned()))?;
        let first = self.first.entry(location);
        first.or_insert_with(|| group.clone());
        let groups = self.groups.entry(location).or_default();
        groups.insert(group.clone());
        match self.locations.insert(group, location) {
            None => Ok(()),
            Some(_) => Err(GroupError::Duplicate(written.to_owned())),
        }
    }

    /// Where a node of `group` belongs. The empty text is the default group; a group that is
    /// literally called `_` is none that the map could hold. Case does not matter.
    pub fn location(&self, group: &str) -> Option<LocationId> {
        // Ironic answers groups in lower case, so the usual look-up allocates nothing.
        if group.bytes().any(|b| b.is_ascii_uppercase()) {
            self.locations.get(&group.to_ascii_lowercase()).copied()
        } else {
            self.locations.get(group).copied()
        }
    }

    /// Where a node without a group belongs.
    pub fn default_location(&self) -> Option<LocationId> {
        self.location("")
    }

    /// The group of a location that is named first; `None`: it serves none.
    pub fn first(&self, location: LocationId) -> Option<&str> {
        self.first.get(&location).map(String::as_str)
    }

    /// Each group, in alphabetical order, with its location.
    pub fn iter(&self) -> impl Iterator<Item = (&str, LocationId)> {
        self.locations
            .iter()
            .map(|(group, id)| (group.as_str(), *id))
    }

    /// The groups that a location serves, in alphabetical order.
    pub fn groups_of(&self, location: LocationId) -> impl Iterator<Item = &str> {
        let groups = self.groups.get(&location).into_iter().flatten();
        groups.map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed() -> GroupMap {
        let mut map = GroupMap::new();
        for (group, id) in [("_", 0), ("Grp1", 1), ("grp2", 0)] {
            map.insert(group, LocationId(id)).unwrap();
        }
        map
    }

    #[test]
    fn a_group_has_one_location() {
        let map = seed();
        for (group, expected) in [
            ("", Some(0)),
            ("grp1", Some(1)),
            ("GRP1", Some(1)),
            ("grp2", Some(0)),
            ("_", None),
            ("grp3", None),
        ] {
            assert_eq!(map.location(group), expected.map(LocationId), "{group}");
        }
        assert_eq!(map.default_location(), Some(LocationId(0)));
        assert_eq!(
            map.groups_of(LocationId(0)).collect::<Vec<_>>(),
            ["", "grp2"]
        );
        assert_eq!(map.groups_of(LocationId(2)).count(), 0);
    }

    #[test]
    fn what_ironic_would_refuse_is_no_group() {
        let mut map = seed();
        for group in ["a b", "loc1\ngrp1", "\u{e4}", "a/b", ""] {
            let refused = map.insert(group, LocationId(0));
            assert_eq!(refused, Err(GroupError::Malformed(group.to_owned())));
        }
        for group in ["grp1", "GRP2", "_"] {
            let refused = map.insert(group, LocationId(0));
            assert_eq!(refused, Err(GroupError::Duplicate(group.to_owned())));
        }
    }
}
