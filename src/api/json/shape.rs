//! Objects of one list resemble each other.

use crate::api::json::Heeded;
use crate::api::json::Key;
use crate::api::json::Malformed;
use crate::api::json::Reader;
use crate::api::json::Span;
use crate::api::json::offset;
use crate::api::json::text;

/// Where the members of the object before are, and what its reader made of each: objects of one list have the same members
/// in the same order, and say mostly the same. What was understood once is compared, not read again, which is a third of
/// what splitting a list took. Safe, since equal bytes have the same meaning.
#[derive(Clone, Debug)]
pub struct Shape<R> {
    heeded: Heeded,
    known: Vec<Known<R>>,
    /// How many of them at most.
    room: usize,
    /// Where the object before was: deeper, its bytes could be nested too deeply.
    depth: u32,
}

/// One member of the object before.
#[derive(Clone, Copy, Debug)]
struct Known<R> {
    /// What is before its opening quote belongs to it.
    start: u32,
    /// Of its name, the colon, and what is between that and the value.
    name: u32,
    /// What is before the opening quote.
    quote: u32,
    /// `None`: its value is passed over.
    role: Option<R>,
}

/// Bytes that are the same as in the object before, so many bytes away. They are found once, though members with a role
/// may stand between them: else all that follows was compared anew behind each.
#[derive(Clone, Copy, Debug, Default)]
struct Alike {
    shift: u32,
    until: u32,
}

impl<R> Shape<R> {
    /// Of the objects of a list. Ironic's have less than a hundred members.
    pub fn of_many(heeded: Heeded) -> Self {
        Self {
            heeded,
            known: Vec::new(),
            room: 256,
            depth: 0,
        }
    }

    /// Of an object that no other follows: nothing is remembered.
    pub fn of_one(heeded: Heeded) -> Self {
        Self {
            heeded,
            known: Vec::new(),
            room: 0,
            depth: 0,
        }
    }
}

impl<'a> Reader<'a> {
    /// [`members`](Self::members) of an object that may resemble the one before. `role`: what a name that is heeded stands
    /// for; `member` is called with that and with where the name is. All others are passed over.
    pub fn members_like<R: Copy>(
        &mut self,
        shape: &mut Shape<R>,
        role: impl Fn(&Key<'a>) -> R,
        mut member: impl FnMut(&mut Self, u32, R) -> Result<(), Malformed>,
    ) -> Result<Span, Malformed> {
        let start = self.open(b'{')?;
        if self.token()? == b'}' {
            return Ok(self.close(start));
        }
        if shape.depth != self.depth {
            shape.known.clear();
            shape.depth = self.depth;
        }
        let mut place = 0;
        let mut alike = Alike::default();
        loop {
            let same = if shape.room == 0 {
                self.pass(shape.heeded);
                0
            } else {
                self.pass_like(&mut shape.known, &mut place, &mut alike)
            };
            let begin = offset(self.at);
            let known = shape.known.get(place).copied();
            let this = if let Some(known) = known.filter(|known| same >= known.name) {
                self.at += known.name as usize;
                Known {
                    start: begin,
                    ..known
                }
            } else {
                let key = self.name()?;
                // An escaped name does not begin with its first letter.
                let is_heeded = key.escaped || shape.heeded.has(key.raw);
                Known {
                    start: begin,
                    name: offset(self.at) - begin,
                    quote: key.start - begin,
                    role: is_heeded.then(|| role(&key)),
                }
            };
            match this.role {
                Some(role) => member(self, begin + this.quote, role)?,
                None => self.skip_value()?,
            }
            match shape.known.get_mut(place) {
                Some(known) => *known = this,
                None if place < shape.room => shape.known.push(this),
                None => {}
            }
            place += 1;
            if !self.separator(b'}')? {
                break;
            }
        }
        // All that is known is of one object, so that a member ends where the next one begins.
        shape.known.truncate(place);
        Ok(self.close(start))
    }

    /// Passes over members without a role that are the same as in the object before, from the one at `place` on. How many
    /// bytes behind them are the same, too, up to the name of the last one.
    fn pass_like<R>(
        &mut self,
        known: &mut [Known<R>],
        place: &mut usize,
        alike: &mut Alike,
    ) -> u32 {
        let known = known.get_mut(*place..).unwrap_or_default();
        let (Some(first), Some(last)) = (known.first(), known.last()) else {
            return 0;
        };
        let (from, begin) = (first.start, offset(self.at));
        if alike.shift != begin - from || alike.until < begin {
            // Where the last one ends is not known.
            let earlier = Span::new(from, last.start + last.name).of(self.body);
            let rest = self.body.get(self.at..).unwrap_or_default();
            *alike = Alike {
                shift: begin - from,
                until: begin + offset(text::common(rest, earlier)),
            };
        }
        let same = alike.until - begin;
        let mut passed = 0;
        for index in 1..known.len() {
            let end = known[index].start - from;
            let before = &mut known[index - 1];
            if end > same || before.role.is_some() {
                break;
            }
            before.start = begin + passed;
            passed = end;
            *place += 1;
        }
        self.at += passed as usize;
        same - passed
    }
}
