//! Judges what a location answered: whether it came from Ironic, and what it says about the request or about the
//! gateway. No other place judges an answer.

use std::sync::LazyLock;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use uuid::Uuid;

use crate::api::collection::Collection;
use crate::api::fault;
use crate::api::fault::Fault;
use crate::api::fault::Form;
use crate::api::header;
use crate::api::identifier::is_uuid_like;
use crate::api::json;
use crate::api::json::Malformed;
use crate::api::json::Reader;
use crate::api::link::Base;
use crate::api::link::Dialect;
use crate::api::microversion::Microversion;
use crate::api::microversion::VersionRange;
use crate::api::page::Document;
use crate::api::page::Item;
use crate::api::page::Keep;
use crate::api::page::Need;
use crate::locations::question::Expect;
use crate::locations::question::Question;
use crate::locations::silence::Reason;
use crate::wire::transport::LARGE_HEAD;
use crate::wire::transport::Reply;

/// What a location said of itself.
#[derive(Clone, Debug)]
pub struct Standing {
    pub range: VersionRange,
    /// How it calls itself in links.
    pub base: Option<Base>,
}

/// Where a location's links begin if it never told.
static UNKNOWN_BASE: LazyLock<Base> =
    LazyLock::new(|| Base::parse("http://unknown.invalid").unwrap_or_else(|_| unreachable!()));

/// Where links of a location begin.
pub fn base_of(standing: Option<&Standing>) -> &Base {
    standing
        .and_then(|standing| standing.base.as_ref())
        .unwrap_or(&UNKNOWN_BASE)
}

/// What the version headers say.
pub fn range_of(headers: &HeaderMap) -> Option<VersionRange> {
    let version = |name: &HeaderName| {
        headers
            .get(name)?
            .to_str()
            .ok()?
            .parse::<Microversion>()
            .ok()
    };
    VersionRange::new(
        version(&header::API_MIN_VERSION)?,
        version(&header::API_MAX_VERSION)?,
    )
}

/// What the version document says.
pub fn standing(reply: &Reply) -> Option<Standing> {
    let document: serde_json::Value = serde_json::from_slice(&reply.body).ok()?;
    let told = |member: &str| {
        document["default_version"][member]
            .as_str()?
            .parse::<Microversion>()
            .ok()
    };
    let told_range = || VersionRange::new(told("min_version")?, told("version")?);
    let range = range_of(&reply.headers).or_else(told_range)?;
    Some(Standing {
        range,
        base: Base::learn(&reply.body).ok().flatten(),
    })
}

/// What a location said to a question, as far as it is an answer.
#[derive(Clone, Debug)]
pub enum Said {
    /// It has the thing, or did what it was told.
    Has(Words),
    /// It has no such thing.
    No(Reply),
    /// The question itself is at fault: the client's business.
    Refuses(Reply),
    /// Something behind Ironic failed, a node's conductor or a driver, and Ironic says so.
    Fails(Reply),
}

/// An answer, and the member that it holds if one was asked for: that was read to judge it, and is read no second time.
#[derive(Clone, Debug)]
pub struct Words {
    pub reply: Reply,
    pub member: Option<Document>,
}

impl From<Reply> for Words {
    fn from(reply: Reply) -> Self {
        Self {
            reply,
            member: None,
        }
    }
}

impl Said {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Has(words) => words.reply.status,
            Self::No(reply) | Self::Refuses(reply) | Self::Fails(reply) => reply.status,
        }
    }

    /// The words themselves, for a client whose request this is the answer to.
    pub fn into_reply(self) -> Reply {
        match self {
            Self::Has(words) => words.reply,
            Self::No(reply) | Self::Refuses(reply) | Self::Fails(reply) => reply,
        }
    }

    /// The same, with what was read already.
    pub fn into_words(self) -> Words {
        match self {
            Self::Has(words) => words,
            said => said.into_reply().into(),
        }
    }
}

