//! The state file: where things were and which versions the locations had. It is written in full beside the old file
//! and renamed. Its last line counts the others, so that an incomplete file is recognised.

use std::collections::HashMap;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::BufWriter;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use thiserror::Error;

use crate::api::collection::Collection;
use crate::api::microversion::VersionRange;
use crate::locate::Locator;
use crate::locations::Locations;
use crate::locations::speech::Standing;

/// Bumped when lines change their meaning; a file of another format is no use.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Format(u32),
    Location {
        name: String,
        range: VersionRange,
        base: Option<String>,
    },
    /// Collection path, UUID, name, location.
    Known(String, String, Option<String>, String),
    End {
        lines: usize,
    },
}

/// Why a state file is of no use.
#[derive(Debug, Error)]
pub enum StateError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is damaged")]
    Damaged { path: PathBuf },
}

fn file(state_path: &Path) -> PathBuf {
    state_path.join("directory.jsonl")
}

/// Writes everything that is known.
pub fn save(state_path: &Path, locations: &Locations, locator: &Locator) -> Result<(), StateError> {
    let path = file(state_path);
    let temporary = path.with_extension("new");
    let written = (|| {
        fs::create_dir_all(state_path)?;
        // Left by a process that was killed while writing; `create_new` would fail on it.
        let _ = fs::remove_file(&temporary);
        // Readable for the gateway's user only: names of nodes are not public.
        let new = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        let mut out = BufWriter::new(new);
        let mut lines = 0;
        let mut write = |line: &Line| {
            lines += 1;
            serde_json::to_writer(&mut out, line)?;
            out.write_all(b"\n")
        };
        write(&Line::Format(FORMAT))?;
        for location in locations.iter() {
            if let Some(standing) = location.last_standing() {
                write(&Line::Location {
                    name: location.name().to_owned(),
                    range: standing.range,
                    base: standing.base.as_ref().map(|base| base.as_str().to_owned()),
                })?;
            }
        }
        for (collection, uuid, name, location) in locator.known() {
            let uuid = uuid.to_string();
            let name = name.map(|name| name.to_string());
            let location = locations.location(location).name().to_owned();
            write(&Line::Known(
                collection.facts().path.to_owned(),
                uuid,
                name,
                location,
            ))?;
        }
        let end = Line::End { lines };
        serde_json::to_writer(&mut out, &end)?;
        out.write_all(b"\n")?;
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()?;
        // After `sync_all`, since a rename may reach the disk before the data does.
        fs::rename(&temporary, &path)
    })();
    written.map_err(|source| {
        // On a full disk half a file would keep the disk full.
        let _ = fs::remove_file(&temporary);
        StateError::Io { path, source }
    })
}

/// Takes over what was known. A file that is not there is fine; of one that is damaged nothing is taken.
pub fn load(state_path: &Path, locations: &Locations, locator: &Locator) -> Result<(), StateError> {
    let path = file(state_path);
    let mut reader = match File::open(&path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(StateError::Io { path, source }),
    };
    // Read twice: nothing is taken before the last line proves the file complete, and a million entries are not held
    // twice.
    let damaged = || StateError::Damaged { path: path.clone() };
    if !is_whole(&mut reader) {
        return Err(damaged());
    }
    let mut reader = BufReader::new(File::open(&path).map_err(|source| StateError::Io {
        path: path.clone(),
        source,
    })?);
    let ids: HashMap<&str, _> = locations
        .iter()
        .map(|location| (location.name(), location.id))
        .collect();
    let paths: HashMap<&str, _> = Collection::ALL
        .into_iter()
        .map(|collection| (collection.facts().path, collection))
        .collect();
    each_line(&mut reader, |_, line| {
        match line {
            Line::Location { name, range, base } => {
                if let Some(id) = ids.get(name.as_str()) {
                    let base = base.and_then(|base| crate::api::link::Base::parse(&base).ok());
                    locations.learn(*id, Standing { range, base });
                }
            }
            Line::Known(collection, uuid, name, location) => {
                if let (Some(collection), Some(location)) =
                    (paths.get(collection.as_str()), ids.get(location.as_str()))
                {
                    // Learnt as merely seen: names may have been taken elsewhere while the gateway was down.
                    locator.learn(*collection, Some(&uuid), name.as_deref(), *location);
                }
            }
            Line::Format(_) | Line::End { .. } => {}
        }
        true
    })
    .ok_or_else(damaged)
}

/// Whether this is a state file from its first line to its last.
pub fn is_whole(reader: &mut impl BufRead) -> bool {
    let mut ended = false;
    let read = each_line(reader, |number, line| {
        match line {
            Line::Format(FORMAT) if number == 0 => {}
            Line::Location { .. } | Line::Known(..) if number > 0 && !ended => {}
            Line::End { lines } if lines == number => ended = true,
            _ => return false,
        }
        true
    });
    read.is_some() && ended
}

/// `None`: a line is unreadable, or `take` does not take it.
fn each_line(reader: &mut impl BufRead, mut take: impl FnMut(usize, Line) -> bool) -> Option<()> {
    let mut text = String::new();
    let mut number = 0;
    while reader.read_line(&mut text).ok()? > 0 {
        if !take(number, serde_json::from_str(&text).ok()?) {
            return None;
        }
        number += 1;
        text.clear();
    }
    Some(())
}
