//! Asks the running gateway through its admin socket.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use log::warn;
use serde_json::Value;
use thiserror::Error;

use crate::command::terminal::Format;
use crate::config::Config;
use crate::config::SocketOption;
use crate::config::Source;
use crate::config::Sources;
use crate::config::Whereabouts;
use crate::config::default_socket;
use crate::config::runtime_socket;

/// Longer than the admin listener takes at most to ask all locations.
const PATIENCE: Duration = Duration::from_mins(1);

/// Which gateway to ask, and the format of the output.
#[derive(Debug, Clone, Default, Args, PartialEq, Eq)]
pub struct Where {
    /// Admin socket of the gateway; default: the one in the configuration.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum SocketError {
    #[error("no gateway answers at {path}: {source}", path = .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("what answers at {path} is not a gateway", path = .path.display())]
    Foreign { path: PathBuf },
}

impl SocketError {
    /// Whether nobody is there.
    pub fn is_absence(&self) -> bool {
        match self {
            Self::Io { source, .. } => is_nobody(source),
            Self::Foreign { .. } => false,
        }
    }
}

/// Any other error may be somebody's who does not let us in.
fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

/// Below `state_path`: where the gateway answers that runs.
const NOTE: &str = "admin.socket";

/// Notes for commands to come where this gateway answers: the file may say something else by then, and a reload does not
/// change it.
pub fn note(config: &Config) {
    let note = config.state_path.join(NOTE);
    let noted = match config.admin.served() {
        Some(socket) => fs::create_dir_all(&config.state_path)
            .and_then(|()| fs::write(&note, socket.as_os_str().as_bytes())),
        None => match fs::remove_file(&note) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    };
    if let Err(error) = noted {
        warn!(
            "{}: {error}: commands will not find this gateway by itself once [admin] socket is another one in the file",
            note.display()
        );
    }
}

/// Whom a command asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gateway {
    /// Who was named, or was found.
    At(PathBuf),
    /// There is none: it would be there.
    Absent(PathBuf),
}

impl Gateway {
    /// The gateway of `sources`, unless another one is named. They need not be valid: it may have begun with better ones.
    /// `typed` are those of them that were typed.
    pub fn find(named: &Where, typed: &[Source], sources: &Sources) -> Self {
        if let Some(socket) = &named.socket {
            return Self::At(socket.clone());
        }
        let Whereabouts { socket, state_path } = Whereabouts::read(sources, env::vars_os());
        // Who does not say otherwise has the default one. Who types a file that cannot be read may well mean another.
        let may_be_default = socket == SocketOption::Unset || typed.is_empty();
        let own = match socket {
            SocketOption::At(socket) => Some(socket),
            SocketOption::Unset | SocketOption::Unknown => runtime_socket(),
        };
        let noted = state_path.as_deref().and_then(noted);
        let default = (own.is_none() && may_be_default).then(default_socket);
        let places = own.iter().chain(&noted).chain(&default);
        let mut looked = places.map(|socket| (socket, UnixStream::connect(socket)));
        // Why we are not let in is told when that one is asked.
        let mut closed = None;
        let open = looked.find_map(|(socket, answer)| match answer {
            Ok(_) => Some(socket),
            Err(error) if is_nobody(&error) => None,
            Err(_) => {
                closed.get_or_insert(socket);
                None
            }
        });
        match open.or(closed) {
            Some(socket) => Self::At(socket.clone()),
            None => Self::Absent(own.unwrap_or_else(default_socket)),
        }
    }

    pub fn socket(self) -> PathBuf {
        match self {
            Self::At(socket) | Self::Absent(socket) => socket,
        }
    }
}

/// Where the gateway that keeps its state there answers, or answered.
fn noted(state_path: &Path) -> Option<PathBuf> {
    let noted = fs::read(state_path.join(NOTE)).ok()?;
    Some(PathBuf::from(OsString::from_vec(noted)))
}

/// What the gateway said.
#[derive(Debug, PartialEq)]
pub struct Said {
    pub status: u16,
    pub document: Value,
}

impl Said {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The error in the gateway's own words.
    pub fn error(&self) -> String {
        match self.document.get("error").and_then(Value::as_str) {
            Some(error) => error.to_owned(),
            None => format!("it answers {}", self.status),
        }
    }
}

/// One exchange.
pub fn ask(
    socket: &Path,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Said, SocketError> {
    let failed = |source| SocketError::Io {
        path: socket.to_owned(),
        source,
    };
    let answer = exchange(socket, method, path, body).map_err(failed)?;
    read(&answer).ok_or_else(|| SocketError::Foreign {
        path: socket.to_owned(),
    })
}

fn exchange(socket: &Path, method: &str, path: &str, body: Option<&Value>) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    // `Connection: close` lets the client read to the end instead of parsing Content-Length or chunks.
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// The connection ends with the answer, so everything after its head is its body.
fn read(answer: &[u8]) -> Option<Said> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let document = serde_json::from_slice(&answer[end + 4..]).ok()?;
    Some(Said { status, document })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_a_head_and_a_document() {
        for (answer, expected) in [
            (
                "HTTP/1.1 200 OK\r\na: b\r\n\r\n{\"a\": 1}\n",
                Some((200, json!({"a": 1}))),
            ),
            ("HTTP/1.1 404 Not Found\r\n\r\n{}", Some((404, json!({})))),
            ("HTTP/1.1 200 OK\r\n\r\n<html>", None),
            ("HTTP/1.1 200 OK\r\n", None),
            ("220 mail\r\n\r\n{}", None),
        ] {
            let said = read(answer.as_bytes()).map(|said| (said.status, said.document));
            assert_eq!(said, expected, "{answer}");
        }
    }
}