/// What an exchange that ended with a whole reply comes to.
#[derive(Clone, Debug)]
pub enum Heard {
    Said(Said),
    /// Our credential, or its scope.
    RefusesUs(StatusCode),
    /// Somebody else's words, or none that can be used.
    Unusable(Reason, Reply),
}

const LONG_LIST: usize = 64 << 10;

/// The one judgement of an answer. `ours`: it was our credential that was shown, if any. `from`: how the
/// location speaks of itself.
pub fn judge(question: &Question, ours: bool, from: Dialect<'_>, reply: Reply) -> Heard {
    // A success is no fault, and reading one as a tree costs more than all else that is done with it.
    let fault = (!reply.status.is_success() && is_json(&reply.headers))
        .then(|| fault::read(&reply.body))
        .flatten();
    match reply.status.as_u16() {
        200..300 => match answer(question, from, &reply) {
            Some(member) => Heard::Said(Said::Has(Words { reply, member })),
            None => Heard::Unusable(Reason::Body, reply),
        },
        401 if ours => Heard::RefusesUs(reply.status),
        403 if ours
            && fault
                .as_ref()
                .is_none_or(|(_, text)| is_policy_denial(text)) =>
        {
            Heard::RefusesUs(reply.status)
        }
        // Ironic 39 does not catch oslo.policy's exception for a wrong scope.
        500 if ours && fault.as_ref().is_some_and(|(_, text)| is_wrong_scope(text)) => {
            Heard::RefusesUs(reply.status)
        }
        // A web server in front may say it in its own words; what it means is the client's business all the same.
        413 | 414 | 431 => Heard::Said(Said::Refuses(in_ironics_words(reply, fault.is_some()))),
        // nginx and httpd answer so to a head that does not fit their buffers.
        400 if fault.is_none() && question.path.len() > LARGE_HEAD => {
            Heard::Said(Said::Refuses(in_ironics_words(reply, false)))
        }
        404 => match fault {
            // Of a question of ours Ironic's router knows the path: whoever speaks does not serve it, an address below
            // Ironic's root for instance.
            Some((Form::Routing, _)) if question.is_served() && !question.is_routed() => {
                Heard::Unusable(Reason::Body, reply)
            }
            Some(_) => Heard::Said(Said::No(reply)),
            _ => Heard::Unusable(Reason::Body, reply),
        },
        // keystonemiddleware's own words for the user's token.
        401 if is_json(&reply.headers) => Heard::Said(Said::Refuses(reply)),
        429 => Heard::Unusable(Reason::Status, reply),
        400..500 if fault.is_some() => Heard::Said(Said::Refuses(reply)),
        500..600 if fault.is_some() && question.is_routed() => Heard::Said(Said::Fails(reply)),
        500..600 => Heard::Unusable(Reason::Status, reply),
        _ => Heard::Unusable(Reason::Body, reply),
    }
}

/// Whether a 2xx holds what was asked for; if that is a member, with it.
#[expect(clippy::option_option, reason = "`None`: it does not")]
fn answer(question: &Question, from: Dialect<'_>, reply: &Reply) -> Option<Option<Document>> {
    let Expect::Member { collection, ident } = &question.expect else {
        return is_answer(question, reply).then_some(None);
    };
    let status = if question.method == Method::POST {
        201
    } else {
        200
    };
    let facts = collection.facts();
    let need = Need {
        kind: facts.kind,
        from,
        id: facts.id,
        sort_key: None,
        keep: Keep::All,
        note: &[],
    };
    if reply.status.as_u16() != status || !begins_with(reply, b'{') {
        return None;
    }
    let member = Document::decode(reply.body.clone(), &need).ok()?;
    let asked = (*collection, ident.as_deref());
    is_member(member.item(), asked, question).then_some(Some(member))
}

fn begins_with(reply: &Reply, bracket: u8) -> bool {
    is_json(&reply.headers) && reply.body.trim_ascii_start().first() == Some(&bracket)
}

