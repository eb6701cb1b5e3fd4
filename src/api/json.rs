//! JSON without trees: the contents of a document as byte offsets into it.
//!
//! A [`Reader`] walks a document once, checks every byte and returns [`Span`]s. Nothing is decoded unless asked for,
//! so numbers, key order, escapes and whitespace of what is passed on stay unchanged.
//!
//! The grammar is RFC 8259 plus what Python adds when it writes: Ironic stores and returns `NaN`, `Infinity`,
//! `-Infinity` and lone surrogates (`"\ud800"`) in fields like `extra`, and one such node must not make its whole
//! location unreadable.

use std::borrow::Cow;
use std::collections::HashMap;

pub mod shape;
mod text;

#[cfg(test)]
pub(crate) mod random;

/// How deep objects and lists may be nested. Ironic refuses more than 25 from its clients; what it adds itself
/// (lists, inventories) stays far below this.
pub const MAX_DEPTH: u32 = 64;

/// Why a body is not the JSON it should be. Offsets count bytes from the start of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("broken JSON at byte {0}")]
    Syntax(u32),
    #[error("JSON is cut off")]
    CutOff,
    #[error("text is not UTF-8")]
    Encoding,
    #[error("JSON is nested deeper than {MAX_DEPTH} levels")]
    Depth,
    #[error("body of 4 GiB or more")]
    Size,
    #[error("no list under the expected key")]
    List,
    /// Of what is judged: nobody could say which of the two is meant.
    #[error("a member is repeated at byte {0}")]
    Repeated(u32),
}

/// A part of a body: byte offsets, end excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(start: u32, end: u32) -> Self {
        Self { start, end }
    }

    /// The bytes this span names. `body` must be the body that the span was read from: of another body they are
    /// others or none.
    pub fn of(self, body: &[u8]) -> &[u8] {
        body.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// No JSON value is empty, so an empty span stands for a missing one.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// Walks one document, each byte once.
///
/// The caller names what it expects ([`members`](Self::members), [`elements`](Self::elements),
/// [`string`](Self::string)) or takes a value whole ([`value`](Self::value)), and calls [`end`](Self::end) last:
/// only then is the whole body known to be JSON.
#[derive(Debug)]
pub struct Reader<'a> {
    body: &'a [u8],
    at: usize,
    depth: u32,
    /// Whether control characters are somewhere in the document.
    has_controls: bool,
}

/// The name of a member.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// As it is spelt, without the quotes.
    raw: &'a [u8],
    escaped: bool,
    /// Where its opening quote is.
    pub start: u32,
}

/// Names of members that mean something to a reader, and some that look alike: a bit for what begins with the same letter
/// and is as long. Most names are told from them without being compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heeded(u64);

impl Heeded {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(u64::MAX);

    #[must_use]
    pub fn with(self, name: &str) -> Self {
        Self(self.0 | 1 << Self::place(name.as_bytes()))
    }

    fn has(self, name: &[u8]) -> bool {
        self.0 >> Self::place(name) & 1 == 1
    }

    fn place(name: &[u8]) -> usize {
        let first = name.first().copied().unwrap_or_default();
        (usize::from(first) * 5 + name.len()) % 64
    }
}

/// A string as it was found.
#[derive(Clone, Copy, Debug)]
pub struct Quoted {
    /// With the quotes.
    pub span: Span,
    /// Whether a backslash is inside.
    pub escaped: bool,
}

/// What a value is, told by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Object,
    List,
    String,
    /// Numbers, `true`, `false`, `null`.
    Scalar,
}

impl<'a> Key<'a> {
    #[inline]
    pub fn is(&self, name: &str) -> bool {
        if self.escaped {
            *self.name() == *name.as_bytes()
        } else {
            self.raw == name.as_bytes()
        }
    }

    /// The name itself; empty if it is one that no Rust string can hold.
    #[inline]
    pub fn name(&self) -> Cow<'a, [u8]> {
        if self.escaped {
            Cow::Owned(self.decoded())
        } else {
            Cow::Borrowed(self.raw)
        }
    }

    #[cold]
    fn decoded(&self) -> Vec<u8> {
        let quoted = [b"\"", self.raw, b"\""].concat();
        let name: String = serde_json::from_slice(&quoted).unwrap_or_default();
        name.into_bytes()
    }
}

