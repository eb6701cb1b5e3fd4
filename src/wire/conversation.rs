//! One request and its answer on an open connection (RFC 9112).
//!
//! Written for this one purpose: Pingora's client session parses each head into two maps, copies bodies through a buffer
//! of its own, and has a clock for each step, which cost 25,000 instructions and twenty looks at the clock a request.

use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use std::time::Instant;

use bytes::Buf;
use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use httparse::ParserConfig;
use httparse::Status;
use pingora::protocols::Stream;
use smallvec::SmallVec;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

use crate::api::header::HEEDED;
use crate::wire::budget::Budget;
use crate::wire::budget::Exhausted;
use crate::wire::budget::Held;
use crate::wire::delivery::is_swallowed;
use crate::wire::message::Begun;
use crate::wire::message::Bounds;
use crate::wire::message::Message;
use crate::wire::message::Reply;
use crate::wire::message::Sent;
use crate::wire::reading;
use crate::wire::reading::READ;
use crate::wire::upload::Abandoned;

/// Heads of answers other than the last one (RFC 9110 15.2) that are skipped. Ironic sends at most one.
const MAX_INTERIM: usize = 4;
/// Fields, and bytes, of an answer's head at most.
const FIELDS: usize = 128;
const LARGEST_HEAD: usize = 64 << 10;
/// A part of a body as it is written, and one that is read at a time: the clock measures this much.
const PART: usize = 64 << 10;
const LARGE_PART: usize = 256 << 10;
/// Reserved for a body on the word of its head alone.
const RESERVED: usize = 64 << 20;
/// Bytes of a line that says how long a chunk is, and of all that follows the last one.
const CHUNK_LINE: usize = 4 << 10;

/// Why an exchange did not come to its end.
#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error("nothing was heard in time")]
    Silence,
    #[error("the request's deadline has passed")]
    Deadline,
    #[error("while writing: {0}")]
    Write(io::Error),
    #[error("while reading the head: {0}")]
    Head(io::Error),
    /// The connection ended in place of an answer.
    #[error("closed")]
    Closed,
    #[error("the answer is not HTTP")]
    NotHttp,
    #[error("the answer's body is cut off")]
    CutOff,
    #[error("the answer is too large")]
    TooLarge,
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    #[error(transparent)]
    Abandoned(#[from] Abandoned),
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Kept,
    Closed,
}

/// How the body of an answer ends (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Length(usize),
    Chunks,
    Close,
}

struct Conversation<'s> {
    stream: &'s mut Stream,
    /// Read, but not yet taken.
    read: BytesMut,
    bounds: Bounds,
    /// `None`: the client's own pace does not count.
    deadline: Option<Instant>,
    begun: Option<&'s Begun>,
    /// How long what was written may go without an acknowledgement, until that was looked at.
    unheard: Option<Duration>,
}

/// The head of an answer.
struct Heading {
    status: StatusCode,
    headers: HeaderMap,
    end: End,
    after: After,
}

/// Writes a request and reads the answer. `unheard`: how long what is written may go without an acknowledgement.
pub(super) async fn converse<'s>(
    stream: &'s mut Stream,
    message: Message<'s>,
    bounds: Bounds,
    budget: &Budget,
    unheard: Option<Duration>,
) -> Result<(Reply, After), Fault> {
    let streamed = matches!(message.body, Sent::Streamed(_));
    let mut conversation = Conversation {
        stream,
        read: BytesMut::new(),
        bounds,
        deadline: (!streamed).then_some(bounds.deadline),
        begun: message.begun,
        unheard,
    };
    let method = message.head.method();
    let written = conversation.write(message).await;
    let heading = match written {
        Ok(()) => conversation.heading(method).await?,
        Err(fault @ Fault::Abandoned(_)) => return Err(fault),
        // Who refuses a body before it was sent may close its ears and say why all the same (RFC 9112 9.5).
        Err(fault) => Heading {
            after: After::Closed,
            ..conversation.heading(method).await.map_err(|_| fault)?
        },
    };
    let body = conversation.body(heading.end, budget).await?;
    let after = if conversation.read.is_empty() {
        heading.after
    } else {
        // Whatever that is, it was not asked for.
        After::Closed
    };
    let reply = Reply {
        status: heading.status,
        headers: heading.headers,
        body,
    };
    Ok((reply, after))
}

