//! `auth_strategy = http_basic`: the users of a file, as in `ironic/common/auth_basic.py`.
//!
//! Differences: passwords are checked outside of the worker threads and only a few at a time, an unknown user takes as
//! long as a known one, and a file that is empty, invalid or still being written leaves the old users in place instead
//! of stopping the service.

pub mod users;

use std::net::IpAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use log::error;
use log::info;
use quick_cache::sync::Cache;
use ring::hmac;
use ring::rand::SystemRandom;
use thiserror::Error;
use tokio::task::spawn_blocking;

use crate::auth::http_basic::users::Stamp;
use crate::auth::http_basic::users::UserFileError;
use crate::auth::http_basic::users::Users;
use crate::auth::turns::Asking;
use crate::auth::turns::Turn;
use crate::auth::turns::Turns;

/// How long a password once found right is believed, if its line in the file stays the same.
const BELIEVED: Duration = Duration::from_mins(5);
const BELIEVED_AT_MOST: usize = 4096;
/// bcrypt looks no further.
// Longer passwords are refused, not cut: any two that agree in their first 72 bytes would open the same account. Python's
// bcrypt 5 raises a ValueError for them, which Ironic does not catch.
const LONGEST_PASSWORD: usize = 72;

/// Python's `b64decode(validate=True)`: padding must be there, stray bits at the end do not matter.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

type Key = [u8; 32];

/// Why nobody came in. The texts are Ironic's and go to the client.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BasicError {
    #[error("Authorization required")]
    Missing,
    #[error("Incorrect username or password")]
    Incorrect,
    #[error("Could not parse Authorization header")]
    Unparsable,
    #[error("Unsupported authorization type \"{0}\"")]
    Unsupported(String),
    #[error("Could not decode authorization token")]
    Undecodable,
    /// Too many passwords are being checked.
    #[error("Too many passwords are being checked, please retry.")]
    Busy,
}

/// The users of a file.
#[derive(Debug)]
pub struct HttpBasic {
    path: PathBuf,
    users: ArcSwap<Users>,
    /// The state of the file that was last looked at, good or bad.
    seen: Mutex<Stamp>,
    key: hmac::Key,
    /// Until when a password is believed, by a keyed hash of user, password and line.
    believed: Cache<Key, Instant>,
    turns: Turns,
}

