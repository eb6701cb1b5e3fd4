//! The file of users of `auth_strategy = http_basic`, as htpasswd writes it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use bcrypt::HashParts;
use log::warn;
use thiserror::Error;

/// A file that is written in place is whole once nobody wrote into it for this long.
pub(super) const AT_REST: Duration = Duration::from_secs(1);
/// Of the dummy hash while the file has no user. bcrypt's customary one.
const USUAL_COST: u32 = 10;

/// Why a user file cannot be used.
#[derive(Debug, Error)]
pub enum UserFileError {
    #[error("Problem reading auth user file: {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("Problem reading auth user file: {}: it is not UTF-8", .path.display())]
    Encoding { path: PathBuf },
    #[error("{}: Only bcrypt digested passwords are supported for {user}", .path.display())]
    Digest { path: PathBuf, user: String },
    #[error("{} holds no user", .path.display())]
    Empty { path: PathBuf },
    #[error("the system provides no random numbers")]
    Random,
}

/// What is odd about a user file that can be used; nothing about one that cannot.
pub fn oddities(path: &Path) -> Vec<String> {
    Users::read(path).map_or_else(|_| Vec::new(), |users| users.oddities(path))
}

/// Those of one state of the file.
#[derive(Debug)]
pub(super) struct Users {
    /// `None`: a hash that no password has. The user is known and stays outside, as at Ironic.
    pub(super) hashes: HashMap<Arc<str>, Option<String>>,
    /// Matches no password and takes as long as the slowest of the file.
    pub(super) dummy: String,
}

impl Users {
    pub(super) fn read(path: &Path) -> Result<Self, UserFileError> {
        let bytes = fs::read(path).map_err(|source| UserFileError::Read {
            path: path.to_owned(),
            source,
        })?;
        let text = String::from_utf8(bytes).map_err(|_| UserFileError::Encoding {
            path: path.to_owned(),
        })?;
        Self::parse(&text).map_err(|user| UserFileError::Digest {
            path: path.to_owned(),
            user,
        })
    }

    /// Fails with the user whose digest is another one than bcrypt's.
    fn parse(text: &str) -> Result<Self, String> {
        let mut hashes = HashMap::new();
        let mut cost = None;
        for (user, hash) in text.lines().filter_map(|line| line.trim().split_once(':')) {
            if !["$2y$", "$2a$", "$2b$"]
                .iter()
                .any(|prefix| hash.starts_with(prefix))
            {
                return Err(user.to_owned());
            }
            let parts = HashParts::from_str(hash).ok();
            cost = cost.max(parts.as_ref().map(HashParts::get_cost));
            // The first line of a user decides.
            hashes
                .entry(user.into())
                .or_insert_with(|| parts.map(|_| hash.to_owned()));
        }
        let dummy = format!("$2b${:02}${}", cost.unwrap_or(USUAL_COST), ".".repeat(53));
        Ok(Self { hashes, dummy })
    }

    /// A user who can come in, and by which hash.
    pub(super) fn usable(&self, user: &str) -> Option<(&Arc<str>, &str)> {
        let (user, hash) = self.hashes.get_key_value(user)?;
        Some((user, hash.as_deref()?))
    }

    /// Whether somebody who can come in could no longer.
    pub(super) fn loses(&self, new: &Self) -> bool {
        self.hashes
            .iter()
            .any(|(user, hash)| hash.is_some() && new.usable(user).is_none())
    }

    pub(super) fn tell(&self, path: &Path) {
        for line in self.oddities(path) {
            warn!("{line}");
        }
    }

    /// Whom the file names in vain.
    fn oddities(&self, path: &Path) -> Vec<String> {
        let path = path.display();
        if self.hashes.is_empty() {
            return vec![format!("{path} holds no user: nobody can log in")];
        }
        let unusable = self.hashes.iter().filter(|(_, hash)| hash.is_none());
        let mut lines: Vec<_> = unusable
            .map(|(user, _)| {
                let user = user.escape_debug();
                format!("User {user} cannot log in: the hash in {path} is not a bcrypt hash")
            })
            .collect();
        lines.sort_unstable();
        lines
    }
}

/// What a file's state is known by. Renaming a new file over it changes the inode, writing into it the times.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp(Option<(u64, u64, u64, i64, i64, i64, i64)>);

impl Stamp {
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        let file = |stamp: &Self| stamp.0.map(|(device, inode, ..)| (device, inode));
        file(self) == file(other)
    }

    /// Whether somebody may still be writing.
    pub(super) fn is_fresh(&self) -> bool {
        self.0.is_some_and(|(_, _, _, seconds, ..)| {
            let written = u64::try_from(seconds).map_or(UNIX_EPOCH, |seconds| {
                UNIX_EPOCH + Duration::from_secs(seconds)
            });
            // A time in the future is no reason to wait for ever. The seconds alone are up to one too early.
            SystemTime::now()
                .duration_since(written)
                .is_ok_and(|age| age < AT_REST * 2)
        })
    }

    pub(super) fn of(path: &Path) -> Self {
        Self(fs::metadata(path).ok().map(|file| {
            (
                file.dev(),
                file.ino(),
                file.size(),
                file.mtime(),
                file.mtime_nsec(),
                file.ctime(),
                file.ctime_nsec(),
            )
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_ironic_reads_it() {
        let hash = "$2y$04$abcdefghijklmnopqrstuuPjS5yPr1ANtC3oQQHzeyZS2rVeKqlgi";
        for (text, users) in [
            (String::new(), Some(0)),
            (format!("ann:{hash}\nbob:{hash}"), Some(2)),
            (
                format!(
                    "  ann:{hash}  \r\n\n# nobody\nann:{}\n",
                    hash.replace("$2y", "$2b")
                ),
                Some(1),
            ),
            (format!("ann:{}", hash.replace("$2y", "$2a")), Some(1)),
            (format!("ann:{}", hash.replace("$2y", "$2x")), None),
            (format!("ann:{hash}\nbob:$apr1$abc$def"), None),
            ("ann:plain".into(), None),
            ("ann:$2y$04$short".into(), Some(1)),
            (format!("ann:{hash}:extra\nbob:{hash}"), Some(2)),
            ("ann:".into(), None),
        ] {
            assert_eq!(
                Users::parse(&text).ok().map(|users| users.hashes.len()),
                users,
                "{text}"
            );
        }
        let extra = Users::parse(&format!("ann:{hash}:extra\nann:{hash}\nbob:{hash}")).unwrap();
        assert!(extra.usable("ann").is_none() && extra.usable("bob").is_some());
        let first_wins =
            Users::parse(&format!("ann:{hash}\nann:{}", hash.replace("$04", "$05"))).unwrap();
        assert_eq!(first_wins.usable("ann").unwrap().1, hash);
        assert!(HashParts::from_str(&first_wins.dummy).is_ok_and(|parts| parts.get_cost() == 5));
    }
}