impl<'a> Reader<'a> {
    pub fn new(body: &'a [u8]) -> Result<Self, Malformed> {
        if u32::try_from(body.len()).is_err() {
            return Err(Malformed::Size);
        }
        let has_controls = text::has_controls(body).map_err(|_| Malformed::Encoding)?;
        Ok(Self {
            body,
            at: 0,
            depth: 0,
            has_controls,
        })
    }

    /// A reader of a value that was read before, as a part of a document.
    pub fn again(value: &'a [u8]) -> Self {
        Self {
            body: value,
            at: 0,
            depth: 0,
            has_controls: false,
        }
    }

    /// The document.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The type of the value that comes next.
    pub fn peek(&mut self) -> Result<Type, Malformed> {
        Ok(match self.token()? {
            b'{' => Type::Object,
            b'[' => Type::List,
            b'"' => Type::String,
            _ => Type::Scalar,
        })
    }

    /// Reads an object. `member` is called with each key and must read exactly its value.
    pub fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, Key<'a>) -> Result<(), Malformed>,
    ) -> Result<Span, Malformed> {
        let start = self.open(b'{')?;
        if self.token()? != b'}' {
            loop {
                let key = self.name()?;
                member(self, key)?;
                if !self.separator(b'}')? {
                    break;
                }
            }
        }
        Ok(self.close(start))
    }

    /// Passes over members that nobody heeds, as long as they are short and written as Python writes them, up to where
    /// another one begins. What is not found to be so is read as all else is.
    fn pass(&mut self, heeded: Heeded) {
        if !self.is_ordinary() {
            return;
        }
        let mut rest = self.body.get(self.at..).unwrap_or_default();
        while let Some((name, value)) = name_of(rest)
            && !heeded.has(name)
            && let Some(length) = brief(value)
            && let Some([b',', behind @ ..]) = value.get(length..)
        {
            rest = behind;
        }
        self.at = self.body.len() - rest.len();
    }

    /// Reads a list. `element` is called before each element and must read exactly that.
    pub fn elements(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<Span, Malformed> {
        let start = self.open(b'[')?;
        if self.token()? != b']' {
            loop {
                element(self)?;
                if !self.separator(b']')? {
                    break;
                }
            }
        }
        Ok(self.close(start))
    }

    #[inline]
    pub fn string(&mut self) -> Result<Quoted, Malformed> {
        if self.token()? != b'"' {
            return Err(self.wrong());
        }
        let start = self.at;
        let escaped = self.skip_string()?;
        Ok(Quoted {
            span: self.since(start),
            escaped,
        })
    }

    /// Does what is usual, or nothing: what is not found to be so is to be read as all else is.
    pub(crate) fn attempt<T>(&mut self, usual: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if !self.is_ordinary() {
            return None;
        }
        let at = self.at;
        let done = usual(self);
        if done.is_none() {
            self.at = at;
        }
        done
    }

    /// Moves behind these very bytes, within an [`attempt`](Self::attempt).
    #[inline]
    pub(crate) fn literally<const N: usize>(&mut self, text: &[u8; N]) -> Option<Span> {
        let rest = self.body.get(self.at..)?;
        (rest.first_chunk() == Some(text)).then(|| self.moved(N))
    }

    /// A string that begins with `known` and ends near, within an [`attempt`](Self::attempt). `known` holds neither
    /// escapes nor control characters.
    #[inline]
    pub(crate) fn string_like(&mut self, known: &str) -> Option<Quoted> {
        let [b'"', text @ ..] = self.body.get(self.at..)? else {
            return None;
        };
        let behind = text.strip_prefix(known.as_bytes())?;
        let length = text::near_end::<64>(behind)?;
        Some(Quoted {
            span: self.moved(known.len() + length + 2),
            escaped: false,
        })
    }

    /// Reads any value whole.
    #[inline]
    pub fn value(&mut self) -> Result<Span, Malformed> {
        self.token()?;
        let start = self.at;
        self.skip_value()?;
        Ok(self.since(start))
    }

    /// Checks that nothing but blanks is left.
    pub fn end(mut self) -> Result<(), Malformed> {
        match self.token() {
            Err(Malformed::CutOff) => Ok(()),
            _ => Err(self.wrong()),
        }
    }

    // What follows moves `at` over single tokens.

    /// Skips blanks and looks at the byte after them.
    #[inline]
    fn token(&mut self) -> Result<u8, Malformed> {
        // Python writes one blank or none.
        match self.body.get(self.at..) {
            Some([byte, ..]) if *byte > b' ' => Ok(*byte),
            Some([b' ', byte, ..]) if *byte > b' ' => {
                self.at += 1;
                Ok(*byte)
            }
            _ => self.token_behind(),
        }
    }

    /// The same behind any number of blanks.
    #[inline(never)]
    fn token_behind(&mut self) -> Result<u8, Malformed> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        let blanks = rest.iter().take_while(is_blank).count();
        self.at += blanks;
        rest.get(blanks).copied().ok_or(Malformed::CutOff)
    }

    fn open(&mut self, bracket: u8) -> Result<usize, Malformed> {
        if self.token()? != bracket {
            return Err(self.wrong());
        }
        if self.depth == MAX_DEPTH {
            return Err(Malformed::Depth);
        }
        self.depth += 1;
        self.at += 1;
        Ok(self.at - 1)
    }

    fn close(&mut self, start: usize) -> Span {
        self.depth -= 1;
        self.at += 1;
        self.since(start)
    }

    fn key(&mut self) -> Result<Key<'a>, Malformed> {
        let Quoted { span, escaped } = self.string()?;
        self.colon()?;
        Ok(Key {
            raw: Span::new(span.start + 1, span.end - 1).of(self.body),
            escaped,
            start: span.start,
        })
    }

    /// A key, and what is between it and the value.
    #[inline]
    fn name(&mut self) -> Result<Key<'a>, Malformed> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        if !self.has_controls
            && let Some((raw, value)) = name_of(rest)
        {
            self.at = self.body.len() - value.len();
            return Ok(Key {
                raw,
                escaped: false,
                start: offset(self.at - raw.len() - 4),
            });
        }
        let key = self.key()?;
        self.token()?;
        Ok(key)
    }

    fn colon(&mut self) -> Result<(), Malformed> {
        if self.token()? != b':' {
            return Err(self.wrong());
        }
        self.at += 1;
        Ok(())
    }

    /// Is there one more after this one?
    #[inline]
    fn separator(&mut self, bracket: u8) -> Result<bool, Malformed> {
        match self.token()? {
            b',' => {
                self.at += 1;
                Ok(true)
            }
            byte if byte == bracket => Ok(false),
            _ => Err(self.wrong()),
        }
    }

    /// Whether nothing but the bytes themselves has to be looked at: an empty object is one level more.
    fn is_ordinary(&self) -> bool {
        !self.has_controls && self.depth < MAX_DEPTH
    }

    #[inline]
    fn skip_value(&mut self) -> Result<(), Malformed> {
        let first = self.token()?;
        let rest = self.body.get(self.at..).unwrap_or_default();
        match brief(rest) {
            Some(length) if self.is_ordinary() => {
                self.at += length;
                Ok(())
            }
            _ => self.skip_from(first),
        }
    }

    /// Moves behind a value, at whose first byte it is.
    fn skip_from(&mut self, first: u8) -> Result<(), Malformed> {
        match first {
            // `open` counts the levels, so this recursion ends at `MAX_DEPTH` whatever a location sends.
            b'{' => self.skip_object(),
            b'[' => self.elements(Self::skip_value).map(drop),
            b'"' => self.skip_string().map(drop),
            _ => self.skip_scalar(),
        }
    }

    fn skip_object(&mut self) -> Result<(), Malformed> {
        let start = self.open(b'{')?;
        if self.token()? != b'}' {
            loop {
                self.pass(Heeded::NONE);
                self.name()?;
                self.skip_value()?;
                if !self.separator(b'}')? {
                    break;
                }
            }
        }
        self.close(start);
        Ok(())
    }

    /// Moves behind a string; whether there was an escape in it.
    #[inline]
    fn skip_string(&mut self) -> Result<bool, Malformed> {
        self.at += 1;
        let rest = self.body.get(self.at..).unwrap_or_default();
        if !self.has_controls
            && let Some(length) = text::near_end::<24>(rest)
        {
            self.at += length + 1;
            return Ok(false);
        }
        self.skip_to_end()
    }

    /// The same of a string that is long, or holds what is to be looked at.
    // Within `skip_string` it would make that save registers which most strings do not need.
    #[inline(never)]
    fn skip_to_end(&mut self) -> Result<bool, Malformed> {
        let mut escaped = false;
        loop {
            let rest = self.body.get(self.at..).unwrap_or_default();
            self.at += if self.has_controls {
                text::plain_length(rest)
            } else {
                memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len())
            };
            match self.body.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    self.skip_escape()?;
                    escaped = true;
                }
                _ => return Err(self.wrong()),
            }
        }
    }

    fn skip_escape(&mut self) -> Result<(), Malformed> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        match rest {
            [
                b'\\',
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                ..,
            ] => self.at += 2,
            [b'\\', b'u', a, b, c, d, ..]
                if [a, b, c, d].iter().all(|byte| byte.is_ascii_hexdigit()) =>
            {
                self.at += 6;
            }
            _ => return Err(self.wrong()),
        }
        Ok(())
    }

    fn skip_scalar(&mut self) -> Result<(), Malformed> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let length = scalar_length(rest).ok_or_else(|| self.wrong())?;
        self.at += length;
        Ok(())
    }

    fn wrong(&self) -> Malformed {
        if self.at < self.body.len() {
            Malformed::Syntax(offset(self.at))
        } else {
            Malformed::CutOff
        }
    }

    fn moved(&mut self, length: usize) -> Span {
        let start = self.at;
        self.at += length;
        self.since(start)
    }

    fn since(&self, start: usize) -> Span {
        Span::new(offset(start), offset(self.at))
    }
}