/// The clock for one wait. Mostly there is nothing to wait for, and then it is not even looked at.
pub(super) async fn within<T>(
    patience: Duration,
    deadline: Option<Instant>,
    work: impl Future<Output = T>,
) -> Result<T, Fault> {
    let mut work = pin!(work);
    if let Poll::Ready(done) = futures_util::poll!(work.as_mut()) {
        return Ok(done);
    }
    let silence = Instant::now() + patience;
    let until = deadline.map_or(silence, |deadline| deadline.min(silence));
    let ended = tokio::time::timeout_at(until.into(), work).await;
    ended.map_err(|_| {
        if until < silence {
            Fault::Deadline
        } else {
            Fault::Silence
        }
    })
}

impl Conversation<'_> {
    async fn write(&mut self, message: Message<'_>) -> Result<(), Fault> {
        let Message { head, body, .. } = message;
        match body {
            Sent::Nothing => self.send(&head.written_with(&[])).await?,
            Sent::Whole(body) => {
                // One system call and one packet for what is small.
                let (first, rest) = body.split_at(body.len().min(READ));
                self.send(&head.written_with(first)).await?;
                for part in rest.chunks(PART) {
                    self.send(part).await?;
                }
            }
            Sent::Streamed(upload) => {
                self.send(&head.written_with(&[])).await?;
                let mut source = upload.begin().await.ok_or(Abandoned)?;
                while let Some(part) = source.next().await? {
                    if upload.length.is_some() {
                        self.send(&part).await?;
                    } else if !part.is_empty() {
                        // An empty chunk would be the last one.
                        let size = format!("{:x}\r\n", part.len());
                        self.send(&[size.as_bytes(), &part, b"\r\n"].concat())
                            .await?;
                    }
                }
                if upload.length.is_none() {
                    self.send(b"0\r\n\r\n").await?;
                }
            }
        }
        within(self.bounds.response, self.deadline, self.stream.flush())
            .await?
            .map_err(Fault::Write)
    }

    async fn send(&mut self, part: &[u8]) -> Result<(), Fault> {
        within(
            self.bounds.response,
            self.deadline,
            self.stream.write_all(part),
        )
        .await?
        .map_err(Fault::Write)
    }

    /// The head of the answer itself.
    async fn heading(&mut self, method: &Method) -> Result<Heading, Fault> {
        let mut interim = 0;
        // Read when it was last parsed in vain.
        let mut tried = 0;
        loop {
            // One that comes byte by byte is parsed again when it may be whole, or is twice as long: else a location could
            // have its 64 KiB parsed as many times.
            let may_be_whole = self.read.len() >= 2 * tried || ends_a_head(&self.read, tried);
            let parsed = if may_be_whole {
                take_head(&mut self.read, method)?
            } else {
                None
            };
            let Some(heading) = parsed else {
                if self.read.len() > LARGEST_HEAD {
                    return Err(Fault::NotHttp);
                }
                if may_be_whole {
                    tried = self.read.len();
                }
                let read = self.hear().await?.map_err(Fault::Head)?;
                if read == 0 {
                    return Err(Fault::Closed);
                }
                if let Some(begun) = self.begun {
                    begun.now();
                }
                continue;
            };
            tried = 0;
            if !heading.status.is_informational() {
                return Ok(heading);
            }
            interim += 1;
            // We never offer an upgrade.
            if heading.status == StatusCode::SWITCHING_PROTOCOLS || interim > MAX_INTERIM {
                return Err(Fault::NotHttp);
            }
        }
    }

    /// More of the head.
    async fn hear(&mut self) -> Result<io::Result<usize>, Fault> {
        let mut patience = self.bounds.response;
        if let Some(unheard) = self.unheard.take().filter(|unheard| *unheard < patience) {
            let reading = reading::more(self.stream, &mut self.read);
            match within(unheard, self.deadline, reading).await {
                // What a black hole swallows on an idle connection is noticed as soon as on a new one.
                Err(Fault::Silence) if is_swallowed(self.stream, unheard) => {
                    return Ok(Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)));
                }
                Err(Fault::Silence) => patience -= unheard,
                heard => return heard,
            }
        }
        let reading = reading::more(self.stream, &mut self.read);
        within(patience, self.deadline, reading).await
    }

    /// The answer has begun: from here on the clock measures the pause between two parts, however long all of them take.
    async fn body(&mut self, end: End, budget: &Budget) -> Result<Bytes, Fault> {
        let mut body = match end {
            End::Length(length) => {
                self.check(length)?;
                if length <= self.read.len() {
                    // All of it came with the head, and is small enough to be free of the budget.
                    return Ok(self.read.split_to(length).freeze());
                }
                // A head may announce any length; what is reserved on its word alone is bounded.
                let mut body = budget.body(length.min(RESERVED));
                self.take(&mut body, length).await?;
                return Ok(body.freeze());
            }
            End::Chunks | End::Close => budget.body(READ),
        };
        if end == End::Chunks {
            loop {
                let size = self.chunk().await?;
                if size == 0 {
                    break;
                }
                self.check(body.len().saturating_add(size))?;
                self.take(&mut body, size).await?;
                if self.line().await? > 0 {
                    return Err(Fault::CutOff);
                }
            }
            // Fields may follow, then an empty line.
            let mut trailer = 0;
            loop {
                match self.line().await? {
                    0 => break,
                    length => trailer += length,
                }
                if trailer > CHUNK_LINE {
                    return Err(Fault::CutOff);
                }
            }
        } else {
            body.extend(&self.read).await?;
            self.read.clear();
            while self.read_into(&mut body, usize::MAX).await? > 0 {
                self.check(body.len())?;
            }
        }
        Ok(body.freeze())
    }

    fn check(&self, size: usize) -> Result<(), Fault> {
        if size > self.bounds.size {
            Err(Fault::TooLarge)
        } else {
            Ok(())
        }
    }

    /// So many further bytes.
    async fn take(&mut self, body: &mut Held, size: usize) -> Result<(), Fault> {
        let here = self.read.len().min(size);
        body.extend(&self.read[..here]).await?;
        self.read.advance(here);
        let mut left = size - here;
        while left > 0 {
            match self.read_into(body, left).await? {
                0 => return Err(Fault::CutOff),
                read => left -= read,
            }
        }
        Ok(())
    }

    /// Straight to where they stay: a list of megabytes is copied once less. 0: the connection ended.
    async fn read_into(&mut self, body: &mut Held, most: usize) -> Result<usize, Fault> {
        // What is reserved grows with what came.
        let most = most.min(body.len().clamp(READ, LARGE_PART));
        let mut room = body.room(most).await?;
        let reading = self.stream.read_buf(&mut room);
        within(self.bounds.silence, self.deadline, reading)
            .await?
            .map_err(|_| Fault::CutOff)
    }

    /// How long the next chunk is.
    async fn chunk(&mut self) -> Result<usize, Fault> {
        loop {
            match httparse::parse_chunk_size(&self.read) {
                Ok(Status::Complete((at, size))) => {
                    self.read.advance(at);
                    return usize::try_from(size).map_err(|_| Fault::TooLarge);
                }
                Ok(Status::Partial) if self.read.len() < CHUNK_LINE => self.more().await?,
                Ok(Status::Partial) | Err(_) => return Err(Fault::CutOff),
            }
        }
    }

    /// Passes over a line; how long it was without its end.
    async fn line(&mut self) -> Result<usize, Fault> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.read) {
                let length = self.read[..end].trim_ascii_end().len();
                self.read.advance(end + 1);
                return Ok(length);
            }
            if self.read.len() > CHUNK_LINE {
                return Err(Fault::CutOff);
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Fault> {
        let reading = reading::more(self.stream, &mut self.read);
        match within(self.bounds.silence, self.deadline, reading).await? {
            Ok(read) if read > 0 => Ok(()),
            Ok(_) | Err(_) => Err(Fault::CutOff),
        }
    }
}

