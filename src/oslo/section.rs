//! Reads typed options from one section.

use std::fmt;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::oslo::layers::Origin;
use crate::oslo::passing::is_passing;
use crate::oslo::record::Faulted;
use crate::oslo::record::Record;
use crate::oslo::resolve::value;
use crate::oslo::resolve::written;
use crate::oslo::secret::Secret;
use crate::oslo::value::dict;
use crate::oslo::value::list;

/// The options of one section.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    record: &'a mut Record,
    name: String,
}

impl<'a> Section<'a> {
    pub(crate) fn new(record: &'a mut Record, name: String) -> Self {
        Self { record, name }
    }

    /// Notes a fault of an option.
    pub(crate) fn fault(&mut self, option: &str, text: impl fmt::Display) -> Faulted {
        let origin = self.origin(option);
        let spelling = self.spelling(option);
        self.record.fault(&origin, &self.name, &spelling, text)
    }

    /// Notes a fault of an option that may be gone a moment later.
    pub(crate) fn passing(&mut self, option: &str, text: impl fmt::Display) -> Faulted {
        let origin = self.origin(option);
        let spelling = self.spelling(option);
        self.record.passing(&origin, &self.name, &spelling, text)
    }

    /// Notes that a file cannot be read.
    pub(crate) fn unreadable(&mut self, option: &str, error: &io::Error) -> Faulted {
        let text = format!("cannot be read: {error}");
        if is_passing(error) {
            self.passing(option, text)
        } else {
            self.fault(option, text)
        }
    }

    /// Notes that an option is needed.
    pub(crate) fn missing(&mut self, option: &str, text: impl fmt::Display) -> Faulted {
        self.fault(option, format_args!("is missing: {text}"))
    }

    /// Notes what is odd about an option.
    pub(crate) fn warn(&mut self, option: &str, text: impl fmt::Display) {
        let origin = self.origin(option);
        let spelling = self.spelling(option);
        self.record.warn(&origin, &self.name, &spelling, text);
    }

    /// Whether the option is there and not empty.
    pub(crate) fn sets(&self, option: &str) -> bool {
        self.written(option)
            .is_some_and(|(_, text)| !text.is_empty())
    }

    /// A text; empty is unset, which means the default if there is one.
    pub(crate) fn text(&mut self, option: &str) -> Result<Option<String>, Faulted> {
        let text = self.raw(option)?.filter(|text| !text.is_empty());
        let default = || self.record.schema.readable(&self.name, option)?.default;
        Ok(text.or_else(|| default().map(str::to_owned)))
    }

    /// A text that must be there; `why` says what for.
    pub(crate) fn required(&mut self, option: &str, why: &str) -> Result<String, Faulted> {
        match self.text(option)? {
            Some(text) => Ok(text),
            None => Err(self.missing(option, why)),
        }
    }

    /// A secret that must be there; `why` says what for.
    pub(crate) fn secret(&mut self, option: &str, why: &str) -> Result<Secret, Faulted> {
        self.required(option, why).map(Secret::from)
    }

    /// What `T` can read; `what` names it for the fault. Unset is `None`.
    pub(crate) fn parsed<T: FromStr>(
        &mut self,
        option: &str,
        what: &str,
    ) -> Result<Option<T>, Faulted> {
        match self.text(option)? {
            None => Ok(None),
            Some(text) => match text.trim().parse() {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(self.fault(option, format!("is not {what}"))),
            },
        }
    }

    /// As [`Self::parsed`] for an option that has a default.
    pub(crate) fn always<T: FromStr>(&mut self, option: &str, what: &str) -> Result<T, Faulted> {
        match self.parsed(option, what)? {
            Some(value) => Ok(value),
            None => Err(self.missing(option, what)),
        }
    }

