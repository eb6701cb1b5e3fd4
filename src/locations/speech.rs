//! What a location said: is it Ironic who speaks, and about whom?

use http::HeaderMap;
use http::HeaderName;
use http::StatusCode;

use crate::api::fault;
use crate::api::header;
use crate::api::link::Base;
use crate::api::microversion::Microversion;
use crate::api::microversion::VersionRange;
use crate::wire::transport::Reply;

/// What a location said of itself.
#[derive(Clone, Debug)]
pub struct Standing {
    pub range: VersionRange,
    /// How it calls itself in links.
    pub base: Option<Base>,
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

/// A 401, or a 403 of Ironic's policy; other 403s are Ironic's word about the request ("node is protected").
pub fn is_refusal(reply: &Reply) -> bool {
    match reply.status {
        StatusCode::UNAUTHORIZED => true,
        StatusCode::FORBIDDEN => {
            fault::text_of(&reply.body).is_none_or(|text| is_policy_denial(&text))
        }
        _ => false,
    }
}

fn is_policy_denial(text: &str) -> bool {
    text.starts_with("Access was denied to the following resource")
        || text.contains("requires a scope of")
}

/// Success of any kind, or an error in one of Ironic's shapes.
pub fn is_ironics(reply: &Reply) -> bool {
    if reply.status == StatusCode::NO_CONTENT
        || (reply.status.is_success() && reply.body.is_empty())
    {
        return true;
    }
    let json = reply
        .headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    if reply.status.is_success() {
        return json;
    }
    json && (fault::text_of(&reply.body).is_some() || reply.status == StatusCode::UNAUTHORIZED)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderValue;

    use super::*;

    #[test]
    fn whose_words_are_these() {
        let reply = |status: u16, kind: &'static str, body: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
            Reply {
                status: StatusCode::from_u16(status).unwrap(),
                headers,
                body: Bytes::from_static(body.as_bytes()),
            }
        };
        let fault = |text: &'static str| text;
        let protected = fault(
            r#"{"error_message": "{\"faultcode\": \"Client\", \"faultstring\": \"Node x is protected\", \"debuginfo\": null}"}"#,
        );
        let denied = fault(
            r#"{"error_message": "{\"faultcode\": \"Client\", \"faultstring\": \"Access was denied to the following resource: baremetal:node:get\", \"debuginfo\": null}"}"#,
        );
        for (reply, ironics, refusal) in [
            (reply(200, "application/json", "{}"), true, false),
            (reply(200, "text/html", "<html>"), false, false),
            (reply(204, "text/html", ""), true, false),
            (reply(502, "text/html", "<html>"), false, false),
            (reply(500, "application/json", protected), true, false),
            (reply(403, "application/json", protected), true, false),
            (reply(403, "application/json", denied), true, true),
            (reply(403, "text/html", "<html>"), false, true),
            (
                reply(401, "application/json", r#"{"error": {"code": 401}}"#),
                true,
                true,
            ),
            (reply(404, "application/json", "{}"), false, false),
        ] {
            assert_eq!(
                (is_ironics(&reply), is_refusal(&reply)),
                (ironics, refusal),
                "{reply:?} {:?}",
                reply.body
            );
        }
    }
}
