//! Reports the expiry of certificates ahead of time.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use jiff::Timestamp;
use log::Level;
use log::log;
use once_cell::sync::Lazy;
use rustls_pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;

use crate::tls::pem;

const DAY: i64 = 24 * 60 * 60;
/// Days before the end from which on it is a warning.
const SOON: i64 = 30;

/// Logs when the certificates in a file end. A file of nothing but a key has none, and a file that cannot be used was
/// told of by whoever needs it.
pub fn tell(owners: &str, path: &Path) {
    for (level, text) in lines(path) {
        log!(level, "{text} ({owners}, {})", path.display());
    }
}

/// What is to be said of the certificates in a file, now.
pub fn lines(path: &Path) -> Vec<(Level, String)> {
    pem::certificates(path).map_or_else(|_| Vec::new(), |found| words(&found, now()))
}

/// Whether a file can be used now: its first certificate for a proof, any of them for authorities. A file without any
/// is a key.
pub fn is_current(path: &Path, proof: bool) -> Result<(), String> {
    let Ok(found) = pem::certificates(path) else {
        return Ok(());
    };
    let lives: Vec<Life> = found.iter().filter_map(|der| Life::of(der)).collect();
    let judged = if proof {
        &lives[..lives.len().min(1)]
    } else {
        &lives
    };
    let now = now();
    match judged.first() {
        Some(first) if !judged.iter().any(|life| life.holds(now)) => {
            Err(format!("{}: {}", path.display(), first.trouble(now)))
        }
        Some(_) | None => Ok(()),
    }
}

/// What was found in files, and how these were: who watches us asks every few seconds, and thousands of locations may
/// share one bundle of authorities.
static ENDS: Lazy<Mutex<HashMap<PathBuf, Known>>> = Lazy::new(Mutex::default);

type Known = (State, Option<Timestamp>);

/// What tells one state of a file from another.
type State = (u64, u64, SystemTime);

/// When the first certificate in a file to end does so.
pub fn first_end(path: &Path) -> Option<Timestamp> {
    let file = fs::metadata(path).ok()?;
    let state = (file.ino(), file.len(), file.modified().ok()?);
    let mut ends = ENDS.lock().unwrap_or_else(PoisonError::into_inner);
    match ends.get(path) {
        Some((known, end)) if *known == state => *end,
        _ => {
            let end = read_first_end(path);
            ends.insert(path.to_owned(), (state, end));
            end
        }
    }
}

fn read_first_end(path: &Path) -> Option<Timestamp> {
    let found = pem::certificates(path).ok()?;
    let ends = found.iter().filter_map(|der| Some(Life::of(der)?.end));
    Timestamp::from_second(ends.min()?).ok()
}

/// When a certificate ends.
pub fn end(der: &[u8]) -> Option<Timestamp> {
    Timestamp::from_second(Life::of(der)?.end).ok()
}

/// What is to be said of a certificate that ends then, if that is soon.
pub fn soon(end: Timestamp) -> Option<String> {
    let (end, now) = (end.as_second(), now());
    let on = day(end);
    if end <= now {
        Some(format!("has expired on {on}"))
    } else if end <= now + SOON * DAY {
        Some(format!("{} on {on}", in_days(end, now)))
    } else {
        None
    }
}