impl HttpBasic {
    /// Reads the file; one that cannot be used stops the start.
    pub fn new(path: &Path) -> Result<Self, UserFileError> {
        let stamp = Stamp::of(path);
        let users = Users::read(path)?;
        users.tell(path);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            path: path.to_owned(),
            users: ArcSwap::from_pointee(users),
            seen: Mutex::new(stamp),
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
                .map_err(|_| UserFileError::Random)?,
            believed: Cache::new(BELIEVED_AT_MOST),
            // bcrypt is all computing: the other half of the machine is for the requests.
            turns: Turns::new((cores / 2).max(1)),
        })
    }

    /// The user whose name and password the request carries.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        from: Option<IpAddr>,
    ) -> Result<Arc<str>, BasicError> {
        let pair = Pair::parse(headers)?;
        self.reread_if_changed();
        let users = self.users.load_full();
        let known = users.usable(&pair.user);
        // Nobody learns from the time that it takes which users there are.
        let hash = known.map_or(users.dummy.as_str(), |(_, hash)| hash);
        let key = self.key(&pair, hash);
        if !self.believes(&key, Instant::now()) {
            let asking = match self.believed.get(&key) {
                Some(_) => Asking::Familiar,
                None => Asking::Stranger(from),
            };
            let turn = self.turns.take(asking).await.ok_or(BasicError::Busy)?;
            self.check(&pair, hash, key, turn).await?;
        }
        match known {
            Some((user, _)) => Ok(Arc::clone(user)),
            None => Err(BasicError::Incorrect),
        }
    }

    /// Whether this password was found right before.
    pub fn knows(&self, headers: &HeaderMap) -> bool {
        let Ok(pair) = Pair::parse(headers) else {
            return false;
        };
        let users = self.users.load();
        let known = users.usable(&pair.user);
        known.is_some_and(|(_, hash)| self.believed.get(&self.key(&pair, hash)).is_some())
    }

    /// bcrypt, beside the workers and only so many at a time.
    async fn check(&self, pair: &Pair, hash: &str, key: Key, turn: Turn) -> Result<(), BasicError> {
        // Another request of the same client may have had its turn before.
        if self.believes(&key, Instant::now()) {
            return Ok(());
        }
        let (password, hash) = (pair.password.clone(), hash.to_owned());
        let right = spawn_blocking(move || {
            // Kept to the end: a client that goes away does not stop the computing.
            let _turn = turn;
            password.len() <= LONGEST_PASSWORD && bcrypt::verify(&password, &hash).unwrap_or(false)
        })
        .await
        .unwrap_or(false);
        if !right {
            return Err(BasicError::Incorrect);
        }
        self.believed.insert(key, Instant::now() + BELIEVED);
        Ok(())
    }

    fn believes(&self, key: &Key, now: Instant) -> bool {
        self.believed.get(key).is_some_and(|until| now < until)
    }

    /// The line is part of it, so a changed one misses at once. Lengths keep the parts apart.
    fn key(&self, pair: &Pair, hash: &str) -> Key {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [pair.user.as_bytes(), &pair.password, hash.as_bytes()] {
            context.update(&part.len().to_le_bytes());
            context.update(part);
        }
        let mut key = Key::default();
        key.copy_from_slice(context.sign().as_ref());
        key
    }

    fn reread_if_changed(&self) {
        // Whoever holds it is reading the file.
        let Ok(mut seen) = self.seen.try_lock() else {
            return;
        };
        let stamp = Stamp::of(&self.path);
        if *seen == stamp {
            return;
        }
        let in_place = seen.is_same_file(&stamp);
        let old = self.users.load();
        match Users::read(&self.path) {
            // Editors and htpasswd empty the file first and then write it. A file that was renamed is whole.
            Ok(new) if in_place && stamp.is_fresh() && old.loses(&new) => return,
            Ok(new) if new.hashes.is_empty() => {
                let path = self.path.clone();
                error!(
                    "The users of http_basic stay as they were: {}",
                    UserFileError::Empty { path }
                );
            }
            Ok(new) => {
                info!(
                    "Read {} users from {}",
                    new.hashes.len(),
                    self.path.display()
                );
                new.tell(&self.path);
                self.users.store(Arc::new(new));
            }
            Err(_) if in_place && stamp.is_fresh() => return,
            Err(error) => error!("The users of http_basic stay as they were: {error}"),
        }
        *seen = stamp;
    }
}

/// What `Authorization: Basic` carries.
struct Pair {
    user: String,
    /// Any bytes.
    password: Vec<u8>,
}