/// The same of everything but members.
fn is_answer(question: &Question, reply: &Reply) -> bool {
    let status = reply.status.as_u16();
    let object = || begins_with(reply, b'{');
    match &question.expect {
        Expect::Versions => status == 200 && object() && standing(reply).is_some(),
        Expect::Member { .. } => false,
        // A long one is read once, by who wants its items: that costs as much as the rest of a merge.
        Expect::List { key, .. } => {
            status == 200
                && object()
                && (reply.body.len() > LONG_LIST || json::is_list_under(&reply.body, key))
        }
        Expect::Document { member } => {
            status == 200 && object() && has_member(&reply.body, *member)
        }
        Expect::Machine => status == 200 && object() && has_member(&reply.body, Some("node")),
        // `expose` in `ironic/api/method.py` leaves both without a body.
        Expect::Effect => matches!(status, 202 | 204) && reply.body.is_empty(),
        Expect::Unknown => {
            if reply.body.is_empty() {
                matches!(status, 202 | 204)
            } else {
                (object() || begins_with(reply, b'[')) && is_whole(&reply.body)
            }
        }
    }
}

/// A member says who it is; what else would claim to be one does not know what it was asked by.
fn is_member(
    item: Item<'_>,
    (collection, ident): (Collection, Option<&str>),
    question: &Question,
) -> bool {
    let (id, name) = (item.id(), item.name());
    let Some(ident) = ident else {
        return id.is_some();
    };
    let version = question.version;
    let hides_names = collection.finds_names(version) && !collection.shows_names(version);
    match (&id, &name) {
        // `fields` may leave out both; the links Ironic always adds.
        (None, None) => item.has_links() && question.path.contains("fields="),
        // Who it is by name cannot be seen.
        (Some(_), None) if hides_names && !is_uuid_like(ident) => true,
        _ => id
            .into_iter()
            .chain(name)
            .any(|known| is_same(&known, ident)),
    }
}

/// Databases compare without regard to case, UUIDs have several spellings.
fn is_same(known: &str, asked: &str) -> bool {
    if let (Ok(known), Ok(asked)) = (Uuid::try_parse(known), Uuid::try_parse(asked)) {
        return known == asked;
    }
    known.to_lowercase() == asked.to_lowercase()
}

/// Whether a body is an object, whole, with this member (`None`: with any or none).
fn has_member(body: &[u8], member: Option<&str>) -> bool {
    let read = || {
        let mut reader = Reader::new(body)?;
        let mut found = member.is_none();
        reader.members(|reader, key| {
            found |= member.is_some_and(|member| key.is(member));
            reader.value().map(|_| ())
        })?;
        reader.end()?;
        Ok::<_, Malformed>(found)
    };
    read().unwrap_or(false)
}

fn is_whole(body: &[u8]) -> bool {
    let read = || {
        let mut reader = Reader::new(body)?;
        reader.value()?;
        reader.end()
    };
    read().is_ok()
}

/// A body or a head that was too large, in Ironic's own form whoever said so.
fn in_ironics_words(reply: Reply, is_ironics: bool) -> Reply {
    if is_ironics {
        return reply;
    }
    if reply.status == StatusCode::PAYLOAD_TOO_LARGE {
        let text = "Request body is too large. Please contact the service administrator.";
        return told(&Fault::flat(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    head_too_large()
}

/// What a web server means that closes a connection over a head which does not fit its buffer.
pub fn head_too_large() -> Reply {
    told(&Fault::new(
        StatusCode::URI_TOO_LONG,
        "The path and query are longer than the web server of the location takes.",
    ))
}

fn told(fault: &Fault) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Reply {
        status: fault.status,
        headers,
        body: fault.body(),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

/// Other 403s are Ironic's word about the request ("node is protected").
fn is_policy_denial(text: &str) -> bool {
    // `HTTPForbidden` in `ironic/common/exception.py`.
    text.starts_with("Access was denied to the following resource") || is_wrong_scope(text)
}

fn is_wrong_scope(text: &str) -> bool {
    // `InvalidScope` in `oslo_policy/policy.py`.
    text.contains("requires a scope of")
}

#[cfg(test)]
mod tests;
