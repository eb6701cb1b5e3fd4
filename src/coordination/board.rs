//! Texts by name that all gateways see, such as the states of locations. The newest counts, whoever wrote it.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::coordination::Away;
use crate::coordination::Backend;

/// Keeps the newest, whatever nonsense was there, and counts changes, so that readers see with one question that there are none.
const PIN: &str = "
local known = redis.call('HGET', KEYS[1], ARGV[1])
local at = known and tonumber(string.match(known, '^%d+'))
if at and at >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
return redis.call('INCR', KEYS[2])";

/// A text, and when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub at: Timestamp,
    pub text: String,
}

/// What was there when it was read last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edition(Option<i64>);

impl Backend {
    /// Writes a text, unless there is a newer one.
    ///
    /// # Errors
    /// It was not written.
    pub async fn pin(&self, board: &str, name: &str, note: &Note) -> Result<(), Away> {
        let mut command = redis::cmd("EVAL");
        command
            .arg(PIN)
            .arg(2)
            .arg(self.key(board))
            .arg(self.key(&format!("{board}:edition")))
            .arg(name)
            .arg(note.at.as_microsecond())
            .arg(&note.text);
        self.told::<i64>(&command).await.map(drop)
    }

    /// Those of `names` that there are. `None`: nothing has changed since `edition`.
    ///
    /// # Errors
    /// They could not be read.
    pub async fn read(
        &self,
        board: &str,
        names: &[&str],
        edition: &mut Edition,
    ) -> Result<Option<HashMap<String, Note>>, Away> {
        // Read before the texts: what is written in between is read again, never missed.
        let now: Option<i64> = self
            .told(redis::cmd("GET").arg(self.key(&format!("{board}:edition"))))
            .await?;
        // A backend that lost its memory begins anew, and is told again.
        let now = Some(now.unwrap_or(-1));
        if edition.0 == now || names.is_empty() {
            return Ok(None);
        }
        // By name and not all: who writes something else there does not fill our memory.
        let texts: Vec<Option<String>> = self
            .told(redis::cmd("HMGET").arg(self.key(board)).arg(names))
            .await?;
        let noted = names.iter().zip(texts);
        let found = noted.filter_map(|(name, text)| Some(((*name).to_owned(), note(&text?)?)));
        let found = found.collect();
        edition.0 = now;
        Ok(Some(found))
    }
}

/// `None`: it was not written by a gateway.
fn note(text: &str) -> Option<Note> {
    let (at, text) = text.split_once(' ')?;
    Some(Note {
        at: Timestamp::from_microsecond(at.parse().ok()?).ok()?,
        text: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gateways_write() {
        let written = Note {
            at: Timestamp::UNIX_EPOCH,
            text: "{\"a\": 1}".to_owned(),
        };
        assert_eq!(note("0 {\"a\": 1}"), Some(written));
        for other in [
            "",
            "0",
            "x y",
            "99999999999999999999 {}",
            "999999999999999999 {}",
        ] {
            assert_eq!(note(other), None, "{other}");
        }
    }
}
