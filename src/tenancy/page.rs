//! A page of a list, its items taken apart.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderValue;

use crate::api::header;
use crate::api::json;
use crate::federate::Error;
use crate::request::Answer;
use crate::request::Content;
use crate::tenancy::case::Found;
use crate::tenancy::resource;
use crate::tenancy::resource::Resource;

/// A page as it was answered, without its items.
pub(crate) struct Page {
    answer: Answer,
    key: String,
    pub(crate) items: Vec<Found>,
    /// The link to the next one.
    pub(crate) next: Option<String>,
}

impl Page {
    /// An error in place of a page is the answer for the client.
    pub(crate) fn of(answer: Answer, key: &str) -> Result<Self, Error> {
        if !answer.status.is_success() {
            return Err(Error::Reply(Box::new(answer)));
        }
        let body = resource::shown(&answer)?;
        let next = body.raw("next").and_then(|next| json::decode(next));
        let next = next.map(Cow::into_owned);
        let listed = body.elements(key).unwrap_or_default();
        let mut places = answer.places.iter();
        let items = listed.into_iter().filter_map(|item| {
            // A merged answer names the location of each item in their order; one location's own answer names it once.
            let at = places.next().copied().or(answer.location);
            let resource = Resource::read(&item).ok()?;
            Some(Found { resource, at })
        });
        Ok(Self {
            items: items.collect(),
            key: key.to_owned(),
            next,
            answer: Answer {
                body: Content::default(),
                ..answer
            },
        })
    }

    /// One without items yet.
    pub(crate) fn new(answer: Answer, key: &str) -> Self {
        Self {
            answer,
            key: key.to_owned(),
            items: Vec::new(),
            next: None,
        }
    }

    /// Which locations it lacks.
    pub(crate) fn missing(&self) -> Option<HeaderValue> {
        self.answer.headers.get(header::INCOMPLETE).cloned()
    }

    /// The lists that decide visibility lacked these locations, so this one may lack items too.
    pub(crate) fn lacks(&mut self, missing: Option<HeaderValue>) {
        lacks(&mut self.answer, missing);
    }

    /// `linked`: with gophercloud's `<collection>_links`.
    pub(crate) fn into_answer(mut self, linked: bool) -> Answer {
        let mut body = Resource::default();
        // Of the items that are left: what follows masks each as its location does.
        self.answer.places = self.items.iter().filter_map(|found| found.at).collect();
        let items = self.items.iter().map(|found| found.resource.to_bytes());
        let items: Vec<Bytes> = items.collect();
        if let Some(next) = self.next.as_deref().filter(|_| linked) {
            let next = json::escape(next);
            let links = format!("[{{\"rel\": \"next\", \"href\": \"{next}\"}}]");
            body.set(&format!("{}_links", self.key), links);
        }
        body.set_list(&self.key, items.iter().map(|item| &**item));
        if let Some(next) = self.next {
            body.set_text("next", &next);
        }
        resource::showing(self.answer, &body)
    }
}

/// An answer lacks these locations too.
pub(crate) fn lacks(answer: &mut Answer, missing: Option<HeaderValue>) {
    let known = answer.headers.get(header::INCOMPLETE).cloned();
    if let Some(missing) = both(known, missing) {
        answer.headers.insert(header::INCOMPLETE, missing);
    }
}

/// Which locations either of two lists lacks, every location once.
pub(crate) fn both(one: Option<HeaderValue>, other: Option<HeaderValue>) -> Option<HeaderValue> {
    let (Some(one), Some(other)) = (&one, &other) else {
        return one.or(other);
    };
    let mut named: Vec<&str> = [one, other]
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(", "))
        .collect();
    named.sort_unstable();
    named.dedup();
    HeaderValue::from_str(&named.join(", ")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_either_list_lacks_is_named_once() {
        let value = |text: &'static str| Some(HeaderValue::from_static(text));
        let (one, two) = ("loc1;reason=connect", "loc2;reason=timeout");
        assert_eq!(both(None, None), None);
        assert_eq!(both(value(one), None), value(one));
        assert_eq!(both(None, value(two)), value(two));
        let each = value("loc1;reason=connect, loc2;reason=timeout");
        assert_eq!(both(value(two), value(one)), each);
        assert_eq!(both(each.clone(), value(one)), each);
    }
}
