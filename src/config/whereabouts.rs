//! Where the gateway of a configuration answers, whatever else is wrong with it.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::options::SCHEMA;
use crate::oslo::reader::Reader;
use crate::oslo::sources::Sources;

/// What `[admin] socket` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketOption {
    At(PathBuf),
    /// It is where gateways are that nobody told otherwise.
    Unset,
    /// That cannot be read.
    Unknown,
}

/// The options that lead to a running gateway. It began with other ones than the file has by now, so that a fault in any
/// other option is no reason not to ask it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    pub socket: SocketOption,
    /// `[DEFAULT] state_path`, if it can be read.
    pub state_path: Option<PathBuf>,
}

impl Whereabouts {
    /// As [`Config::load`](crate::config::Config::load), but of these options only.
    pub fn read<K, V>(sources: &Sources, environment: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let Ok(mut reader) = Reader::open(&SCHEMA, sources, environment) else {
            return Self {
                socket: SocketOption::Unknown,
                state_path: None,
            };
        };
        let socket = match reader.section("admin").path("socket") {
            Ok(Some(socket)) => SocketOption::At(socket),
            Ok(None) => SocketOption::Unset,
            Err(_) => SocketOption::Unknown,
        };
        let state_path = reader.section("DEFAULT").path("state_path");
        Self {
            socket,
            state_path: state_path.ok().flatten(),
        }
    }
}