    /// A whole number.
    pub(crate) fn number<T>(&mut self, option: &str, range: RangeInclusive<T>) -> Result<T, Faulted>
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        let what = number_words(&range);
        let value = self.always(option, &what)?;
        if range.contains(&value) {
            Ok(value)
        } else {
            Err(self.fault(option, format!("is not {what}")))
        }
    }

    /// A whole number that may be unset.
    pub(crate) fn optional_number<T>(
        &mut self,
        option: &str,
        range: RangeInclusive<T>,
    ) -> Result<Option<T>, Faulted>
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        if self.text(option)?.is_none() {
            return Ok(None);
        }
        self.number(option, range).map(Some)
    }

    /// Seconds with a fraction, more than none and at most a year; `None` is a text of 0.
    pub(crate) fn seconds_or_none(&mut self, option: &str) -> Result<Option<Duration>, Faulted> {
        let what = "a number of seconds";
        let seconds: f64 = self.always(option, what)?;
        match Duration::try_from_secs_f64(seconds) {
            Ok(Duration::ZERO) => Ok(None),
            Ok(duration) if duration <= LONGEST => Ok(Some(duration)),
            Ok(_) | Err(_) => Err(self.fault(option, format!("is not {what} from 0 to a year"))),
        }
    }

    /// As [`Self::seconds_or_none`] without the 0.
    pub(crate) fn seconds(&mut self, option: &str) -> Result<Duration, Faulted> {
        match self.seconds_or_none(option)? {
            Some(duration) => Ok(duration),
            None => Err(self.fault(option, "must be more than 0 seconds")),
        }
    }

    /// oslo's words for yes and no.
    pub(crate) fn flag(&mut self, option: &str) -> Result<bool, Faulted> {
        let text = self.raw(option)?.unwrap_or_default();
        match text.trim().to_lowercase().as_str() {
            // `Boolean.TRUE_VALUES` and `FALSE_VALUES` in `oslo_config/types.py`.
            "true" | "1" | "on" | "yes" => Ok(true),
            "false" | "0" | "off" | "no" => Ok(false),
            _ => Err(self.fault(option, "is neither true nor false")),
        }
    }

    /// The same for one that may be unset.
    pub(crate) fn optional_flag(&mut self, option: &str) -> Result<Option<bool>, Faulted> {
        if self.text(option)?.is_none() {
            return Ok(None);
        }
        self.flag(option).map(Some)
    }

    /// One word of several.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        option: &str,
        choices: &[(&str, T)],
    ) -> Result<T, Faulted> {
        let text = self.always::<String>(option, "one word")?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        Err(self.fault(option, format!("must be one of {}", words.join(", "))))
    }

    /// Texts between commas.
    pub(crate) fn list(&mut self, option: &str) -> Result<Vec<String>, Faulted> {
        Ok(list(&self.raw(option)?.unwrap_or_default()))
    }

    /// The same, for an option whose default is no empty list; empty is what was written.
    pub(crate) fn list_or_default(&mut self, option: &str) -> Result<Vec<String>, Faulted> {
        if let Some(text) = self.raw(option)? {
            return Ok(list(&text));
        }
        Ok(list(&self.text(option)?.unwrap_or_default()))
    }

    /// `NAME:VALUE` between commas, in order.
    pub(crate) fn dict(&mut self, option: &str) -> Result<Vec<(String, String)>, Faulted> {
        let text = self.raw(option)?.unwrap_or_default();
        dict(&text).map_err(|fault| self.fault(option, fault))
    }

    /// A path that need not be there yet.
    pub(crate) fn path(&mut self, option: &str) -> Result<Option<PathBuf>, Faulted> {
        Ok(self.text(option)?.map(PathBuf::from))
    }

    /// A file that can be read.
    pub(crate) fn file(&mut self, option: &str) -> Result<Option<PathBuf>, Faulted> {
        let Some(path) = self.path(option)? else {
            return Ok(None);
        };
        match readable(&path) {
            Ok(()) => Ok(Some(path)),
            Err(error) => Err(self.unreadable(option, &error)),
        }
    }

    fn raw(&mut self, option: &str) -> Result<Option<String>, Faulted> {
        let known = self.record.schema.readable(&self.name, option);
        debug_assert!(known.is_some(), "[{}] {option} is in no table", self.name);
        let Some(known) = known else {
            return Ok(None);
        };
        match value(self.record.schema, &self.record.sections, &self.name, known) {
            Ok(None) => Ok(None),
            Ok(Some(value)) => {
                let spelling = value.spelling.unwrap_or(known.name);
                self.record.note_read(&self.name, spelling);
                if spelling != known.name {
                    self.warn(spelling, format_args!("is an old name of {}", known.name));
                }
                Ok(Some(value.text))
            }
            Err(unresolved) => Err(self.fault(option, unresolved.text(known))),
        }
    }

    fn written(&self, option: &str) -> Option<(&'static str, &str)> {
        let known = self.record.schema.readable(&self.name, option)?;
        written(&self.record.sections, &self.name, known)
    }

    /// Where the option is, else where its section begins, else the first file.
    fn origin(&self, option: &str) -> Origin {
        self.record.origin(&self.name, &self.spelling(option))
    }

    /// What the file calls the option.
    fn spelling(&self, option: &str) -> String {
        self.written(option)
            .map_or(option, |(name, _)| name)
            .to_owned()
    }
}

const LONGEST: Duration = Duration::from_hours(366 * 24);

fn number_words<T: fmt::Display>(range: &RangeInclusive<T>) -> String {
    format!("a whole number from {} to {}", range.start(), range.end())
}

fn readable(path: &Path) -> io::Result<()> {
    if fs::File::open(path)?.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(())
}
