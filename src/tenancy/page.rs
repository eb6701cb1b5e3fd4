//! A page of a list, its items taken apart.

use std::borrow::Cow;

use bytes::Bytes;

use crate::api::json;
use crate::federate::Error;
use crate::request::Answer;
use crate::request::Content;
use crate::request::Missing;
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
    pub(crate) fn missing(&self) -> Missing {
        self.answer.missing().to_vec()
    }

    /// The lists that decide visibility lacked these locations, so this one may lack items too.
    pub(crate) fn lacks(&mut self, missing: Missing) {
        self.answer.lacks(missing);
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
