//! A path, decoded once.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::api::identifier::is_way_up;
use crate::api::query::is_percent_encoded;

/// What Ironic takes off the end of a path below 1.91.
pub const SUFFIX: &str = ".json";
/// A path, decoded and split; one trailing slash does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// It begins with `/v1`, as all do but bookmark links.
    pub(super) versioned: bool,
    /// Everything below `/v1/`.
    pub(super) segments: Vec<String>,
    /// One slash at the end.
    pub(super) has_slash: bool,
}

/// A path that is refused before it is matched.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// Empty or dot segments, or `;`: two parsers could read them differently.
    #[error("no such path")]
    NotFound,
    /// A segment that holds `/`, `%`, control characters, or no UTF-8 once decoded.
    #[error("Expected UUID or name for node: {0}")]
    Unreadable(String),
}

impl Path {
    pub fn read(path: &str) -> Result<Self, PathError> {
        let raw = path.strip_prefix('/').ok_or(PathError::NotFound)?;
        let raw = raw.strip_suffix('/').unwrap_or(raw);
        let mut parts = (!raw.is_empty())
            .then(|| raw.split('/'))
            .into_iter()
            .flatten()
            .peekable();
        let mut versioned = parts.next_if_eq(&"v1").is_some();
        let decoded = parts.map(|raw| decode(raw).map(Cow::into_owned));
        let mut segments = decoded.collect::<Result<Vec<_>, _>>()?;
        // Written in another way.
        if !versioned && segments.first().is_some_and(|first| first == "v1") {
            versioned = true;
            segments.remove(0);
        }
        Ok(Self {
            versioned,
            segments,
            has_slash: path.ends_with('/'),
        })
    }

    /// `/` and `/v1`, which anybody may ask for.
    pub fn is_root(&self) -> bool {
        self.segments.is_empty()
    }

    /// `/` itself.
    pub fn is_top(&self) -> bool {
        self.segments.is_empty() && !self.versioned
    }

    /// What ramdisks ask for, who have no credentials.
    pub fn is_ramdisks(&self) -> bool {
        self.segments.first().is_some_and(|first| {
            ["lookup", "heartbeat", "continue_inspection"].contains(&first.as_str())
        })
    }

    pub(super) fn ends_in_dots(&self) -> bool {
        self.segments.last().is_some_and(|last| is_way_up(last))
    }

    /// The same without `.json`, which Ironic takes off the end of the whole path (`middleware/json_ext.py`).
    pub(super) fn without_suffix(mut self) -> Option<Self> {
        match self.segments.last_mut() {
            Some(last) => {
                let stripped = last.strip_suffix(SUFFIX)?;
                if stripped.is_empty() {
                    self.segments.pop();
                } else {
                    stripped.to_owned().clone_into(last);
                }
            }
            None => return None,
        }
        // `/v1.json`
        if !self.versioned && self.segments.first().is_some_and(|first| first == "v1") {
            self.versioned = true;
            self.segments.remove(0);
        }
        Some(self)
    }
}

/// Whether this text, encoded, is one segment of a path and no way up, whoever reads it on its way: web servers decode
/// segments, take dots away and cut at `;`, some of them twice.
pub fn is_segment(text: &str) -> bool {
    !is_way_up(text) && !text.is_empty() && !text.contains(';') && is_readable(text)
}

/// The same of each segment of a path as it is sent.
pub fn is_straight(path: &str) -> bool {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    path.is_empty() || path.split('/').all(|raw| decode(raw).is_ok())
}

fn is_readable(text: &str) -> bool {
    !text.contains(['/', '%']) && !text.chars().any(char::is_control)
}

fn decode(raw: &str) -> Result<Cow<'_, str>, PathError> {
    // Nearly all are names and UUIDs: to look at their bytes once costs a fifth of what follows.
    if is_plain(raw) {
        return Ok(raw.into());
    }
    let unreadable = || PathError::Unreadable(raw.to_owned());
    if !is_percent_encoded(raw) {
        return Err(unreadable());
    }
    let segment = percent_decode_str(raw)
        .decode_utf8()
        .map_err(|_| unreadable())?;
    if !is_readable(&segment) {
        return Err(unreadable());
    }
    if !is_segment(&segment) {
        return Err(PathError::NotFound);
    }
    Ok(segment)
}

/// Whether it stands for itself whatever else is asked of a segment.
fn is_plain(raw: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !raw.is_empty() && raw.bytes().all(is_plain)
}