/// The strings that a one-object body holds at its top under `names`, decoded; `None` where the member is
/// missing or no string. Of repeated members the last counts, as in Python.
pub fn strings<'a, const N: usize>(
    body: &'a [u8],
    names: [&str; N],
) -> Result<[Option<Cow<'a, str>>; N], Malformed> {
    raw_members(body, names).map(|found| found.map(|raw| raw.and_then(decode)))
}

/// The same undecoded, whatever kind of value a member is.
pub fn raw_members<'a, const N: usize>(
    body: &'a [u8],
    names: [&str; N],
) -> Result<[Option<&'a [u8]>; N], Malformed> {
    let mut reader = Reader::new(body)?;
    let mut found = [None; N];
    reader.members(|reader, key| {
        let value = reader.value()?.of(body);
        if let Some(index) = names.iter().position(|name| key.is(name)) {
            found[index] = Some(value);
        }
        Ok(())
    })?;
    reader.end()?;
    Ok(found)
}

/// All members of a one-object body, undecoded, by name.
pub fn all_members(body: &[u8]) -> Result<HashMap<Cow<'_, [u8]>, &[u8]>, Malformed> {
    let mut reader = Reader::new(body)?;
    let mut found = HashMap::new();
    reader.members(|reader, key| {
        found.insert(key.name(), reader.value()?.of(body));
        Ok(())
    })?;
    reader.end()?;
    Ok(found)
}

