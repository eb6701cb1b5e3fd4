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
use std::sync::PoisonError;

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
}

/// The file below `state_path`.
#[derive(Debug)]
pub struct Orders {
    path: PathBuf,
    kept: Mutex<BTreeMap<String, Kept>>,
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
        }
    }

    /// The newest word on a location whose file says `configured`.
    pub fn of(&self, name: &str, configured: State) -> Order {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.get(name) {
            Some(kept) if kept.configured == configured => kept.order.clone(),
            Some(_) | None => Order::of_file(configured),
        }
    }

    /// Keeps a new one.
    ///
    /// # Errors
    /// It is in force, and will not be after a restart.
    pub fn keep(&self, name: &str, configured: State, order: Order) -> io::Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(name.to_owned(), Kept { order, configured });
        write(&self.path, &serde_json::to_vec_pretty(&*kept)?)
    }
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

    #[test]
    fn the_newest_word_counts() {
        let directory = tempfile::tempdir().unwrap();
        let order = Order {
            state: State::Maintenance,
            reason: Some("new disks".to_owned()),
            by: Some("alice".to_owned()),
            since: Some(jiff::Timestamp::UNIX_EPOCH),
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
