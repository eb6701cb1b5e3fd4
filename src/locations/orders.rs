//! What operators said of locations while the gateway ran, kept for its next start.

use std::collections::BTreeMap;
use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use jiff::SignedDuration;
use jiff::Timestamp;
use log::warn;
use serde::Deserialize;
use serde::Serialize;

use crate::config::State;
use crate::locations::order::Order;

/// One location's order, and what its file said when it was given: if the file says something else by now, that is the
/// newer word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    order: Order,
    configured: State,
    /// Another gateway was given it under another file than ours, and later than ours was read: it counts under both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heard_under: Option<State>,
    /// The file has said something else since, whatever it says now.
    #[serde(default)]
    superseded: bool,
}

impl Kept {
    fn counts_under(&self, configured: State) -> bool {
        !self.superseded && (self.configured == configured || self.heard_under == Some(configured))
    }

    /// When gateways that share it were last told of it. `None`: it is no order.
    fn at(&self) -> Option<Timestamp> {
        let since = self.order.since?;
        // The board keeps the newest note: of one order, that the file went over it.
        let later = i64::from(self.superseded);
        since.checked_add(SignedDuration::from_micros(later)).ok()
    }
}

/// The file below `state_path`.
#[derive(Debug)]
pub struct Orders {
    path: PathBuf,
    kept: Mutex<BTreeMap<String, Kept>>,
    changing: Mutex<()>,
}

impl Orders {
    /// What was kept. A file that is not there is fine; one that cannot be read is told of.
    pub fn load(state_path: &Path) -> Self {
        let path = state_path.join("states.json");
        let read = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        };
        let kept = read.unwrap_or_else(|error| {
            warn!(
                "{}: the states that locations were set to cannot be read, so each is in the state that [group:NAME] \
                 state says: {error}",
                path.display()
            );
            BTreeMap::new()
        });
        Self {
            path,
            kept: Mutex::new(kept),
            changing: Mutex::new(()),
        }
    }

    /// The newest word on a location whose file says `configured`.
    pub fn of(&self, name: &str, configured: State) -> Order {
        match self.kept().get(name) {
            Some(kept) if kept.counts_under(configured) => kept.order.clone(),
            Some(_) | None => Order::of_file(configured),
        }
    }

    /// Nobody else changes any until this is dropped.
    pub fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a new one.
    ///
    /// # Errors
    /// It is in force, and will not be after a restart.
    pub fn keep(&self, name: &str, configured: State, order: Order) -> io::Result<()> {
        let kept = Kept {
            order,
            configured,
            heard_under: None,
            superseded: false,
        };
        self.insert(name, kept)
    }

    /// A file came into force that says this of all its locations. What was ordered when it said something else does not
    /// come back with the file's old word: that is a new word, too.
    ///
    /// # Errors
    /// It is so, and may not be after a restart.
    pub fn supersede<'a>(
        &self,
        configured: impl Iterator<Item = (&'a str, State)>,
    ) -> io::Result<()> {
        let configured: BTreeMap<&str, State> = configured.collect();
        let mut all = self.kept();
        let mut is_changed = false;
        for (name, kept) in &mut *all {
            let before = kept.clone();
            match configured.get(name.as_str()) {
                // The file that it was given under has come here, too.
                Some(word) if kept.configured == *word => kept.heard_under = None,
                Some(word) if kept.counts_under(*word) => {}
                Some(_) | None => kept.superseded = true,
            }
            is_changed |= *kept != before;
        }
        if is_changed {
            self.write(&all)?;
        }
        Ok(())
    }

    /// The time before which nothing new can be said of a location.
    pub fn last(&self, name: &str) -> Option<Timestamp> {
        self.kept().get(name)?.at()
    }

    /// All of them, each with its time, for gateways that share them.
    pub fn told(&self) -> Vec<SharedOrder> {
        let kept = self.kept();
        let told = kept.iter().filter_map(|(name, kept)| {
            Some(SharedOrder {
                name: name.clone(),
                at: kept.at()?,
                text: serde_json::to_string(kept).ok()?,
            })
        });
        told.collect()
    }

    /// Another gateway was given one. Returns what is in force here then; `None`: what was.
    pub fn hear(&self, place: Place<'_>, text: &str) -> Option<(Order, io::Result<()>)> {
        let told: Kept = serde_json::from_str(text).ok()?;
        let known = self.kept().get(place.name).map(|kept| kept.order.clone());
        // The board tells times apart by microseconds, and of two orders of one time it keeps the first: so do all.
        let at = |order: &Order| order.since.map(Timestamp::as_microsecond);
        let is_old = known
            .as_ref()
            .is_some_and(|known| at(&told.order) < at(known) || told.order == *known);
        if is_old || told.order.since.is_none() {
            return None;
        }
        // What was said after our file was read is the newer word. Of what was said before, the file may say something
        // else by now, just as after a restart.
        let is_newer = told.order.since > Some(place.read_at);
        let mut kept = Kept {
            heard_under: is_newer.then_some(place.configured),
            ..told
        };
        kept.superseded |= !kept.counts_under(place.configured);
        let kept = self.insert(place.name, kept);
        Some((self.of(place.name, place.configured), kept))
    }

    fn insert(&self, name: &str, kept: Kept) -> io::Result<()> {
        let mut all = self.kept();
        all.insert(name.to_owned(), kept);
        self.write(&all)
    }

    fn write(&self, all: &BTreeMap<String, Kept>) -> io::Result<()> {
        write(&self.path, &serde_json::to_vec_pretty(all)?)
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An order as it is told to other gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedOrder {
    pub name: String,
    pub at: Timestamp,
    pub text: String,
}

/// A location as our file has it, and when that was read.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub name: &'a str,
    pub configured: State,
    pub read_at: Timestamp,
}