/// Whether an empty line ends behind `tried`: what was before it has been parsed, and was no whole head.
fn ends_a_head(read: &[u8], tried: usize) -> bool {
    let lines = memchr::memchr_iter(b'\n', &read[tried..]).map(|at| tried + at);
    lines
        .into_iter()
        .any(|at| read[..at].ends_with(b"\n") || read[..at].ends_with(b"\n\r"))
}

/// Takes the head off the beginning of what was read; `None`: there is more of it to come. Values are not copied but hold
/// the head, which spares an allocation each. Fields that nobody heeds are left out, and so is what frames the body: whoever
/// changes a body need not think of its length.
fn take_head(read: &mut BytesMut, method: &Method) -> Result<Option<Heading>, Fault> {
    if read.is_empty() {
        return Ok(None);
    }
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let mut config = ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true);
    config.allow_obsolete_multiline_headers_in_responses(true);
    let parsed = config.parse_response_with_uninit_headers(&mut response, read, &mut fields);
    let size = match parsed {
        Ok(Status::Complete(size)) => size,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(Fault::NotHttp),
    };
    let status = response
        .code
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or(Fault::NotHttp)?;
    let is_newest = response.version == Some(1);
    let framing = Framing(response.headers);
    let end = framing.end(method, status)?;
    let after = framing.after(is_newest, end);
    let place = |part: &[u8]| {
        let start = part.as_ptr().addr() - read.as_ptr().addr();
        start..start + part.len()
    };
    // More than most have.
    let mut fields: SmallVec<[(HeaderName, Range<usize>); 8]> = SmallVec::new();
    fields.extend(
        response
            .headers
            .iter()
            .filter_map(|field| Some((heeded(field.name)?, place(field.value)))),
    );
    let head = read.split_to(size).freeze();
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, at) in fields {
        headers.append(name, value(&head.slice(at))?);
    }
    let heading = Heading {
        status,
        headers,
        end,
        after,
    };
    Ok(Some(heading))
}

