//! A page of a list, its items taken apart.

use http::HeaderValue;
use serde_json::Value;
use serde_json::json;

use crate::api::header;
use crate::federate::Error;
use crate::request::Answer;
use crate::request::Content;
use crate::tenancy::case::Found;
use crate::tenancy::case::Resource;
use crate::tenancy::case::resource;
use crate::tenancy::case::with_body;

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
        let mut body = resource(&answer)?;
        let next = match body.remove("next") {
            Some(Value::String(next)) => Some(next),
            _ => None,
        };
        let listed = match body.remove(key) {
            Some(Value::Array(listed)) => listed,
            _ => Vec::new(),
        };
        let mut places = answer.places.iter();
        let items = listed.into_iter().filter_map(|item| {
            // A merged answer names the location of each item in their order; one location's own answer names it once.
            let at = places.next().copied().or(answer.location);
            match item {
                Value::Object(resource) => Some(Found { resource, at }),
                _ => None,
            }
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
        let mut body = Resource::new();
        // Of the items that are left: what follows masks each as its location does.
        self.answer.places = self.items.iter().filter_map(|found| found.at).collect();
        let items = self.items.into_iter();
        let items = items.map(|found| Value::Object(found.resource)).collect();
        if let Some(next) = self.next.as_deref().filter(|_| linked) {
            let links = json!([{"rel": "next", "href": next}]);
            body.insert(format!("{}_links", self.key), links);
        }
        body.insert(self.key, Value::Array(items));
        if let Some(next) = self.next {
            body.insert("next".to_owned(), Value::String(next));
        }
        with_body(self.answer, &body)
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
