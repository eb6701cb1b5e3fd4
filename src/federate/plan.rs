//! What becomes of a request: it is answered here, or goes to one location.

use crate::config::LocationId;
use crate::locate::Source;
use crate::locate::directory::Key;
use crate::request::Answer;

/// What to do next.
#[derive(Debug)]
pub enum Plan {
    /// It is answered.
    Answer(Answer),
    /// It goes to one location, through Pingora's proxy.
    Forward(Forward),
}

/// A request for one location.
#[derive(Debug)]
pub struct Forward {
    pub location: LocationId,
    /// Path and query to send.
    pub path: String,
    /// What it is about, if that may turn out to be elsewhere.
    pub key: Option<Key>,
    pub source: Source,
}