/// The name of a field that somebody reads. Those are known, and cost no allocation.
fn heeded(raw: &str) -> Option<HeaderName> {
    let mut names = HEEDED.iter();
    let known = names.find(|known| known.as_str().eq_ignore_ascii_case(raw));
    known.cloned()
}

/// A field's value; one of several lines is put on one (RFC 9112 5.2).
fn value(raw: &Bytes) -> Result<HeaderValue, Fault> {
    HeaderValue::from_maybe_shared(raw.clone())
        .or_else(|_| {
            let blank = |byte: &u8| {
                if matches!(byte, b'\r' | b'\n') {
                    b' '
                } else {
                    *byte
                }
            };
            HeaderValue::from_bytes(&raw.iter().map(blank).collect::<Vec<_>>())
        })
        .map_err(|_| Fault::NotHttp)
}

/// What a head says of where its body ends, and of the connection.
struct Framing<'h>(&'h [httparse::Header<'h>]);

impl<'h> Framing<'h> {
    /// The words of all fields that are called so.
    fn words(&self, name: &'static str) -> impl DoubleEndedIterator<Item = &'h [u8]> {
        let fields = self.0.iter();
        fields
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .flat_map(|field| field.value.split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
    }

    fn end(&self, method: &Method, status: StatusCode) -> Result<End, Fault> {
        let bodiless = status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || *method == Method::HEAD;
        let encoding = self.words("transfer-encoding").next_back();
        // RFC 9112 6.3: an encoding overrides a length. A length that is none is a fault, whether or not a body follows.
        let length = match encoding {
            Some(_) => None,
            None => self.length()?,
        };
        Ok(match (encoding, length) {
            _ if bodiless => End::Length(0),
            (Some(last), _) if last.eq_ignore_ascii_case(b"chunked") => End::Chunks,
            (Some(_), _) | (None, None) => End::Close,
            (None, Some(length)) => End::Length(length),
        })
    }

    /// What is announced, if all that announce something agree (RFC 9110 8.6).
    fn length(&self) -> Result<Option<usize>, Fault> {
        let mut announced = None;
        for word in self.words("content-length") {
            // `parse` alone would take `+21`.
            let length = std::str::from_utf8(word)
                .ok()
                .filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|word| word.parse().ok())
                .ok_or(Fault::NotHttp)?;
            if announced.is_some_and(|known| known != length) {
                return Err(Fault::NotHttp);
            }
            announced = Some(length);
        }
        Ok(announced)
    }

    /// Whether the connection may be used again (RFC 9112 9.3).
    fn after(&self, is_newest: bool, end: End) -> After {
        let says = |wanted: &[u8]| {
            let mut words = self.words("connection");
            words.any(|word| word.eq_ignore_ascii_case(wanted))
        };
        let persists = if is_newest {
            !says(b"close")
        } else {
            // Chunks from one that should not know them are not relied on (RFC 9112 6.1).
            end != End::Chunks && says(b"keep-alive") && !says(b"close")
        };
        if persists && end != End::Close {
            After::Kept
        } else {
            After::Closed
        }
    }
}

#[cfg(test)]
mod tests;
