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

/// How the members of an object are named, and what its reader makes of each name: objects of one list have the same
/// members in the same order, written the same way. What was understood once is compared, not read again: a third of what
/// splitting a list took. Safe, since equal bytes have the same meaning.
#[derive(Clone, Debug)]
pub struct Shape<R> {
    known: Vec<Naming<R>>,
    /// How many of them at most.
    room: usize,
}

/// One member's name, from what is before it to what is between it and its value.
#[derive(Clone, Copy, Debug)]
struct Naming<R> {
    span: Span,
    /// Where its opening quote is within that.
    quote: u32,
    role: R,
}

impl<R> Shape<R> {
    /// Of the objects of a list. Ironic's have less than a hundred members.
    pub fn of_many() -> Self {
        Self {
            known: Vec::new(),
            room: 256,
        }
    }

    /// Of an object that no other follows: nothing is remembered.
    pub fn of_one() -> Self {
        Self {
            known: Vec::new(),
            room: 0,
        }
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
        std::str::from_utf8(body).map_err(|_| Malformed::Encoding)?;
        Ok(Self {
            body,
            at: 0,
            depth: 0,
            has_controls: has_controls(body),
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
                let key = self.key()?;
                member(self, key)?;
                if !self.separator(b'}')? {
                    break;
                }
            }
        }
        Ok(self.close(start))
    }

    /// [`members`](Self::members) of an object that resembles earlier ones of the same document. `role`: what a name
    /// stands for; `member` is called with that and with where the name is.
    pub fn members_like<R: Copy>(
        &mut self,
        shape: &mut Shape<R>,
        role: impl Fn(&Key<'a>) -> R,
        mut member: impl FnMut(&mut Self, u32, R) -> Result<(), Malformed>,
    ) -> Result<Span, Malformed> {
        let start = self.open(b'{')?;
        if self.token()? != b'}' {
            for place in 0.. {
                let begin = offset(self.at);
                let rest = self.body.get(self.at..).unwrap_or_default();
                let known = shape.known.get(place);
                let naming = match known {
                    Some(known) if rest.starts_with(known.span.of(self.body)) => {
                        self.at += known.span.len();
                        *known
                    }
                    _ => {
                        let key = self.key()?;
                        self.token()?;
                        let naming = Naming {
                            span: Span::new(begin, offset(self.at)),
                            quote: key.start - begin,
                            role: role(&key),
                        };
                        match shape.known.get_mut(place) {
                            Some(known) => *known = naming,
                            None if place < shape.room => shape.known.push(naming),
                            None => {}
                        }
                        naming
                    }
                };
                member(self, begin + naming.quote, naming.role)?;
                if !self.separator(b'}')? {
                    break;
                }
            }
        }
        Ok(self.close(start))
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

    /// Reads any value whole.
    #[inline]
    pub fn value(&mut self) -> Result<Span, Malformed> {
        let first = self.token()?;
        let start = self.at;
        self.skip_from(first)?;
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
        let bytes = self.body;
        while let Some(&byte) = bytes.get(self.at) {
            // One comparison for most: all blanks are below what is printed.
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Ok(byte);
            }
            self.at += 1;
        }
        Err(Malformed::CutOff)
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

    fn colon(&mut self) -> Result<(), Malformed> {
        if self.token()? != b':' {
            return Err(self.wrong());
        }
        self.at += 1;
        Ok(())
    }

    /// Is there one more after this one?
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

    fn skip_value(&mut self) -> Result<(), Malformed> {
        let first = self.token()?;
        self.skip_from(first)
    }

    /// Moves behind a value, at whose first byte it is.
    fn skip_from(&mut self, first: u8) -> Result<(), Malformed> {
        match first {
            // `open` counts the levels, so this recursion ends at `MAX_DEPTH` whatever a location sends.
            b'{' => self.members(|reader, _| reader.skip_value()).map(drop),
            b'[' => self.elements(Self::skip_value).map(drop),
            b'"' => self.skip_string().map(drop),
            _ => self.skip_scalar(),
        }
    }

    /// Moves behind a string; whether there was an escape in it.
    #[inline]
    fn skip_string(&mut self) -> Result<bool, Malformed> {
        self.at += 1;
        let rest = self.body.get(self.at..).unwrap_or_default();
        if !self.has_controls
            && let Some(length) = near_end(rest)
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
                plain_length(rest)
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

/// Python writes none, and then a string need not be searched for them. The branch-free loop is made of vector
/// instructions, a tenth of what the strings cost.
fn has_controls(body: &[u8]) -> bool {
    body.chunks(1 << 10)
        .any(|part| part.iter().fold(u8::MAX, |least, byte| least.min(*byte)) < 0x20)
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The lowest bit that is set marks the first of these eight bytes that is a quote or a backslash; higher ones may be
/// wrong for the borrow.
fn ends(word: u64) -> u64 {
    let quote = word ^ (ONES * 0x22);
    let backslash = word ^ (ONES * 0x5C);
    // Neither differs from the word in the bits that are looked at.
    (quote.wrapping_sub(ONES) | backslash.wrapping_sub(ONES)) & !word & HIGHS
}

/// How long a string is that ends near and has neither an escape nor a control character, as nearly all have. Most end
/// before memchr begins.
#[inline]
fn near_end(rest: &[u8]) -> Option<usize> {
    let near: &[u8; NEAR] = rest.first_chunk()?;
    for (index, word) in near.as_chunks().0.iter().enumerate() {
        let found = ends(u64::from_le_bytes(*word));
        if found != 0 {
            let at = index * 8 + found.trailing_zeros() as usize / 8;
            return (near[at] == b'"').then_some(at);
        }
    }
    None
}

/// As long as most keys of Ironic, and below what most other strings are long.
const NEAR: usize = 24;

/// How many bytes at the start of `rest` stand for themselves inside a string.
fn plain_length(rest: &[u8]) -> usize {
    let mut left = rest;
    while let Some((eight, behind)) = left.split_first_chunk() {
        let word = u64::from_le_bytes(*eight);
        let found = ends(word) | (word.wrapping_sub(ONES * 0x20) & !word & HIGHS);
        if found != 0 {
            return rest.len() - left.len() + found.trailing_zeros() as usize / 8;
        }
        left = behind;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    rest.len() - left.len() + left.iter().position(special).unwrap_or(left.len())
}

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