/// Whether `body` is an object, whole, whose member `key` is a list.
pub fn is_list_under(body: &[u8], key: &str) -> bool {
    raw_members(body, [key])
        .is_ok_and(|[found]| found.is_some_and(|raw| raw.first() == Some(&b'[')))
}

/// [`strings`] for a single member.
pub fn member<'a>(body: &'a [u8], name: &str) -> Result<Option<Cow<'a, str>>, Malformed> {
    let [value] = strings(body, [name])?;
    Ok(value)
}

/// What a raw string, quotes included, stands for; `None` if `raw` is another kind of value, or holds a lone
/// surrogate, which no Rust string can.
pub fn decode(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inner = unquoted(raw)?;
    if inner.contains(&b'\\') {
        serde_json::from_slice(raw).ok().map(Cow::Owned)
    } else {
        std::str::from_utf8(inner).ok().map(Cow::Borrowed)
    }
}

/// Whether two values are the same: whatever the order of members and the spelling. Of what Python alone reads only the
/// same bytes are.
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    let tree = |raw| serde_json::from_slice::<serde_json::Value>(raw).ok();
    one == other || tree(one).is_some_and(|one| tree(other) == Some(one))
}

/// Where the first number, text or name stands that Python reads and no tree of ours holds: `1e400`, `NaN`, a lone
/// surrogate. Of what is no JSON at all nothing is said.
pub fn unheld(body: &[u8]) -> Option<u32> {
    fn look(reader: &mut Reader<'_>, found: &mut Option<u32>) -> Result<(), Malformed> {
        match reader.peek()? {
            Type::Object => {
                let members = reader.members(|reader, key| {
                    if key.escaped && key.name().is_empty() {
                        found.get_or_insert(key.start);
                    }
                    look(reader, found)
                });
                members.map(drop)
            }
            Type::List => (reader.elements(|reader| look(reader, found))).map(drop),
            Type::String | Type::Scalar => {
                let span = reader.value()?;
                let raw = span.of(reader.body());
                let is_text = raw.first() == Some(&b'"');
                let is_held = if is_text {
                    decode(raw).is_some()
                } else {
                    serde_json::from_slice::<serde_json::Value>(raw).is_ok()
                };
                if !is_held {
                    found.get_or_insert(span.start);
                }
                Ok(())
            }
        }
    }
    let mut reader = Reader::new(body).ok()?;
    let mut found = None;
    look(&mut reader, &mut found).ok()?;
    reader.end().ok()?;
    found
}