/// Whether the first certificate of a file says what it is for; a file that cannot be used is told of elsewhere.
pub fn has_names(path: &Path) -> bool {
    let Ok(found) = pem::certificates(path) else {
        return true;
    };
    found.first().is_none_or(|der| {
        parse_x509_certificate(der).is_ok_and(|(_, certificate)| {
            certificate
                .subject_alternative_name()
                .is_ok_and(|names| names.is_some_and(|names| !names.value.general_names.is_empty()))
        })
    })
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// What is to be said of these at `now` (seconds since 1970): a line for those that are over, one for those that soon
/// will be, and one for the next of the others if there are none of these. A bundle of authorities may hold hundreds.
fn words(certificates: &[CertificateDer<'_>], now: i64) -> Vec<(Level, String)> {
    let lives: Vec<Life> = certificates
        .iter()
        .filter_map(|der| Life::of(der))
        .collect();
    let early = lives.iter().filter(|life| now < life.begin);
    let early: Vec<_> = early
        .map(|life| (Level::Error, life.trouble(now)))
        .collect();
    let mut ends: Vec<_> = lives
        .into_iter()
        .map(|life| (life.end, life.subject))
        .collect();
    ends.sort();
    let over = ends.partition_point(|(end, _)| *end <= now);
    let soon = ends.partition_point(|(end, _)| *end <= now + SOON * DAY);
    let mut lines = early;
    let mut say = |level, some: &[(i64, String)], verb: &dyn Fn(i64) -> String| {
        let Some((end, subject)) = some.first() else {
            return;
        };
        let others = match some.len() {
            1 => String::new(),
            more => format!(" (and {} more)", more - 1),
        };
        let on = day(*end);
        lines.push((
            level,
            format!("Certificate `{subject}`{others} {} on {on}", verb(*end)),
        ));
    };
    let in_days = |end| in_days(end, now);
    say(Level::Error, &ends[..over], &|_| "has expired".to_owned());
    say(Level::Warn, &ends[over..soon], &in_days);
    if soon == 0 {
        say(Level::Info, &ends[..ends.len().min(1)], &in_days);
    }
    lines
}

fn in_days(end: i64, now: i64) -> String {
    match (end - now) / DAY {
        1 => "expires in 1 day".to_owned(),
        days => format!("expires in {days} days"),
    }
}

fn day(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(
        |_| "a day".to_owned(),
        |at| at.strftime("%Y-%m-%d").to_string(),
    )
}

/// From when to when a certificate counts, and whose it is.
struct Life {
    begin: i64,
    end: i64,
    subject: String,
}

impl Life {
    fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(der).ok()?;
        let subject = certificate.subject().to_string();
        let validity = certificate.validity();
        Some(Self {
            begin: validity.not_before.timestamp(),
            end: validity.not_after.timestamp(),
            // Chosen by whoever made it; it must not break the line.
            subject: subject.replace(char::is_control, "?"),
        })
    }

    fn holds(&self, now: i64) -> bool {
        (self.begin..self.end).contains(&now)
    }

    /// Why it does not hold.
    fn trouble(&self, now: i64) -> String {
        let subject = &self.subject;
        if now < self.begin {
            format!(
                "Certificate `{subject}` is not valid before {}",
                day(self.begin)
            )
        } else {
            format!("Certificate `{subject}` has expired on {}", day(self.end))
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::pem::PemObject;

    use super::*;

    /// `CN=first` ends at `1_800_000_000` (2027-01-15), `CN=second` a hundred days later.
    const FIRST: &str = include_str!("expiry/first.pem");
    const SECOND: &str = include_str!("expiry/second.pem");
    const END: i64 = 1_800_000_000;

    #[test]
    fn the_end_is_told_ahead_of_time() {
        let [first, second] =
            [FIRST, SECOND].map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap());
        let both = [second.clone(), first.clone()];
        let one = std::slice::from_ref(&first);
        let (info, warn, error) = (Level::Info, Level::Warn, Level::Error);
        #[expect(clippy::type_complexity, reason = "a table")]
        #[rustfmt::skip]
        let cases: [(&[CertificateDer<'_>], i64, &[(Level, &str)]); 8] = [
            (one, END - 31 * DAY, &[(info, "Certificate `CN=first` expires in 31 days on 2027-01-15")]),
            (one, END - 30 * DAY, &[(warn, "Certificate `CN=first` expires in 30 days on 2027-01-15")]),
            (one, END - DAY, &[(warn, "Certificate `CN=first` expires in 1 day on 2027-01-15")]),
            (one, END - 1, &[(warn, "Certificate `CN=first` expires in 0 days on 2027-01-15")]),
            (one, END, &[(error, "Certificate `CN=first` has expired on 2027-01-15")]),
            (&both, END - 31 * DAY, &[(info, "Certificate `CN=first` expires in 31 days on 2027-01-15")]),
            (&both, END + 80 * DAY, &[
                (error, "Certificate `CN=first` has expired on 2027-01-15"),
                (warn, "Certificate `CN=second` expires in 20 days on 2027-04-25"),
            ]),
            (&both, END + 100 * DAY, &[(error, "Certificate `CN=first` (and 1 more) has expired on 2027-01-15")]),
        ];
        for (certificates, now, expected) in cases {
            let found = words(certificates, now);
            let found: Vec<_> = found
                .iter()
                .map(|(level, text)| (*level, text.as_str()))
                .collect();
            assert_eq!(found, expected);
        }
    }
}