/// In full beside the old one, then renamed.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    // Of a process that was killed in the middle.
    let _ = fs::remove_file(&temporary);
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        // A rename may reach the disk before the contents do.
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // On a full disk half a file would keep it full.
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn whose_word_counts_among_gateways() {
        use State::*;
        let order = |state, second| Order {
            state,
            reason: None,
            by: None,
            since: Some(at(second)),
        };
        // Ours at second 10 said read_only, and our file, which says enabled, was read at second 20.
        for (told, configured, second, expected) in [
            (Maintenance, Enabled, 9, None),
            (ReadOnly, Enabled, 10, None),
            (Maintenance, Enabled, 10, Some(Maintenance)),
            (Maintenance, Enabled, 11, Some(Maintenance)),
            (Maintenance, Draining, 11, Some(Enabled)),
            (Maintenance, Draining, 21, Some(Maintenance)),
            (Enabled, Enabled, 21, Some(Enabled)),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let orders = Orders::load(directory.path());
            orders.keep("loc1", Enabled, order(ReadOnly, 10)).unwrap();
            let kept = Kept {
                order: order(told, second),
                configured,
                heard_under: None,
                superseded: false,
            };
            let place = Place {
                name: "loc1",
                configured: Enabled,
                read_at: at(20),
            };
            let heard = orders.hear(place, &serde_json::to_string(&kept).unwrap());
            let state = heard.map(|(order, _)| order.state);
            assert_eq!(state, expected, "{told:?} {configured:?} {second}");
            let after = orders.of("loc1", Enabled).state;
            assert_eq!(after, expected.unwrap_or(ReadOnly));
        }
        let orders = Orders::load(tempfile::tempdir().unwrap().path());
        let place = Place {
            name: "loc1",
            configured: Enabled,
            read_at: at(0),
        };
        for text in ["", "{", "[]", "{}", r#"{"state": "asleep"}"#] {
            assert!(orders.hear(place, text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_word_of_a_file_that_comes_back_is_a_new_one() {
        use State::*;
        let order = Order {
            since: Some(at(10)),
            ..Order::of_file(Enabled)
        };
        // What files say of the location one after the other; the order is given under the first.
        for (files, expected) in [
            (&[Some(Maintenance)][..], true),
            (&[Some(Maintenance), Some(Maintenance)], true),
            (
                &[Some(Maintenance), Some(Enabled), Some(Maintenance)],
                false,
            ),
            (&[Some(Maintenance), None, Some(Maintenance)], false),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let orders = Orders::load(directory.path());
            orders.keep("loc1", Maintenance, order.clone()).unwrap();
            for file in files {
                let configured = file.map(|state| ("loc1", state));
                orders.supersede(configured.into_iter()).unwrap();
            }
            let expected = if expected {
                order.clone()
            } else {
                Order::of_file(Maintenance)
            };
            // A gateway that starts without a state hears of it from the board.
            let stateless = Orders::load(tempfile::tempdir().unwrap().path());
            let place = Place {
                name: "loc1",
                configured: Maintenance,
                read_at: at(20),
            };
            stateless.hear(place, &orders.told()[0].text);
            for orders in [&orders, &Orders::load(directory.path()), &stateless] {
                assert_eq!(orders.of("loc1", Maintenance), expected, "{files:?}");
            }
            // Another gateway may not have that file yet: the order it has stays in force there.
            let other = Orders::load(tempfile::tempdir().unwrap().path());
            other.keep("loc1", Maintenance, order.clone()).unwrap();
            assert!(other.hear(place, &orders.told()[0].text).is_none());
            assert!(other.told()[0].at <= orders.told()[0].at);
            // A new order is one again.
            orders.keep("loc1", Maintenance, order.clone()).unwrap();
            assert_eq!(orders.of("loc1", Maintenance), order);
        }
        // What was said at a gateway that has the new file already holds at one that has not, and once that has it.
        let rolling = Orders::load(tempfile::tempdir().unwrap().path());
        let place = Place {
            name: "loc1",
            configured: Enabled,
            read_at: at(5),
        };
        let told = Orders::load(tempfile::tempdir().unwrap().path());
        let stop = Order {
            state: ReadOnly,
            ..order.clone()
        };
        told.keep("loc1", Maintenance, stop.clone()).unwrap();
        rolling.hear(place, &told.told()[0].text);
        for (file, holds) in [
            (Enabled, true),
            (Maintenance, true),
            (Enabled, false),
            (Maintenance, false),
        ] {
            rolling.supersede([("loc1", file)].into_iter()).unwrap();
            let expected = if holds {
                stop.clone()
            } else {
                Order::of_file(file)
            };
            assert_eq!(rolling.of("loc1", file), expected, "{file:?}");
        }
        // What was heard under another word of the file does not come back with its own.
        let heard = Orders::load(tempfile::tempdir().unwrap().path());
        let place = Place {
            name: "loc1",
            configured: Draining,
            read_at: at(20),
        };
        let told = Orders::load(tempfile::tempdir().unwrap().path());
        told.keep("loc1", Maintenance, order).unwrap();
        heard.hear(place, &told.told()[0].text);
        heard
            .supersede([("loc1", Maintenance)].into_iter())
            .unwrap();
        assert_eq!(heard.of("loc1", Maintenance), Order::of_file(Maintenance));
    }

    #[test]
    fn the_newest_word_counts() {
        let directory = tempfile::tempdir().unwrap();
        let order = Order {
            state: State::Maintenance,
            reason: Some("new disks".to_owned()),
            by: Some("alice".to_owned()),
            since: Some(Timestamp::UNIX_EPOCH),
        };
        let orders = Orders::load(directory.path());
        assert_eq!(
            orders.of("loc1", State::Enabled),
            Order::of_file(State::Enabled)
        );
        orders.keep("loc1", State::Enabled, order.clone()).unwrap();
        let again = Orders::load(directory.path());
        assert_eq!(again.of("loc1", State::Enabled), order);
        assert_eq!(
            again.of("loc1", State::ReadOnly),
            Order::of_file(State::ReadOnly),
            "the file was changed since"
        );
        fs::write(directory.path().join("states.json"), "{").unwrap();
        assert_eq!(
            Orders::load(directory.path()).of("loc1", State::Draining),
            Order::of_file(State::Draining)
        );
    }
}