/// `text` as JSON wants it between quotes.
pub fn escape(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted
        .get(1..quoted.len() - 1)
        .unwrap_or_default()
        .to_owned()
}

fn unquoted(raw: &[u8]) -> Option<&[u8]> {
    raw.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// The name of a member as Python writes most, and its value. No control characters are here.
#[inline]
fn name_of(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let ([b' ', b'"', quoted @ ..] | [b'"', quoted @ ..]) = rest else {
        return None;
    };
    let (name, behind) = quoted.split_at_checked(text::near_end::<24>(quoted)?)?;
    match behind {
        [b'"', b':', b' ', value @ ..] => Some((name, value)),
        _ => None,
    }
}

/// How long a value is, if it is a short one.
#[inline]
fn brief(value: &[u8]) -> Option<usize> {
    match value {
        [b'"', quoted @ ..] => Some(text::near_end::<40>(quoted)? + 2),
        [b'{', b'}', ..] | [b'[', b']', ..] => Some(2),
        _ => {
            let (word, behind) = value.split_first_chunk()?;
            match u32::from_le_bytes(*word) {
                NULL | TRUE => Some(4),
                FALSE if behind.first() == Some(&b'e') => Some(5),
                _ => None,
            }
        }
    }
}

const NULL: u32 = u32::from_le_bytes(*b"null");
const TRUE: u32 = u32::from_le_bytes(*b"true");
const FALSE: u32 = u32::from_le_bytes(*b"fals");

fn scalar_length(rest: &[u8]) -> Option<usize> {
    Some(match rest {
        [b'n', b'u', b'l', b'l', ..] | [b't', b'r', b'u', b'e', ..] => 4,
        [b'f', b'a', b'l', b's', b'e', ..] => 5,
        [b'N', b'a', b'N', ..] => 3,
        [b'I', rest @ ..] if rest.starts_with(b"nfinity") => 8,
        [b'-', b'I', rest @ ..] if rest.starts_with(b"nfinity") => 9,
        _ => return number_length(rest),
    })
}

fn number_length(rest: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let tail = rest.get(from..).unwrap_or_default();
        tail.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut at = usize::from(rest.first() == Some(&b'-'));
    at += match (rest.get(at), digits(at)) {
        (_, 0) => return None,
        (Some(b'0'), _) => 1,
        (_, count) => count,
    };
    if rest.get(at) == Some(&b'.') {
        match digits(at + 1) {
            0 => return None,
            count => at += 1 + count,
        }
    }
    if let Some(b'e' | b'E') = rest.get(at) {
        at += 1;
        at += usize::from(matches!(rest.get(at), Some(b'+' | b'-')));
        match digits(at) {
            0 => return None,
            count => at += count,
        }
    }
    Some(at)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "Reader::new refuses bodies that 32 bits cannot count"
)]
pub(crate) fn offset(at: usize) -> u32 {
    at as u32
}

#[cfg(test)]
mod tests;
