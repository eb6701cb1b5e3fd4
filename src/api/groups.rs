//! What one location calls its conductor groups, where that differs from what the gateway calls them. The gateway's
//! names are those of `[DEFAULT] groups`; the empty text is the default group on both sides.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Begins what no group can be called: Ironic allows letters, digits, `_`, `.` and `-`.
const IMPOSSIBLE: char = ':';

/// A translation that loses nothing: each group of the location has one name at the gateway, whether it is mapped or not,
/// and no two have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupNames {
    location: Box<str>,
    theirs: BTreeMap<Box<str>, Box<str>>,
    ours: BTreeMap<Box<str>, Box<str>>,
    /// All groups of the gateway, other locations' too.
    all: Arc<BTreeSet<Box<str>>>,
}

/// Two of the gateway's groups would be one at the location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneGroup {
    pub ours: [Box<str>; 2],
    pub theirs: Box<str>,
}

/// `conductor_groups=` names no default group: what is empty filters nothing (`ironic/common/args.py`, `string_list`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unnamable {
    pub ours: Box<str>,
}

impl GroupNames {
    /// `mapped`: the gateway's name and the location's, of every group that is mapped to the location. `all`: the gateway's
    /// groups, shared by thousands of locations. All in lower case.
    pub fn new<'n>(
        location: &str,
        mapped: impl IntoIterator<Item = (&'n str, &'n str)>,
        all: &Arc<BTreeSet<Box<str>>>,
    ) -> Result<Self, OneGroup> {
        let mut names = Self {
            location: location.into(),
            theirs: BTreeMap::new(),
            ours: BTreeMap::new(),
            all: Arc::clone(all),
        };
        for (ours, theirs) in mapped {
            if let Some(other) = names.ours.insert(theirs.into(), ours.into()) {
                return Err(OneGroup {
                    ours: [other, ours.into()],
                    theirs: theirs.into(),
                });
            }
            names.theirs.insert(ours.into(), theirs.into());
        }
        Ok(names)
    }

    /// What the gateway calls a group of the location. Where that is a group of its own, or of another location, a group
    /// that is not mapped is called `location:group`, so that nothing is counted to the wrong one.
    pub fn ours<'a>(&'a self, theirs: &'a str) -> Cow<'a, str> {
        let folded = folded(theirs);
        if let Some(ours) = self.ours.get(&*folded) {
            return Cow::Borrowed(ours);
        }
        if self.all.contains(&*folded) {
            let name = if theirs.is_empty() { "_" } else { theirs };
            return Cow::Owned(format!("{}{IMPOSSIBLE}{name}", self.location));
        }
        Cow::Borrowed(theirs)
    }

    /// Whether a group of the location has a name at the gateway.
    pub fn is_mapped(&self, theirs: &str) -> bool {
        self.ours.contains_key(&*folded(theirs))
    }

    /// What the location calls a group, in what is written there.
    pub fn theirs<'a>(&'a self, ours: &'a str) -> Cow<'a, str> {
        match self.theirs.get(&*folded(ours)) {
            Some(theirs) => Cow::Borrowed(theirs),
            None => Cow::Borrowed(ours),
        }
    }

    /// The same for a filter: exactly the groups that the gateway shows as `ours` are found. What is found under no name
    /// is asked for as what no group is called, since where a node is only the location knows.
    pub fn sought<'a>(&'a self, ours: &'a str) -> Cow<'a, str> {
        if let Some(theirs) = self.theirs.get(&*folded(ours)) {
            return Cow::Borrowed(theirs);
        }
        let prefixed = ours
            .strip_prefix(&*self.location)
            .and_then(|rest| rest.strip_prefix(IMPOSSIBLE))
            .map(|rest| if rest == "_" { "" } else { rest });
        match prefixed {
            Some(theirs) if self.ours(theirs) == ours => Cow::Borrowed(theirs),
            _ if self.ours(ours) == ours => Cow::Borrowed(ours),
            _ => Cow::Owned(format!("{IMPOSSIBLE}{ours}")),
        }
    }

    /// The same of a list with commas, as `conductor_groups=` is one.
    pub fn sought_list(&self, ours: &str) -> Result<String, Unnamable> {
        let mut theirs = Vec::new();
        // Ironic passes over what is empty, too.
        for one in ours.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            match self.sought(one) {
                sought if sought.is_empty() => return Err(Unnamable { ours: one.into() }),
                sought => theirs.push(sought),
            }
        }
        Ok(theirs.join(","))
    }

    /// An error text of Ironic's that is wholly the known one about a group (`ironic/conductor/rpcapi.py`,
    /// `get_conductor_for`), in the gateway's words; `None`: any other, which stays.
    pub fn retell(&self, text: &str) -> Option<String> {
        const BEGIN: &str = "No valid host was found. Reason: No conductor service registered which supports driver ";
        const MIDDLE: &str = " for conductor group \"";
        const END: &str = "\". Ensure the driver is valid and enabled.";
        let rest = text.strip_prefix(BEGIN)?.strip_suffix(END)?;
        let (driver, theirs) = rest.split_once(MIDDLE)?;
        if driver.contains(char::is_whitespace) || theirs.contains('"') {
            return None;
        }
        let ours = self.ours(theirs);
        (ours != theirs).then(|| format!("{BEGIN}{driver}{MIDDLE}{ours}{END}"))
    }
}

/// Whether both call the groups that are mapped to the location alike.
pub fn agree(one: Option<&GroupNames>, other: Option<&GroupNames>) -> bool {
    one.map(|names| &names.theirs) == other.map(|names| &names.theirs)
}