impl Pair {
    fn parse(headers: &HeaderMap) -> Result<Self, BasicError> {
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        let field = fields.next().ok_or(BasicError::Missing)?;
        // Which one counts would depend on who reads it.
        if fields.next().is_some() {
            return Err(BasicError::Unparsable);
        }
        let field = field.as_bytes().trim_ascii();
        let space = field
            .iter()
            .position(u8::is_ascii_whitespace)
            .ok_or(BasicError::Unparsable)?;
        let (scheme, token) = (&field[..space], field[space..].trim_ascii_start());
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return Err(BasicError::Unsupported(
                scheme.iter().copied().map(char::from).collect(),
            ));
        }
        let mut user = BASE64.decode(token).map_err(|_| BasicError::Undecodable)?;
        let colon = user
            .iter()
            .position(|byte| *byte == b':')
            .ok_or(BasicError::Undecodable)?;
        let password = user.split_off(colon + 1);
        user.truncate(colon);
        Ok(Self {
            user: String::from_utf8(user).map_err(|_| BasicError::Undecodable)?,
            password,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

    use base64::engine::general_purpose::STANDARD;
    use futures_util::future::join_all;
    use http::HeaderValue;
    use tempfile::TempDir;

    use super::*;
    use crate::auth::http_basic::users::AT_REST;

    struct Bed {
        directory: TempDir,
        basic: HttpBasic,
    }

    impl Bed {
        fn new(lines: &str) -> Self {
            let directory = TempDir::new().unwrap();
            let path = directory.path().join("htpasswd");
            fs::write(&path, lines).unwrap();
            Self {
                directory,
                basic: HttpBasic::new(&path).unwrap(),
            }
        }

        /// As editors and `htpasswd` do it.
        fn replace(&self, lines: &str) {
            let new = self.directory.path().join("new");
            fs::write(&new, lines).unwrap();
            fs::rename(new, self.directory.path().join("htpasswd")).unwrap();
        }

        async fn enter(&self, user: &str, password: &str) -> Result<Arc<str>, BasicError> {
            self.basic
                .authenticate(&basic(user, password.as_bytes()), None)
                .await
        }
    }

    fn basic(user: &str, password: &[u8]) -> HeaderMap {
        let pair = STANDARD.encode([user.as_bytes(), b":", password].concat());
        header(&format!("Basic {pair}"))
    }

    fn header(value: &str) -> HeaderMap {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        HeaderMap::from_iter([(AUTHORIZATION, value)])
    }

    fn line(user: &str, password: &str) -> String {
        format!(
            "{user}:{}\n",
            bcrypt::hash_with_result(password, 4)
                .unwrap()
                .format_for_version(bcrypt::Version::TwoY)
        )
    }

    #[test]
    fn a_header_is_read_as_ironic_reads_it() {
        let long = format!("Basic {}", STANDARD.encode("ann:a:b c\u{e4}"));
        for (value, expected) in [
            (long.as_str(), Ok(("ann", "a:b c\u{e4}".as_bytes()))),
            ("basic YW5uOnB3", Ok(("ann", b"pw".as_slice()))),
            ("  BASIC \t YW5uOnB3  ", Ok(("ann", b"pw"))),
            ("Basic OnB3", Ok(("", b"pw"))),
            ("Basic YW5uOg==", Ok(("ann", b""))),
            ("Basic", Err(BasicError::Unparsable)),
            ("", Err(BasicError::Unparsable)),
            ("Bearer abc", Err(BasicError::Unsupported("Bearer".into()))),
            ("Basic YW5uOnB3 YW5uOnB3", Err(BasicError::Undecodable)),
            ("Basic YW5uOg", Err(BasicError::Undecodable)),
            ("Basic !!!!", Err(BasicError::Undecodable)),
            ("Basic YW5u", Err(BasicError::Undecodable)),
            ("Basic /zpwdw==", Err(BasicError::Undecodable)),
        ] {
            let pair = Pair::parse(&header(value)).map(|pair| (pair.user, pair.password));
            let expected = expected.map(|(user, password)| (user.to_owned(), password.to_owned()));
            assert_eq!(pair, expected, "{value}");
        }
        let mut twice = header("Basic YW5uOnB3");
        twice.append(AUTHORIZATION, HeaderValue::from_static("Basic YW5uOnB3"));
        assert_eq!(Pair::parse(&twice).err(), Some(BasicError::Unparsable));
        assert_eq!(
            Pair::parse(&HeaderMap::new()).err(),
            Some(BasicError::Missing)
        );
    }

    #[tokio::test]
    async fn only_the_right_password_enters() {
        let long = "x".repeat(72);
        let bed = Bed::new(&[line("ann", "secret"), line("bob", &long)].concat());
        for (user, password, enters) in [
            ("ann", "secret", true),
            ("ann", "secret", true),
            ("ann", "Secret", false),
            ("ann", "", false),
            ("bob", &long, true),
            ("bob", &format!("{long}x"), false),
            ("carl", "secret", false),
            ("", "secret", false),
        ] {
            let expected = if enters {
                Ok(user.into())
            } else {
                Err(BasicError::Incorrect)
            };
            assert_eq!(
                bed.enter(user, password).await,
                expected,
                "{user} {password}"
            );
        }
    }

    #[tokio::test]
    async fn the_file_counts_from_the_moment_it_changes() {
        let bed = Bed::new(&line("ann", "old"));
        assert!(bed.enter("ann", "old").await.is_ok());
        bed.replace(&line("ann", "new"));
        assert_eq!(bed.enter("ann", "old").await, Err(BasicError::Incorrect));
        assert!(bed.enter("ann", "new").await.is_ok());
        for bad in ["ann:plain\n", "\u{0}\n:x"] {
            bed.replace(bad);
            assert!(
                bed.enter("ann", "new").await.is_ok(),
                "a bad file leaves the users as they were"
            );
        }
        fs::remove_file(bed.directory.path().join("htpasswd")).unwrap();
        assert!(bed.enter("ann", "new").await.is_ok());
        bed.replace(&line("bob", "other"));
        assert_eq!(bed.enter("ann", "new").await, Err(BasicError::Incorrect));
        assert!(bed.enter("bob", "other").await.is_ok());
    }

    #[tokio::test]
    async fn a_file_that_is_being_written_locks_nobody_out() {
        let bed = Bed::new(&[line("ann", "a"), line("bob", "b")].concat());
        let path = bed.directory.path().join("htpasswd");
        // In place, as an editor: emptied, half a line, all but one, with a changed password and a new user.
        let whole = [line("ann", "a2"), line("carl", "c"), line("bob", "b")].concat();
        let half = whole.len() / 2;
        for part in ["", &whole[..half], &whole[..whole.len() - 20]] {
            fs::write(&path, part).unwrap();
            assert!(bed.enter("ann", "a").await.is_ok(), "{part:?}");
            assert!(bed.enter("bob", "b").await.is_ok(), "{part:?}");
        }
        fs::write(&path, &whole).unwrap();
        assert!(
            bed.enter("carl", "c").await.is_ok(),
            "at once when nobody is lost"
        );
        assert_eq!(bed.enter("ann", "a").await, Err(BasicError::Incorrect));
        assert!(bed.enter("ann", "a2").await.is_ok());
        // Who is really taken out stays outside once the file has come to rest.
        fs::write(&path, line("ann", "a2")).unwrap();
        let written = SystemTime::now() - AT_REST * 3;
        fs::File::options()
            .append(true)
            .open(&path)
            .unwrap()
            .set_modified(written)
            .unwrap();
        assert_eq!(bed.enter("bob", "b").await, Err(BasicError::Incorrect));
        // An empty file is no way to take everybody out.
        for empty in ["", "# nobody\n"] {
            bed.replace(empty);
            assert!(bed.enter("ann", "a2").await.is_ok(), "{empty:?}");
        }
    }

    #[test]
    fn a_bad_file_stops_the_start() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("htpasswd");
        assert!(matches!(
            HttpBasic::new(&path),
            Err(UserFileError::Read { .. })
        ));
        fs::write(&path, b"ann:\xff").unwrap();
        assert!(matches!(
            HttpBasic::new(&path),
            Err(UserFileError::Encoding { .. })
        ));
        fs::write(&path, "bob:plain-secret").unwrap();
        let text = HttpBasic::new(&path).unwrap_err().to_string();
        assert_eq!(
            text,
            format!(
                "{}: Only bcrypt digested passwords are supported for bob",
                path.display()
            )
        );
    }

    /// One thread: were passwords checked on it, the one who is known would wait for all the others.
    #[tokio::test]
    async fn wrong_passwords_do_not_hold_up_who_is_known() {
        let bed = Bed::new(&line("ann", "secret"));
        bed.enter("ann", "secret").await.unwrap();
        let wrong: Vec<String> = (0..200).map(|number| format!("wrong{number}")).collect();
        let flood = join_all(wrong.iter().map(|password| bed.enter("ann", password)));
        let known = bed.enter("ann", "secret");
        tokio::select! {
            biased;
            _ = flood => panic!("the flood came first"),
            entered = known => assert!(entered.is_ok()),
        }
    }
}
