//! Asks the running gateway through its admin socket.

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
use crate::config::default_socket;

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

/// Where the gateway of this configuration answers, if it runs; it may have started with another one.
pub fn of(config: &Config) -> PathBuf {
    let named = config.admin.served().unwrap_or_else(default_socket);
    if is_served(&named) {
        return named;
    }
    let noted = fs::read(config.state_path.join(NOTE)).ok();
    let noted = noted.map(|bytes| PathBuf::from(OsString::from_vec(bytes)));
    noted.filter(|socket| is_served(socket)).unwrap_or(named)
}

/// Whether there is somebody.
pub fn is_served(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
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