fn folded(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all<'n>(names: impl IntoIterator<Item = &'n str>) -> Arc<BTreeSet<Box<str>>> {
        Arc::new(names.into_iter().map(Into::into).collect())
    }

    fn loc2() -> GroupNames {
        let all = all(["", "berlin", "gpu", "lyon"]);
        GroupNames::new("loc2", [("berlin", ""), ("gpu", "fast")], &all).unwrap()
    }

    #[test]
    fn every_group_has_a_name_here() {
        for (theirs, ours) in [
            ("", "berlin"),
            ("fast", "gpu"),
            ("FAST", "gpu"),
            // Called so here is another group.
            ("berlin", "loc2:berlin"),
            ("gpu", "loc2:gpu"),
            ("lyon", "loc2:lyon"),
            ("Lyon", "loc2:Lyon"),
            // Ironic lets a group be called so, and the map does not.
            ("_", "_"),
            ("rack1", "rack1"),
        ] {
            assert_eq!(loc2().ours(theirs), ours, "{theirs}");
            if theirs == theirs.to_lowercase() {
                assert_eq!(loc2().sought(ours), theirs, "{theirs}");
            }
        }
        let elsewhere = GroupNames::new("loc3", [("lyon", "metal")], &all(["", "lyon"])).unwrap();
        assert_eq!(elsewhere.ours(""), "loc3:_");
        assert_eq!(elsewhere.sought("loc3:_"), "");
        let nowhere = GroupNames::new("loc3", [("lyon", "metal")], &all(["lyon"])).unwrap();
        assert_eq!(nowhere.ours(""), "");
    }

    #[test]
    fn what_is_hidden_is_not_found() {
        for (ours, sought) in [
            ("", ":"),
            ("fast", ":fast"),
            ("lyon", ":lyon"),
            ("loc2:rack1", "loc2:rack1"),
            ("loc3:berlin", "loc3:berlin"),
            ("BERLIN", ""),
        ] {
            assert_eq!(loc2().sought(ours), sought, "{ours}");
        }
    }

    #[test]
    fn lists_name_no_default_group() {
        for (ours, sought) in [
            ("gpu, rack1,,lyon", Some("fast,rack1,:lyon")),
            ("loc2:lyon", Some("lyon")),
            ("gpu,berlin", None),
            ("", Some("")),
        ] {
            assert_eq!(loc2().sought_list(ours).ok().as_deref(), sought, "{ours}");
        }
    }

    #[test]
    fn two_names_for_one_group_are_refused() {
        let all = all(["berlin", "potsdam"]);
        let refused = GroupNames::new("loc2", [("berlin", ""), ("potsdam", "")], &all);
        let ours = ["berlin".into(), "potsdam".into()];
        assert_eq!(
            refused,
            Err(OneGroup {
                ours,
                theirs: "".into()
            })
        );
    }

    #[test]
    fn only_the_known_text_is_retold() {
        let text = |driver: &str, group: &str| {
            format!(
                "No valid host was found. Reason: No conductor service registered which supports driver {driver} for \
                 conductor group \"{group}\". Ensure the driver is valid and enabled."
            )
        };
        assert_eq!(
            loc2().retell(&text("ipmi", "")),
            Some(text("ipmi", "berlin"))
        );
        for left in [
            text("ipmi", "rack1"),
            text("two words", ""),
            format!("{} ", text("ipmi", "")),
            "conductor group \"\"".to_owned(),
        ] {
            assert_eq!(loc2().retell(&left), None, "{left}");
        }
    }

    fn group() -> impl Strategy<Value = String> {
        "[ab_.]{0,2}"
    }

    proptest! {
        /// Whatever is mapped: a filter finds exactly what is shown under its value, and no two groups look the same.
        #[test]
        fn the_translation_loses_nothing(
            mapped in prop::collection::vec((group(), group()), 0..5),
            elsewhere in prop::collection::vec(group(), 0..3),
            theirs in prop::collection::vec(group(), 1..12),
            asked in prop::collection::vec("(l:)?[ab_.:]{0,3}", 1..12),
        ) {
            let literal = |name: &String| name != "_";
            let mut mapped: Vec<_> = mapped.into_iter().filter(|(ours, theirs)| literal(ours) && literal(theirs)).collect();
            mapped.sort();
            mapped.dedup_by(|one, two| one.0 == two.0);
            let elsewhere: Vec<_> = elsewhere
                .into_iter()
                .filter(|name| literal(name) && mapped.iter().all(|(ours, _)| ours != name))
                .collect();
            let pairs = mapped.iter().map(|(ours, theirs)| (ours.as_str(), theirs.as_str()));
            let all = all(elsewhere.iter().chain(mapped.iter().map(|(ours, _)| ours)).map(String::as_str));
            let Ok(names) = GroupNames::new("l", pairs, &all) else {
                let mut found: Vec<_> = mapped.iter().map(|(_, theirs)| theirs).collect();
                found.sort();
                found.dedup();
                prop_assert!(found.len() < mapped.len());
                return Ok(());
            };
            for (ours, theirs) in &mapped {
                prop_assert_eq!(&*names.theirs(ours), theirs);
                prop_assert_eq!(&*names.ours(theirs), ours);
            }
            for one in &theirs {
                let shown = names.ours(one);
                prop_assert_eq!(&*names.sought(&shown), one);
                prop_assert!(mapped.iter().all(|(ours, theirs)| theirs == one || *ours != shown));
                prop_assert!(elsewhere.iter().all(|ours| *ours != shown));
                for wanted in asked.iter().map(String::as_str).chain(theirs.iter().map(String::as_str)) {
                    prop_assert_eq!(names.sought(wanted) == *one, shown == wanted, "{} {}", wanted, one);
                }
                for two in &theirs {
                    prop_assert_eq!(names.ours(two) == shown, one == two);
                }
            }
        }
    }
}
